"""A command of the user's as the distiller: run once for each cell and seed; its output says the accuracy."""

import contextlib
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Literal

import numpy as np

from goldore.errors import UsageError, reason
from goldore.files.atomic import file_name
from goldore.repositories.metric import read_accuracy
from goldore.repositories.model import Repository
from goldore.store import ScoreFile
from goldore.studies.cells import Cell
from goldore.studies.kept import KeptSet, select
from goldore.studies.model import Run
from goldore.studies.study_file import Waiting
from goldore.studies.watching import Told

Way = Literal["run", "plug"]
PLACES = ("{seed}", "{ipc}", "{name}", "{job}")
"""What is filled in in a command: seed, images per class, a name for its own output, number of the job."""
_ROOT = Path(__file__).resolve().parents[2]
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from goldore.applying.launching import main; main()"
)
_MOST_LOG = 2**26  # bytes at the end of a log that the accuracy is looked for in
_GRACE = 10.0  # seconds between asking a program to end and ending it
_LOOK = 0.2  # seconds between looks at what programs do
_LAST_LINES = 3
_OURS = "goldore: "  # begins the lines of goldore run
_APPLIED = "goldore: kept "  # printed by the block of goldore plug where it has read its index file


@dataclass(frozen=True)
class Program:
    """A command, and how it is run.

    Attributes:
        command: words, with `PLACES` to be filled in.
        pattern: regular expression whose last match is the accuracy.
        percent: whether it is in percent; None: where it is above 1 or a % follows, and refused otherwise.
        way: how it gets its index file: by `goldore run`, or by `goldore plug`, which has edited the code.
        repository: whose needs are checked before it is run, or None.
        jobs: programs at a time.
        max_run_seconds: after which one is stopped; None: never.
        logs: folder of their output and index files.
    """

    command: tuple[str, ...]
    pattern: str
    percent: bool | None
    way: Way
    repository: Repository | None
    jobs: int
    max_run_seconds: float | None
    logs: Path

    @property
    def words(self) -> str:
        """The command for people."""
        return shlex.join(self.command)


