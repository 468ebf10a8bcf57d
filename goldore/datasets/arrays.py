"""Arrays in a file: .npz and .h5 with x_train, y_train and optionally x_test, y_test and class_names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.datasets.pixels import Channels, images_from_array, labels_from_array, numbered_classes
from goldore.errors import DatasetError, reason
from goldore.files.untrusted import read_hdf5, read_npz

_NUMBERS, _NAMES = "biufc", "SU"
_KINDS = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), _NUMBERS) | {"class_names": _NAMES}


def load_arrays(path: Path, name: str, channels: Channels = "auto") -> ImageDataset:
    """Read a dataset from a .npz or .h5 file; no pickles, no external links.

    Args:
        path: holds x_train [N, H, W(, C)] or [N, C, H, W], y_train [N], and optionally x_test, y_test and
            class_names.
        name: of the dataset.
        channels: where the channels are; "auto" detects it and says so in the notes.

    Returns:
        The dataset. Without class_names the classes are called "0", "1", ...

    Raises:
        DatasetError: if the file is damaged, lacks an array, or the arrays do not fit.
    """
    try:
        arrays = read_npz(path, _KINDS) if path.suffix == ".npz" else read_hdf5(path, _KINDS)
    except Exception as error:
        kind = ".npz without pickles" if path.suffix == ".npz" else "HDF5"
        raise DatasetError(f"{path} cannot be read as {kind} ({reason(error)}); write it again.") from error
    for key in ("x_train", "y_train"):
        if key not in arrays:
            raise DatasetError(f"{path} has no array {key}; it must hold x_train and y_train.")
    images, notes = images_from_array(arrays["x_train"], f"x_train in {path.name}", channels)
    labels = labels_from_array(arrays["y_train"], f"y_train in {path.name}")
    test_images = test_labels = None
    if "x_test" in arrays:
        test_images, test_notes = images_from_array(arrays["x_test"], f"x_test in {path.name}", channels)
        notes += test_notes
    if "y_test" in arrays:
        test_labels = labels_from_array(arrays["y_test"], f"y_test in {path.name}")
    return ImageDataset(
        name=name,
        images=images,
        labels=labels,
        class_names=_class_names(arrays, labels, path),
        origin=Origin("arrays", path=str(path)),
        test_images=test_images,
        test_labels=test_labels,
        notes=tuple(notes),
    )


def _class_names(
    arrays: Mapping[str, NDArray[Any]], labels: NDArray[np.int64], path: Path
) -> tuple[str, ...]:
    if "class_names" not in arrays:
        return numbered_classes(labels)
    if arrays["class_names"].ndim != 1:
        raise DatasetError(f"class_names in {path} must be a list with one name a class.")
    return tuple(
        each.decode(errors="replace") if isinstance(each, bytes) else str(each)
        for each in arrays["class_names"].tolist()
    )
