"""KernelUtility: the mean over groups of untrained networks.

A value has two errors: other networks, and other evaluation images. The first shrinks with the groups and
shows in their spread, with what belongs to a group and its images together. The second is common to all
groups, and shows in the spread over the images (`_common`). `stderr` holds both, and `reliability` is 1 -
mean(se^2) / var within classes. `rank_reliability` is the Spearman correlation within classes of two halves
that share neither networks nor images (the even groups by the even images and the odd ones by the odd
images), stepped up by Spearman-Brown; that understates it where networks and images act together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldore.scores.estimators.estimate import Estimate
from goldore.scores.estimators.reliability import spearman, spearman_brown, standard_error, weighted_mean

RELIABILITY_METHOD = "1 - mean(se^2)/var within classes, over networks and evaluation images"
RANK_RELIABILITY_METHOD = (
    "Spearman within classes of halves that share neither networks nor evaluation images, mean of both ways "
    "to pair them, Spearman-Brown 2r/(1+r)"
)


def over_groups(
    values: NDArray[np.float32],
    halves: NDArray[np.float32],
    variances: NDArray[np.float32],
    members: Sequence[NDArray[np.int64]],
) -> Estimate:
    """Average utilities over groups of networks.

    Args:
        values: of G groups, [G, N].
        halves: by half of the evaluation images each, [G, 2, N].
        variances: of the values over the evaluation images, [G, N].
        members: positions of each class's samples, K arrays.

    Returns:
        The estimate. With one group the errors and reliabilities are not known.
    """
    groups = len(values)
    mean = values.mean(axis=0, dtype=np.float64)
    networks = (
        values.var(axis=0, ddof=1, dtype=np.float64) / groups if groups > 1 else np.full(len(mean), np.nan)
    )
    images = variances.mean(axis=0, dtype=np.float64) * _common(halves, variances, members)
    stderr = np.sqrt(networks + images)
    halves = np.where(np.isfinite(halves).all(axis=1, keepdims=True), halves, np.nan)
    by_networks = [halves[part::2].mean(axis=0, dtype=np.float64) for part in range(2)] if groups > 1 else []
    pairs = [(by_networks[0][each], by_networks[1][1 - each]) for each in range(2)] if by_networks else []
    spread, noise, freedom = (np.zeros(len(members)) for _ in range(3))
    by_rank = np.full(len(members), np.nan)
    for label, positions in enumerate(members):
        known = positions[np.isfinite(mean[positions]) & np.isfinite(stderr[positions])]
        if len(known) > 1:
            freedom[label] = len(known) - 1
            spread[label] = mean[known].var(ddof=1) * freedom[label]
            noise[label] = (stderr[known] ** 2).mean() * freedom[label]
            ranks = [spearman(first[known], second[known]) for first, second in pairs]
            by_rank[label] = spearman_brown(float(np.mean(ranks)), 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_class = np.where(spread > 0, 1 - noise / spread, np.nan)
        overall = float(1 - noise.sum() / spread.sum()) if spread.sum() > 0 else float("nan")
    ranked = np.isfinite(by_rank)
    return Estimate(
        values=mean,
        stderr=stderr,
        trials=groups,
        reliability=overall,
        rank_reliability=weighted_mean(by_rank[ranked], (freedom + 1)[ranked]),
        class_reliability=per_class,
        class_rank_reliability=by_rank,
        reliability_stderr=standard_error(per_class),
        rank_reliability_stderr=standard_error(by_rank),
        halves=np.stack(pairs[0]).astype(np.float32) if pairs and np.isfinite(pairs[0]).any() else None,
    )


def _common(
    halves: NDArray[np.float32], variances: NDArray[np.float32], members: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Share of the spread over evaluation images that all groups have in common, for each sample, [N].

    The rest belongs to a group and its images together, and is in the spread of the groups already. Products
    of half differences of two groups have the common part alone as their mean; shares are of whole classes.
    """
    groups = len(halves)
    shares = np.full(halves.shape[2], np.nan)
    if groups > 1:
        apart = (halves[:, 0].astype(np.float64) - halves[:, 1]) / 2  # [G, N]
        both = (apart.sum(axis=0) ** 2 - (apart**2).sum(axis=0)) / (groups * (groups - 1))
        whole = variances.mean(axis=0, dtype=np.float64)
        for positions in members:
            known = positions[np.isfinite(both[positions]) & np.isfinite(whole[positions])]
            total = whole[known].sum()
            shares[positions] = np.clip(both[known].sum() / total, 0, 1) if total > 0 else 1.0
    return shares
