"""Trained trials beside utilities that train nothing, and what they say of them."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import goldore
from goldore import ConvNetConfig, KernelRecipe, KernelUtilityRecipe, UtilityRecipe, Watcher
from goldore.errors import ScoreFileError, UsageError
from goldore.report import summarize
from goldore.store import CheckRun
from goldore.store.verifying import verify
from goldore.trials.draws import Sweeps, strata_of
from tests.conftest import edited

NETWORK = ConvNetConfig(depth=1, width=4)
RECIPE = UtilityRecipe(network=NETWORK, steps=5, lr=0.05)
KERNEL = replace(RECIPE, kernel=KernelRecipe(networks=2))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "scores.h5"


def score(dataset, out, **fields):
    arguments = {
        "scores": "KernelUtility",
        "kernel_utility": KernelUtilityRecipe(network=NETWORK, networks=2, eval_per_class=100),
        "trials": 2,
        "utility": RECIPE,
        "check_trials": 40,
        "device": "cpu",
        **fields,
    }
    return goldore.score(dataset, out=out, **arguments)


class Seen(Watcher):
    """Counts what is trained, by kind."""

    def __init__(self):
        self.trained, self._kind = {}, ""

    def planned(self, plan):
        self._kind = plan.run.kind
        self.trained[self._kind] = 0

    def finished(self, results):
        self.trained[self._kind] += len(results)


@pytest.mark.parametrize("split", ["test", "heldout"])
def test_both_utilities_without_training_are_compared_with_the_same_trials(dataset, out, split):
    own = KernelUtilityRecipe(network=NETWORK, networks=2, eval_split=split, eval_per_class=100)
    file = score(
        dataset,
        out,
        scores="KernelUtility,MonteCarlo",
        kernel_utility=own,
        utility=replace(KERNEL, eval_split=split),
        utility_trials=200,
    )
    assert len(file.check_trials.done) == 40
    assert file.check_trials.recipe.kernel is None
    for found in file.scores.values():
        assert found.agreement.trials == 40
        assert 0 < found.agreement.samples <= len(dataset.labels)
    again = goldore.load_scores(out)
    np.testing.assert_equal(
        vars(again.scores["MonteCarlo"].agreement), vars(file.scores["MonteCarlo"].agreement)
    )
    assert summarize(again).trials.check.done == 40


def test_a_utility_agrees_with_another_draw_of_itself(clothes, out):
    network = ConvNetConfig(depth=2, width=4)
    recipe = replace(RECIPE, network=network, subset_per_class=1, steps=20, lr=0.01)
    heads = replace(recipe, kernel=KernelRecipe(networks=8))
    found = score(clothes, out, scores="MonteCarlo", utility=heads, utility_trials=3000, check_trials=200)
    agreement = found.scores["MonteCarlo"].agreement
    assert found.check_trials.recipe.pool_per_class == 50
    assert agreement.samples == 150
    assert agreement.correlation == pytest.approx(1, abs=0.1)
    assert 0.01 < agreement.stderr < 0.1
    assert agreement.verdict == "close"
    assert verify(out).intact


def test_they_share_neither_draws_nor_networks_with_other_trials(dataset, out):
    score(dataset, out, scores="KernelUtility,MonteCarlo", utility=KERNEL, utility_trials=40)
    with h5py.File(out) as file:
        seeds = [set(file[f"trials/{kind}/seed"][()]) for kind in ("check", "utility")]
        members = [file[f"trials/{kind}/members"][()] for kind in ("check", "utility")]
    assert seeds[0].isdisjoint(seeds[1])
    assert (np.sort(members[0], axis=1) != np.sort(members[1], axis=1)).any(axis=1).mean() > 0.5


def test_they_draw_from_few_samples_of_each_class(dataset, tmp_path):
    file = score(dataset, tmp_path / "a.h5", check_trials=20)
    assert file.check_trials.recipe.pool_per_class == 6
    with h5py.File(tmp_path / "a.h5") as stored:
        drawn, counts = np.unique(stored["trials/check/members"][()], return_counts=True)
    assert len(drawn) == 6 * dataset.num_classes
    assert counts.min() >= 2
    strata = strata_of(file.check_trials.recipe, dataset.labels, dataset.num_classes, 0)
    run = CheckRun(file.check_trials.recipe, 0, "accuracy", "in-minus-out", "", "", "")
    assert run.draw_seed != 0
    assert set(Sweeps(strata, run.draw_seed).subset(0)) <= set(drawn.tolist())


def test_more_of_them_draw_the_same_samples_more_often(dataset, out):
    first = score(dataset, out, check_trials=20)
    seen = Seen()
    more = score(dataset, out, check_trials=50, watcher=seen)
    assert seen.trained == {"kernel": 0, "check": 30}
    assert more.check_trials.recipe == first.check_trials.recipe
    assert more.scores["KernelUtility"].agreement.trials == 50


def test_the_file_says_it_only_as_long_as_it_holds(dataset, out):
    score(dataset, out, scores="KernelUtility,MonteCarlo", utility=KERNEL, utility_trials=40)
    with edited(out) as file:
        assert "agreement" in file["scores/KernelUtility"].attrs
        del file["trials/check"]
        for kind in ("kernel", "utility"):
            file[f"trials/{kind}"].attrs["stale"] = np.uint8(1)
    assert goldore.load_scores(out).scores["MonteCarlo"].agreement is None
    score(dataset, out, check_trials=None)
    with h5py.File(out) as file:
        assert not [name for name in file["scores/KernelUtility"].attrs if name.startswith("agreement")]


def test_trained_trials_of_the_file_serve_as_well(dataset, out):
    trained = replace(RECIPE, subset_per_class=1)
    score(dataset, out, scores="MonteCarlo", utility=trained, utility_trials=200, check_trials=None)
    seen = Seen()
    file = score(dataset, out, watcher=seen)
    assert seen.trained == {"kernel": 2}
    assert file.scores["KernelUtility"].agreement.trials == 200
    assert file.scores["MonteCarlo"].agreement is None
    more = score(dataset, out, check_trials=300, watcher=seen)
    assert seen.trained["check"] == 300
    assert more.scores["KernelUtility"].agreement.trials in (200, 300)


def test_those_of_another_question_do_not_serve(dataset, out):
    other = replace(RECIPE, subset_per_class=2)
    score(dataset, out, scores="MonteCarlo", utility=other, utility_trials=200, check_trials=None)
    file = score(dataset, out, check_trials=None)
    assert file.scores["KernelUtility"].agreement is None
    assert score(dataset, out).check_trials.recipe.subset_per_class == 1


def test_they_are_cut_and_merged_like_other_trials(dataset, tmp_path):
    class Interrupt(Watcher):
        def finished(self, results):
            if results[0].trial.number >= 8:
                raise KeyboardInterrupt

    whole, stopped = tmp_path / "whole.h5", tmp_path / "stopped.h5"
    wanted = score(dataset, whole).scores["KernelUtility"].agreement
    with pytest.raises(KeyboardInterrupt):
        score(dataset, stopped, watcher=Interrupt())
    assert 8 <= len(goldore.load_scores(stopped).check_trials.done) < 40
    found = score(dataset, stopped).scores["KernelUtility"].agreement
    assert found.correlation == pytest.approx(wanted.correlation, rel=1e-3, nan_ok=True)
    merged = goldore.merge([whole, stopped], tmp_path / "merged.h5")
    assert merged.scores["KernelUtility"].agreement.trials == 40


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"check_trials": 19}, "from 20"),
        ({"scores": "LossInit"}, "ask for KernelUtility"),
        ({"scores": "MonteCarlo"}, "ask for KernelUtility"),
        ({"trial_range": range(2)}, "trial_range"),
        (
            {
                "scores": "KernelUtility,MonteCarlo",
                "utility": replace(KERNEL, subset_per_class=2),
            },
            "two that differ",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(dataset, out, fields, message):
    with pytest.raises(UsageError, match=message):
        score(dataset, out, **fields)
    assert not out.exists()


def test_another_recipe_is_refused(dataset, out):
    score(dataset, out)
    with pytest.raises(ScoreFileError, match="steps: 5 there / 6 now"):
        score(dataset, out, utility=replace(RECIPE, steps=6))
