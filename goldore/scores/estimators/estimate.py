"""A score with its uncertainty: what every estimator gives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldore.values import Value

UNRELIABLE = 0.3
"""Reliability below which a ranking is called mostly noise (docs/scores.md)."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Estimate(Value):
    """A score with its uncertainty. What is not known is NaN or None.

    Attributes:
        values: float64 [N]; NaN for samples without a score.
        stderr: standard errors of the values, float64 [N]; NaN where unknown.
        trials: number of trials T that the values rest on.
        reliability: share of the spread within classes that is not noise of the trials; at most 1.
        rank_reliability: of the ranking within classes, from halves of the trials; at most 1.
        class_reliability: `reliability` of each class, float64 [K].
        class_rank_reliability: `rank_reliability` of each class, float64 [K].
        reliability_stderr: standard error of `reliability`, from the spread of the classes' own.
        rank_reliability_stderr: likewise of `rank_reliability`.
        halves: the score from either half of the trials, float32 [2, N].
        counts: trials that contain the sample, int64 [N]; None where every trial counts for all samples.
        signal_share: utility only: share of an outcome's variance, for one class, that is due to which of its
            samples were drawn; 0..1.
        class_signal_share: `signal_share` of each class, float64 [K].
        explained: estimator "shrunk" only: share of the variance of in-minus-out that the prior predicts of
            samples it was not fitted to; where it is not above 0 nothing is shrunk.
    """

    values: NDArray[np.float64]
    stderr: NDArray[np.float64]
    trials: int
    reliability: float
    rank_reliability: float
    class_reliability: NDArray[np.float64]
    class_rank_reliability: NDArray[np.float64]
    reliability_stderr: float = float("nan")
    rank_reliability_stderr: float = float("nan")
    halves: NDArray[np.float32] | None = None
    counts: NDArray[np.int64] | None = None
    signal_share: float = float("nan")
    class_signal_share: NDArray[np.float64] | None = None
    explained: float = float("nan")

    @property
    def trust(self) -> float:
        """How far the ranking can be trusted: `rank_reliability`, or where that is unknown `reliability`."""
        return self.reliability if np.isnan(self.rank_reliability) else self.rank_reliability
