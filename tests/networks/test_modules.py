"""Torch modules as proxy networks: equal to plain training, and refused in a sentence."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

import goldore
from goldore import LossRecipe, UsageError, UtilityRecipe
from goldore.networks.config import make_network, network_of
from goldore.networks.stacked import StackedNetworks
from goldore.runs.job import complete_recipe
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.reference import train_one
from goldore.training.stepping import Stepper, weight_draws
from goldore.trials.seeds import Stream, make_trials
from tests.conftest import make_dataset

OWN = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, channels, classes, bias=True):
        super().__init__()
        self.first = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Linear(6 * 16, classes, bias=bias)

    def forward(self, images):
        x = torch.relu(self.norm(self.first(images)))
        return self.last(torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))

def network(channels, classes):
    return Own(channels, classes)

def unbiased(channels, classes):
    return Own(channels, classes, bias=False)

def linear(channels, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, classes))

def chance(channels, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 20), nn.Dropout(0.5), nn.Linear(20, classes))

def softmax(channels, classes):
    return nn.Sequential(Own(channels, classes), nn.Softmax(1))

def hidden(channels, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, classes + 1))

def convolution(channels, classes):
    return nn.Sequential(nn.Conv2d(channels, classes, 8), nn.Flatten())

def fails(channels, classes):
    return nn.Linear(channels, classes)

def other(channels, classes):
    return channels

class Cosine(nn.Linear):
    def forward(self, x):
        return 10 * nn.functional.linear(nn.functional.normalize(x), nn.functional.normalize(self.weight))

def cosine(channels, classes):
    return nn.Sequential(nn.Flatten(), Cosine(channels * 64, classes))

class Squashed(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.fc = nn.Linear(channels * 64, classes)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images):
        return torch.tanh(self.fc(images.flatten(1)))

def squashed(channels, classes):
    return Squashed(channels, classes)

def normed(channels, classes):
    head = torch.nn.utils.parametrizations.weight_norm(nn.Linear(channels * 64, classes))
    return nn.Sequential(nn.Flatten(), head)

def tied_head(channels, classes):
    last = nn.Linear(channels * 64, classes)
    first = nn.Linear(channels * 64, classes)
    last.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.Linear(classes, channels * 64), last)

class Counting(Own):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images):
        self.seen = self.seen + 1
        return super().forward(images)

def counting(channels, classes):
    return Counting(channels, classes)

class Twofold(Own):
    def forward(self, images):
        out = super().forward(images)
        return (out, out) if self.training else out

def twofold(channels, classes):
    return Twofold(channels, classes)

class Tied(nn.Module):
    # a layer whose weights another one shares, and the last layer made first
    def __init__(self, channels, classes):
        super().__init__()
        self.last = nn.Linear(64, classes)
        self.a, self.b = nn.Linear(channels * 64, 64), nn.Linear(64, 64)
        self.c = nn.Linear(64, 64)
        self.c.weight = self.b.weight

    def forward(self, images):
        x = torch.relu(self.a(images.flatten(1)))
        return self.last(torch.relu(self.c(torch.relu(self.b(x)))))

def tied(channels, classes):
    return Tied(channels, classes)

def frozen(channels, classes):
    made = Own(channels, classes)
    made.first.requires_grad_(False)
    return made

def single(channels, classes):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(channels * 64), nn.Linear(channels * 64, classes))

number = 3
"""
RECIPE = {
    "epochs": 3,
    "init_epochs": 1,
    "converge_epochs": 1,
    "batch_size": 16,
    "lr": 0.0005,
    "precision": "float32",
}
NO_HEAD = "must end with a plain torch.nn.Linear of 3 outputs, one a class, and give its output"
NETWORKS = (
    "own_networks:network",
    "own_networks:unbiased",
    "own_networks:linear",
    "own_networks:tied",
    "own_networks:frozen",
    "resnet18,width=4,norm=batch",
    "resnet18,width=4,norm=instance",
    "resnet18,width=4,norm=group",
)


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("own_networks", None)


