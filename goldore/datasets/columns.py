"""How tables call their images and labels. Nothing here reads any."""

from typing import Any

IMAGES = ("image", "img", "images", "pixel_values", "picture", "png", "jpg", "jpeg", "webp")
LABELS = ("label", "labels", "fine_label", "target", "targets", "class", "cls")
"""Names of columns and of keys of items, the likeliest first."""


def is_table(dataset: Any) -> bool:
    """Whether it is a dataset of Hugging Face's library."""
    return all(hasattr(dataset, name) for name in ("column_names", "features", "select"))
