"""Recipes: everything that decides a trial's result besides its data and its seed.

A recipe is a frozen dataclass that is written word for word into the score file. Two trials may be averaged
only if their recipes are equal.
"""

from goldore.recipe.base import Precision, Recipe
from goldore.recipe.loss import LossRecipe
from goldore.recipe.network import (
    NORM_GROUPS,
    Activation,
    ConvNetConfig,
    Norm,
    Pooling,
    default_depth,
    padded_size,
)
from goldore.recipe.utility import (
    OUTCOMES,
    DistillMethod,
    DistillRecipe,
    EvalSplit,
    Outcome,
    UtilityRecipe,
)

__all__ = [
    "NORM_GROUPS",
    "OUTCOMES",
    "Activation",
    "ConvNetConfig",
    "DistillMethod",
    "DistillRecipe",
    "EvalSplit",
    "LossRecipe",
    "Norm",
    "Outcome",
    "Pooling",
    "Precision",
    "Recipe",
    "UtilityRecipe",
    "default_depth",
    "padded_size",
]
