"""Every class of torchvision.datasets that tells images by class, on small made-up datasets of its layout."""

import bz2
import io
import json
import pickle
import sys
import types
from collections.abc import Callable, Sized
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import Dataset
from torchvision import datasets

import goldore
from goldore.datasets.classes import labels_digest
from goldore.errors import IndexFileError
from goldore.selection.index_file import save_index

SIZE = 23  # no other field of a dataset has so many entries
SHARES = {2: (14, 9), 4: (7, 4, 9, 3)}  # samples of each class in folders
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), SHARES[4]))  # where there are none
KEEP = np.array([0, 3, 6, 7, 9, 12, 13, 19, 22])

# ------------------------------------------------------------------------------------------ made-up datasets
#
# Each function writes a dataset into a folder and gives the arguments with which its class is built.


def picture(path, number, mode="RGB", side=6):
    """Write an image that no other number has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = 10 * number if mode == "L" else (10 * number, 255 - 10 * number, 90)
    PIL.Image.new(mode, (side, side), colour).save(path)


def pixels(*shape):
    """Images as numbers, each of a value of its own, samples first."""
    values = 10 * np.arange(SIZE, dtype=np.uint8).reshape(-1, *[1] * len(shape))
    return np.ascontiguousarray(np.broadcast_to(values, (SIZE, *shape)))


def tree(folder, names, suffix=".png", file="{name}_{place}"):
    """Write a folder of images for each class; gives the files with their classes, in order."""
    shares = np.cumsum((0, *SHARES[len(names)]))
    label = np.repeat(np.arange(len(names)), np.diff(shares))
    files = [
        folder
        / names[each]
        / (file.format(name=Path(names[each]).name, place=f"{at:04d}", label=f"{each:04d}") + suffix)
        for each, at in zip(label, np.arange(SIZE) - shares[label] + 1, strict=True)
    ]
    for number, path in enumerate(files):
        picture(path, number)
    return list(zip(files, label.tolist(), strict=True))


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def idx(path, array, code=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
    path.write_bytes(head + array.astype(">i4" if code == 12 else np.uint8).tobytes())


def mat(path, **arrays):
    savemat = pytest.importorskip("scipy.io").savemat
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays)


def mnist(root, name="MNIST"):
    idx(root / name / "raw" / "train-images-idx3-ubyte", pixels(28, 28))
    idx(root / name / "raw" / "train-labels-idx1-ubyte", LABELS)
    return {"root": root}


def old_mnist(root):
    (root / "MNIST" / "processed").mkdir(parents=True)
    content = (torch.from_numpy(pixels(28, 28)), torch.from_numpy(LABELS))
    torch.save(content, root / "MNIST" / "processed" / "training.pt")
    torch.save(content, root / "MNIST" / "processed" / "test.pt")
    return {"root": root}


def fashion_mnist(root):
    return mnist(root, "FashionMNIST")


def kmnist(root):
    return mnist(root, "KMNIST")


def emnist(root):
    idx(root / "EMNIST" / "raw" / "emnist-letters-train-images-idx3-ubyte", pixels(28, 28))
    idx(root / "EMNIST" / "raw" / "emnist-letters-train-labels-idx1-ubyte", LABELS + 1)
    return {"root": root, "split": "letters"}


def qmnist(root):
    rows = np.stack([LABELS, *np.random.default_rng(1).integers(0, 50, (7, SIZE))], axis=1)
    idx(root / "QMNIST" / "raw" / "qmnist-train-images-idx3-ubyte", pixels(28, 28))
    idx(root / "QMNIST" / "raw" / "qmnist-train-labels-idx2-int", rows, code=12)
    return {"root": root}


def full_qmnist(root):
    return {**qmnist(root), "compat": False}


def cifar10(root, kind=datasets.CIFAR10, key="labels"):
    folder = root / kind.base_folder
    folder.mkdir()
    files = [name for name, _ in kind.train_list]
    for file, which in zip(files, np.array_split(np.arange(SIZE), len(files)), strict=True):
        batch = {"data": pixels(3072)[which], key: LABELS[which].tolist()}
        (folder / file).write_bytes(pickle.dumps(batch))
    names = ["plane", "car", "bird", "cat"]
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: names}))
    return {"root": root}


def cifar100(root):
    return cifar10(root, datasets.CIFAR100, "fine_labels")


def svhn(root):
    digits = np.where(LABELS == 0, 10, LABELS)
    mat(root / "train_32x32.mat", X=pixels(32, 32, 3).transpose(1, 2, 3, 0), y=digits[:, None])
    return {"root": root}


def stl10(root):
    folder = root / "stl10_binary"
    folder.mkdir()
    (folder / "train_X.bin").write_bytes(pixels(3, 96, 96).tobytes())
    (folder / "train_y.bin").write_bytes((LABELS + 1).astype(np.uint8).tobytes())
    lines(folder / "class_names.txt", ["airplane", "bird", "car", "cat"])
    return {"root": root}


def usps(root):
    rows = [
        " ".join([str(label + 1), *(f"{at}:{number / SIZE}" for at in range(1, 257))])
        for number, label in enumerate(LABELS)
    ]
    (root / "usps.bz2").write_bytes(bz2.compress("\n".join(rows).encode()))
    return {"root": root}


def semeion(root):
    bits = (np.arange(SIZE)[:, None] >> np.arange(256).clip(max=16)) & 1
    np.savetxt(root / "semeion.data", np.hstack([bits, np.eye(10, dtype=int)[LABELS]]))
    return {"root": root, "download": False}


def image_folder(root):
    tree(root / "train", ["ant", "bee", "cow", "dog"])
    return {"root": root / "train"}


def dataset_folder(root):
    tree(root / "train", ["ant", "bee", "cow", "dog"], ".png")
    return {"root": root / "train", "loader": grey, "extensions": (".png",)}


def grey(path):
    return PIL.Image.open(path).convert("L")


def imagenet(root):
    names = {
        "n01440764": ("tench",),
        "n02102040": ("springer",),
        "n02979186": ("tape", "player"),
        "n03": ("saw",),
    }
    tree(root / "train", list(names), ".JPEG")
    torch.save((names, []), root / "meta.bin")
    return {"root": root}


def imagenette(root):
    names = ["n01440764", "n02102040", "n02979186", "n03000684"]
    tree(root / "imagenette2-160" / "train", names, ".JPEG")
    return {"root": root, "size": "160px"}


def eurosat(root):
    tree(root / "eurosat" / "2750", ["Forest", "Highway", "River", "SeaLake"], ".jpg")
    return {"root": root}


def country211(root):
    tree(root / "country211" / "train", ["AD", "AE", "AF", "AG"], ".jpg")
    return {"root": root}


def rendered_sst2(root):
    tree(root / "rendered-sst2" / "train", ["negative", "positive"])
    return {"root": root}


def gtsrb(root):
    tree(root / "gtsrb" / "GTSRB" / "Training", ["00000", "00001", "00002", "00003"], ".ppm")
    return {"root": root}


def places365(root):
    names = ["a/airfield", "a/alley", "b/bar", "c/cafe"]
    folder = root / "data_256_standard"
    files = tree(folder, names, ".jpg", "{place}")
    lines(root / "categories_places365.txt", [f"/{name} {label}" for label, name in enumerate(names)])
    rows = [f"/{path.relative_to(folder).as_posix()} {label}" for path, label in mixed(files)]
    lines(root / "places365_train_standard.txt", rows)
    return {"root": root, "small": True}


def mixed(rows):
    """In an order that is not that of the classes."""
    return [rows[each] for each in np.random.default_rng(2).permutation(len(rows))]


def celeba(root):
    folder, draw = root / "celeba", np.random.default_rng(3)
    attributes = np.stack([LABELS > 1, LABELS % 2, np.arange(SIZE) < 5], axis=1)
    names = [f"{number:06d}.jpg" for number in range(1, SIZE + 3)]  # the last two are not of the training set
    for number, name in enumerate(names):
        picture(folder / "img_align_celeba" / name, number)

    def table(file, rows, *head):
        rows = [" ".join([name, *map(str, row)]) for name, row in zip(names, rows, strict=True)]
        lines(folder / file, [*head, *rows])

    table("list_eval_partition.txt", [*[[0]] * SIZE, [1], [2]])
    table("identity_CelebA.txt", [*(100 + 7 * LABELS[:, None]), [3], [4]])
    table(
        "list_bbox_celeba.txt", draw.integers(0, 50, (SIZE + 2, 4)), SIZE + 2, "image_id x_1 y_1 width height"
    )
    table(
        "list_landmarks_align_celeba.txt",
        draw.integers(0, 50, (SIZE + 2, 10)),
        SIZE + 2,
        " ".join(f"point_{at}" for at in range(10)),
    )
    rows = [*(2 * attributes.astype(int) - 1), [1, 1, 1], [1, 1, 1]]
    table("list_attr_celeba.txt", rows, SIZE + 2, "Bald Male Smiling")
    return {"root": root}


def celeba_identity(root):
    return {**celeba(root), "target_type": "identity"}


def flowers102(root):
    folder = root / "flowers-102"
    ids = np.random.default_rng(4).permutation(np.arange(1, SIZE + 5))[:SIZE]
    for number, each in enumerate(ids):
        picture(folder / "jpg" / f"image_{each:05d}.jpg", number)
    labels = np.ones(SIZE + 4, dtype=int)
    labels[ids - 1] = LABELS + 1
    mat(folder / "imagelabels.mat", labels=labels[None])
    mat(folder / "setid.mat", trnid=ids[None], valid=ids[None, :2], tstid=ids[None, :2])
    return {"root": root}


def pets(root, **more):
    folder = root / "oxford-iiit-pet"
    names = ["Abyssinian", "Bengal", "beagle", "boxer"]
    ids = [f"{names[label]}_{number}" for number, label in enumerate(LABELS)]
    for number, each in enumerate(ids):
        picture(folder / "images" / f"{each}.jpg", number)
    rows = [f"{each} {label + 1} {1 + label // 2} 1" for each, label in zip(ids, LABELS, strict=True)]
    lines(folder / "annotations" / "trainval.txt", rows)
    return {"root": root, **more}


def cats_and_dogs(root):
    return pets(root, target_types="binary-category")


def dtd(root):
    folder = root / "dtd" / "dtd"
    files = tree(folder / "images", ["banded", "dotted", "grid", "woven"], ".jpg")
    rows = [path.relative_to(folder / "images").as_posix() for path, _ in mixed(files)]
    lines(folder / "labels" / "train1.txt", rows)
    return {"root": root}


def aircraft(root, level="variant"):
    folder = root / "fgvc-aircraft-2013b" / "data"
    names = ["707-320", "737 700", "A320", "Cessna 172"]
    ids = [f"{1025794 + 3 * number}" for number in range(SIZE)]
    for number, each in enumerate(ids):
        picture(folder / "images" / f"{each}.jpg", number)
    lines(folder / {"variant": "variants.txt", "manufacturer": "manufacturers.txt"}[level], names)
    rows = [f"{each} {names[label]}" for each, label in zip(ids, LABELS, strict=True)]
    lines(folder / f"images_{level}_trainval.txt", rows)
    return {"root": root, "annotation_level": level}


def aircraft_by_manufacturer(root):
    return aircraft(root, "manufacturer")


def cars(root):
    folder = root / "stanford_cars"
    rows = np.zeros((1, SIZE), dtype=[("class", object), ("fname", object)])
    for number, label in enumerate(LABELS):
        rows[0, number] = (np.uint8(label + 1), f"{number:05d}.jpg")
        picture(folder / "cars_train" / f"{number:05d}.jpg", number)
    mat(folder / "devkit" / "cars_train_annos.mat", annotations=rows)
    names = np.array([["Acura", "Audi", "BMW", "Fiat"]], dtype=object)
    mat(folder / "devkit" / "cars_meta.mat", class_names=names)
    return {"root": root}


def food101(root):
    folder = root / "food-101" / "images"
    names = ["baklava", "apple_pie", "pizza", "ramen"]
    files = tree(folder, names, ".jpg")
    listed = {
        name: [
            path.relative_to(folder).with_suffix("").as_posix()
            for path, label in reversed(files)
            if names[label] == name
        ]
        for name in names
    }
    lines(root / "food-101" / "meta" / "train.json", [json.dumps(listed)])
    return {"root": root}


def sun397(root):
    names = ["a/abbey", "a/alley", "b/bar", "c/cafe/indoor"]
    tree(root / "SUN397", names, ".jpg", "sun_{place}")
    lines(root / "SUN397" / "ClassName.txt", [f"/{name}" for name in names])
    return {"root": root}


def caltech101(root):
    folder = root / "caltech101" / "101_ObjectCategories"
    tree(folder, ["Faces", "accordion", "airplanes", "bass"], ".jpg", "image_{place}")
    picture(folder / "BACKGROUND_Google" / "image_0001.jpg", 0)
    return {"root": root}


def caltech256(root):
    folder = root / "caltech256" / "256_ObjectCategories"
    for path, label in tree(folder, ["001.ak47", "002.flag", "003.bat", "004.bear"], ".jpg", "{place}"):
        path.rename(path.with_name(f"{label + 1:03d}_{path.name}"))
    return {"root": root}


def inaturalist(root, **more):
    orders = ["Coleoptera_Cleridae_Enoclerus_ichneumoneus", "Coleoptera_Lycidae_Calopteron_reticulatum"]
    orders += ["Diptera_Syrphidae_Eristalis_tenax", "Odonata_Aeshnidae_Anax_junius"]
    names = [f"{at:05d}_Animalia_Arthropoda_Insecta_{each}" for at, each in enumerate(orders)]
    tree(root / "2021_train", names, ".jpg")
    return {"root": root, **more}


def inaturalist_by_order(root):
    return inaturalist(root, target_type="order")


def inaturalist_2018(root):
    tree(root / "2018", ["Aves/0", "Aves/1", "Fungi/2", "Insecta/3"], ".jpg")
    return {"root": root, "version": "2018"}


def omniglot(root):
    names = ["Greek/character01", "Greek/character02", "Latin/character01", "Latin/character02"]
    tree(root / "omniglot-py" / "images_background", names, file="{label}_{place}")
    return {"root": root}


def lfw_people(root):
    folder, names = root / "lfw-py", ["Abel_Pacheco", "Edie_Falco", "Gil_de_Ferran", "Jan_Ullrich"]
    tree(folder / "lfw_funneled", names, ".jpg")
    lines(
        folder / "lfw-names.txt", [f"{name}\t{count}" for name, count in zip(names, SHARES[4], strict=True)]
    )
    rows = [f"{names[label]}\t{SHARES[4][label]}" for label in (2, 0, 3, 1)]
    lines(folder / "peopleDevTrain.txt", [4, *rows])
    return {"root": root, "split": "train"}


def fer2013(root):
    rows = [f"{label},{' '.join([str(10 * number)] * 48 * 48)}" for number, label in enumerate(LABELS)]
    lines(root / "fer2013" / "train.csv", ["emotion,pixels", *rows])
    return {"root": root}


def clevr(root):
    folder = root / "clevr" / "CLEVR_v1.0"
    scenes = []
    for number, label in enumerate(LABELS.tolist()):
        name = f"CLEVR_train_{number:06d}.png"
        picture(folder / "images" / "train" / name, number)
        scenes.append({"image_filename": name, "objects": [{}] * (3 + label)})
    lines(folder / "scenes" / "CLEVR_train_scenes.json", [json.dumps({"scenes": mixed(scenes)})])
    return {"root": root}


def pcam(root):
    (root / "pcam").mkdir()
    with h5py.File(root / "pcam" / "camelyonpatch_level_2_split_train_x.h5", "w") as file:
        file["x"] = pixels(8, 8, 3)
    with h5py.File(root / "pcam" / "camelyonpatch_level_2_split_train_y.h5", "w") as file:
        file["y"] = (LABELS % 2).reshape(-1, 1, 1, 1)
    return {"root": root}


def fake_data(root):
    return {"size": SIZE, "image_size": (3, 6, 6), "num_classes": 4}


def lsun(root):
    names = ["bedroom_train", "bridge_train"]
    for path, _ in tree(root, [f"{name}_lmdb" for name in names], ".webp"):
        path.rename(path.with_suffix(""))
    return {"root": str(root), "classes": names}


class Lmdb(types.ModuleType):
    """As much of the package lmdb as torchvision uses, on a folder with a file for each key."""

    def __init__(self, folder=None):
        super().__init__("lmdb")
        self._folder = None if folder is None else Path(folder)

    def open(self, folder, **_):
        return Lmdb(folder)

    def begin(self, **_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def stat(self):
        return {"entries": len(list(self._folder.iterdir()))}

    def cursor(self):
        return self

    def iternext(self, **_):
        return iter(sorted(path.name for path in self._folder.iterdir()))

    def get(self, key):
        return (self._folder / key).read_bytes()


# ---------------------------------------------------------------------------------------------------- tests


@dataclass(frozen=True)
class Case:
    """A class of torchvision.datasets.

    Attributes:
        kind: its name.
        write: writes a made-up dataset and gives the arguments.
        label: the class in what the dataset gives as target.
        why: for those that are not served: what is said.
        where: the index is applied; None for the class itself.
    """

    kind: str
    write: Callable
    label: Callable = int
    why: str = ""
    where: str | None = None


IN_MEMORY = [
    Case("MNIST", mnist),
    Case("MNIST", old_mnist, where="torch.load"),  # as torchvision wrote it until 0.9
    Case("FashionMNIST", fashion_mnist),
    Case("KMNIST", kmnist),
    Case("EMNIST", emnist),
    Case("QMNIST", qmnist),
    Case("QMNIST", full_qmnist, lambda target: int(target[0])),
    Case("CIFAR10", cifar10),
    Case("CIFAR100", cifar100),
    Case("SVHN", svhn),
    Case("STL10", stl10),
    Case("USPS", usps),
    Case("SEMEION", semeion),
    Case("FER2013", fer2013),
]
OF_NUMBERED_FILES = [
    Case("Caltech101", caltech101),
    Case("Caltech256", caltech256),
]
OF_NAMED_FILES = [
    Case("ImageFolder", image_folder),
    Case("DatasetFolder", dataset_folder),
    Case("ImageNet", imagenet),
    Case("Imagenette", imagenette),
    Case("EuroSAT", eurosat),
    Case("Country211", country211),
    Case("RenderedSST2", rendered_sst2),
    Case("GTSRB", gtsrb),
    Case("Places365", places365),
    Case("CelebA", celeba, lambda target: int(target[1])),
    Case("CelebA", celeba_identity),
    Case("Flowers102", flowers102),
    Case("OxfordIIITPet", pets),
    Case("OxfordIIITPet", cats_and_dogs),
    Case("DTD", dtd),
    Case("FGVCAircraft", aircraft),
    Case("FGVCAircraft", aircraft_by_manufacturer),
    Case("StanfordCars", cars),
    Case("Food101", food101),
    Case("SUN397", sun397),
    Case("INaturalist", inaturalist),
    Case("INaturalist", inaturalist_2018),
    Case("Omniglot", omniglot),
    Case("LFWPeople", lfw_people),
    Case("CLEVRClassification", clevr),
]
SERVED = IN_MEMORY + OF_NUMBERED_FILES + OF_NAMED_FILES
NOT_SERVED = [
    Case("INaturalist", inaturalist_by_order, why="its labels are others, or in another order"),  # of species
    Case("PCAM", pcam, why="it shows no labels"),  # it opens its files anew for each sample
    Case("LSUN", lsun, why="it shows no labels"),  # it has a database for each class
    Case("FakeData", fake_data, why="it shows no labels"),  # it draws them when they are read
]
OF_NO_CLASSES = {
    "base": ("VisionDataset",),
    "images alone": ("LSUNClass", "PhotoTour"),
    "pairs": ("LFWPairs",),
    "captions": ("CocoCaptions", "Flickr8k", "Flickr30k", "SBU"),
    "detection": ("CocoDetection", "Kitti", "VOCDetection", "WIDERFace"),
    "segmentation": ("Cityscapes", "SBDataset", "VOCSegmentation"),
    "videos": ("HMDB51", "Kinetics", "MovingMNIST", "UCF101"),
    "optical flow": ("FlyingChairs", "FlyingThings3D", "HD1K", "KittiFlow", "Sintel"),
    "stereo": (
        "CREStereo",
        "CarlaStereo",
        "ETH3DStereo",
        "FallingThingsStereo",
        "InStereo2k",
        "Kitti2012Stereo",
        "Kitti2015Stereo",
        "Middlebury2014Stereo",
        "SceneFlowStereo",
        "SintelStereo",
    ),
}


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=[each.write.__name__ for each in cases])


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function that writes the dataset of a case, and gives another that builds it."""

    def make(case):
        kind = getattr(datasets, case.kind, None)
        if kind is None:
            pytest.skip(f"this torchvision has no {case.kind}")
        module = sys.modules[kind.__module__]
        monkeypatch.setattr(module, "check_integrity", lambda *_, **__: True, raising=False)
        monkeypatch.setitem(sys.modules, "lmdb", Lmdb())
        monkeypatch.chdir(tmp_path)  # LSUN leaves a file there
        (tmp_path / "data").mkdir()
        arguments = case.write(tmp_path / "data")
        return lambda: kind(**arguments)

    return make


