"""A training that was stopped goes on to the same bits, wherever it was stopped."""

import signal
import time
from typing import NamedTuple

import numpy as np
import pytest
import torch

from goldore.files.interrupts import interrupts_held_back
from goldore.networks.config import ConvNetConfig
from goldore.runs.job import complete_recipe
from goldore.scores import SCORES, TrainingScore
from goldore.scores.recorders import can_be_kept, restore, state_of
from goldore.training import checkpoints
from goldore.training.checkpoints import Checkpoints, Keeper, checkpoints_beside
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.loop import Trained, train
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.conftest import make_dataset

CPU = torch.device("cpu")
EPOCHS = 20  # as many as the longest windows need
ROWS = [row for row in SCORES.values() if isinstance(row, TrainingScore)]
HOWS = {
    "plain": {},
    "batch norm": {"norm": "batch"},
    "augmented": {"augment": "flip-crop", "lr_schedule": "cosine", "batch_size": 13},
    "dsa": {"augment": "dsa"},
    "bf16": {"precision": "bf16"},
}


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    """Every look is worth it."""
    monkeypatch.setattr(checkpoints, "_SHARE", 0)
    monkeypatch.setattr(checkpoints, "_WORTH", 0)


class StoppedError(Exception):
    pass


class StoppingKeeper(Keeper):
    """Ends the training at one of its looks, once that is kept."""

    stop_at, looks = 0, 0

    def look(self, trials, state):
        super().look(trials, state)
        self.looks += 1
        if self.looks == self.stop_at:
            raise StoppedError


def trained(dataset, how, keeper=checkpoints.NO_KEEPER, numbers=(0, 1), rows=ROWS):
    norm = how.get("norm", "instance")
    fields = {name: value for name, value in how.items() if name != "norm"}
    network = ConvNetConfig(width=4, depth=1, norm=norm)
    recipe = complete_recipe(
        LossRecipe(network=network, **{"epochs": EPOCHS, "batch_size": 16, "lr": 0.05, **fields}), dataset
    )
    arch = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean, recipe.std, CPU)
    observers = [row.observe(recipe, len(numbers), dataset.num_samples, CPU) for row in rows]
    return train(data, arch, recipe, make_trials(3, numbers), observers, keeper=keeper)


