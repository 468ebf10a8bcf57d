"""The proxy network's configuration, part of every recipe."""

import dataclasses
import math
from typing import Literal, Self, get_args

from goldore.errors import UsageError
from goldore.recipe.checks import require

Norm = Literal["instance", "batch", "layer", "group", "none"]
Activation = Literal["relu", "leakyrelu", "sigmoid", "swish"]
Pooling = Literal["avg", "max", "none"]

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
        require(self.depth is None or self.depth >= 1, f"--depth is {self.depth}; it must be 1 or more.")
        require(self.width >= 1, f"--width is {self.width}; it must be 1 or more.")
        for field, allowed in (("norm", Norm), ("activation", Activation), ("pooling", Pooling)):
            value = getattr(self, field)
            options = get_args(allowed)
            require(value in options, f"--{field} is {value!r}; choose among {', '.join(options)}.")
        require(
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
