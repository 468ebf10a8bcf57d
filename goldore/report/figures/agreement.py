"""Figures of several files compared."""

from pathlib import Path

from matplotlib.ticker import PercentFormatter

from goldore.report.figures.style import CYCLE, GREY, Drawing, new_figure
from goldore.report.records import Comparison, Known, Overlap

_MOST_LINES = len(CYCLE)
_MARKS = "os^Dv*"


def overlaps(comparison: Comparison) -> list[Drawing]:
    """Overlap of the kept sets of two files against the keep ratio, a figure for each pair of files."""
    pairs: dict[tuple[str, str], list[Overlap]] = {}
    for row in comparison.overlaps:
        pairs.setdefault(row.files, []).append(row)
    names = {each.id: Path(each.file).name for each in comparison.files}
    return [_overlap(files, rows, names) for files, rows in pairs.items()]


def _overlap(files: tuple[str, str], rows: list[Overlap], names: dict[str, str]) -> Drawing:
    figure = new_figure(3.4)
    axes = figure.subplots()
    for row, colour, mark in zip(rows, CYCLE, _MARKS, strict=False):
        name = row.criteria[0] if len(set(row.criteria)) == 1 else " / ".join(row.criteria)
        ratios = [float(ratio) for ratio in row.kept_by_both]
        axes.plot(ratios, _known(row.kept_by_both), marker=mark, color=colour, label=name)
    chance = rows[0].chance
    ratios = [float(ratio) for ratio in chance]
    axes.plot(ratios, list(chance.values()), color=GREY, linestyle="--", label="chance")
    axes.set_xscale("log")
    axes.set_xticks(ratios, [f"{ratio:.0%}" for ratio in ratios])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("kept")
    axes.set_ylabel("kept by both")
    figure.legend(loc="outside upper center", ncols=2)
    more = f" The first {_MOST_LINES} criteria are drawn." if len(rows) > _MOST_LINES else ""
    return Drawing(
        name=f"overlap-{files[0]}-{files[1]}",
        title=f"What {files[0]} and {files[1]} both keep",
        caption="Share of the samples kept by one file that the other keeps too, for each criterion (it "
        f"names the end that is dropped), and what chance would give.{more} "
        + "; ".join(f"{each} is {names[each]}" for each in files)
        + ".",
        about="comparison",
        figure=figure,
    )


def _known(shares: dict[str, Known]) -> list[float]:
    return [float("nan") if share is None else share for share in shares.values()]
