"""A sheet of the samples at both ends of a score, a row for each class, as a figure."""

import numpy as np
from numpy.typing import NDArray

from goldore.report.figures.style import Drawing, class_labels, new_figure
from goldore.report.gallery import as_pil, chosen_classes, most_classes
from goldore.report.material import Material
from goldore.selection.ranks import Ranked

_EACH = 8  # images at either end
_SIDE = 64  # pixels: larger images are made smaller
_GAP = 0.5  # of an image, between the ends
_INCHES = 0.22  # that an image takes


def gallery(material: Material, name: str) -> Drawing | None:
    """The samples with the lowest and the highest score of each class; None without images or scores.

    Raises:
        DatasetError: if an image is not that of the sample.
    """
    rows = material.summary.scores[name].classes
    chosen = chosen_classes([row.mean for row in rows], most_classes(material))
    if material.images is None or not chosen:
        return None
    ranked = Ranked.of(material.file.scores[name].values, material.file.labels, len(rows))
    sheet = []
    for label in chosen:
        members = ranked.by_class[ranked.bounds[label] : ranked.bounds[label + 1]]
        low = members[: min(_EACH, -(-len(members) // 2))]
        high = members[len(members) - min(_EACH, len(members) - len(low)) :][::-1]
        tiles = [_tile(image) for image in material.images(np.concatenate([low, high]))]
        sheet.append(_row(tiles[: len(low)], tiles[len(low) :]))
    height, width = sheet[0].shape[:2]
    figure = new_figure(_INCHES * len(chosen) + 0.35)
    axes = figure.subplots()
    axes.imshow(np.concatenate(sheet), interpolation="nearest", aspect="equal")
    axes.set_yticks((np.arange(len(chosen)) + 0.5) * height, class_labels([rows[label] for label in chosen]))
    ends = material.file.scores[name].lowest, material.file.scores[name].highest
    tile = width / (2 * _EACH + _GAP)
    axes.set_xticks([tile * _EACH / 2, width - tile * _EACH / 2], ends)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return Drawing(
        name=f"gallery-{name}",
        title=f"Images by {name}",
        caption=f"The {ends[0]} and the {ends[1]} samples of each class by {name}; the first of each are the "
        "most extreme.",
        about="gallery",
        figure=figure,
    )


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image [C, H, W] as RGB, uint8 [h, w, 3]."""
    drawn = as_pil(image).convert("RGB")
    drawn.thumbnail((_SIDE, _SIDE))
    return np.asarray(drawn)


def _row(low: list[NDArray[np.uint8]], high: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images side by side, with white where a class has too few."""
    height, width = low[0].shape[:2]
    row = np.full((height, round(width * (2 * _EACH + _GAP)), 3), 255, dtype=np.uint8)
    for place, tile in enumerate(low):
        row[:, place * width : (place + 1) * width] = tile
    start = row.shape[1] - _EACH * width
    for place, tile in enumerate(high):
        row[:, start + place * width : start + (place + 1) * width] = tile
    return row
