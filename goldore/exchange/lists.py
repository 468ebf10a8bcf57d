"""Lists of scores, one number a sample, and of labels, in the files that people keep them in."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.errors import ScoreFileError, UsageError, reason
from goldore.files.untrusted import (
    INDEX_BYTES,
    array_names,
    read_bytes,
    read_json,
    read_npy,
    read_npz,
    read_torch,
    tensor_array,
)
from goldore.wording import plain_name

SUFFIXES = (".json", ".json.gz", ".npy", ".npz", ".csv", ".pt", ".txt")
"""Of lists of scores."""

_LIST_BYTES = 2**29  # of the unpacked text: twenty times ImageNet's
_LARGEST = 1e100  # sizes of scores are far below, and arithmetic with larger ones overflows
_LONGEST = 500  # characters of a label: arrays of texts take that much for each
_NUMBERS, _LABELS = "biuf", "biufUS"
_POSITIONS = ("index", "position", "idx", "id", "sample")  # columns that number the samples
_VALUES = ("score", "scores", "value", "values")  # columns of a file that has one score


def list_stem(path: Path) -> str:
    """The name of a list without its suffix."""
    suffix = next((each for each in SUFFIXES if path.name.endswith(each)), path.suffix)
    return path.name.removesuffix(suffix)


def read_list(path: Path, score: str | None = None) -> NDArray[np.float64]:
    """Read a list of numbers, one a sample.

    Args:
        path: .json (null is NaN; gzipped or not), .npy, .npz, .pt, .txt (one per line) or .csv.
        score: names the array of a .npz or a dictionary in a .pt, or the column of a .csv, where there are
            several; None takes it from the file's name.

    Returns:
        float64 [N]. A column "index" or "position" of a .csv says which sample is meant, else the order does.

    Raises:
        ScoreFileError: if it is missing or something else.
    """
    name = score or list_stem(path).rpartition("_")[2]
    try:
        values = np.asarray(_read(path, name))
        if values.ndim == 2 and values.shape[1] == 1:  # noqa: PLR2004
            values = values[:, 0]
        if values.ndim != 1 or values.dtype.kind not in _NUMBERS:
            raise ValueError(f"it is {values.dtype} of shape {values.shape}, and no list of numbers")
        values = values.astype(np.float64)
        if len(values) == 0 or np.isinf(values).any():
            raise ValueError("it is no list of finite numbers")
        if np.nanmax(np.abs(values), initial=0) > _LARGEST:
            raise ValueError(f"no score is larger than {_LARGEST:g}")
    except Exception as error:
        raise ScoreFileError(f"{path} cannot be read as a list of scores ({reason(error)}).") from error
    return values


def read_labels(path: Path) -> NDArray[Any]:
    """Read labels, one a training sample, as numbers or texts: a .npy array, or a text with one per line.

    Raises:
        UsageError: if the file is missing or something else.
    """
    try:
        if path.suffix == ".npy":
            return read_npy(path, _LABELS)
        lines = [line.strip() for line in _text(path).splitlines()]
        lines = lines[
            : len(lines) - next((at for at, line in enumerate(reversed(lines)) if line), len(lines))
        ]
        if not lines or "" in lines:
            raise ValueError("labels are one per line, and a line is empty" if lines else "it is empty")
        if max(map(len, lines)) > _LONGEST:
            raise ValueError(f"a line is longer than {_LONGEST} characters")
        try:
            return np.array([int(line) for line in lines], dtype=np.int64)
        except ValueError:
            return np.array(lines)
    except Exception as error:
        raise UsageError(f"{path} cannot be read as labels ({reason(error)}).") from error


def _read(path: Path, name: str) -> Any:
    if path.name.endswith((".json", ".json.gz")):
        content = read_json(path, _LIST_BYTES)
        if not isinstance(content, list) or not {type(each) for each in content} <= {int, float, type(None)}:
            raise ValueError("it is no list of numbers")
        return np.array(content, dtype=np.float64)
    if path.suffix == ".npy":
        return read_npy(path, _NUMBERS)
    if path.suffix == ".npz":
        key = _chosen(array_names(path), name)
        return read_npz(path, {key: _NUMBERS})[key]
    if path.suffix == ".pt":
        content = read_torch(path)
        if isinstance(content, Mapping):
            content = content[_chosen([str(key) for key in content], name)]
        return np.array(content) if isinstance(content, list) else tensor_array(content)
    if path.suffix == ".csv":
        return _column(path, name)
    if path.suffix == ".txt":
        return np.array([float(line) for line in _text(path).split()])
    raise ValueError(f"it has no known suffix; known are {', '.join(SUFFIXES)}")


def _column(path: Path, name: str) -> NDArray[np.float64]:
    """One column of a .csv, by position."""
    rows = list(csv.reader(io.StringIO(_text(path))))
    head = rows[0] if rows else []
    try:
        [float(cell) for cell in head]
    except ValueError:
        rows = rows[1:]
    else:
        head = [str(number) for number in range(len(head))]  # no names
    if len(head) == 1:
        return np.array([_number(row[0]) for row in rows if row])
    at = next((number for number, each in enumerate(head) if each.lower() in _POSITIONS), None)
    which = head.index(_chosen([each for number, each in enumerate(head) if number != at], name))
    values = np.array([_number(row[which]) for row in rows if row])
    if at is None:
        return values
    positions = np.array([int(row[at]) for row in rows if row])
    if not np.array_equal(np.sort(positions), np.arange(len(positions))):
        raise ValueError(
            f"its column {head[at]} does not number the samples 0 to {len(positions) - 1}, each once"
        )
    return values[np.argsort(positions)]


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else float("nan")


def _chosen(names: list[str], wanted: str) -> str:
    """The only name, or the one that is wanted."""
    if len(names) == 1:
        return names[0]
    spelled = {plain_name(each): each for each in names}
    found = next((spelled[each] for each in (plain_name(wanted), *_VALUES) if each in spelled), None)
    if found is None:
        raise ValueError(
            f"it holds {', '.join(names) or 'nothing'}, and no {wanted}; name the score that is meant"
        )
    return found


def _text(path: Path) -> str:
    return read_bytes(path, INDEX_BYTES).decode("utf-8-sig")
