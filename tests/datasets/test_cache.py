"""Decoded images that are kept: decoded once, block by block, and again only where files have changed."""

import errno
import multiprocessing
import os
import shutil
import stat
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import goldore
from goldore import ConvNetConfig, LossRecipe, Watcher
from goldore.datasets import cache as cache_module
from goldore.datasets import folder as folder_module
from goldore.datasets import load_dataset, pictures
from goldore.datasets.cache import Entry, cache_folder, entry_at, list_cache
from goldore.datasets.dataset import is_glance, is_mapped
from goldore.errors import DatasetError
from goldore.training.images import Images

PER_CLASS, BLOCK = 6, 4


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(cache_module, "_BLOCK_IMAGES", BLOCK)


@pytest.fixture
def tree(tmp_path):
    """Two classes of six images in train/, of one each in val/: three blocks of four, and one."""
    random = np.random.default_rng(0)
    for split, number in (("train", PER_CLASS), ("val", 1)):
        for label in "ab":
            folder = tmp_path / "tree" / split / label
            folder.mkdir(parents=True)
            for each in range(number):
                pixels = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{each}.png")
    return tmp_path / "tree"


@pytest.fixture
def decoded(monkeypatch):
    """The files that were opened, by name, as they are."""
    opened = []
    real = pictures.open_picture

    def spy(file, image_size=None):
        opened.append(file.relative_to(file.parents[2]).as_posix())
        return real(file, image_size)

    monkeypatch.setattr(pictures, "open_picture", spy)
    return opened


def load(tree, folder, **options):
    return load_dataset(str(tree), cache=folder, **options)


def interrupt(tree, folder, monkeypatch, after):
    """Decode, and be stopped once the block that begins there is kept."""
    kept = Entry.keep

    def stop(self, block, images, seen):
        kept(self, block, images, seen)
        if block.start == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Entry, "keep", stop)
        with pytest.raises(KeyboardInterrupt):
            load(tree, folder)


def test_the_second_time_nothing_is_decoded_or_hashed_and_all_is_the_same(tree, tmp_path, decoded):
    plain = load(tree, None)
    decoded.clear()
    first = load(tree, tmp_path / "c")
    assert len(set(decoded)) == 2 * PER_CLASS + 2
    assert len(decoded) == len(set(decoded)) + 2  # the first of each split says the size
    decoded.clear()
    second = load(tree, tmp_path / "c")
    assert not decoded
    assert {"_hashes", "_normalization"} <= vars(second).keys()
    for each in (first, second):
        assert is_mapped(each.images)
        assert is_mapped(each.test_images)
        assert not each.images.flags.writeable
        np.testing.assert_array_equal(each.images, plain.images)
        np.testing.assert_array_equal(each.test_images, plain.test_images)
        np.testing.assert_array_equal(each.sample_hash, plain.sample_hash)
        assert each.fingerprint == plain.fingerprint
        assert each.normalization() == plain.normalization()
        assert each.reading == plain.reading
        assert each.paths == plain.paths


def test_another_name_keeps_what_is_known_of_the_pixels(tree, tmp_path):
    load(tree, tmp_path / "c")
    named = load_dataset(load(tree, tmp_path / "c"), name="other")
    assert named.name == "other"
    assert {"_hashes", "_normalization"} <= vars(named).keys()


def test_a_changed_file_is_decoded_again_with_its_block_alone(tree, tmp_path, decoded):
    before = load(tree, tmp_path / "c")
    old = before.images[5].copy()
    Image.new("RGB", (7, 5), "red").save(tree / "train" / "a" / "5.png")
    decoded.clear()
    after = load(tree, tmp_path / "c")
    # the first file says which size the images have
    assert sorted(set(decoded)) == ["train/a/0.png", "train/a/4.png", "train/a/5.png"] + [
        f"train/b/{each}.png" for each in (0, 1)
    ]
    np.testing.assert_array_equal(after.images, load(tree, None).images)
    assert after.fingerprint == load(tree, None).fingerprint
    np.testing.assert_array_equal(before.images[5], old)  # whoever has mapped it keeps it


