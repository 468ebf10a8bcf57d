"""Selection rules that need nothing but the order of the samples, and chance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldore.errors import require
from goldore.selection.amount import Ratio, exact_ratio
from goldore.selection.ordering import ascending
from goldore.selection.rule import Samples, Strategy, rest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from goldore.selection.rule import Floats, Ints

_MOST_STRATA = 1_000_000


@dataclass(frozen=True)
class Window(Strategy):
    """A stretch of the order.

    Attributes:
        start: share of the order before it, 0..1; floor(start * n) samples are passed over.
    """

    called: ClassVar[str] = "window"
    does: ClassVar[str] = "pass over a first share (start), keep what comes next"
    source: ClassVar[str] = "Choi et al. 2024, arXiv 2406.03057, for a window that is given"
    start: Ratio = 0

    def __post_init__(self) -> None:
        exact_ratio(self.start, "start of the rule window")

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """The first of the rest; samples that have no score only where they are needed."""
        return stretch(rest_of(self, self.start, samples, budget), samples.keys, budget)


@dataclass(frozen=True)
class Draw(Strategy):
    """A uniform draw.

    Attributes:
        after: share of the order that is left out of it, 0..1; floor(after * n) samples are passed over.
    """

    called: ClassVar[str] = "draw"
    does: ClassVar[str] = "pass over a first share (after), draw from the rest at random"
    source: ClassVar[str] = "Zheng et al. 2023, arXiv 2210.15809, without their strata"
    draws: ClassVar[bool] = True
    after: Ratio = 0

    def __post_init__(self) -> None:
        exact_ratio(self.after, "after of the rule draw")

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """Those of the rest with the lowest numbers."""
        rest = rest_of(self, self.after, samples, budget)
        random = samples.random
        return in_turn(rest, samples.keys, budget, lambda part, count: part[ascending(random[part])[:count]])


@dataclass(frozen=True)
class Middle(Draw):
    """A uniform draw without the end that the criterion drops first, a fifth unless told otherwise.

    Attributes:
        after: as of `Draw`.
    """

    called: ClassVar[str] = "middle"
    does: ClassVar[str] = "draw at random without the first fifth (after)"
    source: ClassVar[str] = "Zheng et al. 2023, arXiv 2210.15809, without their strata; docs/study.md"
    after: Ratio = "0.2"


@dataclass(frozen=True)
class Ccs(Strategy):
    """Coverage-centric coreset selection: as many as possible from every stretch of the score.

    What is left after the first share is cut into strata of equal width in the score. From the smallest
    stratum on, each gives an equal share of what is still to be kept, or all it has.

    Attributes:
        after: share of the order that is left out of it, 0..1; floor(after * n) samples are passed over.
        strata: how many; empty ones do not count.
    """

    called: ClassVar[str] = "ccs"
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

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """The smallest stratum first; within one, those with the lowest numbers."""
        import numpy as np

        keys, random = samples.keys, samples.random

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

        return in_turn(rest_of(self, self.after, samples, budget), keys, budget, drawn)


def stretch(rest: "Ints", keys: "Floats", budget: int) -> "Ints":
    """The first of an order, those that are dropped first for want of a score last.

    Args:
        rest: places in the order in which they are dropped.
        keys: of all samples, -inf for those.
        budget: how many.
    """
    import numpy as np

    without = np.isneginf(keys[rest])
    return np.concatenate([rest[~without], rest[without]])[:budget]


def in_turn(rest: "Ints", keys: "Floats", budget: int, draw: "Callable[[Ints, int], Ints]") -> "Ints":
    """Draw from samples with a score, those without only where they are to be kept first, or are needed.

    Args:
        rest: places to draw from.
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
