"""Trials: one training run each, decided by the base seed, its number and a recipe.

`seeds` has trials and their random streams, `draws` which samples a utility trial draws, `recipe` what all
recipes share; `loss_recipe`, `utility_recipe` and `study_recipe` are the kinds. A recipe is written word for
word into the file, and two trials may be averaged only if their recipes are equal.

May import: datasets, files, networks.
"""

from goldore.trials.loss_recipe import LossRecipe
from goldore.trials.recipe import Precision, Recipe
from goldore.trials.study_recipe import (
    AUGMENTATIONS,
    BUDGETS,
    DISTILLERS,
    PAPER,
    Distiller,
    MatchRecipe,
    StudyRecipe,
)
from goldore.trials.utility_recipe import (
    OUTCOMES,
    DistillMethod,
    DistillRecipe,
    EvalSplit,
    KernelRecipe,
    Outcome,
    UtilityRecipe,
)

__all__ = [
    "AUGMENTATIONS",
    "BUDGETS",
    "DISTILLERS",
    "OUTCOMES",
    "PAPER",
    "DistillMethod",
    "DistillRecipe",
    "Distiller",
    "EvalSplit",
    "KernelRecipe",
    "LossRecipe",
    "MatchRecipe",
    "Outcome",
    "Precision",
    "Recipe",
    "StudyRecipe",
    "UtilityRecipe",
]
