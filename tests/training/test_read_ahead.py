"""Images on a disk: asked for before they are needed, never copied, and scored as those in memory."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import goldore
from goldore import ConvNetConfig, FoldRecipe, LossRecipe, UtilityRecipe
from goldore.datasets import load_dataset
from goldore.datasets.dataset import is_mapped
from goldore.runs import job
from goldore.training import memory, read_ahead
from goldore.training.images import Images
from goldore.training.read_ahead import ReadAhead
from tests.conftest import make_dataset

CPU = torch.device("cpu")


@pytest.fixture
def asked(monkeypatch):
    """What the system is asked for: offset and length."""
    found = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, offset, length, __: found.append((offset, length)))
    return found


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (20, 3, 4, 5), dtype=np.uint8))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def wait(reading):
    reading._thread.submit(lambda: None).result()


def test_what_fits_is_asked_for_at_once(mapped, asked):
    reading = ReadAhead(mapped)
    wait(reading)
    assert asked == [(128, 20 * 60)]
    assert list(reading.follow(np.zeros((20, 1), np.int64), 4, None)) == []


def test_of_more_the_next_steps_are_asked_for(mapped, asked, monkeypatch):
    monkeypatch.setattr(read_ahead, "host_memory", lambda: 2000)
    reading = ReadAhead(mapped)
    order = np.array([3, 7, 8, 9, 1, 0, 5, 2])[:, None]
    steps = reading.follow(order, 2, None)
    next(steps)
    wait(reading)
    assert asked == [(128, 60 * 3), (128 + 60 * 5, 60), (128 + 60 * 8, 120)]  # 8 9, 1 0, 5 2: side by side
    assert len(list(steps)) == 3
    wait(reading)  # what is asked for later must not be counted by the next test


def test_windows_are_asked_for_in_pieces_and_one_ahead(mapped, asked, monkeypatch):
    monkeypatch.setattr(read_ahead, "host_memory", lambda: 2000)
    reading = ReadAhead(mapped)
    windows = [np.array([4, 5, 0, 1]), np.array([8, 9, 2, 3]), np.array([6, 7, 10, 11])]
    order = np.concatenate(windows)[:, None]
    seen = []
    for _ in reading.follow(order, 2, windows):
        wait(reading)
        seen.append(len(asked))
    assert asked[:2] == [(128, 120), (128 + 240, 120)]
    assert seen == [4, 4, 6, 6, 6, 6]


def test_a_view_with_channels_last_has_the_rows_of_its_file(tmp_path, asked):
    np.save(tmp_path / "x.npy", np.zeros((20, 4, 5, 3), dtype=np.uint8))
    view = np.load(tmp_path / "x.npy", mmap_mode="r")[2:].transpose(0, 3, 1, 2)
    reading = ReadAhead(view)
    reading.rows(np.array([1]))
    wait(reading)
    assert asked[-1] == (128 + 3 * 60, 60)


def test_mapped_images_are_shared_with_the_file(mapped):
    images = Images(mapped, CPU)
    assert images._images.data_ptr() == mapped.__array_interface__["data"][0]
    np.testing.assert_array_equal(images.take(torch.tensor([[3, 4]])).numpy()[0], mapped[3:5])


def test_mapped_images_with_channels_last_are_computed_with_as_others_are(tmp_path):
    """Convolutions round by the strides: the scores were not to the bit those of a copy in memory."""
    stored = np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", stored)
    view = np.load(tmp_path / "x.npy", mmap_mode="r").transpose(0, 3, 1, 2)
    images, rows = Images(view, CPU), torch.tensor([[3, 4], [0, 19]])
    for found, expected in ((images.take(rows), view[rows.numpy()]), (images.run(2, 9), view[2:9])):
        assert found.is_contiguous()
        np.testing.assert_array_equal(found.numpy(), expected)


RECIPE = LossRecipe(network=ConvNetConfig(depth=1, width=4), epochs=3, batch_size=16)
ABOUT = {
    "scores": "LossInit,LossConverge,HeldOutLoss,MonteCarlo,KernelUtility",
    "trials": 2,
    "fold_trials": 1,
    "fold": FoldRecipe(network=RECIPE.network, epochs=2, folds=2),
    "utility": UtilityRecipe(network=RECIPE.network, steps=2, subset_per_class=2),
    "utility_trials": 20,
    "device": "cpu",
}


@pytest.mark.parametrize("channels", ["first", "last"])
def test_scores_are_those_of_images_in_memory(tmp_path, channels):
    dataset = make_dataset(channels=3)
    folder = tmp_path / "d"
    folder.mkdir()
    for name, values in {"x_train": dataset.images, "y_train": dataset.labels, "x_test": dataset.test_images,
                         "y_test": dataset.test_labels}.items():  # fmt: skip
        stored = values.transpose(0, 2, 3, 1) if channels == "last" and values.ndim > 1 else values
        np.save(folder / f"{name}.npy", np.ascontiguousarray(stored))
    on_disk = load_dataset(str(folder), channels=channels, name=dataset.name)
    assert is_mapped(on_disk.images)
    in_memory = load_dataset(((dataset.images, dataset.labels), (dataset.test_images, dataset.test_labels)))
    for name, each in (("disk", on_disk), ("memory", in_memory)):
        goldore.score(each, out=tmp_path / f"{name}.h5", recipe=RECIPE, **ABOUT)
    first, second = (goldore.load_scores(tmp_path / f"{name}.h5") for name in ("disk", "memory"))
    for name, score in first.scores.items():
        np.testing.assert_array_equal(score.values, second.scores[name].values)


def test_the_default_is_exact_where_images_fit_and_stays_what_the_file_has(tmp_path, monkeypatch):
    dataset = make_dataset()
    np.save(tmp_path / "x_train.npy", dataset.images)
    np.save(tmp_path / "y_train.npy", dataset.labels)
    on_disk = load_dataset(str(tmp_path), channels="first")
    about = {"recipe": RECIPE, "device": "cpu", "trials": 1}
    fits = goldore.score(on_disk, out=tmp_path / "a.h5", **about)
    assert fits.loss_trials.recipe.shuffle == "exact"
    monkeypatch.setattr(job, "host_memory", lambda: dataset.images.nbytes)
    blocks = goldore.score(on_disk, out=tmp_path / "b.h5", **about)
    block, window = map(int, re.fullmatch(r"blocks:(\d+):(\d+)", blocks.loss_trials.recipe.shuffle).groups())
    assert (block, window) == (2**20 // 64, 2**20 // 64)
    kept = goldore.score(on_disk, out=tmp_path / "a.h5", **about | {"trials": 2})
    assert kept.loss_trials.recipe.shuffle == "exact"
    assert len(kept.loss_trials.done) == 2
    in_memory = goldore.score(dataset, out=tmp_path / "c.h5", **about)
    assert in_memory.loss_trials.recipe.shuffle == "exact"


def test_blocks_do_not_depend_on_how_many_networks_train_together(tmp_path):
    dataset = make_dataset()
    recipe = LossRecipe(network=RECIPE.network, epochs=3, batch_size=16, shuffle="blocks:5:20")
    for size in (1, 2):
        goldore.score(
            dataset, out=tmp_path / f"{size}.h5", recipe=recipe, trials=2, device="cpu", ensemble_size=size
        )
    one, two = (goldore.load_scores(tmp_path / f"{size}.h5").scores["LossConverge"] for size in (1, 2))
    np.testing.assert_allclose(one.values, two.values, rtol=1e-3)
    exact = goldore.score(dataset, out=tmp_path / "e.h5", recipe=RECIPE, trials=2, device="cpu")
    assert np.abs(one.values - exact.scores["LossConverge"].values).max() > 1e-3


MEASURED = """
import sys, threading, time, goldore
from goldore import ConvNetConfig, LossRecipe
peak, ended = 0, threading.Event()
def watch():
    global peak
    while not ended.wait(0.005):
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon"):
                peak = max(peak, int(line.split()[1]))
