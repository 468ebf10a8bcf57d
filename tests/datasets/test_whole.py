"""Shards and files of Hugging Face's library are decoded once, like folder trees."""

import io
import json
import shutil
import tarfile
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

import goldore
from goldore.datasets import cache as caching
from goldore.datasets import items, shards, whole
from goldore.datasets.cache import Entry, entry_at, list_cache
from goldore.datasets.dataset import is_glance, is_mapped
from goldore.errors import DatasetError


def picture(number, mode="RGB", side=6):
    draw = np.random.default_rng(number)
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 65536, (side, side)).astype(np.uint16))
    if mode == "L":
        return Image.fromarray(draw.integers(0, 256, (side, side), dtype=np.uint8))
    return Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8))


def write_shard(path, modes, first=0):
    with tarfile.open(path, "w") as tar:
        for number, mode in enumerate(modes, first):
            content = io.BytesIO()
            picture(number, mode).save(content, "png")
            for suffix, text in (("png", content.getvalue()), ("cls", b"%d" % (number % 3))):
                member = tarfile.TarInfo(f"{number:05}.{suffix}")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))


@pytest.fixture
def source(tmp_path):
    for shard in range(2):
        write_shard(tmp_path / f"s-{shard}.tar", ["RGB"] * 10, 10 * shard)
    return str(tmp_path / "s-{0..1}.tar")


@pytest.fixture
def never(monkeypatch):
    """Nothing may be decoded from now on."""

    def forbid():
        def fail(*_, **__):
            raise AssertionError("it was decoded again")

        monkeypatch.setattr(shards, "load_object", fail)

    return forbid


