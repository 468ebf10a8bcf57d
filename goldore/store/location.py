"""Where a score file lies when no path is given."""

import os
from pathlib import Path

from goldore.files.atomic import file_name, user_path

_CACHE_VARIABLE = "GOLDORE_CACHE"
_CACHE_FOLDER = "scores_cache"


def default_path(dataset_name: str) -> Path:
    """The score file of a dataset where no other is named: in $GOLDORE_CACHE, or in scores_cache."""
    folder = Path(os.environ.get(_CACHE_VARIABLE) or _CACHE_FOLDER)
    return user_path(folder) / f"{file_name(dataset_name)}.h5"
