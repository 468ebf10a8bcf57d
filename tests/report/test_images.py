"""Finding the images of a score file's samples: the right ones, or none."""

import io
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import goldore
from goldore.datasets import folder, pictures
from goldore.datasets.origin import Origin
from goldore.errors import DatasetError, GoldoreError
from goldore.report.images import find_images
from goldore.store import load_scores
from goldore.store.verifying import verify
from tests.conftest import edited
from tests.report.making import noise, scored

SOME = np.array([5, 0, 11])


def write_tree(root, size=8, seed=0):
    """Two classes of ten images, below train/."""
    draw = np.random.default_rng(seed)
    for name in ("cat", "dog"):
        (root / "train" / name).mkdir(parents=True)
        for number in range(10):
            pixels = draw.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "train" / name / f"{number}.png")
    return root


def write_npz(path, dataset):
    np.savez(path, x_train=dataset.images, y_train=dataset.labels)
    return path


def file_of(dataset, tmp_path):
    return load_scores(scored(tmp_path / "scores.h5", dataset, 1))


@pytest.fixture
def arrays(tmp_path):
    """(path of a .npz file, the dataset in it, its score file)."""
    path = write_npz(tmp_path / "arrays.npz", noise((10, 12), channels=1))
    dataset = goldore.load_dataset(str(path))
    return path, dataset, file_of(dataset, tmp_path)


@pytest.fixture
def tree(tmp_path):
    """(root of a folder tree, the dataset in it, its score file)."""
    root = write_tree(tmp_path / "tree")
    dataset = goldore.load_dataset(str(root))
    return root, dataset, file_of(dataset, tmp_path)


@pytest.fixture(params=["arrays", "tree"])
def any_kind(request):
    return request.getfixturevalue(request.param)


def found(file, dataset=None, data_root=Path("data")):
    return find_images(file, None if dataset is None else str(dataset), data_root)


@pytest.mark.parametrize("named", [True, False])
def test_images_are_those_of_the_positions(any_kind, named):
    path, dataset, file = any_kind
    images, why_not = found(file, path if named else None)
    assert why_not == ""
    assert np.array_equal(images(SOME), dataset.images[SOME])


def test_the_bundled_sample_finds_itself(tmp_path):
    dataset = goldore.load_dataset("fashion-mnist-sample")
    images, why_not = found(file_of(dataset, tmp_path))
    assert why_not == ""
    assert np.array_equal(images(SOME), dataset.images[SOME])


def test_a_dataset_that_is_not_there_any_more_is_left_out_with_a_sentence(any_kind):
    path, _, file = any_kind
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    images, why_not = found(file)
    assert images is None
    assert "`dataset`" in why_not
    assert "\n" not in why_not


def test_a_dataset_that_moved_is_found_where_one_says(any_kind, tmp_path):
    path, dataset, file = any_kind
    moved = path.rename(path.with_name("moved" + path.suffix))
    assert found(file)[0] is None
    images, _ = found(file, moved)
    assert np.array_equal(images(SOME), dataset.images[SOME])


@pytest.mark.parametrize("source", ["function mine:load", "made by the tests", "TensorFlow Datasets x/1.0"])
def test_other_sources_are_not_looked_for(source, tmp_path):
    images, why_not = found(file_of(noise((5, 5), source=source), tmp_path))
    assert images is None
    assert why_not == "the images of noise are not at hand; name the dataset with `dataset`."


def test_in_a_file_that_has_only_words_they_say_where_the_images_are(any_kind):
    _, dataset, file = any_kind
    with edited(file.path) as content:
        del content["dataset"].attrs["origin"]
    assert not verify(file.path).problems
    again = load_scores(file.path)
    assert again.dataset == file.dataset
    assert np.array_equal(found(again)[0](SOME), dataset.images[SOME])


def test_what_a_newer_version_says_is_no_damage(arrays):
    file = arrays[2]
    with edited(file.path) as content:
        content["dataset"].attrs["origin"] = '{"kind": "shards", "bucket": [1]}'
    images, why_not = found(load_scores(file.path))
    assert images is None
    assert "`dataset`" in why_not


