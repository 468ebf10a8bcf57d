"""The score file of a run, from its plan to its end."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goldore.errors import GoldoreError, ScoreFileError, option, reason
from goldore.store import (
    Header,
    Result,
    Run,
    ScoreFile,
    UtilityResult,
    add_trials,
    check_same_run,
    is_score_file,
    load_scores,
    remove_journal,
)
from goldore.store.journal import Journal
from goldore.store.seal import stamp

_SECONDS_BETWEEN_WRITES = 20.0
_SHARE_OF_WRITING = 15  # at least so many times the last writing passes before the next


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
                f"{path} cannot be read as a score file, and --overwrite replaces nothing else; "
                "choose another --out or remove it yourself."
            ) from None
        raise
    return existing


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

    Attributes:
        path: of the file.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        run: Run,
        *,
        fresh: bool,
        is_part: bool = False,
        useful: bool = False,
    ) -> None:
        self.path, self._header, self._run, self._fresh = path, header, run, fresh
        self._is_part, self._useful = is_part, useful
        self._waiting: list[Any] = []  # results of the run's kind
        self._seen = stamp(path)
        self._due = 0.0
        self._journal: Journal | None = None  # beside this state of the file

    def add_soon(self, results: Sequence[UtilityResult]) -> bool:
        """Make finished trials durable: now and then in the file, for they come by the thousand.

        Returns:
            Whether they were written to the file now.
        """
        in_order = not self._fresh and self._seen is not None and stamp(self.path) == self._seen
        if in_order and time.monotonic() < self._due:
            with errors_of_writing(self.path):
                self._journal = self._journal or Journal.beside(self.path, self._header)
                self._journal.append(self.path, results)
            self._waiting += results
            return False
        start = time.monotonic()
        self.add(results)
        spent = time.monotonic() - start
        self._due = time.monotonic() + max(_SECONDS_BETWEEN_WRITES, _SHARE_OF_WRITING * spent)
        return True

    def add(self, results: Sequence[Result]) -> None:
        """Write finished trials to the file, those that wait included."""
        self._waiting += results
        if not self._waiting:
            return
        self._fresh = self._fresh or not self.path.exists()  # it may have been removed meanwhile
        self._useful = self._useful and not self._fresh
        if not self._useful and not self._is_part and all(result.failed for result in self._waiting):
            return
        if self.path.exists() and stamp(self.path) != self._seen:
            self._look_again()
        self._write(self.path, fresh=self._fresh)
        self._waiting, self._fresh, self._seen = [], False, stamp(self.path)
        self._useful = True

    def _look_again(self) -> None:
        """The file is not as it was left: go on if it can take this run's trials, else save them beside."""
        try:
            check_same_run(load_scores(self.path, only=()), self._header, self._run)
            self._fresh = False
        except ScoreFileError as error:
            beside = self.path.with_name(f"{self.path.stem}-{os.getpid()}.h5")
            self._write(beside, fresh=True)
            remove_journal(self.path)
            raise ScoreFileError(
                f"{self.path} was changed by another run meanwhile and is left as it is; the trials in "
                f"hand are in {beside}. Give every run an --out of its own."
            ) from error

    def _write(self, path: Path, *, fresh: bool) -> None:
        with errors_of_writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
            if fresh:
                remove_journal(path)  # of what is replaced
            add_trials(path, self._header, self._run, self._waiting, fresh=fresh)
            remove_journal(path)
            self._journal = None

    def close(self) -> None:
        """Complain if trials diverged and none ended well."""
        if self._waiting:
            raise all_diverged(self._run)


def all_diverged(run: Run) -> GoldoreError:
    """The error that ends a run of which no trial can be used."""
    first, *others = run.recipe.learning_rates
    also = "".join(f" or {option(each)}" for each in others)
    return GoldoreError(
        "every trial diverged (the loss became infinite or NaN) and nothing was written; "
        f"lower {option(first)} (it is {run.recipe.lr:g}){also}."
    )


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let a signal that would interrupt wait until results are written, which took hours, and told of."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            which = getattr(signal, name, None)
            if which is not None and callable(signal.getsignal(which)):
                before[which] = signal.signal(which, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def errors_of_writing(path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be written, and why."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:  # as h5py has it
        raise GoldoreError(
            f"{path} could not be written ({reason(error)}); its previous state is kept. "
            "Make room or choose another --out, then run the same command again."
        ) from error
