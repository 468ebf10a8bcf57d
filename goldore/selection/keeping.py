"""An index file at work in one's own code: datasets of the kept samples, a sampler, a mask for arrays."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.classes import labels_digest
from goldore.datasets.columns import LABELS, is_table
from goldore.datasets.labels import Classes
from goldore.datasets.paths import paths_of, same_file
from goldore.errors import GoldoreError, IndexFileError, UsageError
from goldore.selection.index_file import Index, index_of

if TYPE_CHECKING:
    from torch import Generator
    from torch.utils.data import Sampler

_MOST_CLASSES = 20  # whose numbers a message lists
_ATTRIBUTES = ("targets", "labels")  # that may hold them, in datasets of torchvision and others


def subset(dataset: Any, index_file: Any) -> Any:
    """The kept samples of a dataset of torch, or of Hugging Face's library datasets.

    Args:
        dataset: the whole training set, in the order in which it was scored.
        index_file: the path of an index file of any format, what `prune` returned, positions, or a mask.

    Returns:
        A `torch.utils.data.Subset`, or what the dataset's own `select` gives; in the order of the dataset.

    Raises:
        UsageError: if the dataset has no length.
        IndexFileError: if the file cannot be read, or is about another dataset: as many samples are asked
            for, the same labels where the dataset has an attribute `targets` or `labels`, or a column
            with such a name, and the same files where both know their paths.
    """
    indices = _indices_for(dataset, index_file)
    if is_table(dataset):
        return dataset.select(indices)
    from torch.utils.data import Subset

    return Subset(dataset, indices.tolist())


def sampler(dataset: Any, index_file: Any, *, generator: "Generator | None" = None) -> "Sampler[int]":
    """Draws the kept samples in random order, for a DataLoader of the whole dataset.

    Args:
        dataset: as for `subset`.
        index_file: as for `subset`.
        generator: of the order; None takes torch's own.

    Returns:
        A `torch.utils.data.SubsetRandomSampler`.

    Raises:
        UsageError, IndexFileError: as `subset`.
    """
    from torch.utils.data import SubsetRandomSampler

    return SubsetRandomSampler(_indices_for(dataset, index_file).tolist(), generator)


def _indices_for(dataset: Any, index_file: Any) -> NDArray[np.int64]:
    """The positions of an index file, after a look at whether it is about this dataset."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UsageError(
            "the dataset has no length or cannot be indexed, so that positions mean nothing; pass one that "
            "can."
        )
    index, name = index_of(index_file)
    labels, paths = _labels_of(dataset), paths_of(dataset)
    verify_index(index, name, len(dataset), labels, paths)
    if not index.provenance:
        if isinstance(index_file, str | Path):
            warnings.warn(f"{name} says nothing of its dataset, so that nothing was compared.", stacklevel=3)
    elif labels is None and paths is None:
        warnings.warn(
            f"neither labels nor files of this {type(dataset).__name__} are at hand, so that only the number "
            f"of samples was compared with {name}; see goldore.check_index.",
            stacklevel=3,
        )
    return index.indices


def _labels_of(dataset: Any) -> NDArray[np.int64] | None:
    """The labels of a dataset as numbers [N]; None where they are not to be had."""
    for values in _candidates(dataset):
        try:
            if values is not None and len(values) == len(dataset):
                return Classes(values, "the labels").labels
        except (GoldoreError, TypeError, ValueError):  # these are no labels
            continue
    return None


def _candidates(dataset: Any) -> Iterator[Any]:
    """What may be the labels of a dataset, the likeliest first."""
    if is_table(dataset):
        features = getattr(dataset, "features", None) or {}
        classes = [name for name in dataset.column_names if hasattr(features.get(name), "names")]
        for name in dict.fromkeys([*(each for each in LABELS if each in dataset.column_names), *classes]):
            with suppress(Exception):  # a format may leave it out
                yield dataset.with_format(None)[:][name]
        return
    for name in _ATTRIBUTES:
        yield getattr(dataset, name, None)
    tensors = getattr(dataset, "tensors", None)  # of a TensorDataset
    if isinstance(tensors, tuple) and len(tensors) > 1:
        yield tensors[-1]
    inner, indices = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)  # of a Subset
    if inner is not None and indices is not None and hasattr(inner, "__len__"):
        labels = _labels_of(inner)
        if labels is not None:
            yield labels[np.asarray(indices)]


