"""Training E networks at once, each on a small subset of its own, and their outcomes by class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldore.ensemble.convnet import Architecture, StackedConvNet
from goldore.ensemble.distill import distill
from goldore.ensemble.training import DeviceDataset, forward, optimize, to_device
from goldore.recipe import UtilityRecipe
from goldore.trials import Stream, Trial


@dataclass(frozen=True)
class EvaluationSet:
    """Images that trained networks are evaluated on.

    Attributes:
        images: uint8 [n, C, H, W] on the device.
        labels: int64 [n] on the device; every class is there.
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Outcomes:
    """What E trainings on subsets achieved.

    Attributes:
        by_class: float32 [E, K] by name: "accuracy", the share of the class's evaluation images classified
            correctly; "logprob", the mean log-probability of the correct class in nat; "margin", the mean of
            the correct class's logit minus the highest other one.
        train_loss: of the last step, float32 [E].
        failed: whether the training diverged (something is not finite), bool [E].
    """

    by_class: dict[str, NDArray[np.float32]]
    train_loss: NDArray[np.float32]
    failed: NDArray[np.bool_]


def train_on_subsets(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: UtilityRecipe,
    trials: Sequence[Trial],
    members: NDArray[np.integer],
    sizes: NDArray[np.integer],
    evaluation: EvaluationSet,
) -> Outcomes:
    """Train one network per trial on its subset, all at once, and evaluate each.

    Args:
        data: the training set on its device.
        architecture: of the networks.
        recipe: steps, batch size, optimiser, and whether subsets are distilled first. A subset of at most a
            batch is in every step as a whole.
        trials: E of them; each decides its network's initial weights and its order of the samples.
        members: positions of each trial's subset, [E, S], class by class.
        sizes: samples of each class in a subset, [K].
        evaluation: images to evaluate on.

    Returns:
        The outcomes.
    """
    if recipe.distill is None:
        subset = to_device(members.T.astype(np.int64), data.device)  # [S, E]
        images, targets = data.normalize(data.images[subset]), data.labels[subset]
    else:
        images, labels = distill(data, architecture, recipe.distill, trials, members, sizes)
        targets = labels[:, None].expand(-1, len(trials))
    return train_on_images(data, architecture, recipe, trials, images, targets, evaluation)


def train_on_images(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: UtilityRecipe,
    trials: Sequence[Trial],
    images: Tensor,
    targets: Tensor,
    evaluation: EvaluationSet,
) -> Outcomes:
    """Train one network per trial on images of its own, all at once, and evaluate each.

    Args:
        data: for its device and normalisation.
        architecture: of the networks.
        recipe: steps, batch size and optimiser.
        trials: E of them.
        images: normalised, float32 [S, E, C, H, W].
        targets: int64 [S, E].
        evaluation: images to evaluate on.

    Returns:
        The outcomes.
    """
    networks = StackedConvNet(architecture, trials, data.device)
    optimizer = torch.optim.SGD(
        networks.parameters.values(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    each = torch.arange(len(trials), device=data.device)
    losses = torch.full((len(trials),), torch.nan, device=data.device)
    whole = images.flatten(1, 2), targets.t()
    for batch in _batches(trials, len(images), recipe.batch_size, recipe.steps):
        if batch is None:
            losses = optimize(networks, optimizer, *whole)
        else:
            rows = to_device(batch, data.device)  # [B, E]
            losses = optimize(networks, optimizer, images[rows, each].flatten(1, 2), targets[rows, each].t())
    by_class = class_outcomes(networks, data, evaluation, architecture.num_classes)
    stacked = torch.cat([losses.double()[:, None], *by_class.values()], dim=1)
    return Outcomes(
        by_class={name: values.float().cpu().numpy() for name, values in by_class.items()},
        train_loss=losses.float().cpu().numpy(),
        failed=~stacked.isfinite().all(dim=1).cpu().numpy(),
    )


def class_outcomes(
    networks: StackedConvNet, data: DeviceDataset, evaluation: EvaluationSet, num_classes: int
) -> dict[str, Tensor]:
    """Evaluate every network: mean over the images of each class, float64 [E, K] by outcome."""
    sums = {
        name: torch.zeros(networks.size, num_classes, dtype=torch.float64, device=data.device)
        for name in ("accuracy", "logprob", "margin")
    }

    def see(_: int, logits: Tensor, labels: Tensor) -> None:
        logits = logits.double()
        index = labels.view(1, -1, 1).expand(networks.size, -1, 1)
        right = logits.gather(2, index)[..., 0]  # [E, B]
        other = logits.scatter(2, index, -torch.inf).amax(2)
        sums["accuracy"].index_add_(1, labels, (right > other).double())
        sums["logprob"].index_add_(1, labels, right - logits.logsumexp(2))
        sums["margin"].index_add_(1, labels, right - other)

    forward(networks, data, evaluation.images, evaluation.labels, see)
    counts = torch.bincount(evaluation.labels, minlength=num_classes)
    return {name: values / counts for name, values in sums.items()}


def _batches(
    trials: Sequence[Trial], size: int, batch_size: int, steps: int
) -> Iterator[NDArray[np.int64] | None]:
    """Rows of the subset for every step, int64 [B, E]; None for all of it. Epochs follow one another."""
    if size <= batch_size:
        yield from (None for _ in range(steps))
        return
    draws = [trial.stream(Stream.ORDER) for trial in trials]
    done = 0
    while True:
        order = np.stack([draw.permutation(size) for draw in draws], axis=1)  # [S, E]
        for start in range(0, size, batch_size):
            if done == steps:
                return
            done += 1
            yield order[start : start + batch_size]
