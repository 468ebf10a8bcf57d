"""What a study says, in sentences and as JSON values. No torch here."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from goldore.studies.cells import PROGRAM, UNDISTILLED, Cell
from goldore.studies.judging import PRIOR_SEEDS, Verdict, error_of
from goldore.wording import plural

GOOD = ("better", "as good")
_TITLES = {
    "dm": "distribution matching (dm)",
    "dc": "gradient matching (dc)",
    "none": "training on the kept samples, undistilled",
    UNDISTILLED: "kept samples in place of distilled images",
    PROGRAM: "the program",
}


@dataclass(frozen=True)
class Answer:
    """What one table of a study says.

    Attributes:
        distiller: of the table.
        ipc: images per class; 0 for "none".
        all_data: the verdict of all data; None if it has not run.
        smallest: the smallest keep ratio that is better or as good, by criterion; None where none is.
        best: the cell with the greatest difference among those that are better or as good; None if none is.
        recommended: what to keep: the best cell if it is better, else the smallest ratio that is as good.
        undecided: cells that are.
        worse: cells that are.
        more_seeds: about so many more decide most of what is undecided; None if unknown or nothing is.
        fixed: whether all seeds of all data gave the very same accuracy, which says nothing of the spread.
    """

    distiller: str
    ipc: int
    all_data: Verdict | None
    smallest: dict[str, str | None]
    best: Verdict | None
    recommended: Verdict | None
    undecided: int
    worse: int
    more_seeds: int | None
    fixed: bool

    @property
    def title(self) -> str:
        """The table in words."""
        return title_of(self.distiller, self.ipc)

    def sentence(self, margin: float) -> str:
        """The answer in a sentence or two."""
        if self.all_data is None or not self.all_data.seeds:
            return "all data have not run yet, so nothing can be compared."
        if self.best is None:
            return "no cell is known to be as good as all data." + self._open()
        found = [f"{name} {percent(ratio)}" for name, ratio in self.smallest.items() if ratio is not None]
        small = f"smallest keep ratio as good as all data (margin {margin:g}): {', '.join(found)}."
        best = self.best
        return (
            f"{small} The best is {named(best.cell)}, {signed(best.difference)} +- "
            f"{best.difference_stderr:.1f} points ({best.outcome}).{self._open()}"
        )

    def _open(self) -> str:
        if not self.undecided:
            return ""
        more = (
            f"; about {plural(self.more_seeds, 'more seed')} would decide half of them"
            if self.more_seeds
            else ""
        )
        return f" {plural(self.undecided, 'cell')} undecided{more}."

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "distiller": self.distiller,
            "ipc": self.ipc or None,
            "all_data_accuracy": _known(self.all_data.accuracy) if self.all_data else None,
            "smallest_as_good": {
                name: None if ratio is None else float(ratio) for name, ratio in self.smallest.items()
            },
            "best": _cell_json(self.best),
            "recommended": _cell_json(self.recommended),
            "undecided": self.undecided,
            "worse": self.worse,
            "more_seeds": self.more_seeds,
        }


def answers(verdicts: Iterable[Verdict]) -> list[Answer]:
    """The answer of each table, those of undistilled samples left out."""
    tables: dict[tuple[str, int], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.cell.distiller != UNDISTILLED:
            tables.setdefault(verdict.cell.table, []).append(verdict)
    return [_answer(*table, of_table) for table, of_table in tables.items()]


def _answer(distiller: str, ipc: int, verdicts: Sequence[Verdict]) -> Answer:
    reference = next((each for each in verdicts if each.cell.is_all), None)
    others = sorted((each for each in verdicts if not each.cell.is_all), key=lambda each: ratio_of(each.cell))
    good = [each for each in others if each.outcome in GOOD]
    smallest: dict[str, str | None] = dict.fromkeys(
        each.cell.criterion for each in verdicts if not each.cell.is_all
    )
    for each in reversed(good):
        smallest[each.cell.criterion] = each.cell.keep_ratio
    best = max(good, key=lambda each: each.difference, default=None)
    recommended = best
    if best is not None and best.outcome != "better":
        recommended = min(good, key=lambda each: (ratio_of(each.cell), -each.difference))
    more = [each.more_seeds for each in others if each.outcome == "undecided" and each.more_seeds]
    return Answer(
        distiller=distiller,
        ipc=ipc,
        all_data=reference,
        smallest=smallest,
        best=best,
        recommended=recommended,
        undecided=sum(each.outcome == "undecided" for each in others),
        worse=sum(each.outcome == "worse" for each in others),
        more_seeds=math.ceil(np.median(more)) if more else None,
        fixed=reference is not None and reference.seeds > 1 and reference.stderr == 0,
    )


def row_of(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON values: accuracies in percent, differences in points."""
    cell = verdict.cell
    return {
        "distiller": cell.distiller,
        "ipc": cell.ipc or None,
        "criterion": cell.criterion,
        "keep_ratio": float(cell.keep_ratio) if cell.keep_ratio else None,
        "seeds": verdict.seeds,
        "accuracy": _known(verdict.accuracy),
        "stderr": _known(verdict.stderr),
        "worst_class": _known(verdict.worst_class),
        "difference": _known(verdict.difference),
        "difference_stderr": _known(verdict.difference_stderr),
        "verdict": verdict.outcome,
        "more_seeds": verdict.more_seeds,
    }


def judged_by(margin: float, looks: int) -> str:
    """How verdicts are reached, in words."""
    error = error_of(looks)
    why = f" (5% at the first look, and this is look {looks})" if looks > 1 else ""
    return (
        f"differences to all data by seed; one-sided moderated t tests (the spread of all cells of a table "
        f"worth up to {PRIOR_SEEDS} seeds), Holm over the cells of a table, error {error:.1%}{why}, "
        f"margin {margin:g} points"
    )


def title_of(distiller: str, ipc: int) -> str:
    """A table in words."""
    per_class = f", {plural(ipc, 'image')} per class" if ipc else ""
    return f"{_TITLES.get(distiller, distiller)}{per_class}"


def named(cell: Cell) -> str:
    """A cell in words: its criterion and its keep ratio."""
    return "all data" if cell.is_all else f"{cell.criterion} {percent(cell.keep_ratio)}".rstrip()


def percent(ratio: str) -> str:
    """A keep ratio as a percentage, exactly: 0.002 is 0.2%."""
    return f"{(Decimal(ratio) * 100).normalize():f}%" if ratio else ""


def signed(points: float) -> str:
    """Points with their sign; no sign where they round to 0."""
    text = f"{points:+.1f}"
    return "0.0" if float(text) == 0 else text


def ratio_of(cell: Cell) -> Decimal:
    """A cell's keep ratio as a number; 0 where it has none."""
    return Decimal(cell.keep_ratio or 0)


def _cell_json(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "criterion": verdict.cell.criterion,
        "keep_ratio": float(verdict.cell.keep_ratio),
        "difference": _known(verdict.difference),
        "difference_stderr": _known(verdict.difference_stderr),
        "verdict": verdict.outcome,
    }


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
