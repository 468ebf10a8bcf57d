"""Trials on features of untrained networks, beside plain loops over single networks and samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from goldore import ConvNetConfig, KernelRecipe, UtilityRecipe
from goldore.runs.job import complete_recipe
from goldore.training import embedding, kernel
from goldore.training.embedding import Untrained
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.kernel import KernelTrainer, networks_of, ridge, trials_at_once
from goldore.training.subsets import EvaluationSet
from goldore.trials.draws import Sweeps, make_strata
from goldore.trials.seeds import Stream, make_utility_trials

CPU = torch.device("cpu")


def setting(dataset, k=2, device=CPU, norm="instance", **fields):
    given = {"steps": 7, "lr": 0.05, "kernel": KernelRecipe(networks=3), **fields}
    recipe = UtilityRecipe(network=ConvNetConfig(depth=2, width=6, norm=norm), subset_per_class=k, **given)
    recipe = complete_recipe(recipe, dataset)
    arch = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean, recipe.std, device)
    return recipe, arch, data, make_strata(dataset.labels, dataset.num_classes, k, recipe.folds, 5)


def outcomes_of(dataset, numbers, **fields):
    recipe, arch, data, strata = setting(dataset, **fields)
    evaluation = EvaluationSet(*data.test)
    trainer = KernelTrainer(data, arch, recipe, strata, 5, evaluation, Execution())
    sweeps = Sweeps(strata, 5)
    members = np.stack([sweeps.subset(number) for number in numbers])
    return trainer.on_subsets(make_utility_trials(5, numbers, 1), members, strata.sizes, evaluation), members


def plain_features(arch, data, images):
    """Embeddings by single networks, side by side."""
    found = []
    for trial in make_utility_trials(5, range(3), 1):
        network = arch.plain()
        weights = arch.drawn(trial.stream(Stream.WEIGHTS))
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        network.eval()
        seen = []
        network.head.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        with torch.no_grad():
            network(data.normalize(images))
        found.append(seen[0])
    return torch.cat(found, dim=1) / 3**0.5


def expected_outcomes(logits, labels):
    logits = logits.double()
    found = {"accuracy": [], "logprob": [], "margin": []}
    for label in range(logits.shape[1]):
        of_class = logits[labels == label]
        others = of_class[:, [each for each in range(logits.shape[1]) if each != label]].amax(1)
        found["accuracy"].append(float((of_class[:, label] > others).double().mean()))
        found["logprob"].append(float(of_class.log_softmax(1)[:, label].mean()))
        found["margin"].append(float((of_class[:, label] - others).mean()))
    return found


@pytest.mark.parametrize("k", [1, 2])
def test_a_trial_trains_the_head_as_the_optimiser_does(dataset, k):
    """Step by step by torch's SGD with momentum and weight decay, from zero."""
    recipe, arch, data, _ = setting(dataset, k, weight_decay=0.02)
    outcomes, members = outcomes_of(dataset, range(4), k=k, weight_decay=0.02)
    seen = plain_features(arch, data, torch.from_numpy(dataset.images))
    tested = plain_features(arch, data, torch.from_numpy(dataset.test_images))
    for row, subset in enumerate(members):
        head = torch.nn.Linear(seen.shape[1], dataset.num_classes)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        optimizer = torch.optim.SGD(
            head.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        labels = torch.from_numpy(dataset.labels[subset])
        for _ in range(recipe.steps):
            optimizer.zero_grad()
            functional.cross_entropy(head(seen[subset]), labels).backward()
            optimizer.step()
        with torch.no_grad():
            expected = expected_outcomes(head(tested), torch.from_numpy(dataset.test_labels))
            loss = float(functional.cross_entropy(head(seen[subset]), labels))
        assert outcomes.train_loss[row] == pytest.approx(loss, rel=1e-3)
        for name, values in expected.items():  # the samples' features are kept in float16
            np.testing.assert_allclose(outcomes.by_class[name][row], values, rtol=2e-3, atol=2e-3)


def test_a_ridge_trial_is_a_ridge_regression_on_the_features(dataset):
    """In the space of features, where the bias is one more of them and has its ridge too."""
    recipe = KernelRecipe(fit="ridge", networks=3, ridge=0.3)
    outcomes, members = outcomes_of(dataset, range(4), kernel=recipe)
    _, arch, data, _ = setting(dataset)
    one = torch.ones(1, 1).double()
    seen, tested = (
        torch.cat([each, one.expand(len(each), 1)], dim=1)
        for each in (
            plain_features(arch, data, torch.from_numpy(images)).double()
            for images in (dataset.images, dataset.test_images)
        )
    )
    labels = torch.from_numpy(dataset.test_labels)
    for row, subset in enumerate(members):
        x = seen[subset]
        wanted = functional.one_hot(torch.from_numpy(dataset.labels[subset])).double() - 1 / 3
        strength = 0.3 * (x**2).sum(1).mean()
        weights = torch.linalg.solve(x.T @ x + strength * torch.eye(x.shape[1]), x.T @ wanted)
        expected = expected_outcomes(tested @ weights, labels)
        np.testing.assert_allclose(outcomes.by_class["accuracy"][row], expected["accuracy"], atol=1e-6)
        ratio = outcomes.by_class["margin"][row] / np.array(expected["margin"])
        np.testing.assert_allclose(ratio, ratio[0], rtol=0.03)  # all times the temperature


def test_the_temperature_of_ridge_trials_makes_the_best_logits(dataset, monkeypatch):
    recipe = KernelRecipe(fit="ridge", networks=3)
    best, _ = outcomes_of(dataset, range(32), kernel=recipe)
    for factor in (0.5, 2.0):
        monkeypatch.setattr(kernel, "_TEMPERATURES", kernel._TEMPERATURES[[-1]] * 0 + factor)
        other, _ = outcomes_of(dataset, range(32), kernel=recipe)
        assert other.by_class["logprob"].mean() < best.by_class["logprob"].mean()
        monkeypatch.undo()


def test_ridge_regressions_are_solved_for_each_trial():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 6, generator=random)
    found = ridge(x @ x.transpose(1, 2), torch.eye(4)[:, :2], 0.5)
    for features, coefficients in zip(x, found, strict=True):
        gram = features @ features.T
        wanted = torch.eye(4)[:, :2] - 0.5
        again = (gram + 0.5 * gram.diagonal().mean() * torch.eye(4)) @ coefficients
        torch.testing.assert_close(again, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fit", ["descent", "ridge"])
def test_a_trial_is_the_same_in_any_company(dataset, fit, monkeypatch):
    recipe = KernelRecipe(fit=fit, networks=3)
    together, _ = outcomes_of(dataset, range(6), kernel=recipe)
    monkeypatch.setattr(kernel, "_LOGITS", 7)  # few evaluation images at a time
    monkeypatch.setattr(embedding, "_CPU_IMAGES", 10)
    alone, _ = outcomes_of(dataset, [4], kernel=recipe)
    for name, values in alone.by_class.items():
        np.testing.assert_allclose(values[0], together.by_class[name][4], rtol=1e-4, atol=1e-5)


def test_norms_with_running_means_know_images_before_they_are_looked_at(dataset):
    """Else their embeddings would shrink with every block."""
    recipe, arch, data, _ = setting(dataset, norm="batch")
    trials = make_utility_trials(5, range(2), 1)
    found = Untrained(data, arch, recipe, trials, Execution()).of(data.images, torch.float32)
    network = arch.plain()
    weights = arch.drawn(trials[0].stream(Stream.WEIGHTS))
    known = {name: torch.from_numpy(value) for name, value in weights.items()}
    network.load_state_dict(known | {n: v for n, v in network.state_dict().items() if n not in known})
    seen = []
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network.train()(data.normalize(torch.from_numpy(dataset.images)))
    wanted = seen[0] / 2**0.5
    width = wanted.shape[1]
    assert len(dataset.images) <= 256  # all of them are known
    error = (found[:, :width] - wanted).norm() / wanted.norm()
    assert float(error) < 0.05


def test_wide_networks_are_few_and_narrow_ones_many(dataset):
    sizes = []
    for width in (2, 64, 512):
        arch = ConvNetConfig(depth=2, width=width).architecture(dataset.image_shape, dataset.num_classes)
        sizes.append(networks_of(KernelRecipe(), arch))
        assert networks_of(KernelRecipe(networks=5), arch) == 5
    assert sizes[0] == 16
    assert sizes[2] == 2
    assert sizes[0] > sizes[1] > sizes[2]


def test_as_many_trials_are_done_at_once_as_memory_is_meant_to_hold(dataset):
    _, arch, _, strata = setting(dataset)
    assert trials_at_once(KernelRecipe(), arch, strata, CPU) == 256
    wide = ConvNetConfig(depth=2, width=4096).architecture(dataset.image_shape, dataset.num_classes)
    assert trials_at_once(KernelRecipe(networks=16), wide, strata, CPU) < 10


def test_an_incomplete_recipe_is_no_recipe(dataset):
    recipe, arch, data, strata = setting(dataset)
    with pytest.raises(RuntimeError, match="kernel"):
        KernelTrainer(
            data, arch, replace(recipe, kernel=None), strata, 5, EvaluationSet(*data.test), Execution()
        )
