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
    assert dataset.name == "made"
    assert "x_train.npy was read with the other arrays in its folder" in dataset.reading.notes


def test_a_file_of_labels_is_no_dataset(tmp_path, refused):
    folder = save(tmp_path / "made", {"x": TRAIN, "y": LABELS})
    with refused("y.npy is not called like training images", f"give its folder, {folder}"):
        load_dataset(str(folder / "y.npy"))


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_file_of_one_tensor_is_refused_with_the_remedy(tmp_path, refused, suffix):
    torch.save(torch.tensor(TRAIN), tmp_path / f"a{suffix}")
    with refused("holds a Tensor", 'torch.save({"x_train": images, "y_train": labels}, FILE)'):
        load_dataset(str(tmp_path / f"a{suffix}"))


def test_bfloat16_in_a_file(tmp_path):
    torch.save(
        {"x": torch.tensor(TRAIN > 9).to(torch.bfloat16), "y": torch.tensor(LABELS)}, tmp_path / "a.pt"
    )
    np.testing.assert_array_equal(load_dataset(str(tmp_path / "a.pt")).images[:, 0], (TRAIN > 9) * 255)


@pytest.mark.parametrize("names", [np.arange(9), np.array([f"{n}.png" for n in range(9)])])
def test_names_of_samples_are_no_names_of_classes(tmp_path, names):
    dataset = load_dataset(str(save(tmp_path / "a.npz", {"x": TRAIN, "y": LABELS, "names": names})))
    assert dataset.class_names == ("0", "1", "2")


def test_test_images_of_another_scale_are_refused(tmp_path, refused):
    wide = {"x_train": TRAIN.astype(np.uint16), "x_test": TEST.astype(np.uint16) * 257}
    with refused("x_test in a.npz holds 16 bits", "8 bits in the training images"):
        load_dataset(str(save(tmp_path / "a.npz", wide | {"y_train": LABELS, "y_test": TEST_LABELS})))


def test_12_bits_in_16_are_warned_of(tmp_path):
    arrays = {"x": TRAIN.astype(np.uint16) * 16, "y": LABELS}
    assert (
        "x in a.npz use values up to"
        in load_dataset(str(save(tmp_path / "a.npz", arrays))).reading.warnings[0]
    )


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
