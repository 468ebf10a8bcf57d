"""Training E networks at once on one dataset, each with its own weights and its own order of the samples."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldore.errors import GoldoreError, reason
from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks
from goldore.scores.predictions import Predictions
from goldore.scores.recorders import Observer
from goldore.training.augmentation import Augmenter
from goldore.training.devices import abilities
from goldore.training.execution import TYPES, Execution, logits_function
from goldore.training.images import DeviceDataset, Images, to_device
from goldore.training.memory import is_memory_error, total_memory
from goldore.training.progress import Progress
from goldore.training.stepping import Stepper
from goldore.trials import LossRecipe, Precision
from goldore.trials.seeds import Stream, Trial

_CPU_SCORED = 64  # images times networks of a scoring pass at once: few enough that activations stay in the
# caches, 1.2 to 1.3 times as fast as 512 at width 16
_CUDA_SCORED, _CUDA_SHARE = 2048, 0.05  # likewise on a card, and the share of its memory that they may take


@dataclass(frozen=True)
class Trained:
    """What was observed of E trials.

    Attributes:
        recorded: per observer float32 [E, N].
        train_loss: mean training loss of each epoch, float32 [E, epochs]; NaN for epochs that did not run.
        test_accuracy: share of the test images classified correctly at the end, float32 [E]; NaN without.
        diverged: whether a training loss was not finite, bool [E].
        failed: whether that, or anything that was recorded, is not finite, bool [E].
    """

    recorded: dict[str, np.ndarray]
    train_loss: np.ndarray
    test_accuracy: np.ndarray
    diverged: np.ndarray
    failed: np.ndarray


def train(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: LossRecipe,
    trials: Sequence[Trial],
    observers: Sequence[Observer],
    tick: Callable[[Callable[[], Progress]], None] = lambda _: None,
    execution: Execution | None = None,
    pools: Sequence[NDArray[np.int64]] | None = None,
    samples: int | None = None,
) -> Trained:
    """Train one network per trial, all at once, up to the last epoch that an observer wants.

    The device is waited for once an epoch, when its losses are read.

    Args:
        data: the training set on its device.
        architecture: of the networks.
        recipe: epochs, batch size and optimiser.
        trials: E of them; each decides its network's initial weights and its order of the samples.
        observers: shown all samples after the epochs they ask for.
        tick: called after every step with a function that gives the progress.
        execution: how to run; None: as it is written.
        pools: positions that each network trains on; None: all.
        samples: that an epoch takes of each network's pool, at random; None: all of the smallest.

    Returns:
        What was observed.
    """
    execution, precision = execution or Execution(), recipe.precision or "float32"
    stepper = Stepper(architecture, recipe, trials, data, execution)
    pools = pools or [np.arange(len(data.labels))] * len(trials)
    samples = samples or min(map(len, pools))
    order_of = _Orders(trials, pools, samples)
    course = _Course(data.device, observers, len(trials) * samples)
    train_loss = np.full((len(trials), recipe.epochs), np.nan, dtype=np.float32)
    order = to_device(order_of(), data.index_device)
    augmenter = None if recipe.augment == "none" else Augmenter(recipe.augment, trials)
    each = -(-samples // recipe.batch_size)
    for epoch in range(1, course.last_epoch + 1):
        stepper.loss_sum.zero_()
        for place, start in enumerate(range(0, samples, recipe.batch_size)):
            rows = order[start : start + recipe.batch_size]  # [B, E]
            stepper.set_learning_rate(recipe.learning_rate((epoch - 1) * each + place, recipe.epochs * each))
            images, targets = data.batch(rows)
            stepper(images if augmenter is None else augmenter(data.normalize(images)), targets)
            course.step(epoch, rows.numel(), stepper.losses)
            tick(course.progress)
        if epoch < course.last_epoch:
            order = to_device(order_of(), data.index_device)  # drawn on the host, while the device works
        train_loss[:, epoch - 1] = (stepper.loss_sum / samples).cpu().numpy()
        if not np.isfinite(train_loss[:, epoch - 1]).any():
            break
        wanting = [observer for observer in observers if epoch in observer.epochs]
        if wanting:
            _scoring_pass(stepper.networks, data, epoch, wanting, execution, precision)
    shape = (len(trials), len(data.labels))
    recorded = {observer.name: _result(observer, shape) for observer in observers}
    diverged = np.logical_not(np.isfinite(train_loss[:, :epoch]).all(axis=1))
    finite = [np.isfinite(values).all(axis=1) for values in recorded.values()]
    return Trained(
        recorded=recorded,
        train_loss=train_loss,
        test_accuracy=_test_accuracy(stepper.networks, data, execution, precision),
        diverged=diverged,
        failed=diverged | ~np.logical_and.reduce(finite),
    )


class _Orders:
    """Each network's own order of the samples, epoch after epoch.

    Args:
        trials: E of them.
        pools: positions that each network trains on.
        samples: of an epoch.
    """

    def __init__(self, trials: Sequence[Trial], pools: Sequence[NDArray[np.int64]], samples: int) -> None:
        self._draws = [trial.stream(Stream.ORDER) for trial in trials]
        self._pools, self._samples = pools, samples

    def __call__(self) -> NDArray[np.int64]:
        """Draw those of an epoch, [samples, E]."""
        drawn = [
            pool[draw.permutation(len(pool))] for draw, pool in zip(self._draws, self._pools, strict=True)
        ]
        return np.stack([each[: self._samples] for each in drawn], axis=1)


class _Course:
    """How far a training is, as of the last step known to be done: nothing waits for a device."""

    def __init__(self, device: torch.device, observers: Sequence[Observer], images_an_epoch: int) -> None:
        self.last_epoch = max(epoch for observer in observers for epoch in observer.epochs)
        self._total = images_an_epoch * self.last_epoch
        self._queued = self._known = (1, 0)  # epoch, images
        self._losses = torch.zeros(0)
        self._sent: tuple[tuple[int, int], Tensor, torch.cuda.Event] | None = None
        self._device = device
        self._loss = math.nan

    def step(self, epoch: int, images: int, losses: Tensor) -> None:
        """Count a step that was sent to the device."""
        self._queued, self._losses = (epoch, self._queued[1] + images), losses

    def progress(self) -> Progress:
        """Tell how far it is."""
        if not abilities(self._device).runs_ahead:
            self._known, self._loss = self._queued, _mean_of_finite(self._losses)
        elif self._sent is None or self._sent[2].query():  # type: ignore[no-untyped-call]
            if self._sent is not None:
                self._known, self._loss = self._sent[0], _mean_of_finite(self._sent[1])
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied = self._losses.to("cpu", non_blocking=True)
            event.record(torch.cuda.current_stream(self._device))
            self._sent = self._queued, copied, event
        return Progress(*self._known, self._total, self._loss)


def _mean_of_finite(losses: Tensor) -> float:
    return float(losses[losses.isfinite()].mean())


def _scoring_pass(
    networks: StackedNetworks,
    data: DeviceDataset,
    epoch: int,
    observers: Sequence[Observer],
    execution: Execution,
    precision: Precision,
) -> None:
    def show(start: int, logits: Tensor, labels: Tensor, features: Callable[[], Tensor]) -> None:
        predictions = Predictions(logits, labels, epoch, features)
        for observer in observers:
            with errors_of(observer.name):
                observer.recorder.see(start, predictions)

    forward(networks, data, data.images, data.labels, show, execution=execution, precision=precision)


def _result(observer: Observer, shape: tuple[int, int]) -> np.ndarray:
    """What an observer recorded, float32 [E, N] on the host."""
    with errors_of(observer.name):
        found = observer.recorder.result()
        if found.shape != shape:
            raise ValueError(f"its result has the shape {tuple(found.shape)} instead of {shape}")
        values: np.ndarray = found.float().cpu().numpy()
    return values


@contextmanager
def errors_of(name: str) -> Iterator[None]:
    """Say which score an error comes from: it may be a user's own."""
    try:
        yield
    except Exception as error:
        if is_memory_error(error) or isinstance(error, GoldoreError):
            raise
        raise GoldoreError(
            f"the score {name} failed ({type(error).__name__}: {reason(error)}); mend it, or leave it out."
        ) from error


