"""What the commands that train share: processes, what is seen of a run, and how it ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from goldore.errors import GoldoreError, UsageError
from goldore.files.interrupts import interrupts_held_back
from goldore.runs.launching import rank_and_size
from goldore.wording import plural

from .screen import err, line, show_warnings
from .signals import exit_code
from .workers import share_out

if TYPE_CHECKING:
    from goldore.runs.team import Team
    from goldore.store import ScoreFile

    from .watching import ScreenWatcher

_BEFORE_RANK_SPEAKS = 2.0  # seconds in which rank 0 may say the same, and this process be stopped


@dataclass
class Work:
    """A training that is carried out.

    Attributes:
        watcher: shows it.
        result: what it gave, once it has ended.
    """

    watcher: "ScreenWatcher"
    result: "ScoreFile | None" = None

    def team(self) -> "Team":
        """The processes that share it; imports torch."""
        with interrupts_held_back():  # an interrupt within torch's own C++ ends in an abort
            from goldore.runs.team import find_team
            from goldore.training.devices import keep_freed_memory

        keep_freed_memory()
        return find_team()


@contextmanager
def carried_out(
    processes: int | None, device: str, *, quiet: bool, verbose: bool, dry_run: bool, said: str = ""
) -> Iterator[Work]:
    """Carry out a training within: shown on the screen, ended in order, its result shown at the end.

    Where several processes are wanted, they are started instead, and nothing comes after.

    Args:
        processes: that share the trials; None: one for each device.
        device: as the command was told.
        quiet: show errors and warnings only.
        verbose: also show what was detected.
        dry_run: nothing is trained.
        said: what to say first.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other; leave one out.")
    from .watching import ScreenWatcher, show_result

    show_warnings()
    rank, size = _place(processes, device, dry_run=dry_run)
    watcher = ScreenWatcher(quiet=quiet or rank > 0, verbose=verbose and not rank)
    watcher.say("loading torch and the dataset ...", verbose_only=True)
    watcher.say(said)
    work = Work(watcher)
    try:
        with watcher:
            yield work
    except KeyboardInterrupt as interrupt:
        if rank == 0:
            line(err(), _interrupted(watcher.kept, watcher.out, shared=size > 1))
        raise typer.Exit(exit_code(interrupt)) from None
    except GoldoreError as error:
        if rank > 0:
            _wait_for_rank_0()
            raise type(error)(f"rank {rank}: {error}") from error
        raise
    if not quiet and rank == 0 and work.result is not None:
        show_result(work.result, watcher, dry=dry_run)


def _place(processes: int | None, device: str, *, dry_run: bool) -> tuple[int, int]:
    """Rank and number of processes; starts the workers that share the trials, and then does not return."""
    place = rank_and_size()
    if place is None:
        if not dry_run:
            share_out(processes, device)
        return 0, 1
    if processes is not None and "GOLDORE_WORKER" not in os.environ:
        raise UsageError("torchrun says how many processes there are; leave --processes out.")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what it says of lost connections, we say too
    return place


def _wait_for_rank_0() -> None:
    """Give rank 0 time to say what is wrong, if it is wrong there as well; this process is then ended."""
    try:
        time.sleep(_BEFORE_RANK_SPEAKS)
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(exit_code(interrupt)) from None


def _interrupted(kept: int, out: Path | None, *, shared: bool) -> str:
    """Say what an interrupted run leaves and how to go on."""
    if out is not None:
        from goldore.training.checkpoints import checkpoints_beside

        if checkpoints_beside(out):
            done = f"{plural(kept, 'trial')} kept in {out}, and " if kept else ""
            return (
                f"interrupted: {done}the one under way is kept beside {'it' if kept else out}; run the same "
                "command again to go on from there."
            )
    if out is None or kept == 0:
        return "interrupted: no trial was finished and nothing was written; run the same command again."
    if shared:
        return (
            f"interrupted: {plural(kept, 'trial')} kept, in {out} and part files beside it; run the same "
            "command again to go on, with any number of processes."
        )
    return (
        f"interrupted: {plural(kept, 'trial')} kept in {out}; run the same command again to go on, "
        "or use the file as it is."
    )
