from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from goldore.scores.estimators.sweeps import TrialBlock
from goldore.scores.estimators.utility import estimate_utility
from goldore.trials.draws import Sweeps
from tests.scores.estimators.simulation import simulate


def estimate(simulation, estimator="in-minus-out"):
    return estimate_utility(simulation.trials, len(simulation.utility), estimator)


def comparisons(simulation, kept=None):
    """For each sample: whether the trials of its fold contain it [T], and their outcomes and numbers."""
    kept = simulation.numbers if kept is None else kept
    for fold, pools in enumerate(simulation.strata.pools):
        mine = kept[kept % simulation.strata.folds == fold]
        for label, pool in enumerate(pools):
            for sample in pool:
                inside = (simulation.members[mine] == sample).any(axis=1)
                yield sample, inside, simulation.outcome[mine, label].astype(float), mine


def welch(simulation):
    """By hand: difference of means, its standard error, and the degrees of freedom; each [N]."""
    found = np.full((3, len(simulation.utility)), np.nan)
    for sample, inside, outcome, _ in comparisons(simulation):
        a, b = outcome[inside], outcome[~inside]
        of_a, of_b = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
        freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
        found[:, sample] = a.mean() - b.mean(), (of_a + of_b) ** 0.5, freedom
    return found


def fixed_effects(simulation, kept=None):
    """By least squares: slope on membership beside a level for every block of common weights, [N]."""
    slopes = np.full(len(simulation.utility), np.nan)
    for sample, inside, outcome, numbers in comparisons(simulation, kept):
        blocks = numbers // simulation.trials.common_init
        levels = (blocks[:, None] == np.unique(blocks)).astype(float)
        design = np.column_stack([inside, levels])
        solution, _, rank, _ = np.linalg.lstsq(design, outcome, rcond=None)
        if rank == design.shape[1]:
            slopes[sample] = solution[0]
    return slopes


def with_trials(simulation, kept, chunk=16):
    """The same simulation, of whose trials only some have finished; blocks of 16 numbers are read at once."""

    def read():
        for start in range(0, len(simulation.numbers), chunk):
            part = kept[(kept >= start) & (kept < start + chunk)]
            yield TrialBlock(part, simulation.members[part], simulation.outcome[part])

    return replace(simulation, trials=replace(simulation.trials, read=read))


def planted(simulation):
    """What in minus out estimates: the utility of a sample less the mean of the others of its pool."""
    truth = np.empty(len(simulation.utility))
    for pool in (pool for fold in simulation.strata.pools for pool in fold):
        u = simulation.utility[pool]
        truth[pool] = (u - u.mean()) * len(pool) / (len(pool) - 1)
    return truth


def correlation(simulation, first, second):
    """Mean over the pools."""
    pools = [pool for fold in simulation.strata.pools for pool in fold]
    return np.mean([np.corrcoef(first[pool], second[pool])[0, 1] for pool in pools])


def close(values, expected):
    """Whether the mean over seeds is what is expected, as far as the spread over seeds lets one tell."""
    values = np.asarray(values)
    return abs(values.mean() - expected) < 4 * values.std(ddof=1) / len(values) ** 0.5


@pytest.mark.parametrize("folds", [1, 2])
def test_in_minus_out_is_the_difference_of_means_with_welchs_error(folds):
    simulation = simulate(counts=(30, 21), trials=160, per_class=3, folds=folds)
    found = estimate(simulation)
    values, errors, _ = welch(simulation)
    np.testing.assert_allclose(found.values, values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.stderr, errors, rtol=1e-9)
    assert found.counts.tolist() == [
        each[1].sum() for each in sorted(comparisons(simulation), key=lambda x: x[0])
    ]
    assert found.trials == 160


def test_in_mean_is_the_mean_of_the_trials_with_the_sample():
    simulation = simulate(counts=(30, 21), trials=160, per_class=3)
    expected = np.empty(51)
    for sample, inside, outcome, _ in comparisons(simulation):
        expected[sample] = outcome[inside].mean()
    found, plain = estimate(simulation, "in-mean"), estimate(simulation)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)
    assert correlation(simulation, found.values, plain.values) > 0.999  # the same ranking
    assert found.reliability == plain.reliability


