import tracemalloc

import h5py
import numpy as np
import pytest

from goldore.datasets import load_dataset
from goldore.datasets.arrays import load_arrays

both_formats = pytest.mark.parametrize("ending", ["npz", "h5"])


@pytest.fixture
def arrays(make_arrays):
    """Keys of a whole file: channels last, three classes."""
    images, labels = make_arrays(12, (3, 5, 6), 3)
    test_images, test_labels = make_arrays(7, (3, 5, 6), 3, seed=1)
    return {
        "x_train": images.transpose(0, 2, 3, 1),
        "y_train": labels,
        "x_test": test_images.transpose(0, 2, 3, 1),
        "y_test": test_labels,
    }


@pytest.fixture
def write(tmp_path):
    def save(ending, arrays, packed=False):
        path = tmp_path / f"made.{ending}"
        if ending == "npz":
            (np.savez_compressed if packed else np.savez)(path, **arrays)
        else:
            with h5py.File(path, "w") as file:
                for key, array in arrays.items():
                    file.create_dataset(
                        key, data=array, compression="gzip" if packed and array.ndim else None
                    )
        return path

    return save


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("ending", ["npz", "h5", "hdf5"])
def test_both_splits_come_back_as_written(write, arrays, ending, packed):
    path = write(ending, arrays, packed)
    dataset = load_dataset(str(path))
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), arrays["x_train"])
    np.testing.assert_array_equal(dataset.labels, arrays["y_train"])
    np.testing.assert_array_equal(dataset.test_images.transpose(0, 2, 3, 1), arrays["x_test"])
    np.testing.assert_array_equal(dataset.test_labels, arrays["y_test"])
    assert dataset.name == "made"
    assert dataset.class_names == ("0", "1", "2")
    assert str(path) in dataset.source
    assert dataset.reading.details == tuple(
        f"{key} in {path.name}: channels last, [N, H, W, C]" for key in ("x_train", "x_test")
    )


@both_formats
def test_order_of_channels_does_not_change_the_fingerprint(write, arrays, ending):
    last = load_arrays(write(ending, arrays), "made")
    first = {
        key: np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if array.ndim == 4 else array
        for key, array in arrays.items()
    }
    again = load_arrays(write(ending, first), "made")
    assert again.reading.details[0].endswith("channels first, [N, C, H, W]")
    assert again.fingerprint == last.fingerprint


@both_formats
def test_test_arrays_are_optional(write, arrays, ending):
    dataset = load_arrays(write(ending, {key: arrays[key] for key in ("x_train", "y_train")}), "made")
    assert dataset.num_samples == 12
    assert dataset.test_images is None


@pytest.mark.parametrize(
    ("ending", "dtype"),
    [
        ("npz", "U5"),
        ("npz", "S5"),
        ("h5", "S5"),
        ("h5", h5py.string_dtype(length=9)),
        ("h5", h5py.string_dtype()),
    ],
)
def test_class_names_are_read(write, arrays, ending, dtype):
    names = np.array(["ant", "bee", "cow"]).astype(dtype)
    dataset = load_arrays(write(ending, arrays | {"class_names": names}), "made")
    assert dataset.class_names == ("ant", "bee", "cow")


@both_formats
@pytest.mark.parametrize(("names", "left"), [("abcd", ("a", "b", "c")), ("ab", None)])
def test_classes_without_samples_are_left_out_and_too_few_names_refused(
    write, arrays, refused, ending, names, left
):
    path = write(ending, arrays | {"class_names": np.array(list(names), "S1")})
    if left is None:
        with refused("labels from 0 to 2", "2 class names"):
            load_arrays(path, "made")
    else:
        dataset = load_arrays(path, "made")
        assert dataset.class_names == left
        assert any("d of 4 classes have no sample" in note for note in dataset.reading.notes)


@both_formats
@pytest.mark.parametrize("lost", ["x_train", "y_train"])
def test_missing_training_array_is_named(write, arrays, refused, ending, lost):
    del arrays[lost]
    path = write(ending, arrays)
    with refused(path, "holds", *sorted(arrays), "must hold images and labels", "x_train and y_train"):
        load_arrays(path, "made")


@both_formats
@pytest.mark.parametrize("lost", ["x_test", "y_test"])
def test_half_a_test_set_is_refused(write, arrays, refused, ending, lost):
    del arrays[lost]
    path = write(ending, arrays)
    with refused("test images or test labels but not both"):
        load_arrays(path, "made")


