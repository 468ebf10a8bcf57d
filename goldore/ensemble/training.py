"""Training E networks at once on one dataset, each with its own weights and its own order of the samples."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from goldore.datasets import ImageDataset
from goldore.ensemble.convnet import Architecture, StackedConvNet
from goldore.ensemble.observers import Observer
from goldore.ensemble.progress import Progress
from goldore.recipe import LossRecipe
from goldore.trials import Stream, Trial

_SCORING_BATCH = 512  # images of a scoring pass at once; one network sees as many as a training step or so


class DeviceDataset:
    """A dataset on the device: uint8 images, normalised when they are gathered.

    Args:
        dataset: in memory.
        mean: per channel, of pixels scaled to 0..1.
        std: per channel, likewise.
        device: to hold the images.
    """

    def __init__(
        self, dataset: ImageDataset, mean: Sequence[float], std: Sequence[float], device: torch.device
    ) -> None:
        self.device = device
        self.images = to_device(dataset.images, device)  # uint8 [N, C, H, W]
        self.labels = to_device(dataset.labels, device)  # int64 [N]
        self.test: tuple[Tensor, Tensor] | None = None
        if dataset.test_images is not None and dataset.test_labels is not None:
            self.test = (to_device(dataset.test_images, device), to_device(dataset.test_labels, device))
        channel = (-1, 1, 1)
        self._shift = torch.tensor(mean, dtype=torch.float32, device=device).view(channel) * 255
        self._scale = 1 / (torch.tensor(std, dtype=torch.float32, device=device).view(channel) * 255)

    def normalize(self, images: Tensor) -> Tensor:
        """Turn uint8 images [..., C, H, W] into normalised float32 ones."""
        return (images.float() - self._shift) * self._scale


@dataclass(frozen=True)
class Trained:
    """What was observed of E trials.

    Attributes:
        recorded: per observer float32 [E, N].
        train_loss: mean training loss of each epoch, float32 [E, epochs]; NaN for epochs that did not run.
        test_accuracy: share of the test images classified correctly at the end, float32 [E]; NaN without.
        failed: whether the training diverged (a loss that is not finite), bool [E].
    """

    recorded: dict[str, np.ndarray]
    train_loss: np.ndarray
    test_accuracy: np.ndarray
    failed: np.ndarray


def train(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: LossRecipe,
    trials: Sequence[Trial],
    observers: Sequence[Observer],
    tick: Callable[[Callable[[], Progress]], None] = lambda _: None,
) -> Trained:
    """Train one network per trial, all at once, up to the last epoch that an observer wants.

    Args:
        data: the training set on its device.
        architecture: of the networks.
        recipe: epochs, batch size and optimiser.
        trials: E of them; each decides its network's initial weights and its order of the samples.
        observers: shown all samples after the epochs they ask for.
        tick: called after every step with a function that gives the progress. Calling that function waits
            for the device, so do it rarely.

    Returns:
        What was observed.
    """
    networks = StackedConvNet(architecture, trials, data.device)
    optimizer = torch.optim.SGD(
        networks.parameters.values(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    orders = [trial.stream(Stream.ORDER) for trial in trials]
    size, samples = networks.size, len(data.labels)
    last_epoch = max(epoch for observer in observers for epoch in observer.epochs)
    train_loss = np.full((size, recipe.epochs), np.nan, dtype=np.float32)
    done = 0
    for epoch in range(1, last_epoch + 1):
        order = to_device(
            np.stack([draw.permutation(samples) for draw in orders], axis=1), data.device
        )  # [N, E]
        loss_sum = torch.zeros(size, dtype=torch.float64, device=data.device)
        for start in range(0, samples, recipe.batch_size):
            batch = order[start : start + recipe.batch_size]  # [B, E]
            losses = step(networks, optimizer, data, batch)  # [E]
            loss_sum += losses.double() * len(batch)
            done += batch.numel()
            tick(_progress(epoch, done, samples * size * last_epoch, losses))
        train_loss[:, epoch - 1] = (loss_sum / samples).cpu().numpy()
        if not np.isfinite(train_loss[:, epoch - 1]).any():
            break
        wanting = [observer for observer in observers if epoch in observer.epochs]
        if wanting:
            _scoring_pass(networks, data, wanting)
    recorded = {observer.name: observer.result().cpu().numpy() for observer in observers}
    ran = train_loss[:, :epoch]
    finite = [np.isfinite(values).all(axis=1) for values in (ran, *recorded.values())]
    return Trained(
        recorded=recorded,
        train_loss=train_loss,
        test_accuracy=_test_accuracy(networks, data),
        failed=~np.logical_and.reduce(finite),
    )


def step(
    networks: StackedConvNet, optimizer: torch.optim.Optimizer, data: DeviceDataset, batch: Tensor
) -> Tensor:
    """Take one optimiser step with every network, each on its own batch.

    Args:
        networks: E of them.
        optimizer: over their stacked parameters.
        data: the training set.
        batch: positions, int64 [B, E].

    Returns:
        Mean loss of each network's batch, float32 [E], on the device.
    """
    images = data.normalize(data.images[batch]).flatten(1, 2)  # [B, E * C, H, W]
    targets = data.labels[batch].t()  # [E, B]
    return optimize(networks, optimizer, images, targets)


def optimize(
    networks: StackedConvNet, optimizer: torch.optim.Optimizer, images: Tensor, targets: Tensor
) -> Tensor:
    """Take one optimiser step with every network on given images.

    Args:
        networks: E of them.
        optimizer: over their stacked parameters.
        images: normalised, [B, E * C, H, W].
        targets: int64 [E, B].

    Returns:
        Mean loss of each network's batch, float32 [E], on the device.
    """
    logits = networks(images, training=True)
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    losses = losses.view(targets.shape).mean(1)  # [E]
    optimizer.zero_grad(set_to_none=True)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return losses.detach()


def _scoring_pass(networks: StackedConvNet, data: DeviceDataset, observers: Sequence[Observer]) -> None:
    def show(start: int, logits: Tensor, labels: Tensor) -> None:
        for observer in observers:
            observer.see(start, logits, labels)

    forward(networks, data, data.images, data.labels, show)


def _test_accuracy(networks: StackedConvNet, data: DeviceDataset) -> np.ndarray:
    if data.test is None:
        return np.full(networks.size, np.nan, dtype=np.float32)
    images, labels = data.test
    correct = torch.zeros(networks.size, dtype=torch.int64, device=data.device)

    def count(_: int, logits: Tensor, labels: Tensor) -> None:
        correct.add_((logits.argmax(2) == labels).sum(1))

    forward(networks, data, images, labels, count)
    accuracy: np.ndarray = (correct.double() / len(labels)).float().cpu().numpy()
    return accuracy


def forward(
    networks: StackedConvNet,
    data: DeviceDataset,
    images: Tensor,
    labels: Tensor,
    see: Callable[[int, Tensor, Tensor], None],
) -> None:
    """Stream images through every network in eval mode; show each run's start, logits [E, B, K] and labels.

    In full float32: CUDA's convolutions would otherwise use TF32, whose 10-bit mantissa shows in the losses.
    """
    batch = max(1, _SCORING_BATCH // networks.size)
    with torch.inference_mode(), _full_float32():
        for start in range(0, len(images), batch):
            run = slice(start, start + batch)
            see(start, networks(data.normalize(images[run])), labels[run])


@contextmanager
def _full_float32() -> Iterator[None]:
    """Switch CUDA's TF32 off, by the settings of torch 2.9 and later or, before, by the older ones."""
    cudnn: Any = torch.backends.cudnn
    switches: list[tuple[Any, str, object]]
    if hasattr(torch.backends, "fp32_precision"):
        switches = [
            (cudnn.conv, "fp32_precision", "ieee"),
            (torch.backends.cuda.matmul, "fp32_precision", "ieee"),
        ]
    else:
        switches = [
            (cudnn, "allow_tf32", False),
            (torch.backends.cuda.matmul, "allow_tf32", False),
        ]
    before = [getattr(where, name) for where, name, _ in switches]
    for where, name, value in switches:
        setattr(where, name, value)
    try:
        yield
    finally:
        for (where, name, _), value in zip(switches, before, strict=True):
            setattr(where, name, value)


def _progress(epoch: int, images: int, total: int, losses: Tensor) -> Callable[[], Progress]:
    return lambda: Progress(epoch, images, total, float(losses[losses.isfinite()].mean()))


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to a device."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)
