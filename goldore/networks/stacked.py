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


class StackedNetworks:
    """E networks of one architecture.

    Args:
        architecture: of each network.
        draws: E of them, each trial's stream of weights (`Architecture.drawn`).
        device: to compute on.
        layout: how to compute; None: the plain one.

    Attributes:
        architecture: of each network.
        size: E.
        layout: how they are computed.
        parameters: trainable float32 tensors [E, ...] by name, as in `Architecture.parameter_shapes`.
        running: what runs along in training, as `Architecture.fresh_running` gives it.
        device: that they are on.
    """

    def __init__(
        self,
        architecture: Architecture,
        draws: Sequence[np.random.Generator],
        device: torch.device,
        layout: Layout | None = None,
    ) -> None:
        self.architecture, self.device = architecture, device
        self.size = len(draws)
        self.layout = layout or Layout()
        frozen = architecture.frozen()
        self.parameters: dict[str, Tensor] = {
            name: values.to(device).requires_grad_(name not in frozen)
            for name, values in _drawn(architecture, draws).items()
        }
        self.running = architecture.fresh_running(self.size, device)

    @torch.no_grad()
    def restart(self, draws: Sequence[np.random.Generator]) -> None:
        """Start anew in the same memory, with other initial parameters."""
        for name, values in _drawn(self.architecture, draws).items():
            self.parameters[name].copy_(values)
        for mine, fresh in zip(
            self.running, self.architecture.fresh_running(self.size, self.device), strict=True
        ):
            for each, start in zip(mine, fresh, strict=True):
                each.copy_(start)

    @torch.no_grad()
    def redraw(self, keys: Tensor) -> None:
        """Give every network other initial parameters, drawn where the networks are, in the same memory.

        The distribution is that of `Architecture.drawn`, the numbers are others:
        `goldore.networks.counter_rng`. Norms keep what they have, since distilling does not train them.

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
    weight = parameters["head.weight"].to(features.dtype).transpose(1, 2)
    if "head.bias" not in parameters:
        return torch.bmm(features, weight)
    return torch.baddbmm(parameters["head.bias"].to(features.dtype).unsqueeze(1), features, weight)


def _drawn(architecture: Architecture, draws: Sequence[np.random.Generator]) -> dict[str, Tensor]:
    """Initial parameters of all networks, [E, ...] on the host."""
    drawn = [architecture.drawn(each) for each in draws]
    return {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
