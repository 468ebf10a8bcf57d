"""How a run goes, in a notebook: a line that changes in its place, and one for each trial that is done."""

import sys
import time
from collections.abc import Sequence
from html import escape
from importlib import import_module
from typing import Any

from goldore.runs.watching import Forecast, Plan, Watcher
from goldore.store import LossResult, Result
from goldore.training.progress import Progress
from goldore.trials.seeds import Trial
from goldore.wording import count, duration, number, plural, took

_BETWEEN = 0.5  # seconds between two changes of the line


def default_watcher() -> Watcher:
    """A watcher that shows a run if this is a notebook, else one that shows nothing."""
    display = _display()
    return Watcher() if display is None else NotebookWatcher(display)


def _display() -> Any:
    """IPython's function that shows something, if this is a notebook; nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return import_module("IPython.display").display


class NotebookWatcher(Watcher):
    """Shows a run below a cell.

    Args:
        display: `IPython.display.display`, or a function like it.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None
        self._plan: Plan | None = None
        self._lines: list[str] = []
        self._done = 0
        self._start = self._shown = 0.0
        self._group = 1  # trials that train together now
        self._share = 0.0  # of them that is done, in trials

    def planned(self, plan: Plan) -> None:
        """Begin a line for the trials of a kind."""
        self._plan, self._done, self._lines = plan, 0, list(plan.notes)
        self._start, self._share, self._handle = time.monotonic(), 0.0, None
        self._lines.append(f"{plan.dataset.name}: {plural(plan.trials, 'trial')} on {plan.run.device}")
        if plan.compiled and plan.trials > plan.there:
            self._lines.append("the networks are compiled first, which takes 20 to 90 seconds")
        self._show("")

    def forecast(self, plan: Plan, forecast: Forecast) -> None:
        """Say what a dry run found."""
        self._show(f"{plural(plan.trials - plan.there, 'trial')} would take about {took(forecast.seconds)}")

    def preparing(self, what: str, share: float) -> None:
        """Say what is made first."""
        self._now_and_then(f"{what}: {share:.0%}")

    def started(self, trials: Sequence[Trial]) -> None:
        """Take in how many train together."""
        self._group = len(trials)

    def progressed(self, progress: Progress) -> None:
        """Show the share that is done and the time left."""
        self._share = self._group * progress.images / max(progress.total_images, 1)
        self._now_and_then(f"epoch {progress.epoch}, loss {number(progress.loss)}")

    def finished(self, results: Sequence[Result]) -> None:
        """Count trials, and say how long ones ended."""
        self._done, self._share = self._done + len(results), 0.0
        for result in results:
            if isinstance(result, LossResult) and not result.failed:
                accuracy = f", test accuracy {result.test_accuracy:.1%}" if result.test_accuracy >= 0 else ""
                loss = float(result.train_loss[result.train_loss >= 0][-1])
                self._lines.append(f"trial {result.trial.number + 1}: training loss {number(loss)}{accuracy}")
        self._now_and_then("", always=isinstance(results[-1], LossResult))

    def ended(self, *_: Any) -> None:
        """Show the last state."""
        self._show(f"done in {took(time.monotonic() - self._start)}")

    def _now_and_then(self, text: str, *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._shown >= _BETWEEN:
            self._shown = now
            self._show(f"{self._where()}{f', {text}' if text else ''}")

    def _where(self) -> str:
        if self._plan is None:
            return ""
        there, total = self._plan.there + self._done, self._plan.trials
        done = self._done + self._share
        spent, left = time.monotonic() - self._start, total - there - self._share
        ahead = f", {duration(spent / done * left)} left" if done > 0 else ""
        return f"{count(there)} of {plural(total, 'trial')} done{ahead}"

    def _show(self, text: str) -> None:
        page = _Page([*self._lines, text])
        if self._handle is None:
            self._handle = self._display(page, display_id=True)
        else:
            self._handle.update(page)


class _Page:
    """Lines as a notebook shows them."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = [line for line in lines if line]

    def __repr__(self) -> str:
        return "\n".join(self._lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"
