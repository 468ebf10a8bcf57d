"""MonteCarlo shrunk towards the other scores of its file."""

from dataclasses import replace

import numpy as np
import pytest

import goldore
from goldore import ConvNetConfig, KernelUtilityRecipe, LossRecipe, UtilityRecipe
from goldore.errors import UsageError
from goldore.report import summarize
from goldore.store.verifying import verify

NETWORK = ConvNetConfig(depth=2, width=4)
TRAINED = UtilityRecipe(network=NETWORK, steps=20, subset_per_class=1)
KERNEL = KernelUtilityRecipe(network=NETWORK, networks=8)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "scores.h5"


def score(dataset, out, scores, **fields):
    arguments = {"utility": TRAINED, "utility_trials": 120, "kernel_utility": KERNEL, "trials": 2, **fields}
    return goldore.score(dataset, scores=scores, out=out, device="cpu", **arguments)


def test_it_takes_the_scores_of_its_file_as_prior(clothes, out):
    raw = score(clothes, out, "KernelUtility,MonteCarlo").scores["MonteCarlo"]
    goldore.reestimate(out, "accuracy", "shrunk")
    file = goldore.load_scores(out)
    found = file.scores["MonteCarlo"]
    assert found.estimator == "shrunk"
    assert found.explained > 0.2
    assert found.reliability > raw.reliability + 0.1
    kernel = file.scores["KernelUtility"].values
    assert np.corrcoef(found.values, kernel)[0, 1] > np.corrcoef(raw.values, kernel)[0, 1] + 0.1
    assert verify(out).intact
    record = summarize(file).scores["MonteCarlo"]
    assert record.explained == pytest.approx(found.explained)
    assert set(record.trials_needed.values()) == {None}
    goldore.reestimate(out, "accuracy", "in-minus-out")
    again = goldore.load_scores(out).scores["MonteCarlo"]
    np.testing.assert_array_equal(again.values, raw.values)
    assert np.isnan(again.explained)


def test_it_follows_the_scores_that_are_added(clothes, out):
    first = score(clothes, out, "KernelUtility,MonteCarlo", estimator="shrunk").scores["MonteCarlo"]
    file = score(clothes, out, "LossInit", recipe=LossRecipe(network=NETWORK, epochs=2, batch_size=32))
    found = file.scores["MonteCarlo"]
    assert found.trials == first.trials
    assert not np.array_equal(found.values, first.values)
    assert verify(out).intact


def test_it_is_not_asked_for_without_anything_to_shrink_towards(clothes, out):
    with pytest.raises(UsageError, match="shrunk needs KernelUtility or losses"):
        score(clothes, out, "MonteCarlo", estimator="shrunk")
    assert not out.exists()
    score(clothes, out, "MonteCarlo", utility_trials=20)
    before = out.read_bytes()
    with pytest.raises(UsageError, match="shrunk needs KernelUtility or losses"):
        goldore.reestimate(out, "accuracy", "shrunk")
    assert out.read_bytes() == before


def test_it_says_so_where_nothing_is_explained(clothes, out):
    draw = np.random.default_rng(0)
    noise = replace(clothes, images=draw.integers(0, 256, clothes.images.shape, dtype=np.uint8))
    file = score(noise, out, "LossInit,MonteCarlo", recipe=LossRecipe(network=NETWORK, epochs=1))
    raw = file.scores["MonteCarlo"].values
    goldore.reestimate(out, "accuracy", "shrunk")
    found = goldore.load_scores(out).scores["MonteCarlo"]
    assert not found.explained > 0.05
    np.testing.assert_array_equal(found.values, raw)
