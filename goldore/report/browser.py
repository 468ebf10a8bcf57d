"""What the script of a page browses: some samples with all that is known of them, and a sheet of images."""

import base64
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goldore.report.gallery import as_pil
from goldore.report.material import Material
from goldore.selection.ranks import Ranked
from goldore.store import ScoreFile, load_header, load_predictions
from goldore.wording import printable

_MOST, _WITHOUT_IMAGES = 1500, 3000  # samples on a page
_LEAST, _ROOM = 100, 1.4e6  # samples that are shown in any case, and bytes at the most
_SAMPLE_BYTES, _SCORE_BYTES = 150, 20  # of what is known of a sample, and of one of its scores, about
_PIXEL_BYTES, _TEXT = 0.7, 4 / 3  # of a pixel on the sheet, about, and what writing it as text adds
_SIDE, _COLUMNS = 48, 50  # pixels of an image on the sheet at the most, and images in a row
_QUALITY = 85


@dataclass(frozen=True)
class Browser:
    """Samples for the script of a page.

    Attributes:
        data: JSON, fit to stand in a script element.
        samples: how many.
        total: of how many.
    """

    data: str
    samples: int
    total: int


def browser(material: Material, names: Sequence[str], shown: Iterable[int], room: float) -> Browser:
    """Choose samples for a page, and collect what is known of them.

    All, if they are few; else those that the page shows anyway, those at both ends of each score in each
    class, and some at random.

    Args:
        material: of the page.
        names: of the scores that are shown.
        shown: positions of the samples that the page shows anyway.
        room: bytes that the rest of the page leaves.

    Raises:
        DatasetError: if an image is not that of the sample.
    """
    file, total = material.file, len(material.file.labels)
    side = min(max(file.dataset.image_shape[1:]), _SIDE) if material.images is not None else 0
    each = _SAMPLE_BYTES + _SCORE_BYTES * len(names) + _TEXT * _PIXEL_BYTES * side * side + _path_bytes(file)
    most = max(_LEAST, min(_MOST if side else _WITHOUT_IMAGES, int(min(room, _ROOM) / each)))
    positions = np.arange(total) if total <= most else _chosen(material, names, sorted(set(shown)), most)
    columns = _columns(material, names, positions)
    columns["sheet"] = _sheet(material, positions, side) if side else None
    text = json.dumps(columns, separators=(",", ":")).replace("<", "\\u003c")
    return Browser(text, len(positions), total)


def _path_bytes(file: ScoreFile) -> float:
    """Of a sample's path as JSON writes it, on average over some of them; 0 without paths."""
    paths = load_header(file.path).paths or ()
    some = paths[:: max(1, len(paths) // _WITHOUT_IMAGES)]
    return sum(len(json.dumps(printable(path))) for path in some) / max(len(some), 1)


def _chosen(material: Material, names: Sequence[str], shown: Sequence[int], most: int) -> NDArray[np.int64]:
    """Positions of at most so many samples, ascending."""
    file = material.file
    classes = file.dataset.num_classes
    orders = []
    for name in names:
        ranked = Ranked.of(file.scores[name].values, file.labels, classes)
        members = [ranked.by_class[ranked.bounds[each] : ranked.bounds[each + 1]] for each in range(classes)]
        orders += [part for each in members for part in (each, each[::-1])]
    orders.append(np.random.default_rng(0).permutation(len(file.labels)))
    chosen = dict.fromkeys(shown[:most])
    depth = 0
    while len(chosen) < most:
        for order in orders:
            if depth < len(order) and len(chosen) < most:
                chosen.setdefault(int(order[depth]))
        depth += 1
    return np.sort(np.fromiter(chosen, dtype=np.int64))


def _columns(material: Material, names: Sequence[str], positions: NDArray[np.int64]) -> dict[str, Any]:
    """What is known of samples, each a list as long as the positions."""
    file = material.file
    header, said = load_header(file.path), load_predictions(file.path)
    found: dict[str, Any] = {
        "classes": [printable(name) for name in file.dataset.class_names],
        "position": positions.tolist(),
        "label": file.labels[positions].tolist(),
        "scores": [
            {
                "name": name,
                "unit": file.scores[name].unit,
                "direction": file.scores[name].direction,
                "values": _rounded(file.scores[name].values[positions]),
                "errors": _rounded(file.scores[name].stderr[positions]),
            }
            for name in names
        ],
        "kept": [
            {
                "name": about.criterion,
                "rule": about.rule.replace("_", " "),
                "is": np.isin(positions, chosen.indices).astype(int).tolist(),
            }
            for chosen, about in material.kept
        ],
    }
    if header.paths is not None:
        found["path"] = [printable(header.paths[position]) for position in positions]
    if said is not None:
        found |= {
            "predicted": said.classes[positions, 0].tolist(),
            "share": _rounded(said.shares[positions, 0]),
            "right": _rounded(said.right[positions]),
        }
    issues = material.issues
    if issues is not None:
        doubted = {each.position for each in issues.label_issues}
        found["doubted"] = [int(position in doubted) for position in positions.tolist()]
        equal = {at: group.positions for group in issues.equal for at in group.positions}
        found["equal"] = [
            [other for other in equal.get(position, ()) if other != position][:10]
            for position in positions.tolist()
        ]
    return found


def _sheet(material: Material, positions: NDArray[np.int64], side: int) -> dict[str, Any]:
    """The images side by side, as one image of fifty in a row."""
    assert material.images is not None  # noqa: S101 - whoever calls has looked
    rows = math.ceil(len(positions) / _COLUMNS)
    grey = material.file.dataset.image_shape[0] < 3  # noqa: PLR2004
    sheet = Image.new("L" if grey else "RGB", (_COLUMNS * side, rows * side))
    for place, image in enumerate(material.images(positions)):
        drawn = as_pil(image)
        if max(drawn.size) > side:
            drawn.thumbnail((side, side))
        row, column = divmod(place, _COLUMNS)
        sheet.paste(
            drawn, (column * side + (side - drawn.width) // 2, row * side + (side - drawn.height) // 2)
        )
    content = io.BytesIO()
    sheet.save(content, format="JPEG", quality=_QUALITY)
    text = base64.b64encode(content.getvalue()).decode()
    return {"side": side, "columns": _COLUMNS, "rows": rows, "uri": f"data:image/jpeg;base64,{text}"}


def _rounded(values: NDArray[np.floating]) -> list[float | None]:
    """Numbers to four digits; None where there is none."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values.tolist()]
