"""Arrays under the names that people give them, in the files that they keep them in."""

import h5py
import numpy as np
import pytest
import torch

from goldore.datasets import load_dataset
from goldore.datasets.idx import find_idx, load_idx

RNG = np.random.default_rng(0)
TRAIN, TEST, VAL = (RNG.integers(0, 256, (count, 6, 5), dtype=np.uint8) for count in (9, 4, 5))
LABELS, TEST_LABELS, VAL_LABELS = (np.arange(count) % 3 for count in (9, 4, 5))

NAMES = {
    "Keras": ("x_train", "y_train", "x_test", "y_test"),
    "MedMNIST": ("train_images", "train_labels", "test_images", "test_labels"),
    "condensation": ("images_train", "labels_train", "images_test", "labels_test"),
    "capitals": ("X_train", "Y_train", "X_test", "Y_test"),
    "together": ("trainx", "trainy", "testx", "testy"),
    "data": ("train_data", "train_targets", "test_data", "test_targets"),
}


def save(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    elif path.suffix == ".pt":
        torch.save({name: torch.tensor(array) for name, array in arrays.items()}, path)
    else:
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    return path


@pytest.mark.parametrize("kind", ["made.npz", "made.h5", "made.pt", "made"], ids=["npz", "h5", "pt", "npy"])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_every_name_in_every_file(tmp_path, kind, names):
    arrays = dict(zip(names, (TRAIN, LABELS, TEST, TEST_LABELS), strict=True))
    dataset = load_dataset(str(save(tmp_path / kind, arrays)))
    assert dataset.name == "made"
    np.testing.assert_array_equal(dataset.images[:, 0], TRAIN)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    np.testing.assert_array_equal(dataset.test_images[:, 0], TEST)
    np.testing.assert_array_equal(dataset.test_labels, TEST_LABELS)
    assert [each.images for each in dataset.reading.splits] == [9, 4]


def test_medmnist_as_published(tmp_path):
    arrays = {
        "train_images": TRAIN, "train_labels": LABELS[:, None].astype(np.uint8),
        "val_images": VAL, "val_labels": VAL_LABELS[:, None].astype(np.uint8),
        "test_images": TEST, "test_labels": TEST_LABELS[:, None].astype(np.uint8),
    }  # fmt: skip
    dataset = load_dataset(str(save(tmp_path / "pathmnist.npz", arrays)))
    np.testing.assert_array_equal(dataset.test_labels, TEST_LABELS)
    assert dict(dataset.reading.passed_over) == {"array val_images": 1, "array val_labels": 1}
    del arrays["test_images"], arrays["test_labels"]
    dataset = load_dataset(str(save(tmp_path / "other.npz", arrays)))
    np.testing.assert_array_equal(dataset.test_labels, VAL_LABELS)
    assert dataset.reading.notes == ("other.npz: val_images are the test split",)


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("data", "targets"), ("X", "y")])
def test_a_single_split(tmp_path, names):
    dataset = load_dataset(str(save(tmp_path / "made.npz", dict(zip(names, (TRAIN, LABELS), strict=True)))))
    np.testing.assert_array_equal(dataset.labels, LABELS)
    assert dataset.test_images is None


def test_one_file_of_a_pair_names_its_folder(tmp_path):
    folder = save(tmp_path / "made", {"x_train": TRAIN, "y_train": LABELS})
    dataset = load_dataset(str(folder / "x_train.npy"))
    np.testing.assert_array_equal(dataset.images[:, 0], TRAIN)
    assert dataset.origin.path == str(folder)


def test_class_names_and_texts(tmp_path):
    names = np.array(["ant", "bee", "cow"])
    arrays = {"x_train": TRAIN, "y_train": names[LABELS], "x_test": TEST, "y_test": names[TEST_LABELS]}
    dataset = load_dataset(str(save(tmp_path / "a.npz", arrays)))
    assert dataset.class_names == ("ant", "bee", "cow")
    assert dataset.test_labels.tolist() == TEST_LABELS.tolist()
    with_names = save(tmp_path / "b.npz", {"x_train": TRAIN, "y_train": LABELS, "classes": names})
    assert load_dataset(str(with_names)).class_names == ("ant", "bee", "cow")


def test_labels_of_a_contest_are_not_used(tmp_path):
    arrays = {"x_train": TRAIN, "y_train": LABELS, "x_test": TEST, "y_test": np.full(4, -1)}
    dataset = load_dataset(str(save(tmp_path / "a.npz", arrays)))
    assert dataset.test_images is None
    assert "all labels are negative" in dataset.reading.notes[0]


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"pictures": TRAIN, "tags": LABELS}, ["holds pictures, tags", "x_train and y_train"]),
        ({"x_train": TRAIN}, ["holds x_train"]),
        ({"x_train": TRAIN, "train_images": TRAIN, "y_train": LABELS}, ["x_train and train_images", "same"]),
        ({"x_train": TRAIN, "y_train": LABELS, "x_test": TEST}, ["but not both"]),
        ({"x_train": TRAIN, "y_train": np.array([{}] * 9, dtype=object)}, ["never read", "dtype=str"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_is_there(tmp_path, refused, arrays, parts):
    with refused(*parts):
        load_dataset(str(save(tmp_path / "made.npz", arrays)))


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar.gz", "photos.7z"])
def test_archives_are_to_be_unpacked(tmp_path, name):
    from goldore.errors import UsageError

    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="unpack it"):
        load_dataset(str(tmp_path / name))


class TestIdxNames:
    """EMNIST and others put a name before."""

    def test_a_prefix_is_understood(self, tmp_path, write_idx):
        images, labels = TRAIN, LABELS + 1  # EMNIST's letters count from 1
        write_idx(tmp_path, images, labels, packed=True)
        for file in list(tmp_path.iterdir()):
            file.rename(tmp_path / f"emnist-letters-{file.name}")
        dataset = load_idx(tmp_path, "letters")
        np.testing.assert_array_equal(dataset.images[:, 0], images)
        assert dataset.class_names == ("1", "2", "3")
        assert dataset.labels.tolist() == LABELS.tolist()
        assert dataset.reading.notes == (
            "emnist-letters-train-labels-idx1-ubyte.gz: labels 1, 2, 3 numbered 0 to 2",
        )

    def test_several_datasets_in_a_folder_are_refused(self, tmp_path, write_idx, refused):
        for name in ("emnist-digits", "emnist-letters"):
            write_idx(tmp_path / "one", TRAIN, LABELS)
            for file in list((tmp_path / "one").iterdir()):
                file.rename(tmp_path / f"{name}-{file.name}")
        (tmp_path / "one").rmdir()
        with refused("several IDX datasets (emnist-digits, emnist-letters)", "a folder of its own"):
            find_idx(tmp_path)
