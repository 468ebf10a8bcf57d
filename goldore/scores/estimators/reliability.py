"""Arithmetic of reliabilities and ranks that the estimators share."""

import numpy as np
from numpy.typing import NDArray


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


def spearman_brown(r: float, factor: float) -> float:
    """Reliability of a test `factor` times as long.

    A negative r, which only noise gives, is stepped down as a positive one is stepped up: the mean over
    classes of nothing but noise is then 0.
    """
    return factor * r / (1 + (factor - 1) * abs(r))


def standard_error(per_class: NDArray[np.float64]) -> float:
    """Standard error of a mean over classes from their spread; NaN for less than two known values."""
    known = per_class[np.isfinite(per_class)]
    return float(known.std(ddof=1) / len(known) ** 0.5) if len(known) > 1 else float("nan")


def weighted_mean(values: NDArray[np.float64], weights: NDArray[np.number]) -> float:
    """Mean with weights; NaN of nothing."""
    return float(np.average(values, weights=weights)) if len(values) else float("nan")


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two lists, ties at their mean rank; NaN if one is constant."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def ranks_of(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks within each row, ties at their mean rank, [R, n]."""
    return np.stack([_ranks(row) for row in values])


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(values)]
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return ranks
