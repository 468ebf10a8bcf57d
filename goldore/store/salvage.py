"""What can be trusted in a score file whose seal is broken: trials that fit their digests.

HDF5 does not survive every damage, so this runs in a process of its own (`goldore.store.verifying`).
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.errors import NewerFormatError, reason
from goldore.store import journal
from goldore.store.digests import header_digest
from goldore.store.format import has, node_at, read_text
from goldore.store.model import Header
from goldore.store.reading import read_whole_header
from goldore.store.seal import sealed_size
from goldore.store.trial_kind import TrialKind
from goldore.store.trial_kinds import KINDS
from goldore.store.writing import new_state, size_of, write_header

_LONGEST = 2**42  # bytes of a file that can have been cut short
_FLETCHER32 = 4  # bytes of the checksum at the end of a chunk
_DAMAGES = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)


def examine(path: Path, out: Path | None = None) -> dict[str, Any]:
    """Look at every trial of a score file, and save those that are whole.

    Args:
        path: of the file, in whatever state.
        out: a new file for the trials that are whole, those of the journal included; None only looks.

    Returns:
        JSON: "problems", sentences; for "loss" and "utility" trials, where there are any, numbers of
        "usable", "failed" and "damaged" ones, and how many are "waiting" in the journal only; and
        "unwritten", why `out` could not be written, or None.
    """
    with contextlib.ExitStack() as copies:
        try:
            readable = copies.enter_context(_as_long_as_it_was(path, out))
        except OSError as error:
            return {"problems": [], "unwritten": f"no room for a copy: {reason(error)}"}
        try:
            with h5py.File(readable, "r", locking=False) as file:
                return _examine(file, path, out)
        except _DAMAGES as error:
            return _nothing(f"what describes the dataset is lost ({_inner(error)})")


def _examine(file: h5py.File, path: Path, out: Path | None) -> dict[str, Any]:
    header = read_whole_header(file)
    if read_text(node_at(file, "dataset"), "checksum") != header_digest(header):
        return _nothing("what describes the dataset is damaged, labels or names among it")
    made_on = {
        "device": _text_or_unknown(file, "device"),
        "torch_version": _text_or_unknown(file, "torch_version"),
    }
    found: dict[str, Any] = {"problems": [], "unwritten": None}
    whole = []
    for kind in KINDS.values():
        try:
            if has(file, kind.group):
                each = _Trials(kind, file, path, header, made_on)
                found[kind.name] = each.look()
                whole.append(each)
        except NewerFormatError as error:
            found["problems"].append(str(error))
        except _DAMAGES as error:
            found["problems"].append(f"what describes the {kind.name} trials is lost ({_inner(error)})")
    if out is not None and any(each.good or each.waiting for each in whole):
        size = sum(path.stat().st_size for path in (path, journal.journal_of(path)) if path.exists())
        try:
            with new_state(out, 2 * size + size_of(header, None, ()), None) as new:
                write_header(new, header)
                for each in whole:
                    each.save(new)
                new.attrs.update(made_on)
        except OSError as error:
            found["unwritten"] = reason(error)
    return found


class _Trials:
    """The trials of a kind in a file, and those that wait in its journal."""

    def __init__(
        self,
        kind: TrialKind[Any, Any, Any],
        file: h5py.File,
        path: Path,
        header: Header,
        made_on: dict[str, str],
    ) -> None:
        self._kind, self._path, self._header = kind, path, header
        self._group, self._key = node_at(file, kind.group), kind.key_in(file, header)
        self._run = kind.run_in(self._group, made_on)
        self._journal = journal.Journal(file, header, kind)
        self.good: list[int] = []
        self.waiting: list[Any] = []

    def look(self) -> dict[str, Any]:
        damaged, failed = [], 0
        for rows, columns in self._blocks():
            fits = self._kind.digests_of(self._key, rows, columns) == columns["digest"]
            derived = self._kind.derived(self._run, rows.tolist())
            fits &= columns["seed"] == np.array([trial.seed for trial in derived], dtype=np.uint64)
            there = (columns["digest"] != 0) | (columns["done"] != 0)
            self.good += rows[fits].tolist()
            damaged += rows[there & ~fits].tolist()
            failed += int(columns["failed"][fits].sum())
        known = set(self.good)
        if journal.journal_of(self._path).is_file():
            waiting = self._journal.waiting(self._path)
            self.waiting = [result for result in waiting if result.trial.number not in known]
        usable = len(self.good) - failed
        return {"usable": usable, "failed": failed, "damaged": damaged, "waiting": len(self.waiting)}

    def save(self, new: h5py.File) -> None:
        known = np.array(self.good, dtype=np.int64)
        for rows, columns in self._blocks():
            good = np.isin(rows, known)
            kept = {name: columns[name][good] for name in self._kind.names_in(self._group)}
            self._kind.add(new, self._header, self._run, self._kind.results_of(rows[good], kept))
        self._kind.add(new, self._header, self._run, self.waiting)

    def _blocks(self) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """Rows of all columns, some at a time."""
        total, some = len(self._group["done"]), self._kind.rows_at_once(self._group)
        for start in range(0, total, some):
            rows = np.arange(start, min(start + some, total))
            names = [*self._kind.names_in(self._group), "digest", "done"]
            stop = start + len(rows)
            yield rows, {name: _rows(self._group[name], start, stop, raw=name != "seconds") for name in names}


def _rows(array: h5py.Dataset, start: int, stop: int, *, raw: bool) -> NDArray[Any]:
    """Rows of an array; where HDF5's checksum does not fit, the bytes as they are, for digests to judge.

    Where not even these can be read, or no digest covers them (`raw` is false), NaN or 0.
    """
    try:
        return np.asarray(array[start:stop])
    except OSError:
        nothing = np.nan if array.dtype.kind == "f" else 0
        found = np.full((stop - start, *array.shape[1:]), nothing, dtype=array.dtype)
    for first in range(start - start % array.chunks[0], stop, array.chunks[0]):
        begin, end = max(first, start), min(first + array.chunks[0], stop)
        with contextlib.suppress(*_DAMAGES):
            found[begin - start : end - start] = _chunk(array, first, raw=raw)[begin - first : end - first]
    return found


def _chunk(array: h5py.Dataset, first: int, *, raw: bool) -> NDArray[Any]:
    """The rows of one chunk; as they are in the file if its checksum does not fit."""
    try:
        return np.asarray(array[first : first + array.chunks[0]])
    except OSError:
        if not raw:
            raise
    _, content = array.id.read_direct_chunk((first, *(0 for _ in array.shape[1:])))
    return np.frombuffer(content[:-_FLETCHER32], dtype=array.dtype).reshape(array.chunks)


@contextlib.contextmanager
def _as_long_as_it_was(path: Path, out: Path | None) -> Iterator[Path]:
    """The file, or if it was cut short a copy with zeros at its end: HDF5 opens no file that is shorter."""
    length = sealed_size(path)
    if length is None or not path.stat().st_size < length <= _LONGEST:
        yield path
        return
    beside = out.resolve().parent if out is not None else None
    with tempfile.TemporaryDirectory(prefix=".goldore-", dir=beside) as folder:
        copy = Path(folder) / "copy.h5"
        shutil.copyfile(path, copy)
        os.truncate(copy, length)
        yield copy


def _nothing(problem: str) -> dict[str, Any]:
    return {"problems": [problem], "unwritten": None}


def _inner(error: BaseException) -> str:
    """What an error says, to stand in parentheses."""
    return reason(error).strip("'\"")


def _text_or_unknown(file: h5py.File, name: str) -> str:
    with contextlib.suppress(*_DAMAGES):
        return read_text(file, name)
    return "unknown"


def main() -> None:
    """Examine the file that the command line names, and print what was found as JSON."""
    path, *out = (Path(argument) for argument in sys.argv[1:])
    sys.stdout.write(json.dumps(examine(path, *out)))
