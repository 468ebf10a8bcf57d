from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from goldore.datasets import load_dataset
from goldore.datasets.idx import load_idx

FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def sample():
    return load_dataset()


@pytest.fixture(scope="module")
def positions():
    with np.load(files("goldore.datasets") / "fashion_mnist_sample.npz", allow_pickle=False) as content:
        return content["positions"], content["test_positions"]


@pytest.fixture(scope="module")
def whole():
    if not FASHION.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    return load_idx(FASHION, "FashionMNIST")


def test_shape(sample):
    assert sample.name == "FashionMNIST-sample"
    assert sample.images.shape == (3000, 1, 28, 28)
    assert sample.test_images.shape == (1000, 1, 28, 28)


def test_source_does_not_depend_on_where_goldore_lies(sample):
    assert sample.source == "the sample bundled with goldore"


def test_classes_are_balanced(sample):
    assert np.bincount(sample.labels).tolist() == [300] * 10
    assert np.bincount(sample.test_labels).tolist() == [100] * 10


def test_class_names(sample):
    assert sample.class_names == (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip


@pytest.mark.parametrize("spelling", ["fashionmnist-sample", "FASHION_MNIST_SAMPLE"])
def test_name_is_spelled_freely(sample, spelling):
    assert load_dataset(spelling).fingerprint == sample.fingerprint


def test_positions_ascend(positions):
    for each in positions:
        assert (np.diff(each) > 0).all()


def test_samples_are_those_at_the_positions(sample, positions, whole):
    np.testing.assert_array_equal(sample.images, whole.images[positions[0]])
    np.testing.assert_array_equal(sample.labels, whole.labels[positions[0]])
    np.testing.assert_array_equal(sample.test_images, whole.test_images[positions[1]])
    np.testing.assert_array_equal(sample.test_labels, whole.test_labels[positions[1]])


def test_positions_are_the_first_of_each_class(positions, whole):
    for found, labels, count in zip(positions, (whole.labels, whole.test_labels), (300, 100), strict=True):
        firsts = [np.flatnonzero(labels == label)[:count] for label in range(10)]
        assert found.tolist() == sorted(np.concatenate(firsts).tolist())


def test_licence_lies_beside_the_sample():
    assert "Zalando" in (files("goldore.datasets") / "fashion_mnist_sample.txt").read_text()
