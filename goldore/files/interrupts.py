"""Signals that have to wait."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def interrupts_held_back(*, patience: int | None = None) -> Iterator[list[int]]:
    """Let a signal that would interrupt wait for the end of what must not be interrupted.

    Args:
        patience: so many signals wait; one more interrupts at once. None: all wait.

    Yields:
        The numbers of the signals that wait by now.
    """
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def hold(number: int, _: object) -> None:
        came.append(number)
        if patience is not None and len(came) > patience:
            for which, handler in before.items():
                signal.signal(which, handler)
            signal.raise_signal(number)

    if threading.current_thread() is threading.main_thread():
        for name in _NAMES:
            which = getattr(signal, name, None)
            if which is not None and callable(signal.getsignal(which)):
                before[which] = signal.signal(which, hold)
    try:
        yield came
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
        if came and (patience is None or len(came) <= patience):
            signal.raise_signal(came[0])
