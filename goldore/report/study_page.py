"""A study as a page, and its figures."""

from collections.abc import Sequence

from goldore.report.figures import Drawing, settled
from goldore.report.figures.study import accuracy_curves, image_sheet
from goldore.report.figures.style import styled
from goldore.report.page import template
from goldore.report.study_records import pick
from goldore.studies.answers import judged_by, percent, signed
from goldore.studies.cells import UNDISTILLED
from goldore.studies.model import Study
from goldore.wording import printable


def draw_study(study: Study, images: Sequence[str]) -> list[Drawing]:
    """Draw a study: for each table accuracy against keep ratio, and distilled images of some cells.

    Args:
        study: the study.
        images: which cells' images, as `goldore.report.study_records.pick` takes them.

    Raises:
        UsageError: if one of them names no cell.
    """
    with styled():
        found: list[Drawing | None] = []
        for answer in study.answers:
            found.append(accuracy_curves(study, answer))
            found.append(image_sheet(pick(study, answer, images)))
        return settled(found)


def render_study(study: Study, drawings: Sequence[Drawing]) -> str:
    """The page as HTML."""
    tables = [
        (answer, [each for each in study.verdicts if each.cell.table == (answer.distiller, answer.ipc)])
        for answer in study.answers
    ]
    text = template("study.html", percent_of=percent, signed=signed).render(
        study=study,
        settings=study.settings,
        tables=tables,
        undistilled=[each for each in study.verdicts if each.cell.distiller == UNDISTILLED],
        judged_by=judged_by(study.margin, study.looks),
        drawings=drawings,
        failed=[run for run in study.runs if run.failed],
    )
    return printable(text)
