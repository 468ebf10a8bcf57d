"""Lengths of time as users write them."""

from goldore.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str | None, option: str = "--max-time") -> float | None:
    """A time such as 90s, 30m, 2h or 1.5h; a bare number is seconds."""
    if text is None:
        return None
    unit = _UNITS.get(text[-1:], 0)
    try:
        return float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise UsageError(f"{option} is {text!r}; give it as 90s, 30m or 2h.") from None
