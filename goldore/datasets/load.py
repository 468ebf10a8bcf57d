"""The one loader: decides what kind of source is meant and reads it."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from goldore.datasets.arrays import SUFFIXES, holds_arrays, load_arrays
from goldore.datasets.cache import AUTO, Cache, Told, cache_of
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.named import READERS, Place, idx_class_names, load_named, load_tiny_imagenet_folder
from goldore.datasets.pixels import Channels
from goldore.datasets.tfds import NAMES as TFDS_NAMES
from goldore.datasets.tfds import PREFIX as TFDS_PREFIX
from goldore.datasets.tfds import load_tfds
from goldore.errors import DatasetError, UsageError
from goldore.files.atomic import user_path
from goldore.wording import plain_name

BUNDLED = "FashionMNIST-sample"
KNOWN = tuple(READERS)
_BLOCK = 64  # of them at a time: counting takes eight bytes a pixel
_LOOKED_AT = 2_000  # images that are looked at for whether they are images
_MANY_BLANK = 0.05
_ONE_COLOUR = 0.98
_READ = {*SUFFIXES, ".tar", ".parquet"}  # files that hold datasets
_ARCHIVES = (".zip", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


def load_dataset(
    source: Any = BUNDLED,
    *,
    data_root: str | Path = "data",
    download: bool = False,
    name: str | None = None,
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
    channels: Channels = "auto",
    cache: str | Path | None = AUTO,
    told: Told = lambda *_: None,
    looks_only: bool = False,
) -> ImageDataset:
    """Read an image dataset into memory, in the original order of its training set.

    Args:
        source: one of
            a name in torchvision's spelling (case, hyphens and underscores ignored), read from data_root;
            "FashionMNIST-sample", the bundled sample;
            a folder with IDX files (MNIST's format, gzipped or not), or a folder tree with one folder a
            class, alone or under train/ and val/ or test/;
            a .npz, .h5 or .pt file, or .npy files in a folder, with x_train, y_train and optionally x_test,
            y_test (MedMNIST's and other names are understood, see `goldore.datasets.arrays`);
            a folder of Hugging Face's library datasets: parquet files, what save_to_disk wrote, or images
            with a metadata file; WebDataset shards, as a .tar file or "name-{000..012}.tar";
            "tfds:name", read from data_root as TensorFlow Datasets' data_dir;
            "package.module:function", called for any of the following.
            A path that is spelled like a name needs a slash: ./MNIST.
            Or an object of Python: arrays (images, labels), a torch Dataset, a dataset of Hugging Face, a
            pair (train, test) of these, or a dictionary of them by split.
        data_root: folder of the named datasets, as torchvision's `root`.
        download: let torchvision fetch a named dataset that is missing.
        name: of the dataset in files and tables; None takes the known name or the last part of the path.
        image_size: images of folders, shards and Pillow only: resize the shorter side, then crop the centre
            square.
        classes: folder trees only: read these class folders alone.
        channels: arrays and functions only: where the channels are, "auto" (detected), "first" or "last".
        cache: folder where decoded images of folder trees, shards and Hugging Face's files are kept, and
            found by the next call; "auto" keeps those of 1,000 images or more in the folder of
            `goldore.datasets.cache.cache_folder`, if there is room; None or "none" keeps nothing.
        told: called now and then with what takes long, and which share of it is done.
        looks_only: for a dry run: keep nothing, and of 20,000 images or more that would be kept and are not
            there yet decode only some; one of them stands for all, without a fingerprint.

    Returns:
        The dataset; its `reading` says what was read as what.

    Raises:
        UsageError: if the source is unknown or an option does not apply to it.
        DatasetError: if files are missing, damaged or unfit.
    """
    _check_values(name, image_size, channels)
    image_size = None if image_size is None else int(image_size)  # of NumPy, perhaps
    if isinstance(source, ImageDataset):
        return source if name is None else source.retold(name=name)
    if not isinstance(source, str | Path):
        _check_options("object", "", image_size=None, classes=classes, channels="auto", download=download)
        from goldore.datasets.items import load_object

        return looked_at(load_object(source, name, channels, image_size))
    kind, where = _recognise(str(source))
    _check_options(kind, where, image_size=image_size, classes=classes, channels=channels, download=download)
    if kind == "bundled":
        from goldore.datasets.bundled import load_bundled

        return load_bundled(name or BUNDLED)
    if kind == "path":
        path = user_path(where)
        title = name or _name_of(path)
        kept = cache_of(cache, told, looks_only=looks_only)
        if path.is_dir():
            return looked_at(_load_folder(path, title, image_size, classes, channels, kept))
        return looked_at(_load_file(path, title, image_size, channels, kept))
    if kind == "named":
        place = Place(
            user_path(data_root), download, image_size, cache_of(cache, told, looks_only=looks_only)
        )
        dataset = load_named(where, place)
        dataset = dataset if name is None else dataset.retold(name=name)
    elif kind == "function":
        from goldore.datasets.function import load_function

        title = name or where.replace(":", ".").rpartition(".")[2]
        dataset = load_function(where, title, channels, image_size)
    else:
        dataset = load_tfds(where, name or _tfds_title(where), user_path(data_root), download=download)
    return looked_at(dataset)


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
    if not source.strip():
        raise UsageError("the dataset is an empty text; give a name or a path.")
    path = user_path(source)
    if _exists(path) or (path.suffix == ".tar" and "{" in source):
        return "path", source
    module, colon, function = source.partition(":")
    if colon and function.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return "function", source
    there = _near_paths(path)
    if len(path.parts) > 1 or path.suffix in {*SUFFIXES, *_ARCHIVES, ".tar"} or source.startswith((".", "~")):
        hint = f"did you mean {' or '.join(there)}?" if there else "check the path."
        raise DatasetError(f"there is no file or folder {source}; {hint}")
    names = {plain_name(known): known for known in (*KNOWN, BUNDLED)}
    near = [*there, *(names[match] for match in difflib.get_close_matches(plain, names, n=3))]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(KNOWN)}, or give a path."
    raise UsageError(f"there is no dataset named {source!r}; {hint}")


def _check_values(name: Any, image_size: Any, channels: Any) -> None:
    if image_size is not None and (not isinstance(image_size, int | np.integer) or image_size < 1):
        raise UsageError(f"`image_size` is {image_size!r}; it must be a whole number, 1 or more.")
    if name is not None and not isinstance(name, str):
        raise UsageError(f"`name` is {name!r}; it must be a text.")
    if channels not in get_args(Channels):
        raise UsageError(f"`channels` is {channels!r}; choose auto, first or last.")


def _near_paths(path: Path) -> list[str]:
    """Folders, and files of arrays or shards, that are spelled nearly like a path and lie beside it."""
    try:
        beside = [each for each in path.parent.iterdir() if each.is_dir() or each.suffix in _READ]
    except OSError:
        return []
    names = {plain_name(each.name): str(path.parent / each.name) for each in beside}
    return [
        names[match] for match in difflib.get_close_matches(plain_name(path.name), names, n=2, cutoff=0.75)
    ]


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
    arrays = kind == "function" or (kind == "path" and (folder or Path(where).suffix in SUFFIXES))
    shards = kind == "path" and Path(where).suffix in (".tar", ".parquet")
    resized = folder or shards or kind == "function" or where in {"Imagenette", "TinyImageNet"}
    if image_size is not None and not resized:
        raise UsageError(
            "`image_size` applies to images of folders, shards and functions only; leave it out."
        )
    if classes is not None and not folder:
        raise UsageError("`classes` applies to folder trees of images only; leave it out.")
    if channels != "auto" and not arrays:
        raise UsageError("`channels` applies to files of arrays and to functions only; leave it out.")
    if download and kind not in ("named", "tfds"):
        raise UsageError("`download` applies to datasets known by name only; leave it out.")


def _load_folder(
    path: Path,
    name: str,
    image_size: int | None,
    classes: Sequence[str] | None,
    channels: Channels,
    cache: Cache | None,
) -> ImageDataset:
    from goldore.datasets.huggingface import is_huggingface, load_huggingface
    from goldore.datasets.idx import find_idx, load_idx

    if find_idx(path) or holds_arrays(path):
        if image_size is not None or classes is not None:
            raise UsageError(f"{path} holds arrays; `image_size` and `classes` apply to folder trees only.")
        if holds_arrays(path):
            return load_arrays(path, name, channels)
        return load_idx(path, name, idx_class_names(_name_of(path)) or idx_class_names(name))
    if channels != "auto":
        raise UsageError(f"{path} holds images; `channels` applies to files of arrays only, leave it out.")
    if is_huggingface(path) and classes is None:
        return load_huggingface(path, name, image_size, cache)
    if (path / "val" / "val_annotations.txt").is_file() and classes is None:
        return load_tiny_imagenet_folder(path, name, image_size, cache)
    from goldore.datasets.folder import load_folder

    return load_folder(path, name, image_size, classes, cache)


def _load_file(
    path: Path, name: str, image_size: int | None, channels: Channels, cache: Cache | None
) -> ImageDataset:
    if path.suffix in SUFFIXES:
        return load_arrays(path, name, channels)
    if path.suffix == ".parquet":
        from goldore.datasets.huggingface import load_huggingface

        return load_huggingface(path, name, image_size, cache)
    if path.suffix == ".tar":
        from goldore.datasets.shards import load_shards

        return load_shards(str(path), name, image_size, cache)
    if path.suffix in _ARCHIVES:
        raise UsageError(f"{path} is an archive; unpack it and give the folder.")
    raise UsageError(
        f"{path} is of no known kind; give a folder, a file of arrays ({', '.join(SUFFIXES)}), .parquet or "
        "shards (.tar), or read it with a function of your own: package.module:function."
    )


def _name_of(path: Path) -> str:
    """Name a path's dataset: its last part, that of the folder of a .npy, or the known dataset so spelled."""
    folder = path.parent if path.suffix == ".npy" else path  # of which such a file is a part
    stem = folder.resolve().name if folder.is_dir() else path.stem
    return next((known for known in KNOWN if plain_name(known) == plain_name(stem)), stem)


def _tfds_title(name: str) -> str:
    """The known dataset that a builder's name stands for, or the name."""
    return next((known for known, there in TFDS_NAMES.items() if there == name), name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, say
        return False


def looked_at(dataset: ImageDataset) -> ImageDataset:
    """The dataset with warnings of what its images look like, where they are hardly images."""
    some = dataset.images[:: max(1, dataset.num_samples // _LOOKED_AT)]
    usual, constant = np.zeros(256, dtype=np.int64), 0
    for start in range(0, len(some), _BLOCK):
        flat = some[start : start + _BLOCK].reshape(len(some[start : start + _BLOCK]), -1)
        usual += np.bincount(flat.ravel(), minlength=256)
        constant += int((flat.max(axis=1) == flat.min(axis=1)).sum())
    blank = constant / len(some)
    found = []
    if blank >= _MANY_BLANK:
        found.append(f"{blank:.0%} of the images are of one colour; look at them before they are scored.")
    elif usual.max() >= _ONE_COLOUR * usual.sum():
        found.append(
            f"{usual.max() / usual.sum():.1%} of all pixels are {usual.argmax()} of 255, so that the images "
            "are nearly of one colour; look at them before they are scored."
        )
    elif not usual[2:].any():
        found.append(
            "all pixels are 0 or 1 of 255; if they were floats in 0..1 or booleans, multiply by 255."
        )
    if not found:
        return dataset
    reading = dataset.reading
    return dataset.retold(reading=replace(reading, warnings=(*reading.warnings, *found)))
