"""How well a utility that trains nothing agrees with the utility of trained networks.

Both are noisy, so that their plain correlation understates it. What is given is the correlation within
classes that both would have without the noise of their trials,

    cov(a, b) / sqrt((var(a) - mean(se_a^2)) cov(b1, b2))

with (co)variances about the means of the classes, over samples that both know (Spearman, Am. J. Psychol.
15, 1904). b1 and b2 are halves of the trained trials, which share no noise; 1 - mean(se^2)/var would not do
for them: there are few, and where a trial draws many of a small pool, its samples share their noise. The
standard error is a jackknife that leaves out a part of the samples at a time. Both are about the same
evaluation images, so these are no noise here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["close", "related", "another thing", "unknown"]
_CLOSE, _RELATED = 0.9, 0.5
_TOO_UNSURE = 0.15  # standard error above which nothing is said
_PARTS = 20  # of the jackknife
_FEWEST = 3  # samples of a class in what a part leaves


@dataclass(frozen=True)
class Agreement:
    """How well a score agrees with the utility of trained networks.

    Attributes:
        correlation: within classes, corrected for the noise of both; it can come out above 1. NaN if it
            cannot be told.
        stderr: its standard error; NaN likewise.
        trials: trained ones.
        samples: that both know.
        reliability: of the trained utility on these samples, within classes.
    """

    correlation: float
    stderr: float
    trials: int
    samples: int
    reliability: float

    @property
    def verdict(self) -> Verdict:
        """From 0.9 on close, from 0.5 on related, else another thing; unknown if it cannot be told."""
        if not self.stderr <= _TOO_UNSURE or self.correlation - 2 * self.stderr > 1:
            return "unknown"
        if self.correlation >= _CLOSE:
            return "close"
        return "related" if self.correlation >= _RELATED else "another thing"


@dataclass(frozen=True)
class Noisy:
    """A utility with the noise of its own trials, or networks.

    Attributes:
        values: float64 [N]; NaN where it is not known.
        noise: variance of each value, float64 [N].
    """

    values: NDArray[np.float64]
    noise: NDArray[np.float64]


@dataclass(frozen=True)
class Halved:
    """A utility by all trials of many, and by their halves.

    Attributes:
        values: by all, float64 [N]; NaN where it is not known.
        halves: in one or more ways to halve them, [H, 2, N]; [0, 2, N] if they cannot be halved.
        trials: how many there are.
    """

    values: NDArray[np.float64]
    halves: NDArray[np.floating]
    trials: int


def agreement(first: Noisy, trained: Halved, members: Sequence[NDArray[np.int64]]) -> Agreement:
    """Correlate two utilities within classes, corrected for the noise of both.

    Args:
        first: of what trains nothing.
        trained: of trained networks.
        members: positions of each class's samples, K arrays.

    Returns:
        The agreement; unknown where samples are too few, or noise is all there is.
    """
    known = np.isfinite(first.values + first.noise + trained.values)
    known &= np.isfinite(trained.halves).all(axis=(0, 1)) & (len(trained.halves) > 0)
    chosen = [positions[known[positions]] for positions in members]
    whole = _sums(first, trained, chosen)
    parts = [
        _corrected(_sums(first, trained, [np.delete(each, np.s_[part::_PARTS]) for each in chosen]))
        for part in range(_PARTS)
    ]
    spread = np.array(parts) - np.mean(parts)
    return Agreement(
        correlation=_corrected(whole),
        stderr=float(np.sqrt((_PARTS - 1) / _PARTS * (spread**2).sum())),
        trials=trained.trials,
        samples=sum(map(len, chosen)),
        reliability=float(whole[2] / whole[3]) if whole[3] > 0 else float("nan"),
    )


def _sums(first: Noisy, trained: Halved, members: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Sums over classes, [4]: products, squares of the first less noise, products of halves, squares."""
    total = np.zeros(4)
    for positions in members:
        if len(positions) < _FEWEST:
            continue
        a, b = (each.values[positions] - each.values[positions].mean() for each in (first, trained))
        halves = trained.halves[:, :, positions].astype(np.float64)
        halves -= halves.mean(axis=2, keepdims=True)
        shared = (halves[:, 0] * halves[:, 1]).sum(axis=1).mean()
        own = a @ a - (len(positions) - 1) * first.noise[positions].mean()
        total += [a @ b, own, shared, b @ b]
    return total


def _corrected(sums: NDArray[np.float64]) -> float:
    product, first, trained, _ = sums
    return float(product / np.sqrt(first * trained)) if min(first, trained) > 0 else float("nan")
