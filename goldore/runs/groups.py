"""Which trials are trained together: in order, as many as the device holds."""

from collections.abc import Iterator, Sequence

from goldore.runs.team import Claims
from goldore.training.memory import release_memory


class Groups:
    """Cuts trials into groups; into smaller ones once memory ran out.

    Args:
        take: gives the numbers of the next trials, so many at the most; none at the end.
        size: of a group, at the most.
        folds: trials of a group have the same number modulo this: they are evaluated on the same images.

    Attributes:
        size: of a group, at the most, by now.
    """

    def __init__(self, take: Claims, size: int, folds: int = 1) -> None:
        self.size = size
        self._take, self._folds = take, folds
        self._queue: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            if not self._queue:
                together = self._take(self.size * self._folds)
                self._queue = self._cut(
                    [[each for each in together if each % self._folds == fold] for fold in range(self._folds)]
                )
            if not self._queue:
                return
            yield self._queue.pop(0)

    def put_back(self, group: list[int]) -> None:
        """Take back a group of two or more that memory did not hold; the next ones are half as large.

        Call it when the error has been left behind, since that holds on to memory.
        """
        self.size = max(1, len(group) // 2)
        self._queue = self._cut([group, *self._queue])
        release_memory()

    def _cut(self, groups: Sequence[list[int]]) -> list[list[int]]:
        return [
            group[first : first + self.size] for group in groups for first in range(0, len(group), self.size)
        ]
