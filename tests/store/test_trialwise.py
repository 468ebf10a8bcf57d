import h5py
import numpy as np
import pytest

import goldore
from goldore.datasets.dataset import ImageDataset
from goldore.errors import ScoreFileError, UsageError
from goldore.networks.config import ConvNetConfig
from goldore.scores import SCORES
from goldore.store import (
    Header,
    LossResult,
    LossRun,
    UtilityResult,
    UtilityRun,
    add_trials,
    reestimate,
    trialwise,
    write_new,
)
from goldore.store.estimating import estimate_from
from goldore.store.trialwise import utility_of_samples, values_by_trial
from goldore.trials import OUTCOMES, LossRecipe, UtilityRecipe
from goldore.trials.seeds import Trial
from tests.conftest import make_dataset
from tests.scores.estimators.simulation import simulate

NETWORK = ConvNetConfig(depth=1, width=4)
FILLED = {"network": NETWORK, "mean": (0.5,), "std": (0.25,), "precision": "float32"}
MADE_ON = {"device": "cpu", "torch_version": "2"}
ESTIMATES = [
    "values",
    "stderr",
    "reliability",
    "rank_reliability",
    "class_reliability",
    "class_rank_reliability",
    "halves",
    "counts",
    "signal_share",
]


def header_of(labels, classes):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 1, 2, 2)).astype(np.uint8)
    names = tuple(f"class {label}" for label in range(classes))
    return Header.of(ImageDataset("planted", images, labels, names, "made by the tests"))


def write_losses(path, header, observed, failed=(), recipe=None):
    """Add loss trials to a file that recorded these values, float32 [T, N] by name; return the values."""
    run = LossRun(
        recipe or LossRecipe(epochs=2, **FILLED), 0, tuple(SCORES[name] for name in observed), **MADE_ON
    )
    results = [
        LossResult(
            trial=Trial(row, 100 + row),
            failed=row in failed,
            recorded={name: values[row] for name, values in observed.items()},
            train_loss=np.array([1.0, 0.5], dtype=np.float32),
        )
        for row in range(len(next(iter(observed.values()))))
    ]
    add_trials(path, header, run, results)


def write_utility(path, failed=(), trials=300, outcome="accuracy", estimator="in-minus-out", **planted):
    """Write a file of utility trials with planted utilities; return its header and what was planted.

    Each outcome is another function of the planted one.
    """
    made = simulate(trials=trials, seed=0, **{"counts": (40, 30), "per_class": 2, "share": 0.5, **planted})
    labels = np.empty(len(made.utility), dtype=np.int64)
    for pools in made.strata.pools:
        for label, members in enumerate(pools):
            labels[members] = label
    header = header_of(labels, len(made.strata.sizes))
    recipe = UtilityRecipe(
        subset_per_class=planted.get("per_class", 2),
        eval_split="heldout" if planted.get("folds", 1) == 2 else "test",
        common_init=planted.get("common_init", 1),
        **FILLED,
    )
    run = UtilityRun(recipe, 0, outcome, estimator, "", **MADE_ON)
    results = [
        UtilityResult(
            trial=Trial(number, number, number),
            failed=number in failed,
            members=made.members[number],
            outcomes={name: (made.outcome[number] * (1 + place)) for place, name in enumerate(OUTCOMES)},
        )
        for number in range(trials)
    ]
    add_trials(path, header, run, results)
    return header, made


def plain_utility(path, outcome, position, label):
    """Trials that ended well and drew a sample, and the outcome of its class in them."""
    with h5py.File(path) as file:
        group = file["trials/utility"]
        good = (group["done"][()] == 1) & (group["failed"][()] == 0)
        drew = (group["members"][()] == position).any(axis=1) & good
        return np.flatnonzero(drew), group[outcome][()][drew, label]


def assert_same_estimate(found, expected):
    for name in ESTIMATES:
        mine, theirs = (np.asarray(getattr(each, name), dtype=float) for each in (found, expected))
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.h5"


def observed_losses(trials=5, samples=30):
    draw = np.random.default_rng(1)
    return {name: draw.random((trials, samples)).astype(np.float32) for name in ("LossInit", "LossConverge")}


def test_values_by_trial_are_those_that_the_trials_recorded(path):
    observed = observed_losses()
    write_losses(path, header_of(np.arange(30) % 3, 3), observed)
    positions = np.array([0, 7, 8, 29])
    found = values_by_trial(path, positions)
    assert set(found) == {"LossInit", "LossConverge"}
    with h5py.File(path) as file:
        for name, values in found.items():
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, file["trials/loss"][name][()][:, positions])
            np.testing.assert_array_equal(values, observed[name][:, positions])


