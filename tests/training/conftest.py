"""What the tests of training share."""

from collections.abc import Iterator

import pytest
import torch

from goldore.scores.recorders import Mean, Observer
from goldore.training.devices import running_on


@pytest.fixture
def cuda(card) -> Iterator[torch.device]:
    """The first card, as a run uses it: the fastest kernels, float32 in full."""
    device = torch.device("cuda", 0)
    with running_on(device, deterministic=False):
        yield device


def mean_loss(name, epochs, networks, samples, device):
    """Observes the mean cross-entropy of each sample over some epochs."""
    mean = Mean(lambda seen: seen.cross_entropy, networks, samples, len(epochs), device)
    return Observer(name, epochs, mean)


def gradient_of(networks, name):
    """The gradient of a parameter; zero of a bias that a norm takes away, which autograd does not see."""
    parameter = networks.parameters[name]
    if parameter.grad is None:
        assert networks.architecture.config.norm == "instance"
        assert name.startswith("conv")
        assert name.endswith("bias")
        return torch.zeros_like(parameter)
    return parameter.grad
