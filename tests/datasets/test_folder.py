import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from goldore.datasets import load_dataset
from goldore.datasets.folder import decode, load_folder
from goldore.errors import GoldoreError

# Names whose order differs when sorted as numbers, without case, or as they were written.
TREE = {"cat": ["10.png", "9.png", "B.png", "a.PNG"], "Dog": ["1.bmp"], "ant": ["z.png", "y.png"]}


def test_order_labels_and_pixels_are_image_folders(tmp_path, write_images, assert_same_items):
    write_images(tmp_path / "train", TREE)
    reference = ImageFolder(tmp_path / "train")
    dataset = load_folder(tmp_path, "made")
    assert_same_items(dataset.images, dataset.labels, reference)
    assert list(dataset.class_names) == reference.classes == ["Dog", "ant", "cat"]
    assert [str(tmp_path / "train" / path) for path in dataset.paths] == [
        file for file, _ in reference.samples
    ]


def test_nested_images_are_found_in_image_folders_order(tmp_path, write_images):
    write_images(tmp_path, {"a": ["0.png", "z.png"], "a/deep": ["1.png"], "b": ["0.png"]})
    dataset = load_folder(tmp_path, "made")
    assert [str(tmp_path / path) for path in dataset.paths] == [
        file for file, _ in ImageFolder(tmp_path).samples
    ]
    assert "a/deep/1.png" in dataset.paths


def test_other_files_are_no_samples(tmp_path, write_images):
    write_images(tmp_path, TREE)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "labels.csv").write_text("no class")
    assert load_folder(tmp_path, "made").num_samples == 7


def test_bare_class_folders_are_the_training_set(tmp_path, write_images):
    write_images(tmp_path, TREE)
    dataset = load_folder(tmp_path, "made")
    assert dataset.paths == (
        "Dog/1.bmp", "ant/y.png", "ant/z.png", "cat/10.png", "cat/9.png", "cat/B.png", "cat/a.PNG",
    )  # fmt: skip
    assert dataset.test_images is None
    assert dataset.reading.notes == dataset.reading.passed_over == dataset.reading.warnings == ()


@pytest.mark.parametrize("split", ["val", "test"])
def test_test_split_is_found_and_noted(tmp_path, write_images, assert_same_items, split):
    write_images(tmp_path / "train", TREE)
    write_images(tmp_path / split, TREE, seed=1)
    dataset = load_folder(tmp_path, "made")
    assert_same_items(dataset.test_images, dataset.test_labels, ImageFolder(tmp_path / split))
    assert [each.where for each in dataset.reading.splits] == ["train/", f"{split}/"]


def test_val_comes_before_test(tmp_path, write_images, assert_same_items):
    for seed, split in enumerate(("train", "test", "val")):
        write_images(tmp_path / split, TREE, seed=seed)
    dataset = load_folder(tmp_path, "made")
    assert_same_items(dataset.test_images, dataset.test_labels, ImageFolder(tmp_path / "val"))


@pytest.mark.parametrize("folder", ["images", "cat"])
def test_val_without_all_class_folders_is_passed_over(tmp_path, write_images, assert_same_items, folder):
    write_images(tmp_path / "train", TREE)
    write_images(tmp_path / "val", {folder: ["0.png"]})
    write_images(tmp_path / "test", TREE, seed=1)
    dataset = load_folder(tmp_path, "made")
    assert_same_items(dataset.test_images, dataset.test_labels, ImageFolder(tmp_path / "test"))


def test_chosen_classes_are_labelled_in_sorted_order(tmp_path, write_images):
    write_images(tmp_path / "train", TREE)
    write_images(tmp_path / "val", {"ant": ["0.png"], "cat": ["1.png", "2.png"], "Dog": ["3.png"]})
    dataset = load_folder(tmp_path, "made", classes=["cat", "ant"])
    assert dataset.class_names == ("ant", "cat")
    assert dataset.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert dataset.paths[:2] == ("ant/y.png", "ant/z.png")
    assert dataset.test_labels.tolist() == [0, 1, 1]


def test_class_given_twice_counts_once(tmp_path, write_images):
    write_images(tmp_path, TREE)
    assert load_folder(tmp_path, "made", classes=["ant", "cat", "ant"]).class_names == ("ant", "cat")


def test_unknown_class_is_refused(tmp_path, write_images, refused):
    write_images(tmp_path, TREE)
    with refused(tmp_path, "no class folder bird, cow"):
        load_folder(tmp_path, "made", classes=["ant", "cow", "bird"])


def test_no_class_at_all_is_refused(tmp_path, write_images):
    write_images(tmp_path, TREE)
    with pytest.raises(GoldoreError, match="class"):
        load_dataset(str(tmp_path), classes=[])


@pytest.mark.parametrize("file", ["a.png", "a.jpg"])
def test_grey_and_transparent_images_become_rgb(tmp_path, file):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.new("L", (4, 4), 100).save(tmp_path / label / file)
    Image.new("RGBA", (4, 4), (100, 100, 100, 51)).save(tmp_path / "b" / "b.png")
    dataset = load_folder(tmp_path, "made")
    assert dataset.image_shape == (3, 4, 4)
    assert [set(image.ravel().tolist()) for image in dataset.images] == [{100}, {100}, {224}]  # 255 - 155/5
    assert dataset.reading.changed == (("transparent parts put on white", 1),)