class TestWrongDataset:
    def test_is_refused_where_it_is_named(self, arrays, tmp_path):
        _, dataset, file = arrays
        others = {
            "shorter": replace(dataset, images=dataset.images[:-1], labels=dataset.labels[:-1]),
            "order": replace(dataset, images=dataset.images[::-1], labels=dataset.labels[::-1]),
        }
        for name, other in others.items():
            with pytest.raises(GoldoreError, match="is not the dataset of the score file"):
                found(file, write_npz(tmp_path / f"{name}.npz", other))
        with pytest.raises(GoldoreError, match="no file or folder"):
            found(file, tmp_path / "nothing.npz")

    def test_is_left_out_with_a_sentence_where_it_is_found(self, arrays):
        path, dataset, file = arrays
        write_npz(path, replace(dataset, images=dataset.images[:-1], labels=dataset.labels[:-1]))
        images, why_not = found(file)
        assert images is None
        assert "is not the dataset of the score file" in why_not
        assert why_not.endswith("name the dataset with `dataset`.")

    def test_a_file_that_is_damaged_is_left_out_with_a_sentence(self, arrays):
        path, _, file = arrays
        path.write_bytes(path.read_bytes()[:200])
        images, why_not = found(file)
        assert images is None
        assert "`dataset`" in why_not

    @pytest.mark.parametrize("position", SOME)
    def test_other_pixels_with_the_same_labels_are_noticed(self, arrays, position, tmp_path):
        _, dataset, file = arrays
        changed = dataset.images.copy()
        changed[position, 0, 3, 3] ^= 1
        images, _ = found(file, write_npz(tmp_path / "changed.npz", replace(dataset, images=changed)))
        with pytest.raises(DatasetError, match=f"sample {position} is not the one that was scored"):
            images(SOME)
        rest = np.setdiff1d(np.arange(20), [position])
        assert np.array_equal(images(rest), dataset.images[rest])


class TestTree:
    def test_only_the_files_that_are_asked_for_are_opened(self, tree, monkeypatch):
        root, dataset, file = tree
        opened, decode_one = [], pictures.open_picture

        def watched(path, size):
            opened.append(path.relative_to(root / "train").as_posix())
            return decode_one(path, size)

        monkeypatch.setattr(pictures, "open_picture", watched)
        images, _ = found(file)
        assert opened == []
        images(SOME)
        assert set(opened) == {dataset.paths[position] for position in SOME}

    def test_files_that_are_not_asked_for_need_not_be_there(self, tree):
        root, dataset, file = tree
        for position in range(20):
            if position not in SOME:
                (root / "train" / dataset.paths[position]).unlink()
        assert np.array_equal(found(file)[0](SOME), dataset.images[SOME])

    def test_a_changed_file_is_noticed_by_its_hash(self, tree):
        root, dataset, file = tree
        changed = root / "train" / dataset.paths[5]
        pixels = np.asarray(Image.open(changed)).copy()
        pixels[0, 0, 0] ^= 1
        Image.fromarray(pixels).save(changed)
        images, _ = found(file, root)
        with pytest.raises(DatasetError, match="sample 5 is not the one"):
            images(SOME)
        assert np.array_equal(images(np.array([4, 6])), dataset.images[[4, 6]])

    def test_a_file_that_is_gone_or_no_image_is_named(self, tree):
        root, dataset, file = tree
        (root / "train" / dataset.paths[0]).write_text("no image")
        (root / "train" / dataset.paths[11]).unlink()
        images, _ = found(file, root)
        for position in (0, 11):
            name = Path(dataset.paths[position]).name
            with pytest.raises(DatasetError, match=rf"{name} (cannot be decoded|any more)"):
                images(np.array([position]))

    @pytest.mark.parametrize("outside", ["../secret.png", "cat/../../secret.png", "ABSOLUTE"])
    def test_paths_that_lead_outside_are_not_read(self, tree, outside, tmp_path, monkeypatch):
        root, dataset, _ = tree
        secret = root / "secret.png"
        shutil.copy(root / "train" / dataset.paths[5], secret)  # even if it has the right pixels
        paths = list(dataset.paths)
        paths[5] = str(secret) if outside == "ABSOLUTE" else outside
        file = load_scores(scored(tmp_path / "hostile.h5", replace(dataset, paths=tuple(paths)), 1))
        monkeypatch.setattr(pictures, "open_picture", lambda *_: pytest.fail("an image was read"))
        for named in (root, None):
            images, _ = found(file, named)
            with pytest.raises(DatasetError, match="outside of its folder"):
                images(SOME)

    def test_images_are_resized_as_they_were_for_scoring(self, tmp_path):
        root = write_tree(tmp_path / "large", size=24)
        dataset = goldore.load_dataset(str(root), image_size=8)
        file = file_of(dataset, tmp_path)
        for named in (root, None):
            images, why_not = found(file, named)
            assert why_not == ""
            assert np.array_equal(images(SOME), dataset.images[SOME])

    def test_class_folders_without_train_are_found_too(self, tmp_path):
        root = write_tree(tmp_path / "flat") / "train"
        dataset = goldore.load_dataset(str(root))
        images, _ = found(file_of(dataset, tmp_path))
        assert np.array_equal(images(SOME), dataset.images[SOME])


