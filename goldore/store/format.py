"""Names and small helpers of the file format that reading and writing share.

A file may come from a stranger. So every node is reached by hard links only, and an array is read once it is
known that the file holds as many bytes as it claims: nothing in a score file is compressed. Reading takes a
small multiple of the file's size in memory, whatever the file says of itself.
"""

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.files.untrusted import check_chunk_count

FORMAT = "goldore-scores"
STUDY_FORMAT = "goldore-study"  # of another kind of file, sealed in the same way
FORMAT_VERSION = 2
INDEX_SUFFIXES = (".npy", ".npz", ".json", ".txt", ".csv", ".pt")
# HDF5 1.8's format, which every reader in use knows: the one before holds at most 64 KiB of attributes, about
# 4,000 class names.
LIBVER = ("v108", "latest")
_MOST_MISSING = 2**28  # bytes of an array that may be missing in a file, as trials that were not run
_FILTERS = {h5py.h5z.FILTER_FLETCHER32}


def node_at(file: h5py.File, path: str) -> Any:
    """The group or dataset at a path, reached by hard links only.

    Raises:
        ValueError: if there is none.
    """
    node: Any = file
    for part in path.split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} is missing")  # noqa: TRY004
        node = node[part]
    return node


def has(file: h5py.File, path: str) -> bool:
    """Whether there is a link at a path, of whatever kind."""
    parent, _, name = path.rpartition("/")
    if parent and not has(file, parent):
        return False
    group = node_at(file, parent) if parent else file
    return isinstance(group, h5py.Group) and name in group


def rows_at(file: h5py.File, path: str, shape: tuple[int, ...], kinds: str) -> h5py.Dataset:
    """An array that need not be read whole, after checking that it is one, of this shape and kinds of dtype.

    Raises:
        ValueError: if it is not, or lies in other files.
    """
    node = node_at(file, path)
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external:
        raise ValueError(f"{path} is no array in the file itself")
    if node.shape != shape or node.dtype.kind not in kinds:
        raise ValueError(f"{path} is {node.dtype} {node.shape} instead of {shape}")
    filters = node.id.get_create_plist()
    if any(filters.get_filter(which)[0] not in _FILTERS for which in range(filters.get_nfilters())):
        raise ValueError(f"{path} is compressed, which goldore does not do")
    chunk = math.prod(node.chunks or ()) * node.dtype.itemsize
    if chunk > _stored_in(file):
        raise ValueError(f"{path} claims chunks larger than the file")
    return node


def read_array(file: h5py.File, path: str, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """Read an array after checking that it is one, of this shape and of these kinds of dtype."""
    node = rows_at(file, path, shape, kinds)
    check_chunk_count(node, _stored_in(file))
    if node.size * node.dtype.itemsize > node.id.get_storage_size():
        raise ValueError(f"{path} claims more values than the file holds")
    return np.asarray(node[()])


def read_per_trial(file: h5py.File, path: str, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """Read an array that has a row a trial; rows of trials that were not run may be missing in the file."""
    node = rows_at(file, path, shape, kinds)
    check_chunk_count(node, _stored_in(file))
    if node.size * node.dtype.itemsize > max(node.id.get_storage_size(), _MOST_MISSING):
        raise ValueError(f"{path} claims {shape[0]:,} trials, more than the file holds")
    return np.asarray(node[()])


def read_attribute(node: Any, name: str) -> Any:
    """Read an attribute after looking at its size.

    Raises:
        KeyError: if it is missing.
        ValueError: if it is absurdly large.
    """
    found = node.attrs.get_id(name)
    if math.prod(found.shape) * found.dtype.itemsize > _stored_in(node.file):
        raise ValueError(f"the attribute {name} claims more than the file holds")
    if found.shape and found.dtype.kind == "O":
        raise ValueError(f"the attribute {name} is a list of things of any size")
    return node.attrs[name]


def read_text(node: Any, name: str) -> str:
    """Read an attribute that is one text."""
    value = read_attribute(node, name)
    if not isinstance(value, str):
        raise ValueError(f"the attribute {name} is no text")  # noqa: TRY004
    return value


def read_text_list(node: Any, name: str) -> tuple[str, ...]:
    """Read an attribute that is a list of texts."""
    values = np.asarray(read_attribute(node, name))
    if values.ndim != 1 or values.dtype.kind != "S":
        raise ValueError(f"the attribute {name} is no list of texts")
    return tuple(value.decode(errors="replace") for value in values.tolist())


def text_array(texts: tuple[str, ...] | list[str]) -> NDArray[np.bytes_]:
    """Texts in UTF-8 for HDF5, all of one size: their number and length then tell what reading them takes."""
    encoded = [text.encode(errors="backslashreplace") for text in texts]
    return np.array(encoded, dtype=h5py.string_dtype(length=max(1, *map(len, encoded), 1)))


def write_text_list(group: h5py.Group, key: str, texts: list[str]) -> None:
    """Write a list of strings as an attribute."""
    values = text_array(texts)
    group.attrs.create(key, values, dtype=values.dtype)


def create_rows(
    group: h5py.Group, name: str, dtype: str, shape: tuple[int, ...], empty: Any, rows_per_chunk: int = 1
) -> None:
    """Make a dataset [0, *shape] that grows by rows, with checksums.

    Args:
        group: to make it in.
        name: of the dataset.
        dtype: of its values.
        shape: of a row.
        empty: value of rows that were not written.
        rows_per_chunk: rows that HDF5 reads and writes together.
    """
    group.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        dtype=dtype,
        fillvalue=empty,
        chunks=(rows_per_chunk, *shape),
        fletcher32=True,
    )


def create_seconds(group: h5py.Group) -> None:
    """Make the array of what trials took, in a file of a goldore that did not store it yet."""
    if "seconds" not in group:
        create_rows(group, "seconds", "f4", (), np.nan, group["done"].chunks[0])
        group["seconds"].resize(len(group["done"]), axis=0)


def read_seconds(file: h5py.File, path: str, rows: int) -> NDArray[Any]:
    """Read what each trial took, float32 [rows]; NaN where it is not stored."""
    if not has(file, path):
        return np.full(rows, np.nan, dtype=np.float32)
    return read_per_trial(file, path, (rows,), "f")


def _stored_in(file: h5py.File) -> int:
    return int(file.id.get_filesize())
