"""How a study under way looks: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from goldore.report.doubts import subset_warning
from goldore.studies.watching import End, StudyPlan, StudyWatcher
from goldore.wording import count, duration, plural, took

from .screen import err, is_live, line, spelled, warn

if TYPE_CHECKING:
    from pathlib import Path

    from goldore.studies.cells import Cell
    from goldore.studies.model import Run, Study

_BETWEEN_LINES = 30.0  # seconds


class StudyScreen(StudyWatcher):
    """Shows a study on stderr; a context manager, so that the terminal is left in order whatever happens.

    Args:
        quiet: show nothing.
        subsets: samples of each class that the trials of a utility draw, by score; None of other scores.

    Attributes:
        out: the study file, once the study is planned.
        kept: runs in it.
    """

    def __init__(self, *, quiet: bool, subsets: "Mapping[str, int | None]") -> None:
        self._quiet, self._subsets = quiet, subsets
        self._console = err()
        self._live = is_live(self._console) and not quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._start = self._spoke = time.monotonic()
        self._missing, self._done = 0, 0
        self._seed, self._cells = 0, 0
        self.out: Path | None = None
        self.kept = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def _say(self, text: str) -> None:
        if not self._quiet:
            line(self._console, spelled(text))

    def planned(self, plan: StudyPlan) -> None:
        """Say what is going to be done."""
        self.out, self.kept, self._missing = plan.out, plan.there, plan.missing
        there = f"; {plural(plan.there, 'run')} done before" if plan.there else ""
        self._say(f"{plural(len(plan.cells), 'cell')} x {plural(plan.seeds, 'seed')}{there}")
        used = {
            (cell.criterion.partition(":")[0].rpartition("_")[0], cell.ipc) for cell in plan.cells if cell.ipc
        }
        for name, ipc in sorted(used):
            warning = subset_warning(name, self._subsets.get(name), ipc)
            if warning is not None:
                warn(warning)
        for why in dict.fromkeys(plan.refused.values()):
            cells = sum(each == why for each in plan.refused.values())
            self._say(f"{plural(cells, 'cell')} left out: {why}")
        self._start = self._spoke = time.monotonic()
        if self._live and plan.missing:
            self._bar.start()

    def started(self, seed: int, cells: Sequence["Cell"]) -> None:
        """Begin a seed."""
        self._seed, self._cells = seed, len(cells)
        self._missing = max(self._missing, self._done + len(cells))

    def progressed(self, what: str, share: float) -> None:
        """Move the bar, or print a line if the last one is long ago."""
        text = f"seed {self._seed + 1}: {what} {plural(self._cells, 'cell')}"
        half = share / 2 if what.startswith("distilling") else 0.0
        done = self._done + half * self._cells
        if self._live:
            self._bar.update(self._task, description=text, total=max(self._missing, 1), completed=done)
        elif not self._quiet and time.monotonic() - self._spoke >= _BETWEEN_LINES:
            self._spoke = time.monotonic()
            spent = self._spoke - self._start
            left = f", {duration(spent * (self._missing - done) / done)} left" if done > 0 else ""
            self._say(
                f"{text}, {share:.0%}; {count(self._done)} of {plural(self._missing, 'run')} done{left}"
            )

    def finished(self, runs: Sequence["Run"]) -> None:
        """Count what is done."""
        self._done += len(runs)
        self.kept += sum(not run.failed for run in runs)

    def ended(self, end: End, study: "Study", seconds: float) -> None:
        """Say how it ended."""
        del study
        self._bar.stop()
        why = {
            "time": "stopped by --max-time; the same command goes on",
            "decided": "all cells are decided",
        }
        if end in why:
            self._say(why[end])
        if self._done:
            self._say(f"{plural(self._done, 'run')} in {took(seconds)}")
