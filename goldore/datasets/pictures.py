"""Images as Pillow opens them, from files or in memory, brought to 8 bits without transparency.

This is the one place that decides what a mode of Pillow becomes; docs/datasets.md has the table. Everything
that the installed Pillow decodes is read, but for formats that start other programs or hold no picture.
"""

import dataclasses
import functools
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goldore.datasets.reading import Findings, SplitReading, counts
from goldore.errors import DatasetError, reason
from goldore.wording import count

WIDE, FLOATS = "16 bits scaled to 8", "floats in 0..1 scaled to 8 bits"
ON_WHITE = "transparent parts put on white"
FIRST_FRAME = "first of several frames"
AS_STORED = "read as stored, though the camera was turned (EXIF)"

_NO_PICTURES = {"EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # Ghostscript is started, or nothing is decoded
_MOST_PIXELS = 89_478_485  # Pillow's own limit, above which it warns
_SCALED = ("PNG", "PPM")  # formats whose images of mode I have 16 bits, as older versions of Pillow give them
_GREY = ("1", "L", "LA", "La", "I", "F")
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_TWELVE_BITS = 4095
_ORIENTATION = 0x0112  # EXIF
_MOST_NAMED, _MOST_DAMAGED = 5, 1000
_NO_PIXELS = np.empty(0, dtype=np.uint8)


@dataclass(frozen=True)
class Picture:
    """One image in 8 bits.

    Attributes:
        pixels: uint8 [H, W] of a grey image, else [H, W, 3].
        mode: Pillow's, as it was.
        size: "height x width", as it was.
        changed: how it was brought to this form, if that is more than a conversion of colours.
        peak: the largest value of an image of 16 bits, else 0.
    """

    pixels: NDArray[np.uint8]
    mode: str
    size: str
    changed: tuple[str, ...] = ()
    peak: int = 0

    @property
    def is_grey(self) -> bool:
        """Whether it has no axis of colours."""
        return self.pixels.ndim == 2  # noqa: PLR2004


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Suffixes of files that the installed Pillow decodes, in lower case, with the dot."""
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in _formats())


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(kind for kind in Image.OPEN if kind not in _NO_PICTURES)


def picture(image: Image.Image, image_size: int | None = None) -> Picture:
    """Bring an image to 8 bits, grey or RGB.

    16 bits are scaled (divided by 257), floats in 0..1 likewise; where alpha is below its full value, the
    image is put on white. Any other wide mode is refused, since its range is not known.

    Args:
        image: of any mode.
        image_size: resize the shorter side to this many pixels (bilinear, antialiased), then crop the centre
            square; None leaves the size.

    Raises:
        ValueError: if the mode cannot be brought to 8 bits, or the image is absurdly long.
    """
    width, height = image.size
    if image_size is not None and image_size**2 * max(image.size) > _MOST_PIXELS * min(image.size):
        raise ValueError(f"{width}x{height} is too long a strip to be resized")
    changed = []
    if getattr(image, "is_animated", False) and image.format != "MPO":  # of a photograph: a preview
        changed.append(FIRST_FRAME)
    if "exif" in image.info and image.getexif().get(_ORIENTATION, 1) != 1:
        changed.append(AS_STORED)
    plain, how, peak = _in_8_bits(image)
    if image_size is not None:
        from torchvision.transforms.v2 import functional as transforms

        plain = transforms.center_crop(transforms.resize(plain, [image_size], antialias=True), [image_size])
    return Picture(np.asarray(plain), image.mode, f"{height}x{width}", (*changed, *how), peak)


def open_picture(file: Path | IO[bytes], image_size: int | None = None) -> Picture:
    """Decode an image file, or one in memory.

    Raises:
        Exception: whatever Pillow raises at a damaged file; ValueError as `picture`.
    """
    with Image.open(file, formats=_formats()) as opened:
        opened.load()
        return picture(opened, image_size)


def _in_8_bits(image: Image.Image) -> tuple[Image.Image, list[str], int]:
    """The image as L or RGB, how it came to that, and the largest value of 16 bits."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _SCALED):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise ValueError("it is of 32 bits, whose range is not known; convert it to 8 or 16 bits")
        return Image.fromarray(np.round(values / 257).astype(np.uint8)), [WIDE], int(values.max())
    if image.mode == "F":
        floats = np.asarray(image)
        if not (np.isfinite(floats).all() and floats.min() >= 0 and floats.max() <= 1):
            raise ValueError(
                "it holds floats outside of 0..1, whose range is not known; convert it to 8 bits"
            )
        return Image.fromarray(np.round(floats * 255).astype(np.uint8)), [FLOATS], 0
    if image.mode == "I":
        raise ValueError("it is of 32 bits, whose range is not known; convert it to 8 or 16 bits")
    target = "L" if image.mode in _GREY else "RGB"
    if image.mode in _ALPHA or "transparency" in image.info:
        coloured = image.convert("RGBA")
        if coloured.getchannel("A").getextrema() != (255, 255):
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, coloured).convert("RGB").convert(target), [ON_WHITE], 0
        return coloured.convert("RGB").convert(target), [], 0
    return image if image.mode == target else image.convert(target), [], 0


