"""The samples in the order of a score, over all and within their class, and how two such orders agree."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from goldore.selection.ordering import ascending

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


@dataclass(frozen=True)
class Ranked:
    """The samples that have a score, in its order.

    Attributes:
        values: of the score, float64 [N]; NaN where there is none, or no finite one.
        labels: int64 [N].
        ascending: positions of the M samples with a score, from the lowest; ties by position.
        by_class: the same, class after class.
        bounds: where each class begins and ends in `by_class`, int64 [K + 1].
    """

    values: NDArray[np.float64]
    labels: NDArray[np.int64]
    ascending: NDArray[np.int64]
    by_class: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.float64], labels: NDArray[np.int64], num_classes: int) -> Self:
        """Put samples in order.

        Args:
            values: float64 [N], NaN for those without a score.
            labels: int64 [N].
            num_classes: K.
        """
        finite = np.isfinite(values)
        if not finite.all():
            values = np.where(finite, values, np.nan)
        order = ascending(values)[: int(finite.sum())]  # NaN comes last
        small = labels[order].astype(np.uint16) if num_classes <= 2**16 else labels[order]
        by_class = order[np.argsort(small, kind="stable")]
        counts = np.bincount(labels[order], minlength=num_classes)
        return cls(values, labels, order, by_class, np.concatenate([[0], np.cumsum(counts)]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Samples with a score of each class, int64 [K]."""
        return np.diff(self.bounds)

    def medians(self) -> NDArray[np.float64]:
        """Median of each class, float64 [K]; NaN where none has a score."""
        found = np.full(len(self.counts), np.nan)
        some = self.counts > 0
        first, size = self.bounds[:-1][some], self.counts[some]
        low, high = self.by_class[first + (size - 1) // 2], self.by_class[first + size // 2]
        found[some] = (self.values[low] + self.values[high]) / 2
        return found

    def ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest value of each class, float64 [K] each; NaN where none has a score."""
        low, high = (np.full(len(self.counts), np.nan) for _ in range(2))
        some = self.counts > 0
        low[some] = self.values[self.by_class[self.bounds[:-1][some]]]
        high[some] = self.values[self.by_class[self.bounds[1:][some] - 1]]
        return low, high

    def highest_tenth(self) -> NDArray[np.float64]:
        """Share of each class's samples with a score that are in the highest tenth of all, float64 [K].

        Of samples that are tied where the tenth begins, all classes have the same share in it.
        """
        places = -(-len(self.ascending) // 10)
        if places == 0:
            return np.full(len(self.counts), np.nan)
        ordered = self.values[self.ascending]
        boundary = ordered[-places]
        first, last = (int(np.searchsorted(ordered, boundary, side)) for side in _SIDES)
        above = np.bincount(self.labels[self.ascending[last:]], minlength=len(self.counts))
        tied = np.bincount(self.labels[self.ascending[first:last]], minlength=len(self.counts))
        left = places - (len(ordered) - last)
        with np.errstate(invalid="ignore"):
            return np.asarray((above + tied * (left / (last - first))) / self.counts, dtype=np.float64)

    def within(self) -> NDArray[np.float64]:
        """Rank of each sample in its class, 0 for the lowest, ties at their mean, float64 [N]."""
        return _mean_ranks(self.values, self.by_class, self.bounds[:-1])

    def overall(self) -> NDArray[np.float64]:
        """Rank of each sample among all, likewise; NaN for those without a score, as in `within`."""
        return _mean_ranks(self.values, self.ascending, np.zeros(1, dtype=np.int64))


def _mean_ranks(
    values: NDArray[np.float64], order: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Ranks in stretches of an order, each of which counts from 0."""
    ranks = np.full(len(values), np.nan)
    if len(order) == 0:
        return ranks
    ordered = values[order]
    begins = np.empty(len(order), dtype=bool)
    begins[0], begins[1:] = True, ordered[1:] != ordered[:-1]
    begins[starts[starts < len(order)]] = True
    if begins.all():  # no ties
        sizes = np.diff(np.append(starts, len(order)))
        ranks[order] = np.arange(len(order)) - np.repeat(starts, sizes)
        return ranks
    first = np.flatnonzero(begins)
    size = np.diff(np.append(first, len(order)))
    of_stretch = np.searchsorted(starts, first, side="right") - 1
    middle = first + (size - 1) / 2 - starts[of_stretch]
    ranks[order] = np.repeat(middle, size)
    return ranks


@dataclass(frozen=True)
class RankCorrelation:
    """How far two scores put the samples in the same order. What is not known is NaN.

    Attributes:
        within_class: Spearman's correlation within each class, the mean over classes by their samples.
        overall: Spearman's correlation over all samples; differences between classes count in it.
        by_class: of each class, float64 [K].
        samples: that have both scores.
    """

    within_class: float
    overall: float
    by_class: NDArray[np.float64]
    samples: int


def rank_correlation(first: Ranked, second: Ranked) -> RankCorrelation:
    """Compare two orders of the same samples; those without one of the scores are left out."""
    labels, classes = first.labels, len(first.counts)
    known: NDArray[np.bool_] | slice = slice(None)  # all
    if min(len(first.ascending), len(second.ascending)) < len(labels):
        known = np.isfinite(first.values) & np.isfinite(second.values)
        first, second = (
            Ranked.of(np.where(known, each.values, np.nan), labels, classes) for each in (first, second)
        )
    sizes = first.counts
    middle = (sizes - 1) / 2
    one, two = (each.within()[known] - middle[labels[known]] for each in (first, second))
    inside = labels[known]

    def summed(products: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(inside, weights=products, minlength=classes).astype(np.float64)

    scale = np.sqrt(summed(one * one) * summed(two * two))
    with np.errstate(invalid="ignore", divide="ignore"):
        by_class = np.where(scale > 0, summed(one * two) / scale, np.nan)
    there = np.isfinite(by_class)
    return RankCorrelation(
        within_class=float(np.average(by_class[there], weights=sizes[there])) if there.any() else np.nan,
        overall=_correlation(first.overall()[known], second.overall()[known]),
        by_class=by_class,
        samples=len(inside),
    )


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    if len(one) == 0:
        return float("nan")
    one, two = one - one.mean(), two - two.mean()
    scale = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / scale if scale > 0 else float("nan")
