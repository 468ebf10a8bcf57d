import hashlib
from dataclasses import replace

import numpy as np
import pytest

from goldore.datasets import ImageDataset
from goldore.datasets.reading import Reading


@pytest.fixture
def build(make_arrays):
    def make(samples=12, shape=(3, 4, 5), classes=3, **changes):
        images, labels = make_arrays(samples, shape, classes)
        parts = {"name": "made", "images": images, "labels": labels, "source": "a test"}
        parts["class_names"] = tuple("abcdefghij"[:classes])
        return ImageDataset(**(parts | changes))

    return make


def fingerprint_of(nhwc, labels):
    samples, height, width, channels = nhwc.shape
    text = f"{samples},{height},{width},{channels};".encode()
    numbers = b"".join(int(label).to_bytes(8, "little", signed=True) for label in labels)
    return hashlib.sha256(text + nhwc.tobytes("C") + numbers).hexdigest()


# 4,097 and 9,000 samples end inside a block of hashing
@pytest.mark.parametrize(
    ("samples", "shape"), [(12, (3, 4, 5)), (12, (1, 2, 7)), (4097, (2, 2, 1)), (9000, (1, 1, 2))]
)
def test_fingerprint_is_sha256_of_shape_pixels_and_labels(build, samples, shape):
    dataset = build(samples, shape)
    assert dataset.fingerprint == fingerprint_of(dataset.images.transpose(0, 2, 3, 1), dataset.labels)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5)])
def test_identity_does_not_depend_on_how_channels_are_stored(build, shape):
    dataset = build(shape=shape)
    stored_last = np.ascontiguousarray(dataset.images.transpose(0, 2, 3, 1))
    other = replace(dataset, images=stored_last.transpose(0, 3, 1, 2))
    assert other.images.flags.c_contiguous != dataset.images.flags.c_contiguous or shape[0] == 1
    assert other.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(other.sample_hash, dataset.sample_hash)


def test_fingerprint_tells_shapes_of_equal_bytes_apart(build):
    images = np.zeros((6, 1, 2, 3), np.uint8)
    wide = build(6, images=images)
    high = build(6, images=images.reshape(6, 1, 3, 2))
    assert wide.fingerprint != high.fingerprint


def test_one_pixel_changes_fingerprint_and_one_hash(build):
    dataset = build()
    images = dataset.images.copy()
    images[7, 1, 3, 2] ^= 1
    other = replace(dataset, images=images)
    assert other.fingerprint != dataset.fingerprint
    assert np.flatnonzero(other.sample_hash != dataset.sample_hash).tolist() == [7]


def test_one_label_changes_fingerprint_but_no_hash(build):
    dataset = build()
    labels = dataset.labels.copy()
    labels[7] = (labels[7] + 1) % 3
    other = replace(dataset, labels=labels)
    assert other.fingerprint != dataset.fingerprint
    np.testing.assert_array_equal(other.sample_hash, dataset.sample_hash)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"source": "elsewhere"},
        {"class_names": ("x", "y", "z")},
        {"reading": Reading(notes=("seen",))},
    ],
)
def test_fingerprint_ignores_words(build, changes):
    assert build(**changes).fingerprint == build().fingerprint


@pytest.mark.parametrize("samples", [12, 4100])
def test_sample_hash_is_blake2b_of_each_image(build, samples):
    dataset = build(samples)
    expected = [
        int.from_bytes(
            hashlib.blake2b(image.transpose(1, 2, 0).tobytes("C"), digest_size=8).digest(), "little"
        )
        for image in dataset.images
    ]
    assert dataset.sample_hash.dtype == np.uint64
    assert dataset.sample_hash.tolist() == expected


def test_equal_images_have_equal_hashes(build):
    dataset = build()
    images = dataset.images.copy()
    images[9] = images[2]
    hashes = replace(dataset, images=images).sample_hash
    assert hashes[9] == hashes[2]
    assert len(set(hashes.tolist())) == 11


