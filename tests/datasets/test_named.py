import pickle
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from goldore.datasets import load_dataset
from goldore.datasets.load import KNOWN
from goldore.datasets.named import READERS
from goldore.errors import DatasetError, GoldoreError

WNIDS = ["n01440764", "n02102040", "n03888257"]


@pytest.fixture
def trusting(monkeypatch):
    """Let torchvision take made-up files for the published ones."""
    for module in ("cifar", "svhn", "stl10"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *_: True)


@pytest.fixture
def write_cifar(tmp_path, make_arrays):
    layouts = {
        "CIFAR10": (
            "cifar-10-batches-py",
            [f"data_batch_{i}" for i in range(1, 6)],
            "test_batch",
            "batches.meta",
        ),
        "CIFAR100": ("cifar-100-python", ["train"], "test", "meta"),
    }

    def write(name):
        folder, train, test, meta = layouts[name]
        classes, kind = (10, "labels") if name == "CIFAR10" else (100, "fine_labels")
        (tmp_path / folder).mkdir()
        for seed, batch in enumerate([*train, test]):
            images, labels = make_arrays(classes, (3, 32, 32), classes, seed)
            content = {
                "data": images.reshape(classes, -1),
                kind: labels.tolist(),
                "coarse_labels": [0] * classes,
            }
            (tmp_path / folder / batch).write_bytes(pickle.dumps(content))
        names = [f"class {label}" for label in range(classes)]
        key = "label_names" if name == "CIFAR10" else "fine_label_names"
        (tmp_path / folder / meta).write_bytes(pickle.dumps({key: names}))
        return tmp_path

    return write