@pytest.mark.parametrize(("folds", "common_init"), [(2, 1), (1, 8), (2, 8)])
def test_in_mean_ranks_no_folds_and_no_blocks(folds, common_init):
    """Outcomes of a fold, or of trials with common weights, share a level that is no sample's merit."""
    simulation = simulate((60, 40), 1600, folds=folds, common_init=common_init, block_noise=3)
    if folds == 2:
        simulation.outcome[simulation.numbers % 2 == 1] += 2.0
    found, plain = estimate(simulation, "in-mean"), estimate(simulation)
    classes = [np.concatenate([fold[label] for fold in simulation.strata.pools]) for label in range(2)]
    for members in classes:
        assert np.corrcoef(found.values[members], plain.values[members])[0, 1] > 0.97
    level = [simulation.outcome[:, label].mean() for label in range(2)]
    assert [found.values[members].mean() for members in classes] == pytest.approx(level, abs=0.02)
    halves = [found.halves[:, members].mean() for members in classes]
    assert halves == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize("folds", [1, 2])
def test_with_common_weights_it_is_the_slope_beside_a_level_for_each_block(folds):
    # The last block is cut short; some blocks contain a sample twice.
    simulation = simulate(counts=(12, 9), trials=150, per_class=2, folds=folds, common_init=8, block_noise=3)
    np.testing.assert_allclose(estimate(simulation).values, fixed_effects(simulation), rtol=1e-8, atol=1e-10)


def test_one_block_of_common_weights_is_in_minus_out_again():
    simulation = simulate(counts=(30, 21), trials=120, per_class=3)
    values, errors, _ = welch(simulation)
    found = estimate(replace(simulation, trials=replace(simulation.trials, common_init=120)))
    np.testing.assert_allclose(found.values, values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.stderr, errors * (120 / 119) ** 0.5, rtol=1e-9)


@pytest.mark.parametrize("estimator", ["in-minus-out", "in-mean", "ridge"])
def test_samples_that_were_never_drawn_have_no_value(estimator):
    simulation = simulate(counts=(40, 10), trials=12)  # 24 of 40, and 10 of 10
    found = estimate(simulation, estimator)
    drawn = np.isin(np.arange(50), simulation.members)
    assert drawn.sum() == 34
    assert (np.isfinite(found.values) == drawn).all()
    assert np.isnan(found.stderr[~drawn]).all()
    assert ((found.counts > 0) == drawn).all()


def test_less_than_two_sweeps_have_no_rank_reliability():
    found = estimate(simulate(counts=(40, 30), trials=39))
    assert np.isnan(found.class_rank_reliability[0])
    assert np.isfinite(found.class_rank_reliability[1])
    assert np.isfinite(found.halves).all(axis=0).sum() == 30
    assert np.isnan(estimate(simulate(counts=(40, 30), trials=29)).rank_reliability)


def test_a_sample_drawn_once_takes_the_spread_of_those_drawn_more_often():
    simulation = simulate(counts=(40, 30), trials=32, per_class=2)  # 24 and 30 samples are drawn twice
    found = estimate(simulation)
    labels = np.empty(70, dtype=int)
    for label, pool in enumerate(simulation.strata.pools[0]):
        labels[pool] = label
    within = [[], []]
    for sample, inside, outcome, _ in comparisons(simulation):
        if inside.sum() > 1:
            within[labels[sample]].append((outcome[inside].var(ddof=1), inside.sum() - 1))
    pooled = [np.average(np.array(each)[:, 0], weights=np.array(each)[:, 1]) for each in within]
    once = 0
    for sample, inside, outcome, _ in comparisons(simulation):
        if found.counts[sample] == 1:
            once += 1
            expected = (pooled[labels[sample]] + outcome[~inside].var(ddof=1) / (~inside).sum()) ** 0.5
            assert found.stderr[sample] == pytest.approx(expected)
    assert once == 16


def test_nothing_is_said_of_the_reliability_before_samples_were_drawn_twice():
    found = estimate(simulate(counts=(40, 40), trials=20, per_class=2))
    assert (found.counts == 1).all()
    assert np.isfinite(found.values).all()
    assert np.isnan(found.stderr).all()
    assert np.isnan([found.reliability, found.signal_share, found.trust]).all()


