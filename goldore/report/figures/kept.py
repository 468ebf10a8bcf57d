"""Figures of what a criterion keeps."""

import numpy as np
from numpy.typing import NDArray

from goldore.report.figures.scores import edges_of
from goldore.report.figures.style import (
    BLUE,
    HEIGHT,
    LIGHT,
    MOST_NAMED,
    ORANGE,
    TEXT_WIDTH,
    Drawing,
    axis_title,
    class_labels,
    new_figure,
    scale_axis,
)
from goldore.report.material import Material
from goldore.report.records import Kept
from goldore.selection.pruning import Selection
from goldore.wording import count, plural

_ROW = 0.22
_COLUMNS, _PANEL, _BINS = 5, 1.05, 24  # panels side by side, inches of a panel, bins in one


def kept_and_dropped(material: Material, selection: Selection, kept: Kept) -> Drawing | None:
    """The score of the kept samples against that of the dropped ones; None for Random and without scores."""
    name = kept.score
    if name is None:
        return None
    score = material.file.scores[name]
    values = score.values
    finite = np.isfinite(values)
    if not finite.any():
        return None
    scale = material.summary.scores[name].histogram.scale
    mask = np.zeros(len(values), dtype=bool)
    mask[selection.indices] = True
    if kept.scope == "class" and 1 < len(kept.classes) <= MOST_NAMED:
        return _in_each_class(material, mask, kept, name, scale)
    by_class = kept.scope == "global"
    rows = kept.classes
    below = (_ROW * len(rows) + 0.5 if len(rows) <= MOST_NAMED else 1.6) if by_class else 0
    figure = new_figure(HEIGHT - 0.6 + below)
    grid = figure.subplots(1 + by_class, 1, height_ratios=[HEIGHT - 0.6, below] if by_class else None)
    axes = grid[0] if by_class else grid
    edges = edges_of(np.sort(values[finite]), scale)
    axes.hist(
        [values[mask & finite], values[~mask & finite]], bins=edges, stacked=True, color=[BLUE, LIGHT],
        label=[
            f"kept ({count(int((mask & finite).sum()))})",
            f"dropped ({count(int((~mask & finite).sum()))})",
        ],
    )  # fmt: skip
    scale_axis(axes, "x", scale, (values[finite].min(), values[finite].max()))
    axes.set_xlabel(axis_title(name, score.unit))
    axes.set_ylabel("samples")
    figure.legend(loc="outside upper center", ncols=2)
    if by_class:
        shares = np.array([row.kept / row.total if row.total else 0 for row in rows])
        lower = grid[1]
        if len(rows) <= MOST_NAMED:
            lower.barh(range(len(rows)), shares, color=BLUE)
            lower.set_yticks(range(len(rows)), class_labels(rows))
            lower.set_ylim(len(rows) - 0.4, -0.6)
            lower.set_xlabel("share of the class that is kept")
        else:
            lower.fill_between(np.arange(len(rows)), np.sort(shares)[::-1], color=BLUE, linewidth=0)
            lower.set_xlabel("classes, most kept first")
            lower.set_ylabel("share kept")
        (lower.axvline if len(rows) <= MOST_NAMED else lower.axhline)(
            kept.kept / kept.total, color=ORANGE, linestyle="--"
        )
    missing = len(values) - int(finite.sum())
    more = f" Not drawn: {plural(missing, 'sample')} without a score." if missing else ""
    more += (
        " Below, the share of each class that is kept; the dashed line is that of all."
        if by_class
        else " The cut is made in each class, so the two overlap over all classes."
    )
    return Drawing(
        name=f"kept-{kept.criterion}-{kept.rule.replace(' ', '')}-{kept.scope}",
        title=f"Kept and dropped by {kept.criterion}, {kept.rule.replace('_', ' ')}",
        caption=f"{name} of the samples that are kept, and on top of them of those that are dropped.{more}",
        about=kept.criterion,
        figure=figure,
    )


def _in_each_class(material: Material, mask: NDArray[np.bool_], kept: Kept, name: str, scale: str) -> Drawing:
    """The same for each class on its own, side by side."""
    score, labels, rows = material.file.scores[name], material.file.labels, kept.classes
    finite = np.isfinite(score.values)
    edges = edges_of(np.sort(score.values[finite]), scale)
    columns = min(_COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    figure = new_figure(_PANEL * lines + 0.6, TEXT_WIDTH)
    grid = figure.subplots(lines, columns, sharex=True, squeeze=False)
    for row, title, axes in zip(rows, class_labels(rows), grid.flat, strict=False):
        own = finite & (labels == row.label)
        axes.hist(
            [score.values[own & mask], score.values[own & ~mask]],
            bins=edges[:: max(1, len(edges) // _BINS)],
            stacked=True,
            color=[BLUE, LIGHT],
            label=["kept", "dropped"],
        )
        axes.set_title(title)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    for axes in grid.flat[len(rows) :]:
        axes.set_visible(False)
    scale_axis(grid[0, 0], "x", scale, (score.values[finite].min(), score.values[finite].max()), marks=3)
    figure.supxlabel(axis_title(name, score.unit), fontsize="medium")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    missing = len(score.values) - int(finite.sum())
    more = f" Not drawn: {plural(missing, 'sample')} without a score." if missing else ""
    return Drawing(
        name=f"kept-{kept.criterion}-{kept.rule.replace(' ', '')}-{kept.scope}",
        title=f"Kept and dropped by {kept.criterion}, {kept.rule.replace('_', ' ')}",
        caption=f"{name} in each class: the samples that are kept, and on top of them those dropped. "
        f"Each class has its own vertical scale.{more}",
        about=kept.criterion,
        figure=figure,
    )