class Programs:
    """Runs cells with a command of the user's.

    Args:
        program: the command.
        file: the scores.
        base_seed: of the study.
    """

    def __init__(self, program: Program, file: ScoreFile, base_seed: int) -> None:
        self._program, self._file, self._base_seed = program, file, base_seed

    def run(self, seed: int, cells: Sequence[Cell], waiting: Waiting, told: Told) -> None:
        """Run cells for one seed; see `goldore.studies.builtin.BuiltIn.run`."""
        del waiting
        self._program.logs.mkdir(parents=True, exist_ok=True)
        slots: SimpleQueue[int] = SimpleQueue()
        for slot in range(self._program.jobs):
            slots.put(slot)
        done = 0
        with _running() as processes, ThreadPoolExecutor(self._program.jobs) as pool:
            futures: set[Future[Run]] = {
                pool.submit(self._one, seed, cell, slots, processes) for cell in cells
            }
            try:
                while futures:
                    ready, futures = wait(futures, timeout=_LOOK, return_when=FIRST_COMPLETED)
                    done += len(ready)
                    if ready:
                        told.keep([each.result() for each in ready])
                    told.progressed("running programs", done / len(cells))
            except BaseException:
                for each in futures:
                    each.cancel()
                processes.stop()
                raise

    def _one(self, seed: int, cell: Cell, slots: "SimpleQueue[int]", processes: "_Processes") -> Run:
        """Run one cell; whatever goes wrong is part of the result."""
        slot = slots.get()
        kept = select(self._file, cell, self._base_seed + seed)
        start = time.monotonic()
        try:
            accuracy, failed = self._accuracy(seed, cell, kept, slot, processes)
        except (OSError, UsageError) as error:
            accuracy, failed = math.nan, reason(error)
        finally:
            slots.put(slot)
        return Run(
            cell=cell,
            seed=seed,
            accuracy=accuracy,
            by_class=np.empty(0),
            judges=np.empty(0),
            kept=len(kept.indices),
            digest=kept.digest,
            seconds=time.monotonic() - start,
            failed=failed,
        )

    def _accuracy(
        self, seed: int, cell: Cell, kept: KeptSet, slot: int, processes: "_Processes"
    ) -> tuple[float, str]:
        """The accuracy of a cell in percent, or why there is none."""
        program = self._program
        name = file_name(f"{cell.criterion}-{cell.keep_ratio}-ipc{cell.ipc}-seed{seed}")
        log = program.logs / f"{name}.log"
        values = (self._base_seed + seed, cell.ipc, name, slot)
        filled = dict(zip(PLACES, map(str, values), strict=True))
        command = [_filled(word, filled) for word in program.command]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}  # so that lines of stdout and stderr stay whole
        environment.pop("GOLDORE_INDEX", None)
        if kept.selection is not None:
            index = program.logs / f"{name}.npy"
            kept.selection.save(index, overwrite=True)
            if program.way == "plug":
                environment["GOLDORE_INDEX"] = str(index.resolve())
            else:
                command = [sys.executable, "-c", _START, str(_ROOT), str(index.resolve()), *command]
        with log.open("wb") as output:
            output.write(f"$ {shlex.join(command)}\n".encode(errors="replace"))
            output.flush()
            ended = processes.run(command, environment, output, program.max_run_seconds)
        if ended is None:
            return math.nan, f"it took longer than {program.max_run_seconds:g} s and was stopped; see {log}"
        text = _output_of(log)
        if ended:
            return math.nan, f"it ended with exit code {ended}: {_last_words(text)}; see {log}"
        if program.way == "plug" and kept.selection is not None and _APPLIED not in text:
            return math.nan, f"its code did not read the index file (is it plugged?); see {log}"
        text = _own(text)
        accuracy = read_accuracy(text, program.pattern, percent=program.percent is not False)
        if accuracy is None or not 0 <= accuracy <= 100:  # noqa: PLR2004
            return math.nan, f"no accuracy is found in its output; see {log}"
        if program.percent is None and accuracy <= 1 and not _has_percent(text, program.pattern):
            return math.nan, (
                f"its accuracy {accuracy:g} may be a share or in percent; say so with `metric_unit`"
            )
        return accuracy, ""


class _Processes:
    """Programs under way, each in a group of its own, so that all that they started is stopped with them."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self, command: Sequence[str], environment: dict[str, str], output: IO[bytes], seconds: float | None
    ) -> int | None:
        """Run a program to its end; its exit code, or None if it took too long."""
        if self._stopped:
            raise UsageError("it was stopped")
        process = subprocess.Popen(  # noqa: S603  # what the user asks for
            list(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            return None
        finally:
            self._running.discard(process)

    def stop(self) -> None:
        """End all programs."""
        self._stopped = True
        _end(*self._running)


@contextmanager
def _running() -> Iterator[_Processes]:
    processes = _Processes()
    try:
        yield processes
    finally:
        processes.stop()


def _end(*processes: "subprocess.Popen[bytes]") -> None:
    """Ask programs and all that they started to end, then end them."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        for process in processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
        until = time.monotonic() + _GRACE
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0))


def _filled(word: str, values: dict[str, str]) -> str:
    for place, value in values.items():
        word = word.replace(place, value)
    return word


def _output_of(log: Path) -> str:
    """The end of what a program printed; carriage returns, of progress bars, end lines too.

    Without the command in the first line, where a pattern might match.
    """
    with log.open("rb") as file:
        first = len(file.readline())
        file.seek(max(log.stat().st_size - _MOST_LOG, first))
        return file.read().decode(errors="replace").replace("\r", "\n")


def _own(text: str) -> str:
    """What a program printed without what goldore did."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(_OURS))


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_LINES:])[:200] or "it printed nothing"


def _has_percent(text: str, pattern: str) -> bool:
    """Whether the last match ends before a percent sign, or contains one."""
    last = list(re.finditer(pattern, text, re.MULTILINE))[-1]
    end = last.end(1) if last.re.groups else last.end()
    return "%" in last[0] or text[end : end + 2].strip().startswith("%")
