"""Several machines at one score file: whoever is free takes the next trials; the dead are replaced."""

import json
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import goldore
from goldore import ConvNetConfig, FoldRecipe, LossRecipe, UtilityRecipe
from goldore.errors import GoldoreError, LockedError, ScoreFileError, UsageError
from goldore.files.locking import writing_to
from goldore.runs import agents, scoring
from goldore.runs.agents import Block, Meeting, blocks_of
from goldore.store import load_scores
from goldore.trials.arguments import ARGUMENTS
from goldore.trials.seeds import make_trials
from tests.cli.conftest import environment
from tests.conftest import diverge, make_dataset
from tests.forked import Forked
from tests.teams.conftest import LOSS, assert_same, files_in, write_npz

RECIPE = LossRecipe(network=ConvNetConfig(depth=1, width=4), epochs=2, batch_size=16)
ALL = {
    "scores": "LossInit,LossConverge,HeldOutLoss,MonteCarlo,KernelUtility",
    "recipe": RECIPE,
    "fold": FoldRecipe(folds=2, network=RECIPE.network, epochs=2, batch_size=16),
    "utility": UtilityRecipe(network=RECIPE.network, steps=2, subset_per_class=2),
    "trials": 3,
    "fold_trials": 2,
    "utility_trials": 120,
    "device": "cpu",
    "ensemble_size": 1,
    "features": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(agents, "_BETWEEN_LOOKS", 0.05)
    monkeypatch.setitem(ARGUMENTS, "utility", replace(ARGUMENTS["utility"], block=50))


def test_blocks_are_of_neighbours():
    assert blocks_of("loss", [0, 1, 2, 5, 6], 2) == [
        Block("loss", 0, 2),
        Block("loss", 2, 3),
        Block("loss", 5, 7),
    ]
    assert blocks_of("utility", range(120), 8) == [
        Block("utility", first, min(first + 50, 120)) for first in (0, 50, 100)
    ]


@pytest.mark.parametrize("number", [1, 3])
def test_agents_do_what_one_process_does(tmp_path, number):
    dataset = make_dataset()
    goldore.score(dataset, out=tmp_path / "one.h5", **ALL)
    failures = []

    def agent():
        try:
            goldore.score(dataset, out=tmp_path / "shared.h5", shared=True, **ALL)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=agent) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert_same(tmp_path / "one.h5", tmp_path / "shared.h5")
    features = [np.load(tmp_path / f"{name}-features.npy") for name in ("one", "shared")]
    np.testing.assert_array_equal(*features)
    assert files_in(tmp_path) == {
        "one.h5", "shared.h5", "one-features.npy", "shared-features.npy",
    }  # fmt: skip


def test_a_file_that_is_there_grows(tmp_path):
    dataset, about = make_dataset(), {"recipe": RECIPE, "device": "cpu", "ensemble_size": 1}
    goldore.score(dataset, out=tmp_path / "x.h5", trials=2, **about)
    before = load_scores(tmp_path / "x.h5")
    goldore.score(dataset, out=tmp_path / "x.h5", trials=2, shared=True, **about)  # nothing to do
    assert load_scores(tmp_path / "x.h5").updated == before.updated
    goldore.score(dataset, out=tmp_path / "x.h5", trials=5, shared=True, **about)
    goldore.score(dataset, out=tmp_path / "y.h5", trials=5, **about)
    assert_same(tmp_path / "x.h5", tmp_path / "y.h5")


def test_another_run_is_refused_before_anything_is_trained(tmp_path):
    dataset, about = make_dataset(), {"device": "cpu", "out": tmp_path / "x.h5"}
    goldore.score(dataset, trials=1, recipe=RECIPE, **about)
    with pytest.raises(ScoreFileError, match="holds another run"):
        goldore.score(dataset, trials=2, recipe=replace(RECIPE, lr=0.5), shared=True, **about)
    assert files_in(tmp_path) == {"x.h5"}