def read(dataset):
    """The image and the target of each sample in plain types, the targets, and the files that were opened."""
    shown, targets, files = [], [], []
    usual = PIL.Image.open

    def see(file, *rest, **more):
        if not isinstance(file, io.BytesIO):
            files.append(Path(file if isinstance(file, (str, Path)) else file.name))
        return usual(file, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PIL.Image, "open", see)
        for position in range(len(dataset)):
            image, target = dataset[position]
            plain = target.tolist() if isinstance(target, torch.Tensor) else target
            shown.append((image.mode, image.size, image.tobytes(), type(target), plain))
            targets.append(target)
    return shown, targets, files


def write_index(path, case, targets, files, root):
    """An index of the samples in KEEP, as goldore writes it for a dataset with these."""
    _, labels = np.unique([case.label(each) for each in targets], return_inverse=True)
    about = {
        "dataset": case.kind,
        "num_samples": len(labels),
        "labels_sha256": labels_digest(labels),
        "class_names": [f"class {label}" for label in range(labels.max() + 1)],
    }
    if files:
        about["paths"] = [files[each].relative_to(root).as_posix() for each in KEEP]
    return save_index(path, KEEP, about)


@named(SERVED)
def test_a_class_holds_the_kept_samples_alone(case, made, tmp_path, capsys):
    build = made(case)
    plain = build()
    shown, targets, files = read(plain)
    assert len({each[2] for each in shown}) == SIZE
    assert len(files) == (0 if case in IN_MEMORY else SIZE)
    index = write_index(tmp_path / "keep.npy", case, targets, files, tmp_path / "data")
    with goldore.applied(index):
        cut = build()
    where = case.where or f"torchvision.datasets.{case.kind}"
    assert f"kept {len(KEEP)} of {SIZE} samples in {where}," in capsys.readouterr().err
    assert len(cut) == len(KEEP)
    assert read(cut)[0] == [shown[each] for each in KEEP]
    check_fields(plain, cut)
    assert read(build())[0] == shown


