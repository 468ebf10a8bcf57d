"""The reference: one network, one plain loop, nothing stacked. Slow and obviously right.

Tests hold the ensemble against it, and benchmarks take it as the loop that the distillation repositories
write. Keep it plain.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from goldore.datasets import ImageDataset
from goldore.ensemble.convnet import Architecture, draw_parameters
from goldore.recipe import LossRecipe
from goldore.trials import Stream, Trial

_NORMS: dict[str, Callable[[int, tuple[int, int]], nn.Module]] = {
    "instance": lambda width, _: nn.GroupNorm(width, width),
    "batch": lambda width, _: nn.BatchNorm2d(width),
    "layer": lambda width, size: nn.LayerNorm([width, *size]),
    "group": lambda width, _: nn.GroupNorm(4, width),
}
_ACTIVATIONS = {"relu": nn.ReLU, "leakyrelu": nn.LeakyReLU, "sigmoid": nn.Sigmoid, "swish": nn.SiLU}
_POOLINGS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


def build(architecture: Architecture) -> nn.Sequential:
    """Build one network of ordinary PyTorch modules, its children named as the stacked parameters are."""
    config = architecture.config
    channels, height, width = architecture.image_shape
    network = nn.Sequential()
    for block in range(architecture.depth):
        padding = 3 if block == 0 and (height, width) == (28, 28) else 1
        network.add_module(f"conv{block}", nn.Conv2d(channels, config.width, 3, padding=padding))
        if config.norm != "none":
            network.add_module(
                f"norm{block}", _NORMS[config.norm](config.width, architecture.block_size(block))
            )
        network.add_module(f"act{block}", _ACTIVATIONS[config.activation]())
        if config.pooling != "none":
            network.add_module(f"pool{block}", _POOLINGS[config.pooling](2))
        channels = config.width
    network.add_module("flatten", nn.Flatten())
    network.add_module("head", nn.Linear(architecture.features, architecture.num_classes))
    return network


def train_one(
    dataset: ImageDataset, architecture: Architecture, recipe: LossRecipe, trial: Trial
) -> dict[int, np.ndarray]:
    """Train one trial on the CPU and give every sample's logits after every epoch.

    Args:
        dataset: to train on.
        architecture: of the network.
        recipe: with mean and std filled in.
        trial: decides the initial weights and the order of the samples.

    Returns:
        Per epoch, counted from 1, float32 [N, K].
    """
    images = _normalized(dataset, recipe)
    labels = torch.from_numpy(dataset.labels)
    network = build(architecture)
    drawn = {name: torch.from_numpy(value) for name, value in draw_parameters(architecture, trial).items()}
    network.load_state_dict(drawn, strict=False)  # batch norm's running statistics start as they are
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    order = trial.stream(Stream.ORDER)
    found = {}
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        for batch in torch.split(torch.from_numpy(order.permutation(len(labels))), recipe.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        network.eval()
        with torch.no_grad():
            logits = torch.cat([network(part) for part in torch.split(images, recipe.batch_size)])
        found[epoch] = logits.numpy()
    return found


def _normalized(dataset: ImageDataset, recipe: LossRecipe) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (recipe.mean, recipe.std))
    return (torch.from_numpy(dataset.images.copy()) / 255 - mean) / std
