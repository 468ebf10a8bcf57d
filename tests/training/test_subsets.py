import numpy as np
import pytest
import torch
from torch.nn import functional

from goldore import ConvNetConfig, DistillRecipe, UtilityRecipe
from goldore.networks.stacked import StackedNetworks
from goldore.runs.job import complete_recipe
from goldore.training.distill import Distiller
from goldore.training.images import DeviceDataset
from goldore.training.stepping import weight_draws
from goldore.training.subsets import EvaluationSet, SubsetTrainer
from goldore.trials.seeds import Stream, make_utility_trials
from tests.conftest import diverge, make_dataset

CPU = torch.device("cpu")
SIZES = np.array([2, 2, 2])


def setting(dataset, device=CPU, **fields):
    network = ConvNetConfig(depth=2, width=8)
    recipe = complete_recipe(UtilityRecipe(network=network, **{"steps": 6, "lr": 0.05, **fields}), dataset)
    arch = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean, recipe.std, device)
    return recipe, arch, data


def subsets(dataset, numbers):
    """Two samples of each class for each trial."""
    classes = [np.flatnonzero(dataset.labels == label) for label in range(3)]
    return np.stack([np.concatenate([pool[number : number + 2] for pool in classes]) for number in numbers])


def run(dataset, numbers, common_init=1, device=CPU, **fields):
    recipe, arch, data = setting(dataset, device, **fields)
    trials = make_utility_trials(3, numbers, common_init)
    trainer = SubsetTrainer(data, arch, recipe)
    return trainer.on_subsets(trials, subsets(dataset, numbers), SIZES, EvaluationSet(*data.test))


@pytest.mark.parametrize("batch_size", [256, 4])
def test_a_trial_is_the_plain_loop_on_its_subset(dataset, batch_size):
    recipe, arch, data = setting(dataset, batch_size=batch_size)
    outcomes = run(dataset, [0, 1, 2], batch_size=batch_size)
    for row, trial in enumerate(make_utility_trials(3, range(3), 1)):
        network = arch.plain()
        drawn = {
            name: torch.from_numpy(value) for name, value in arch.drawn(trial.stream(Stream.WEIGHTS)).items()
        }
        network.load_state_dict(drawn)
        optimizer = torch.optim.SGD(
            network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        members = torch.from_numpy(subsets(dataset, [trial.number])[0])
        images, labels = data.normalize(data.images.take(members)), data.labels[members]
        order = trial.stream(Stream.ORDER)
        batches = [np.arange(6)] * 6
        if batch_size == 4:
            epochs = [order.permutation(6) for _ in range(3)]
            batches = [part for epoch in epochs for part in (epoch[:4], epoch[4:])]
        for batch in batches:
            optimizer.zero_grad()
            functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
        test_images, test_labels = data.test
        with torch.no_grad():
            logits = network(data.normalize(test_images.run(0, len(test_images)))).double()
        for label in range(3):
            of_class = logits[test_labels == label]
            right, other = of_class[:, label], of_class[:, [each for each in range(3) if each != label]]
            expected = {
                "accuracy": (right > other.amax(1)).double().mean(),
                "logprob": of_class.log_softmax(1)[:, label].mean(),
                "margin": (right - other.amax(1)).mean(),
            }
            for name, value in expected.items():
                assert outcomes.by_class[name][row, label] == pytest.approx(float(value), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("fields", [{}, {"distill": DistillRecipe(distill_steps=3)}])
def test_a_trial_does_not_depend_on_how_many_are_trained_together(dataset, fields):
    together = run(dataset, range(16), **fields)
    for number in (0, 5, 15):
        alone = run(dataset, [number], **fields)
        for name, values in alone.by_class.items():
            np.testing.assert_allclose(values[0], together.by_class[name][number], rtol=1e-3, atol=1e-4)


def test_trials_of_a_block_share_their_weights_and_differ_in_the_rest():
    trials = make_utility_trials(3, range(8), 4)
    weights = [trial.stream(Stream.WEIGHTS).random() for trial in trials]
    assert len(set(weights[:4])) == len(set(weights[4:])) == 1
    assert weights[0] != weights[4]
    assert len({trial.stream(Stream.ORDER).random() for trial in trials}) == 8


def test_a_diverged_network_is_marked_and_does_not_touch_the_others(dataset, monkeypatch):
    healthy = run(dataset, [0, 1, 2])
    diverge(monkeypatch, make_utility_trials(3, [1], 1))
    outcomes = run(dataset, [0, 1, 2])
    assert outcomes.failed.tolist() == [False, True, False]
    for name, values in outcomes.by_class.items():
        assert np.array_equal(values[[0, 2]], healthy.by_class[name][[0, 2]])


@pytest.mark.parametrize("method", ["dc", "dm"])
def test_distilled_images_come_closer_to_the_real_ones(method):
    """The distance that a method lowers is lower after it than at its start, for networks it has not seen."""
    dataset = make_dataset((40, 40, 40), side=16)
    _, arch, data = setting(dataset)
    members = np.concatenate([np.flatnonzero(dataset.labels == label) for label in range(3)])[None]
    real = [
        data.normalize(data.images.take(torch.from_numpy(part[:, None]))) for part in np.split(members[0], 3)
    ]

    def distance(images):
        total = 0.0
        for seed in range(10):
            networks = StackedNetworks(arch, weight_draws(make_utility_trials(seed, [0], 1)), CPU)
            weights = [value for name, value in networks.parameters.items() if value.ndim > 2]
            for label, part in enumerate(real):
                pair = part, images[label : label + 1]
                if method == "dm":
                    with torch.no_grad():
                        means = [networks.features(each.flatten(1, 2))[0].mean(0) for each in pair]
                    total += float(((means[0] - means[1]) ** 2).sum())
                    continue
                gradients = []
                for each in pair:
                    logits = networks(each.flatten(1, 2))[0]
                    loss = functional.cross_entropy(logits, torch.full((len(each),), label))
                    gradients.append(torch.autograd.grad(loss, weights))
                for ours, theirs in zip(*gradients, strict=True):
                    for a, b in zip(ours[0].flatten(1), theirs[0].flatten(1), strict=True):
                        total += 1 - float(functional.cosine_similarity(a, b, dim=0))
        return total

    start = torch.cat([part.mean(0, keepdim=True) for part in real])
    how = DistillRecipe(method=method, distill_steps=200, distill_lr={"dc": 0.05, "dm": 1.0}[method])
    made, labels = Distiller(data, arch, how)(make_utility_trials(99, [0], 1), members, np.array([40] * 3))
    assert labels.tolist() == [0, 1, 2]
    assert made.shape == (3, 1, 1, 16, 16)
    assert distance(made) < 0.9 * distance(start)


def test_several_synthetic_images_of_a_class_and_small_real_batches(dataset):
    _, arch, data = setting(dataset)
    members = np.stack([np.concatenate([np.flatnonzero(dataset.labels == c)[:9] for c in range(3)])] * 2)
    how = DistillRecipe(distill_steps=2, images_per_class=2, real_batch=4)
    made, labels = Distiller(data, arch, how)(make_utility_trials(0, [0, 1], 1), members, np.array([9, 9, 9]))
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert made.shape == (6, 2, 1, 8, 8)
    assert not torch.equal(made[:, 0], made[:, 1])  # the trials have random networks of their own