@pytest.mark.parametrize("network", NETWORKS)
def test_trials_equal_plain_training(network, tmp_path):
    dataset = make_dataset(side=8 if "own" in network else 32, channels=3)
    recipe = LossRecipe(network=network_of(network), **RECIPE)
    file = goldore.score(
        dataset,
        scores="LossInit,LossConverge,GraNdLast",
        trials=2,
        recipe=recipe,
        device="cpu",
        out=tmp_path / "s.h5",
    )
    complete = complete_recipe(recipe, dataset)
    architecture = complete.network.architecture(dataset.image_shape, dataset.num_classes)
    labels = torch.from_numpy(dataset.labels)
    for name, epoch in (("LossInit", 1), ("LossConverge", 3)):
        plain = np.zeros(len(labels))
        for trial in make_trials(0, range(2)):
            logits = torch.from_numpy(train_one(dataset, architecture, complete, trial)[epoch])
            plain += nn.functional.cross_entropy(logits.double(), labels, reduction="none").numpy() / 2
        np.testing.assert_allclose(file.scores[name].values, plain, rtol=5e-3, atol=1e-3)
    assert np.isfinite(file.scores["GraNdLast"].values).all()
    assert file.loss_trials.recipe == goldore.load_scores(tmp_path / "s.h5").loss_trials.recipe


