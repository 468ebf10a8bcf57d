import dataclasses
import operator
import os
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from goldore.errors import UsageError
from goldore.networks.config import ConvNetConfig
from goldore.training import devices
from goldore.training.devices import describe, keep_freed_memory, resolve_device
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.stepping import Stepper
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.conftest import make_dataset
from tests.forked import FORKS


def test_auto_is_cuda_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert "CPU" in describe(resolve_device("cpu"))


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cuda:99"])
def test_devices_that_are_not_there_are_refused(name):
    with pytest.raises(UsageError, match="`device` is"):
        resolve_device(name)


def test_bf16_is_chosen_where_there_are_units_for_it(monkeypatch):
    flags = {"avx512f"}
    monkeypatch.setattr(devices, "_cpu_flags", lambda: flags)
    assert devices.default_precision(torch.device("cpu")) == "float32"
    flags.add("amx_bf16")
    assert devices.default_precision(torch.device("cpu")) == "bf16"
    for capability, expected in (((9, 0), "bf16"), ((7, 5), "float32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, known=capability: known)
        assert devices.default_precision(torch.device("cuda", 0)) == expected


@pytest.mark.parametrize("wanted", [True, False])
def test_a_card_is_made_current_and_its_kernels_are_chosen_and_put_back(monkeypatch, wanted):
    current = []

    @contextmanager
    def card(device):
        current.append(device)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", card)
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    with devices.running_on(torch.device("cuda", 1), deterministic=wanted):
        assert current == [torch.device("cuda", 1)]
        assert torch.are_deterministic_algorithms_enabled() is wanted
        assert torch.backends.cudnn.benchmark is not wanted
    assert (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark) == before
    assert current == []


TF32_SETTINGS = {
    "as it comes": "",
    "older": "cudnn.allow_tf32 = True; cuda.matmul.allow_tf32 = True",
    "older, off": "cudnn.allow_tf32 = False; cuda.matmul.allow_tf32 = False",
    "matmul precision": "torch.set_float32_matmul_precision('medium')",
    "newer, above all": "backends.fp32_precision = 'tf32'",
    "newer, one by one": "cudnn.conv.fp32_precision = 'tf32'; cuda.matmul.fp32_precision = 'tf32'",
    "both": "cudnn.allow_tf32 = False; backends.fp32_precision = 'tf32'",
}


@pytest.mark.parametrize("name", TF32_SETTINGS)
def test_float32_is_float32_whatever_is_set_and_the_settings_come_back(name):
    if not hasattr(torch.backends, "fp32_precision") and "fp32_precision" in TF32_SETTINGS[name]:
        pytest.skip("this torch has the older settings only")
    process = FORKS.Process(target=_check_full_float32, args=(TF32_SETTINGS[name],))
    process.start()
    process.join()
    assert process.exitcode == 0


def _check_full_float32(setting):
    backends = torch.backends
    exec(  # noqa: S102
        setting,
        {"torch": torch, "backends": backends, "cudnn": backends.cudnn, "cuda": backends.cuda},
    )
    before = _tf32_settings()
    with devices.full_float32():
        within = _tf32_settings()
    assert _tf32_settings() == before
    for place, value in within.items():
        if place.endswith("fp32_precision"):
            assert value == "ieee", place
    if "older" in (name for name, text in TF32_SETTINGS.items() if text == setting):
        assert within["cudnn.allow_tf32"] is within["cuda.matmul.allow_tf32"] is False


def _tf32_settings():
    places = ["cudnn.allow_tf32", "cuda.matmul.allow_tf32"]
    if hasattr(torch.backends, "fp32_precision"):
        kinds = ("cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.conv", "mkldnn.rnn", "mkldnn.matmul")
        places += [f"{kind}.fp32_precision" for kind in kinds]
    found = {}
    for place in places:
        try:
            found[place] = operator.attrgetter(place)(torch.backends)
        except RuntimeError:  # torch does not read the older settings where the newer ones say otherwise
            found[place] = "cannot be read"
    return found


def test_cublas_is_told_before_it_starts_or_the_user_is(monkeypatch):
    cuda = torch.device("cuda", 0)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(UsageError, match="before CUDA is used"):
        devices.prepare_determinism(cuda)
    devices.prepare_determinism(torch.device("cpu"))
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    devices.prepare_determinism(cuda)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_keeping_freed_memory_does_no_harm():
    keep_freed_memory()
    assert torch.ones(1000, 1000).sum() == 10**6


class Float64Seen(TorchDispatchMode):
    """Notes whether anything gives a tensor of float64."""

    seen = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = function(*args, **(kwargs or {}))
        self.seen |= isinstance(given, torch.Tensor) and given.dtype == torch.float64
        return given


@pytest.mark.parametrize("able", [True, False])
def test_a_step_computes_in_float64_only_where_the_device_does(monkeypatch, able):
    monkeypatch.setitem(devices.ABILITIES, "cpu", dataclasses.replace(devices.ABILITIES["cpu"], float64=able))
    dataset, cpu = make_dataset(), torch.device("cpu")
    recipe = LossRecipe(network=ConvNetConfig(depth=1, width=4), mean=(0.5,), std=(0.5,))
    data = DeviceDataset(dataset, (0.5,), (0.5,), cpu)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    with Float64Seen() as noted:
        step = Stepper(architecture, recipe, make_trials(0, range(2)), data, Execution())
        step(*data.batch(torch.arange(8).view(4, 2)))
    assert noted.seen is able
    assert torch.isfinite(step.loss_sum).all()
