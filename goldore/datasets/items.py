"""Datasets in Python: arrays, torch Datasets, Hugging Face's datasets, and dictionaries of splits."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.labels import Classes
from goldore.datasets.listing import split_of
from goldore.datasets.origin import Origin
from goldore.datasets.paths import paths_of
from goldore.datasets.pictures import open_picture, picture
from goldore.datasets.pixels import (
    Channels,
    Scale,
    how_scaled,
    images_from_array,
    in_bytes,
    scale_of,
    with_channels_first,
)
from goldore.datasets.reading import Findings, Tally
from goldore.errors import DatasetError, reason

_BLOCK = 1024  # items brought to 8 bits at a time, so that memory holds no more floats
_TWICE = 16  # items that are read a second time
_IMAGE_KEYS = ("image", "img", "images", "pixel_values", "picture", "png", "jpg", "jpeg", "webp")
_LABEL_KEYS = ("label", "labels", "fine_label", "target", "targets", "class", "cls")
_WAY_OUT = "return PIL images, arrays or tensors with a label each"


def load_object(
    source: Any,
    name: str | None,
    channels: Channels = "auto",
    image_size: int | None = None,
    origin: Origin | None = None,
) -> ImageDataset:
    """Read a dataset that is an object of Python.

    Args:
        source: an `ImageDataset`; a pair of arrays (images, labels); a torch Dataset or one of Hugging Face,
            whose items are pairs or dictionaries of an image and a label; a pair (train, test) of any of
            these; or a dictionary of them by split.
        name: of the dataset; None takes the object's own, if it has one.
        channels: where the channels of arrays and tensors are.
        image_size: resize the shorter side of images to this, then crop the centre square.
        origin: where it comes from; None: from memory.

    Returns:
        The dataset, in the order of the items.

    Raises:
        DatasetError: if the object is something else, or an item has another form.
    """
    if isinstance(source, ImageDataset):
        return source
    train, test = _splits(source)
    title = name or _title(train)
    origin = origin or Origin("memory", name=type(train).__name__)
    findings = Findings()
    where = "the training set" if origin.kind == "memory" else f"the training set of {origin.name}"
    images, raw = _read(train, where, channels, image_size, findings, "train")
    classes = Classes(raw, f"the labels of {where}", _class_names(train, where))
    test_images = test_labels = None
    if test is not None:
        where_test = where.replace("training", "test", 1)
        test_images, raw = _read(test, where_test, channels, image_size, findings, "test")
        test_labels = classes.number(raw, f"the labels of {where_test}")
    findings.notes += classes.notes
    return ImageDataset(
        name=title,
        images=images,
        labels=classes.labels,
        class_names=classes.names,
        origin=origin,
        test_images=test_images if test_labels is not None else None,
        test_labels=test_labels,
        paths=paths_of(train),
        reading=findings.reading(),
    )


def _splits(source: Any) -> tuple[Any, Any]:
    """The training and the test set; None if there is no test set."""
    if isinstance(source, Mapping):
        found: dict[str, Any] = {}
        for key, value in source.items():
            found.setdefault(split_of(str(key)) or str(key), value)
        if "train" not in found and len(found) == 1:
            return next(iter(found.values())), None
        if "train" not in found:
            raise DatasetError(
                f"the dataset has the splits {', '.join(map(str, source)) or '(none)'} and no train; pass "
                "the one to be scored."
            )
        return found["train"], found.get("test", found.get("val"))
    if isinstance(source, tuple) and len(source) == 2 and not _is_arrays(source):  # noqa: PLR2004
        return source
    return source, None


def _is_arrays(source: Any) -> bool:
    """Whether it is a pair of images and labels."""
    return (
        isinstance(source, tuple | list)
        and len(source) == 2  # noqa: PLR2004
        and hasattr(source[0], "shape")
        and len(source[0].shape) > 2  # noqa: PLR2004
    )


def _title(train: Any) -> str:
    if _is_arrays(train):
        return "arrays"
    info = getattr(train, "info", None)  # Hugging Face's
    return str(getattr(info, "dataset_name", None) or type(train).__name__)


def _class_names(train: Any, where: str) -> tuple[str, ...] | None:
    """The names of the classes, if the dataset or the one that it is a subset of has them."""
    try:
        for each in (train, getattr(train, "dataset", None)):
            classes = getattr(each, "classes", None)
            if isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str):
                return tuple(map(str, classes))
        if _is_table(train):
            names = getattr(train.features[_column(train.column_names, _LABEL_KEYS, where)], "names", None)
            return tuple(map(str, names)) if names else None
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(
            f"the classes of {where} cannot be read ({reason(error)}); make them a list."
        ) from error
    return None


def _is_table(dataset: Any) -> bool:
    """Whether it is a dataset of Hugging Face's library."""
    return hasattr(dataset, "features") and hasattr(dataset, "column_names")


