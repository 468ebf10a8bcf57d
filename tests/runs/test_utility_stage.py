import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import goldore
from goldore import ConvNetConfig, DistillRecipe, KernelRecipe, LossRecipe, UtilityRecipe, Watcher
from goldore.errors import GoldoreError, ScoreFileError, UnreliableError, UsageError
from tests.conftest import edited, make_dataset

NETWORK = ConvNetConfig(depth=1, width=4)
RECIPE = UtilityRecipe(network=NETWORK, steps=5, subset_per_class=2, lr=0.05)
LOSS = LossRecipe(network=NETWORK, epochs=2, batch_size=16)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "scores.h5"


def score(dataset, out, **fields):
    arguments = {"scores": "MonteCarlo", "utility": RECIPE, "utility_trials": 40, "device": "cpu", **fields}
    return goldore.score(dataset, out=out, **arguments)


def stored(path):
    with h5py.File(path) as file:
        return {name: node[()] for name, node in file["trials/utility"].items()}


def same_trials(first, second):
    first, second = stored(first), stored(second)
    for name in ("members", "seed", "weights_seed", "done", "failed", "subset_sizes"):
        assert np.array_equal(first[name], second[name])
    for name in ("accuracy", "logprob", "margin", "train_loss"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["real", "kernel"])
@pytest.mark.parametrize("split", ["test", "heldout"])
def test_the_trials_do_not_depend_on_how_the_run_was_cut(dataset, tmp_path, split, kind):
    class Interrupt(Watcher):
        seen = 0

        def finished(self, results):
            self.seen += len(results)
            if self.seen >= 16:
                raise KeyboardInterrupt

    special = {"common_init": 3} if kind == "real" else {"kernel": KernelRecipe(networks=2)}
    recipe = replace(RECIPE, eval_split=split, **special)
    whole, alone, stopped, merged = (
        tmp_path / f"{name}.h5" for name in ("whole", "alone", "stopped", "merged")
    )
    score(dataset, whole, utility=recipe, ensemble_size=16)
    score(dataset, alone, utility=recipe, ensemble_size=1)
    with pytest.raises(KeyboardInterrupt):
        score(dataset, stopped, utility=recipe, watcher=Interrupt(), ensemble_size=4)
    assert len(goldore.load_scores(stopped).utility_trials.done) in (12, 16)  # what had been taken in
    score(dataset, stopped, utility=recipe, utility_trials=20)
    score(dataset, stopped, utility=recipe)
    parts = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for part, numbers in zip(parts, (range(17), range(17, 40)), strict=True):
        score(dataset, part, utility=recipe, utility_trials=None, trial_range=numbers)
    goldore.merge(parts, merged)
    for other in (alone, stopped, merged):
        same_trials(whole, other)
    values = [
        goldore.load_scores(path).scores["MonteCarlo"].values for path in (whole, alone, stopped, merged)
    ]
    for other in values[1:]:
        np.testing.assert_allclose(values[0], other, rtol=1e-3, atol=0.06)  # one of 12 test images may flip


def test_a_killed_run_goes_on(dataset, tmp_path):
    out, whole = tmp_path / "killed.h5", tmp_path / "whole.h5"
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from goldore.runs import output; output._SECONDS_BETWEEN = output._SHARE = 0\n"
        "from tests.runs.test_utility_stage import score; from tests.conftest import make_dataset\n"
        "score(make_dataset(), sys.argv[1], utility_trials=4000)"
    )
    root = str(Path(__file__).resolve().parents[2])
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(out), root], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    run.kill()
    run.wait()
    there = len(goldore.load_scores(out).utility_trials.done)
    assert 0 < there < 4000
    score(dataset, out, utility_trials=there + 8)
    score(dataset, whole, utility_trials=there + 8)
    same_trials(out, whole)


