"""Runs of few, long trials that are killed within them go on where they were, and leave nothing behind."""

import re
import signal
import time

import numpy as np
import pytest

from goldore.store import features_path, load_scores
from tests.conftest import contents
from tests.durability import runs
from tests.forked import Forked

RECIPE = ("--width", "4", "--depth", "1", "--epochs", "60", "--trials", "2", "--batch-size", "16")
HOW = ("--device", "cpu", "--compile", "off", "--checkpoint", "0s", "--verbose")
ASKED = {
    "loss": ("--scores", "LossConverge,EL2N,Forgetting"),
    "fold": ("--scores", "HeldOutLoss", "--fold-trials", "1", "--folds", "2"),
}


def start(tmp_path, npz, kind, *more):
    asked = [npz, *RECIPE, *ASKED[kind]]
    if kind == "fold":
        place = asked.index("--trials")
        del asked[place : place + 2]
    return Forked(["score", *asked, *HOW, "--out", "x.h5", *more], tmp_path, runs.environment())


def same_numbers(one, other):
    left_out = ("seconds", "created", "updated")
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        if not any(each in name for each in left_out) and isinstance(values, np.ndarray):
            np.testing.assert_array_equal(values, second[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ASKED)
def test_a_trial_that_is_killed_goes_on_and_gives_the_same_numbers(tmp_path, npz, kind):
    whole = tmp_path / "whole"
    whole.mkdir()
    done = start(whole, npz, kind)
    done.communicate(timeout=300)
    assert done.returncode == 0
    said = ""
    for which in (signal.SIGKILL, signal.SIGTERM):
        process = start(tmp_path, npz, kind)
        until = time.monotonic() + 60
        before = {each.stat().st_mtime for each in tmp_path.glob("x.h5.*.checkpoint")}
        while time.monotonic() < until and process.poll() is None:  # until it was kept (again)
            if {each.stat().st_mtime for each in tmp_path.glob("x.h5.*.checkpoint")} - before:
                break
            time.sleep(0.02)
        time.sleep(0.02)
        process.send_signal(which)
        out, error = process.communicate(timeout=60)
        said += out + error
    if list(tmp_path.glob("x.h5.*.checkpoint")):
        assert "run the same command again to go on from there" in " ".join(said.split())
    end = start(tmp_path, npz, kind)
    out, error = end.communicate(timeout=300)
    assert end.returncode == 0, error
    assert re.search(r"resumed in epoch \d+ of 60", said + out + error)
    same_numbers(whole / "x.h5", tmp_path / "x.h5")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["whole", "x.h5"]


@pytest.mark.slow
def test_a_training_for_the_features_alone_goes_on_too(tmp_path, npz):
    done = start(tmp_path, npz, "loss", "--features")
    assert done.wait(timeout=300) == 0
    features = features_path(tmp_path / "x.h5")
    whole = np.load(features)
    features.unlink()
    process = start(tmp_path, npz, "loss", "--features")
    until = time.monotonic() + 60
    while not list(tmp_path.glob("x.h5.*.checkpoint")) and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert len(list(tmp_path.glob("x.h5.*.checkpoint"))) == 1
    assert not features.exists()
    end = start(tmp_path, npz, "loss", "--features")
    out, error = end.communicate(timeout=300)
    assert end.returncode == 0, error
    assert re.search(r"trial 1: resumed in epoch \d+ of 60", out + error)
    assert "nothing to do" not in out + error
    np.testing.assert_array_equal(np.load(features), whole)
    assert sorted(each.name for each in tmp_path.iterdir()) == [features.name, "x.h5"]


@pytest.mark.slow
def test_never_keeps_nothing_and_another_recipe_does_not_go_on_from_it(tmp_path, npz):
    process = start(tmp_path, npz, "loss")
    until = time.monotonic() + 60
    while not list(tmp_path.glob("x.h5.*.checkpoint")) and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    if (tmp_path / "x.h5").exists():
        pytest.skip("the first trial ended before it was killed")
    assert len(list(tmp_path.glob("x.h5.*.checkpoint"))) == 1
    other = start(tmp_path, npz, "loss", "--lr", "0.02", "--epochs", "2", "--trials", "1")
    out, error = other.communicate(timeout=300)
    assert other.returncode == 0, error
    assert "resumed" not in out + error
    assert list(tmp_path.glob("x.h5.*.checkpoint")) == []
    assert load_scores(tmp_path / "x.h5").loss_trials.recipe.lr == 0.02
