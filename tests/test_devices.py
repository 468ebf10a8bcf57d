import pytest
import torch

from goldore.devices import choose_ensemble_size, describe, keep_freed_memory, resolve_device
from goldore.ensemble.convnet import Architecture
from goldore.errors import UsageError
from goldore.recipe import ConvNetConfig


def test_auto_is_cuda_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert "CPU" in describe(resolve_device("cpu"))


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cuda:99"])
def test_devices_that_are_not_there_are_refused(name):
    with pytest.raises(UsageError, match="--device is"):
        resolve_device(name)


def test_a_cpu_trains_one_network_at_a_time():
    architecture = Architecture(ConvNetConfig(depth=3), (3, 32, 32), 10)
    assert choose_ensemble_size(architecture, 256, 10, torch.device("cpu")) == 1


@pytest.mark.parametrize(("free_gib", "expected"), [(140, 10), (8, 6), (0.1, 1)])
def test_cuda_trains_as_many_as_memory_holds(monkeypatch, free_gib, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free_gib * 2**30), 0))
    architecture = Architecture(ConvNetConfig(depth=3), (3, 32, 32), 10)
    assert choose_ensemble_size(architecture, 256, 10, torch.device("cuda", 0)) == expected


def test_keeping_freed_memory_does_no_harm():
    keep_freed_memory()
    assert torch.ones(1000, 1000).sum() == 10**6
