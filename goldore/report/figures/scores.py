"""Figures of scores: their distribution over all samples and in each class, and one against another."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from goldore.report.figures.style import (
    BLUE,
    DENSITY,
    GREY,
    HEIGHT,
    LIGHT,
    MOST_NAMED,
    PLAIN,
    RED,
    SKY,
    Drawing,
    axis_title,
    class_labels,
    new_figure,
    scale_axis,
)
from goldore.report.material import Material
from goldore.report.records import Correlation
from goldore.selection.ranks import Ranked
from goldore.wording import count, number

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_ROW = 0.24  # inches that a class by name takes
_BINS = 48
_FEW = 1000  # samples that are drawn as points
_CELLS = 40


def distribution(material: Material, name: str) -> Drawing | None:
    """How a score is distributed, over all samples and in each class; None if no sample has it."""
    score, about = material.file.scores[name], material.summary.scores[name]
    ranked = Ranked.of(score.values, material.file.labels, material.file.dataset.num_classes)
    if len(ranked.ascending) == 0:
        return None
    scale = about.histogram.scale
    values = score.values[ranked.ascending]
    rows = about.classes
    named = len(rows) <= MOST_NAMED
    below = _ROW * len(rows) + 0.3 if named else 1.9
    figure = new_figure(1.4 + below)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, below])
    top.hist(values, bins=edges_of(values, scale), color=BLUE)
    top.set_ylabel("samples")
    bands = _class_quantiles(ranked)
    order = np.arange(len(rows)) if named else np.argsort(bands[2], kind="stable")
    _draw_classes(bottom, bands[:, order], named=named)
    if named:
        bottom.set_yticks(range(len(rows)), class_labels(rows))
    else:
        bottom.set_ylabel("classes by median")
    bottom.set_xlabel(axis_title(name, score.unit))
    scale_axis(bottom, "x", scale, (values[0], values[-1]))
    middle = "sorted by their median, without names" if not named else "by name"
    return Drawing(
        name=f"distribution-{name}",
        title=f"Distribution of {name}",
        caption=f"All {count(len(values))} samples above; below, each class ({middle}): from 5 to 95% of its "
        "samples thin or light, the middle half thick or dark, the median marked.",
        about=name,
        figure=figure,
    )


def _draw_classes(axes: Axes, bands: NDArray[np.float64], *, named: bool) -> None:
    """Draw quantiles [5, K] of classes, from top to bottom."""
    places = np.arange(bands.shape[1])
    low, left, middle, right, high = bands
    if named:
        axes.hlines(places, low, high, color=GREY, linewidth=1)
        axes.hlines(places, left, right, color=SKY, linewidth=6)
        axes.plot(middle, places, "|", color=RED, markersize=9, markeredgewidth=2)
    else:
        axes.fill_betweenx(places, low, high, color=LIGHT, linewidth=0)
        axes.fill_betweenx(places, left, right, color=SKY, linewidth=0)
        axes.plot(middle, places, color=RED, linewidth=1.5)
    axes.set_ylim(bands.shape[1] - 0.4, -0.6)


def _class_quantiles(ranked: Ranked) -> NDArray[np.float64]:
    """The `_LEVELS` of each class, interpolated, [5, K]; NaN for classes without a score."""
    found = np.full((len(_LEVELS), len(ranked.counts)), np.nan)
    some = ranked.counts > 0
    ordered = ranked.values[ranked.by_class]
    for row, level in enumerate(_LEVELS):
        place = ranked.bounds[:-1][some] + level * (ranked.counts[some] - 1)
        low, high = np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64)
        found[row, some] = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return found


def edges_of(values: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Edges of bins for values in ascending order; a single bin around a range too narrow for more."""
    low, high = float(values[0]), float(values[-1])
    edges = np.geomspace(low, high, _BINS + 1) if scale == "log" else np.linspace(low, high, _BINS + 1)
    if (np.diff(edges) > 0).all():
        return edges
    around = max(0.5, 1e-3 * abs(low))
    return np.array([low - around, high + around])


def pair(material: Material, correlation: Correlation) -> Drawing | None:
    """One score against another, as points or as a density; None if no sample has both."""
    names = correlation.first, correlation.second
    scores = [material.file.scores[name] for name in names]
    known = np.isfinite(scores[0].values) & np.isfinite(scores[1].values)
    if not known.any():
        return None
    scales = [material.summary.scores[name].histogram.scale for name in names]
    first, second = (score.values[known] for score in scores)
    figure = new_figure(HEIGHT + 0.2)
    axes = figure.subplots()
    if len(first) <= _FEW or not (np.ptp(first) > 0 and np.ptp(second) > 0):
        axes.scatter(first, second, s=6, color=BLUE, alpha=0.4, linewidths=0)
        drawn = "Each point is a sample."
    else:
        cells = axes.hexbin(
            first, second, gridsize=_CELLS, bins="log", mincnt=1, cmap=DENSITY, linewidths=0.1,
            xscale=scales[0], yscale=scales[1],
        )  # fmt: skip
        figure.colorbar(cells, label="samples in a cell", format=PLAIN)
        drawn = "The lighter a cell, the more samples lie in it."
    for axis, scale, values in zip("xy", scales, (first, second), strict=True):
        scale_axis(axes, axis, scale, (values.min(), values.max()))
    axes.set_xlabel(axis_title(names[0], scores[0].unit))
    axes.set_ylabel(axis_title(names[1], scores[1].unit))
    return Drawing(
        name=f"pair-{names[0]}-{names[1]}",
        title=f"{names[0]} and {names[1]}",
        caption=f"{drawn} Spearman's correlation: {number(correlation.within_class, 2)} within classes, "
        f"{number(correlation.overall, 2)} over all {count(correlation.samples)} samples.",
        about="pairs",
        figure=figure,
    )
