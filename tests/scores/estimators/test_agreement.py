"""Agreement of two noisy utilities, planted."""

import numpy as np
import pytest

from goldore.scores.estimators.agreement import Halved, Noisy, agreement
from goldore.scores.estimators.utility import halved_utility
from tests.scores.estimators.simulation import simulate


def planted(truth, seed, *, per_class=100, classes=10, levels=True):
    """Two utilities that correlate by `truth` within classes, one with known noise and one in halves."""
    draw = np.random.default_rng(seed)
    count = per_class * classes
    labels = draw.permutation(np.repeat(np.arange(classes), per_class))
    common, own = draw.normal(size=(2, count))
    first = common + 5 * levels * labels + draw.normal(size=count) * 0.2**0.5
    second = truth * common + np.sqrt(1 - truth**2) * own - 7 * levels * labels
    quarters = second + draw.normal(size=(4, count)) * 2.4**0.5
    halves = [
        [quarters[list(half)].mean(0), quarters[[each for each in range(4) if each not in half]].mean(0)]
        for half in ((0, 1), (0, 2), (0, 3))
    ]
    members = [np.flatnonzero(labels == label) for label in range(classes)]
    noisy = Noisy(first, 0.2 * draw.chisquare(2, count) / 2)
    return agreement(noisy, Halved(quarters.mean(0), np.array(halves), 300), members)


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


def halved(values, noise, seed=0):
    """A utility of which each half has twice the noise."""
    draw = np.random.default_rng(seed)
    halves = values + draw.normal(size=(1, 2, len(values))) * (2 * noise) ** 0.5
    return Halved(halves.mean(axis=(0, 1)), halves, 9)


def test_nothing_is_said_where_noise_is_all_there_is():
    draw = np.random.default_rng(0)
    values = draw.normal(size=200)
    members = [np.arange(100), np.arange(100, 200)]
    for noise in (1.5, 0.01):  # more than there is of the first; and none of the trained one's left
        trained = halved(np.zeros(200), 1.0) if noise < 1 else halved(values, 0.1)
        found = agreement(Noisy(values, np.full(200, noise)), trained, members)
        assert found.verdict == "unknown"
    assert planted(0.9, 0, per_class=2).verdict == "unknown"
    nothing = agreement(Noisy(np.full(4, np.nan), np.ones(4)), halved(np.ones(4), 1.0), members[:0])
    assert (nothing.verdict, nothing.samples) == ("unknown", 0)
    whole = Halved(values, np.empty((0, 2, 200)), 9)  # trials that cannot be halved
    found = agreement(Noisy(values, np.full(200, 0.01)), whole, members)
    assert (found.verdict, found.samples) == ("unknown", 0)


def test_samples_that_only_one_of_both_knows_do_not_count():
    draw = np.random.default_rng(0)
    values = draw.normal(size=200)
    hidden = np.where(np.arange(200) % 4 == 0, np.nan, values)
    found = agreement(Noisy(hidden, np.full(200, 1e-6)), halved(values, 1e-6), [np.arange(200)])
    assert found.samples == 150
    assert found.correlation == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("k", "folds"), [(1, 1), (10, 1), (10, 2)])
def test_trials_that_draw_many_of_a_small_pool_agree_with_the_truth_as_they_should(k, folds):
    """Within a trial its samples share their noise, which their standard errors do not show."""
    values, errors = [], []
    for seed in range(24):
        simulation = simulate(
            counts=(120,) * 6,
            trials=4 * folds * 120 // folds // k,
            per_class=k,
            share=0.5,
            seed=seed,
            folds=folds,
            level=(0.0,) * 6,
        )
        truth = Noisy(simulation.utility, np.full(720, 1e-12))
        members = [np.concatenate(pools) for pools in zip(*simulation.strata.pools, strict=True)]
        found = agreement(truth, halved_utility(simulation.trials, 720), members)
        values.append(found.correlation)
        errors.append(found.stderr)
    told = np.isfinite(values)
    assert told.mean() > 0.7
    values, errors = np.array(values)[told], np.array(errors)[told]
    assert np.median(values) == pytest.approx(1, abs=0.06)
    assert np.median(errors) > 0.5 * values.std()