def test_the_file_says_what_its_trials_say(dataset, out):
    file = score(dataset, out, utility_trials=60)
    found, raw = file.scores["MonteCarlo"], stored(out)
    for sample in range(60):
        inside = (raw["members"] == sample).any(axis=1)
        y = raw["accuracy"][:, dataset.labels[sample]].astype(float)
        assert found.values[sample] == pytest.approx(y[inside].mean() - y[~inside].mean(), abs=1e-9)
        assert found.counts[sample] == inside.sum()
    assert found.outcome == "accuracy"
    assert found.estimator == "in-minus-out"
    assert found.halves.shape == (2, 60)
    before = raw
    again = goldore.store.reestimate(out, "logprob", "in-mean") or goldore.load_scores(out)
    after = stored(out)
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    mean = again.scores["MonteCarlo"]
    assert mean.unit == "nat"
    inside = (raw["members"] == 5).any(axis=1)
    expected = raw["logprob"][inside, dataset.labels[5]].astype(float).mean()
    assert mean.values[5] == pytest.approx(expected)


def test_loss_and_utility_trials_live_in_one_file(dataset, out):
    score(dataset, out)
    both = score(dataset, out, scores="LossInit,MonteCarlo", recipe=LOSS, trials=2)
    assert both.score_names == ("LossInit", "MonteCarlo")
    before = stored(out)
    goldore.score(dataset, scores="LossInit", recipe=LOSS, trials=3, out=out, device="cpu", overwrite=True)
    assert all(np.array_equal(before[name], after) for name, after in stored(out).items())


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"utility": replace(RECIPE, steps=6)}, {"utility": replace(RECIPE, subset_per_class=3)}],
)
def test_another_run_is_refused_with_both_values(dataset, out, change):
    score(dataset, out)
    before = out.read_bytes()
    with pytest.raises(ScoreFileError, match=r"there / .* now"):
        score(dataset, out, **change)
    assert out.read_bytes() == before


def test_what_cannot_be_stored_is_refused_before_the_pilot(dataset, out, monkeypatch):
    """Planning trains nothing: a pilot may take minutes."""
    score(dataset, out)
    monkeypatch.setattr("goldore.runs.utility_stage.choose_subset_size", lambda *_: pytest.fail("trained"))
    open_size = replace(RECIPE, subset_per_class=None)
    with pytest.raises(ScoreFileError, match=r"another run.*steps: 5 there / 6 now"):
        score(dataset, out, utility=replace(open_size, steps=6))
    with pytest.raises(GoldoreError):
        score(dataset, out / "below a file" / "s.h5", utility=open_size)


def test_the_pilot_chooses_and_the_file_remembers(dataset, out):
    class Notes(Watcher):
        notes = ()

        def planned(self, plan):
            self.notes = plan.notes

    recipe, watcher = replace(RECIPE, subset_per_class=None), Notes()
    first = score(dataset, out, utility=recipe, watcher=watcher)
    assert "pilot accuracy" in watcher.notes[0]
    again = score(dataset, out, utility=recipe, utility_trials=50, watcher=watcher)
    assert watcher.notes == ()
    chosen = first.utility_trials.recipe.subset_per_class
    assert chosen == again.utility_trials.recipe.subset_per_class


def test_it_goes_on_until_the_reliability_is_reached(out):
    dataset = make_dataset(tests=60)
    file = score(dataset, out, utility_trials=None, until_reliability=0.2, max_trials=3000, outcome="logprob")
    reached = file.scores["MonteCarlo"]
    assert reached.rank_reliability >= 0.2
    assert reached.trials < 3000
    same = score(dataset, out, utility_trials=None, until_reliability=0.2, max_trials=3000, outcome="logprob")
    assert same.scores["MonteCarlo"].trials == reached.trials
    capped = score(
        dataset, out.with_name("b.h5"), utility_trials=None, until_reliability=0.999, max_trials=30
    )
    assert capped.scores["MonteCarlo"].trials == 30
    timed = score(dataset, out.with_name("c.h5"), utility_trials=10_000, max_seconds=0.001)
    assert timed.scores["MonteCarlo"].trials < 100


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"test_images": None, "test_labels": None}, "no test split"),
        ({"test_labels": np.zeros(12, dtype=np.int64)}, "no image of class corner 1"),
    ],
)
def test_without_images_to_evaluate_on_it_says_so(dataset, out, change, part):
    with pytest.raises(UsageError, match=f"{part}.*`eval_split` heldout"):
        score(replace(dataset, **change), out)
    assert not out.exists()
    heldout = score(replace(dataset, **change), out, utility=replace(RECIPE, eval_split="heldout"))
    assert np.isfinite(heldout.scores["MonteCarlo"].values).all()


