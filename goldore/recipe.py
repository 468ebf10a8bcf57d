"""Recipes: everything that decides a trial's result besides its data and its seed.

A recipe is a frozen dataclass that is written word for word into the score file. Two trials may be averaged
only if their recipes are equal.
"""

import dataclasses
import json
import math
from typing import Any, Literal, Self, get_args

from goldore.errors import UsageError

Norm = Literal["instance", "batch", "layer", "group", "none"]
Activation = Literal["relu", "leakyrelu", "sigmoid", "swish"]
Pooling = Literal["avg", "max", "none"]

_WINDOW = 5  # epochs that a loss score averages unless told otherwise
NORM_GROUPS = 4  # of a group norm, as in DatasetCondensation


@dataclasses.dataclass(frozen=True)
class ConvNetConfig:
    """The proxy network: the ConvNet of the distillation literature (Gidaris & Komodakis; Zhao et al. 2020).

    `depth` blocks of [3x3 convolution, norm, activation, 2x2 pooling], then a linear head.

    Attributes:
        depth: number of blocks; None chooses by the image size (`default_depth`).
        width: channels of every block.
        norm: "instance" (per-channel, affine), "batch", "layer", "group" (4 groups) or "none".
        activation: "relu", "leakyrelu" (slope 0.01), "sigmoid" or "swish".
        pooling: "avg", "max" (both 2x2, stride 2) or "none".

    Raises:
        UsageError: if a value is outside its range.
    """

    depth: int | None = None
    width: int = 128
    norm: Norm = "instance"
    activation: Activation = "relu"
    pooling: Pooling = "avg"

    def __post_init__(self) -> None:
        _require(self.depth is None or self.depth >= 1, f"--depth is {self.depth}; it must be 1 or more.")
        _require(self.width >= 1, f"--width is {self.width}; it must be 1 or more.")
        for field, allowed in (("norm", Norm), ("activation", Activation), ("pooling", Pooling)):
            value = getattr(self, field)
            options = get_args(allowed)
            _require(value in options, f"--{field} is {value!r}; choose among {', '.join(options)}.")
        _require(
            self.norm != "group" or self.width % NORM_GROUPS == 0,
            f"--width is {self.width}; with --norm group it must be a multiple of {NORM_GROUPS}.",
        )

    def for_images(self, height: int, width: int) -> Self:
        """Fill in the depth for images of this size and check that pooling leaves at least one pixel.

        Args:
            height: of the images, in pixels.
            width: of the images, in pixels.

        Returns:
            The same configuration with `depth` a number.

        Raises:
            UsageError: if the images are too small for the depth.
        """
        depth = self.depth if self.depth is not None else default_depth(min(height, width))
        if height * width == 1 and self.norm != "none":
            raise UsageError("images of one pixel leave a norm nothing to average; use --norm none.")
        if self.pooling != "none" and min(padded_size(height, width)) >> depth < 1:
            raise UsageError(
                f"images of {height}x{width} pixels are too small for {depth} pooling blocks; "
                f"lower --depth or use --pooling none."
            )
        return dataclasses.replace(self, depth=depth)


def default_depth(side: int) -> int:
    """Blocks for images of this side: 3 up to 32 pixels, 4 at 64, 5 at 128, 6 from 224.

    Args:
        side: the shorter side in pixels; sizes in between take the nearest power of two.

    Returns:
        A depth from 3 to 6.
    """
    return min(6, max(3, round(math.log2(side)) - 2))


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Size after the first convolution: 28x28 images are padded to 32x32, as DatasetCondensation does."""
    return (32, 32) if (height, width) == (28, 28) else (height, width)


@dataclasses.dataclass(frozen=True)
class LossRecipe:
    """How a loss trial trains and which epochs its scores average.

    Stochastic gradient descent with momentum on the mean cross-entropy, constant learning rate, no
    augmentation, a fresh order of the samples every epoch, the last short batch included. The defaults of
    the optimiser are those with which DatasetCondensation trains the same ConvNet.

    Attributes:
        network: the proxy network.
        epochs: passes over the training set; LossConverge is read at their end.
        init_epochs: LossInit averages the losses after epochs 1..init_epochs; None means 5, or half of
            the epochs if that is less.
        converge_epochs: LossConverge averages the losses after the last converge_epochs epochs; None means
            5, or half of the epochs if that is less.
        batch_size: samples a step.
        lr: learning rate.
        momentum: 0 <= momentum < 1.
        weight_decay: coefficient of the squared norm's gradient, on all parameters.
        mean: per-channel mean that is subtracted from the images, scaled to 0..1; None takes the training
            set's own.
        std: per-channel standard deviation to divide by, scaled to 0..1; None takes the training set's own.

    Raises:
        UsageError: if a value is outside its range.
    """

    network: ConvNetConfig = dataclasses.field(default_factory=ConvNetConfig)
    epochs: int = 30
    init_epochs: int | None = None
    converge_epochs: int | None = None
    batch_size: int = 256
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for field in ("epochs", "init_epochs", "converge_epochs", "batch_size"):
            value = getattr(self, field)
            _require(value is None or value >= 1, f"{_option(field)} is {value}; it must be 1 or more.")
        for field in ("init_epochs", "converge_epochs"):
            value = getattr(self, field)
            _require(
                value is None or value <= self.epochs,
                f"{_option(field)} is {value} of {self.epochs} epochs; lower it or raise --epochs.",
            )
        _require(0 < self.lr < math.inf, f"--lr is {self.lr}; it must be above 0.")
        _require(0 <= self.momentum < 1, f"--momentum is {self.momentum}; it must be at least 0 and below 1.")
        _require(
            0 <= self.weight_decay < math.inf, f"--weight-decay is {self.weight_decay}; it must be 0 or more."
        )
        for field in ("mean", "std"):
            values = getattr(self, field)
            _require(
                values is None or all(math.isfinite(value) for value in values),
                f"--{field} must be finite numbers.",
            )
        _require(self.std is None or all(value > 0 for value in self.std), "--std must be above 0.")

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

    def to_json(self) -> str:
        """Give the recipe as one JSON object with sorted keys; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a recipe that `to_json` wrote.

        Args:
            text: a JSON object.

        Returns:
            The equal recipe.

        Raises:
            ValueError: if the text is not such an object.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            network = ConvNetConfig(**fields.pop("network"))
            for name in ("mean", "std"):
                if fields[name] is not None:
                    fields[name] = tuple(fields[name])
            return cls(network=network, **fields)
        except (KeyError, TypeError, AttributeError, UsageError) as error:
            raise ValueError(f"not a recipe: {error}") from error

    def differences(self, other: "LossRecipe") -> list[tuple[str, Any, Any]]:
        """List the settings in which two recipes differ: (name, mine, theirs)."""
        mine, theirs = _flat(dataclasses.asdict(self)), _flat(dataclasses.asdict(other))
        return [(key, mine[key], theirs[key]) for key in mine if mine[key] != theirs[key]]


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    network = fields.pop("network")
    return {**network, **fields}


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise UsageError(sentence)
