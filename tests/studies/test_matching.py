"""Distilling many sets at once against a plain loop over cells and classes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from goldore.networks.config import ConvNetConfig
from goldore.studies.matching import Matcher
from goldore.studies.pool import Pool
from goldore.training.augmentation import augment, draw
from goldore.training.distill import gradient_distance
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.trials import MatchRecipe
from goldore.trials.seeds import MAX_SEED

CPU = torch.device("cpu")
SEED = np.random.SeedSequence(5, spawn_key=(1,))
IPC = 2


@pytest.fixture
def setting(data):
    """The dataset, its architecture, three nested sets and the images that two cells start from."""
    architecture = ConvNetConfig(width=4, depth=1).architecture(data.image_shape, data.num_classes)
    order = np.random.default_rng(0).permutation(data.num_samples)
    sets = np.zeros((3, data.num_samples), dtype=bool)
    for row, size in zip(sets, (60, 90, data.num_samples), strict=True):
        row[order[:size]] = True
    which = np.array([0, 2])
    starts = np.stack(
        [
            np.stack([np.flatnonzero(sets[each] & (data.labels == label))[:IPC] for label in range(3)])
            for each in which
        ]
    )
    return DeviceDataset(data, (0.4,), (0.2,), CPU), architecture, sets, (which, starts)


def run(
    setting,
    method,
    *,
    steps=2,
    size=1000,
    augmentations=("crop", "color"),
    start="real",
    sets=None,
    cells=None,
):
    device_data, architecture, all_sets, all_cells = setting
    sets, cells = all_sets if sets is None else sets, cells or all_cells
    recipe = MatchRecipe(match_steps=steps, match_lr=0.5, match_batch=size, start=start)
    pool = Pool(sets, device_data.labels.numpy(), 3, size)
    matcher = Matcher(device_data, architecture, method, recipe, augmentations, "float32", Execution())
    return matcher, matcher(SEED, pool, [cells])[0]


def plain_network(architecture, key):
    """The random network of a step, as ordinary modules."""
    from goldore.networks.stacked import StackedNetworks

    stacked = StackedNetworks(architecture, [np.random.default_rng(0)], CPU)
    stacked.redraw(torch.tensor([key]))
    network = architecture.plain()
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(stacked.parameters[name][0])
    return network


def by_a_plain_loop(setting, method, steps=2, augmentations=("crop", "color")):
    """Each cell and class by itself, on all images of its set, as the papers write it."""
    device_data, architecture, sets, (which, starts) = setting
    labels = device_data.labels.numpy()
    images = [
        [device_data.normalize(device_data.images.take(torch.from_numpy(rows))) for rows in cell]
        for cell in starts
    ]
    velocity = [[torch.zeros_like(each) for each in cell] for cell in images]
    for step in range(steps):
        random = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(1, 1, step)))
        network = plain_network(architecture, int(random.integers(MAX_SEED)))
        augmentation = draw(augmentations, random)
        body = network[:-1]
        weights = [value for name, value in network.named_parameters() if value.ndim > 1]
        for cell, each in enumerate(which):
            for label in range(3):
                rows = torch.from_numpy(np.flatnonzero(sets[each] & (labels == label)))
                real = device_data.normalize(device_data.images.take(rows))
                own = images[cell][label].clone().requires_grad_()
                if method == "dm":
                    wanted = body(augment(real, augmentation)).mean(0).detach()
                    distance = ((body(augment(own, augmentation)).mean(0) - wanted) ** 2).sum()
                else:
                    target = [torch.full((len(shown),), label) for shown in (real, own)]
                    wanted = torch.autograd.grad(F.cross_entropy(network(real), target[0]), weights)
                    loss = F.cross_entropy(network(own), target[1])
                    given = torch.autograd.grad(loss, weights, create_graph=True)
                    distance = sum(
                        gradient_distance(a[None], b[None]) for a, b in zip(given, wanted, strict=True)
                    )
                (gradient,) = torch.autograd.grad(distance, own)
                velocity[cell][label].mul_(0.5).add_(gradient)
                images[cell][label] = images[cell][label] - 0.5 * IPC * velocity[cell][label]
    return torch.stack([torch.stack(cell) for cell in images])


@pytest.mark.parametrize("method", ["dm", "dc"])
def test_all_cells_at_once_are_each_cell_by_itself(setting, method):
    _, found = run(setting, method)
    assert found.shape == (2, 3, IPC, 1, 8, 8)
    torch.testing.assert_close(found, by_a_plain_loop(setting, method), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["dm", "dc"])
def test_parts_make_no_difference(setting, method):
    matcher, found = run(setting, method)
    matcher._at_once = 3
    device_data, _, sets, cells = setting
    again = matcher(SEED, Pool(sets, device_data.labels.numpy(), 3, 1000), [cells])[0]
    torch.testing.assert_close(again, found, rtol=1e-3, atol=1e-5)


def test_another_seed_gives_other_images_and_the_same_seed_the_same(setting):
    matcher, found = run(setting, "dm", size=5)
    device_data, _, sets, cells = setting
    pool = Pool(sets, device_data.labels.numpy(), 3, 5)
    assert torch.equal(matcher(SEED, pool, [cells])[0], found)
    assert not torch.equal(matcher(np.random.SeedSequence(5, spawn_key=(2,)), pool, [cells])[0], found)


def test_a_cell_is_the_same_whatever_cells_are_beside_it(setting):
    _, _, sets, (which, starts) = setting
    _, alone = run(setting, "dm", sets=sets[2:], cells=(np.array([0]), starts[1:]))
    _, together = run(setting, "dm")
    torch.testing.assert_close(alone[0], together[1], rtol=1e-4, atol=1e-5)
    assert which[1] == 2


def test_images_may_start_from_noise_that_all_cells_share(setting):
    matcher, _ = run(setting, "dc", steps=1, start="noise")
    started = matcher._start(SEED, setting[3][1])
    assert torch.equal(started[0], started[1])
    assert abs(float(started.mean())) < 0.2
    assert 0.8 < float(started.std()) < 1.2


def test_each_step_is_told(setting):
    device_data, _, sets, cells = setting
    matcher, _ = run(setting, "dm", steps=3)
    steps = []
    matcher(SEED, Pool(sets, device_data.labels.numpy(), 3, 5), [cells], steps.append)
    assert steps == [1, 2, 3]
