import numpy as np
import pytest
import torch
from torch.nn import functional

from goldore import UsageError
from goldore.networks.config import ConvNetConfig
from goldore.runs.job import complete_recipe
from goldore.training import loop as training
from goldore.training.images import DeviceDataset
from goldore.training.loop import train
from goldore.training.reference import train_one
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.conftest import diverge
from tests.training.conftest import mean_loss

CPU = torch.device("cpu")


def run(dataset, recipe, numbers, epochs=None, device=CPU):
    """Train the trials with these numbers; the losses are recorded epoch by epoch unless told otherwise."""
    recipe = complete_recipe(recipe, dataset)
    arch = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean, recipe.std, device)
    windows = epochs or {f"epoch {epoch}": [epoch] for epoch in range(1, recipe.epochs + 1)}
    observers = [
        mean_loss(name, window, len(numbers), dataset.num_samples, device) for name, window in windows.items()
    ]
    return train(data, arch, recipe, make_trials(3, numbers), observers)


def small(**fields):
    network = ConvNetConfig(width=8, depth=2, norm=fields.pop("norm", "instance"))
    return LossRecipe(network=network, **{"epochs": 3, "batch_size": 16, "lr": 0.05, **fields})


@pytest.mark.parametrize("norm", ["instance", "batch", "layer", "group", "none"])
def test_the_ensemble_follows_the_plain_loop(dataset, norm):
    recipe = complete_recipe(small(norm=norm), dataset)
    trained = run(dataset, recipe, range(3))
    arch = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    for row, trial in enumerate(make_trials(3, range(3))):
        expected = train_one(dataset, arch, recipe, trial)
        for epoch, logits in expected.items():
            losses = functional.cross_entropy(
                torch.from_numpy(logits).double(), torch.from_numpy(dataset.labels), reduction="none"
            )
            np.testing.assert_allclose(trained.recorded[f"epoch {epoch}"][row], losses, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "how",
    [
        {"lr_schedule": "cosine"},
        {"augment": "flip-crop"},
        {"augment": "dsa", "lr": 0.01},
        {"augment": "flip-crop", "lr_schedule": "cosine", "batch_size": 13},
    ],
)
def test_schedules_and_augmentation_are_those_of_the_plain_loop(dataset, how):
    recipe = complete_recipe(small(**how), dataset)
    plain = run(
        dataset, small(**{name: value for name, value in how.items() if name in ("lr", "batch_size")}), [0]
    )
    trained = run(dataset, recipe, range(2))
    arch = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    labels = torch.from_numpy(dataset.labels)
    for row, trial in enumerate(make_trials(3, range(2))):
        for epoch, logits in train_one(dataset, arch, recipe, trial).items():
            losses = functional.cross_entropy(torch.from_numpy(logits).double(), labels, reduction="none")
            np.testing.assert_allclose(trained.recorded[f"epoch {epoch}"][row], losses, rtol=2e-3, atol=2e-3)
    assert np.abs(trained.recorded["epoch 3"][0] - plain.recorded["epoch 3"][0]).max() > 0.01


def test_a_cosine_falls_from_the_learning_rate_to_nothing():
    recipe = small(lr_schedule="cosine", lr=0.2)
    rates = [recipe.learning_rate(step, 10) for step in range(10)]
    assert rates == pytest.approx([0.1 * (1 + np.cos(np.pi * step / 10)) for step in range(10)])
    assert rates[0] == 0.2
    assert {small(lr=0.2).learning_rate(step, 10) for step in range(10)} == {0.2}
    for wrong in ({"lr_schedule": "linear"}, {"augment": "crop"}):
        with pytest.raises(UsageError, match=f"`{next(iter(wrong))}` is .*; choose "):
            small(**wrong)


def test_a_trial_does_not_depend_on_how_many_are_trained_together(dataset):
    alone = run(dataset, small(), [2])
    together = run(dataset, small(), range(4))
    for name, values in alone.recorded.items():
        np.testing.assert_allclose(values[0], together.recorded[name][2], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(alone.train_loss[0], together.train_loss[2], rtol=1e-3)
    assert alone.test_accuracy[0] == pytest.approx(together.test_accuracy[2], abs=1 / 12 + 1e-6)


def test_training_learns_and_reports_its_course(dataset):
    trained = run(dataset, small(epochs=8), [0])
    assert trained.train_loss.shape == (1, 8)
    assert trained.train_loss[0, -1] < 0.5 * trained.train_loss[0, 0]
    assert trained.test_accuracy[0] > 0.8
    assert not trained.failed.any()


def test_training_stops_after_the_last_epoch_that_is_wanted(dataset):
    trained = run(dataset, small(epochs=8), [0], epochs={"first two": [1, 2]})
    whole = run(dataset, small(epochs=8), [0])
    assert np.isfinite(trained.train_loss[0, :2]).all()
    assert np.isnan(trained.train_loss[0, 2:]).all()
    mean = (whole.recorded["epoch 1"] + whole.recorded["epoch 2"]) / 2
    np.testing.assert_allclose(trained.recorded["first two"], mean, rtol=1e-5)


def test_without_test_images_the_accuracy_is_unknown(dataset):
    from dataclasses import replace

    trained = run(replace(dataset, test_images=None, test_labels=None), small(epochs=1), [0, 1])
    assert np.isnan(trained.test_accuracy).all()


def test_one_diverged_network_does_not_touch_the_others(dataset, monkeypatch):
    healthy = run(dataset, small(), [0, 1, 2])
    diverge(monkeypatch, make_trials(3, [1]))
    trained = run(dataset, small(), [0, 1, 2])
    assert trained.failed.tolist() == [False, True, False]
    for name, values in trained.recorded.items():
        assert np.array_equal(values[[0, 2]], healthy.recorded[name][[0, 2]])


def test_a_training_in_which_all_diverge_ends_early(dataset):
    trained = run(dataset, small(lr=1e30, epochs=5), [0, 1])
    assert trained.failed.all()
    assert np.isnan(trained.train_loss[:, 2:]).all()


def test_scoring_goes_on_with_fewer_images_where_memory_runs_out(dataset, monkeypatch):
    whole = run(dataset, small(), [0, 1])
    plain = training.logits_function

    def limited(*arguments, **options):
        compute = plain(*arguments, **options)

        def call(parameters, running, images, *rest):
            if len(images) > 9:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return compute(parameters, running, images, *rest)

        return call

    monkeypatch.setattr(training, "logits_function", limited)
    found = run(dataset, small(), [0, 1])
    for name, values in whole.recorded.items():
        np.testing.assert_allclose(found.recorded[name], values, rtol=1e-5, atol=1e-6)
