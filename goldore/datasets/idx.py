"""IDX files, the format of MNIST and its relatives, plain or gzipped, as they lie in a folder."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.datasets.pixels import numbered_classes
from goldore.errors import DatasetError, reason
from goldore.files.untrusted import check_dense

_UBYTE = 0x08  # the format's code for unsigned bytes, the only type MNIST and its relatives use
_STEMS = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def find_idx(folder: Path) -> dict[str, Path]:
    """Find the four files of an IDX dataset in a folder; the test pair may be missing.

    Args:
        folder: where `train-images-idx3-ubyte[.gz]` and the others lie.

    Returns:
        The paths under "train_images", "train_labels", "test_images" and "test_labels"; empty if the folder
        holds no training images in this format.
    """
    found = {}
    for key, stem in _STEMS.items():
        for candidate in (
            stem,
            stem + ".gz",
            stem.replace("-idx", ".idx"),
            stem.replace("-idx", ".idx") + ".gz",
        ):
            if (folder / candidate).is_file():
                found[key] = folder / candidate
                break
    return found if "train_images" in found else {}


def load_idx(folder: Path, name: str, class_names: tuple[str, ...] | None = None) -> ImageDataset:
    """Read an IDX dataset from the files in a folder.

    Args:
        folder: holds the files (see `find_idx`).
        name: of the dataset.
        class_names: None takes the numbers "0", "1", ... up to the largest label.

    Returns:
        The dataset, in the files' own order.

    Raises:
        DatasetError: if a file is missing, truncated or corrupted.
    """
    files = find_idx(folder)
    missing = [_STEMS[key] for key in ("train_images", "train_labels") if key not in files]
    if ("test_images" in files) != ("test_labels" in files):
        missing.append(_STEMS["test_labels" if "test_images" in files else "test_images"])
    if missing:
        raise DatasetError(f"{folder} lacks {' and '.join(missing)} (or the same with .gz); add it.")
    arrays = {key: read_idx(path) for key, path in files.items()}
    labels = arrays["train_labels"].astype(np.int64)
    if class_names is None:
        class_names = numbered_classes(labels)
    test_images = arrays.get("test_images")
    test_labels = arrays.get("test_labels")
    return ImageDataset(
        name=name,
        images=arrays["train_images"][:, None],
        labels=labels,
        class_names=class_names,
        origin=Origin("idx", path=str(folder)),
        test_images=test_images[:, None] if test_images is not None else None,
        test_labels=test_labels.astype(np.int64) if test_labels is not None else None,
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Args:
        path: the file, gzipped if its name ends in .gz.

    Returns:
        The array in the shape that the file's header states; 3 axes for images, 1 for labels.

    Raises:
        DatasetError: if the file is not IDX, truncated, too long or its compression is damaged.
    """
    axes = 3 if "idx3" in path.name else 1
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * axes)
            if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, _UBYTE, axes)):
                raise DatasetError(f"{path} is not an IDX file of bytes with {axes} axes; fetch it again.")
            shape = struct.unpack(f">{axes}I", header[4:])
            size = math.prod(shape)
            check_dense(max(size, *shape), path.stat().st_size)
            content = file.read(size)
            longer = bool(file.read(1))
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(f"{path} is corrupted or truncated ({reason(error)}); fetch it again.") from error
    if len(content) != size or longer:
        relation = "more" if longer else "less"
        raise DatasetError(
            f"{path} holds {relation} than the {size} bytes its header states; fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
