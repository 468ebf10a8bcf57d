"""Where a score file lies when no path is given, and what lies beside it."""

from pathlib import Path

from goldore.files.atomic import file_name
from goldore.files.places import own_cache

_CACHE_FOLDER = "scores_cache"


def features_path(scores: Path) -> Path:
    """Where features of the samples lie, [N, F], that belong to a score file."""
    return scores.with_name(f"{scores.stem}-features.npy")


def default_path(dataset_name: str) -> Path:
    """The score file of a dataset where no other is named: in $GOLDORE_CACHE, or in scores_cache."""
    return (own_cache() or Path(_CACHE_FOLDER)) / f"{file_name(dataset_name)}.h5"


def default_study(scores: Path) -> Path:
    """The study of a score file where no other is named: beside it, with -study in its name."""
    return scores.with_name(f"{scores.stem}-study.h5")
