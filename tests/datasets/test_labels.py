import numpy as np
import pytest

from goldore.datasets.labels import Classes


@pytest.mark.parametrize(
    "labels",
    [
        np.array([[2], [0], [1]]),
        np.array([2.0, 0.0, 1.0]),
        np.array([2, 0, 1], np.uint8),
        np.array([2, 0, 1], ">i2"),
        [2, 0, 1],
        np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
        np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32),
    ],
    ids=["column", "floats", "bytes", "big endian", "list", "one-hot", "one-hot floats"],
)
def test_labels_become_int64(labels):
    classes = Classes(labels, "y")
    assert classes.labels.dtype == np.int64
    assert classes.labels.tolist() == [2, 0, 1]
    assert classes.names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        ([1, 2, 3, 1], ("1", "2", "3"), [0, 1, 2, 0]),
        ([9, 0, 5, 1], ("0", "1", "5", "9"), [3, 0, 2, 1]),
        (["dog", "cat", "dog"], ("cat", "dog"), [1, 0, 1]),
        (np.array([b"dog", b"cat"]), ("cat", "dog"), [1, 0]),
        (np.array(["b", "a"], dtype=object), ("a", "b"), [1, 0]),
        ([True, False], ("0", "1"), [1, 0]),
        ([10**12, 4], ("4", "1000000000000"), [1, 0]),
    ],
)
def test_other_labels_are_numbered_in_sorted_order_and_named_after_themselves(labels, names, numbers):
    classes = Classes(labels, "y")
    assert classes.names == names
    assert classes.labels.tolist() == numbers
    assert bool(classes.notes) == (names != ("0", "1"))


def test_names_count_numbers_and_order_texts():
    assert Classes([2, 0, 1], "y", ["c", "b", "a"]).labels.tolist() == [2, 0, 1]
    by_text = Classes(["a", "c", "b"], "y", ["c", "b", "a"])
    assert by_text.labels.tolist() == [2, 0, 1]
    assert by_text.names == ("c", "b", "a")
    assert by_text.notes == []


def test_classes_without_samples_are_left_out_and_said():
    classes = Classes([3, 0, 3], "y", "abcde")
    assert classes.names == ("a", "d")
    assert classes.labels.tolist() == [1, 0, 1]
    assert classes.notes == ["y: b, c, e of 5 classes have no sample and are left out"]
    assert classes.number([0, 3], "t").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        (np.array([0, 1.5]), ["float64", "whole numbers or texts"]),
        (np.array([0, np.nan]), ["float64"]),
        (np.array(3), ["shape ()"]),
        (np.array([[1, 2], [0, 1]]), ["(2, 2)", "one-hot"]),
        (np.array([0, -1, 1]), ["label -1", "1 are negative", "leave these samples out"]),
        (np.array([0, None], dtype=object), ["object"]),
        (np.array([0, 1e19]), ["label 10000000000000000000", "no class"]),
        (np.array([0, 2**63], np.uint64), ["label 9223372036854775808", "no class"]),
        ([], ["y is empty"]),
        (np.arange(100), ["each of the 100 samples has a label of its own"]),
    ],
)
def test_what_is_no_label_is_refused(refused, labels, parts):
    with refused("y", *parts):
        Classes(labels, "y")


@pytest.mark.parametrize(
    ("labels", "names", "parts"),
    [([0, 3], "abc", ["labels from 0 to 3", "3 class names"]), (["a", "z"], "abc", ["label z", "a, b, c"])],
)
def test_labels_beyond_the_named_classes_are_refused(refused, labels, names, parts):
    with refused(*parts):
        Classes(labels, "y", list(names))


def test_names_of_samples_are_no_names_of_classes():
    classes = Classes([0, 1, 0, 1], "y", ["a.png", "b.png", "c.png", "d.png"])
    assert classes.names == ("0", "1")
    assert classes.notes == ["y: 4 names, one a sample, are no names of classes"]


def test_bytes_that_are_no_text_stay_apart():
    assert Classes(np.array([b"caf\xe9", b"caf\xe8"]), "y").names == ("caf\\xe8", "caf\\xe9")


def test_the_test_split_is_numbered_alike():
    classes = Classes([5, 9, 7], "y")
    assert classes.number([9, 5], "t").tolist() == [2, 0]
    assert classes.number(np.array([-1, -1]), "t") is None
    assert "all labels are negative" in classes.notes[-1]


def test_test_labels_that_no_training_sample_has_are_refused(refused):
    with refused("t has the label 8", "no training sample has"):
        Classes([5, 9], "y").number([5, 8], "t")
