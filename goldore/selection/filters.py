"""Selection rules that narrow down what another rule chooses from, or say how much it takes of each class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldore.errors import require
from goldore.selection.amount import Ratio, exact_ratio
from goldore.selection.ordering import ascending
from goldore.selection.rule import Filter, Samples, Strategy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WHERE = ("keys", "positions")
_TINY, _HALVINGS = 1e-9, 200


@dataclass(frozen=True)
class Cut(Filter):
    """A first share is left out by a criterion of its own: a second key.

    Attributes:
        by: a criterion, which names the end that is left out, for example "AUM_small".
        share: of the samples, 0..1; floor(share * n) are left out, those without a score first.
    """

    called: ClassVar[str] = "cut"
    does: ClassVar[str] = "leave out a first share (share) by another criterion (by)"
    source: ClassVar[str] = "Zheng et al. 2023, arXiv 2210.15809, and Yang et al. 2024"
    by: str = ""
    share: Ratio = "0.3"

    def __post_init__(self) -> None:
        exact_ratio(self.share, "share of the rule cut")

    def left(self, samples: Samples, budget: int) -> "NDArray[np.bool_]":  # noqa: ARG002
        """All after the first share of the other order."""
        import numpy as np

        require(self.by != "", "the rule cut needs a criterion; write cut,by=AUM_small,share=0.3.")
        keys = samples.file.keys(self.by)[samples.positions]
        left = np.ones(len(samples), dtype=np.bool_)
        left[ascending(keys)[: math.floor(exact_ratio(self.share, str(self)) * len(samples))]] = False
        return left


@dataclass(frozen=True)
class Unique(Filter):
    """Of images that are equal pixel for pixel only the one is left that the criterion drops last.

    This is over all classes: of equal images with different labels one is left, too.
    """

    called: ClassVar[str] = "unique"
    does: ClassVar[str] = "leave out all but one of equal images"
    source: ClassVar[str] = "pixel hashes in the score file"

    def prepared(self, groups: Sequence[Samples], budgets: Sequence[int]) -> tuple[Filter, Sequence[int]]:
        """Find the images that are there again."""
        import numpy as np

        keys, positions = (np.concatenate([getattr(each, name) for each in groups]) for name in _WHERE)
        hashes = groups[0].file.hashes()[positions]
        order = np.lexsort((positions, keys, hashes))  # of equal ones the last is kept
        again = np.append(hashes[order][1:] == hashes[order][:-1], False)
        left = np.ones(int(positions.max(initial=-1)) + 1, dtype=np.bool_)
        left[positions[order[again]]] = False
        return _Without(left), budgets

    def left(self, samples: Samples, budget: int) -> "NDArray[np.bool_]":
        """Those that are left of these alone."""
        return self.prepared([samples], [budget])[0].left(samples, budget)


@dataclass(frozen=True, eq=False)
class _Without(Filter):
    by_position: "NDArray[np.bool_]"

    def left(self, samples: Samples, budget: int) -> "NDArray[np.bool_]":  # noqa: ARG002
        left: NDArray[np.bool_] = self.by_position[samples.positions]
        return left

    def __str__(self) -> str:
        return "unique"


@dataclass(frozen=True)
class Quotas(Filter):
    """Classes that are recognised badly keep more: in proportion to their errors, as many in all.

    A class k of n_k samples keeps the share d (1 - recall_k) / Z of them, where Z makes the sum right; what
    is more than a class has goes to the others, in the same proportion. The recall is that of the file's
    predictions: of cross-validations where there are any.
    """

    called: ClassVar[str] = "quotas"
    does: ClassVar[str] = "keep more of classes that are recognised badly, as many in all"
    source: ClassVar[str] = "DRoP, Vysogorets et al. 2025, arXiv 2404.05579"

    def prepared(self, groups: Sequence[Samples], budgets: Sequence[int]) -> tuple[Strategy, Sequence[int]]:
        """Share out what is to be kept in all."""
        import numpy as np

        single = len(groups) > 1 or len(np.unique(groups[0].labels)) <= 1
        require(single, "the rule quotas is about classes; leave `scope` global out.")
        recall = groups[0].file.recall()
        sizes = np.array([len(each) for each in groups])
        errors = np.array([1 - recall[each.labels[0]] if len(each) else 0.0 for each in groups])
        require(
            bool((errors[sizes > 0] > 0).any()),
            "the rule quotas needs classes with errors, and every sample is recognised; score with "
            "cross-validations (HeldOutLoss), or train less.",
        )
        require(
            sum(budgets) <= sizes.sum(),
            f"{sum(budgets)} samples are to be kept of the {sizes.sum()} that are left for the rule quotas; "
            "pass over less, or keep fewer.",
        )
        return self, share_out(sum(budgets), errors * sizes, sizes)

    def left(self, samples: Samples, budget: int) -> "NDArray[np.bool_]":  # noqa: ARG002
        """All of them."""
        import numpy as np

        return np.ones(len(samples), dtype=np.bool_)


def share_out(total: int, weights: "NDArray[np.float64]", most: "NDArray[np.int64]") -> list[int]:
    """Share a number out in proportion to weights, in whole numbers.

    Nobody gets more than its most, and everybody one at least, if there is enough for that. What is lost by
    rounding down goes to the largest remainders, the first of equal ones.

    Args:
        total: at most the sum of `most`.
        weights: [K], 0 or more, some of them above 0; those of 0 get more than one only when the others are
            full.
        most: [K].
    """
    import numpy as np

    least = np.minimum(most, 1) if total >= np.count_nonzero(most) else np.zeros_like(most)
    weights = np.maximum(weights / weights.max(), _TINY)
    low, high = 0.0, float(most.max()) / _TINY
    for _ in range(_HALVINGS):  # for the factor at which the shares, within their bounds, make up the total
        middle = (low + high) / 2
        low, high = (low, middle) if np.clip(middle * weights, least, most).sum() > total else (middle, high)
    shares = np.clip(low * weights, least, most)
    counts = np.floor(shares).astype(np.int64)
    for each in np.lexsort((np.arange(len(most)), counts - shares)):
        counts[each] += counts.sum() < total and counts[each] < most[each]
    return [int(each) for each in counts]
