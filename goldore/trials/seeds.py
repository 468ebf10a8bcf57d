"""Trials: the unit of all work. A trial is one training run, and its number and the base seed decide it.

Nothing else does: not how many networks are trained together, not the device it ran on, not what ran before
it. So runs can be resumed, split and merged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

MAX_SEED = 2**63 - 1
_UTILITY, _UTILITY_WEIGHTS, _STUDY, _KERNEL, _GROUP = 3, 4, 5, 6, 7  # kinds of seeds
_CHECK, _FOLD = 9, 10  # likewise; the draws have 1, 2 and 8 (goldore.trials.draws)


class Stream(IntEnum):
    """The independent random streams of a trial."""

    WEIGHTS = 0
    ORDER = 1
    DISTILL = 2
    TEST = 3
    FOLDS = 4
    AUGMENT = 5


@dataclass(frozen=True)
class Trial:
    """One training run.

    Attributes:
        number: 0, 1, 2, ...; the trial's row in the score file.
        seed: derived from the base seed and the number; the trial's random draws come from it.
        weights_seed: of the initial weights where several trials share them; None: `seed`.
    """

    number: int
    seed: int
    weights_seed: int | None = None

    def stream(self, which: Stream) -> np.random.Generator:
        """Start one of the trial's random streams from its beginning."""
        shared = which is Stream.WEIGHTS and self.weights_seed is not None
        seed = self.weights_seed if shared else self.seed
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(which),)))


def make_trials(base_seed: int, numbers: Iterable[int]) -> list[Trial]:
    """Derive the loss trials with these numbers from the base seed.

    Args:
        base_seed: 0 to 2**63 - 1.
        numbers: trial numbers, 0 or more.

    Returns:
        One trial a number, in the same order.
    """
    return [Trial(number, _derived_seed(base_seed, number)) for number in numbers]


def make_utility_trials(base_seed: int, numbers: Iterable[int], common_init: int) -> list[Trial]:
    """Derive the utility trials with these numbers from the base seed.

    Args:
        base_seed: 0 to 2**63 - 1.
        numbers: trial numbers, 0 or more.
        common_init: so many trials in a row share their initial weights.

    Returns:
        One trial a number, in the same order.
    """
    return [
        Trial(
            number,
            seed=_derived_seed(base_seed, _UTILITY, number),
            weights_seed=_derived_seed(base_seed, _UTILITY_WEIGHTS, number // common_init),
        )
        for number in numbers
    ]


def make_fold_trials(base_seed: int, numbers: Iterable[int]) -> list[Trial]:
    """Derive the cross-validations with these numbers from the base seed.

    Args:
        base_seed: 0 to 2**63 - 1.
        numbers: trial numbers, 0 or more.

    Returns:
        One trial a number, in the same order.
    """
    return [Trial(number, _derived_seed(base_seed, _FOLD, number)) for number in numbers]


def make_kernel_trials(base_seed: int, numbers: Iterable[int]) -> list[Trial]:
    """Derive the trials of KernelUtility with these numbers from the base seed.

    Args:
        base_seed: 0 to 2**63 - 1.
        numbers: trial numbers, 0 or more.

    Returns:
        One trial a number, in the same order.
    """
    return [Trial(number, _derived_seed(base_seed, _KERNEL, number)) for number in numbers]


def check_seed(base_seed: int) -> int:
    """What the draws and seeds of check trials derive from, so that they share nothing with other trials."""
    return _derived_seed(base_seed, _CHECK) & MAX_SEED


def group_of(trial: Trial, count: int) -> list[Trial]:
    """So many networks of one trial, each with a seed of its own."""
    return [Trial(number, _derived_seed(trial.seed, _GROUP, number)) for number in range(count)]


def study_stream(base_seed: int, number: int) -> np.random.SeedSequence:
    """Where the random numbers come from that all cells of a study share for one of its seeds.

    Args:
        base_seed: 0 to 2**63 - 1.
        number: of the seed, 0 or more.
    """
    return np.random.SeedSequence(base_seed, spawn_key=(_STUDY, number))


def study_judge(base_seed: int, number: int, judge: int) -> Trial:
    """The training of one of the networks that judge all cells of a study's seed."""
    return Trial(judge, _derived_seed(base_seed, _STUDY, number, judge))


def _derived_seed(base_seed: int, *keys: int) -> int:
    return int(np.random.SeedSequence(base_seed, spawn_key=keys).generate_state(1, np.uint64)[0])
