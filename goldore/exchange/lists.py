"""Lists of scores, one number a sample, and of labels, in the files that people keep them in."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
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
from goldore.scores import SCORES
from goldore.wording import plain_name

SUFFIXES = (".json", ".json.gz", ".npy", ".npz", ".csv", ".pt", ".txt")
"""Of lists of scores."""

_LIST_BYTES = 2**29  # of the unpacked text: twenty times ImageNet's
_LARGEST = 1e100  # sizes of scores are far below, and arithmetic with larger ones overflows
_LONGEST = 500  # characters of a label: arrays of texts take that much for each
_NUMBERS, _LABELS = "biuf", "biufUS"
_POSITIONS = re.compile(  # columns that number the samples, as pandas and others call them
    r"|unnamed: 0|sample|index|idx|id|positions?|.+[_\- ](index|idx|id|position)", re.IGNORECASE
)
_NAMING = (
    "path",
    "file",
    "filename",
    "filepath",
    "image",
    "imagepath",
    "imgpath",
    "imagefile",
    "relativepath",
)
_OF_CLASSES = re.compile(r"(label|target|class)(s|es)?([_\- ].*)?", re.IGNORECASE)  # which say nothing here
_VALUES = ("score", "scores", "value", "values")  # columns of a file that has one score


def list_stem(path: Path) -> str:
    """The name of a list without its suffix."""
    suffix = next((each for each in SUFFIXES if path.name.endswith(each)), path.suffix)
    return path.name.removesuffix(suffix)


def read_list(
    path: Path, score: str | None = None, images: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Read a list of numbers, one a sample.

    Args:
        path: .json (null is NaN; gzipped or not), .npy, .npz, .pt, .txt (one per line) or .csv.
        score: names the array of a .npz or a dictionary in a .pt, or the column of a .csv, where there are
            several; None takes it from the file's name.
        images: paths of the dataset's images, as its score files have them, in their order; where they are
            known, a column of a .csv named "path", "filename", "image_path" and the like is understood.

    Returns:
        float64 [N]. A column of paths says which sample is meant; else what is called "index", "position",
        "sample_id" and the like, or nothing at all as by pandas; else the order does.

    Raises:
        ScoreFileError: if it is missing or something else.
    """
    name = score or list_stem(path).rpartition("_")[2]
    try:
        values = np.asarray(_read(path, name, images))
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


def _read(path: Path, name: str, images: Sequence[str] | None) -> Any:  # noqa: PLR0911 - a suffix each
    if path.name.endswith((".json", ".json.gz")):
        content = read_json(path, _LIST_BYTES)
        if not isinstance(content, list) or not {type(each) for each in content} <= {int, float, type(None)}:
            raise ValueError("it is no list of numbers")
        return np.array(content, dtype=np.float64)
    if path.suffix == ".npy":
        return read_npy(path, _NUMBERS)
    if path.suffix == ".npz":
        return _by_position(array_names(path), name, lambda key: read_npz(path, {key: _NUMBERS})[key])
    if path.suffix == ".pt":
        content = read_torch(path)
        if isinstance(content, Mapping):
            there = {str(key): values for key, values in content.items()}
            return _by_position(list(there), name, lambda key: _of_torch(there[key]))
        return _of_torch(content)
    if path.suffix == ".csv":
        return _of_table(path, name, images)
    if path.suffix == ".txt":
        return np.array([float(line) for line in _text(path).split()])
    raise ValueError(f"it has no known suffix; known are {', '.join(SUFFIXES)}")


def _of_torch(content: Any) -> NDArray[Any]:
    return np.array(content) if isinstance(content, list) else tensor_array(content)


def _of_table(path: Path, name: str, images: Sequence[str] | None) -> NDArray[Any]:
    """One column of a .csv, by position."""
    rows = [row for row in csv.reader(io.StringIO(_text(path))) if row]
    head = rows[0] if rows else []
    try:
        [float(cell) for cell in head]
    except ValueError:
        rows = rows[1:]
    else:
        head = [str(number) for number in range(len(head))]  # no names
    head = [each.strip() for each in head]
    naming = next((at for at, each in enumerate(head) if plain_name(each) in _NAMING), None)
    columns = {key: at for at, key in reversed([*enumerate(head)])}

    def column(key: str) -> NDArray[np.float64]:
        return np.array([_number(row[columns[key]]) for row in rows])

    if naming is None or len(head) == 1:
        return _by_position(head, name, column)
    others = [each for at, each in enumerate(head) if at != naming]
    numbering = [each for each in others if _POSITIONS.fullmatch(each) and not _OF_CLASSES.fullmatch(each)]
    if images is None and numbering:
        return _by_position(others, name, column)
    order = _order([row[naming] for row in rows], images, head[naming])
    for each in numbering:
        _check_numbers(column, each, order, head[naming])
    return column(_chosen([each for each in others if each not in numbering], name))[order]


