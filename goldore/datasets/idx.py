"""IDX files, the format of MNIST and its relatives, plain or gzipped, as they lie in a folder."""

import gzip
import math
import re
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.labels import Classes
from goldore.datasets.origin import Origin
from goldore.datasets.reading import Findings
from goldore.errors import DatasetError, reason
from goldore.files.untrusted import check_dense

_UBYTE = 0x08  # the format's code for unsigned bytes, the only type MNIST and its relatives use
_STEMS = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_NAME = re.compile(  # emnist-letters-train-images-idx3-ubyte.gz, train-images.idx3-ubyte
    r"(?P<prefix>.*?)-?(?P<split>train|t10k|test)[-_.](?P<sort>image|label)s[-_.]idx[13][-_.]ubyte(\.gz)?"
)


def find_idx(folder: Path) -> dict[str, Path]:
    """Find the four files of an IDX dataset in a folder; the test pair may be missing.

    Args:
        folder: where `train-images-idx3-ubyte[.gz]` and the others lie; a prefix is allowed, as EMNIST has
            it.

    Returns:
        The paths under "train_images", "train_labels", "test_images" and "test_labels"; empty if the folder
        holds no training images in this format.

    Raises:
        DatasetError: if it holds several datasets that have training images and labels.
    """
    sets: dict[str, dict[str, Path]] = {}
    if not folder.is_dir():
        return {}
    for file in sorted(folder.iterdir(), key=lambda each: (len(each.name), each.name)):
        match = _match(file)
        if match is not None and file.is_file():
            split = "train" if match["split"].startswith("train") else "test"
            sets.setdefault(match["prefix"], {}).setdefault(f"{split}_{match['sort']}s", file)
    found = {prefix: files for prefix, files in sets.items() if "train_images" in files}
    found = {prefix: files for prefix, files in found.items() if "train_labels" in files} or found
    if len(found) > 1:
        raise DatasetError(
            f"{folder} holds several IDX datasets ({', '.join(sorted(found))}); put each into a folder of "
            "its own."
        )
    return next(iter(found.values()), {})


def _match(file: Path) -> re.Match[str] | None:
    return _NAME.fullmatch(file.name.lower())


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
    classes = Classes(arrays["train_labels"], files["train_labels"].name, class_names)
    test_images = test_labels = None
    if "test_labels" in arrays:
        test_labels = classes.number(arrays["test_labels"], files["test_labels"].name)
        test_images = arrays["test_images"][:, None]
    findings = Findings(notes=list(classes.notes))
    for split in ("train", "test"):
        if f"{split}_images" in arrays:
            images, where = arrays[f"{split}_images"], files[f"{split}_images"].name
            findings.split_of_array(split, where, images.dtype, images.shape)
    return ImageDataset(
        name=name,
        images=arrays["train_images"][:, None],
        labels=classes.labels,
        class_names=classes.names,
        origin=Origin("idx", path=str(folder)),
        test_images=test_images,
        test_labels=test_labels,
        reading=findings.reading(),
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
