"""Training, scoring and distilling on a card: as on the CPU, without waiting, in the memory that there is.

Without a card these run under its rules on the CPU (tests/cuda_rules.py).
"""

import gc
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import torch

from goldore.networks.architecture import Layout
from goldore.networks.config import ConvNetConfig, make_network
from goldore.networks.counter_rng import uniform
from goldore.networks.stacked import StackedNetworks
from goldore.runs.job import complete_recipe
from goldore.scores import TRAINING_SCORES
from goldore.training import loop as training
from goldore.training import tuning
from goldore.training.devices import running_on
from goldore.training.distill import Distiller
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.loop import train
from goldore.training.stepping import Stepper, weight_draws
from goldore.training.subsets import EvaluationSet, SubsetTrainer
from goldore.training.tuning import Work, choose_engine
from goldore.trials import DistillRecipe, LossRecipe, UtilityRecipe
from goldore.trials.seeds import make_trials, make_utility_trials
from tests.conftest import make_dataset
from tests.training.conftest import mean_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("error:a CUDA graph cannot be captured"),
    pytest.mark.filterwarnings("error:some ways to compute"),
]
CPU = torch.device("cpu")
GRAPH = Execution(graph=True)
SIZES = np.array([2, 2, 2])
CLOSE = {"rtol": 1e-2, "atol": 1e-3}  # a few steps carry rounding along
emulation = pytest.mark.skipif(torch.cuda.is_available(), reason="a real card makes no such error on demand")


def setting(dataset, device, kind=LossRecipe, network=None, resident=None, **fields):
    config = ConvNetConfig(**{"width": 8, "depth": 2, **(network or {})})
    recipe = complete_recipe(kind(network=config, **{"lr": 0.05, **fields}), dataset)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    return DeviceDataset(dataset, recipe.mean, recipe.std, device, resident=resident), architecture, recipe


def losses(dataset, device, execution=None, resident=None, tick=lambda _: None, **fields):
    """Losses of two networks after the second epoch; the last batch of an epoch is a short one."""
    fields = {"epochs": 2, "batch_size": 16, **fields}
    data, architecture, recipe = setting(dataset, device, resident=resident, **fields)
    observers = [mean_loss("end", [2], 2, dataset.num_samples, device)]
    trained = train(data, architecture, recipe, make_trials(3, range(2)), observers, tick, execution)
    assert not trained.failed.any()
    assert np.isfinite(trained.test_accuracy).all()
    return trained.recorded["end"]


def outcomes(dataset, device, execution=None, **fields):
    """Outcomes of two groups of two utility trials, the second in the memory of the first."""
    data, architecture, recipe = setting(dataset, device, UtilityRecipe, **{"steps": 4, **fields})
    trainer = SubsetTrainer(data, architecture, recipe, execution)
    classes = [np.flatnonzero(dataset.labels == label) for label in range(3)]
    found = []
    for numbers in ([0, 1], [2, 3]):
        members = np.stack([np.concatenate([pool[each : each + 2] for pool in classes]) for each in numbers])
        trials = make_utility_trials(3, numbers, 1)
        done = trainer.on_subsets(trials, members, SIZES, EvaluationSet(*data.test))
        found.append(np.column_stack([*done.by_class.values(), done.train_loss]))
    return np.concatenate(found)


def stepper_and_batch(dataset, device, execution=GRAPH, networks=2, **fields):
    data, architecture, recipe = setting(dataset, device, **fields)
    stepper = Stepper(architecture, recipe, make_trials(0, range(networks)), data, execution)
    rows = torch.arange(16 * networks, device=data.index_device).view(16, networks) % dataset.num_samples
    return stepper, data.batch(rows)


