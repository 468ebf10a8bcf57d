"""Paths of a dataset's files, as its samples are numbered. Nothing here decodes images."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
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


def relative_paths(files: Sequence[Path], folder: Path) -> tuple[str, ...]:
    """The path of each file below a folder that it lies in, with forward slashes."""
    start = 0 if folder == Path() else len(str(folder).rstrip(os.sep)) + 1
    return tuple(str(file)[start:].replace(os.sep, "/") for file in files)
