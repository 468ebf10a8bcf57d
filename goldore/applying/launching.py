"""Run a program whose training set is to hold the samples of an index file."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from goldore.applying.hook import goldore_hook
from goldore.applying.hook.goldore_hook.index import Index as HookIndex
from goldore.applying.hook.goldore_hook.report import report
from goldore.errors import GoldoreError, IndexFileError, UsageError, reason
from goldore.selection.index_file import Index, load_index, save_index

HOOK = Path(__file__).resolve().parent / "hook"
"""The folder that goes on PYTHONPATH."""
_PYTHON = re.compile(r"(python|pypy)[0-9.]*(\.exe)?")
_FLAGS = re.compile(r"-([^cmWXQ]*)([cmWXQ]?)(.*)", re.DOTALL)  # of which the last takes a value
_ALONE = set("IES")  # with which Python leaves PYTHONPATH or sitecustomize out
_MINORS = range(6, 20)  # of Python 3
_CODE = 128  # plus the number of a signal
_PASSED_ON = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_NOTHING = "so the index was not applied"


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        exit_code: the program's own, or 1 if that is 0 and the index was not applied without a fault;
            128 + n after the signal n.
        lines: what became of the index, for stderr.
    """

    exit_code: int
    lines: list[str]


def run(index_file: str | Path, command: Sequence[str]) -> Ended:
    """Run a program whose training set holds just the samples of an index file.

    The index is used as it stands when the program starts, whatever becomes of the file.

    Args:
        index_file: of any format, with provenance.
        command: the program and its arguments; it has this process's terminal, folder and environment.

    Returns:
        How it ended, and where the index was applied.

    Raises:
        IndexFileError: if the file cannot be used.
        UsageError: if there is no such program, or Python is told to leave PYTHONPATH out.
    """
    index = load_index(index_file)
    about = hook_index(index, index_file)
    _check_command(command)
    with tempfile.TemporaryDirectory(prefix="goldore-run-") as folder:
        copy = Path(folder) / f"{Path(index_file).stem}.npy"
        save_index(copy, index.indices, index.provenance)
        log = Path(folder) / "log"
        added = {**variables(copy), goldore_hook.LOG_VARIABLE: str(log)}
        added["PATH"] = os.pathsep.join(
            [str(_commands(Path(folder), added)), os.environ.get("PATH", os.defpath)]
        )
        code = _wait(command, {**os.environ, **added})
        found = report(log, about)
    lines = found.lines
    if code == 0 and not found.hooked:
        lines.append(
            f"goldore: error: no Python process was started with the index, {_NOTHING}. Was PYTHONPATH "
            "replaced, the environment cleared, or Python given -I, -E or -S?"
        )
    elif code == 0 and not found.seen:
        lines.append(
            "goldore: error: the program read nothing through torchvision, PyTorch, Hugging Face datasets or "
            f"TensorFlow Datasets, {_NOTHING}; see goldore plug."
        )
    return Ended(code or int(not found.well), lines)


def _commands(folder: Path, environment: dict[str, str]) -> Path:
    """A folder of commands that start each python on PATH with the variables, whatever a script has set."""
    commands = folder / "bin"
    commands.mkdir()
    for name in ("python", "python3", *(f"python3.{minor}" for minor in _MINORS)):
        found = shutil.which(name) if os.name == "posix" else None
        if found is None:
            continue
        again = [f"{key}={shlex.quote(value)}" for key, value in environment.items() if key != "PYTHONPATH"]
        again.append(f"PYTHONPATH={shlex.quote(str(HOOK))}${{PYTHONPATH:+:$PYTHONPATH}}")
        command = commands / name
        command.write_text(f'#!/bin/sh\nexport {" ".join(again)}\nexec {shlex.quote(found)} "$@"\n')
        command.chmod(0o700)
    return commands


def variables(index_file: Path) -> dict[str, str]:
    """The environment variables that make Python programs use an index file.

    Args:
        index_file: a .npy with its side-car.
    """
    paths = [str(HOOK), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), goldore_hook.VARIABLE: str(index_file.resolve())}


def shell_variables(index_file: str | Path) -> dict[str, str]:
    """`variables` for a shell, once the index file is known to be usable.

    Raises:
        IndexFileError: if it cannot be used.
        UsageError: if it is not a .npy.
    """
    path = Path(index_file)
    if path.suffix != ".npy":
        raise UsageError(f"{path} is no .npy, which alone is read without goldore; write the index as .npy.")
    hook_index(load_index(path), path)
    return variables(path)


def hook_index(index: Index, path: str | Path) -> HookIndex:
    """An index as the hook has it.

    Raises:
        IndexFileError: if it does not say what it is about.
    """
    try:
        return HookIndex(str(path), index.indices.tolist(), index.provenance)
    except (KeyError, TypeError, ValueError) as error:
        raise IndexFileError(
            f"{path} does not say which dataset it is about (by its labels), and cannot be recognized; "
            "write it with goldore prune."
        ) from error


def _check_command(command: Sequence[str]) -> None:
    if not command:
        raise UsageError("say what to run: goldore run INDEX -- python SCRIPT ...")
    if not _PYTHON.fullmatch(Path(command[0]).name):
        return
    words = iter(command[1:])
    for word in words:
        if not word.startswith("-") or word.startswith("--"):
            return  # the script
        found = _FLAGS.fullmatch(word)
        flags, value, rest = found.groups() if found else ("", "", "")
        if _ALONE & set(flags):
            raise UsageError(f"Python leaves goldore out with {word}; run the program without it.")
        if value in {"c", "m"}:
            return
        if value and not rest:
            next(words, None)


def _wait(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a program to its end; signals that are meant for it reach it."""
    with _signals_go_to() as started:
        try:
            process = subprocess.Popen(list(command), env=environment)  # noqa: S603  # what the user asks for
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be run ({reason(error)}); check its name.") from error
        started.append(process)
        code = process.wait()
    return _CODE - code if code < 0 else code


@contextmanager
def _signals_go_to() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Pass signals on to the processes in a list; Ctrl-C reaches them without that."""
    processes: list[subprocess.Popen[bytes]] = []

    def send(number: int, frame: FrameType | None) -> None:
        del frame
        for each in processes:
            each.send_signal(number)

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame

    before: dict[int, Any] = {}
    for name, handler in [("SIGINT", leave), *((each, send) for each in _PASSED_ON)]:
        which = getattr(signal, name, None)
        if which is not None and signal.getsignal(which) is not signal.SIG_IGN:
            before[which] = signal.signal(which, handler)
    try:
        yield processes
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def main() -> None:
    """Run the program of this process's arguments, INDEX COMMAND..., as `goldore run` does."""
    try:
        ended = run(sys.argv[1], sys.argv[2:])
    except GoldoreError as error:
        sys.exit(f"goldore: error: {error}")
    for text in ended.lines:
        sys.stderr.write(f"{text}\n")
    sys.exit(ended.exit_code)
