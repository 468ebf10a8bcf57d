"""Finished utility trials that are not in the score file yet, in a file beside it, FILE.h5.journal.

Short trials come by the thousand and a score file is replaced as a whole, so that happens now and then; each
trial is durable at once all the same, by being appended here. A record holds some trials as rows of one fixed
layout, and before them their number, a checksum, and the key of the run that they belong to (see
`goldore.store.digests`). The end of a record that was cut short is passed over, and one that is damaged too.
"""

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from goldore.atomic import sync_folder
from goldore.errors import ScoreFileError
from goldore.store import utility
from goldore.store.format import has
from goldore.store.model import Header, UtilityResult
from goldore.store.reading import opened, read_header

_MAGIC = b"goldore\n"
_HEAD = struct.Struct("<8sQ32s32s")  # magic, trials, key, sha256 of the rows that follow


def journal_of(path: Path) -> Path:
    """The journal beside a score file."""
    real = path.resolve()
    return real.with_name(f"{real.name}.journal")


def append(path: Path, key: bytes, outcomes: Sequence[str], results: Sequence[UtilityResult]) -> None:
    """Make trials durable.

    Args:
        path: of the score file that they belong to.
        key: of its utility trials' digests.
        outcomes: that it holds.
        results: finished trials, one or more.

    Raises:
        OSError: if they cannot be written; the journal is then as it was.
    """
    columns = utility.columns_of(results, outcomes)
    subset, classes = columns["members"].shape[1], len(next(iter(results[0].outcomes.values())))
    rows = np.empty(len(results), dtype=_layout(subset, classes, outcomes))
    rows["number"] = [result.trial.number for result in results]
    for name, values in columns.items():
        rows[name] = values
    content = rows.tobytes()
    with journal_of(path).open("ab", buffering=0) as file:
        start = os.fstat(file.fileno()).st_size
        if start == 0:
            sync_folder(path.resolve().parent)
        try:
            record = _HEAD.pack(_MAGIC, len(rows), key, hashlib.sha256(content).digest()) + content
            if file.write(record) != len(record):
                raise OSError(f"only a part of {len(record):,} bytes could be written")
            os.fsync(file.fileno())
        except OSError:
            file.truncate(start)
            raise


def read(path: Path) -> list[UtilityResult]:
    """The trials that wait beside a score file; empty without a journal.

    Raises:
        ScoreFileError: if the score file cannot be read, or the journal is another run's.
    """
    if not journal_of(path).is_file():
        return []
    found, key = [], b""
    with opened(path) as file:
        header = read_header(file)
        if has(file, utility.GROUP):
            key = utility.key_in(file, header)
            known = utility.read(file, header.info)
            found = list(waiting(path, key, header, int(known.subset_sizes.sum()), known.outcomes))
    if not found and _begins_otherwise(journal_of(path), key):
        raise ScoreFileError(
            f"{journal_of(path)} holds no trial of {path.name}; it is another run's, or damaged: "
            "move it away."
        )
    return found


def waiting(
    path: Path, key: bytes, header: Header, subset: int, outcomes: Sequence[str]
) -> Iterator[UtilityResult]:
    """The trials of a journal whose checksum is right and whose key is this one.

    Args:
        path: of the score file.
        key: of its utility trials' digests.
        header: of its dataset.
        subset: samples that a trial draws.
        outcomes: that the file holds.
    """
    whole = _layout(subset, header.info.num_classes, outcomes)
    layouts = [whole, np.dtype([(name, whole[name]) for name in whole.names or () if name != "seconds"])]
    source = journal_of(path)
    if source.stat().st_size < _HEAD.size:
        return
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(_MAGIC)
        while 0 <= place <= len(content) - _HEAD.size:
            _, count, of, digest = _HEAD.unpack_from(content, place)
            start = place + _HEAD.size
            for layout in layouts if of == key else ():  # the second is that of a goldore without seconds
                end = start + count * layout.itemsize
                part = content[start:end] if end <= len(content) else b""
                if part and hashlib.sha256(part).digest() == digest:
                    rows = np.frombuffer(part, dtype=layout)
                    names = [name for name in layout.names or () if name != "number"]
                    yield from utility.results_of(rows["number"], {name: rows[name] for name in names})
                    place = end - 1
                    break
            place = content.find(_MAGIC, place + 1)


def _begins_otherwise(source: Path, key: bytes) -> bool:
    """Whether a journal begins with something else than a record of this key, cut short or not."""
    with source.open("rb") as file:
        head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not any(head):  # zeros are what a loss of power leaves
        return False
    magic, _, of, _ = _HEAD.unpack(head)
    return bool(magic != _MAGIC or of != key)


def remove(path: Path) -> None:
    """Remove the journal of a score file, once its trials are in the file."""
    journal_of(path).unlink(missing_ok=True)


def _layout(subset: int, classes: int, outcomes: Sequence[str]) -> np.dtype[np.void]:
    columns = utility.layout(subset, classes, outcomes)
    return np.dtype([("number", "<i8"), *((name, *column) for name, column in columns.items())])
