"""Programs to run with an index, and a stand-in for PyTorch that starts in no time.

As far as goldore's hook sees it, the stand-in is PyTorch: there are classes Dataset and Subset in
torch.utils.data.dataset.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

from goldore.datasets.classes import labels_digest
from goldore.selection.index_file import save_index

ROOT = Path(__file__).resolve().parents[2]
COUNT = 40
LABELS = np.random.default_rng(3).integers(0, 4, COUNT)
KEPT = np.array([2, 3, 11, 25, 26, 39])
ABOUT = {"dataset": "made", "num_samples": COUNT, "labels_sha256": labels_digest(LABELS)}
TORCH = """
class Dataset:
    pass


class Subset(Dataset):
    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, indices


class IterableDataset(Dataset):
    pass
"""
DATA = f"""
from torch.utils.data.dataset import Dataset


class Data(Dataset):
    def __init__(self, shift=0):
        labels = {LABELS.tolist()}
        self.labels = labels[shift:] + labels[:shift]
        self.images = list(range({COUNT}))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, at):
        return self.images[at], self.labels[at]
"""


def write(folder, script, name="program.py"):
    """Write a program that may `from data import Data` into a folder, with the stand-in; returns its path."""
    package = folder / "torch" / "utils" / "data"
    package.mkdir(parents=True, exist_ok=True)
    for each in (package, package.parent, package.parent.parent):
        (each / "__init__.py").touch()
    (folder / "torch" / "__init__.py").write_text("get_rng_state = int\nset_rng_state = bool\n")
    (package / "dataset.py").write_text(TORCH)
    (folder / "data.py").write_text(DATA)
    path = folder / name
    path.write_text(textwrap.dedent(script))
    return path


def make_index(folder, keep=KEPT, name="keep.npy", **more):
    return save_index(folder / name, keep, {**ABOUT, **more}, overwrite=True)


def goldore(*words, **fields):
    """Run the command line; returns the ended process."""
    command = [sys.executable, "-m", "goldore", *map(str, words)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120, **fields)
