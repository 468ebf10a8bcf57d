"""What goldore score leads to: a command that can be pasted, for every state of the scores."""

import shlex

import numpy as np
import pytest

TINY = ("--width", "4", "--depth", "1", "--trials", "3")
LEARNS = ("--epochs", "30", "--lr", "0.1")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def noise(here):
    """Images without a class to be seen; another folder has a space in its name."""
    draw = np.random.default_rng(0)
    names, images, labels = ("x_train", "x_test"), draw.integers(0, 256, (60, 8, 8)), np.tile([0, 1, 2], 20)
    arrays = {name: images.astype(np.uint8) for name in names}
    np.savez(here / "noise.npz", **arrays, y_train=labels, y_test=labels)
    return "noise.npz"


@pytest.fixture
def untested(here, tiny_arrays):
    np.savez(here / "no test.npz", x_train=tiny_arrays["x_train"], y_train=tiny_arrays["y_train"])
    return "no test.npz"


def next_of(done):
    assert done.exit_code == 0, done.output
    last = done.stdout.splitlines()[-1]
    assert last.startswith("next: goldore ")
    return last.removeprefix("next: ")


def test_scores_of_something_lead_to_a_study(goldore_here, data_file, here):
    done = goldore_here("score", data_file.name, *TINY, *LEARNS, "--out", "a b.h5")
    assert next_of(done) == "goldore study 'a b.h5' --ipc 1"
    again = goldore_here("score", data_file.name, *TINY, *LEARNS, "--out", "a b.h5")
    assert "written to" not in again.stdout
    assert "\nscores are in a b.h5\n" in again.stdout


def test_without_a_test_split_they_lead_to_a_page(goldore_here, untested):
    done = goldore_here("score", untested, *TINY, *LEARNS, "--out", "a b.h5")
    assert next_of(done) == "goldore inspect 'a b.h5' --report 'a b.html'"
    told = " ".join(done.stderr.split())
    assert "test none: no accuracy is measured, and goldore study cannot judge; folders train/ and" in told
    refused = goldore_here("study", "a b.h5", "--ipc", "1")
    assert "no test split" in refused.stderr
    assert "(folders train/ and val/ give one)" in " ".join(refused.stderr.split())


def test_networks_that_learned_nothing_are_trained_again(goldore_here, noise):
    done = goldore_here("score", noise, *TINY, "--epochs", "2", "--lr", "1e-5")
    command = next_of(done)
    assert "--epochs 30" in command
    assert command.endswith("--out scores_cache/noise-longer.h5")
    again = goldore_here(*shlex.split(command)[1:], "--dry-run")
    assert again.exit_code == 0, again.output
    assert "3 trials of 30 epochs" in again.stderr


def test_those_that_diverge_too(goldore_here, noise):
    command = next_of(goldore_here("score", noise, *TINY, "--epochs", "2", "--lr", "3"))
    assert "--lr 0.3 " in command
    assert command.endswith("--out scores_cache/noise-slower.h5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trials", "1", *LEARNS, "--width", "4", "--depth", "1"], ["--trials", "5"]),
        (
            ["--scores", "MonteCarlo", "--utility-trials", "12", "--trial", "kernel", "--depth", "1"],
            ["--utility-trials", "24"],
        ),
        (["--scores", "HeldOutLoss", "--fold-trials", "1", "--epochs", "1"], ["--fold-trials", "5"]),
    ],
)
def test_noise_leads_to_more_trials(options, words, goldore_here, noise):
    done = goldore_here("score", noise, "--out", "s.h5", *options)
    command = shlex.split(next_of(done))
    assert command == ["goldore", "extend", "s.h5", *words]
    more = goldore_here(*command[1:], "--dry-run")
    assert more.exit_code == 0, more.output


def test_a_part_leads_to_a_merge(goldore_here, data_file, here):
    done = goldore_here("score", data_file.name, *TINY[:4], *LEARNS, "--trial-range", "2:4", "--out", "p.h5")
    assert next_of(done).startswith("goldore merge p.h5 PART.h5 --out WHOLE.h5 ")
