"""Pruned folder trees and lists, read again by torchvision's ImageFolder."""

import dataclasses
import os

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from goldore.datasets.folder import load_folder
from goldore.errors import GoldoreError, TreeError, UsageError
from goldore.repositories.tree import write_list, write_tree
from goldore.store import Header
from tests.conftest import make_dataset

TRAIN = ("Dog/1.png", "Dog/2.png", "ant/z.png", "ant/deep/a.png", "cat/10.png", "cat/9.png", "cat/B.png")
OTHER = ("Dog/v.png", "ant/v.png", "cat/v.png")


def write_images(folder, files, seed=0):
    draw = np.random.default_rng(seed)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(folder / file)


@pytest.fixture
def root(tmp_path):
    """A tree with train/, val/ and, without labels, test/."""
    write_images(tmp_path / "made" / "train", TRAIN)
    write_images(tmp_path / "made" / "val", OTHER, seed=1)
    write_images(tmp_path / "made" / "test", ("0.png", "1.png"), seed=2)
    return tmp_path / "made"


@pytest.fixture
def header(root):
    return Header.of(load_folder(root, "made"))


@pytest.fixture
def files(tmp_path):
    """Relative paths of all files below a folder of tmp_path."""

    def find(name):
        below = os.walk(tmp_path / name, followlinks=True)
        return sorted(
            os.path.relpath(f"{folder}/{file}", tmp_path / name)
            for folder, _, names in below
            for file in names
        )

    return find


def kept(*positions):
    return np.array(positions, dtype=np.int64)


@pytest.mark.parametrize("copy", [False, True])
def test_the_tree_holds_the_kept_images_and_the_other_splits(root, header, tmp_path, files, copy):
    assert header.paths == TRAIN
    made = write_tree(kept(0, 2, 5), header, tmp_path / "out" / "pruned", copy=copy)
    assert made == tmp_path / "out" / "pruned"
    assert files("out/pruned") == sorted(
        [f"train/{TRAIN[position]}" for position in (0, 2, 5)]
        + [f"val/{file}" for file in OTHER]
        + ["test/0.png", "test/1.png"]
    )
    for file in files("out/pruned"):
        assert (made / file).read_bytes() == (root / file).read_bytes()
    assert (made / "train" / TRAIN[0]).is_symlink() is not copy
    assert (made / "val").is_symlink() is not copy
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pruned"]


def test_links_lead_to_the_images_from_wherever_one_stands(root, header, tmp_path):
    made = write_tree(kept(0), header, tmp_path / "pruned")
    assert (made / "train" / TRAIN[0]).readlink() == root / "train" / TRAIN[0]


def test_copies_outlive_the_original(root, header, tmp_path):
    made = write_tree(kept(0), header, tmp_path / "pruned", copy=True)
    content = (root / "train" / TRAIN[0]).read_bytes()
    root.rename(tmp_path / "away")
    assert (made / "train" / TRAIN[0]).read_bytes() == content
    assert ImageFolder(made / "val").classes == ["Dog", "ant", "cat"]


def test_a_class_of_which_nothing_is_kept_keeps_its_folder(header, tmp_path):
    made = write_tree(kept(0, 4), header, tmp_path / "pruned")
    assert sorted(path.name for path in (made / "train").iterdir()) == ["Dog", "ant", "cat"]
    assert list((made / "train" / "ant").iterdir()) == []


def items(images):
    return [(np.asarray(image).tolist(), label) for image, label in images]


def test_image_folder_reads_the_kept_samples_with_their_labels(root, header, tmp_path):
    positions = kept(1, 2, 3, 5, 6)
    made = write_tree(positions, header, tmp_path / "pruned")
    whole, pruned = ImageFolder(root / "train"), ImageFolder(made / "train")
    assert pruned.class_to_idx == whole.class_to_idx == {"Dog": 0, "ant": 1, "cat": 2}
    assert items(pruned) == [items(whole)[position] for position in positions]
    assert items(ImageFolder(made / "val")) == items(ImageFolder(root / "val"))


def test_image_folder_reads_the_same_labels_from_zero_padded_folders(root, header, tmp_path):
    positions = kept(1, 2, 3, 5, 6)
    made = write_tree(positions, header, tmp_path / "pruned", naming="zero-padded")
    whole, pruned = ImageFolder(root / "train"), ImageFolder(made / "train")
    assert pruned.class_to_idx == {"00000": 0, "00001": 1, "00002": 2}
    assert sorted(items(pruned)) == sorted(items(whole)[position] for position in positions)
    assert items(ImageFolder(made / "val")) == items(ImageFolder(root / "val"))


def test_without_train_the_class_folders_are_the_tree(tmp_path, files):
    write_images(tmp_path / "bare", TRAIN)
    header = Header.of(load_folder(tmp_path / "bare", "bare"))
    write_tree(kept(1, 2), header, tmp_path / "pruned")
    assert files("pruned") == ["Dog/2.png", "ant/z.png"]
    assert sorted(path.name for path in (tmp_path / "pruned").iterdir()) == ["Dog", "ant", "cat"]


def test_zero_padded_folders_hold_their_files_directly(header, tmp_path, files):
    made = write_tree(kept(0, 3, 6), header, tmp_path / "pruned", naming="zero-padded")
    assert files("pruned/train") == ["00000/1.png", "00001/deep_a.png", "00002/B.png"]
    assert files("pruned/val") == ["00000/v.png", "00001/v.png", "00002/v.png"]
    assert files("pruned/test") == ["0.png", "1.png"]
    assert not any(path.is_dir() for folder in (made / "train").iterdir() for path in folder.iterdir())


