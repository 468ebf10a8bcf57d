"""goldore map-index: an index file translated to the order of another loader."""

import json

import numpy as np
import pytest

from goldore import keep_mask, load_index


@pytest.fixture
def index(goldore, score_file, tmp_path):
    """Four kept of each class of tiny.npz, in keep.npy."""
    command = ("prune", "scores.h5", "--criterion", "LossConverge_large", "--keep-per-class", 4)
    assert goldore(*command, "--out", "keep.npy").returncode == 0
    return tmp_path / "keep.npy"


def places(kept, order):
    return [place for place, position in enumerate(order) if position in set(kept.tolist())]


def test_the_score_file_that_the_index_names_is_enough(goldore, index, other_npz, tiny_arrays, tmp_path):
    done = goldore("map-index", "keep.npy", "--to", "other.npz")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "tiny: 12 of 12 kept samples found in arrays in other.npz (other, 60 samples)",
        "written to keep-other.npz.npy",
    ]
    path = tmp_path / "keep-other.npz.npy"
    mapped = load_index(path)
    assert mapped.indices.tolist() == places(np.load(index), other_npz)
    assert mapped.provenance["kept_per_class"] == [4, 4, 4]
    assert mapped.provenance["mapped_from"]["order"].endswith("tiny.npz")
    assert keep_mask(path, labels=tiny_arrays["y_train"][other_npz]).sum() == 12


@pytest.mark.parametrize("dataset", ["tiny.npz", "scores.h5"])
def test_the_data_set_or_its_scores_may_be_named(goldore, index, other_npz, data_file, tmp_path, dataset):
    assert goldore("map-index", "keep.npy", "--to", "other.npz", "--out", "wanted.npy").returncode == 0
    about = json.loads((tmp_path / "keep.npy.json").read_text())
    (tmp_path / "keep.npy.json").write_text(json.dumps({**about, "score_file": "gone.h5"}))
    lost = goldore("map-index", "keep.npy", "--to", "other.npz")
    assert lost.returncode == 1
    assert "keep.npy names no score file that is there; say with --dataset what it is about" in lost.stderr
    done = goldore("map-index", "keep.npy", "--to", "other.npz", "--dataset", dataset, "--out", "new.npy")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new.npy").read_bytes() == (tmp_path / "wanted.npy").read_bytes()


def test_there_and_back_gives_the_first_index(goldore, index, other_npz, data_file, tmp_path):
    assert goldore("map-index", "keep.npy", "--to", "other.npz", "--out", "there.json").returncode == 0
    back = ("map-index", "there.json", "--dataset", "other.npz", "--to", "tiny.npz", "--out", "back.npy")
    assert goldore(*back).returncode == 0
    assert (tmp_path / "back.npy").read_bytes() == index.read_bytes()
    first, last = (load_index(tmp_path / name).provenance for name in ("keep.npy", "back.npy"))
    assert last["mapped_from"]["dataset"] == "other"
    assert {name: last[name] for name in first} == first


def test_another_data_set_is_refused_and_nothing_written(goldore, index, other_npz, snapshot):
    before = snapshot()
    done = goldore("map-index", "keep.npy", "--to", "other.npz", "--dataset", "other.npz")
    assert done.returncode == 1
    assert "the index is about tiny with the fingerprint" in done.stderr
    assert snapshot() == before


def test_what_is_not_there_is_left_out_with_a_warning(goldore, index, other_npz, tiny_arrays, tmp_path):
    half = {name: tiny_arrays[name][other_npz[:40]] for name in ("x_train", "y_train")}
    np.savez(tmp_path / "half.npz", **{**tiny_arrays, **half})
    done = goldore("map-index", "keep.npy", "--to", "half.npz")
    wanted = places(np.load(index), other_npz[:40])
    assert np.load(tmp_path / "keep-half.npz.npy").tolist() == wanted
    assert 0 < len(wanted) < 12
    assert f"warning: {12 - len(wanted)} kept samples of tiny are not there and left out." in done.stderr


def test_samples_missing_on_both_sides_need_partial(goldore, index, tiny_arrays, snapshot, tmp_path):
    images = tiny_arrays["x_train"].copy()
    images[0] = 255 - images[0]
    np.savez(tmp_path / "changed.npz", **{**tiny_arrays, "x_train": images})
    before = snapshot()
    refused = goldore("map-index", "keep.npy", "--to", "changed.npz")
    assert refused.returncode == 1
    assert "1 of the samples of tiny are not in changed, and 1 the other way round" in refused.stderr
    assert snapshot() == before
    done = goldore("map-index", "keep.npy", "--to", "changed.npz", "--partial")
    assert done.returncode == 0, done.stderr
    assert "warning: 1 sample there were never scored and are left out." in done.stderr
    kept = np.load(tmp_path / "keep-changed.npz.npy")
    assert kept.tolist() == [position for position in np.load(index) if position != 0]


def test_another_selection_is_replaced_with_overwrite_only(goldore, index, other_npz, tmp_path):
    (tmp_path / "taken.npy").write_bytes(index.read_bytes())
    command = ("map-index", "keep.npy", "--to", "other.npz", "--out", "taken.npy")
    refused = goldore(*command)
    assert refused.returncode == 1
    assert "taken.npy exists and holds another selection; use --overwrite" in refused.stderr
    assert (tmp_path / "taken.npy").read_bytes() == index.read_bytes()
    assert goldore(*command, "--overwrite").returncode == 0
    assert np.load(tmp_path / "taken.npy").tolist() == places(np.load(index), other_npz)


def test_an_unknown_suffix_is_refused(goldore, index, other_npz, snapshot):
    before = snapshot()
    done = goldore("map-index", "keep.npy", "--to", "other.npz", "--out", "keep.bin")
    assert done.returncode == 2
    assert "keep.bin has no known suffix" in done.stderr
    assert snapshot() == before


def test_an_image_size_that_is_about_nothing_is_refused(goldore):
    done = goldore("map-index", "keep.npy", "--to", "other.npz", "--image-size", 8)
    assert done.returncode == 2
    assert "--image-size is about folder trees" in done.stderr
