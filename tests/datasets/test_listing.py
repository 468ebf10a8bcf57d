import os

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from goldore.datasets import load_dataset
from goldore.datasets.listing import list_images, split_of, splits_of, training_folder
from goldore.datasets.reading import Findings

TREE = {"cat": ["0.png", "1.png"], "dog": ["0.png"]}


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (["train", "Train", "TRAINING", "training_set", "train-data", "TrainImages"], "train"),
        (["val", "Valid", "validation", "VALIDATION_SET", "dev"], "val"),
        (["test", "Testing", "test_set", "test data"], "test"),
        (["cat", "trainer", "tests", "validate", "trains"], None),
    ],
)
def test_splits_are_spelled_freely(names, split):
    assert {split_of(name) for name in names} == {split}


def test_training_and_testing_are_splits_and_no_classes(tmp_path, write_images):
    write_images(tmp_path / "Training", TREE)
    write_images(tmp_path / "Testing", TREE, seed=1)
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("cat", "dog")
    assert [each.where for each in dataset.reading.splits] == ["Training/", "Testing/"]
    assert dataset.paths == ("cat/0.png", "cat/1.png", "dog/0.png")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["seg_pred", "seg_test", "seg_train"], {"train": ["seg_train"], "test": ["seg_test"]}),
        (["train_a", "val_a"], {"train": ["train_a"], "val": ["val_a"]}),
        (["train_station", "bus_stop"], {}),
        (["seg_train", "seg_test", "train"], {"train": ["train"]}),
        (["train", "train_small", "test"], {"train": ["train"], "test": ["test"]}),
    ],
)
def test_splits_are_named_in_pairs_too(names, found):
    assert splits_of(names) == found


def test_two_training_folders_are_refused(tmp_path, write_images, refused):
    write_images(tmp_path / "train", TREE)
    write_images(tmp_path / "training", TREE)
    with refused("train/ and training/", "name one of the two"):
        training_folder(tmp_path)


def test_splits_without_a_training_one_are_refused(tmp_path, write_images, refused):
    write_images(tmp_path / "val", TREE)
    write_images(tmp_path / "test", TREE)
    with refused("test/ and val/ and no training split", tmp_path / "test"):
        load_dataset(str(tmp_path))


def test_one_folder_too_high_is_said(tmp_path, write_images, refused):
    write_images(tmp_path / "unpacked", TREE)
    with refused("has one class, unpacked", f"did you mean {tmp_path / 'unpacked'}"):
        load_dataset(str(tmp_path))


def test_folders_of_editors_and_systems_are_no_classes(tmp_path, write_images):
    write_images(tmp_path, TREE)
    strange = {".ipynb_checkpoints": ["0-checkpoint.png"], "__MACOSX": ["._0.png"], "@eaDir": ["0.png"]}
    write_images(tmp_path, strange)
    write_images(tmp_path / "cat", {".ipynb_checkpoints": ["1-checkpoint.png"]})
    (tmp_path / "cat" / "._0.png").write_bytes(b"resource fork")
    (tmp_path / "cat" / "Thumbs.db").touch()
    (tmp_path / "labels.csv").touch()
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.num_samples == 3
    assert dict(dataset.reading.passed_over) == {
        "folder .ipynb_checkpoints": 2,
        "folder __MACOSX": 1,
        "folder @eaDir": 1,
        "hidden file": 1,
        "file Thumbs.db": 1,
        f"in {tmp_path.name}/ beside the class folders: .csv file": 1,
    }
    warned = " ".join(dataset.reading.warnings)
    assert str(tmp_path / "cat" / ".ipynb_checkpoints") in warned
    assert "not by torchvision's ImageFolder" in warned
    assert len(ImageFolder(tmp_path).classes) == 5  # as torchvision has it


def test_what_lies_beside_classes_and_splits_is_counted(tmp_path, write_images):
    write_images(tmp_path / "train", TREE)
    write_images(tmp_path, {"extra": ["0.png"]})
    Image.new("L", (4, 4)).save(tmp_path / "train" / "lost.png")
    passed = dict(load_dataset(str(tmp_path)).reading.passed_over)
    assert passed == {
        "folder extra beside the splits": 1,
        "in train/ beside the class folders: image": 1,
    }