@pytest.mark.parametrize("network", NETWORKS)
def test_several_at_once_equal_separate_ones(network):
    side = 8 if "own" in network else 16
    architecture = network_of(network).architecture((2, side, side), 5)
    trials = make_trials(0, range(3))
    stacked = StackedNetworks(architecture, weight_draws(trials), torch.device("cpu"))
    images = torch.randn(4, 6, side, side, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        together = stacked(images, training=training)
        for row, trial in enumerate(trials):
            single = architecture.plain().train()
            drawn = architecture.drawn(trial.stream(Stream.WEIGHTS))
            single.load_state_dict(
                {name: torch.from_numpy(value) for name, value in drawn.items()}, strict=False
            )
            own = images[:, 2 * row : 2 * row + 2]
            single(own)
            expected = single(own) if training else single.eval()(own)
            torch.testing.assert_close(together[row], expected, rtol=1e-4, atol=1e-4)
    stacked.restart(weight_draws(trials))
    again = StackedNetworks(architecture, weight_draws(trials), torch.device("cpu"))
    torch.testing.assert_close(stacked(images), again(images))


def test_compiling_changes_nothing_but_rounding(tmp_path):
    dataset = make_dataset(side=8, channels=3)
    network = network_of("own_networks:network")
    about = {"recipe": LossRecipe(network=network, **RECIPE | {"lr": 0.01})}
    first, second = (
        goldore.score(
            dataset,
            scores="LossInit",
            trials=1,
            compile_mode=mode,
            device="cpu",
            out=tmp_path / f"{mode}.h5",
            **about,
        )
        for mode in ("off", "on")
    )
    values = [each.scores["LossInit"].values for each in (first, second)]
    np.testing.assert_allclose(*values, rtol=2e-2, atol=2e-2)


def test_bf16_is_computed_in_bf16_and_the_head_in_full():
    architecture = make_network("resnet18", width=8).architecture((3, 16, 16), 5)
    stacked = StackedNetworks(architecture, weight_draws(make_trials(0, range(2))), torch.device("cpu"))
    images = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    full, low = stacked(images), stacked(images.bfloat16())
    assert low.dtype == torch.float32
    assert stacked.features(images.bfloat16()).dtype == torch.bfloat16
    assert not torch.equal(full, low)
    torch.testing.assert_close(low, full, rtol=0.05, atol=0.05)


def test_chance_within_a_network_is_the_trials_own(tmp_path):
    dataset = make_dataset(side=8, channels=1)
    recipe = LossRecipe(network=network_of("own_networks:chance"), **RECIPE)
    about = {"scores": "LossConverge", "recipe": recipe, "device": "cpu"}
    whole = goldore.score(dataset, trials=3, out=tmp_path / "whole.h5", **about)
    torch.rand(7)  # nothing else decides it
    goldore.score(dataset, trials=1, out=tmp_path / "grown.h5", **about)
    grown = goldore.score(dataset, trials=3, out=tmp_path / "grown.h5", **about)
    assert grown.scores["LossConverge"].values.tolist() == whole.scores["LossConverge"].values.tolist()


def test_other_kinds_of_trials_take_them(tmp_path):
    dataset = make_dataset(side=8, channels=3, counts=(12, 12, 12), tests=30)
    network = make_network("resnet18", width=4)
    file = goldore.score(
        dataset,
        scores="MonteCarlo,KernelUtility,HeldOutLoss",
        trials=1,
        fold_trials=1,
        fold=goldore.FoldRecipe(network=network, folds=2, **RECIPE),
        utility=UtilityRecipe(network=network, steps=2, subset_per_class=2, precision="float32"),
        kernel_utility=goldore.KernelUtilityRecipe(network=network, networks=2, precision="float32"),
        utility_trials=20,
        device="cpu",
        out=tmp_path / "s.h5",
    )
    assert set(file.score_names) == {"MonteCarlo", "KernelUtility", "HeldOutLoss", "Memorization"}
    distilled = UtilityRecipe(
        network=network, steps=2, subset_per_class=2, distill=goldore.DistillRecipe(distill_steps=2)
    )
    with pytest.raises(UsageError, match="distilling draws new ones in every step; use the network convnet"):
        goldore.score(
            dataset,
            scores="MonteCarlo",
            utility=distilled,
            utility_trials=20,
            device="cpu",
            out=tmp_path / "d.h5",
        )


@pytest.mark.parametrize(
    ("network", "says"),
    [
        *((f"own_networks:{name}", NO_HEAD) for name in ("softmax", "hidden", "convolution")),
        *((f"own_networks:{name}", NO_HEAD) for name in ("cosine", "squashed", "normed")),
        ("own_networks:tied_head", "the weights of its last layer .1.weight, 3.weight.; give it its own"),
        ("own_networks:counting", "another tensor in place of its buffer seen; change it in place"),
        ("own_networks:twofold", "gives tuple in training; it must give a tensor of logits"),
        ("own_networks:single", "last batch of a single image, fails .*choose another `batch_size`"),
        ("torchvision,model=vgg11", "fails .*; take larger images"),
        ("own_networks:fails", "network own_networks:fails fails .RuntimeError: .*; mend it"),
        ("own_networks:other", "own_networks:other gives int; it must give a torch.nn.Module"),
        ("own_networks:number", "the network own_networks:number is no function"),
        ("own_networks:none", "the network own_networks:none cannot be imported"),
        ("own_networks:network,width=3", "own_networks:network has no settings; leave width out"),
        ("resnet18,width=0", "`width` is 0"),
        ("resnet18,width=6,norm=group", "`width` is 6; .* a multiple of 4"),
        ("resnet18,norm=instance", "leave the last norm a single pixel; use `norm` batch or group"),
        ("resnet18,norm=layer", "norm.*'layer'"),
        ("torchvision,model=resnet19", "torchvision has no classifier 'resnet19'; did you mean resnet1"),
        (
            "resnet",
            "there is no network 'resnet'; choose convnet, resnet18, torchvision or package.module:function",
        ),
    ],
)
def test_what_cannot_be_a_network_is_refused_in_one_sentence(network, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        goldore.score(
            make_dataset(side=8, channels=3, counts=(20, 17, 12)),  # the last batch of 16 has one
            scores="LossInit",
            trials=1,
            recipe=LossRecipe(network=network_of(network), **RECIPE),
            device="cpu",
            out=tmp_path / "s.h5",
        )
    assert not (tmp_path / "s.h5").exists()


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small"])
def test_torchvisions_take_images_of_any_number_of_channels(model):
    architecture = make_network("torchvision", model=model).architecture((1, 32, 32), 4)
    assert architecture.plain()(torch.rand(2, 1, 32, 32)).shape == (2, 4)
    assert architecture.forward_operations() > 1e6
    assert architecture.activations() > 1e4


@pytest.mark.parametrize("network", ["own_networks:frozen", "torchvision,model=googlenet"])
def test_a_training_step_moves_what_is_to_be_trained(network):
    dataset = make_dataset(side=8 if "own" in network else 64, channels=3)
    recipe = complete_recipe(LossRecipe(network=network_of(network), **RECIPE | {"lr": 0.1}), dataset)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean, recipe.std, torch.device("cpu"))
    stepper = Stepper(architecture, recipe, make_trials(0, range(1)), data, Execution())
    before = {name: each.detach().clone() for name, each in stepper.networks.parameters.items()}
    stepper(*data.batch(torch.arange(8)[:, None]))
    after = stepper.networks.parameters
    moved = {name for name, each in after.items() if not torch.equal(each, before[name])}
    assert set(before) - moved == architecture.frozen()
    assert architecture.frozen() == ({"body.first.weight", "body.first.bias"} if "own" in network else set())


def test_costs_are_those_of_the_layers():
    architecture = network_of("own_networks:linear").architecture((1, 8, 8), 5)
    assert architecture.forward_operations() == 2 * 64 * 5
    assert architecture.num_parameters() == 64 * 5 + 5
    assert architecture.features == 64