def test_samples_never_drawn_have_no_score_and_prune_says_so(dataset, out):
    file = score(dataset, out, utility_trials=4)
    values = file.scores["MonteCarlo"].values
    assert np.isnan(values).any()
    with pytest.raises(UsageError, match="never drawn"):
        goldore.prune(file, "MonteCarlo_small", keep_ratio=0.5)
    kept = goldore.prune(file, "MonteCarlo_small", keep_ratio=0.1, missing="drop").indices
    assert np.isfinite(values[kept]).all()
    with pytest.raises(UnreliableError, match="`min_reliability` asks for"):
        goldore.prune(file, "MonteCarlo_small", keep_ratio=0.5, missing="drop", min_reliability=0.9)


def test_when_all_trials_diverge_nothing_is_written(dataset, out):
    with pytest.raises(GoldoreError, match="every trial diverged"):
        score(dataset, out, utility=replace(RECIPE, lr=1e30))
    assert not out.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "f1"},
        {"estimator": "mean"},
        {"utility_trials": 0},
        {"until_reliability": 0.5},  # with a number of trials
        {"utility_trials": None, "until_reliability": 1.0},
        {"max_trials": 5},
        {"max_seconds": 0},
        {"utility_trials": None, "trial_range": range(5, 5)},
        {"trial_range": range(5)},  # with a number of trials
        {"utility_trials": None, "trial_range": range(10**30)},
        {"utility_trials": 10**9},
        {"utility_trials": None, "trial_range": range(5), "scores": "LossInit,MonteCarlo"},
    ],
)
def test_budgets_that_make_no_sense_are_refused(dataset, out, change):
    with pytest.raises(UsageError):
        score(dataset, out, **change)
    assert not out.exists()


def test_trials_evaluated_on_other_test_images_are_not_mixed(dataset, out, tmp_path):
    score(dataset, out)
    other = replace(dataset, test_images=dataset.test_images[::-1].copy())
    with pytest.raises(ScoreFileError, match=r"test images: .* there / .* now"):
        score(other, out, utility_trials=50)
    part = tmp_path / "part.h5"
    score(other, part, utility_trials=None, trial_range=range(40, 50))
    with pytest.raises(ScoreFileError, match="test images"):
        goldore.merge([out, part], tmp_path / "merged.h5")
    heldout = replace(RECIPE, eval_split="heldout")
    score(dataset, tmp_path / "h.h5", utility=heldout, utility_trials=10)
    assert len(score(other, tmp_path / "h.h5", utility=heldout, utility_trials=20).scores) == 1


def test_parts_that_overlap_may_differ_by_rounding_but_not_by_more(dataset, tmp_path):
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    score(dataset, first, utility_trials=None, trial_range=range(20), ensemble_size=1)
    score(dataset, second, utility_trials=None, trial_range=range(10, 40), ensemble_size=16)
    merged = goldore.merge([first, second], tmp_path / "m.h5")
    assert len(merged.utility_trials.done) == 40
    assert np.array_equal(stored(first)["logprob"][:20], stored(tmp_path / "m.h5")["logprob"][:20])
    with edited(second) as file:
        file["trials/utility/logprob"][12] += 1
    with pytest.raises(ScoreFileError, match=r"trial 12 .* has another logprob"):
        goldore.merge([first, second], tmp_path / "m.h5", overwrite=True)


