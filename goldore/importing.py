"""Published score lists, made into score files: inspected, compared and pruned like one's own.

The paper's repository publishes JSON lists, one number a sample in the data set's original order, named
`<dataset>_<Score>.json`. They come without trials, so how far they can be trusted is unknown. Its MonteCarlo
lists hold 0.0 for samples that were never drawn; here those are missing.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.definitions import MONTE_CARLO, SCORES, UTILITY_UNITS, score_name
from goldore.errors import ScoreFileError, UsageError, reason
from goldore.estimators import Estimate
from goldore.locking import writing_to
from goldore.store import DatasetInfo, Header, ScoreFile, load_scores, remove_journal, write_new
from goldore.untrusted import INDEX_BYTES, read_bytes, read_json, read_npy

_LIST_BYTES = 2**29  # of the unpacked text: twenty times ImageNet's


def import_scores(
    source: str | Path,
    out: str | Path,
    *,
    dataset: ImageDataset | None = None,
    labels: NDArray[np.integer] | None = None,
    score: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> ScoreFile:
    """Make a score file from a published list.

    Args:
        source: a JSON list of N numbers (null or NaN: missing), gzipped or not.
        out: the score file to write.
        dataset: that the list is about; or
        labels: of its training samples, integer [N], where the images are not at hand.
        score: name of the score; None takes it from a file name `<dataset>_<Score>.json`.
        name: of the dataset, with labels; None takes it from the file name likewise.
        overwrite: replace `out` if it exists.

    Returns:
        The score file, without trials, so without standard errors and reliability.

    Raises:
        UsageError: if an argument is missing or wrong.
        ScoreFileError: if the list cannot be read or has another length than the dataset.
        LockedError: if another process writes to `out`.
    """
    path, target = Path(source), Path(out)
    named, _, score_part = path.name.removesuffix(".gz").removesuffix(".json").rpartition("_")
    known = score_name(score or score_part)
    if (dataset is None) == (labels is None):
        raise UsageError("a list has no classes of its own; give either the dataset or its labels.")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; choose another --out or say --overwrite.")
    values = read_list(path)
    header = Header.of(dataset) if dataset is not None else _header(labels, name or named or path.stem, path)
    if len(values) != header.info.num_samples:
        raise ScoreFileError(
            f"{path} has {len(values):,} scores but {header.info.name} has {header.info.num_samples:,} "
            "training samples; check that they belong together."
        )
    if known == MONTE_CARLO.name:
        values[values == 0] = np.nan
    unknown = np.full(header.info.num_classes, np.nan)
    estimate = Estimate(
        values=values,
        stderr=np.full(len(values), np.nan),
        trials=0,
        reliability=float("nan"),
        rank_reliability=float("nan"),
        class_reliability=unknown,
        class_rank_reliability=unknown,
    )
    about = {
        "definition": f"imported from {path.name}, as published",
        "unit": UTILITY_UNITS["accuracy"] if known == MONTE_CARLO.name else SCORES[known].unit,
        "reliability_method": "unknown: no trials are stored",
        "rank_reliability_method": "unknown: no trials are stored",
    }
    with writing_to(target):
        write_new(target, header, {known: (estimate, about)})
        remove_journal(target)
    return load_scores(target)


def read_list(path: Path) -> NDArray[np.float64]:
    """Read a JSON list of numbers, gzipped or not; null is NaN.

    Raises:
        ScoreFileError: if it is missing or something else.
    """
    try:
        content = read_json(path, _LIST_BYTES)
        if not isinstance(content, list) or not {type(each) for each in content} <= {int, float, type(None)}:
            raise ValueError("it is no list of numbers")
        values = np.array(content, dtype=np.float64)
        if len(values) == 0 or np.isinf(values).any():
            raise ValueError("it is no list of finite numbers")
    except Exception as error:
        raise ScoreFileError(f"{path} cannot be read as a list of scores ({reason(error)}).") from error
    return values


def read_labels(path: Path) -> NDArray[np.int64]:
    """Read labels, one integer a training sample: a .npy array, or a text with one a line.

    Raises:
        UsageError: if the file is missing or something else.
    """
    try:
        if path.suffix == ".npy":
            raw = read_npy(path, "iu")
        else:
            raw = np.loadtxt(io.BytesIO(read_bytes(path, INDEX_BYTES)), dtype=np.int64, ndmin=1)
        labels: NDArray[np.int64] = raw.astype(np.int64)
        if labels.ndim != 1 or len(labels) == 0 or labels.min() < 0 or labels.max() >= len(labels):
            raise ValueError("labels are numbers from 0 on, one a sample")
    except Exception as error:
        raise UsageError(f"{path} cannot be read as labels ({reason(error)}).") from error
    return labels


def _header(labels: NDArray[np.integer] | None, name: str, path: Path) -> Header:
    whole = np.asarray(labels, dtype=np.int64)
    classes = int(whole.max()) + 1
    names = tuple(str(label) for label in range(classes))
    info = DatasetInfo(name, "train", len(whole), classes, names, (0, 0, 0), "", f"labels beside {path.name}")
    return Header(info, whole)
