"""The estimate of KernelUtility: its errors and reliability on made-up groups."""

import numpy as np
import pytest

from goldore.scores.estimators.kernel_utility import over_groups

SAMPLES = 10_000
MEMBERS = [np.arange(0, 4000), np.arange(4000, SAMPLES)]


def made_up(groups, networks, images, both=0.0, seed=0):
    """True utilities of variance 1 with noise: of a group, of all images, and of a group with its images."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=SAMPLES)
    noise = random.normal(size=(2, SAMPLES)) * (2 * images) ** 0.5  # of each half of the images
    together = random.normal(size=(groups, 2, SAMPLES)) * (2 * both) ** 0.5
    halves = truth + noise + random.normal(size=(groups, 1, SAMPLES)) * networks**0.5 + together
    variances = np.full((groups, SAMPLES), images + both)
    found = over_groups(
        halves.mean(axis=1).astype(np.float32),
        halves.astype(np.float32),
        variances.astype(np.float32),
        MEMBERS,
    )
    return truth, found


@pytest.mark.parametrize(
    ("networks", "images", "both"), [(2.0, 0.0, 0.0), (0.0, 0.5, 0.0), (2.0, 0.5, 0.0), (1.0, 0.3, 2.0)]
)
def test_reliability_counts_networks_and_evaluation_images(networks, images, both):
    truth, found = made_up(4, networks, images, both)
    noise = networks / 4 + images + both / 4
    assert found.stderr.mean() == pytest.approx(noise**0.5, rel=0.1)
    assert (found.stderr**2).mean() == pytest.approx(noise, rel=0.05)
    assert found.reliability == pytest.approx(1 / (1 + noise), abs=0.03)
    assert np.corrcoef(found.values, truth)[0, 1] ** 2 == pytest.approx(found.reliability, abs=0.05)
    half = 1 / (1 + networks / 2 + 2 * images + both)  # what is of a group with its images shrinks by both
    assert found.rank_reliability == pytest.approx(2 * half / (1 + half), abs=0.04)
    assert found.trials == 4
    assert found.halves.shape == (2, SAMPLES)


def test_one_group_says_nothing_of_its_errors():
    _, found = made_up(1, 1.0, 0.1)
    assert np.isnan(found.stderr).all()
    assert np.isnan(found.reliability)
    assert np.isnan(found.rank_reliability)
    assert found.halves is None


def test_samples_without_a_value_have_none():
    values = np.random.default_rng(0).normal(size=(3, SAMPLES)).astype(np.float32)
    values[:, 5] = np.nan
    halves = np.stack([values, values], axis=1)
    found = over_groups(values, halves, np.zeros_like(values), MEMBERS)
    assert np.isnan(found.values[5])
    assert np.isfinite(found.reliability)
    assert np.isfinite(found.rank_reliability)
