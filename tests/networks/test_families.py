"""A network family is one module and one row: made in a copy of goldore, and run from its command line."""

import pytest

import goldore
from goldore import UsageError
from goldore.networks.config import ConvNetConfig, network_of
from tests.copies import changed_copy

MLP = '''
"""A perceptron with one hidden layer."""

import math
from dataclasses import dataclass
from typing import ClassVar

from goldore.networks.architecture import Architecture
from goldore.networks.config import NetworkConfig


@dataclass(frozen=True)
class MLPConfig(NetworkConfig):
    computed_by: ClassVar[str] = "goldore.networks.mlp:MLP"
    family: str = "mlp"
    hidden: int = 32

    def for_images(self, height, width):
        return self

    def describe(self):
        return f"MLP: {self.hidden} hidden units"


@dataclass(frozen=True)
class MLP(Architecture):
    @property
    def features(self):
        return self.config.hidden

    def body_shapes(self):
        inputs = math.prod(self.image_shape)
        return {"fc.weight": (self.features, inputs), "fc.bias": (self.features,)}

    def features_of(self, layout, parameters, running, images, *, training):
        weight = parameters["fc.weight"].to(images.dtype)
        own = images.reshape(len(images), -1, weight.shape[2]).transpose(0, 1)  # [E or 1, B, inputs]
        bias = parameters["fc.bias"].to(images.dtype).unsqueeze(1)
        return (own.expand(len(weight), -1, -1) @ weight.transpose(1, 2) + bias).relu()

    def forward_operations(self):
        return 2 * math.prod(self.image_shape) * self.features

    def activations(self):
        return self.features

    def plain(self):
        from collections import OrderedDict
        from torch import nn
        layers = [("flatten", nn.Flatten()), ("fc", nn.Linear(math.prod(self.image_shape), self.features))]
        layers += [("act", nn.ReLU()), ("head", nn.Linear(self.features, self.num_classes))]
        return nn.Sequential(OrderedDict(layers))
'''
ROW = '_OWN = "own"'
MORE = "from goldore.networks.mlp import MLPConfig\nFAMILIES['mlp'] = MLPConfig\n"
EQUAL = """
import torch
from goldore.networks.config import network_of
from goldore.networks.stacked import StackedNetworks
from goldore.training.stepping import weight_draws
from goldore.trials.seeds import Stream, make_trials
arch, trials = network_of("mlp,hidden=8").architecture((3, 4, 4), 5), make_trials(0, range(3))
stacked = StackedNetworks(arch, weight_draws(trials), torch.device("cpu"))
images = torch.randn(6, 9, 4, 4)
for row, trial in enumerate(trials):
    single = arch.plain()
    drawn = arch.drawn(trial.stream(Stream.WEIGHTS))
    single.load_state_dict({name: torch.from_numpy(values) for name, values in drawn.items()})
    expected = single(images[:, 3 * row : 3 * row + 3])
    torch.testing.assert_close(stacked(images)[row], expected)
"""


@pytest.fixture(scope="module")
def goldore_with_mlp(tmp_path_factory):
    """Run Python in a copy of goldore that has another family."""
    config = "goldore/networks/config.py"
    return changed_copy(
        tmp_path_factory.mktemp("copy"),
        added=[("goldore/networks/mlp.py", MLP)],
        edits=[(config, ROW, f"{MORE}{ROW}")],
    )


def test_stacked_networks_of_another_family_equal_separate_ones(goldore_with_mlp):
    goldore_with_mlp("-c", EQUAL)


def test_another_family_runs_end_to_end(goldore_with_mlp, tmp_path):
    out, keep = tmp_path / "s.h5", tmp_path / "keep.npy"
    options = ("--network", "mlp,hidden=16", "--trials", 2, "--epochs", 2, "--out", out)
    scored = goldore_with_mlp("-m", "goldore", "score", *options)
    assert "MLP: 16 hidden units" in scored.stderr
    assert "MLP: 16 hidden units" in goldore_with_mlp("-m", "goldore", "inspect", out).stdout
    goldore_with_mlp(
        "-m", "goldore", "prune", out, "--criterion", "LossInit_large", "--keep-ratio", 0.1, "--out", keep
    )
    assert len(goldore.load_indices(keep)) > 0
    with pytest.raises(goldore.GoldoreError, match="'mlp', which this goldore does not know"):
        goldore.load_scores(out)


def test_a_family_is_named_with_its_settings():
    assert network_of("convnet,width=64,norm=batch", depth=2) == ConvNetConfig(2, 64, "batch")
    for text, settings, said in (
        ("vgg", {}, "there is no network 'vgg'; choose convnet"),
        ("convnet,layers=3", {}, "the network convnet has no layers; it has activation, depth"),
        ("convnet,width", {}, "write NAME,KEY=VALUE"),
        ("convnet,width=wide", {}, "width of the network convnet cannot be 'wide'"),
        ("convnet,width=-5", {}, "`width` is -5; it must be 1 or more"),
        ("convnet,depth=2.5", {}, "depth of the network convnet cannot be 2.5"),
        ("convnet,norm=3", {}, "`norm` is 3; choose among instance"),
        ("convnet,width=64", {"width": 32}, "width of the network is given twice"),
    ):
        with pytest.raises(UsageError, match=said):
            network_of(text, **settings)
