import pytest
import torch
from torch import nn

from goldore.networks.architecture import Layout
from goldore.networks.config import ConvNetConfig
from goldore.networks.convolution import CONVOLUTIONS, stacked_conv2d
from goldore.networks.stacked import StackedNetworks
from goldore.training.stepping import weight_draws
from goldore.training.tuning import layouts
from goldore.trials.seeds import make_trials
from tests.training.conftest import gradient_of

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


def distance(ours, theirs):
    """Relative, in the norm of all entries."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize(("shared", "padding"), [(False, 1), (True, 1), (True, 3)])
def test_every_way_is_that_of_separate_convolutions(convolution, shared, padding, dtype):
    torch.manual_seed(0)
    networks, channels, outputs = 3, 4, 6
    layers = [nn.Conv2d(channels, outputs, 3, padding=padding) for _ in range(networks)]
    images = torch.randn(5, channels if shared else networks * channels, 8, 10).to(dtype)
    pull = torch.randn(5, networks * outputs, 8 + 2 * padding - 2, 10 + 2 * padding - 2)
    weight, bias = (
        torch.stack([getattr(layer, name) for layer in layers]).detach().to(dtype).requires_grad_()
        for name in ("weight", "bias")
    )
    ours = images.clone().requires_grad_()
    result = stacked_conv2d(ours, weight, bias, padding, convolution)
    (result.float() * pull).sum().backward()

    theirs = images.float().requires_grad_()
    parts = [theirs] * networks if shared else theirs.split(channels, dim=1)
    expected = torch.cat([layer(part) for layer, part in zip(layers, parts, strict=True)], dim=1)
    (expected * pull).sum().backward()
    tolerance = TOLERANCE[dtype]
    assert result.dtype == dtype
    assert distance(result, expected) < tolerance
    assert distance(ours.grad, theirs.grad) < tolerance
    for gradient, name in ((weight.grad, "weight"), (bias.grad, "bias")):
        assert distance(gradient, torch.stack([getattr(each, name).grad for each in layers])) < tolerance


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("channels", [4, 12])
def test_without_a_bias_nothing_is_added(convolution, channels):
    images, weight = torch.randn(5, channels, 8, 8), torch.randn(3, 6, 4, 3, 3)
    found = stacked_conv2d(images, weight, None, 1, convolution)
    expected = stacked_conv2d(images, weight, torch.zeros(3, 6), 1, convolution)
    torch.testing.assert_close(found, expected)


CANDIDATES = layouts(ConvNetConfig().architecture((3, 32, 32), 10), torch.device("cpu"))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layout", CANDIDATES, ids=str)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_every_layout_is_that_of_separate_networks(layout, norm, dtype):
    """Logits, and the gradient, of three networks on images of their own, both in one type."""
    torch.manual_seed(0)
    architecture = ConvNetConfig(depth=2, width=8, norm=norm).architecture((3, 16, 16), 5)
    trials = make_trials(0, range(3))
    stacked = StackedNetworks(architecture, weight_draws(trials), torch.device("cpu"), layout)
    images = torch.randn(6, 3, 3, 16, 16)
    pull = torch.randn(3, 6, 5)
    logits = stacked(images.flatten(1, 2).to(dtype), training=True)
    (logits.float() * pull).sum().backward()
    tolerance = TOLERANCE[dtype]
    for row in range(3):
        network = architecture.plain()
        own = {name: values[row].detach() for name, values in stacked.parameters.items()}
        if norm == "instance":  # takes biases away; adding them would round, in bf16 by more than the bound
            own |= {name: torch.zeros_like(own[name]) for name in ("conv0.bias", "conv1.bias")}
        network.load_state_dict(own, strict=False)
        network.to(dtype)
        for module in network:
            if isinstance(module, nn.BatchNorm2d):
                module.float()  # as autocast has it
        expected = network(images[:, row].to(dtype))
        (expected.float() * pull[row]).sum().backward()
        assert distance(logits[row], expected) < tolerance
        ours, theirs = (
            torch.cat([gradient.double().flatten() for gradient in gradients])
            for gradients in (
                [gradient_of(stacked, name)[row] for name, _ in network.named_parameters()],
                [parameter.grad for parameter in network.parameters()],
            )
        )
        assert distance(ours, theirs) < tolerance


def test_the_candidates_are_different_and_leave_out_what_the_norm_forbids():
    assert len(set(CANDIDATES)) == 6
    assert Layout("matmul", channels_last=True) in CANDIDATES
    group = ConvNetConfig(norm="group").architecture((3, 32, 32), 10)
    assert all(not layout.channels_last for layout in layouts(group, torch.device("cpu")))