@contextmanager
def tf32_allowed(setting):
    """TF32 in convolutions and products, by the newer setting above all others or by the older ones.

    What was set one by one would overrule the setting above all others: it inherits within.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    places = [cudnn, matmul]
    if setting == "fp32_precision":
        places = [torch.backends, cudnn, cudnn.conv, cudnn.rnn, matmul]
    before = [getattr(place, setting) for place in places]
    if setting == "fp32_precision":
        for place in places[1:]:
            place.fp32_precision = "none"
        torch.backends.fp32_precision = "tf32"
    else:
        cudnn.allow_tf32 = matmul.allow_tf32 = True
    try:
        yield
    finally:
        for place, known in zip(places, before, strict=True):
            setattr(place, setting, known)


@contextmanager
def no_waiting():
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class TestTheSameTraining:
    @pytest.mark.parametrize(
        "layout",
        [
            *tuning.layouts(ConvNetConfig().architecture((3, 32, 32), 10), CPU),
            Layout(fused=True),
            Layout("separate", channels_last=True, fused=True),
        ],
        ids=lambda layout: layout.convolution + "-last" * layout.channels_last + "-fused" * layout.fused,
    )
    def test_by_a_graph_in_every_layout(self, dataset, cuda, layout):
        found = losses(dataset, cuda, Execution(layout, scoring=layout, graph=True))
        np.testing.assert_allclose(found, losses(dataset, CPU), **CLOSE)

    @pytest.mark.parametrize(
        ("norm", "activation", "pooling", "channels"),
        [
            ("batch", "relu", "max", 3),
            ("layer", "leakyrelu", "avg", 1),
            ("group", "sigmoid", "avg", 3),
            ("none", "swish", "none", 1),
        ],
    )
    def test_by_a_graph_of_every_kind_of_network(self, cuda, norm, activation, pooling, channels):
        dataset = make_dataset(channels=channels)
        network = {"norm": norm, "activation": activation, "pooling": pooling}
        found = losses(dataset, cuda, GRAPH, network=network)
        np.testing.assert_allclose(found, losses(dataset, CPU, network=network), **CLOSE)

    def test_as_it_is_written(self, dataset, cuda):
        np.testing.assert_allclose(losses(dataset, cuda), losses(dataset, CPU), **CLOSE)

    def test_compiled(self, dataset, cuda):
        found = losses(dataset, cuda, Execution(compiled=True, graph=True))
        np.testing.assert_allclose(found, losses(dataset, CPU), **CLOSE)

    def test_in_bf16(self, dataset, cuda):
        found = losses(dataset, cuda, GRAPH, precision="bf16")
        expected = losses(dataset, CPU, precision="bf16")
        np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.05)
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999

    def test_to_the_bit_if_asked_for(self, dataset, card):
        device = torch.device("cuda", 0)
        with running_on(device, deterministic=True):
            found = [losses(dataset, device, GRAPH) for _ in range(2)]
        assert np.array_equal(*found)

    @pytest.mark.parametrize("tf32", ["fp32_precision", "allow_tf32"])
    def test_whatever_tf32_is_set_to(self, dataset, card, tf32):
        """Rounded operands move the losses by more than this, where they are rounded (emulated: always)."""
        if not hasattr(torch.backends, "fp32_precision") and tf32 == "fp32_precision":
            pytest.skip("this torch has the older settings only")
        device, expected = torch.device("cuda", 0), losses(dataset, CPU)
        with tf32_allowed(tf32):
            with running_on(device, deterministic=False):
                found = losses(dataset, device, GRAPH)
            rounded = losses(dataset, device, GRAPH)
        close = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(found, expected, **(CLOSE if card is None else close))
        assert card is None or not np.allclose(rounded, expected, **close)

    def test_on_another_card_than_the_current_one(self, dataset, card):
        if torch.cuda.device_count() < 2:
            pytest.skip("needs two cards")
        other = torch.device("cuda", 1)
        np.testing.assert_allclose(losses(dataset, other, GRAPH), losses(dataset, CPU), **CLOSE)
        assert torch.cuda.current_device() == 0

    def test_restarted_with_the_graphs_that_there_are(self, dataset, cuda):
        used, batch = stepper_and_batch(dataset, cuda)
        used(*batch, steps=3)
        used.restart(make_trials(0, [2, 3]))
        data, architecture, recipe = setting(dataset, cuda)
        fresh = Stepper(architecture, recipe, make_trials(0, [2, 3]), data, Execution())
        for stepper in (used, fresh):
            stepper(*batch, steps=3)
        torch.testing.assert_close(used.losses.cpu(), fresh.losses.cpu(), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(used.loss_sum.cpu(), fresh.loss_sum.cpu(), rtol=1e-3, atol=1e-4)

    def test_by_graphs_of_several_shapes_in_their_own_memory(self, dataset, cuda):
        stepper, (images, targets) = stepper_and_batch(dataset, cuda)
        plain, _ = stepper_and_batch(dataset, cuda, Execution())
        batches = [(images[:count], targets[:count]) for count in (16, 5, 16)]
        batches[2] = (batches[2][0].flip(0), batches[2][1].flip(0))
        before = images.cpu()
        for batch in batches:
            for each in (stepper, plain):
                each(*batch)
            torch.testing.assert_close(stepper.losses.cpu(), plain.losses.cpu(), rtol=1e-3, atol=1e-4)
        assert torch.equal(images.cpu(), before)

    @pytest.mark.parametrize("batch_size", [256, 4])
    def test_on_subsets(self, dataset, cuda, batch_size):
        fields = {"batch_size": batch_size}
        found = outcomes(dataset, cuda, GRAPH, **fields)
        np.testing.assert_allclose(found, outcomes(dataset, CPU, **fields), **CLOSE)

    @pytest.mark.parametrize("method", ["dm", "dc"])
    @pytest.mark.parametrize("real_batch", [256, 1])
    def test_on_distilled_subsets(self, dataset, cuda, method, real_batch):
        recipe = DistillRecipe(method=method, distill_steps=3, real_batch=real_batch)
        found = outcomes(dataset, cuda, GRAPH, distill=recipe)
        np.testing.assert_allclose(found, outcomes(dataset, CPU, distill=recipe), rtol=5e-2, atol=1e-2)

    def test_with_the_same_random_networks_to_the_bit(self, cuda):
        keys = torch.tensor([0, 1, 2**63 - 1])
        assert torch.equal(uniform(keys.to(cuda), 1001).cpu(), uniform(keys, 1001))


class TestWithoutWaiting:
    @pytest.mark.parametrize("resident", [True, False])
    def test_the_host_runs_ahead_of_the_steps(self, dataset, cuda, resident):
        data, architecture, recipe = setting(dataset, cuda, resident=resident, batch_size=16)
        stepper = Stepper(architecture, recipe, make_trials(0, range(2)), data, GRAPH)
        rows = torch.arange(32, device=data.index_device).view(16, 2)
        stepper(*data.batch(rows))  # captured
        with no_waiting():
            for _ in range(8):
                stepper(*data.batch(rows))

    def test_progress_is_told_without_waiting_for_it(self, dataset, cuda):
        found = []

        def tick(progress):
            with no_waiting():
                found.append(progress())

        losses(dataset, cuda, GRAPH, tick=tick)
        assert len(found) == 2 * -(-dataset.num_samples // 16)
        assert all(earlier.images <= later.images for earlier, later in pairwise(found))
        known = [each for each in found if each.images]
        assert len(known) >= len(found) // 2
        assert all(np.isfinite(each.loss) for each in known)

    def test_distilling_waits_for_its_draws_only(self, dataset, cuda):
        data, architecture, _ = setting(dataset, cuda)
        recipe = DistillRecipe(distill_steps=2)
        distiller = Distiller(data, architecture, recipe, graph=True)
        members = np.stack([np.concatenate([np.flatnonzero(dataset.labels == c)[:2] for c in range(3)])] * 2)
        distiller(make_utility_trials(0, [0, 1], 1), members, SIZES)
        keys = torch.tensor([1, 2], device=cuda)
        with no_waiting():
            for _ in range(3):
                distiller._group.step(keys)

    def test_streamed_images_arrive_in_bounded_page_locked_memory(self, dataset, cuda, card, monkeypatch):
        monkeypatch.setattr(training, "_CUDA_SCORED", 20)  # a scoring pass in several runs
        found = losses(dataset, cuda, GRAPH, resident=False)
        np.testing.assert_allclose(found, losses(dataset, CPU), **CLOSE)
        if card is not None:
            image = dataset.images[0].nbytes
            assert 0 < card.pinned_peak <= 3 * (2 * 16 * (image + 8) + 16 * image)  # batches, labels, runs


class TestMemory:
    def test_many_steppers_leave_nothing_behind(self, dataset, cuda):
        used = []
        for _ in range(4):
            stepper, batch = stepper_and_batch(dataset, cuda)
            stepper(*batch)
            del stepper, batch
            gc.collect()
            torch.cuda.empty_cache()
            used.append(torch.cuda.memory_allocated(cuda))
        assert used[-1] == used[1]  # the first leaves what the libraries keep

    def test_a_stepper_goes_without_the_garbage_collector(self, dataset, cuda):
        gc.collect()
        gc.disable()
        try:
            stepper, batch = stepper_and_batch(dataset, cuda)
            stepper(*batch)
            del batch
            before = torch.cuda.memory_allocated(cuda)
            held = sum(each.nbytes for each in stepper.networks.parameters.values())
            del stepper
            assert torch.cuda.memory_allocated(cuda) <= before - held
        finally:
            gc.enable()

    @emulation
    @pytest.mark.parametrize("when", ["warming up", "capturing", "scoring"])
    def test_running_out_is_told_and_the_next_training_is_right(self, dataset, cuda, card, monkeypatch, when):
        runs = []

        def full(name):
            if "convolution" in name and (card.capture is not None) == (when == "capturing"):
                runs.append(name)
            if len(runs) == (5 if when == "warming up" else 1):  # in its second step
                card.fault = lambda _: None
                raise torch.OutOfMemoryError("CUDA out of memory")

        expected = losses(dataset, CPU)
        if when == "scoring":  # goes on with fewer images at once
            monkeypatch.setattr(training, "_CUDA_SCORED", 64)
            data, architecture, _ = setting(dataset, cuda)
            networks = StackedNetworks(architecture, weight_draws(make_trials(3, [0])), cuda)
            seen = []
            card.fault = full
            training.forward(
                networks,
                data,
                data.images,
                data.labels,
                lambda start, logits, *_: seen.append((start, logits.shape[1])),
                execution=Execution(),
                precision="float32",
            )
            assert len(seen) > 1
            assert sum(count for _, count in seen) == dataset.num_samples
        else:
            card.fault = full
            with pytest.raises(RuntimeError, match=r"out of memory|during capture") as caught:
                losses(dataset, cuda, GRAPH)
            assert training.is_memory_error(caught.value)
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
        np.testing.assert_allclose(losses(dataset, cuda, GRAPH), expected, **CLOSE)

    @emulation
    def test_a_capture_that_fails_is_done_without(self, dataset, cuda, card):
        def no_free(name):
            if card.capture is not None and "convolution" in name:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nlong story")

        card.fault = no_free
        with pytest.warns(UserWarning, match="cannot be captured, running on without it: CUDA error") as told:
            found = losses(dataset, cuda, Execution(graph=True, compiled=True))
        assert len(told) == 1  # for the short batches too, and the compiler is not blamed
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
        torch.cuda.empty_cache()
        np.testing.assert_allclose(found, losses(dataset, CPU), **CLOSE)

    @emulation
    def test_other_shapes_keep_their_graphs(self, dataset, cuda, card):
        stepper, (images, targets) = stepper_and_batch(dataset, cuda)
        stepper(images, targets)

        def no_free(name):
            if card.capture is not None:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

        card.fault = no_free
        with pytest.warns(UserWarning, match="cannot be captured"):
            stepper(images[:5], targets[:5])
        before = card.launches
        stepper(images, targets, steps=5)
        assert (
            card.launches - before == 2 + 5
        )  # images and targets are copied in, and each step is one launch


class TestChoice:
    WORK = Work(batch=16, held=16, trials=4, trained=100, scored=50, cpu_networks=2, cuda_networks=4)
    CHOICE = {"ensemble_size": None, "compile_mode": "auto", "deterministic": False}  # noqa: RUF012

    def test_is_measured(self, dataset, cuda):
        engine = choose_engine(*setting(dataset, cuda), self.WORK, **self.CHOICE)
        assert engine.note.startswith("measured: ")
        assert engine.execution.graph

    @emulation
    def test_leaves_out_what_fails(self, dataset, cuda, card, monkeypatch):
        real = tuning.Stepper

        def broken(architecture, recipe, trials, data, execution):
            if execution.layout.convolution == "grouped":
                raise RuntimeError("GET was unable to find an engine to execute this computation")
            return real(architecture, recipe, trials, data, execution)

        monkeypatch.setattr(tuning, "Stepper", broken)
        with pytest.warns(UserWarning, match="left out: GET was unable to find an engine") as told:
            engine = choose_engine(*setting(dataset, cuda), self.WORK, **self.CHOICE)
        assert len(told) == 1
        assert engine.execution.layout.convolution != "grouped"

    def test_ends_where_all_fail(self, dataset, cuda, monkeypatch):
        asked = []

        def broken(*_):
            asked.append(1)
            raise TypeError("a mistake")

        monkeypatch.setattr(tuning, "Stepper", broken)
        with pytest.raises(TypeError, match="a mistake"):
            choose_engine(*setting(dataset, cuda), self.WORK, **self.CHOICE)
        assert (
            len(asked) == len(tuning.layouts(ConvNetConfig().architecture((3, 32, 32), 10), cuda)) + 1
        )  # for no smaller size

    @emulation
    def test_ends_with_an_error_that_the_device_keeps(self, dataset, cuda, card, monkeypatch):
        def kept(*_):
            monkeypatch.setattr(torch.cuda, "synchronize", kept)
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        monkeypatch.setattr(tuning, "Stepper", kept)
        with pytest.raises(RuntimeError, match="illegal memory access"):
            choose_engine(*setting(dataset, cuda), self.WORK, **self.CHOICE)

    def test_layouts_of_scoring_too(self, dataset, cuda):
        data, architecture, _ = setting(dataset, cuda)
        for layout in (Layout(), Layout("separate", channels_last=True)):
            seconds = tuning.scoring_seconds_per_image(
                data, architecture, 2, "bf16", Execution(scoring=layout)
            )
            assert 0 < seconds < 1


@pytest.mark.parametrize("execution", [None, GRAPH])
@pytest.mark.parametrize(
    "how", [{"lr_schedule": "cosine"}, {"augment": "flip-crop"}, {"augment": "dsa", "lr": 0.01}]
)
def test_schedules_and_augmentation_are_those_of_the_cpu(dataset, cuda, execution, how):
    """One graph serves every learning rate."""
    with running_on(cuda, deterministic=False):
        there = losses(dataset, cuda, execution, **how)
    np.testing.assert_allclose(there, losses(dataset, CPU, **how), **CLOSE)


@pytest.mark.parametrize("execution", [None, GRAPH])
def test_other_networks_train_as_on_the_cpu(dataset, cuda, execution):
    def trained(device, how=None):
        recipe = complete_recipe(
            LossRecipe(network=make_network("resnet18", width=4), epochs=1, batch_size=16, lr=5e-4), dataset
        )
        architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
        data = DeviceDataset(dataset, recipe.mean, recipe.std, device)
        observers = [mean_loss("end", [1], 2, dataset.num_samples, device)]
        return train(data, architecture, recipe, make_trials(3, range(2)), observers, execution=how).recorded[
            "end"
        ]

    with running_on(cuda, deterministic=False):
        there = trained(cuda, execution)
    np.testing.assert_allclose(there, trained(CPU), **CLOSE)


def test_scores_of_training_dynamics_are_those_of_the_cpu(dataset):
    """All rows of the table at once, none of which may wait for the device."""

    def recorded(device):
        data, architecture, recipe = setting(
            dataset, device, epochs=20, batch_size=16, lr=0.01, init_epochs=2, converge_epochs=2
        )
        rows = TRAINING_SCORES.values()
        observers = [row.observe(recipe, 2, dataset.num_samples, device) for row in rows]
        return train(data, architecture, recipe, make_trials(3, range(2)), observers).recorded

    with running_on(torch.device("cuda"), deterministic=False):
        there = recorded(torch.device("cuda"))
    here = recorded(CPU)
    for name, values in here.items():
        if name in ("Forgetting", "Correctness"):  # a sample may be right by a hair
            assert np.mean(np.abs(there[name] - values) < 0.051) > 0.9, name
        else:
            np.testing.assert_allclose(there[name], values, rtol=0.1, atol=0.02, err_msg=name)
