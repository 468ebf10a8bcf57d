"""Selection rules: which samples are kept of an order, when it is settled how many.

A rule is a frozen dataclass here, whose fields are its settings; `STRATEGIES` lists them. No NumPy is
imported here: the help of the command line is made of the list.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldore.errors import UsageError, require
from goldore.files.user_code import import_named, read_settings, with_settings
from goldore.selection.amount import Ratio, exact_ratio
from goldore.selection.ordering import ascending

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


_MOST_STRATA = 1_000_000


@dataclass(frozen=True)
class Strategy(ABC):
    """A selection rule: a frozen dataclass, whose fields are its settings, numbers or texts.

    Attributes:
        does: what it keeps, for the help: "keep ...".
        source: where it comes from.
        draws: whether it uses random numbers; the seed is recorded then.
    """

    does: ClassVar[str] = ""
    source: ClassVar[str] = ""
    draws: ClassVar[bool] = False

    @abstractmethod
    def choose(self, keys: "Floats", labels: "Ints", budget: int, random: "Floats") -> "Ints":
        """Choose the samples to keep, of one class or of all, as the scope is; the arrays are not changed.

        Args:
            keys: [n], the order in which the criterion drops: lower ones earlier, equal ones by position
                (`goldore.selection.ascending`); -inf or inf for samples without a score.
            labels: [n], their classes.
            budget: how many to keep, 1..n.
            random: [n], 0 <= number < 1, one for each sample, from the seed; without `draws` it is empty.

        Returns:
            int64 [budget], different positions in 0..n-1, in any order.

        Raises:
            UsageError: if it cannot choose so many.
        """

    def __str__(self) -> str:
        """The name and all settings, as `strategy_of` reads them."""
        own = f"{type(self).__module__}:{type(self).__qualname__}"
        name = next((name for name, row in STRATEGIES.items() if row is type(self)), own)
        settings = (f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self))
        return ",".join([name, *settings])


@dataclass(frozen=True)
class End(Strategy):
    """The end of the order."""

    does: ClassVar[str] = "keep what the criterion drops last"
    source: ClassVar[str] = "Xu et al. 2024, arXiv 2305.18381"

    def choose(self, keys: "Floats", labels: "Ints", budget: int, random: "Floats") -> "Ints":  # noqa: ARG002
        """The last of the order."""
        return ascending(keys)[len(keys) - budget :]


@dataclass(frozen=True)
class Window(Strategy):
    """A stretch of the order.

    Attributes:
        start: share of the order before it, 0..1; floor(start * n) samples are passed over.
    """

    does: ClassVar[str] = "pass over a first share (start), keep what comes next"
    source: ClassVar[str] = "Choi et al. 2024, arXiv 2406.03057, for a window that is given"
    start: Ratio = 0

    def __post_init__(self) -> None:
        exact_ratio(self.start, "start of the rule window")

    def choose(self, keys: "Floats", labels: "Ints", budget: int, random: "Floats") -> "Ints":  # noqa: ARG002
        """The first of the rest."""
        return _rest(self, self.start, keys, budget)[:budget]


@dataclass(frozen=True)
class Draw(Strategy):
    """A uniform draw.

    Attributes:
        after: share of the order that is left out of it, 0..1; floor(after * n) samples are passed over.
    """

    does: ClassVar[str] = "pass over a first share (after), draw from the rest at random"
    source: ClassVar[str] = "Zheng et al. 2023, arXiv 2210.15809, without their strata"
    draws: ClassVar[bool] = True
    after: Ratio = 0

    def __post_init__(self) -> None:
        exact_ratio(self.after, "after of the rule draw")

    def choose(self, keys: "Floats", labels: "Ints", budget: int, random: "Floats") -> "Ints":  # noqa: ARG002
        """Those of the rest with the lowest numbers."""
        rest = _rest(self, self.after, keys, budget)
        return _in_turn(rest, keys, budget, lambda part, count: part[ascending(random[part])[:count]])


@dataclass(frozen=True)
class Ccs(Strategy):
    """Coverage-centric coreset selection: as many as possible from every stretch of the score.

    What is left after the first share is cut into strata of equal width in the score. From the smallest
    stratum on, each gives an equal share of what is still to be kept, or all it has.

    Attributes:
        after: share of the order that is left out of it, 0..1; floor(after * n) samples are passed over.
        strata: how many; empty ones do not count.
    """

    does: ClassVar[str] = (
        "pass over a first share (after), draw evenly from strata of equal width in the score"
    )
    source: ClassVar[str] = "Zheng et al. 2023, arXiv 2210.15809"
    draws: ClassVar[bool] = True
    after: Ratio = 0
    strata: int = 50

    def __post_init__(self) -> None:
        exact_ratio(self.after, "after of the rule ccs")
        fine = 1 <= self.strata <= _MOST_STRATA
        require(fine, f"strata of the rule ccs is {self.strata}; it must be from 1 to {_MOST_STRATA:,}.")

    def choose(self, keys: "Floats", labels: "Ints", budget: int, random: "Floats") -> "Ints":  # noqa: ARG002
        """The smallest stratum first; within one, those with the lowest numbers."""
        import numpy as np

        def drawn(part: "Ints", count: int) -> "Ints":
            values = keys[part]
            low, high = values.min(), values.max()
            apart = high > low and np.isfinite(values).all()
            share = (values - low) / (high - low) if apart else np.zeros(len(part))
            stratum = np.minimum(share * self.strata, self.strata - 1).astype(np.int64)
            names, sizes = np.unique(stratum, return_counts=True)
            kept: list[Ints] = []
            left = count
            for place, which in enumerate(np.argsort(sizes, kind="stable")):
                members = part[stratum == names[which]]
                quota = min(len(members), left // (len(names) - place))
                kept.append(members[ascending(random[members])[:quota]])
                left -= quota
            return np.concatenate(kept)

        return _in_turn(_rest(self, self.after, keys, budget), keys, budget, drawn)


STRATEGIES: dict[str, type[Strategy]] = {"end": End, "window": Window, "draw": Draw, "ccs": Ccs}


def strategy_of(given: str | Strategy) -> Strategy:
    """Find the rule that a text names.

    Args:
        given: NAME or NAME,KEY=VALUE,... of `STRATEGIES`, or package.module:NAME of a class of a user's own,
            with settings too, or of an instance; a rule is given back.

    Raises:
        UsageError: if there is no such rule, it cannot be imported, or a setting is wrong.
    """
    if isinstance(given, Strategy):
        return given
    require(isinstance(given, str), f"the rule is {given!r}; give a name or an instance of Strategy.")
    name, settings = read_settings(given, "strategy")
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


def _in_turn(rest: "Ints", keys: "Floats", budget: int, draw: "Callable[[Ints, int], Ints]") -> "Ints":
    """Draw from samples with a score, those without only where they are to be kept first, or are needed.

    Args:
        rest: positions to draw from.
        keys: inf for samples without a score that are kept first, -inf for those dropped first.
        budget: how many to keep.
        draw: so many of some.
    """
    import numpy as np

    known = np.isfinite(keys[rest])
    turns = (rest[keys[rest] == np.inf], rest[known], rest[keys[rest] == -np.inf])
    kept = [rest[:0]]
    for part in turns:
        count = min(len(part), budget - sum(map(len, kept)))
        if count:
            kept.append(draw(part, count))
    return np.concatenate(kept)


def _rest(rule: Strategy, share: Ratio, keys: "Floats", budget: int) -> "Ints":
    """The order without a first share of it; refused if that leaves less than the budget."""
    passed = math.floor(exact_ratio(share, str(rule)) * len(keys))
    left = len(keys) - passed
    require(
        budget <= left,
        f"the rule {rule} passes over {passed} of {len(keys)} samples, and {budget} are to be kept of the "
        f"{left} that are left; pass over less, or keep fewer.",
    )
    return ascending(keys)[passed:]
