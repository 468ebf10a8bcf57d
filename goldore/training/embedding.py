"""Embeddings of images by untrained networks."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks
from goldore.training.devices import abilities
from goldore.training.execution import TYPES, Execution, Function, features_function
from goldore.training.images import DeviceDataset, Images
from goldore.training.stepping import weight_draws
from goldore.trials import Recipe
from goldore.trials.seeds import Trial

_CPU_IMAGES, _CARD_IMAGES = 64, 2048  # times networks that pass through at once, as in scoring
_PASSES = 30  # by which norms of any usual momentum have settled
_SETTLING = 256  # images, at the most, from which norms take their running means


@torch.no_grad()
def embed(features: Function, networks: StackedNetworks, images: Tensor, size: int, *, fixed: bool) -> Tensor:
    """Embed images, some at a time.

    Args:
        features: of `features_function`.
        networks: E of them.
        images: normalised float32 [n, C, H, W].
        size: images at a time.
        fixed: whether they must always be as many: the function is compiled for one size.

    Returns:
        float32 [E, n, F].
    """
    count = len(images)
    if fixed and count % size:
        images = torch.cat([images, images[:1].expand(-count % size, *images.shape[1:])])
    parts = torch.split(images, size)
    return torch.cat([features(networks.parameters, networks.running, part) for part in parts], dim=1)[
        :, :count
    ]


class Untrained:
    """R untrained networks, and what they make of images.

    Args:
        data: images on their device.
        architecture: of the networks.
        recipe: for its precision.
        trials: R of them; each decides its network's weights.
        execution: how networks run.
    """

    def __init__(
        self,
        data: DeviceDataset,
        architecture: Architecture,
        recipe: Recipe,
        trials: Sequence[Trial],
        execution: Execution,
    ) -> None:
        self._data, self._fixed = data, execution.compiled
        self._networks = StackedNetworks(architecture, weight_draws(trials), data.device, execution.scoring)
        precision = recipe.precision or "float32"
        if self._networks.running:
            self._settle(TYPES[precision])
        self._embed = features_function(
            architecture, execution.scoring, precision, compiled=execution.compiled, device=data.device
        )
        images = _CARD_IMAGES if abilities(data.device).own_memory else _CPU_IMAGES
        self._size = max(1, images // len(trials))

    def of(
        self, images: Images, dtype: torch.dtype, tick: Callable[[float], None] = lambda _: None
    ) -> Tensor:
        """Embed images.

        Args:
            images: n of them.
            dtype: of the result.
            tick: told which share is done, 0..1.

        Returns:
            The embeddings of the R networks side by side, over sqrt(R), so that their products are means over
            the networks: [n, R * F] on the device.
        """
        count, networks = len(images), self._networks
        features = networks.size * networks.architecture.features
        found = torch.empty((count, features), dtype=dtype, device=self._data.device)
        for start in range(0, count, self._size):
            part = self._data.normalize(images.run(start, min(start + self._size, count)))
            embedded = embed(self._embed, self._networks, part, self._size, fixed=self._fixed)  # [R, B, F]
            side = embedded.transpose(0, 1).flatten(1) * len(embedded) ** -0.5
            found[start : start + len(part)] = side
            tick((start + len(part)) / count)
        return found

    @torch.no_grad()
    def _settle(self, dtype: torch.dtype) -> None:
        """Let norms with running means know images before they are used in eval mode."""
        count = len(self._data.images)
        rows = torch.arange(min(count, _SETTLING)) * count // min(count, _SETTLING)
        shown = self._data.normalize(self._data.images.take(rows.to(self._data.index_device))).to(dtype)
        momentum = self._networks.architecture.momentum
        if momentum is None:
            for _ in range(_PASSES):
                self._networks(shown, training=True)
            return
        known = [each for pair in self._networks.running for each in pair]
        for each in known:
            each.zero_()
        self._networks(shown, training=True)
        for each in known:
            each.div_(momentum)  # from nothing they have gone so far towards these images
