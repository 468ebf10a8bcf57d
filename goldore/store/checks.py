"""What is checked before hours of training."""

import shlex
import tempfile
from pathlib import Path
from typing import Any

import h5py

from goldore.errors import GoldoreError, ScoreFileError, UsageError, reason
from goldore.files.atomic import check_space, check_writable, temporary_prefix
from goldore.store.format import INDEX_SUFFIXES, LIBVER
from goldore.store.model import CheckRun, Header, Run, ScoreFile
from goldore.store.trial_kinds import KINDS
from goldore.store.writing import size_of, write_header
from goldore.trials import ARGUMENTS


def check_storable(path: Path, header: Header, run: Run) -> None:
    """Write a score file without trials beside `path` and remove it again, before hours of training.

    Raises:
        UsageError: if the name is that of an index file.
        GoldoreError: if the folder cannot be written to, or HDF5 cannot hold a name.
    """
    if path.suffix in INDEX_SUFFIXES:
        raise UsageError(
            f"{path} has the suffix of an index file; give the score file a name that ends in .h5."
        )
    check_writable(path)
    try:
        with tempfile.TemporaryDirectory(
            prefix=temporary_prefix(path), suffix=path.suffix, dir=path.resolve().parent
        ) as folder:
            trial = Path(folder) / "trial.h5"
            trial.touch()
            check_space(trial, size_of(header, run, ()))
            with h5py.File(trial, "w", libver=LIBVER) as file:
                write_header(file, header)
    except (OSError, RuntimeError, ValueError) as error:
        raise GoldoreError(
            f"the scores of {header.info.name} could not be stored in {path.parent} ({reason(error)}); "
            "make room, choose another `out`, or rename what HDF5 cannot hold."
        ) from error


def check_same_run(existing: ScoreFile, header: Header, run: Run) -> None:
    """Refuse to mix trials of different datasets, recipes or seeds in one file.

    Raises:
        ScoreFileError: naming what differs, with both values.
    """
    differences = run_differences(existing, header, run)
    if differences:
        shown = "; ".join(f"{name}: {there} there / {now} now" for name, there, now in differences)
        what = "other check trials" if run.kind == CheckRun.kind else "another run"
        advice = "choose another file with `out`, or replace it with `overwrite`"
        if existing.dataset.fingerprint == header.info.fingerprint and run.kind in ARGUMENTS:
            number = ARGUMENTS[run.kind].number.replace("_", "-")
            extending = f"goldore extend {shlex.quote(str(existing.path))} --{number} N"
            advice = (
                "choose another file with `out`, replace it with `overwrite`, or add trials like its own: "
                f"{extending}"
            )
        raise ScoreFileError(f"{existing.path} holds {what} ({shown}); {advice}.")


def run_differences(existing: ScoreFile, header: Header, run: Run) -> list[tuple[str, Any, Any]]:
    """In what a file differs from a run: (name, in the file, in the run); empty if they fit together."""
    there, now = existing.dataset, header.info
    if now.fingerprint and there.fingerprint != now.fingerprint:  # a dry run may not have looked at all
        here, given = (f"{each.name} {each.fingerprint[:12]}" for each in (there, now))
        return [("dataset", here, given)]
    trials = existing.trials_of(run.kind)
    if trials is None:
        return []
    differences = trials.recipe.differences(run.recipe)
    if trials.base_seed != run.base_seed:
        differences.append(("seed", trials.base_seed, run.base_seed))
    return differences + KINDS[run.kind].differences(trials, run)
