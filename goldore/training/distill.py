"""Distilling E subsets at once: a few synthetic images of each class that stand for the drawn samples.

Two methods, written from their papers, both with a freshly drawn random network in every step:

* gradient matching, "dc" (Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", arXiv
  2006.05929): class by class, the gradients of the loss on synthetic images are pulled towards those on real
  ones. The distance of two layers is the sum over output nodes of 1 - cos between the gradients of the
  weights that lead to a node (their equation 9); biases and norms have no such weights and are left out.
* distribution matching, "dm" (Zhao & Bilen, "Dataset Condensation with Distribution Matching", arXiv
  2110.04181): class by class, the mean embedding of synthetic images, before the head, is pulled towards that
  of real ones by the squared Euclidean distance (their equation 6), without their augmentation.

A synthetic image starts as the mean of a share of its class's samples, so that no sample has a special place.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks
from goldore.training.devices import abilities
from goldore.training.graphs import Replayed
from goldore.training.images import DeviceDataset, to_device
from goldore.trials import DistillRecipe
from goldore.trials.seeds import Stream, Trial

_MOMENTUM = 0.5  # of the synthetic images' optimiser, as in both papers' code
_MAX_KEY = 2**63 - 1
_SHORTEST = 1e-6  # product of two gradients' lengths that an angle is computed of
REAL_AT_ONCE = 256  # real images that one network embeds at once, if a class has no more


class Distiller:
    """Makes synthetic images from each trial's subset, group after group.

    Networks, images and CUDA graph of one group are used again for the next of the same shape.

    Args:
        data: the training set on its device.
        architecture: of the random networks.
        recipe: method, steps, learning rate, images of each class.
        graph: whether steps are replayed as a CUDA graph.
    """

    def __init__(
        self, data: DeviceDataset, architecture: Architecture, recipe: DistillRecipe, *, graph: bool = False
    ) -> None:
        self._data, self._architecture, self._recipe = data, architecture, recipe
        self._graph = graph and abilities(data.device).graphs
        self._group: _Group | None = None

    def __call__(
        self, trials: Sequence[Trial], members: NDArray[np.integer], sizes: NDArray[np.integer]
    ) -> tuple[Tensor, Tensor]:
        """Distil the subsets of a group of trials.

        Args:
            trials: E of them; each decides its random networks and, for large subsets, the real batches.
            members: positions of each trial's subset, [E, S], class by class.
            sizes: samples of each class in a subset, [K]; they sum to S.

        Returns:
            Normalised images, float32 [K * ipc, E, C, H, W], and their labels, int64 [K * ipc].
        """
        device, recipe = self._data.device, self._recipe
        real = [
            self._data.normalize(
                self._data.images.take(to_device(part.T.astype(np.int64), self._data.index_device))
            )  # [n, E, C, H, W]
            for part in np.split(np.asarray(members), np.cumsum(sizes)[:-1], axis=1)
        ]
        if self._group is None or not self._group.holds(real):
            self._group = None  # its memory first
            self._group = _Group(self._architecture, recipe, real, graph=self._graph)
        else:
            self._group.restart(real)
        streams = [trial.stream(Stream.DISTILL) for trial in trials]
        keys = np.stack([stream.integers(_MAX_KEY, size=recipe.distill_steps) for stream in streams], axis=1)
        rows = _rows_of_batches(streams, [len(part) for part in real], recipe)
        steps = zip(to_device(keys, device), *(to_device(each, device) for each in rows), strict=True)
        for step in steps:
            self._group.step(*step)
        labels = torch.arange(len(sizes), device=device).repeat_interleave(recipe.images_per_class)
        return self._group.synthetic.clone(), labels


class _Group:
    """The tensors of one group: random networks, real and synthetic images.

    Args:
        architecture: of the networks.
        recipe: of the distillation.
        real: normalised images of each class, [n, E, C, H, W].
        graph: whether steps are replayed as a CUDA graph.

    Attributes:
        synthetic: float32 [K * ipc, E, C, H, W].
    """

    def __init__(
        self, architecture: Architecture, recipe: DistillRecipe, real: Sequence[Tensor], *, graph: bool
    ) -> None:
        device, size = real[0].device, real[0].shape[1]
        self._recipe, self._real = recipe, list(real)
        self._networks = StackedNetworks(
            architecture, [np.random.default_rng(0) for _ in range(size)], device
        )
        self.synthetic = self._start(real)
        self._velocity = torch.zeros_like(self.synthetic)
        changed = [*self._networks.parameters.values(), self.synthetic, self._velocity]
        self._replayed = Replayed(changed, device) if graph else None

    def holds(self, real: Sequence[Tensor]) -> bool:
        """Whether these images have the shapes of the group's."""
        return [each.shape for each in real] == [each.shape for each in self._real]

    def restart(self, real: Sequence[Tensor]) -> None:
        """Start anew with other images of the same shapes, in the same memory."""
        for fixed, each in zip(self._real, real, strict=True):
            fixed.copy_(each)
        self.synthetic.copy_(self._start(real))
        self._velocity.zero_()

    def step(self, keys: Tensor, *rows: Tensor) -> None:
        """Update the synthetic images once.

        Args:
            keys: of the random networks, int64 [E].
            rows: of the batch of each class that is larger than a batch, int64 [B, E].
        """
        if self._replayed is not None:
            self._replayed(self._step, keys, *rows)
        else:
            self._step(keys, *rows)

    def _step(self, keys: Tensor, *rows: Tensor) -> None:
        recipe, left = self._recipe, iter(rows)
        self._networks.redraw(keys)
        each = torch.arange(self._networks.size, device=keys.device)
        batches = [part if len(part) <= recipe.real_batch else part[next(left), each] for part in self._real]
        match = _match_gradients if recipe.method == "dc" else _match_distributions
        gradient = match(self._networks, batches, self.synthetic, recipe.images_per_class)
        self._velocity.mul_(_MOMENTUM).add_(gradient)
        self.synthetic.sub_(self._velocity, alpha=recipe.learning_rate)

    def _start(self, real: Sequence[Tensor]) -> Tensor:
        return torch.cat([_starts(part, self._recipe.images_per_class) for part in real])


