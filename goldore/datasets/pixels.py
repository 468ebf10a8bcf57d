"""Arrays as users have them, turned into uint8 [N, C, H, W] images."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldore.errors import DatasetError

Channels = Literal["auto", "first", "last"]
Scale = Literal["", "0..1", "0..255", "16 bits", "true or false"]
"""What numbers in an array mean: nothing to be done, or how they become 8 bits."""

_WORDS = {
    "0..1": "floats in 0..1 converted to 8 bits",
    "0..255": "floats in 0..255, all whole, taken as 8 bits",
    "16 bits": "16 bits scaled to 8",
    "true or false": "true and false became 255 and 0",
}
_BLOCK = 1024  # images converted at a time
_CHANNEL_COUNTS = (1, 2, 3, 4)
_ROUNDING = 1e-3  # how far, in 1/255, a float may lie from an 8-bit value and still be called exact
_OVERSHOOT = 0.5 / 255  # how far resizing and rounding may carry a float out of 0..1; it is clipped
_TOP8, _TOP16 = 255, 65535
_SCALES: tuple[tuple[Scale, str, float, float], ...] = (  # kinds of dtype, smallest and largest value
    ("", "iu", 0, _TOP8),
    ("16 bits", "iu", 0, _TOP16),
    ("0..1", "f", -_OVERSHOOT, 1 + _OVERSHOOT),
    ("0..255", "f", 0, _TOP8),
)


class Pixels(NamedTuple):
    """Images and what was done to them.

    Attributes:
        images: uint8 [N, C, H, W].
        changed: how numbers became 8 bits; empty if they had them.
        detail: where the channels were, if that was detected; else empty.
    """

    images: NDArray[np.uint8]
    changed: str
    detail: str


def images_from_array(array: NDArray[Any], where: str, channels: Channels = "auto", first: int = 0) -> Pixels:
    """Bring an array of images into the form uint8 [N, C, H, W].

    Args:
        array: [N, H, W] (grey), [N, H, W, C] or [N, C, H, W]; uint8, uint16 (scaled if a value is above 255),
            other whole numbers in 0..255, booleans, or floats in 0..1, or whole ones in 0..255.
        where: names the array in messages, for example "x_train in data.npz".
        channels: where the channels are; "auto" detects it from the axis of size 1 to 4.
        first: number of the first image, for messages.

    Returns:
        The images (a view where possible) and what was done to them.

    Raises:
        DatasetError: if the array holds NaN, values out of range, or has no clear channel axis.
    """
    if array.ndim == 0:
        raise DatasetError(f"{where} is one number; images must be [N, H, W], [N, H, W, C] or [N, C, H, W].")
    scale = scale_of(array, where, first)
    pixels, exact = in_bytes(array, scale)
    images, detail = with_channels_first(pixels, where, channels)
    return Pixels(images, how_scaled(scale, exact=exact), detail)


def with_channels_first(
    pixels: NDArray[np.uint8], where: str, channels: Channels
) -> tuple[NDArray[np.uint8], str]:
    """Bring [N, H, W], [N, H, W, C] or [N, C, H, W] into the form [N, C, H, W], and say what was detected."""
    if pixels.ndim not in {3, 4}:
        raise DatasetError(
            f"{where} has shape {pixels.shape}; images must be [N, H, W], [N, H, W, C] or [N, C, H, W]."
        )
    if pixels.ndim == 3:  # noqa: PLR2004
        return pixels[:, None], f"{where}: grey images [N, H, W]"
    position = channels if channels != "auto" else _detect(pixels.shape, where)
    order = "[N, C, H, W]" if position == "first" else "[N, H, W, C]"
    detail = f"{where}: channels {position}, {order}" if channels == "auto" else ""
    return (pixels if position == "first" else pixels.transpose(0, 3, 1, 2)), detail


def scale_of(array: NDArray[Any], where: str, first: int = 0) -> Scale:
    """What the numbers of an array mean.

    Args:
        array: images, in any shape [n, ...].
        where: names it in messages.
        first: number of the first image, for messages.

    Raises:
        DatasetError: if that cannot be told, or there are NaN; the message says how to mend it.
    """
    if array.dtype == np.uint8:
        return ""
    if array.size == 0:
        raise DatasetError(f"{where} is empty; there must be at least one image.")
    kind = array.dtype.kind
    if kind == "b":
        return "true or false"
    if kind not in "iuf":
        raise DatasetError(
            f"{where} is {array.dtype}; images must be whole numbers in 0..255, or floats in 0..1."
        )
    if kind == "f" and not np.isfinite(array).all():
        bad = int(np.argmax(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
        raise DatasetError(
            f"{where} holds NaN or infinite pixels (first in image {first + bad}); repair the data."
        )
    low, high = array.min(), array.max()
    for scale, dtypes, least, most in _SCALES:
        if kind in dtypes and low >= least and high <= most and _SUITS[scale](array):
            return scale
    raise DatasetError(
        f"{where} has pixels from {low:g} to {high:g}; {_remedy(kind, float(low), float(high))}."
    )


def _remedy(kind: str, low: float, high: float) -> str:
    """What to do about numbers that are in none of the scales."""
    if kind in "iu":
        return "whole numbers must lie in 0..255, or be uint16; scale them"
    if low >= 0 and high <= _TOP8 + 0.5:
        return "floats must lie in 0..1; divide by 255"
    if low >= -1 - _OVERSHOOT and high <= 1 + _OVERSHOOT:
        return "floats must lie in 0..1, not normalised to -1..1; add 1 and divide by 2"
    return "floats must lie in 0..1, not normalised; leave the normalisation out"


def in_bytes(array: NDArray[Any], scale: Scale) -> tuple[NDArray[np.uint8], bool]:
    """Scale numbers to 8 bits.

    Args:
        array: images, in any shape [n, ...].
        scale: what they mean.

    Returns:
        uint8 of the same shape, and whether nothing was rounded.
    """
    if array.dtype == np.uint8:
        return array, True
    if scale in ("", "0..255"):
        return array.astype(np.uint8), True
    if scale == "true or false":
        return array.astype(np.uint8) * np.uint8(_TOP8), True
    pixels = np.empty(array.shape, dtype=np.uint8)
    factor = 1 / 257 if scale == "16 bits" else float(_TOP8)
    exact = True
    for start in range(0, len(array), _BLOCK):
        scaled = array[start : start + _BLOCK] * factor
        rounded = np.clip(np.round(scaled), 0, _TOP8)
        exact = exact and bool((np.abs(scaled - rounded) <= _ROUNDING).all())
        pixels[start : start + _BLOCK] = rounded
    return pixels, exact


def how_scaled(scale: Scale, *, exact: bool) -> str:
    """Say how numbers became 8 bits; empty if they had them."""
    how = (" exactly" if exact else " with rounding") if scale == "0..1" else ""
    return f"{_WORDS[scale]}{how}" if scale else ""


def _is_uint16(array: NDArray[Any]) -> bool:
    return array.dtype == np.uint16


def _all_whole(array: NDArray[Any]) -> bool:
    return all(
        bool((block == np.round(block)).all())
        for block in (array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK))
    )


def _detect(shape: tuple[int, ...], where: str) -> Literal["first", "last"]:
    first, last = shape[1] in _CHANNEL_COUNTS, shape[3] in _CHANNEL_COUNTS
    if first == last:
        why = "both its second and its last axis" if first else "neither its second nor its last axis"
        raise DatasetError(
            f"{where} has shape {shape}, and {why} could hold 1 to 4 channels; use `channels` first or last."
        )
    return "first" if first else "last"


_SUITS: dict[Scale, Callable[[NDArray[Any]], bool]] = {
    "": lambda _: True,
    "16 bits": _is_uint16,
    "0..1": lambda _: True,
    "0..255": _all_whole,
}
