"""The files of a run that several processes share: each writes a part, rank 0 joins the parts.

Parts lie beside the score file, FILE.rank3.part.h5 is that of rank 3. What an interrupted run left of them is
joined into the file by the next one, whether that has one process or many.
"""

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldore.errors import GoldoreError
from goldore.files.interrupts import interrupts_held_back
from goldore.files.locking import clear_lock, writing_to
from goldore.runs.output import all_diverged, errors_of_writing
from goldore.runs.team import Team, as_ranges, from_ranges
from goldore.store import Run, drop_trials, estimate_scores, join, journal_of, load_scores, remove_journal
from goldore.store.seal import Stamp, stamp


class Parts:
    """Where the trials of a run go.

    Args:
        path: of the score file.
        team: the processes that share the run.

    Attributes:
        path: of the score file.
        own: the file that this process writes; the score file itself if it is alone.
        team: the processes that share the run.
        fresh: whether a score file that is there is another run's, to be replaced.
    """

    def __init__(self, path: Path, team: Team) -> None:
        self.path, self.team, self.fresh = path, team, False
        self.own = path if team.size == 1 else part_of(path, team.rank)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that writes to these files.

        Raises:
            LockedError: if another process writes to one of them.
        """
        with ExitStack() as locks:
            for path in dict.fromkeys([self.path, self.own] if self.team.rank == 0 else [self.own]):
                locks.enter_context(writing_to(path))
            yield

    def take_in(self) -> None:
        """Rank 0: join the parts and journals that lie beside the score file into it.

        Raises:
            ScoreFileError: if one is damaged, or of another run; nothing is changed then.
            GoldoreError: if the whole cannot be written.
        """
        parts = parts_of(self.path)
        known = [self.path] if self.path.exists() and not self.fresh else []
        if parts or any(journal_of(path).exists() for path in known):
            states = {part: _state(part) for part in parts}
            with errors_of_writing(self.path):
                join([*known, *parts], self.path)
            self.fresh = False
            discard([part for part in parts if _state(part) == states[part]])  # none may have grown meanwhile
            remove_journal(self.path)

    def done(self, run: Run, meanwhile: Callable[[], None] | None = None) -> NDArray[np.int64]:
        """Numbers of the trials in all files by now, ascending; rank 0 joins the parts first.

        All ranks call it together, with everything written.

        Args:
            run: whose trials are meant.
            meanwhile: called now and then while others are waited for.
        """
        self.team.gather(None, meanwhile)
        if self.team.rank == 0 and self.team.size > 1:
            self.take_in()
        self.team.gather(None, meanwhile)
        mine = {self.own, self.path} if self.team.rank == 0 and not self.fresh else {self.own}
        found = set().union(*(finished(path, run) for path in mine))
        of_all = self.team.gather(as_ranges(sorted(found)))
        return from_ranges([each for ranges in of_all for each in ranges])

    @contextmanager
    def estimated(self) -> Iterator[None]:
        """At the end, whatever it is, let the scores in the file say what its trials say; on rank 0."""
        try:
            yield
        except BaseException:
            with suppress(GoldoreError), interrupts_held_back():  # what happened within is what is told
                self.estimate()
            raise
        self.estimate()

    def estimate(self) -> None:
        """Rank 0: write the scores of the trials in the file, where they are not there yet.

        Raises:
            GoldoreError: if the file cannot be read or written.
        """
        if self.team.rank == 0 and self.path.exists():
            with errors_of_writing(self.path):
                estimate_scores(self.path)

    def close(self, runs: Sequence[Run]) -> None:
        """See that all that was done is in the score file, and useful; all ranks call it together.

        Removes lock files of parts that killed processes left.

        Raises:
            GoldoreError: on all ranks, if parts lie where rank 0 does not see them, as on machines without a
                common file system, or if every trial diverged.
        """
        if self.team.size == 1:
            self._clear_locks()
            return
        mine = str(self.own.resolve()) if self.own.exists() else None
        hidden = self.team.gather([socket.gethostname(), mine])
        listed = [f"{host}:{part}" for host, part in hidden if part is not None]
        if listed:
            raise GoldoreError(
                f"the trials are done, but rank 0 does not see these parts: {', '.join(listed)}; "
                f"bring them together and run: goldore merge {self.path} PART... --out WHOLE.h5"
            )
        if self.team.rank == 0:
            self._clear_locks()
        useless = self.without_use(runs) if self.team.rank == 0 else None
        which = self.team.gather(useless)[0]
        if which is not None:
            raise all_diverged(runs[which])

    def without_use(self, runs: Sequence[Run]) -> int | None:
        """Which run has no trial that ended well; what it has is taken out, so that others can follow."""
        for which, run in enumerate(runs):
            file = load_scores(self.path, only=())
            trials = file.trials_of(run.kind)
            if trials is None or len(trials.done):
                continue
            if file.score_names:
                drop_trials(self.path, run.kind)
            else:
                self.path.resolve().unlink()
            return which
        return None

    def _clear_locks(self) -> None:
        for part in _rank_files(self.path, ".lock"):
            clear_lock(part.with_suffix(""))


def part_of(path: Path, rank: int) -> Path:
    """The part of a score file that a rank writes."""
    real = path.resolve()
    return real.with_name(f"{real.stem}.rank{rank}.part{real.suffix}")


def parts_of(path: Path) -> list[Path]:
    """The parts that lie beside a score file, by rank."""
    return _rank_files(path, "")


def _rank_files(path: Path, ending: str) -> list[Path]:
    """Files beside a score file that are named after its parts, by rank."""
    real = path.resolve()
    pattern = re.compile(rf"{re.escape(real.stem)}\.rank(\d+)\.part{re.escape(real.suffix + ending)}")
    folder = real.parent
    found = [(pattern.fullmatch(each.name), each) for each in folder.iterdir()] if folder.is_dir() else []
    return [each for _, each in sorted((int(match[1]), each) for match, each in found if match)]


def _state(part: Path) -> tuple[Stamp | None, Stamp | None]:
    """What tells whether a part, or its journal, has changed."""
    return stamp(part), stamp(journal_of(part))


def discard(parts: list[Path]) -> None:
    """Remove parts whose trials are elsewhere, or not wanted."""
    for part in parts:
        part.unlink(missing_ok=True)
        remove_journal(part)


def finished(path: Path, run: Run) -> set[int]:
    """Numbers of the trials in a file that are done, well or not; none if there is no file."""
    if not path.exists():
        return set()
    file = load_scores(path, only=())
    trials = file.trials_of(run.kind)
    return set() if trials is None else {*map(int, trials.done), *map(int, trials.failed)}
