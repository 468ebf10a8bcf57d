"""KernelUtility as a score: resumed, merged, refused, read again."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch

import goldore
from goldore import ConvNetConfig, KernelUtilityRecipe, LossRecipe, Watcher
from goldore.errors import GoldoreError, ScoreFileError, UnreliableError, UsageError
from goldore.store.trialwise import values_by_trial
from goldore.training import embedding, exact
from tests.conftest import make_dataset

NETWORK = ConvNetConfig(depth=1, width=4)
RECIPE = KernelUtilityRecipe(network=NETWORK, networks=2)


@pytest.fixture
def dataset():
    """Noise: where classes are easily told apart every sample is as useful as any other."""
    random = np.random.default_rng(0)
    easy = make_dataset()
    return dataclasses.replace(
        easy,
        images=random.integers(0, 256, easy.images.shape, dtype=np.uint8),
        test_images=random.integers(0, 256, easy.test_images.shape, dtype=np.uint8),
    )


def score(dataset, out, **fields):
    arguments = {"scores": "KernelUtility", "kernel_utility": RECIPE, "trials": 4, "device": "cpu", **fields}
    return goldore.score(dataset, out=out, **arguments)


def test_the_score_does_not_depend_on_how_the_run_was_cut(dataset, tmp_path):
    class Interrupt(Watcher):
        def finished(self, results):
            raise KeyboardInterrupt

    whole, stopped, merged = (tmp_path / f"{name}.h5" for name in ("whole", "stopped", "merged"))
    wanted = score(dataset, whole).scores["KernelUtility"]
    with pytest.raises(KeyboardInterrupt):
        score(dataset, stopped, watcher=Interrupt())
    assert goldore.load_scores(stopped).kernel_trials.done == (0,)
    score(dataset, stopped, trials=2)
    score(dataset, stopped)
    parts = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for part, numbers in zip(parts, (range(1), range(1, 4)), strict=True):
        score(dataset, part, trial_range=numbers)
    goldore.merge(parts, merged)
    for path in (stopped, merged):
        found = goldore.load_scores(path).scores["KernelUtility"]
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_array_equal(found.stderr, wanted.stderr)
        np.testing.assert_array_equal(found.halves, wanted.halves)
        assert found.rank_reliability == wanted.rank_reliability
    assert wanted.trials == 4
    assert wanted.criterion == "KernelUtility_small"
    assert abs(wanted.values[dataset.labels == 0].mean()) < 1e-6


def test_it_goes_into_the_file_of_other_scores(dataset, tmp_path):
    out = tmp_path / "scores.h5"
    goldore.score(
        dataset,
        scores="LossInit",
        recipe=LossRecipe(network=NETWORK, epochs=2, batch_size=16),
        trials=2,
        out=out,
        device="cpu",
    )
    file = score(dataset, out)
    assert file.score_names == ("LossInit", "KernelUtility")
    kept = goldore.prune(file, "KernelUtility_small", keep_ratio="0.5")
    assert 30 <= len(kept.indices) < 40


def test_other_images_to_evaluate_on_and_other_recipes_are_refused(dataset, tmp_path):
    out = tmp_path / "scores.h5"
    score(dataset, out)
    other = make_dataset(seed=1)
    changed = dataclasses.replace(dataset, test_images=other.test_images, test_labels=other.test_labels)
    with pytest.raises(ScoreFileError, match="test images"):
        score(changed, out, trials=5)
    with pytest.raises(ScoreFileError, match="subset_per_class"):
        score(dataset, out, trials=5, kernel_utility=dataclasses.replace(RECIPE, subset_per_class=2))
    replaced = score(
        dataset, out, kernel_utility=dataclasses.replace(RECIPE, subset_per_class=2), overwrite=True
    )
    assert replaced.kernel_trials.recipe.subset_per_class == 2


def test_what_is_left_open_is_as_in_the_file(dataset, tmp_path):
    out = tmp_path / "scores.h5"
    first = dataclasses.replace(RECIPE, subset_per_class=2, networks=3)
    score(dataset, out, kernel_utility=first, trials=2)
    left_open = dataclasses.replace(RECIPE, networks=None)
    file = score(dataset, out, kernel_utility=left_open, trials=3)
    assert (file.kernel_trials.recipe.subset_per_class, file.kernel_trials.recipe.networks) == (2, 3)
    assert len(file.kernel_trials.done) == 3
    new = score(dataset, tmp_path / "new.h5", kernel_utility=left_open, trials=1)
    assert (new.kernel_trials.recipe.subset_per_class, new.kernel_trials.recipe.networks) == (1, 16)


def test_each_group_says_something_of_every_sample(dataset, tmp_path):
    out = tmp_path / "scores.h5"
    score(dataset, out)
    with h5py.File(out) as file:
        stored = file["trials/kernel/values"][()]
    found = values_by_trial(out, np.array([3, 40]))
    np.testing.assert_array_equal(found["KernelUtility"], stored[:, [3, 40]])


def test_parts_that_hold_other_values_of_one_group_are_not_merged(dataset, tmp_path, monkeypatch):
    parts = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for part, numbers in zip(parts, (range(2), range(1, 3)), strict=True):
        score(dataset, part, trial_range=numbers)
    goldore.merge(parts, tmp_path / "merged.h5")
    original = exact.chances
    monkeypatch.setattr(exact, "chances", lambda *given: original(*given) ** 2)
    parts[1].unlink()
    score(dataset, parts[1], trial_range=range(1, 3))
    with pytest.raises(ScoreFileError, match="another"):
        goldore.merge(parts, tmp_path / "other.h5")


def test_embeddings_that_are_not_finite_are_no_utilities(dataset, tmp_path, monkeypatch):
    original = embedding.Untrained.of

    def of(self, images, dtype, tick=lambda _: None):
        found = original(self, images, dtype, tick)
        if dtype is torch.float16:
            found[3] = float("inf")
        return found

    monkeypatch.setattr(embedding.Untrained, "of", of)
    with pytest.raises(GoldoreError, match="not finite"):
        score(dataset, tmp_path / "scores.h5")


def test_how_many_trials_a_reliability_takes_cannot_be_told(dataset, tmp_path):
    found = score(dataset, tmp_path / "scores.h5").scores["KernelUtility"]
    assert np.isnan(found.trials_needed(0.8))
    with pytest.raises(UnreliableError, match="many more trials"):
        goldore.prune(tmp_path / "scores.h5", "KernelUtility_small", keep_ratio="0.5", min_reliability=0.999)


def test_a_range_of_trials_is_of_one_kind(dataset, tmp_path):
    with pytest.raises(UsageError, match="trial_range"):
        score(dataset, tmp_path / "scores.h5", scores="KernelUtility,MonteCarlo", trial_range=range(2))


@pytest.mark.parametrize("wrong", [{"networks": 0}, {"eval_per_class": 0}, {"subset_per_class": 0}])
def test_wrong_recipes_are_refused(wrong):
    with pytest.raises(UsageError, match=f"`{next(iter(wrong))}`"):
        KernelUtilityRecipe(**wrong)