thread = threading.Thread(target=watch); thread.start()
recipe = LossRecipe(network=ConvNetConfig(depth=1, width=2), epochs=1, batch_size=16, shuffle=sys.argv[2])
goldore.score(sys.argv[1], recipe=recipe, trials=1, device="cpu", out=sys.argv[1] + ".h5", compile_mode="off")
ended.set(); thread.join()
print(peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")  # noqa: PTH110
def test_memory_does_not_grow_with_the_images(tmp_path):
    """39 MB of images take less than 15 MB more of a process's own memory than 10 MB do."""
    random, taken = np.random.default_rng(0), {}
    for name, count, shuffle in (
        ("few", 64, "exact"),
        ("many", 256, "exact"),
        ("blocks", 256, "blocks:6:192"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        images = np.lib.format.open_memmap(
            folder / "x_train.npy", mode="w+", dtype=np.uint8, shape=(count, 3, 224, 224)
        )
        for start in range(0, count, 16):
            images[start : start + 16] = random.integers(0, 256, (16, 3, 224, 224), dtype=np.uint8)
        np.save(folder / "y_train.npy", np.arange(count) % 2)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(MEASURED), str(folder), shuffle],
            check=True, capture_output=True, encoding="utf-8", timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"},
        )  # fmt: skip
        taken[name] = int(done.stdout.split()[-1]) / 1024
    assert taken["many"] - taken["few"] < 15
    assert taken["blocks"] - taken["few"] < 15


def test_what_a_control_group_allows_is_all_there_is(tmp_path, monkeypatch):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cgroup").write_text("0::/job\n")
    monkeypatch.setitem(memory._GROUPS, "", (str(tmp_path), "memory.max"))
    real = memory.Path
    monkeypatch.setattr(
        memory,
        "Path",
        lambda *parts: tmp_path / "cgroup" if parts == ("/proc/self/cgroup",) else real(*parts),
    )
    assert memory.host_memory() == 1_000_000


def test_a_reversed_view_is_copied(mapped):
    images = Images(mapped[::-1], CPU)
    np.testing.assert_array_equal(images.run(0, 2).numpy(), mapped[::-1][:2])
