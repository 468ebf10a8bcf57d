"""Trials: one training run each, decided by the base seed, its number and a recipe.

`seeds` has trials and their random streams, `draws` which samples a utility trial draws, `recipe` and
`evaluated_recipe` what recipes share; `loss_recipe`, `fold_recipe`, `utility_recipe`, `kernel_utility_recipe`
and `study_recipe` are the kinds, `arguments` what callers say of each. A recipe is written word for word into
the file, and two trials may be averaged only if their recipes are equal.

May import: datasets, files, networks.
"""

from goldore.trials.arguments import ARGUMENTS
from goldore.trials.evaluated_recipe import EvalSplit, EvaluatedRecipe
from goldore.trials.fold_recipe import FoldRecipe
from goldore.trials.kernel_utility_recipe import MANY_IMAGES, KernelUtilityRecipe
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
    CheckRecipe,
    DistillMethod,
    DistillRecipe,
    KernelRecipe,
    Outcome,
    UtilityRecipe,
)

__all__ = [
    "ARGUMENTS",
    "AUGMENTATIONS",
    "BUDGETS",
    "DISTILLERS",
    "MANY_IMAGES",
    "OUTCOMES",
    "PAPER",
    "CheckRecipe",
    "DistillMethod",
    "DistillRecipe",
    "Distiller",
    "EvalSplit",
    "EvaluatedRecipe",
    "FoldRecipe",
    "KernelRecipe",
    "KernelUtilityRecipe",
    "LossRecipe",
    "MatchRecipe",
    "Outcome",
    "Precision",
    "Recipe",
    "StudyRecipe",
    "UtilityRecipe",
]
