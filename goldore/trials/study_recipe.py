"""The recipe of a study: how its cells are distilled, and how the distilled images are judged."""

import dataclasses
import math
from typing import Literal, get_args

from goldore.errors import require
from goldore.networks.config import ConvNetConfig, NetworkConfig
from goldore.trials.recipe import Recipe

Distiller = Literal["dm", "dc", "none"]
DISTILLERS: tuple[Distiller, ...] = get_args(Distiller)
Start = Literal["real", "noise"]
AUGMENTATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchRecipe:
    """How synthetic images are made by matching real ones, on a fresh random network in every step.

    Attributes:
        match_steps: updates of the synthetic images.
        match_lr: learning rate of the synthetic images, SGD with momentum 0.5.
        per_image: whether the learning rate is multiplied by the images per class: the loss of a class is
            about the mean of its images, so that the gradient of one is smaller by as much.
        match_batch: real images of each class in a step; smaller kept sets are taken whole.
        start: synthetic images start as "real" ones of the kept set, or as "noise".

    Raises:
        UsageError: if a value is outside its range.
    """

    match_steps: int
    match_lr: float
    per_image: bool = True
    match_batch: int = 24
    start: Start = "real"

    def __post_init__(self) -> None:
        for field in ("match_steps", "match_batch"):
            value = getattr(self, field)
            require(value >= 1, f"`{field}` is {value}; it must be 1 or more.")
        require(0 < self.match_lr < math.inf, f"`match_lr` is {self.match_lr}; it must be above 0.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyRecipe(Recipe):
    """How the cells of a study are distilled and judged.

    The settings of `Recipe` are those of the networks that judge: they are trained on a cell's images, with
    momentum, weight decay, and a learning rate that falls to a tenth half way.

    Attributes:
        dm: distribution matching (Zhao & Bilen, arXiv 2110.04181).
        dc: gradient matching (Zhao et al., arXiv 2006.05929), in one step for every network.
        augment: strategies of differentiable augmentation, of which each step draws one; for dm and for the
            networks that judge.
        judges: networks that are trained on the images of a cell; its accuracy is the mean of theirs.
        judge_steps: optimiser steps of each.
        subset_steps: likewise where they are trained on the whole kept set.
        test_per_class: test images of each class that a network is judged by, drawn anew for each network and
            seed; None takes all.

    Raises:
        UsageError: if a value is outside its range.
    """

    dm: MatchRecipe
    dc: MatchRecipe
    augment: tuple[str, ...] = AUGMENTATIONS
    judges: int = 3
    judge_steps: int = 200
    subset_steps: int = 200
    test_per_class: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("judges", "judge_steps", "subset_steps", "test_per_class"):
            value = getattr(self, field)
            require(value is None or value >= 1, f"`{field}` is {value}; it must be 1 or more.")
        for name in self.augment:
            choices = ", ".join(AUGMENTATIONS)
            require(name in AUGMENTATIONS, f"`augment` names {name!r}; choose among {choices}, or none.")

    def match(self, distiller: str) -> MatchRecipe:
        """How a distiller makes synthetic images."""
        return self.dc if distiller == "dc" else self.dm


def _budget(width: int, **settings: object) -> StudyRecipe:
    network: NetworkConfig = ConvNetConfig(width=width)
    return StudyRecipe(network=network, **settings)  # type: ignore[arg-type]


PAPER = "paper"
"""The budget whose numbers are those of the methods' own repositories."""

BUDGETS: dict[str, StudyRecipe] = {
    "quick": _budget(
        32,
        lr=0.01,
        dm=MatchRecipe(match_steps=100, match_lr=5.0),
        dc=MatchRecipe(match_steps=60, match_lr=2.0, per_image=False, match_batch=8),
        judges=3,
        judge_steps=200,
        subset_steps=200,
        batch_size=64,
        test_per_class=100,
    ),
    "standard": _budget(
        64,
        lr=0.01,
        dm=MatchRecipe(match_steps=400, match_lr=5.0, match_batch=32),
        dc=MatchRecipe(match_steps=150, match_lr=2.0, per_image=False, match_batch=16),
        judges=5,
        judge_steps=300,
        subset_steps=1000,
        test_per_class=200,
    ),
    PAPER: _budget(
        128,
        dm=MatchRecipe(match_steps=20_000, match_lr=1.0, per_image=False, match_batch=256),
        dc=MatchRecipe(match_steps=1000, match_lr=0.1, per_image=False, match_batch=256, start="noise"),
        judges=20,
        judge_steps=1000,
        subset_steps=10_000,
    ),
}