def _test_accuracy(
    networks: StackedNetworks, data: DeviceDataset, execution: Execution, precision: Precision
) -> np.ndarray:
    if data.test is None:
        return np.full(networks.size, np.nan, dtype=np.float32)
    images, labels = data.test
    correct = torch.zeros(networks.size, dtype=torch.int64, device=data.score_device)

    def count(_: int, logits: Tensor, labels: Tensor, __: object) -> None:
        correct.add_((logits.argmax(2) == labels).sum(1))

    forward(networks, data, images, labels, count, execution=execution, precision=precision)
    accuracy: np.ndarray = (correct.double() / len(labels)).float().cpu().numpy()
    return accuracy


def forward(
    networks: StackedNetworks,
    data: DeviceDataset,
    images: Images,
    labels: Tensor,
    see: Callable[[int, Tensor, Tensor, Callable[[], Tensor]], None],
    *,
    execution: Execution,
    precision: Precision,
) -> None:
    """Stream images through all networks in eval mode, a run of them at a time.

    Args:
        networks: E of them.
        data: for the device and the normalisation.
        images: N of them.
        labels: int64 [N].
        see: shown each run's start, logits [E, B, K], labels [B], and what gives its features [E, B, F], all
            on the data's `score_device`.
        execution: how to run.
        precision: of activations.
    """
    architecture, layout, where = networks.architecture, execution.scoring, data.score_device
    batch = _scoring_batch(networks, data.device)
    whole = batch
    plain, fast = (
        logits_function(architecture, layout, precision, compiled=compiled, device=data.device)
        for compiled in (False, execution.compiled)
    )

    def features(run: Tensor) -> Tensor:
        return networks.features(data.normalize(run).to(TYPES[precision])).float().to(where)

    start = 0
    with torch.inference_mode():
        while start < len(images):
            run = images.run(start, start + batch)
            compute = fast if len(run) == whole else plain
            try:
                logits = compute(networks.parameters, networks.running, run, data.shift, data.scale)
            except Exception as error:
                if batch == 1 or not is_memory_error(error):
                    raise
                batch //= 2
                continue
            shown = logits.to(where), labels[start : start + batch].to(where)
            see(start, *shown, partial(features, run))
            start += batch


def _scoring_batch(networks: StackedNetworks, device: torch.device) -> int:
    """Images of a scoring pass at once: on a card so many that a small part of its memory holds them."""
    if not abilities(device).own_memory:
        return max(1, _CPU_SCORED // networks.size)
    held = networks.architecture.activation_bytes(1)
    fitting = int(_CUDA_SHARE * total_memory(device) / held)
    return max(1, min(_CUDA_SCORED, fitting) // networks.size)
