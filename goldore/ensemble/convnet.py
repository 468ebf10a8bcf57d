"""The stacked ConvNet: E independent networks of one architecture, computed together.

Every parameter is one tensor with a leading axis of E. Activations are [B, E * channels, H, W]: network e
owns the channels e * channels to (e + 1) * channels - 1. In this layout every norm, activation and pooling of
E networks is the ordinary operation on more channels; the convolution has several ways
(`goldore.ensemble.convolution`), and the linear head is a batched product. Networks never mix.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from goldore.ensemble import fused
from goldore.ensemble.convolution import Convolution, stacked_conv2d
from goldore.ensemble.counter_rng import uniform
from goldore.ensemble.layers import MOMENTUM, activate, instance_norm
from goldore.recipe import NORM_GROUPS, ConvNetConfig, padded_size
from goldore.trials import Stream, Trial


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

    def initial_bounds(self) -> dict[str, float]:
        """1/sqrt(fan-in), by name of the parameters that are drawn: those of convolutions and head."""
        shapes = self.parameter_shapes()
        layers = {name: name.split(".")[0] for name in shapes}
        return {
            name: 1 / math.sqrt(math.prod(shapes[f"{layer}.weight"][1:]))
            for name, layer in layers.items()
            if not layer.startswith("norm")
        }

    def num_parameters(self) -> int:
        """Trainable numbers of one network."""
        return sum(math.prod(shape) for shape in self.parameter_shapes().values())

    def forward_operations(self) -> int:
        """Floating-point operations of one image's forward pass, two a multiplication; norms left out."""
        channels, total = self.image_shape[0], 0
        for block in range(self.depth):
            total += math.prod(self.block_size(block)) * channels * 9 * self.config.width
            channels = self.config.width
        return 2 * (total + self.features * self.num_classes)

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
    bounds = architecture.initial_bounds()
    parameters: dict[str, np.ndarray] = {}
    for name, shape in architecture.parameter_shapes().items():
        if name in bounds:
            uniform_draw = 2 * draw.random(shape, dtype=np.float32) - 1
            parameters[name] = (uniform_draw * bounds[name]).astype(np.float32)
        else:
            fill = 1.0 if name.endswith("weight") else 0.0
            parameters[name] = np.full(shape, fill, dtype=np.float32)
    return parameters


@dataclass(frozen=True)
class Layout:
    """How the networks are computed; it changes no result beyond rounding.

    Attributes:
        convolution: see `goldore.ensemble.convolution`.
        channels_last: whether activations lie in memory with the channels innermost. Instance norm is then
            written out, since PyTorch's own would bring them back.
        fused: whether norm, activation and average pooling run as one operator, `goldore.ensemble.fused`.
    """

    convolution: Convolution = "grouped"
    channels_last: bool = False
    fused: bool = False


class StackedConvNet:
    """E networks of one architecture.

    Attributes:
        architecture: of each network.
        size: E.
        layout: how they are computed.
        parameters: trainable float32 tensors [E, ...] by name, as in `Architecture.parameter_shapes`.
        running: for batch norm, running mean and variance of each block, [E * width].
    """

    def __init__(
        self,
        architecture: Architecture,
        trials: Sequence[Trial],
        device: torch.device,
        layout: Layout | None = None,
    ) -> None:
        self.architecture = architecture
        self.size = len(trials)
        self.layout = layout or Layout()
        self.parameters: dict[str, Tensor] = {
            name: values.to(device).requires_grad_() for name, values in _drawn(architecture, trials).items()
        }
        channels = self.size * architecture.config.width
        self.running = [
            (torch.zeros(channels, device=device), torch.ones(channels, device=device))
            for _ in range(architecture.depth)
        ]

    @torch.no_grad()
    def restart(self, trials: Sequence[Trial]) -> None:
        """Start anew in the same memory, with the initial parameters of E other trials."""
        for name, values in _drawn(self.architecture, trials).items():
            self.parameters[name].copy_(values)
        for mean, variance in self.running:
            mean.zero_()
            variance.fill_(1)

    @torch.no_grad()
    def redraw(self, keys: Tensor) -> None:
        """Give every network other initial parameters, drawn where the networks are, in the same memory.

        The distribution is that of `draw_parameters`, the numbers are others: `goldore.ensemble.counter_rng`.
        Norms keep what they have, since distilling does not train them.

        Args:
            keys: int64 [E] on the device.
        """
        bounds = self.architecture.initial_bounds()
        drawn = [self.parameters[name] for name in bounds]
        sizes = [each[0].numel() for each in drawn]
        for target, bound, numbers in zip(
            drawn, bounds.values(), torch.split(uniform(keys, sum(sizes)), sizes, dim=1), strict=True
        ):
            target.copy_(((2 * numbers - 1) * bound).view_as(target))

    def __call__(self, images: Tensor, *, training: bool = False) -> Tensor:
        """Compute the logits of every network.

        Args:
            images: normalised images, float32 or bfloat16, which decides what is computed in;
                [B, E * C, H, W] gives each network its own batch, [B, C, H, W] the same batch to all (both
                are the same thing when E is 1).
            training: whether batch norm uses and updates the batch's statistics; other norms ignore it.

        Returns:
            Logits [E, B, K], the head in float32 at the least.
        """
        return logits_of(
            self.architecture, self.layout, self.parameters, self.running, images, training=training
        )

    def features(self, images: Tensor, *, training: bool = False) -> Tensor:
        """Compute what the linear heads get: the embeddings of the images.

        Args:
            images: as in `__call__`.
            training: as in `__call__`.

        Returns:
            In the images' type, [E, B, features].
        """
        return features_of(
            self.architecture, self.layout, self.parameters, self.running, images, training=training
        )


