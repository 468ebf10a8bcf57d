"""Studies on a card are those of the CPU. Without a card these run under its rules (tests/cuda_rules.py)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from goldore.runs.job import complete_recipe
from goldore.studies.judges import Judges
from goldore.studies.matching import Matcher
from goldore.studies.pool import Pool
from goldore.studies.studying import study
from goldore.training.devices import running_on
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.trials.seeds import study_judge
from tests.studies.conftest import RECIPE

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("error:a CUDA graph cannot be captured")]
CPU = torch.device("cpu")
CLOSE = {"rtol": 1e-2, "atol": 1e-3}


@pytest.fixture
def cuda(card):
    device = torch.device("cuda", 0)
    with running_on(device, deterministic=False):
        yield device


def on(device, data):
    recipe = complete_recipe(replace(RECIPE, lr=0.05), data)
    architecture = recipe.network.architecture(data.image_shape, data.num_classes)
    return DeviceDataset(data, recipe.mean, recipe.std, device), architecture, recipe


@pytest.mark.parametrize("method", ["dm", "dc"])
def test_distilled_images_are_those_of_the_cpu(cuda, data, method):
    order = np.random.default_rng(0).permutation(data.num_samples)
    sets = np.zeros((2, data.num_samples), dtype=bool)
    sets[0, order[:60]] = sets[1] = True
    starts = np.stack(
        [np.stack([np.flatnonzero(row & (data.labels == label))[:2] for label in range(3)]) for row in sets]
    )
    found = []
    for device in (CPU, cuda):
        device_data, architecture, recipe = on(device, data)
        matcher = Matcher(
            device_data, architecture, method, recipe.match(method), ("crop",), "float32", Execution()
        )
        pool = Pool(sets, data.labels, 3, 4)
        found.append(matcher(np.random.SeedSequence(3), pool, [(np.arange(2), starts)])[0].cpu())
    torch.testing.assert_close(*found, **CLOSE)


def test_judges_replay_graphs_and_say_what_they_say_on_the_cpu(cuda, data):
    """Groups of one size use the same memory, and learning rates change on the way."""
    images = torch.randn(2, 3, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    kept = [np.arange(60), np.arange(30, 90)]
    found = []
    for device in (CPU, cuda):
        device_data, architecture, recipe = on(device, data)
        judges = Judges(data, device_data, architecture, recipe, Execution(graph=device != CPU))
        first = judges.on_images(study_judge(0, 0, 0), images.to(device))
        second = judges.on_images(study_judge(0, 0, 1), images.to(device))
        subsets = judges.on_subsets(study_judge(0, 0, 0), kept)
        found.append(np.stack([first, second, subsets]))
    np.testing.assert_allclose(*found, atol=0.11)  # one test image of a class


def test_a_whole_study_runs_on_a_card(card, data, scored):
    result = study(
        scored,
        dataset=data,
        budget=RECIPE,
        device="cuda",
        seeds=1,
        distiller="dm,dc,none",
        criterion="LossInit_large",
        keep_ratio="0.5",
    )
    assert len(result) == 9 + 2
    assert not any(run.failed for run in result.runs)
