"""Shrinking towards a prior, on planted utilities."""

from dataclasses import replace

import numpy as np
import pytest

from goldore.scores.estimators.utility import estimate_utility
from tests.scores.estimators.simulation import simulate


def prior_of(simulation, correlation, seed=5):
    """A score that correlates with the planted utility, in other units, and with other levels of classes."""
    draw = np.random.default_rng(seed)
    spread = simulation.utility.std()
    noise = draw.normal(size=simulation.utility.shape) * spread
    mixed = correlation * simulation.utility + np.sqrt(1 - correlation**2) * noise
    levels = np.zeros(len(mixed))
    for fold in simulation.strata.pools:
        for label, members in enumerate(fold):
            levels[members] = label
    return {"KernelUtility": 30 * mixed + 4 * levels + 7}


def truth_within(simulation, values):
    """Correlation of values with the planted utilities within pools, over samples that have one."""
    sums = np.zeros(3)
    for fold in simulation.strata.pools:
        for members in fold:
            known = members[np.isfinite(values[members])]
            a, b = (each[known] - each[known].mean() for each in (values, simulation.utility))
            sums += a @ b, a @ a, b @ b
    return sums[0] / np.sqrt(sums[1] * sums[2])


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_it_is_nearer_to_the_truth_and_says_how_near(correlation, folds):
    gains, said, real = [], [], []
    for seed in range(6):
        simulation = simulate(counts=(300, 300), trials=900, per_class=2, share=0.3, seed=seed, folds=folds)
        prior = prior_of(simulation, correlation, seed + 50)
        raw = estimate_utility(simulation.trials, 600)
        found = estimate_utility(simulation.trials, 600, "shrunk", prior)
        gains.append(truth_within(simulation, found.values) - truth_within(simulation, raw.values))
        said.append(found.reliability)
        halved = replace(simulation.trials, last=450, read=lambda s=simulation: first_half(s))
        half = estimate_utility(halved, 600, "shrunk", prior)
        real.append(truth_within(simulation, half.values) ** 2)
        assert found.explained > 0.02
        assert found.reliability <= 1
    assert min(gains) > 0
    assert np.mean(gains) > (0.02 if correlation < 0.9 else 0.1)
    assert np.mean(said) == pytest.approx(np.mean(real), abs=0.08)  # of half of the trials


def first_half(simulation):
    for block in simulation.trials.read():
        kept = block.numbers < 450
        if kept.any():
            yield replace(
                block,
                numbers=block.numbers[kept],
                members=block.members[kept],
                outcome=block.outcome[kept],
            )


def test_its_errors_are_those_of_repetitions():
    real, said = [], []
    for seed in range(30):
        simulation = simulate(counts=(300,), trials=600, per_class=2, share=0.3, seed=seed, level=(0.2,))
        found = estimate_utility(simulation.trials, 300, "shrunk", prior_of(simulation, 0.8, seed + 90))
        away = found.values - simulation.utility
        real.append(away.var())
        said.append((found.stderr**2).mean())
    assert np.mean(said) == pytest.approx(np.mean(real), rel=0.1)


def test_samples_that_were_never_drawn_have_the_value_of_the_prior():
    simulation = simulate(counts=(300, 300), trials=130, per_class=3, share=0.4)  # 1.3 sweeps
    unseen = simulate(counts=(300, 300), trials=90, per_class=3, share=0.4)  # 0.9
    prior = prior_of(simulation, 0.9)
    raw = estimate_utility(simulation.trials, 600)
    found = estimate_utility(simulation.trials, 600, "shrunk", prior)
    assert np.isfinite(raw.values).all()
    assert found.explained > 0
    assert np.isnan(found.reliability)  # two sweeps tell
    none_twice = estimate_utility(unseen.trials, 600, "shrunk", prior)
    np.testing.assert_array_equal(none_twice.values, estimate_utility(unseen.trials, 600).values)
    assert np.isnan(none_twice.explained)  # no sample was drawn twice: their noise is not known

    few = simulate(counts=(300, 300), trials=130, per_class=3, share=0.4)
    dropped = few.members[:, :3] % 10 == 0  # trials that drew one of these are taken away
    kept = ~(dropped.any(axis=1) & (few.numbers > 40))

    def read():
        for block in few.trials.read():
            chosen = kept[block.numbers]
            yield replace(
                block,
                numbers=block.numbers[chosen],
                members=block.members[chosen],
                outcome=block.outcome[chosen],
            )

    trials = replace(few.trials, read=read)
    raw = estimate_utility(trials, 600)
    found = estimate_utility(trials, 600, "shrunk", prior)
    missing = np.isnan(raw.values)
    assert missing.sum() > 20
    assert np.isfinite(found.values).all()
    assert np.isfinite(found.stderr).all()
    assert np.corrcoef(found.values[missing], few.utility[missing])[0, 1] > 0.6
    assert np.median(found.stderr[missing]) > np.median(found.stderr[~missing])