def _column(names: Sequence[str], known: Sequence[str], where: str) -> str:
    found = next((name for name in known if name in names), None)
    if found is None:
        raise DatasetError(
            f"{where} has {', '.join(map(str, names))} and none of {', '.join(known[:4])}; rename what is "
            f"meant, or give a function of your own (package.module:function) whose items are pairs."
        )
    return found


def _read(
    dataset: Any, where: str, channels: Channels, image_size: int | None, findings: Findings, split: str
) -> tuple[NDArray[np.uint8], Any]:
    """The images of a split, and its labels as they are."""
    if _is_arrays(dataset):
        return _read_pair(dataset, where, channels, image_size, findings, split)
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        hint = "pass the dataset that it loads from" if hasattr(dataset, "dataset") else "make it indexable"
        raise DatasetError(
            f"{where} is {type(dataset).__name__}; it must have a length and be indexable: {hint}."
        )
    length = _length(dataset, where)
    if length == 0:
        raise DatasetError(f"{where} is empty; there must be at least one image.")
    reader = _Items(dataset, where, image_size)
    blocks: list[NDArray[np.uint8]] = []
    for start in range(0, length, _BLOCK):
        blocks.append(reader.block(range(start, min(start + _BLOCK, length))))
        if blocks[0].ndim != blocks[-1].ndim and reader.pictures:  # grey images came first, or now
            blocks = [_coloured(block) for block in blocks]
        if blocks[-1].shape[1:] != blocks[0].shape[1:]:
            raise DatasetError(
                f"images of {where} differ in shape (from item {start}); resize them to one size, or use "
                "`image_size`."
            )
    reader.check_repeats(length)
    images, detail = with_channels_first(
        np.concatenate(blocks),
        where,
        "last" if reader.pictures and blocks[0].ndim > 3 else channels,  # noqa: PLR2004
    )
    findings.saw(reader.changed, length, "" if reader.pictures else detail)
    reader.tally.tell(findings, split, where)
    return images, reader.labels


def _read_pair(
    pair: Any, where: str, channels: Channels, image_size: int | None, findings: Findings, split: str
) -> tuple[NDArray[np.uint8], Any]:
    if image_size is not None:
        raise DatasetError("`image_size` applies to images, not to arrays; resize them before.")
    array, labels = _as_array(pair[0]), pair[1]
    if len(array) != len(labels):
        raise DatasetError(f"{where} has {len(array)} images but {len(labels)} labels; they must be as many.")
    images, changed, detail = images_from_array(array, f"the images of {where}", channels)
    findings.saw(changed, len(images), detail)
    findings.split_of_array(split, where, array.dtype, images.shape)
    return images, _as_array(labels)


def _as_array(values: Any) -> NDArray[Any]:
    """An array of NumPy of one of NumPy, torch (on any device) or JAX, or of a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def _length(dataset: Any, where: str) -> int:
    try:
        return len(dataset)
    except Exception as error:
        raise DatasetError(
            f"{where} is {type(dataset).__name__}, whose length cannot be told ({reason(error)}); "
            "it must have a length and be indexable."
        ) from error


def _coloured(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey images [..., H, W] as [..., H, W, 3]; others as they are."""
    return np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 3 else pixels  # noqa: PLR2004


