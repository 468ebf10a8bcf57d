import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldore import UsageError
from goldore.trials.draws import Sweeps, make_strata


def labels_of(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def drawn(strata, seed, numbers):
    sweeps = Sweeps(strata, seed)
    return [sweeps.subset(number) for number in numbers]


@given(
    counts=st.lists(st.integers(1, 25), min_size=1, max_size=3),
    per_class=st.integers(1, 9),
    trials=st.integers(1, 60),
    seed=st.integers(0, 2**63 - 1),
)
def test_samples_are_drawn_equally_often_and_never_twice_in_a_subset(counts, per_class, trials, seed):
    labels = labels_of(counts)
    strata = make_strata(labels, len(counts), per_class, 1, seed)
    subsets = drawn(strata, seed, range(trials))
    for subset in subsets:
        assert len(np.unique(subset)) == len(subset)
        assert np.array_equal(labels[subset], strata.columns)
    times = np.bincount(np.concatenate(subsets), minlength=len(labels))
    for label in range(len(counts)):
        assert np.ptp(times[labels == label]) <= 1


def test_a_subset_depends_on_seed_and_number_alone():
    strata = make_strata(labels_of((20, 31)), 2, 3, 1, 5)
    in_a_row = drawn(strata, 5, range(40))
    for number in (0, 39, 17, 7, 6):
        assert np.array_equal(Sweeps(strata, 5).subset(number), in_a_row[number])
    backwards = drawn(strata, 5, reversed(range(40)))
    assert all(np.array_equal(a, b) for a, b in zip(reversed(backwards), in_a_row, strict=True))
    assert not np.array_equal(drawn(strata, 6, [0])[0], in_a_row[0])


def test_the_draws_are_frozen():
    # A change here would silently make old score files impossible to continue.
    strata = make_strata(np.repeat([0, 1], 7), 2, 2, 1, 0)
    expected = [[6, 3, 9, 7], [0, 4, 10, 8], [5, 2, 13, 12], [1, 5, 11, 8]]
    assert [subset.tolist() for subset in drawn(strata, 0, range(4))] == expected


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (15, 5), (16, 5)])
def test_small_classes_give_at_most_a_third(count, size):
    assert make_strata(np.zeros(count, dtype=int), 1, 5, 1, 0).sizes.tolist() == [size]


def test_two_folds_draw_from_disjoint_halves_in_turn():
    labels = labels_of((20, 31))
    strata = make_strata(labels, 2, 3, 2, 1)
    subsets = drawn(strata, 1, range(120))
    even, odd = (set(np.concatenate(subsets[fold::2]).tolist()) for fold in range(2))
    assert not even & odd
    assert even | odd == set(range(51))
    for fold, mine in enumerate((even, odd)):
        assert mine == set(np.concatenate(strata.pools[fold]).tolist())


def test_a_class_of_one_sample_cannot_be_held_out():
    with pytest.raises(UsageError, match="`eval_split` heldout needs two samples"):
        make_strata(np.array([0, 0, 1]), 2, 1, 2, 0)


@pytest.mark.parametrize("folds", [1, 2])
def test_sweeps_are_counted_as_they_are_drawn(folds):
    labels = labels_of((20, 31))
    strata = make_strata(labels, 2, 3, folds, 1)
    for sweeps in (1, 2, 5):
        trials = strata.trials_for_sweeps(sweeps)
        assert (strata.complete_sweeps(trials) >= sweeps).all()
        assert not (strata.complete_sweeps(trials - folds) >= sweeps).all()
        times = np.bincount(np.concatenate(drawn(strata, 1, range(trials))), minlength=51)
        assert times.min() >= sweeps
    numbers = np.arange(60)
    sizes, pools = strata.sizes, strata.pool_sizes
    expected = [
        [number // folds * sizes[c] // pools[number % folds, c] for c in range(2)] for number in numbers
    ]
    assert strata.sweep(numbers).tolist() == expected
