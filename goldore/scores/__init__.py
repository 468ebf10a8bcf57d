"""The scores: what each one is, and how it is made of what networks show of the samples.

`table` has a row for each score, `dynamics` those that follow how samples are learned; `find_scores` finds
users' own rows too. `definition` says what a row is, `predictions` what a pass over the samples shows, and
`recorders` and `tracks` how passes become one number per sample and network; only these three import torch,
and only training imports them. `estimators/` makes scores of stored trials, with standard errors and
reliability.

May import: datasets, files, trials.
"""

from goldore.scores.columns import PREDICTED
from goldore.scores.definition import FoldScore, ScoreDefinition, TrainingScore, UtilityScore, mean_of
from goldore.scores.table import (
    DEFAULT_SCORES,
    FOLD_SCORES,
    KERNEL_UTILITY,
    LOSS_CONVERGE,
    LOSS_INIT,
    MONTE_CARLO,
    MONTE_CARLO_DEFINITIONS,
    SCORES,
    TRAINING_SCORES,
    UTILITY_UNITS,
    find_scores,
    kind_of,
    score_name,
)

__all__ = [
    "DEFAULT_SCORES",
    "FOLD_SCORES",
    "KERNEL_UTILITY",
    "LOSS_CONVERGE",
    "LOSS_INIT",
    "MONTE_CARLO",
    "MONTE_CARLO_DEFINITIONS",
    "PREDICTED",
    "SCORES",
    "TRAINING_SCORES",
    "UTILITY_UNITS",
    "FoldScore",
    "ScoreDefinition",
    "TrainingScore",
    "UtilityScore",
    "find_scores",
    "kind_of",
    "mean_of",
    "score_name",
]
