import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import goldore
from goldore.errors import DatasetError, GoldoreError, OutOfMemoryError, ScoreFileError, UsageError
from goldore.networks.config import ConvNetConfig
from goldore.runs.job import complete_recipe
from goldore.runs.watching import Watcher
from goldore.store import default_path
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.conftest import diverge, edited

RECIPE = LossRecipe(network=ConvNetConfig(depth=1, width=4), epochs=4, batch_size=16, lr=0.05)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "scores.h5"


def test_scores_are_the_means_of_what_the_trials_recorded(dataset, out):
    file = goldore.score(dataset, trials=3, recipe=RECIPE, out=out, device="cpu")
    with h5py.File(out) as raw:
        for name in ("LossInit", "LossConverge"):
            rows = raw[f"trials/loss/{name}"][()].astype(float)
            assert rows.shape == (3, 60)
            np.testing.assert_allclose(file.scores[name].values, rows.mean(0))
    assert file.scores["LossConverge"].values.mean() < file.scores["LossInit"].values.mean()
    assert file.scores["LossInit"].reliability > 0


def test_running_again_adds_only_what_is_missing(dataset, out):
    class Count(Watcher):
        ran: list[int]

        def started(self, trials):
            self.ran += [trial.number for trial in trials]

    counts = []
    for trials in (2, 2, 4):
        watcher = Count()
        watcher.ran = []
        piecewise = goldore.score(
            dataset, trials=trials, recipe=RECIPE, out=out, device="cpu", watcher=watcher
        )
        counts.append(watcher.ran)
    assert counts == [[0, 1], [], [2, 3]]
    whole = goldore.score(
        dataset, trials=4, recipe=RECIPE, out=out.with_name("w.h5"), device="cpu", ensemble_size=1
    )
    for name, score in whole.scores.items():
        assert np.array_equal(score.values, piecewise.scores[name].values)


def test_scores_do_not_depend_on_the_ensemble_size(dataset, out, tmp_path):
    one, four = (
        goldore.score(
            dataset, trials=4, recipe=RECIPE, out=tmp_path / f"{size}.h5", device="cpu", ensemble_size=size
        )
        for size in (1, 4)
    )
    for name, score in one.scores.items():
        np.testing.assert_allclose(score.values, four.scores[name].values, rtol=1e-3, atol=1e-4)
    assert one.loss_trials.seed.tolist() == four.loss_trials.seed.tolist()


def test_an_interrupt_keeps_the_finished_trials(dataset, out):
    class Interrupt(Watcher):
        def started(self, trials):
            if trials[0].number == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        goldore.score(dataset, trials=4, recipe=RECIPE, out=out, device="cpu", watcher=Interrupt())
    assert goldore.load_scores(out).loss_trials.done == (0, 1)
    assert list(out.parent.iterdir()) == [out]
    resumed = goldore.score(dataset, trials=4, recipe=RECIPE, out=out, device="cpu")
    assert resumed.loss_trials.done == (0, 1, 2, 3)


def test_loss_init_alone_trains_only_the_first_epochs_and_equals_that_of_both(dataset, out, tmp_path):
    alone = goldore.score(dataset, scores=["loss-init"], trials=1, recipe=RECIPE, out=out, device="cpu")
    both = goldore.score(dataset, trials=1, recipe=RECIPE, out=tmp_path / "both.h5", device="cpu")
    assert alone.score_names == ("LossInit",)
    assert np.isnan(alone.loss_trials.train_loss[0]).tolist() == [False, False, True, True]
    assert np.array_equal(alone.scores["LossInit"].values, both.scores["LossInit"].values)


@pytest.mark.parametrize("change", [{"seed": 1}, {"recipe": dataclasses.replace(RECIPE, lr=0.1)}])
def test_another_run_leaves_the_file_alone_unless_told(dataset, out, change):
    goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")
    before = out.read_bytes()
    arguments = {"trials": 1, "recipe": RECIPE, "out": out, "device": "cpu", **change}
    with pytest.raises(ScoreFileError, match=r"there / .* now"):
        goldore.score(dataset, **arguments)
    assert out.read_bytes() == before
    replaced = goldore.score(dataset, **arguments, overwrite=True)
    assert replaced.loss_trials.recipe.lr == arguments["recipe"].lr


def test_overwrite_keeps_the_old_file_until_a_trial_is_done(dataset, out):
    class Interrupt(Watcher):
        def started(self, trials):
            raise KeyboardInterrupt

    goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")
    before = out.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        goldore.score(
            dataset,
            trials=1,
            recipe=RECIPE,
            seed=1,
            out=out,
            device="cpu",
            overwrite=True,
            watcher=Interrupt(),
        )
    assert out.read_bytes() == before


