"""What all figures share: colours, fonts, sizes, axes, and names that the font can write."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from goldore.report.records import ClassRecord, KeptClass

# Okabe and Ito's colours, which people with any kind of colour vision tell apart (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
RED, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
GREY, LIGHT = "#555555", "#BBBBBB"
DENSITY = "cividis"  # grows in lightness, and looks nearly the same to all
WIDTH, TEXT_WIDTH = 3.25, 6.75  # inches: a column, and both columns of a page, as conferences print them
HEIGHT = 2.5
MOST_NAMED = 20  # classes that are drawn by name
_LONGEST = 16
_FAMILIES = (  # asked for letters that the first one has not; where installed
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans",
    "Arial Unicode MS",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
)
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")  # matplotlib's own writes powers in TeX
_RAISED = str.maketrans(
    "-0123456789",
    "\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT ZERO}\N{SUPERSCRIPT ONE}"
    "\N{SUPERSCRIPT TWO}\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT FOUR}\N{SUPERSCRIPT FIVE}\N{SUPERSCRIPT SIX}"
    "\N{SUPERSCRIPT SEVEN}\N{SUPERSCRIPT EIGHT}\N{SUPERSCRIPT NINE}",
)
_SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "goldore",
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "figure.facecolor": "white",
    "text.parse_math": False,  # a class may be called "$"
}


@dataclass(frozen=True)
class Drawing:
    """A figure and its words.

    Attributes:
        name: of its file, without suffix.
        title: a few words.
        caption: what it shows, one or two sentences.
        about: the score, criterion or kind of trials that it is about.
        figure: to be saved.
    """

    name: str
    title: str
    caption: str
    about: str
    figure: Figure = field(repr=False)


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in goldore's style, whatever the user's own matplotlib is set to."""
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = _SETTINGS | {"font.family": list(_families())}
        mpl.rcParams.update(settings)
        yield


def new_figure(height: float = HEIGHT, width: float = WIDTH) -> Figure:
    """An empty figure whose parts keep clear of each other."""
    return Figure(figsize=(width, height), layout="constrained")


def scale_axis(
    axes: Axes, axis: str, scale: str, values: tuple[float, float], *, whole: bool = False, marks: int = 6
) -> None:
    """Set an axis to linear or logarithmic, with few ticks that do not touch.

    Args:
        axes: that it belongs to.
        axis: "x" or "y".
        scale: "linear" or "log".
        values: the lowest and the highest that is drawn; of a logarithmic axis positive.
        whole: marks of a linear axis at whole numbers only.
        marks: at the most, about.
    """
    which = axes.xaxis if axis == "x" else axes.yaxis
    if scale == "log":
        (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
        decades = values[1] > 10 * values[0]
        which.set_major_locator(LogLocator(numticks=marks) if decades else MaxNLocator(nbins=4))
        which.set_major_formatter(POWERS if decades else PLAIN)
        which.set_minor_formatter(NullFormatter())
    else:
        which.set_major_locator(MaxNLocator(nbins=min(5, marks), integer=whole))


def _power(value: float, _: object) -> str:
    """A power of ten as 10 with its exponent; 1 and 10 as they are."""
    if value <= 0:
        return ""
    exponent = round(math.log10(value))
    return f"{value:g}" if exponent in (0, 1) else f"10{str(exponent).translate(_RAISED)}"


POWERS = FuncFormatter(_power)


def class_labels(rows: Sequence[ClassRecord | KeptClass]) -> list[str]:
    """Classes as they are written beside an axis: by name, or by number where the font lacks a letter."""
    return [_class_label(row.label, row.name) for row in rows]


def _class_label(label: int, name: str) -> str:
    text = " ".join(name.split())
    if not text or not text.isprintable() or not writable(text):
        return f"class {label}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def writable(text: str) -> bool:
    """Whether the installed fonts have all letters of a text."""
    return all(ord(letter) in _letters() for letter in text)


def axis_title(name: str, unit: str) -> str:
    """A score and its unit beside an axis; letters that the fonts lack are question marks."""
    return "".join(letter if writable(letter) else "?" for letter in f"{name} [{unit}]")


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return tuple(family for family in _FAMILIES if family in installed)


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    """Code points that one of the fonts has."""
    found: set[int] = set()
    for family in _families():
        path = font_manager.findfont(font_manager.FontProperties(family=family))
        found |= set(font_manager.get_font(path).get_charmap())
    return frozenset(found)
