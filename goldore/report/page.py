"""One HTML file that says what scores say: opens from disk, needs no network, readable on a phone."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np

from goldore.files.atomic import replacing
from goldore.report import facts
from goldore.report.browser import browser
from goldore.report.families import families, shown_pairs, shown_scores
from goldore.report.figures import Drawing, svg
from goldore.report.gallery import GalleryRow, Picture, examples, extremes, most_classes, pictures
from goldore.report.material import Material
from goldore.report.records import Kept
from goldore.wording import count, number, percent, printable, reliability

_FOLDED = 30  # classes: longer tables are folded
_MOST_TRIALS = 200  # values of single trials that are listed
_ROOM = 4.3e6  # bytes of a page, but for its tables
_MOST_ISSUES, _MOST_PICTURES = 200, 60  # likely wrong labels that are listed, and shown


def save_page(out: Path, text: str) -> None:
    """Write a page that `render` made."""
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(material: Material, drawings: Sequence[Drawing]) -> str:
    """The page as HTML."""
    names = {"facts": facts, "families": families, "shown_pairs": shown_pairs}
    shown, kept = shown_scores(material.summary), material.kept
    left_out = set(material.file.scores) - set(shown)
    if len(kept) > 1:
        kept = tuple(each for each in kept if each[1].score not in left_out)
        left_out |= {about.criterion for _, about in material.kept} - {about.criterion for _, about in kept}
    galleries = {name: _gallery(material, name) for name in shown}
    examples_of = [(about, *examples(material, selection, about.score)) for selection, about in kept]
    doubted = _doubted(material)
    pictures_of = _pictures(galleries, examples_of, doubted)
    positions = [picture.position for picture in pictures_of]
    drawn = [each for each in drawings if each.about not in left_out]
    uris = {each.name: _figure_uri(each) for each in drawn}
    used = sum(map(len, uris.values())) + sum(len(picture.uri) for picture in pictures_of)
    script = printable(resources.files("goldore.report").joinpath("templates", "browse.js").read_text())
    text = template(
        "page.html", **names, most_trials=_MOST_TRIALS, most_issues=_MOST_ISSUES, folded=_FOLDED
    ).render(
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        browser=browser(material, shown, positions, _ROOM - used),
        summary=material.summary,
        comparison=material.comparison,
        no_images=material.no_images,
        figures=_by_subject(drawn),
        uris=uris,
        shown=shown,
        galleries=galleries,
        most_classes=most_classes(material),
        kept=examples_of,
        issues=material.issues,
        doubted=doubted,
        samples=[(sample, _picture_of(material, sample.position)) for sample in material.samples],
    )
    return printable(text)


def template(name: str, **known: object) -> jinja2.Template:
    """A template of a page, which knows these names and the filters that show values."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("goldore.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        number=number, count=count, percent=percent, reliability=reliability, figure=_figure_uri
    )
    environment.globals.update(known)
    return environment.get_template(name)


def _by_subject(drawings: Sequence[Drawing]) -> dict[str, list[Drawing]]:
    found: dict[str, list[Drawing]] = {}
    for drawing in drawings:
        found.setdefault(drawing.about, []).append(drawing)
    return found


def _pictures(
    galleries: Mapping[str, Sequence[GalleryRow]],
    kept: Sequence[tuple[Kept, Sequence[Picture], Sequence[Picture]]],
    doubted: Mapping[int, Picture],
) -> list[Picture]:
    """The images that the page shows."""
    rows = [row for each in galleries.values() for row in each]
    shown = [picture for row in rows for picture in (*row.lowest, *row.highest)]
    shown += [picture for _, some, others in kept for picture in (*some, *others)]
    return [*shown, *doubted.values()]


def _gallery(material: Material, name: str) -> list[GalleryRow]:
    return extremes(material, name) if material.images is not None else []


def _doubted(material: Material) -> dict[int, Picture]:
    """Images of the first likely wrong labels, by position."""
    if material.issues is None:
        return {}
    positions = np.array([each.position for each in material.issues.label_issues[:_MOST_PICTURES]], np.int64)
    unknown = np.full(len(material.file.labels), np.nan)
    found = pictures(material, positions, unknown) if len(positions) else []
    return {each.position: each for each in found}


def _picture_of(material: Material, position: int) -> Picture | None:
    unknown = np.full(len(material.file.labels), np.nan)
    found = pictures(material, np.array([position]), unknown)
    return found[0] if found else None


def _figure_uri(drawing: Drawing) -> str:
    """A figure as a data URI: in an image of its own, names in one figure cannot meet those of another."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(drawing).encode()).decode()}"
