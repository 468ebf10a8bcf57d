"""Utilities that train nothing on a card: the numbers of the CPU.

Without a card these run under its rules on the CPU (tests/cuda_rules.py).
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from goldore import ConvNetConfig, KernelRecipe, KernelUtilityRecipe, UtilityRecipe
from goldore.runs.evaluation import evaluation_sets
from goldore.runs.job import complete_recipe
from goldore.training.devices import running_on
from goldore.training.exact import ExactUtility
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.kernel import KernelTrainer
from goldore.trials.draws import Sweeps, make_strata
from goldore.trials.seeds import make_kernel_trials, make_utility_trials
from tests.conftest import make_dataset

pytestmark = pytest.mark.gpu
NETWORK = ConvNetConfig(depth=2, width=6)


@pytest.fixture
def dataset():
    """Noise: where classes are easily told apart every sample is as useful as any other."""
    easy, random = make_dataset(), np.random.default_rng(0)
    images, tests = (
        random.integers(0, 256, each.shape, dtype=np.uint8) for each in (easy.images, easy.test_images)
    )
    return replace(easy, images=images, test_images=tests)


def prepared(dataset, recipe, device):
    recipe = complete_recipe(recipe, dataset)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean, recipe.std, device)
    strata = make_strata(dataset.labels, dataset.num_classes, recipe.subset_per_class or 1, recipe.folds, 3)
    return recipe, architecture, data, strata, evaluation_sets(dataset, data, recipe, strata)


def kernel_outcomes(dataset, name, fit):
    device = torch.device(name)
    recipe = UtilityRecipe(
        network=NETWORK,
        steps=7,
        lr=0.05,
        subset_per_class=2,
        precision="float32",
        kernel=KernelRecipe(fit=fit, networks=3),
    )
    with running_on(device, deterministic=False):
        recipe, architecture, data, strata, evaluations = prepared(dataset, recipe, device)
        trainer = KernelTrainer(data, architecture, recipe, strata, 5, evaluations[0], Execution())
        sweeps, found = Sweeps(strata, 5), []
        for numbers in ([0, 1, 2], [3, 4]):
            members = np.stack([sweeps.subset(number) for number in numbers])
            trials = make_utility_trials(5, numbers, 1)
            found.append(trainer.on_subsets(trials, members, strata.sizes, evaluations[0]))
    return {key: np.concatenate([each.by_class[key] for each in found]) for key in found[0].by_class}


@pytest.mark.parametrize("fit", ["descent", "ridge"])
def test_kernel_trials_give_the_numbers_of_the_cpu(dataset, fit):
    here, there = kernel_outcomes(dataset, "cpu", fit), kernel_outcomes(dataset, "cuda", fit)
    for outcome in ("logprob", "margin"):
        np.testing.assert_allclose(there[outcome], here[outcome], rtol=1e-2, atol=2e-3)
    assert np.mean(np.abs(there["accuracy"] - here["accuracy"]) < 1e-6) > 0.9  # but for ties


def exact_utilities(dataset, name, k, split):
    device = torch.device(name)
    recipe = KernelUtilityRecipe(
        network=NETWORK, networks=2, subset_per_class=k, eval_split=split, precision="float32"
    )
    with running_on(device, deterministic=False):
        recipe, architecture, data, strata, evaluations = prepared(dataset, recipe, device)
        exact = ExactUtility(data, architecture, recipe, strata, evaluations, Execution())
        (trial,) = make_kernel_trials(3, [4])
        return exact(trial)


@pytest.mark.parametrize("split", ["test", "heldout"])
@pytest.mark.parametrize("k", [1, 3])
def test_the_exact_utility_is_that_of_the_cpu(dataset, k, split):
    here, there = (exact_utilities(dataset, name, k, split) for name in ("cpu", "cuda"))
    for field in ("values", "halves", "variances"):
        np.testing.assert_allclose(getattr(there, field), getattr(here, field), atol=2e-2)
    assert np.corrcoef(there.values, here.values)[0, 1] > 0.999
