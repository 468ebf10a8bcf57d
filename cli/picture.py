"""A small image on a terminal: half blocks where there are colours, shades where there are none."""

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

_MOST_COLUMNS = 64
_SHADES, _ASCII_SHADES = " ░▒▓█", " .:-=+*#%@"
_HALF = "▀"


def show_picture(console: "Console", image: "NDArray[np.uint8]") -> None:
    """Print an image, made smaller if it is wider than the terminal; light is drawn as full.

    Args:
        console: to print on.
        image: uint8 [C, H, W].
    """
    blocks = console.encoding.lower().startswith("utf")
    coloured = blocks and console.is_terminal and console.color_system is not None and not console.no_color
    room = min(_MOST_COLUMNS, console.width)
    pixels = _pixels(image, room if coloured else room // 2)
    if coloured:
        for upper in range(0, len(pixels), 2):
            console.print(*_half_blocks(pixels[upper : upper + 2]), sep="", end="\n", soft_wrap=True)
        return
    shades = _SHADES if blocks else _ASCII_SHADES
    grey = pixels.mean(axis=2)
    for row in grey:
        marks = (shades[min(int(value / 256 * len(shades)), len(shades) - 1)] * 2 for value in row)
        console.print(Text("".join(marks).rstrip()), soft_wrap=True)


def _pixels(image: "NDArray[np.uint8]", columns: int) -> "NDArray[np.uint8]":
    """The image as RGB, uint8 [H, W, 3], at most so many columns wide and as many rows high."""
    import numpy as np
    from PIL import Image

    from goldore.report.gallery import as_pil

    drawn = as_pil(image).convert("RGB")
    if max(drawn.size) > columns:
        factor = columns / max(drawn.size)
        drawn = drawn.resize(
            (max(1, round(drawn.width * factor)), max(1, round(drawn.height * factor))), Image.Resampling.BOX
        )
    return np.asarray(drawn)


def _half_blocks(rows: "NDArray[np.uint8]") -> list[Text]:
    """One or two rows of pixels as one row of characters."""
    marks = []
    for column in range(rows.shape[1]):
        top = "#{:02x}{:02x}{:02x}".format(*rows[0, column])
        below = " on #{:02x}{:02x}{:02x}".format(*rows[1, column]) if len(rows) > 1 else ""
        marks.append(Text(_HALF, top + below))
    return marks
