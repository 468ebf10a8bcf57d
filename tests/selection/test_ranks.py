import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldore.selection.ranks import Ranked, rank_correlation

CLASSES = 4


def plain_ranks(values):
    """How many finite values are lower, and half of those that are equal to it and not itself."""
    known = values[np.isfinite(values)]
    return np.array(
        [
            (known < each).sum() + ((known == each).sum() - 1) / 2 if np.isfinite(each) else np.nan
            for each in values
        ]
    )


def plain_ranks_within(values, labels):
    ranks = np.full(len(values), np.nan)
    for label in np.unique(labels):
        ranks[labels == label] = plain_ranks(values[labels == label])
    return ranks


def plain_spearman(first, second):
    known = np.isfinite(first) & np.isfinite(second)
    one, two = plain_ranks(first[known]), plain_ranks(second[known])
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return np.nan
    return np.corrcoef(one, two)[0, 1]


def plain_correlations(first, second, labels, classes):
    """Within class, over all, by class."""
    known = np.isfinite(first) & np.isfinite(second)
    by_class = np.array(
        [plain_spearman(first[labels == label], second[labels == label]) for label in range(classes)]
    )
    sizes = np.array([known[labels == label].sum() for label in range(classes)])
    there = np.isfinite(by_class)
    within = (by_class[there] * sizes[there]).sum() / sizes[there].sum() if there.any() else np.nan
    return within, plain_spearman(first, second), by_class


def correlation(first, second, labels, classes):
    return rank_correlation(Ranked.of(first, labels, classes), Ranked.of(second, labels, classes))


def assert_as_plain(first, second, labels, classes):
    found = correlation(first, second, labels, classes)
    within, overall, by_class = plain_correlations(first, second, labels, classes)
    np.testing.assert_allclose(found.within_class, within, atol=1e-12)
    np.testing.assert_allclose(found.overall, overall, atol=1e-12)
    np.testing.assert_allclose(found.by_class, by_class, atol=1e-12)
    assert found.samples == (np.isfinite(first) & np.isfinite(second)).sum()


few = st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.0, np.nan, np.inf, -np.inf])  # so that there are ties
wide = st.floats(width=32, allow_nan=True, allow_infinity=True)


@st.composite
def scored(draw, scores=1):
    size = draw(st.integers(0, 24))
    labels = draw(st.lists(st.integers(0, CLASSES - 1), min_size=size, max_size=size))
    values = [
        np.array(
            draw(st.lists(draw(st.sampled_from([few, wide])), min_size=size, max_size=size)), dtype=float
        )
        for _ in range(scores)
    ]
    return np.array(labels, dtype=np.int64), *values


@given(scored())
def test_ranks_are_those_of_a_plain_count(case):
    labels, values = case
    ranked = Ranked.of(values, labels, CLASSES)
    np.testing.assert_array_equal(ranked.within(), plain_ranks_within(values, labels))
    np.testing.assert_array_equal(ranked.overall(), plain_ranks(values))


@given(scored())
def test_the_order_ascends_and_breaks_ties_by_position(case):
    labels, values = case
    ranked = Ranked.of(values, labels, CLASSES)
    by_hand = sorted(np.flatnonzero(np.isfinite(values)).tolist(), key=lambda place: (values[place], place))
    assert ranked.ascending.tolist() == by_hand
    assert ranked.by_class.tolist() == sorted(by_hand, key=lambda place: labels[place])
    known = np.isfinite(values)
    counts = [int((known & (labels == label)).sum()) for label in range(CLASSES)]
    assert ranked.counts.tolist() == counts
    assert ranked.bounds.tolist() == [0, *np.cumsum(counts)]


@given(scored())
def test_medians_and_ends_of_the_classes_are_those_of_numpy(case):
    labels, values = case
    ranked = Ranked.of(values, labels, CLASSES)
    low, high = ranked.ends()
    medians = ranked.medians()
    for label in range(CLASSES):
        members = values[(labels == label) & np.isfinite(values)]
        if len(members):
            assert (low[label], high[label]) == (members.min(), members.max())
            assert medians[label] == pytest.approx(np.median(members))
        else:
            assert np.isnan([low[label], high[label], medians[label]]).all()