def test_when_all_trials_diverge_nothing_is_written(dataset, out):
    recipe = dataclasses.replace(RECIPE, lr=1e30)
    with pytest.raises(GoldoreError, match=r"every trial diverged.*lower `lr`"):
        goldore.score(dataset, trials=2, recipe=recipe, out=out, device="cpu")
    assert list(out.parent.iterdir()) == []


def test_a_diverged_trial_is_marked_and_not_averaged(dataset, out, monkeypatch):
    diverge(monkeypatch, make_trials(0, [0]))
    file = goldore.score(dataset, trials=3, recipe=RECIPE, out=out, device="cpu")
    assert file.loss_trials.failed == (0,)
    assert file.loss_trials.done == (1, 2)
    assert file.scores["LossConverge"].trials == 2
    assert np.isfinite(file.scores["LossConverge"].values).all()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_out_of_memory_says_what_to_lower(dataset, out, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("goldore.runs.loss_stage.train", fail)
    with pytest.raises(OutOfMemoryError, match="`ensemble_size`"):
        goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")
    assert not out.exists()


def test_other_runtime_errors_are_not_hidden(dataset, out, monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("goldore.runs.loss_stage.train", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")


def test_a_full_disk_keeps_the_previous_state(dataset, out, monkeypatch):
    goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")
    before = out.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("goldore.store.loss_trials.LOSS.add", fail)
    with pytest.raises(GoldoreError, match=r"No space left on device.*previous state is kept"):
        goldore.score(dataset, trials=2, recipe=RECIPE, out=out, device="cpu")
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"scores": ["Loss"]}, UsageError, "no score named 'Loss'"),
        ({"scores": []}, UsageError, "scores is empty"),
        ({"trials": 0}, UsageError, "`trials` is 0"),
        ({"seed": -1}, UsageError, "`seed` is -1"),
        ({"ensemble_size": 0}, UsageError, "`ensemble_size` is 0"),
        ({"device": "tpu"}, UsageError, "`device` is 'tpu'"),
        ({"device": "mps"}, UsageError, "choose auto, cuda"),
        ({"recipe": dataclasses.replace(RECIPE, mean=(0.1, 0.2))}, UsageError, "`mean` has 2 numbers"),
        ({"recipe": LossRecipe(network=ConvNetConfig(depth=4))}, UsageError, "too small for 4 pooling"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(dataset, out, arguments, error, part):
    with pytest.raises(error, match=part):
        goldore.score(dataset, **{"recipe": RECIPE, "out": out, "device": "cpu", **arguments})
    assert not out.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_is_refused(dataset, out):
    with pytest.raises(UsageError, match="sees no CUDA device"):
        goldore.score(dataset, device="cuda", out=out)


def test_a_name_is_loaded_from_its_data_root(tmp_path):
    with pytest.raises(DatasetError, match="`data_root`"):
        goldore.score("CIFAR10", data_root=tmp_path / "nowhere")


def test_the_recipe_is_completed_from_the_dataset(dataset):
    complete = complete_recipe(LossRecipe(), dataset)
    scaled = dataset.images / 255
    assert complete.network.depth == 3
    assert complete.mean == pytest.approx((scaled.mean(),), abs=1e-6)
    assert complete.std == pytest.approx((scaled.std(),), abs=1e-6)
    given = complete_recipe(LossRecipe(mean=(0.0,), std=(0.5,)), dataset)
    assert (given.mean, given.std) == ((0.0,), (0.5,))


def test_the_cache_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("GOLDORE_CACHE", raising=False)
    assert str(default_path("MNIST")) == "scores_cache/MNIST.h5"
    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path))
    assert default_path("a/b") == tmp_path / "a_b.h5"


def test_overwrite_goes_on_with_its_own_run(dataset, out):
    first = goldore.score(dataset, trials=2, recipe=RECIPE, out=out, device="cpu", overwrite=True)

    class Interrupt(Watcher):
        def started(self, trials):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        goldore.score(
            dataset, trials=3, recipe=RECIPE, out=out, device="cpu", overwrite=True, watcher=Interrupt()
        )
    assert goldore.load_scores(out).loss_trials.done == first.loss_trials.done == (0, 1)


