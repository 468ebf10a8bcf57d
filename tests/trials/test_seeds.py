import numpy as np
import pytest

from goldore.trials.seeds import MAX_SEED, Stream, make_trials


def test_a_trial_depends_on_seed_and_number_alone():
    assert make_trials(7, [3])[0] == make_trials(7, range(10))[3]
    assert make_trials(7, [3])[0].seed != make_trials(8, [3])[0].seed
    seeds = {trial.seed for base in (0, 1, MAX_SEED) for trial in make_trials(base, range(200))}
    assert len(seeds) == 600


def test_the_derivation_of_seeds_is_frozen():
    # A change here would silently make old score files impossible to continue.
    assert [trial.seed for trial in make_trials(0, range(2))] == [8668861027912758289, 4881901421217228719]


@pytest.mark.parametrize("stream", Stream)
def test_streams_restart_and_differ(stream):
    trial = make_trials(0, [0])[0]
    first = trial.stream(stream).random(5)
    assert np.array_equal(first, trial.stream(stream).random(5))
    others = [other for other in Stream if other is not stream]
    assert not any(np.array_equal(first, trial.stream(other).random(5)) for other in others)
