"""Arrays in a file: .npz and .h5 with x_train, y_train and optionally x_test, y_test and class_names."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.pixels import Channels, images_from_array, labels_from_array, numbered_classes
from goldore.errors import DatasetError

_KEYS = ("x_train", "y_train", "x_test", "y_test", "class_names")


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
    arrays = _read_npz(path) if path.suffix == ".npz" else _read_h5(path)
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
        source=f"arrays in {path}",
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


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in _KEYS if key in archive}
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        TypeError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise DatasetError(
            f"{path} cannot be read as .npz without pickles ({error}); write it again."
        ) from error


def _read_h5(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with h5py.File(path, "r") as file:
            found = {}
            for key in _KEYS:
                link = file.get(key, getlink=True)
                if link is None:
                    continue
                node = file[key] if isinstance(link, h5py.HardLink) else None
                if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual:
                    raise DatasetError(f"{key} in {path} is no array in the file itself; store it there.")
                found[key] = np.asarray(node[()])
            return found
    except (OSError, RuntimeError, ValueError, KeyError, MemoryError) as error:
        raise DatasetError(f"{path} cannot be read as HDF5 ({error}); write it again.") from error
