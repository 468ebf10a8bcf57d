"""The command that a file is made by, pasted into a shell: it makes a file of the same recipes and trials."""

import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from goldore import load_scores
from goldore.report.commands import _dataset, _scores, command_of
from tests.report.making import scored

TINY = ("--width", "4", "--depth", "1")
KINDS = ("loss", "fold", "utility", "kernel", "check")
RUNS = {
    "losses": [("--epochs", "2", "--trials", "1")],
    "all of it": [
        (
            *("--scores", "LossInit,AUM", "--epochs", "3", "--trials", "1", "--lr", "0.02", "--seed", "3"),
            *("--mean", "0.4914", "--std", "0.25", "--precision", "bf16", "--converge-epochs", "2"),
            *("--lr-schedule", "cosine", "--augment", "flip-crop", "--name", "other", "--channels", "first"),
        )
    ],
    "kernels beside losses": [
        ("--epochs", "2", "--trials", "1"),
        (
            *("--scores", "KernelUtility", "--trials", "3", "--kernel-networks", "2", "--width", "8"),
            *("--subset-per-class", "2", "--eval-per-class", "0"),
        ),
    ],
    "utilities": [
        (
            *(
                "--scores",
                "MonteCarlo",
                "--trial",
                "kernel",
                "--kernel-fit",
                "ridge",
                "--kernel-ridge",
                "0.2",
            ),
            *("--kernel-networks", "2", "--utility-trials", "30", "--outcome", "margin", "--eval-split"),
            *("heldout", "--estimator", "in-mean"),
        )
    ],
    "distilled": [
        (
            *(
                "--scores",
                "MonteCarlo",
                "--trial",
                "distill",
                "--distill-method",
                "dc",
                "--distill-steps",
                "1",
            ),
            *("--subset-per-class", "2", "--utility-trials", "4", "--steps", "2", "--common-init", "2"),
        )
    ],
    "checked": [
        (
            *("--scores", "KernelUtility", "--trials", "2", "--check-trials", "20", "--steps", "2"),
            *("--batch-size", "16", "--seed", "1"),
        )
    ],
    "folds of a part": [
        ("--scores", "HeldOutLoss", "--folds", "3", "--epochs", "2", "--trial-range", "1:2"),
    ],
    "another family": [("--network", "resnet18,width=4,norm=group", "--epochs", "1", "--trials", "1")],
}


def told(path):
    """What trials of a file share, and their numbers."""
    file = load_scores(path)
    return {
        kind: (trials.recipe, trials.base_seed, [*trials.done, *trials.failed])
        for kind in KINDS
        for trials in [file.trials_of(kind)]
        if trials is not None
    } | {"scores": file.score_names, "dataset": file.dataset.name, "print": file.dataset.fingerprint}


def paste(command, out, goldore_here):
    """Run what was printed, into another file."""
    for each in command.split(" && "):
        words = shlex.split(each)
        words[words.index("--out") + 1] = str(out)
        done = goldore_here(*words[1:])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", RUNS)
def test_it_makes_such_a_file(name, goldore_here, data_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in RUNS[name]:
        size = () if "--network" in options else TINY[2:] if "--width" in options else TINY
        done = goldore_here("score", data_file.name, *size, *options, "--out", "a b.h5")
        assert done.exit_code == 0, done.output
    command = command_of(load_scores("a b.h5"))
    paste(command, "again.h5", goldore_here)
    assert told("again.h5") == told("a b.h5")
    assert ("--mean 0.4914 --std 0.25" in command) == (name == "all of it")
    assert len(command.split(" && ")) == len(RUNS[name])


def test_photographs(goldore_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        folder = tmp_path / "MNIST" / ("cat", "dog", "emu")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 16), (20 * number, 60, 90)).save(folder / f"{number}.png")
    options = ("--image-size", "8", "--epochs", "1", "--trials", "1", "--classes", "cat,emu")
    done = goldore_here("score", "./MNIST", *TINY, *options, "--name", "pets", "--out", "pets.h5")
    assert done.exit_code == 0, done.output
    command = command_of(load_scores("pets.h5"))
    assert command.startswith("goldore score ./MNIST --name pets --image-size 8 ")


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"classes": ("cat", "emu")}, ["--classes", "cat,emu"]),
        ({"channels": "last"}, ["--channels", "last"]),
        ({"channels": "auto", "classes": None, "image_size": 32}, ["--image-size", "32"]),
    ],
)
def test_how_the_images_were_read(about, words):
    origin = SimpleNamespace(**({"kind": "folder", "name": "", "path": "a/pets", "image_size": None} | about))
    file = SimpleNamespace(dataset=SimpleNamespace(origin=origin, name="pets"))
    assert _dataset(file) == ["a/pets", *words]


def test_a_score_of_ones_own_is_named_as_far_as_it_is_known(dataset, tmp_path):
    trials = load_scores(scored(tmp_path / "s.h5", dataset)).loss_trials
    own = replace(trials, scores=(*trials.scores, replace(trials.scores[0], name="Mine")))
    assert _scores(own) == ["LossInit", "LossConverge", "package.module:Mine"]
