"""What single trials say of some samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldore.scores import KERNEL_UTILITY
from goldore.store.format import has
from goldore.store.kernel_trials import KERNEL
from goldore.store.loss_trials import FOLD, LOSS
from goldore.store.reading import opened, read_header
from goldore.store.utility_trials import UTILITY

if TYPE_CHECKING:
    import h5py

_BLOCK = 2**22  # numbers that are held at once, about


@dataclass(frozen=True)
class UtilityOfSample:
    """What the utility trials say of one sample.

    Attributes:
        trials: numbers of the trials that drew it, int64 [n].
        outcomes: of its class in these trials, float32 [n], those that the file's MonteCarlo is about.
    """

    trials: NDArray[np.int64]
    outcomes: NDArray[np.float32]


def values_by_trial(path: Path, positions: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """What each trial that ended well says of some samples, where a trial says something of every one.

    Args:
        path: of a score file.
        positions: of the samples, int64 [P], ascending.

    Returns:
        float32 [T, P] by score name: of loss trials, cross-validations and the trials of KernelUtility.

    Raises:
        ScoreFileError: if the file cannot be read.
    """
    found: dict[str, NDArray[np.float32]] = {}
    with opened(path) as file:
        info = read_header(file).info
        columns: list[tuple[str, h5py.Dataset, tuple[int, ...]]] = []
        for kind in (LOSS, FOLD):
            if has(file, kind.group):
                known = kind.read(file, info)
                columns += [(name, file[kind.group][name], known.done) for name in known.recorded]
        if has(file, KERNEL.group):
            columns.append((KERNEL_UTILITY.name, file[KERNEL.group]["values"], KERNEL.read(file, info).done))
        for name, stored, done in columns:
            found[name] = np.empty((len(done), len(positions)), dtype=np.float32)
            for place, row in enumerate(done):
                found[name][place] = stored[row][positions]
    return found


def utility_of_samples(path: Path, positions: Sequence[int]) -> list[UtilityOfSample]:
    """What the utility trials that ended well, and count in an estimate, say of some samples.

    Args:
        path: of a score file.
        positions: of the samples.

    Returns:
        One for each of them; empty without utility trials.

    Raises:
        ScoreFileError: if the file cannot be read.
    """
    with opened(path) as file:
        header = read_header(file)
        if not has(file, UTILITY.group):
            return []
        known = UTILITY.read(file, header.info)
        group = file[UTILITY.group]
        columns = np.split(np.arange(int(known.subset_sizes.sum())), np.cumsum(known.subset_sizes)[:-1])
        rows = max(1, _BLOCK // max(int(known.subset_sizes.sum()), 1))
        numbers: list[list[NDArray[np.int64]]] = [[] for _ in positions]
        outcomes: list[list[NDArray[np.float32]]] = [[] for _ in positions]
        for start, good in _blocks(_compared(known.done, known.recipe.common_init), rows):
            members = group["members"][start : start + rows]
            measured = group[known.outcome][start : start + rows]
            for place, position in enumerate(positions):
                label = int(header.labels[position])
                drew = (members[:, columns[label]] == position).any(axis=1)
                there = np.intersect1d(np.flatnonzero(drew), good - start, assume_unique=True)
                numbers[place].append(there + start)
                outcomes[place].append(measured[there, label])
        return [
            UtilityOfSample(
                np.concatenate([np.empty(0, np.int64), *theirs]),
                np.concatenate([np.empty(0, np.float32), *values]),
            )
            for theirs, values in zip(numbers, outcomes, strict=True)
        ]


def _compared(done: NDArray[np.int64], common_init: int) -> NDArray[np.int64]:
    """The trials that count: of those that share initial weights with others, two at least are compared."""
    if common_init == 1:
        return done
    blocks, counts = np.unique(done // common_init, return_counts=True)
    return done[np.isin(done // common_init, blocks[counts > 1])]


def _blocks(done: NDArray[np.int64], rows: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Where each block of rows begins, and which of them ended well."""
    for start in np.unique(done // rows) * rows:
        yield int(start), done[np.searchsorted(done, start) : np.searchsorted(done, start + rows)]
