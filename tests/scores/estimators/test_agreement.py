"""Agreement of two noisy utilities, planted."""

import numpy as np
import pytest

from goldore.scores.estimators.agreement import Noisy, agreement


def planted(truth, seed, *, per_class=100, classes=10, levels=True):
    """Two utilities of samples that correlate by `truth` within classes, with known noise of both."""
    draw = np.random.default_rng(seed)
    count = per_class * classes
    labels = draw.permutation(np.repeat(np.arange(classes), per_class))
    common, own = draw.normal(size=(2, count))
    first = common + 5 * levels * labels
    second = truth * common + np.sqrt(1 - truth**2) * own - 7 * levels * labels
    noise = [variance * draw.chisquare(2, count) / 2 for variance in (0.2, 0.6)]
    noisy = [
        Noisy(values + draw.normal(size=count) * variance**0.5, estimated)
        for values, variance, estimated in zip((first, second), (0.2, 0.6), noise, strict=True)
    ]
    members = [np.flatnonzero(labels == label) for label in range(classes)]
    return agreement(*noisy, 300, members)


@pytest.mark.parametrize("truth", [0.0, 0.6, 0.97])
def test_the_correlation_and_its_error_are_those_of_many_repetitions(truth):
    found = [planted(truth, seed) for seed in range(200)]
    values = np.array([each.correlation for each in found])
    errors = np.array([each.stderr for each in found])
    assert abs(values.mean() - truth) < 4 * values.std() / 200**0.5 + 0.003
    assert 0.85 < np.sqrt((errors**2).mean()) / values.std() < 1.15
    inside = np.abs(values - truth) < 2 * errors
    assert 0.9 < inside.mean() < 0.99
    assert found[0].trials == 300
    assert found[0].samples == 1000
    assert np.mean([each.reliability for each in found]) == pytest.approx(1 / 1.6, abs=0.02)


@pytest.mark.parametrize(
    ("truth", "verdict"), [(0.98, "close"), (0.7, "related"), (0.2, "another thing"), (-0.9, "another thing")]
)
def test_the_verdict(truth, verdict):
    assert planted(truth, 1).verdict == verdict


def test_levels_of_classes_are_no_agreement():
    assert abs(planted(0.0, 3).correlation) < 0.2


def test_nothing_is_said_where_noise_is_all_there_is():
    draw = np.random.default_rng(0)
    values = draw.normal(size=(2, 200))
    members = [np.arange(100), np.arange(100, 200)]
    found = agreement(Noisy(values[0], np.ones(200)), Noisy(values[1], np.full(200, 1.5)), 9, members)
    assert found.verdict == "unknown"
    few = planted(0.9, 0, per_class=2)
    assert few.verdict == "unknown"
    nothing = agreement(Noisy(np.full(4, np.nan), np.ones(4)), Noisy(np.ones(4), np.ones(4)), 9, members[:0])
    assert (nothing.verdict, nothing.samples) == ("unknown", 0)


def test_samples_that_only_one_of_both_knows_do_not_count():
    draw = np.random.default_rng(0)
    values = draw.normal(size=200)
    hidden = np.where(np.arange(200) % 4 == 0, np.nan, values)
    small = np.full(200, 1e-6)
    found = agreement(Noisy(hidden, small), Noisy(values, small), 9, [np.arange(200)])
    assert found.samples == 150
    assert found.correlation == pytest.approx(1, abs=1e-4)
