"""How a study looks on a terminal."""

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from goldore.studies.answers import judged_by, percent, ratio_of, signed, title_of
from goldore.studies.cells import UNDISTILLED
from goldore.studies.judging import Verdict
from goldore.wording import count, number, plural, took

from .screen import line, show_table, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldore.studies.model import Study

MARKS = {"better": "B", "as good": "=", "worse": "W", "undecided": "?", "reference": ""}
_STYLES = {"better": "green", "worse": "red"}


def show_study(console: Console, study: "Study", *, verbose: bool = False) -> None:
    """Print the tables of a study, and what they say."""
    settings = study.settings
    by = f"program {settings.program}" if settings.program else f"budget {settings.budget}"
    line(console, f"study of {settings.dataset} by the scores of {settings.scores}, {by}", "bold")
    plain = {
        (each.cell.ipc, each.cell.criterion): each
        for each in study.verdicts
        if each.cell.distiller == UNDISTILLED
    }
    for answer in study.answers:
        verdicts = [each for each in study.verdicts if each.cell.table == (answer.distiller, answer.ipc)]
        console.print()
        line(console, title_of(answer.distiller, answer.ipc), "bold")
        _show_reference(console, answer.all_data)
        as_is = {name: each for (ipc, name), each in plain.items() if ipc == answer.ipc}
        show_table(console, _long(verdicts) if verbose else _short(verdicts, as_is))
        _show_errors(console, verdicts, as_is if not verbose else {})
        line(console, answer.sentence(study.margin))
        if answer.fixed:
            warn("all data gave the same accuracy for every seed, so nothing is judged; let it use {seed}.")
    if study.answers:
        console.print()
        line(
            console,
            "differences to all data in points: B better, = as good (above "
            f"-{study.margin:g}), W worse, ? undecided",
        )
        line(console, f"verdicts: {judged_by(study.margin, study.looks)}", "dim")
    seconds = [run.seconds for run in study.runs if math.isfinite(run.seconds)]
    if seconds:
        line(
            console,
            f"cost: {plural(len(study.runs), 'run')} in {took(sum(seconds))}, "
            f"{took(sum(seconds) / len(seconds))} each",
        )


def _show_reference(console: Console, verdict: Verdict | None) -> None:
    if verdict is None or not verdict.seeds:
        line(console, "all data: not run yet")
        return
    error = f" +- {verdict.stderr:.1f}" if math.isfinite(verdict.stderr) else ""
    worst = f", worst class {verdict.worst_class:.1f}%" if math.isfinite(verdict.worst_class) else ""
    line(console, f"all data: {verdict.accuracy:.1f}{error}% over {plural(verdict.seeds, 'seed')}{worst}")


def _short(verdicts: "Sequence[Verdict]", as_is: dict[str, Verdict]) -> Table:
    """Criteria by ratios."""
    ratios = sorted({each.cell.keep_ratio for each in verdicts if not each.cell.is_all}, key=float)
    names = dict.fromkeys(each.cell.criterion for each in verdicts if not each.cell.is_all)
    by = {(each.cell.criterion, each.cell.keep_ratio): each for each in verdicts}
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("keep", no_wrap=True)
    for ratio in ratios:
        table.add_column(percent(ratio), justify="right", no_wrap=True)
    if as_is:
        table.add_column("as is", justify="right", no_wrap=True)
    for name in names:
        cells = [_mark(by.get((name, ratio))) for ratio in ratios]
        plain = as_is.get(name) or (as_is.get("All") if name == "Random" else None)
        table.add_row(
            Text(name), *cells, *([Text(number(plain.accuracy if plain else None, 1))] if as_is else [])
        )
    return table


def _mark(verdict: Verdict | None) -> Text:
    if verdict is None or not math.isfinite(verdict.difference):
        return Text("-")
    mark = MARKS[verdict.outcome]
    return Text(f"{signed(verdict.difference)}{mark}", _STYLES.get(verdict.outcome, ""))


def _long(verdicts: "Sequence[Verdict]") -> Table:
    """A row for each cell."""
    table = Table(box=None, pad_edge=False)
    for title in ("criterion", "keep", "seeds", "accuracy", "worst", "difference", "verdict", "more"):
        table.add_column(
            title, justify="left" if title in ("criterion", "verdict") else "right", no_wrap=True
        )
    for each in sorted(
        verdicts, key=lambda each: (not each.cell.is_all, each.cell.criterion, ratio_of(each.cell))
    ):
        table.add_row(
            Text("all data" if each.cell.is_all else each.cell.criterion),
            percent(each.cell.keep_ratio),
            count(each.seeds),
            f"{number(each.accuracy, 1)} +- {number(each.stderr, 1)}",
            number(each.worst_class, 1),
            "" if each.cell.is_all else f"{signed(each.difference)} +- {number(each.difference_stderr, 1)}",
            Text(each.outcome, _STYLES.get(each.outcome, "")),
            count(each.more_seeds) if each.more_seeds else "",
        )
    return table


def _show_errors(console: Console, verdicts: "Sequence[Verdict]", as_is: dict[str, Verdict]) -> None:
    errors = [
        each.difference_stderr
        for each in verdicts
        if not each.cell.is_all and math.isfinite(each.difference_stderr)
    ]
    said = []
    if errors:
        said.append(f"standard errors of the differences: {min(errors):.1f} to {max(errors):.1f} points")
    if as_is:
        said.append("as is: accuracy of kept images in place of the distilled ones")
    if said:
        line(console, "; ".join(said))
