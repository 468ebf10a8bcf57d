"""Monte-Carlo utility: what a sample adds to the outcome of its class, from stored utility trials.

M trials, subset S_t, outcome y_t(c) of class c. For a sample i of class c, n_i trials contain it.

* in minus out (`MonteCarlo`): d_i = mean of y over the trials that contain i, minus the mean over those that
  do not, with Welch's standard error sqrt(s_in^2/n_in + s_out^2/n_out). With every sample in at probability
  1/2 this is the maximum-sample-reuse estimator of Data Banzhaf (Wang & Jia, arXiv 2205.15466); with small
  subsets it is the same semivalue at another sampling rate.
* in-mean (the form of the paper, arXiv 2305.18381): the first of the two means. It ranks a class alike and
  carries the level of its class. Where trials come in folds or in blocks of common weights the level of the
  sample's own fold or block is replaced by that of the class, lest the ranking be one of folds.
* ridge regression on membership: see `goldore.scores.estimators.ridge`.

Trials that share their initial weights (common random numbers) are compared within their block: d_i is the
slope of y on membership with a level of its own for every block, d_i = sum_in (y_t - mean of its block) /
(n_i - sum over blocks b of n_ib^2 / m_b), which for a single block is in minus out again.

How far to trust it:

* `reliability` = 1 - mean(se_i^2) / var(d_i) within classes: the share of the spread that is not noise. Not
  known before some samples have been drawn twice.
* `rank_reliability`: Spearman correlation within classes of the estimates from two halves of the sweeps,
  averaged over splits and stepped up by Spearman-Brown. A sweep draws every sample once, so both halves know
  all samples. Needs two sweeps.
* `signal_share` s, the share of the variance of a class's outcome that is due to which of its samples were
  drawn: k times the spread of the utilities that is not noise, over the variance of the outcome. Then
  reliability = M s / (M s + N_c (1 - s/k)), so that 0.5 / 0.8 / 0.9 take 1 / 4 / 9 times N_c (1/s - 1/k)
  trials. The last term is the variance that a sample takes out of its own trials; it matters where k is
  small and s is not. All of it holds for k far below N_c; at N_c/3 it overstates (0.50 for 0.41, simulated).

Memory is bounded: trials are read in blocks, and nothing here is larger than a few numbers a sample.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from goldore.scores.estimators.agreement import Halved
from goldore.scores.estimators.estimate import Estimate
from goldore.scores.estimators.reliability import (
    spearman,
    spearman_brown,
    standard_error,
    weighted_mean,
)
from goldore.scores.estimators.sweeps import (
    GROUPS,
    SweepParts,
    Trials,
    centred,
    comparable,
    halvings,
    pool_of,
)
from goldore.trials.draws import Strata

if TYPE_CHECKING:
    from goldore.scores.estimators.shrunk import Half, Shrinkage

Estimator = Literal["in-minus-out", "in-mean", "ridge", "shrunk"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
_MOST_HALVINGS = 10  # that agreement rests on
_LEAST_FREEDOM = 10  # samples of a pool drawn a second time, before a spread is taken from them
RELIABILITY_METHODS: dict[Estimator, str] = {
    "in-minus-out": "1 - mean(se^2)/var within classes",
    "in-mean": "1 - mean(se^2)/var within classes, of in minus out",
    "ridge": "the rank reliability: its standard errors do not cover what shrinking takes away",
    "shrunk": "squared correlation of a shrunk half with what the raw other half estimates",
}
_SPLIT_HALF = (
    f"split-half Spearman within classes over sweeps, mean of all halvings of up to {GROUPS} parts, "
    "Spearman-Brown 2r/(1+r)"
)
RANK_RELIABILITY_METHODS: dict[Estimator, str] = {
    "in-minus-out": _SPLIT_HALF,
    "in-mean": _SPLIT_HALF,
    "ridge": _SPLIT_HALF,
    "shrunk": "squared Spearman within classes of a shrunk half of the sweeps and the raw other one, over "
    "that of both raw ones",
}


def estimate_utility(
    trials: Trials,
    samples: int,
    estimator: Estimator = "in-minus-out",
    prior: Mapping[str, NDArray[np.float64]] | None = None,
) -> Estimate:
    """Estimate every sample's utility from stored trials.

    Args:
        trials: finished ones.
        samples: N.
        estimator: "in-minus-out", "in-mean", "ridge" or "shrunk".
        prior: for "shrunk": scores that need no trials, by name, float64 [N].

    Returns:
        The estimate; NaN for samples that were never drawn, or always. Shrunk ones have the prior's value
        where they were never drawn; where the prior explains nothing, they are in-minus-out.
    """
    sums = _Sums(trials, samples)
    parts, shrinkage = trials.parts(), None
    values, stderr = sums.in_minus_out()
    reliability, per_class = _reliability(trials.strata, values, stderr)
    share, class_shares = _signal_share(trials.strata, values, stderr, sums.variance())
    halved: Callable[[NDArray[np.bool_]], NDArray[np.float64]] = sums.half
    if estimator == "in-mean":
        values, stderr = sums.in_mean()
        halved = sums.half_with_level
    elif estimator == "ridge":
        from goldore.scores.estimators.ridge import (
            Ridge,
        )  # most readers of score files need neither of the two

        ridge = Ridge(trials, parts, samples, share, np.isfinite(values))
        values, stderr = ridge.fit()
        halved = ridge.half
    elif estimator == "shrunk":
        from goldore.scores.estimators.shrunk import Shrinkage

        pools = [pool for fold in trials.strata.pools for pool in fold]
        shrinkage = Shrinkage(prior or {}, pools, values, stderr, sums.counts)
        if shrinkage.shrinks:
            return _shrunk(shrinkage, sums, trials, values, share, class_shares)
    by_rank, first = _split_half(trials.strata, parts, halved)
    pool_sizes = trials.strata.pool_sizes.sum(axis=0)
    ranked = np.isfinite(by_rank)
    rank_reliability = weighted_mean(by_rank[ranked], pool_sizes[ranked])
    if estimator == "ridge":
        reliability, per_class = rank_reliability, by_rank
    return Estimate(
        values=values,
        stderr=stderr,
        trials=sums.used,
        reliability=reliability,
        rank_reliability=rank_reliability,
        class_reliability=per_class,
        class_rank_reliability=by_rank,
        reliability_stderr=standard_error(per_class),
        rank_reliability_stderr=standard_error(by_rank),
        halves=first,
        counts=sums.counts,
        signal_share=share,
        class_signal_share=class_shares,
        explained=shrinkage.explained if shrinkage is not None else float("nan"),
    )


def _ways(number: int) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """The ways to halve so many parts: either half, bool [GROUPS + 1]; none of no parts."""
    for half in halvings(number) if number else ():
        chosen = np.zeros(GROUPS + 1, dtype=bool)
        chosen[list(half)] = True
        other = ~chosen
        other[number:] = False
        yield chosen, other


def halved_utility(trials: Trials, samples: int) -> Halved:
    """In-minus-out by all trials, and by halves of their sweeps in up to ten ways."""
    sums, parts = _Sums(trials, samples), trials.parts()
    number = int(parts.number[parts.number > 0].min(initial=GROUPS)) if (parts.number > 0).any() else 0
    halves = []
    for chosen, other in itertools.islice(_ways(number), _MOST_HALVINGS):
        halves.append(np.stack([sums.half(chosen), sums.half(other)]).astype(np.float32))
    empty = np.empty((0, 2, samples), dtype=np.float32)
    return Halved(sums.in_minus_out()[0], np.stack(halves) if halves else empty, sums.used)


def _shrunk(
    shrinkage: "Shrinkage",
    sums: "_Sums",
    trials: Trials,
    raw: NDArray[np.float64],
    share: float,
    class_shares: NDArray[np.float64],
) -> Estimate:
    """The estimate by a prior that explains something, judged by raw halves."""
    from goldore.scores.estimators.shrunk import judge

    parts = trials.parts()
    values, stderr = shrinkage.estimate(raw, sums.counts)

    def halves() -> Iterator[Callable[[], "Half"]]:
        number = int(parts.number.max(initial=0))
        for chosen, other in _ways(number):
            for first, second in ((chosen, other), (other, chosen)):
                yield partial(_half, shrinkage, sums, first, second)

    found = list(halves())
    by_class = list(zip(*trials.strata.pools, strict=True))
    judged = judge(found, by_class)
    shown = found[0]() if found else None
    return Estimate(
        values=values,
        stderr=stderr,
        trials=sums.used,
        reliability=judged.reliability,
        rank_reliability=judged.rank_reliability,
        class_reliability=judged.class_reliability,
        class_rank_reliability=judged.class_rank_reliability,
        reliability_stderr=judged.stderr,
        rank_reliability_stderr=judged.rank_stderr,
        halves=None if shown is None else np.stack([shown[0], shown[2]]).astype(np.float32),
        counts=sums.counts,
        signal_share=share,
        class_signal_share=class_shares,
        explained=shrinkage.explained,
    )


def _half(
    shrinkage: "Shrinkage", sums: "_Sums", chosen: NDArray[np.bool_], other: NDArray[np.bool_]
) -> "Half":
    raw = sums.half(chosen)
    return shrinkage.estimate(raw, sums.counts_of(chosen))[0], raw, sums.half(other)


class _Sums:
    """Sums over the trials that contain each sample: in all, and in each part of the sweeps.

    Attributes:
        used: number of trials.
        counts: trials that contain each sample, int64 [N].
    """

    def __init__(self, trials: Trials, samples: int) -> None:
        self._strata = trials.strata
        self._blocks = trials.common_init > 1
        columns = trials.strata.columns
        classes, folds = len(trials.strata.sizes), trials.strata.folds
        parts = trials.parts()
        self._part_count = np.zeros((GROUPS + 1, samples))  # the last row: trials in no part
        self._part_weight = np.zeros((GROUPS + 1, samples))
        self._part_sum = np.zeros((GROUPS + 1, samples))
        self._square = np.zeros(samples)
        self._totals = np.zeros(classes)
        self._scaled = np.zeros(samples)
        self._outcomes = np.zeros((3, GROUPS + 1, folds, classes))  # number, sum and squares of all trials
        self.used = 0
        for block in comparable(trials):
            z, sizes = (
                centred(block, trials)
                if self._blocks
                else (block.outcome, np.full(len(block.numbers), np.inf))
            )
            scaled = z * np.sqrt(1 / (1 - 1 / sizes))[:, None]  # z has less than the full variance by 1 - 1/m
            members = block.members
            weight = 1 - _repeats(block.numbers // trials.common_init, members, samples) / sizes[:, None]
            part = parts.of(block.numbers) % (GROUPS + 1)  # [B, K]
            place = (part[:, columns] * samples + members).ravel()
            by_part: tuple[tuple[NDArray[np.float64], NDArray[np.float64] | None], ...] = (
                (self._part_count, None),
                (self._part_weight, weight.ravel()),
                (self._part_sum, z[:, columns].ravel()),
            )
            for table, entries in by_part:
                np.add(table, np.bincount(place, entries, table.size).reshape(table.shape), out=table)
            for sums, each in (
                (self._scaled, scaled),
                (self._square, scaled**2),
            ):
                np.add(sums, np.bincount(members.ravel(), each[:, columns].ravel(), samples), out=sums)
            where = part, (block.numbers % folds)[:, None], np.arange(classes)
            for row, each in enumerate((np.ones_like(z), scaled, scaled**2)):
                np.add.at(self._outcomes[row], where, each)
            self._totals += block.outcome.sum(axis=0)
            self.used += len(block.numbers)
        self._pool = pool_of(trials.strata, samples)  # [2, N]: fold and class
        self.counts = np.rint(self._part_count.sum(axis=0)).astype(np.int64)

    def in_minus_out(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """d_i and Welch's standard error.

        A sample that was drawn once has no spread of its own and takes the pooled one of its class's samples
        that were drawn twice or more. The trials without the sample would not do: they vary by which other
        samples they drew, and with one sample of a class in a subset that is most of the outcome. Where too
        few were drawn twice the standard error is not known.
        """
        everything = np.ones(GROUPS + 1, dtype=bool)
        slope, weight = self._slope(everything)
        number, total, square = self._outcomes.sum(axis=1)[:, self._pool[0], self._pool[1]]  # [3, N]
        n_in, n_out = self.counts, number - self.counts
        with np.errstate(divide="ignore", invalid="ignore"):
            s_in = np.maximum(self._square - self._scaled**2 / n_in, 0) / (n_in - 1)
            s_out = np.maximum(square - self._square - (total - self._scaled) ** 2 / n_out, 0) / (n_out - 1)
            s_in = np.where(n_in > 1, s_in, self._pooled(s_in))
            s_out = np.where(n_out > 1, s_out, s_in)
            stderr = np.sqrt(s_in / n_in + s_out * np.maximum(1 / weight - 1 / n_in, 0))
        return slope, np.where(np.isfinite(slope) & np.isfinite(stderr), stderr, np.nan)

    def _pooled(self, variance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean variance of the trials with the same sample, over the samples of each one's pool, [N]."""
        classes = self._outcomes.shape[3]
        pool = self._pool[0] * classes + self._pool[1]
        freedom = np.maximum(self.counts - 1, 0).astype(np.float64)
        known = freedom > 0
        total = np.bincount(pool[known], (variance * freedom)[known], pool.max() + 1)
        below = np.bincount(pool, freedom)
        pooled: NDArray[np.float64] = np.where(below >= _LEAST_FREEDOM, total / below, np.nan)[pool]
        return pooled

    def in_mean(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """v_i, in the form of the paper, and its standard error s_in/sqrt(n_in); NaN from a single trial."""
        n_in = self.counts
        number, total, _ = self._outcomes.sum(axis=1)[:, self._pool[0], self._pool[1]]
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = self._part_sum.sum(axis=0) / n_in - (0 if self._blocks else total / number)
            variance = np.maximum(self._square - self._scaled**2 / n_in, 0) / (n_in - 1)
            values = np.where(n_in > 0, self._level() + inside, np.nan)
            return values, np.where(n_in > 1, np.sqrt(variance / n_in), np.nan)

    def variance(self) -> NDArray[np.float64]:
        """Of the outcome of each class within folds and blocks, float64 [folds, K]; NaN of a single trial."""
        number, total, square = self._outcomes.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: NDArray[np.float64] = np.maximum(square - total**2 / number, 0) / (number - 1)
        return found

    def half_with_level(self, parts: NDArray[np.bool_]) -> NDArray[np.float64]:
        """d_i from these parts alone with the level of the class: ranks all samples as in-mean does."""
        return self._level() + self.half(parts)

    def _level(self) -> NDArray[np.float64]:
        """Mean outcome of each sample's class over all trials, [N]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            level: NDArray[np.float64] = (self._totals / self.used)[self._pool[1]]
        return level

    def counts_of(self, parts: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Trials of these parts that contain each sample, float64 [N]."""
        found: NDArray[np.float64] = self._part_count[parts].sum(axis=0)
        return found

    def half(self, parts: NDArray[np.bool_]) -> NDArray[np.float64]:
        """d_i from these parts of the sweeps alone, bool [GROUPS + 1]."""
        return self._slope(parts)[0]

    def _slope(self, parts: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slope of the outcome on membership, and its weight (for one block n_in * n_out / M)."""
        value = self._part_sum[parts].sum(axis=0)
        if self._blocks:
            weight = self._part_weight[parts].sum(axis=0)
        else:
            number, total, _ = self._outcomes[:, parts].sum(axis=1)[:, self._pool[0], self._pool[1]]
            n_in = self._part_count[parts].sum(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                value = value - n_in * total / number
                weight = n_in - n_in**2 / number
        tiny = 1e-9
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(weight > tiny, value / weight, np.nan), weight


def _repeats(blocks: NDArray[np.int64], members: NDArray[np.int64], samples: int) -> NDArray[np.float64]:
    """How often the sample of each entry [B, S] is drawn in its block of trials, float64 [B, S]."""
    keys = (blocks - blocks[0])[:, None] * samples + members
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse].reshape(members.shape).astype(np.float64)


def _reliability(
    strata: Strata, values: NDArray[np.float64], stderr: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """1 - mean(se^2) / var within pools: over all, and for each class, float64 [K]."""
    spread, noise, _ = _spreads(strata, values, stderr)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_class = 1 - noise.sum(axis=0) / spread.sum(axis=0)
        overall = 1 - noise.sum() / spread.sum()
    return float(overall), np.where(np.isfinite(per_class), per_class, np.nan)


def _signal_share(
    strata: Strata,
    values: NDArray[np.float64],
    stderr: NDArray[np.float64],
    variance: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """Find k (var(d) - mean(se^2)) / var(y), 0..1: over all, and for each class, float64 [K]."""
    spread, noise, freedom = _spreads(strata, values, stderr)
    whole = np.where(freedom > 0, freedom * variance / strata.sizes, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_class = (spread - noise).sum(axis=0) / whole.sum(axis=0)
        overall = (spread - noise).sum() / whole.sum()
    return float(np.clip(overall, 0, 1)), np.clip(per_class, 0, 1)


def _spreads(
    strata: Strata, values: NDArray[np.float64], stderr: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum of squares of the values in each pool, that which is noise, and its freedom, each [folds, K]."""
    spread, noise, freedom = (np.zeros(strata.pool_sizes.shape) for _ in range(3))
    for fold, classes in enumerate(strata.pools):
        for label, members in enumerate(classes):
            known = members[np.isfinite(values[members]) & np.isfinite(stderr[members])]
            if len(known) > 1:
                where = fold, label
                freedom[where] = len(known) - 1
                spread[where] = values[known].var(ddof=1) * freedom[where]
                noise[where] = (stderr[known] ** 2).mean() * freedom[where]
    return spread, noise, freedom


def _split_half(
    strata: Strata, parts: SweepParts, halved: Callable[[NDArray[np.bool_]], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
    """Rank reliability of every class, float64 [K], and the two halves of the first split, [2, N].

    Pools may have different numbers of parts; each takes part in the splits of its own number.
    """
    correlations = np.full((*parts.number.shape, 35), np.nan)
    kept: NDArray[np.float32] | None = None
    for number in np.unique(parts.number[parts.number > 0]):
        for index, (chosen, other) in enumerate(_ways(int(number))):
            first, second = halved(chosen), halved(other)
            if index == 0:
                kept = _fill(kept, np.stack([first, second]), strata, parts.number == number)
            for fold, label in np.argwhere(parts.number == number):
                members = strata.pools[fold][label]
                known = members[np.isfinite(first[members]) & np.isfinite(second[members])]
                if len(known) > 1:
                    correlations[fold, label, index] = spearman(first[known], second[known])
    by_class = np.full(len(strata.sizes), np.nan)
    for label in range(len(by_class)):
        stepped = []
        for fold in range(strata.folds):
            known = correlations[fold, label][np.isfinite(correlations[fold, label])]
            if len(known):
                stepped.append(spearman_brown(float(known.mean()), float(parts.step_up[fold, label])))
        if stepped:
            by_class[label] = np.mean(stepped)
    return by_class, kept


def _fill(
    kept: NDArray[np.float32] | None,
    halves: NDArray[np.float64],
    strata: Strata,
    pools: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Take over the halves of these pools."""
    filled = np.full(halves.shape, np.nan, dtype=np.float32) if kept is None else kept
    for fold, label in np.argwhere(pools):
        members = strata.pools[fold][label]
        filled[:, members] = halves[:, members]
    return filled