def assert_same(one, other):
    for name in ("images", "labels", "test_images", "test_labels"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        assert first is None or np.array_equal(first, second), name
    for name in ("name", "class_names", "origin", "paths", "reading", "fingerprint"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.normalization() == other.normalization()


def test_the_second_start_decodes_nothing(source, tmp_path, never):
    plain = goldore.load_dataset(source, cache=None)
    first = goldore.load_dataset(source, cache=tmp_path / "c")
    never()
    second = goldore.load_dataset(source, cache=tmp_path / "c")
    assert not is_mapped(plain.images)
    assert is_mapped(first.images)
    assert is_mapped(second.images)
    assert second.images.flags.c_contiguous
    assert_same(first, plain)
    assert_same(second, plain)
    (kept,) = list_cache(tmp_path / "c")
    assert (kept.images, kept.shape, kept.complete) == (20, (3, 6, 6), True)
    assert entry_at(tmp_path / "c" / kept.name).damaged() == []


def test_what_has_changed_is_decoded_again(source, tmp_path):
    goldore.load_dataset(source, cache=tmp_path / "c")
    write_shard(tmp_path / "s-1.tar", ["RGB"] * 11, 50)
    assert_same(goldore.load_dataset(source, cache=tmp_path / "c"), goldore.load_dataset(source, cache=None))


@pytest.mark.parametrize(
    "modes",
    [["L", "L", "RGB", "L"], ["RGB", "L"], ["L"] * 3, ["I;16"] * 3],
    ids=["grey first", "colour first", "grey", "16 bits"],
)
def test_images_of_any_kind_are_those_in_memory(tmp_path, modes, never):
    path = str(tmp_path / "a.tar")
    write_shard(tmp_path / "a.tar", modes)
    plain = goldore.load_dataset(path, cache=None)
    assert_same(goldore.load_dataset(path, cache=tmp_path / "c"), plain)
    never()
    assert_same(goldore.load_dataset(path, cache=tmp_path / "c"), plain)


def test_another_size_is_another_entry(source, tmp_path):
    for size in (4, 5, 4):
        dataset = goldore.load_dataset(source, cache=tmp_path / "c", image_size=size)
        assert dataset.image_shape == (3, size, size)
    assert len(list_cache(tmp_path / "c")) == 2


def interrupt_at(monkeypatch, stop):
    """The positions that are asked for, of which one interrupts."""
    read, asked = items._Items._as_it_is, []

    def interrupted(self, position):
        asked.append(position)
        if position == stop:
            raise KeyboardInterrupt
        return read(self, position)

    monkeypatch.setattr(items._Items, "_as_it_is", interrupted)
    return asked


@pytest.fixture
def interrupted(monkeypatch):
    """Stop the decoding of a dataset at its image 13, with blocks of four."""
    monkeypatch.setattr(caching, "_BLOCK_IMAGES", 4)
    monkeypatch.setattr(items, "_AHEAD", 1)

    def stop(source, cache):
        with monkeypatch.context() as patch:
            interrupt_at(patch, 13)
            with pytest.raises(KeyboardInterrupt):
                goldore.load_dataset(source, cache=cache)

    return stop


MODES = {
    "grey, then colour": ["L"] * 6 + ["RGB"] * 14,
    "colour": ["RGB"] * 20,
    "grey": ["L"] * 20,
    "16 bits": ["I;16"] * 20,
    "grey first": ["L"] + ["RGB"] * 19,
}


@pytest.mark.parametrize("modes", MODES.values(), ids=MODES)
def test_what_was_interrupted_goes_on(tmp_path, monkeypatch, interrupted, modes):
    path, cache = str(tmp_path / "a.tar"), tmp_path / "c"
    write_shard(tmp_path / "a.tar", modes)
    interrupted(path, cache)
    (there,) = list_cache(cache)
    assert (there.images, there.complete) == (12, False)
    with monkeypatch.context() as patch:
        asked = interrupt_at(patch, None)
        found = goldore.load_dataset(path, cache=cache)
    assert_same(found, goldore.load_dataset(path, cache=None))
    assert asked[:9] == [0, *range(12, 20)]
    assert [kept.complete for kept in list_cache(cache)] == [True]


@pytest.mark.parametrize("labels", [[[1, 0], [0, 1]], [0.0, 1.0], ["é", "b"]], ids=str)
def test_labels_of_any_kind_go_on(tmp_path, monkeypatch, interrupted, labels):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    about = {"image": [picture(each) for each in range(20)], "label": labels * 10}
    datasets.Dataset.from_dict(about).save_to_disk(str(tmp_path / "d"))
    interrupted(str(tmp_path / "d"), tmp_path / "c")
    with monkeypatch.context() as patch:
        asked = interrupt_at(patch, None)
        found = goldore.load_dataset(str(tmp_path / "d"), cache=tmp_path / "c")
    assert asked[:2] == [0, 12]
    assert_same(found, goldore.load_dataset(str(tmp_path / "d"), cache=None))


@pytest.mark.parametrize(("old", "new"), [("[[0, 1,", "[[1, 1,"), ("about", "gone"), ('"[[', '"5[[')])
def test_labels_that_were_changed_are_read_again(source, tmp_path, interrupted, old, new):
    interrupted(source, tmp_path / "c")
    (journal,) = (tmp_path / "c").glob("*/blocks.jsonl")
    text = journal.read_text()
    assert old in text
    journal.write_text(text.replace(old, new))
    assert_same(goldore.load_dataset(source, cache=tmp_path / "c"), goldore.load_dataset(source, cache=None))


def test_an_error_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "_BLOCK_IMAGES", 4)
    write_shard(tmp_path / "a.tar", ["RGB"] * 20)
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        for name in ("x.png", "x.cls"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(DatasetError):
        goldore.load_dataset(str(tmp_path / "a.tar"), cache=tmp_path / "c")
    assert list_cache(tmp_path / "c") == []


def test_nothing_is_left_of_what_was_interrupted_early(source, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 8)
    with pytest.raises(KeyboardInterrupt):
        goldore.load_dataset(source, cache=tmp_path / "c")
    assert list_cache(tmp_path / "c") == []


def test_shards_that_changed_since_an_interruption_are_decoded_anew(source, tmp_path, interrupted):
    interrupted(source, tmp_path / "c")
    write_shard(tmp_path / "s-0.tar", ["RGB"] * 10, 100)
    assert_same(goldore.load_dataset(source, cache=tmp_path / "c"), goldore.load_dataset(source, cache=None))


def test_grey_images_in_the_place_of_coloured_ones_are_grey(tmp_path, interrupted):
    path, cache = str(tmp_path / "a.tar"), tmp_path / "c"
    write_shard(tmp_path / "a.tar", MODES["colour"])
    interrupted(path, cache)
    write_shard(tmp_path / "a.tar", MODES["grey"])
    assert_same(goldore.load_dataset(path, cache=cache), goldore.load_dataset(path, cache=None))


@pytest.mark.parametrize("modes", MODES.values(), ids=MODES)
def test_a_dry_run_looks_at_few_of_many(tmp_path, monkeypatch, modes):
    path, cache = str(tmp_path / "a.tar"), tmp_path / "c"
    write_shard(tmp_path / "a.tar", modes)
    monkeypatch.setattr(items, "MANY", 20)
    monkeypatch.setattr(items, "LOOKED_AT", 4)
    with monkeypatch.context() as patch:
        asked = interrupt_at(patch, None)
        found = goldore.load_dataset(path, cache=cache, looks_only=True)
    assert asked[:5] == [0, 0, 5, 10, 15]
    assert is_glance(found.images)
    assert not cache.exists()
    known = goldore.load_dataset(path, cache=cache)
    assert np.array_equal(found.labels, known.labels)
    assert found.images.shape == known.images.shape
    assert any("is decoded once, in about" in note for note in found.reading.notes)
    assert not is_glance(goldore.load_dataset(path, cache=cache, looks_only=True).images)


def test_a_dry_run_names_a_label_that_is_missing(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(items, "MANY", 8)
    monkeypatch.setattr(items, "LOOKED_AT", 4)
    about = {"image": [picture(each) for each in range(12)], "label": [0, 1] * 5 + [0, None]}
    datasets.Dataset.from_dict(about).save_to_disk(str(tmp_path / "d"))
    with pytest.raises(DatasetError, match=r"item 11 of .*it has no label"):
        goldore.load_dataset(str(tmp_path / "d"), cache=tmp_path / "c", looks_only=True)


def test_a_dry_run_looks_at_few_of_many_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(items, "MANY", 8)
    monkeypatch.setattr(items, "LOOKED_AT", 4)
    folder = write_parquet(tmp_path / "d", {"train": 12, "test": 4})
    found = goldore.load_dataset(folder, cache=tmp_path / "c", looks_only=True)
    plain = goldore.load_dataset(folder, cache=None)
    assert is_glance(found.images)
    assert found.class_names == plain.class_names
    for name in ("labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(found, name), getattr(plain, name))


@pytest.mark.parametrize("name", ["dataset.json", "entry.json", "images.npy"])
def test_damage_is_decoded_again(source, tmp_path, name):
    goldore.load_dataset(source, cache=tmp_path / "c")
    (damaged,) = (tmp_path / "c").glob(f"*/{name}")
    damaged.write_bytes(damaged.read_bytes()[:40])
    assert entry_at(damaged.parent) is None or entry_at(damaged.parent).damaged()
    assert_same(goldore.load_dataset(source, cache=tmp_path / "c"), goldore.load_dataset(source, cache=None))


def test_who_waited_for_another_process_takes_what_it_made(source, tmp_path, monkeypatch):
    held, times = Entry.held, []

    @contextmanager
    def late(self):
        times.append(self)
        if len(times) == 1:
            goldore.load_dataset(source, cache=tmp_path / "c")  # by the other one
        with held(self):
            yield

    monkeypatch.setattr(Entry, "held", late)
    found = goldore.load_dataset(source, cache=tmp_path / "c")
    assert is_mapped(found.images)
    assert_same(found, goldore.load_dataset(source, cache=None))
    assert len(times) == 2


def test_few_images_are_not_kept_unless_asked_for(source, tmp_path, monkeypatch):
    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path / "own"))
    assert not is_mapped(goldore.load_dataset(source).images)
    assert not (tmp_path / "own").exists()
    monkeypatch.setattr(whole, "FEWEST", 20)
    assert is_mapped(goldore.load_dataset(source).images)


def test_without_room_images_are_in_memory_or_it_is_said(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.os, "posix_fallocate", full)
    with pytest.raises(DatasetError, match=r"No space left on device.*choose another `cache`"):
        goldore.load_dataset(source, cache=tmp_path / "c")
    monkeypatch.setattr(whole, "FEWEST", 1)
    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path / "own"))
    found = goldore.load_dataset(source)
    assert not is_mapped(found.images)
    assert any("are not kept" in note for note in found.reading.notes)
    assert np.array_equal(found.images, goldore.load_dataset(source, cache=None).images)