def test_another_outcome_is_estimated_before_its_reliability_is_looked_at(out):
    dataset = make_dataset(tests=60)
    by_logprob = score(dataset, out, utility_trials=1500, outcome="logprob").scores["MonteCarlo"]
    wanted = by_logprob.rank_reliability - 0.05

    class Ends(Watcher):
        end = None

        def ended(self, end, score, seconds, trials):
            self.end, self.trials = end, trials

    watcher = Ends()
    settings = {"utility_trials": None, "until_reliability": wanted, "max_trials": 1516}
    other = score(dataset, out, outcome="accuracy", watcher=watcher, **settings).scores["MonteCarlo"]
    assert other.outcome == "accuracy"
    assert other.rank_reliability < wanted
    assert (watcher.end, watcher.trials) == ("complete", 16)
    kept = score(dataset, out, utility_trials=1516)  # no outcome named: as in the file
    assert kept.scores["MonteCarlo"].outcome == "accuracy"


def test_a_file_that_is_replaced_does_not_choose_the_size_of_the_subsets(dataset, out):
    score(dataset, out, utility=replace(RECIPE, subset_per_class=5))
    unsized = replace(RECIPE, subset_per_class=None, steps=9)
    fresh = score(dataset, out.with_name("fresh.h5"), utility=unsized)
    replaced = score(dataset, out, utility=unsized, overwrite=True)
    assert replaced.utility_trials.recipe == fresh.utility_trials.recipe


def test_a_pilot_that_finds_nothing_above_chance_says_so(out):
    dataset = make_dataset((60, 60, 60), tests=60)
    noise = replace(dataset, labels=np.random.default_rng(0).permutation(dataset.labels))

    class Notes(Watcher):
        def planned(self, plan):
            self.note = plan.notes[0]

    watcher = Notes()
    file = score(noise, out, utility=replace(RECIPE, subset_per_class=None, lr=1e-6), watcher=watcher)
    assert file.utility_trials.recipe.subset_per_class == 1
    assert "none is clearly above chance: raise `steps`" in watcher.note


def test_kernel_trials_draw_one_sample_of_each_class_unless_told_otherwise(dataset, out):
    recipe = UtilityRecipe(network=NETWORK, kernel=KernelRecipe())
    told = []

    class Listening(Watcher):
        def preparing(self, what, share):
            told.append((what, share))

        def pilot_started(self, sizes):
            raise AssertionError("nothing is left to be found out")

    goal = {"utility_trials": None, "until_reliability": 0.99, "max_trials": 40}  # looked at now and then
    file = score(dataset, out, utility=recipe, watcher=Listening(), **goal)
    known = file.utility_trials.recipe
    assert known.subset_per_class == 1
    assert known.kernel.networks == 16  # narrow ones
    assert [share for _, share in told].count(1.0) == 1
    assert told[-1] == ("16 untrained networks look at all images", 1.0)
    assert len(file.utility_trials.done) == 40
    again = score(dataset, out, utility=recipe, utility_trials=60)
    assert len(again.utility_trials.done) == 60
    with pytest.raises(ScoreFileError, match="kernel"):
        score(dataset, out, utility=replace(recipe, kernel=KernelRecipe(fit="ridge")))


def test_kernel_trials_neither_distil_nor_share_initial_weights():
    with pytest.raises(UsageError, match="`common_init`"):
        UtilityRecipe(kernel=KernelRecipe(), common_init=2)
    with pytest.raises(UsageError, match="not both"):
        UtilityRecipe(kernel=KernelRecipe(), distill=DistillRecipe())
    for wrong in ({"fit": "boost"}, {"networks": 0}, {"ridge": 0.0}):
        with pytest.raises(UsageError, match=f"`{next(iter(wrong))}`"):
            KernelRecipe(**wrong)


@pytest.mark.parametrize(
    ("fit", "changes"), [("descent", {"batch_size": 7}), ("ridge", {"lr": 0.5, "steps": 9})]
)
def test_settings_of_no_use_to_kernel_trials_make_no_other_run(dataset, out, fit, changes):
    recipe = replace(RECIPE, kernel=KernelRecipe(fit=fit, networks=2))
    first = score(dataset, out, utility=recipe, utility_trials=20)
    more = score(dataset, out, utility=replace(recipe, **changes), utility_trials=30)
    assert len(more.utility_trials.done) == 30
    assert more.utility_trials.recipe == first.utility_trials.recipe
