"""What a family of proxy networks is to those who train and score with it.

E networks of one architecture are computed together: every parameter is one tensor with a leading axis of E.
A family says what its parameters are, how images become features, and what that costs; the linear head on the
features, the drawing of parameters and all of training are the same for every family.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goldore.networks.convolution import Convolution
from goldore.networks.layers import MOMENTUM

Parameters = Mapping[str, Tensor]
Running = Sequence[tuple[Tensor, ...]]
_KEPT = 4  # numbers that a training step keeps of an activation: a block's layers, and a gradient


@dataclass(frozen=True)
class Layout:
    """How E networks are computed; it changes no result beyond rounding.

    Attributes:
        convolution: see `goldore.networks.convolution`.
        channels_last: whether activations lie in memory with the channels innermost. Instance norm is then
            written out, since PyTorch's own would bring them back.
        fused: whether norm, activation and average pooling run as one operator, `goldore.networks.fused`.
    """

    convolution: Convolution = "grouped"
    channels_last: bool = False
    fused: bool = False


@dataclass(frozen=True)
class Architecture(ABC):
    """Shapes of one network, and how E of them are computed: settings applied to images and classes.

    Parameters are named "<layer>.weight" and "<layer>.bias". The last layer is the linear "head"; those whose
    name begins with "norm" start at weight 1 and bias 0, the others uniform in +-1/sqrt(fan-in), PyTorch's
    default.

    Attributes:
        config: settings of the family, a `NetworkConfig` with everything filled in.
        image_shape: channels, height and width of the images.
        num_classes: outputs of the head.
    """

    config: Any
    image_shape: tuple[int, int, int]
    num_classes: int

    @property
    @abstractmethod
    def features(self) -> int:
        """Inputs of the linear head."""

    @abstractmethod
    def body_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter but the head's, by name, in the order in which they are drawn."""

    @abstractmethod
    def features_of(
        self, layout: Layout, parameters: Parameters, running: Running, images: Tensor, *, training: bool
    ) -> Tensor:
        """Compute what the heads of E networks get, as a function that can be compiled.

        Args:
            layout: how, one of `layouts`.
            parameters: [E, ...] by name.
            running: as in `running_channels`, updated in place where training.
            images: normalised, float32 or bfloat16, which decides what is computed in; [B, E * C, H, W] gives
                each network its own batch, [B, C, H, W] the same batch to all.
            training: whether the batch's statistics are used and kept.

        Returns:
            In the images' type, [E, B, features].
        """

    @abstractmethod
    def forward_operations(self) -> int:
        """Floating-point operations of one image's forward pass, two a multiplication."""

    @abstractmethod
    def activations(self) -> int:
        """Numbers that the layers of one network give for one image, for estimates of time and memory."""

    @abstractmethod
    def plain(self) -> nn.Module:
        """One network of ordinary modules, its children named as the parameters: what tests compare with."""

    def drawn(self, draw: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the initial parameters of a network, by NumPy on the host: every device starts from the same.

        Args:
            draw: a trial's stream of weights.

        Returns:
            float32 arrays by name.
        """
        bounds = self.initial_bounds()
        parameters: dict[str, np.ndarray] = {}
        for name, shape in self.parameter_shapes().items():
            if name in bounds:
                uniform_draw = 2 * draw.random(shape, dtype=np.float32) - 1
                parameters[name] = (uniform_draw * bounds[name]).astype(np.float32)
            else:
                fill = 1.0 if name.endswith("weight") else 0.0
                parameters[name] = np.full(shape, fill, dtype=np.float32)
        return parameters

    def fresh_running(self, size: int, device: torch.device) -> list[tuple[Tensor, ...]]:
        """What runs along in the training of so many networks, as it is before: means 0, variances 1.

        Returns:
            For each layer that keeps them a mean and a variance, [size * channels].
        """
        return [
            (torch.zeros(size * each, device=device), torch.ones(size * each, device=device))
            for each in self.running_channels()
        ]

    def frozen(self) -> set[str]:
        """Names of parameters that are not trained."""
        return set()

    def check_batch(self, size: int) -> None:
        """See that networks can train on a last batch of this size, 0 for none.

        Raises:
            UsageError: if they cannot.
        """
        del size

    def begin(self, seed: int) -> None:
        """Called before trials train together, with the first one's seed: layers may draw random numbers."""
        del seed

    @property
    def momentum(self) -> float | None:
        """By how much what runs along moves towards a batch; None where that is not known."""
        return MOMENTUM

    def running_channels(self) -> tuple[int, ...]:
        """Channels whose mean and variance run along in training, for each layer that keeps them."""
        return ()

    def layouts(self, *, one_operator: bool) -> list[Layout]:
        """The ways to compute these networks, the plain one first.

        Args:
            one_operator: whether the device has operators for tails of blocks (`goldore.networks.fused`).
        """
        del one_operator
        return [Layout()]

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of one network, by name, in the order in which they are drawn."""
        head = {"head.weight": (self.num_classes, self.features), "head.bias": (self.num_classes,)}
        return self.body_shapes() | head

    def initial_bounds(self) -> dict[str, float]:
        """1/sqrt(fan-in), by name of the parameters that are drawn: all but those of norms."""
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

    def activation_bytes(self, batch_size: int) -> int:
        """Rough memory of one network's float32 activations in a training step, for choosing E."""
        return 4 * batch_size * _KEPT * self.activations()
