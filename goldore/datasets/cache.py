"""Decoded images that are kept between commands, as arrays that are mapped into memory.

Each folder in the cache is one split of one source:

    images.npy    uint8 [N, C, H, W]
    entry.json    what it holds: of which files, decoded how, and the sha256 of each block of images
    hashes.npy    uint64 [N], `ImageDataset.sample_hash`; of training splits that were scored
    dataset.json  labels and what was read, of sources without a file for each image (`whole`)
    images.part, blocks.jsonl    in the place of these, until all images are decoded

Files are known by name, size and time, block by block: where some have changed, only their blocks are decoded
again. An array that is there is never written to, since other processes may have mapped it.
"""

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset, is_glance
from goldore.datasets.paths import relative_paths
from goldore.datasets.reading import Tally
from goldore.errors import DatasetError, GoldoreError, LockedError, reason
from goldore.files.atomic import file_name, replacing, sync_folder, user_path
from goldore.files.locking import writing_to
from goldore.files.places import own_cache, user_cache
from goldore.files.untrusted import parse_json
from goldore.version import __version__

AUTO, NONE = "auto", "none"
_FOLDER = "images"
FEWEST = 1000
"""Images from which a split is kept where nobody asked for it."""

_FORMAT = 1  # of the entries, and of how images are decoded; another one is another entry
_BLOCK_BYTES, _BLOCK_IMAGES = 2**25, 4096  # of a block, at the most
_HEADER = 128  # bytes of a .npy file before its numbers
_KEY = 12  # hexadecimal digits of an entry's name
_COLOURS = 3  # channels of an image that is not grey
_BETWEEN_LOOKS = 0.5  # seconds

Block = dict[str, Any]
Told = Callable[[str, float], object]
"""Called now and then with what is being made, and which share of it is there."""


class Room(Protocol):
    """Where the decoded images of a split go."""

    def held(self) -> AbstractContextManager[None]:
        """Be the only one that fills it."""

    def known(self, stats: Sequence[str], tally: Tally) -> NDArray[np.uint8] | None:
        """All images, if they are there already.

        Args:
            stats: names each file, in a way that changes with its content.
            tally: counts what the files were.
        """

    def begin(self, number: int, shape: tuple[int, ...], stats: Sequence[str]) -> list[range]:
        """Make room for images of a shape [C, H, W], and say which blocks of positions are missing."""

    def keep(self, block: range, images: NDArray[np.uint8], seen: Tally) -> None:
        """Take the images of a block, and what they were."""

    def finish(self, tally: Tally) -> NDArray[np.uint8]:
        """All images [N, C, H, W], once all blocks were kept; adds what they were to a tally."""


class Memory:
    """Room in memory."""

    def __init__(self) -> None:
        self._images: NDArray[np.uint8] | None = None
        self._seen = Tally()

    def held(self) -> AbstractContextManager[None]:
        """Nobody else sees it."""
        return nullcontext()

    def known(self, stats: Sequence[str], tally: Tally) -> None:
        """Nothing is there before."""
        del stats, tally

    def begin(self, number: int, shape: tuple[int, ...], stats: Sequence[str]) -> list[range]:
        """Take the memory (see `Room.begin`).

        Raises:
            DatasetError: if there is not so much.
        """
        del stats
        try:
            self._images = np.empty((number, *shape), dtype=np.uint8)
        except MemoryError:
            raise DatasetError(
                f"{number} images of {shape[1]}x{shape[2]} do not fit into memory; use `cache`, or "
                "`image_size` with a smaller one."
            ) from None
        return blocks_of(number, shape)

    def keep(self, block: range, images: NDArray[np.uint8], seen: Tally) -> None:
        """Copy a block (see `Room.keep`)."""
        assert self._images is not None  # noqa: S101
        self._images[block.start : block.stop] = images
        self._seen.update(seen)

    def finish(self, tally: Tally) -> NDArray[np.uint8]:
        """See `Room.finish`."""
        assert self._images is not None  # noqa: S101
        tally.update(self._seen)
        return self._images