@both_formats
@pytest.mark.parametrize("key", ["x_train", "x_test"])
def test_bad_array_is_named(write, arrays, refused, ending, key):
    arrays[key] = arrays[key] + 0.5
    path = write(ending, arrays)
    with refused(f"{key} in {path.name} has pixels from", "0..1"):
        load_arrays(path, "made")


@both_formats
@pytest.mark.parametrize("key", ["y_train", "y_test"])
def test_fractional_labels_are_refused(write, arrays, refused, ending, key):
    arrays[key] = arrays[key] + 0.5
    path = write(ending, arrays)
    with refused(f"{key} in {path.name}", "whole numbers"):
        load_arrays(path, "made")


@both_formats
def test_channels_can_be_said(write, arrays, refused, ending):
    x_train = np.arange(12 * 3 * 5 * 3, dtype=np.uint8).reshape(12, 3, 5, 3)
    path = write(ending, {"x_train": x_train, "y_train": arrays["y_train"]})
    with refused("x_train in", "`channels` first or last"):
        load_dataset(str(path))
    np.testing.assert_array_equal(load_dataset(str(path), channels="first").images, x_train)
    assert load_dataset(str(path), channels="last").image_shape == (3, 3, 5)


@both_formats
@pytest.mark.parametrize("content", [b"", b"not such a file at all"], ids=["empty", "text"])
def test_other_content_is_refused(tmp_path, refused, ending, content):
    path = tmp_path / f"made.{ending}"
    path.write_bytes(content)
    with refused(path, "cannot be read as", "write it again"):
        load_arrays(path, "made")


@both_formats
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file_is_refused(write, arrays, refused, ending, share):
    path = write(ending, arrays)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with refused(path, "cannot be read as", "write it again"):
        load_arrays(path, "made")


def test_flipped_pixel_in_npz_is_refused(write, arrays, refused):
    path = write("npz", arrays)
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with refused(path, "cannot be read as .npz"):
        load_arrays(path, "made")


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)], ids=["encrypted", "unknown compression"])
def test_damaged_directory_of_npz_is_refused(write, arrays, refused, offset, value):
    path = write("npz", arrays)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + offset] = value
    path.write_bytes(content)
    with refused(path, "cannot be read as .npz"):
        load_arrays(path, "made")


def test_single_array_called_npz_is_refused(tmp_path, refused):
    np.save(tmp_path / "made.npy", np.zeros(3))
    path = (tmp_path / "made.npy").rename(tmp_path / "made.npz")
    with refused(path, "cannot be read as .npz"):
        load_arrays(path, "made")


@pytest.mark.parametrize("key", ["x_train", "y_train", "class_names"])
def test_pickles_in_npz_are_refused(write, arrays, refused, key):
    path = write("npz", arrays | {key: np.array([{"a": 1}, None], dtype=object)})
    with refused(path, "without pickles"):
        load_arrays(path, "made")


@pytest.mark.parametrize(
    "keys", [["x_train"], ["y_train"], ["x_test"], ["x_test", "y_test"], ["class_names"]], ids="+".join
)
def test_external_links_in_h5_are_refused_by_name(write, arrays, tmp_path, refused, keys):
    arrays["class_names"] = np.array([b"ant", b"bee", b"cow"])
    target = write("h5", arrays).rename(tmp_path / "target.h5")
    path = write("h5", {key: array for key, array in arrays.items() if key not in keys})
    with h5py.File(path, "a") as file:
        for key in keys:
            file[key] = h5py.ExternalLink(target.name, key)
    with refused(path, keys[0]):
        load_arrays(path, "made")


def test_group_instead_of_array_is_refused(write, arrays, refused):
    del arrays["x_train"]
    path = write("h5", arrays)
    with h5py.File(path, "a") as file:
        file.create_group("x_train")
    with refused(path, "x_train is no array in the file itself"):
        load_arrays(path, "made")


def test_huge_label_is_one_more_class(write, arrays):
    arrays["y_train"][3] = 400_000
    path = write("npz", {key: arrays[key] for key in ("x_train", "y_train")})
    tracemalloc.start()
    try:
        assert load_arrays(path, "made").class_names == ("0", "1", "2", "400000")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
