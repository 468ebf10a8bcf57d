import dataclasses

import numpy as np
import pytest

import goldore
from goldore.errors import ScoreFileError
from goldore.report import curves
from goldore.report.curves import reliability_curve
from goldore.scores import SCORES
from goldore.scores.estimators import class_members, mean_over_trials
from goldore.store import Score, load_scores, write_new
from tests.store.test_trialwise import header_of, write_losses, write_utility

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [30, 20, 10]))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.h5"


def planted_losses(trials, noise=1.0, labels=LABELS):
    """What each sample has in common over the trials, and noise of each trial."""
    draw = np.random.default_rng(2)
    common = draw.normal(size=len(labels))
    return (common + noise * draw.normal(size=(trials, len(labels)))).astype(np.float32)


def loss_file(path, trials, failed=(), labels=LABELS, noise=1.0):
    observed = planted_losses(trials, noise, labels)
    write_losses(path, header_of(labels, int(labels.max()) + 1), {"LossConverge": observed}, failed)
    return load_scores(path), observed[[row for row in range(trials) if row not in failed]]


def curve_of(file):
    (score,) = file.scores.values()
    return reliability_curve(file, score)


def with_trust(file, trust):
    (score,) = file.scores.values()
    return dataclasses.replace(score, rank_reliability=trust, reliability=trust)


def spearman_brown(trust, trials, others):
    """By the reliability of a single trial."""
    single = trust / (trials - (trials - 1) * trust)
    return others * single / (1 + (others - 1) * single)


def trust_of(observed, labels):
    return mean_over_trials(observed, class_members(labels, int(labels.max()) + 1)).trust


@pytest.mark.parametrize("failed", [(), (0, 4)])
def test_losses_are_measured_from_the_first_trials(path, failed):
    file, observed = loss_file(path, 7, failed)
    curve = curve_of(file)
    numbers = [trials for trials, _ in curve.measured]
    assert (numbers[:2], numbers[-1]) == ([2, 3], len(observed))
    for trials, value in curve.measured:
        assert value == pytest.approx(trust_of(observed[:trials], LABELS))
    assert curve.samples == 60
    assert curve.targets == (0.8, 0.9)


def test_of_few_trials_every_number_is_measured(path):
    file, _ = loss_file(path, 7)
    assert [trials for trials, _ in curve_of(file).measured] == [2, 3, 4, 5, 6, 7]


def test_the_last_point_is_what_the_file_says(path):
    file, _ = loss_file(path, 5)
    score = file.scores["LossConverge"]
    assert curve_of(file).measured[-1] == (5, score.rank_reliability)


def test_of_many_trials_some_are_measured(path):
    file, observed = loss_file(path, 60, noise=4.0)
    curve = curve_of(file)
    numbers = [trials for trials, _ in curve.measured]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (2, 60)
    assert 8 <= len(numbers) <= 20
    for trials, value in curve.measured:
        assert value == pytest.approx(trust_of(observed[:trials], LABELS))


def test_two_trials_give_one_point(path):
    file, observed = loss_file(path, 2)
    curve = curve_of(file)
    assert curve.measured == ((2, pytest.approx(trust_of(observed, LABELS))),)
    assert curve.planned


@pytest.mark.parametrize("failed", [(), (0, 1, 2)])
def test_one_trial_gives_no_curve(path, failed):
    file, _ = loss_file(path, 1 + len(failed), failed)
    assert curve_of(file).measured == ()


def test_an_imported_score_has_no_curve(path):
    _, made = loss_file(path, 3)
    estimate = mean_over_trials(made, class_members(LABELS, 3))
    imported = dataclasses.replace(estimate, trials=0, rank_reliability=np.nan, reliability=np.nan)
    listed = path.with_name("listed.h5")
    write_new(listed, header_of(LABELS, 3), [Score.of(SCORES["LossInit"], imported)])
    assert curve_of(load_scores(listed)).measured == ()


def test_a_score_whose_reliability_is_never_known_has_no_curve(path):
    file, _ = loss_file(path, 3, labels=np.arange(6))
    assert np.isnan(file.scores["LossConverge"].trust)
    assert curve_of(file).measured == ()


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_the_plan_passes_through_the_last_point_and_reaches_the_targets(path, noise):
    file, _ = loss_file(path, 6, noise=noise)
    curve = curve_of(file)
    trials, trust = curve.measured[-1]
    numbers, values = np.array(curve.planned).T
    assert numbers[0] == 1
    assert (np.diff(numbers) > 0).all()
    assert (np.diff(values) > 0).all()
    np.testing.assert_allclose(values, spearman_brown(trust, trials, numbers))
    assert np.interp(trials, numbers, values) == pytest.approx(trust, abs=0.01)
    assert numbers[-1] > trials
    assert values[-1] >= 0.9


