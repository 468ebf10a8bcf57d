"""Datasets in Python: arrays, torch Datasets, Hugging Face's datasets, and dictionaries of splits."""

import io
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goldore.datasets.columns import IMAGES, LABELS, is_table
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.glance import LOOKED_AT, MANY, glance
from goldore.datasets.labels import Classes
from goldore.datasets.listing import splits_of
from goldore.datasets.origin import Origin
from goldore.datasets.paths import paths_of
from goldore.datasets.pictures import Picture, open_picture, picture
from goldore.datasets.pixels import Channels, Scale, Scaling, images_from_array, rescale, with_channels_first
from goldore.datasets.reading import Findings, Tally
from goldore.datasets.whole import Filling, Rooms
from goldore.errors import DatasetError, reason

_TOLD = 500  # items between two words on how far it is
_TWICE = 16  # items that are read a second time
_AHEAD = 128  # that are being decoded while one is taken in
_WAY_OUT = "return PIL images, arrays or tensors with a label each"

Seen = Picture | NDArray[Any]
"""The image of an item."""


def load_object(
    source: Any,
    name: str | None,
    channels: Channels = "auto",
    image_size: int | None = None,
    origin: Origin | None = None,
    findings: Findings | None = None,
    rooms: Rooms | None = None,
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
        findings: what was found before.
        rooms: where images go that are decoded; None: into memory.

    Returns:
        The dataset, in the order of the items.

    Raises:
        DatasetError: if the object is something else, or an item has another form.
    """
    if isinstance(source, ImageDataset):
        return source
    findings = findings or Findings()
    train, test = _splits(source, findings)
    title = name or _title(train)
    origin = origin or Origin("memory", name=type(train).__name__)
    place = "" if origin.kind == "memory" else f" of {origin.name or origin.path}"
    where = f"the training set{place}"
    how = _How(channels, image_size, findings, rooms)
    images, raw, scale = _read(train, where, how, "train")
    classes = Classes(raw, f"the labels of {where}", _class_names(train, where))
    test_images = test_labels = None
    if test is not None:
        where_test = where.replace("training", "test", 1)
        test_images, raw, _ = _read(test, where_test, how, "test", scale)
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


def _splits(source: Any, findings: Findings) -> tuple[Any, Any]:
    """The training and the test set; None if there is no test set."""
    if isinstance(source, Mapping):
        if len(source) == 1:
            return next(iter(source.values())), None
        there = {str(key): key for key in source}
        named = splits_of(there)
        if "train" not in named:
            raise DatasetError(
                f"the dataset has the splits {', '.join(there) or '(none)'} and no train; pass the one to be "
                "scored."
            )
        twice = next((keys for keys in named.values() if len(keys) > 1), None)
        if twice:
            raise DatasetError(
                f"the dataset has the splits {twice[0]} and {twice[1]}, which mean the same; leave one of "
                "them out."
            )
        test = named.get("test", named.get("val"))
        used = [named["train"][0], *(test or [])]
        findings.passed_over.update(f"split {key}" for key in there if key not in used)
        return tuple(source[there[key]] for key in used) if test else (source[there[used[0]]], None)
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
        if is_table(train):
            names = getattr(train.features[_column(train.column_names, LABELS, where)], "names", None)
            return tuple(map(str, names)) if names else None
    except DatasetError:
        raise
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"the classes of {where} cannot be read ({reason(error)}); make them a list."
        ) from error
    return None


def _column(names: Sequence[str], known: Sequence[str], where: str) -> str:
    found = next((name for name in known if name in names), None)
    if found is None:
        raise DatasetError(
            f"{where} has {', '.join(map(str, names))} and none of {', '.join(known[:4])}; rename what is "
            f"meant, or give a function of your own (package.module:function) whose items are pairs."
        )
    return found


@dataclass(frozen=True)
class _How:
    """How the splits of a dataset are read.

    Attributes:
        channels: where the channels of arrays and tensors are.
        image_size: what pictures are resized to, or None.
        findings: gets what was found.
        rooms: where images go that are decoded; None: into memory.
    """

    channels: Channels
    image_size: int | None
    findings: Findings
    rooms: Rooms | None = None


def _read(
    dataset: Any, where: str, how: _How, split: str, of_train: Scale | None = None
) -> tuple[NDArray[np.uint8], Any, Scale]:
    """The images of a split, its labels as they are, and its scale: of the training set, if that is given."""
    scaling = Scaling(where, of_train)
    if _is_arrays(dataset):
        return *_read_pair(dataset, where, how, split, scaling), scaling.scale
    if hasattr(dataset, "shape") and hasattr(dataset, "dtype"):
        raise DatasetError(
            f"{where} is an array of shape {tuple(dataset.shape)} without labels; give a pair (images, "
            "labels), the images [N, H, W], [N, C, H, W] or [N, H, W, C]."
        )
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        hint = "pass the dataset that it loads from" if hasattr(dataset, "dataset") else "make it indexable"
        raise DatasetError(
            f"{where} is {type(dataset).__name__}; it must have a length and be indexable: {hint}."
        )
    length = _length(dataset, where)
    if length == 0:
        raise DatasetError(f"{where} is empty; there must be at least one image.")
    reader = _Items(dataset, where, how, split, scaling)
    pixels = reader.read(length)
    reader.check_repeats(length)
    images, detail = with_channels_first(
        pixels,
        where,
        "last" if reader.pictures and pixels.ndim > 3 else how.channels,  # noqa: PLR2004
    )
    how.findings.saw(scaling.changed, length, "" if reader.pictures else detail)
    reader.tally.tell(how.findings, split, where, images=length)
    return images, reader.labels, scaling.scale


def _read_pair(
    pair: Any, where: str, how: _How, split: str, scaling: Scaling
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    if how.image_size is not None:
        raise DatasetError("`image_size` applies to images, not to arrays; resize them before.")
    array = _as_array(pair[0])
    if not hasattr(pair[1], "__len__"):
        raise DatasetError(f"{where} is images and {pair[1]!r}; it must be images and a label for each.")
    if len(array) != len(pair[1]):
        raise DatasetError(
            f"{where} has {len(array)} images but {len(pair[1])} labels; they must be as many."
        )
    images, changed, detail = images_from_array(array, f"the images of {where}", how.channels, scaling)
    how.findings.saw(changed, len(images), detail)
    how.findings.split_of_array(split, where, array.dtype, images.shape, scaling.peak)
    return images, _as_array(pair[1])


def _as_array(values: Any) -> NDArray[Any]:
    """An array of NumPy of one of NumPy, torch (on any device) or JAX, or of a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if "bfloat16" in str(values.dtype):  # which NumPy does not have
            values = values.float()
    return np.asarray(values)


def _length(dataset: Any, where: str) -> int:
    try:
        return len(dataset)
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"{where} is {type(dataset).__name__}, whose length cannot be told ({reason(error)}); "
            "it must have a length and be indexable."
        ) from error


