"""Folder trees: one folder a class, the layout of torchvision's ImageFolder, in its order."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset
from torchvision.transforms.v2 import functional as transforms

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.errors import DatasetError, reason

_TEST_FOLDERS = ("val", "test")
# What the suffixes stand for, and GIF, which is found under others' names; PIL would also start programs.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
_MOST_PIXELS = 89_478_485  # PIL's own limit, above which it warns


def load_folder(
    root: Path, name: str, image_size: int | None = None, classes: Sequence[str] | None = None
) -> ImageDataset:
    """Read a folder tree as torchvision's ImageFolder would: sorted class folders, sorted files.

    Args:
        root: holds train/ and perhaps val/ or test/, each with one folder a class; or the class folders
            themselves, which are then the training set.
        name: of the dataset.
        image_size: resize the shorter side to this many pixels (bilinear, antialiased), then crop the
            centre square; None needs images that all have one size.
        classes: read only these class folders, labelled in sorted order; None reads all.

    Returns:
        The dataset as RGB, with the relative path of each training sample.

    Raises:
        DatasetError: if a class has no image, an image cannot be decoded, or sizes differ.
    """
    train = root / "train" if (root / "train").is_dir() else root
    chosen = _class_folders(train, classes)
    files, labels = _list_files(train, chosen)
    images = decode(files, image_size)
    notes = [f"{root}: test split from {test.name}/"] if (test := _test_folder(root, chosen)) else []
    test_images = test_labels = None
    if test is not None:
        test_files, test_labels = _list_files(test, chosen)
        test_images = decode(test_files, image_size)
    return ImageDataset(
        name=name,
        images=images,
        labels=labels,
        class_names=tuple(chosen),
        origin=Origin("folder", path=str(root), image_size=image_size),
        test_images=test_images,
        test_labels=test_labels,
        paths=tuple(file.relative_to(train).as_posix() for file in files),
        notes=tuple(notes),
    )


def decode(files: Sequence[Path], image_size: int | None) -> NDArray[np.uint8]:
    """Decode image files as RGB, in threads.

    Args:
        files: at least one.
        image_size: as in `load_folder`.

    Returns:
        uint8 [len(files), 3, height, width].

    Raises:
        DatasetError: if a file is damaged, an image is absurdly large or, without image_size, sizes differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return _decode_all(files, image_size)


def _decode_all(files: Sequence[Path], image_size: int | None) -> NDArray[np.uint8]:
    first = _decode_one(files[0], image_size)
    try:
        images = np.empty((len(files), *first.shape), dtype=np.uint8)
    except MemoryError:
        raise DatasetError(
            f"{len(files)} images of {first.shape[1]}x{first.shape[2]} do not fit into memory; "
            "use `image_size` with a smaller one."
        ) from None

    def fill(position: int) -> None:
        image = _decode_one(files[position], image_size)
        if image.shape != first.shape:
            raise DatasetError(
                f"images differ in size ({files[0].name} is {first.shape[1]}x{first.shape[2]}, "
                f"{files[position].name} {image.shape[1]}x{image.shape[2]}); use `image_size`."
            )
        images[position] = image

    with ThreadPoolExecutor() as threads:
        futures = [threads.submit(fill, position) for position in range(len(files))]
        try:
            for future in futures:
                future.result()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return images


def _decode_one(file: Path, image_size: int | None) -> NDArray[np.uint8]:
    try:
        with Image.open(file, formats=_FORMATS) as opened:
            if image_size is not None and image_size**2 * max(opened.size) > _MOST_PIXELS * min(opened.size):
                raise ValueError(f"{opened.size[0]}x{opened.size[1]} is too long a strip to be resized")
            image = opened.convert("RGB")
        if image_size is not None:
            image = transforms.resize(image, [image_size], antialias=True)
            image = transforms.center_crop(image, [image_size])
    except Exception as error:
        what = reason(error)
        raise DatasetError(f"{file} cannot be decoded as an image ({what}); repair or remove it.") from error
    return np.asarray(image).transpose(2, 0, 1)


def _class_folders(train: Path, classes: Sequence[str] | None) -> list[str]:
    try:
        found = find_classes(train)[0]
    except (FileNotFoundError, OSError) as error:
        raise DatasetError(
            f"{train} has no class folders; it must hold one folder of images a class, or IDX files."
        ) from error
    if classes is None:
        return list(found)
    if not classes:
        raise DatasetError(f"`classes` names no class of {train}; name some or leave it out.")
    unknown = sorted(set(classes) - set(found))
    if unknown:
        raise DatasetError(f"{train} has no class folder {', '.join(unknown)}; it has {len(found)} others.")
    return sorted(set(classes))


def _list_files(split: Path, chosen: list[str]) -> tuple[list[Path], NDArray[np.int64]]:
    class_to_idx = {name: label for label, name in enumerate(chosen)}
    try:
        samples = make_dataset(split, class_to_idx, extensions=IMG_EXTENSIONS)
    except FileNotFoundError as error:
        empty = [name for name in chosen if not _has_image(split / name)]
        raise DatasetError(
            f"no image in the class folder {', '.join(empty[:5]) or '(unknown)'} of {split}; "
            "add images or leave the class out with `classes`."
        ) from error
    return [Path(file) for file, _ in samples], np.array([label for _, label in samples], dtype=np.int64)


def _has_image(folder: Path) -> bool:
    return any(file.suffix.lower() in IMG_EXTENSIONS for file in folder.rglob("*"))


def _test_folder(root: Path, chosen: list[str]) -> Path | None:
    """The first of val/ and test/ that has a folder for every class; ImageNet's test/ has none."""
    for folder in _TEST_FOLDERS:
        if (root / "train").is_dir() and all((root / folder / name).is_dir() for name in chosen):
            return root / folder
    return None