@pytest.mark.parametrize("prior", [None, {}, "noise", "constant", "unknown"])
def test_nothing_is_shrunk_where_the_prior_explains_nothing(prior):
    for seed in range(8):
        simulation = simulate(counts=(200, 200), trials=800, seed=seed)
        made = {
            "noise": {"LossInit": np.random.default_rng(seed).normal(size=400)},
            "constant": {"LossInit": np.zeros(400)},
            "unknown": {"LossInit": np.full(400, np.nan)},
        }
        chosen = made[prior] if isinstance(prior, str) else prior
        raw = estimate_utility(simulation.trials, 400)
        found = estimate_utility(simulation.trials, 400, "shrunk", chosen)
        np.testing.assert_array_equal(found.values, raw.values)
        assert found.rank_reliability == raw.rank_reliability


def test_two_halves_that_share_their_prior_do_not_agree_for_that():
    """A prior of which half is noise: shrunk halves agree, and the reliability knows better."""
    simulation = simulate(counts=(400, 400), trials=800, per_class=2, share=0.1, seed=3)
    prior = prior_of(simulation, 0.6)
    found = estimate_utility(simulation.trials, 800, "shrunk", prior)
    real = truth_within(simulation, found.values) ** 2
    assert found.reliability == pytest.approx(real, abs=0.2)
    assert found.rank_reliability < 0.75
    slopes = np.corrcoef(found.values, prior["KernelUtility"])[0, 1]
    assert slopes > 0.5  # most of it is the prior
    halves = np.corrcoef(found.halves[0], found.halves[1])[0, 1]
    assert halves < 0.4  # a shrunk one and a raw one


def test_a_large_class_that_was_hardly_drawn_keeps_its_values():
    """Of the first class no sample was drawn twice, so that its own noise is not known."""
    simulation = simulate(counts=(2000, 100, 100, 100), trials=600, per_class=1, share=0.6, level=(0.2,) * 4)
    prior = prior_of(simulation, 0.8)
    raw = estimate_utility(simulation.trials, 2300)
    found = estimate_utility(simulation.trials, 2300, "shrunk", prior)
    large = simulation.strata.pools[0][0]
    assert np.isnan(raw.values[large]).sum() == 1400
    assert np.isfinite(found.values).all()
    drawn = large[np.isfinite(raw.values[large])]
    assert np.corrcoef(found.values[drawn], simulation.utility[drawn])[0, 1] > 0.7


@pytest.mark.parametrize("size", [2, 3, 5])
def test_useless_priors_do_not_shrink_tiny_classes(size):
    """A class's mean without the sample that is left out: with it, one of two is always minus the other."""
    shrunk = 0
    for seed in range(30):
        simulation = simulate(
            counts=(size,) * 40, trials=40, per_class=1, share=0.3, seed=seed, level=(0.2,) * 40
        )
        draw = np.random.default_rng(seed + 999)
        priors = {f"S{each}": draw.normal(size=40 * size) for each in range(3)}
        shrunk += estimate_utility(simulation.trials, 40 * size, "shrunk", priors).explained > 0
    assert shrunk <= 1


def test_the_error_of_its_reliability_is_that_of_repetitions():
    said, errors = [], []
    for seed in range(40):
        simulation = simulate(counts=(300, 300), trials=600, per_class=1, share=0.4, seed=seed)
        found = estimate_utility(simulation.trials, 600, "shrunk", prior_of(simulation, 0.7, seed + 50))
        said.append(found.reliability)
        errors.append(found.reliability_stderr)
    told = np.isfinite(said)
    assert told.mean() > 0.8
    assert np.median(np.array(errors)[told]) == pytest.approx(np.array(said)[told].std(), rel=0.5)