def _coloured(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey images [..., H, W] as [..., H, W, 3]; others as they are."""
    return np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 3 else pixels  # noqa: PLR2004


class _Items:
    """Reads the items of a dataset, one after the other.

    Attributes:
        labels: of all items so far, as they are.
        pictures: whether images are of Pillow.
        tally: of what images were.
    """

    def __init__(self, dataset: Any, where: str, how: _How, split: str, scaling: Scaling) -> None:
        self.labels: list[Any] = []
        self.pictures = False
        self.tally = Tally()
        self._dataset, self._where, self._how, self._split = dataset, where, how, split
        self._scaling = scaling
        self._filling: Filling | None = None

    def read(self, length: int) -> NDArray[np.uint8]:
        """The images of all items, uint8 [length, ...] with the channels where they were.

        Each is brought to 8 bits at once, so that no more than some are there as they were. Where a dry run
        looks at few of many, one stands for all.

        Raises:
            DatasetError: if an item has another form than the others.
        """
        rooms, scaling = self._how.rooms, self._scaling
        shape = self._in_bytes(self._item(0)[0], 0, Tally()).shape
        if rooms is not None and rooms.looks_only and self.pictures and length >= MANY:
            return self._glance(length, rooms)
        images = self._room((length, *shape))
        missing = range(len(self.labels), length)
        for position, (seen, label) in zip(missing, self._items(missing), strict=True):
            before = scaling.scale
            pixels = self._in_bytes(seen, position, self.tally)
            if self.pictures and pixels.ndim + 1 != images.ndim:  # grey images came first, or now
                pixels = _coloured(pixels[None])[0]
                if images.ndim == 3:  # noqa: PLR2004
                    grey, images = images, self._room((length, *pixels.shape))
                    for start in range(0, position, _TOLD):
                        some = slice(start, min(start + _TOLD, position))
                        images[some] = _coloured(grey[some])
            self._check_shape(pixels, images.shape[1:], position)
            if scaling.scale != before:
                rescale(images[:position], before, scaling.scale)
            images[position] = pixels
            self.labels.append(label)
            if self._filling is not None:
                self._filling.reached(self.labels, self.tally)
            if rooms is not None and position % _TOLD == 0:
                rooms.decoded(position / length)
        self.tally.peak = max(self.tally.peak, scaling.peak)
        return images

    def _glance(self, length: int, rooms: Rooms) -> NDArray[np.uint8]:
        """Look at few items, and at all labels."""
        some, start = range(0, length, max(1, length // LOOKED_AT))[:LOOKED_AT], time.perf_counter()
        images = [self._in_bytes(seen, 0, self.tally) for seen, _ in self._items(some)]
        rate = len(some) / (time.perf_counter() - start)
        if len({image.ndim for image in images}) > 1:
            images = [_coloured(image[None])[0] for image in images]
        for position, image in zip(some, images, strict=True):
            self._check_shape(image, images[0].shape, position)
        for position, label in enumerate(self._all_labels()):
            with self._errors_of(position):
                self.labels.append(_plain_label(label))
        findings = self._how.findings
        return glance(images[0], length, rate, self._split, rooms.cache, findings)

    def _all_labels(self) -> Sequence[Any]:
        """Of a table, or of another source that is not in memory; no image is read for them."""
        if is_table(self._dataset):
            return self._dataset[_column(self._dataset.column_names, LABELS, self._where)]  # type: ignore[no-any-return]
        return self._dataset.labels  # type: ignore[no-any-return]

    def _check_shape(self, pixels: NDArray[np.uint8], shape: tuple[int, ...], position: int) -> None:
        if pixels.shape != shape:
            raise DatasetError(
                f"images of {self._where} differ in shape ({shape}, then {pixels.shape} at item {position}); "
                "resize them to one size, or use `image_size`."
            )

    def _room(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        if self._how.rooms is not None and self.pictures:
            number, *side = shape[:3]
            colours = shape[3] if len(shape) > 3 else 1  # noqa: PLR2004
            self._filling = self._how.rooms.room(self._split, (number, colours, *side))
            if self._filling is not None:
                if self._filling.labels:  # it was interrupted
                    self.labels, self.tally = self._filling.labels, self._filling.tally
                kept = self._filling.images  # as it will be read, seen as it is written
                return kept.transpose(0, 2, 3, 1) if kept.shape[1] > 1 else kept[:, 0]
        try:
            return np.empty(shape, dtype=np.uint8)
        except (MemoryError, ValueError) as error:
            raise DatasetError(
                f"{shape[0]:,} images of the shape {shape[1:]} of {self._where} do not fit into memory; "
                "resize them, or leave some out."
            ) from error

    def check_repeats(self, length: int) -> None:
        """Read some items once more: what changes cannot be scored.

        Raises:
            DatasetError: naming an item that changes.
        """
        for position in sorted({round(each) for each in np.linspace(0, length - 1, min(_TWICE, length))}):
            first, second = (_pixels_of(self._item(position)[0]) for _ in range(2))
            if first.shape != second.shape or not np.array_equal(first, second):
                raise DatasetError(
                    f"item {position} of {self._where} changes from one reading to the next; leave random "
                    "augmentation out (goldore score --augment is for the proxies' training), and score the "
                    "images as they are."
                )

    def _items(self, positions: Iterable[int]) -> Iterator[tuple[Seen, Any]]:
        """Items in order; images that lie in memory as files are decoded in threads, some ahead."""
        ahead: deque[tuple[Future[Seen], Any]] = deque()
        threads = ThreadPoolExecutor()
        try:
            for position in positions:
                image, label = self._as_it_is(position)
                packed = isinstance(image, bytes)
                if packed:
                    ahead.append((threads.submit(self._decoded, image, position), label))
                while len(ahead) > (_AHEAD if packed else 0):
                    future, known = ahead.popleft()
                    yield future.result(), known
                if not packed:
                    yield self._decoded(image, position), label
            for future, label in ahead:
                yield future.result(), label
        finally:
            threads.shutdown(cancel_futures=True)

    def _item(self, position: int) -> tuple[Seen, Any]:
        """The image of an item, as a picture or an array, and its label."""
        image, label = self._as_it_is(position)
        return self._decoded(image, position), label

    def _as_it_is(self, position: int) -> tuple[Any, Any]:
        """The image of an item, perhaps not decoded, and its label."""
        with self._errors_of(position):
            item = self._dataset[position]
            if isinstance(item, Mapping):
                names = list(item)
                image = item[_column(names, IMAGES, self._where)]
                label = item[_column(names, LABELS, self._where)]
            else:
                image, label = item
            if isinstance(image, Mapping) and "bytes" in image:  # Hugging Face's, not decoded
                image = image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
            return image, _plain_label(label)

    def _decoded(self, image: Any, position: int) -> Seen:
        with self._errors_of(position):
            if isinstance(image, bytes):
                return open_picture(io.BytesIO(image), self._how.image_size)
            if isinstance(image, Image.Image):
                return picture(image, self._how.image_size)
            if self._how.image_size is not None:
                raise DatasetError("`image_size` applies to images, not to arrays; resize them before.")
            return _as_array(image)

    @contextmanager
    def _errors_of(self, position: int) -> Iterator[None]:
        try:
            yield
        except DatasetError:
            raise
        except (Exception, SystemExit) as error:
            raise DatasetError(
                f"item {position} of {self._where} is not a pair of an image and a label ({reason(error)}); "
                f"{_WAY_OUT}."
            ) from error

    def _in_bytes(self, seen: Seen, position: int, tally: Tally) -> NDArray[np.uint8]:
        """Count an image, and bring it to 8 bits."""
        array = _pixels_of(seen)
        if isinstance(seen, Picture):
            self.pictures = True
            tally.add(seen)
        else:
            tally.forms[str(array.dtype)] += 1
            tally.sizes["x".join(map(str, array.shape))] += 1
        pixels: NDArray[np.uint8] = self._scaling.in_bytes(array[None], position)[0]
        return pixels


def _pixels_of(seen: Seen) -> NDArray[Any]:
    return seen.pixels if isinstance(seen, Picture) else seen


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
