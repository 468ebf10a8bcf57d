"""What users name in a text: objects by package.module:name, and things with settings by NAME,KEY=VALUE."""

import dataclasses
import importlib
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from goldore.errors import GoldoreError, UsageError, reason, require


@contextmanager
def working_directory_first() -> Iterator[None]:
    """Within: modules are looked for in the working directory first, as `python -m` would."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def import_object(spec: str) -> Any:
    """Import what "package.module:name" means.

    Raises:
        Exception: whatever the module raises; ImportError or AttributeError if there is no such thing.
    """
    module, _, name = spec.partition(":")
    with working_directory_first():
        return getattr(importlib.import_module(module), name)


def import_named(spec: str, what: str) -> Any:
    """Import what "package.module:NAME" means; `what` it is stands in the message, for example "the score".

    Raises:
        UsageError: if it cannot be imported, for whatever reason.
    """
    try:
        return import_object(spec)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{what} {spec} cannot be imported ({type(error).__name__}: {reason(error)}); name it "
            "package.module:NAME, as seen from the working directory."
        ) from error


def read_settings(text: str, what: str, **given: Any) -> tuple[str, dict[str, Any]]:
    """Split NAME,KEY=VALUE,... into the name and its settings, texts.

    Args:
        text: of a user.
        what: the argument's name, for example "network".
        given: settings from elsewhere; those that are None do not count.

    Raises:
        UsageError: if the text is not of that form, or a setting is given twice.
    """
    name, *pairs = text.split(",")
    for pair in pairs:
        key, equals, value = (each.strip() for each in pair.partition("="))
        require(bool(key and equals), f"`{what}` has {pair!r}; write NAME,KEY=VALUE.")
        require(given.get(key) is None, f"{key} of the {what} is given twice; leave one out.")
        given[key] = value
    return name.strip(), given


def with_settings(
    kind: type[Any], what: str, settings: Mapping[str, Any], apart: Collection[str] = ()
) -> Any:
    """Make a dataclass whose fields are settings.

    Args:
        kind: the dataclass.
        what: it is, for messages: "the network convnet".
        settings: by name, checked against the fields' types; those that are None take their defaults, and a
            text becomes the number that it spells where the field is no text.
        apart: fields that are no settings.

    Raises:
        UsageError: if there is no such setting, or a value has the wrong type or is refused.
    """
    known = sorted({field.name for field in dataclasses.fields(kind)} - {*apart})
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        require(name in known, f"{what} has no {name}; it has {', '.join(known) or 'no settings'}.")
    unfit: list[str] = []
    try:
        hints = get_type_hints(kind)
        for name, value in given.items():
            if isinstance(value, str) and not fits(value, hints[name]):
                given[name] = _as_number(value)
            if not fits(given[name], hints[name]):
                unfit.append(f"{name} of {what} cannot be {given[name]!r}.")
        made = kind(**given)  # says what it takes, where it knows
    except GoldoreError:
        raise
    except Exception as error:
        raise UsageError(next(iter(unfit), f"{what}: {reason(error)}.")) from error
    if unfit:
        raise UsageError(unfit[0])
    return made


def _as_number(text: str) -> Any:
    """What JSON makes of a text; the text itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of an annotated type: a number, a text, a list of numbers or one of several."""
    choices = get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(fits(each, choices[0]) for each in value)
    if get_origin(kind) is Literal:
        return value in choices
    if choices:
        return any(fits(value, each) for each in choices)
    return type(value) in ((int, float) if kind is float else (kind,))