def blocks_of(number: int, shape: tuple[int, ...]) -> list[range]:
    """Positions in blocks of so many bytes that they are read and written well."""
    step = max(1, min(_BLOCK_IMAGES, _BLOCK_BYTES // int(np.prod(shape))))
    return [range(start, min(start + step, number)) for start in range(0, number, step)]


@dataclass(frozen=True)
class Record:
    """What an entry holds.

    Attributes:
        source: folder that was read.
        split: "train" or "test".
        how: what decoding depends on, by name.
        shape: [N, C, H, W].
        blocks: of each block, in order, where it begins ("first"), a digest of its files' names, sizes and
            times ("files"), that of its images ("sha256"), and what they were ("seen", a Tally in JSON).
        created: when, in seconds since 1970.
        fingerprint: of the dataset; empty if it was not asked for.
        labels: sha256 of the labels that the fingerprint is about.
        mean: per channel.
        std: per channel.
        version: of goldore.
    """

    source: str
    split: str
    how: dict[str, Any]
    shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    created: float
    fingerprint: str = ""
    labels: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    version: str = __version__

    @classmethod
    def of(cls, path: Path) -> "Record | None":
        """Read a record; None if there is none, or it is damaged."""
        try:
            found = parse_json(path.read_text(encoding="utf-8"))
            lists = {key: tuple(found[key]) for key in ("shape", "blocks", "mean", "std")}
            return cls(**{**found, **lists}) if all(map(_is_block, lists["blocks"])) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True)
class Kept:
    """What lies in a folder of the cache, for people.

    Attributes:
        name: of the folder.
        source: folder of images that was read.
        images: number of images; of an interrupted decoding, those that are there.
        shape: [C, H, W].
        bytes: on the disk.
        complete: whether all images are there.
        used: when it was last used, in seconds since 1970.
    """

    name: str
    source: str
    images: int
    shape: tuple[int, ...]
    bytes: int
    complete: bool
    used: float


@dataclass
class Entry:
    """One split in the cache; a `Room` for its images while it is `held`.

    Attributes:
        folder: of the entry.
        source: folder that is read.
        split: "train" or "test".
        how: what decoding depends on, by name.
        told: hears how far it is.
    """

    folder: Path
    source: str
    split: str
    how: dict[str, Any]
    told: Told
    _files: dict[int, str] = field(default_factory=dict)  # digests by a block's first position
    _done: dict[int, Block] = field(default_factory=dict)
    _shape: tuple[int, ...] = ()

    @property
    def path(self) -> Path:
        """Of the images."""
        return self.folder / "images.npy"

    @property
    def _part(self) -> Path:
        return self.folder / "images.part"

    @property
    def _journal(self) -> Path:
        return self.folder / "blocks.jsonl"

    def record(self) -> Record | None:
        """What it holds; None while it is not complete."""
        return Record.of(self.folder / "entry.json")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one that fills it; waits for another process that does.

        Raises:
            OSError: if the folder cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as lock:
            while True:
                try:
                    lock.enter_context(writing_to(self.path))
                    break
                except LockedError:
                    self.told("another process decodes the images", 0.0)
                    time.sleep(_BETWEEN_LOOKS)
                except GoldoreError as error:
                    raise OSError(str(error)) from error
            yield

    def known(self, stats: Sequence[str], tally: Tally) -> NDArray[np.uint8] | None:
        """The images, mapped, if all are there and of the files as they are now (see `Room.known`)."""
        record = self.record()
        if record is None or record.shape[0] != len(stats):
            return None
        digests = _digests(stats, blocks_of(record.shape[0], record.shape[1:]))
        if {block["first"]: block["files"] for block in record.blocks} != digests:
            return None
        images = self._mapped(record)
        if images is not None:
            with suppress(OSError):  # of a cache that can only be read
                os.utime(self.folder / "entry.json")  # when it was used
            _count(record, tally)
        return images

    def begin(self, number: int, shape: tuple[int, ...], stats: Sequence[str]) -> list[range]:
        """Reserve the disk, take over what is there of the same files, and say what is missing.

        Raises:
            OSError: if the disk does not have the room.
        """
        self._shape, blocks = (number, *shape), blocks_of(number, shape)
        self._files = _digests(stats, blocks)
        self._bring_back()
        there = self._resumable() or None
        if there is None:  # before the part: its lines are of another one
            self._journal.unlink(missing_ok=True)
            self._part.unlink(missing_ok=True)  # what has mapped it keeps it
            sync_folder(self.folder)
        size = _HEADER + int(np.prod(self._shape))
        with self._part.open("r+b" if there is not None else "wb") as part:
            part.write(_header(self._shape))
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(part.fileno(), 0, size)
            part.truncate(size)
        if there is None:
            self._take_over()
        else:
            self._done = there
        return [block for block in blocks if block.start not in self._done]

    def keep(self, block: range, images: NDArray[np.uint8], seen: Tally) -> None:
        """Write a block, and then that it is there (see `Room.keep`)."""
        self._write(block, images, seen.to_json())
        self.told("decoding images", len(self._done) / len(self._files))

    def finish(self, tally: Tally) -> NDArray[np.uint8]:
        """Make the entry complete (see `Room.finish`)."""
        blocks = tuple(self._done[first] for first in self._files)
        record = Record(self.source, self.split, self.how, self._shape, blocks, time.time())
        (self.folder / "entry.json").unlink(missing_ok=True)
        (self.folder / "hashes.npy").unlink(missing_ok=True)
        self._part.replace(self.path)
        self._save(record)
        self._journal.unlink(missing_ok=True)
        _count(record, tally)
        images = self._mapped(record)
        if images is None:
            raise DatasetError(f"{self.path} is not as it was written; remove {self.folder}.")
        return images

    def whole(self, shape: tuple[int, ...], files: str) -> tuple[NDArray[np.uint8], list[Any], Tally]:
        """Room for all images at once, to be written to, where they come one after the other.

        Args:
            shape: [N, C, H, W]; of grey images that were taken for coloured ones before, C is 3 again.
            files: digest of what is read.

        Returns:
            The room, and what `reached` noted before it was interrupted: the labels of the first images,
            which are there, and what these were.

        Raises:
            OSError: if the disk does not have the room.
        """
        coloured = shape[0], _COLOURS, *shape[2:]
        labels, seen = self._first_of(coloured, files) if self._is_begun(coloured) else ([], Tally())
        if labels:
            shape = coloured
        else:
            labels, seen = self._first_of(shape, files)
        return np.memmap(self._part, np.uint8, "r+", _HEADER, shape), labels, seen

    def _first_of(self, shape: tuple[int, ...], files: str) -> tuple[list[Any], Tally]:
        """Make room for images of a shape, and give what is known of the first ones if they are there."""
        self.begin(shape[0], shape[1:], [files] * shape[0])
        labels: list[Any] = []
        seen = Tally()
        for block in blocks_of(shape[0], shape[1:]):
            line = self._done.get(block.start)
            if line is None:
                break
            text = line.get("about")
            if isinstance(text, str) and line.get("seal") == _seal_of(text):
                more, so_far = json.loads(text)
                if len(labels) + len(more) != block.stop:
                    break
                labels += more
                seen = Tally.from_json(so_far)
        return labels, seen

    def reached(
        self, images: NDArray[np.uint8], blocks: Sequence[range], labels: list[Any], seen: Tally
    ) -> None:
        """Note that blocks of the images from `whole` are there.

        Args:
            images: all.
            blocks: neighbours, of which none was noted before.
            labels: of their images.
            seen: what all images were up to their end.

        Raises:
            TypeError: if the labels are no numbers, texts or arrays.
        """
        text = json.dumps([labels, seen.to_json()], default=_as_list)
        cast("Any", images).flush()
        for block in blocks:
            about = {"about": text, "seal": _seal_of(text)} if block == blocks[-1] else {}
            self._note(block, _sha256(images[block.start : block.stop]), {}, **about)

    def settle(self, images: NDArray[np.uint8]) -> Any:
        """Make the entry complete whose images `whole` gave; gives them mapped, with `created`."""
        cast("Any", images).flush()
        seen = Tally().to_json()
        for block in blocks_of(len(images), images.shape[1:]):
            self._done[block.start] = {
                "first": block.start,
                "files": self._files[block.start],
                "sha256": _sha256(images[block.start : block.stop]),
                "seen": seen,
            }
        return self.finish(Tally())

    def discard(self) -> None:
        """Remove what is not complete."""
        for each in (self._part, self._journal):
            each.unlink(missing_ok=True)

    def leave(self) -> None:
        """Let a later decoding go on where this one was stopped, if it had come so far."""
        if not self._journal.exists():
            self.discard()

    def keep_dataset(self, about: dict[str, Any]) -> None:
        """Write the labels and whatever else goes with the images, with a checksum."""
        text = json.dumps(about)
        sealed = {"sha256": _seal_of(text), "about": text}
        with replacing(self.folder / "dataset.json") as target:
            target.write_text(json.dumps(sealed), encoding="utf-8")

    def dataset(self) -> dict[str, Any]:
        """What `keep_dataset` wrote.

        Raises:
            OSError: if there is none.
            ValueError: if it is damaged.
        """
        sealed = parse_json((self.folder / "dataset.json").read_text(encoding="utf-8"))
        text = sealed.get("about") if isinstance(sealed, dict) else None
        if not isinstance(text, str) or _seal_of(text) != sealed.get("sha256"):
            raise ValueError("dataset.json is damaged")
        about: dict[str, Any] = parse_json(text)
        return about

    def complete(self, created: float) -> Any:
        """The images, mapped, if they are those that were made at a time; None if not."""
        record = self.record()
        if record is None or record.created != created:
            return None
        with suppress(OSError):  # of a cache that can only be read
            os.utime(self.folder / "entry.json")  # when it was used
        return self._mapped(record)

    def kept(self) -> Kept | None:
        """What is here, for people; None if it is nothing that can be told."""
        record, file, images = self.record(), self._part, 0
        try:
            whole = record is not None or not self._part.exists()
            with (self.path if whole else self._part).open("rb") as opened:
                np.lib.format.read_magic(opened)
                shape = np.lib.format.read_array_header_1_0(opened)[0]
            if record is not None:
                file, images = self.folder / "entry.json", shape[0]
            else:
                there = {line["first"] for line in self._lines()}
                images = sum(len(block) for block in blocks_of(shape[0], shape[1:]) if block.start in there)
            size = sum(each.stat().st_blocks * 512 for each in self.folder.iterdir())
            used = (file if file.exists() else self.path).stat().st_mtime
        except (OSError, ValueError):
            return None
        return Kept(self.folder.name, self.source, images, shape[1:], size, record is not None, used)

    def identify(self, dataset: ImageDataset) -> None:
        """Tell a dataset with these training images its hashes and normalisation, or keep those it finds."""
        record, labels = self.record(), hashlib.sha256(dataset.labels.tobytes()).hexdigest()
        mine = getattr(dataset.images, "created", None)
        if record is None or record.created != mine:
            return
        if record.fingerprint and record.labels == labels:
            try:
                hashes = np.load(self.folder / "hashes.npy", allow_pickle=False)
            except (OSError, ValueError):
                hashes = None
            if hashes is not None and len(hashes) == len(dataset):
                dataset.know(record.fingerprint, hashes, (record.mean, record.std))
                return
        self.told("hashing images", 0.0)
        mean, std = dataset.normalization()
        known = {"fingerprint": dataset.fingerprint, "labels": labels, "mean": mean, "std": std}
        with suppress(OSError, GoldoreError), writing_to(self.path):  # it is found again next time
            record = self.record()
            if record is not None and record.created == mine:
                with replacing(self.folder / "hashes.npy") as target, target.open("wb") as file:
                    np.save(file, dataset.sample_hash)
                self._save(Record(**{**vars(record), **known}))

    def damaged(self) -> list[int]:
        """Which blocks of a complete entry do not hold what was written, by number."""
        record = self.record()
        images = self._mapped(record) if record is not None else None
        if record is None or images is None:
            return [0]
        try:
            self.dataset()
        except OSError:  # a folder tree's has none
            pass
        except ValueError:
            return [0]
        blocks = blocks_of(record.shape[0], record.shape[1:])
        return [
            number
            for number, (block, known) in enumerate(zip(blocks, record.blocks, strict=True))
            if _sha256(images[block.start : block.stop]) != known["sha256"]
        ]

    def _mapped(self, record: Record) -> NDArray[np.uint8] | None:
        try:
            images: Any = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return None
        if images.shape != record.shape or images.dtype != np.uint8:
            return None
        images.created = record.created  # a newer array may replace the file
        mapped: NDArray[np.uint8] = images
        return mapped

    def _save(self, record: Record) -> None:
        with replacing(self.folder / "entry.json") as target:
            target.write_text(json.dumps(vars(record)), encoding="utf-8")

    def _resumable(self) -> dict[int, dict[str, Any]] | None:
        """What is there of an interrupted decoding; None if nothing is."""
        if not self._is_begun(self._shape):
            return None
        last = {line["first"]: line for line in self._lines()}
        blocks = {block.start: block for block in blocks_of(self._shape[0], self._shape[1:])}
        images = np.memmap(self._part, np.uint8, "r", _HEADER, self._shape)
        return {
            first: line
            for first, line in last.items()
            if self._files.get(first) == line["files"]
            and line["sha256"] == _sha256(images[first : blocks[first].stop])
        }

    def _is_begun(self, shape: tuple[int, ...]) -> bool:
        """Whether there is room for images of this shape, and perhaps some of them."""
        try:
            with self._part.open("rb") as part:
                same = part.read(_HEADER) == _header(shape)
            return same and self._part.stat().st_size == _HEADER + int(np.prod(shape))
        except OSError:
            return False

    def _bring_back(self) -> None:
        """If all images were there and the last step failed, go on from there."""
        unfinished = not (self._part.exists() or (self.folder / "entry.json").exists())
        if unfinished and self._journal.exists() and self.path.exists():
            self.path.rename(self._part)

    def _lines(self) -> Iterator[Block]:
        """Of the journal, without one that was cut short."""
        try:
            text = self._journal.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for line in text.splitlines():
            try:
                found = parse_json(line)
            except ValueError:
                continue
            if _is_block(found):
                yield found

    def _take_over(self) -> None:
        """Copy the blocks of a complete entry whose files are as they were."""
        self._done, record = {}, self.record()
        images = self._mapped(record) if record is not None else None
        if record is None or images is None or record.shape[1:] != self._shape[1:]:
            return
        for old, block in zip(record.blocks, blocks_of(len(images), images.shape[1:]), strict=True):
            if self._files.get(old["first"]) == old["files"]:
                self._write(block, images[block.start : block.stop], old["seen"])

    def _write(self, block: range, images: NDArray[np.uint8], seen: dict[str, Any]) -> None:
        """Put a block on the disk, and then a line that it is there."""
        images = np.ascontiguousarray(images)
        content = memoryview(images.data).cast("B")
        with self._part.open("r+b", buffering=0) as part:
            part.seek(_HEADER + block.start * int(np.prod(self._shape[1:])))
            while content:
                content = content[part.write(content) :]
            os.fsync(part.fileno())
        self._note(block, _sha256(images), seen)

    def _note(self, block: range, sha256: str, seen: dict[str, Any], **more: Any) -> None:
        """Write a line that a block is on the disk."""
        line = {
            "first": block.start,
            "files": self._files[block.start],
            "sha256": sha256,
            "seen": seen,
            **more,
        }
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")
        self._done[block.start] = line


@dataclass(frozen=True)
class Cache:
    """A folder of entries.

    Attributes:
        folder: of the cache.
        asked: whether somebody named it: then all splits are kept, and what is in the way is an error. Else
            those of some size, where there is room.
        told: hears what is made.
        looks_only: nothing is kept, and of many images that are not there only some are decoded.
    """

    folder: Path
    asked: bool = True
    told: Told = lambda *_: None
    looks_only: bool = False

    def room(self, name: str, split: str, source: Path, files: int, how: dict[str, Any]) -> Room | None:
        """The entry of a split, or None if it is not to be kept."""
        if not self.asked and files < FEWEST:
            return None
        return self.entry(name, split, source, how)

    def entry(self, name: str, split: str, source: Path, how: dict[str, Any]) -> Entry:
        """The entry of a split."""
        where = str(source.resolve())
        key = json.dumps([_FORMAT, where, split, how], sort_keys=True)
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:_KEY]
        return Entry(self.folder / f"{file_name(name)}-{split}-{digest}", where, split, how, self.told)