def check_fields(plain, cut):
    """See that fields have the types that they had, and entries for the kept samples alone."""
    assert vars(plain).keys() <= vars(cut).keys()
    for name, before in vars(plain).items():
        now = vars(cut)[name]
        assert type(now) is type(before), name
        assert getattr(now, "dtype", None) == getattr(before, "dtype", None), name
        if isinstance(before, Sized):
            expected = len(KEEP) if len(before) == SIZE and not isinstance(before, str) else len(before)
            assert len(now) == expected, name


@named(OF_NAMED_FILES)
def test_kept_files_are_found_at_other_positions(case, made, tmp_path):
    """The order of files within a class is another on another machine."""
    build = made(case)
    shown, targets, files = read(build())
    labels = [case.label(each) for each in targets]
    other = next(each for each in range(1, SIZE) if labels[each] == labels[0] and each not in KEEP)
    files[0], files[other] = files[other], files[0]
    index = write_index(tmp_path / "keep.npy", case, targets, files, tmp_path / "data")
    with goldore.applied(index):
        cut = build()
    assert read(cut)[0] == [shown[each] for each in sorted({other, *KEEP} - {0})]


@named(OF_NAMED_FILES)
def test_other_files_are_refused(case, made, tmp_path):
    build = made(case)
    _, targets, files = read(build())
    files[0] = files[0].with_name("other.png")
    index = write_index(tmp_path / "keep.npy", case, targets, files, tmp_path / "data")
    with pytest.raises(IndexFileError, match="its files are others"), goldore.applied(index):
        build()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # LSUN's class leaves files open
