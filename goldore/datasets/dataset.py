"""The in-memory dataset that everything downstream works on, its identity and its validation."""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.origin import Origin
from goldore.datasets.reading import NOTHING_READ, Reading
from goldore.errors import DatasetError
from goldore.values import Value

_BLOCK_BYTES = 2**23  # of pixels looked at together: counting takes eight times as much
_MAX_LISTED = 5
_DECIMALS = 6


@dataclass(frozen=True, eq=False, repr=False)
class ImageDataset(Value):
    """A labelled image dataset in memory, in the original order of its training set.

    Attributes:
        name: names the dataset in files and tables.
        images: training images, uint8 [N, C, H, W].
        labels: training labels, int64 [N], 0 to K-1; every class has a sample.
        class_names: K names.
        source: where it was read from, in words; those of `origin` if that is given.
        test_images: test images, uint8 [M, C, H, W], or None.
        test_labels: test labels, int64 [M], or None exactly if test_images is.
        paths: relative path of each training sample (folder trees only), or None.
        reading: what was read as what, and what was passed over.
        origin: where it was read from, so that it can be found again; None if that is not known.

    Raises:
        DatasetError: if the parts do not fit together (see `validate`).
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    source: str = "unknown"
    test_images: NDArray[np.uint8] | None = None
    test_labels: NDArray[np.int64] | None = None
    paths: tuple[str, ...] | None = None
    reading: Reading = NOTHING_READ
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if self.origin is not None:
            object.__setattr__(self, "source", self.origin.words)
        validate(self)

    def __len__(self) -> int:
        """Training samples."""
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        test = f"; {len(self.test_labels)} test images" if self.test_labels is not None else ""
        return f"ImageDataset({self.name}: {len(self)} images of {shape}, {self.num_classes} classes{test})"

    @property
    def num_samples(self) -> int:
        """Number of training samples N."""
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def _block(self) -> int:
        """Samples looked at together."""
        return max(1, _BLOCK_BYTES // math.prod(self.image_shape))

    @cached_property
    def _hashes(self) -> tuple[str, NDArray[np.uint64]]:
        """Fingerprint and sample hashes, in one pass over the pixels."""
        channels, height, width = self.image_shape
        whole = hashlib.sha256(f"{self.num_samples},{height},{width},{channels};".encode())
        each, block = np.empty(self.num_samples, dtype="<u8"), self._block
        for start in range(0, self.num_samples, block):
            rows = np.ascontiguousarray(self.images[start : start + block].transpose(0, 2, 3, 1))
            whole.update(rows.data)
            for offset, row in enumerate(rows):
                each[start + offset] = _pixel_hash(row)
        whole.update(self.labels.astype("<i8").data)
        return whole.hexdigest(), each

    @property
    def fingerprint(self) -> str:
        """Identity of the training set: sha256, in hexadecimal.

        Over the text "N,H,W,C;", the pixels in the order [N, H, W, C], and the labels as little-endian
        int64, so that it does not depend on how a source stores its channels.
        """
        return self._hashes[0]

    @property
    def sample_hash(self) -> NDArray[np.uint64]:
        """Hash of each training sample's raw pixels, uint64 [N].

        BLAKE2b with an 8-byte digest over the pixels in the order [H, W, C], read as little-endian. Equal
        images have equal hashes, so it maps positions to the orders of other loaders.
        """
        return self._hashes[1]

    def retold(self, **changes: Any) -> "ImageDataset":
        """The same images under another name or reading, without looking at the pixels again."""
        copy = replace(self, **changes)
        for key in ("_hashes", "_normalization"):
            if key in self.__dict__:
                copy.__dict__[key] = self.__dict__[key]
        return copy

    def know(
        self,
        fingerprint: str,
        sample_hash: NDArray[np.uint64],
        normalization: tuple[tuple[float, ...], tuple[float, ...]],
    ) -> None:
        """Take what was found in the same images and labels before, instead of looking at all pixels."""
        self.__dict__.update(_hashes=(fingerprint, sample_hash), _normalization=normalization)

    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the training set, per channel, of pixels scaled to 0..1.

        Computed from the 256-bin histogram of each channel and rounded to six decimals, so that every
        machine finds the same numbers and can go on with the same recipe. A constant channel has a standard
        deviation of 1 here, so that dividing by it is harmless.
        """
        return self._normalization

    @cached_property
    def _normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        means, stds = [], []
        values = np.arange(256) / 255.0
        counts = np.zeros((self.image_shape[0], 256), dtype=np.int64)
        for start in range(0, self.num_samples, self._block):
            some = self.images[start : start + self._block]
            for channel in range(len(counts)):
                counts[channel] += np.bincount(some[:, channel].ravel(), minlength=256)
        for counted in counts:
            share = counted / counted.sum()
            mean = float(share @ values)
            variance = float(share @ (values - mean) ** 2)
            means.append(round(mean, _DECIMALS))
            stds.append(round(variance**0.5, _DECIMALS) or 1.0)
        return tuple(means), tuple(stds)


