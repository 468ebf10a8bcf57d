"""Writing a score file: whole, or not at all. Scores are estimated elsewhere (`goldore.store.estimating`)."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from goldore.files.atomic import check_space, replacing
from goldore.scores import KERNEL_UTILITY
from goldore.scores.estimators import kernel_utility
from goldore.scores.estimators import mean as mean_estimator
from goldore.scores.estimators import utility as utility_estimator
from goldore.scores.estimators.agreement import Agreement
from goldore.store.digests import header_digest
from goldore.store.format import FORMAT, FORMAT_VERSION, LIBVER, text_array, write_text_list
from goldore.store.model import Header, Result, Run, Score
from goldore.store.seal import SIZE as SEAL_SIZE
from goldore.store.seal import check_seal, seal
from goldore.store.trial_kinds import KINDS
from goldore.store.utility_trials import ESTIMATOR
from goldore.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGETS = (0.5, 0.8)  # reliabilities for which the trials needed are written
OF_A_SCORE = 2 * 8 + 3 * 4  # bytes for each sample: values, errors, halves, counts
_OVERHEAD = 2**18  # bytes of a file beside its arrays, generously
_NO_TRIALS = "unknown: no trials are stored"
_TOLD = (
    "definition",
    "direction",
    "drops",
    "lowest",
    "highest",
    "unit",
    "trials",
    "reliability",
    "reliability_stderr",
    "rank_reliability",
    "rank_reliability_stderr",
    "class_reliability",
    "class_rank_reliability",
)


def add_trials(
    path: Path,
    header: Header,
    run: Run,
    results: Sequence[Result],
    *,
    fresh: bool = False,
) -> None:
    """Add finished trials to a score file; make the file if need be.

    Their scores are not estimated here, but by whoever reads the file, until `estimate_scores` writes them.
    The caller has checked that an existing file belongs to the same dataset and run (`check_same_run`).

    Args:
        path: of the file; its folder exists.
        header: of the dataset that was trained on.
        run: what the trials share.
        results: the trials to add, of the run's kind; one that is there already is replaced.
        fresh: start a new file, whatever is there.

    Raises:
        ScoreFileError: if the existing file cannot be read.
        OSError: if the new state cannot be written; the previous one is then still there.
    """
    start = None if fresh or not path.exists() else path
    with new_state(path, size_of(header, run, results), start) as file:
        if start is None:
            write_header(file, header)
        KINDS[run.kind].add(file, header, run, results)
        file.attrs.update({"device": run.device, "torch_version": run.torch_version})


def drop_trials(path: Path, kind: str) -> None:
    """Take all trials of one kind out of a file that has other trials; the lock is the caller's."""
    with new_state(path, _OVERHEAD, path) as file:
        del file[KINDS[kind].group]


def write_new(path: Path, header: Header, scores: Sequence[Score]) -> None:
    """Write a file of scores without trials, in place of whatever is there.

    Args:
        path: of the file; its folder exists.
        header: of the dataset.
        scores: to write.
    """
    growth = size_of(header, None, ()) + OF_A_SCORE * len(scores) * header.info.num_samples
    with new_state(path, growth, None) as file:
        write_header(file, header)
        for score in scores:
            write_score(file, score)
        file.attrs.update({"device": "unknown", "torch_version": "unknown"})


@contextmanager
def new_state(path: Path, growth: int, start: Path | None) -> Iterator[h5py.File]:
    """Open a file that replaces `path`, sealed, when the block ends well.

    Args:
        path: of the score file; its folder exists.
        growth: upper estimate, in bytes, of what it grows by.
        start: the score file that it is a copy of at first; None starts with an empty one.

    Yields:
        The file, open for writing.

    Raises:
        ScoreFileError: if `start` is damaged.
        OSError: if the new state cannot be written.
    """
    if start is not None:
        check_seal(start)
    with replacing(path) as temporary:
        check_space(temporary, (start.stat().st_size if start else 0) + growth)
        if start is not None:
            shutil.copyfile(start, temporary)
        with h5py.File(
            temporary,
            "r+" if start else "w",
            libver=LIBVER,
            locking=False,
            userblock_size=None if start else SEAL_SIZE,
        ) as file:
            if start is None:
                file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "created": now()})
            yield file
            file.attrs.update({"updated": now(), "goldore_version": __version__})
        seal(temporary)