Parameters = Mapping[str, Tensor]
Running = Sequence[tuple[Tensor, Tensor]]


def logits_of(
    architecture: Architecture,
    layout: Layout,
    parameters: Parameters,
    running: Running,
    images: Tensor,
    *,
    training: bool,
) -> Tensor:
    """Compute logits as a function of the parameters (see `StackedConvNet`), so that it can be compiled."""
    features = features_of(architecture, layout, parameters, running, images, training=training)
    # In bf16 the two largest logits of up to one image in a hundred are equal, which looks like a mistake.
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    bias = parameters["head.bias"].to(features.dtype).unsqueeze(1)
    return torch.baddbmm(bias, features, parameters["head.weight"].to(features.dtype).transpose(1, 2))


def features_of(
    architecture: Architecture,
    layout: Layout,
    parameters: Parameters,
    running: Running,
    images: Tensor,
    *,
    training: bool,
) -> Tensor:
    """Compute embeddings as a function of the parameters (see `StackedConvNet`)."""
    config = architecture.config
    size = len(parameters["head.bias"])
    x = images.contiguous(memory_format=torch.channels_last) if layout.channels_last else images
    for block in range(architecture.depth):
        weight = parameters[f"conv{block}.weight"].to(x.dtype)
        # Instance norm takes away every channel's mean, and the bias with it: adding it costs a pass.
        bias = None if config.norm == "instance" else parameters[f"conv{block}.bias"].to(x.dtype)
        x = stacked_conv2d(x, weight, bias, _padding(architecture, block), layout.convolution)
        if layout.fused and fused.supports(config.norm, config.pooling):
            x = _tail(config, parameters, running, x, block, training=training)
            continue
        x = _normed(config.norm, layout, parameters, running, x, block, training=training)
        x = activate(x, config.activation)
        if config.pooling == "avg":
            x = F.avg_pool2d(x, 2)
        elif config.pooling == "max":
            x = F.max_pool2d(x, 2)
    return x.reshape(len(x), size, -1).transpose(0, 1)  # [E, B, features]


def _padding(architecture: Architecture, block: int) -> int:
    """1, but 3 in the first block for 28x28 images, which makes them 32x32 (DatasetCondensation)."""
    height, width = architecture.image_shape[1:]
    return 3 if block == 0 and padded_size(height, width) != (height, width) else 1


def _tail(
    config: ConvNetConfig, parameters: Parameters, running: Running, x: Tensor, block: int, *, training: bool
) -> Tensor:
    """Norm, activation and pooling as one operator."""
    weight, bias = (parameters[f"norm{block}.{each}"].flatten() for each in ("weight", "bias"))
    kinds = {"norm": config.norm, "activation": config.activation}
    return fused.norm_act_pool(x, weight, bias, running[block], training=training, **kinds)


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


def _drawn(architecture: Architecture, trials: Sequence[Trial]) -> dict[str, Tensor]:
    """Initial parameters of all trials, [E, ...] on the host."""
    drawn = [draw_parameters(architecture, trial) for trial in trials]
    return {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
