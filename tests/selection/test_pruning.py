import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from goldore import UsageError, prune
from goldore.selection.amount import make_amount
from goldore.selection.pruning import choose_samples
from tests.conftest import make_score_file


def brute_force(values, labels, classes, drops, keep, scope):
    """Sort whole Python tuples and count with whole numbers: slow and obviously right."""
    sign = -1 if drops == "large" else 1
    groups = range(classes) if scope == "class" else [None]
    kept = []
    for group in groups:
        members = [i for i in range(len(values)) if group is None or labels[i] == group]
        members.sort(key=lambda i: (sign * values[i], i))
        dropped = len(members) - keep(len(members))
        kept += members[dropped:]
    return sorted(kept)


ratios = st.decimals(min_value=Decimal("0.001"), max_value=1, places=3)
classes_of_samples = st.lists(st.integers(0, 4), min_size=1, max_size=80)


@given(
    labels=classes_of_samples,
    ratio=ratios,
    drops=st.sampled_from(["large", "small"]),
    scope=st.sampled_from(["class", "global"]),
    data=st.data(),
)
def test_prune_equals_brute_force(labels, ratio, drops, scope, data):
    labels = np.array(labels)
    few_values = st.sampled_from([0.0, -0.0, 1e-9, 0.5, 1.0, 1.0 + 2**-52, 7.0])  # ties are the rule here
    values = data.draw(arrays.arrays(np.float64, len(labels), elements=few_values))
    expected = brute_force(values, labels, 5, drops, lambda n: math.ceil(Fraction(ratio) * n), scope)
    file = make_score_file(values, labels, 5)
    by_keep = prune(file, f"LossConverge_{drops}", keep_ratio=ratio, scope=scope)
    assert by_keep.indices.tolist() == expected
    if ratio < 1:
        by_drop = prune(file, f"LossConverge_{drops}", drop_ratio=1 - ratio, scope=scope)
        assert by_drop.indices.tolist() == expected
    assert by_keep.indices.dtype == np.int64
    assert by_keep.kept_per_class.tolist() == np.bincount(labels[expected], minlength=5).tolist()


@given(labels=classes_of_samples, count=st.integers(1, 20), seed=st.integers(0, 3))
def test_ipc_keeps_exactly_so_many_of_every_class(labels, count, seed):
    labels = np.array(labels)
    present = np.unique(labels)
    relabelled = np.searchsorted(present, labels)
    values = np.random.default_rng(seed).normal(size=len(labels))
    file = make_score_file(values, relabelled, len(present))
    if np.bincount(relabelled).min() < count:
        with pytest.raises(UsageError, match="is more than the"):
            prune(file, "LossConverge_small", keep_per_class=count)
    else:
        selection = prune(file, "LossConverge_small", keep_per_class=count)
        expected = brute_force(values, relabelled, len(present), "small", lambda _: count, "class")
        assert selection.indices.tolist() == expected


def test_among_ties_the_lower_position_is_dropped_first():
    file = make_score_file([1.0, 1.0, 1.0, 1.0], [0, 0, 0, 0], 1)
    for drops in ("large", "small"):
        assert prune(file, f"LossConverge_{drops}", keep_per_class=2).indices.tolist() == [2, 3]


def test_direction_names_the_end_that_is_dropped():
    file = make_score_file([5.0, 1.0, 3.0], [0, 0, 0], 1)
    assert prune(file, "LossConverge_large", keep_per_class=1).indices.tolist() == [1]
    assert prune(file, "LossConverge_small", keep_per_class=1).indices.tolist() == [0]


def test_keep_range_cuts_a_stretch_of_the_order():
    file = make_score_file(np.arange(10.0), [0] * 10, 1)
    assert prune(file, "LossConverge_small", keep_range=("0.2", "0.5")).indices.tolist() == [2, 3, 4]
    assert prune(file, "LossConverge_large", keep_range=("0.2", "0.5")).indices.tolist() == [5, 6, 7]
    by_ratio = prune(file, "LossConverge_large", drop_ratio="0.7").indices
    assert prune(file, "LossConverge_large", keep_range=("0.7", 1)).indices.tolist() == by_ratio.tolist()


def test_global_scope_ranks_all_samples_together():
    file = make_score_file([1.0, 2.0, 10.0, 20.0], [0, 0, 1, 1], 2)
    selection = prune(file, "LossConverge_large", keep_ratio=0.5, scope="global")
    assert selection.indices.tolist() == [0, 1]
    assert selection.kept_per_class.tolist() == [2, 0]


@pytest.mark.parametrize("none", [np.nan, np.inf, -np.inf])
def test_missing_scores_are_refused_or_put_at_one_end(none):
    file = make_score_file([1.0, none, 3.0, none], [0] * 4, 1)
    with pytest.raises(UsageError, match="2 of 4 samples have no LossConverge"):
        prune(file, "LossConverge_large", keep_per_class=2)
    assert prune(file, "LossConverge_large", keep_per_class=2, missing="drop").indices.tolist() == [0, 2]
    kept = prune(file, "LossConverge_large", keep_per_class=3, missing="keep")
    assert kept.indices.tolist() == [0, 1, 3]
    assert kept.provenance["missing"] == {"count": 2, "treatment": "keep"}


def test_random_is_a_function_of_its_seed_and_nested():
    file = make_score_file(np.zeros(100), np.repeat([0, 1], 50), 2)
    tenth = prune(file, "Random", keep_ratio="0.1", seed=3)
    assert tenth.indices.tolist() == prune(file, "random", keep_ratio="0.1", seed=3).indices.tolist()
    assert tenth.indices.tolist() != prune(file, "Random", keep_ratio="0.1", seed=4).indices.tolist()
    assert set(tenth.indices) < set(prune(file, "Random", keep_ratio="0.2", seed=3).indices)
    assert tenth.kept_per_class.tolist() == [5, 5]


def test_random_keeps_every_sample_equally_often():
    file = make_score_file(np.zeros(40), np.repeat([0, 1], 20), 2)
    times = np.zeros(40)
    for seed in range(400):
        times[prune(file, "Random", keep_ratio="0.25", seed=seed).indices] += 1
    assert times.sum() == 400 * 10
    assert np.abs(times - 100).max() < 4.5 * (400 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"drop_ratio": 0.1, "keep_ratio": 0.9},
        {"keep_per_class": 1, "keep_range": (0, 1)},
        {"drop_ratio": "-0.1"},
        {"drop_ratio": 1.01},
        {"keep_ratio": "half"},
        {"keep_ratio": float("nan")},
        {"keep_ratio": "inf"},
        {"drop_ratio": 1},
        {"keep_ratio": 0},
        {"keep_per_class": 0},
        {"keep_per_class": 4},
        {"keep_range": (0.5, 0.5)},
        {"keep_range": (0.6, 0.5)},
        {"keep_range": (0, 2)},
    ],
)
def test_rules_out_of_range_are_refused(rule):
    with pytest.raises(UsageError):
        prune(make_score_file([1.0, 2.0, 3.0], [0, 0, 0], 1), "LossConverge_large", **rule)


def test_half_a_million_samples_keep_their_order():
    draw = np.random.default_rng(0)
    labels, keys = draw.integers(0, 1000, 500_000), draw.random(500_000)
    kept, _ = choose_samples(keys, labels, 1000, make_amount(keep_ratio="0.5"))
    assert (np.diff(kept) > 0).all()
    totals = np.bincount(labels, minlength=1000)
    assert np.array_equal(np.bincount(labels[kept], minlength=1000), -(-totals // 2))