class Tally:
    """Counts what pictures were and became.

    Args:
        findings: gets the changes.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.forms: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self._peak = 0

    def add(self, seen: Picture) -> None:
        """Count a picture."""
        self.forms[seen.mode] += 1
        self.sizes[seen.size] += 1
        self._findings.changed.update(seen.changed)
        self._peak = max(self._peak, seen.peak)

    def split(self, split: str, where: str, suffixes: Counter[str] | None = None) -> None:
        """Say that this was all of a split."""
        images = self.forms.total()
        self._findings.splits.append(
            SplitReading(
                split, where, images, counts(self.forms), counts(self.sizes), counts(suffixes or Counter())
            )
        )
        if 0 < self._peak <= _TWELVE_BITS:
            self._findings.warnings.append(
                f"the 16-bit images of {where} use values up to {count(self._peak)} of 65,535 alone, so that "
                "they are dark in 8 bits; stretch them if they have 12 bits or fewer."
            )


def decode(files: Sequence[Path], image_size: int | None, tally: Tally | None = None) -> NDArray[np.uint8]:
    """Decode image files as RGB, in threads.

    Args:
        files: at least one.
        image_size: as of `picture`.
        tally: counts what they were.

    Returns:
        uint8 [len(files), 3, height, width].

    Raises:
        DatasetError: if files are damaged, an image is absurdly large or, without image_size, sizes differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return _decode_all(files, image_size, tally or Tally(Findings()))


def _decode_all(files: Sequence[Path], image_size: int | None, tally: Tally) -> NDArray[np.uint8]:
    work = _Decoding(files, image_size)
    first = 0
    while work.images is None and first < len(files):  # its size is that of the others
        work.read(first)
        first += 1
    with ThreadPoolExecutor() as threads:
        try:
            for _ in threads.map(work.read, range(first, len(files))):
                if len(work.damaged) > _MOST_DAMAGED:
                    break
        finally:
            threads.shutdown(cancel_futures=True)
    if work.images is None or work.damaged:
        damaged = sorted(work.damaged.items())
        raise DatasetError(_about_damaged([(files[position], why) for position, why in damaged]))
    if len(work.shapes) > 1:
        raise DatasetError(_about_sizes(files, work.shapes))
    for seen in work.seen:
        tally.add(seen)
    return work.images


class _Decoding:
    """Decodes files in any order, on any thread.

    Attributes:
        images: uint8 [number of files, 3, H, W]; None until one was decoded.
        seen: what the files were, without their pixels.
        damaged: why files could not be decoded, by position.
        shapes: of the first that was decoded, and of those that differ from it, by position.
    """

    def __init__(self, files: Sequence[Path], image_size: int | None) -> None:
        self.images: NDArray[np.uint8] | None = None
        self.seen: list[Picture] = []
        self.damaged: dict[int, str] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}
        self._files, self._image_size = files, image_size

    def read(self, position: int) -> None:
        """Decode one file."""
        try:
            seen = open_picture(self._files[position], self._image_size)
        except Exception as error:  # noqa: BLE001 - Pillow raises what it likes
            self.damaged[position] = reason(error)
            return
        shape, pixels = (3, *seen.pixels.shape[:2]), seen.pixels
        if self.images is None:
            self.images = _room(len(self._files), shape)
            self.shapes[position] = shape
        if shape != self.images.shape[1:]:
            self.shapes[position] = shape
            return
        self.images[position] = pixels if seen.is_grey else pixels.transpose(2, 0, 1)
        self.seen.append(dataclasses.replace(seen, pixels=_NO_PIXELS))


def _room(number: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        return np.empty((number, *shape), dtype=np.uint8)
    except MemoryError:
        raise DatasetError(
            f"{number} images of {shape[1]}x{shape[2]} do not fit into memory; "
            "use `image_size` with a smaller one."
        ) from None


def _about_sizes(files: Sequence[Path], shapes: dict[int, tuple[int, ...]]) -> str:
    """Say which images differ, given the shapes of the first, and of those of another size."""
    usual, other = sorted(shapes)[:2]
    sizes = [f"{shapes[each][1]}x{shapes[each][2]}" for each in (usual, other)]
    return (
        f"images differ in size ({files[usual].name} is {sizes[0]}, {files[other].name} {sizes[1]}; in all "
        f"{count(len(shapes) - 1)} differ from the first); use `image_size`."
    )


def _about_damaged(damaged: Sequence[tuple[Path, str]]) -> str:
    if len(damaged) == 1:
        return f"{damaged[0][0]} cannot be decoded as an image ({damaged[0][1]}); repair or remove it."
    number = f"more than {count(_MOST_DAMAGED)}" if len(damaged) > _MOST_DAMAGED else count(len(damaged))
    named = ", ".join(f"{file} ({why})" for file, why in damaged[:_MOST_NAMED])
    more = " and others" if len(damaged) > _MOST_NAMED else ""
    return f"{number} files cannot be decoded as images: {named}{more}; repair or remove them."
