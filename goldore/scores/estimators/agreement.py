"""How well a utility that trains nothing agrees with the utility of trained networks.

Both are noisy, so that their plain correlation understates it. What is given is the correlation within
classes that both would have without the noise of their trials,

    cov(a, b) / sqrt((var(a) - mean(se_a^2)) (var(b) - mean(se_b^2)))

with (co)variances about the means of the classes, over samples that both know (Spearman, Am. J. Psychol.
15, 1904). Its standard error is a jackknife that leaves out a part of the samples at a time. Both are about
the same evaluation images, so these are no noise here.
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
        reliability: of the trained utility on these samples, 1 - mean(se^2)/var within classes.
    """

    correlation: float
    stderr: float
    trials: int
    samples: int
    reliability: float

    @property
    def verdict(self) -> Verdict:
        """From 0.9 on close, from 0.5 on related, else another thing; unknown if it cannot be told."""
        if not self.stderr <= _TOO_UNSURE:
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


def agreement(first: Noisy, trained: Noisy, trials: int, members: Sequence[NDArray[np.int64]]) -> Agreement:
    """Correlate two utilities within classes, corrected for the noise of both.

    Args:
        first: of what trains nothing.
        trained: of trained networks.
        trials: trained ones.
        members: positions of each class's samples, K arrays.

    Returns:
        The agreement; unknown where a class's samples are too few, or noise is all there is.
    """
    known = np.isfinite(first.values + first.noise + trained.values + trained.noise)
    chosen = [positions[known[positions]] for positions in members]
    whole = _sums(first, trained, chosen)
    parts = [
        _corrected(_sums(first, trained, [np.delete(each, np.s_[part::_PARTS]) for each in chosen]))
        for part in range(_PARTS)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = float(1 - whole[4] / whole[2]) if whole[2] > 0 else float("nan")
    spread = np.array(parts) - np.mean(parts)
    return Agreement(
        correlation=_corrected(whole),
        stderr=float(np.sqrt((_PARTS - 1) / _PARTS * (spread**2).sum())),
        trials=trials,
        samples=sum(map(len, chosen)),
        reliability=reliability,
    )


def _sums(first: Noisy, trained: Noisy, members: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Sums over classes: products, both squares in the order first, trained, and the noise of both, [5]."""
    total = np.zeros(5)
    for positions in members:
        if len(positions) < _FEWEST:
            continue
        a, b = (each.values[positions] - each.values[positions].mean() for each in (first, trained))
        freedom = len(positions) - 1
        noise = [freedom * each.noise[positions].mean() for each in (first, trained)]
        total += [a @ b, a @ a, b @ b, *noise]
    return total


def _corrected(sums: NDArray[np.float64]) -> float:
    product, first, trained, noise, noise_of_trained = sums
    left = (first - noise, trained - noise_of_trained)
    return float(product / np.sqrt(left[0] * left[1])) if min(left) > 0 else float("nan")
