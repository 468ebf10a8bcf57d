"""How utility trials look: the live bar, how long they will take, and how far MonteCarlo can be trusted."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goldore.runs.watching import End, UtilityPlan
from goldore.scores.estimators.estimate import UNRELIABLE
from goldore.store import Score, UtilityResult
from goldore.wording import count, duration, number, plural

if TYPE_CHECKING:
    from rich.progress import Progress

TARGETS = (0.5, 0.8)
_MOST_DIGITS = 2


class UtilityCourse:
    """How far the utility trials of a run are, and when they will end.

    Args:
        plan: of the run.

    Attributes:
        done: trials that the file will hold of those planned.
        score: MonteCarlo when it was last estimated.
        loss: training loss of the latest trial.
    """

    def __init__(self, plan: UtilityPlan) -> None:
        self.plan = plan
        self.done = plan.there
        self.score: Score | None = None
        self.loss = math.nan
        self._start = time.monotonic()

    def add(self, results: Sequence[UtilityResult]) -> None:
        """Count finished trials."""
        self.done += len(results)
        self.loss = results[-1].train_loss

    def where(self) -> str:
        """The trials done, and how reliable the ranking is by now."""
        trust = self.score.trust if self.score is not None else math.nan
        target = self.plan.until_reliability
        goal = f" of {target:g}" if target is not None else ""
        known = f", reliability {trust:.2f}{goal}" if math.isfinite(trust) else ""
        many = "" if target is not None else f" of {count(self.plan.trials)}"
        return f"trial {count(self.done)}{many}{known}"

    def per_second(self) -> float:
        """Trials a second since the run began."""
        return (self.done - self.plan.there) / max(time.monotonic() - self._start, 1e-6)

    def seconds_left(self) -> float:
        """Until the first of the ends: the number of trials, the reliability as forecast, or the time."""
        to_do = float(self.plan.trials - self.done)
        target, score = self.plan.until_reliability, self.score
        if target is not None and score is not None and score.trust > 0:
            to_do = min(to_do, max(_needed(score, target) - self.done, 1.0))
        left = to_do / self.per_second() if self.per_second() > 0 else math.inf
        if self.plan.max_seconds is not None:
            left = min(left, max(self.plan.max_seconds - (time.monotonic() - self._start), 0.0))
        return left

    def share(self) -> float:
        """Of the run that is over, 0..1."""
        spent = time.monotonic() - self._start
        return spent / max(spent + self.seconds_left(), 1e-6)

    def line(self) -> str:
        """Where the run is, in one line for a log."""
        left = self.seconds_left()
        ahead = f", {duration(left)} left" if math.isfinite(left) else ""
        return f"{self.where()}, {self.per_second() * 3600:,.0f} trials/hour{ahead}"


def utility_bar(console: Any) -> "Progress":
    """An empty live bar whose tasks have the fields `rate` and `left`."""
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
        console=console,
        expand=True,
        transient=True,
    )


def trust_sentence(score: Score) -> str:
    """How far MonteCarlo can be trusted, over all and by class, and how many trials more trust takes."""
    if not math.isfinite(score.trust):
        return (
            f"MonteCarlo of {plural(score.trials, 'trial')}: its reliability can be told when every sample "
            "has been drawn twice"
        )
    known = score.class_rank_reliability[score.class_rank_reliability >= -1]
    span = f", classes {known.min():.2f} to {known.max():.2f}" if len(known) > 1 else ""
    if math.isfinite(score.rank_reliability):
        ranks = _with_error(score.rank_reliability, score.rank_reliability_stderr)
        reliability = f"{ranks} (of ranks{span}; by 1 - noise/spread {_plain(score)})"
    else:
        reliability = f"about {_plain(score)} (by 1 - noise/spread; halves can be compared after two sweeps)"
    return (
        f"MonteCarlo of {plural(score.trials, 'trial')}: reliability {reliability}; signal share "
        f"{number(score.signal_share, 2)}; {_needed_sentence(score)}"
    )


def _needed_sentence(score: Score) -> str:
    """Trials that reliabilities take: "0.5 takes 120 trials and 0.8 takes 480"."""
    if not score.trust > 0:
        return "how many trials it takes cannot be told yet"
    return " and ".join(f"{target:g} takes {_trials(_needed(score, target))}" for target in TARGETS)


def ending(end: End, plan: UtilityPlan, score: Score | None, seconds: float, trials: int) -> str | None:
    """What to say at the end of a run that was to reach a reliability or was stopped by the clock.

    Args:
        end: why it ended.
        plan: of the run.
        score: MonteCarlo in the end.
        seconds: that the run took.
        trials: that it trained.

    Returns:
        A sentence, or None where there is nothing to say.
    """
    target = plan.until_reliability
    if end == "reliable":
        return f"the reliability of {target:g} was " + ("there already" if trials == 0 else "reached")
    if end == "complete" and target is None:
        return None
    why = "--max-time" if end == "time" else "--max-trials"
    if target is None:
        return f"stopped by {why} at {count(plan.there + trials)} of {plural(plan.trials, 'trial')}"
    ahead = ""
    if trials and (score is None or not math.isfinite(score.trust)):
        more = float(max(2 * plan.per_sweep - plan.there - trials, 1))
        ahead = (
            f"; how reliable it is can be told after two sweeps, about {plural(round(more), 'trial')} more, "
            f"{duration(more * seconds / trials)}"
        )
    elif score is not None and score.trust > 0 and trials:
        more = max(_needed(score, target) - score.trials, 1.0)
        ahead = (
            f"; it takes about {plural(math.ceil(more), 'trial')} more, {duration(more * seconds / trials)}"
        )
    return f"stopped by {why} before the reliability of {target:g} was reached{ahead}"


def is_noise(score: Score) -> bool:
    """Whether the ranking is, as far as can be told, mostly noise."""
    return not score.trust >= UNRELIABLE


def _needed(score: Score, target: float) -> float:
    from goldore.scores.estimators import trials_needed

    return trials_needed(score.trust, score.trials, target)


def _plain(score: Score) -> str:
    return _with_error(score.reliability, score.reliability_stderr)


def _with_error(value: float, error: float) -> str:
    return f"{value:.2f} +- {error:.2f}" if math.isfinite(error) else number(value, 2)


def _trials(value: float) -> str:
    """How many trials, to two digits: a forecast."""
    value = max(value, 2.0)
    digits = 10 ** max(len(str(math.ceil(value))) - _MOST_DIGITS, 0)
    return plural(math.ceil(value / digits) * digits, "trial")
