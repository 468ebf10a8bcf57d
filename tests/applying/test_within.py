"""`goldore.applied`: what datasets of PyTorch and files of torch.load hold in its block."""

import copy
import inspect
import multiprocessing
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from torchvision.datasets import MNIST, DatasetFolder, ImageFolder

import goldore
from goldore.datasets.classes import labels_digest
from goldore.errors import IndexFileError
from goldore.selection.index_file import save_index
from tests.integration import made_data

COUNT = 60
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(3), COUNT // 3))
KEPT = np.flatnonzero(np.random.default_rng(1).random(COUNT) < 0.3)
IMAGES = torch.arange(COUNT * 4).reshape(COUNT, 1, 2, 2)


def about(labels, **more):
    return {"dataset": "made", "num_samples": len(labels), "labels_sha256": labels_digest(labels), **more}


@pytest.fixture
def index(tmp_path):
    return save_index(tmp_path / "keep.npy", KEPT, about(LABELS, class_names=["a", "b", "c"]))


class Arrays(Dataset):
    """Images and labels, each in an attribute."""

    def __init__(self, images=IMAGES, labels=LABELS, transform=None):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, position):
        image = self.images[position]
        return image if self.transform is None else self.transform(image), int(self.labels[position])


def holds(dataset, kept=KEPT):
    """Whether a dataset has just the kept samples, in order."""
    rows = [dataset[each] for each in range(len(dataset))]
    return [int(row[0].flatten()[0]) for row in rows] == [4 * each for each in kept] and [
        int(row[1]) for row in rows
    ] == LABELS[kept].tolist()


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """The folder of a made-up MNIST, its labels, and an index of a fifth of it."""
    folder = tmp_path_factory.mktemp("mnist")
    _, labels = made_data.make_mnist(folder, count=200, test=50)
    keep = np.flatnonzero(np.random.default_rng(2).random(200) < 0.2)
    return folder, labels, keep, save_index(folder / "keep.npy", keep, about(labels))


def test_five_datasets_in_one_program(mnist, capsys):
    folder, labels, keep, index = mnist

    class Shuffled(MNIST):
        """A look-alike: the same images, labels in another order."""

        raw_folder = property(lambda self: str(folder / "MNIST" / "raw"))

        def __init__(self, *args, **fields):
            self.train, self.root = True, folder
            self.data, self.targets = IMAGES.repeat(4, 1, 1, 1)[: len(labels)], torch.tensor(labels).roll(1)

    with goldore.applied(index):
        train, test = MNIST(folder, train=True), MNIST(folder, train=False)
        part = Subset(train, range(10))
        other = TensorDataset(IMAGES, torch.tensor(LABELS))
        alike = Shuffled()
    whole = MNIST(folder, train=True)
    assert len(train) == len(train.data) == len(train.targets) == len(keep)
    assert all(np.array_equal(*map(np.asarray, (train[i][0], whole[k][0]))) for i, k in enumerate(keep))
    assert train.targets.tolist() == labels[keep].tolist()
    assert (len(test), len(part), len(other), len(alike), len(whole)) == (50, 10, 60, 200, 200)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("goldore: kept ")
    assert said[0].split(", index")[0].endswith(f"{len(keep)} of 200 samples in torchvision.datasets.MNIST")
    assert len(said) == 2
    assert "left alone" in said[1]
    assert "Shuffled, 200 samples: its labels are others, or in another order (digest of labels" in said[1]


