"""The content of a study: what was asked, and the accuracy of each cell for each seed. No torch here."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goldore.files.optional import optional
from goldore.studies.answers import Answer, answers, judged_by, named, row_of
from goldore.studies.cells import Cell
from goldore.studies.judging import Verdict, judge
from goldore.trials import StudyRecipe
from goldore.values import Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 1.0  # points
_DRAWN_BY = "goldore.report.study_page"  # by name: it knows studies, and they do not know it


@dataclass(frozen=True)
class Settings:
    """What all runs of a study share.

    Attributes:
        dataset: name.
        fingerprint: of the training set.
        class_names: K names.
        labels_sha256: of the training labels, as in index files.
        scores: name of the score file, without folders.
        budget: name in `BUDGETS`; "" for a program.
        recipe: of the built-in distillers; None for a program.
        program: the command of the user's; "" for the built-in distillers.
        metric: how its accuracy is read.
        repository: that it belongs to, in the catalogue, or "".
        evaluation: fingerprint of the test images that networks were judged by; "" for a program.
        plugged: whether the program reads the index file itself.
        base_seed: seed s of a study draws with base_seed + s.
    """

    dataset: str
    fingerprint: str
    class_names: tuple[str, ...]
    labels_sha256: str
    scores: str
    budget: str = ""
    recipe: StudyRecipe | None = None
    program: str = ""
    metric: str = ""
    repository: str = ""
    evaluation: str = ""
    base_seed: int = 0
    plugged: bool = False

    def differences(self, other: "Settings") -> list[tuple[str, Any, Any]]:
        """In what two studies differ so that they cannot be one: (name, mine, theirs)."""
        names = ("fingerprint", "labels_sha256", "program", "metric", "plugged", "evaluation", "base_seed")
        found = [
            (name, getattr(self, name), getattr(other, name))
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]
        if self.recipe is not None and other.recipe is not None:
            found += self.recipe.differences(other.recipe)
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Run(Value):
    """One cell for one seed.

    Attributes:
        cell: which.
        seed: 0, 1, 2, ...
        accuracy: on the test images, percent; NaN if it failed.
        by_class: of each class, percent, float64 [K]; empty where only the mean is known.
        judges: accuracy of each network that judged, percent.
        kept: samples in the training set of the cell.
        digest: of their positions (`goldore.studies.kept.digest_of`).
        seconds: that distilling, as a share of what cells did together, and judging took; NaN unknown.
        failed: why there is no accuracy, or "".
    """

    cell: Cell
    seed: int
    accuracy: float
    by_class: NDArray[np.float64] = field(repr=False)
    judges: NDArray[np.float64] = field(repr=False)
    kept: int
    digest: str
    seconds: float
    failed: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Study(Value):
    """The content of a study file.

    Attributes:
        path: of the file.
        settings: what all runs share.
        runs: each cell and seed once, in the order of the tables.
        images: distilled images of each cell for its first seed, float16 [K, ipc, C, H, W], normalised.
        looks: how often verdicts were given, each time with more seeds.
        margin: points below all data that count as as good.
        created: time, ISO 8601 in UTC.
        updated: likewise.
        goldore_version: that wrote it last.
        torch_version: that distilled; "" for a program.
        device: likewise, in words.
    """

    path: Path
    settings: Settings
    runs: tuple[Run, ...] = field(repr=False)
    images: Mapping[Cell, NDArray[np.float16]] = field(repr=False)
    looks: int = 1
    margin: float = MARGIN
    created: str = ""
    updated: str = ""
    goldore_version: str = ""
    torch_version: str = ""
    device: str = ""

    def __len__(self) -> int:
        """Runs."""
        return len(self.runs)

    def __repr__(self) -> str:
        settings = self.settings
        return (
            f"Study({str(self.path)!r}: {settings.dataset}, {len(self)} runs of {len(self.cells)} cells"
            f"{f', budget {settings.budget}' if settings.budget else ''})"
        )

    def to_frame(self) -> Any:
        """The rows of `table` as a pandas DataFrame.

        Raises:
            UsageError: if pandas is not installed.
        """
        return optional("pandas", "a table in Python").DataFrame(self.table())

    @property
    def cells(self) -> list[Cell]:
        """All cells with a run, table by table."""
        return list(dict.fromkeys(run.cell for run in self.runs))

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What is known of each cell."""
        return verdicts_of(self.runs, self.margin, looks=self.looks)

    @property
    def answers(self) -> list[Answer]:
        """For each table which ratios pay."""
        return answers(self.verdicts)

    @property
    def answer(self) -> list[dict[str, Any]]:
        """The same as JSON values."""
        return [each.to_json() for each in self.answers]

    def table(self) -> list[dict[str, Any]]:
        """A row for each cell, as JSON values: accuracies in percent, differences in points."""
        by_cell: dict[Cell, list[Run]] = {}
        for run in self.runs:
            by_cell.setdefault(run.cell, []).append(run)
        found = []
        for verdict in self.verdicts:
            runs = by_cell[verdict.cell]
            seconds = [run.seconds for run in runs if math.isfinite(run.seconds)]
            found.append(
                row_of(verdict)
                | {
                    "kept": runs[0].kept,
                    "failed": sum(bool(run.failed) for run in runs),
                    "seconds": float(np.mean(seconds)) if seconds else None,
                }
            )
        return found

    def plot(self, images: Sequence[str] = ("all", "best", "recommended")) -> "list[Figure]":
        """Draw it (needs the extra "report"): accuracy against keep ratio by table, and distilled images.

        Args:
            images: cells whose images are drawn, as `goldore.report.study_records.pick` takes them.
        """
        import_module("goldore.report.extra").check_report_extra()
        drawn = import_module(_DRAWN_BY).draw_study(self, images)
        return [each.figure for each in drawn]

    def to_json(self) -> dict[str, Any]:
        """The whole study as JSON values."""
        settings = self.settings
        return {
            "file": str(self.path),
            "dataset": settings.dataset,
            "fingerprint": settings.fingerprint,
            "scores": settings.scores,
            "budget": settings.budget or None,
            "recipe": json.loads(settings.recipe.to_json()) if settings.recipe is not None else None,
            "program": settings.program or None,
            "metric": settings.metric or None,
            "base_seed": settings.base_seed,
            "margin": self.margin,
            "judged_by": judged_by(self.margin, self.looks),
            "cells": self.table(),
            "answer": self.answer,
            "runs": len(self.runs),
            "failed": [
                {"cell": named(run.cell), "seed": run.seed, "why": run.failed}
                for run in self.runs
                if run.failed
            ],
            "seconds": float(np.nansum([run.seconds for run in self.runs])),
            "device": self.device or None,
            "goldore_version": self.goldore_version,
            "updated": self.updated,
        }


def verdicts_of(runs: Iterable[Run], margin: float, *, looks: int) -> list[Verdict]:
    """Judge the runs that have an accuracy; cells without one are judged as unknown."""
    found: dict[Cell, dict[int, float]] = {}
    worst: dict[Cell, dict[int, float]] = {}
    for run in runs:
        found.setdefault(run.cell, {})
        if np.isfinite(run.accuracy):
            found[run.cell][run.seed] = run.accuracy
            if len(run.by_class):
                worst.setdefault(run.cell, {})[run.seed] = float(run.by_class.min())
    return judge(found, margin=margin, worst=worst, looks=looks)
