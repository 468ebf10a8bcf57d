"""Utilities of few trials, drawn towards what cheap scores predict of them (empirical Bayes).

The prior mean of a sample's utility is a least-squares fit of in-minus-out on other scores of the samples,
with slopes common to all classes and every class about its own mean. The estimate is

    prior + tau^2 / (tau^2 + se^2) (in-minus-out - prior),   tau^2 = var(in-minus-out - prior) - mean(se^2),

and where a sample was never drawn the prior (Morris, JASA 78, 1983). Nothing is shrunk unless the fit
predicts samples that it was not made from.

Two halves of shrunk scores share their prior, so that their agreement says little. What is judged is one
shrunk half against the raw other one: with the half's estimate s and both raw halves a and b,

    reliability = cov(s, b)^2 / (var(s) cov(a, b)),

the squared correlation of s with the utility that infinitely many trials would give. Half of the trials
make s; all of them make a better one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldore.scores.estimators.reliability import ranks_of

_FOLDS = 5  # of the samples, to see whether the fit predicts others
_SURE = 4.0  # standard errors by which it must do so
_FEWEST = 3  # samples of a pool that are looked at
_PARTS = 20  # of the samples, that are left out in turn for the error of a reliability
_AGREED = 2.0  # standard errors by which raw halves must agree before anything is judged by them


class Shrinkage:
    """Draws raw utilities towards a prior.

    Args:
        prior: scores by name, float64 [N]; NaN where a sample has none.
        pools: positions of the samples that are compared with each other.
        values: in-minus-out by all trials, float64 [N].
        stderr: its standard errors, float64 [N].
        counts: trials that contain each sample, [N].

    Attributes:
        explained: share of the variance of in-minus-out that the prior predicts of samples it was not fitted
            to; NaN if that cannot be told, and 0 at the most if it is not clearly above that.
        shrinks: whether the prior predicts anything.
    """

    def __init__(
        self,
        prior: Mapping[str, NDArray[np.float64]],
        pools: Sequence[NDArray[np.int64]],
        values: NDArray[np.float64],
        stderr: NDArray[np.float64],
        counts: NDArray[np.int64],
    ) -> None:
        self._pools = pools
        self._features = _standardised(np.stack(list(prior.values()), axis=1), pools) if prior else None
        self._noise = _noise_of_a_draw(stderr, counts, pools)
        self.explained, self.shrinks = self._predicts(values)

    def estimate(
        self, values: NDArray[np.float64], counts: NDArray[np.floating] | NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shrink in-minus-out of some trials.

        Args:
            values: float64 [N]; NaN for samples that were never drawn.
            counts: trials that contain each sample, [N].

        Returns:
            Estimates and their standard errors, float64 [N].
        """
        known = np.isfinite(values) & np.isfinite(self._noise)
        if self._features is None or not known.any():
            return values, np.full(len(values), np.nan)
        raw, level = self._about_pools(values, known)
        features, _ = self._about_pools(self._features, known)
        prior = features @ _slopes(features[known], raw[known])
        with np.errstate(divide="ignore", invalid="ignore"):
            noise = self._noise / counts
            tau2 = max(float(np.var(raw[known] - prior[known]) - noise[known].mean()), 0.0)
            weight = np.where(known & (tau2 + noise > 0), tau2 / (tau2 + noise), 0.0)
        found = prior + weight * np.where(known, raw - prior, 0.0)
        spread = np.sqrt(np.where(known, weight * np.where(known, noise, 0.0), tau2))
        return level + found, np.where(np.isfinite(level), spread, np.nan)

    def _about_pools(
        self, values: NDArray[np.float64], known: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values [N] or [N, P] about the means that the known ones of their pools have, and these means."""
        level = np.full(values.shape, np.nan)
        for positions in self._pools:
            some = positions[known[positions]]
            if len(some):
                level[positions] = values[some].mean(axis=0)
        return values - level, level

    def _predicts(self, values: NDArray[np.float64]) -> tuple[float, bool]:
        """Share of the variance that is predicted of samples that were left out, and whether it is any."""
        there = np.isfinite(values) & np.isfinite(self._noise)
        known = np.flatnonzero(there)
        freedom = len(known) - sum(bool(there[positions].any()) for positions in self._pools)
        if self._features is None or freedom < _FOLDS * _FEWEST:
            return float("nan"), False
        fold = np.full(len(values), -1)
        fold[known] = np.arange(len(known)) % _FOLDS
        raw, predicted = np.zeros(len(values)), np.zeros(len(values))
        for left_out in range(_FOLDS):  # the others alone say where a pool's middle is
            others, now = there & (fold != left_out), fold == left_out
            about, _ = self._about_pools(values, others)
            features, _ = self._about_pools(self._features, others)
            slopes = _slopes(features[others], about[others])
            raw[now], predicted[now] = about[now], features[now] @ slopes
        told = known[np.isfinite(raw[known] + predicted[known])]  # others of its pool were there
        raw, predicted = raw[told], predicted[told]
        total = raw @ raw
        if total == 0:
            return float("nan"), False
        explained = 1 - float(((raw - predicted) ** 2).sum() / total)
        scale = np.sqrt(total * (predicted @ predicted))
        correlation = float(raw @ predicted / scale) if scale > 0 else 0.0
        shrinks = explained > 0 and correlation > _SURE / freedom**0.5
        return explained if shrinks else min(explained, 0.0), shrinks


def _standardised(features: NDArray[np.float64], pools: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Features about the means of their pools, in units of their spread, [N, P]; 0 where one is not known."""
    found = np.zeros(features.shape)
    for positions in pools:
        some = features[positions]
        known = np.isfinite(some)
        means = np.where(known, some, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        found[positions] = np.where(known, some - means, 0)
    spread = found.std(axis=0)
    found /= np.where(spread > 0, spread, 1)
    return found


def _slopes(features: NDArray[np.float64], raw: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.lstsq(features, raw, rcond=1e-8)[0], dtype=np.float64)


def _noise_of_a_draw(
    stderr: NDArray[np.float64], counts: NDArray[np.int64], pools: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Variance of a single draw's outcome about its sample's mean, the same for a whole pool, [N].

    A sample's own is known from a few draws alone, and a small one by chance would keep it from being shrunk.
    Pools of which too few samples were drawn twice take that of all pools together.
    """
    there = np.isfinite(stderr)
    whole = np.average(stderr[there] ** 2 * counts[there], weights=counts[there]) if there.any() else np.nan
    found = np.full(len(stderr), whole)
    for positions in pools:
        known = positions[there[positions]]
        if len(known):
            found[positions] = np.average(stderr[known] ** 2 * counts[known], weights=counts[known])
    return found


@dataclass(frozen=True)
class Judged:
    """How far shrunk scores can be trusted, from one shrunk half against the raw other one.

    Attributes:
        reliability: over all classes.
        rank_reliability: likewise, of ranks.
        class_reliability: of each class, float64 [K].
        class_rank_reliability: likewise, of ranks.
        stderr: of `reliability`, a jackknife over parts of the samples.
        rank_stderr: likewise of `rank_reliability`.
    """

    reliability: float
    rank_reliability: float
    class_reliability: NDArray[np.float64]
    class_rank_reliability: NDArray[np.float64]
    stderr: float
    rank_stderr: float


Half = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def judge(halvings: Sequence[Callable[[], Half]], pools: Sequence[Sequence[NDArray[np.int64]]]) -> Judged:
    """Judge shrunk halves by raw ones.

    Args:
        halvings: give the shrunk estimate of a half, the raw one of the same, and the raw one of the other,
            float64 [N] each.
        pools: positions of the samples, by class and then by fold.

    Returns:
        What is known; NaN where the raw halves do not agree by two standard errors.
    """
    sums = np.zeros((2, len(pools), _PARTS, 3))  # of values and of ranks: cov(s, b), var(s), cov(a, b)
    for halving in halvings:
        three = np.stack(halving())
        for label, folds in enumerate(pools):
            for positions in folds:
                known = positions[np.isfinite(three[:, positions]).all(axis=0)]
                if len(known) < _FEWEST:
                    continue
                values = three[:, known]
                part = np.arange(len(known)) % _PARTS
                for each, (s, a, b) in zip(sums, (_centred(values), _centred(ranks_of(values))), strict=True):
                    products = np.stack([s * b, s * s, a * b], axis=1)
                    np.add.at(each[label], part, products)
    by_value, by_rank = (_squared(each.sum(axis=1)) for each in sums)
    (value, stderr), (rank, rank_stderr) = (_with_error(each.sum(axis=0)) for each in sums)
    return Judged(value, rank, by_value, by_rank, stderr, rank_stderr)


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values - values.mean(axis=1, keepdims=True)
    return found


def _with_error(parts: NDArray[np.float64]) -> tuple[float, float]:
    """The squared correlation of sums over parts of the samples, [P, 3], and its jackknife error."""
    whole, left = parts.sum(axis=0), parts.sum(axis=0) - parts  # [P, 3]
    shared = left[:, 2] - left[:, 2].mean()
    unsure = np.sqrt((len(parts) - 1) / len(parts) * (shared**2).sum())
    if not whole[2] > _AGREED * unsure:
        return float("nan"), float("nan")
    found = _squared(left, most=np.inf)
    error = np.sqrt((len(parts) - 1) / len(parts) * ((found - found.mean()) ** 2).sum())
    return float(_squared(whole)), float(error)


def _squared(sums: NDArray[np.float64], most: float = 1.0) -> NDArray[np.float64]:
    """The first number's square over the product of the others, with its sign, of [..., 3].

    NaN where that product is not positive.
    """
    below = sums[..., 1] * sums[..., 2]
    ratio = np.sign(sums[..., 0]) * sums[..., 0] ** 2 / np.where(below > 0, below, np.nan)
    found: NDArray[np.float64] = np.minimum(ratio, most)
    return found
