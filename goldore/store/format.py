"""Names and small helpers of the file format that reading and writing share."""

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

FORMAT = "goldore-scores"
FORMAT_VERSION = 1
INDEX_SUFFIXES = (".npy", ".npz", ".json", ".txt", ".csv", ".pt")
TEXT = h5py.string_dtype()
# HDF5 1.8's format, which every reader in use knows: the one before holds at most 64 KiB of attributes, about
# 4,000 class names.
LIBVER = ("v108", "latest")


def read_array(file: h5py.File, name: str, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """Read an array after checking that it is one, of this shape and of these kinds of dtype."""
    node = file.get(name)
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(node, h5py.Dataset):
        raise ValueError(f"{name} is missing")  # noqa: TRY004
    if node.shape != shape or node.dtype.kind not in kinds:
        raise ValueError(f"{name} is {node.dtype} {node.shape} instead of {shape}")
    return np.asarray(node[()])


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


def write_text_list(group: h5py.Group, key: str, texts: list[str]) -> None:
    """Write a list of strings as an attribute."""
    group.attrs.create(key, texts, dtype=TEXT)
