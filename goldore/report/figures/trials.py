"""Figures of trials: their loss curves, and how the reliability grows with their number."""

import numpy as np

from goldore.report.figures.style import BLUE, GREY, LIGHT, ORANGE, Drawing, new_figure, scale_axis
from goldore.report.material import Material
from goldore.report.records import ReliabilityCurve
from goldore.wording import count, plural

_MOST_LINES = 50
_WIDE = 20  # numbers of trials so far apart stand on a logarithmic axis


def loss_curves(material: Material) -> Drawing | None:
    """Training loss of each loss trial by epoch; None without loss trials."""
    trials = material.file.loss_trials
    if trials is None or not trials.done:
        return None
    losses = trials.train_loss[list(trials.done)].astype(float)  # [T, epochs]
    losses = losses[:, np.isfinite(losses).any(axis=0)]
    if losses.shape[1] == 0:
        return None
    epochs = np.arange(1, losses.shape[1] + 1)
    figure = new_figure()
    axes = figure.subplots()
    axes.plot(epochs, losses[:_MOST_LINES].T, color=LIGHT, linewidth=0.8)
    axes.lines[0].set_label("a trial")
    axes.plot(epochs, losses.mean(axis=0), color=BLUE, linewidth=2, marker="o", markersize=3, label="mean")
    figure.legend(loc="outside upper center", ncols=2)
    low, high = float(np.nanmin(losses)), float(np.nanmax(losses))
    scale_axis(axes, "y", "log" if low > 0 and high > 5 * low else "linear", (low, high))
    scale_axis(axes, "x", "linear", (1, len(epochs)), whole=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss [nat]")
    return Drawing(
        name="loss-curves",
        title="Loss curves of the trials",
        caption=f"Mean training loss of each epoch: {plural(len(losses), 'trial')} in grey"
        + (f" ({_MOST_LINES} drawn)" if len(losses) > _MOST_LINES else "")
        + ", their mean in blue. A trial that stands apart has gone wrong; a curve that still falls steeply "
        "says that LossConverge is not yet the loss at the end.",
        about="loss",
        figure=figure,
    )


def reliability(name: str, curve: ReliabilityCurve) -> Drawing:
    """Reliability of ranks against trials, with the plan for more; `curve` is a score's in the summary."""
    figure = new_figure()
    axes = figure.subplots()
    for target in curve.targets:
        axes.axhline(target, color=GREY, linewidth=0.8, linestyle=":")
    if curve.planned:
        axes.plot(*zip(*curve.planned, strict=True), color=ORANGE, label="planned from all trials")
    axes.plot(*zip(*curve.measured, strict=True), "o", color=BLUE, markersize=4, label="measured")
    ends = [trials for trials, _ in (*curve.measured, *curve.planned)]
    scale = "log" if max(ends) > _WIDE * min(ends) else "linear"
    scale_axis(axes, "x", scale, (min(ends), max(ends)), whole=True)
    if scale == "linear":
        axes.set_xlim(0, 1.05 * max(ends) + 1)
    axes.set_ylim(min(0.0, *(value for _, value in curve.measured)) - 0.02, 1.02)
    axes.set_xlabel("trials")
    axes.set_ylabel("reliability of ranks")
    figure.legend(loc="outside upper center", ncols=2)
    return Drawing(
        name=f"reliability-{name}",
        title=f"Reliability of {name} against trials",
        caption=_explained(curve),
        about=name,
        figure=figure,
    )


def _explained(curve: ReliabilityCurve) -> str:
    targets = " and ".join(f"{target:g}" for target in curve.targets)
    points = "Point: measured with all trials."
    if len(curve.measured) > 1:
        points = (
            "Points: measured with the first trials of the file, from "
            f"{count(curve.samples)} samples; the last one with all."
        )
    if not curve.planned:
        return f"{points} From this reliability none can be planned. Dotted: {targets}."
    return (
        f"{points} Curve: planned by Spearman-Brown from the last one; it says how many trials would reach "
        f"{targets} (dotted)."
    )
