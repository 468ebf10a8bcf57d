"""Shared fixtures. One thread a process: the tests run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported anywhere
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before cuBLAS starts, for deterministic runs

import gc
import signal
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import h5py
import hypothesis
import numpy as np
import pytest

from goldore.datasets import load_dataset
from goldore.datasets.dataset import ImageDataset
from goldore.store import DatasetInfo, Score, ScoreFile
from goldore.store.reading import read_header
from goldore.store.seal import seal
from goldore.store.trial_kinds import KINDS
from goldore.trials.seeds import Stream

pytest_plugins = ["tests.cuda_rules"]

# nohup and background shells ignore these, and so would every process that a test starts.
for _name, _usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    _signal = getattr(signal, _name, None)
    if _signal is not None and signal.getsignal(_signal) is signal.SIG_IGN:
        with suppress(ValueError):  # not in the main thread
            signal.signal(_signal, _usual)

hypothesis.settings.register_profile("no deadline", deadline=None)  # machines under load are slow, not wrong
hypothesis.settings.load_profile("no deadline")


def pytest_collection_finish():
    """No test looks through all modules and tests for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers():
    """Three workers on two cores: some tests wait, for processes and disks."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@contextmanager
def edited(path):
    """A score file to change as if goldore had written it so: seal and digests are made to fit."""
    with h5py.File(path, "r+") as file:
        yield file
        with suppress(KeyError, ValueError):  # what is taken out cannot be made to fit
            header = read_header(file)
            for kind in KINDS.values():
                if kind.group in file:
                    group, rows = file[kind.group], np.flatnonzero(file[kind.group]["done"][()])
                    columns = kind.columns_at(group, rows)
                    group["digest"][rows] = kind.digests_of(kind.key_in(file, header), rows, columns)
    seal(path)


def contents(path):
    """All arrays of an HDF5 file by path, read by plain h5py; attributes under "path@name"."""
    found = {}

    def visit(name, node):
        found.update({f"{name}@{key}": value for key, value in node.attrs.items()})
        if isinstance(node, h5py.Dataset):
            found[name] = node[()]

    with h5py.File(path, "r") as file:
        found.update({f"@{key}": value for key, value in file.attrs.items()})
        file.visititems(visit)
    return found


@pytest.fixture
def clothes():
    """Pieces of clothing that are easily taken for each other, 60 of each kind."""
    whole, kinds = load_dataset("FashionMNIST-sample"), (0, 2, 6)  # T-shirts, pullovers, shirts

    def some(labels, most):
        found = [np.flatnonzero(labels == kind)[:most] for kind in kinds]
        return np.concatenate(found), np.repeat(np.arange(len(kinds)), [len(each) for each in found])

    (kept, labels), (tested, test_labels) = some(whole.labels, 60), some(whole.test_labels, 60)
    return replace(
        whole,
        images=whole.images[kept],
        labels=labels,
        class_names=tuple(whole.class_names[kind] for kind in kinds),
        test_images=whole.test_images[tested],
        test_labels=test_labels,
    )


def make_dataset(counts=(20, 17, 23), side=8, channels=1, seed=0, tests=12):
    """Images that a small network can learn: each class is brighter in another corner."""
    draw = np.random.default_rng(seed)

    def split(labels):
        images = draw.integers(0, 120, (len(labels), channels, side, side))
        for position, label in enumerate(labels):
            row, column = divmod(int(label), 2)
            half = side // 2
            images[position, :, row * half : (row + 1) * half, column * half : (column + 1) * half] += 100
        return images.astype(np.uint8)

    labels = draw.permutation(np.repeat(np.arange(len(counts)), counts))
    test_labels = draw.integers(0, len(counts), tests)
    return ImageDataset(
        name="corners",
        images=split(labels),
        labels=labels.astype(np.int64),
        class_names=tuple(f"corner {label}" for label in range(len(counts))),
        source="made by the tests",
        test_images=split(test_labels) if tests else None,
        test_labels=test_labels.astype(np.int64) if tests else None,
    )


def make_score_file(values, labels, classes, name="LossConverge", reliability=0.9):
    """A score file in memory, with these values and standard errors of a tenth."""
    values, labels = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    names = tuple(f"class {label}" for label in range(classes))
    info = DatasetInfo("made", "train", len(labels), classes, names, (1, 8, 8), "f" * 64, "tests")
    per_class = np.full(classes, reliability)
    score = Score(
        values=values,
        stderr=values / 10,
        trials=4,
        reliability=reliability,
        rank_reliability=reliability,
        class_reliability=per_class,
        class_rank_reliability=per_class,
        name=name,
        definition="made by the tests",
        direction="high = hard",
        unit="nat",
    )
    return ScoreFile(Path("made.h5"), info, labels, (name,), {name: score}, None, "cpu", "", "now", "0", "2")


@pytest.fixture
def dataset():
    return make_dataset()


@pytest.fixture
def shared_data():
    """The folder of real data that stands beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the folder ../shared/data")
    return SHARED_DATA


def diverge(monkeypatch, trials):
    """Let the networks of these trials diverge: their first losses are infinite."""
    from goldore.networks.architecture import Architecture  # torch is imported where it is needed

    starts = [trial.stream(Stream.WEIGHTS).bit_generator.state for trial in trials]
    draw = Architecture.drawn

    def explode(architecture, stream):
        bad = stream.bit_generator.state in starts
        drawn = draw(architecture, stream)
        if bad:
            drawn["head.bias"][:] = np.inf
        return drawn

    monkeypatch.setattr(Architecture, "drawn", explode)
