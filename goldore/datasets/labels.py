"""The one reader of labels: numbers, words or one-hot rows become classes 0 to K-1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.errors import DatasetError
from goldore.wording import count

_MOST_NAMED = 5
_TOO_LARGE = 2**63  # for int64
_MANY = 100  # samples that all have labels of their own have no labels


class Classes:
    """How the labels of a dataset are numbered.

    Args:
        labels: of the training set: whole numbers or texts [N] or [N, 1], booleans, or one-hot rows [N, K].
        where: names them in messages.
        names: of the classes, if they are known: numbers count them, texts are among them.

    Attributes:
        labels: int64 [N], 0 to K-1, each of which occurs.
        names: K texts.
        notes: what was decided, one sentence each.

    Raises:
        DatasetError: if they are no labels.
    """

    def __init__(self, labels: Any, where: str, names: Sequence[str] | None = None) -> None:
        self.notes: list[str] = []
        raw = self._plain(labels, where)
        if len(raw) == 0:
            raise DatasetError(f"{where} is empty; there must be at least one sample.")
        values, numbers = np.unique(raw, return_inverse=True)
        if len(values) == len(raw) >= _MANY:
            raise DatasetError(
                f"each of the {count(len(raw))} samples has a label of its own in {where}; these are no "
                "classes."
            )
        self._values, self._rank = values, np.arange(len(values))
        if names is not None and len(names) == len(raw) != len(values):
            self.notes.append(f"{where}: {count(len(names))} names, one a sample, are no names of classes")
            names = None
        if names is not None:
            names = [str(name) for name in names]
            chosen = self._among(values, where, names)
            self._rank = np.argsort(np.argsort(chosen))
            values = np.sort(chosen)
            if len(values) < len(names):
                without = [name for number, name in enumerate(names) if number not in set(values.tolist())]
                self.notes.append(
                    f"{where}: {_listed(without)} of {len(names)} classes have no sample and are left out"
                )
            self.names = tuple(names[value] for value in values)
        else:
            self.names = tuple(str(value) for value in values)
            if raw.dtype.kind == "U":
                self.notes.append(f"{where}: texts numbered in sorted order, {_listed(self.names)}")
            elif not np.array_equal(values, np.arange(len(values))):
                self.notes.append(f"{where}: labels {_listed(self.names)} numbered 0 to {len(values) - 1}")
        self.labels: NDArray[np.int64] = self._rank[numbers.reshape(-1)].astype(np.int64)

    def number(self, labels: Any, where: str) -> NDArray[np.int64] | None:
        """Number the labels of a test split likewise.

        Args:
            labels: as of the training set.
            where: names them in messages.

        Returns:
            int64 [M]; None if they are unknown (all negative), as of a test split that is for a contest.

        Raises:
            DatasetError: if they are no labels, or a label is none of the training set's.
        """
        raw = self._plain(labels, where, test=True)
        if raw.dtype.kind == "i" and len(raw) and raw.max() < 0:
            self.notes.append(f"{where}: all labels are negative, which means unknown; the split is not used")
            return None
        unknown = sorted(set(raw.tolist()) - set(self._values.tolist()))
        if unknown:
            raise DatasetError(
                f"{where} has the label {_listed([str(each) for each in unknown])}, which no training sample "
                "has; leave these samples out, or the test split."
            )
        return self._rank[np.searchsorted(self._values, raw)].astype(np.int64)

    def _plain(self, labels: Any, where: str, *, test: bool = False) -> NDArray[Any]:
        """One number or text a sample: int64 or str [N]."""
        try:
            array = np.asarray(labels)
        except Exception as error:
            raise DatasetError(f"{where} is no list of labels ({error}); give one a sample.") from error
        if array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004
            array = array[:, 0]
        elif array.ndim == 2 and _is_one_hot(array):  # noqa: PLR2004
            self.notes.append(f"{where}: one-hot rows of {array.shape[1]} read as labels")
            array = array.argmax(axis=1)
        if array.dtype.kind == "O" and all(type(each) is str for each in array.ravel()):
            array = array.astype(str)
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "backslashreplace")  # so that no two become one
        whole = array.dtype.kind in "biuU" or (
            array.dtype.kind == "f"
            and bool(np.isfinite(array).all())
            and bool((array == np.round(array)).all())
        )
        if array.ndim != 1 or not whole:
            raise DatasetError(
                f"{where} is {array.dtype} of shape {array.shape}; labels must be whole numbers or texts, "
                "one a sample, or one-hot rows."
            )
        if array.dtype.kind == "U":
            return array
        largest = max(array.max(initial=0), -array.min(initial=0)) if array.dtype.kind in "uf" else 0
        if largest >= _TOO_LARGE:
            raise DatasetError(f"{where} has the label {largest:.0f}; that is no class, number them from 0.")
        numbers = array.astype(np.int64)
        if not test and numbers.size and numbers.min() < 0:
            raise DatasetError(
                f"{where} has the label {numbers.min()} ({count(int((numbers < 0).sum()))} are negative), "
                "which mostly means unknown; leave these samples out."
            )
        return numbers

    def _among(self, values: NDArray[Any], where: str, names: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of labels among named classes."""
        if values.dtype.kind == "U":
            number = {name: each for each, name in enumerate(names)}
            unknown = [value for value in values.tolist() if value not in number]
            if unknown:
                raise DatasetError(
                    f"{where} has the label {_listed(unknown)}, and the classes are {_listed(names)}; make "
                    "them agree."
                )
            return np.array([number[value] for value in values.tolist()], dtype=np.int64)
        if values.max() >= len(names):
            raise DatasetError(
                f"{where} has labels from {values.min()} to {values.max()}, and there are {len(names)} class "
                "names; count from 0, or name all classes."
            )
        return values.astype(np.int64)


def _is_one_hot(array: NDArray[Any]) -> bool:
    return (
        array.dtype.kind in "biuf"
        and len(array) > 0
        and bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())
    )


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names[:_MOST_NAMED])
    return text + (f" and {len(names) - _MOST_NAMED} others" if len(names) > _MOST_NAMED else "")
