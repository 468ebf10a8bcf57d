"""Figures of what a criterion keeps."""

import numpy as np

from goldore.report.figures.scores import edges_of
from goldore.report.figures.style import (
    BLUE,
    HEIGHT,
    LIGHT,
    MOST_NAMED,
    ORANGE,
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
