"""Positions in one loader's order, translated to another's by what the images look like.

Loaders number the samples of a dataset as they like: TensorFlow Datasets shares not one position of MNIST
with torchvision. A hash of each image's raw pixels (`ImageDataset.sample_hash`) finds a sample wherever it
stands. Equal images are told apart by their class, and within it are matched in the order in which they
appear.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.classes import labels_digest
from goldore.datasets.dataset import ImageDataset
from goldore.errors import MappingError
from goldore.store import Header

_GREY, _COLOUR = 1, 3


@dataclass(frozen=True)
class Mapping:
    """Where the samples of one dataset stand in another.

    Attributes:
        positions: int64 [N]: for each sample of the first, its position in the second; -1 if it is not there.
        duplicates: samples of the first whose image occurs more than once in it.
        unknown: samples of the second that are not in the first.
    """

    positions: NDArray[np.int64]
    duplicates: int
    unknown: int

    @property
    def missing(self) -> int:
        """Samples of the first that are not in the second."""
        return int((self.positions < 0).sum())


@dataclass(frozen=True)
class Mapped:
    """A selection in another order.

    Attributes:
        indices: positions to keep in the second dataset, int64, strictly ascending.
        provenance: as of the selection it was made from, but about the second dataset.
        left_out: kept samples that are not in the second.
        mapping: of all samples.
    """

    indices: NDArray[np.int64]
    provenance: dict[str, Any]
    left_out: int
    mapping: Mapping


def map_samples(source: Header, target: ImageDataset, *, partial: bool = False) -> Mapping:
    """Find the samples of one dataset in another.

    A dataset of grey images and the same in three equal channels are compared as what the first has.

    Args:
        source: the first, with sample hashes.
        target: the second.
        partial: allow that either has samples which the other has not; without it, one must hold the other.

    Returns:
        The mapping.

    Raises:
        MappingError: if the first has no hashes, no image is in both, classes do not correspond, or each has
            samples that the other has not.
    """
    if source.sample_hash is None:
        raise MappingError(
            f"{source.info.name} has no sample hashes (it was imported with labels alone); give the data "
            "set itself."
        )
    hashes = _with_channels(target, source.info.image_shape[0]).sample_hash
    classes = _match_classes(source, target, hashes)
    first, second = _ranked(source.sample_hash, classes[source.labels]), _ranked(hashes, target.labels)
    positions = _look_up(first, second)
    _, counts = np.unique(source.sample_hash, return_counts=True)
    known = np.zeros(target.num_samples, dtype=bool)
    known[positions[positions >= 0]] = True
    mapping = Mapping(positions, int(counts[counts > 1].sum()), int((~known).sum()))
    if mapping.missing and mapping.unknown and not partial:
        raise MappingError(
            f"{mapping.missing} of the samples of {source.info.name} are not in {target.name}, and "
            f"{mapping.unknown} the "
            "other way round; check that both are read alike, or use `partial`."
        )
    return mapping


def map_index(
    indices: NDArray[np.int64],
    provenance: dict[str, Any],
    source: Header,
    target: ImageDataset,
    *,
    partial: bool = False,
) -> Mapped:
    """Translate kept positions to another dataset's order.

    Args:
        indices: positions to keep in the first dataset, int64.
        provenance: of the index file.
        source: the first dataset.
        target: the second.
        partial: as of `map_samples`.

    Returns:
        The positions in the second, ascending.

    Raises:
        MappingError: if the index is not about the first dataset, or as `map_samples`.
    """
    claimed = provenance.get("fingerprint")
    if claimed and source.info.fingerprint and claimed != source.info.fingerprint:
        raise MappingError(
            f"the index is about {provenance.get('dataset')} with the fingerprint {claimed[:12]}, and "
            f"{source.info.name} has {source.info.fingerprint[:12]}; say with `source` what it is about."
        )
    digest = provenance.get("labels_sha256")
    if digest is not None and digest != labels_digest(source.labels):
        raise MappingError(
            f"the labels of {source.info.name} are not those of {provenance.get('dataset')}, which the "
            "index is about; say with `source` what it is about."
        )
    if len(indices) and not 0 <= indices.min() <= indices.max() < source.info.num_samples:
        raise MappingError(
            f"the index has position {indices.min() if indices.min() < 0 else indices.max()} and "
            f"{source.info.name} has {source.info.num_samples} samples; give the dataset that was scored."
        )
    mapping = map_samples(source, target, partial=partial)
    there = mapping.positions[indices]
    found = np.sort(there[there >= 0])
    if len(found) == 0:
        raise MappingError(f"none of the kept samples is in {target.name}; check the datasets.")
    kept = np.bincount(target.labels[found], minlength=target.num_classes)
    about = {
        **provenance,
        "dataset": target.name,
        "fingerprint": target.fingerprint,
        "num_samples": target.num_samples,
        "labels_sha256": labels_digest(target.labels),
        "ratio_kept": len(found) / target.num_samples,
        "class_names": list(target.class_names),
        "kept_per_class": kept.tolist(),
        "order": target.source,
        "mapped_from": {
            "dataset": source.info.name,
            "fingerprint": source.info.fingerprint,
            "order": source.info.source,
            "left_out": len(indices) - len(found),
        },
    }
    for key in ("kept", "sha256", "paths"):
        about.pop(key, None)
    if target.paths is not None:
        about["paths"] = [target.paths[index] for index in found]
    return Mapped(found, about, len(indices) - len(found), mapping)


def _with_channels(dataset: ImageDataset, channels: int) -> ImageDataset:
    """The dataset with so many channels, if grey images make that possible."""
    have = dataset.image_shape[0]
    if (have, channels) == (_COLOUR, _GREY) and (dataset.images == dataset.images[:, :1]).all():
        images = dataset.images[:, :1]
    elif (have, channels) == (_GREY, _COLOUR):
        images = np.repeat(dataset.images, _COLOUR, axis=1)
    else:
        return dataset
    return ImageDataset(dataset.name, images, dataset.labels, dataset.class_names, dataset.source)


def _match_classes(source: Header, target: ImageDataset, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each class of the first its number in the second, by images of one class in both; or -1."""
    assert source.sample_hash is not None  # noqa: S101  # checked by the caller
    one, here = _of_one_class(source.sample_hash, source.labels)
    two, there = _of_one_class(hashes, target.labels)
    _, left, right = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    if len(left) == 0:
        shapes = [" x ".join(map(str, each)) for each in (source.info.image_shape, target.image_shape)]
        raise MappingError(
            f"no image of {source.info.name} ({shapes[0]}) is in {target.name} ({shapes[1]}); both must "
            "be read with "
            "the same size and without normalisation."
        )
    pairs = np.zeros((source.info.num_classes, target.num_classes), dtype=np.int64)
    np.add.at(pairs, (here[left], there[right]), 1)
    best = pairs.argmax(axis=1)
    used = pairs.sum(axis=1) > 0
    if len(np.unique(best[used])) < used.sum():
        raise MappingError(
            f"several classes of {source.info.name} are one class in {target.name}; their labels do not "
            "correspond."
        )
    return np.where(used, best, -1)


