"""Processes that are cheap to start: forked from one that has imported torch, what trains, and the commands.

There is one such server in a process, so all tests share it and what it imports.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
# torch._dynamo is what torch itself imports late
FORKS.set_forkserver_preload(["torch._dynamo", "goldore.runs", "tests.durability.runs", "tests.loaded"])


def become(folder, environment, out, err, encoding="utf-8"):
    """Make this process one that was started in a folder, with an environment and files to print to."""
    for path, number in ((os.devnull, 0), (out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    sys.stdin = os.fdopen(0, encoding=encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)


def forked_goldore(arguments, folder, environment, timeout):
    """Run a goldore command in a process of its own that need not import anything.

    Args:
        arguments: of goldore.
        folder: to run in.
        environment: all of it.
        timeout: seconds.

    Returns:
        A `subprocess.CompletedProcess`, with what it printed as texts.
    """
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    with tempfile.TemporaryDirectory() as logs:
        out, err = (Path(logs) / name for name in ("out", "err"))
        places = (str(folder), environment, str(out), str(err), encoding)
        process = FORKS.Process(target=_command, args=(arguments, places))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout, out.read_text(), err.read_text())
        printed = (path.read_text(encoding, errors="replace") for path in (out, err))
        return subprocess.CompletedProcess(arguments, process.exitcode, *printed)


def _command(arguments, places):
    become(*places)
    sys.path.insert(0, places[0])
    sys.argv = ["goldore", *arguments]
    sys.modules["goldore_cli.app"].main()
