"""Figures, drawn by matplotlib (the extra "report"): on a page, or as files for a paper."""

import io
from pathlib import Path

from goldore.atomic import file_name, replacing
from goldore.errors import UsageError
from goldore.report.curves import reliability_curve
from goldore.report.figures.agreement import overlaps
from goldore.report.figures.kept import kept_and_dropped
from goldore.report.figures.scores import distribution, pair
from goldore.report.figures.style import Drawing, styled
from goldore.report.figures.trials import loss_curves, reliability
from goldore.report.material import Material

FORMATS = ("png", "svg", "pdf")
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}

__all__ = ["FORMATS", "Drawing", "draw", "svg", "write_figures"]


def draw(material: Material) -> list[Drawing]:
    """Draw all figures that there is something for.

    Raises:
        ScoreFileError: if the file cannot be read any more.
    """
    file = material.file
    with styled():
        found = [distribution(material, name) for name in file.scores]
        found += [pair(material, each) for each in material.summary["correlations"]]
        found += [kept_and_dropped(material, *each) for each in material.kept]
        found.append(loss_curves(material))
        for name, score in file.scores.items():
            curve = reliability_curve(file, score)
            found.append(reliability(name, curve) if curve is not None else None)
        if material.comparison is not None:
            found += overlaps(material.comparison)
        drawings = [each for each in found if each is not None]
        for each in drawings:  # once: the layout would move a little at every saving
            each.figure.draw_without_rendering()
            each.figure.set_layout_engine("none")
    return drawings


def svg(drawing: Drawing) -> str:
    """A figure as SVG, the same text for the same figure."""
    content = io.StringIO()
    with styled():
        drawing.figure.savefig(content, format="svg", metadata=_UNDATED["svg"])
    return content.getvalue()


def write_figures(folder: Path, drawings: list[Drawing], *, overwrite: bool = False) -> list[Path]:
    """Write figures into a folder, each as PNG (300 dots per inch), SVG and PDF.

    Args:
        folder: made if need be.
        drawings: the figures.
        overwrite: replace files that are there.

    Returns:
        The files.

    Raises:
        UsageError: if a file is there already.
    """
    paths = [folder / f"{file_name(each.name)}.{suffix}" for each in drawings for suffix in FORMATS]
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists already; choose another folder or say --overwrite.")
    folder.mkdir(parents=True, exist_ok=True)
    with styled():
        for each in drawings:
            for suffix in FORMATS:
                with replacing(folder / f"{file_name(each.name)}.{suffix}") as temporary:
                    each.figure.savefig(temporary, format=suffix, metadata=_UNDATED[suffix])
    return paths