def write_parquet(folder, splits):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    folder.mkdir()
    for place, (split, number) in enumerate(splits.items()):
        about = {"image": [picture(20 * place + each) for each in range(number)]}
        about["label"] = [0, 1] * (number // 2)
        made = datasets.Dataset.from_dict(about, features=features)
        made.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
    return str(folder)


@pytest.mark.parametrize("splits", [{"train": 8}, {"train": 8, "test": 4}], ids=str)
def test_parquet_files_are_kept_with_their_test_split(tmp_path, splits, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    folder = write_parquet(tmp_path / "d", splits)
    plain = goldore.load_dataset(folder, cache=None)
    assert (plain.test_images is None) == (len(splits) == 1)
    assert_same(goldore.load_dataset(folder, cache=tmp_path / "c"), plain)
    monkeypatch.setattr("goldore.datasets.huggingface._found", None)
    again = goldore.load_dataset(folder, cache=tmp_path / "c")
    assert_same(again, plain)
    assert all(is_mapped(each) for each in (again.images, again.test_images) if each is not None)


@pytest.mark.parametrize("room", [True, False])
def test_few_test_images_are_kept_beside_many_others(tmp_path, monkeypatch, room):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(whole, "FEWEST", 8)
    folder, make = write_parquet(tmp_path / "d", {"train": 8, "test": 4}), Entry.whole

    def full(self, shape, files):
        if shape[0] == 4:
            raise OSError(28, "No space left on device")
        return make(self, shape, files)

    if not room:
        monkeypatch.setattr(Entry, "whole", full)
    monkeypatch.setattr(caching, "_BLOCK_IMAGES", 4)
    plain, found = goldore.load_dataset(folder, cache=None), goldore.load_dataset(folder)
    assert any("are not kept" in note for note in found.reading.notes) != room
    assert_same(found.retold(reading=plain.reading), plain)
    assert room or list_cache(tmp_path / "own" / "images") == []  # nobody writes into what is mapped here
    again = goldore.load_dataset(folder)
    assert is_mapped(again.images)
    assert_same(again.retold(reading=plain.reading), plain)


def test_grey_images_before_a_colour_one_without_room(tmp_path, monkeypatch):
    """The second room was waited for while this process held its lock."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Entry, "whole", full)
    monkeypatch.setattr(whole, "FEWEST", 1)
    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path / "own"))
    write_shard(tmp_path / "a.tar", ["L", "L", "RGB"])
    found = goldore.load_dataset(str(tmp_path / "a.tar"))
    assert found.image_shape == (3, 6, 6)
    assert sum("are not kept" in note for note in found.reading.notes) == 1


def test_what_changed_while_it_was_decoded_is_not_kept(source, tmp_path, monkeypatch):
    finish = whole.Rooms.finish

    def changed(self, dataset):
        write_shard(tmp_path / "s-1.tar", ["RGB"] * 11, 50)
        return finish(self, dataset)

    with monkeypatch.context() as patch:
        patch.setattr(whole.Rooms, "finish", changed)
        found = goldore.load_dataset(source, cache=tmp_path / "c")
    assert len(found) == 20
    assert found.images[3].any()
    assert list_cache(tmp_path / "c") == []
    assert len(goldore.load_dataset(source, cache=tmp_path / "c")) == 21


@pytest.mark.parametrize("link", [True, False])
def test_parquet_files_behind_a_link_are_looked_at(tmp_path, monkeypatch, link):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    folder = tmp_path / "d"
    write_parquet(tmp_path / "real", {"train": 8})
    folder.mkdir()
    (folder / "data").symlink_to(tmp_path / "real") if link else shutil.copytree(
        tmp_path / "real", folder / "data"
    )
    assert len(goldore.load_dataset(str(folder), cache=tmp_path / "c")) == 8
    shutil.rmtree(tmp_path / "real")
    write_parquet(tmp_path / "real", {"train": 10})
    if not link:
        shutil.rmtree(folder / "data")
        shutil.copytree(tmp_path / "real", folder / "data")
    assert len(goldore.load_dataset(str(folder), cache=tmp_path / "c")) == 10


def test_images_that_lie_elsewhere_are_not_kept(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    for number in range(4):
        picture(number).save(tmp_path / f"{number}.png")
    about = {
        "image": [{"bytes": None, "path": str(tmp_path / f"{number}.png")} for number in range(4)],
        "label": [0, 1, 0, 1],
    }
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    (tmp_path / "d").mkdir()
    made = datasets.Dataset.from_dict(about, features=features)
    made.save_to_disk(str(tmp_path / "d"))
    goldore.load_dataset(str(tmp_path / "d"), cache=tmp_path / "c")
    for number in range(4):
        picture(number + 10).save(tmp_path / f"{number}.png")
    assert_same(
        goldore.load_dataset(str(tmp_path / "d"), cache=tmp_path / "c"),
        goldore.load_dataset(str(tmp_path / "d"), cache=None),
    )


@pytest.mark.parametrize("about", ['{"made": 3}', '{"files": "", "made": {"train": []}}', "[]", "3"])
def test_what_has_another_form_is_decoded_again(source, tmp_path, about):
    goldore.load_dataset(source, cache=tmp_path / "c")
    (entry,) = map(entry_at, (tmp_path / "c").iterdir())
    entry.keep_dataset(json.loads(about))
    assert_same(goldore.load_dataset(source, cache=tmp_path / "c"), goldore.load_dataset(source, cache=None))
