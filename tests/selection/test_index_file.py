import json

import numpy as np
import pytest

from goldore import load_index, load_indices
from goldore.errors import GoldoreError, IndexFileError, UsageError
from goldore.selection.index_file import save_index, side_car

SUFFIXES = [".npy", ".json", ".txt", ".csv", ".npz", ".pt", ".h5"]
KEPT = np.array([0, 3, 4, 2**40], dtype=np.int64)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_brings_back_positions_and_provenance(tmp_path, suffix):
    path = save_index(tmp_path / f"keep{suffix}", KEPT, {"dataset": "made", "criterion": "Random"})
    index = load_index(path)
    assert index.indices.dtype == np.int64
    assert np.array_equal(index.indices, KEPT)
    assert index.provenance["dataset"] == "made"
    assert index.provenance["kept"] == 4


def test_npy_is_format_1_0_and_loads_without_pickle(tmp_path):
    path = save_index(tmp_path / "keep.npy", KEPT, {})
    assert path.read_bytes()[:8] == b"\x93NUMPY\x01\x00"
    assert np.load(path, allow_pickle=False).dtype == np.dtype("<i8")


def test_text_formats_are_what_they_seem(tmp_path):
    small = np.array([1, 20], dtype=np.int64)
    assert save_index(tmp_path / "k.txt", small, {}).read_text() == "1\n20\n"
    assert save_index(tmp_path / "k.csv", small, {}).read_text() == "index\n1\n20\n"
    assert json.loads(save_index(tmp_path / "k.json", small, {}).read_text())["indices"] == [1, 20]


def test_same_input_gives_the_same_bytes(tmp_path):
    first = save_index(tmp_path / "a.npy", KEPT, {"dataset": "made"})
    second = save_index(tmp_path / "b.npy", KEPT, {"dataset": "made"})
    assert first.read_bytes() == second.read_bytes()
    assert side_car(first).read_bytes() == side_car(second).read_bytes()


def test_another_selection_is_not_overwritten_silently(tmp_path):
    path = save_index(tmp_path / "keep.npy", KEPT, {"dataset": "made"})
    save_index(path, KEPT, {"dataset": "made"})
    with pytest.raises(IndexFileError, match="`overwrite`"):
        save_index(path, KEPT[:2], {"dataset": "made"})
    with pytest.raises(IndexFileError, match="`overwrite`"):
        save_index(path, KEPT, {"dataset": "another"})
    assert np.array_equal(load_indices(path), KEPT)
    save_index(path, KEPT[:2], {"dataset": "made"}, overwrite=True)
    assert np.array_equal(load_indices(path), KEPT[:2])


