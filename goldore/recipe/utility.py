"""The recipe of a utility trial: training on a drawn subset, and an outcome for each class."""

import dataclasses
from typing import Literal, get_args

from goldore.recipe.base import Recipe
from goldore.recipe.checks import option, require

EvalSplit = Literal["test", "heldout"]
Outcome = Literal["accuracy", "logprob", "margin"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UtilityRecipe(Recipe):
    """How a utility trial draws, trains and is evaluated.

    Attributes:
        subset_per_class: samples of each class that a trial draws (k); a class with less than three times
            as many gives a third of its samples. None lets a pilot choose.
        steps: optimiser steps, with the whole subset in each if it has at most batch_size samples.
        eval_split: evaluate on the "test" split, or on "heldout" training samples: those of the half of the
            training set that the trial does not draw from.
        eval_per_class: evaluation images of each class, the first of the split; None takes all.
        common_init: so many consecutive trials start from the same initial weights and are compared within
            their block (common random numbers); 1 gives each trial weights of its own.

    Raises:
        UsageError: if a value is outside its range.
    """

    subset_per_class: int | None = None
    steps: int = 50
    eval_split: EvalSplit = "test"
    eval_per_class: int | None = 100
    common_init: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("subset_per_class", "steps", "eval_per_class", "common_init"):
            value = getattr(self, field)
            require(value is None or value >= 1, f"{option(field)} is {value}; it must be 1 or more.")
        splits = get_args(EvalSplit)
        require(
            self.eval_split in splits, f"--eval-split is {self.eval_split!r}; choose {' or '.join(splits)}."
        )

    @property
    def folds(self) -> int:
        """Parts of the training set that trials draw from in turn; 2 if they evaluate on training samples."""
        return 2 if self.eval_split == "heldout" else 1