def test_links_are_followed_but_not_in_circles(tmp_path, write_images):
    write_images(tmp_path / "data", TREE)
    write_images(tmp_path, {"elsewhere": ["2.png", "3.png"]})
    cat = tmp_path / "data" / "cat"
    (cat / "more").symlink_to(tmp_path / "elsewhere")
    (cat / "back").symlink_to(tmp_path / "data")
    (cat / "deep").mkdir()
    (cat / "deep" / "self").symlink_to(cat)
    (cat / "broken.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(cat / "pipe.png")
    findings = Findings()
    files = list_images(cat, findings)
    assert [file.relative_to(cat).as_posix() for file in files] == [
        "0.png", "1.png", "more/2.png", "more/3.png",
    ]  # fmt: skip
    assert findings.passed_over == {"link that leads back": 2, "broken link": 1, "pipe or device": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_folder_that_cannot_be_read_is_refused(tmp_path, write_images, refused):
    write_images(tmp_path, {"cat": ["0.png"], "cat/closed": ["1.png"]})
    (tmp_path / "cat" / "closed").chmod(0)
    with refused(tmp_path / "cat" / "closed", "check its permissions"):
        list_images(tmp_path / "cat")


def test_every_suffix_of_pillow_is_read_and_image_folders_gap_is_said(tmp_path, write_images):
    write_images(tmp_path, {"a": ["0.png", "1.gif", "2.jfif", "3.avif"], "b": ["0.JPG"]})
    (tmp_path / "a" / "notes.txt").touch()
    (tmp_path / "a" / "raw.nef").touch()
    dataset = load_dataset(str(tmp_path))
    assert dataset.num_samples == 5
    assert dataset.reading.passed_over == ((".nef file", 1), (".txt file", 1))
    split = dataset.reading.splits[0]
    assert dict(split.suffixes) == {".png": 1, ".gif": 1, ".jfif": 1, ".avif": 1, ".jpg": 1}
    (warning,) = dataset.reading.warnings
    assert "ImageFolder passes over files of these kinds" in warning
    assert "1 .avif, 1 .gif, 1 .jfif" in warning


def test_images_of_one_colour_are_warned_of(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(4):
            Image.new("L", (8, 8), 60 * number).save(tmp_path / label / f"{number}.png")
    (warning,) = load_dataset(str(tmp_path)).reading.warnings
    assert warning.startswith("100% of the images are of one colour")


def test_nearly_white_images_are_warned_of():
    images = np.full((10, 16, 16), 255, np.uint8)
    images[:, 3, 4] = 0
    (warning,) = load_dataset((images, np.arange(10) % 2)).reading.warnings
    assert "99.6% of all pixels are 255 of 255" in warning
    assert "nearly of one colour" in warning


def test_pixels_of_0_and_1_are_warned_of():
    images = np.random.default_rng(0).integers(0, 2, (10, 8, 8), dtype=np.uint8)
    (warning,) = load_dataset((images, np.arange(10) % 2)).reading.warnings
    assert "all pixels are 0 or 1 of 255" in warning


def test_what_image_folder_reads_is_as_torchvision_has_it():
    from torchvision.datasets.folder import IMG_EXTENSIONS

    from goldore.datasets.listing import _OF_IMAGE_FOLDER

    assert set(IMG_EXTENSIONS) == _OF_IMAGE_FOLDER


def test_a_class_may_be_called_train(tmp_path, write_images):
    write_images(tmp_path, {"bus": ["0.png"], "car": ["0.png"], "train": ["0.png", "1.png"]})
    assert load_dataset(str(tmp_path)).class_names == ("bus", "car", "train")
    write_images(tmp_path, {"train/fast": ["0.png"]})
    assert load_dataset(str(tmp_path), classes=["car", "train"]).class_names == ("car", "train")


def test_splits_with_something_before_the_word(tmp_path, write_images):
    for split in ("seg_train", "seg_test"):
        write_images(tmp_path / split, TREE)
    dataset = load_dataset(str(tmp_path))
    assert [each.where for each in dataset.reading.splits] == ["seg_train/", "seg_test/"]


@pytest.mark.parametrize(
    "tree",
    [
        {"fold1": ["ant", "bee"], "fold2": ["ant", "bee"]},
        {"ant": ["train", "test"], "bee": ["train", "test"]},
        {"ant": ["images", "masks"], "bee": ["images", "masks"], "cow": ["images", "masks"]},
        {"images": ["train", "val"], "labels": ["train", "val"]},
    ],
)
def test_layouts_with_the_same_folders_in_all_classes_are_refused(tmp_path, write_images, refused, tree):
    for name, inner in tree.items():
        write_images(tmp_path / name, {each: ["0.png"] for each in inner})
    with refused("all have the same folders in them", tmp_path / next(iter(sorted(tree))), "`classes`"):
        load_dataset(str(tmp_path))
    assert load_dataset(str(tmp_path), classes=list(tree)).class_names == tuple(sorted(tree))


def test_a_link_to_itself_is_a_broken_link(tmp_path, write_images):
    write_images(tmp_path, TREE)
    (tmp_path / "loop").symlink_to("loop")
    dataset = load_dataset(str(tmp_path))
    assert dataset.reading.passed_over == ((f"in {tmp_path.name}/ beside the class folders: broken link", 1),)


def test_what_is_no_class_of_the_test_split_is_counted(tmp_path, write_images):
    write_images(tmp_path / "train", TREE)
    write_images(tmp_path / "val", TREE | {"cow": ["0.png"]})
    for place in ("", "val"):
        Image.new("L", (4, 4)).save(tmp_path / place / "lost.png")
    assert dict(load_dataset(str(tmp_path)).reading.passed_over) == {
        "beside the splits: image": 1,
        "folder cow in val/, of no class": 1,
        "in val/ beside the class folders: image": 1,
    }
