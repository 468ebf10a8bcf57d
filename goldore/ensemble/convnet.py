"""The stacked ConvNet: E independent networks of one architecture, computed together.

Every parameter is one tensor with a leading axis of E. Activations are [B, E * channels, H, W]: network e
owns the channels e * channels to (e + 1) * channels - 1. In this layout every norm, activation and pooling of
E networks is the ordinary operation on more channels, and a convolution is one with E groups; only the linear
head needs a batched product. Networks never mix.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from goldore.recipe import NORM_GROUPS, ConvNetConfig, padded_size
from goldore.trials import Stream, Trial

_LEAK = 0.01
_RUNNING_MOMENTUM = 0.1  # PyTorch's default for batch norm's running statistics


@dataclass(frozen=True)
class Architecture:
    """Shapes of one network: the configuration applied to images and classes.

    Attributes:
        config: with its depth filled in (`ConvNetConfig.for_images`).
        image_shape: channels, height and width of the images.
        num_classes: outputs of the head.
    """

    config: ConvNetConfig
    image_shape: tuple[int, int, int]
    num_classes: int

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.config.for_images(*self.image_shape[1:]).depth or 0

    def block_size(self, block: int) -> tuple[int, int]:
        """Height and width inside a block, before its pooling; `block` may be `depth`: after the last one."""
        height, width = padded_size(*self.image_shape[1:])
        shift = 0 if self.config.pooling == "none" else block
        return height >> shift, width >> shift

    @property
    def features(self) -> int:
        """Inputs of the linear head."""
        return self.config.width * math.prod(self.block_size(self.depth))

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of one network, by name, in the order in which they are drawn."""
        shapes: dict[str, tuple[int, ...]] = {}
        channels, width = self.image_shape[0], self.config.width
        for block in range(self.depth):
            shapes[f"conv{block}.weight"] = (width, channels, 3, 3)
            shapes[f"conv{block}.bias"] = (width,)
            if self.config.norm != "none":
                per_pixel = self.config.norm == "layer"
                shape = (width, *self.block_size(block)) if per_pixel else (width,)
                shapes[f"norm{block}.weight"] = shapes[f"norm{block}.bias"] = shape
            channels = width
        shapes["head.weight"] = (self.num_classes, self.features)
        shapes["head.bias"] = (self.num_classes,)
        return shapes

    def num_parameters(self) -> int:
        """Trainable numbers of one network."""
        return sum(math.prod(shape) for shape in self.parameter_shapes().values())

    def activation_bytes(self, batch_size: int) -> int:
        """Rough memory of one network's float32 activations in a training step, for choosing E."""
        per_block = (math.prod(self.block_size(block)) for block in range(self.depth))
        kept_per_block = 4  # outputs of convolution, norm and activation, and a gradient
        return 4 * batch_size * self.config.width * kept_per_block * sum(per_block)


def draw_parameters(architecture: Architecture, trial: Trial) -> dict[str, np.ndarray]:
    """Draw the initial parameters of a trial's network.

    PyTorch's default: weights and biases of convolutions and head uniform in +-1/sqrt(fan-in); norms start at
    weight 1 and bias 0. Drawn by NumPy on the host, so that every device starts from the same numbers.

    Args:
        architecture: of the network.
        trial: whose stream of weights is used.

    Returns:
        float32 arrays by name.
    """
    draw = trial.stream(Stream.WEIGHTS)
    parameters: dict[str, np.ndarray] = {}
    bound = 0.0
    for name, shape in architecture.parameter_shapes().items():
        layer, kind = name.split(".")
        if layer.startswith("norm"):
            fill = 1.0 if kind == "weight" else 0.0
            parameters[name] = np.full(shape, fill, dtype=np.float32)
            continue
        if kind == "weight":  # a layer's bias follows its weight and shares its bound
            bound = 1 / math.sqrt(math.prod(shape[1:]))
        parameters[name] = ((2 * draw.random(shape, dtype=np.float32) - 1) * bound).astype(np.float32)
    return parameters


