"""The mean of a quantity over loss trials.

Beside each value stands its standard error, and beside each score how far its ranking can be trusted:

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

import numpy as np
from numpy.typing import NDArray

from goldore.scores.estimators.estimate import Estimate
from goldore.scores.estimators.reliability import spearman, spearman_brown, standard_error, weighted_mean

_SPLITS = 20
_SPLIT_SEED = 0  # the splits are part of the estimator, not of the data: same trials, same numbers
RELIABILITY_METHOD = "ICC(C,T) over trials, within classes (McGraw & Wong 1996, case 3A)"
RANK_RELIABILITY_METHOD = (
    f"split-half Spearman within classes, mean of up to {_SPLITS} random splits, Spearman-Brown 2r/(1+r)"
)


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
    pooled_between = weighted_mean(between[known], freedom[known])
    pooled_within = weighted_mean(within[known], freedom[known])
    ranked = np.isfinite(by_rank)
    class_reliability = np.array(
        [_ratio(row, error) for row, error in zip(between, within, strict=True)], dtype=np.float64
    )
    return Estimate(
        values=values,
        stderr=stderr,
        trials=trials,
        reliability=_ratio(pooled_between, pooled_within),
        rank_reliability=weighted_mean(by_rank[ranked], counts[ranked]),
        class_reliability=class_reliability,
        class_rank_reliability=by_rank,
        reliability_stderr=standard_error(class_reliability),
        rank_reliability_stderr=standard_error(by_rank),
        halves=_halves(observed),
    )


def _halves(observed: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Means over the even and over the odd trials, [2, N]."""
    if len(observed) < 2:  # noqa: PLR2004
        return None
    return np.stack([observed[half::2].mean(axis=0) for half in range(2)])


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
    correlations = [
        spearman(block[order[:half]].mean(axis=0), block[order[half : 2 * half]].mean(axis=0))
        for order in splits
    ]
    return spearman_brown(float(np.mean(correlations)), trials / half)
