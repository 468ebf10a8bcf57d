"""Index files: the positions to keep in the original training set, in forms that every repository reads.

`.npy` (format 1.0, int64) is the default: every distillation repository has NumPy. It, `.txt` (one position a
line) and `.csv` (a header, one position a line) carry nothing but positions, so a JSON side-car
`<file>.json` stands beside them with the provenance. `.json`, `.npz`, `.pt` and `.h5` carry it inside.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.atomic import check_writable, replacing
from goldore.errors import IndexFileError, UsageError, reason

_FORMAT = "goldore-index"
_FORMAT_VERSION = 1
_KEY = "indices"
_META = "provenance"


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
        provenance: anything that JSON can hold.
        overwrite: replace an index file that differs; one with the same content is always replaced, and
            a file that is no index file never.

    Returns:
        The path.

    Raises:
        UsageError: if the suffix is unknown.
        IndexFileError: if the file exists and differs, or the indices are not valid.
        GoldoreError: if the folder cannot be written to.
    """
    path = Path(path)
    check_suffix(path)
    _check(indices, path)
    check_writable(path)
    meta = {"format": _FORMAT, "format_version": _FORMAT_VERSION, **provenance, **_digest(indices)}
    _check_replaceable(path, indices, meta, overwrite=overwrite)
    try:
        with ExitStack() as files:  # both are written before either replaces what was there
            if path.suffix in _BARE:
                _write_text(files.enter_context(replacing(side_car(path))), json.dumps(meta, indent=1))
            _WRITERS[path.suffix](files.enter_context(replacing(path)), indices, meta)
    except (OSError, RuntimeError) as error:
        raise IndexFileError(
            f"{path} could not be written ({reason(error)}); make room or choose another --out."
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
    if index.provenance.get("sha256") not in (None, _digest(index.indices)["sha256"]):
        raise IndexFileError(f"{path} and its side-car belong to different selections; write them again.")
    return index


def _read(path: Path) -> Index:
    """Read positions and provenance, without comparing the one with the other."""
    if not path.is_file():
        raise IndexFileError(f"there is no index file {path}; check the path.")
    try:
        indices, meta = _READERS[path.suffix](path)
        if path.suffix in _BARE and side_car(path).is_file():
            meta = json.loads(side_car(path).read_text(encoding="utf-8"))
    except Exception as error:
        raise IndexFileError(
            f"{path} cannot be read as an index file ({reason(error)}); write it again."
        ) from error
    indices = np.asarray(indices)
    _check(indices, path)
    return Index(indices, meta if isinstance(meta, dict) else {})


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
                f"{file} exists and is no index file that can be read; choose another --out or remove it."
            )
    if not path.exists() or overwrite:
        return
    found = _read(path)
    theirs, mine = (_without(about, _HOW_FOUND) for about in (found.provenance, json.loads(json.dumps(meta))))
    if not np.array_equal(found.indices, indices) or theirs != mine:
        raise IndexFileError(f"{path} exists and holds another selection; say --overwrite or another --out.")


def _without(about: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key not in keys}


def _is_ours(file: Path) -> bool:
    """Whether a file is an index file, or a side-car."""
    try:
        if file.name.endswith(_SIDE_CARS):
            content = json.loads(file.read_text(encoding="utf-8"))
            return bool(content["format"] == _FORMAT and _KEY not in content)
        _read(file)
    except (IndexFileError, OSError, ValueError, TypeError, KeyError):
        return False
    return True


def _digest(indices: NDArray[np.int64]) -> dict[str, Any]:
    return {"kept": len(indices), "sha256": hashlib.sha256(indices.astype("<i8").data).hexdigest()}


def _check(indices: NDArray[Any], path: Path) -> None:
    if indices.dtype != np.int64 or indices.ndim != 1 or len(indices) == 0:
        raise IndexFileError(
            f"{path}: an index is a non-empty list of int64 positions, "
            f"not {indices.dtype} of shape {indices.shape}."
        )
    if indices[0] < 0 or not (np.diff(indices) > 0).all():
        raise IndexFileError(f"{path}: positions must be 0 or more, ascending, each once.")


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
        file.attrs[_META] = json.dumps(meta)


def _read_npy(path: Path) -> tuple[Any, Any]:
    return np.load(path, allow_pickle=False), {}


def _read_json(path: Path) -> tuple[Any, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, list):
        return _as_indices(content), {}
    return _as_indices(content.pop(_KEY)), content


def _read_txt(path: Path) -> tuple[Any, Any]:
    return np.array([int(line) for line in path.read_text(encoding="utf-8").split()], dtype=np.int64), {}


def _read_csv(path: Path) -> tuple[Any, Any]:
    header, *lines = path.read_text(encoding="utf-8").split()
    if header != "index":
        raise ValueError("its header is not 'index'")
    return np.array([int(line) for line in lines], dtype=np.int64), {}


def _read_npz(path: Path) -> tuple[Any, Any]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return archive[_KEY], json.loads(str(archive[_META])) if _META in archive else {}


def _read_pt(path: Path) -> tuple[Any, Any]:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    return content[_KEY].numpy(), json.loads(content[_META])


def _read_h5(path: Path) -> tuple[Any, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        return file[_KEY][()], json.loads(file.attrs[_META])


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
