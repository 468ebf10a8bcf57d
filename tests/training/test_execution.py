"""However a training is executed, it is the same training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from goldore.errors import UsageError
from goldore.networks.architecture import Layout
from goldore.networks.config import ConvNetConfig
from goldore.networks.fused_loops import norm_act_pool
from goldore.runs.job import complete_recipe
from goldore.training import execution as executing
from goldore.training import tuning
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, Images
from goldore.training.loop import train
from goldore.training.stepping import Stepper
from goldore.training.tuning import Work, choose_engine
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.training.conftest import mean_loss

LAYOUTS = tuning.layouts(ConvNetConfig().architecture((3, 32, 32), 10), torch.device("cpu"))
CPU = torch.device("cpu")
WORK = Work(batch=16, held=16, trials=4, trained=100, scored=50, cpu_networks=2, cuda_networks=16)
CHOICE = {"ensemble_size": None, "compile_mode": "auto", "deterministic": False}


def setting(dataset, device=CPU, resident=None, **fields):
    defaults = {"network": ConvNetConfig(width=8, depth=2), "epochs": 3, "batch_size": 16, "lr": 0.05}
    recipe = LossRecipe(**{**defaults, **fields})
    recipe = complete_recipe(recipe, dataset)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    return DeviceDataset(dataset, recipe.mean, recipe.std, device, resident=resident), architecture, recipe


def losses(dataset, execution=None, device=CPU, resident=None, **fields):
    data, architecture, recipe = setting(dataset, device, resident, **fields)
    observers = [mean_loss("end", [3], 2, dataset.num_samples, device)]
    trained = train(
        data, architecture, recipe, make_trials(3, range(2)), observers, execution=execution or Execution()
    )
    return trained.recorded["end"]


@pytest.mark.slow
@pytest.mark.parametrize(("fused", "norm"), [(False, "instance"), (True, "instance"), (True, "batch")])
def test_compiled_training_is_the_same(dataset, monkeypatch, fused, norm):
    traced = []
    monkeypatch.setattr(
        executing.fused_loops,
        "norm_act_pool",
        lambda *known, **kinds: traced.append(kinds["norm"]) or norm_act_pool(*known, **kinds),
    )
    network = ConvNetConfig(width=8, depth=1 if fused else 2, norm=norm)
    layout = Layout(fused=fused)
    np.testing.assert_allclose(
        losses(dataset, Execution(layout, layout, compiled=True), network=network),
        losses(dataset, network=network),
        rtol=1e-3,
        atol=1e-4,
    )
    assert set(traced) == ({norm} if fused else set())


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_layout_trains_the_same(dataset, layout):
    np.testing.assert_allclose(losses(dataset, Execution(layout)), losses(dataset), rtol=1e-3, atol=1e-4)


def test_the_same_training_gives_the_same_bits(dataset):
    assert np.array_equal(losses(dataset), losses(dataset))


def test_bf16_trains_nearly_the_same(dataset):
    """Each loss differs by rounding; the order of the samples stays."""
    full, half = losses(dataset), losses(dataset, precision="bf16")
    assert not np.array_equal(full, half)
    for row in range(2):
        assert np.corrcoef(full[row], half[row])[0, 1] > 0.99


def test_images_that_do_not_fit_are_streamed(dataset):
    """Also with a scoring pass, of more images than a batch has, in between."""
    assert np.array_equal(losses(dataset, resident=False), losses(dataset, resident=True))
    found = []
    for resident in (False, True):
        data, architecture, recipe = setting(dataset, resident=resident)
        observers = [mean_loss("both", [1, 3], 1, dataset.num_samples, CPU)]
        found.append(train(data, architecture, recipe, make_trials(3, [0]), observers).recorded["both"])
    assert np.array_equal(*found)


def test_streamed_images_are_those_that_were_asked_for():
    array = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 5)).astype(np.uint8)
    images = Images(array, CPU, resident=False)
    taken = []
    for number in range(8):  # more than there are buffers, of growing and shrinking size
        rows = torch.from_numpy(np.random.default_rng(number).integers(0, 50, ((number * 3) % 7 + 1, 2)))
        taken.append((rows, images.take(rows)))
        taken.append((torch.arange(number, 2 * number + 1), images.run(number, 2 * number + 1)))
    for rows, found in taken:
        assert np.array_equal(found.numpy(), array[rows.numpy()])


def test_a_dataset_is_resident_where_half_of_the_free_memory_holds_it(monkeypatch):
    sent = []
    monkeypatch.setattr(
        "goldore.training.images.to_device", lambda array, _: sent.append(1) or torch.from_numpy(array)
    )
    array = np.zeros((100, 1, 10, 10), dtype=np.uint8)
    for free, expected in ((20_000, True), (19_999, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, known=free: (known, 0))
        assert Images(array, torch.device("cuda", 0)).resident is expected
    assert len(sent) == 1


def test_a_restarted_stepper_trains_as_a_new_one(dataset):
    data, architecture, recipe = setting(dataset)
    first, second = make_trials(0, [0, 1]), make_trials(0, [2, 3])
    batch = data.batch(torch.arange(32).view(16, 2))
    used = Stepper(architecture, recipe, first, data, Execution())
    used(*batch, steps=3)
    used.restart(second)
    fresh = Stepper(architecture, recipe, second, data, Execution())
    for stepper in (used, fresh):
        stepper(*batch)
        stepper(*batch, steps=2)
    assert torch.equal(used.losses, fresh.losses)
    assert torch.equal(used.loss_sum, fresh.loss_sum)
    for name, values in used.networks.parameters.items():
        assert torch.equal(values, fresh.networks.parameters[name])


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_where_nothing_can_be_compiled_it_runs_without(dataset, monkeypatch, where):
    def broken(function, **_):
        def fail(*_):
            raise RuntimeError("no C++ compiler found\nlong story")

        return fail

    def broken_backwards(function, **_):
        """Forward it compiles; the gradient fails."""

        class Fail(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, _):
                raise RuntimeError("no C++ compiler found")

        return lambda *arguments: Fail.apply(function(*arguments))

    monkeypatch.setattr(torch, "compile", {"forward": broken, "backward": broken_backwards}[where])
    executing.losses_function.cache_clear()
    executing.logits_function.cache_clear()
    try:
        with pytest.warns(UserWarning, match="torch.compile failed, running on without it: no C"):
            found = losses(dataset, Execution(compiled=True))
    finally:
        executing.losses_function.cache_clear()
        executing.logits_function.cache_clear()
    assert np.array_equal(found, losses(dataset))


class TestChoice:
    def test_a_cpu_goes_by_rule(self, dataset):
        data, architecture, recipe = setting(dataset)
        assert choose_engine(data, architecture, recipe, WORK, **CHOICE).size == 2
        few = replace(WORK, trials=1)
        assert choose_engine(data, architecture, recipe, few, **CHOICE).size == 1
        given = choose_engine(data, architecture, recipe, WORK, **{**CHOICE, "ensemble_size": 3})
        assert (given.size, given.note) == (3, "")

    @pytest.mark.parametrize(
        ("trained", "networks", "mode", "deterministic", "expected"),
        [
            (10**3, 1, "auto", False, False),
            (10**12, 1, "auto", False, True),
            (10**12, 8, "auto", False, True),  # one compiled network at a time instead of eight
            (10**12, 1, "auto", True, False),
            (10**12, 1, "off", False, False),
            (10**3, 2, "on", False, True),
        ],
    )
    def test_a_cpu_compiles_where_it_pays(self, dataset, trained, networks, mode, deterministic, expected):
        work = replace(WORK, trained=trained, cpu_networks=networks)
        settings = {"ensemble_size": None, "compile_mode": mode, "deterministic": deterministic}
        engine = choose_engine(*setting(dataset), work, **settings)
        assert engine.execution.compiled is expected
        assert engine.size == (1 if expected else min(networks, WORK.trials))
        assert engine.execution.layout == engine.execution.scoring == Layout(fused=expected)
        stopped = choose_engine(*setting(dataset), replace(work, seconds=60.0), **settings)
        assert stopped.execution.compiled is (mode == "on")
        several = choose_engine(*setting(dataset), work, **{**settings, "ensemble_size": 2})
        assert several.size == 2
        assert several.execution.compiled is (mode == "on")
        distilling = choose_engine(*setting(dataset), replace(work, compiles=False), **settings)
        assert distilling.execution.compiled is (mode == "on")

    def test_a_cpu_compiles_blocks_that_cannot_be_fused_as_they_are(self, dataset):
        network = ConvNetConfig(width=8, depth=2, norm="group")
        engine = choose_engine(*setting(dataset, network=network), WORK, **{**CHOICE, "compile_mode": "on"})
        assert engine.execution == Execution(compiled=True)

    def test_another_mode_is_refused(self, dataset):
        with pytest.raises(UsageError, match="`compile_mode` is 'yes'"):
            choose_engine(*setting(dataset), WORK, **{**CHOICE, "compile_mode": "yes"})

    @pytest.mark.parametrize("given", [None, 8])
    def test_cuda_takes_what_was_fastest(self, dataset, monkeypatch, given):
        data, architecture, recipe = setting(dataset)
        data.device = torch.device("cuda", 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**40, 0))
        seen = []

        def seconds(data, architecture, recipe, size, batch, execution):
            seen.append((size, execution))
            if size > 8:
                return float("inf")  # memory does not hold so many
            best = Layout("separate", channels_last=True)
            return 1e-3 * (1 if execution.layout == best else 2) * {8: 1.0, 4: 1.01, 2: 2, 1: 3}[size]

        def scoring_seconds(data, architecture, size, precision, execution):
            assert precision == recipe.precision
            return 1.0 if execution.scoring == Layout() else 2.0

        monkeypatch.setattr(tuning, "seconds_per_image", seconds)
        monkeypatch.setattr(tuning, "scoring_seconds_per_image", scoring_seconds)
        work = replace(WORK, trials=16)
        engine = choose_engine(data, architecture, recipe, work, **{**CHOICE, "ensemble_size": given})
        assert engine.execution.layout == Layout("separate", channels_last=True)
        assert engine.execution.scoring == Layout()
        assert engine.execution.graph
        assert engine.size == (given or 4)  # nearly as fast as 8, and durable sooner
        assert "separate convolution, channels last" in engine.note

    @pytest.mark.parametrize(
        ("mode", "trained", "expected", "tried"),
        [
            ("auto", 10**6, Layout("matmul", channels_last=True), 2),
            ("auto", 4 * 10**4, Layout("matmul", channels_last=True), 1),  # a minute's worth: the best guess
            ("auto", 10**3, Layout("separate"), 0),
            ("off", 10**6, Layout("separate"), 0),
            ("on", 10**3, Layout("matmul", channels_last=True), 2),
        ],
    )
    def test_cuda_finds_the_layout_that_only_compiling_makes_fast(
        self, dataset, monkeypatch, mode, trained, expected, tried
    ):
        data, architecture, recipe = setting(dataset)
        data.device = torch.device("cuda", 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**40, 0))
        monkeypatch.setattr(tuning.fused, "available", lambda: False)
        compiled = []

        def seconds(data, architecture, recipe, size, batch, execution):
            compiled.extend([execution.layout] * execution.compiled)
            each = {"separate": 1.0, "grouped": 1.2, "matmul": 1.4}[execution.layout.convolution]
            if execution.layout.channels_last:
                each = (0.5 if execution.compiled else 3.0) * 2.6 / (1.2 + each)
            return 5e-4 * each

        monkeypatch.setattr(tuning, "seconds_per_image", seconds)
        monkeypatch.setattr(tuning, "scoring_seconds_per_image", lambda *_: 1e-4)
        work = replace(WORK, trials=4, trained=trained, cuda_networks=1)
        engine = choose_engine(data, architecture, recipe, work, **{**CHOICE, "compile_mode": mode})
        assert engine.execution.layout == expected
        assert engine.execution.scoring in (Layout(), expected)
        assert engine.execution.compiled is (tried > 0)
        assert len(compiled) == tried

    def test_compiled_layouts_that_all_fail_leave_what_was_measured(self, dataset, monkeypatch):
        data, architecture, recipe = setting(dataset)
        data.device = torch.device("cuda", 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**40, 0))
        monkeypatch.setattr(
            tuning, "seconds_per_image", lambda *known: float("inf") if known[-1].compiled else 1e-6
        )
        monkeypatch.setattr(tuning, "scoring_seconds_per_image", lambda *_: 1e-6)
        engine = choose_engine(data, architecture, recipe, WORK, **{**CHOICE, "compile_mode": "on"})
        assert not engine.execution.compiled
        assert "1,000,000 images/s" in engine.note

    def test_scoring_counts_as_what_it_was_measured_to_take(self, dataset, monkeypatch):
        data, architecture, recipe = setting(dataset)
        data.device = torch.device("cuda", 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**40, 0))
        monkeypatch.setattr(
            tuning, "seconds_per_image", lambda *arguments: 1e-6 / (1 + arguments[-1].compiled)
        )
        work = replace(WORK, trials=10, trained=10**6, scored=10**6)
        for each, compiles in ((1e-6, False), (1e-5, True)):
            monkeypatch.setattr(tuning, "scoring_seconds_per_image", lambda *_, known=each: known)
            engine = choose_engine(data, architecture, recipe, work, **CHOICE)
            assert engine.execution.compiled is compiles

    def test_fused_blocks_are_candidates_on_a_card_only(self, monkeypatch):
        cuda = torch.device("cuda", 0)
        usual, other = (
            ConvNetConfig(norm=each).architecture((3, 32, 32), 10) for each in ("instance", "group")
        )
        for known in (True, False):
            monkeypatch.setattr(tuning.fused, "available", lambda there=known: there)
            assert any(each.fused for each in tuning.layouts(usual, cuda)) is known
            assert not any(each.fused for each in tuning.layouts(usual, CPU))
        monkeypatch.setattr(tuning.fused, "available", lambda: True)
        assert not any(each.fused for each in tuning.layouts(other, cuda))

    def test_cuda_measures_nothing_where_it_is_to_be_deterministic(self, dataset, monkeypatch):
        data, architecture, recipe = setting(dataset)
        data.device = torch.device("cuda", 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 2**40))  # not what is free by chance
        monkeypatch.setattr(tuning, "seconds_per_image", lambda *_: pytest.fail("measured"))
        engine = choose_engine(data, architecture, recipe, WORK, **{**CHOICE, "deterministic": True})
        assert engine.execution == Execution(graph=True)
        assert engine.size == 4
        nothing = replace(WORK, trials=0)
        assert choose_engine(data, architecture, recipe, nothing, **CHOICE).note == ""

    def test_measuring_leaves_a_number(self, dataset):
        data, architecture, recipe = setting(dataset)
        assert 0 < tuning.seconds_per_image(data, architecture, recipe, 2, 16, Execution()) < 1
        assert 0 < tuning.scoring_seconds_per_image(data, architecture, 2, "float32", Execution()) < 1

    def test_what_memory_does_not_hold_is_no_candidate(self, dataset, monkeypatch):
        def full(*_):
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

        monkeypatch.setattr(tuning, "Stepper", full)
        assert tuning.seconds_per_image(*setting(dataset), 2, 16, Execution()) == float("inf")


def test_on_a_card_the_compiler_leaves_the_order_in_memory_to_the_layout(dataset, monkeypatch):
    asked = []
    compiler = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda *a, **options: asked.append(options["options"]) or compiler(*a, **options)
    )
    architecture = setting(dataset)[1]
    executing.losses_function.cache_clear()
    for layout in (Layout(), Layout(channels_last=True)):
        for device in (CPU, torch.device("cuda", 0)):  # torch.compile refuses options that it does not have
            executing.losses_function(architecture, layout, "bf16", compiled=True, device=device)
    assert asked == [None, {"layout_optimization": False}, None, {"layout_optimization": True}]


def test_more_shapes_are_compiled_than_dynamo_has_patience_for(dataset):
    """Each function has a code object of its own, by which Dynamo counts."""
    architecture = setting(dataset)[1]
    functions = [
        executing.losses_function(architecture, layout, "float32", compiled=True, device=CPU)
        for layout in LAYOUTS
    ]
    codes = {id(function._torchdynamo_orig_callable.__code__) for function in functions}
    assert len(codes) == len(functions)
