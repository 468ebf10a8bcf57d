"""What the tests of the command line share: the command as a process, and one tiny scored dataset."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from goldore.datasets.dataset import ImageDataset
from goldore.scores import SCORES
from goldore.scores.estimators import Estimate
from goldore.store import Header, Score, write_new
from goldore.store.format import text_array
from tests.conftest import contents, edited
from tests.forked import forked_goldore

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 300
TINY = ("--width", "4", "--depth", "1", "--epochs", "2")


def environment(**extra):
    """The caller's environment, with the checkout on the path and nothing that changes what is printed."""
    left_out = {"GOLDORE_CACHE", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "PYTHONWARNINGS"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    fixed = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    return {**kept, **fixed, **extra}


def run_goldore(*args, cwd, python=(), env=None):
    """Run a goldore command in a process, of its own interpreter where a test is about that."""
    if not python and not {"PYTHONPATH", "PYTHONWARNINGS"} & {*(env or {})}:
        return forked_goldore([*map(str, args)], cwd, environment(**(env or {})), TIMEOUT)
    return subprocess.run(
        [sys.executable, *python, "-m", "goldore", *map(str, args)],
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture(scope="session")
def repository():
    return ROOT


@pytest.fixture(scope="session")
def goldore_environment():
    return environment


@pytest.fixture
def goldore(tmp_path):
    """Run a goldore command in tmp_path: goldore("prune", file, ..., python=[...], env={...})."""

    def run(*args, python=(), env=None):
        return run_goldore(*args, cwd=tmp_path, python=python, env=env)

    return run


@pytest.fixture(scope="session")
def goldore_in():
    """Run a goldore command in a folder of choice: goldore_in(folder, "score", ...)."""

    def run(folder, *args, env=None):
        return run_goldore(*args, cwd=folder, env=env)

    return run


@pytest.fixture(scope="session")
def goldore_here():
    """Run a goldore command in this process and folder: goldore_here("inspect", ..., env={...})."""

    def run(*args, env=None):
        done = CliRunner().invoke(app, [*map(str, args)], env={"COLUMNS": "80", **(env or {})})
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done

    return run


@pytest.fixture
def snapshot(tmp_path):
    """Every file below tmp_path with its bytes, hidden ones included."""

    def take():
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in files}

    return take


@pytest.fixture(scope="session")
def read_h5():
    """The arrays of an HDF5 file by path, read by plain h5py; attributes under "path@name"."""
    return contents


@pytest.fixture(scope="session")
def tiny_arrays():
    """60 grey images of 8x8 in 3 classes of 20; each class has a bright column of its own."""
    draw = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 24)
    images = draw.integers(0, 120, (72, 8, 8))
    images[np.arange(72), :, 2 * labels] += 100
    images = images.astype(np.uint8)
    return {
        "x_train": images[:60],
        "y_train": labels[:60],
        "x_test": images[60:],
        "y_test": labels[60:],
        "class_names": np.array(["left", "middle", "right"]),
    }


@pytest.fixture(scope="session")
def tiny_npz(tiny_arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, **tiny_arrays)
    return path


@pytest.fixture(scope="session")
def tiny_options():
    """What makes a run tiny; part of every scoring command here."""
    return TINY


@pytest.fixture(scope="session")
def tiny_run(tiny_npz, tmp_path_factory):
    """Two trials with the default output path: (folder it ran in, what it printed)."""
    folder = tmp_path_factory.mktemp("tiny")
    shutil.copy(tiny_npz, folder)
    done = run_goldore("score", "tiny.npz", *TINY, "--trials", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="session")
def tiny_scores(tiny_run):
    """The score file of `tiny_run`; read it only, `score_file` is a copy to work on."""
    return tiny_run[0] / "scores_cache" / "tiny.h5"


@pytest.fixture(scope="session")
def one_trial_run(tiny_npz, tmp_path_factory):
    """One trial, with a mean and a standard deviation of the user's: (folder, what it printed)."""
    folder = tmp_path_factory.mktemp("one")
    shutil.copy(tiny_npz, folder)
    options = (*TINY, "--trials", 1, "--mean", "0.5", "--std", "0.25", "--out", "one.h5")
    done = run_goldore("score", "tiny.npz", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="session")
def write_scores():
    """Write a score file without training: random images of such a dataset, and LossConverge at random."""

    def write(path, counts, name="CIFAR10", source="torchvision.datasets.CIFAR10 in data"):
        draw = np.random.default_rng(0)
        labels = draw.permutation(np.repeat(np.arange(len(counts)), counts))
        images = draw.integers(0, 256, (len(labels), 3, 2, 2)).astype(np.uint8)
        names = tuple(f"class {label}" for label in range(len(counts)))
        header = Header.of(ImageDataset(name, images, labels, names, source))
        unknown = np.full(len(counts), np.nan)
        found = Estimate(
            values=draw.random(len(labels)),
            stderr=np.full(len(labels), np.nan),
            trials=0,
            reliability=np.nan,
            rank_reliability=np.nan,
            class_reliability=unknown,
            class_rank_reliability=unknown,
        )
        write_new(path, header, [Score.of(SCORES["LossConverge"], found)])
        return path

    return write


@pytest.fixture
def other_npz(tiny_arrays, tmp_path):
    """The samples of tiny.npz in another order, as other.npz in tmp_path, and that order."""
    order = np.random.default_rng(9).permutation(60)
    changed = {name: tiny_arrays[name][order] for name in ("x_train", "y_train")}
    np.savez(tmp_path / "other.npz", **{**tiny_arrays, **changed})
    return order


@pytest.fixture
def data_file(tiny_npz, tmp_path):
    """tiny.npz in tmp_path."""
    return Path(shutil.copy(tiny_npz, tmp_path))


@pytest.fixture
def score_file(tiny_scores, tmp_path):
    """A copy of the tiny score file in tmp_path, scores.h5."""
    return Path(shutil.copy(tiny_scores, tmp_path / "scores.h5"))


@pytest.fixture
def long_names(score_file):
    """Class names wider than a screen, and one that looks like markup, in `score_file`."""
    names = ["tench, Tinca tinca, " + "a fish of many names, " * 4 + "and more", "n" * 90, "[bold]x[/bold]"]
    with edited(score_file) as file:
        file["dataset"].attrs["class_names"] = text_array(names)
    return names