def test_a_plan_that_goes_too_far_is_cut(path):
    file, _ = loss_file(path, 4)
    curve = reliability_curve(file, with_trust(file, 0.001))
    numbers, values = np.array(curve.planned).T
    assert numbers[-1] == pytest.approx(4000)
    assert values[-1] < 0.9
    np.testing.assert_allclose(values, spearman_brown(0.001, 4, numbers))


@pytest.mark.parametrize("trust", [0.0, -0.2, 1.0])
def test_reliabilities_that_no_number_of_trials_changes_have_no_plan(path, trust):
    file, _ = loss_file(path, 4)
    curve = reliability_curve(file, with_trust(file, trust))
    assert curve.planned == ()
    assert curve.measured[-1] == (4, trust)


def test_of_many_samples_the_same_share_of_every_class_is_measured(path, monkeypatch):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(3), [300, 200, 100]))
    file, observed = loss_file(path, 4, labels=labels)
    taken = []

    def observed_at(where, positions):
        taken.append(positions)
        return {"LossConverge": observed[:, positions]}

    monkeypatch.setattr(curves, "_MOST_SAMPLES", 60)
    monkeypatch.setattr(curves, "values_by_trial", observed_at)
    curve = curve_of(file)
    (positions,) = taken
    assert curve.samples == len(positions) == 60
    assert (np.diff(positions) > 0).all()
    np.testing.assert_allclose(np.bincount(labels[positions]), [30, 20, 10], atol=1)
    assert [trials for trials, _ in curve.measured] == [2, 3, 4]
    for trials, value in curve.measured[:-1]:
        assert value == pytest.approx(trust_of(observed[:trials, positions], labels[positions]))
    assert curve.measured[-1] == (4, file.scores["LossConverge"].trust)


@pytest.mark.parametrize("estimator", ["in-minus-out", "ridge"])
def test_utility_is_measured_as_in_files_of_the_first_trials(path, estimator):
    write_utility(path, trials=180, estimator=estimator, outcome="margin")
    file = load_scores(path)
    curve = curve_of(file)
    assert curve.measured[-1] == (180, file.scores["MonteCarlo"].rank_reliability)
    assert curve.targets == (0.5, 0.8)
    assert curve.samples == 70
    numbers = [trials for trials, _ in curve.measured]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 3
    for trials, value in curve.measured[:-1:3]:
        shorter = path.with_name(f"{trials}.h5")
        write_utility(shorter, trials=trials, estimator=estimator, outcome="margin")
        assert value == pytest.approx(load_scores(shorter).scores["MonteCarlo"].rank_reliability, abs=1e-6)
    planned, values = np.array(curve.planned).T
    trials, trust = curve.measured[-1]
    np.testing.assert_allclose(values, spearman_brown(trust, trials, planned))
    assert values[-1] >= 0.8


def test_utility_trials_that_diverged_do_not_count(path):
    write_utility(path, trials=150, failed=range(0, 150, 10))
    file = load_scores(path)
    curve = curve_of(file)
    assert curve.measured[-1] == (135, file.scores["MonteCarlo"].rank_reliability)


def test_utility_before_the_second_sweep_has_no_points_of_ranks(path):
    write_utility(path, trials=240)
    early = [trials for trials, _ in curve_of(load_scores(path)).measured if trials < 30]
    assert early == []  # two sweeps of 30 samples, two a trial, take 30 trials


def test_one_utility_trial_gives_no_curve(path):
    write_utility(path, trials=1)
    assert curve_of(load_scores(path)).measured == ()


def test_points_that_would_take_too_long_are_left_out(path, monkeypatch):
    write_utility(path, trials=240)
    file = load_scores(path)
    whole = curve_of(file).measured
    monkeypatch.setattr(curves, "_MOST_WORK", 4 * 500)  # four samples a trial
    few = curve_of(file).measured
    assert few[-1] == whole[-1]
    assert set(few) < set(whole)
    assert sum(trials for trials, _ in few[:-1]) <= 500


def test_a_file_that_is_gone_is_refused(path):
    file, _ = loss_file(path, 3)
    path.unlink()
    with pytest.raises(ScoreFileError):
        curve_of(file)


def test_each_loss_score_has_the_curve_of_its_own_values(path):
    observed = {"LossInit": planted_losses(4, 0.2), "LossConverge": planted_losses(4, 3.0)}
    write_losses(path, header_of(LABELS, 3), observed)
    file = goldore.load_scores(path)
    for name, values in observed.items():
        curve = reliability_curve(file, file.scores[name])
        assert [value for _, value in curve.measured] == pytest.approx(
            [trust_of(values[:trials], LABELS) for trials in (2, 3, 4)]
        )