@pytest.mark.parametrize("there_before", [False, True])
def test_a_run_that_finds_its_file_changed_by_another_leaves_it_alone(dataset, out, tmp_path, there_before):
    if there_before:
        goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")

    other = dataclasses.replace(RECIPE, lr=0.3)
    goldore.score(dataset, trials=1, recipe=other, seed=9, out=tmp_path / "elsewhere" / "a.h5", device="cpu")

    class Rival(Watcher):
        def planned(self, plan):
            shutil.move(tmp_path / "elsewhere" / "a.h5", out)  # a lock does not keep it from that

    with pytest.raises(ScoreFileError, match=r"was changed by another run.*are in") as refusal:
        goldore.score(dataset, trials=2, recipe=RECIPE, out=out, device="cpu", watcher=Rival())
    file = goldore.load_scores(out)
    assert (file.loss_trials.base_seed, file.loss_trials.done) == (9, (0,))
    (beside,) = (each for each in out.parent.iterdir() if each != out and each.is_file())
    assert beside.name in str(refusal.value)
    assert goldore.load_scores(beside).loss_trials.base_seed == 0


@pytest.mark.parametrize("what", ["touch", "remove"])
def test_a_file_that_was_touched_or_removed_meanwhile_holds_all_trials_in_the_end(dataset, out, what):
    trained = []

    class Meddle(Watcher):
        def finished(self, results):
            trained.append(results[0].trial.number)
            if trained == [0]:
                os.utime(out, (1, 1)) if what == "touch" else shutil.rmtree(out.parent)

    file = goldore.score(dataset, trials=3, recipe=RECIPE, out=out, device="cpu", watcher=Meddle())
    assert file.loss_trials.done == (0, 1, 2)
    assert trained == ([0, 1, 2] if what == "touch" else [0, 1, 2, 0])


@pytest.mark.parametrize("damage", ["delete", "shape"])
def test_damage_in_the_trials_is_found_before_training(dataset, out, damage):
    goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")
    with edited(out) as file:
        del file["trials/loss/LossConverge"]
        if damage == "shape":
            file["trials/loss/LossConverge"] = np.zeros((1, 3), dtype=np.float32)

    class Fail(Watcher):
        def planned(self, plan):
            raise AssertionError("training must not begin")

    with pytest.raises(ScoreFileError, match="damaged"):
        goldore.score(dataset, trials=2, recipe=RECIPE, out=out, device="cpu", watcher=Fail())


def test_an_array_of_a_later_version_beside_the_trials_does_no_harm(dataset, out):
    goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")
    with edited(out) as file:
        file["trials/loss/note"] = np.arange(3)
    assert goldore.score(dataset, trials=2, recipe=RECIPE, out=out, device="cpu").loss_trials.done == (0, 1)


def test_overwrite_never_replaces_what_is_no_score_file(dataset, tmp_path):
    precious = tmp_path / "data.h5"
    with h5py.File(precious, "w") as file:
        file["x_train"] = np.zeros(3)
    before = precious.read_bytes()
    with pytest.raises(ScoreFileError, match="`overwrite` replaces nothing else"):
        goldore.score(dataset, trials=1, recipe=RECIPE, out=precious, device="cpu", overwrite=True)
    assert precious.read_bytes() == before


def test_scores_may_be_given_as_text(dataset, out):
    file = goldore.score(dataset, scores="loss-init", trials=1, recipe=RECIPE, out=out, device="cpu")
    assert file.score_names == ("LossInit",)


def test_the_plan_counts_the_epochs_that_are_trained(dataset, out):
    seen = []

    class See(Watcher):
        def planned(self, plan):
            seen.append(plan.epochs)

    recipe = dataclasses.replace(RECIPE, init_epochs=1)
    goldore.score(dataset, scores="LossInit", trials=1, recipe=recipe, out=out, device="cpu", watcher=See())
    assert seen == [1]


def test_a_recipe_keeps_its_open_windows_when_it_is_changed(dataset):
    shorter = dataclasses.replace(LossRecipe(epochs=10), epochs=4)
    complete = complete_recipe(shorter, dataset)
    assert (complete.init_epochs, complete.converge_epochs) == (2, 2)


