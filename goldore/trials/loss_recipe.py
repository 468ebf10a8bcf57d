"""The recipe of a loss trial."""

import dataclasses
import math
from typing import ClassVar, Literal, Self, get_args

from goldore.errors import require
from goldore.trials.recipe import Recipe
from goldore.trials.shuffling import Shuffle

LrSchedule = Literal["constant", "cosine"]
Augment = Literal["none", "flip-crop", "dsa"]
_WINDOW = 5  # epochs that a loss score averages unless told otherwise


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossRecipe(Recipe):
    """How a loss trial trains on the whole training set, and which epochs its scores average.

    A fresh order of the samples every epoch, the last short batch included. Labels are not smoothed, and
    samples are looked at without augmentation.

    Attributes:
        epochs: passes over the training set; LossConverge is read at their end.
        init_epochs: LossInit averages the losses after epochs 1..init_epochs; None means 5, or half of
            the epochs if that is less.
        converge_epochs: LossConverge averages the losses after the last converge_epochs epochs; None means
            5, or half of the epochs if that is less.
        lr_schedule: "constant", or "cosine": step t of T takes lr (1 + cos(pi t / T)) / 2, t = 0..T-1.
        augment: of the images that are trained on: "none"; "flip-crop", a horizontal flip of every other
            image and a move by up to an eighth of the side, at random; or "dsa", one strategy of
            differentiable siamese augmentation (arXiv 2102.08259) for each batch, with numbers for each
            image.
        shuffle: of an epoch's samples: "exact", or "blocks:BLOCK:WINDOW" (see
            `goldore.trials.shuffling.Shuffle`); None takes that of the file that is resumed, or "exact"
            unless the images are mapped from a disk and do not fit into memory.

    Raises:
        UsageError: if a value is outside its range.
    """

    title: ClassVar[str] = "loss trials"
    """What its trials are called."""

    epochs: int = 30
    init_epochs: int | None = None
    converge_epochs: int | None = None
    lr_schedule: LrSchedule = "constant"
    augment: Augment = "none"
    shuffle: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, choices in (("lr_schedule", get_args(LrSchedule)), ("augment", get_args(Augment))):
            value = getattr(self, field)
            require(value in choices, f"`{field}` is {value!r}; choose {' or '.join(choices)}.")
        if self.shuffle is not None:
            Shuffle.of(self.shuffle)
        for field in ("epochs", "init_epochs", "converge_epochs"):
            value = getattr(self, field)
            require(value is None or value >= 1, f"`{field}` is {value}; it must be 1 or more.")
        for field in ("init_epochs", "converge_epochs"):
            value = getattr(self, field)
            require(
                value is None or value <= self.epochs,
                f"`{field}` is {value} of {self.epochs} epochs; lower it or raise `epochs`.",
            )

    def describe_networks(self) -> str:
        """Those of a trial, in words."""
        return self.network.describe()

    def learning_rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, of so many."""
        return (
            self.lr
            if self.lr_schedule == "constant"
            else self.lr * (1 + math.cos(math.pi * step / steps)) / 2
        )

    def settled(self, shuffle: str | None = None) -> Self:
        """With windows as numbers; see `Recipe.settled`."""
        return dataclasses.replace(
            self,
            init_epochs=len(self.init_window),
            converge_epochs=len(self.converge_window),
            shuffle=self.shuffle or shuffle,
        )

    @property
    def init_window(self) -> range:
        """The epochs, counted from 1, whose losses make LossInit."""
        return range(1, (self.init_epochs or self._default_window) + 1)

    @property
    def converge_window(self) -> range:
        """The epochs, counted from 1, whose losses make LossConverge."""
        return range(self.epochs - (self.converge_epochs or self._default_window) + 1, self.epochs + 1)

    @property
    def _default_window(self) -> int:
        return max(1, min(_WINDOW, self.epochs // 2))