def is_mapped(images: NDArray[Any]) -> bool:
    """Whether an array, or the one that it is a view of, is a file that is mapped into memory."""
    known: Any = images
    while known is not None and not isinstance(known, np.memmap):
        known = getattr(known, "base", None)
    return known is not None


def is_glance(images: NDArray[Any]) -> bool:
    """Whether an array is one image that stands for all, as in a dry run of what is not decoded yet."""
    return len(images) > 1 and images.strides[0] == 0


def sample_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash of each image's pixels, uint64 [n], as `ImageDataset.sample_hash`.

    Args:
        images: uint8 [n, C, H, W].
    """
    rows = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return np.array([_pixel_hash(row) for row in rows], dtype=np.uint64)


def _pixel_hash(row: NDArray[np.uint8]) -> int:
    """Of one image [H, W, C], contiguous."""
    return int.from_bytes(hashlib.blake2b(row.data, digest_size=8).digest(), "little")


def validate(dataset: ImageDataset) -> None:
    """Check that the parts of a dataset fit together.

    Raises:
        DatasetError: if images and labels differ in length, an array has another type or shape than
            `ImageDataset` says, a label is out of range, or a class has no training sample.
    """
    name, classes = dataset.name, dataset.num_classes
    _check_split(name, "training", dataset.images, dataset.labels, classes)
    for text in (name, dataset.source, *dataset.class_names, *(dataset.paths or ())):
        if "\0" in text or not _is_unicode(text):
            raise DatasetError(
                f"{name} has a name or path that is no valid text ({text!a}); rename it, in UTF-8."
            )
    counts = np.bincount(dataset.labels, minlength=classes)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        listed = ", ".join(f"{label} ({dataset.class_names[label]})" for label in empty[:_MAX_LISTED])
        more = " and others" if len(empty) > _MAX_LISTED else ""
        if counts[0] == 0 and int(dataset.labels.min()) > 0:
            more += f" (the labels run from {dataset.labels.min()} to {dataset.labels.max()}; count from 0)"
        raise DatasetError(
            f"{name} has no training sample of class {listed}{more}; remove the class or add samples to it."
        )
    if (dataset.test_images is None) != (dataset.test_labels is None):
        raise DatasetError(f"{name} has test images or test labels but not both; give both or neither.")
    if dataset.test_images is not None and dataset.test_labels is not None:
        _check_split(name, "test", dataset.test_images, dataset.test_labels, classes)
        if dataset.test_images.shape[1:] != dataset.images.shape[1:]:
            raise DatasetError(
                f"the test images of {name} have shape {dataset.test_images.shape[1:]} but the training "
                f"images {dataset.images.shape[1:]}; make them equal."
            )
    if dataset.paths is not None and len(dataset.paths) != dataset.num_samples:
        raise DatasetError(f"{name} has {dataset.num_samples} samples but {len(dataset.paths)} paths.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_split(
    name: str, split: str, images: NDArray[np.uint8], labels: NDArray[np.int64], classes: int
) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:  # noqa: PLR2004
        raise DatasetError(
            f"the {split} images of {name} are {images.dtype} of shape {images.shape}; "
            "they must be uint8 [samples, channels, height, width] and not empty."
        )
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise DatasetError(
            f"the {split} labels of {name} are {labels.dtype} of shape {labels.shape}; "
            "they must be whole numbers, one a sample."
        )
    if len(images) != len(labels):
        raise DatasetError(
            f"{name} has {len(images)} {split} images but {len(labels)} {split} labels; they must be as many."
        )
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise DatasetError(
            f"{len(outside)} {split} labels of {name} are out of range (sample {outside[0]} has "
            f"{labels[outside[0]]}); they must be 0 to {classes - 1}."
        )