def test_attributes_keep_their_types_and_what_was_one_list_is_one_list(index, tmp_path):
    for label in range(3):
        (tmp_path / "tree" / f"c{label}").mkdir(parents=True)
    ordered = np.sort(LABELS)
    for place, label in enumerate(ordered):
        (tmp_path / "tree" / f"c{label}" / f"{place:02d}.png").write_bytes(b"x")
    paths = [f"c{ordered[each]}/{each:02d}.png" for each in KEPT]
    folder_index = save_index(tmp_path / "tree.npy", KEPT, about(ordered, paths=paths))
    with goldore.applied(folder_index):
        data = ImageFolder(tmp_path / "tree")
        again = DatasetFolder(tmp_path / "tree", loader=str, extensions=(".png",))
    assert data.samples is data.imgs
    assert type(data.samples) is list
    assert data.targets == ordered[KEPT].tolist()
    assert [path.split("tree/")[1] for path, _ in data.samples] == paths
    assert again.samples == data.samples
    assert data.classes == ["c0", "c1", "c2"]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (IMAGES, torch.tensor(LABELS)),
        (IMAGES.numpy(), LABELS.astype(np.uint8)),
        (list(IMAGES), LABELS.tolist()),
        (tuple(IMAGES), tuple(map(int, LABELS))),
        (IMAGES, [torch.tensor(each) for each in LABELS]),
        (IMAGES, np.array(["x", "y", "z"])[LABELS]),
    ],
    ids=["tensors", "arrays", "lists", "tuples", "list of tensors", "names"],
)
def test_fields_of_any_kind(index, images, labels):
    class Named(Arrays):
        def __getitem__(self, position):
            return torch.as_tensor(self.images[position]), self.labels[position]

    with goldore.applied(index):
        data = Named(images, labels)
    assert (type(data.images), type(data.labels)) == (type(images), type(labels))
    assert [int(each[0].flatten()[0]) for each in data] == [4 * each for each in KEPT]
    assert [str(row[1]) for row in data] == [str(labels[each]) for each in KEPT]


def test_rows_tables_and_containers(index):
    pandas = pytest.importorskip("pandas")

    class Rows(Dataset):
        def __init__(self):
            self.rows = [(image, int(label)) for image, label in zip(IMAGES, LABELS, strict=True)]

        __len__ = lambda self: len(self.rows)  # noqa: E731
        __getitem__ = lambda self, position: self.rows[position]  # noqa: E731

    class Frame(Rows):
        def __init__(self):
            self.rows = pandas.DataFrame({"at": range(COUNT), "label": LABELS})

        def __getitem__(self, position):
            row = self.rows.loc[position]
            return IMAGES[int(row["at"])], row["label"]

    class Nested(Rows):
        def __init__(self):
            self.store = {"train": 0, "x": IMAGES, "y": LABELS}

        __len__ = lambda self: len(self.store["y"])  # noqa: E731
        __getitem__ = lambda self, position: (self.store["x"][position], self.store["y"][position])  # noqa: E731

    with goldore.applied(index):
        made = [Rows(), Frame(), Nested(), TensorDataset(IMAGES, torch.tensor(LABELS))]
    assert [holds(each) for each in made] == [True] * 4


def test_transforms_and_random_numbers_are_as_they_were(index):
    calls = []

    def noisy(image):
        calls.append(int(image.flatten()[0]))
        return image + torch.randint(0, 2, image.shape) * 0

    torch.manual_seed(7)
    before = torch.get_rng_state()
    with goldore.applied(index):
        data = Arrays(transform=noisy)
    assert torch.equal(torch.get_rng_state(), before)
    assert data.transform is noisy
    assert holds(data)
    assert Arrays.__init__.__name__ == "__init__"


class Late(Arrays):
    """Reads its samples after it was built."""

    def __init__(self):
        super().__init__([], [])

    def read(self):
        self.images, self.labels = IMAGES, LABELS


class Filtered(ImageFolder):
    """Keeps two classes of the tree, in its constructor."""

    def __init__(self, root):
        super().__init__(root)
        self.samples = [row for row in self.samples if row[1] != 1]
        self.targets = [label for _, label in self.samples]


class Wrapper(Dataset):
    """Holds another dataset, as many repositories' classes do."""

    def __init__(self):
        self.inner = Arrays()

    __len__ = lambda self: len(self.inner)  # noqa: E731
    __getitem__ = lambda self, position: self.inner[position]  # noqa: E731


@dataclass
class Record(Dataset):
    """Its constructor is made after its class."""

    images: object
    labels: object

    __len__ = lambda self: len(self.labels)  # noqa: E731
    __getitem__ = lambda self, position: (self.images[position], self.labels[position])  # noqa: E731


