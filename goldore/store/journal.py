"""Finished trials that are not in the score file yet, in a file beside it, FILE.h5.journal.

A score file is replaced as a whole, so that happens now and then; each trial is durable at once all the same,
by being appended here. A record holds some trials of one kind as rows of one fixed layout, and before them
their number, a checksum, and the key of the run that they belong to (see
`goldore.store.digests`). The end of a record that was cut short is passed over, and one that is damaged too.
"""

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from goldore.errors import ScoreFileError
from goldore.files.atomic import sync_folder
from goldore.store.format import has
from goldore.store.model import Header, Result
from goldore.store.reading import opened, read_header
from goldore.store.trial_kind import TrialKind
from goldore.store.trial_kinds import KINDS

_MAGIC = b"goldore\n"
_HEAD = struct.Struct("<8sQ32s32s")  # magic, trials, key, sha256 of the rows that follow


def journal_of(path: Path) -> Path:
    """The journal beside a score file."""
    real = path.resolve()
    return real.with_name(f"{real.name}.journal")


class Journal:
    """What trials of a kind are journaled as beside a score file that has some of them.

    Args:
        file: the score file, open.
        header: of its dataset.
        kind: of the trials.
    """

    def __init__(self, file: h5py.File, header: Header, kind: TrialKind[Any, Any, Any]) -> None:
        group = file[kind.group]
        self._key, self._layout = kind.key_in(file, header), kind.layout_in(group)
        self._names, self._kind = kind.content_names(group), kind

    @classmethod
    def beside(cls, path: Path, header: Header, kind: str) -> Self:
        """Open the score file for it, without looking at its seal."""
        with h5py.File(path, "r", locking=False) as file:
            return cls(file, header, KINDS[kind])

    def append(self, path: Path, results: Sequence[Result]) -> None:
        """Make trials durable.

        Args:
            path: of the score file that they belong to.
            results: finished trials, one or more.

        Raises:
            OSError: if they cannot be written; the journal is then as it was.
        """
        rows = np.empty(len(results), dtype=self._layout)
        rows["number"] = [result.trial.number for result in results]
        for name, values in self._kind.columns_of(results, self._names).items():
            rows[name] = values
        content = rows.tobytes()
        with journal_of(path).open("ab", buffering=0) as file:
            start = os.fstat(file.fileno()).st_size
            if start == 0:
                sync_folder(path.resolve().parent)
            try:
                checksum = hashlib.sha256(content).digest()
                record = _HEAD.pack(_MAGIC, len(rows), self._key, checksum) + content
                if file.write(record) != len(record):
                    raise OSError(f"only a part of {len(record):,} bytes could be written")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)
                raise

    def waiting(self, path: Path) -> Iterator[Result]:
        """The trials of a journal whose checksum is right and whose key is this one.

        Args:
            path: of the score file.
        """
        fields = [(name, self._layout[name]) for name in self._layout.names or () if name != "seconds"]
        layouts = [self._layout, np.dtype(fields)]  # the second is that of a goldore without seconds
        source = journal_of(path)
        if source.stat().st_size < _HEAD.size:
            return
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            place = content.find(_MAGIC)
            while 0 <= place <= len(content) - _HEAD.size:
                _, count, of, digest = _HEAD.unpack_from(content, place)
                start = place + _HEAD.size
                for layout in layouts if of == self._key else ():
                    end = start + count * layout.itemsize
                    part = content[start:end] if end <= len(content) else b""
                    if part and hashlib.sha256(part).digest() == digest:
                        rows = np.frombuffer(part, dtype=layout)
                        columns = {name: rows[name] for name in layout.names or () if name != "number"}
                        yield from self._kind.results_of(rows["number"], columns)
                        place = end - 1
                        break
                place = content.find(_MAGIC, place + 1)

    def begins(self, path: Path) -> bool:
        """Whether a journal begins with a record of this key, cut short or not, or with nothing."""
        return _begins_with(journal_of(path), self._key)


def read(path: Path) -> dict[str, list[Result]]:
    """The trials that wait beside a score file, by kind; empty without a journal.

    Raises:
        ScoreFileError: if the score file cannot be read, or the journal is another run's.
    """
    if not journal_of(path).is_file():
        return {}
    found: dict[str, list[Result]] = {}
    right = _begins_with(journal_of(path), b"")
    with opened(path) as file:
        header = read_header(file)
        for kind in KINDS.values():
            if has(file, kind.group):
                kind.read(file, header.info)
                journal = Journal(file, header, kind)
                right = right or journal.begins(path)
                waiting = list(journal.waiting(path))
                found |= {kind.name: waiting} if waiting else {}
    if not found and not right:
        raise ScoreFileError(
            f"{journal_of(path)} holds no trial of {path.name}; it is another run's, or damaged: "
            "move it away."
        )
    return found


def _begins_with(source: Path, key: bytes) -> bool:
    """Whether a journal begins with a record of this key, cut short or not, or with nothing."""
    with source.open("rb") as file:
        head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not any(head):  # zeros are what a loss of power leaves
        return True
    magic, _, of, _ = _HEAD.unpack(head)
    return bool(magic == _MAGIC and of == key)


def remove(path: Path) -> None:
    """Remove the journal of a score file, once its trials are in the file."""
    journal_of(path).unlink(missing_ok=True)
