"""A user's own function, `package.module:function`, that returns a torch Dataset or a pair of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.datasets.pixels import EXACTLY, WITH_ROUNDING, Channels, images_from_array, numbered_classes
from goldore.errors import DatasetError, reason
from goldore.files.user_code import import_object, working_directory_first

_BLOCK = 1024  # items converted to 8 bits at a time, so that memory holds no more floats


def load_function(spec: str, name: str, channels: Channels = "auto") -> ImageDataset:
    """Call a function and read the torch Dataset, or the pair (train, test), that it returns.

    The working directory is searched first, as `python -m` would. Items must be (image, label); an image is
    a PIL image, a uint8 array or tensor, or a float tensor in 0..1 (as ToTensor gives, not normalised). If
    the training set has an attribute `classes`, it names the classes.

    Args:
        spec: "package.module:function"; the function is called without arguments.
        name: of the dataset.
        channels: where the channels of arrays and tensors are.

    Returns:
        The dataset, in the order of the items.

    Raises:
        DatasetError: if the function cannot be imported or fails, or an item has another form.
    """
    with working_directory_first():
        result = _call(spec)
        pair = isinstance(result, tuple) and len(result) == 2  # noqa: PLR2004
        train, test = result if pair else (result, None)
        images, labels, notes = _read_items(train, f"the training set of {spec}", channels)
        test_images = test_labels = None
        if test is not None:
            test_images, test_labels, test_notes = _read_items(test, f"the test set of {spec}", channels)
            notes += test_notes
        names = _class_names(train, spec) or numbered_classes(labels)
    return ImageDataset(
        name=name,
        images=images,
        labels=labels,
        class_names=names,
        origin=Origin("function", name=spec),
        test_images=test_images,
        test_labels=test_labels,
        notes=tuple(notes),
    )


def _call(spec: str) -> Any:
    try:
        return import_object(spec)()
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"{spec} could not be called ({type(error).__name__}: {reason(error)}); it must be an "
            "importable function without arguments that returns a torch Dataset or a pair (train, test)."
        ) from error


def _class_names(train: Any, spec: str) -> tuple[str, ...] | None:
    try:
        classes = getattr(train, "classes", None)
        if isinstance(classes, str) or not isinstance(classes, Sequence | np.ndarray):
            return None
        return tuple(map(str, classes))
    except Exception as error:
        raise DatasetError(
            f"the classes of the training set of {spec} cannot be read ({reason(error)}); make them a list."
        ) from error


def _length(dataset: Any, where: str) -> int:
    try:
        return len(dataset)
    except Exception as error:
        raise DatasetError(
            f"{where} is {type(dataset).__name__}, whose length cannot be told ({reason(error)}); "
            "it must have a length and be indexable."
        ) from error


def _read_items(
    dataset: Any, where: str, channels: Channels
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise DatasetError(f"{where} is {type(dataset).__name__}; it must have a length and be indexable.")
    length = _length(dataset, where)
    if length == 0:
        raise DatasetError(f"{where} is empty; there must be at least one image.")
    blocks: list[NDArray[np.uint8]] = []
    notes: dict[str, None] = {}  # in order, each once
    labels: list[int] = []
    for start in range(0, length, _BLOCK):
        items = [_read_item(dataset, where, each) for each in range(start, min(start + _BLOCK, length))]
        shape = blocks[0].shape[1:] if blocks else None
        stacked = _stack([image for image, _ in items], where, start)
        pixels, found = images_from_array(stacked, where, channels, start)
        if shape is not None and pixels.shape[1:] != shape:
            raise DatasetError(
                f"images of {where} differ in shape (from item {start}); resize them to one size."
            )
        blocks.append(pixels)
        notes.update(dict.fromkeys(found))
        labels += [label for _, label in items]
    if any(note.endswith(WITH_ROUNDING) for note in notes):
        notes = {note: None for note in notes if not note.endswith(EXACTLY)}
    return np.concatenate(blocks), np.array(labels, dtype=np.int64), list(notes)


def _read_item(dataset: Any, where: str, position: int) -> tuple[NDArray[Any], int]:
    try:
        image, label = dataset[position]
        if isinstance(image, Image.Image) and image.mode == "P":
            image = image.convert("RGB")
        if int(label) != float(label):
            raise ValueError(f"its label is {label}")
        return np.asarray(image), int(np.int64(int(label)))
    except Exception as error:
        raise DatasetError(
            f"item {position} of {where} is not a pair of an image and a label ({reason(error)}); "
            "return PIL images, arrays or tensors with whole-number labels."
        ) from error


def _stack(images: list[NDArray[Any]], where: str, start: int) -> NDArray[Any]:
    for offset, image in enumerate(images):
        if image.shape != images[0].shape:
            raise DatasetError(
                f"images of {where} differ in shape ({images[0].shape}, then {image.shape} at item "
                f"{start + offset}); resize them to one size."
            )
    return np.stack(images)
