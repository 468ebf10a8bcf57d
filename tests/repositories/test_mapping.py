"""Positions translated between orders, against plain Python look-ups."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldore.datasets.classes import labels_digest
from goldore.datasets.dataset import ImageDataset
from goldore.errors import MappingError
from goldore.repositories.mapping import map_index, map_samples
from goldore.store import Header
from tests.conftest import make_dataset


def images_of(pictures, labels, classes):
    """A dataset in which equal numbers are equal pictures."""
    images = np.zeros((len(pictures), 1, 2, 2), dtype=np.uint8)
    images[:, 0, 0, 0] = pictures
    names = tuple(f"class {label}" for label in range(classes))
    return ImageDataset("numbers", images, np.array(labels, dtype=np.int64), names, "made by the tests")


def taken(dataset, positions, **changed):
    """The training samples at these positions, in this order."""
    parts = {"images": dataset.images[positions], "labels": dataset.labels[positions], "name": "taken"}
    return dataclasses.replace(dataset, test_images=None, test_labels=None, **{**parts, **changed})


def about(dataset):
    return {"dataset": dataset.name, "fingerprint": dataset.fingerprint, "criterion": "Random"}


@st.composite
def shuffled(draw):
    """Pictures and labels with repetitions, and an order; every class has a picture of its own."""
    classes = draw(st.integers(1, 3))
    samples = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, classes - 1)), max_size=12))
    for label in range(classes):
        samples += [(100 + label, label)] * draw(st.integers(1, 3))
    samples = draw(st.permutations(samples))
    return samples, classes, draw(st.permutations(range(len(samples))))


@given(made=shuffled(), relabel=st.permutations(range(3)))
def test_a_permuted_copy_maps_to_the_permutation(made, relabel):
    samples, classes, order = made
    renamed = [each for each in relabel if each < classes]
    source = images_of(*zip(*samples, strict=True), classes)
    target = images_of(
        [samples[position][0] for position in order],
        [renamed[samples[position][1]] for position in order],
        classes,
    )
    mapping = map_samples(Header.of(source), target)
    there = [samples[position] for position in order]
    for position, sample in enumerate(samples):
        earlier = samples[:position].count(sample)
        expected = [place for place, each in enumerate(there) if each == sample][earlier]
        assert mapping.positions[position] == expected
    pictures = [picture for picture, _ in samples]
    assert mapping.duplicates == sum(pictures.count(picture) > 1 for picture in pictures)
    assert (mapping.missing, mapping.unknown) == (0, 0)


def test_equal_images_of_two_classes_keep_their_classes():
    source = images_of([7, 7, 1, 2], [0, 1, 0, 1], 2)
    target = images_of([2, 7, 1, 7], [1, 1, 0, 0], 2)
    assert map_samples(Header.of(source), target).positions.tolist() == [3, 1, 2, 0]


def test_a_class_that_is_nothing_but_duplicates_is_found():
    source = images_of([5, 5, 1], [1, 1, 0], 2)
    target = images_of([1, 5, 5], [0, 1, 1], 2)
    assert map_samples(Header.of(source), target).positions.tolist() == [1, 2, 0]


def test_classes_in_another_order_and_spelling(dataset):
    order = np.random.default_rng(1).permutation(60)
    target = taken(dataset, order, labels=(2 - dataset.labels)[order], class_names=("c", "b", "a"))
    assert map_samples(Header.of(dataset), target).positions.tolist() == np.argsort(order).tolist()


def test_merged_classes_are_refused(dataset):
    coarse = taken(dataset, np.arange(60), labels=dataset.labels // 2, class_names=("low", "high"))
    with pytest.raises(MappingError, match="several classes of corners are one class in taken"):
        map_samples(Header.of(dataset), coarse)


def test_an_image_under_another_label_is_another_sample(dataset):
    labels = dataset.labels.copy()
    labels[5] = (labels[5] + 1) % 3
    changed = taken(dataset, np.arange(60), labels=labels)
    with pytest.raises(
        MappingError, match="1 of the samples of corners are not in taken, and 1 the other way"
    ):
        map_samples(Header.of(dataset), changed)
    mapping = map_samples(Header.of(dataset), changed, partial=True)
    assert np.flatnonzero(mapping.positions < 0).tolist() == [5]


class TestParts:
    """One side has samples that the other has not."""

    order = np.random.default_rng(2).permutation(60)

    def test_a_subset_leaves_kept_samples_out(self, dataset):
        target = taken(dataset, self.order[:40])
        kept = np.arange(0, 60, 2)
        mapped = map_index(kept, about(dataset), Header.of(dataset), target)
        assert mapped.indices.tolist() == [j for j, each in enumerate(self.order[:40]) if each % 2 == 0]
        assert mapped.left_out == 30 - len(mapped.indices) == mapped.provenance["mapped_from"]["left_out"]
        assert 0 < mapped.left_out < 20
        assert (mapped.mapping.missing, mapped.mapping.unknown) == (20, 0)

    def test_a_superset_has_unknown_samples(self, dataset):
        source = taken(dataset, np.sort(self.order[:40]))
        target = taken(dataset, self.order)
        mapped = map_index(np.arange(40), about(source), Header.of(source), target)
        assert mapped.indices.tolist() == [j for j, each in enumerate(self.order) if each in self.order[:40]]
        assert (mapped.left_out, mapped.mapping.missing, mapped.mapping.unknown) == (0, 0, 20)

    def test_samples_missing_on_both_sides_are_refused_unless_told(self, dataset):
        source, target = taken(dataset, np.arange(45)), taken(dataset, np.arange(15, 60))
        with pytest.raises(
            MappingError, match=r"15 of the samples .* and 15 the other way round; .* `partial`\."
        ):
            map_index(np.arange(45), {}, Header.of(source), target)
        mapped = map_index(np.arange(45), {}, Header.of(source), target, partial=True)
        assert mapped.indices.tolist() == list(range(30))
        assert (mapped.left_out, mapped.mapping.unknown) == (15, 15)

    def test_an_index_of_which_nothing_is_there_is_refused(self, dataset):
        with pytest.raises(MappingError, match="none of the kept samples is in taken"):
            map_index(np.arange(3), {}, Header.of(dataset), taken(dataset, np.arange(3, 60)))


class TestChannels:
    order = np.random.default_rng(3).permutation(60)

    @pytest.fixture
    def coloured(self, dataset):
        return taken(dataset, self.order, images=np.repeat(dataset.images[self.order], 3, axis=1))

    def test_grey_is_found_in_three_equal_channels_and_back(self, dataset, coloured):
        there = map_samples(Header.of(dataset), coloured)
        back = map_samples(Header.of(coloured), dataset)
        assert there.positions.tolist() == np.argsort(self.order).tolist()
        assert back.positions.tolist() == self.order.tolist()

    def test_the_index_is_about_the_target_as_it_was_read(self, dataset, coloured):
        mapped = map_index(np.arange(9), about(dataset), Header.of(dataset), coloured)
        assert mapped.provenance["fingerprint"] == coloured.fingerprint
        assert mapped.provenance["fingerprint"] != dataset.fingerprint

    def test_colours_are_not_taken_for_grey(self, dataset, coloured):
        coloured.images[7, 2, 0, 0] ^= 1
        with pytest.raises(
            MappingError, match=r"no image of corners \(1 x 8 x 8\) is in taken \(3 x 8 x 8\)"
        ):
            map_samples(Header.of(dataset), coloured)


def test_no_image_in_common_is_a_sentence(dataset):
    other = make_dataset(seed=1)
    with pytest.raises(
        MappingError, match=r"no image of corners .* the same size and without normalisation\."
    ):
        map_samples(Header.of(dataset), other)


def test_labels_alone_cannot_be_mapped(dataset):
    header = dataclasses.replace(Header.of(dataset), sample_hash=None)
    with pytest.raises(MappingError, match="corners has no sample hashes"):
        map_samples(header, dataset)


def test_an_index_about_another_data_set_is_refused(dataset):
    other = make_dataset(seed=1)
    with pytest.raises(MappingError, match=f"{other.fingerprint[:12]}.*{dataset.fingerprint[:12]}"):
        map_index(np.arange(3), about(other), Header.of(dataset), dataset)
    with pytest.raises(MappingError, match="position 60 and corners has 60 samples"):
        map_index(np.array([0, 60]), {}, Header.of(dataset), dataset)


def test_provenance_is_about_the_target(dataset):
    order = np.random.default_rng(4).permutation(60)[:50]
    target = taken(dataset, order, source="another loader", class_names=("a", "b", "c"))
    kept = np.array([0, 1, 5, 20, 44])
    first = {
        **about(dataset),
        "num_samples": 60,
        "labels_sha256": labels_digest(dataset.labels),
        "ratio_kept": 5 / 60,
        "kept_per_class": np.bincount(dataset.labels[kept], minlength=3).tolist(),
        "kept": 5,
        "sha256": "0" * 64,
    }
    mapped = map_index(kept, first, Header.of(dataset), target)
    found = [position for position in kept if position in order]
    assert mapped.provenance == {
        "dataset": "taken",
        "fingerprint": target.fingerprint,
        "criterion": "Random",
        "num_samples": 50,
        "labels_sha256": labels_digest(target.labels),
        "ratio_kept": len(found) / 50,
        "class_names": ["a", "b", "c"],
        "kept_per_class": np.bincount(dataset.labels[found], minlength=3).tolist(),
        "order": "another loader",
        "mapped_from": {
            "dataset": "corners",
            "fingerprint": dataset.fingerprint,
            "order": "made by the tests",
            "left_out": 5 - len(found),
        },
    }
    assert first["kept"] == 5  # the first is as it was


@given(made=shuffled(), data=st.data())
def test_there_and_back_gives_the_first_index(made, data):
    samples, classes, order = made
    here = images_of(*zip(*samples, strict=True), classes)
    there = taken(here, list(order))
    positions = st.lists(st.integers(0, len(samples) - 1), min_size=1, unique=True)
    kept = np.array(sorted(data.draw(positions)), dtype=np.int64)
    mapped = map_index(kept, about(here), Header.of(here), there)
    assert mapped.indices.dtype == np.int64
    assert (np.diff(mapped.indices) > 0).all()
    back = map_index(mapped.indices, mapped.provenance, Header.of(there), here)
    assert back.indices.tolist() == kept.tolist()
    assert back.provenance["fingerprint"] == here.fingerprint