def test_agents_of_another_run_are_told_apart(tmp_path):
    meeting = Meeting(tmp_path / "x.h5", {"wanted": {"loss": 3}, "loss": {"lr": 1}})
    assert meeting.open(lambda: [Block("loss", 0, 3)], lambda: None)
    with pytest.raises(ScoreFileError, match=r"x\.h5\.shared holds a shared run that is another one \(loss"):
        Meeting(tmp_path / "x.h5", {"wanted": {"loss": 3}, "loss": {"lr": 2}}).open(list, lambda: None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"overwrite": True},
        {"trial_range": range(2)},
        {"estimator": "shrunk"},
        {"max_seconds": 1.0},
        {"utility_trials": None},
        {"utility": replace(ALL["utility"], subset_per_class=None)},
    ],
)
def test_what_agents_cannot_know_is_refused(tmp_path, wrong):
    about = {**ALL, "scores": "MonteCarlo", "features": False, **wrong}
    if "trial_range" in wrong:
        about["utility_trials"] = None
    with pytest.raises(UsageError, match="`shared`"):
        goldore.score(make_dataset(), out=tmp_path / "x.h5", shared=True, **about)
    assert files_in(tmp_path) == set()


def test_a_trial_that_diverges_is_kept_as_such(tmp_path, monkeypatch):
    diverge(monkeypatch, make_trials(0, [1]))
    about = {"recipe": RECIPE, "device": "cpu", "ensemble_size": 1, "trials": 3}
    goldore.score(make_dataset(), out=tmp_path / "one.h5", **about)
    goldore.score(make_dataset(), out=tmp_path / "shared.h5", shared=True, **about)
    assert load_scores(tmp_path / "shared.h5").loss_trials.failed == (1,)
    assert_same(tmp_path / "one.h5", tmp_path / "shared.h5")


def test_where_all_diverge_nothing_is_left(tmp_path):
    about = {"recipe": replace(RECIPE, lr=1e30), "device": "cpu", "ensemble_size": 1, "trials": 2}
    with pytest.raises(GoldoreError, match="every trial diverged"):
        goldore.score(make_dataset(), out=tmp_path / "x.h5", shared=True, **about)
    assert files_in(tmp_path) == set()


def test_blocks_are_trained_as_the_file_has_it(tmp_path):
    dataset = make_dataset()
    about = {"device": "cpu", "ensemble_size": 1}
    blocks = replace(RECIPE, shuffle="blocks:4:16", precision="float32")
    goldore.score(dataset, out=tmp_path / "x.h5", recipe=blocks, scores="LossInit,EL2N", trials=1, **about)
    goldore.score(
        dataset, out=tmp_path / "x.h5", recipe=RECIPE, scores="LossInit", trials=3, shared=True, **about
    )
    goldore.score(dataset, out=tmp_path / "y.h5", recipe=blocks, scores="LossInit,EL2N", trials=3, **about)
    assert_same(tmp_path / "x.h5", tmp_path / "y.h5")


def test_agents_take_what_the_first_one_has_settled(tmp_path, monkeypatch):
    dataset, done = make_dataset(), []
    first = threading.Event()
    real = scoring._train_block

    def slow(*given):
        if not done:
            first.wait(30)
        real(*given)
        done.append(given[5].recipe.shuffle)

    monkeypatch.setattr(scoring, "_train_block", slow)
    about = {"device": "cpu", "ensemble_size": 1, "trials": 2, "shared": True, "out": tmp_path / "x.h5"}
    blocks = replace(RECIPE, shuffle="blocks:4:16")
    agent = threading.Thread(target=goldore.score, args=(dataset,), kwargs={"recipe": blocks, **about})
    agent.start()
    while not (tmp_path / "x.h5.shared" / "plan.json").exists():
        time.sleep(0.01)
    first.set()
    goldore.score(dataset, recipe=RECIPE, **about)  # which would be exact
    agent.join()
    assert set(done) == {"blocks:4:16"}


def test_what_an_agent_left_that_was_killed_while_it_joined_is_removed(tmp_path):
    about = {"recipe": RECIPE, "device": "cpu", "trials": 1}
    goldore.score(make_dataset(), out=tmp_path / "x.h5", **about)
    (tmp_path / "x.h5.shared").mkdir()
    (tmp_path / "x.h5.shared" / "loss-0-1.h5").write_text("of before")
    goldore.score(make_dataset(), out=tmp_path / "x.h5", shared=True, **about)
    assert files_in(tmp_path) == {"x.h5"}


