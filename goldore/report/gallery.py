"""Images for a page: the easiest and the hardest of each class, and examples of what is kept and dropped."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goldore.report.material import Material
from goldore.selection.pruning import Selection
from goldore.selection.ranks import Ranked

EACH = 6  # images at either end of a class
_MOST_CLASSES = 20
_MOST_BYTES = 1.5e6  # of all galleries, before they are written as text
_PACKED = 4000  # bytes of an image that is made smaller, about
_EXAMPLES = 24
_SIDE = 64  # pixels: larger images are made smaller
_LOSSLESS = 40  # pixels: up to this side images are kept as they are


@dataclass(frozen=True)
class Picture:
    """One image on a page.

    Attributes:
        position: of the sample.
        label: its class.
        value: its score; NaN without.
        uri: the image, as a data URI.
    """

    position: int
    label: int
    value: float
    uri: str = field(repr=False)


@dataclass(frozen=True)
class GalleryRow:
    """A class in a gallery.

    Attributes:
        label: of the class.
        name: of the class.
        lowest: images with the lowest score, ascending.
        highest: images with the highest score, descending.
    """

    label: int
    name: str
    lowest: tuple[Picture, ...]
    highest: tuple[Picture, ...]


def extremes(material: Material, name: str) -> list[GalleryRow]:
    """The samples at both ends of a score in each class; of many classes those at both ends of the means.

    Raises:
        DatasetError: if an image is not that of the sample.
    """
    values = material.file.scores[name].values
    rows = material.summary.scores[name].classes
    ranked = Ranked.of(values, material.file.labels, len(rows))
    found = []
    for label in chosen_classes([row.mean for row in rows], most_classes(material)):
        members = ranked.by_class[ranked.bounds[label] : ranked.bounds[label + 1]]
        each = min(EACH, -(-len(members) // 2))
        low, high = members[:each], members[len(members) - min(each, len(members) - each) :][::-1]
        found.append(
            GalleryRow(
                label,
                rows[label].name,
                pictures(material, low, values),
                pictures(material, high, values),
            )
        )
    return found


def examples(
    material: Material, selection: Selection, name: str | None
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Some of the kept and some of the dropped samples, drawn at random, the same ones each time.

    Args:
        material: of the page.
        selection: what is kept.
        name: of the score to show beside them; None for none.

    Raises:
        DatasetError: if an image is not that of the sample.
    """
    samples = len(material.file.labels)
    values = material.file.scores[name].values if name is not None else np.full(samples, np.nan)
    dropped = np.setdiff1d(np.arange(samples), selection.indices, assume_unique=True)
    draw = np.random.default_rng(0)
    kept, others = (
        np.sort(draw.choice(each, min(_EXAMPLES, len(each)), replace=False))
        for each in (selection.indices, dropped)
    )
    return pictures(material, kept, values), pictures(material, others, values)


def pictures(
    material: Material, positions: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[Picture, ...]:
    """Images of some samples; none where the dataset is not at hand."""
    if material.images is None or len(positions) == 0:
        return ()
    return tuple(
        Picture(int(position), int(material.file.labels[position]), float(values[position]), data_uri(image))
        for position, image in zip(positions, material.images(positions), strict=True)
    )


def data_uri(image: NDArray[np.uint8]) -> str:
    """An image [C, H, W] as a data URI: PNG as it is, or if it is large a smaller JPEG."""
    drawn = as_pil(image)
    content = io.BytesIO()
    if max(drawn.size) <= _LOSSLESS:
        drawn.save(content, format="PNG", optimize=True)
        kind = "png"
    else:
        drawn.thumbnail((_SIDE, _SIDE))
        drawn.save(content, format="JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def as_pil(image: NDArray[np.uint8]) -> Image.Image:
    """An image [C, H, W] for PIL: grey of one or two channels, RGB of three or more."""
    if len(image) < 3:  # noqa: PLR2004
        return Image.fromarray(image[0])
    return Image.fromarray(np.ascontiguousarray(image[:3].transpose(1, 2, 0)))


def most_classes(material: Material) -> int:
    """Classes that a gallery shows, so that a page stays small; of more those at both ends are shown."""
    channels, height, width = material.file.dataset.image_shape
    size = max(channels, 1) * height * width if max(height, width) <= _LOSSLESS else _PACKED
    of_class = 2 * EACH * len(material.file.scores) * max(size, 1)
    return max(2, min(_MOST_CLASSES, int(_MOST_BYTES / max(of_class, 1)) // 2 * 2))


def chosen_classes(means: Sequence[float | None], most: int) -> list[int]:
    """All classes that have a score, or of many those with the lowest and the highest means; ascending."""
    known = [label for label, mean in enumerate(means) if mean is not None]
    if len(known) <= most:
        return known
    ordered = sorted(known, key=lambda label: means[label] or 0.0)
    return sorted(ordered[: most // 2] + ordered[-most // 2 :])
