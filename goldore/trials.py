"""Trials: the unit of all work. A trial is one training run, and its number and the base seed decide it.

Nothing else does: not how many networks are trained together, not the device it ran on, not what ran before
it. So runs can be resumed, split and merged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

MAX_SEED = 2**63 - 1


class Stream(IntEnum):
    """The independent random streams of a trial."""

    WEIGHTS = 0
    ORDER = 1


@dataclass(frozen=True)
class Trial:
    """One training run.

    Attributes:
        number: 0, 1, 2, ...; the trial's row in the score file.
        seed: derived from the base seed and the number; all of the trial's random draws come from it.
    """

    number: int
    seed: int

    def stream(self, which: Stream) -> np.random.Generator:
        """Start one of the trial's random streams from its beginning."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(int(which),)))


def make_trials(base_seed: int, numbers: Iterable[int]) -> list[Trial]:
    """Derive the trials with these numbers from the base seed.

    Args:
        base_seed: 0 to 2**63 - 1.
        numbers: trial numbers, 0 or more.

    Returns:
        One trial a number, in the same order.
    """
    return [Trial(number, _derived_seed(base_seed, number)) for number in numbers]


def _derived_seed(base_seed: int, number: int) -> int:
    return int(np.random.SeedSequence(base_seed, spawn_key=(number,)).generate_state(1, np.uint64)[0])
