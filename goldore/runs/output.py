"""The score file of a run, from its plan to its end."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goldore.errors import GoldoreError, ScoreFileError, reason
from goldore.files.interrupts import interrupts_held_back
from goldore.store import (
    Header,
    Result,
    Run,
    ScoreFile,
    add_trials,
    check_same_run,
    is_score_file,
    load_scores,
    remove_journal,
)
from goldore.store.journal import Journal
from goldore.store.seal import stamp

_SECONDS_BETWEEN, _SHARE = 20.0, 15  # times what it took the last time, at the least


def existing_file(path: Path, header: Header, runs: Sequence[Run], *, overwrite: bool) -> ScoreFile | None:
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
                f"{path} cannot be read as a score file, and `overwrite` replaces nothing else; "
                "choose another `out` or remove it yourself."
            ) from None
        raise
    return existing


class Pace:
    """How often something is done that takes time: every twenty seconds at most, a fifteenth of all time."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether it is to be done now; always at first."""
        return time.monotonic() >= self._next

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Do it within, so that it is known what it takes."""
        start = time.monotonic()
        yield
        end = time.monotonic()
        self._next = end + max(_SECONDS_BETWEEN, _SHARE * (end - start))


class Output:
    """The file that a process writes its trials to, from plan to end.

    Trials that diverged are kept back until one has ended well, so that a run in which all diverge leaves no
    file behind. A file that is not as this run left it is looked at again before it is written: trials of
    another run are neither replaced nor mixed with.

    Args:
        path: of the file.
        header: of the dataset that is scored.
        run: what the trials share.
        fresh: start anew, whatever is there.
        is_part: the file is a part that is joined with others: it takes trials that diverged as they come.
        useful: the file has trials of the run's kind that ended well.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        run: Run,
        *,
        fresh: bool,
        is_part: bool,
        useful: bool,
    ) -> None:
        self._path, self._header, self._run, self._fresh = path, header, run, fresh
        self._is_part, self._useful = is_part, useful
        self._waiting: list[Any] = []  # results of the run's kind
        self._seen = stamp(path)
        self._written = False  # by this object, so that it holds trials of the run's kind
        self._pace = Pace()
        self._journal: Journal | None = None  # beside this state of the file

    def add(self, results: Sequence[Result]) -> bool:
        """Make finished trials durable: beside the file, and now and then in it, since that copies it.

        Returns:
            Whether they were written to the file now.
        """
        if self._written and stamp(self._path) == self._seen and not self._pace.is_due():
            with errors_of_writing(self._path):
                self._journal = self._journal or Journal.beside(self._path, self._header, self._run.kind)
                self._journal.append(self._path, results)
            self._waiting += results
            return False
        self._waiting += results
        with self._pace.timed():
            self.flush()
        return True

    def flush(self) -> None:
        """Write the trials that wait to the file."""
        if not self._waiting:
            return
        self._fresh = self._fresh or not self._path.exists()  # it may have been removed meanwhile
        self._useful = self._useful and not self._fresh
        if not self._useful and not self._is_part and all(result.failed for result in self._waiting):
            return
        if self._path.exists() and stamp(self._path) != self._seen:
            self._look_again()
        self._write(self._path, fresh=self._fresh)
        self._waiting, self._fresh, self._seen = [], False, stamp(self._path)
        self._useful = self._written = True

    def _look_again(self) -> None:
        """The file is not as it was left: go on if it can take this run's trials, else save them beside."""
        try:
            check_same_run(load_scores(self._path, only=()), self._header, self._run)
            self._fresh = False
        except ScoreFileError as error:
            beside = self._path.with_name(f"{self._path.stem}-{os.getpid()}.h5")
            self._write(beside, fresh=True)
            remove_journal(self._path)
            raise ScoreFileError(
                f"{self._path} was changed by another run meanwhile and is left as it is; the trials in "
                f"hand are in {beside}. Give every run an `out` of its own."
            ) from error

    def _write(self, path: Path, *, fresh: bool) -> None:
        with errors_of_writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
            if fresh:
                remove_journal(path)  # of what is replaced
            add_trials(path, self._header, self._run, self._waiting, fresh=fresh)
            remove_journal(path)
            self._journal = None

    @contextmanager
    def flushed(self) -> Iterator[None]:
        """At the end, whatever it is, write what waits."""
        try:
            yield
        finally:
            with interrupts_held_back():
                self.flush()

    def close(self) -> None:
        """Write what waits, and complain if trials diverged and none ended well."""
        self.flush()
        if self._waiting:
            raise all_diverged(self._run)


def all_diverged(run: Run) -> GoldoreError:
    """The error that ends a run of which no trial can be used."""
    if not run.recipe.learning_rates:
        return GoldoreError(
            "the embeddings of the untrained networks are not finite and nothing was written; choose another "
            "`norm`, `std` or `precision`."
        )
    first, *others = run.recipe.learning_rates
    also = "".join(f" or `{each}`" for each in others)
    return GoldoreError(
        "every trial diverged (the loss became infinite or NaN) and nothing was written; "
        f"lower `{first}` (it is {run.recipe.lr:g}){also}."
    )


@contextmanager
def errors_of_writing(path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be written, and why."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:  # as h5py has it
        raise GoldoreError(
            f"{path} could not be written ({reason(error)}); its previous state is kept. "
            "Make room or choose another `out`, then run the same command again."
        ) from error