def cache_folder() -> Path:
    """Where decoded images are kept if nothing else is said.

    That is images/ in $GOLDORE_CACHE, or goldore/images in the user's cache folder.
    """
    return (own_cache() or user_cache() / "goldore") / _FOLDER


def cache_of(
    where: str | Path | None, told: Told = lambda *_: None, *, looks_only: bool = False
) -> Cache | None:
    """What the argument `cache` of `load_dataset` means; None keeps nothing."""
    if where in (None, NONE):
        return None
    asked = where != AUTO
    folder = user_path(str(where)) if asked else cache_folder()
    return Cache(folder, asked=asked, told=told, looks_only=looks_only)


def not_kept(cache: Cache, error: OSError) -> str:
    """What to say of images for which there is no room in a cache that nobody asked for.

    Raises:
        DatasetError: if somebody did.
    """
    if cache.asked:
        raise DatasetError(
            f"decoded images cannot be kept in {cache.folder} ({reason(error)}); make room, or choose "
            "another `cache`."
        ) from error
    return f"decoded images are not kept in {cache.folder} ({reason(error)})"


def identify(dataset: ImageDataset, cache: Cache | None) -> None:
    """Tell a dataset whose training images are mapped from a cache what is known of them there."""
    if is_glance(dataset.images):  # of which there is nothing to know, and nothing to look at
        like = (0.5,) * dataset.image_shape[0], (0.25,) * dataset.image_shape[0]
        dataset.know("", np.arange(len(dataset), dtype=np.uint64), like)
        return
    if cache is not None and isinstance(dataset.images, np.memmap) and dataset.images.filename is not None:
        entry = entry_at(Path(dataset.images.filename).parent)
        if entry is not None:
            entry.told = cache.told
            entry.identify(dataset)


