"""Signals that ask a command to end: each ends it in order, with the exit code that the shell expects."""

import os
import signal
import sys
import threading
from types import FrameType

_ENDING = ("SIGTERM", "SIGHUP")  # of a scheduler or the system, and of a terminal that was closed
_CODE = 128  # plus the number of the signal
_SOON = 0.05  # seconds


class StoppedError(KeyboardInterrupt):
    """An interrupt that came as another signal than that of the keyboard.

    Attributes:
        exit_code: to end with.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = _CODE + number


def end_in_order() -> None:
    """Make interrupts of the signals that end a process, except those that it was told to ignore (nohup)."""
    sys.unraisablehook = _send_again
    for name in _ENDING:
        which = getattr(signal, name, None)
        if which is not None and signal.getsignal(which) is signal.SIG_DFL:
            signal.signal(which, _stop)


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """The exit code of an interrupted command: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return interrupt.exit_code if isinstance(interrupt, StoppedError) else _CODE + signal.SIGINT


def is_exit_of_interrupt(code: object) -> bool:
    """Whether an exit code is one of those."""
    return code in {_CODE + each for each in (signal.SIGINT, signal.SIGTERM, 1)}


def _send_again(lost: "sys.UnraisableHookArgs") -> None:
    """Send a signal again whose interrupt Python dropped, as it does in finalisers and callbacks."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    interrupt = lost.exc_value if isinstance(lost.exc_value, KeyboardInterrupt) else KeyboardInterrupt()
    again = threading.Timer(_SOON, os.kill, (os.getpid(), exit_code(interrupt) - _CODE))
    again.daemon = True
    again.start()


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    raise StoppedError(number)
