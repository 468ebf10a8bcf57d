"""Joining score files of one run that were made in parts."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from goldore.atomic import check_space, replacing
from goldore.errors import ScoreFileError, UsageError
from goldore.recipe import OUTCOMES
from goldore.store import loss, utility
from goldore.store.checks import run_differences
from goldore.store.format import LIBVER
from goldore.store.model import (
    Header,
    LossResult,
    LossRun,
    ScoreFile,
    UtilityResult,
    UtilityRun,
)
from goldore.store.reading import load_scores, opened, read_header
from goldore.store.writing import estimate_all, now
from goldore.trials import Trial

_RELATIVE, _ABSOLUTE = 1e-2, 5e-2  # what rounding may make of one trial, trained among others or alone
_ROWS = 4096  # utility trials that are held at once


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
    files = [load_scores(path, only=()) for path in paths]
    with opened(paths[0]) as file:
        header = read_header(file)
    known: dict[type, LossRun | UtilityRun] = {}
    for file_of in files:
        for run in _runs(file_of):
            differences = run_differences(file_of, header, known.setdefault(type(run), run))
            if differences:
                shown = "; ".join(f"{name}: {here} / {first}" for name, here, first in differences)
                raise ScoreFileError(
                    f"{file_of.path} holds another run than {paths[0]} ({shown}); merge parts of one run."
                )
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        check_space(temporary, 2 * sum(path.stat().st_size for path in paths))
        shutil.copyfile(paths[0], temporary)
        with h5py.File(temporary, "r+", libver=LIBVER) as whole:
            for path in paths[1:]:
                with opened(path) as part:
                    _join(whole, part, header, known, path)
            for kind in known:
                estimate_all(whole, header, kind)
            whole.attrs["updated"] = now()
    return load_scores(target)


def _runs(file: ScoreFile) -> list[LossRun | UtilityRun]:
    made_on = {"device": file.device, "torch_version": file.torch_version}
    runs: list[LossRun | UtilityRun] = []
    if file.loss_trials is not None:
        trials = file.loss_trials
        runs.append(LossRun(trials.recipe, trials.base_seed, trials.recorded, **made_on))
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
    for kind, run in known.items():
        room = loss if isinstance(run, LossRun) else utility
        if room.GROUP not in part:
            continue
        there = whole[room.GROUP]["done"][()] if room.GROUP in whole else np.empty(0, np.uint8)
        done = np.flatnonzero(part[room.GROUP]["done"][()])
        both = done[done < len(there)]
        for row in both[there[both] > 0]:
            _same_trial(whole[room.GROUP], part[room.GROUP], int(row), path)
        new = np.setdiff1d(done, both[there[both] > 0])
        if kind is LossRun and isinstance(run, LossRun):
            for row in new:
                loss.add(whole, header, run, [_loss_result(part[loss.GROUP], int(row), run)])
        elif isinstance(run, UtilityRun):
            for results in _utility_results(part[utility.GROUP], new):
                utility.add(whole, header, run, results)


def _same_trial(whole: h5py.Group, part: h5py.Group, row: int, path: Path) -> None:
    """See that a trial in two parts is the same, but for rounding in what was measured."""
    for name, values in part.items():
        if values.maxshape[:1] != (None,):
            continue
        here, there = values[row], whole[name][row]
        measured = values.dtype.kind == "f"
        if not (
            np.allclose(here, there, _RELATIVE, _ABSOLUTE, equal_nan=True)
            if measured
            else np.array_equal(here, there)
        ):
            raise ScoreFileError(
                f"trial {row} of {path} has another {name} than the same trial of an earlier part; "
                "leave one of the files out."
            )


def _loss_result(group: h5py.Group, row: int, run: LossRun) -> LossResult:
    return LossResult(
        trial=Trial(row, int(group["seed"][row])),
        failed=bool(group["failed"][row]),
        recorded={name: group[name][row] for name in run.recorded},
        train_loss=group["train_loss"][row],
        test_accuracy=float(group["test_accuracy"][row]),
    )


def _utility_results(group: h5py.Group, rows: np.ndarray) -> Iterator[list[UtilityResult]]:
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        first, last = int(some[0]), int(some[-1]) + 1
        read = {name: group[name][first:last] for name in (*OUTCOMES, "members", "seed", "weights_seed")}
        read |= {name: group[name][first:last] for name in ("train_loss", "failed")}
        yield [
            UtilityResult(
                trial=Trial(int(row), int(read["seed"][row - first]), int(read["weights_seed"][row - first])),
                failed=bool(read["failed"][row - first]),
                members=read["members"][row - first],
                outcomes={name: read[name][row - first] for name in OUTCOMES},
                train_loss=float(read["train_loss"][row - first]),
            )
            for row in some
        ]