@pytest.mark.parametrize(("samples", "shape"), [(12, (3, 4, 5)), (5000, (2, 3, 1))])
def test_normalization_is_mean_and_std_per_channel_to_six_decimals(build, samples, shape):
    dataset = build(samples, shape)
    scaled = dataset.images.astype(np.float64) / 255
    means, stds = dataset.normalization()
    assert means == tuple(round(float(mean), 6) for mean in scaled.mean(axis=(0, 2, 3)))
    assert stds == tuple(round(float(std), 6) for std in scaled.std(axis=(0, 2, 3)))


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_channel_has_std_one(build, value):
    images = build().images.copy()
    images[:, 1] = value
    means, stds = build(images=images).normalization()
    assert means[1] == round(value / 255, 6)
    assert stds[1] == 1
    assert stds[0] == round(float((images[:, 0] / 255).std()), 6)


def test_sizes(build):
    dataset = build(12, (3, 4, 5), 4)
    assert (dataset.num_samples, dataset.num_classes, dataset.image_shape) == (12, 4, (3, 4, 5))


@pytest.mark.parametrize("label", [-1, 3, 99])
def test_label_out_of_range_is_refused(build, refused, label):
    labels = build().labels.copy()
    labels[[4, 5]] = label
    with refused("2 training labels of made are out of range", f"sample 4 has {label}", "0 to 2"):
        build(labels=labels)


def test_class_without_samples_is_refused_by_name(build, refused):
    with refused("no training sample of class 1 (b)", "remove the class or add samples"):
        build(labels=np.array([0, 2] * 6))


def test_only_some_of_many_empty_classes_are_listed(build, refused):
    with refused("1 (b), 2 (c), 3 (d), 4 (e), 5 (f) and others"):
        build(classes=7, labels=np.zeros(12, np.int64))


def test_images_and_labels_of_different_length_are_refused(build, refused):
    with refused("12 training images but 11 training labels"):
        build(labels=build().labels[:11])


@pytest.mark.parametrize("given", ["test_images", "test_labels"])
def test_half_a_test_set_is_refused(build, refused, given):
    part = build().images if given == "test_images" else build().labels
    with refused("test images or test labels but not both", "give both or neither"):
        build(**{given: part})


def test_test_set_is_checked_like_the_training_set(build, refused):
    images = build().images
    with refused("12 test images but 3 test labels"):
        build(test_images=images, test_labels=np.zeros(3, np.int64))
    with refused("12 test labels of made are out of range", "sample 0 has 5"):
        build(test_images=images, test_labels=np.full(12, 5))


def test_test_set_may_lack_classes(build):
    dataset = build(test_images=build().images[:2], test_labels=np.zeros(2, np.int64))
    assert dataset.test_labels.tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 5, 4)])
def test_test_images_of_another_shape_are_refused(build, refused, shape):
    with refused("test images", str(shape), "(3, 4, 5)", "make them equal"):
        build(test_images=np.zeros((2, *shape), np.uint8), test_labels=np.zeros(2, np.int64))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((12, 3, 4, 5), np.float32),
        np.zeros((12, 4, 5), np.uint8),
        np.zeros((0, 3, 4, 5), np.uint8),
        np.zeros((12, 3, 0, 5), np.uint8),
    ],
)
def test_images_of_another_form_are_refused(build, refused, images):
    with refused("training images of made", str(images.dtype), str(images.shape), "uint8"):
        build(images=images)


@pytest.mark.parametrize("labels", [np.zeros(12, np.int32), np.zeros(12), np.zeros((12, 1), np.int64)])
def test_labels_of_another_form_are_refused(build, refused, labels):
    with refused("training labels of made", str(labels.dtype), str(labels.shape), "whole numbers"):
        build(labels=labels)


def test_paths_must_be_one_a_sample(build, refused):
    with refused("12 samples but 2 paths"):
        build(paths=("a", "b"))


@pytest.mark.parametrize("name", ["nul\0", "surrogate \udcff"])
def test_names_that_no_file_can_hold_are_refused(name):
    from goldore.errors import DatasetError
    from tests.conftest import make_dataset

    good = make_dataset(counts=(2, 2))
    with pytest.raises(DatasetError, match="no valid text"):
        replace(good, class_names=("a", name))


def test_labels_that_start_at_one_get_a_hint():
    from goldore.errors import DatasetError
    from tests.conftest import make_dataset

    good = make_dataset(counts=(2, 2))
    with pytest.raises(DatasetError, match="labels run from 1 to 2; count from 0"):
        replace(good, labels=good.labels + 1, class_names=("a", "b", "c"))
