"""The recipe of a utility trial: training on a drawn subset, and an outcome for each class."""

import dataclasses
import math
from typing import Literal, get_args

from goldore.errors import require
from goldore.trials.evaluated_recipe import EvaluatedRecipe

DistillMethod = Literal["dc", "dm"]
_DISTILL_LR = {"dc": 0.1, "dm": 1.0}
KernelFit = Literal["descent", "ridge"]
Outcome = Literal["accuracy", "logprob", "margin"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillRecipe:
    """How the drawn subset is distilled into synthetic images before the network is trained on those.

    Attributes:
        method: "dc", gradient matching (Zhao et al., arXiv 2006.05929), or "dm", distribution matching
            (Zhao & Bilen, arXiv 2110.04181).
        distill_steps: updates of the synthetic images, each against a freshly drawn random network.
        distill_lr: learning rate of the synthetic images, SGD with momentum 0.5; None takes that of the
            method's paper, 0.1 for dc and 1 for dm.
        images_per_class: synthetic images of each class.
        real_batch: real images of each class in a step; smaller subsets are taken whole.

    Raises:
        UsageError: if a value is outside its range.
    """

    method: DistillMethod = "dm"
    distill_steps: int = 100
    distill_lr: float | None = None
    images_per_class: int = 1
    real_batch: int = 256

    def __post_init__(self) -> None:
        methods = get_args(DistillMethod)
        require(self.method in methods, f"`method` is {self.method!r}; choose {' or '.join(methods)}.")
        for field in ("distill_steps", "images_per_class", "real_batch"):
            value = getattr(self, field)
            require(value >= 1, f"`{field}` is {value}; it must be 1 or more.")
        require(
            self.distill_lr is None or 0 < self.distill_lr < math.inf,
            f"`distill_lr` is {self.distill_lr}; it must be above 0.",
        )

    @property
    def learning_rate(self) -> float:
        """`distill_lr`, or that of the method's paper."""
        return self.distill_lr or _DISTILL_LR[self.method]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelRecipe:
    """How a trial fits a linear head to features of untrained networks, in place of training a network.

    Attributes:
        fit: "descent", the optimiser's steps on the head alone, from zero and with the whole subset in each;
            or "ridge", kernel ridge regression of the classes.
        networks: untrained ones whose embeddings stand side by side; None takes as many as give some two
            thousand features, 2 to 16.
        ridge: what is added to the diagonal in a ridge regression, times the diagonal's mean; None takes 0.1.

    Raises:
        UsageError: if a value is outside its range.
    """

    fit: KernelFit = "descent"
    networks: int | None = None
    ridge: float | None = None

    def __post_init__(self) -> None:
        fits = get_args(KernelFit)
        require(self.fit in fits, f"`fit` is {self.fit!r}; choose {' or '.join(fits)}.")
        require(
            self.networks is None or self.networks >= 1,
            f"`networks` is {self.networks}; it must be 1 or more.",
        )
        require(
            self.ridge is None or self.fit == "ridge",
            "`ridge` is about a ridge regression; choose that as `fit`.",
        )
        require(
            self.ridge is None or 0 < self.ridge < math.inf, f"`ridge` is {self.ridge}; it must be above 0."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class UtilityRecipe(EvaluatedRecipe):
    """How a utility trial draws, trains and is evaluated.

    Attributes:
        subset_per_class: samples of each class that a trial draws (k); a class with less than three times
            as many gives a third of its samples. None lets a pilot choose.
        steps: optimiser steps, with the whole subset in each if it has at most batch_size samples.
        common_init: so many consecutive trials start from the same initial weights and are compared within
            their block (common random numbers); 1 gives each trial weights of its own.
        distill: None trains on the drawn samples themselves; else they are distilled first, as in the
            trials of the paper.
        kernel: None trains networks; else a trial fits a head to features of untrained ones. Evaluation then
            costs little: the command line takes 1,000 images of each class (`eval_per_class`), not 100.

    Raises:
        UsageError: if a value is outside its range, or two exclude each other.
    """

    steps: int = 50
    common_init: int = 1
    distill: DistillRecipe | None = None
    kernel: KernelRecipe | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel is not None:
            require(self.distill is None, "a trial is distilled or a kernel trial, not both.")
            require(
                self.common_init == 1,
                "kernel trials all share their untrained networks; leave `common_init` out.",
            )
        for field in ("steps", "common_init"):
            value = getattr(self, field)
            require(value >= 1, f"`{field}` is {value}; it must be 1 or more.")

    @property
    def learning_rates(self) -> tuple[str, ...]:
        """Names of the settings to lower if trainings diverge, `lr` first."""
        return ("lr",) if self.distill is None else ("lr", "distill_lr")

    @property
    def trains_networks(self) -> bool:
        """Whether a trial trains a network on the drawn samples themselves."""
        return self.distill is None and self.kernel is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckRecipe(UtilityRecipe):
    """How trials train that tell how well a utility without training agrees with a trained one.

    Attributes:
        pool_per_class: samples of each class (and half, with eval_split "heldout") that they draw from, so
            that some hundred trials draw each of them several times; None is filled in from the number of
            trials.

    Raises:
        UsageError: if a value is outside its range, or networks are not trained.
    """

    pool_per_class: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.trains_networks, "trials to compare with train networks; leave distill and kernel out.")
        require(
            self.pool_per_class is None or self.pool_per_class >= 1,
            f"the pool of a class is {self.pool_per_class} samples; it must be 1 or more.",
        )
