"""Which samples a utility trial draws: sweeps.

In a sweep a class is shuffled and cut into pieces of k samples, one piece a trial, so that every sample is
drawn equally often: after any number of trials two samples of a class (and fold) differ by at most one draw.
Where k does not divide the class, a piece is made of the end of one sweep and the beginning of the next, and
the next sweep is rearranged just so far that no sample is in that piece twice.

A trial's draw depends on the labels, the base seed, k and the trial's number alone. No torch here: the
estimators need to know which sweep a trial belongs to.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.classes import class_members
from goldore.errors import UsageError
from goldore.trials.seeds import Stream, Trial
from goldore.trials.utility_recipe import CheckRecipe, UtilityRecipe

_FOLD_KEY, _SWEEP_KEY, _THIN_KEY = 1, 2, 8  # first of several keys; the trials' own streams have a single one
_SHARE = 3  # a subset holds at most one in so many of a class: complementary halves would rank badly


@dataclass(frozen=True)
class Strata:
    """The pools that are drawn from: the classes, each split into folds.

    With two folds every class is halved at random. Trial t draws from fold t % 2 and can so be evaluated on
    samples of the other one, which it never draws.

    Attributes:
        pools: positions of the samples by fold and class, ascending.
        sizes: samples of each class that a trial draws, int64 [K].
    """

    pools: tuple[tuple[NDArray[np.int64], ...], ...]
    sizes: NDArray[np.int64]

    @property
    def folds(self) -> int:
        """1 or 2."""
        return len(self.pools)

    @property
    def columns(self) -> NDArray[np.int64]:
        """Class of each sample of a subset, in the order in which they are drawn, int64 [S]."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def pool_sizes(self) -> NDArray[np.int64]:
        """Samples in each pool, int64 [folds, K]."""
        return np.array([[len(pool) for pool in fold] for fold in self.pools])

    def sweep(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sweep of its class in which each trial's piece begins.

        Args:
            numbers: of the trials, int64 [T].

        Returns:
            Counted from 0, int64 [T, K].
        """
        index = numbers // self.folds
        return index[:, None] * self.sizes // self.pool_sizes[numbers % self.folds]

    def complete_sweeps(self, trials: int) -> NDArray[np.int64]:
        """Sweeps of each pool that trials 0..trials-1 complete, int64 [folds, K]."""
        per_fold = np.array([len(range(fold, trials, self.folds)) for fold in range(self.folds)])
        return per_fold[:, None] * self.sizes // self.pool_sizes

    def trials_for_sweeps(self, sweeps: int) -> int:
        """Trials that complete so many sweeps of every pool."""
        return self.folds * int((-(-self.pool_sizes * sweeps // self.sizes)).max())


def make_strata(
    labels: NDArray[np.int64], num_classes: int, per_class: int, folds: int, base_seed: int
) -> Strata:
    """Split the classes into pools and say how much of each a trial draws.

    Args:
        labels: [N].
        num_classes: K.
        per_class: samples of each class in a subset (k); of smaller classes at most a third.
        folds: 1 or 2.
        base_seed: decides the folds.

    Returns:
        The pools.

    Raises:
        UsageError: if a class is too small to be halved.
    """
    classes = class_members(labels, num_classes)
    smallest = min(len(members) for members in classes)
    if smallest < folds:
        raise UsageError(
            "`eval_split` heldout needs two samples of every class, and one class has a single one; "
            "use `eval_split` test."
        )
    split = [
        np.array_split(_stream(base_seed, _FOLD_KEY, label).permutation(members), folds)
        for label, members in enumerate(classes)
    ]
    pools = tuple(tuple(np.sort(parts[fold]) for parts in split) for fold in range(folds))
    smaller = np.array([min(len(part) for part in parts) for parts in split])
    return Strata(pools, np.minimum(per_class, np.maximum(smaller // _SHARE, 1)))


def strata_of(recipe: UtilityRecipe, labels: NDArray[np.int64], num_classes: int, base_seed: int) -> Strata:
    """The pools that the trials of a complete recipe draw from; see `make_strata`.

    Raises:
        ValueError: if the recipe is not complete.
    """
    if recipe.subset_per_class is None:
        raise ValueError("the recipe leaves subset_per_class open")
    whole = make_strata(labels, num_classes, recipe.subset_per_class, recipe.folds, base_seed)
    if not isinstance(recipe, CheckRecipe):
        return whole
    if recipe.pool_per_class is None:
        raise ValueError("the recipe leaves pool_per_class open")
    return thinned(whole, recipe.pool_per_class, base_seed)


def folds_of(trial: Trial, labels: NDArray[np.int64], num_classes: int, folds: int) -> NDArray[np.int64]:
    """Deal the samples out to folds, class by class, in an order that the trial draws.

    Args:
        trial: decides the order.
        labels: [N].
        num_classes: K.
        folds: how many.

    Returns:
        The fold of each sample, int64 [N]; the folds' sizes, over all and within a class, differ by one at
        the most.

    Raises:
        UsageError: if there are fewer samples than folds.
    """
    if len(labels) < folds:
        raise UsageError(f"`folds` is {folds} and there are {len(labels)} samples; lower it.")
    draw, dealt = trial.stream(Stream.FOLDS), np.empty(len(labels), dtype=np.int64)
    order = np.concatenate([draw.permutation(members) for members in class_members(labels, num_classes)])
    dealt[order] = np.arange(len(labels)) % folds
    return dealt


def thinned(strata: Strata, per_class: int, base_seed: int) -> Strata:
    """Leave so many samples in each pool, drawn at random, so that few trials draw each of them often.

    Args:
        strata: whole.
        per_class: samples that stay in a pool; smaller ones stay whole.
        base_seed: decides which.
    """
    pools = tuple(
        tuple(
            np.sort(_stream(base_seed, _THIN_KEY, fold, label).permutation(pool)[:per_class])
            for label, pool in enumerate(classes)
        )
        for fold, classes in enumerate(strata.pools)
    )
    return Strata(pools, np.minimum(strata.sizes, np.maximum(per_class // _SHARE, 1)))


class Sweeps:
    """Draws subsets by sweeps; remembers the sweeps under way, so that trials in a row are cheap.

    Args:
        strata: to draw from.
        base_seed: decides all sweeps.
    """

    def __init__(self, strata: Strata, base_seed: int) -> None:
        self.strata = strata
        self._base_seed = base_seed
        self._shuffled: dict[tuple[int, int], tuple[int, NDArray[np.int64]]] = {}

    def subset(self, number: int) -> NDArray[np.int64]:
        """Draw the subset of one trial.

        Args:
            number: of the trial.

        Returns:
            Positions, int64 [S], class by class as in `Strata.columns`; no position twice.
        """
        fold, index = number % self.strata.folds, number // self.strata.folds
        return np.concatenate(
            [
                pool[self._piece(fold, label, index * int(size), int(size), len(pool))]
                for label, (pool, size) in enumerate(
                    zip(self.strata.pools[fold], self.strata.sizes, strict=True)
                )
            ]
        )

    def _piece(self, fold: int, label: int, start: int, size: int, pool: int) -> NDArray[np.int64]:
        sweep, offset = divmod(start, pool)
        tail = self._sweep(fold, label, sweep, size, pool)[offset : offset + size]
        if len(tail) == size:
            return tail
        return np.concatenate([tail, self._sweep(fold, label, sweep + 1, size, pool)[: size - len(tail)]])

    def _sweep(self, fold: int, label: int, sweep: int, size: int, pool: int) -> NDArray[np.int64]:
        """The order of one sweep of a pool, its head kept apart from the last sweep's end."""
        known, order = self._shuffled.get((fold, label), (-1, np.empty(0, np.int64)))
        if known == sweep:
            return order
        order = self._raw(fold, label, sweep, pool)
        left_over = (sweep * pool) % size  # of the last sweep, in the piece that this one completes
        if left_over:
            before = self._raw(fold, label, sweep - 1, pool)[pool - left_over :]
            order = _move_back(order, before, size - left_over)
        self._shuffled[fold, label] = sweep, order
        return order

    def _raw(self, fold: int, label: int, sweep: int, pool: int) -> NDArray[np.int64]:
        return _stream(self._base_seed, _SWEEP_KEY, fold, label, sweep).permutation(pool)


def _move_back(order: NDArray[np.int64], taken: NDArray[np.int64], head: int) -> NDArray[np.int64]:
    """Exchange what of the head is taken with the next entries that are not.

    A subset holds at most a third of a pool, so that the exchanged entries lie in front of the sweep's own
    end, which the next sweep looks at before any exchange.
    """
    is_taken = np.isin(order, taken)
    clashes = np.flatnonzero(is_taken[:head])
    free = head + np.flatnonzero(~is_taken[head:])[: len(clashes)]
    order[np.concatenate([clashes, free])] = order[np.concatenate([free, clashes])]
    return order


def _stream(base_seed: int, *keys: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(base_seed, spawn_key=keys))
