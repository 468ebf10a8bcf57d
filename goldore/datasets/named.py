"""The datasets known by name: torchvision's, in torchvision's order, and TinyImageNet."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from goldore.datasets.arrays import load_arrays
from goldore.datasets.cache import Cache
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.idx import find_idx, load_idx
from goldore.datasets.origin import Origin
from goldore.datasets.reading import Findings
from goldore.errors import DatasetError, GoldoreError, UsageError, reason
from goldore.files.untrusted import INDEX_BYTES, read_bytes

_FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_IMAGENETTE_SIDE = 128  # the side at which the distillation literature uses Imagenette


@dataclass(frozen=True)
class Place:
    """Where a named dataset is read from.

    Attributes:
        root: torchvision's `root`, `load_dataset`'s `data_root`.
        download: fetch what is missing.
        image_size: for datasets whose images differ in size, else None.
        cache: where decoded images are kept, or None.
    """

    root: Path
    download: bool = False
    image_size: int | None = None
    cache: Cache | None = None


def load_named(name: str, place: Place) -> ImageDataset:
    """Read a dataset by its canonical name (a key of `READERS`).

    Raises:
        DatasetError: if its files are missing or damaged.
    """
    if not place.root.is_dir() and not place.download:
        remedy = f"name the right one with `data_root`{_or_download(name, place.root)}"
        raise DatasetError(f"the folder {place.root} does not exist; {remedy}.")
    try:
        return READERS[name](name, place)
    except GoldoreError:
        raise
    except ModuleNotFoundError as error:
        raise DatasetError(f"{name} needs the package {error.name}; run: pip install {error.name}") from error
    except Exception as error:
        remedy = "" if place.download else _or_download(name, place.root)
        raise DatasetError(
            f"{name} could not be read from {place.root} ({reason(error)}); "
            f"point `data_root` at its folder{remedy}."
        ) from error


def _or_download(name: str, root: Path) -> str:
    return "" if name == "TinyImageNet" else f", or fetch it ({_fetching(name, root)})"


def _fetching(name: str, root: Path) -> str:
    """The command that fetches a dataset into a folder."""
    return f"goldore score {name} --data-root {shlex.quote(str(root))} --download"


def idx_class_names(name: str) -> tuple[str, ...] | None:
    """Class names of a dataset in IDX format, None if it has none but numbers."""
    return {"FashionMNIST": _FASHION_CLASSES, "KMNIST": _KMNIST_CLASSES}.get(name)


def _torchvision(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, name)


def _read_mnist_like(name: str, place: Place) -> ImageDataset:
    """MNIST and its relatives: IDX files in torchvision's place or directly in the root, gzipped or not."""
    if place.download:
        _torchvision(name)(place.root, download=True)
    for folder in (place.root / name / "raw", place.root / name, place.root):
        if find_idx(folder):
            return load_idx(folder, name, idx_class_names(name))
    raise DatasetError(
        f"no IDX files of {name} in {place.root}, {place.root / name} or {place.root / name / 'raw'}; "
        f"point `data_root` at them, or fetch them ({_fetching(name, place.root)})."
    )


def _read_cifar(name: str, place: Place) -> ImageDataset:
    """Pickles as published: torchvision opens them once their MD5 is the published one, and no others."""
    make = _torchvision(name)
    train = make(place.root, train=True, download=place.download)
    test = make(place.root, train=False, download=place.download)
    return ImageDataset(
        name=name,
        images=train.data.transpose(0, 3, 1, 2),
        labels=np.array(train.targets, dtype=np.int64),
        class_names=tuple(train.classes),
        origin=Origin("torchvision", name, str(place.root)),
        test_images=test.data.transpose(0, 3, 1, 2),
        test_labels=np.array(test.targets, dtype=np.int64),
    )


def _read_split(name: str, place: Place) -> ImageDataset:
    """SVHN and STL10, whose torchvision classes take a split and hold [N, C, H, W] arrays."""
    make = _torchvision(name)
    train = make(place.root, split="train", download=place.download)
    test = make(place.root, split="test", download=place.download)
    classes = getattr(train, "classes", None) or tuple(str(digit) for digit in range(10))
    return ImageDataset(
        name=name,
        images=train.data,
        labels=train.labels.astype(np.int64),
        class_names=tuple(classes),
        origin=Origin("torchvision", name, str(place.root)),
        test_images=test.data,
        test_labels=test.labels.astype(np.int64),
    )


