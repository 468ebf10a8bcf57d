"""Joining score files of one run that were made in parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.errors import ScoreFileError, UsageError
from goldore.files.locking import writing_to
from goldore.store import journal
from goldore.store.checks import run_differences
from goldore.store.estimating import estimate_scores
from goldore.store.format import has
from goldore.store.model import Header, LossTrials, Result, Run, ScoreFile
from goldore.store.reading import load_scores, opened, read_header
from goldore.store.trial_kind import BESIDE, TrialKind
from goldore.store.trial_kinds import KINDS
from goldore.store.writing import new_state

_RELATIVE = 1e-2  # what rounding may make of one trial, trained among others or alone
_REPAIR = "goldore verify FILE.h5 --repair NEW.h5 leaves it out."


def merge(parts: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> ScoreFile:
    """Join the trials of several score files of the same dataset, recipe and seed.

    Args:
        parts: two or more score files, for example of different ranges of trials.
        out: the file to write.
        overwrite: replace `out` if it exists.

    Returns:
        The joined file, its scores estimated from all trials.

    Raises:
        UsageError: if there are fewer than two parts, or `out` exists.
        ScoreFileError: if a part cannot be read, belongs to another run, or has a trial that another part has
            with a different result.
    """
    paths, target = [Path(part) for part in parts], Path(out)
    if len(paths) < 2:  # noqa: PLR2004
        raise UsageError("merging takes two score files or more; name them all.")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; choose another `out` or use `overwrite`.")
    with writing_to(target):
        join(paths, target)
        estimate_scores(target)
        journal.remove(target)  # its trials are in the file, or it was that of what is replaced
    return load_scores(target)


def join(paths: Sequence[Path], target: Path) -> None:
    """Join the trials of score files of one run; `target` may be one of them. The lock is the caller's.

    Raises:
        ScoreFileError: as `merge`.
        OSError: if the whole cannot be written.
    """
    files = [load_scores(path, only=()) for path in paths]
    with opened(paths[0]) as file:
        header = read_header(file)
    known: dict[str, Run] = {}
    for file_of in files:
        for run in runs_of(file_of):
            differences = run_differences(file_of, header, known.setdefault(run.kind, run))
            if differences:
                shown = "; ".join(f"{name}: {here} / {first}" for name, here, first in differences)
                raise ScoreFileError(
                    f"{file_of.path} holds another run than {paths[0]} ({shown}); merge parts of one run."
                )
    for kind in known:
        there = [
            trials for trials in (each.trials_of(kind) for each in files) if isinstance(trials, LossTrials)
        ]
        recorded = {(tuple(sorted(trials.recorded)), trials.predicts) for trials in there}
        if len(recorded) > 1:
            shown = " / ".join(
                ",".join([*names, *(["predictions"] if predicts else [])])
                for names, predicts in sorted(recorded)
            )
            raise ScoreFileError(f"the files record different scores ({shown}); merge parts of one run.")
    sizes = sum(path.stat().st_size for path in paths)
    journals = [(path, journal.read(path)) for path in paths]
    with new_state(target, 2 * sizes, paths[0]) as whole:
        for path in paths[1:]:
            with opened(path) as part:
                _join(whole, part, header, known, path)
        for path, waiting in journals:
            for name, results in waiting.items():
                _join_journal(whole, results, header, known[name], path)


def runs_of(file: ScoreFile) -> list[Run]:
    """What the trials of each kind share in a file."""
    made_on = {"device": file.device, "torch_version": file.torch_version}
    there = [(kind, file.trials_of(kind.name)) for kind in KINDS.values()]
    return [kind.run_of(trials, made_on) for kind, trials in there if trials is not None]


def _join(whole: h5py.File, part: h5py.File, header: Header, known: Mapping[str, Run], path: Path) -> None:
    for run in known.values():
        kind = KINDS[run.kind]
        if not has(part, kind.group):
            continue
        done = np.flatnonzero(part[kind.group]["done"][()])
        new = _new(whole, kind, done)
        for numbers, columns, fit in kind.blocks(part, header, done):
            if not fit.all():
                raise ScoreFileError(f"trial {numbers[~fit][0]} of {path} is damaged; {_REPAIR}")
            _add(whole, header, run, (numbers, columns), new, path)


def _join_journal(whole: h5py.File, waiting: Sequence[Result], header: Header, run: Run, path: Path) -> None:
    """Add the trials of a part's journal that the whole does not have."""
    ordered = sorted(waiting, key=lambda result: result.trial.number)
    numbers = np.array([result.trial.number for result in ordered])
    kind = KINDS[run.kind]
    columns = kind.columns_of(ordered, kind.content_names(whole[kind.group]))
    _add(whole, header, run, (numbers, columns), _new(whole, kind, numbers), path)


def _new(whole: h5py.File, kind: TrialKind[Any, Any, Any], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of these trials that the whole does not have."""
    done = whole[kind.group]["done"][()] if kind.group in whole else np.empty(0, np.uint8)
    there = numbers[numbers < len(done)]
    return np.setdiff1d(numbers, there[done[there] > 0])


def _add(
    whole: h5py.File,
    header: Header,
    run: Run,
    block: tuple[NDArray[np.int64], dict[str, NDArray[Any]]],
    new: NDArray[np.int64],
    path: Path,
) -> None:
    """Add those of a block of trials that are new, and compare the others."""
    kind, (numbers, columns) = KINDS[run.kind], block
    is_new = np.isin(numbers, new)
    if not is_new.all():
        twice = numbers[~is_new]
        there = kind.columns_at(whole[kind.group], twice)
        compared = [name for name in columns if name in there and name not in BESIDE]
        _same_trials({name: columns[name][~is_new] for name in compared}, there, twice, path, kind.rounding)
    if is_new.any():
        added = {name: values[is_new] for name, values in columns.items()}
        kind.add(whole, header, run, kind.results_of(numbers[is_new], added))


def _same_trials(
    mine: Mapping[str, NDArray[Any]],
    other: Mapping[str, NDArray[Any]],
    numbers: NDArray[np.int64],
    path: Path,
    rounding: float,
) -> None:
    """See that trials in two parts, a row each, are the same, but for rounding in what was measured."""
    for name, here in mine.items():
        there = other[name]
        same = (
            np.isclose(here, there, _RELATIVE, rounding, equal_nan=True)
            if here.dtype.kind == "f"
            else here == there
        )
        wrong = ~same.reshape(len(numbers), -1).all(axis=1)
        if wrong.any():
            raise ScoreFileError(
                f"trial {numbers[wrong][0]} of {path} has another {name} than the same trial of an earlier "
                "part; leave one of the files out."
            )
