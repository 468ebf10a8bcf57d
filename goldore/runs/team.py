"""The processes that share a run: they claim trials from one list, and tell each other how far they are.

They meet in the store that torchrun keeps for its workers (a TCPStore), which needs no process group and no
collective library: trials take no part in each other, so all that is shared are a counter and small texts of
JSON. One process alone is a team as well, of size one.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from goldore.errors import GoldoreError, reason
from goldore.runs.launching import rank_and_size

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

Claims = Callable[[int], list[int]]
Thing = TypeVar("Thing")
_CONNECT = timedelta(minutes=5)
_BETWEEN_LOOKS = 0.2  # seconds
_PATIENCE = (
    3600.0  # seconds that ranks wait for the others at the beginning: they may read data at other speeds
)
_FAREWELL = 30.0  # seconds that the process which keeps the store waits for the others to leave


class Team:
    """One process alone; `WorkerTeam` is several.

    Attributes:
        rank: of this process, 0 to size - 1. Rank 0 speaks for all.
        size: processes that share the run.
        local_rank: of this process among those on the same machine.
        keeps_failed: whether trials that diverged are kept though none has ended well: others may have.
    """

    rank, size, local_rank = 0, 1, 0

    def __init__(self, *, keeps_failed: bool = False) -> None:
        self.keeps_failed = keeps_failed

    def claims(self, numbers: Sequence[int] | NDArray[np.int64]) -> Claims:
        """Share out numbers, the same on all ranks: `take(n)` gives the next n or fewer, [] at the end."""
        place = 0

        def take(count: int) -> list[int]:
            nonlocal place
            some = [int(number) for number in numbers[place : place + count]]
            place += len(some)
            return some

        return take

    def shared(self, things: Sequence[Thing]) -> Iterator[Thing]:
        """Share out things, the same on all ranks: each goes to the one that asks for the next."""
        take = self.claims(range(len(things)))
        while some := take(1):
            yield things[some[0]]

    def gather(self, value: Any, meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Give everyone what everyone has: JSON values by rank. All ranks call it as often; it waits for all.

        Args:
            value: this rank's.
            meanwhile: called now and then while it waits, and once when all are there.
        """
        del meanwhile
        return [value]

    def tell(self, value: Any) -> None:
        """Send a JSON value to rank 0, which need not wait for it."""

    def heard(self) -> list[Any]:
        """What others have told rank 0 since it last asked."""
        return []

    def leave(self) -> None:
        """Say that this rank asks nothing more of the others."""