def test_loss_trials_that_diverged_are_left_out(path):
    observed = observed_losses()
    write_losses(path, header_of(np.arange(30) % 3, 3), observed, failed=(0, 3))
    found = values_by_trial(path, np.arange(30))
    for name, values in found.items():
        np.testing.assert_array_equal(values, observed[name][[1, 2, 4]])


def test_no_position_takes_no_value(path):
    write_losses(path, header_of(np.arange(30) % 3, 3), observed_losses())
    assert values_by_trial(path, np.empty(0, dtype=np.int64))["LossInit"].shape == (5, 0)


@pytest.mark.parametrize("planted", [{}, {"folds": 2}, {"common_init": 3}, {"per_class": 5}])
@pytest.mark.parametrize("failed", [(), (0, 7, 8, 150, 299)])
def test_each_sample_has_the_outcomes_of_the_trials_that_drew_it(path, planted, failed):
    header, made = write_utility(path, failed=failed, outcome="margin", **planted)
    positions = [3, 69, 0, 3]
    found = utility_of_samples(path, positions)
    assert len(found) == 4
    for position, each in zip(positions, found, strict=True):
        label = header.labels[position]
        trials, outcomes = plain_utility(path, "margin", position, label)
        assert each.trials.tolist() == trials.tolist()
        assert len(trials)
        np.testing.assert_array_equal(each.outcomes, outcomes)
        planted_trials = [
            number for number in range(300) if position in made.members[number] and number not in failed
        ]
        assert each.trials.tolist() == planted_trials


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_how_many_trials_are_read_at_once_does_not_matter(path, rows, monkeypatch):
    header, _ = write_utility(path, failed=(*range(20, 45), 99, 100))
    monkeypatch.setattr(trialwise, "_BLOCK", 4 * rows)
    for position, each in enumerate(utility_of_samples(path, range(len(header.labels)))):
        trials, outcomes = plain_utility(path, "accuracy", position, header.labels[position])
        assert each.trials.tolist() == trials.tolist()
        np.testing.assert_array_equal(each.outcomes, outcomes)


def test_samples_that_no_trial_drew_have_no_outcomes(path):
    header, made = write_utility(path, trials=3)
    missing = np.setdiff1d(np.arange(len(header.labels)), made.members)
    assert len(missing)
    for each in utility_of_samples(path, missing.tolist()):
        assert len(each.trials) == len(each.outcomes) == 0


def test_without_any_good_trial_there_are_no_outcomes(path):
    write_utility(path, trials=4, failed=range(4))
    assert [len(each.trials) for each in utility_of_samples(path, [0, 1])] == [0, 0]
    assert estimate_from(path) is None


def test_a_file_without_trials_says_nothing_of_single_ones(path):
    write_new(path, header_of(np.arange(6) % 2, 2), [])
    assert values_by_trial(path, np.arange(6)) == {}
    assert utility_of_samples(path, [0]) == []
    assert estimate_from(path) is None


def test_trials_of_the_other_kind_do_not_count(path, tmp_path):
    write_losses(path, header_of(np.arange(30) % 3, 3), observed_losses())
    assert utility_of_samples(path, [0]) == []
    assert estimate_from(path) is None
    write_utility(tmp_path / "utility.h5")
    assert values_by_trial(tmp_path / "utility.h5", np.arange(3)) == {}


@pytest.mark.parametrize("reading", [lambda path: values_by_trial(path, np.arange(2)), estimate_from])
def test_a_file_that_is_none_is_refused(tmp_path, reading):
    with pytest.raises(ScoreFileError):
        reading(tmp_path / "none.h5")
    (tmp_path / "other.h5").write_text("something else")
    with pytest.raises(ScoreFileError):
        reading(tmp_path / "other.h5")


@pytest.mark.parametrize("trials", [2, 17, 151, 300, 1000])
def test_the_estimate_from_the_first_trials_is_in_minus_out(path, trials):
    failed = (0, 7, 8, 150)
    header, made = write_utility(path, failed=failed)
    good = np.setdiff1d(np.arange(300), failed)[:trials]
    found = estimate_from(path, trials=trials)
    assert found.trials == len(good)
    for position, label in enumerate(header.labels):
        y = made.outcome[good, label].astype(np.float64)
        inside = (made.members[good] == position).any(axis=1)
        assert found.counts[position] == inside.sum()
        if inside.any() and not inside.all():
            assert found.values[position] == pytest.approx(y[inside].mean() - y[~inside].mean(), abs=1e-9)
        else:
            assert np.isnan(found.values[position])


def test_the_estimate_can_be_in_mean(path):
    header, made = write_utility(path, outcome="logprob")
    found = estimate_from(path, trials=200, estimator="in-mean")
    for position in range(0, 70, 7):
        inside = (made.members[:200] == position).any(axis=1)
        y = 2.0 * made.outcome[:200, header.labels[position]][inside]
        assert found.values[position] == pytest.approx(y.astype(np.float64).mean(), abs=1e-6)


