"""What recipes share whose trials are evaluated on images of each class."""

import dataclasses
from typing import Literal, get_args

from goldore.errors import require
from goldore.trials.recipe import Recipe

EvalSplit = Literal["test", "heldout"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatedRecipe(Recipe):
    """How trials draw and are evaluated.

    Attributes:
        subset_per_class: samples of each class that a trial draws (k).
        eval_split: evaluate on the "test" split, or on "heldout" training samples: those of the half of the
            training set that is not drawn from.
        eval_per_class: evaluation images of each class, the first of the split; None takes all.

    Raises:
        UsageError: if a value is outside its range.
    """

    subset_per_class: int | None = None
    eval_split: EvalSplit = "test"
    eval_per_class: int | None = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("subset_per_class", "eval_per_class"):
            value = getattr(self, field)
            require(value is None or value >= 1, f"`{field}` is {value}; it must be 1 or more.")
        splits = get_args(EvalSplit)
        require(
            self.eval_split in splits, f"`eval_split` is {self.eval_split!r}; choose {' or '.join(splits)}."
        )

    @property
    def question(self) -> tuple[int | None, str, int | None]:
        """What its utility is about: samples drawn of each class, and the evaluation images."""
        return self.subset_per_class, self.eval_split, self.eval_per_class

    @property
    def folds(self) -> int:
        """Parts of the training set that are drawn from; 2 if the other one is evaluated on."""
        return 2 if self.eval_split == "heldout" else 1
