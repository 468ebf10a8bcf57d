"""What callers say of each kind of trial, and under which names."""

from dataclasses import dataclass

from goldore.trials.fold_recipe import FoldRecipe
from goldore.trials.kernel_utility_recipe import KernelUtilityRecipe
from goldore.trials.loss_recipe import LossRecipe
from goldore.trials.recipe import Recipe
from goldore.trials.utility_recipe import UtilityRecipe


@dataclass(frozen=True)
class TrialArguments:
    """The arguments of `goldore.score` that are about one kind of trial.

    Attributes:
        usual: the recipe where none is given.
        recipe: the argument that gives another.
        number: the one that says how many trials the file shall hold in the end.
        block: trials that one agent of several takes together at the least: many where they are short.
    """

    usual: Recipe
    recipe: str
    number: str
    block: int = 1


ARGUMENTS: dict[str, TrialArguments] = {  # in the order in which a run trains them
    "kernel": TrialArguments(KernelUtilityRecipe(), "kernel_utility", "trials"),
    "loss": TrialArguments(LossRecipe(), "recipe", "trials"),
    "fold": TrialArguments(FoldRecipe(), "fold", "fold_trials"),
    "utility": TrialArguments(UtilityRecipe(), "utility", "utility_trials", block=200),
}
