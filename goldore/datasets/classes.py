"""Samples by class."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def class_members(labels: NDArray[np.integer], num_classes: int) -> list[NDArray[np.int64]]:
    """Positions of each class's samples, ascending.

    Args:
        labels: [N], 0 to num_classes - 1.
        num_classes: K.

    Returns:
        K arrays of positions.
    """
    small = labels.astype(np.uint16) if num_classes <= 2**16 else labels  # 16 bits sort by radix
    order = np.argsort(small, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=num_classes))
    return np.split(order, ends[:-1])


def labels_digest(labels: NDArray[np.integer]) -> str:
    """What tells the labels of one training set, in their order, from another's: sha256, in hexadecimal.

    Classes are numbered in the order of their first samples before, since repositories number them as they
    like; little-endian int64.

    Args:
        labels: [N].
    """
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.argsort(np.argsort(first))
    return hashlib.sha256(ranks[codes].astype("<i8").data).hexdigest()
