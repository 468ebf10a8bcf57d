"""Packages that only some users need, imported when they are asked for."""

import importlib
from typing import Any

from goldore.errors import UsageError, reason


def optional(package: str, what: str, extra: str = "") -> Any:
    """Import a package that may not be installed.

    Args:
        package: its name.
        what: needs it, as the beginning of a sentence.
        extra: of goldore that has it; empty if none has.

    Raises:
        UsageError: naming what to install.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        install = f'"goldore[{extra}]"' if extra else package
        raise UsageError(
            f"{what} needs the package {package} ({reason(error)}); pip install {install}."
        ) from error
