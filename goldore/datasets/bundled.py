"""The bundled dataset: a sample of Fashion-MNIST (Xiao et al. 2017, MIT licence)."""

from dataclasses import replace
from importlib.resources import as_file, files

from goldore.datasets.arrays import load_arrays
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin


def load_bundled(name: str) -> ImageDataset:
    """Read the bundled sample: the first 300 training and 100 test images of each class, in their order.

    Args:
        name: of the dataset.

    Returns:
        The dataset; sample i of it is position `positions[i]` of Fashion-MNIST's training set, an array
        that lies in the same file.
    """
    with as_file(files("goldore.datasets") / "fashion_mnist_sample.npz") as path:
        return replace(load_arrays(path, name), origin=Origin("bundled"))
