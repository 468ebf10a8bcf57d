"""Paths of a dataset's files, as its samples are numbered. Nothing here decodes images."""

from pathlib import PurePath
from typing import Any


def paths_of(dataset: Any) -> tuple[str, ...] | None:
    """Paths of a dataset's files relative to its root, as torchvision's ImageFolder has them; else None."""
    try:
        root, samples = dataset.root, dataset.samples
        return tuple(PurePath(file).relative_to(root).as_posix() for file, _ in samples)
    except (AttributeError, TypeError, ValueError):
        return None


def same_file(one: str, two: str) -> bool:
    """Whether two relative paths may be those of one file: one ends in the other."""
    return one == two or one.endswith(f"/{two}") or two.endswith(f"/{one}")
