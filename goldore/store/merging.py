"""Joining score files of one run that were made in parts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.errors import ScoreFileError, UsageError
from goldore.locking import writing_to
from goldore.store import journal, loss, utility
from goldore.store.checks import run_differences
from goldore.store.format import has
from goldore.store.model import (
    Header,
    LossResult,
    LossRun,
    ScoreFile,
    UtilityResult,
    UtilityRun,
)
from goldore.store.reading import load_scores, opened, read_header
from goldore.store.writing import estimate_all, new_state

_RELATIVE, _ABSOLUTE = 1e-2, 5e-2  # what rounding may make of one trial, trained among others or alone
_ROWS = 4096  # utility trials that are held at once
_REPAIR = "goldore verify FILE.h5 --repair NEW.h5 leaves it out."


def merge(parts: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> ScoreFile:
    """Join the trials of several score files of the same dataset, recipe and seed.

    Args:
        parts: two or more score files, for example of different `--trial-range`s.
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
        raise UsageError(f"{target} exists already; choose another --out or say --overwrite.")
    with writing_to(target):
        join(paths, target)
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
    known: dict[type, LossRun | UtilityRun] = {}
    for file_of in files:
        for run in runs_of(file_of):
            differences = run_differences(file_of, header, known.setdefault(type(run), run))
            if differences:
                shown = "; ".join(f"{name}: {here} / {first}" for name, here, first in differences)
                raise ScoreFileError(
                    f"{file_of.path} holds another run than {paths[0]} ({shown}); merge parts of one run."
                )
    recorded = {file_of.loss_trials.recorded for file_of in files if file_of.loss_trials is not None}
    if len(recorded) > 1:
        shown = " / ".join(",".join(names) for names in sorted(recorded))
        raise ScoreFileError(f"the files record different losses ({shown}); merge parts of one run.")
    sizes = sum(path.stat().st_size for path in paths)
    journals = [(path, journal.read(path)) for path in paths]
    with new_state(target, 2 * sizes, paths[0]) as whole:
        for path in paths[1:]:
            with opened(path) as part:
                _join(whole, part, header, known, path)
        utility_run = known.get(UtilityRun)
        if isinstance(utility_run, UtilityRun):
            for path, waiting in journals:
                _join_journal(whole, waiting, header, utility_run, path)
        for kind in known:
            estimate_all(whole, header, kind)


def runs_of(file: ScoreFile) -> list[LossRun | UtilityRun]:
    """What the trials of each kind share in a file."""
    made_on = {"device": file.device, "torch_version": file.torch_version}
    runs: list[LossRun | UtilityRun] = []
    if file.loss_trials is not None:
        trials = file.loss_trials
        runs.append(LossRun(trials.recipe, trials.base_seed, trials.scores, **made_on))
    if file.utility_trials is not None:
        known = file.utility_trials
        runs.append(
            UtilityRun(
                known.recipe, known.base_seed, known.outcome, known.estimator, known.evaluation, **made_on
            )
        )
    return runs


def _join(
    whole: h5py.File, part: h5py.File, header: Header, known: dict[type, LossRun | UtilityRun], path: Path
) -> None:
    for run in known.values():
        room = loss if isinstance(run, LossRun) else utility
        if not has(part, room.GROUP):
            continue
        group = part[room.GROUP]
        there = whole[room.GROUP]["done"][()] if room.GROUP in whole else np.empty(0, np.uint8)
        done = np.flatnonzero(group["done"][()])
        twice = done[done < len(there)]
        twice = twice[there[twice] > 0]
        new = np.setdiff1d(done, twice)
        if isinstance(run, LossRun):
            key = loss.key_in(part, header)
            for row in done:
                result = loss.result_at(group, int(row), run.recorded)
                if loss.digest_of(key, result, run.recorded) != int(group["digest"][row]):
                    raise ScoreFileError(f"trial {row} of {path} is damaged; {_REPAIR}")
                if row in twice:
                    other = loss.result_at(whole[loss.GROUP], int(row), run.recorded)
                    _same_trials(_measured(result), _measured(other), np.array([row]), path)
                else:
                    loss.add(whole, header, run, [result])
        else:
            for numbers, columns in _utility_blocks(part, header, done, path):
                _add_utility(whole, header, run, (numbers, columns), new, path)


def _join_journal(
    whole: h5py.File, waiting: Sequence[UtilityResult], header: Header, run: UtilityRun, path: Path
) -> None:
    """Add the trials of a part's journal that the whole does not have."""
    if not waiting:
        return
    ordered = sorted(waiting, key=lambda result: result.trial.number)
    numbers = np.array([result.trial.number for result in ordered])
    done = whole[utility.GROUP]["done"][()] if utility.GROUP in whole else np.empty(0, np.uint8)
    there = numbers[numbers < len(done)]
    new = np.setdiff1d(numbers, there[done[there] > 0])
    _add_utility(
        whole, header, run, (numbers, utility.columns_of(ordered, list(ordered[0].outcomes))), new, path
    )


def _add_utility(
    whole: h5py.File,
    header: Header,
    run: UtilityRun,
    block: tuple[NDArray[np.int64], dict[str, NDArray[Any]]],
    new: NDArray[np.int64],
    path: Path,
) -> None:
    """Add those of a block of trials that are new, and compare the others."""
    numbers, columns = block
    is_new = np.isin(numbers, new)
    if not is_new.all():
        twice = numbers[~is_new]
        there = utility.columns_at(whole[utility.GROUP], twice)
        mine = {
            name: values[~is_new] for name, values in columns.items() if name in there and name != "seconds"
        }
        _same_trials(mine, there, twice, path)
    if is_new.any():
        added = {name: values[is_new] for name, values in columns.items()}
        utility.add(whole, header, run, utility.results_of(numbers[is_new], added))


def _utility_blocks(
    part: h5py.File, header: Header, done: NDArray[np.int64], path: Path
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """The finished trials of a part, some at a time, after comparing them with their digests."""
    group, key = part[utility.GROUP], utility.key_in(part, header)
    for start in range(0, len(done), _ROWS):
        numbers = done[start : start + _ROWS]
        columns = utility.columns_at(group, numbers)
        wrong = utility.digests_of(key, numbers, columns) != group["digest"][numbers]
        if wrong.any():
            raise ScoreFileError(f"trial {numbers[wrong][0]} of {path} is damaged; {_REPAIR}")
        yield numbers, columns


def _measured(result: LossResult) -> dict[str, NDArray[Any]]:
    """What a loss trial gave, as rows [1, ...]."""
    columns: dict[str, Any] = {
        "seed": np.uint64(result.trial.seed),
        "failed": np.uint8(result.failed),
        "train_loss": result.train_loss,
        "test_accuracy": np.float32(result.test_accuracy),
        **result.recorded,
    }
    return {name: np.asarray(values)[None] for name, values in columns.items()}


def _same_trials(
    mine: Mapping[str, NDArray[Any]],
    other: Mapping[str, NDArray[Any]],
    numbers: NDArray[np.int64],
    path: Path,
) -> None:
    """See that trials in two parts, a row each, are the same, but for rounding in what was measured."""
    for name, here in mine.items():
        there = other[name]
        same = (
            np.isclose(here, there, _RELATIVE, _ABSOLUTE, equal_nan=True)
            if here.dtype.kind == "f"
            else here == there
        )
        wrong = ~same.reshape(len(numbers), -1).all(axis=1)
        if wrong.any():
            raise ScoreFileError(
                f"trial {numbers[wrong][0]} of {path} has another {name} than the same trial of an earlier "
                "part; leave one of the files out."
            )
