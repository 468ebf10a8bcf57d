"""Published score lists, made into score files: inspected, compared and pruned like one's own.

The paper's repository publishes JSON lists, one number a sample in the dataset's original order, named
`<dataset>_<Score>.json`. They come without trials, so how far they can be trusted is unknown. Its MonteCarlo
lists hold 0.0 for samples that were never drawn; here those are missing.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.labels import Classes
from goldore.errors import ScoreFileError, UsageError
from goldore.exchange.lists import SUFFIXES, list_stem, read_list
from goldore.files.atomic import file_name
from goldore.files.locking import writing_to
from goldore.scores import MONTE_CARLO, SCORES, UTILITY_UNITS, score_name
from goldore.scores.estimators import Estimate
from goldore.store import (
    DatasetInfo,
    Header,
    Score,
    ScoreFile,
    is_score_file,
    load_header,
    load_scores,
    remove_journal,
    write_new,
)
from goldore.version import __version__
from goldore.wording import plain_name

NEVER_DRAWN = 0.0  # in a list of MonteCarlo
DRAWN_IN_VAIN = 1e-12  # there, as goldore writes it: an in-mean of 0


def import_scores(
    source: str | Path,
    out: str | Path,
    *,
    dataset: ImageDataset | None = None,
    labels: Any = None,
    score: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> ScoreFile:
    """Make a score file from published lists.

    Args:
        source: a list of N numbers (null or NaN: missing), see `goldore.exchange.lists`; or a folder, of
            which all lists `<dataset>_<Score>.json` (or another suffix) of the dataset are taken, capitals
            and hyphens in its name ignored.
        out: the score file to write.
        dataset: that the lists are about; or
        labels: of its training samples, numbers or texts [N], where the images are not at hand.
        score: name of the score of a single list; None takes it from a file name `<dataset>_<Score>.json`.
        name: of the dataset, with labels; None takes it from the file name likewise, a folder needs it.
        overwrite: replace `out` if it exists.

    Returns:
        The score file, without trials, so without standard errors and reliability.

    Raises:
        UsageError: if an argument is missing or wrong.
        ScoreFileError: if a list cannot be read or has another length than the dataset.
        LockedError: if another process writes to `out`.
    """
    path, target = Path(source), Path(out)
    if (dataset is None) == (labels is None):
        raise UsageError("a list has no classes of its own; give either the dataset or its labels.")
    if is_score_file(path):
        raise UsageError(f"{path} is a score file already; goldore inspect and prune read it as it is.")
    if path.is_dir():
        title = dataset.name if dataset is not None else name
        if score is not None or title is None:
            raise UsageError(
                f"{path} is a folder of lists; "
                + ("`score` is for one list." if score is not None else "name their dataset with `name`.")
            )
        lists = _lists_of(path, title)
    else:
        lists = {score_name(score) if score is not None else _score_in_name(path): path}
        title = name or _dataset_in_name(path) or path.stem
        if dataset is not None:
            _check_dataset(path, dataset.name)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; choose another `out` or use `overwrite`.")
    if any(target.exists() and target.samefile(each) for each in lists.values()):
        raise UsageError(f"{target} is the list itself; choose another `out`.")
    header = Header.of(dataset) if dataset is not None else _header(labels, title, path)
    values = {each: _values(where, each, header.info, header.paths) for each, where in lists.items()}
    found = [_as_score(where, each, values[each], header.info.num_classes) for each, where in lists.items()]
    with writing_to(target):
        write_new(target, header, found)
        remove_journal(target)
    return load_scores(target)


def _lists_of(folder: Path, dataset: str) -> dict[str, Path]:
    """The lists of a dataset in a folder, by score."""
    known = {plain_name(name): name for name in SCORES}
    titles = {plain_name(dataset), plain_name(file_name(dataset))}
    found: dict[str, Path] = {}
    others = set()
    for path in sorted(folder.iterdir()):
        name = known.get(plain_name(list_stem(path).rpartition("_")[2]))
        if name is None or not path.name.endswith(SUFFIXES):
            continue
        if plain_name(_dataset_in_name(path)) not in titles:
            others.add(_dataset_in_name(path))
        elif name in found:
            raise UsageError(f"{folder} has {found[name].name} and {path.name}; move one of them away.")
        else:
            found[name] = path
    if not found:
        there = f"it has lists of {', '.join(sorted(others))}" if others else "it has none at all"
        raise UsageError(f"{folder} has no list {dataset}_<Score>.json; {there}.")
    return {name: found[name] for name in SCORES if name in found}


def _dataset_in_name(path: Path) -> str:
    return list_stem(path).rpartition("_")[0]


def _check_dataset(path: Path, dataset: str) -> None:
    """Refuse a list whose name is that of another well-known dataset; nothing in it says what it is about.

    Raises:
        UsageError: naming both.
    """
    from goldore.datasets.load import KNOWN

    there = {plain_name(each): each for each in KNOWN}.get(plain_name(_dataset_in_name(path)))
    if there is not None and plain_name(there) != plain_name(dataset):
        raise UsageError(f"{path} is about {there} by its name, not about {dataset}; give one of {dataset}.")


def _score_in_name(path: Path) -> str:
    if not path.exists():
        raise ScoreFileError(f"there is no file {path}; check the path.")
    return score_name(list_stem(path).rpartition("_")[2])


def _values(path: Path, name: str, info: DatasetInfo, images: Sequence[str] | None) -> NDArray[np.float64]:
    values = read_list(path, name, images)
    if len(values) != info.num_samples:
        raise ScoreFileError(
            f"{path} has {len(values):,} scores but {info.name} has {info.num_samples:,} "
            "training samples; check that they belong together."
        )
    if name == MONTE_CARLO.name:
        values[values == NEVER_DRAWN] = np.nan
        values[values == DRAWN_IN_VAIN] = 0
    return values


def _as_score(path: Path, name: str, values: NDArray[np.float64], classes: int) -> Score:
    unknown, known = np.full(classes, np.nan), values[np.isfinite(values)]
    row = SCORES[name]
    unit = row.unit
    if name == MONTE_CARLO.name and ((known >= 0) & (known <= 1)).all():
        unit = UTILITY_UNITS["accuracy"]
    estimate = Estimate(
        values=values,
        stderr=np.full(len(values), np.nan),
        trials=0,
        reliability=float("nan"),
        rank_reliability=float("nan"),
        class_reliability=unknown,
        class_rank_reliability=unknown,
    )
    definition = f"imported from {path.name}, as published"
    return Score.of(dataclasses.replace(row, definition=definition, unit=unit), estimate)


def list_scores(source: str | Path, like: ScoreFile) -> ScoreFile:
    """Take a published list as scores of the samples of a score file, without writing a file.

    Args:
        source: as for `import_scores`, named `<dataset>_<Score>.json`.
        like: a score file of the dataset that the list is about.

    Returns:
        The scores, with the dataset and labels of `like`, but no fingerprint: a list has none.

    Raises:
        UsageError: if the name of the file does not say which score it is, or names another dataset.
        ScoreFileError: if the list cannot be read or has another length than the dataset.
    """
    path = Path(source)
    name = _score_in_name(path)
    _check_dataset(path, like.dataset.name)
    info = dataclasses.replace(like.dataset, fingerprint="", source=f"list {path.name}", origin=None)
    values = _values(path, name, info, load_header(like.path).paths if like.path.is_file() else None)
    score = _as_score(path, name, values, info.num_classes)
    return ScoreFile(
        path, info, like.labels, (name,), {name: score}, None, "unknown", "", "", __version__, "unknown"
    )


def _header(labels: Any, name: str, path: Path) -> Header:
    classes = Classes(labels, "`labels`")
    info = DatasetInfo(
        name,
        "train",
        len(classes.labels),
        len(classes.names),
        classes.names,
        (0, 0, 0),
        "",
        f"labels beside {path.name}",
    )
    return Header(info, classes.labels)
