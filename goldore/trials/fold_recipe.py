"""The recipe of a cross-validation: networks that are trained without a part of the training set each."""

import dataclasses
from typing import ClassVar

from goldore.errors import require
from goldore.trials.loss_recipe import LossRecipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoldRecipe(LossRecipe):
    """How a trial cross-validates: one network of it leaves a sample out, the others train on it.

    The classes are dealt out to the folds evenly, anew in every trial. All networks of a trial train on as
    many samples: in an epoch, those whose fold is smaller leave out one more at random. Scores look at the
    samples after the last `converge_epochs` epochs; `init_epochs` has no meaning here.

    Attributes:
        folds: parts of the training set, and networks of a trial, 2 or more.

    Raises:
        UsageError: if a value is outside its range.
    """

    title: ClassVar[str] = "cross-validations"
    unheeded: ClassVar[tuple[str, ...]] = ("init_epochs",)

    folds: int = 5

    def describe_networks(self) -> str:
        """See `LossRecipe.describe_networks`."""
        return f"{super().describe_networks()}, {self.folds} a trial, each trained without a fold"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.folds >= 2, f"`folds` is {self.folds}; it must be 2 or more.")  # noqa: PLR2004
