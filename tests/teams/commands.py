"""Goldore commands in processes that are cheap to start: forked from one that has imported torch already.

A command of them is the real one, with its own process, environment, folder, locks and signals. Where a test
is about torchrun or --processes it starts Python itself.
"""

import os
import sys
import time
from pathlib import Path

from tests.forked import FORKS

PATIENCE = 120  # seconds that a command may take
LEFT_OUT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE")


class Command:
    """A goldore command under way.

    Args:
        folder: to run in.
        arguments: of goldore.
        environment: that is set beside the caller's.
    """

    started = 0

    @staticmethod
    def run(arguments, environment, folder, out, err):
        """What the process does."""
        _run(arguments, environment, folder, out, err)

    def __init__(self, folder, arguments, **environment):
        Command.started += 1
        logs = Path(folder) / f".log{Command.started}"
        self._out, self._err = logs.with_suffix(".out"), logs.with_suffix(".err")
        self._err.touch()
        arguments = ["goldore", *map(str, arguments)]
        places = (str(folder), str(self._out), str(self._err))
        self.process = FORKS.Process(target=self.run, args=(arguments, environment, *places))
        self.process.start()

    @property
    def stderr(self):
        return self._err.read_text()

    @property
    def stdout(self):
        return self._out.read_text()

    def wait(self):
        """Wait for its end; gives itself, with `code`."""
        self.process.join(PATIENCE)
        self.code = self.process.exitcode
        assert self.code is not None, f"still running: {self.stderr}"
        for path in (self._out, self._err):  # what it wrote beside its files is not looked for
            path.rename(path.with_name(f"{path.name}.ended"))
        self._out, self._err = (path.with_name(f"{path.name}.ended") for path in (self._out, self._err))
        return self

    def until(self, found, what="what was waited for"):
        """Wait until something is found."""
        wait_until(found, lambda: f"{what}: {self.stderr}", self.process.is_alive)
        return self

    def kill(self):
        self.process.kill()
        self.process.join(PATIENCE)


def wait_until(found, what, alive=lambda: True):
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert alive() or found(), f"ended before {what()}"
        assert time.monotonic() < deadline, f"waited in vain for {what()}"
        time.sleep(0.005)


def _run(arguments, environment, folder, out, err):
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    for name in LEFT_OUT:
        os.environ.pop(name, None)
    os.environ.update(environment)
    sys.argv = arguments
    sys.modules["goldore_cli.app"].main()
