"""An index file at work in one's own code: a torch Dataset of the kept samples, or a mask for arrays."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.classes import labels_digest
from goldore.errors import IndexFileError, UsageError
from goldore.selection.index_file import Index, load_index

if TYPE_CHECKING:
    from torch.utils.data import Dataset, Subset


def subset(dataset: "Dataset[Any]", index_file: str | Path) -> "Subset[Any]":
    """The kept samples of a torch Dataset.

    Args:
        dataset: the whole training set, in the order in which it was scored.
        index_file: of any format.

    Returns:
        A torch Subset, in the order of the dataset.

    Raises:
        UsageError: if the dataset has no length.
        IndexFileError: if the file cannot be read, or is about another dataset: as many samples are asked
            for, and the same labels where the dataset has an attribute `targets` or `labels`.
    """
    from torch.utils.data import Subset

    if not hasattr(dataset, "__len__"):
        raise UsageError(
            "the dataset has no length, so that positions mean nothing; pass one that is indexable."
        )
    index = load_index(index_file)
    labels = next((getattr(dataset, name) for name in ("targets", "labels") if hasattr(dataset, name)), None)
    check_index(index, index_file, len(dataset), labels)
    return Subset(dataset, index.indices.tolist())


def keep_mask(
    index_file: str | Path,
    num_samples: int | None = None,
    labels: NDArray[np.integer] | None = None,
) -> NDArray[np.bool_]:
    """Which samples are kept, as a mask for NumPy or JAX arrays.

    Args:
        index_file: of any format.
        num_samples: N; None takes it from the labels or from the file's provenance.
        labels: integer [N], to check that the file is about this dataset.

    Returns:
        bool [N], true where a sample is kept.

    Raises:
        UsageError: if num_samples is no whole number.
        IndexFileError: if the file cannot be read, is about another dataset, or N is not known.
    """
    if num_samples is not None and not isinstance(num_samples, int | np.integer):
        raise UsageError(f"num_samples is {num_samples!r}; it must be a whole number.")
    index = load_index(index_file)
    length = len(labels) if labels is not None else num_samples or index.provenance.get("num_samples")
    if length is None:
        raise IndexFileError(f"{index_file} does not say how many samples there are; give num_samples.")
    if labels is not None and num_samples not in (None, length):
        raise IndexFileError(f"there are {length} labels and num_samples is {num_samples}; they must agree.")
    check_index(index, index_file, length, labels)
    mask = np.zeros(length, dtype=np.bool_)
    mask[index.indices] = True
    return mask


def check_index(index: Index, name: str | Path, num_samples: int, labels: Any = None) -> None:
    """See that an index is about a dataset.

    Args:
        index: read from a file.
        name: of the file, for the message.
        num_samples: of the dataset.
        labels: of its samples, anything of length N that numpy makes integers of; None is not checked.

    Raises:
        IndexFileError: if the number of samples or the labels differ, or a position is out of range.
    """
    about = index.provenance
    claimed = about.get("num_samples")
    if claimed is not None and claimed != num_samples:
        raise IndexFileError(
            f"{name} is about the {claimed} samples of {about.get('dataset')}, and here are "
            f"{num_samples}; choose the "
            "index file of this dataset."
        )
    if index.indices[-1] >= num_samples:
        raise IndexFileError(
            f"{name} keeps position {index.indices[-1]}, and here are {num_samples} samples; choose the "
            "index file of "
            "this dataset."
        )
    digest = about.get("labels_sha256")
    if labels is not None and digest is not None and digest != labels_digest(np.asarray(labels)):
        raise IndexFileError(
            f"the labels here are not those of {about.get('dataset')}, which {name} is about, or stand "
            "in another "
            "order; translate it with goldore map-index, or choose the index file of this dataset."
        )
