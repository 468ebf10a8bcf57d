from pathlib import Path

import numpy as np
import pytest

from goldore.datasets import load_dataset
from goldore.errors import DatasetError, UsageError


@pytest.fixture
def idx_folder(tmp_path, write_idx, make_arrays):
    images, labels = make_arrays()
    write_idx(tmp_path / "digits", images[:, 0], labels)
    return tmp_path / "digits"


@pytest.fixture
def tree(tmp_path, write_images):
    write_images(tmp_path / "tree", {"a": ["0.png"], "b": ["0.png"]})
    return tmp_path / "tree"


@pytest.fixture
def npz(tmp_path, make_arrays):
    images, labels = make_arrays()
    np.savez(tmp_path / "made.npz", x_train=images, y_train=labels)
    return tmp_path / "made.npz"


@pytest.mark.parametrize(
    "options", [{"image_size": "3"}, {"image_size": 2.5}, {"image_size": 0}, {"name": 5}]
)
def test_options_of_other_kinds_are_refused(tree, refused, options):
    with refused(f"`{next(iter(options))}` is", "it must be", kind=UsageError):
        load_dataset(str(tree), **options)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("mnist", "MNIST"),
        ("MNIST", "MNIST"),
        ("Fashion-MNIST", "FashionMNIST"),
        ("fashion_mnist", "FashionMNIST"),
        ("k-mnist", "KMNIST"),
    ],
)
def test_names_are_spelled_freely(idx_folder, spelling, name):
    assert load_dataset(spelling, data_root=idx_folder).name == name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("cifar-10", "CIFAR10"), ("Cifar_100", "CIFAR100"), ("tiny-imagenet", "TinyImageNet")],
)
def test_spelling_reaches_the_reader_of_its_name(tmp_path, refused, spelling, name):
    with refused(name if name.startswith("CIFAR") else "tiny-imagenet-200", tmp_path):
        load_dataset(spelling, data_root=tmp_path)


@pytest.mark.parametrize(
    ("source", "near"),
    [
        ("CIFAR11", "CIFAR10"),
        ("MINST", "MNIST"),
        ("imagenete", "Imagenette"),
        ("fashionmist", "FashionMNIST"),
    ],
)
def test_unknown_dataset_names_its_neighbours(refused, source, near):
    with refused(f"no dataset named {source!r}", "did you mean", near, kind=UsageError):
        load_dataset(source)


@pytest.mark.parametrize("source", ["qqqq", "a" * 300], ids=["short", "long"])
def test_dataset_like_no_other_lists_the_known(refused, source):
    with refused("no dataset named", "MNIST", "CIFAR100", "or give a path", kind=UsageError):
        load_dataset(source)


@pytest.mark.parametrize(
    "source",
    ["nowhere/data", "./nowhere", "nowhere.npz", "nowhere.h5", "nowhere.pt", "a/b:c", "~no_such_user/data"],
)
def test_missing_path_is_refused(tmp_path, monkeypatch, refused, source):
    monkeypatch.chdir(tmp_path)
    with refused(f"there is no file or folder {source}", "check the path"):
        load_dataset(source)


def test_file_of_unknown_kind_is_refused(tmp_path, refused):
    (tmp_path / "made.csv").write_text("1,2,3")
    with refused(
        tmp_path / "made.csv", "no known kind", ".npz, .h5", "package.module:function", kind=UsageError
    ):
        load_dataset(str(tmp_path / "made.csv"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image_size": 8}, "`image_size` applies to images"),
        ({"classes": ["a"]}, "`classes` applies to folder trees"),
        ({"channels": "last"}, "`channels` applies to files of arrays"),
    ],
)
@pytest.mark.parametrize("source", ["MNIST", "FashionMNIST-sample"])
def test_option_for_other_kinds_is_refused(idx_folder, refused, source, options, says):
    with refused(says, "leave it out", kind=UsageError):
        load_dataset(source, data_root=idx_folder, **options)


@pytest.mark.parametrize("options", [{"image_size": 8}, {"classes": ["a"]}])
def test_options_of_folder_trees_are_refused_for_arrays_and_functions(npz, refused, options):
    for source in (str(npz), "tfds:mnist"):
        with refused("applies to", "only", kind=UsageError):
            load_dataset(source, **options)


