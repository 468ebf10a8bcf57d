"""Which samples each cell keeps: the same that `goldore prune` would."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.selection.pruning import Selection, prune
from goldore.store import ScoreFile
from goldore.studies.cells import ALL, UNDISTILLED, Cell

_DIGEST = 16  # letters


@dataclass(frozen=True)
class KeptSet:
    """The samples of a cell for one seed.

    Attributes:
        indices: positions, int64, ascending.
        per_class: how many of each class, int64 [K].
        selection: what `prune` gave; None for all data.
    """

    indices: NDArray[np.int64]
    per_class: NDArray[np.int64]
    selection: Selection | None = None

    @property
    def digest(self) -> str:
        """What tells it from other sets."""
        return digest_of(self.indices)


def digest_of(indices: NDArray[np.int64]) -> str:
    """A short hash of a set of positions."""
    return hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").data).hexdigest()[:_DIGEST]


def select(file: ScoreFile, cell: Cell, seed: int) -> KeptSet:
    """Choose the samples of a cell.

    Args:
        file: with the score that the criterion is about.
        cell: which.
        seed: of Random and of rules that draw.

    Raises:
        UsageError: if the rule cannot choose so many.
    """
    criterion, _, rule = cell.criterion.partition(":")
    counts = np.bincount(file.labels, minlength=file.dataset.num_classes)
    if cell.distiller == UNDISTILLED:
        of_each = {"keep_per_class": cell.ipc}
        selection = prune(
            file,
            "Random" if cell.is_all else criterion,
            strategy=rule or "end",
            seed=seed,
            missing="drop",
            **of_each,  # type: ignore[arg-type]
        )
    elif criterion == ALL:
        return KeptSet(np.arange(len(file.labels)), counts)
    else:
        selection = prune(
            file, criterion, keep_ratio=cell.keep_ratio, strategy=rule or "end", seed=seed, missing="drop"
        )
    return KeptSet(selection.indices, selection.kept_per_class, selection)


def select_all(file: ScoreFile, cells: Iterable[Cell], seed: int) -> dict[Cell, KeptSet]:
    """Choose the samples of cells, once where several keep the same.

    Raises:
        UsageError: if a rule cannot choose so many.
    """
    found: dict[tuple[str, str, int], KeptSet] = {}
    return {
        cell: found.get(cell.keeps) or found.setdefault(cell.keeps, select(file, cell, seed))
        for cell in cells
    }


def feasible(file: ScoreFile, cells: Iterable[Cell], seed: int) -> tuple[list[Cell], dict[Cell, str]]:
    """Find the cells that can be run: with at least as many samples of each class as images per class.

    Returns:
        Those cells, and why the others cannot be run.
    """
    good: list[Cell] = []
    refused: dict[Cell, str] = {}
    smallest: dict[tuple[str, str, int], int | str] = {}  # class, or why there is none
    for cell in cells:
        if cell.keeps not in smallest:
            try:
                smallest[cell.keeps] = int(select(file, cell, seed).per_class.min())
            except UsageError as error:
                smallest[cell.keeps] = str(error)
        least = smallest[cell.keeps]
        if isinstance(least, str):
            refused[cell] = least
        elif least < max(cell.ipc, 1):
            refused[cell] = f"it keeps {least} of a class, fewer than the {cell.ipc} images per class"
        else:
            good.append(cell)
    return good, refused