@given(scored())
def test_the_highest_tenth_is_shared_out_among_the_classes(case):
    labels, values = case
    found = Ranked.of(values, labels, CLASSES).highest_tenth()
    known = np.flatnonzero(np.isfinite(values)).tolist()
    size = -(-len(known) // 10)
    least = sorted(values[place] for place in known)[len(known) - size] if known else 0
    above = sum(values[place] > least for place in known)
    tied = sum(values[place] == least for place in known)
    for label in range(CLASSES):
        mine = [values[place] for place in known if labels[place] == label]
        if mine:
            there = sum(value > least for value in mine)
            there += sum(value == least for value in mine) * (size - above) / tied
            assert found[label] == pytest.approx(there / len(mine))
        else:
            assert np.isnan(found[label])


@given(scored(scores=2))
@settings(max_examples=200)
def test_rank_correlations_are_those_of_plain_loops(case):
    labels, first, second = case
    assert_as_plain(first, second, labels, CLASSES)


@given(scored(scores=2))
def test_the_correlation_does_not_depend_on_which_comes_first(case):
    labels, first, second = case
    one = correlation(first, second, labels, CLASSES)
    two = correlation(second, first, labels, CLASSES)
    np.testing.assert_allclose(one.within_class, two.within_class, atol=1e-12)
    np.testing.assert_allclose(one.overall, two.overall, atol=1e-12)


def test_a_score_agrees_with_itself_and_with_what_rises_with_it():
    draw = np.random.default_rng(0)
    labels, values = draw.integers(0, 3, 200), draw.normal(size=200)
    for other, sign in ((values, 1), (np.exp(5 * values), 1), (-(values**3), -1)):
        found = correlation(values, other, labels, 3)
        assert found.within_class == pytest.approx(sign)
        assert found.overall == pytest.approx(sign)
        np.testing.assert_allclose(found.by_class, sign)


def test_levels_of_the_classes_count_over_all_and_not_within():
    draw = np.random.default_rng(1)
    labels = np.repeat(np.arange(5), 200)
    first, second = draw.normal(size=(2, 1000)) + 10 * labels
    found = correlation(first, second, labels, 5)
    assert abs(found.within_class) < 0.1
    assert found.overall > 0.9


def test_a_single_class_has_one_correlation():
    draw = np.random.default_rng(2)
    first = draw.normal(size=50).round(1)
    second = first + draw.normal(size=50)
    found = correlation(first, second, np.zeros(50, dtype=np.int64), 1)
    assert found.within_class == pytest.approx(found.overall)
    assert found.within_class == pytest.approx(plain_spearman(first, second))
    assert 0 < found.overall < 1


def test_classes_of_one_sample_have_no_correlation_and_do_not_count():
    first = np.array([1.0, 2, 3, 9, 5])
    second = np.array([1.0, 3, 2, 0, 7])
    found = correlation(first, second, np.array([0, 0, 0, 1, 2]), 4)
    np.testing.assert_array_equal(np.isnan(found.by_class), [False, True, True, True])
    assert found.within_class == pytest.approx(0.5)
    only_single = correlation(first, second, np.arange(5), 5)
    assert np.isnan(only_single.within_class)
    assert only_single.overall == pytest.approx(plain_spearman(first, second))


def test_a_constant_class_has_no_correlation_and_does_not_count():
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = correlation(np.array([7.0, 7, 7, 1, 2, 3]), np.array([1.0, 2, 3, 3, 2, 1]), labels, 2)
    assert np.isnan(found.by_class[0])
    assert found.within_class == pytest.approx(-1)
    everywhere = correlation(np.full(6, 0.1), np.arange(6.0), labels, 2)
    assert np.isnan([everywhere.within_class, everywhere.overall]).all()


def test_samples_without_one_of_the_scores_are_left_out_of_both():
    labels = np.zeros(6, dtype=np.int64)
    first = np.array([1.0, 2, 3, 4, np.nan, 100])
    second = np.array([1.0, 2, 3, 4, 5, np.nan])
    found = correlation(first, second, labels, 1)
    assert found.samples == 4
    assert found.within_class == pytest.approx(1)
    assert found.overall == pytest.approx(1)
    apart = correlation(np.array([1.0, np.nan]), np.array([np.nan, 1.0]), labels[:2], 1)
    assert apart.samples == 0
    assert np.isnan([apart.within_class, apart.overall]).all()


def test_classes_count_by_their_samples_with_both_scores():
    draw = np.random.default_rng(3)
    labels = np.repeat([0, 1], [10, 90])
    first, second = draw.normal(size=(2, 100))
    second[:10] = first[:10]
    second[10:60] = np.nan
    found = correlation(first, second, labels, 2)
    other = plain_spearman(first[60:], second[60:])
    assert found.by_class == pytest.approx([1, other])
    assert found.within_class == pytest.approx((10 * 1 + 40 * other) / 50)


def test_a_thousand_classes_of_all_sizes_are_compared():
    draw = np.random.default_rng(4)
    labels = draw.permutation(np.concatenate([np.arange(1000), draw.integers(0, 1000, 5000)]))
    first = draw.normal(size=6000).round(1)
    second = (first + draw.normal(size=6000)).round(1)
    first[draw.random(6000) < 0.1] = np.nan
    second[labels == 7] = np.nan
    assert_as_plain(first, second, labels, 1000)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_correlations_with_ties_are_those_of_scipy(missing):
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 3, 500)
    first = draw.integers(0, 20, 500).astype(float)
    second = (first + draw.integers(0, 30, 500)).astype(float)
    first[draw.random(500) < missing] = np.nan
    second[draw.random(500) < missing] = np.nan
    found = correlation(first, second, labels, 3)
    assert found.overall == pytest.approx(stats.spearmanr(first, second, nan_policy="omit").statistic)
    for label in range(3):
        mine = labels == label
        expected = stats.spearmanr(first[mine], second[mine], nan_policy="omit").statistic
        assert found.by_class[label] == pytest.approx(expected)


def test_values_that_differ_in_the_last_bit_are_no_ties():
    values = np.array([1.0, np.nextafter(1.0, 2), 1.0])
    assert Ranked.of(values, np.zeros(3, dtype=np.int64), 1).within().tolist() == [0.5, 2, 0.5]


def test_the_values_given_are_not_changed():
    values = np.array([np.inf, 1.0, np.nan])
    ranked = Ranked.of(values, np.zeros(3, dtype=np.int64), 1)
    assert values[0] == np.inf
    assert np.isnan(ranked.values[[0, 2]]).all()
