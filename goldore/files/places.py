"""Folders that the environment names."""

import os
from pathlib import Path

from goldore.files.atomic import user_path


def own_cache() -> Path | None:
    """The folder that $GOLDORE_CACHE names, for score files and, in images/, decoded images; or None."""
    named = os.environ.get("GOLDORE_CACHE")
    return user_path(named) if named else None


def user_cache() -> Path:
    """Where programs keep, for this user, what they can make again."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
