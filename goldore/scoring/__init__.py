"""Scoring: plan the trials, train those that are missing, keep each as soon as it is done.

`run.score` is the door; `loss` and `utility` are the stages, one for each kind of trial.
"""

from goldore.scoring.common import complete_recipe
from goldore.scoring.run import DEFAULT_TRIALS, score
from goldore.watching import Watcher

__all__ = ["DEFAULT_TRIALS", "Watcher", "complete_recipe", "score"]