@pytest.mark.parametrize("options", [{"image_size": 8}, {"classes": ["a"]}])
def test_options_of_folder_trees_are_refused_for_idx_folders(idx_folder, refused, options):
    with refused(idx_folder, "holds arrays", "folder trees only", kind=UsageError):
        load_dataset(str(idx_folder), **options)


def test_classes_are_refused_for_a_named_folder_tree(tmp_path, refused):
    with refused("`classes` applies to folder trees", kind=UsageError):
        load_dataset("Imagenette", data_root=tmp_path, classes=["a"])


def test_channels_are_refused_for_a_folder_tree(tree, refused):
    with refused("`channels` applies to", kind=UsageError):
        load_dataset(str(tree), channels="first")


def test_what_is_no_text_is_an_object(refused):
    with refused("the training set is int", "a length and be indexable"):
        load_dataset(3)
    with refused("`classes` applies to folder trees", kind=UsageError):
        load_dataset([(np.zeros((4, 4), np.uint8), 0)], classes=["a"])


def test_download_is_refused_for_all_but_names(npz, tree, refused):
    for source in (str(npz), str(tree), "module:function", "FashionMNIST-sample"):
        with refused("`download` applies to datasets known by name only", kind=UsageError):
            load_dataset(source, download=True)


@pytest.mark.parametrize("image_size", [0, -3])
def test_image_size_below_one_is_refused(tree, refused, image_size):
    with refused(f"`image_size` is {image_size}", "1 or more", kind=UsageError):
        load_dataset(str(tree), image_size=image_size)


def test_options_reach_a_folder_tree(tree):
    dataset = load_dataset(str(tree), image_size=3, classes=["b"])
    assert dataset.image_shape == (3, 3, 3)
    assert dataset.class_names == ("b",)


def test_name_is_the_last_part_of_the_path(tree, npz, idx_folder, monkeypatch):
    assert load_dataset(str(tree)).name == "tree"
    assert load_dataset(f"{tree}/").name == "tree"
    assert load_dataset(str(npz)).name == "made"
    assert load_dataset(str(idx_folder)).name == "digits"
    monkeypatch.chdir(tree)
    assert load_dataset(".").name == "tree"


@pytest.mark.parametrize("folder", ["mnist", "MNIST"])
def test_path_spelled_like_a_name_is_a_path_with_a_slash(
    tmp_path, monkeypatch, write_idx, make_arrays, folder
):
    images, labels = make_arrays()
    write_idx(tmp_path / folder, images[:, 0], labels)
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset(f"./{folder}", data_root="nowhere")
    assert dataset.name == "MNIST"
    np.testing.assert_array_equal(dataset.images, images)


def test_known_name_of_a_folder_brings_its_class_names(idx_folder):
    folder = idx_folder.rename(idx_folder.parent / "fashion-mnist")
    dataset = load_dataset(str(folder))
    assert dataset.name == "FashionMNIST"
    assert dataset.class_names[:2] == ("T-shirt/top", "Trouser")


def test_name_can_be_said_for_every_kind(tree, npz, idx_folder):
    for source in (str(tree), str(npz), str(idx_folder), "MNIST", "FashionMNIST-sample"):
        assert load_dataset(source, data_root=idx_folder, name="mine").name == "mine"


@pytest.mark.parametrize("by_path", [False, True], ids=["named", "path"])
def test_said_name_changes_nothing_but_the_name(idx_folder, by_path):
    folder = idx_folder.rename(idx_folder.parent / "FashionMNIST")
    source = str(folder) if by_path else "FashionMNIST"
    plain = load_dataset(source, data_root=folder)
    named = load_dataset(source, data_root=folder, name="mine")
    assert named.fingerprint == plain.fingerprint
    assert named.class_names == plain.class_names
    assert named.source == plain.source


def test_home_is_understood(npz, monkeypatch):
    monkeypatch.setenv("HOME", str(npz.parent))
    assert load_dataset("~/made.npz").num_samples == 20


def test_nothing_is_written(tree, npz, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    before = sorted(tmp_path.rglob("*"))
    for source in (str(tree), str(npz), "FashionMNIST-sample"):
        load_dataset(source)
    with pytest.raises(DatasetError):
        load_dataset("CIFAR10")
    assert sorted(tmp_path.rglob("*")) == before
    assert list(Path().iterdir()) == []
