"""The score file of a run, from its plan to its end."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldore.errors import GoldoreError, ScoreFileError, reason
from goldore.recipe import UtilityRecipe
from goldore.store import (
    Header,
    LossResult,
    LossRun,
    ScoreFile,
    UtilityResult,
    UtilityRun,
    add_trials,
    check_same_run,
    is_score_file,
    load_scores,
)

_SECONDS_BETWEEN_WRITES = 20.0
_SHARE_OF_WRITING = 15  # at least so many times the last writing passes before the next


def existing_file(
    path: Path, header: Header, runs: Sequence[LossRun | UtilityRun], *, overwrite: bool
) -> ScoreFile | None:
    """The file to go on with, or None to start afresh; never replaces what is not a score file."""
    if not path.exists():
        return None
    try:
        existing = load_scores(path, only=())
        for run in runs:
            check_same_run(existing, header, run)
    except ScoreFileError:
        if overwrite and is_score_file(path):
            return None
        if overwrite:
            raise ScoreFileError(
                f"{path} cannot be read as a score file, and --overwrite replaces nothing else; "
                "choose another --out or remove it yourself."
            ) from None
        raise
    return existing


class Output:
    """The score file of a run, from plan to end.

    Trials that diverged are kept back until one has ended well, so that a run in which all diverge leaves no
    file behind. A file that is not as this run left it is looked at again before it is written: trials of
    another run are neither replaced nor mixed with.

    Args:
        path: of the file.
        header: of the dataset that is scored.
        run: what the trials share.
        fresh: start anew, whatever is there.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, header: Header, run: LossRun | UtilityRun, *, fresh: bool) -> None:
        self.path, self._header, self._run, self._fresh = path, header, run, fresh
        self._waiting: list[Any] = []  # results of the run's kind
        self._seen = _stamp(path)
        self._due = time.monotonic() + _SECONDS_BETWEEN_WRITES

    def add_soon(self, results: Sequence[UtilityResult]) -> bool:
        """Take finished trials in, and make them durable now and then: short trials come by the thousand.

        Returns:
            Whether they were written now.
        """
        self._waiting += results
        if time.monotonic() < self._due:
            return False
        start = time.monotonic()
        self.add(())
        spent = time.monotonic() - start
        self._due = time.monotonic() + max(_SECONDS_BETWEEN_WRITES, _SHARE_OF_WRITING * spent)
        return True

    def add(self, results: Sequence[LossResult] | Sequence[UtilityResult]) -> None:
        """Make finished trials durable, those that wait included."""
        self._waiting += results
        if not self._waiting:
            return
        self._fresh = self._fresh or not self.path.exists()  # it may have been removed meanwhile
        if self._fresh and all(result.failed for result in self._waiting):
            return
        if self.path.exists() and _stamp(self.path) != self._seen:
            self._look_again()
        self._write(self.path, fresh=self._fresh)
        self._waiting, self._fresh, self._seen = [], False, _stamp(self.path)

    def estimate(self) -> None:
        """Estimate the scores anew, though no trial was added: another outcome may have been asked for."""
        self._write(self.path, fresh=False)
        self._seen = _stamp(self.path)

    def _look_again(self) -> None:
        """The file is not as it was left: go on if it can take this run's trials, else save them beside."""
        try:
            check_same_run(load_scores(self.path, only=()), self._header, self._run)
            self._fresh = False
        except ScoreFileError as error:
            beside = self.path.with_name(f"{self.path.stem}-{os.getpid()}.h5")
            self._write(beside, fresh=True)
            raise ScoreFileError(
                f"{self.path} was changed by another run meanwhile and is left as it is; the trials in "
                f"hand are in {beside}. Give every run an --out of its own."
            ) from error

    def _write(self, path: Path, *, fresh: bool) -> None:
        try:
            add_trials(path, self._header, self._run, self._waiting, fresh=fresh)
        except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:  # as h5py has it
            raise GoldoreError(
                f"{path} could not be written ({reason(error)}); its previous state is kept. "
                "Make room or choose another --out, then run the same command again."
            ) from error

    def close(self) -> None:
        """Complain if trials diverged and none ended well."""
        if self._waiting:
            recipe = self._run.recipe
            distilling = " or --distill-lr" if isinstance(recipe, UtilityRecipe) and recipe.distill else ""
            raise GoldoreError(
                "every trial diverged (the loss became infinite or NaN) and nothing was written; "
                f"lower --lr (it is {self._run.recipe.lr:g}){distilling}."
            )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from another that took its place; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
