import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from goldore.datasets import load_dataset
from goldore.datasets.idx import find_idx, load_idx, read_idx

MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"
FASHION = Path("/usr/share/datasets/fashion-mnist")
needs_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason=f"{MNIST} is missing")
needs_fashion = pytest.mark.skipif(
    not FASHION.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed"
)


@pytest.fixture
def grey(make_arrays):
    images, labels = make_arrays()
    return images[:, 0], labels


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("dotted", [False, True], ids=["hyphen", "dot"])
def test_both_splits_come_back_as_written(tmp_path, write_idx, grey, make_arrays, packed, dotted):
    test_images, test_labels = make_arrays(samples=11, seed=1)
    write_idx(tmp_path, *grey, dotted=dotted, packed=packed)
    write_idx(tmp_path, test_images[:, 0], test_labels, "t10k", dotted=dotted, packed=packed)
    dataset = load_idx(tmp_path, "made")
    np.testing.assert_array_equal(dataset.images[:, 0], grey[0])
    np.testing.assert_array_equal(dataset.labels, grey[1])
    np.testing.assert_array_equal(dataset.test_images, test_images)
    np.testing.assert_array_equal(dataset.test_labels, test_labels)
    assert dataset.labels.dtype == dataset.test_labels.dtype == np.int64
    assert dataset.class_names == tuple("0123456789")
    assert dataset.image_shape == (1, 5, 6)
    assert str(tmp_path) in dataset.source


def test_test_files_are_optional(tmp_path, write_idx, grey):
    write_idx(tmp_path, *grey)
    dataset = load_idx(tmp_path, "made")
    assert dataset.num_samples == 20
    assert dataset.test_images is None
    assert dataset.test_labels is None


def test_given_class_names_are_taken(tmp_path, write_idx, grey):
    write_idx(tmp_path, *grey)
    assert load_idx(tmp_path, "made", tuple("abcdefghij")).class_names == tuple("abcdefghij")


def test_folder_without_training_images_holds_no_idx(tmp_path, write_idx, grey):
    write_idx(tmp_path, *grey, "t10k")
    assert find_idx(tmp_path) == {}
    assert find_idx(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    "lost", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
)
def test_missing_half_of_a_split_is_named(tmp_path, write_idx, grey, refused, lost):
    write_idx(tmp_path, *grey)
    write_idx(tmp_path, *grey, "t10k")
    (tmp_path / lost).unlink()
    with refused(tmp_path, f"lacks {lost}", ".gz", "add it"):
        load_idx(tmp_path, "made")


def test_all_missing_labels_are_named_at_once(tmp_path, write_idx, grey, refused):
    write_idx(tmp_path, *grey)[1].unlink()
    write_idx(tmp_path, *grey, "t10k")[1].unlink()
    with refused("lacks train-labels-idx1-ubyte and t10k-labels-idx1-ubyte"):
        load_idx(tmp_path, "made")


def test_of_several_sets_the_only_whole_one_is_read(tmp_path, write_idx, grey, refused):
    write_idx(tmp_path, *grey, "a-train")
    write_idx(tmp_path, *grey, "b-train")[1].unlink()
    write_idx(tmp_path, grey[0][:4], grey[1][:4], "b-t10k")
    dataset = load_idx(tmp_path, "made")
    assert dataset.num_samples == len(grey[1])
    assert dataset.test_images is None
    write_idx(tmp_path, *grey, "b-train")
    with refused("several IDX datasets (a, b)"):
        load_idx(tmp_path, "made")


@pytest.mark.parametrize("kept", [5, 12, 100, -9, -1])
def test_truncated_gz_is_refused(tmp_path, write_idx, grey, refused, kept):
    path, _ = write_idx(tmp_path, *grey, packed=True)
    path.write_bytes(path.read_bytes()[:kept])
    with refused(path, "corrupted or truncated", "fetch it again"):
        read_idx(path)


@pytest.mark.parametrize(
    "position", [0, 10, 200, -6, -2], ids=["magic", "block", "data", "checksum", "length"]
)
def test_flipped_byte_in_gz_is_refused(tmp_path, write_idx, grey, refused, position):
    path, _ = write_idx(tmp_path, *grey, packed=True)
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    with refused(path, "corrupted or truncated"):
        read_idx(path)


def test_damaged_labels_stop_the_whole_dataset(tmp_path, write_idx, grey, refused):
    _, path = write_idx(tmp_path, *grey)
    path.write_bytes(path.read_bytes()[:-3])
    with refused(path, "holds less than the 20 bytes its header states"):
        load_idx(tmp_path, "made")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        bytes(10),
        bytes((0, 0, 8, 1)) + bytes(12),
        bytes((0, 0, 13, 3)) + bytes(12),
        b"\x89PNG" + bytes(12),
    ],
    ids=["empty", "short", "one axis", "floats", "png"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_wrong_magic_is_refused(tmp_path, refused, header, packed):
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(header) if packed else header)
    with refused(path, "is not an IDX file of bytes with 3 axes"):
        read_idx(path)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("change", "says"), [(-1, "less"), (1, "more")])
def test_other_length_than_the_header_states_is_refused(tmp_path, refused, packed, change, says):
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    content = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + bytes(24 + change)
    path.write_bytes(gzip.compress(content) if packed else content)
    with refused(path, f"holds {says} than the 24 bytes its header states"):
        read_idx(path)


def test_absurd_size_is_refused_before_reading(tmp_path, refused):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3))
    with refused(path, "absurd"):
        read_idx(path)


def test_no_images_are_refused(tmp_path, write_idx, refused):
    write_idx(tmp_path, np.zeros((0, 5, 6)), np.zeros(0))
    with refused("train-labels-idx1-ubyte is empty", "at least one"):
        load_idx(tmp_path, "made")


@needs_mnist
def test_real_mnist_as_published():
    dataset = load_dataset(str(MNIST))
    assert dataset.name == "MNIST"
    assert dataset.image_shape == (1, 28, 28)
    assert dataset.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert dataset.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(dataset.labels).tolist() == counts
    assert len(dataset.test_images) == len(dataset.test_labels) == 10_000
    means, stds = dataset.normalization()
    assert (round(means[0], 4), round(stds[0], 4)) == (0.1307, 0.3081)


@needs_fashion
def test_real_fashion_mnist_has_its_class_names():
    dataset = load_dataset(str(FASHION))
    assert dataset.name == "FashionMNIST"
    assert np.bincount(dataset.labels).tolist() == [6000] * 10
    assert np.bincount(dataset.test_labels).tolist() == [1000] * 10
    assert dataset.class_names[dataset.labels[0]] == "Ankle boot"
    assert dataset.class_names[dataset.labels[1]] == "T-shirt/top"


def test_no_images_of_absurd_size_are_refused(tmp_path, refused):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 0, 2**32 - 1, 2**32 - 1))
    with refused(path, "absurd"):
        read_idx(path)