def free_space(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def list_cache(folder: Path) -> list[Kept]:
    """What a cache holds, by name."""
    found = []
    for each in sorted(folder.iterdir()) if folder.is_dir() else []:
        entry = entry_at(each)
        kept = entry.kept() if entry is not None else None
        if kept is not None:
            found.append(kept)
    return found


def entry_at(folder: Path) -> Entry | None:
    """The entry in a folder; None if the folder is none."""
    record = Record.of(folder / "entry.json")
    if record is not None:
        return Entry(folder, record.source, record.split, record.how, lambda *_: None)
    if (folder / "blocks.jsonl").is_file() or (folder / "images.part").is_file():
        return Entry(folder, "", "", {}, lambda *_: None)
    return None


def remove_entry(folder: Path) -> None:
    """Remove an entry; processes that have mapped its images keep them.

    Raises:
        LockedError: if a process is filling it.
        OSError: if it cannot be removed.
    """
    with writing_to(folder / "images.npy"):
        for each in folder.iterdir():
            if not each.name.endswith(".lock"):
                each.unlink()
    with suppress(OSError):  # another process may have begun to fill it
        folder.rmdir()


def stats_of(files: Sequence[Path], root: Path) -> list[str]:
    """Name each file by its path below a root, its size and its time.

    Raises:
        DatasetError: if a file is no longer there.
    """
    found = []
    for file, name in zip(files, relative_paths(files, root), strict=True):
        try:
            there = os.stat(file)  # noqa: PTH116 - half the time, a million times
        except OSError as error:
            raise DatasetError(f"{file} cannot be read ({reason(error)}); check it.") from error
        found.append(f"{name}\0{there.st_size}\0{there.st_mtime_ns}")
    return found


def _digests(stats: Sequence[str], blocks: Sequence[range]) -> dict[int, str]:
    """Of the files of each block, by its first position."""
    return {
        block.start: hashlib.sha256(
            "\n".join(stats[block.start : block.stop]).encode(errors="surrogateescape")
        ).hexdigest()
        for block in blocks
    }


def _count(record: Record, tally: Tally) -> None:
    for block in record.blocks:
        tally.update(Tally.from_json(block["seen"]))


def _sha256(images: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def _seal_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _as_list(values: Any) -> Any:
    """An array for JSON."""
    if not isinstance(values, np.ndarray):
        raise TypeError(f"{type(values).__name__} is no label")
    return values.tolist()


def _is_block(found: Any) -> bool:
    return isinstance(found, dict) and {"first", "files", "sha256", "seen"} <= found.keys()


def _header(shape: tuple[int, ...]) -> bytes:
    """That of a .npy file, always as long."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    content = head.getvalue()
    if len(content) != _HEADER:
        raise DatasetError(f"images of the shape {shape} are too many for one array.")
    return content
