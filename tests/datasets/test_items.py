import io
import sys

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from goldore.datasets import load_dataset
from goldore.errors import DatasetError, UsageError

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (6, 7, 5, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 1, 0, 2]
FLOATS, WIDE = PIXELS.astype(np.float32), PIXELS.astype(np.uint16) * 257
ITEMS = list(zip(PIXELS, LABELS, strict=True))


FORMS = pytest.mark.parametrize(
    "make", [lambda images: (images, LABELS), lambda images: list(zip(images, LABELS, strict=True))]
)


class Pairs(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, position):
        return self.items[position]


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        lambda: (PIXELS, LABELS),
        lambda: [PIXELS, np.array(LABELS)],
        lambda: (torch.tensor(PIXELS), torch.tensor(LABELS)),
        lambda: (PIXELS, np.array([[label] for label in LABELS])),
        lambda: (PIXELS / 255, np.eye(3)[LABELS]),
        lambda: ITEMS,
        lambda: Pairs([(Image.fromarray(pixels), label) for pixels, label in ITEMS]),
        lambda: [{"image": pixels, "label": label} for pixels, label in ITEMS],
        lambda: [{"img": png(pixels), "fine_label": label} for pixels, label in ITEMS],
        lambda: {"train": (PIXELS, LABELS)},
        lambda: {"only": (PIXELS, LABELS)},
        lambda: load_dataset((PIXELS, LABELS)),
    ],
    ids=["arrays", "list of two", "tensors", "column", "one-hot", "items", "pictures", "dicts", "bytes",
         "split", "one split", "dataset"],
)  # fmt: skip
def test_objects_are_datasets(make):
    dataset = load_dataset(make())
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), PIXELS)
    assert dataset.labels.tolist() == LABELS
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.test_images is None
    assert dataset.origin.kind == "memory"


@pytest.mark.parametrize(
    "make",
    [
        lambda train, test: (train, test),
        lambda train, test: {"train": train, "test": test},
        lambda train, test: {"Validation": test, "training": train},
        lambda train, test: {"train": train, "val": test[::-1], "test": test},
    ],
)
def test_pairs_and_dictionaries_have_a_test_split(make):
    train, test = list(zip(PIXELS, LABELS, strict=True)), [(PIXELS[5], 1), (PIXELS[4], 0)]
    dataset = load_dataset(make(train, test), name="mine")
    assert dataset.name == "mine"
    assert dataset.num_samples == 6
    assert dataset.test_labels.tolist() == [1, 0]
    assert [(each.split, each.images) for each in dataset.reading.splits] == [("train", 6), ("test", 2)]


def test_splits_without_a_training_one_are_refused(refused):
    with refused("splits val, test and no train"):
        load_dataset({"val": (PIXELS, LABELS), "test": (PIXELS, LABELS)})


def test_names_come_from_the_dataset_and_the_one_it_is_a_subset_of(tmp_path, write_images):
    write_images(tmp_path, {"ant": ["0.png", "1.png"], "bee": ["0.png"], "cow": ["0.png"]})
    whole = torchvision.datasets.ImageFolder(tmp_path)
    dataset = load_dataset(whole)
    assert dataset.name == "ImageFolder"
    assert dataset.class_names == ("ant", "bee", "cow")
    assert dataset.paths == ("ant/0.png", "ant/1.png", "bee/0.png", "cow/0.png")
    part = load_dataset(torch.utils.data.Subset(whole, [0, 3]))
    assert part.class_names == ("ant", "cow")
    assert part.labels.tolist() == [0, 1]
    assert part.paths is None
    assert part.reading.notes == (
        "the labels of the training set: bee of 3 classes have no sample and are left out",
    )


def test_grey_pictures_among_coloured_ones_become_coloured():
    grey, coloured = Image.fromarray(PIXELS[0, ..., 0]), Image.fromarray(PIXELS[1])
    for items in ([grey, coloured], [coloured, grey], [coloured] * 1100 + [grey], [grey] * 1100 + [coloured]):
        dataset = load_dataset([(item, position % 2) for position, item in enumerate(items)])
        assert dataset.image_shape == (3, 7, 5)
    assert load_dataset([(grey, 0), (grey, 1)]).image_shape == (1, 7, 5)


def test_pictures_of_many_sizes_are_resized():
    items = [(Image.fromarray(PIXELS[0]), 0), (Image.fromarray(PIXELS[1]).resize((9, 12)), 1)]
    with pytest.raises(DatasetError, match=r"differ in shape.*`image_size`"):
        load_dataset(items)
    assert load_dataset(items, image_size=4).image_shape == (3, 4, 4)
    with pytest.raises(DatasetError, match="applies to images, not to arrays"):
        load_dataset((PIXELS, LABELS), image_size=4)


def test_random_augmentation_is_refused(refused):
    flip = torchvision.transforms.RandomHorizontalFlip()
    torch.manual_seed(0)

    class Random(Pairs):
        def __getitem__(self, position):
            return flip(Image.fromarray(PIXELS[position % 6])), position % 3

    with refused("changes from one reading to the next", "leave random augmentation out"):
        load_dataset(Random(range(40)))


@pytest.mark.parametrize(
    ("items", "parts"),
    [
        ([FLOATS[0] / 255, FLOATS[1]], ["0..255 in image 1", "0..1 in image 0"]),
        ([PIXELS[0], WIDE[1]], ["16 bits in image 1", "8 bits in image 0"]),
        ([WIDE[0], PIXELS[1]], ["8 bits in image 1", "16 bits in image 0"]),
        ([PIXELS[0], PIXELS[1] > 9], ["true or false in image 1"]),
    ],
)
def test_images_of_two_scales_are_refused(refused, items, parts):
    with refused("the training set holds", *parts):
        load_dataset(list(zip(items, range(2), strict=True)))


