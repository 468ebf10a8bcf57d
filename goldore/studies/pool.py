"""Which real images a step of a study needs: few, and the same for all cells.

The kept sets of a criterion lie within one another: they form a chain, whose shells are what each set adds
to the one before. The mean over a set is a weighted sum of means over shells. So each step draws some images
of each shell, once for all sets, and by numbers that all chains share, so that chains which overlap draw
many of the same images.
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
        shells: for each shell the columns of `rows` that were drawn of it.
        mix: weight of each shell's mean in the mean over each set, float32 [S, shells]; rows sum to 1, and
            a set that has no sample of the class has zeros.
    """

    rows: Ints
    shells: list[Ints]
    mix: NDArray[np.float32]

    def weights(self) -> NDArray[np.float32]:
        """Weight of each image in the mean over each set, float32 [S, P]."""
        each = np.zeros((len(self.mix), len(self.rows)), dtype=np.float32)
        for share, columns in zip(self.mix.T, self.shells, strict=True):
            each[:, columns] += share[:, None] / len(columns)
        return each


class Pool:
    """Shells of kept sets, of which every step draws.

    Args:
        sets: bool [S, N], the kept samples of each.
        labels: int64 [N].
        num_classes: K.
        shell_size: images that are drawn of a shell of one class; smaller ones are taken whole.
    """

    def __init__(
        self, sets: NDArray[np.bool_], labels: NDArray[np.integer], num_classes: int, shell_size: int
    ) -> None:
        self._size = shell_size
        self._samples = len(labels)
        by_class = np.argsort(labels, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=num_classes))])
        members = [by_class[first:last] for first, last in itertools.pairwise(bounds)]
        self._classes: list[tuple[list[Ints], NDArray[np.float32]]] = []
        found = chains(sets)
        counts = np.stack([sets[:, each].sum(1) for each in members])  # [K, S]
        for each, kept in zip(members, counts, strict=True):
            shells: list[Ints] = []
            mix: list[NDArray[np.float32]] = []
            for chain in found:
                before = np.zeros(len(each), dtype=np.bool_)
                for depth, which in enumerate(chain):
                    inside = sets[which, each]
                    shell = each[inside & ~before]
                    before = inside
                    if len(shell):
                        share = np.zeros(len(sets), dtype=np.float32)
                        share[list(chain[depth:])] = len(shell) / kept[list(chain[depth:])]
                        shells.append(shell)
                        mix.append(share)
            self._classes.append((shells, np.stack(mix, axis=1)))

    def draw(self, random: np.random.Generator) -> list[ClassPool]:
        """Draw the images of a step, class after class."""
        numbers = random.random(self._samples, dtype=np.float32)
        drawn = []
        for shells, mix in self._classes:
            some = [self._some(shell, numbers) for shell in shells]
            rows, columns = np.unique(np.concatenate(some), return_inverse=True)
            drawn.append(
                ClassPool(rows, np.split(columns, np.cumsum([len(each) for each in some])[:-1]), mix)
            )
        return drawn

    def _some(self, shell: Ints, numbers: NDArray[np.float32]) -> Ints:
        if len(shell) <= self._size:
            return shell
        return shell[np.argpartition(numbers[shell], self._size)[: self._size]]


def chains(sets: NDArray[np.bool_]) -> list[list[int]]:
    """Order sets in chains, in which each is within the next: each goes to the first chain that takes it.

    Args:
        sets: bool [S, N].

    Returns:
        Numbers of sets, each once; in a chain the smallest first.
    """
    found: list[list[int]] = []
    for which in np.argsort(sets.sum(1), kind="stable"):
        chain = next((each for each in found if not (sets[each[-1]] & ~sets[which]).any()), None)
        if chain is None:
            found.append([int(which)])
        else:
            chain.append(int(which))
    return found


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
