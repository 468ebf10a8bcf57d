"""Trials: one training run each, decided by the base seed, its number and a recipe.

`seeds` has trials and their random streams, `draws` which samples a utility trial draws, `recipe` what all
recipes share; `loss_recipe` and `utility_recipe` are the two kinds. A recipe is written word for word into
the score file, and two trials may be averaged only if their recipes are equal.

May import: datasets, files, networks.
"""

from goldore.trials.loss_recipe import LossRecipe
from goldore.trials.recipe import Precision, Recipe
from goldore.trials.utility_recipe import (
    OUTCOMES,
    DistillMethod,
    DistillRecipe,
    EvalSplit,
    Outcome,
    UtilityRecipe,
)

__all__ = [
    "OUTCOMES",
    "DistillMethod",
    "DistillRecipe",
    "EvalSplit",
    "LossRecipe",
    "Outcome",
    "Precision",
    "Recipe",
    "UtilityRecipe",
]
