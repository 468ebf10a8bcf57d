"""The one loader: decides what kind of source is meant and reads it."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.named import READERS, Place, idx_class_names, load_named
from goldore.datasets.pixels import Channels
from goldore.datasets.tfds import NAMES as TFDS_NAMES
from goldore.datasets.tfds import PREFIX as TFDS_PREFIX
from goldore.datasets.tfds import load_tfds
from goldore.errors import DatasetError, UsageError
from goldore.files.atomic import user_path
from goldore.wording import plain_name

BUNDLED = "FashionMNIST-sample"
KNOWN = tuple(READERS)
_ARRAY_FILES = (".npz", ".h5", ".hdf5")


def load_dataset(
    source: str = BUNDLED,
    *,
    data_root: str | Path = "data",
    download: bool = False,
    name: str | None = None,
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
    channels: Channels = "auto",
) -> ImageDataset:
    """Read an image dataset into memory, in the original order of its training set.

    Args:
        source: one of
            a name in torchvision's spelling (case, hyphens and underscores ignored), read from data_root;
            "FashionMNIST-sample", the bundled sample;
            a folder with IDX files (MNIST's format, gzipped or not), or a folder tree with one folder a
            class, alone or under train/ and val/ or test/;
            a .npz or .h5 file with x_train, y_train and optionally x_test, y_test; a tinyimagenet.pt;
            "tfds:name", read from data_root as TensorFlow Datasets' data_dir;
            "package.module:function", called for a torch Dataset or a pair of them.
            A path that is spelled like a name needs a slash: ./MNIST.
        data_root: folder of the named datasets, as torchvision's `root`.
        download: let torchvision fetch a named dataset that is missing.
        name: of the dataset in files and tables; None takes the known name or the last part of the path.
        image_size: folder trees and Imagenette only: resize the shorter side, then crop the centre square.
        classes: folder trees only: read these class folders alone.
        channels: arrays and functions only: where the channels are, "auto" (detected), "first" or "last".

    Returns:
        The dataset; its `notes` say what was detected.

    Raises:
        UsageError: if the source is unknown or an option does not apply to it.
        DatasetError: if files are missing, damaged or unfit.
    """
    if image_size is not None and image_size < 1:
        raise UsageError(f"`image_size` is {image_size}; it must be 1 or more.")
    if channels not in get_args(Channels):
        raise UsageError(f"`channels` is {channels!r}; choose auto, first or last.")
    if not source.strip():
        raise UsageError("the dataset is an empty text; give a name or a path.")
    kind, where = _recognise(source)
    _check_options(kind, where, image_size=image_size, classes=classes, channels=channels, download=download)
    if kind == "bundled":
        from goldore.datasets.bundled import load_bundled

        return load_bundled(name or BUNDLED)
    if kind == "named":
        dataset = load_named(where, Place(user_path(data_root), download, image_size))
        return dataset if name is None else _renamed(dataset, name)
    if kind == "function":
        from goldore.datasets.function import load_function

        return load_function(where, name or where.replace(":", ".").rpartition(".")[2], channels)
    if kind == "tfds":
        return load_tfds(where, name or _tfds_title(where), user_path(data_root), download=download)
    path = user_path(where)
    return _load_path(path, name or _name_of(path), image_size, classes, channels)


def _recognise(source: str) -> tuple[str, str]:
    """Give the kind of source ("bundled", "named", "tfds", "function", "path") and its canonical form."""
    plain = plain_name(source)
    if plain == plain_name(BUNDLED):
        return "bundled", BUNDLED
    for known in KNOWN:
        if plain == plain_name(known):
            return "named", known
    if source.startswith(TFDS_PREFIX) and len(source) > len(TFDS_PREFIX):
        return "tfds", source.removeprefix(TFDS_PREFIX)
    path = user_path(source)
    if _exists(path):
        return "path", source
    module, colon, function = source.partition(":")
    if colon and function.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return "function", source
    if len(path.parts) > 1 or path.suffix in {*_ARRAY_FILES, ".pt"} or source.startswith((".", "~")):
        raise DatasetError(f"there is no file or folder {source}; check the path.")
    names = {plain_name(known): known for known in (*KNOWN, BUNDLED)}
    near = [names[match] for match in difflib.get_close_matches(plain, names, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(KNOWN)}, or give a path."
    raise UsageError(f"there is no dataset named {source!r}; {hint}")


def _check_options(
    kind: str,
    where: str,
    *,
    image_size: int | None,
    classes: Sequence[str] | None,
    channels: Channels,
    download: bool,
) -> None:
    folder = kind == "path" and user_path(where).is_dir()
    arrays = kind == "function" or (kind == "path" and Path(where).suffix in _ARRAY_FILES)
    if image_size is not None and not (folder or where in {"Imagenette", "TinyImageNet"}):
        raise UsageError("`image_size` applies to folder trees of images only; leave it out.")
    if classes is not None and not folder:
        raise UsageError("`classes` applies to folder trees of images only; leave it out.")
    if channels != "auto" and not arrays:
        raise UsageError("`channels` applies to .npz and .h5 files and to functions only; leave it out.")
    if download and kind not in ("named", "tfds"):
        raise UsageError("`download` applies to datasets known by name only; leave it out.")


def _load_path(
    path: Path, name: str, image_size: int | None, classes: Sequence[str] | None, channels: Channels
) -> ImageDataset:
    if path.is_dir():
        from goldore.datasets.idx import find_idx, load_idx

        if find_idx(path):
            if image_size is not None or classes is not None:
                raise UsageError(
                    f"{path} holds IDX files; `image_size` and `classes` apply to folder trees only."
                )
            return load_idx(path, name, idx_class_names(_name_of(path)) or idx_class_names(name))
        if (path / "val" / "val_annotations.txt").is_file() and classes is None:
            from goldore.datasets.named import load_tiny_imagenet_folder

            return load_tiny_imagenet_folder(path, name, image_size)
        from goldore.datasets.folder import load_folder

        return load_folder(path, name, image_size, classes)
    if path.suffix in _ARRAY_FILES:
        from goldore.datasets.arrays import load_arrays

        return load_arrays(path, name, channels)
    if path.suffix == ".pt":
        from goldore.datasets.named import load_tiny_imagenet_file

        return load_tiny_imagenet_file(path, name)
    raise UsageError(f"{path} is of no known kind; give a folder, a .npz or .h5 file, or tinyimagenet.pt.")


def _name_of(path: Path) -> str:
    """Name a path's dataset: its last part, or the known dataset that this part spells."""
    stem = path.resolve().name if path.is_dir() else path.stem
    return next((known for known in KNOWN if plain_name(known) == plain_name(stem)), stem)


def _tfds_title(name: str) -> str:
    """The known dataset that a builder's name stands for, or the name."""
    return next((known for known, there in TFDS_NAMES.items() if there == name), name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, say
        return False


def _renamed(dataset: ImageDataset, name: str) -> ImageDataset:
    return replace(dataset, name=name)
