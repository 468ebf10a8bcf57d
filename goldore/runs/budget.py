"""How many utility trials a run trains, and when it has trained enough. No torch here.

Never stop because successive estimates agree: they share their trials. In a simulation of 1,000 trials they
correlated by 0.997 while the reliability was 0.098.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldore.errors import UsageError

if TYPE_CHECKING:
    from goldore.scores.estimators import Estimate
    from goldore.trials.draws import Strata

DEFAULT_SWEEPS = 2  # the fewest that a reliability can be measured from
DEFAULT_TRIALS = 100  # at the least, where sweeps are short: fewer tell little of anything
DEFAULT_MAX_TRIALS = 100_000
MOST_TRIALS = 10_000_000
_BETWEEN_CHECKS = 1.1  # each check for enough reliability comes at so many times the trials of the last


@dataclass(frozen=True)
class Budget:
    """How many utility trials to run.

    Attributes:
        trials: that the file shall hold; None: two sweeps and at least 100, or what `until_reliability`
            takes.
        until_reliability: go on until the ranking has this reliability.
        max_trials: stop then at so many.
        max_seconds: stop after so long, counted from the first trial.
        trial_range: run only the trials with these numbers.

    Raises:
        UsageError: if a number is out of range, or two exclude each other.
    """

    trials: int | None = None
    until_reliability: float | None = None
    max_trials: int | None = None
    max_seconds: float | None = None
    trial_range: range | None = None

    def __post_init__(self) -> None:
        for name, value in (("utility_trials", self.trials), ("max_trials", self.max_trials)):
            if value is not None and not 1 <= value <= MOST_TRIALS:
                raise UsageError(f"`{name}` is {value}; it must be from 1 to {MOST_TRIALS:,}.")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise UsageError("`max_seconds` must be above 0.")
        if self.trial_range is not None:
            _check_range(self.trial_range)
        if self.trial_range is not None and self.trials is not None:
            raise UsageError("`trial_range` says which trials to run; leave `utility_trials` out.")
        if self.until_reliability is not None:
            self._check_target(self.until_reliability)
        elif self.max_trials is not None:
            raise UsageError("`max_trials` is a cap for `until_reliability`; use `utility_trials` here.")

    def _check_target(self, reliability: float) -> None:
        if not 0 < reliability < 1:
            raise UsageError(f"`until_reliability` is {reliability}; it must be between 0 and 1.")
        if self.trials is not None or self.trial_range is not None:
            raise UsageError(
                "`until_reliability` decides how many trials there are; leave `utility_trials` and "
                "`trial_range` out, or cap it with `max_trials` and `max_seconds`."
            )

    def numbers(self, strata: "Strata") -> range:
        """The trials that the file may hold in the end."""
        if self.trial_range is not None:
            return self.trial_range
        if self.until_reliability is not None:
            return range(self.max_trials or DEFAULT_MAX_TRIALS)
        return range(self.trials or max(strata.trials_for_sweeps(DEFAULT_SWEEPS), DEFAULT_TRIALS))


def _check_range(numbers: range) -> None:
    first, last = numbers.start, numbers.stop
    if first < 0 or last <= first:
        raise UsageError(
            f"`trial_range` {first}:{last} is empty; count trials from 0, with the end not included."
        )
    if last > MOST_TRIALS:
        raise UsageError(f"`trial_range` ends at {last}; it must end at {MOST_TRIALS:,} or before.")


class Checks:
    """When to look whether the reliability is reached: at numbers of trials that do not depend on time.

    Args:
        strata: that are drawn from.
        budget: with the reliability to reach, if any.
    """

    def __init__(self, strata: "Strata", budget: Budget) -> None:
        self._target = budget.until_reliability
        self._sweep = strata.trials_for_sweeps(1)
        self._next = strata.trials_for_sweeps(DEFAULT_SWEEPS)

    @property
    def wanted(self) -> bool:
        """Whether a reliability is to be reached."""
        return self._target is not None

    def until_next(self, count: int) -> int | None:
        """Trials that are to be added to so many before the next look; None: there is none before the end."""
        if self._target is None:
            return None
        while self._next <= count:
            self._next = max(math.ceil(self._next * _BETWEEN_CHECKS), self._next + self._sweep)
        return self._next - count

    def enough(self, score: "Estimate | None") -> bool:
        """Whether the ranking is as reliable as was asked for, less a standard error where there is one.

        Among many looks at few samples one is sure to come out too high.
        """
        if self._target is None or score is None:
            return False
        error = score.rank_reliability_stderr
        return score.rank_reliability - (error if math.isfinite(error) else 0.0) >= self._target