class _Items:
    """Reads the items of a dataset in blocks.

    Attributes:
        labels: of all items so far, as they are.
        pictures: whether images are of Pillow.
        tally: of what images were.
    """

    def __init__(self, dataset: Any, where: str, image_size: int | None) -> None:
        self.labels: list[Any] = []
        self.pictures = False
        self.tally = Tally()
        self._dataset, self._where, self._image_size = dataset, where, image_size
        self._scales: dict[Scale, bool] = {}  # and whether nothing was rounded

    def block(self, positions: range) -> NDArray[np.uint8]:
        """The images of some items, uint8 [n, ...] with the channels where they were."""
        images = []
        for position in positions:
            image, label = self._item(position, self.tally)
            images.append(image)
            self.labels.append(label)
        if self.pictures and len({image.ndim for image in images}) > 1:
            images = [_coloured(image[None])[0] if image.ndim == 2 else image for image in images]  # noqa: PLR2004
        for offset, image in enumerate(images):
            if image.shape != images[0].shape:
                raise DatasetError(
                    f"images of {self._where} differ in shape ({images[0].shape}, then {image.shape} at item "
                    f"{positions[offset]}); resize them to one size, or use `image_size`."
                )
        stacked = np.stack(images)
        scale = scale_of(stacked, self._where, positions[0])
        pixels, exact = in_bytes(stacked, scale)
        if stacked.dtype.kind != "f" or pixels.any():  # black in any scale
            self._scales[scale] = self._scales.get(scale, True) and exact
        if len(self._scales) > 1:
            raise DatasetError(
                f"the images of {self._where} have different scales "
                f"({' and '.join(each or '8 bits' for each in self._scales)}); make them uint8, or floats in "
                "0..1."
            )
        return pixels

    @property
    def changed(self) -> str:
        """How numbers became 8 bits."""
        return next((how_scaled(scale, exact=exact) for scale, exact in self._scales.items()), "")

    def check_repeats(self, length: int) -> None:
        """Read some items once more: what changes cannot be scored.

        Raises:
            DatasetError: naming an item that changes.
        """
        for position in sorted({round(each) for each in np.linspace(0, length - 1, min(_TWICE, length))}):
            first, second = (self._item(position, Tally()) for _ in range(2))
            if first[0].shape != second[0].shape or not np.array_equal(first[0], second[0]):
                raise DatasetError(
                    f"item {position} of {self._where} changes from one reading to the next; leave random "
                    "augmentation out (goldore score --augment is for the proxies' training), and score the "
                    "images as they are."
                )

    def _item(self, position: int, tally: Tally) -> tuple[NDArray[Any], Any]:
        """The image and the label of an item."""
        try:
            item = self._dataset[position]
            if isinstance(item, Mapping):
                names = list(item)
                image = item[_column(names, _IMAGE_KEYS, self._where)]
                label = item[_column(names, _LABEL_KEYS, self._where)]
            else:
                image, label = item
            return self._pixels(image, tally), _plain_label(label)
        except DatasetError:
            raise
        except Exception as error:
            raise DatasetError(
                f"item {position} of {self._where} is not a pair of an image and a label ({reason(error)}); "
                f"{_WAY_OUT}."
            ) from error

    def _pixels(self, image: Any, tally: Tally) -> NDArray[Any]:
        if isinstance(image, Mapping) and "bytes" in image:  # Hugging Face's, not decoded
            image = image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
        if isinstance(image, bytes):
            seen = open_picture(io.BytesIO(image), self._image_size)
        elif isinstance(image, Image.Image):
            seen = picture(image, self._image_size)
        else:
            if self._image_size is not None:
                raise DatasetError("`image_size` applies to images, not to arrays; resize them before.")
            array = _as_array(image)
            tally.forms[str(array.dtype)] += 1
            tally.sizes["x".join(map(str, array.shape))] += 1
            return array
        self.pictures = True
        tally.add(seen)
        return seen.pixels


def _plain_label(label: Any) -> Any:
    """A number, a text, or a one-hot row."""
    if label is None:
        raise ValueError("it has no label")
    if (hasattr(label, "item") and getattr(label, "size", 1) == 1) or getattr(label, "ndim", 1) == 0:
        label = label.item()
    if isinstance(label, str):
        return label
    row = _as_array(label)
    if row.dtype.kind not in "biuf" or row.ndim > 1 or not (row == np.round(row)).all():
        raise ValueError(f"its label is {label}")
    return label if row.ndim == 0 else row
