"""How a study goes, for whoever watches. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from goldore.studies.cells import Cell
from goldore.studies.model import Run, Settings, Study

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
