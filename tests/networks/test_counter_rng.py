import numpy as np
import pytest
import torch

from goldore.networks.config import ConvNetConfig
from goldore.networks.counter_rng import splitmix64, uniform
from goldore.networks.stacked import StackedNetworks
from goldore.training.stepping import weight_draws
from goldore.trials.seeds import Stream, make_trials


def test_outputs_are_those_of_the_published_generator():
    """Of seed 1234567, as lists of test vectors for SplitMix64 have them; and by Python's integers."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix64(torch.tensor([1234567]), 4).numpy().view(np.uint64).tolist() == [known]
    mask = 2**64 - 1
    for seed in (0, 2**63 - 1):
        state, expected = seed, []
        for _ in range(5):
            state = (state + 0x9E3779B97F4A7C15) & mask
            mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
            expected.append(mixed ^ (mixed >> 31))
        assert splitmix64(torch.tensor([seed]), 5).numpy().view(np.uint64).tolist() == [expected]


def test_numbers_are_uniform_and_those_of_their_key():
    keys = torch.tensor([5, 6, -7])
    drawn = uniform(keys, 100_001)
    assert drawn.shape == (3, 100_001)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for row in drawn.numpy():
        counts = np.histogram(row, 50, (0, 1))[0]
        assert ((counts - 2000) ** 2 / 2000).sum() < 95  # chi-squared, 49 degrees: one in ten thousand
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.015
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 0.015
    assert torch.equal(uniform(keys[1:2], 10)[0], drawn[1, :10])


def test_networks_are_redrawn_as_they_are_drawn():
    """In the same memory, each by its own key, in the same range; norms stay."""
    architecture = ConvNetConfig(depth=2, width=32).architecture((3, 16, 16), 10)
    networks = StackedNetworks(architecture, weight_draws(make_trials(0, range(2))), torch.device("cpu"))
    places = {name: values.data_ptr() for name, values in networks.parameters.items()}
    networks.redraw(torch.tensor([1, 2]))
    first = {name: values.detach().clone() for name, values in networks.parameters.items()}
    drawn = architecture.drawn(make_trials(0, [0])[0].stream(Stream.WEIGHTS))
    for name, values in networks.parameters.items():
        assert values.data_ptr() == places[name]
        if name.startswith("norm"):
            assert np.array_equal(values[0].detach(), drawn[name])
        else:
            assert values.abs().max() <= architecture.initial_bounds()[name]
            assert not torch.equal(values[0], values[1])
            if values[0].numel() > 1000:
                assert float(values[0].detach().std()) == pytest.approx(drawn[name].std(), rel=0.05)
    networks.redraw(torch.tensor([3, 1]))
    for name, values in networks.parameters.items():
        assert torch.equal(values[1], first[name][0])
