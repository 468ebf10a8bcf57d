"""What the tests of training share."""

from collections.abc import Iterator

import pytest
import torch

from goldore.devices import running_on


@pytest.fixture
def cuda(card) -> Iterator[torch.device]:
    """The first card, as a run uses it: the fastest kernels, float32 in full."""
    device = torch.device("cuda", 0)
    with running_on(device, deterministic=False):
        yield device