class TestClaims:
    """Who has a block, and for how long."""

    @pytest.fixture
    def meet(self, tmp_path):
        """An agent of a meeting with one block."""

        def make(dead_after=180):
            meeting = Meeting(tmp_path / "x.h5", {}, dead_after)
            meeting.open(lambda: [Block("loss", 0, 1)], lambda: None)
            return meeting

        return make

    def test_one_alone_has_it_until_it_is_given_back(self, meet):
        one, other = meet(), meet()
        (block,) = one.blocks
        with one.claimed(block) as mine, other.claimed(block) as others:
            assert mine
            assert not others
        with other.claimed(block) as others:
            assert others

    def test_it_is_given_back_after_an_error(self, meet):
        one, other = meet(), meet()
        (block,) = one.blocks
        with pytest.raises(KeyboardInterrupt), one.claimed(block):
            raise KeyboardInterrupt
        with other.claimed(block) as others:
            assert others

    def test_one_that_was_not_touched_is_taken_over(self, meet, monkeypatch):
        monkeypatch.setattr(Meeting, "_touch", lambda *_: None)
        one, other, third = meet(0.3), meet(0.3), meet(0.3)
        (block,) = one.blocks
        with one.claimed(block) as mine:
            assert mine
            time.sleep(0.5)
            with other.claimed(block) as others, third.claimed(block) as thirds:
                assert others
                assert not thirds
            with third.claimed(block) as thirds:
                assert thirds  # given back by the other; the first must not take it away
                assert (third.folder / "loss-0-1.claim").read_text() == third._me
        assert not (one.folder / "loss-0-1.claim").exists()

    def test_one_that_another_has_just_claimed_is_put_back(self, meet, monkeypatch):
        one, other = meet(60), meet(60)
        (block,) = one.blocks
        claim = one.folder / "loss-0-1.claim"
        claim.write_text("alive")
        answers = iter([True])  # as if it were of a dead agent at the first look
        real = Meeting._is_dead
        monkeypatch.setattr(Meeting, "_is_dead", lambda self, path: next(answers, None) or real(self, path))
        with other.claimed(block) as mine:
            assert not mine
        assert claim.read_text() == "alive"
        assert {each.name for each in one.folder.iterdir()} == {"plan.json", "loss-0-1.claim"}

    def test_one_that_is_touched_is_kept(self, meet):
        one, other = meet(0.4), meet(0.4)
        (block,) = one.blocks
        with one.claimed(block) as mine:
            assert mine
            for _ in range(6):
                time.sleep(0.15)
                with other.claimed(block) as others:
                    assert not others

    def test_the_lock_file_of_a_dead_machine_is_removed(self, meet, monkeypatch):
        one = meet(0.1)
        (block,) = one.blocks
        (one.folder / "loss-0-1.claim").write_text("gone")
        lock = one.folder / "loss-0-1.h5.lock"
        lock.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
        time.sleep(0.3)
        with one.claimed(block) as mine:
            assert mine
            assert not lock.exists()

    def test_a_block_whose_agent_lives_after_all_is_left_alone(self, meet):
        one = meet()
        (block,) = one.blocks

        def locked(*_):
            raise LockedError("x")

        assert not agents._did(one, block, locked)
        assert one.left() == [block]

    def test_who_joins_is_waited_for(self, meet):
        one = meet()
        with writing_to(one._path):
            assert not one.join(lambda: None)
        assert one.is_open()


def dies_soon():
    agents.DEAD_AFTER, agents._BETWEEN_LOOKS = 2.0, 0.1


@pytest.mark.slow
def test_an_agent_that_dies_is_replaced(tmp_path):
    npz = write_npz(tmp_path / "d.npz")
    words = ("score", npz, *LOSS, "--epochs", 40, "--trials", 6, "--batch-size", 16, "--compile", "off",
             "--device", "cpu", "--checkpoint", "0s", "--verbose")  # fmt: skip

    def start(*more):
        return Forked([*words, *more], tmp_path, environment(), prepare=dies_soon)

    alone = start("--out", "one.h5")
    assert alone.wait(300) == 0
    workers = [start("--out", "x.h5", "--shared") for _ in range(3)]
    folder, until = tmp_path / "x.h5.shared", time.monotonic() + 120
    while time.monotonic() < until and not list(folder.glob("loss*.checkpoint")):
        time.sleep(0.02)
    (checkpoint, *_) = folder.glob("loss*.checkpoint")
    claim = folder / f"{checkpoint.name.split('.h5')[0]}.claim"
    dead = int(claim.read_text().split("-")[-2])
    victim = next(worker for worker in workers if worker.pid == dead)
    os.kill(victim.pid, signal.SIGKILL)
    said = ""
    for worker in workers:
        _, error = worker.communicate(timeout=300)
        said += error
        assert worker.returncode == (-signal.SIGKILL if worker is victim else 0), error
    assert "resumed in epoch" in said
    assert_same(tmp_path / "one.h5", tmp_path / "x.h5")
    assert files_in(tmp_path) == {"d.npz", "one.h5", "x.h5"}