@pytest.mark.parametrize("trials", [270, 400])
def test_between_one_sweep_and_two_the_reliability_is_not_understated(trials):
    """A sample makes most of the outcome, so what the trials without it vary by would overstate its error."""
    found = [
        estimate(simulate((200, 200), trials, per_class=1, share=0.7, seed=seed)).reliability
        for seed in range(30)
    ]
    drawn_twice = min(trials / 200 - 1, 1)
    noise = 0.3 * (drawn_twice / 2 + (1 - drawn_twice))
    assert close(found, 0.7 / (0.7 + noise))


@pytest.mark.parametrize("common_init", [1, 8])
def test_intervals_cover_the_planted_utility(common_init):
    inside = []
    for seed in range(12):
        simulation = simulate(
            counts=(120, 90), trials=480, seed=seed, common_init=common_init, block_noise=common_init - 1
        )
        found, (_, _, freedom) = estimate(simulation), welch(simulation)
        width = stats.t.ppf(0.975, freedom) * found.stderr
        inside.append(np.abs(found.values - planted(simulation)) < width)
    assert 0.93 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize(
    ("share", "per_class", "folds", "trials"),
    [(0.3, 2, 1, 2000), (0.3, 1, 1, 1500), (0.1, 5, 1, 2500), (0.5, 10, 1, 700), (0.5, 3, 2, 1400)],
)
def test_reliability_is_what_theory_says(share, per_class, folds, trials):
    simulations = [
        simulate((350, 350), trials, per_class, share, seed=seed, folds=folds) for seed in range(8)
    ]
    found = [estimate(each) for each in simulations]
    signal = trials * share
    expected = signal / (signal + 350 * (1 - share / per_class))
    half = signal / 2 / (signal / 2 + 350 * (1 - share / per_class))
    ranks = 6 / np.pi * np.arcsin(half / 2)  # Spearman's correlation of normal variables that correlate so
    assert close([each.reliability for each in found], expected)
    assert close([each.rank_reliability for each in found], 2 * ranks / (1 + ranks))
    assert close([each.signal_share for each in found], share)
    truth = [
        correlation(simulation, each.values, simulation.utility) ** 2
        for simulation, each in zip(simulations, found, strict=True)
    ]
    assert close(truth, expected)  # reliability: the share of the spread that is the utility's


def test_the_signal_share_of_classes_of_all_sizes():
    found = [estimate(simulate((600, 120, 30), 2500, level=(0.2, 0.7, 0.4), seed=seed)) for seed in range(8)]
    assert close([each.signal_share for each in found], 0.3)
    assert close([each.class_signal_share[0] for each in found], 0.3)
    assert close([each.class_signal_share[1] for each in found], 0.3)


@pytest.mark.parametrize(("folds", "common_init"), [(1, 1), (2, 1), (1, 8)])
def test_noise_has_no_reliability(folds, common_init):
    found = [
        estimate(simulate((100, 90), 600, share=0, seed=seed, folds=folds, common_init=common_init))
        for seed in range(40)
    ]
    for values in ([each.reliability for each in found], [each.rank_reliability for each in found]):
        error = np.std(values, ddof=1) / 40**0.5
        assert -4 * error < np.mean(values) < 3 * error
        assert error < 0.03  # else the above says nothing


@pytest.mark.parametrize("estimator", ["in-minus-out", "in-mean", "ridge"])
@pytest.mark.parametrize(("folds", "common_init"), [(1, 1), (2, 4)])
def test_the_way_in_which_trials_are_read_does_not_matter(estimator, folds, common_init):
    settings = {"counts": (24, 18), "trials": 90, "folds": folds, "common_init": common_init}
    whole, pieces = (estimate(simulate(**settings, chunk=chunk), estimator) for chunk in (10**6, 7))
    for name in ("values", "stderr", "counts", "halves", "class_reliability", "class_rank_reliability"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-5, atol=1e-7)
    assert pieces.reliability == pytest.approx(whole.reliability, rel=1e-6)


