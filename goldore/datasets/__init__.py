"""Datasets: from a name, a folder, a file or a function to one in-memory form.

`load_dataset` is the only door; each kind of source is one module behind it. To add a source, write a module
with a function that returns an `ImageDataset`, and name it in `goldore.datasets.load`.

`classes` has the samples by class, `origin` says where images come from, `cache` keeps decoded images.

May import: files.
"""

from typing import TYPE_CHECKING

from goldore.datasets.dataset import ImageDataset
from goldore.deferred import deferred

if TYPE_CHECKING:
    from goldore.datasets.load import load_dataset

__all__ = ["ImageDataset", "load_dataset"]
__getattr__ = deferred(__name__, {"load_dataset": "goldore.datasets.load"})
