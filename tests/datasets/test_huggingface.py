import numpy as np
import pytest
from PIL import Image

from goldore.datasets import load_dataset
from goldore.datasets.huggingface import is_huggingface

datasets = pytest.importorskip("datasets")
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 6, 5, 3), dtype=np.uint8)
LABELS = [0, 1, 2, 1, 0, 2, 2, 1]
NAMES = ["ant", "bee", "cow"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Prepared data go to a folder of the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def made():
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    images = [Image.fromarray(pixels) for pixels in PIXELS]
    return datasets.Dataset.from_dict({"image": images, "label": LABELS}, features)


def assert_read(dataset, samples=8):
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), PIXELS[:samples])
    assert dataset.labels.tolist() == LABELS[:samples]
    assert dataset.class_names == tuple(NAMES)


def test_a_dataset_in_python(made):
    assert_read(load_dataset(made))
    whole = load_dataset(datasets.DatasetDict(train=made, test=made.select([3, 0])))
    assert_read(whole)
    assert whole.test_labels.tolist() == [1, 0]


def test_parquet_files_of_splits(tmp_path, made):
    (tmp_path / "data").mkdir()
    made.select(range(4)).to_parquet(tmp_path / "data" / "train-00000-of-00002.parquet")
    made.select(range(4, 8)).to_parquet(tmp_path / "data" / "train-00001-of-00002.parquet")
    made.select([3, 0]).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    dataset = load_dataset(str(tmp_path))
    assert_read(dataset)
    assert dataset.test_labels.tolist() == [1, 0]
    assert dataset.origin.kind == "huggingface"
    assert_read(load_dataset(str(tmp_path / "data" / "train-00000-of-00002.parquet")), 4)


def test_parquet_files_of_other_words_are_passed_over(tmp_path, made, refused):
    for name in ("data/train", "data/extra", "data/unlabeled-00000-of-00001"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        made.to_parquet(tmp_path / f"{name}.parquet")
    dataset = load_dataset(str(tmp_path))
    assert_read(dataset)
    assert dataset.reading.passed_over == (
        ("parquet file of extra, no split", 1),
        ("parquet file of unlabeled, no split", 1),
    )
    (tmp_path / "large").mkdir()
    made.to_parquet(tmp_path / "large" / "train-00000-of-00001.parquet")
    with refused("data", "large", "each have a training split"):
        load_dataset(str(tmp_path))
    assert_read(load_dataset(str(tmp_path / "large")))


def test_parquet_files_in_folders_of_splits_or_without_any(tmp_path, made):
    for split in ("train", "test"):
        (tmp_path / "two" / split).mkdir(parents=True)
        made.to_parquet(tmp_path / "two" / split / "0000.parquet")
    (tmp_path / "one").mkdir()
    made.select(range(4)).to_parquet(tmp_path / "one" / "part-0.parquet")
    made.select(range(4, 8)).to_parquet(tmp_path / "one" / "part-1.parquet")
    assert load_dataset(str(tmp_path / "two")).test_labels.tolist() == LABELS
    assert_read(load_dataset(str(tmp_path / "one")))


def test_what_save_to_disk_wrote(tmp_path, made):
    made.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=made, validation=made).save_to_disk(tmp_path / "two")
    assert_read(load_dataset(str(tmp_path / "one")))
    assert load_dataset(str(tmp_path / "two")).test_labels.tolist() == LABELS


def test_images_with_a_metadata_file(tmp_path):
    rows = ["file_name,label"]
    for number, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{NAMES[label]}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    assert_read(load_dataset(str(tmp_path)))
    (tmp_path / "metadata.csv").write_text("\n".join(rows[:5]))
    part = load_dataset(str(tmp_path))
    assert_read(part, 4)
    assert part.reading.passed_over == (("image that no metadata file names", 4),)


def test_class_folders_with_some_table_are_a_folder_tree(tmp_path, write_images):
    write_images(tmp_path, {"a": ["0.png"], "b": ["0.png"]})
    (tmp_path / "metadata.csv").write_text("who,when\nme,today\n")
    assert not is_huggingface(tmp_path)
    assert load_dataset(str(tmp_path)).origin.kind == "folder"


def test_damaged_and_unsuitable_files_are_refused(tmp_path, refused):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with refused(tmp_path / "bad.parquet", "cannot be read as a dataset of Hugging Face"):
        load_dataset(str(tmp_path / "bad.parquet"))
    datasets.Dataset.from_dict({"text": ["a"], "label": [0]}).to_parquet(tmp_path / "texts.parquet")
    with refused("has text, label and none of image"):
        load_dataset(str(tmp_path / "texts.parquet"))


def test_without_the_library_it_is_named(tmp_path, refused, monkeypatch):
    import sys

    from goldore.errors import UsageError

    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "a.parquet").touch()
    with refused('pip install "goldore[huggingface]"', kind=UsageError):
        load_dataset(str(tmp_path / "a.parquet"))