def test_shards_are_found_again(tmp_path):
    for shard in range(2):
        with tarfile.open(tmp_path / f"s-{shard}.tar", "w") as tar:
            for number in range(10):
                pixels = np.random.default_rng(10 * shard + number).integers(
                    0, 256, (8, 8, 3), dtype=np.uint8
                )
                picture = io.BytesIO()
                Image.fromarray(pixels).save(picture, "png")
                for suffix, content in (("png", picture.getvalue()), ("cls", b"%d" % (number % 2))):
                    member = tarfile.TarInfo(f"{shard}{number}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    dataset = goldore.load_dataset(str(tmp_path / "s-{0..1}.tar"))
    file = file_of(dataset, tmp_path)
    images, why_not = found(file)
    assert why_not == ""
    assert np.array_equal(images(SOME), dataset.images[SOME])
    (tmp_path / "s-1.tar").unlink()
    assert found(file)[0] is None


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels_are_found(channels, tmp_path):
    path = write_npz(tmp_path / "arrays.npz", noise((10, 12), channels=channels))
    dataset = goldore.load_dataset(str(path), channels="first")
    images, why_not = found(file_of(dataset, tmp_path))
    assert why_not == ""
    assert np.array_equal(images(SOME), dataset.images[SOME])


class TestStrangers:
    """The source in a score file may say anything."""

    @pytest.mark.parametrize("stored", ["as a record", "in words"])
    @pytest.mark.parametrize(
        "source",
        [
            "folder tree /",
            "IDX files in /",
            "IDX files in ..",
            "arrays in /dev/zero",
            "tensors in /dev/stdin",
            "arrays in PIPE.npz",
            "function os:getcwd",
            "torchvision.datasets.CIFAR10 in /",
            "torchvision.datasets.os:getcwd in .",
            f"folder tree /{'n' * 300}",
        ],
    )
    def test_what_it_names_is_not_searched(self, source, stored, arrays, tmp_path, monkeypatch):
        def refuse(*_, **__):
            pytest.fail("a dataset is loaded")

        os.mkfifo(tmp_path / "PIPE.npz")
        file = arrays[2]
        with edited(file.path) as content:
            source = source.replace("PIPE", str(tmp_path / "PIPE"))
            content["dataset"].attrs["source"] = source
            del content["dataset"].attrs["origin"]
            if stored == "as a record":
                content["dataset"].attrs["origin"] = Origin.of_words(source).to_json()
        monkeypatch.setattr(folder, "load_folder", refuse)
        images, why_not = found(load_scores(file.path))
        assert images is None
        assert "`dataset`" in why_not or "`data_root`" in why_not

    def test_a_pipe_among_the_images_is_not_opened(self, tree):
        root, dataset, file = tree
        (root / "train" / dataset.paths[3]).unlink()
        os.mkfifo(root / "train" / dataset.paths[3])
        images, _ = found(file)
        with pytest.raises(DatasetError, match="there is no image"):
            images(np.array([3]))