def test_common_weights_take_the_noise_of_the_weights_away():
    def reliability(**settings):
        found = [estimate(simulate(seed=seed, trials=2000, **settings)) for seed in range(5)]
        return np.mean([(each.reliability, each.rank_reliability) for each in found], axis=0)

    quiet = reliability()
    noisy = reliability(block_noise=3.0)
    blocks = reliability(block_noise=3.0, common_init=16)
    assert (noisy < quiet - 0.3).all()
    assert blocks == pytest.approx(quiet, abs=0.05)  # a block costs one trial of 16


@pytest.mark.parametrize("folds", [1, 2])
def test_missing_trials_are_left_out(folds):
    simulation = simulate(counts=(12, 9), trials=160, folds=folds, common_init=8, block_noise=3)
    draw = np.random.default_rng(0)
    gone = draw.random(160) < 0.2
    gone[16:32] = True  # all that is read at once
    gone[40:48] = [True] * 7 + [False]  # a trial that is left without any to compare it with
    kept = np.flatnonzero(~gone)
    found = estimate(with_trials(simulation, kept))
    np.testing.assert_allclose(found.values, fixed_effects(simulation, kept), rtol=1e-8, atol=1e-10)
    fold_and_block = kept % folds * 1000 + kept // 8
    alone = np.unique(fold_and_block, return_counts=True)[1] == 1
    assert found.trials == len(kept) - alone.sum()


def test_missing_trials_cost_no_more_than_their_number():
    whole = simulate(trials=3000)
    kept = np.flatnonzero(np.random.default_rng(1).random(3000) < 0.5)
    found = estimate(with_trials(whole, kept))
    shorter = [estimate(simulate(trials=1500, seed=seed)) for seed in range(5)]
    for name in ("reliability", "rank_reliability", "signal_share"):
        others = [getattr(each, name) for each in shorter]
        assert abs(getattr(found, name) - np.mean(others)) < 5 * np.std(others, ddof=1)


def test_trials_without_any_to_compare_them_with_give_no_values():
    simulation = simulate(counts=(12, 9), trials=48, common_init=8)
    found = estimate(with_trials(simulation, np.arange(0, 48, 8)))
    assert found.trials == 0
    assert np.isnan(found.values).all()


def test_a_second_run_correlates_as_the_reliability_says():
    found, correlations = [], []
    for seed in range(8):
        first = simulate((300, 300), 1500, seed=seed)
        sweeps, draw = Sweeps(first.strata, 100 + seed), np.random.default_rng(100 + seed)
        members = np.stack([sweeps.subset(int(number)) for number in first.numbers])
        outcome = first.utility[members].reshape(-1, 2, 2).sum(axis=2)
        outcome += draw.normal(size=outcome.shape) * 0.7**0.5
        second = with_trials(replace(first, members=members, outcome=outcome), first.numbers, chunk=1500)
        both = estimate(first), estimate(second)
        correlations.append(correlation(first, both[0].values, both[1].values))
        found += [each.reliability for each in both]
    assert close(correlations, np.mean(found))
    assert 0.6 < np.mean(found) < 0.85


def test_the_halves_are_estimates_from_separate_sweeps():
    simulation = simulate(counts=(40, 40), trials=140)  # seven sweeps of 20 trials, six of which are halved
    found = estimate(simulation)
    numbers = simulation.numbers[:140]
    assigned = simulation.trials.parts().of(numbers)
    for label, pool in enumerate(simulation.strata.pools[0]):
        part = assigned[:, label].reshape(7, 20)
        assert (part == part[:, :1]).all()
        assert sorted(part[:, 0]) == [-1, 0, 1, 2, 3, 4, 5]
        for half, parts in enumerate([(0, 1, 2), (3, 4, 5)]):
            mine = np.isin(assigned[:, label], parts)
            outcome = simulation.outcome[mine, label].astype(float)
            for sample in pool:
                inside = (simulation.members[mine] == sample).any(axis=1)
                expected = outcome[inside].mean() - outcome[~inside].mean()
                assert found.halves[half, sample] == pytest.approx(expected, rel=1e-5, abs=1e-6)
