"""The recipe of the exact utility of nearest neighbours in the kernel of untrained networks."""

import dataclasses
from typing import ClassVar

from goldore.errors import require
from goldore.trials.evaluated_recipe import EvaluatedRecipe

MANY_IMAGES = 1000  # of each class, where nothing is trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelUtilityRecipe(EvaluatedRecipe):
    """How a trial of KernelUtility looks at the samples: a group of untrained networks and evaluation images.

    Of the settings of `Recipe` only network, mean, std and precision matter; nothing is trained.

    Attributes:
        subset_per_class: samples of each class that are thought to be drawn (k); None takes that of the file
            that is resumed, or 1.
        eval_per_class: evaluation images of each class, the first of the split; None takes all. By default
            more than those of a utility trial, since they cost little.
        networks: untrained ones of a group, whose embeddings stand side by side; None takes as many as give
            some thousand features, 1 to 16.

    Raises:
        UsageError: if a value is outside its range.
    """

    unheeded: ClassVar[tuple[str, ...]] = ("batch_size", "lr", "momentum", "weight_decay")

    eval_per_class: int | None = MANY_IMAGES
    networks: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.networks is None or self.networks >= 1,
            f"`networks` is {self.networks}; it must be 1 or more.",
        )

    @property
    def learning_rates(self) -> tuple[str, ...]:
        """None: nothing is trained."""
        return ()
