"""TensorFlow Datasets, in the order in which they are read there, which is no other loader's."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.errors import DatasetError, reason
from goldore.files.optional import optional

PREFIX = "tfds:"
NAMES = {
    "MNIST": "mnist",
    "FashionMNIST": "fashion_mnist",
    "KMNIST": "kmnist",
    "SVHN": "svhn_cropped",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "STL10": "stl10",
}
"""Known datasets by their names there."""
_TEST_SPLITS = ("test", "validation")


def load_tfds(name: str, title: str, data_root: Path, *, download: bool = False) -> ImageDataset:
    """Read a dataset in the order of `builder.as_dataset(split="train", as_supervised=True)`.

    Args:
        name: of the builder, for example "mnist".
        title: of the dataset in files and tables.
        data_root: the folder that TensorFlow Datasets calls data_dir.
        download: fetch and prepare it if it is not there.

    Returns:
        The dataset.

    Raises:
        UsageError: if TensorFlow Datasets is not installed.
        DatasetError: if the data are not there, or are no labelled images of one size.
    """
    tfds = optional("tensorflow_datasets", f"reading {PREFIX}{name}", "tfds")
    try:
        builder = tfds.builder(name, data_dir=str(data_root))
        if download:
            builder.download_and_prepare()
        splits = list(builder.info.splits)
        train, labels = _read(tfds, builder, "train")
        names = tuple(str(each) for each in builder.info.features["label"].names)
        test = next((each for each in _TEST_SPLITS if each in splits), None)
        test_images, test_labels = _read(tfds, builder, test) if test else (None, None)
    except Exception as error:
        raise DatasetError(
            f"{PREFIX}{name} cannot be read from {data_root} ({reason(error)}); give its data_dir as "
            "`data_root`, or use `download`."
        ) from error
    return ImageDataset(
        name=title,
        images=train,
        labels=labels,
        class_names=names,
        origin=Origin("tfds", name=builder.info.full_name),
        test_images=test_images,
        test_labels=test_labels,
    )


def _read(tfds: Any, builder: Any, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    items = tfds.as_numpy(builder.as_dataset(split=split, as_supervised=True, shuffle_files=False))
    images, labels = zip(*items, strict=True)
    if len({image.shape for image in images}) > 1:
        raise ValueError("its images differ in size")
    return np.stack(images).transpose(0, 3, 1, 2).copy(), np.array(labels, dtype=np.int64)
