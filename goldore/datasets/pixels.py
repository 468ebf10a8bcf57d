"""Arrays as users have them, turned into uint8 [N, C, H, W] images and int64 [N] labels."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goldore.errors import DatasetError

Channels = Literal["auto", "first", "last"]
EXACTLY, WITH_ROUNDING = "exactly", "with rounding"  # how the notes on converted floats end
_BLOCK = 1024  # images converted at a time
_CHANNEL_COUNTS = (1, 2, 3, 4)
_ROUNDING = 1e-3  # how far, in 1/255, a float may lie from an 8-bit value and still be called exact


def images_from_array(
    array: NDArray[Any], where: str, channels: Channels = "auto", first: int = 0
) -> tuple[NDArray[np.uint8], list[str]]:
    """Bring an array of images into the form uint8 [N, C, H, W].

    Args:
        array: [N, H, W] (grey), [N, H, W, C] or [N, C, H, W]; uint8, or floats in 0..1.
        where: names the array in messages, for example "x_train in data.npz".
        channels: where the channels are; "auto" detects it from the axis of size 1 to 4.
        first: number of the first image, for messages.

    Returns:
        The images (a view where possible) and notes on what was detected, one sentence each.

    Raises:
        DatasetError: if the array holds NaN, values out of range, or has no clear channel axis.
    """
    if array.ndim not in {3, 4}:
        raise DatasetError(
            f"{where} has shape {array.shape}; images must be [N, H, W], [N, H, W, C] or [N, C, H, W]."
        )
    pixels, notes = _to_uint8(array, where, first)
    if pixels.ndim == 3:  # noqa: PLR2004
        return pixels[:, None], [*notes, f"{where}: grey images [N, H, W]"]
    position = channels if channels != "auto" else _detect(pixels.shape, where)
    order = "[N, C, H, W]" if position == "first" else "[N, H, W, C]"
    if channels == "auto":
        notes.append(f"{where}: channels {position}, {order}")
    return (pixels if position == "first" else pixels.transpose(0, 3, 1, 2)), notes


def labels_from_array(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Bring an array of labels into the form int64 [N]; a trailing axis of size 1 is dropped.

    Raises:
        DatasetError: if the labels are not whole numbers, one a sample.
    """
    if array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004
        array = array[:, 0]
    whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and bool(np.isfinite(array).all()) and bool((array == np.round(array)).all())
    )
    if array.ndim != 1 or not whole:
        raise DatasetError(
            f"{where} is {array.dtype} of shape {array.shape}; labels must be whole numbers, one a sample."
        )
    return array.astype(np.int64)


def numbered_classes(labels: NDArray[np.int64]) -> tuple[str, ...]:
    """Names "0", "1", ... up to the largest label, but never more than samples: each class has one."""
    largest = min(int(labels.max(initial=0)), max(len(labels) - 1, 0))
    return tuple(str(label) for label in range(largest + 1))


def _to_uint8(array: NDArray[Any], where: str, first: int) -> tuple[NDArray[np.uint8], list[str]]:
    if array.dtype == np.uint8:
        return array, []
    if array.size == 0:
        raise DatasetError(f"{where} is empty; there must be at least one image.")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            bad = int(np.argmax(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
            raise DatasetError(
                f"{where} holds NaN or infinite pixels (first in image {first + bad}); repair the data."
            )
        _check_range(array, where, 1, "floats must lie in 0..1, not normalised")
        pixels = np.empty(array.shape, dtype=np.uint8)
        exact = True
        for start in range(0, len(array), _BLOCK):
            scaled = array[start : start + _BLOCK] * 255
            rounded = np.round(scaled)
            exact = exact and bool((np.abs(scaled - rounded) <= _ROUNDING).all())
            pixels[start : start + _BLOCK] = rounded
        how = EXACTLY if exact else WITH_ROUNDING
        return pixels, [f"{where}: floats in 0..1 converted to 8 bits {how}"]
    if array.dtype.kind in "iu":
        _check_range(array, where, 255, "whole numbers must lie in 0..255")
        return array.astype(np.uint8), []
    raise DatasetError(f"{where} is {array.dtype}; images must be uint8, or floats in 0..1.")


def _check_range(array: NDArray[Any], where: str, top: int, rule: str) -> None:
    low, high = array.min(), array.max()
    if low < 0 or high > top:
        raise DatasetError(f"{where} has pixels from {low:g} to {high:g}; {rule}.")


def _detect(shape: tuple[int, ...], where: str) -> Literal["first", "last"]:
    first, last = shape[1] in _CHANNEL_COUNTS, shape[3] in _CHANNEL_COUNTS
    if first == last:
        why = "both its second and its last axis" if first else "neither its second nor its last axis"
        raise DatasetError(
            f"{where} has shape {shape}, and {why} could hold 1 to 4 channels; use `channels` first or last."
        )
    return "first" if first else "last"
