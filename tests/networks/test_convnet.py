import itertools

import numpy as np
import pytest
import torch

from goldore.networks import convnet
from goldore.networks.config import ConvNetConfig
from goldore.networks.stacked import StackedNetworks
from goldore.training.stepping import weight_draws
from goldore.trials.seeds import Stream, make_trials
from tests.training.conftest import gradient_of

CPU = torch.device("cpu")


def architecture(shape=(3, 16, 16), classes=5, **config):
    network = ConvNetConfig(**{"width": 8, "depth": 2, **config})
    return network.architecture(shape, classes)


@pytest.mark.parametrize(
    ("shape", "classes", "parameters"),
    [((3, 32, 32), 10, 320_010), ((1, 28, 28), 10, 317_706), ((3, 32, 32), 100, 504_420)],
)
def test_parameter_counts_are_those_of_dataset_condensation(shape, classes, parameters):
    default = ConvNetConfig().architecture(shape, classes)
    assert default.num_parameters() == parameters
    assert sum(each.numel() for each in default.plain().parameters()) == parameters


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("norm", "activation", "pooling"),
    [
        *itertools.product(["instance", "batch", "layer", "group", "none"], ["relu"], ["avg"]),
        *itertools.product(["instance"], ["leakyrelu", "sigmoid", "swish"], ["avg"]),
        ("instance", "relu", "max"),
        ("layer", "swish", "none"),
    ],
)
def test_stacked_networks_equal_separate_ones_in_value_and_gradient(norm, activation, pooling, training):
    # In float64: in float32 a value can round to the other side of the activation's or pooling's kink.
    torch.manual_seed(0)
    shape = (1, 28, 28) if norm == "layer" else (3, 16, 16)
    arch = architecture(shape, norm=norm, activation=activation, pooling=pooling)
    trials = make_trials(5, range(3))
    stacked = StackedNetworks(arch, weight_draws(trials), CPU)
    stacked.parameters = {
        name: parameter.detach().double().requires_grad_() for name, parameter in stacked.parameters.items()
    }
    stacked.running = [(mean.double(), variance.double()) for mean, variance in stacked.running]
    images = torch.randn(6, 3 * shape[0], *shape[1:], dtype=torch.float64)
    logits = stacked(images, training=training)
    logits.square().sum().backward()
    for row, trial in enumerate(trials):
        single = arch.plain().train(training)
        drawn = {
            name: torch.from_numpy(value) for name, value in arch.drawn(trial.stream(Stream.WEIGHTS)).items()
        }
        single.load_state_dict(drawn, strict=False)
        single.double()
        expected = single(images[:, row * shape[0] : (row + 1) * shape[0]])
        expected.square().sum().backward()
        torch.testing.assert_close(logits[row], expected, rtol=1e-11, atol=1e-12)
        # Relative to the network's largest gradient: that of a bias before a norm is zero but for rounding.
        scale = max(parameter.grad.abs().max() for parameter in single.parameters())
        for name, parameter in single.named_parameters():
            gradient = gradient_of(stacked, name)[row]
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-11, atol=float(1e-11 * scale))


def test_a_bias_that_instance_norm_takes_away_is_not_added(monkeypatch):
    given = []
    plain = convnet.stacked_conv2d
    monkeypatch.setattr(
        convnet, "stacked_conv2d", lambda *arguments: given.append(arguments[2]) or plain(*arguments)
    )
    for norm, added in (("instance", False), ("batch", True), ("group", True), ("none", True)):
        given.clear()
        networks = StackedNetworks(architecture(norm=norm), weight_draws(make_trials(0, range(2))), CPU)
        networks(torch.randn(2, 6, 16, 16))
        assert [each is not None for each in given] == [added] * len(given)


def test_batch_norm_keeps_separate_running_statistics():
    arch = architecture(norm="batch")
    trials = make_trials(0, range(2))
    stacked = StackedNetworks(arch, weight_draws(trials), CPU)
    images = torch.randn(8, 6, 16, 16)
    stacked(images, training=True)
    for row, trial in enumerate(trials):
        single = arch.plain()
        drawn = {
            name: torch.from_numpy(value) for name, value in arch.drawn(trial.stream(Stream.WEIGHTS)).items()
        }
        single.load_state_dict(drawn, strict=False)
        single.train()(images[:, 3 * row : 3 * row + 3])
        expected = single.eval()(images[:, :3])
        torch.testing.assert_close(stacked(images[:, :3])[row], expected, rtol=1e-4, atol=1e-5)


def test_a_shared_batch_equals_the_same_batch_for_each():
    stacked = StackedNetworks(architecture(), weight_draws(make_trials(0, range(4))), CPU)
    images = torch.randn(5, 3, 16, 16)
    torch.testing.assert_close(stacked(images), stacked(images.repeat(1, 4, 1, 1)), rtol=1e-5, atol=1e-6)


def test_networks_never_mix():
    stacked = StackedNetworks(architecture(norm="layer"), weight_draws(make_trials(0, range(3))), CPU)
    images = torch.randn(4, 9, 16, 16)
    before = stacked(images)
    images[:, 3:6] = float("nan")
    after = stacked(images)
    assert after[1].isnan().all()
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[2], before[2])


def test_initial_weights_follow_pytorchs_default():
    arch = architecture((3, 32, 32), width=64, depth=3)
    drawn = arch.drawn(make_trials(0, [0])[0].stream(Stream.WEIGHTS))
    for name, layer in (("conv1", 64 * 9), ("head", arch.features)):
        bound = layer**-0.5
        weight = drawn[f"{name}.weight"]
        assert np.abs(weight).max() <= bound
        assert np.abs(drawn[f"{name}.bias"]).max() <= bound
        assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert (drawn["norm0.weight"] == 1).all()
    assert (drawn["norm0.bias"] == 0).all()
    assert all(value.dtype == np.float32 for value in drawn.values())


def test_a_trials_weights_do_not_depend_on_the_others():
    arch = architecture()
    alone = StackedNetworks(arch, weight_draws(make_trials(9, [2])), CPU)
    together = StackedNetworks(arch, weight_draws(make_trials(9, range(4))), CPU)
    for name, parameter in alone.parameters.items():
        assert torch.equal(parameter[0], together.parameters[name][2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_head_has_the_precision_of_float32_at_the_least(dtype):
    """Logits of bf16 would tie; those of one image in a hundred do."""
    networks = StackedNetworks(architecture((3, 16, 16)), weight_draws(make_trials(0, range(2))), CPU)
    images = torch.randn(50, 6, 16, 16, generator=torch.Generator().manual_seed(0))
    logits = networks(images.to(dtype))
    assert logits.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    assert (logits != logits.bfloat16()).float().mean() > 0.95  # one in thousands is a bf16 by chance
