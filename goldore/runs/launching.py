"""One worker process a device: what torchrun does, for one machine, so that a bare command uses all of it.

Workers are started with the environment of torchrun's, and meet in a store that this process keeps. When one
fails the others are stopped; finished trials are in files, so nothing of them is lost.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from goldore.errors import GoldoreError, UsageError

_PACKAGE = Path(__file__).resolve().parents[1]
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = 30.0  # seconds that workers have to write what they hold when they are stopped
_BETWEEN_LOOKS = 0.1  # seconds


def rank_and_size() -> tuple[int, int] | None:
    """Rank and number of processes as torchrun tells its workers; None if this is none of them.

    Raises:
        UsageError: if the environment contradicts itself.
    """
    if any(name not in os.environ for name in _NEEDED):
        return None
    rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise UsageError(
            f"the environment has RANK={rank} and WORLD_SIZE={size}; both must be as torchrun sets them, or "
            "not be set."
        )
    return int(rank), int(size)


def run_workers(arguments: Sequence[str], count: int) -> int:
    """Run a goldore command in several processes that share its trials.

    Args:
        arguments: of the command, as of `goldore`.
        count: processes.

    Returns:
        The exit code: 0, or that of the first worker that failed, which has said why.

    Raises:
        GoldoreError: if a worker was killed.
        KeyboardInterrupt: as it comes, once the workers have ended.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    command = [sys.executable, "-P", "-m", "goldore", *arguments]  # -P: no module of the folder it runs in
    with _stopped_in_the_end() as workers:
        for rank in range(count):
            environment = os.environ | _environment(rank, count, store.port)
            worker = subprocess.Popen(command, env=environment, process_group=_own_group())  # noqa: S603 - goldore
            workers.append(worker)
        codes = [worker.poll() for worker in workers]
        while None in codes and not any(codes):
            time.sleep(_BETWEEN_LOOKS)
            codes = [worker.poll() for worker in workers]
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            raise GoldoreError(
                f"process {rank} of {count} was killed ({signal.Signals(-code).name}); finished trials are "
                "kept, run the same command again."
            )
    return next((code for code in codes if code), 0)


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun tells its workers."""
    said = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "TORCHELASTIC_RESTART_COUNT": 0,
        "GOLDORE_WORKER": 1,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", max(1, _cores() // count)),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_PACKAGE), os.environ.get("PYTHONPATH")])),
    }
    return {name: str(value) for name, value in said.items()}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _own_group() -> int | None:
    """A process group of its own: an interrupt from the keyboard comes to the workers once, from here."""
    return 0 if os.name == "posix" else None


@contextlib.contextmanager
def _stopped_in_the_end() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A list of workers, of which none is left running: they are asked to end, and killed if they do not."""
    workers: list[subprocess.Popen[bytes]] = []
    try:
        yield workers
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        until = time.monotonic() + _PATIENCE
        try:
            for worker in workers:
                worker.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()