@pytest.mark.parametrize(
    "indices",
    [
        np.array([], dtype=np.int64),
        np.array([1, 1], dtype=np.int64),
        np.array([2, 1], dtype=np.int64),
        np.array([-1, 1], dtype=np.int64),
        np.array([1, 2], dtype=np.int32),
        np.array([1.0, 2.0]),
        np.array([[1, 2]], dtype=np.int64),
    ],
)
def test_what_is_no_index_is_neither_written_nor_read(tmp_path, indices):
    with pytest.raises(IndexFileError):
        save_index(tmp_path / "keep.npy", indices, {})
    assert list(tmp_path.iterdir()) == []
    np.save(tmp_path / "keep.npy", indices)
    with pytest.raises(IndexFileError):
        load_indices(tmp_path / "keep.npy")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_end_in_a_sentence(tmp_path, suffix):
    path = save_index(tmp_path / f"keep{suffix}", np.arange(1000, dtype=np.int64), {})
    content = path.read_bytes()
    for damaged in (b"", b"\0" * 40, content[: len(content) // 2 + 1] + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(IndexFileError):
            load_indices(path)


def test_a_pickled_array_is_refused(tmp_path):
    np.save(tmp_path / "keep.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(IndexFileError, match="cannot be read"):
        load_indices(tmp_path / "keep.npy")


def test_a_side_car_of_another_selection_is_noticed(tmp_path):
    path = save_index(tmp_path / "keep.npy", KEPT, {})
    np.save(path, KEPT[:3])
    with pytest.raises(IndexFileError, match="belong to different selections"):
        load_indices(path)


def test_a_bare_list_in_json_is_an_index(tmp_path):
    (tmp_path / "keep.json").write_text("[1, 5]")
    assert load_indices(tmp_path / "keep.json").tolist() == [1, 5]
    for text in ("[1.0, 5.5]", "[true]", '{"indices": "12"}', "{}", "[[1]]"):
        (tmp_path / "keep.json").write_text(text)
        with pytest.raises(IndexFileError):
            load_indices(tmp_path / "keep.json")


def test_unknown_suffix_missing_file_and_unwritable_folder(tmp_path):
    with pytest.raises(UsageError, match="no known suffix"):
        save_index(tmp_path / "keep.bin", KEPT, {})
    with pytest.raises(IndexFileError, match="there is no index file"):
        load_indices(tmp_path / "keep.npy")
    (tmp_path / "file").touch()
    with pytest.raises(GoldoreError, match="cannot write to the folder"):
        save_index(tmp_path / "file" / "keep.npy", KEPT, {})


def test_a_foreign_file_is_never_replaced(tmp_path):
    foreign = tmp_path / "keep.npy.json"
    foreign.write_text('{"precious": 1}')
    with pytest.raises(IndexFileError, match=r"keep\.npy\.json exists and is no index file"):
        save_index(tmp_path / "keep.npy", KEPT, {}, overwrite=True)
    assert foreign.read_text() == '{"precious": 1}'
    assert list(tmp_path.iterdir()) == [foreign]


def test_a_folder_in_the_side_cars_place_is_refused(tmp_path):
    (tmp_path / "keep.npy.json").mkdir()
    with pytest.raises(IndexFileError, match="no index file"):
        save_index(tmp_path / "keep.npy", KEPT, {})
    assert not (tmp_path / "keep.npy").exists()


def test_overwrite_mends_an_index_whose_side_car_is_another_ones(tmp_path):
    path = save_index(tmp_path / "keep.npy", KEPT, {})
    np.save(path, KEPT[:3])
    save_index(path, KEPT, {}, overwrite=True)
    assert np.array_equal(load_indices(path), KEPT)


def test_a_full_disk_ends_in_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(IndexFileError, match="No space left on device"):
        save_index(tmp_path / "keep.npy", KEPT, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_link_to_a_file_without_suffix_is_written_through(tmp_path, suffix):
    (tmp_path / "blobs").mkdir()
    link = tmp_path / f"keep{suffix}"
    link.symlink_to(tmp_path / "blobs" / "abc")
    save_index(link, KEPT, {"dataset": "made"})
    assert np.array_equal(load_indices(link), KEPT)
    assert [file.name for file in (tmp_path / "blobs").iterdir()] == ["abc"]


def test_an_index_file_is_not_taken_for_a_side_car(tmp_path):
    for name in ("keep.npy.json", "keep.csv.json"):
        with pytest.raises(UsageError, match="name of a side-car"):
            save_index(tmp_path / name, KEPT, {})
    elsewhere = save_index(tmp_path / "keep.json", KEPT, {})
    elsewhere.rename(tmp_path / "keep.npy.json")
    with pytest.raises(IndexFileError, match="is no index file"):
        save_index(tmp_path / "keep.npy", KEPT[:2], {})


def test_the_same_selection_found_by_another_path_is_the_same(tmp_path):
    path = save_index(tmp_path / "keep.npy", KEPT, {"score_file": "a.h5"})
    save_index(path, KEPT, {"score_file": "/elsewhere/a.h5"})
    assert load_index(path).provenance["score_file"] == "/elsewhere/a.h5"
