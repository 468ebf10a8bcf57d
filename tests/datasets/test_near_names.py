"""Messages about names that are nearly right, named datasets that are not there, and damaged files."""

import shlex

import numpy as np
import pytest

from goldore import load_dataset
from goldore.errors import DatasetError, UsageError

TREE = {"cat": ["1.png"], "dog": ["1.png"], "emu": ["1.png"]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("photo", r"no dataset named 'photo'; did you mean photos\?"),
        ("phots.npz", r"there is no file or folder phots.npz; did you mean shots.npz\?"),
        ("./phots", r"no file or folder ./phots; did you mean photos\?"),
        ("MNISTT", r"no dataset named 'MNISTT'; did you mean MNIST"),
        ("a/b.npz", "no file or folder a/b.npz; check the path"),
    ],
)
def test_a_near_name_is_proposed(source, said, here):
    (here / "photos").mkdir()
    (here / "photo.txt").touch()
    np.savez(here / "shots.npz", x_train=np.zeros(1))
    with pytest.raises((DatasetError, UsageError), match=said):
        load_dataset(source)


@pytest.mark.parametrize(
    ("classes", "said"),
    [(["cat", "dgo"], r"no class folder dgo; did you mean dog\?"), (["zebra"], "it has cat, dog, emu")],
)
def test_classes_are_proposed(classes, said, here, write_images):
    write_images(here / "photos", TREE)
    with pytest.raises(DatasetError, match=said):
        load_dataset("photos", classes=classes)


@pytest.mark.parametrize("folder", ["data", "my data"])
@pytest.mark.parametrize("name", ["MNIST", "CIFAR10", "Imagenette"])
def test_how_a_named_dataset_is_fetched_is_a_whole_command(name, folder, here):
    for made in (False, True):
        if made:
            (here / folder).mkdir()
        with pytest.raises(DatasetError) as refused:
            load_dataset(name, data_root=folder)
        words = shlex.split(str(refused.value).rpartition("(")[2].removesuffix(")."))
        assert words == ["goldore", "score", name, "--data-root", folder, "--download"]


def test_a_damaged_file_is_named_once(here, write_images):
    write_images(here / "photos", TREE)
    for name in ("cat", "dog"):
        (here / "photos" / name / "1.png").write_bytes(b"no image")
    with pytest.raises(DatasetError) as refused:
        load_dataset("photos")
    assert str(refused.value).count("photos/cat/1.png") == 1
    assert "(cannot identify image file)" in str(refused.value)
