"""TensorFlow Datasets: a stub of what is used of it, and the library itself where it is installed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from goldore.datasets import load_dataset
from goldore.errors import UsageError


class Builder:
    """Gives its items in order only when asked for them unshuffled, as pairs."""

    def __init__(self, splits):
        label = SimpleNamespace(names=["zero", "one", "two"])
        self.splits, self.ready = splits, True
        self.info = SimpleNamespace(splits=splits, features={"label": label}, full_name="made/1.0.0")

    def download_and_prepare(self):
        self.ready = True

    def as_dataset(self, *, split, as_supervised=False, shuffle_files=None):
        if not self.ready:
            raise FileNotFoundError("Dataset made:\n  could not find data")
        images, labels = self.splits[split]
        pairs = list(zip(images, labels, strict=True))
        if not as_supervised:
            return [{"image": image, "label": label} for image, label in pairs]
        return pairs if shuffle_files is False else pairs[::-1]


@pytest.fixture
def tfds(monkeypatch):
    """The stub; tests fill `splits` with images [N, H, W, C] and labels."""
    splits = {}
    builder = Builder(splits)
    asked = []

    def find(name, *, data_dir):
        asked.append((name, data_dir))
        return builder

    stub = SimpleNamespace(builder=find, as_numpy=iter, splits=splits, made=builder, asked=asked)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", stub)
    return stub


def split(samples, shape=(5, 4, 3), seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(samples) % 3)
    return draw.integers(0, 256, (samples, *shape), dtype=np.uint8), labels


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 1)])
def test_images_labels_and_names_in_the_order_there(tfds, tmp_path, shape):
    images, labels = tfds.splits["train"] = split(12, shape)
    dataset = load_dataset("tfds:made", data_root=tmp_path)
    assert tfds.asked == [("made", str(tmp_path))]
    assert dataset.images.shape == (12, shape[2], 5, 4)
    assert dataset.images.flags.c_contiguous
    np.testing.assert_array_equal(dataset.images, np.moveaxis(images, 3, 1))
    assert dataset.labels.tolist() == labels.tolist()
    assert dataset.labels.dtype == np.int64
    assert dataset.class_names == ("zero", "one", "two")
    assert (dataset.name, dataset.source) == ("made", "TensorFlow Datasets made/1.0.0")
    assert dataset.test_images is None


@pytest.mark.parametrize(
    ("there", "found"),
    [(["test"], "test"), (["validation"], "validation"), (["validation", "test"], "test"), (["extra"], None)],
)
def test_the_test_split(tfds, tmp_path, there, found):
    tfds.splits["train"] = split(12)
    for seed, name in enumerate(there, start=1):
        tfds.splits[name] = split(6, seed=seed)
    dataset = load_dataset("tfds:made", data_root=tmp_path)
    if found is None:
        assert dataset.test_images is None
        assert dataset.test_labels is None
    else:
        images, labels = tfds.splits[found]
        np.testing.assert_array_equal(dataset.test_images, np.moveaxis(images, 3, 1))
        assert dataset.test_labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("source", "title"),
    [("tfds:svhn_cropped", "SVHN"), ("tfds:fashion_mnist", "FashionMNIST"), ("tfds:made", "made")],
)
def test_it_has_the_name_that_other_loaders_give_it(tfds, tmp_path, source, title):
    tfds.splits["train"] = split(6)
    assert load_dataset(source, data_root=tmp_path).name == title
    assert load_dataset(source, data_root=tmp_path, name="mine").name == "mine"


def test_data_that_are_not_there_end_in_a_sentence_or_are_prepared(tfds, tmp_path, refused):
    tfds.splits["train"] = split(6)
    tfds.made.ready = False
    with refused("tfds:made", tmp_path, "could not find data", "`data_root`", "`download`"):
        load_dataset("tfds:made", data_root=tmp_path)
    assert load_dataset("tfds:made", data_root=tmp_path, download=True).num_samples == 6


def test_images_of_several_sizes_end_in_a_sentence(tfds, tmp_path, refused):
    images, labels = split(6)
    tfds.splits["train"] = ([*images[:5], images[5, :4]], labels)
    with refused("tfds:made", "differ in size"):
        load_dataset("tfds:made", data_root=tmp_path)


def test_data_without_labels_end_in_a_sentence(tfds, tmp_path, refused):
    tfds.splits["train"] = split(6)
    del tfds.made.info.features["label"]
    with refused("tfds:made", "label"):
        load_dataset("tfds:made", data_root=tmp_path)


def test_without_the_library_it_says_what_to_install(monkeypatch, tmp_path, refused):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with refused("tfds:mnist", 'pip install "goldore[tfds]"', kind=UsageError):
        load_dataset("tfds:mnist", data_root=tmp_path)


def test_options_of_folder_trees_do_not_apply(tfds, tmp_path, refused):
    with refused("`image_size`", kind=UsageError):
        load_dataset("tfds:made", data_root=tmp_path, image_size=8)
    assert tfds.asked == []


@pytest.mark.slow
def test_the_library_itself(tmp_path):
    """A dataset that the library wrote is read in its order, which is not the one it was written in."""
    library = pytest.importorskip("tensorflow_datasets")
    images, labels = split(60, (5, 4, 3))
    tests = split(9, (5, 4, 3), seed=1)

    class GoldoreMade(library.core.GeneratorBasedBuilder):
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": library.features.Image(shape=(5, 4, 3)),
                "label": library.features.ClassLabel(names=["zero", "one", "two"]),
            }
            described = library.features.FeaturesDict(features)
            return library.core.DatasetInfo(
                builder=self, features=described, supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(images, labels), "test": self._generate_examples(*tests)}

        def _generate_examples(self, pictures, classes):
            for number, (image, label) in enumerate(zip(pictures, classes, strict=True)):
                yield number, {"image": image, "label": int(label)}

    dataset = load_dataset("tfds:goldore_made", data_root=tmp_path, download=True)
    there = library.load("goldore_made", split="train", data_dir=tmp_path, as_supervised=True)
    wanted = [(image.transpose(2, 0, 1).tolist(), int(label)) for image, label in library.as_numpy(there)]
    assert list(zip(dataset.images.tolist(), dataset.labels.tolist(), strict=True)) == wanted
    first = np.moveaxis(images, 3, 1)
    assert not np.array_equal(dataset.images, first)
    assert sorted(dataset.images.tolist()) == sorted(first.tolist())
    assert dataset.class_names == ("zero", "one", "two")
    assert sorted(dataset.test_labels.tolist()) == sorted(tests[1].tolist())
    assert load_dataset("tfds:goldore_made", data_root=tmp_path).fingerprint == dataset.fingerprint