def _rows_of_batches(
    streams: Sequence[np.random.Generator], sizes: Sequence[int], recipe: DistillRecipe
) -> list[NDArray[np.int64]]:
    """Rows of every step's batch without replacement, int64 [steps, B, E], of each class that is larger."""
    batch, steps = recipe.real_batch, range(recipe.distill_steps)
    return [
        np.stack([[stream.choice(size, batch, replace=False) for stream in streams] for _ in steps]).swapaxes(
            1, 2
        )
        for size in sizes
        if size > batch
    ]


def _starts(images: Tensor, count: int) -> Tensor:
    """Means of `count` shares of the images [n, E, ...]; of all of them where there are too few."""
    if len(images) < count:
        return images.mean(0, keepdim=True).expand(count, *images.shape[1:])
    return torch.stack([part.mean(0) for part in torch.tensor_split(images, count)])


def _match_distributions(
    networks: StackedNetworks, real: Sequence[Tensor], synthetic: Tensor, count: int
) -> Tensor:
    """Give the synthetic images' gradient of the squared distance between mean embeddings."""
    sizes = [len(part) for part in real]
    targets = torch.cat(list(_mean_embeddings(networks, real)), dim=1)  # [E, K, F]
    images = synthetic.detach().requires_grad_()
    made = networks.features(images.flatten(1, 2))  # [E, K * ipc, F]
    means = made.view(networks.size, len(sizes), count, -1).mean(2)
    return torch.autograd.grad(((means - targets) ** 2).sum(), images)[0]


@torch.no_grad()
def _mean_embeddings(networks: StackedNetworks, real: Sequence[Tensor]) -> Iterator[Tensor]:
    """Mean embedding of each class's images [n, E, ...], some classes at a time, each [E, classes, F]."""
    for some in _some_at_once(real):
        features = networks.features(torch.cat(some).flatten(1, 2))  # [E, S, F]
        each = torch.split(features, [len(images) for images in some], dim=1)
        yield torch.stack([embedded.mean(1) for embedded in each], dim=1)


def _some_at_once(real: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    some: list[Tensor] = []
    for part in real:
        if some and sum(map(len, some)) + len(part) > REAL_AT_ONCE:
            yield some
            some = []
        some.append(part)
    yield some


def _match_gradients(
    networks: StackedNetworks, real: Sequence[Tensor], synthetic: Tensor, count: int
) -> Tensor:
    """Give the synthetic images' gradient of the distance between gradients, class by class."""
    weights = [networks.parameters[name] for name in matched_weights(networks)]
    found: list[Tensor] = []
    for label, images in enumerate(real):
        wanted = torch.autograd.grad(_loss(networks, images, label), weights)
        own = synthetic[label * count : (label + 1) * count].detach().requires_grad_()
        given = torch.autograd.grad(_loss(networks, own, label), weights, create_graph=True)
        distances = [gradient_distance(*pair) for pair in zip(given, wanted, strict=True)]
        found += torch.autograd.grad(torch.stack(distances).sum(), own)
    return torch.cat(found)


def matched_weights(networks: StackedNetworks) -> list[str]:
    """Names of the parameters whose gradients are matched: weights that lead to output nodes."""
    split = (name.split(".") for name in networks.parameters)
    return [f"{layer}.{kind}" for layer, kind in split if kind == "weight" and not layer.startswith("norm")]


def _loss(networks: StackedNetworks, images: Tensor, label: int) -> Tensor:
    """Mean cross-entropy of images of one class [n, E, ...], summed over networks."""
    logits = networks(images.flatten(1, 2), training=True)  # [E, n, K]
    targets = torch.full((logits.shape[0] * logits.shape[1],), label, device=logits.device)
    return F.cross_entropy(logits.flatten(0, 1), targets, reduction="sum") / len(images)


def gradient_distance(given: Tensor, wanted: Tensor) -> Tensor:
    """Sum over networks and output nodes of 1 - cos between gradients [E, out, ...]."""
    given, wanted = given.flatten(2), wanted.flatten(2)
    lengths = given.norm(dim=2) * wanted.norm(dim=2)
    cosine: Tensor = (given * wanted).sum(2) / lengths.clamp_min(_SHORTEST)
    return (1 - cosine).sum()
