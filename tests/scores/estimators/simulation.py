"""Utility trials whose outcomes are sums of planted utilities and noise."""

from dataclasses import dataclass

import numpy as np

from goldore.scores.estimators.sweeps import TrialBlock, Trials
from goldore.trials.draws import Strata, Sweeps, make_strata


@dataclass
class Simulation:
    """Planted utilities [N], their strata, and the stored trials."""

    utility: np.ndarray
    strata: Strata
    trials: Trials
    members: np.ndarray
    outcome: np.ndarray
    numbers: np.ndarray


def simulate(
    counts=(400, 300),
    trials=3000,
    per_class=2,
    share=0.3,
    seed=0,
    folds=1,
    common_init=1,
    block_noise=0.0,
    chunk=640,
    level=(0.2, 0.7),
):
    """Draw trials by sweeps; a share of every outcome's variance comes from the members, the rest is noise.

    `block_noise` is the standard deviation of what the trials of a block with common weights share, in units
    of the outcome's own.
    """
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.repeat(np.arange(len(counts)), counts))
    strata = make_strata(labels, len(counts), per_class, folds, seed)
    utility = draw.normal(size=len(labels)) * (share / per_class) ** 0.5
    numbers = np.arange(trials)
    sweeps = Sweeps(strata, seed)
    members = np.stack([sweeps.subset(int(number)) for number in numbers]).astype(np.int32)
    starts = np.cumsum(strata.sizes) - strata.sizes
    outcome = np.add.reduceat(utility[members], starts, axis=1)
    outcome += draw.normal(size=outcome.shape) * (1 - share) ** 0.5
    outcome += np.asarray(level)[: len(counts)]
    outcome += (
        block_noise * draw.normal(size=(trials // common_init + 1, len(counts)))[numbers // common_init]
    )
    outcome = outcome.astype(np.float32)

    def read():
        size = max(1, chunk // common_init) * common_init
        for start in range(0, trials, size):
            part = slice(start, start + size)
            yield TrialBlock(numbers[part], members[part], outcome[part])

    return Simulation(utility, strata, Trials(strata, common_init, read, trials), members, outcome, numbers)
