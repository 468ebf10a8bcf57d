import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goldore.datasets import load_dataset
from goldore.errors import DatasetError

_NUMBERS = itertools.count()

HEAD = """
import numpy as np
import torch
from PIL import Image

PIXELS = np.random.default_rng(3).integers(0, 256, (6, 7, 5, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 1, 0, 2]


class Items(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, position):
        return self.items[position]


def make(convert, labels=LABELS):
    return Items([(convert(pixels), label) for pixels, label in zip(PIXELS, labels)])

"""
PIXELS = np.random.default_rng(3).integers(0, 256, (6, 7, 5, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 1, 0, 2]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the working directory; returns "module:function"."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(body, function="load"):
        name = f"made_for_goldore_{next(_NUMBERS)}"
        Path(f"{name}.py").write_text(HEAD + body)
        return f"{name}:{function}"

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("made_for_goldore"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("convert", "note"),
    [
        ("Image.fromarray", None),
        ("np.array", "channels last"),
        ("torch.tensor", "channels last"),
        ("lambda x: torch.tensor(x).permute(2, 0, 1)", "channels first"),
        ("lambda x: torch.tensor(x).permute(2, 0, 1) / 255", "floats in 0..1 converted to 8 bits exactly"),
    ],
    ids=["PIL", "array", "tensor", "channels first", "ToTensor"],
)
def test_items_come_back_in_their_order(module, convert, note):
    spec = module(f"def load():\n    return make({convert})\n")
    dataset = load_dataset(spec)
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), PIXELS)
    assert dataset.labels.tolist() == LABELS
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.name == "load"
    assert spec in dataset.source
    reading = dataset.reading
    told = [*reading.details, *(what for what, _ in reading.changed)]
    assert told == [] if note is None else any(note in each for each in told)
    assert dataset.test_images is None


def test_grey_pil_images_have_one_channel(module):
    spec = module("def load():\n    return make(lambda x: Image.fromarray(x[..., 0]))\n")
    dataset = load_dataset(spec)
    np.testing.assert_array_equal(dataset.images[:, 0], PIXELS[..., 0])


def test_palette_images_give_colours_not_palette_indices(module):
    spec = module("def load():\n    return make(lambda x: Image.fromarray(x).quantize(4))\n")
    expected = np.asarray(Image.fromarray(PIXELS[0]).quantize(4).convert("RGB"))
    np.testing.assert_array_equal(load_dataset(spec).images[0].transpose(1, 2, 0), expected)


def test_pair_is_training_and_test_set(module):
    spec = module("def load():\n    return make(np.array), Items([(PIXELS[5], 1), (PIXELS[4], 1)])\n")
    dataset = load_dataset(spec)
    np.testing.assert_array_equal(dataset.test_images.transpose(0, 2, 3, 1), PIXELS[[5, 4]])
    assert dataset.test_labels.tolist() == [1, 1]
    assert dataset.num_samples == 6
    assert [each.where.split(" of ")[0] for each in dataset.reading.splits] == [
        "the training set",
        "the test set",
    ]


def test_attribute_classes_names_the_classes(module):
    spec = module(
        "def load():\n    data = make(np.array)\n    data.classes = ['a', 'b', 'c']\n    return data\n"
    )
    assert load_dataset(spec).class_names == ("a", "b", "c")


def test_labels_may_be_tensors(module):
    spec = module("def load():\n    return make(np.array, torch.tensor(LABELS))\n")
    assert load_dataset(spec).labels.tolist() == LABELS


def test_name_and_channels_can_be_said(module):
    spec = module("def load():\n    return make(lambda x: x[:3])\n")
    dataset = load_dataset(spec, name="mine", channels="last")
    assert dataset.name == "mine"
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), PIXELS[:, :3])


def test_module_in_a_package_is_found(module):
    Path("made_for_goldore_package").mkdir()
    name = module("def load():\n    return make(np.array)\n").partition(":")[0]
    Path(f"{name}.py").rename(f"made_for_goldore_package/{name}.py")
    assert load_dataset(f"made_for_goldore_package.{name}:load").num_samples == 6


