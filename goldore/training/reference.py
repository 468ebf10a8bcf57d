"""The reference: one network, one plain loop, nothing stacked. Slow and obviously right.

Tests hold the ensemble against it, and benchmarks take it as the loop that the distillation repositories
write. Keep it plain.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from goldore.datasets import ImageDataset
from goldore.networks.architecture import Architecture
from goldore.training.augmentation import augment, draw
from goldore.trials import AUGMENTATIONS, LossRecipe
from goldore.trials.seeds import Stream, Trial


def train_one(
    dataset: ImageDataset,
    architecture: Architecture,
    recipe: LossRecipe,
    trial: Trial,
    pool: np.ndarray | None = None,
    samples: int | None = None,
) -> dict[int, np.ndarray]:
    """Train one trial on the CPU and give every sample's logits after every epoch.

    Args:
        dataset: to train on.
        architecture: of the network.
        recipe: with mean and std filled in.
        trial: decides the initial weights and the order of the samples.
        pool: positions to train on, int64; None: all.
        samples: that an epoch takes of them; None: all.

    Returns:
        Per epoch, counted from 1, float32 [N, K].
    """
    images = _normalized(dataset, recipe)
    labels = torch.from_numpy(dataset.labels)
    network = architecture.plain()
    drawn = architecture.drawn(trial.stream(Stream.WEIGHTS))
    start = {name: torch.from_numpy(value) for name, value in drawn.items()}
    network.load_state_dict(start, strict=False)  # batch norm's running statistics start as they are
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    order = trial.stream(Stream.ORDER)
    pool = np.arange(len(labels)) if pool is None else pool
    random, step = trial.stream(Stream.AUGMENT), 0
    steps = recipe.epochs * -(-(samples or len(pool)) // recipe.batch_size)
    found = {}
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        drawn_now = torch.from_numpy(pool[order.permutation(len(pool))][:samples])
        for batch in torch.split(drawn_now, recipe.batch_size):
            optimizer.param_groups[0]["lr"] = recipe.learning_rate(step, steps)
            shown = images[batch]
            if recipe.augment != "none":
                names = AUGMENTATIONS if recipe.augment == "dsa" else (recipe.augment,)
                shown = augment(shown, draw(names, random, len(batch)))
            optimizer.zero_grad()
            F.cross_entropy(network(shown), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
        network.eval()
        with torch.no_grad():
            logits = torch.cat([network(part) for part in torch.split(images, recipe.batch_size)])
        found[epoch] = logits.numpy()
    return found


def _normalized(dataset: ImageDataset, recipe: LossRecipe) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (recipe.mean, recipe.std))
    return (torch.from_numpy(dataset.images.copy()) / 255 - mean) / std
