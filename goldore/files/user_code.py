"""Objects that users name by package.module:name."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