@pytest.mark.parametrize(("size", "box"), [((40, 20), (5, 0, 15, 10)), ((20, 40), (0, 5, 10, 15))])
def test_image_size_resizes_the_shorter_side_and_crops_the_centre(tmp_path, write_images, size, box):
    write_images(tmp_path, {"a": ["0.png"], "b": ["0.png"]}, size)
    dataset = load_folder(tmp_path, "made", image_size=10)
    assert dataset.image_shape == (3, 10, 10)
    with Image.open(tmp_path / "b" / "0.png") as image:
        expected = image.resize((size[0] // 2, size[1] // 2), Image.Resampling.BILINEAR).crop(box)
    np.testing.assert_array_equal(dataset.images[1].transpose(1, 2, 0), np.asarray(expected))
    assert "resized to 10" in dataset.source


def test_image_size_makes_different_sizes_equal_in_both_splits(tmp_path, write_images):
    for split in ("train", "val"):
        write_images(tmp_path / split, {"a": ["0.png"]}, (30, 12))
        write_images(tmp_path / split, {"b": ["0.png"]}, (7, 9))
    dataset = load_folder(tmp_path, "made", image_size=8)
    assert dataset.images.shape == dataset.test_images.shape == (2, 3, 8, 8)


def test_different_sizes_need_image_size(tmp_path, write_images, refused):
    write_images(tmp_path, {"a": ["0.png"]}, (30, 12))
    write_images(tmp_path, {"b": ["1.png"]}, (7, 9))
    with refused("0.png is 12x30", "1.png 9x7", "`image_size`"):
        load_folder(tmp_path, "made")


def test_test_images_of_another_size_are_refused(tmp_path, write_images, refused):
    write_images(tmp_path / "train", TREE, (4, 4))
    write_images(tmp_path / "val", TREE, (6, 6))
    with refused("test images of made have shape (3, 6, 6)", "(3, 4, 4)"):
        load_folder(tmp_path, "made")


def test_empty_class_folder_is_named(tmp_path, write_images, refused):
    write_images(tmp_path / "train", TREE)
    (tmp_path / "train" / "cow").mkdir()
    (tmp_path / "train" / "cow" / "notes.txt").touch()
    with refused("class folder cow of", tmp_path / "train", "`classes`", "1 .txt file"):
        load_folder(tmp_path, "made")


def test_split_that_lacks_a_class_is_not_used_and_said(tmp_path, write_images):
    write_images(tmp_path / "train", TREE)
    write_images(tmp_path / "val", {"ant": ["0.png"], "cat": ["0.png"]})
    (tmp_path / "val" / "Dog").mkdir()
    dataset = load_folder(tmp_path, "made")
    assert dataset.test_images is None
    assert dataset.reading.notes == ("val/ is not used: it has no image of class Dog",)


def test_empty_class_folder_can_be_left_out(tmp_path, write_images):
    write_images(tmp_path, TREE)
    (tmp_path / "cow").mkdir()
    assert load_folder(tmp_path, "made", classes=list(TREE)).num_samples == 7


@pytest.mark.parametrize("inside", [None, "train"])
def test_folder_without_class_folders_is_refused(tmp_path, refused, inside):
    if inside:
        (tmp_path / inside).mkdir()
    with refused("has no class folders", "one folder of images a class"):
        load_folder(tmp_path, "made")


@pytest.mark.parametrize("content", [b"", b"no image at all"], ids=["empty", "text"])
@pytest.mark.parametrize("image_size", [None, 8])
def test_file_that_is_no_image_is_named(tmp_path, write_images, refused, content, image_size):
    write_images(tmp_path, TREE)
    (tmp_path / "cat" / "9.png").write_bytes(content)
    with refused(tmp_path / "cat" / "9.png", "cannot be decoded", "repair or remove it"):
        load_folder(tmp_path, "made", image_size)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "ppm", "tiff", "webp"])
def test_truncated_image_is_named(tmp_path, refused, ending):
    files = [tmp_path / f"{number}.{ending}" for number in range(3)]
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for file in files:
        Image.fromarray(pixels).save(file)
    assert decode(files, None).shape == (3, 3, 16, 16)
    files[1].write_bytes(files[1].read_bytes()[:-60])
    with refused(files[1], "cannot be decoded"):
        decode(files, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("short header.png", b"\x89PNG\r\n\x1a\n\0\0\0\x03IHDR\0\0\x10\0\0\0\0"),
        ("ends in header.ppm", b"P6\n16"),
        ("no number.pgm", b"P5\n1x 16\n255\n" + bytes(256)),
    ],
    ids=["png", "ppm", "pgm"],
)
def test_damaged_image_header_is_named(tmp_path, refused, name, content):
    (tmp_path / name).write_bytes(content)
    with refused(tmp_path / name, "cannot be decoded"):
        decode([tmp_path / name], None)