def assert_same(one, other):
    assert one.recorded.keys() == other.recorded.keys()
    for name, values in one.recorded.items():
        np.testing.assert_array_equal(values, other.recorded[name], err_msg=name)
    for name in ("train_loss", "test_accuracy", "diverged", "failed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture(scope="module")
def whole():
    """What a training gives that is not stopped, and how often it looks; by the way it trains."""
    found = {}

    def give(how):
        if how not in found:
            found[how] = trained(make_dataset(), HOWS[how])
        return found[how]

    return give


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("stop_at", [1, 3, 6, 7, 41, -1])
def test_a_training_goes_on_to_the_same_bits(dataset, whole, tmp_path, how, stop_at):
    file = tmp_path / "x.checkpoint"
    if stop_at == -1:  # within the last pass
        counting = StoppingKeeper(file, "key", [0, 1], 0)
        trained(dataset, HOWS[how], counting)
        stop_at = counting.looks
        file.unlink()
    keeper = StoppingKeeper(file, "key", [0, 1], 0)
    keeper.stop_at = stop_at
    with pytest.raises(StoppedError):
        trained(dataset, HOWS[how], keeper)
    again = Keeper(file, "key", [0, 1], 1e9)
    assert again.epoch is not None
    assert_same(trained(dataset, HOWS[how], again), whole(how))


def test_it_may_be_stopped_again_and_again(dataset, whole, tmp_path):
    file, stops = tmp_path / "x.checkpoint", 0
    while True:
        keeper = StoppingKeeper(file, "key", [0, 1], 0)
        keeper.stop_at = 17
        try:
            found = trained(dataset, HOWS["plain"], keeper)
        except StoppedError:
            stops += 1
        else:
            break
    assert stops > 3
    assert_same(found, whole("plain"))


@pytest.mark.parametrize("other", [{"key": "another"}, {"numbers": [0, 2]}])
def test_a_checkpoint_of_something_else_is_not_used(dataset, whole, tmp_path, other):
    file = tmp_path / "x.checkpoint"
    keeper = StoppingKeeper(file, "key", [0, 1], 0)
    keeper.stop_at = 20
    with pytest.raises(StoppedError):
        trained(dataset, HOWS["plain"], keeper)
    again = Keeper(file, other.get("key", "key"), other.get("numbers", [0, 1]), 1e9)
    assert again.epoch is None
    assert_same(trained(dataset, HOWS["plain"], again), whole("plain"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x80\x04\x95"])
def test_a_damaged_checkpoint_is_as_good_as_none(tmp_path, content):
    file = tmp_path / "x.h5.loss-0.checkpoint"
    file.write_bytes(content)
    assert Keeper(file, "key", [0], 1e9).epoch is None
    assert Checkpoints(tmp_path / "x.h5", "loss", "key").groups([0, 1]) == []
    assert not file.exists()


def test_what_keeps_nothing_knows_nothing(dataset):
    trained(dataset, {})
    assert checkpoints.NO_KEEPER.result(make_trials(3, [0, 1])) is None
    assert checkpoints.NO_KEEPER.execution(Execution(compiled=True)) == Execution(compiled=True)
    assert checkpoints.NO_KEEPER.execution(Execution()) == Execution()


def test_groups_are_those_that_were_stopped_and_are_missing(dataset, tmp_path):
    kept = Checkpoints(tmp_path / "x.h5", "loss", "key", 0)
    for numbers in ([0, 1], [4, 5], [10, 11]):
        keeper = kept.of(numbers)
        keeper.look(make_trials(3, numbers), lambda: {"epoch": 2})
        keeper._held.close()
    other = Checkpoints(tmp_path / "x.h5", "fold", "key", 0).of([0])
    other.look(make_trials(3, [0]), lambda: {"epoch": 1})
    other._held.close()
    assert len(checkpoints_beside(tmp_path / "x.h5")) == 4
    assert kept.groups([0, 1, 2, 3, 10, 11]) == [[0, 1], [10, 11]]
    assert [each.name for each in checkpoints_beside(tmp_path / "x.h5", "loss")] == [
        "x.h5.loss-0.checkpoint",
        "x.h5.loss-10.checkpoint",
    ]
    assert Checkpoints(tmp_path / "x.h5", "loss", "key", None).groups([0, 1]) == []  # nothing is to be kept
    assert Checkpoints(tmp_path / "x.h5", "loss", "other", 0).groups([0, 1]) == []
    assert len(checkpoints_beside(tmp_path / "x.h5")) == 2  # but those of others are left alone
    assert kept.groups([]) == []
    assert [each.name for each in tmp_path.iterdir()] == ["x.h5.fold-0.checkpoint"]


def test_results_of_trainings_that_are_done_come_back(dataset, whole, tmp_path):
    file = tmp_path / "x.checkpoint"
    keeper = StoppingKeeper(file, "key", [0], 0)
    first = trained(dataset, {}, keeper, numbers=[0])
    keeper.done(make_trials(3, [0]), vars(first))
    keeper.stop_at = keeper.looks + 3
    with pytest.raises(StoppedError):
        trained(dataset, {}, keeper, numbers=[1])
    again = Keeper(file, "key", [0], 1e9)
    assert_same(Trained(**again.result(make_trials(3, [0]))), first)
    assert again.result(make_trials(3, [1])) is None
    assert_same(trained(dataset, {}, again, numbers=[1]), trained(dataset, {}, numbers=[1]))


def test_a_signal_waits_for_the_next_look_and_what_was_trained_is_kept(dataset, tmp_path):
    class Signalled(Keeper):
        looks = 0

        def look(self, trials, state):
            self.looks += 1
            if self.looks == 10:
                signal.raise_signal(signal.SIGINT)  # within a step
                assert not (tmp_path / "x.checkpoint").exists()
            super().look(trials, state)

    with pytest.raises(KeyboardInterrupt):
        trained(dataset, {}, Signalled(tmp_path / "x.checkpoint", "key", [0, 1], 1e9))
    assert Keeper(tmp_path / "x.checkpoint", "key", [0, 1]).epoch is not None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_does_not_wait():
    after = []
    with pytest.raises(KeyboardInterrupt), interrupts_held_back(patience=1) as came:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        after.append(list(came))
        signal.raise_signal(signal.SIGINT)
        after.append("not reached")
    assert after == [[signal.SIGINT]]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_short_training_keeps_nothing(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_WORTH", 30)
    keeper = Keeper(tmp_path / "x.checkpoint", "key", [0, 1], 600)
    keeper.look([], dict)
    keeper._came.append(signal.SIGINT)  # as a signal does
    with pytest.raises(KeyboardInterrupt), interrupts_held_back():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        keeper.look([], dict)
    assert not (tmp_path / "x.checkpoint").exists()


@pytest.mark.parametrize("kind", [OSError, RuntimeError])  # torch raises the second
def test_a_full_disk_costs_the_checkpoint_alone(dataset, whole, tmp_path, monkeypatch, kind):
    def full(*_):
        raise kind(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    keeper = Keeper(tmp_path / "x.checkpoint", "key", [0, 1], 0)
    assert_same(trained(dataset, HOWS["plain"], keeper), whole("plain"))
    assert list(tmp_path.iterdir()) == []


def test_saving_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_SHARE", 20)
    now, saves = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(*_):
        now[0] += 3
        saves.append(now[0])

    monkeypatch.setattr(checkpoints.torch, "save", slow)
    keeper = Keeper(tmp_path / "x.checkpoint", "key", [0], 1)
    with keeper.watching():
        for _ in range(200):
            now[0] += 1
            keeper.look([], dict)
    assert np.diff(saves) == pytest.approx([63] * (len(saves) - 1))


def test_how_networks_ran_is_kept_too(tmp_path):
    first = Keeper(tmp_path / "x.checkpoint", "key", [0], 0)
    assert first.execution(Execution(compiled=True)) == Execution(compiled=True)
    first.look([], lambda: {"epoch": 1})
    first._held.close()
    again = Keeper(tmp_path / "x.checkpoint", "key", [0])
    assert again.execution(Execution(compiled=False)) == Execution(compiled=True)


class Own:
    """A user's recorder with all sorts of attributes."""

    def __init__(self):
        self.tensor, self.array = torch.zeros(2), np.zeros(3, np.float32)
        self.inside = {"seen": [torch.ones(1), 2], 3: ("a", None)}
        self.count, self.function, self.device = 0, len, CPU


class Point(NamedTuple):
    """Not as it is kept."""

    x: int


@pytest.mark.parametrize("odd", [{1, 2}, Own(), Point(1)])
def test_a_recorder_with_other_attributes_is_not_kept(odd):
    one = Own()
    assert can_be_kept(one)
    one.odd = odd
    assert not can_be_kept(one)
    assert state_of(one) == {}


def test_what_a_recorder_keeps_comes_back():
    one, other = Own(), Own()
    one.number = np.float64(1.5)
    one.tensor += 1
    one.array += 2
    one.inside["seen"][0] += 3
    one.count = 4
    state = state_of(one)
    assert state.keys() == {"tensor", "array", "inside", "count", "number"}
    assert type(state["number"]) is float
    restore(other, state, CPU)
    assert (other.tensor == 1).all()
    assert (other.array == 2).all()
    assert other.inside["seen"][0] == 4
    assert (other.inside[3], other.count, other.function) == (("a", None), 4, len)
    assert can_be_kept(one)


def test_one_that_cannot_be_kept_is_trained_anew_once_it_has_seen_something(dataset, tmp_path):
    class Slotted:
        __slots__ = ("total",)

        def __init__(self, networks, samples):
            self.total = torch.zeros(networks, samples)

        def see(self, start, predictions):
            part = predictions.cross_entropy
            self.total[:, start : start + part.shape[1]] += part

        def result(self):
            return self.total

    class Row:
        name = "Slotted"

        def observe(self, recipe, networks, samples, device):
            from goldore.scores.recorders import Observer

            return Observer("Slotted", (2, 3), Slotted(networks, samples))

    keeper = StoppingKeeper(tmp_path / "x.checkpoint", "key", [0, 1], 0)
    trained(dataset, {}, keeper, rows=[Row()])
    assert Keeper(tmp_path / "x.checkpoint", "key", [0, 1]).epoch == 2  # its steps, before it saw anything
