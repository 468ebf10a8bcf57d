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
from goldore.scores.recorders import Observer, can_be_kept, restore, state_of
from goldore.training.augmentation import Augmenter
from goldore.training.checkpoints import NO_KEEPER, Keeper, State, generator_state, set_generator
from goldore.training.devices import abilities
from goldore.training.execution import TYPES, Execution, logits_function
from goldore.training.images import DeviceDataset, Images, to_device
from goldore.training.memory import is_memory_error, total_memory
from goldore.training.progress import Progress
from goldore.training.stepping import Stepper
from goldore.trials import LossRecipe, Precision
from goldore.trials.seeds import Stream, Trial
from goldore.trials.shuffling import EXACT, Shuffle

_CPU_SCORED = 64  # images times networks of a scoring pass at once: few enough that activations stay in the
# caches, 1.2 to 1.3 times as fast as 512 at width 16
_CUDA_SCORED, _CUDA_SHARE = 2048, 0.05  # likewise on a card, and the share of its memory that they may take


See = Callable[[int, Tensor, Tensor, Callable[[], Tensor]], None]


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
    keeper: Keeper = NO_KEEPER,
    seed: int = 0,
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
        keeper: keeps the training now and then, and may have one that was stopped.
        seed: of the order of blocks, where the recipe shuffles in blocks: that of the run.

    Returns:
        What was observed.
    """
    pools = pools or [np.arange(len(data.labels))] * len(trials)
    samples = samples or min(map(len, pools))
    execution = execution or Execution()
    orders = _Orders(trials, pools, samples, Shuffle.of(recipe.shuffle or EXACT), len(data.labels), seed)
    training = _Training(data, architecture, recipe, trials, observers, execution, orders, samples)
    with keeper.watching():
        training.run(keeper, tick)
    return training.result()


class _Training:
    """One training of E networks; see `train` for what it is made of."""

    def __init__(
        self,
        data: DeviceDataset,
        architecture: Architecture,
        recipe: LossRecipe,
        trials: Sequence[Trial],
        observers: Sequence[Observer],
        execution: Execution,
        orders: "_Orders",
        samples: int,
    ) -> None:
        self._data, self._recipe, self._trials, self._observers = data, recipe, trials, observers
        self._execution, self._precision = execution, recipe.precision or "float32"
        self._samples = samples
        self._stepper = Stepper(architecture, recipe, trials, data, execution)
        self._orders = orders
        self._course = _Course(data.device, observers, len(trials) * samples)
        self._augmenter = None if recipe.augment == "none" else Augmenter(recipe.augment, trials)
        self._place = _Place(np.full((len(trials), recipe.epochs), np.nan, dtype=np.float32))

    def run(self, keeper: Keeper, tick: Callable[[Callable[[], Progress]], None]) -> None:
        """Train, from where it was stopped if the keeper knows of that."""
        before = keeper.state(self._trials)
        if before is not None and self._has_all(before):
            self._restore(before)
        place, last_epoch = self._place, self._course.last_epoch
        next_epoch = place.epoch + 1 if place.scored else place.epoch
        order = self._order_of(min(next_epoch, last_epoch))
        while True:
            self._train_epoch(order, keeper, tick)
            if not place.scored:
                if place.epoch < last_epoch:  # on the host, while the device works
                    order = self._order_of(place.epoch + 1)
                place.end_epoch(self._stepper.loss_sum / self._samples)
            if place.diverged:
                return
            self._score_epoch(keeper)
            if place.epoch == last_epoch:
                return
            place.next_epoch()
            self._stepper.loss_sum.zero_()
            keeper.look(self._trials, self._state if self._can_be_kept(place.epoch - 1) else None)

    def _order_of(self, epoch: int) -> Tensor:
        """Draw that of an epoch, [samples, E], where positions are best kept."""
        return to_device(self._orders(epoch), self._data.index_device)

    def _train_epoch(
        self, order: Tensor, keeper: Keeper, tick: Callable[[Callable[[], Progress]], None]
    ) -> None:
        """Take the steps of this epoch that are left, by an order [samples, E] of positions."""
        place, recipe = self._place, self._recipe
        each = -(-self._samples // recipe.batch_size)
        how = recipe.batch_size, self._orders.windows, place.trained
        reading = self._data.images.follow(order, *how)
        state = self._state if self._can_be_kept(place.epoch - 1) else None
        for start in range(place.trained, self._samples, recipe.batch_size):
            rows = order[start : start + recipe.batch_size]  # [B, E]
            step = (place.epoch - 1) * each + start // recipe.batch_size
            self._stepper.set_learning_rate(recipe.learning_rate(step, recipe.epochs * each))
            next(reading, None)
            images, targets = self._data.batch(rows)
            if self._augmenter is not None:
                images = self._augmenter(self._data.normalize(images))
            self._stepper(images, targets)
            self._course.step(place.epoch, rows.numel(), self._stepper.losses)
            tick(self._course.progress)
            place.trained = start + len(rows)
            if place.trained < self._samples:
                keeper.look(self._trials, state)

    def _score_epoch(self, keeper: Keeper) -> None:
        """Show all samples, or those that are left, to the observers that look after this epoch."""
        place = self._place
        wanting = [observer for observer in self._observers if place.epoch in observer.epochs]
        state = self._state if self._can_be_kept(place.epoch) else None

        def show(start: int, logits: Tensor, labels: Tensor, features: Callable[[], Tensor]) -> None:
            predictions = Predictions(logits, labels, place.epoch, features)
            for observer in wanting:
                with errors_of(observer.name):
                    observer.recorder.see(start, predictions)
            place.scored = start + len(labels)
            keeper.look(self._trials, state)

        if wanting:
            self._forward(self._data.images, self._data.labels, show, first=place.scored)

    def _can_be_kept(self, epoch: int) -> bool:
        """Whether all can be kept that has seen something by the end of an epoch."""
        return all(can_be_kept(each.recorder) for each in self._observers if min(each.epochs) <= epoch)

    def _forward(self, images: Images, labels: Tensor, show: See, first: int = 0) -> None:
        forward(
            self._stepper.networks,
            self._data,
            images,
            labels,
            show,
            execution=self._execution,
            precision=self._precision,
            first=first,
        )

    def _state(self) -> State:
        return self._place.state() | {
            "steps": self._stepper.state(),
            "orders": self._orders.before,
            "augmenter": self._augmenter.state() if self._augmenter is not None else None,
            "recorders": {each.name: state_of(each.recorder) for each in self._observers},
        }

    def _has_all(self, state: State) -> bool:
        """Whether a state has what all observers have seen by then."""
        seen = state["epoch"] if state["scored"] else state["epoch"] - 1
        return all(each.name in state["recorders"] for each in self._observers if min(each.epochs) <= seen)

    def _restore(self, state: State) -> None:
        self._place.restore(state)
        self._stepper.restore(state["steps"])
        self._orders.restore(state["orders"])
        if self._augmenter is not None:
            self._augmenter.restore(state["augmenter"])
        for observer in self._observers:
            kept = state["recorders"].get(observer.name, {})  # of one that has seen nothing yet
            restore(observer.recorder, kept, self._data.score_device)
        trained = (self._place.epoch - 1) * self._samples + self._place.trained
        self._course.restore(self._place.epoch, len(self._trials) * trained)

    def result(self) -> Trained:
        """What was observed."""
        shape = (len(self._trials), len(self._data.labels))
        recorded = {observer.name: _result(observer, shape) for observer in self._observers}
        losses = self._place.train_loss
        diverged = np.logical_not(np.isfinite(losses[:, : self._place.epoch]).all(axis=1))
        finite = [np.isfinite(values).all(axis=1) for values in recorded.values()]
        return Trained(
            recorded=recorded,
            train_loss=losses,
            test_accuracy=self._test_accuracy(),
            diverged=diverged,
            failed=diverged | ~np.logical_and.reduce(finite),
        )

    def _test_accuracy(self) -> np.ndarray:
        if self._data.test is None:
            return np.full(len(self._trials), np.nan, dtype=np.float32)
        images, labels = self._data.test
        correct = torch.zeros(len(self._trials), dtype=torch.int64, device=self._data.score_device)

        def count(_: int, logits: Tensor, labels: Tensor, __: object) -> None:
            correct.add_((logits.argmax(2) == labels).sum(1))

        self._forward(images, labels, count)
        accuracy: np.ndarray = (correct.double() / len(labels)).float().cpu().numpy()
        return accuracy


@dataclass
class _Place:
    """Where a training is, between two steps.

    Attributes:
        train_loss: mean training loss of each epoch, float32 [E, epochs]; NaN where it is not known yet.
        epoch: under way, counted from 1.
        trained: samples of this epoch that each network has trained on.
        scored: samples that were looked at after it.
    """

    train_loss: np.ndarray
    epoch: int = 1
    trained: int = 0
    scored: int = 0

    @property
    def diverged(self) -> bool:
        """Whether all networks have, in this epoch."""
        return not np.isfinite(self.train_loss[:, self.epoch - 1]).any()

    def end_epoch(self, losses: Tensor) -> None:
        """All samples were trained on, with these mean losses [E]."""
        self.train_loss[:, self.epoch - 1] = losses.cpu().numpy()

    def next_epoch(self) -> None:
        """Begin the next one."""
        self.epoch, self.trained, self.scored = self.epoch + 1, 0, 0

    def state(self) -> State:
        """To be kept."""
        return {**vars(self), "train_loss": torch.from_numpy(self.train_loss.copy())}

    def restore(self, state: State) -> None:
        """Go on from there."""
        self.train_loss[:] = state["train_loss"].numpy()
        self.epoch, self.trained, self.scored = (state[name] for name in ("epoch", "trained", "scored"))


class _Orders:
    """Each network's own order of the samples, epoch after epoch.

    Args:
        trials: E of them.
        pools: positions that each network trains on.
        samples: of an epoch.
        shuffle: how they are shuffled.
        positions: number of all.
        seed: of the order of blocks.

    Attributes:
        before: where the random numbers were before the last order was drawn.
        windows: positions that the last order has mixed, one window after the other; None: all with all.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        pools: Sequence[NDArray[np.int64]],
        samples: int,
        shuffle: Shuffle,
        positions: int,
        seed: int,
    ) -> None:
        self._draws = [trial.stream(Stream.ORDER) for trial in trials]
        self._pools, self._samples = pools, samples
        self._shuffle, self._positions, self._seed = shuffle, positions, seed
        self.before: list[State] = []
        self.windows: list[NDArray[np.int64]] | None = None

    def __call__(self, epoch: int) -> NDArray[np.int64]:
        """Draw those of an epoch, [samples, E]."""
        self.before = [generator_state(draw) for draw in self._draws]
        if not self._shuffle.is_exact:
            self.windows = list(self._shuffle.windows(self._positions, self._seed, epoch))
        drawn = [self._one(draw, pool) for draw, pool in zip(self._draws, self._pools, strict=True)]
        return np.stack([each[: self._samples] for each in drawn], axis=1)

    def _one(self, draw: np.random.Generator, pool: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.windows is None:
            return pool[draw.permutation(len(pool))]
        inside = np.zeros(self._positions, dtype=bool)
        inside[pool] = True
        return np.concatenate([draw.permutation(window[inside[window]]) for window in self.windows])

    def restore(self, before: Sequence[State]) -> None:
        """Let the next order be the one that was drawn from there."""
        for draw, state in zip(self._draws, before, strict=True):
            set_generator(draw, state)


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

    def restore(self, epoch: int, images: int) -> None:
        """Count what was trained before."""
        self._queued = self._known = (epoch, images)

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


def forward(
    networks: StackedNetworks,
    data: DeviceDataset,
    images: Images,
    labels: Tensor,
    see: See,
    *,
    execution: Execution,
    precision: Precision,
    first: int = 0,
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
        first: position to begin at, where an earlier call has ended a run.
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

    start = first
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
