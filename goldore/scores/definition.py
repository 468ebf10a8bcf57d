"""What a row of the table of scores says."""

import operator
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from goldore.errors import UsageError, reason
from goldore.trials import LossRecipe

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from goldore.scores.predictions import Predictions
    from goldore.scores.recorders import Observer, Recorder

    Record = Callable[[int, int, Collection[int], torch.device], Recorder]

End = Literal["large", "small"]
WINDOW = 10  # epochs that scores of sliding windows look at together
_RESERVED = ("random", "rand", "all")  # criteria, and what --scores knows
# The other names in a score file are in lower case, so that no score can be taken for one of them.
_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")


@dataclass(frozen=True, kw_only=True)
class ScoreDefinition:
    """What a score is; all of it is written into the score file.

    Attributes:
        name: a capital letter, then letters and digits, for example "LossConverge".
        definition: one sentence.
        unit: of the values.
        drops: the end that its authors drop, "large" or "small".
        low: what a low value means.
        high: what a high value means.
        lowest: what the samples with the lowest values are, as a title.
        highest: what those with the highest values are.

    Raises:
        UsageError: if the name is no such name, or something else is no line of text.
    """

    name: str
    definition: str
    unit: str
    drops: End
    low: str = "low"
    high: str = "high"
    lowest: str = "lowest"
    highest: str = "highest"

    def __post_init__(self) -> None:
        for field, text in self.described().items():
            if not isinstance(text, str) or not text.isprintable():
                raise UsageError(f"the {field} of a score is {text!r}; it must be one line of text.")
        if not _NAME.fullmatch(self.name) or self.name.lower() in _RESERVED:
            raise UsageError(
                f"a score cannot be named {self.name!r}; start with a capital letter, then up to 63 letters "
                "and digits."
            )
        if self.drops not in get_args(End):
            raise UsageError(f"{self.name} drops {self.drops!r}; choose large or small.")

    @property
    def direction(self) -> str:
        """What a high and a low value mean."""
        return f"high = {self.high}, low = {self.low}"

    def described(self) -> dict[str, str]:
        """All that it says, as texts by field."""
        return {field.name: getattr(self, field.name) for field in fields(ScoreDefinition)}

    @classmethod
    def from_described(cls, texts: dict[str, Any]) -> Self:
        """Read back what `described` gave, from a newer goldore too.

        Raises:
            ValueError: if something is missing, or is no text.
        """
        known = {field.name: texts[field.name] for field in fields(ScoreDefinition) if field.name in texts}
        try:
            return cls(**known)
        except (TypeError, UsageError) as error:
            raise ValueError(f"a score is described wrongly: {error}") from error


@dataclass(frozen=True, kw_only=True)
class UtilityScore(ScoreDefinition):
    """A score that says what a sample does for evaluation images.

    Attributes:
        kind: of the trials that give it, as a score file calls them.
    """

    kind: str


@dataclass(frozen=True, kw_only=True)
class TrainingScore(ScoreDefinition):
    """A score that is recorded while networks train on the whole training set: one number per loss trial.

    Attributes:
        kind: of the trials that give it, as a score file calls them.
        epochs: of a recipe: the epochs, counted from 1, after which it looks at all samples.
        record: makes the recorder of a group of networks from their number, the number of samples, the epochs
            and the device; `mean_of` for a mean over these epochs.
    """

    kind: ClassVar[str] = "loss"
    epochs: Callable[[LossRecipe], Collection[int]]
    record: "Record"

    def window(self, recipe: LossRecipe) -> Sequence[int]:
        """The epochs after which it looks at all samples, ascending.

        Raises:
            UsageError: if it wants epochs that the recipe does not have, or none, or they cannot be told.
        """
        try:
            epochs = sorted({operator.index(epoch) for epoch in self.epochs(recipe)})
        except Exception as error:
            raise UsageError(
                f"the epochs of {self.name} cannot be told ({type(error).__name__}: {reason(error)}); give "
                "whole numbers."
            ) from error
        if not epochs or min(epochs) < 1 or max(epochs) > recipe.epochs:
            wanted = f"epochs {min(epochs)} to {max(epochs)}" if epochs else "no epoch"
            raise UsageError(
                f"{self.name} looks at {wanted} and a trial has {recipe.epochs}; change epochs, or leave the "
                "score out."
            )
        return epochs

    def observe(self, recipe: LossRecipe, networks: int, samples: int, device: "torch.device") -> "Observer":
        """Make what watches a group of networks train."""
        from goldore.scores.recorders import Observer

        epochs = self.window(recipe)
        return Observer(self.name, epochs, self.record(networks, samples, epochs, device))


@dataclass(frozen=True, kw_only=True)
class FoldScore(ScoreDefinition):
    """A score of cross-validations: one number per trial, of networks trained with and without a sample.

    Attributes:
        kind: of the trials that give it, as a score file calls them.
        quantity: of the `Predictions` of some samples, [E, B]; its mean over the last `converge_epochs`
            epochs counts.
        compared: whether it is that of the networks that trained on the sample, minus that of the one that
            did not; else the latter alone.
    """

    kind: ClassVar[str] = "fold"
    quantity: "Callable[[Predictions], Tensor]"
    compared: bool = False

    def window(self, recipe: LossRecipe) -> Sequence[int]:
        """The epochs after which it looks at all samples, ascending."""
        return recipe.converge_window

    def observe(self, recipe: LossRecipe, networks: int, samples: int, device: "torch.device") -> "Observer":
        """Make what watches a group of networks train."""
        from goldore.scores.recorders import Observer

        epochs = self.window(recipe)
        return Observer(self.name, epochs, mean_of(self.quantity)(networks, samples, epochs, device))

    def of_trial(self, values: "NDArray[np.float32]", folds: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """One trial's number for each sample.

        Args:
            values: of its networks, float32 [K, N].
            folds: the network that did not train on each sample, int64 [N].

        Returns:
            Float32 [N].
        """
        import numpy as np

        without: NDArray[np.float32] = np.take_along_axis(values, folds[None], axis=0)[0]
        if not self.compared:
            return without
        total = values.sum(axis=0, dtype=np.float64)
        compared: NDArray[np.float32] = (total - without) / (len(values) - 1) - without
        return compared.astype(np.float32)


def mean_of(quantity: "Callable[[Predictions], Tensor]") -> "Record":
    """Record the mean of a quantity over all epochs that a score looks at.

    Args:
        quantity: of the `Predictions` of some samples, [E, B].
    """

    def record(networks: int, samples: int, epochs: Collection[int], device: "torch.device") -> "Recorder":
        from goldore.scores.recorders import Mean

        return Mean(quantity, networks, samples, len(epochs), device)

    return record
