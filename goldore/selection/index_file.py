"""Index files: the positions to keep in the original training set, in forms that every repository reads.

`.npy` (format 1.0, int64) is the default: every distillation repository has NumPy. It, `.txt` (one position a
line) and `.csv` (a header, one position a line) carry nothing but positions, so a JSON side-car
`<file>.json` stands beside them with the provenance. `.json`, `.npz`, `.pt` and `.h5` carry it inside.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.errors import IndexFileError, UsageError, reason
from goldore.files.atomic import check_writable, replacing
from goldore.files.untrusted import (
    INDEX_BYTES,
    check_size,
    parse_json,
    read_hdf5,
    read_json,
    read_npy,
    read_npz,
    read_torch,
    tensor_array,
)

_FORMAT = "goldore-index"
_FORMAT_VERSION = 1
_KEY = "indices"
_NUMBERS = "biuf"  # of which only int64 is an index; the others are refused by name
_META = "provenance"
_MOST_SAMPLES = 2**32
_TYPES = {
    "dataset": str,
    "fingerprint": str,
    "labels_sha256": str,
    "sha256": str,
    "score_file": str,
    "num_samples": int,
    "kept": int,
}
"""Of what is relied on in provenance, where it is there."""


@dataclass(frozen=True)
class Index:
    """The content of an index file.

    Attributes:
        indices: positions to keep, int64, strictly ascending.
        provenance: where they come from; empty if the file says nothing about it.
    """

    indices: NDArray[np.int64]
    provenance: dict[str, Any]


def save_index(
    path: str | Path, indices: NDArray[np.int64], provenance: dict[str, Any], *, overwrite: bool = False
) -> Path:
    """Write an index file, and its side-car where the format has no room for provenance.

    Args:
        path: its suffix chooses the format: .npy, .json, .txt, .csv, .npz, .pt or .h5.
        indices: positions to keep, int64, strictly ascending, 0 or more.
        provenance: anything that JSON can hold; dataset, fingerprint and the like are texts, and num_samples
            is a whole number above the last position.
        overwrite: replace an index file that differs; one with the same content is always replaced, and
            a file that is no index file never.

    Returns:
        The path.

    Raises:
        UsageError: if the suffix is unknown.
        IndexFileError: if the file exists and differs, or the indices or what is said of them are not valid.
        GoldoreError: if the folder cannot be written to.
    """
    path = Path(path)
    check_suffix(path)
    _check(indices, path)
    meta = {"format": _FORMAT, "format_version": _FORMAT_VERSION, **provenance, **_digest(indices)}
    _check_provenance(meta, indices, path)
    check_writable(path)
    _check_replaceable(path, indices, meta, overwrite=overwrite)
    try:
        with ExitStack() as files:  # both are written before either replaces what was there
            if path.suffix in _BARE:
                _write_text(files.enter_context(replacing(side_car(path))), json.dumps(meta, indent=1))
            _WRITERS[path.suffix](files.enter_context(replacing(path)), indices, meta)
    except (OSError, RuntimeError) as error:
        raise IndexFileError(
            f"{path} could not be written ({reason(error)}); make room or choose another `out`."
        ) from error
    return path


def check_suffix(path: Path) -> None:
    """See that a path names a known format.

    Raises:
        UsageError: if it does not.
    """
    if path.suffix not in _WRITERS:
        raise UsageError(f"{path} has no known suffix; choose among {', '.join(_WRITERS)}.")
    if path.name.endswith(_SIDE_CARS):
        raise UsageError(f"{path} has the name of a side-car; choose a name with one suffix.")


def load_indices(path: str | Path) -> NDArray[np.int64]:
    """Read the positions to keep from an index file of any format.

    Args:
        path: of the index file.

    Returns:
        int64, strictly ascending.

    Raises:
        IndexFileError: if the file is missing, damaged or not an index file.
    """
    return load_index(path).indices


def load_index(path: str | Path) -> Index:
    """Read an index file of any format with its provenance; no pickles.

    Args:
        path: of the index file; the side-car is read if there is one.

    Returns:
        Positions and provenance.

    Raises:
        IndexFileError: if the file is missing, damaged or not an index file.
    """
    path = Path(path)
    check_suffix(path)
    index = _read(path)
    about = index.provenance
    if any(about.get(key) not in (None, value) for key, value in _digest(index.indices).items()):
        raise IndexFileError(f"{path} and its side-car belong to different selections; write them again.")
    _check_provenance(about, index.indices, path)
    return index


def index_of(source: Any) -> tuple[Index, str]:
    """The kept positions that anything stands for, and what to call it in messages.

    Args:
        source: the path of an index file, a `Selection` or `Index`, positions [n] in any order, or a mask
            bool [N].

    Raises:
        IndexFileError: if a file cannot be read, or the positions are none.
    """
    if isinstance(source, str | Path):
        return load_index(source), str(source)
    if hasattr(source, "indices") and hasattr(source, "provenance"):
        return Index(source.indices, source.provenance), "the selection"
    array = np.asarray(source)
    if array.dtype == np.bool_ and array.ndim == 1:
        index = Index(np.flatnonzero(array), {"num_samples": len(array)})
    else:
        index = Index(np.sort(array).astype(np.int64) if array.dtype.kind in "iu" else array, {})
    _check(index.indices, "the selection")
    return index, "the selection"


def _read(path: Path) -> Index:
    """Read positions and provenance, without comparing the one with the other."""
    if not path.is_file():
        raise IndexFileError(f"there is no index file {path}; check the path.")
    try:
        indices, meta = _READERS[path.suffix](path)
        if path.suffix in _BARE and side_car(path).is_file():
            meta = read_json(side_car(path), INDEX_BYTES)
        if not isinstance(meta, dict):
            raise ValueError("its provenance is no JSON object")  # noqa: TRY004
    except Exception as error:
        raise IndexFileError(
            f"{path} cannot be read as an index file ({reason(error)}); write it again."
        ) from error
    _check(indices, path)
    return Index(indices, meta)


def side_car(path: Path) -> Path:
    """The JSON file beside an index file that holds its provenance."""
    return path.with_name(path.name + ".json")


def _check_replaceable(
    path: Path, indices: NDArray[np.int64], meta: dict[str, Any], *, overwrite: bool
) -> None:
    """Refuse to replace what is not an index file or its side-car and, unless told, another selection."""
    for file in (path, side_car(path)) if path.suffix in _BARE else (path,):
        if file.exists() and not _is_ours(file):
            raise IndexFileError(
                f"{file} exists and is no index file that can be read; choose another `out` or remove it."
            )
    if not path.exists() or overwrite:
        return
    found = _read(path)
    theirs, mine = (_without(about, _HOW_FOUND) for about in (found.provenance, json.loads(json.dumps(meta))))
    if not np.array_equal(found.indices, indices) or theirs != mine:
        raise IndexFileError(f"{path} exists and holds another selection; use `overwrite` or another `out`.")


def _without(about: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key not in keys}


def _is_ours(file: Path) -> bool:
    """Whether a file is an index file, or a side-car."""
    try:
        if file.name.endswith(_SIDE_CARS):
            content = read_json(file, INDEX_BYTES)
            return bool(content["format"] == _FORMAT and _KEY not in content)
        _read(file)
    except (IndexFileError, OSError, ValueError, TypeError, KeyError):
        return False
    return True


def _digest(indices: NDArray[np.int64]) -> dict[str, Any]:
    return {"kept": len(indices), "sha256": hashlib.sha256(indices.astype("<i8").data).hexdigest()}


def _check(indices: NDArray[Any], path: str | Path) -> None:
    if indices.dtype != np.int64 or indices.ndim != 1 or len(indices) == 0:
        raise IndexFileError(
            f"{path}: an index is a non-empty list of int64 positions, "
            f"not {indices.dtype} of shape {indices.shape}."
        )
    if indices[0] < 0 or not (indices[1:] > indices[:-1]).all():
        raise IndexFileError(f"{path}: positions must be 0 or more, ascending, each once.")


def _check_provenance(about: dict[str, Any], indices: NDArray[np.int64], path: Path) -> None:
    for key, kind in _TYPES.items():
        if about.get(key) is not None and type(about[key]) is not kind:
            what = "a text" if kind is str else "a whole number"
            raise IndexFileError(f"{path}: {key} in its provenance must be {what}; write it again.")
    samples = about.get("num_samples")
    if samples is not None and not indices[-1] < samples <= _MOST_SAMPLES:
        raise IndexFileError(
            f"{path} keeps position {indices[-1]} of {samples} samples by its provenance; write it again."
        )
    paths = about.get("paths")
    if paths is not None and not (
        isinstance(paths, list)
        and len(paths) == len(indices)
        and all(isinstance(each, str) for each in paths)
    ):
        raise IndexFileError(f"{path}: paths in its provenance must be a text a position; write it again.")


def _as_indices(values: Any) -> NDArray[np.int64]:
    """Lists from JSON: whole numbers only, never floats or truth values."""
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError("it is not a list of whole numbers")
    return np.array(values, dtype=np.int64)


def _write_npy(path: Path, indices: NDArray[np.int64], _: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, indices.astype("<i8"), version=(1, 0), allow_pickle=False)


def _write_json(path: Path, indices: NDArray[np.int64], meta: dict[str, Any]) -> None:
    _write_text(path, json.dumps({**meta, _KEY: indices.tolist()}))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _write_txt(path: Path, indices: NDArray[np.int64], _: dict[str, Any]) -> None:
    np.savetxt(path, indices, fmt="%d")


def _write_csv(path: Path, indices: NDArray[np.int64], _: dict[str, Any]) -> None:
    np.savetxt(path, indices, fmt="%d", header="index", comments="")


def _write_npz(path: Path, indices: NDArray[np.int64], meta: dict[str, Any]) -> None:
    arrays: dict[str, Any] = {_KEY: indices, _META: np.array(json.dumps(meta))}
    np.savez(path, **arrays)


def _write_pt(path: Path, indices: NDArray[np.int64], meta: dict[str, Any]) -> None:
    import torch

    with path.open("wb") as file:  # given a path, torch would write its name into the file
        torch.save({_KEY: torch.from_numpy(indices), _META: json.dumps(meta)}, file)


def _write_h5(path: Path, indices: NDArray[np.int64], meta: dict[str, Any]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file[_KEY] = indices
        file[_META] = np.bytes_(json.dumps(meta))


def _read_npy(path: Path) -> tuple[Any, Any]:
    return read_npy(path, _NUMBERS), {}


def _read_json(path: Path) -> tuple[Any, Any]:
    content = read_json(path, INDEX_BYTES)
    if isinstance(content, list):
        return _as_indices(content), {}
    return _as_indices(content.pop(_KEY)), content


def _read_txt(path: Path) -> tuple[Any, Any]:
    check_size(path, INDEX_BYTES)
    with path.open(encoding="utf-8-sig") as file:
        return _from_lines(file), {}


def _read_csv(path: Path) -> tuple[Any, Any]:
    check_size(path, INDEX_BYTES)
    with path.open(encoding="utf-8-sig") as file:
        if file.readline().strip() != "index":
            raise ValueError("its header is not 'index'")
        return _from_lines(file), {}


def _from_lines(lines: Iterable[str]) -> NDArray[np.int64]:
    return np.fromiter((_position(line) for line in lines if not line.isspace()), dtype=np.int64)


def _position(line: str) -> int:
    if "_" in line:  # which Python takes in numbers
        raise ValueError(f"{line.strip()!r} is no number")
    return int(line)


def _read_npz(path: Path) -> tuple[Any, Any]:
    found = read_npz(path, {_KEY: _NUMBERS, _META: "U"})
    return found[_KEY], parse_json(str(found[_META])) if _META in found else {}


def _read_pt(path: Path) -> tuple[Any, Any]:
    content = read_torch(path)
    if not isinstance(content, dict) or _KEY not in content:
        raise ValueError(f"it is no dictionary with {_KEY!r}")
    return tensor_array(content[_KEY]), parse_json(content[_META]) if _META in content else {}


def _read_h5(path: Path) -> tuple[Any, Any]:
    found = read_hdf5(path, {_KEY: _NUMBERS, _META: "S"})
    return found[_KEY], parse_json(bytes(found[_META])) if _META in found else {}


_WRITERS: dict[str, Callable[[Path, NDArray[np.int64], dict[str, Any]], None]] = {
    ".npy": _write_npy,
    ".json": _write_json,
    ".txt": _write_txt,
    ".csv": _write_csv,
    ".npz": _write_npz,
    ".pt": _write_pt,
    ".h5": _write_h5,
}
_READERS: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    ".npy": _read_npy,
    ".json": _read_json,
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".pt": _read_pt,
    ".h5": _read_h5,
}
SUFFIXES = tuple(_WRITERS)
"""Of the formats."""
_BARE = (".npy", ".txt", ".csv")
_SIDE_CARS = tuple(f"{suffix}.json" for suffix in _BARE)
_HOW_FOUND = ("score_file", "score_file_updated")  # may differ between equal selections
