"""Figures of a study: accuracy against keep ratio, and distilled images side by side."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import NullLocator

from goldore.report.figures.style import CYCLE, GREY, WIDTH, Drawing, new_figure
from goldore.report.study_records import Pick
from goldore.studies.answers import Answer, named, percent, ratio_of
from goldore.studies.judging import Verdict
from goldore.studies.model import Study
from goldore.wording import count, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARKS = "os^Dv*Ph"
_MOST_LINES = 12
_MOST_CLASSES = 10
_FAR = 15.0  # points below all data, which the axis still shows
_INCHES = 0.42  # of a class in a sheet of images


def accuracy_curves(study: Study, answer: Answer) -> Drawing | None:
    """Accuracy of each criterion against the keep ratio, and that of all data; None before there is any."""
    table = (answer.distiller, answer.ipc)
    cells = [each for each in study.verdicts if each.cell.table == table and math.isfinite(each.accuracy)]
    by: dict[str, list[Verdict]] = {}
    for each in cells:
        if not each.cell.is_all:
            by.setdefault(each.cell.criterion, []).append(each)
    if not by:
        return None
    figure = new_figure(3.6 + 0.16 * math.ceil(min(len(by), _MOST_LINES) / 2), width=1.15 * WIDTH)
    axes = figure.subplots()
    if answer.all_data is not None:
        _band(axes, [min(_ratios(cells)), 1.0], [answer.all_data] * 2, GREY, "--", "", "all data")
    for place, (criterion, verdicts) in enumerate(list(by.items())[:_MOST_LINES]):
        verdicts.sort(key=lambda each: ratio_of(each.cell))
        line = "-" if place < len(CYCLE) else ":"
        _band(
            axes,
            _ratios(verdicts),
            verdicts,
            CYCLE[place % len(CYCLE)],
            line,
            _MARKS[place % len(_MARKS)],
            criterion,
        )
    axes.set_xscale("log")
    ratios = sorted({each.cell.keep_ratio for each in cells if not each.cell.is_all}, key=float)
    axes.set_xticks([float(each) for each in ratios], [percent(each) for each in ratios])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("kept of the training set")
    axes.set_ylabel("test accuracy [%]")
    figure.legend(loc="outside upper center", ncols=1 if max(map(len, by)) > 24 else 2)  # noqa: PLR2004
    cut = ""
    known = [each.accuracy for each in cells if not each.cell.is_all]
    if answer.all_data is not None and min(known) < answer.all_data.accuracy - _FAR < max(known):
        axes.set_ylim(bottom=answer.all_data.accuracy - _FAR)
        cut = f" What leaves it at the bottom is worse than all data by more than {_FAR:g} points."
    more = f" The first {_MOST_LINES} criteria are drawn." if len(by) > _MOST_LINES else ""
    seeds = max(each.seeds for each in cells)
    return Drawing(
        name=f"study-{answer.distiller}-ipc{answer.ipc}",
        title=answer.title[0].upper() + answer.title[1:],
        caption=f"Test accuracy, mean of up to {plural(seeds, 'seed')}, against the share of the training "
        "set that is kept. Bands: one standard error of the accuracy; those of the differences to all data, "
        f"which the verdicts use, are others, since all cells share their random numbers.{cut}{more}",
        about="study",
        figure=figure,
    )


def image_sheet(picks: Sequence[Pick]) -> Drawing | None:
    """Distilled images of some cells side by side, a row each; None without images."""
    if not picks:
        return None
    classes = min(len(picks[0].images), _MOST_CLASSES)
    rows = [np.concatenate([each[0] for each in pick.images[:classes]], axis=1) for pick in picks]
    height, width = picks[0].images.shape[2:4]
    gap = np.full((max(height // 8, 1), rows[0].shape[1], 3), 255, dtype=np.uint8)
    parts: list[NDArray[np.uint8]] = []
    for row in rows:
        parts += [row, gap]
    figure = new_figure(
        _INCHES * len(rows) * (height + len(gap)) / width + 0.3, width=_INCHES * classes + 2.4
    )
    axes = figure.subplots()
    axes.imshow(np.concatenate(parts[:-1]), interpolation="nearest", aspect="equal")
    step = height + len(gap)
    axes.set_yticks(
        [place * step + height / 2 for place in range(len(rows))], [_label(pick) for pick in picks]
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    cell = picks[0].verdict.cell
    return Drawing(
        name=f"distilled-{cell.distiller}-ipc{cell.ipc}",
        title="Distilled images",
        caption=f"The first distilled image of {'the first ' if classes < len(picks[0].images) else ''}"
        f"{count(classes)} classes, by {cell.distiller} with {plural(cell.ipc, 'image')} per class, from the "
        "first seed of each cell.",
        about="study",
        figure=figure,
    )


def _label(pick: Pick) -> str:
    return f"{named(pick.verdict.cell)}\n{pick.verdict.accuracy:.1f}%"


def _ratios(verdicts: Sequence[Verdict]) -> list[float]:
    return [float(each.cell.keep_ratio) for each in verdicts]


def _band(
    axes: object,
    ratios: Sequence[float],
    verdicts: Sequence[Verdict],
    colour: str,
    line: str,
    mark: str,
    label: str,
) -> None:
    """A line with its standard error."""
    means = np.array([each.accuracy for each in verdicts])
    errors = np.array([each.stderr if math.isfinite(each.stderr) else 0.0 for each in verdicts])
    axes.plot(ratios, means, line, marker=mark, color=colour, markersize=4, linewidth=1.3, label=label)  # type: ignore[attr-defined]
    axes.fill_between(ratios, means - errors, means + errors, color=colour, alpha=0.15, linewidth=0)  # type: ignore[attr-defined]
