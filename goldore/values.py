"""What records with arrays in them have in common: equality that works, and a repr that fits on a line."""

import dataclasses
from typing import Any

import numpy as np

_LONGEST = 60  # letters of a text in a repr
_MOST = 4  # entries of a tuple there


class Value:
    """A dataclass whose fields may hold arrays.

    Two are equal if their types and all fields are, arrays by their entries, NaN being equal to NaN. Give the
    decorator `eq=False, repr=False`, so that what is here is not replaced.
    """

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(
            _same(getattr(self, each.name), getattr(other, each.name))
            for each in dataclasses.fields(self)  # type: ignore[arg-type]
            if each.compare
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = (
            f"{each.name}={_short(getattr(self, each.name))}"
            for each in dataclasses.fields(self)  # type: ignore[arg-type]
            if each.repr
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        one, two = np.asarray(one), np.asarray(two)
        if one.shape != two.shape:
            return False
        equal = one == two
        if one.dtype.kind == two.dtype.kind == "f":
            equal = equal | (np.isnan(one) & np.isnan(two))
        return bool(np.all(equal))
    if isinstance(one, float) and isinstance(two, float) and one != one and two != two:  # noqa: PLR0124
        return True
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, tuple | list) and type(one) is type(two):
        return len(one) == len(two) and all(map(_same, one, two))
    return bool(one == two)


def _short(value: Any) -> str:
    """A field in a repr: arrays by dtype and shape, long texts and tuples by their beginning."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple) and len(value) > _MOST:
        return f"({', '.join(map(_short, value[:_MOST]))}, ... {len(value) - _MOST} more)"
    if isinstance(value, dict):
        return f"{{{', '.join(map(str, value))}}}"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