def write_header(file: h5py.File, header: Header) -> None:
    """Write what a new file says of its dataset."""
    group, info = file.create_group("dataset"), header.info
    group.attrs.update(
        {
            "name": info.name,
            "split": info.split,
            "num_samples": info.num_samples,
            "num_classes": info.num_classes,
            "image_shape": info.image_shape,
            "fingerprint": info.fingerprint,
            "source": info.source,
        }
    )
    if info.origin is not None:
        group.attrs["origin"] = info.origin.to_json()
    write_text_list(group, "class_names", list(info.class_names))
    group["labels"] = header.labels.astype(np.int32)
    if header.sample_hash is not None:
        group["sample_hash"] = header.sample_hash
        group["sample_hash"].attrs["definition"] = (
            "BLAKE2b-64 of the uint8 pixels in the order H, W, C, little-endian"
        )
    if header.paths is not None:
        group["paths"] = text_array(header.paths)
    group.attrs["checksum"] = header_digest(header)


def size_of(header: Header, run: Run | None, results: Sequence[Result]) -> int:
    """Upper estimate, in bytes, of what a file grows by: these results, and their scores."""
    lists = (header.info.class_names, header.paths or ())
    names = sum(
        len(each) * max(len(text.encode(errors="replace")) for text in each) for each in lists if each
    )
    size = _OVERHEAD + 2 * names + header.info.num_samples * (4 + 8)
    if run is None:
        return size + OF_A_SCORE * header.info.num_samples
    return size + KINDS[run.kind].size_of(header, run, results)


def write_score(file: h5py.File, score: Score, recipe: str = "") -> None:
    """Write one score with its uncertainty, in place of an earlier estimate.

    Args:
        file: open for writing.
        score: values, uncertainty and meaning.
        recipe: of the trials that it rests on, JSON; empty without trials.
    """
    name = score.name
    arrays: dict[str, NDArray[Any] | None] = {
        "scores": score.values,
        "stderr": score.stderr,
        "halves": score.halves,
        "counts": None if score.counts is None else score.counts.astype(np.int32),
    }
    for group, values in arrays.items():
        if values is None:
            if group in file and name in file[group]:
                del file[group][name]
        elif name in file.require_group(group):
            file[group][name][...] = values
        else:
            file[group][name] = values
    attrs: dict[str, Any] = {key: getattr(score, key) for key in _TOLD}
    attrs |= _methods(score, recipe)
    if score.class_signal_share is not None:
        attrs |= {"signal_share": score.signal_share, "class_signal_share": score.class_signal_share}
    for target in TARGETS if score.trials else ():
        attrs[f"trials_for_{target}"] = score.trials_needed(target)
    node = file["scores"][name]
    node.attrs.update(attrs)
    _write_agreement(node, score.agreement)


def _methods(score: Score, recipe: str) -> dict[str, Any]:
    """Attributes that say how a score was estimated, and its reliability."""
    if score.estimator:
        by = ESTIMATOR[score.estimator]
        methods = utility_estimator.RELIABILITY_METHODS[by], utility_estimator.RANK_RELIABILITY_METHODS[by]
        found: dict[str, Any] = {key: getattr(score, key) for key in ("outcome", "estimator", "explained")}
    else:
        of = kernel_utility if score.name == KERNEL_UTILITY.name else mean_estimator
        methods, found = (of.RELIABILITY_METHOD, of.RANK_RELIABILITY_METHOD), {}
        if not score.trials:
            methods = _NO_TRIALS, _NO_TRIALS
    found |= {"recipe": recipe} if score.trials else {}
    return found | dict(zip(("reliability_method", "rank_reliability_method"), methods, strict=True))


def _write_agreement(node: h5py.Dataset, agreement: Agreement | None) -> None:
    """Write it as attributes of the score, or take away what is there."""
    for field in fields(Agreement):
        key = "agreement" if field.name == "correlation" else f"agreement_{field.name}"
        if agreement is not None:
            node.attrs[key] = getattr(agreement, field.name)
        elif key in node.attrs:
            del node.attrs[key]


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