def test_lazy_filtered_wrapped_copied_and_built_twice(index):
    with goldore.applied(index):
        late, wrapped, twice = Late(), Wrapper(), [Arrays(), Arrays()]
        late.read()
        assert len(late) == COUNT
        DataLoader(late)
        record = Record(IMAGES, LABELS)
        DataLoader(record)
        copied, pickled = copy.deepcopy(twice[0]), pickle.loads(pickle.dumps(twice[0]))  # noqa: S301
        DataLoader(copied), DataLoader(pickled)
        both = ConcatDataset(twice)
        halves = random_split(twice[0], [5, len(KEPT) - 5])
    assert all(holds(each) for each in (late, wrapped, *twice, record, copied, pickled))
    assert len(both) == 2 * len(KEPT)
    assert sum(map(len, halves)) == len(KEPT)


PATHS = [f"{each // 10}/{each:02d}.png" for each in (0, 3, 12, 25, 26)]


def test_a_class_that_drops_samples_itself_is_an_error_if_its_fields_are_whole(tmp_path):
    labels = np.repeat(np.arange(3), 10)
    for place, label in enumerate(labels):
        (tmp_path / "tree" / str(label)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / str(label) / f"{place:02d}.png").write_bytes(b"x")
    index = save_index(tmp_path / "keep.npy", np.array([0, 3, 12, 25, 26]), about(labels))
    refused = pytest.raises(IndexFileError, match=r"Filtered holds the 30 .*, but it has 20 samples itself")
    with refused, goldore.applied(index):
        Filtered(tmp_path / "tree")


class Listed(ImageFolder):
    """Lists its files again by itself after torchvision has, some of them or in an order of its own."""

    def __init__(self, root, first=0, most=None, field="samples"):
        super().__init__(root)
        rows = [(str(each), int(each.parent.name)) for each in sorted(Path(root).glob("*/*.png"))]
        for label in range(3):  # within classes
            rows[10 * label : 10 * label + 10] = reversed(rows[10 * label : 10 * label + 10])
        setattr(self, field, rows[first:most])
        self.loader = str


class Own(DatasetFolder):
    """As Listed, without a second list."""

    def __init__(self, root):
        super().__init__(root, str, (".png",))
        rows = [(str(each), int(each.parent.name)) for each in sorted(Path(root).glob("*/*.png"))]
        self.samples = [*rows[9::-1], *rows[19:9:-1], *rows[29:19:-1]]


@pytest.fixture
def tree(tmp_path):
    """A folder of three classes of ten files, its labels, kept positions and an index of them."""
    labels, keep = np.repeat(np.arange(3), 10), np.array([0, 3, 12, 25, 26])
    files = [f"{label}/{place:02d}.png" for place, label in enumerate(labels)]
    for each in files:
        (tmp_path / "tree" / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / each).write_bytes(b"x")
    paths = [f"train/{files[each]}" for each in keep]
    bare = save_index(tmp_path / "bare.npy", keep, about(labels))
    return tmp_path / "tree", keep, save_index(tmp_path / "k.npy", keep, about(labels, paths=paths)), bare


@pytest.mark.parametrize("fields", [{"first": 5, "most": 14}, {"most": 4}])
def test_a_class_that_lists_a_part_of_its_files_again_is_an_error(tree, fields):
    folder, _, _, bare = tree
    refused = pytest.raises(IndexFileError, match=r"but it has \d+ samples itself")
    with refused, goldore.applied(bare):
        Listed(folder, **fields)


def test_a_class_that_lists_all_files_again_is_cut_as_a_whole(tree, tmp_path, capsys):
    folder, keep, index, bare = tree
    (tmp_path / "train").symlink_to(folder)
    with goldore.applied(index):
        data = Own(tmp_path / "train")
    assert sorted(path[-8:] for path, _ in data.samples) == sorted(PATHS)
    assert len(data) == len(data.targets) == len(keep)
    assert capsys.readouterr().err.count("\n") == 1
    with goldore.applied(index):
        data = Listed(tmp_path / "train")  # whose second list is in torchvision's order
    assert (
        sorted(path[-8:] for path, _ in data.samples) == sorted(path[-8:] for path, _ in data.imgs) == PATHS
    )
    assert [path for path, _ in data.samples] != [path for path, _ in data.imgs]
    refused = pytest.raises(IndexFileError, match="its files stand in an order of its own, and the index")
    with refused, goldore.applied(bare):
        Own(folder)


