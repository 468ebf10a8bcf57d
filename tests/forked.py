"""Processes that are cheap to start: forked from one that has imported torch, what trains, and the commands.

There is one such server in a process, so all tests share it and what it imports.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
# torch._dynamo is what torch itself imports late
FORKS.set_forkserver_preload(["torch._dynamo", "goldore.runs", "tests.durability.runs", "tests.loaded"])


class Forked:
    """A goldore command in a process of its own that need not import anything; used like `subprocess.Popen`.

    Args:
        arguments: of goldore.
        folder: to run in.
        environment: all of it.
        err: the file that its stderr goes to; None gives it to `communicate`.
        prepare: called in the process before the command.
    """

    def __init__(self, arguments, folder, environment, err=None, prepare=None):
        self.args = [*map(str, arguments)]
        self._logs = Path(tempfile.mkdtemp())
        self._out, self._err = self._logs / "out", Path(err) if err is not None else self._logs / "err"
        for path in (self._out, self._err):
            path.touch()
        self._encoding = environment.get("PYTHONIOENCODING", "utf-8")
        places = (str(folder), environment, str(self._out), str(self._err), self._encoding)
        self._process = FORKS.Process(target=_command, args=(self.args, places, prepare))
        self._process.start()
        self.pid, self.kill = self._process.pid, self._process.kill

    def poll(self):
        return self._process.exitcode

    @property
    def returncode(self):
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout, *self._printed())
        return self.returncode

    def communicate(self, timeout=None):
        self.wait(timeout)
        printed = self._printed()
        shutil.rmtree(self._logs)
        return printed

    def _printed(self):
        return [path.read_text(self._encoding, errors="replace") for path in (self._out, self._err)]


def forked_goldore(arguments, folder, environment, timeout):
    """Run a goldore command to its end; gives what `subprocess.run` gives."""
    process = Forked(arguments, folder, environment)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _command(arguments, places, prepare):
    _become(*places)
    sys.path.insert(0, places[0])
    sys.argv = ["goldore", *arguments]
    if prepare is not None:
        prepare()
    sys.modules["goldore_cli.app"].main()


def _become(folder, environment, out, err, encoding):
    """Make this process one that was started in a folder, with an environment and files to print to."""
    for path, number in ((os.devnull, 0), (out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), number)
    sys.stdin = os.fdopen(0, encoding=encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child must not inherit "ignored"
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
