"""From stored trials to scores: pure functions, no training, no files.

`loss.mean_over_trials` for loss trials, `utility.estimate_utility` for utility trials; both give an
`Estimate`. Beside each value stands its standard error, and beside each score how far its ranking can be
trusted.
"""

from goldore.datasets.classes import class_members
from goldore.scores.estimators.estimate import Estimate
from goldore.scores.estimators.mean import mean_over_trials
from goldore.scores.estimators.reliability import spearman, trials_needed

__all__ = ["Estimate", "class_members", "mean_over_trials", "spearman", "trials_needed"]