@named(NOT_SERVED)
def test_a_class_that_cannot_be_served_says_so(case, made, tmp_path):
    build = made(case)
    _, targets, files = read(build())
    index = write_index(tmp_path / "keep.npy", case, targets, files, tmp_path / "data")
    with (
        pytest.raises(IndexFileError, match=f"{case.kind}, {SIZE} samples: {case.why}"),
        goldore.applied(index),
    ):
        build()


def test_what_wraps_a_dataset_for_transforms_holds_the_kept_samples(made, tmp_path):
    case = Case("CIFAR10", cifar10)
    build = made(case)
    shown, targets, files = read(build())
    index = write_index(tmp_path / "keep.npy", case, targets, files, tmp_path / "data")
    with goldore.applied(index):
        wrapped = datasets.wrap_dataset_for_transforms_v2(build())
    assert len(wrapped) == len(KEEP)
    assert [wrapped[at][1] for at in range(len(KEEP))] == [shown[each][4] for each in KEEP]


def test_every_class_of_torchvision_is_known_here():
    known = {each.kind for each in SERVED + NOT_SERVED}.union(*OF_NO_CLASSES.values())
    found = {
        name for name, kind in vars(datasets).items() if isinstance(kind, type) and issubclass(kind, Dataset)
    }
    assert not found - known