def test_a_scale_that_shows_late_holds_for_all():
    dark, black = WIDE[0] // 257, np.zeros_like(WIDE[0])
    dataset = load_dataset([(black, 0), (dark, 1), (WIDE[2], 0), (dark, 1)])
    assert dataset.images.max(axis=(1, 2, 3)).tolist() == [0, 1, PIXELS[2].max(), 1]
    marks = (PIXELS[0] > 99).astype(np.float32)
    dataset = load_dataset([(marks, 0), (FLOATS[1], 1)])
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), [marks, PIXELS[1]])
    assert dataset.reading.changed == (("floats in 0..255, all whole, taken as 8 bits", 2),)


@pytest.mark.parametrize(
    ("train", "test"), [(FLOATS / 255, FLOATS), (WIDE // 257, WIDE), (PIXELS, FLOATS / 255)]
)
@FORMS
def test_the_test_set_has_the_scale_of_the_training_set(refused, make, train, test):
    with refused("the test set", "holds", "in the training images"):
        load_dataset((make(train), make(test)))
    dim = np.minimum(FLOATS, 1)  # 0 and 1 alone, which would be 0..1 by themselves
    dataset = load_dataset((make(FLOATS), make(dim)))
    np.testing.assert_array_equal(dataset.test_images.transpose(0, 2, 3, 1), dim)


@FORMS
def test_12_bits_in_16_are_warned_of(make):
    dataset = load_dataset(make(WIDE // 16))
    assert "use values up to 4,095 of 65,535" in dataset.reading.warnings[0]


def test_splits_that_are_not_used_are_counted(refused):
    pair = (PIXELS, LABELS)
    dataset = load_dataset({"extra": pair, "train": pair, "val": pair, "test": pair, "train_more": pair})
    assert dataset.reading.passed_over == (("split extra", 1), ("split train_more", 1), ("split val", 1))
    with refused("splits train and training, which mean the same"):
        load_dataset({"train": pair, "training": pair})


def test_tensors_of_bfloat16_are_read():
    images = torch.tensor(PIXELS > 99).to(torch.bfloat16)
    dataset = load_dataset((images, LABELS))
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), (PIXELS > 99) * 255)


class Leaving(Pairs):
    def __getitem__(self, position):
        sys.exit("bye")


def test_16_bit_arrays_are_scaled_as_a_whole():
    wide = (PIXELS.astype(np.uint16) * 257)[..., 0]
    dataset = load_dataset((wide, LABELS))
    np.testing.assert_array_equal(dataset.images[:, 0], PIXELS[..., 0])
    assert dataset.reading.changed == (("16 bits scaled to 8", 6),)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (
            lambda: torch.utils.data.DataLoader(Pairs([])),
            ["DataLoader", "pass the dataset that it loads from"],
        ),
        (lambda: (PIXELS, LABELS[:-1]), ["6 images but 5 labels"]),
        (lambda: PIXELS, ["without labels; give a pair (images, labels)"]),
        (lambda: (PIXELS.reshape(len(PIXELS), -1), np.array(LABELS)), ["without labels; give a pair"]),
        (lambda: (PIXELS, None), ["images and None; it must be images and a label for each"]),
        (lambda: ((PIXELS[0], 0), (PIXELS[1], 1)), ["images and 0; it must be"]),
        (lambda: Leaving([1, 2]), ["item 0", "bye"]),
        (lambda: [{"picture of": 1, "label": 2}], ["picture of, label", "package.module:function"]),
        (lambda: [{"image": PIXELS[0], "caption": "a"}], ["image, caption"]),
        (lambda: (PIXELS.astype(float) / 100 - 1, LABELS), ["not normalised"]),
        (lambda: (PIXELS.astype(float) / 2, LABELS), ["divide by 255"]),
        (list, ["is empty"]),
    ],
    ids=["loader", "lengths", "no labels", "flat", "none", "items", "leaving", "no image", "no label",
         "normalised", "scale", "empty"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_a_way_out(refused, make, parts):
    with refused(*parts):
        load_dataset(make())


def test_download_does_not_apply_to_objects(refused):
    with refused("`download` applies to", kind=UsageError):
        load_dataset((PIXELS, LABELS), download=True)


def test_scoring_takes_objects(tmp_path):
    import goldore

    recipe = goldore.LossRecipe(epochs=1, network=goldore.ConvNetConfig(depth=1, width=4))
    images = RNG.integers(0, 256, (8, 8, 8), dtype=np.uint8)
    how = {"trials": 1, "recipe": recipe, "device": "cpu"}
    file = goldore.score((images, ["cat", "dog"] * 4), name="pets", out=tmp_path / "pets.h5", **how)
    assert file.dataset.name == "pets"
    assert file.dataset.class_names == ("cat", "dog")
    assert file.dataset.source == "tuple in memory"
    again = goldore.score((images, [0, 1] * 4), name="pets", out=tmp_path / "pets.h5", **how)
    assert again.path == file.path


@pytest.mark.parametrize(("images", "parts"), [
    (np.zeros((8, 8, 8), np.uint8), ["all 8 images", "are equal"]),
    (RNG.integers(0, 256, (8, 8, 8), dtype=np.uint8), ["has one class (0)", "nothing to rank"]),
])  # fmt: skip
def test_scoring_refuses_what_has_nothing_to_rank(tmp_path, refused, images, parts):
    import goldore

    labels = [0] * 8 if images.any() else [0, 1] * 4
    with refused(*parts):
        goldore.score((images, labels), out=tmp_path / "none.h5")
    assert not list(tmp_path.iterdir())
