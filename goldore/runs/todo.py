"""The trials of a run that are missing, and where those go that are trained."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from goldore.errors import GoldoreError
from goldore.files.interrupts import interrupts_held_back
from goldore.runs.job import Job
from goldore.runs.output import Output
from goldore.store import Result, Run, ScoreFile


class Todo:
    """What a stage has to do, and the file of this process; all ranks make one together.

    Args:
        job: what the trials are part of.
        run: what they share.
        existing: what is there, of all processes; None starts anew.
        numbers: of the trials that the file shall hold.

    Attributes:
        there: numbers of the trials in all files by now, int64, ascending.
        missing: numbers of those to be trained, likewise.
        usable: trials of the file that ended well when the run began.
        output: this process's file.
    """

    def __init__(self, job: Job, run: Run, existing: ScoreFile | None, numbers: range) -> None:
        alone, known = job.parts.team.size == 1, existing.trials_of(run.kind) if existing else None
        self._job, self._run, self._numbers = job, run, numbers
        self.usable = len(known.done) if known is not None else 0
        self.there = np.empty(0, dtype=np.int64) if existing is None and alone else job.parts.done(run)
        self.missing = np.setdiff1d(np.arange(numbers.start, numbers.stop), self.there, assume_unique=True)
        self.output = Output(
            job.parts.own,
            job.header,
            run,
            fresh=existing is None and alone,
            is_part=job.parts.team.keeps_failed,
            useful=self.usable > 0,
        )

    def plan(
        self, ensemble_size: int, parameters: int, notes: Sequence[str], *, compiled: bool
    ) -> dict[str, Any]:
        """What plans of all kinds say (see `Plan`)."""
        return {
            "dataset": self._job.dataset,
            "run": self._run,
            "out": self._job.parts.path,
            "trials": len(self._numbers),
            "there": len(self._numbers) - len(self.missing),
            "usable": self.usable,
            "ensemble_size": ensemble_size,
            "parameters": parameters,
            "notes": tuple(filter(None, notes)),
            "processes": self._job.parts.team.size,
            "compiled": compiled,
        }

    def take_in(self, groups: Iterable[Sequence[Result]], enough: Callable[[bool], bool]) -> bool:
        """Keep and tell of what groups of trials give, until there are no more.

        Args:
            groups: of finished trials.
            enough: asked after each group whether to stop, and told whether the file was written.

        Returns:
            Whether it was stopped.
        """
        with self.output.flushed():
            for results in groups:
                with interrupts_held_back():
                    written = self.output.add(results)
                    self._job.watcher.finished(results)
                if enough(written):
                    return True
        return False

    def look_again(self, *, stopped: bool = False) -> bool:
        """See what is in all files now; all ranks call it together.

        Args:
            stopped: whether this process was stopped before its trials were done.

        Returns:
            Whether any process was, and trials are missing.

        Raises:
            GoldoreError: if none was, and nothing was added.
        """
        parts, watcher, before = self._job.parts, self._job.watcher, len(self.missing)
        self.output.close()
        self.there = parts.done(self._run, watcher.waited)
        self.missing = np.setdiff1d(self.missing, self.there)
        any_stopped = any(parts.team.gather(stopped, watcher.waited))
        if len(self.missing) == before and not any_stopped:
            raise GoldoreError(f"{parts.path} does not keep what is written to it; choose another `out`.")
        return any_stopped and len(self.missing) > 0