def check_index(index_file: Any, labels: Any) -> NDArray[np.int64]:
    """See that an index file is about a dataset, by its labels.

    Args:
        index_file: as for `subset`.
        labels: of all samples, in the order in which positions count: integers [N].

    Returns:
        How many samples of each class it keeps, int64 [K].

    Raises:
        IndexFileError: if it is not; the message says how its classes differ from those here.
    """
    labels, (index, name) = np.asarray(labels), index_of(index_file)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or (labels < 0).any():
        raise UsageError(
            f"labels are an array of {labels.dtype} {list(labels.shape)}; give integers [N], 0 or more."
        )
    verify_index(index, name, len(labels), labels)
    return np.bincount(labels[index.indices], minlength=int(labels.max()) + 1)


def keep_mask(
    index_file: Any,
    num_samples: int | None = None,
    labels: NDArray[np.integer] | None = None,
) -> NDArray[np.bool_]:
    """Which samples are kept, as a mask for NumPy or JAX arrays.

    Args:
        index_file: as for `subset`.
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
    index, name = index_of(index_file)
    length = len(labels) if labels is not None else num_samples or index.provenance.get("num_samples")
    if length is None:
        raise IndexFileError(f"{name} does not say how many samples there are; give num_samples.")
    if labels is not None and num_samples not in (None, length):
        raise IndexFileError(f"there are {length} labels and num_samples is {num_samples}; they must agree.")
    verify_index(index, name, length, labels)
    mask = np.zeros(length, dtype=np.bool_)
    mask[index.indices] = True
    return mask


def verify_index(
    index: Index, name: str | Path, num_samples: int, labels: Any = None, paths: Sequence[str] | None = None
) -> None:
    """See that an index is about a dataset.

    Args:
        index: read from a file.
        name: of the file, for the message.
        num_samples: of the dataset.
        labels: of its samples, anything of length N that numpy makes integers of; None is not checked.
        paths: of its samples' files; None is not checked.

    Raises:
        IndexFileError: if the number of samples, the labels or the files differ, or a position is out of
            range.
    """
    about = index.provenance
    claimed = about.get("num_samples")
    if claimed is not None and claimed != num_samples:
        raise IndexFileError(
            f"{name} is about the {claimed} samples of {about.get('dataset')}, and here are {num_samples}; "
            "choose the index file of this dataset."
        )
    if index.indices[-1] >= num_samples:
        raise IndexFileError(
            f"{name} keeps position {index.indices[-1]}, and here are {num_samples} samples; choose the "
            "index file of this dataset."
        )
    digest = about.get("labels_sha256")
    if labels is not None and digest is not None and digest != labels_digest(np.asarray(labels)):
        raise IndexFileError(
            f"the labels here are not those of {about.get('dataset')}, which {name} is about, or stand in "
            f"another order{_kept_here(about, np.asarray(labels)[index.indices])}; translate it with goldore "
            "map-index, or choose the index file of this dataset."
        )
    kept = about.get("paths")
    if paths is not None and kept is not None:
        here = [paths[position] for position in index.indices]
        other = next((pair for pair in zip(here, kept, strict=True) if not same_file(*pair)), None)
        if other is not None:
            raise IndexFileError(
                f"{name} keeps {other[1]}, and {other[0]} stands in its place here, since files were added, "
                "removed or renamed after scoring; score the dataset again, or translate the index with "
                "goldore map-index."
            )


def _kept_here(about: dict[str, Any], labels: NDArray[np.integer]) -> str:
    """What it would keep of each class here, and what it was to keep."""
    wanted = about.get("kept_per_class")
    if not isinstance(wanted, list) or len(wanted) > _MOST_CLASSES:
        return ""
    here = np.bincount(labels, minlength=len(wanted)).tolist()
    return f" (of the classes it would keep {here[:_MOST_CLASSES]} samples, and it was made to keep {wanted})"
