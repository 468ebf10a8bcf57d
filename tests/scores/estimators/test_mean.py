import numpy as np
import pytest
from scipy import stats

from goldore.scores.estimators import class_members, mean_over_trials, spearman, trials_needed


def test_mean_and_standard_error_of_hand_made_numbers():
    observed = np.array([[1.0, 4.0, 10.0], [3.0, 4.0, 20.0]], dtype=np.float32)
    estimate = mean_over_trials(observed, [np.array([0, 2]), np.array([1])])
    assert estimate.values.tolist() == [2.0, 4.0, 15.0]
    assert estimate.stderr.tolist() == pytest.approx([1.0, 0.0, 5.0])
    assert estimate.trials == 2


def test_one_trial_leaves_error_and_reliability_unknown():
    estimate = mean_over_trials(np.array([[1.0, 2.0, 3.0]], dtype=np.float32), [np.arange(3)])
    assert np.isnan(estimate.stderr).all()
    assert np.isnan([estimate.reliability, estimate.rank_reliability]).all()
    assert np.isnan(estimate.class_reliability).all()


def test_reliability_of_a_published_example():
    # Shrout & Fleiss (1979), table 2: six targets, four judges; ICC(3,4) = 0.91.
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
        dtype=np.float32,
    )
    estimate = mean_over_trials(ratings.T, [np.arange(6)])
    assert estimate.reliability == pytest.approx(0.91, abs=0.005)


def test_reliability_equals_cronbachs_alpha():
    scores = np.random.default_rng(0).normal(size=(5, 40)).cumsum(axis=0).astype(np.float32)
    trials = len(scores)
    alpha = trials / (trials - 1) * (1 - scores.var(axis=1, ddof=1).sum() / scores.sum(axis=0).var(ddof=1))
    assert mean_over_trials(scores, [np.arange(40)]).reliability == pytest.approx(alpha, rel=1e-5)


def test_a_trials_own_level_does_not_count_as_error():
    base = np.array([1.0, 2.0, 4.0, 8.0], dtype=np.float32)
    estimate = mean_over_trials(np.stack([base, base + 100]), [np.arange(4)])
    assert estimate.reliability == pytest.approx(1)
    assert estimate.rank_reliability == pytest.approx(1)


def test_differences_between_classes_do_not_count_as_reliability():
    draw = np.random.default_rng(1)
    labels = np.repeat([0, 1], 500)
    noise = draw.normal(size=(4, 1000)) + 100 * labels
    estimate = mean_over_trials(noise.astype(np.float32), class_members(labels, 2))
    assert abs(estimate.reliability) < 0.15
    assert abs(estimate.rank_reliability) < 0.15


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_reliability_recovers_the_planted_share_of_signal(share):
    draw = np.random.default_rng(2)
    trials, samples = 6, 20_000
    signal = draw.normal(size=samples) * share**0.5
    observed = signal + draw.normal(size=(trials, samples)) * (1 - share) ** 0.5
    expected = trials * share / (1 + (trials - 1) * share)
    estimate = mean_over_trials(observed.astype(np.float32), [np.arange(samples)])
    assert estimate.reliability == pytest.approx(expected, abs=0.02)
    half = 3 * share / (1 + 2 * share)
    ranks = 6 / np.pi * np.arcsin(half / 2)  # Spearman's correlation of normal variables that correlate so
    assert estimate.rank_reliability == pytest.approx(2 * ranks / (1 + ranks), abs=0.025)
    errors = estimate.values - signal
    assert estimate.stderr.mean() == pytest.approx(errors.std(), rel=0.06)


def test_the_mean_square_error_of_the_standard_error_covers():
    draw = np.random.default_rng(3)
    observed = draw.normal(size=(10, 5000)).astype(np.float32)
    estimate = mean_over_trials(observed, [np.arange(5000)])
    inside = np.abs(estimate.values) < stats.t.ppf(0.975, df=9) * estimate.stderr
    assert inside.mean() == pytest.approx(0.95, abs=0.01)


def test_spearman_agrees_with_scipy_with_ties():
    draw = np.random.default_rng(4)
    a, b = draw.integers(0, 9, 200).astype(float), draw.integers(0, 9, 200).astype(float)
    assert spearman(a, a + b) == pytest.approx(stats.spearmanr(a, a + b).statistic)
    assert np.isnan(spearman(a, np.ones(200)))


def test_class_members_are_positions_in_order():
    labels = np.array([2, 0, 2, 1, 0])
    assert [members.tolist() for members in class_members(labels, 4)] == [[1, 4], [3], [0, 2], []]


@pytest.mark.parametrize(
    ("reliability", "trials", "target", "expected"),
    [(0.5, 4, 0.8, 16), (0.8, 4, 0.8, 4), (0.9, 9, 0.5, 1), (0.0, 3, 0.5, np.inf), (-0.2, 3, 0.5, np.inf)],
)
def test_trials_needed_is_spearman_brown(reliability, trials, target, expected):
    assert trials_needed(reliability, trials, target) == pytest.approx(expected)


def test_trials_needed_is_unknown_with_unknown_reliability():
    assert np.isnan(trials_needed(float("nan"), 1, 0.8))
