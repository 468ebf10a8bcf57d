"""Images as Pillow opens them, from files or in memory, brought to 8 bits without transparency.

This is the one place that decides what a mode of Pillow becomes; docs/datasets.md has the table. Everything
that the installed Pillow decodes is read, but for formats that start other programs or hold no picture.
"""

import functools
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goldore.datasets.cache import Memory, Room, stats_of
from goldore.datasets.reading import Tally
from goldore.errors import DatasetError, reason
from goldore.wording import count

WIDE, FLOATS = "16 bits scaled to 8", "floats in 0..1 scaled to 8 bits"
CUT = "16 bits a colour, of which Pillow reads the upper 8"
ON_WHITE = "transparent parts put on white"
FIRST_FRAME = "first of several frames"
AS_STORED = "read as stored, though the camera was turned (EXIF)"

_NO_PICTURES = {"EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # Ghostscript is started, or nothing is decoded
_MOST_PIXELS = 89_478_485  # Pillow's own limit, above which it warns
_SCALED = ("PNG", "PPM")  # formats whose images of mode I have 16 bits, as older versions of Pillow give them
_GREY = ("1", "L", "LA", "La", "I", "F")
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_CUT = ("RGB", "RGBA", "LA")  # modes of 8 bits in which Pillow opens files that have 16
_BLOCKS_AHEAD = 2  # that threads decode while one is written
_ORIENTATION = 0x0112  # EXIF
_MOST_NAMED, _MOST_DAMAGED = 5, 1000
_SIDES = (32, 64, 128, 224)  # that are in use


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
        is_cut = opened.mode in _CUT and any(";16" in str(tile[3]) for tile in opened.tile)
        opened.load()
        seen = picture(opened, image_size)
        if is_cut:
            peak = max(int(high) for _, high in opened.convert("RGB").getextrema())  # type: ignore[misc]
            seen = replace(seen, changed=(*seen.changed, CUT), peak=peak << 8 | 255)
        return seen


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


def decode(
    files: Sequence[Path],
    image_size: int | None,
    tally: Tally | None = None,
    room: Room | None = None,
    root: Path | None = None,
) -> NDArray[np.uint8]:
    """Decode image files as RGB, in threads.

    Args:
        files: at least one.
        image_size: as of `picture`.
        tally: counts what they were.
        room: where the images go; None: into memory.
        root: folder in which all files lie, for a room that remembers them.

    Returns:
        uint8 [len(files), 3, height, width].

    Raises:
        DatasetError: if files are damaged, an image is absurdly large or, without image_size, sizes differ.
        OSError: if the room is on a disk, and that has too little.
    """
    room, tally = room or Memory(), tally if tally is not None else Tally()
    stats = stats_of(files, root) if root is not None else []
    images = room.known(stats, tally)
    if images is not None:
        return images
    with room.held():
        images = room.known(stats, tally)  # another process may have made them
        if images is not None:
            return images
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _fill(room, files, image_size, stats)
        return room.finish(tally)


def _fill(room: Room, files: Sequence[Path], image_size: int | None, stats: Sequence[str]) -> None:
    """Decode the blocks that a room lacks."""
    work = _Decoding(files, image_size)
    first = 0
    while work.shape is None and first < len(files) and len(work.damaged) <= _MOST_DAMAGED:
        work.read(first)  # its size is that of the others
        first += 1
    if work.shape is not None:
        waiting = deque(room.begin(len(files), work.shape, stats))
        with ThreadPoolExecutor() as threads:
            try:
                ahead: deque[tuple[range, list[Future[Picture | None]]]] = deque()
                while (waiting or ahead) and len(work.damaged) <= _MOST_DAMAGED:
                    while waiting and len(ahead) < _BLOCKS_AHEAD:
                        block = waiting.popleft()
                        ahead.append((block, [threads.submit(work.read, each) for each in block]))
                    block, futures = ahead.popleft()
                    pictures = [each for each in (future.result() for future in futures) if each is not None]
                    if len(pictures) == len(block):
                        _keep(room, block, pictures, work.shape)
            finally:
                threads.shutdown(cancel_futures=True)
    if work.shape is None or work.damaged:
        damaged = sorted(work.damaged.items())
        raise DatasetError(_about_damaged([(files[position], why) for position, why in damaged]))
    if work.differs:
        raise DatasetError(_about_sizes(files, work.shapes))


def _keep(room: Room, block: range, pictures: Sequence[Picture], shape: tuple[int, ...]) -> None:
    images, seen = np.empty((len(block), *shape), dtype=np.uint8), Tally()
    for place, each in enumerate(pictures):
        images[place] = each.pixels if each.is_grey else each.pixels.transpose(2, 0, 1)
        seen.add(each)
    room.keep(block, images, seen)


class _Decoding:
    """Decodes files in any order, on any thread.

    Attributes:
        shape: [3, H, W], of the first that was decoded; None until then.
        damaged: why files could not be decoded, by position.
        shapes: of the first that was decoded, and of those that differ from it, by position.
    """

    def __init__(self, files: Sequence[Path], image_size: int | None) -> None:
        self.shape: tuple[int, ...] | None = None
        self.damaged: dict[int, str] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}
        self._files, self._image_size = files, image_size

    @property
    def differs(self) -> bool:
        """Whether images have different sizes."""
        return len(self.shapes) > 1

    def read(self, position: int) -> Picture | None:
        """Decode one file; None if it cannot be, or has another size than the first."""
        try:
            seen = open_picture(self._files[position], self._image_size)
        except Exception as error:  # noqa: BLE001 - Pillow raises what it likes
            self.damaged[position] = reason(error).replace(f" {str(self._files[position])!r}", "")
            return None
        shape = (3, *seen.pixels.shape[:2])
        if self.shape is None:
            self.shape = shape
            self.shapes[position] = shape
        if shape != self.shape:
            self.shapes[position] = shape
            return None
        return seen


def _about_sizes(files: Sequence[Path], shapes: dict[int, tuple[int, ...]]) -> str:
    """Say which images differ, given the shapes of the first, and of those of another size."""
    usual, other = sorted(shapes)[:2]
    sizes = [f"{shapes[each][1]}x{shapes[each][2]}" for each in (usual, other)]
    shortest = min(min(shape[1:]) for shape in shapes.values())
    side = max((each for each in _SIDES if each <= shortest), default=shortest)
    return (
        f"images differ in size ({files[usual].name} is {sizes[0]}, {files[other].name} {sizes[1]}, height x "
        f"width; in all {count(len(shapes) - 1)} differ from the first); resize them, for example with "
        f"`image_size` {side}."
    )


def _about_damaged(damaged: Sequence[tuple[Path, str]]) -> str:
    if len(damaged) == 1:
        return f"{damaged[0][0]} cannot be decoded as an image ({damaged[0][1]}); repair or remove it."
    number = f"more than {count(_MOST_DAMAGED)}" if len(damaged) > _MOST_DAMAGED else count(len(damaged))
    named = ", ".join(f"{file} ({why})" for file, why in damaged[:_MOST_NAMED])
    more = " and others" if len(damaged) > _MOST_NAMED else ""
    return f"{number} files cannot be decoded as images: {named}{more}; repair or remove them."
