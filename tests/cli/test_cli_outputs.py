"""What is written where: nothing that is read is replaced, and closed pipes end in order."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from goldore.report.kept import what_is_kept
from goldore.store import load_scores
from tests.cli.conftest import environment
from tests.report.making import noise, scored


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a.h5, its images arrays.npz, and a list of it."""
    folder = tmp_path_factory.mktemp("outputs")
    dataset = noise((12, 15, 18))
    scored(folder / "a.h5", dataset, 2, 6)
    np.savez(folder / "arrays.npz", x_train=dataset.images, y_train=dataset.labels)
    values = load_scores(folder / "a.h5").scores["LossInit"].values
    (folder / "noise_LossInit.json").write_text(json.dumps(values.tolist()))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "here")


@pytest.fixture
def refused(folder, goldore_in):
    """Run a command that is refused with one sentence; every file stays as it was."""

    def run(*arguments):
        before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        done = goldore_in(folder, *arguments)
        sentence = " ".join(done.stderr.split())
        assert (done.returncode, done.stdout, sentence.count("error: ")) == (2, "", 1), sentence
        assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
        return sentence

    return run


LIST = "noise_LossInit.json"
REFUSED = [
    ("inspect a.h5 --report a.h5 --overwrite", "what is read"),
    ("inspect a.h5 --csv a.h5 --overwrite", "what is read"),
    ("inspect a.h5 --csv ./b.h5 --overwrite", "is a score file"),
    (f"inspect a.h5 {LIST} --report {LIST} --overwrite", "what is read"),
    ("inspect a.h5 --dataset arrays.npz --report arrays.npz --overwrite", "what is read"),
    (f"import {LIST} --dataset arrays.npz --out {LIST}", "exists"),
    (f"import {LIST} --dataset arrays.npz --out link.json --overwrite", "the list itself"),
    ("inspect a.h5 --report -", "- is none"),
    ("inspect a.h5 --report sub --overwrite", "is a folder"),
    ("inspect a.h5 --csv pipe --overwrite", "no ordinary file"),
    ("inspect a.h5 --figures arrays.npz --overwrite", "is a file"),
    ("inspect a.h5 --csv new.csv --sample 3", "--sample"),
    ("inspect a.h5 --report new.html --verbose", "--verbose"),
    ("inspect a.h5 --data-root nowhere", "--data-root"),
    ("export a.h5 lists --name=", "--name"),
    ("inspect a.h5 MNIST_LossInit.json", "about MNIST by its name"),
    ("import MNIST_LossInit.json --dataset arrays.npz", "about MNIST by its name"),
]


@pytest.mark.parametrize(("command", "says"), REFUSED)
def test_what_would_be_lost_or_makes_no_sense_is_refused(command, says, folder, refused):
    shutil.copy(folder / "a.h5", folder / "b.h5")
    shutil.copy(folder / "noise_LossInit.json", folder / "MNIST_LossInit.json")
    (folder / "link.json").symlink_to("noise_LossInit.json")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    assert says in refused(*command.split())


def test_a_missing_list_is_named(folder, goldore_in):
    for arguments in (("inspect", "a.h5", "nope.json"), ("import", "nope.json", "--dataset", "arrays.npz")):
        done = goldore_in(folder, *arguments)
        assert done.returncode == 1
        assert "there is no file nope.json" in " ".join(done.stderr.split())


@pytest.mark.parametrize("arguments", [("--csv", "-"), ()])
def test_a_reader_that_goes_away_ends_it_quietly(arguments, tmp_path):
    scored(tmp_path / "large.h5", noise((4000, 4000), side=2), 2)
    command = [sys.executable, "-m", "goldore", "inspect", "large.h5", "--verbose"][
        : -1 if arguments else None
    ]
    with subprocess.Popen(
        [*command, *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() != 0


def test_a_closed_stdout_is_told(folder):
    command = f"exec {sys.executable} -m goldore inspect a.h5 --csv - >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert "there is no stdout" in " ".join(done.stderr.split())


def test_prune_and_inspect_state_the_same_chance(tmp_path, goldore_in):
    scored(tmp_path / "a.h5", noise((4, 4, 4, 200), side=2), 4)
    options = ("--criterion", "LossConverge_large", "--keep-ratio", "0.05")
    chance = what_is_kept(load_scores(tmp_path / "a.h5"), options[1], keep_ratio="0.05").chance_overlap
    assert chance > 0.08  # of the small classes a quarter is kept
    for command in ("inspect", "prune"):
        done = goldore_in(tmp_path, command, "a.h5", *options)
        assert f"({chance:.0%} by chance)" in done.stdout, done.stderr
