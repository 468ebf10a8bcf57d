"""Where a score file lies when no path is given, and what lies beside it."""

import os
from pathlib import Path

from goldore.files.atomic import file_name, user_path

_CACHE_VARIABLE = "GOLDORE_CACHE"
_CACHE_FOLDER = "scores_cache"


def features_path(scores: Path) -> Path:
    """Where features of the samples lie, [N, F], that belong to a score file."""
    return scores.with_name(f"{scores.stem}-features.npy")


def default_path(dataset_name: str) -> Path:
    """The score file of a dataset where no other is named: in $GOLDORE_CACHE, or in scores_cache."""
    folder = Path(os.environ.get(_CACHE_VARIABLE) or _CACHE_FOLDER)
    return user_path(folder) / f"{file_name(dataset_name)}.h5"
