"""A score file with loss and utility trials, to be damaged; and a way to see what is left of it."""

import shutil

import h5py
import numpy as np
import pytest

from tests.conftest import make_dataset
from tests.durability import runs


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """An intact score file; read it only, `file` is a copy to work on."""
    out = tmp_path_factory.mktemp("intact") / "whole.h5"
    runs.score(out, loss=4, utility=30)
    return out


@pytest.fixture(scope="session")
def npz(tmp_path_factory):
    """The tiny dataset as a file, for the command line."""
    path, dataset = tmp_path_factory.mktemp("data") / "corners.npz", make_dataset()
    images = {"x_train": dataset.images[:, 0], "x_test": dataset.test_images[:, 0]}
    np.savez(path, y_train=dataset.labels, y_test=dataset.test_labels, **images)
    return path


@pytest.fixture
def file(whole, tmp_path):
    """A copy of the intact file in a folder of its own."""
    (tmp_path / "run").mkdir()
    return shutil.copyfile(whole, tmp_path / "run" / "scores.h5")


@pytest.fixture(scope="session")
def trials_of():
    """Every trial of a file, as bytes: {("loss", 3): {"seed": ..., ...}, ...}."""

    def read(path):
        found = {}
        with h5py.File(path) as file:
            for kind in ("loss", "utility"):
                group = file.get(f"trials/{kind}", {})
                for number in np.flatnonzero(group["done"][()]) if group else ():
                    names = [name for name in group if name not in ("subset_sizes", "seconds")]
                    rows = {name: group[name][number].tobytes() for name in names}
                    found[kind, int(number)] = rows
        return found

    return read