def _read_imagenette(name: str, place: Place) -> ImageDataset:
    """The largest copy at hand; images are resized to 128 pixels unless `image_size` says otherwise."""
    sizes = {"full": "imagenette2", "320px": "imagenette2-320", "160px": "imagenette2-160"}
    make = _torchvision(name)
    if place.download:
        make(place.root, split="train", size="320px", download=True)
    folder = next((place.root / each for each in sizes.values() if (place.root / each).is_dir()), None)
    if folder is None:
        raise DatasetError(
            f"none of {', '.join(sizes.values())} in {place.root}; point `data_root` at it"
            f"{_or_download(name, place.root)}."
        )
    from goldore.datasets.folder import load_folder

    return load_folder(folder, name, place.image_size or _IMAGENETTE_SIDE, cache=place.cache)


def _read_tiny_imagenet(name: str, place: Place) -> ImageDataset:
    """The original folder layout, or the file tinyimagenet.pt that DatasetCondensation uses."""
    if place.download:
        raise DatasetError(
            "torchvision cannot download TinyImageNet; fetch tiny-imagenet-200.zip and unpack it."
        )
    for folder in (place.root / "tiny-imagenet-200", place.root):
        if (folder / "wnids.txt").is_file() or (folder / "train").is_dir():
            return load_tiny_imagenet_folder(folder, name, place.image_size, place.cache)
    if (place.root / "tinyimagenet.pt").is_file():
        if place.image_size is not None:
            raise UsageError("the images of tinyimagenet.pt have one size; leave `image_size` out.")
        return load_arrays(place.root / "tinyimagenet.pt", name)
    raise DatasetError(
        f"neither tiny-imagenet-200/ nor tinyimagenet.pt in {place.root}; point `data_root` at one of them."
    )


def load_tiny_imagenet_folder(
    folder: Path, name: str, image_size: int | None = None, cache: Cache | None = None
) -> ImageDataset:
    """Read TinyImageNet's own layout: train/<class>/images/, and val/images/ with val_annotations.txt.

    Raises:
        DatasetError: if files are missing or damaged.
    """
    from goldore.datasets.folder import decode_split, load_folder

    dataset = load_folder(folder, name, image_size, cache=cache)
    annotations = folder / "val" / "val_annotations.txt"
    if dataset.test_images is not None or not annotations.is_file():
        return dataset
    labels = {wnid: label for label, wnid in enumerate(dataset.class_names)}
    try:
        lines = read_bytes(annotations, INDEX_BYTES).decode(errors="replace").splitlines()
        rows = [line.split("\t")[:2] for line in lines if line.strip()]
        for number, row in enumerate(rows, 1):
            if len(row) < 2 or row[1] not in labels or PurePosixPath(row[0]).name != row[0]:  # noqa: PLR2004
                raise ValueError(f"its row {number} is not a file and a known class")
        if not rows:
            raise ValueError("it is empty")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{annotations} is damaged ({reason(error)}); fetch it again.") from error
    findings = Findings()
    images_of, how = folder / "val" / "images", {"image_size": image_size}
    files = [images_of / file for file, _ in rows]
    images = decode_split(files, images_of, "val/ by val_annotations.txt", "test", name, how, findings, cache)
    reading = replace(dataset.reading, splits=(*dataset.reading.splits, *findings.splits), notes=())
    return dataset.retold(
        test_images=images,
        test_labels=np.array([labels[wnid] for _, wnid in rows], dtype=np.int64),
        reading=reading,
    )


READERS: dict[str, Callable[[str, Place], ImageDataset]] = {
    "MNIST": _read_mnist_like,
    "FashionMNIST": _read_mnist_like,
    "KMNIST": _read_mnist_like,
    "SVHN": _read_split,
    "CIFAR10": _read_cifar,
    "CIFAR100": _read_cifar,
    "STL10": _read_split,
    "Imagenette": _read_imagenette,
    "TinyImageNet": _read_tiny_imagenet,
}
