"""The ConvNet of the distillation literature, E of them computed together.

Activations are [B, E * channels, H, W]: network e owns the channels e * channels to (e + 1) * channels - 1.
In this layout every norm, activation and pooling of E networks is the ordinary operation on more channels;
the convolution has several ways (`goldore.networks.convolution`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from goldore.networks import fused
from goldore.networks.architecture import Architecture, Layout, Parameters, Running
from goldore.networks.config import NORM_GROUPS, ConvNetConfig, padded_size
from goldore.networks.convolution import CONVOLUTIONS, stacked_conv2d
from goldore.networks.layers import MOMENTUM, activate, instance_norm

# Of the plain network, written out apart from the stacked one that tests compare with it.
_NORMS: dict[str, Callable[[int, tuple[int, int]], nn.Module]] = {
    "instance": lambda width, _: nn.GroupNorm(width, width),
    "batch": lambda width, _: nn.BatchNorm2d(width),
    "layer": lambda width, size: nn.LayerNorm([width, *size]),
    "group": lambda width, _: nn.GroupNorm(4, width),
}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "swish": nn.SiLU,
}
_POOLINGS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


@dataclass(frozen=True)
class ConvNet(Architecture):
    """The ConvNet applied to images and classes; `config` has its depth filled in."""

    config: ConvNetConfig

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.config.depth or 0

    def block_size(self, block: int) -> tuple[int, int]:
        """Height and width inside a block, before its pooling; `block` may be `depth`: after the last one."""
        height, width = padded_size(*self.image_shape[1:])
        shift = 0 if self.config.pooling == "none" else block
        return height >> shift, width >> shift

    @property
    def features(self) -> int:
        """Inputs of the linear head."""
        return self.config.width * math.prod(self.block_size(self.depth))

    def body_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of the blocks."""
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
        return shapes

    def running_channels(self) -> tuple[int, ...]:
        """The width, for every block; batch norm alone reads and moves them."""
        return (self.config.width,) * self.depth

    def forward_operations(self) -> int:
        """Those of convolutions and head; norms left out."""
        channels, total = self.image_shape[0], 0
        for block in range(self.depth):
            total += math.prod(self.block_size(block)) * channels * 9 * self.config.width
            channels = self.config.width
        return 2 * (total + self.features * self.num_classes)

    def activations(self) -> int:
        """The outputs of the convolutions."""
        return self.config.width * sum(math.prod(self.block_size(block)) for block in range(self.depth))

    def layouts(self, *, one_operator: bool) -> list[Layout]:
        """Every convolution, with channels innermost too where the norm allows it, and fused blocks."""
        orders = [False, True] if self.config.norm in ("instance", "batch", "none") else [False]
        return [
            Layout(convolution, order, together)
            for together in ([False, True] if one_operator and self._fuses else [False])
            for order in orders
            for convolution in CONVOLUTIONS
        ]

    @property
    def _fuses(self) -> bool:
        return fused.supports(self.config.norm, self.config.pooling)

    def features_of(
        self, layout: Layout, parameters: Parameters, running: Running, images: Tensor, *, training: bool
    ) -> Tensor:
        """Compute the embeddings; see `Architecture.features_of`."""
        config = self.config
        size = len(parameters["head.bias"])
        x = images.contiguous(memory_format=torch.channels_last) if layout.channels_last else images
        for block in range(self.depth):
            weight = parameters[f"conv{block}.weight"].to(x.dtype)
            # Instance norm takes away every channel's mean, and the bias with it: adding it costs a pass.
            bias = None if config.norm == "instance" else parameters[f"conv{block}.bias"].to(x.dtype)
            x = stacked_conv2d(x, weight, bias, self._padding(block), layout.convolution)
            if layout.fused and self._fuses:
                x = _tail(config, parameters, running, x, block, training=training)
                continue
            x = _normed(config.norm, layout, parameters, running, x, block, training=training)
            x = activate(x, config.activation)
            if config.pooling == "avg":
                x = F.avg_pool2d(x, 2)
            elif config.pooling == "max":
                x = F.max_pool2d(x, 2)
        return x.reshape(len(x), size, -1).transpose(0, 1)  # [E, B, features]

    def _padding(self, block: int) -> int:
        """1, but 3 in the first block for 28x28 images, which makes them 32x32 (DatasetCondensation)."""
        size = self.image_shape[1:]
        return 3 if block == 0 and padded_size(*size) != size else 1

    def plain(self) -> nn.Sequential:
        """One ConvNet of ordinary modules."""
        config, channels = self.config, self.image_shape[0]
        network = nn.Sequential()
        for block in range(self.depth):
            padding = 3 if block == 0 and self.image_shape[1:] == (28, 28) else 1
            network.add_module(f"conv{block}", nn.Conv2d(channels, config.width, 3, padding=padding))
            if config.norm != "none":
                network.add_module(f"norm{block}", _NORMS[config.norm](config.width, self.block_size(block)))
            network.add_module(f"act{block}", _ACTIVATIONS[config.activation]())
            if config.pooling != "none":
                network.add_module(f"pool{block}", _POOLINGS[config.pooling](2))
            channels = config.width
        network.add_module("flatten", nn.Flatten())
        network.add_module("head", nn.Linear(self.features, self.num_classes))
        return network


def _tail(
    config: ConvNetConfig, parameters: Parameters, running: Running, x: Tensor, block: int, *, training: bool
) -> Tensor:
    """Norm, activation and pooling as one operator."""
    weight, bias = (parameters[f"norm{block}.{each}"].flatten() for each in ("weight", "bias"))
    kinds = {"norm": config.norm, "activation": config.activation}
    known = cast("tuple[Tensor, Tensor]", running[block])
    return fused.norm_act_pool(x, weight, bias, known, training=training, **kinds)


def _normed(
    kind: str,
    layout: Layout,
    parameters: Parameters,
    running: Running,
    x: Tensor,
    block: int,
    *,
    training: bool,
) -> Tensor:
    if kind == "none":
        return x
    weight, bias = (parameters[f"norm{block}.{each}"].to(x.dtype) for each in ("weight", "bias"))
    size = len(weight)
    if kind == "layer":  # over all of one network's channels and pixels, affine at every pixel
        return F.group_norm(x, size) * weight.flatten(0, 1) + bias.flatten(0, 1)
    if kind == "batch":
        mean, var = running[block]
        affine = weight.flatten().to(mean.dtype), bias.flatten().to(mean.dtype)
        return F.batch_norm(x, mean, var, *affine, training=training, momentum=MOMENTUM)
    if kind == "instance" and layout.channels_last:
        return instance_norm(x, weight.flatten(), bias.flatten())
    groups = NORM_GROUPS * size if kind == "group" else x.shape[1]
    return F.group_norm(x, groups, weight.flatten(), bias.flatten())
