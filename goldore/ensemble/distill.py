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

from goldore.ensemble.convnet import Architecture, StackedConvNet
from goldore.ensemble.images import DeviceDataset, to_device
from goldore.recipe import DistillRecipe
from goldore.trials import Stream, Trial

_MOMENTUM = 0.5  # of the synthetic images' optimiser, as in both papers' code
_MAX_SEED = 2**63 - 1
REAL_AT_ONCE = 256  # real images that one network embeds at once, if a class has no more


def distill(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: DistillRecipe,
    trials: Sequence[Trial],
    members: NDArray[np.integer],
    sizes: NDArray[np.integer],
) -> tuple[Tensor, Tensor]:
    """Make synthetic images from each trial's subset.

    Args:
        data: the training set on its device.
        architecture: of the random networks.
        recipe: method, steps, learning rate, images of each class.
        trials: E of them; each decides its random networks and, for large subsets, the real batches.
        members: positions of each trial's subset, [E, S], class by class.
        sizes: samples of each class in a subset, [K]; they sum to S.

    Returns:
        Normalised images, float32 [K * ipc, E, C, H, W], and their labels, int64 [K * ipc].
    """
    device, classes = data.device, len(sizes)
    streams = [trial.stream(Stream.DISTILL) for trial in trials]
    real = [
        data.normalize(
            data.images.take(to_device(part.T.astype(np.int64), data.index_device))
        )  # [n, E, C, H, W]
        for part in np.split(np.asarray(members), np.cumsum(sizes)[:-1], axis=1)
    ]
    synthetic = torch.cat([_starts(part, recipe.images_per_class) for part in real])
    synthetic = synthetic.detach().requires_grad_()
    optimizer = torch.optim.SGD([synthetic], lr=recipe.learning_rate, momentum=_MOMENTUM)
    match = _match_gradients if recipe.method == "dc" else _match_distributions
    networks: StackedConvNet | None = None
    for _ in range(recipe.distill_steps):
        random = [Trial(0, int(stream.integers(_MAX_SEED))) for stream in streams]
        if networks is None:
            networks = StackedConvNet(architecture, random, device)
        else:
            networks.restart(random)
        batches = [_batch(part, recipe.real_batch, streams) for part in real]
        optimizer.zero_grad(set_to_none=True)
        match(networks, batches, synthetic, recipe.images_per_class)
        optimizer.step()
    labels = torch.arange(classes, device=device).repeat_interleave(recipe.images_per_class)
    return synthetic.detach(), labels


def _starts(images: Tensor, count: int) -> Tensor:
    """Means of `count` shares of the images [n, E, ...]; of all of them where there are too few."""
    if len(images) < count:
        return images.mean(0, keepdim=True).expand(count, *images.shape[1:])
    return torch.stack([part.mean(0) for part in torch.tensor_split(images, count)])


def _batch(images: Tensor, size: int, streams: Sequence[np.random.Generator]) -> Tensor:
    """Some of the images [n, E, ...] for each network, if there are more than `size`; without replacement."""
    if len(images) <= size:
        return images
    rows = np.stack([stream.choice(len(images), size, replace=False) for stream in streams], axis=1)
    return images[to_device(rows, images.device), torch.arange(images.shape[1], device=images.device)]


def _match_distributions(
    networks: StackedConvNet, real: Sequence[Tensor], synthetic: Tensor, count: int
) -> None:
    """Add the gradient of the squared distance between mean embeddings to the synthetic images."""
    sizes = [len(part) for part in real]
    targets = torch.cat(list(_mean_embeddings(networks, real)), dim=1)  # [E, K, F]
    made = networks.features(synthetic.flatten(1, 2))  # [E, K * ipc, F]
    means = made.view(networks.size, len(sizes), count, -1).mean(2)
    ((means - targets) ** 2).sum().backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def _mean_embeddings(networks: StackedConvNet, real: Sequence[Tensor]) -> Iterator[Tensor]:
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


def _match_gradients(networks: StackedConvNet, real: Sequence[Tensor], synthetic: Tensor, count: int) -> None:
    """Add the gradient of the distance between gradients to the synthetic images, class by class."""
    weights = [value for name, value in networks.parameters.items() if _has_nodes(name)]
    for label, images in enumerate(real):
        wanted = torch.autograd.grad(_loss(networks, images, label), weights)
        own = synthetic[label * count : (label + 1) * count]
        given = torch.autograd.grad(_loss(networks, own, label), weights, create_graph=True)
        distances = [_distance(*pair) for pair in zip(given, wanted, strict=True)]
        torch.stack(distances).sum().backward()  # type: ignore[no-untyped-call]


def _has_nodes(name: str) -> bool:
    layer, kind = name.split(".")
    return kind == "weight" and not layer.startswith("norm")


def _loss(networks: StackedConvNet, images: Tensor, label: int) -> Tensor:
    """Mean cross-entropy of images of one class [n, E, ...], summed over networks."""
    logits = networks(images.flatten(1, 2), training=True)  # [E, n, K]
    targets = torch.full((logits.shape[0] * logits.shape[1],), label, device=logits.device)
    return F.cross_entropy(logits.flatten(0, 1), targets, reduction="sum") / len(images)


def _distance(given: Tensor, wanted: Tensor) -> Tensor:
    """Sum over networks and output nodes of 1 - cos between gradients [E, out, ...]."""
    return (1 - F.cosine_similarity(given.flatten(2), wanted.flatten(2), dim=2, eps=1e-6)).sum()
