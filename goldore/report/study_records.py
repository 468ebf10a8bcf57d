"""Which cells of a study are looked at, and their distilled images as pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.studies.answers import Answer
from goldore.studies.cells import ALL, Cell
from goldore.studies.judging import Verdict
from goldore.studies.model import Study

_GREY = 1  # channels
_AUTOMATIC = ("all", "best", "recommended")


@dataclass(frozen=True)
class Pick:
    """A cell and its distilled images.

    Attributes:
        verdict: of the cell.
        images: uint8 RGB [K, ipc, H, W, 3].
    """

    verdict: Verdict
    images: NDArray[np.uint8] = field(repr=False)


def pick(study: Study, answer: Answer, wanted: Sequence[str] = _AUTOMATIC) -> list[Pick]:
    """Pick cells of a table that have images.

    Args:
        study: the study.
        answer: of the table.
        wanted: "all", "best", "recommended", or CRITERION@RATIO for any cell.

    Returns:
        Each cell once; those without images are left out.

    Raises:
        UsageError: if a text names no cell of the study.
    """
    table = {each.cell: each for each in study.verdicts if each.cell.table == (answer.distiller, answer.ipc)}
    found: dict[Cell, Pick] = {}
    for text in wanted:
        verdict = _named(text, answer, table, study)
        if verdict is not None and verdict.cell in study.images:
            found[verdict.cell] = Pick(verdict, pixels(study, study.images[verdict.cell]))
    return list(found.values())


def check_picks(wanted: Sequence[str]) -> None:
    """See that texts name cells, before there are any.

    Raises:
        UsageError: naming the first that does not.
    """
    for text in wanted:
        if text.lower() not in _AUTOMATIC:
            _ratio(text)


def _ratio(text: str) -> tuple[str, Decimal]:
    criterion, _, ratio = text.rpartition("@")
    try:
        return criterion, Decimal(ratio)
    except InvalidOperation:
        raise UsageError(
            f"`images` names {text!r}; write {', '.join(_AUTOMATIC)}, or CRITERION@RATIO, such as Random@0.1."
        ) from None


def _named(text: str, answer: Answer, table: dict[Cell, Verdict], study: Study) -> Verdict | None:
    known = [each for each in table.values() if not each.cell.is_all and math.isfinite(each.difference)]
    highest = max(known, key=lambda each: each.difference, default=None)  # where none is as good for sure
    automatic = {
        "all": answer.all_data,
        "best": answer.best or highest,
        "recommended": answer.recommended,
    }
    if text.lower() in automatic:
        return automatic[text.lower()]
    criterion, wanted = _ratio(text)
    there = {(each.criterion, Decimal(each.keep_ratio or 0)) for each in study.cells}
    if (criterion, wanted) not in there or criterion == ALL:
        raise UsageError(f"`images` names {text!r}, and the study has no such cell.")
    return next(
        (
            verdict
            for cell, verdict in table.items()
            if cell.criterion == criterion and Decimal(cell.keep_ratio or 0) == wanted
        ),
        None,
    )


def pixels(study: Study, images: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Normalised images [K, ipc, C, H, W] as RGB, uint8 [K, ipc, H, W, 3]; what is out of range is cut."""
    recipe = study.settings.recipe
    if recipe is None or recipe.mean is None or recipe.std is None:
        raise RuntimeError("a program leaves no images")
    shape = (-1, 1, 1)
    mean, std = (np.reshape(each, shape) for each in (recipe.mean, recipe.std))
    scaled = (images.astype(np.float64) * std + mean).clip(0, 1) * 255
    rgb = np.repeat(scaled, 3, axis=2) if images.shape[2] == _GREY else scaled[:, :, :3]
    return np.moveaxis(rgb.round().astype(np.uint8), 2, -1)
