"""Numbers in words and columns, the same on the terminal, on a page and in a figure."""

import math

_SCIENTIFIC_BELOW = 1e-3
_SCIENTIFIC_FROM = 1e6
_ONE_DIGIT = 1e-2  # below it three decimals would be a single digit
_NOTHING_BELOW = 1e-12  # what rounding leaves of 0
_ALSO = "\n\N{NO-BREAK SPACE}\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # move no cursor
_PERCENT_DIGITS = 2  # reliabilities and shares: their small values are 0


_UNITS = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10}


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where it is unknown."""
    if value is None or math.isnan(value):
        return "-"
    if (_NOTHING_BELOW < abs(value) < _SCIENTIFIC_BELOW or abs(value) >= _SCIENTIFIC_FROM) and (
        digits > _PERCENT_DIGITS
    ):
        return f"{value:.1e}"
    if digits > _PERCENT_DIGITS and _SCIENTIFIC_BELOW <= abs(value) < _ONE_DIGIT:
        digits += 1
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def percent(share: float | None, digits: int = 0) -> str:
    """A share as a percentage; a dash where it is unknown."""
    if share is None or math.isnan(share):
        return "-"
    text = f"{share:.{digits}%}"
    return text.removeprefix("-") if float(text[:-1]) == 0 else text


def reliability(value: float | None) -> str:
    """A reliability for a table; estimates below 0, however far, mean that it is about 0."""
    return "<0" if value is not None and value < -0.005 else number(value, 2)  # noqa: PLR2004


def a_reliability(value: float) -> str:
    """The same in a sentence: "a reliability of 0.42", "a reliability below 0"."""
    text = reliability(value)
    return "a reliability below 0" if text == "<0" else f"a reliability of {text}"


def count(value: int) -> str:
    """A whole number with thousands separators."""
    return f"{value:,}"


def size(value: float) -> str:
    """Bytes in the unit that suits them: 312 MiB, 2.4 GiB."""
    unit = next((unit for unit, least in _UNITS.items() if value >= least), "KiB")
    shown = value / _UNITS[unit]
    return f"{shown:,.1f} {unit}" if shown < 10 else f"{shown:,.0f} {unit}"  # noqa: PLR2004


def plain_name(name: str) -> str:
    """Spell a name without case, hyphens and underscores, for comparing."""
    return name.lower().replace("-", "").replace("_", "")


def plural(value: int, thing: str) -> str:
    """Count things in words: 1 trial, 2 trials."""
    return f"{count(value)} {thing}" + ("" if value == 1 else "s")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def took(seconds: float) -> str:
    """A length of time in words, in the unit that suits it: 0.13 s, 4 min 10 s, 2 h 05 min."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def printable(text: str) -> str:
    """A text without what moves a cursor or turns letters round: names come from files of others."""
    return "".join(each if each.isprintable() or each in _ALSO else "?" for each in text)


def first_line(error: BaseException) -> str:
    """What an error says, without its long story."""
    return (str(error).strip() or repr(error)).splitlines()[0]
