"""The table of selection rules, and how a text names one. No NumPy is imported here."""

import re

from goldore.errors import UsageError, require
from goldore.files.user_code import import_named, read_settings, with_settings
from goldore.selection.featured import BestWindow, Beta, KCentre, Moderate
from goldore.selection.filters import Cut, Quotas, Unique
from goldore.selection.ordered import Ccs, Draw, Middle, Window
from goldore.selection.rule import Chain, End, Filter, Strategy

_ROWS = (End, Window, Draw, Middle, Ccs, Beta, Moderate, KCentre, BestWindow, Cut, Unique, Quotas)
STRATEGIES: dict[str, type[Strategy]] = {row.called: row for row in _ROWS}
_SPELLED = {"k-center": "k-centre"}
_NEXT = re.compile(r"\+(?=[A-Za-z_])")  # between rules; not in a number such as 1e+3


def strategy_of(given: str | Strategy) -> Strategy:
    """Find the rule that a text names.

    Args:
        given: NAME or NAME,KEY=VALUE,... of `STRATEGIES`, or package.module:NAME of a class of a user's own,
            with settings too, or of an instance; or several, with + between them, of which all but the last
            are filters. A rule is given back.

    Raises:
        UsageError: if there is no such rule, it cannot be imported, or a setting is wrong.
    """
    if isinstance(given, Strategy):
        return given
    require(isinstance(given, str), f"the rule is {given!r}; give a name or an instance of Strategy.")
    open_ended, given = given.endswith("+"), given.removesuffix("+")  # "unique+" is unique, then the end
    parts = [_single(part) for part in _NEXT.split(given)]
    if open_ended:
        require(isinstance(parts[-1], Filter), f"nothing comes after the +, and {parts[-1]} is no filter.")
    if len(parts) == 1:
        return parts[0]
    *first, last = parts
    for part in first:
        require(
            isinstance(part, Filter),
            f"the rule {part} chooses for good, so that nothing comes after it; put it last, or leave out "
            "what follows.",
        )
    return Chain((*parts, End()) if isinstance(last, Filter) else tuple(parts))


def _single(given: str) -> Strategy:
    name, settings = read_settings(given, "strategy")
    name = _SPELLED.get(name, name)
    if ":" not in name:
        choices = f"{', '.join(STRATEGIES)} or package.module:NAME of your own"
        require(name in STRATEGIES, f"there is no rule {name!r}; choose {choices}.")
        kind = STRATEGIES[name]
    else:
        kind = import_named(name, "the rule")
        if isinstance(kind, Strategy):
            require(not settings, f"the rule {name} has its settings; name its class to give others.")
            return kind
        if not (isinstance(kind, type) and issubclass(kind, Strategy)):
            raise UsageError(f"{name} is {type(kind).__name__}; a rule is a goldore.selection.Strategy.")
    made: Strategy = with_settings(kind, f"the rule {name}", settings)
    return made