@pytest.mark.parametrize("copy", [False, True])
def test_files_that_would_get_one_name_are_refused(tmp_path, copy):
    write_images(tmp_path / "bare", ("a/b/c.png", "a/b_c.png"))
    header = Header.of(load_folder(tmp_path / "bare", "bare"))
    with pytest.raises(TreeError, match=r"a/b_c\.png and a/b/c\.png would have one name"):
        write_tree(kept(0, 1), header, tmp_path / "pruned", copy=copy, naming="zero-padded")
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]
    write_tree(kept(0, 1), header, tmp_path / "pruned", copy=copy)


def test_an_empty_folder_is_filled_and_another_refused_untouched(header, tmp_path, files):
    (tmp_path / "pruned").mkdir()
    write_tree(kept(0), header, tmp_path / "pruned")
    before = files("pruned")
    with pytest.raises(TreeError, match="exists and is not empty"):
        write_tree(kept(0, 1), header, tmp_path / "pruned")
    assert files("pruned") == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TreeError, match="exists and is not empty"):
        write_tree(kept(0, 1), header, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "made", "pruned"]


def test_a_missing_image_is_refused_and_nothing_left_behind(root, header, tmp_path):
    (root / "train" / TRAIN[4]).unlink()
    with pytest.raises(TreeError, match=r"has no cat/10\.png; say with `images`"):
        write_tree(kept(0, 4), header, tmp_path / "pruned")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    write_tree(kept(0, 5), header, tmp_path / "pruned")


def test_what_fails_half_way_leaves_nothing_behind(header, tmp_path, monkeypatch):
    placed = []

    def fail(source, target):
        placed.append(target)
        if len(placed) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("goldore.repositories.tree.shutil.copyfile", fail)
    with pytest.raises(TreeError, match="No space left on device"):
        write_tree(kept(0, 1), header, tmp_path / "pruned", copy=True)
    assert len(placed) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("path", ["../made/secret.png", "cat/../../secret.png", "/secret.png"])
def test_a_path_that_leaves_the_folder_is_refused(root, header, tmp_path, path):
    (root / "secret.png").touch()
    changed = dataclasses.replace(header, paths=(*TRAIN[:-1], path))
    for write in (write_tree, write_list):
        with pytest.raises(UsageError, match="outside the folder"):
            write(kept(0, 6), changed, tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["made"]


def test_images_that_moved_are_found_where_one_says(root, header, tmp_path, files):
    root.rename(tmp_path / "moved")
    with pytest.raises(TreeError, match=r"there is no folder .*made; say with `images`"):
        write_tree(kept(0), header, tmp_path / "pruned")
    write_tree(kept(0), header, tmp_path / "pruned", images=tmp_path / "moved")
    assert files("pruned/train") == [TRAIN[0]]


def test_the_folder_is_known_of_resized_images_too(root, tmp_path, files):
    write_tree(kept(6), Header.of(load_folder(root, "made", 2)), tmp_path / "pruned")
    assert files("pruned/train") == [TRAIN[6]]


def test_other_data_sets_have_no_files(tmp_path):
    header = Header.of(make_dataset())
    for write in (write_tree, write_list):
        with pytest.raises(UsageError, match="corners was not read from a folder tree"):
            write(kept(0), header, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_naming_is_refused(header, tmp_path):
    with pytest.raises(UsageError, match="'short'; choose original or zero-padded"):
        write_tree(kept(0), header, tmp_path / "out", naming="short")


class TestList:
    def test_holds_the_kept_paths_in_order(self, header, tmp_path):
        path = write_list(kept(0, 2, 6), header, tmp_path / "kept.txt")
        assert path.read_text() == "Dog/1.png\nant/z.png\ncat/B.png\n"
        assert write_list(kept(0, 2, 6), header, path) == path
        with pytest.raises(TreeError, match="lists other files; use `overwrite`"):
            write_list(kept(1), header, path)
        assert write_list(kept(1), header, path, overwrite=True).read_text() == "Dog/2.png\n"

    def test_a_path_with_a_line_end_is_refused(self, header, tmp_path):
        changed = dataclasses.replace(header, paths=("Dog/a\nb", *TRAIN[1:]))
        with pytest.raises(UsageError, match="a path holds a line end"):
            write_list(kept(0), changed, tmp_path / "kept.txt")
        assert not (tmp_path / "kept.txt").exists()
        assert write_list(kept(1), changed, tmp_path / "kept.txt").read_text() == "Dog/2.png\n"

    def test_what_is_no_list_is_never_replaced(self, header, tmp_path):
        other = tmp_path / "notes.txt"
        other.write_text("something of mine\n")
        link = tmp_path / "link.txt"
        link.symlink_to(write_list(kept(1), header, tmp_path / "kept.txt"))
        for path in (other, link):
            before = path.read_bytes()
            with pytest.raises(TreeError, match="is no list of these files"):
                write_list(kept(0), header, path, overwrite=True)
            assert path.read_bytes() == before

    def test_a_folder_in_its_place_is_refused(self, header, tmp_path):
        with pytest.raises(GoldoreError, match="is a folder"):
            write_list(kept(0), header, tmp_path)
