"""Images that lie on a disk, read before they are needed and in the order in which the disk likes it."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.training.memory import host_memory

_STEPS = 4  # whose samples are asked for, where the order is any


class ReadAhead:
    """Asks the system for rows of a mapped file; they come while something else is computed.

    What fits into half of the memory is asked for at once and as a whole. Of more, the rows of the next steps
    are asked for, or the next window of blocks, whose neighbours come in one piece.

    Args:
        array: [N, ...], a mapped file or a view of one whose rows lie in order.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        base: Any = array
        while not (isinstance(base, np.memmap) and base.filename is not None):
            base = base.base
        while isinstance(base.base, np.memmap):
            base = base.base
        start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        self._offset, self._row = int(base.offset) + start, int(array.strides[0])
        try:
            self._handle = os.open(base.filename, os.O_RDONLY)
        except OSError:  # it was removed; whoever has mapped it has it still
            self._handle = -1
        self._thread = ThreadPoolExecutor(1)
        self._asked: Future[None] | None = None
        self._asked_rows = 0
        self.whole = array.nbytes <= host_memory() // 2
        if self.whole:
            self._advise([(self._offset, array.nbytes)])

    def __del__(self) -> None:
        if self._handle >= 0:
            self._thread.shutdown(wait=True, cancel_futures=True)
            os.close(self._handle)

    def follow(
        self, order: NDArray[np.int64], batch: int, windows: list[NDArray[np.int64]] | None, first: int = 0
    ) -> Iterator[None]:
        """Ask for what the steps of an epoch need, one step after the other.

        Args:
            order: positions [samples, E].
            batch: rows of the order that a step takes.
            windows: in which they come; None: in any order.
            first: row of the first step.
        """
        if self.whole:
            return
        ends = np.cumsum([len(window) for window in windows]) if windows is not None else None
        asked = 0  # windows
        for start in range(first, len(order), batch):
            if windows is None or ends is None:
                self.rows(order[start + batch : start + (1 + _STEPS) * batch])
            else:
                while asked < len(windows) and (asked < 2 or ends[asked - 2] <= start):  # noqa: PLR2004
                    self.rows(windows[asked])
                    asked += 1
            yield

    def rows(self, positions: NDArray[np.int64]) -> None:
        """Ask for rows, unless the thread that asks is still busy with others."""
        if self._asked is not None and not self._asked.done() and len(positions) < self._asked_rows:
            return
        self._asked_rows = len(positions)
        self._asked = self._thread.submit(self._advise, self._pieces(positions))

    def _pieces(self, positions: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Offset and length of neighbours, in the order of the disk."""
        wanted = np.unique(positions)
        if not len(wanted):
            return []
        cuts = np.flatnonzero(np.diff(wanted) != 1)
        first, last = wanted[np.r_[0, cuts + 1]], wanted[np.r_[cuts, len(wanted) - 1]]
        lengths = (last - first + 1) * self._row
        return list(zip((self._offset + first * self._row).tolist(), lengths.tolist(), strict=True))

    def _advise(self, pieces: Iterable[tuple[int, int]]) -> None:
        if hasattr(os, "posix_fadvise") and self._handle >= 0:
            for offset, length in pieces:
                os.posix_fadvise(self._handle, offset, length, os.POSIX_FADV_WILLNEED)
