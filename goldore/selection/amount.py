"""How much is kept, in exact counts.

A ratio is taken as the decimal that was written, never through binary floating point; of n samples,
`drop_ratio` R drops floor(R * n), and `keep_ratio` K keeps ceil(K * n), so that both say the same thing and
no class is emptied by a positive keep ratio. Keep 0.1 of 5000 is 500.
"""

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from numbers import Integral

from goldore.errors import UsageError, require

Ratio = str | float | Decimal | Fraction
_MAX_DECIMALS = 18  # of the first digit of a ratio that is not zero


@dataclass(frozen=True)
class Amount:
    """How many samples are kept of n: floor(stop * n) - floor(start * n), or `count`.

    Attributes:
        text: as the user gave it, for example "keep_ratio 0.1".
        start: 0..1.
        stop: 0..1, not below `start`.
        count: the number itself.
    """

    text: str
    start: Fraction = Fraction(0)
    stop: Fraction = Fraction(1)
    count: int | None = None

    def of(self, samples: int) -> int:
        """The exact number of samples that are kept of so many."""
        if self.count is not None:
            return self.count
        return math.floor(self.stop * samples) - math.floor(self.start * samples)


def make_amount(
    *,
    drop_ratio: Ratio | None = None,
    keep_ratio: Ratio | None = None,
    keep_per_class: int | None = None,
    keep_range: tuple[Ratio, Ratio] | None = None,
) -> Amount:
    """Make the amount from whichever of the four was given (see `prune`).

    Raises:
        UsageError: if none or several were given, or a number is out of range.
    """
    given = [value for value in (drop_ratio, keep_ratio, keep_per_class, keep_range) if value is not None]
    require(
        len(given) == 1,
        "say how much to keep with exactly one of `drop_ratio`, `keep_ratio`, `keep_per_class` and "
        "`keep_range`.",
    )
    if drop_ratio is not None:
        return Amount(f"drop_ratio {_text(drop_ratio)}", exact_ratio(drop_ratio, "`drop_ratio`"))
    if keep_ratio is not None:
        return Amount(f"keep_ratio {_text(keep_ratio)}", 1 - exact_ratio(keep_ratio, "`keep_ratio`"))
    if keep_per_class is not None:
        whole = isinstance(keep_per_class, Integral) and not isinstance(keep_per_class, bool)
        require(whole, f"`keep_per_class` is {keep_per_class!r}; it must be a whole number.")
        keep_per_class = int(keep_per_class)
        require(keep_per_class >= 1, f"`keep_per_class` is {keep_per_class}; it must be 1 or more.")
        return Amount(f"keep_per_class {keep_per_class}", count=keep_per_class)
    pair = keep_range.split(":") if isinstance(keep_range, str) else keep_range
    require(
        isinstance(pair, tuple | list) and len(pair) == 2,  # noqa: PLR2004
        f"`keep_range` is {keep_range!r}; it must be two shares, as (0.2, 0.5).",
    )
    first, last = pair or (0, 1)
    start, stop = (exact_ratio(each, "`keep_range`") for each in (first, last))
    shown = f"{_text(first)}:{_text(last)}"
    require(start < stop, f"`keep_range` {shown} is empty; the first must be below the second.")
    return Amount(f"keep_range {shown}", start, stop)


def exact_ratio(ratio: Ratio, what: str) -> Fraction:
    """A ratio as the decimal that was written.

    Raises:
        UsageError: if it is no number from 0 to 1; `what` it is begins the message.
    """
    try:
        number = ratio if isinstance(ratio, Fraction) else Decimal(_text(ratio))
        inside = 0 <= number <= 1
    except InvalidOperation:
        raise UsageError(f"{what} is {ratio!r}; it must be a decimal number from 0 to 1.") from None
    require(inside, f"{what} is {_text(ratio)}; it must be from 0 to 1.")
    tiny = isinstance(number, Decimal) and number.adjusted() < -_MAX_DECIMALS
    require(not tiny, f"{what} is {_text(ratio)}; it must be 0 or at least 1e-{_MAX_DECIMALS}.")
    return Fraction(number)


def _text(ratio: Ratio) -> str:
    return str(ratio).strip()