def _of_one_class(
    hashes: NDArray[np.uint64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The images that occur in one class alone: their hashes, each once, and their classes."""
    order = np.lexsort((labels, hashes))
    found, starts, counts = np.unique(hashes[order], return_index=True, return_counts=True)
    first, last = labels[order][starts], labels[order][starts + counts - 1]
    return found[first == last], first[first == last]


def _ranked(hashes: NDArray[np.uint64], labels: NDArray[np.int64]) -> NDArray[np.void]:
    """Each sample as (hash, label, how many equal ones come before it), a structured array [N]."""
    keys = np.empty(len(hashes), dtype=[("hash", "u8"), ("label", "i8"), ("rank", "i8")])
    keys["hash"], keys["label"] = hashes, labels
    order = np.lexsort((labels, hashes))  # stable: equal ones stay in order
    sorted_hashes, sorted_labels = hashes[order], labels[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (sorted_hashes[1:] != sorted_hashes[:-1]) | (sorted_labels[1:] != sorted_labels[:-1])
    begin = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    keys["rank"][order] = np.arange(len(order)) - begin
    return keys


def _look_up(wanted: NDArray[np.void], among: NDArray[np.void]) -> NDArray[np.int64]:
    """Position of each key among others, int64; -1 where it is not."""
    order = np.lexsort((among["rank"], among["label"], among["hash"]))
    both = np.concatenate([among[order], wanted])
    _, numbers = np.unique(both, return_inverse=True)
    ids, rest = numbers[: len(among)], numbers[len(among) :]
    place = np.full(numbers.max() + 1, -1, dtype=np.int64)
    place[ids] = order
    return place[rest]