def _check_numbers(
    column: Callable[[str], NDArray[np.float64]], name: str, order: NDArray[np.int64], naming: str
) -> None:
    """See that a column numbers the rows of its table, or the samples as their paths do, or nothing.

    Raises:
        ValueError: if it numbers them otherwise.
    """
    try:
        given = column(name)
    except ValueError:  # texts
        return
    usual = np.arange(len(order))
    if not (np.array_equal(given, usual) or np.array_equal(given[order], usual)):
        raise ValueError(
            f"{name or 'its first column'} numbers the samples otherwise than {naming} names them; leave one "
            "of them out"
        )


def _order(named: Sequence[str], images: Sequence[str] | None, column: str) -> NDArray[np.int64]:
    """The row that each image of a dataset has, by its path, by the end of it, or by a name without folders.

    Raises:
        ValueError: if they do not name all images, each once.
    """
    if images is None:
        raise ValueError(
            f"its column {column} names files; give the folder of images that they are in as the dataset, or "
            "call a column index that numbers the samples from 0"
        )
    positions = {path: position for position, path in enumerate(images)}
    files = {PurePosixPath(path).name: position for position, path in enumerate(images)}
    if len(files) < len(images):
        files = {}  # the same name in several folders
    found: dict[int, int] = {}
    for row, text in enumerate(named):
        parts = PurePosixPath(text.strip().replace("\\", "/")).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        position = next((positions[end] for end in ends if end in positions), None)
        if position is None and len(parts) == 1:
            position = files.get(parts[0])
        if position is None:
            raise ValueError(f"its column {column} names {text!r}, which is no image of the dataset")
        if found.setdefault(position, row) != row:
            raise ValueError(f"its column {column} names {images[position]} twice")
    missing = next((path for position, path in enumerate(images) if position not in found), None)
    if missing is not None:
        raise ValueError(
            f"its column {column} names {len(found):,} of {len(images):,} images, and {missing} is not among "
            "them"
        )
    return np.array([found[position] for position in range(len(images))], dtype=np.int64)


def _by_position(names: Sequence[str], wanted: str, column: Callable[[str], NDArray[Any]]) -> NDArray[Any]:
    """The score that is wanted among columns, or arrays, in the order of the samples' positions.

    Args:
        names: of the columns.
        wanted: name of the score.
        column: gives the values of one.

    Raises:
        ValueError: if it is not clear which score is meant, or which samples.
    """
    spelled = {each.strip(): each for each in names}
    names = list(spelled)
    numbering = [each for each in names if _POSITIONS.fullmatch(each) and not _OF_CLASSES.fullmatch(each)]
    if len(names) == 1:
        numbering = []
    which = _chosen([each for each in names if each not in numbering], wanted)
    values = column(spelled[which])
    if not numbering:
        scores = {plain_name(each) for each in (*SCORES, which)}
        other = [each for each in names if plain_name(each) not in scores and not _OF_CLASSES.fullmatch(each)]
        if other:
            raise ValueError(
                f"what {other[0]} means beside {which} is not known; call it index if it numbers the samples "
                "from 0, or leave it out"
            )
        return values
    first, *others = (np.asarray(column(spelled[each])).reshape(-1) for each in numbering)
    for name, each in zip(numbering[1:], others, strict=True):
        if not np.array_equal(first, each):
            raise ValueError(
                f"{numbering[0] or 'its first column'} and {name} both number the samples, and differ; leave "
                "one of them out"
            )
    if len(first) != len(values) or not np.array_equal(np.sort(first), np.arange(len(first))):
        raise ValueError(
            f"{numbering[0] or 'its column without a name'} does not number the samples 0 to "
            f"{len(values) - 1}, each once"
        )
    return values[np.argsort(first)]


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else float("nan")


def _chosen(names: list[str], wanted: str) -> str:
    """The only name, or the one that is wanted."""
    if len(names) == 1:
        return names[0]
    found = [each for each in names if plain_name(each) == plain_name(wanted)]
    found = found or [each for each in names if plain_name(each) in _VALUES]
    if len(found) != 1:
        there = ", ".join(names) or "nothing"
        what = f"{' and '.join(found)}, which may both be" if found else f"{there}, and no"
        raise ValueError(f"it holds {what} {wanted}; name the score that is meant")
    return found[0]


def _text(path: Path) -> str:
    return read_bytes(path, INDEX_BYTES).decode("utf-8-sig")