@pytest.mark.parametrize("estimator", ["in-minus-out", "in-mean", "ridge"])
@pytest.mark.parametrize("planted", [{}, {"folds": 2}, {"common_init": 3}])
def test_the_first_trials_say_what_a_file_of_only_them_says(tmp_path, estimator, planted):
    whole, part = tmp_path / "whole.h5", tmp_path / "part.h5"
    write_utility(whole, failed=(10, 40), estimator="in-minus-out", **planted)
    write_utility(part, failed=(10, 40), trials=182, estimator=estimator, **planted)
    expected = goldore.load_scores(part).scores["MonteCarlo"]
    assert expected.estimator == estimator
    found = estimate_from(whole, trials=180, estimator=estimator)  # 180 of 182 ended well
    assert_same_estimate(found, expected)
    assert found.trials == expected.trials
    assert np.isfinite(found.rank_reliability)


def test_the_estimator_is_that_of_the_file_unless_another_is_named(path):
    write_utility(path, estimator="ridge")
    stored = goldore.load_scores(path).scores["MonteCarlo"]
    assert_same_estimate(estimate_from(path), stored)
    other = estimate_from(path, estimator="in-minus-out")
    assert not np.allclose(other.values, stored.values)
    reestimate(path, "accuracy", "in-minus-out")
    assert_same_estimate(other, goldore.load_scores(path).scores["MonteCarlo"])


def test_an_estimate_writes_nothing(path):
    write_utility(path)
    before = path.read_bytes()
    estimate_from(path, estimator="ridge", trials=50)
    assert path.read_bytes() == before


def test_an_unknown_estimator_is_refused(path):
    write_utility(path, trials=10)
    with pytest.raises(UsageError, match="in-minus-out"):
        estimate_from(path, estimator="median")


def test_no_trials_give_no_estimate(path):
    write_utility(path, trials=10)
    assert estimate_from(path, trials=0) is None


@pytest.mark.parametrize("split", ["test", "heldout"])
def test_the_first_trials_of_a_run_say_what_a_shorter_run_says(tmp_path, split):
    recipe = UtilityRecipe(network=NETWORK, steps=3, subset_per_class=2, lr=0.05, eval_split=split)
    dataset = make_dataset()
    files = [
        goldore.score(
            dataset,
            scores="MonteCarlo",
            utility=recipe,
            utility_trials=trials,
            outcome="margin",
            device="cpu",
            ensemble_size=4,
            out=tmp_path / f"{trials}.h5",
        )
        for trials in (80, 56)
    ]
    long, short = (file.path for file in files)
    for estimator in ("in-minus-out", "ridge"):
        reestimate(short, "margin", estimator)
        expected = goldore.load_scores(short).scores["MonteCarlo"]
        assert_same_estimate(estimate_from(long, trials=56, estimator=estimator), expected)
    for position, each in enumerate(utility_of_samples(long, range(60))):
        trials, outcomes = plain_utility(long, "margin", position, dataset.labels[position])
        assert each.trials.tolist() == trials.tolist()
        np.testing.assert_array_equal(each.outcomes, outcomes)
        assert len(trials) == files[0].scores["MonteCarlo"].counts[position]


def test_the_first_loss_trials_of_a_run_are_those_of_a_shorter_run(tmp_path):
    recipe = LossRecipe(network=NETWORK, epochs=2, batch_size=16)
    for trials in (4, 2):
        goldore.score(
            make_dataset(),
            scores="LossInit",
            recipe=recipe,
            trials=trials,
            device="cpu",
            ensemble_size=2,
            out=tmp_path / f"{trials}.h5",
        )
    long, short = (values_by_trial(tmp_path / f"{trials}.h5", np.arange(60))["LossInit"] for trials in (4, 2))
    np.testing.assert_allclose(long[:2], short, rtol=1e-5, atol=1e-6)
    scores = goldore.load_scores(tmp_path / "4.h5").scores["LossInit"]
    np.testing.assert_allclose(long.astype(np.float64).mean(axis=0), scores.values)


def test_a_trial_without_another_of_its_weights_does_not_count(path):
    dataset = make_dataset()
    recipe = goldore.UtilityRecipe(
        network=goldore.ConvNetConfig(width=4, depth=1), steps=2, subset_per_class=4, common_init=4
    )
    file = goldore.score(dataset, scores="MonteCarlo", utility=recipe, utility_trials=9, out=path)
    assert (len(file.utility_trials.done), file.scores["MonteCarlo"].trials) == (9, 8)
    found = utility_of_samples(path, range(dataset.num_samples))
    assert [len(each.trials) for each in found] == file.scores["MonteCarlo"].counts.tolist()