def test_an_image_more_is_noticed(tree, tmp_path):
    load(tree, tmp_path / "c")
    Image.new("RGB", (7, 5), "red").save(tree / "train" / "a" / "a.png")
    after = load(tree, tmp_path / "c")
    np.testing.assert_array_equal(after.images, load(tree, None).images)
    assert len(after) == 2 * PER_CLASS + 1


def test_an_interrupted_decoding_goes_on(tree, tmp_path, monkeypatch, decoded):
    interrupt(tree, tmp_path / "c", monkeypatch, after=BLOCK)
    (there,) = list_cache(tmp_path / "c")
    assert (there.images, there.complete) == (2 * BLOCK, False)
    journal = tmp_path / "c" / there.name / "blocks.jsonl"
    with journal.open("a") as file:
        file.write('{"first": 8, "files"')  # a line that was cut short
    decoded.clear()
    dataset = load(tree, tmp_path / "c")
    train = {name for name in decoded if name.startswith("train")}
    assert train == {"train/a/0.png", *(f"train/b/{each}.png" for each in (2, 3, 4, 5))}
    plain = load(tree, None)
    np.testing.assert_array_equal(dataset.images, plain.images)
    assert dataset.reading == plain.reading
    assert sorted(each.name for each in (tmp_path / "c" / there.name).iterdir()) == [
        "entry.json",
        "hashes.npy",
        "images.npy",
    ]


def test_a_damaged_file_costs_its_block_alone(tree, tmp_path, decoded):
    broken = tree / "train" / "b" / "5.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:20])
    with pytest.raises(DatasetError, match=r"b/5\.png cannot be decoded"):
        load(tree, tmp_path / "c")
    broken.write_bytes(whole)
    decoded.clear()
    dataset = load(tree, tmp_path / "c")
    assert {each for each in decoded if each.startswith("train")} == {
        "train/a/0.png",
        *(f"train/b/{each}.png" for each in (2, 3, 4, 5)),
    }
    np.testing.assert_array_equal(dataset.images, load(tree, None).images)


def test_other_sizes_and_classes_are_other_entries(tree, tmp_path):
    for options in ({}, {"image_size": 4}, {"classes": ["a", "b"]}, {"classes": ["b", "a"], "image_size": 4}):
        kept = load(tree, tmp_path / "c", **options)
        np.testing.assert_array_equal(kept.images, load(tree, None, **options).images)
    assert len(list_cache(tmp_path / "c")) == 8


def test_few_images_are_kept_only_where_that_is_asked_for(tree, monkeypatch, tmp_path):
    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "images"
    assert not is_mapped(load(tree, "auto").images)
    assert not cache_folder().exists()
    monkeypatch.setattr(cache_module, "FEWEST", 2 * PER_CLASS)
    assert is_mapped(load(tree, "auto").images)
    assert not is_mapped(load(tree, "auto").test_images)
    assert not is_mapped(load(tree, "none").images)
    monkeypatch.delenv("GOLDORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "goldore" / "images"


def test_a_full_disk_is_said_and_memory_is_taken_unless_the_cache_was_asked_for(tree, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path))
    monkeypatch.setattr(cache_module, "FEWEST", 1)
    monkeypatch.setattr(os, "posix_fallocate", full)
    dataset = load(tree, "auto")
    assert not is_mapped(dataset.images)
    assert any("are not kept in" in note and "No space left" in note for note in dataset.reading.notes)
    with pytest.raises(DatasetError, match=r"cannot be kept in .*No space left.*`cache`"):
        load(tree, tmp_path / "c")


