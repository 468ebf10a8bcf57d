"""A look at a few images of many, for a dry run: one stands for all, and what decoding all takes is said."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.cache import Cache, free_space
from goldore.datasets.reading import Findings
from goldore.wording import size, took

MANY, LOOKED_AT = 20_000, 256
"""Images from which a dry run decodes only so many."""


def glance(
    image: NDArray[Any], number: int, rate: float, split: str, cache: Cache, findings: Findings
) -> NDArray[Any]:
    """One image that stands for all of a split, as `goldore.datasets.dataset.is_glance` knows it.

    Args:
        image: uint8, in any shape.
        number: of all images, N.
        rate: images that are decoded in a second.
        split: "train" or "test".
        cache: where all would be kept.
        findings: hears what decoding all takes.

    Returns:
        [N, ...], without memory of its own.
    """
    taken, free = number * image.nbytes, free_space(cache.folder)
    if taken > free:
        findings.warnings.append(
            f"the decoded images of {split} take {size(taken)}, and {cache.folder} has {size(free)} left; "
            "name a larger disk with `cache`, or use a smaller `image_size`."
        )
    findings.notes.append(
        f"{split} is decoded once, in about {took(number / rate)} ({rate:,.0f} images/s measured), into "
        f"{size(taken)} in {cache.folder}, where {size(free)} are free"
    )
    return np.broadcast_to(image, (number, *image.shape))