def test_working_directory_is_searched_first(module, tmp_path_factory, monkeypatch):
    spec = module("def load():\n    return make(np.array)\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / f"{spec.partition(':')[0]}.py").write_text("def load():\n    raise OSError('elsewhere')\n")
    monkeypatch.syspath_prepend(elsewhere)
    assert load_dataset(spec).num_samples == 6


@pytest.mark.parametrize("body", ["def load():\n    return make(np.array)\n", "raise OSError('broken')\n"])
def test_search_path_is_left_as_it_was(module, body):
    before = list(sys.path)
    try:
        load_dataset(module(body))
    except DatasetError:
        assert "broken" in body
    assert sys.path == before


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("def load():\n    raise KeyError('lost')\n", ["KeyError", "lost"]),
        ("def load(argument):\n    return []\n", ["TypeError", "argument"]),
        ("load = 3\n", ["TypeError"]),
        ("def other():\n    return []\n", ["AttributeError", "load"]),
        ("import no_such_module_at_all\n", ["ModuleNotFoundError", "no_such_module_at_all"]),
        ("def load(:\n", ["SyntaxError"]),
        ("def load():\n    raise ValueError('one line\\nand another')\n", ["ValueError", "one line"]),
    ],
    ids=["fails", "takes arguments", "no function", "no such name", "import", "syntax", "two lines"],
)
def test_function_that_cannot_be_called_is_refused(module, refused, body, parts):
    spec = module(body)
    with refused(spec, "could not be called", "without arguments", *parts):
        load_dataset(spec)


def test_missing_module_is_refused(module, refused):
    with refused("no_such_module_here:load could not be called", "ModuleNotFoundError"):
        load_dataset("no_such_module_here:load")


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("None", ["the training set", "is NoneType"]),
        ("3", ["the training set", "is int"]),
        ("(make(np.array), 3)", ["the test set", "is int"]),
        ("(x for x in [])", ["the training set", "is generator"]),
    ],
)
def test_result_that_is_no_dataset_is_refused(module, refused, value, parts):
    spec = module(f"def load():\n    return {value}\n")
    with refused(spec, "a length and be indexable", *parts):
        load_dataset(spec)


@pytest.mark.parametrize(
    ("value", "where"), [("Items([])", "the training set"), ("(make(np.array), [])", "the test set")]
)
def test_empty_dataset_is_refused(module, refused, value, where):
    spec = module(f"def load():\n    return {value}\n")
    with refused(where, "is empty"):
        load_dataset(spec)


@pytest.mark.parametrize("label", ["None", "[1, 2]", "2**70", "0.5", "torch.tensor(1.5)"])
def test_label_that_is_no_whole_number_is_refused(module, refused, label):
    spec = module(f"def load():\n    return make(np.array, [2, 0, 1, {label}, 0, 2])\n")
    with refused("of the training set of", "label"):
        load_dataset(spec)


@pytest.mark.parametrize("item", ["PIXELS[0]", "(PIXELS[0], 1, 2)", "None"])
def test_item_that_is_no_pair_is_refused(module, refused, item):
    spec = module(f"def load():\n    return Items([(PIXELS[0], 0), {item}])\n")
    with refused("item 1 of the training set", "not a pair"):
        load_dataset(spec)


def test_items_of_different_shapes_are_refused(module, refused):
    spec = module("def load():\n    return Items([(PIXELS[0], 0), (PIXELS[1], 0), (PIXELS[2][:3], 1)])\n")
    with refused("differ in shape", "(7, 5, 3), then (3, 5, 3) at item 2", "one size"):
        load_dataset(spec)


def test_normalised_tensors_are_refused(module, refused):
    spec = module("def load():\n    return make(lambda x: torch.tensor(x).permute(2, 0, 1) / 127.5 - 1)\n")
    with refused("has pixels from -", "not normalised"):
        load_dataset(spec)


def test_a_failing_item_is_named(module, refused):
    body = "class Broken(Items):\n    def __getitem__(self, position):\n        raise OSError('disc')\n\n\n"
    spec = module(body + "def load():\n    return Broken([1])\n")
    with refused("item 0 of the training set", "disc"):
        load_dataset(spec)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("def __len__(self): raise TypeError('no length')\n", "length cannot be told"),
        ("classes = property(lambda self: 1 / 0)\n", "classes of the training set"),
        ("def __getitem__(self, i): return np.full((4, 4), i, np.uint8), 2**70 * i\n", "item 1"),
    ],
)
def test_a_dataset_that_fails_in_its_own_way_ends_in_a_sentence(tmp_path, monkeypatch, body, part):
    from goldore.datasets.function import load_function
    from goldore.errors import DatasetError

    name = f"strange_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(
        "import numpy as np\nclass Data:\n"
        "    def __len__(self): return 4\n"
        "    def __getitem__(self, i): return np.zeros((4, 4), np.uint8), i % 2\n"
        f"    {body}"
        "def make(): return Data()\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=part):
        load_function(f"{name}:make", "strange")
