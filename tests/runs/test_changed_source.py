"""Reading the dataset of a score file again, where something has changed."""

import shutil

import pytest
from PIL import Image

from goldore import UsageError, load_scores
from goldore.datasets.folder import load_folder
from goldore.errors import DatasetError
from goldore.runs.source import dataset_of
from tests.report.making import scored

TREE = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/3.png")


@pytest.fixture
def photos(tmp_path):
    """A folder, and the score file of its images."""
    folder = tmp_path / "photos"
    for place, path in enumerate(TREE):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (50 * place, 9, 9)).save(folder / path)
    return folder, load_scores(scored(tmp_path / "s.h5", load_folder(folder, "photos")))


def test_it_is_read_again(photos):
    _, file = photos
    assert dataset_of(file).fingerprint == file.dataset.fingerprint


def test_a_file_that_was_added_or_is_missing_is_named(photos):
    folder, file = photos
    shutil.copy(folder / "dog" / "1.png", folder / "dog" / "2.png")
    with pytest.raises(DatasetError, match=r"\(added: dog/2.png\)"):
        dataset_of(file)
    (folder / "cat" / "2.png").unlink()
    (folder / "dog" / "3.png").unlink()
    with pytest.raises(DatasetError, match=r"\(added: dog/2.png; missing: cat/2.png and 1 more\)"):
        dataset_of(file)


def test_other_images_of_the_same_names_are_others(photos):
    folder, file = photos
    shutil.copy(folder / "dog" / "1.png", folder / "cat" / "1.png")
    with pytest.raises(DatasetError, match="its images, labels or their order differ"):
        dataset_of(file)


def test_a_folder_that_has_moved_is_named(photos):
    folder, file = photos
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(UsageError) as refused:
        dataset_of(file)
    assert str(refused.value) == (
        f"the images of photos are not at hand (they were read from {folder}); name the dataset with "
        "`dataset`."
    )
    assert dataset_of(file, str(folder.with_name("elsewhere"))).num_samples == 4