class StackedConvNet:
    """E networks of one architecture.

    Attributes:
        architecture: of each network.
        size: E.
        parameters: trainable tensors [E, ...] by name, as in `Architecture.parameter_shapes`.
    """

    def __init__(self, architecture: Architecture, trials: Sequence[Trial], device: torch.device) -> None:
        self.architecture = architecture
        self.size = len(trials)
        drawn = [draw_parameters(architecture, trial) for trial in trials]
        self.parameters: dict[str, Tensor] = {
            name: torch.from_numpy(np.stack([each[name] for each in drawn])).to(device).requires_grad_()
            for name in drawn[0]
        }
        channels = self.size * architecture.config.width
        self._running = [
            (torch.zeros(channels, device=device), torch.ones(channels, device=device))
            for _ in range(architecture.depth)
        ]

    def __call__(self, images: Tensor, *, training: bool = False) -> Tensor:
        """Compute the logits of every network.

        Args:
            images: normalised float images; [B, E * C, H, W] gives each network its own batch, [B, C, H, W]
                the same batch to all (both are the same thing when E is 1).
            training: whether batch norm uses and updates the batch's statistics; other norms ignore it.

        Returns:
            Logits, float32 [E, B, K].
        """
        features = self.features(images, training=training)
        bias = self.parameters["head.bias"].unsqueeze(1)
        return torch.baddbmm(bias, features, self.parameters["head.weight"].transpose(1, 2))

    def features(self, images: Tensor, *, training: bool = False) -> Tensor:
        """Compute what the linear heads get: the embeddings of the images.

        Args:
            images: as in `__call__`.
            training: as in `__call__`.

        Returns:
            float32 [E, B, features].
        """
        config = self.architecture.config
        shared = images.shape[1] == self.architecture.image_shape[0]
        x = images
        for block in range(self.architecture.depth):
            weight = self.parameters[f"conv{block}.weight"].flatten(0, 1)
            bias = self.parameters[f"conv{block}.bias"].flatten()
            groups = 1 if shared and block == 0 else self.size
            x = F.conv2d(x, weight, bias, padding=self._padding(block), groups=groups)
            x = self._norm(x, block, training=training)
            x = _activate(x, config.activation)
            if config.pooling == "avg":
                x = F.avg_pool2d(x, 2)
            elif config.pooling == "max":
                x = F.max_pool2d(x, 2)
        return x.reshape(len(x), self.size, -1).transpose(0, 1)  # [E, B, features]

    def _padding(self, block: int) -> int:
        """1, but 3 in the first block for 28x28 images, which makes them 32x32 (DatasetCondensation)."""
        height, width = self.architecture.image_shape[1:]
        return 3 if block == 0 and padded_size(height, width) != (height, width) else 1

    def _norm(self, x: Tensor, block: int, *, training: bool) -> Tensor:
        kind = self.architecture.config.norm
        if kind == "none":
            return x
        weight, bias = self.parameters[f"norm{block}.weight"], self.parameters[f"norm{block}.bias"]
        if kind == "layer":  # over all of one network's channels and pixels, affine at every pixel
            normed = F.group_norm(x, self.size)
            return normed * weight.flatten(0, 1) + bias.flatten(0, 1)
        weight, bias = weight.flatten(), bias.flatten()
        if kind == "batch":
            mean, var = self._running[block]
            return F.batch_norm(x, mean, var, weight, bias, training=training, momentum=_RUNNING_MOMENTUM)
        groups = NORM_GROUPS * self.size if kind == "group" else x.shape[1]
        return F.group_norm(x, groups, weight, bias)


def _activate(x: Tensor, kind: str) -> Tensor:
    if kind == "relu":
        return F.relu(x)
    if kind == "leakyrelu":
        return F.leaky_relu(x, _LEAK)
    return torch.sigmoid(x) if kind == "sigmoid" else F.silu(x)
