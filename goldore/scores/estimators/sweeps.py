"""Stored utility trials as estimators read them: in blocks, and by the sweeps in which they drew."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.trials.draws import Strata

GROUPS = 8  # parts that the sweeps are dealt into; halves are made of whole parts, in up to 35 ways
_DEAL_SEED = 0  # part of the estimator, not of the data: same trials, same numbers


@dataclass(frozen=True)
class TrialBlock:
    """Some finished trials, in the order of their numbers.

    A block of trials with common initial weights is never cut in two.

    Attributes:
        numbers: int64 [B].
        members: positions that they drew, integer [B, S], columns as in `Strata.columns`.
        outcome: of each class, [B, K].
    """

    numbers: NDArray[np.int64]
    members: NDArray[Any]
    outcome: NDArray[Any]


@dataclass(frozen=True)
class Trials:
    """Stored utility trials, to be read as often as an estimator needs.

    Attributes:
        strata: what was drawn from.
        common_init: consecutive trials that share their initial weights; 1 if none do.
        read: gives the trials in blocks, anew at every call.
        last: the highest number of a trial, plus 1.
    """

    strata: Strata
    common_init: int
    read: Callable[[], Iterable[TrialBlock]]
    last: int

    def parts(self) -> "SweepParts":
        """Deal the sweeps into parts of equal size."""
        return SweepParts(self.strata, self.last)


class SweepParts:
    """The sweeps of every pool dealt at random into parts of equal size, to make halves of.

    Attributes:
        number: of parts in each pool, int64 [folds, K]; even, up to `GROUPS`; 0 with less than two sweeps.
        step_up: all sweeps, those under way in part, over the sweeps of one half, float64 [folds, K].
    """

    def __init__(self, strata: Strata, trials: int) -> None:
        self._strata = strata
        sweeps = strata.complete_sweeps(trials)  # [F, K]
        self.number = np.minimum(GROUPS, sweeps // 2 * 2)
        each = sweeps // np.maximum(self.number, 1)
        begun = np.maximum((trials // strata.folds) * strata.sizes / strata.pool_sizes, 1e-9)
        self.step_up = np.where(self.number > 0, begun / np.maximum(self.number // 2 * each, 1), np.nan)
        draw = np.random.default_rng(_DEAL_SEED)
        most = int(sweeps.max(initial=0)) + 2  # the sweeps under way belong to no part
        self._part = np.full((*sweeps.shape, most), -1)
        for fold, label in np.ndindex(*sweeps.shape):
            used = int(self.number[fold, label] * each[fold, label])
            dealt = draw.permutation(int(sweeps[fold, label]))[:used]
            self._part[fold, label, dealt] = np.arange(used) % max(int(self.number[fold, label]), 1)

    def of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The part that each trial belongs to, by class, int64 [T, K]; -1 for none."""
        fold = numbers % self._strata.folds
        classes = np.arange(len(self._strata.sizes))
        part: NDArray[np.int64] = self._part[fold[:, None], classes, self._strata.sweep(numbers)]
        return part


def halvings(parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to halve an even number of parts: the half that contains part 0."""
    for rest in itertools.combinations(range(1, parts), parts // 2 - 1):
        yield (0, *rest)


def centred(block: TrialBlock, trials: Trials) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outcomes without the level of their block of common initial weights.

    Args:
        block: of trials.
        trials: that it is part of.

    Returns:
        y - mean of the block, float64 [B, K], and the number of trials in each one's block, float64 [B].
        With two folds the trials of a block that draw from different ones are two blocks.
    """
    folds = trials.strata.folds
    keys = block.numbers // trials.common_init * folds + block.numbers % folds
    _, inverse, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), block.outcome.shape[1]))
    np.add.at(sums, inverse, block.outcome)
    return block.outcome - (sums / sizes[:, None])[inverse], sizes[inverse].astype(np.float64)


def comparable(trials: Trials) -> Iterator[TrialBlock]:
    """The trials in the dtypes to compute with, without those that have none to be compared with."""
    for block in trials.read():
        keep = np.ones(len(block.numbers), dtype=bool)
        if trials.common_init > 1:
            keep = centred(block, trials)[1] > 1
        if keep.any():
            yield TrialBlock(
                block.numbers[keep],
                block.members[keep].astype(np.int64),
                block.outcome[keep].astype(np.float64),
            )


def pool_of(strata: Strata, samples: int) -> NDArray[np.int64]:
    """Fold and class of every sample, int64 [2, N]."""
    pool = np.zeros((2, samples), dtype=np.int64)
    for fold, classes in enumerate(strata.pools):
        for label, members in enumerate(classes):
            pool[:, members] = [[fold], [label]]
    return pool
