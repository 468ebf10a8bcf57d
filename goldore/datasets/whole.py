"""Sources without a file for each image, decoded once: shards, and files of Hugging Face's library.

Their labels lie in the same files as their images, so that a dataset is kept as a whole: beside the images of
the training split, dataset.json has its labels and what was read.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.cache import FEWEST, Cache, Entry, blocks_of, identify, not_kept, stats_of
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.datasets.reading import Reading, SplitReading, Tally
from goldore.errors import DatasetError

_SPLITS = ("train", "test")


class Rooms:
    """Where the images of a dataset's splits go while they are decoded: into the cache, or into memory.

    Args:
        cache: that they may go to.
        name: of the dataset.
        origin: of it.
        files: that are read.

    Attributes:
        cache: as above.
        stopped: whether somebody stopped the decoding.
    """

    def __init__(self, cache: Cache, name: str, origin: Origin, files: Sequence[Path]) -> None:
        self.cache, self._name, self._origin = cache, name, origin
        self._paths, self._files = files, _digest_of(files)
        how = {"kind": origin.kind, "image_size": origin.image_size}
        self._entries = {split: cache.entry(name, split, Path(origin.path), how) for split in _SPLITS}
        self._made: dict[str, NDArray[np.uint8]] = {}
        self._note = ""
        self.stopped = False
        self._locks = ExitStack()

    @property
    def looks_only(self) -> bool:
        """Whether nothing is kept, and of many images only some are decoded."""
        return self.cache.looks_only

    def room(self, split: str, shape: tuple[int, ...]) -> "Filling | None":
        """Room for all images of a split, of a shape [N, C, H, W]; None: in memory.

        Raises:
            DatasetError: if there is no room in a cache that was asked for.
        """
        if self._note or self.looks_only or (not self.cache.asked and shape[0] < FEWEST):
            return None
        try:
            return self._made_in(split, shape)
        except OSError as error:
            self._note = not_kept(self.cache, error)
            return None

    def _made_in(self, split: str, shape: tuple[int, ...]) -> "Filling":
        entry = self._entries[split]
        if split not in self._made:
            self._locks.enter_context(entry.held())
            if self.known() is not None:
                raise MadeMeanwhile
            self._locks.callback(self._end, entry)
        filling = Filling(entry, *entry.whole(shape, self._files))
        self._made[split] = filling.images
        return filling

    def _end(self, entry: Entry) -> None:
        """What is not settled goes before others may fill it, unless it can be gone on with."""
        if self.stopped:
            entry.leave()
        else:
            entry.discard()

    def decoded(self, share: float) -> None:
        """Say how far it is."""
        self.cache.told("decoding images", share)

    def known(self) -> ImageDataset | None:
        """The dataset, its images mapped, if it is there and of the files as they are now."""
        try:
            about = self._entries["train"].dataset()
            images = {split: self._entries[split].complete(made) for split, made in about["made"].items()}
            if about["files"] != self._files or any(each is None for each in images.values()):
                return None
            labels = {split: np.array(each, dtype=np.int64) for split, each in about["labels"].items()}
            return ImageDataset(
                name=self._name,
                images=images["train"],
                labels=labels["train"],
                class_names=tuple(about["class_names"]),
                origin=self._origin,
                test_images=images.get("test"),
                test_labels=labels.get("test"),
                paths=None if about["paths"] is None else tuple(about["paths"]),
                reading=_reading(about["reading"]),
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, DatasetError):
            return None

    def finish(self, dataset: ImageDataset) -> ImageDataset:
        """The dataset with its images mapped, where they went to the cache, and kept with it."""
        labels = {"train": dataset.labels}
        if dataset.test_labels is not None:
            labels["test"] = dataset.test_labels
        if "train" in self._made and not self._note and _digest_of(self._paths) == self._files:
            try:
                return self._kept(dataset, labels)
            except OSError as error:
                self._note = not_kept(self.cache, error)
        notes = (*dataset.reading.notes, self._note)
        return dataset.retold(reading=replace(dataset.reading, notes=notes)) if self._note else dataset

    def _kept(self, dataset: ImageDataset, labels: dict[str, NDArray[np.int64]]) -> ImageDataset:
        if "test" in labels and "test" not in self._made:  # in memory: too few to be kept alone
            assert dataset.test_images is not None  # noqa: S101
            self._made_in("test", dataset.test_images.shape).images[:] = dataset.test_images
        images = {split: self._entries[split].settle(self._made[split]) for split in labels}
        about = {
            "files": self._files,
            "made": {split: each.created for split, each in images.items()},
            "class_names": dataset.class_names,
            "labels": {split: each.tolist() for split, each in labels.items()},
            "paths": dataset.paths,
            "reading": asdict(dataset.reading),
        }
        self._entries["train"].keep_dataset(about)
        return replace(dataset, images=images["train"], test_images=images.get("test"))

    def close(self) -> None:
        """Let others fill it."""
        self._made.clear()
        self._locks.close()


class Filling:
    """The images of a split while they are decoded into the cache, one after the other.

    Args:
        entry: of the cache.
        images: uint8 [N, C, H, W], to be written to.
        labels: of the images that are there of an interrupted decoding, the first of all.
        tally: of these.

    Attributes: as the arguments.
    """

    def __init__(self, entry: Entry, images: NDArray[np.uint8], labels: list[Any], tally: Tally) -> None:
        self._entry, self.images, self.labels, self.tally = entry, images, labels, tally
        self._noted = len(labels)
        self._blocks = {block.stop: block for block in blocks_of(len(images), images.shape[1:])}

    def reached(self, labels: list[Any], tally: Tally) -> None:
        """Called after each image, with all labels so far: from the end of a block it can be gone on."""
        if len(labels) in self._blocks:
            full = [block for block in self._blocks.values() if self._noted < block.stop <= len(labels)]
            with suppress(OSError, TypeError):  # what cannot be noted is decoded once more
                self._entry.reached(self.images, full, labels[self._noted :], tally)
                self._noted = len(labels)


class MadeMeanwhile(Exception):  # noqa: N818 - nothing is wrong
    """Another process has decoded the dataset while this one waited for it."""


def kept_whole(
    cache: Cache | None,
    name: str,
    origin: Origin,
    files: Sequence[Path],
    make: Callable[[Rooms | None], ImageDataset],
) -> ImageDataset:
    """A dataset out of the cache if it is there, and into it if it is not.

    Args:
        cache: where decoded images are kept; None: nowhere.
        name: of the dataset.
        origin: of it.
        files: that are read.
        make: reads it, with its images in such rooms.

    Raises:
        DatasetError: as of `make`, or if there is no room in a cache that was asked for.
    """
    if cache is None:
        return make(None)
    rooms = Rooms(cache, name, origin, files)
    dataset = rooms.known()
    if dataset is None:
        try:
            dataset = rooms.finish(make(rooms))
        except MadeMeanwhile:
            dataset = rooms.known()
            if dataset is None:
                return make(None)
        except BaseException as stop:
            rooms.stopped = not isinstance(stop, Exception)
            raise
        finally:
            rooms.close()
    identify(dataset, cache)
    return dataset


def _digest_of(files: Sequence[Path]) -> str:
    """Of the names, sizes and times of files."""
    together = Path(os.path.commonpath([file.parent for file in files]))
    return hashlib.sha256("\n".join(stats_of(files, together)).encode(errors="surrogateescape")).hexdigest()


def _reading(found: dict[str, Any]) -> Reading:
    fields = {key: _tupled(value) for key, value in found.items() if key != "splits"}
    splits = (
        SplitReading(**{key: _tupled(value) for key, value in each.items()}) for each in found["splits"]
    )
    return Reading(splits=tuple(splits), **fields)


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