@pytest.fixture
def svhn(tmp_path, make_arrays, trusting):
    scipy_io = pytest.importorskip("scipy.io", reason="scipy reads SVHN's files")
    for seed, split in enumerate(("train", "test")):
        images, labels = make_arrays(20, (3, 32, 32), 10, seed)
        content = {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
        scipy_io.savemat(tmp_path / f"{split}_32x32.mat", content)
    return tmp_path


@pytest.fixture
def stl10(tmp_path, make_arrays, trusting):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for seed, split in enumerate(("train", "test")):
        images, labels = make_arrays(12, (3, 96, 96), 10, seed)
        images.transpose(0, 1, 3, 2).tofile(folder / f"{split}_X.bin")
        (labels + 1).astype(np.uint8).tofile(folder / f"{split}_y.bin")
    (folder / "class_names.txt").write_text("\n".join(f"kind {label}" for label in range(10)))
    return tmp_path


@pytest.fixture
def tiny_folder(tmp_path, write_images):
    root = tmp_path / "tiny-imagenet-200"
    for seed, wnid in enumerate(WNIDS):
        write_images(
            root / "train" / wnid, {"images": [f"{wnid}_{i}.JPEG" for i in (10, 9, 0)]}, (8, 8), seed
        )
    write_images(root / "val", {"images": [f"val_{i}.JPEG" for i in (0, 1, 2, 10)]}, (8, 8), seed=7)
    rows = [
        ("val_2.JPEG", WNIDS[2]),
        ("val_10.JPEG", WNIDS[0]),
        ("val_0.JPEG", WNIDS[1]),
        ("val_1.JPEG", WNIDS[2]),
    ]
    (root / "val" / "val_annotations.txt").write_text("".join(f"{f}\t{w}\t0\t0\t8\t8\n" for f, w in rows))
    (root / "wnids.txt").write_text("\n".join(reversed(WNIDS)))
    return tmp_path


@pytest.fixture
def tiny_content(make_arrays):
    images, labels = make_arrays(9, (3, 8, 8), 3)
    test_images, test_labels = make_arrays(4, (3, 8, 8), 3, seed=1)
    return {
        "classes": WNIDS,
        "images_train": torch.tensor(images),
        "labels_train": torch.tensor(labels),
        "images_val": torch.tensor(test_images),
        "labels_val": torch.tensor(test_labels),
    }


def test_every_known_name_has_a_reader():
    assert set(READERS) == set(KNOWN)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_mnist_like_equals_torchvision(tmp_path, write_idx, make_arrays, assert_same_items, name):
    for seed, split in enumerate(("train", "t10k")):
        images, labels = make_arrays(samples=30, shape=(1, 28, 28), seed=seed)
        write_idx(tmp_path / name / "raw", images[:, 0], labels, split)
    make = getattr(torchvision.datasets, name)
    dataset = load_dataset(name, data_root=tmp_path)
    assert dataset.name == name
    assert_same_items(dataset.images, dataset.labels, make(tmp_path, train=True))
    assert_same_items(dataset.test_images, dataset.test_labels, make(tmp_path, train=False))
    assert dataset.class_names == (tuple("0123456789") if name == "MNIST" else tuple(make.classes))


@pytest.mark.parametrize("place", [".", "FashionMNIST", "FashionMNIST/raw"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_mnist_like_is_found_in_three_places(tmp_path, write_idx, make_arrays, place, packed):
    images, labels = make_arrays()
    write_idx(tmp_path / place, images[:, 0], labels, packed=packed)
    dataset = load_dataset("FashionMNIST", data_root=tmp_path)
    np.testing.assert_array_equal(dataset.images, images)
    assert dataset.class_names[9] == "Ankle boot"


def test_torchvisions_place_comes_before_the_root(tmp_path, write_idx, make_arrays):
    for seed, place in enumerate((".", "MNIST", "MNIST/raw")):
        images, labels = make_arrays(seed=seed)
        write_idx(tmp_path / place, images[:, 0], labels)
    np.testing.assert_array_equal(load_dataset("MNIST", data_root=tmp_path).images, images)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_equals_torchvision(write_cifar, trusting, assert_same_items, name):
    root = write_cifar(name)
    make = getattr(torchvision.datasets, name)
    dataset = load_dataset(name, data_root=root)
    assert dataset.image_shape == (3, 32, 32)
    assert_same_items(dataset.images, dataset.labels, make(root, train=True))
    assert_same_items(dataset.test_images, dataset.test_labels, make(root, train=False))
    assert dataset.class_names[:2] == ("class 0", "class 1")


def test_svhn_equals_torchvision(svhn, assert_same_items):
    dataset = load_dataset("SVHN", data_root=svhn)
    assert_same_items(dataset.images, dataset.labels, torchvision.datasets.SVHN(svhn, split="train"))
    assert_same_items(dataset.test_images, dataset.test_labels, torchvision.datasets.SVHN(svhn, split="test"))
    assert dataset.class_names == tuple("0123456789")
    assert np.bincount(dataset.labels).tolist() == [2] * 10


class _WithoutScipy:
    @staticmethod
    def find_spec(name, *_):
        if name == "scipy":
            raise ModuleNotFoundError("No module named 'scipy'", name=name)


def test_svhn_says_which_package_is_missing(svhn, monkeypatch):
    for module in [each for each in sys.modules if each.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [_WithoutScipy, *sys.meta_path])
    with pytest.raises(DatasetError, match="SVHN needs the package scipy; run: pip install scipy"):
        load_dataset("SVHN", data_root=svhn)


def test_stl10_equals_torchvision(stl10, assert_same_items):
    dataset = load_dataset("STL10", data_root=stl10)
    assert dataset.image_shape == (3, 96, 96)
    assert_same_items(dataset.images, dataset.labels, torchvision.datasets.STL10(stl10, split="train"))
    assert_same_items(
        dataset.test_images, dataset.test_labels, torchvision.datasets.STL10(stl10, split="test")
    )
    assert dataset.class_names == tuple(f"kind {label}" for label in range(10))


def test_imagenette_has_torchvisions_order(tmp_path, write_images):
    root = tmp_path / "imagenette2-160"
    write_images(root / "train", {wnid: ["a_9.JPEG", "a_10.JPEG"] for wnid in reversed(WNIDS)}, (200, 160))
    write_images(root / "val", {wnid: ["b.JPEG"] for wnid in WNIDS}, (160, 180))
    reference = torchvision.datasets.Imagenette(tmp_path, split="train", size="160px")
    dataset = load_dataset("Imagenette", data_root=tmp_path)
    assert dataset.images.shape == (6, 3, 128, 128)
    assert dataset.labels.tolist() == [label for _, label in reference._samples]
    assert [str(root / "train" / path) for path in dataset.paths] == [file for file, _ in reference._samples]
    assert dataset.test_labels.tolist() == [0, 1, 2]
    assert len(dataset.class_names) == 3
    assert load_dataset("Imagenette", data_root=tmp_path, image_size=16).image_shape == (3, 16, 16)


def test_largest_imagenette_is_taken(tmp_path, write_images):
    for count, folder in ((1, "imagenette2-160"), (2, "imagenette2"), (3, "imagenette2-320")):
        files = [f"{i}.JPEG" for i in range(count)]
        write_images(tmp_path / folder / "train", dict.fromkeys(WNIDS, files), (40, 40))
    assert load_dataset("Imagenette", data_root=tmp_path, image_size=8).num_samples == 6


def test_tiny_imagenet_folder_has_torchvisions_order(tiny_folder, assert_same_items):
    root = tiny_folder / "tiny-imagenet-200"
    dataset = load_dataset("TinyImageNet", data_root=tiny_folder)
    reference = torchvision.datasets.ImageFolder(root / "train")
    assert_same_items(dataset.images, dataset.labels, reference)
    assert dataset.class_names == tuple(WNIDS)
    assert [str(root / "train" / path) for path in dataset.paths] == [file for file, _ in reference.samples]


def test_tiny_imagenet_validation_labels_follow_the_annotations(tiny_folder):
    dataset = load_dataset("TinyImageNet", data_root=tiny_folder)
    assert dataset.test_labels.tolist() == [2, 0, 1, 2]
    loader = torchvision.datasets.folder.default_loader
    folder = tiny_folder / "tiny-imagenet-200" / "val" / "images"
    for image, number in zip(dataset.test_images, (2, 10, 0, 1), strict=True):
        np.testing.assert_array_equal(
            image.transpose(1, 2, 0), np.asarray(loader(folder / f"val_{number}.JPEG"))
        )
    assert dataset.reading.splits[1].where == "val/ by val_annotations.txt"
    assert dataset.reading.notes == ()


def test_tiny_imagenet_may_be_the_root_itself(tiny_folder):
    dataset = load_dataset("TinyImageNet", data_root=tiny_folder / "tiny-imagenet-200", image_size=4)
    assert (dataset.num_samples, dataset.image_shape) == (9, (3, 4, 4))
    assert dataset.test_images.shape == (4, 3, 4, 4)


def test_tiny_imagenet_with_validation_sorted_into_class_folders(tiny_folder, write_images):
    root = tiny_folder / "tiny-imagenet-200"
    write_images(root / "val", {wnid: ["v.JPEG"] for wnid in WNIDS}, (8, 8))
    for file in (root / "val" / "images").iterdir():
        file.unlink()
    dataset = load_dataset("TinyImageNet", data_root=tiny_folder)
    assert dataset.test_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "text", ["", "val_0.JPEG\n", "val_0.JPEG\tn99999999\t0\n", "lost.JPEG\tn01440764\n"],
    ids=["empty", "one column", "unknown class", "missing image"],
)  # fmt: skip
def test_damaged_annotations_are_refused(tiny_folder, refused, text):
    (tiny_folder / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text(text)
    with refused(tiny_folder):
        load_dataset("TinyImageNet", data_root=tiny_folder)


@pytest.mark.parametrize("by_name", [True, False], ids=["name", "path"])
def test_tiny_imagenet_file_keeps_its_own_order(tmp_path, tiny_content, by_name):
    torch.save(tiny_content, tmp_path / "tinyimagenet.pt")
    source = "TinyImageNet" if by_name else str(tmp_path / "tinyimagenet.pt")
    dataset = load_dataset(source, data_root=tmp_path)
    assert dataset.name == "TinyImageNet"
    np.testing.assert_array_equal(dataset.images, tiny_content["images_train"].numpy())
    assert dataset.labels.tolist() == tiny_content["labels_train"].tolist()
    np.testing.assert_array_equal(dataset.test_images, tiny_content["images_val"].numpy())
    assert dataset.test_labels.tolist() == tiny_content["labels_val"].tolist()
    assert dataset.class_names == tuple(WNIDS)


@pytest.mark.parametrize("key", ["images_train", "labels_train", "images_val", "labels_val"])
def test_tiny_imagenet_file_of_another_form_is_refused(tmp_path, tiny_content, refused, key):
    del tiny_content[key]
    torch.save(tiny_content, tmp_path / "tinyimagenet.pt")
    with refused("tinyimagenet.pt", "both" if "val" in key else "must hold images and labels"):
        load_dataset("TinyImageNet", data_root=tmp_path)


@pytest.mark.parametrize("share", [0, 0.5])
def test_damaged_tiny_imagenet_file_is_refused(tmp_path, tiny_content, refused, share):
    path = tmp_path / "tinyimagenet.pt"
    torch.save(tiny_content, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with refused(path, "cannot be read as torch.save's dictionary of tensors"):
        load_dataset(str(path))


class _Dangerous:
    def __reduce__(self):
        return (print, ("code in a pickle was run",))


def test_code_in_a_tiny_imagenet_file_is_not_run(tmp_path, tiny_content, refused, capsys):
    torch.save(tiny_content | {"extra": _Dangerous()}, tmp_path / "tinyimagenet.pt")
    with refused("tinyimagenet.pt"):
        load_dataset("TinyImageNet", data_root=tmp_path)
    assert "code in a pickle was run" not in capsys.readouterr().out


def test_image_size_is_not_ignored_for_the_tiny_imagenet_file(tmp_path, tiny_content):
    torch.save(tiny_content, tmp_path / "tinyimagenet.pt")
    with pytest.raises(GoldoreError, match="image_size"):
        load_dataset("TinyImageNet", data_root=tmp_path, image_size=4)


@pytest.mark.parametrize("name", KNOWN)
def test_missing_root_is_refused(tmp_path, refused, name):
    with refused(tmp_path / "nowhere", "does not exist", "`data_root`"):
        load_dataset(name, data_root=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_root_in_the_home_of_nobody_is_refused(refused):
    with refused("~no_such_user/data does not exist", "`data_root`"):
        load_dataset("MNIST", data_root="~no_such_user/data")


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "TinyImageNet"])
def test_missing_files_are_refused_with_both_remedies(tmp_path, refused, name):
    named = "imagenette2-160" if name == "Imagenette" else name
    with refused(named, tmp_path, "`data_root`", "download"):
        load_dataset(name, data_root=tmp_path)


def test_missing_tiny_imagenet_is_refused_without_a_remedy_that_fails(tmp_path):
    with pytest.raises(DatasetError, match=r"tinyimagenet\.pt.*`data_root`") as caught:
        load_dataset("TinyImageNet", data_root=tmp_path)
    assert "--download" not in str(caught.value)
    with pytest.raises(DatasetError, match=r"cannot download TinyImageNet.*tiny-imagenet-200\.zip"):
        load_dataset("TinyImageNet", data_root=tmp_path, download=True)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_files_that_are_not_the_published_ones_are_refused(write_cifar, refused, name):
    root = write_cifar(name)
    with refused(f"{name} could not be read from", root, "corrupted", "--download"):
        load_dataset(name, data_root=root)


def test_damaged_pickle_is_refused(write_cifar, trusting, refused):
    root = write_cifar("CIFAR10")
    path = root / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:100])
    with refused("CIFAR10 could not be read from", root):
        load_dataset("CIFAR10", data_root=root)


def test_download_lets_torchvision_fetch_into_the_root(tmp_path, monkeypatch, write_idx, make_arrays):
    images, labels = make_arrays()

    def fetch(root, *, download):
        assert download
        write_idx(root / "MNIST" / "raw", images[:, 0], labels)

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    dataset = load_dataset("MNIST", data_root=tmp_path / "new", download=True)
    np.testing.assert_array_equal(dataset.images, images)


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10", "SVHN", "Imagenette"])
def test_failed_download_does_not_advise_download(tmp_path, monkeypatch, name):
    def fetch(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torchvision.datasets, name, fetch)
    with pytest.raises(DatasetError, match=f"{name} could not be read.*no network.*`data_root`") as caught:
        load_dataset(name, data_root=tmp_path, download=True)
    assert "--download" not in str(caught.value)
