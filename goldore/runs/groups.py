"""Which trials are trained together: in order, as many as the device holds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from goldore.errors import OutOfMemoryError
from goldore.runs.job import memory_errors
from goldore.runs.team import Claims
from goldore.runs.watching import Watcher
from goldore.training.memory import release_memory

Results = TypeVar("Results")


class Groups:
    """Cuts trials into groups; into smaller ones once memory ran out.

    Args:
        take: gives the numbers of the next trials, so many at the most; none at the end.
        size: of a group, at the most.
        folds: trials of a group have the same number modulo this: they are evaluated on the same images.
        first: groups that come before, as they are.

    Attributes:
        size: of a group, at the most, by now.
    """

    def __init__(self, take: Claims, size: int, folds: int = 1, first: Iterable[list[int]] = ()) -> None:
        self.size = size
        self._first = iter(first)
        self._take, self._folds = take, folds
        self._queue: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            known = next(self._first, None) if not self._queue else None
            if known is not None:
                self._queue = [known]
            elif not self._queue:
                together = self._take(self.size * self._folds)
                self._queue = self._cut(
                    [[each for each in together if each % self._folds == fold] for fold in range(self._folds)]
                )
            if not self._queue:
                return
            yield self._queue.pop(0)

    def trained(self, train: Callable[[list[int]], Results], watcher: Watcher) -> Iterator[Results]:
        """Train group after group; one for which memory does not suffice, in parts.

        Args:
            train: the trials with these numbers.
            watcher: told when groups become smaller.

        Raises:
            OutOfMemoryError: if memory does not suffice for one trial alone.
        """
        for group in self:
            results = None
            try:
                with memory_errors():
                    results = train(group)
            except OutOfMemoryError:
                if len(group) == 1:
                    raise
            if results is None:
                self.put_back(group)
                watcher.ensemble_lowered(self.size)
                continue
            yield results

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