def test_a_subset_of_which_the_index_is(tmp_path):
    chosen = [each for each in range(COUNT) if LABELS[each] != 1]
    labels = LABELS[chosen]
    keep = np.array([1, 4, 17])
    index = save_index(tmp_path / "keep.npy", keep, about(labels))
    with goldore.applied(index):
        whole = Arrays()
        part = Subset(whole, chosen)
    assert len(whole) == COUNT
    assert part.indices == [chosen[each] for each in keep]


class Elsewhere(Arrays):
    """Its images do not follow its labels: they are read by position."""

    def __init__(self):
        super().__init__()
        del self.images

    def __getitem__(self, position):
        return IMAGES[position], self.labels[position]


class Odd(Arrays):
    """Its images stand in something that cannot be cut."""

    def __init__(self):
        class Reader:
            __len__ = lambda _: COUNT  # noqa: E731
            __getitem__ = lambda _, position: IMAGES[position]  # noqa: E731

        super().__init__(Reader())


class Twice(Arrays):
    """Each of its samples stands for two."""

    __len__ = lambda self: 2 * len(self.labels)  # noqa: E731


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Elsewhere, "its samples do not follow its fields"),
        (Odd, "its images is of the type Reader, which cannot be cut"),
        (Twice, "it has 120 samples itself"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_left_as_it_was(index, kind, why):
    made = []

    class Kept(kind):
        def __init__(self):
            made.append(self)
            super().__init__()

    with pytest.raises(IndexFileError, match=why), goldore.applied(index):
        Kept()
    assert len(made[0].labels) == COUNT


def test_streams_and_datasets_without_labels_are_named(index):
    class Stream(IterableDataset):
        def __init__(self):
            self.labels = LABELS

        def __iter__(self):
            return iter(self.labels)

    class Silent(Dataset):
        def __init__(self):
            self.where = "somewhere"

        __len__ = lambda self: COUNT  # noqa: E731

    with pytest.raises(IndexFileError) as error, goldore.applied(index):
        Stream(), Silent()
    text = str(error.value)
    assert "Stream holds the 60 samples that keep.npy is about, but it is a stream" in text
    refused = pytest.raises(IndexFileError, match=r"It read:\n.*Silent, 60 samples: it shows no labels")
    with refused, goldore.applied(index):
        Silent()


def test_nothing_built_is_an_error_and_an_error_of_the_block_comes_first(index):
    with pytest.raises(IndexFileError, match="build it inside the block"), goldore.applied(index):
        pass
    with pytest.raises(ZeroDivisionError), goldore.applied(index):
        1 / 0  # noqa: B018


def test_files_tell_which_they_are(tmp_path):
    labels = np.repeat([0, 1], 4)
    for place, label in enumerate(labels):
        (tmp_path / "tree" / str(label)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / str(label) / f"{place}.png").write_bytes(b"x")

    def index(*paths):
        keep = np.array([0, 5])
        return save_index(tmp_path / "keep.npy", keep, about(labels, paths=list(paths)), overwrite=True)

    with goldore.applied(index("0/1.jpg", "1/7.jpg")):  # other positions, and other suffixes
        data = ImageFolder(tmp_path / "tree")
    assert [path[-5] for path, _ in data.samples] == ["1", "7"]
    refused = pytest.raises(IndexFileError, match=r"ImageFolder, 8 samples: its files are others")
    with refused, goldore.applied(index("0/1.jpg", "1/8.jpg")):
        ImageFolder(tmp_path / "tree")


def frame(names):
    return pytest.importorskip("pandas").DataFrame({"label": LABELS, "file": names})


TURNED = np.empty(COUNT, dtype=int)  # the samples of each class backwards
for _places in (np.flatnonzero(label == LABELS) for label in range(3)):
    TURNED[_places] = _places[::-1]


@pytest.mark.parametrize(
    "held",
    [
        list,
        lambda names: list(map(Path, names)),
        lambda names: ["/data/train/" + each for each in names],
        lambda names: [each.rsplit("/", 1)[1] for each in names],
        np.array,
        lambda names: np.array(names, dtype=object),
        lambda names: list(zip(LABELS.tolist(), names, strict=True)),
        lambda names: [{"file": each, "bytes": 7} for each in names],
        frame,
        lambda names: frame(names)["file"],
    ],
    ids=["texts", "paths", "absolute", "bare", "array", "objects", "rows", "dictionaries", "frame", "column"],
)
def test_files_are_found_however_a_dataset_holds_their_names(tmp_path, held):
    names = [f"{label}/{place:03d}.png" for place, label in enumerate(LABELS)]
    index = save_index(tmp_path / "keep.npy", KEPT, about(LABELS, paths=[names[each] for each in KEPT]))

    class Files(Dataset):
        def __init__(self, names):
            self.files, self.labels = held(names), LABELS

        __len__ = lambda self: len(self.labels)  # noqa: E731

        def __getitem__(self, position):
            row = getattr(self.files, "iloc", self.files)[position]
            return str(getattr(row, "file", row)), int(self.labels[position])

    with goldore.applied(index):
        data = Files(names)
    assert len(data) == len(data.files) == len(KEPT)
    backwards = Files([names[each] for each in TURNED])
    with goldore.applied(index):
        data = Files([names[each] for each in TURNED])
    places = [place for place, each in enumerate(TURNED) if each in KEPT]
    assert [data[each] for each in range(len(data))] == [backwards[each] for each in places]
    others = [each.replace(".png", "x.png") for each in names]
    with pytest.raises(IndexFileError, match="its files are others"), goldore.applied(index):
        Files(others)


def test_two_indexes_at_once_and_none_afterwards(index, mnist):
    folder, _, keep, other = mnist
    before = MNIST.__init__, Dataset.__dict__.get("__init_subclass__"), DataLoader.__init__, torch.load
    with goldore.applied(index), goldore.applied(other):
        data, digits = Arrays(), MNIST(folder, train=True)
    assert (len(data), len(digits)) == (len(KEPT), len(keep))
    assert (
        MNIST.__init__,
        Dataset.__dict__.get("__init_subclass__"),
        DataLoader.__init__,
        torch.load,
    ) == before
    assert len(Arrays()) == COUNT
    assert inspect.signature(MNIST.__init__) == inspect.signature(before[0])


def test_a_dataset_that_another_index_cut_and_that_was_saved_is_refused(index, tmp_path):
    other = save_index(tmp_path / "other.npy", np.array([1, 2, 30]), about(LABELS))
    with goldore.applied(other):
        torch.save(Arrays(), tmp_path / "cache.pt")
    with (
        pytest.raises(IndexFileError, match=r"it was saved when the index \w+ had cut it"),
        goldore.applied(index),
    ):
        torch.load(tmp_path / "cache.pt", weights_only=False)


@pytest.mark.parametrize(
    ("content", "images"),
    [
        (
            {"classes": list("abc"), "images_train": IMAGES, "labels_train": torch.tensor(LABELS)},
            "images_train",
        ),
        ((IMAGES, torch.tensor(LABELS)), 0),
        ([IMAGES, LABELS.tolist(), "more"], 0),
    ],
    ids=["dictionary", "pair", "list"],
)
def test_saved_tensors(index, tmp_path, content, images):
    torch.save(content, tmp_path / "data.pt")
    torch.save({"train": content, "epoch": 3}, tmp_path / "nested.pt")
    with goldore.applied(index):
        found = torch.load(tmp_path / "data.pt"), torch.load(tmp_path / "nested.pt")["train"]
    for each in found:
        assert type(each) is type(content)
        assert torch.equal(each[images], IMAGES[torch.tensor(KEPT)])
        assert len(each) == len(content)


def test_saved_labels_alone_and_networks_are_left(index, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict()
    torch.save(torch.tensor(LABELS), tmp_path / "labels.pt")
    torch.save(network, tmp_path / "network.pt")
    refused = pytest.raises(
        IndexFileError, match=r"torch.load, 60 samples: it holds labels, and the images are"
    )
    with refused, goldore.applied(index):
        labels, found = torch.load(tmp_path / "labels.pt"), torch.load(tmp_path / "network.pt")
    assert len(labels) == COUNT
    assert found.keys() == network.keys()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_loaders(index, start):
    with goldore.applied(index):
        data = Arrays()
        context = multiprocessing.get_context(start)
        loader = DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context=context)
        drawn = [int(label) for _, labels in loader for label in labels]
    assert drawn == LABELS[KEPT].tolist()