_FULL_DISK = """
import resource, signal, sys
import goldore
from tests.conftest import make_dataset
from tests.runs.test_scoring import RECIPE

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
dataset, out = make_dataset(), sys.argv[1]
if sys.argv[2] == "later":
    goldore.score(dataset, trials=1, recipe=RECIPE, out=out, device="cpu")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    goldore.score(dataset, trials=2, recipe=RECIPE, out=out, device="cpu")
except goldore.GoldoreError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_file_that_may_not_grow_ends_in_a_sentence(tmp_path, when):
    out = tmp_path / "scores.h5"
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(out), when],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("GoldoreError")
    assert "File too large" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == (["scores.h5"] if when == "later" else [])
    if when == "later":
        assert goldore.load_scores(out).loss_trials.done == (0,)


def test_a_removed_file_is_not_replaced_by_diverged_trials_alone(dataset, out, monkeypatch):
    diverge(monkeypatch, make_trials(0, [1, 2]))

    class Remove(Watcher):
        def finished(self, results):
            out.unlink(missing_ok=True)

    with pytest.raises(GoldoreError, match="diverged"):
        goldore.score(dataset, trials=3, recipe=RECIPE, out=out, device="cpu", watcher=Remove())
    assert not out.exists()


@pytest.mark.parametrize(("scores", "sizes"), [("LossInit", (2, 1)), ("MonteCarlo", (2,))])
def test_out_of_memory_trains_fewer_at_once_and_loses_nothing(dataset, out, monkeypatch, scores, sizes):
    from goldore.training.stepping import Stepper

    class Lowered(Watcher):
        sizes = ()

        def ensemble_lowered(self, size):
            self.sizes += (size,)

    made = Stepper.__init__

    def limited(self, architecture, recipe, trials, *rest):
        if len(trials) > 3 or (len(trials) > 1 and trials[0].number >= 4):  # utility trials reuse a stepper
            raise torch.OutOfMemoryError("CUDA out of memory")
        made(self, architecture, recipe, trials, *rest)

    utility = goldore.UtilityRecipe(network=RECIPE.network, steps=3, subset_per_class=2)
    settings = {"scores": scores, "recipe": RECIPE, "utility": utility, "device": "cpu"}
    count = {"utility_trials": 9} if scores == "MonteCarlo" else {"trials": 9}
    whole = goldore.score(dataset, out=out.with_name("whole.h5"), ensemble_size=1, **settings, **count)
    monkeypatch.setattr(Stepper, "__init__", limited)
    watcher = Lowered()
    file = goldore.score(dataset, out=out, ensemble_size=4, watcher=watcher, **settings, **count)
    assert watcher.sizes == sizes
    trials = (file.utility_trials or file.loss_trials).done
    assert list(trials) == list(range(9))
    for name, score in whole.scores.items():
        np.testing.assert_allclose(file.scores[name].values, score.values, rtol=1e-3, atol=0.1)


def test_the_precision_of_a_file_is_kept_and_another_is_refused(dataset, out, monkeypatch):
    from goldore.training import devices

    half = dataclasses.replace(RECIPE, precision="bf16")
    goldore.score(dataset, trials=1, recipe=half, out=out, device="cpu")
    both = goldore.score(dataset, trials=2, recipe=RECIPE, out=out, device="cpu", overwrite=True)
    assert both.loss_trials.recipe.precision == "bf16"  # left open: as in the file
    assert len(both.loss_trials.done) == 2
    full = dataclasses.replace(RECIPE, precision="float32")
    with pytest.raises(ScoreFileError, match="precision: bf16 there / float32 now"):
        goldore.score(dataset, trials=2, recipe=full, out=out, device="cpu")
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"amx_bf16"})
    fresh = goldore.score(dataset, trials=1, recipe=RECIPE, out=out.with_name("b.h5"), device="cpu")
    assert fresh.loss_trials.recipe.precision == "bf16"


def test_deterministic_runs_give_the_same_bits(dataset, out):
    first, second = (
        goldore.score(
            dataset, trials=2, recipe=RECIPE, out=out.with_name(name), device="cpu", deterministic=True
        )
        for name in ("a.h5", "b.h5")
    )
    for name, score in first.scores.items():
        assert np.array_equal(score.values, second.scores[name].values)


def test_a_journal_whose_file_is_gone_is_not_thrown_away(dataset, tmp_path):
    out = tmp_path / "s.h5"
    journal = tmp_path / "s.h5.journal"
    journal.write_bytes(b"finished trials")
    with pytest.raises(ScoreFileError, match=r"a file that is no longer there; bring s\.h5 back"):
        goldore.score(dataset, out=out, trials=1, recipe=RECIPE, device="cpu")
    assert journal.read_bytes() == b"finished trials"
    assert not out.exists()
    goldore.score(dataset, out=out, trials=1, recipe=RECIPE, device="cpu", overwrite=True)
    assert not journal.exists()
