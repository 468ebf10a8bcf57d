"""Figures, drawn by matplotlib (the extra "report"): on a page, or as files for a paper."""

import io
import itertools
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from matplotlib.figure import Figure

from goldore.errors import UsageError
from goldore.files.atomic import check_writable, file_name, replacing
from goldore.report.families import shown_pairs
from goldore.report.figures.agreement import overlaps
from goldore.report.figures.gallery import gallery
from goldore.report.figures.kept import kept_and_dropped
from goldore.report.figures.scores import distribution, pair
from goldore.report.figures.style import Drawing, styled
from goldore.report.figures.trials import loss_curves, reliability
from goldore.report.material import Material
from goldore.report.records import Correlation, Summary
from goldore.report.summary import summarize
from goldore.store import ScoreFile
from goldore.wording import printable

FORMATS = ("png", "svg", "pdf")
CAPTIONS = "captions.txt"
_MOST_PAIRS = 10
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}

__all__ = ["CAPTIONS", "FORMATS", "Drawing", "check_figures", "draw", "settled", "svg", "write_figures"]


def draw(material: Material) -> list[Drawing]:
    """Draw all figures that there is something for.

    Raises:
        ScoreFileError: if the file cannot be read any more.
        DatasetError: if an image is not that of the sample.
    """
    file = material.file
    with styled():
        found = [distribution(material, name) for name in file.scores]
        found += [gallery(material, name) for name in file.scores]
        found += [pair(material, each) for each in _pairs(material.summary)]
        found += [kept_and_dropped(material, *each) for each in material.kept]
        found.append(loss_curves(material))
        for name, score in material.summary.scores.items():
            if score.reliability_curve is not None and score.reliability_curve.measured:
                found.append(reliability(name, score.reliability_curve))
        if material.comparison is not None:
            found += overlaps(material.comparison)
        return settled(found)


def draw_scores(file: ScoreFile, names: Sequence[str] = ()) -> list[Figure]:
    """Draw how scores are distributed, and each pair of them.

    Args:
        file: on the disk.
        names: of the scores; none means all that were read.

    Raises:
        UsageError: if there is no such score.
    """
    unknown = [name for name in names if name not in file.scores]
    if unknown:
        raise UsageError(f"{file.path} has no score {unknown[0]}; it has {', '.join(file.scores)}.")
    material = Material(file, summarize(file))
    chosen = names or list(file.scores)
    with styled():
        found = [distribution(material, name) for name in chosen]
        found += [
            pair(material, each)
            for each in _pairs(material.summary)
            if {each.first, each.second} <= set(chosen)
        ]
        return [each.figure for each in settled(found)]


def _pairs(summary: Summary) -> list[Correlation]:
    """Those that are drawn: of many pairs the ones that agree least."""
    shown = shown_pairs(summary)
    least = sorted(shown, key=lambda each: abs(each.within_class or 0.0))[:_MOST_PAIRS]
    return [each for each in shown if each in least]


def settled(found: Sequence[Drawing | None]) -> list[Drawing]:
    """Those that there are, with their layout fixed: it would move a little at every saving."""
    drawings = [each for each in found if each is not None]
    for each in drawings:
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
    """Write figures into a folder, each as PNG (300 dots per inch), SVG and PDF, and their captions.

    Args:
        folder: made if need be.
        drawings: the figures.
        overwrite: replace files that are there.

    Returns:
        The files.

    Raises:
        UsageError: if a file is there already, or the folder is a file.
        GoldoreError: if the folder cannot be written to.
    """
    check_figures(folder, drawings, overwrite=overwrite)
    paths = []
    with styled(), ExitStack() as whole:  # all of them appear, or none
        for each, suffix in itertools.product(drawings, FORMATS):
            path = _path(folder, each, suffix)
            temporary = whole.enter_context(replacing(path))
            each.figure.savefig(temporary, format=suffix, metadata=_UNDATED[suffix])
            paths.append(path)
        words = whole.enter_context(replacing(folder / CAPTIONS))
        words.write_text(
            printable("\n".join(f"{each.name}\n{each.title}. {each.caption}\n" for each in drawings)),
            encoding="utf-8",
        )
    return [*paths, folder / CAPTIONS]


def check_figures(
    folder: Path, drawings: Sequence[Drawing], *, overwrite: bool, taken: Collection[Path] = ()
) -> None:
    """Make the folder, and see that figures can be written into it.

    Args:
        folder: made if need be.
        drawings: the figures.
        overwrite: replace files that are there.
        taken: other files that are going to be written.

    Raises:
        UsageError: if one is there, or going to be, or the folder is a file.
        GoldoreError: if the folder cannot be written to.
    """
    if str(folder) == "-":
        raise UsageError("`folder` names a folder, and - is none; give it a name.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the figures.")
    paths = [_path(folder, each, suffix) for each, suffix in itertools.product(drawings, FORMATS)]
    paths.append(folder / CAPTIONS)
    others = {each.resolve() for each in taken}
    twice = [path for path in paths if path.resolve() in others]
    if twice:
        raise UsageError(f"{twice[0]} is one of the figures; choose another name for the other file.")
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists already; choose another folder or use `overwrite`.")
    check_writable(folder / "figure.png", "folder")


def _path(folder: Path, drawing: Drawing, suffix: str) -> Path:
    return folder / f"{file_name(drawing.name)}.{suffix}"
