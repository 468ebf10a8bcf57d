"""Arrays as users have them, turned into uint8 [N, C, H, W] images."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

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
_BLOCK_BYTES = 2**24  # of images converted at a time
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


class Scaling:
    """What the numbers in the images of a dataset mean: one scale for all of them, found as they come.

    Args:
        where: names the images in messages.
        of_train: scale of the training images, which these must have too; None: it is found.

    Attributes:
        scale: the first of all scales that all images so far may have. A later image may change it, see
            `rescale`.
        peak: the largest value of images of 16 bits, else 0.
    """

    def __init__(self, where: str, of_train: Scale | None = None) -> None:
        self._where = where
        self._left: tuple[Scale, ...] = get_args(Scale) if of_train is None else (of_train,)
        self._from = "the training images"
        self._peak, self._exact = 0, True

    @property
    def scale(self) -> Scale:
        """See the class."""
        return self._left[0]

    @property
    def peak(self) -> int:
        """See the class."""
        return self._peak if self.scale == "16 bits" else 0

    @property
    def changed(self) -> str:
        """How numbers became 8 bits; empty if they had them."""
        how = (" exactly" if self._exact else " with rounding") if self.scale == "0..1" else ""
        return f"{_WORDS[self.scale]}{how}" if self.scale else ""

    def in_bytes(self, array: NDArray[Any], first: int = 0) -> NDArray[np.uint8]:
        """Scale some images to 8 bits.

        Args:
            array: in any shape [n, ...].
            first: number of the first image, for messages.

        Returns:
            uint8 of the same shape.

        Raises:
            DatasetError: if there are NaN, values in no scale, or in another one than those before.
        """
        possible = _scales_of(array, self._where, first)
        left = tuple(each for each in self._left if each in possible)
        if not left:
            raise DatasetError(
                f"{self._where} holds {possible[0] or '8 bits'} in image {first}, and there are "
                f"{self.scale or '8 bits'} in {self._from}; make all images uint8, or floats in 0..1."
            )
        if left != self._left:
            self._left, self._from = left, f"image {first}"
        if array.dtype == np.uint16:
            self._peak = max(self._peak, int(array.max()))
        pixels, exact = _in_bytes(array, self.scale)
        self._exact = self._exact and exact
        return pixels


def rescale(pixels: NDArray[np.uint8], before: Scale, after: Scale) -> None:
    """Change images in place that were scaled as one scale, and turn out to have another that fits too.

    Args:
        pixels: uint8 [n, ...] as `Scaling.in_bytes` gave it.
        before: `Scaling.scale` then.
        after: `Scaling.scale` now.
    """
    for block in _blocks(pixels):
        values = block / _TOP8 if before == "0..1" else block.astype(np.uint16)
        block[:] = _in_bytes(values, after)[0]


def images_from_array(
    array: NDArray[Any], where: str, channels: Channels = "auto", scaling: Scaling | None = None
) -> Pixels:
    """Bring an array of images into the form uint8 [N, C, H, W].

    Args:
        array: [N, H, W] (grey), [N, H, W, C] or [N, C, H, W]; uint8, uint16 (scaled if a value is above 255),
            other whole numbers in 0..255, booleans, or floats in 0..1, or whole ones in 0..255.
        where: names the array in messages, for example "x_train in data.npz".
        channels: where the channels are; "auto" detects it from the axis of size 1 to 4.
        scaling: finds the scale, and knows it afterwards; None takes a new one.

    Returns:
        The images (a view where possible) and what was done to them.

    Raises:
        DatasetError: if the array holds NaN, values out of range, or has no clear channel axis.
    """
    if array.ndim == 0:
        raise DatasetError(f"{where} is one number; images must be [N, H, W], [N, H, W, C] or [N, C, H, W].")
    scaling = scaling or Scaling(where)
    pixels = scaling.in_bytes(array)
    images, detail = with_channels_first(pixels, where, channels)
    return Pixels(images, scaling.changed, detail)


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


def _scales_of(array: NDArray[Any], where: str, first: int) -> tuple[Scale, ...]:
    """All that the numbers of images may mean; what is black may mean anything.

    Args:
        array: images, in any shape [n, ...].
        where: names it in messages.
        first: number of the first image, for messages.

    Raises:
        DatasetError: if that cannot be told, or there are NaN; the message says how to mend it.
    """
    if array.dtype == np.uint8:
        return ("",)
    if array.size == 0:
        raise DatasetError(f"{where} is empty; there must be at least one image.")
    kind = array.dtype.kind
    if kind == "b":
        return ("true or false",)
    if kind not in "iuf":
        raise DatasetError(
            f"{where} is {array.dtype}; images must be whole numbers in 0..255, or floats in 0..1."
        )
    if kind == "f":
        for block in _blocks(array):
            if not np.isfinite(block).all():
                bad = int(np.argmax(~np.isfinite(block.reshape(len(block), -1)).all(axis=1)))
                raise DatasetError(
                    f"{where} holds NaN or infinite pixels (first in image {first + bad}); repair the data."
                )
            first += len(block)
    low, high = array.min(), array.max()
    if low == high == 0:
        return get_args(Scale)
    found = tuple(
        scale
        for scale, dtypes, least, most in _SCALES
        if kind in dtypes and low >= least and high <= most and _SUITS[scale](array)
    )
    if not found:
        raise DatasetError(
            f"{where} has pixels from {low:g} to {high:g}; {_remedy(kind, float(low), float(high))}."
        )
    return found


def _remedy(kind: str, low: float, high: float) -> str:
    """What to do about numbers that are in none of the scales."""
    if kind in "iu":
        return "whole numbers must lie in 0..255, or be uint16; scale them"
    if low >= 0 and high <= _TOP8 + 0.5:
        return "floats must lie in 0..1; divide by 255"
    if low >= -1 - _OVERSHOOT and high <= 1 + _OVERSHOOT:
        return "floats must lie in 0..1, not normalised to -1..1; add 1 and divide by 2"
    return "floats must lie in 0..1, not normalised; leave the normalisation out"


def _in_bytes(array: NDArray[Any], scale: Scale) -> tuple[NDArray[np.uint8], bool]:
    """Images [n, ...] in 8 bits, and whether nothing was rounded."""
    if array.dtype == np.uint8:
        return array, True
    if scale in ("", "0..255"):
        return array.astype(np.uint8), True
    if scale == "true or false":
        return array.astype(np.uint8) * np.uint8(_TOP8), True
    pixels = np.empty(array.shape, dtype=np.uint8)
    factor = 1 / 257 if scale == "16 bits" else float(_TOP8)
    exact = True
    for block, target in zip(_blocks(array), _blocks(pixels, array.itemsize), strict=True):
        scaled = block * factor
        rounded = np.clip(np.round(scaled), 0, _TOP8)
        exact = exact and bool((np.abs(scaled - rounded) <= _ROUNDING).all())
        target[:] = rounded
    return pixels, exact


def _blocks(array: NDArray[Any], itemsize: int | None = None) -> Iterator[NDArray[Any]]:
    """An array in parts along its first axis, each of few bytes as numbers of so many bytes."""
    step = max(1, _BLOCK_BYTES // max(1, array[:1].size * (itemsize or array.itemsize)))
    return (array[start : start + step] for start in range(0, len(array), step))


def _is_uint16(array: NDArray[Any]) -> bool:
    return array.dtype == np.uint16


def _all_whole(array: NDArray[Any]) -> bool:
    return all(bool((block == np.round(block)).all()) for block in _blocks(array))


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