def test_a_folder_that_cannot_be_made_is_said(tree, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be kept in"):
        load(tree, tmp_path / "file" / "c")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_can_only_be_read_serves(tree, tmp_path, decoded):
    load(tree, tmp_path / "c")
    for folder in (tmp_path / "c").iterdir():
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    decoded.clear()
    load(tree, tmp_path / "c")
    assert not decoded


def _load_in_process(tree, folder, queue):
    opened = []
    real = pictures.open_picture

    def slow(file, image_size=None):
        opened.append(str(file))
        time.sleep(0.05)
        return real(file, image_size)

    pictures.open_picture = slow
    dataset = load(tree, folder)
    queue.put((len(opened), dataset.fingerprint))


def test_processes_that_start_together_decode_once(tree, tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_load_in_process, args=(tree, tmp_path / "c", queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(opened for opened, _ in found) == 2 * PER_CLASS + 2 + 2
    assert len({fingerprint for _, fingerprint in found}) == 1


def test_damage_is_found_block_by_block_and_strange_folders_are_left_alone(tree, tmp_path):
    load(tree, tmp_path / "c")
    (tmp_path / "c" / "other").mkdir()
    (tmp_path / "c" / "other" / "file").write_text("mine")
    first, second = list_cache(tmp_path / "c")
    assert (first.images, second.images, first.shape) == (2, 2 * PER_CLASS, (3, 5, 7))
    entry = entry_at(tmp_path / "c" / second.name)
    assert entry.damaged() == []
    content = bytearray(entry.path.read_bytes())
    content[128 + 5 * 105] ^= 1  # of the sixth image, which is in the second block
    entry.path.write_bytes(bytes(content))
    assert entry.damaged() == [1]


@pytest.mark.parametrize("damage", ["{", '{"shape": 3}', "[]"])
def test_a_damaged_record_is_decoded_again(tree, tmp_path, damage):
    load(tree, tmp_path / "c")
    for folder in (tmp_path / "c").iterdir():
        (folder / "entry.json").write_text(damage)
    np.testing.assert_array_equal(load(tree, tmp_path / "c").images, load(tree, None).images)


def test_a_missing_or_short_array_is_decoded_again(tree, tmp_path):
    load(tree, tmp_path / "c")
    for folder in (tmp_path / "c").iterdir():
        os.truncate(folder / "images.npy", 200)
    np.testing.assert_array_equal(load(tree, tmp_path / "c").images, load(tree, None).images)
    for folder in (tmp_path / "c").iterdir():
        (folder / "images.npy").unlink()
    np.testing.assert_array_equal(load(tree, tmp_path / "c").images, load(tree, None).images)


def test_a_moved_cache_serves(tree, tmp_path, decoded):
    load(tree, tmp_path / "c")
    shutil.move(tmp_path / "c", tmp_path / "d")
    decoded.clear()
    load(tree, tmp_path / "d")
    assert not decoded


def test_arrays_in_npy_files_are_mapped(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "x_train.npy", images)
    np.save(tmp_path / "y_train.npy", np.arange(6) % 2)
    dataset = load_dataset(str(tmp_path))
    assert is_mapped(dataset.images)
    np.testing.assert_array_equal(dataset.images, images.transpose(0, 3, 1, 2))


def test_a_dry_run_decodes_some_of_many_and_keeps_nothing(tree, tmp_path, monkeypatch, decoded):
    monkeypatch.setattr(folder_module, "MANY", 2 * PER_CLASS)
    monkeypatch.setattr(folder_module, "LOOKED_AT", 3)
    dataset = load(tree, tmp_path / "c", looks_only=True)
    assert not (tmp_path / "c").exists()
    train = {each for each in decoded if each.startswith("train")}
    assert len(train) == 3
    assert is_glance(dataset.images)
    assert dataset.images.shape == (2 * PER_CLASS, 3, 5, 7)
    assert dataset.fingerprint == ""
    assert any("is decoded once, in about" in note and "1.2 KiB in" in note for note in dataset.reading.notes)
    assert dataset.reading.splits[0].images == 2 * PER_CLASS
    load(tree, tmp_path / "c")
    decoded.clear()
    kept = load(tree, tmp_path / "c", looks_only=True)
    assert not decoded
    assert is_mapped(kept.images)
    assert kept.fingerprint
    few = load(tree, None, looks_only=True)
    assert not is_glance(few.images)


def test_a_dry_run_says_what_many_images_would_take(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "MANY", 2 * PER_CLASS)
    forecasts = []

    class Told(Watcher):
        def forecast(self, plan, forecast):
            forecasts.append((plan.run.recipe.shuffle, forecast))

    goldore.score(
        str(tree), cache=tmp_path / "c", dry_run=True, watcher=Told(), device="cpu", out=tmp_path / "x.h5",
        recipe=LossRecipe(network=ConvNetConfig(width=2, depth=1)),
    )  # fmt: skip
    ((shuffle, forecast),) = forecasts
    assert shuffle == "exact"
    assert 0 < forecast.epoch < forecast.seconds
    assert {each.name for each in tmp_path.iterdir()} == {"tree"}


def test_paths_are_below_the_folder_however_it_is_spelled(tree, monkeypatch):
    expected = load(tree / "train", None).paths
    assert expected[0] == "a/0.png"
    monkeypatch.chdir(tree / "train")
    for spelled in (".", "./", "../train", "../train/"):
        assert load(spelled, None).paths == expected


def test_lines_of_another_decoding_never_count(tree, tmp_path, monkeypatch):
    """A file is added after an interruption, and the disk is full at the next start, but not later."""
    interrupt(tree, tmp_path / "c", monkeypatch, after=0)
    Image.new("RGB", (7, 5), "red").save(tree / "train" / "b" / "z.png")
    real = os.posix_fallocate

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DatasetError, match="No space left"):
        load(tree, tmp_path / "c")
    monkeypatch.setattr(os, "posix_fallocate", real)
    np.testing.assert_array_equal(load(tree, tmp_path / "c").images, load(tree, None).images)


def test_a_block_that_is_not_as_its_line_says_is_decoded_again(tree, tmp_path, monkeypatch):
    interrupt(tree, tmp_path / "c", monkeypatch, after=0)
    (entry,) = (tmp_path / "c").iterdir()
    content = bytearray((entry / "images.part").read_bytes())
    content[128] ^= 1
    (entry / "images.part").write_bytes(bytes(content))
    np.testing.assert_array_equal(load(tree, tmp_path / "c").images, load(tree, None).images)


def test_a_disk_that_is_full_at_the_last_step_costs_no_decoding(tree, tmp_path, monkeypatch, decoded):
    save = Entry._save

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Entry, "_save", full)
    with pytest.raises(DatasetError, match="No space left"):
        load(tree, tmp_path / "c")
    (there,) = list_cache(tmp_path / "c")
    assert (there.images, there.complete) == (2 * PER_CLASS, False)
    monkeypatch.setattr(Entry, "_save", save)
    decoded.clear()
    dataset = load(tree, tmp_path / "c")
    assert {each for each in decoded if each.startswith("train")} == {"train/a/0.png"}  # for the size
    np.testing.assert_array_equal(dataset.images, load(tree, None).images)


def test_what_is_known_of_older_images_is_not_kept_with_newer_ones(tree, tmp_path):
    before = load(tree, tmp_path / "c")
    Image.new("RGB", (7, 5), "red").save(tree / "train" / "a" / "5.png")
    truth = load(tree, None).fingerprint
    load(tree, tmp_path / "c")
    entry = entry_at(next(each for each in (tmp_path / "c").iterdir() if "train" in each.name))
    entry._save(replace(entry.record(), fingerprint=""))
    entry.identify(before)
    assert load(tree, tmp_path / "c").fingerprint == truth


def test_images_that_were_removed_serve_whoever_has_them(tree, tmp_path):
    dataset = load(tree, tmp_path / "c")
    for each in list_cache(tmp_path / "c"):
        cache_module.remove_entry(tmp_path / "c" / each.name)
    assert list((tmp_path / "c").iterdir()) == []
    images = Images(dataset.images, torch.device("cpu"))
    np.testing.assert_array_equal(images.run(0, 3).numpy(), load(tree, None).images[:3])
