"""How a study goes, for whoever watches, and what runners tell. No torch here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from goldore.studies.cells import Cell
from goldore.studies.model import Run, Settings, Study
from goldore.studies.study_file import Waiting

End = Literal["complete", "decided", "time"]


@dataclass(frozen=True)
class StudyPlan:
    """What a study is going to do.

    Attributes:
        settings: of the study.
        cells: that are run.
        refused: cells that cannot be run, and why.
        seeds: of each cell, at first.
        there: runs that are there already.
        missing: runs that are missing for so many seeds.
        out: the study file.
    """

    settings: Settings
    cells: tuple[Cell, ...]
    refused: dict[Cell, str]
    seeds: int
    there: int
    missing: int
    out: Path


@dataclass(frozen=True)
class Told:
    """What a runner tells while it works.

    Attributes:
        keep: takes in finished runs, and writes them now and then.
        wait: takes in images that are distilled and not judged.
        progressed: told what is done and what share of its work, 0..1.
    """

    keep: Callable[[Sequence[Run]], None]
    wait: Callable[[Waiting], None]
    progressed: Callable[[str, float], None]


class StudyWatcher:
    """Told how a study goes. Subclass it and override what you want to show; nothing here does anything."""

    def planned(self, plan: StudyPlan) -> None:
        """Called before the first run."""

    def started(self, seed: int, cells: Sequence[Cell]) -> None:
        """Called before these cells are run for a seed, counted from 0."""

    def progressed(self, what: str, share: float) -> None:
        """Called now and then: what is done, and what share of it, 0..1."""

    def finished(self, runs: Sequence[Run]) -> None:
        """Called when these runs are done."""

    def ended(self, end: End, study: Study, seconds: float) -> None:
        """Called at the end, with why, the study as it stands, and how long this call took."""