class WorkerTeam(Team):
    """Worker processes of torchrun, or of goldore itself.

    Args:
        rank: of this process.
        size: processes in all.
        local_rank: of this process on its machine.
        store: where they meet; keys are this run's alone.
        keeps_store: whether the store ends with this process.
    """

    def __init__(self, rank: int, size: int, local_rank: int, store: "Store", *, keeps_store: bool) -> None:
        super().__init__(keeps_failed=True)
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self._store, self._keeps_store = store, keeps_store
        self._lists = self._gathered = self._read = 0

    def claims(self, numbers: Sequence[int] | NDArray[np.int64]) -> Claims:
        """Share out numbers: each rank takes as it needs them, in smaller pieces towards the end."""
        self._lists += 1
        key = f"claimed/{self._lists}"

        def take(count: int) -> list[int]:
            left = len(numbers) - self._call("add", key, 0)
            count = min(count, max(1, -(-left // self.size)))
            place = self._call("add", key, count) - count
            return [int(number) for number in numbers[place : place + count]]

        return take

    def gather(self, value: Any, meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Give everyone what everyone has."""
        self._gathered += 1
        keys = [f"gathered/{self._gathered}/{rank}" for rank in range(self.size)]
        self._call("set", keys[self.rank], json.dumps(value))
        while not self._call("check", keys):
            if meanwhile is not None:
                meanwhile()
            time.sleep(_BETWEEN_LOOKS)
        if meanwhile is not None:  # all that was told before is there now
            meanwhile()
        return [json.loads(self._call("get", key)) for key in keys]

    def tell(self, value: Any) -> None:
        """Send a JSON value to rank 0."""
        place = self._call("add", "told", 1)
        self._call("set", f"told/{place}", json.dumps(value))

    def heard(self) -> list[Any]:
        """What others have told rank 0 since it last asked."""
        found = []
        while self._read < self._call("add", "told", 0) and self._call("check", [f"told/{self._read + 1}"]):
            self._read += 1
            found.append(json.loads(self._call("get", f"told/{self._read}")))
            self._call("delete_key", f"told/{self._read}")
        return found

    def leave(self) -> None:
        """Say that this rank asks nothing more of the others; the one that keeps the store waits for them."""
        left = self._call("add", "left", 1)
        until = time.monotonic() + _FAREWELL
        while self._keeps_store and left < self.size and time.monotonic() < until:
            time.sleep(_BETWEEN_LOOKS)
            left = self._call("add", "left", 0)

    def _call(self, method: str, *args: Any) -> Any:
        try:
            return getattr(self._store, method)(*args)
        except RuntimeError as error:  # DistError and its kind
            raise GoldoreError(_lost(error)) from error


def _lost(error: RuntimeError) -> str:
    return (
        f"the connection to the other processes of this run is lost ({reason(error)[:200]}); finished trials "
        "are kept, run the same command again."
    )


def find_team() -> Team:
    """The team that the environment speaks of, as torchrun sets it; one process alone otherwise.

    Raises:
        UsageError: if the environment contradicts itself.
        GoldoreError: if the others cannot be reached.
    """
    place = rank_and_size()
    if place is None or place[1] == 1:
        return Team()
    rank, size = place
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    try:
        port, local_rank = int(os.environ["MASTER_PORT"]), int(os.environ.get("LOCAL_RANK", rank))
        kept_by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        keeps = rank == 0 and not kept_by_agent
        host = os.environ["MASTER_ADDR"]
        store = TCPStore(host, port, size, is_master=keeps, timeout=_CONNECT, wait_for_workers=False)
    except (RuntimeError, ValueError) as error:
        raise GoldoreError(
            f"the other processes of this run cannot be reached ({reason(error)[:200]}); RANK, LOCAL_RANK, "
            "WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the environment must be those of torchrun, or not be "
            "set."
        ) from error
    try:
        name = _meet(store, rank, size)
    except RuntimeError as error:
        raise GoldoreError(_lost(error)) from error
    met = PrefixStore(f"goldore/{name}", store)
    return WorkerTeam(rank, size, local_rank, met, keeps_store=keeps)


def _meet(store: "Store", rank: int, size: int) -> str:
    """Agree on a name for this meeting, in a store that may hold what is left of earlier ones.

    After a restart on several machines torchrun's workers find the same store, and are not told the same of
    the restart. So each rank leaves a token of its own, and rank 0 answers with the name until all came.
    """
    until = time.monotonic() + _PATIENCE
    me = uuid.uuid4().hex
    met = {rank}
    store.set(f"goldore/hello/{rank}", me)
    while time.monotonic() < until:
        if rank == 0:
            for other in range(1, size):
                if store.check([f"goldore/hello/{other}"]):
                    store.set(f"goldore/welcome/{store.get(f'goldore/hello/{other}').decode()}", me)
                if store.check([f"goldore/here/{me}/{other}"]):
                    met.add(other)
            if len(met) == size:
                store.set(f"goldore/go/{me}", "")
                return me
        elif store.check([f"goldore/welcome/{me}"]):
            name = store.get(f"goldore/welcome/{me}").decode()
            store.set(f"goldore/here/{name}/{rank}", "")
            if store.check([f"goldore/go/{name}"]):
                return name
        time.sleep(_BETWEEN_LOOKS)
    raise GoldoreError(
        f"only {len(met)} of {size} processes came together within {_PATIENCE / 60:.0f} minutes; finished "
        "trials are kept, run the same command again."
    )


def as_ranges(numbers: Sequence[int] | NDArray[np.int64]) -> list[list[int]]:
    """Ascending numbers as half-open ranges [[first, last + 1], ...], for sending many in few bytes."""
    whole = np.asarray(numbers, dtype=np.int64)
    if not len(whole):
        return []
    cuts = np.flatnonzero(np.diff(whole) != 1)
    first, last = whole[np.r_[0, cuts + 1]], whole[np.r_[cuts, len(whole) - 1]]
    return [[int(start), int(end) + 1] for start, end in zip(first, last, strict=True)]


def from_ranges(ranges: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The numbers of half-open ranges, ascending, each once."""
    parts = [np.arange(first, end) for first, end in ranges]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
