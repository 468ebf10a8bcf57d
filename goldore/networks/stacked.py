"""E independent networks of one architecture, computed together.

Every parameter is one tensor with a leading axis of E; networks never mix. What they compute is the
architecture's; the linear head is a batched product.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from goldore.networks.architecture import Architecture, Layout, Parameters, Running
from goldore.networks.counter_rng import uniform


def draw_parameters(architecture: Architecture, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the initial parameters of a network (`Architecture` says how they are distributed).

    Drawn by NumPy on the host, so that every device starts from the same numbers.

    Args:
        architecture: of the network.
        draw: a trial's stream of weights.

    Returns:
        float32 arrays by name.
    """
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


class StackedNetworks:
    """E networks of one architecture.

    Args:
        architecture: of each network.
        draws: E of them, each trial's stream of weights (`draw_parameters`).
        device: to compute on.
        layout: how to compute; None: the plain one.

    Attributes:
        architecture: of each network.
        size: E.
        layout: how they are computed.
        parameters: trainable float32 tensors [E, ...] by name, as in `Architecture.parameter_shapes`.
        running: running mean and variance of each layer that keeps them, [E * channels].
    """

    def __init__(
        self,
        architecture: Architecture,
        draws: Sequence[np.random.Generator],
        device: torch.device,
        layout: Layout | None = None,
    ) -> None:
        self.architecture = architecture
        self.size = len(draws)
        self.layout = layout or Layout()
        self.parameters: dict[str, Tensor] = {
            name: values.to(device).requires_grad_() for name, values in _drawn(architecture, draws).items()
        }
        self.running = [
            (torch.zeros(self.size * each, device=device), torch.ones(self.size * each, device=device))
            for each in architecture.running_channels()
        ]

    @torch.no_grad()
    def restart(self, draws: Sequence[np.random.Generator]) -> None:
        """Start anew in the same memory, with other initial parameters."""
        for name, values in _drawn(self.architecture, draws).items():
            self.parameters[name].copy_(values)
        for mean, variance in self.running:
            mean.zero_()
            variance.fill_(1)

    @torch.no_grad()
    def redraw(self, keys: Tensor) -> None:
        """Give every network other initial parameters, drawn where the networks are, in the same memory.

        The distribution is that of `draw_parameters`, the numbers are others: `goldore.networks.counter_rng`.
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
        return self.architecture.features_of(
            self.layout, self.parameters, self.running, images, training=training
        )


def logits_of(
    architecture: Architecture,
    layout: Layout,
    parameters: Parameters,
    running: Running,
    images: Tensor,
    *,
    training: bool,
) -> Tensor:
    """Compute logits as a function of the parameters (see `StackedNetworks`), so that it can be compiled."""
    features = architecture.features_of(layout, parameters, running, images, training=training)
    # In bf16 the two largest logits of up to one image in a hundred are equal, which looks like a mistake.
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    bias = parameters["head.bias"].to(features.dtype).unsqueeze(1)
    return torch.baddbmm(bias, features, parameters["head.weight"].to(features.dtype).transpose(1, 2))


def _drawn(architecture: Architecture, draws: Sequence[np.random.Generator]) -> dict[str, Tensor]:
    """Initial parameters of all networks, [E, ...] on the host."""
    drawn = [draw_parameters(architecture, each) for each in draws]
    return {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
