"""Which real images a step of a study needs: a batch of each kept set, the same images where sets overlap.

A batch is drawn by numbers that belong to the images and are shared by all sets: those with the lowest ones.
So a set's batch depends on nothing but the set, and sets that overlap draw many of the same images, each of
which is embedded once.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ClassPool:
    """What a step draws of one class.

    Attributes:
        rows: positions of the images, each once, [P].
        batches: for each set the columns of `rows` that are its batch; empty if it has none of the class.
    """

    rows: Ints
    batches: list[Ints]

    def weights(self) -> NDArray[np.float32]:
        """Weight of each image in the mean over each set's batch, float32 [S, P]; zeros for an empty one."""
        each = np.zeros((len(self.batches), len(self.rows)), dtype=np.float32)
        for row, columns in zip(each, self.batches, strict=True):
            row[columns] = 1 / max(len(columns), 1)
        return each


class Pool:
    """Kept sets, of which every step draws batches.

    Args:
        sets: bool [S, N], the kept samples of each.
        labels: int64 [N].
        num_classes: K.
        batch: images that are drawn of each class of a set; fewer are taken whole.
    """

    def __init__(
        self, sets: NDArray[np.bool_], labels: NDArray[np.integer], num_classes: int, batch: int
    ) -> None:
        self._batch, self._samples = batch, len(labels)
        by_class = np.argsort(labels, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=num_classes))])
        self._members = [by_class[first:last] for first, last in itertools.pairwise(bounds)]
        self._inside = [sets[:, each] for each in self._members]  # [S, n] of each class

    def draw(self, random: np.random.Generator) -> list[ClassPool]:
        """Draw the batches of a step, class after class."""
        numbers = random.random(self._samples, dtype=np.float32)
        drawn = []
        for members, inside in zip(self._members, self._inside, strict=True):
            order = np.argsort(numbers[members], kind="stable")
            batches = [order[np.flatnonzero(row)[: self._batch]] for row in inside[:, order]]
            rows, columns = np.unique(np.concatenate(batches), return_inverse=True)
            ends = np.cumsum([len(each) for each in batches])[:-1]
            drawn.append(ClassPool(members[rows], np.split(columns, ends)))
        return drawn


def start_rows(kept: Sequence[Ints], count: int, numbers: NDArray[np.float32]) -> Ints:
    """Positions that the synthetic images of a set start from: those with the lowest numbers of each class.

    Args:
        kept: positions of the set, class by class.
        count: of each class, at most as many as there are.
        numbers: [N], the same for all sets.

    Returns:
        int64 [K, count].
    """
    return np.stack([each[np.argsort(numbers[each], kind="stable")[:count]] for each in kept])
