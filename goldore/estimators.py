"""From stored trials to scores: pure functions, no training, no files.

A loss score is the mean over trials. Beside each value stands its standard error, and beside each score how
far its ranking can be trusted:

* `reliability`, the intraclass correlation of the mean over T trials for consistency, ICC(C,T) of McGraw &
  Wong (1996, case 3A; Shrout & Fleiss' ICC(3,k), equal to Cronbach's alpha), within classes. A trial that
  makes every loss of a class larger changes no ranking in it, and this coefficient does not count it as
  error; the one-way form 1 - mean(se^2)/var(mean) does, and so understates.
* `rank_reliability`, the split-half Spearman correlation within classes, stepped up by Spearman-Brown
  2r/(1+r), averaged over random splits. Losses span six orders of magnitude; the intraclass correlation of
  their raw values is decided by the few hard samples, while keeping easy samples depends on the order of the
  many easy ones. Ranks weigh all alike.

Both need at least two trials; with one they are NaN, which means unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SPLITS = 20
_SPLIT_SEED = 0  # the splits are part of the estimator, not of the data: same trials, same numbers
RELIABILITY_METHOD = "ICC(C,T) over trials, within classes (McGraw & Wong 1996, case 3A)"
RANK_RELIABILITY_METHOD = (
    f"split-half Spearman within classes, Spearman-Brown 2r/(1+r), mean of up to {_SPLITS} random splits"
)


@dataclass(frozen=True)
class Estimate:
    """A score with its uncertainty.

    Attributes:
        values: mean over trials, float64 [N].
        stderr: standard error of the mean, std(ddof=1)/sqrt(T), float64 [N]; NaN for a single trial.
        trials: number of trials T.
        reliability: of the T-trial mean, at most 1; NaN if unknown.
        rank_reliability: of the ranking by the T-trial mean, at most 1; NaN if unknown.
        class_reliability: `reliability` of each class, float64 [K].
        class_rank_reliability: `rank_reliability` of each class, float64 [K].
    """

    values: NDArray[np.float64]
    stderr: NDArray[np.float64]
    trials: int
    reliability: float
    rank_reliability: float
    class_reliability: NDArray[np.float64]
    class_rank_reliability: NDArray[np.float64]


def mean_over_trials(observed: NDArray[np.float32], members: Sequence[NDArray[np.int64]]) -> Estimate:
    """Average a quantity over trials.

    Args:
        observed: [T, N], finite; T >= 1.
        members: the positions of each class's samples (`class_members`), K arrays that share out 0..N-1.

    Returns:
        The estimate.
    """
    trials, samples = observed.shape
    num_classes = len(members)
    values = np.empty(samples)
    stderr = np.full(samples, np.nan)
    between, within = np.zeros(num_classes), np.zeros(num_classes)  # mean squares
    freedom = np.zeros(num_classes)
    by_rank = np.full(num_classes, np.nan)
    counts = np.array([len(positions) for positions in members])
    splits = _splits(trials)
    for label, positions in enumerate(members):
        block = observed[:, positions].astype(np.float64)  # [T, n]
        values[positions] = block.mean(axis=0)
        if trials > 1:
            stderr[positions] = block.std(axis=0, ddof=1) / trials**0.5
        freedom[label] = max(len(positions) - 1, 0)
        between[label], within[label] = _mean_squares(block)
        by_rank[label] = _split_half(block, splits)
    known = freedom > 0
    pooled_between = _weighted(between[known], freedom[known])
    pooled_within = _weighted(within[known], freedom[known])
    ranked = np.isfinite(by_rank)
    return Estimate(
        values=values,
        stderr=stderr,
        trials=trials,
        reliability=_ratio(pooled_between, pooled_within),
        rank_reliability=_weighted(by_rank[ranked], counts[ranked]),
        class_reliability=np.array(
            [_ratio(row, error) for row, error in zip(between, within, strict=True)], dtype=np.float64
        ),
        class_rank_reliability=by_rank,
    )


def class_members(labels: NDArray[np.integer], num_classes: int) -> list[NDArray[np.int64]]:
    """Positions of each class's samples, ascending.

    Args:
        labels: [N], 0 to num_classes - 1.
        num_classes: K.

    Returns:
        K arrays of positions.
    """
    small = labels.astype(np.uint16) if num_classes <= 2**16 else labels  # 16 bits sort by radix
    order = np.argsort(small, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=num_classes))
    return np.split(order, ends[:-1])


def trials_needed(reliability: float, trials: int, target: float) -> float:
    """Trials at which the reliability reaches a target, by the Spearman-Brown formula.

    Args:
        reliability: measured with `trials` trials.
        trials: T >= 1.
        target: between 0 and 1.

    Returns:
        T * target * (1 - reliability) / (reliability * (1 - target)); NaN if the reliability is unknown,
        infinity if it is 0 or less.
    """
    if np.isnan(reliability):
        return float("nan")
    if reliability <= 0:
        return float("inf")
    return trials * target * (1 - reliability) / (reliability * (1 - target))


def _mean_squares(block: NDArray[np.float64]) -> tuple[float, float]:
    """Mean squares of a two-way layout [T, n] without replication: between samples, and residual."""
    trials, samples = block.shape
    if trials < 2 or samples < 2:  # noqa: PLR2004
        return np.nan, np.nan
    centred = block - block.mean(axis=1, keepdims=True)  # takes out each trial's own level
    mean = centred.mean(axis=0)
    between = trials * float(mean @ mean)
    residual = float(((centred - mean) ** 2).sum())
    return between / (samples - 1), residual / ((samples - 1) * (trials - 1))


def _ratio(between: float, within: float) -> float:
    return 1 - within / between if between > 0 else float("nan")


def _weighted(values: NDArray[np.float64], weights: NDArray[np.number]) -> float:
    return float(np.average(values, weights=weights)) if len(values) else float("nan")


def _splits(trials: int) -> list[NDArray[np.int64]]:
    """Orders of the trials; a split takes the first half against the second."""
    if trials < 2:  # noqa: PLR2004
        return []
    if trials == 2:  # noqa: PLR2004
        return [np.arange(2)]
    draw = np.random.default_rng(_SPLIT_SEED)
    return [draw.permutation(trials) for _ in range(_SPLITS)]


def _split_half(block: NDArray[np.float64], splits: list[NDArray[np.int64]]) -> float:
    trials, samples = block.shape
    half = trials // 2
    if not splits or samples < 2:  # noqa: PLR2004
        return float("nan")
    stepped = []
    for order in splits:
        first = block[order[:half]].mean(axis=0)
        second = block[order[half : 2 * half]].mean(axis=0)
        r = spearman(first, second)
        stepped.append(_spearman_brown(r, trials / half))
    return float(np.mean(stepped))


def _spearman_brown(r: float, factor: float) -> float:
    """Reliability of a test `factor` times as long; a negative r is left as it is."""
    return factor * r / (1 + (factor - 1) * r) if r > 0 else r


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's rank correlation of two lists, ties at their mean rank; NaN if one is constant."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(values)]
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return ranks
