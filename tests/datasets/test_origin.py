"""Where images come from: as a record, in words, and in a file of a stranger."""

import json

import pytest

from goldore.datasets.origin import Origin

ORIGINS = [
    Origin("bundled"),
    Origin("folder", path="/data/a folder, with a comma"),
    Origin("folder", path="trees\nof {name} in two lines", image_size=64),
    Origin("torchvision", "CIFAR10", "data in here"),
    Origin("tfds", "mnist/3.0.1"),
    Origin("idx", path="."),
    Origin("arrays", path="a.npz"),
    Origin("tensors", path="/tinyimagenet.pt"),
    Origin("function", "package.module:function"),
    Origin("shards", path="s-{0..1}.tar", image_size=32),
]


@pytest.mark.parametrize("origin", ORIGINS, ids=lambda origin: origin.kind)
def test_an_origin_is_the_same_after_json_and_after_words(origin):
    assert Origin.from_json(origin.to_json()) == origin
    assert Origin.of_words(origin.words) == origin


def test_what_was_given_to_the_loader_is_kept(tmp_path):
    origin = Origin("folder", path="tree", classes=("a", "b"), channels="first")
    assert Origin.from_json(origin.to_json()) == origin
    assert origin.options == {"image_size": None, "classes": ("a", "b"), "channels": "first"}
    usual = json.loads(Origin("folder", path="tree").to_json())
    assert usual.keys() == {"kind", "name", "path", "image_size"}  # as older files, whose checksum holds this


def test_absurdly_many_classes_are_not_kept():
    origin = Origin("folder", path="tree", classes=tuple(f"class {number}" for number in range(9999)))
    assert Origin.from_json(origin.to_json()).classes is None


@pytest.mark.parametrize("words", ["", "made by the tests", "a folder tree x", "torchvision_datasets.X in /"])
def test_other_words_say_nothing(words):
    assert Origin.of_words(words) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"path": "x"}',
        '{"kind": 1}',
        '{"kind": "folder", "path": ["x"]}',
        '{"kind": "folder", "path": null}',
        '{"kind": "folder", "path": "x\\u0000y"}',
        '{"kind": "folder", "path": "\\ud800"}',
        '{"kind": "folder", "image_size": "8"}',
        '{"kind": "folder", "image_size": true}',
        '{"kind": "folder", "image_size": 0}',
        '{"kind": "folder", "image_size": 1e3}',
        '{"kind": "folder", "classes": "ab"}',
        '{"kind": "folder", "classes": [1]}',
        '{"kind": "arrays", "channels": "middle"}',
        '{"kind": "arrays", "channels": ["first"]}',
        "[" * 1000,
        json.dumps({"kind": "folder", "path": "x" * 2**16}),
    ],
)
def test_anything_else_in_a_file_is_refused(text):
    with pytest.raises(ValueError, match=r"origin|JSON|Expecting|surrogates|nested"):
        Origin.from_json(text)
