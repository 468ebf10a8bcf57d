"""Datasets that make it hard to cut them: right, or an error, but never other samples in silence."""

import dataclasses
import functools
import inspect
import pickle
import warnings
from abc import ABC, abstractmethod

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, StackDataset, Subset, TensorDataset
from torchvision.datasets import MNIST, VisionDataset

import goldore
from goldore.errors import IndexFileError
from tests.applying.test_within import COUNT, IMAGES, KEPT, LABELS, Arrays, Late, holds
from tests.applying.test_within import index as index  # noqa: PLC0414
from tests.applying.test_within import mnist as mnist  # noqa: PLC0414


def is_refused(index, build, why=""):
    """Whether building it ends with an error, and not in silence."""
    with pytest.raises(IndexFileError, match=why), goldore.applied(index):
        build()
    return True


class Noisy(TensorDataset):
    """Adds labels of its own once its parent is built."""

    def __init__(self):
        super().__init__(IMAGES, torch.tensor(LABELS))
        self.noisy = LABELS.copy()

    def __getitem__(self, at):
        return self.tensors[0][at], self.noisy[at]


class Again(TensorDataset):
    """Reads everything again under other names."""

    def __init__(self):
        super().__init__(IMAGES, torch.tensor(LABELS))
        self.tensors = (IMAGES, torch.tensor(LABELS))
        self.x, self.y = IMAGES.clone(), LABELS.tolist()

    __len__ = lambda self: len(self.x)  # noqa: E731
    __getitem__ = lambda self, at: (self.x[at], self.y[at])  # noqa: E731


class LabelsFirst(VisionDataset):
    """Has labels before, and images after, its parent is built."""

    def __init__(self):
        self.labels = LABELS.copy()
        super().__init__("somewhere")
        self.images = IMAGES.clone()

    __len__ = lambda self: len(self.labels)  # noqa: E731
    __getitem__ = lambda self, at: (self.images[at], self.labels[at])  # noqa: E731


class Cached(Arrays):
    """Remembers samples by position, in a dictionary and in a cache of its class."""

    def __init__(self):
        super().__init__()
        self.cache = {}

    def __getitem__(self, at):
        if at not in self.cache:
            self.cache[at] = self.read(at)
        return self.cache[at]

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033
    def read(self, at):
        return super().__getitem__(at)


class Single(Arrays):
    """There is one of it, whose constructor runs again."""

    one = None

    def __new__(cls):
        cls.one = cls.one or super().__new__(cls)
        return cls.one


@dataclasses.dataclass
class Record(Dataset):
    images: object
    labels: object

    __len__ = lambda self: len(self.labels)  # noqa: E731
    __getitem__ = lambda self, at: (self.images[at], self.labels[at])  # noqa: E731


class Mixin:
    def __init__(self):
        self.images, self.labels, self.transform = IMAGES, LABELS, None


class Mixed(Mixin, Arrays, ABC):
    """Its constructor is that of a class which is no Dataset; its metaclass is another."""


class Slotted(Arrays):
    __slots__ = ("more",)


class Numbered(Arrays):
    """Its samples name their positions, and hold what is equal to nothing."""

    def __getitem__(self, at):
        image, label = super().__getitem__(at)
        return image, label, at, float("nan"), {"index": torch.tensor(at)}


MADE = (Noisy, Again, LabelsFirst, Cached, Single, lambda: Record(IMAGES, LABELS), Mixed, Slotted, Numbered)


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_it_holds_the_kept_samples(index, make):
    with goldore.applied(index):
        data, by_name = make(), Subset(dataset=Arrays(), indices=[0])
    assert holds(data)
    assert len(by_name) == 1
    assert holds(data)  # from caches too
    Single.one = None


def test_what_is_filled_again_is_cut_again(index):
    Single.one = None
    with goldore.applied(index):
        single, late = Single(), Late()
        Single()
        late.read()
        DataLoader(late)
        late.read()
        DataLoader(late)
    assert holds(single)
    assert holds(late)


class Batches(Arrays):
    """Its items are batches."""

    __len__ = lambda self: len(self.labels) // 10  # noqa: E731


class Stored(Arrays):
    """Knows its length, whatever it holds."""

    def __init__(self):
        super().__init__()
        self.many = len(self.labels)

    __len__ = lambda self: self.many  # noqa: E731


@dataclasses.dataclass
class Sample:
    image: torch.Tensor
    label: int


class Boxed(Dataset):
    """Reads images by position from elsewhere, and gives samples in a class."""

    def __init__(self):
        self.labels = LABELS.tolist()

    __len__ = lambda self: len(self.labels)  # noqa: E731
    __getitem__ = lambda self, at: Sample(IMAGES[at], self.labels[at])  # noqa: E731


class Unstable(Arrays):
    """Draws numbers of its own."""

    def __init__(self):
        super().__init__()
        self.draws = np.random.default_rng(0)

    def __getitem__(self, at):
        return self.images[at] + self.draws.integers(5, 100_000), self.labels[at]


class Unready(Arrays):
    """Cannot be read before it is told how."""

    def __getitem__(self, at):
        raise KeyError(27)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Batches, "it has 6 samples itself"),
        (Stored, "it still has 60 samples when all that is in it is cut"),
        (lambda: StackDataset(IMAGES, torch.tensor(LABELS)), "it still has 60 samples"),
        (Boxed, "its samples do not follow its fields"),
        (Unstable, "its samples differ each time that they are read"),
        (Unready, r"its samples cannot be read \(KeyError: 27\)"),
    ],
)
def test_what_is_read_in_another_way_is_an_error(index, make, why):
    assert is_refused(index, make, why)
    assert is_refused(index, lambda: (Arrays(), make()), why)  # also beside one that is cut


def test_what_is_ready_when_it_is_used_is_cut_then(index):
    class Later(Arrays):
        def __getitem__(self, at):
            return self.how(self.images[at]), self.labels[at]

    with goldore.applied(index):
        data = Later()
        data.how = torch.clone
        DataLoader(data)
    assert holds(data)


def test_parts_of_what_was_filled_late_are_an_error(index):
    def late():
        made = Late()
        made.read()
        return made

    with goldore.applied(index):
        whole = late()
        DataLoader(Subset(whole, range(COUNT)))
    for build in (lambda: Subset(late(), [0, 1, 2]), lambda: ConcatDataset([late(), late()])):
        assert is_refused(index, lambda build=build: DataLoader(build()), "it has .* samples itself")


def test_what_is_read_by_hand_before_a_loader_is_cut_at_its_first_sample(index):
    class Later(Arrays):
        def __getitem__(self, at):
            return self.how(self.images[at]), self.labels[at]

    with goldore.applied(index):
        later, late = Later(), Late()
        later.how = torch.clone
        late.read()
        for data in (later, late):
            assert int(data[0][0].flatten()[0]) == 4 * KEPT[0]
    assert holds(later)
    assert holds(late)


def test_what_is_put_beside_the_kept_samples_is_an_error(index):
    class Wrapper(Dataset):
        def __init__(self):
            self.base, self.noisy = Arrays(), LABELS[::-1].copy()

        __len__ = lambda self: len(self.base)  # noqa: E731

    def noisy():
        data = Arrays()
        data.labels = LABELS[::-1].copy()
        DataLoader(data)

    assert is_refused(index, Wrapper, "beside the kept samples it has noisy of all samples")
    assert is_refused(index, noisy, "beside the kept samples it has labels of all samples")


def test_samples_in_groups_samplers_and_bare_positions_are_an_error(index):
    class Grouped(Arrays):
        def __init__(self):
            super().__init__()
            self.per_class = {label: np.flatnonzero(self.labels == label) for label in range(3)}

    class Positions(Arrays):
        def __getitem__(self, at):
            return at, int(self.labels[at])

    def drawn():
        data = list(zip(IMAGES, LABELS.tolist(), strict=True))
        DataLoader(data, sampler=torch.utils.data.SubsetRandomSampler([1, 2, 3]))

    assert is_refused(index, Grouped, "its per_class holds them in groups")
    assert is_refused(index, Positions, "its samples do not follow its fields")
    assert is_refused(index, drawn, "a sampler was made before it was cut")


def test_what_reading_leaves_behind_is_put_back(index):
    class Opened(Arrays):
        def __init__(self):
            super().__init__()
            self.file, self.reads, self.log, self.set = None, 0, [], set()

        def __getitem__(self, at):
            self.file, self.reads = self.file or object(), self.reads + 1
            self.log.append(at)
            self.set.add(at)
            return super().__getitem__(at)

    with goldore.applied(index):
        data = Opened()
    assert (data.file, data.reads, data.log, data.set) == (None, 0, [], set())
    assert holds(data)


def test_views_of_one_dataset_without_labels(index):
    class Images(Dataset):
        def __init__(self):
            self.images = IMAGES

        __len__ = lambda self: len(self.images)  # noqa: E731
        __getitem__ = lambda self, at: self.images[at]  # noqa: E731

    class View(Dataset):
        def __init__(self, base, labels):
            self.base, self.labels = base, labels

        __len__ = lambda self: len(self.labels)  # noqa: E731
        __getitem__ = lambda self, at: (self.base[at], self.labels[at])  # noqa: E731

    with goldore.applied(index):
        base = Images()
        other, view, again = View(base, LABELS[::-1]), View(base, LABELS), View(base, LABELS)
    assert holds(view)
    assert holds(again)
    assert len(other) == len(other.base) == COUNT


def test_what_cannot_be_counted_and_classes_of_other_kinds_are_left_alone(index):
    class Odd(Dataset):
        def __init__(self, values):
            self.values = values

        __len__ = lambda self: len(self.values)  # noqa: E731

    class Listed(Dataset, list):
        pass

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

    class Plain(Dataset):
        pass

    class Both(Plain, Module):
        pass

    class Child(Arrays):
        pass

    class Middle(Arrays):
        def __init__(self):
            super().__init__()
            self.more = 1

    class Joined(Child, Middle):
        pass

    objects = np.empty(2, dtype=object)
    objects[:] = [[1], [2]]
    with goldore.applied(index):
        for values in (objects, [0, [1, 2]], [{"a": 1}, {"a": [2]}], torch.empty(3, device="meta")):
            Odd(values)
        assert Listed() == []
        Plain(), Child()
        assert isinstance(Both().layer, torch.nn.Linear)
        assert Joined().more == 1


def test_a_list_that_a_loader_is_given(index):
    with goldore.applied(index):
        loader = DataLoader(list(zip(IMAGES, LABELS.tolist(), strict=True)))
    assert [int(label) for _, label in loader] == LABELS[KEPT].tolist()


def test_saved_positions_cannot_be_cut(index, tmp_path):
    content = {"images": IMAGES, "labels": torch.tensor(LABELS), "order": torch.randperm(COUNT)}
    torch.save(content, tmp_path / "data.pt")
    assert is_refused(
        index, lambda: torch.load(tmp_path / "data.pt"), "there is a permutation of their positions"
    )


def test_nobody_who_looks_at_a_class_sees_the_difference(index):
    class Plain(Dataset):
        def __init__(self, folder, *, train=True):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            self.folder, self.train = folder, train

    made, signature = Plain.__init__, inspect.getfullargspec(Plain.__init__)

    def look():
        with pytest.warns(DeprecationWarning, match="old"):
            Plain("x", train=False)
        with pytest.raises(TypeError, match="folder"):
            Plain()
        assert Plain.__init__ is made
        assert inspect.getfullargspec(Plain.__init__) == signature
        Arrays(IMAGES[:3], LABELS[:3])
        assert pickle.loads(pickle.dumps(vars(Arrays)["__init__"])) is Arrays.__init__  # noqa: S301
        assert len(pickle.loads(pickle.dumps(Arrays(IMAGES[:3], LABELS[:3])))) == 3  # noqa: S301

    assert is_refused(index, look, "nothing that the program read has the labels")


def test_classes_of_every_make_are_built_as_ever(index):
    class Abstract(Dataset, ABC):
        @abstractmethod
        def read(self): ...

    class Bare(Dataset):
        pass

    class Meta(type):
        pass

    class Other(Dataset, metaclass=Meta):
        def __init__(self, dataset, *args, **fields):
            self.all = dataset, args, fields

    class Round(Arrays):
        def __init__(self):
            super().__init__(IMAGES[:5], LABELS[:5])
            self.dataset = self

    with goldore.applied(index):
        Arrays()
        with pytest.raises(TypeError, match="abstract"):
            Abstract()
        Bare()
        with pytest.raises(TypeError):
            Bare(1)
        assert Other(dataset=1, kind=2, method=3).all == (1, (), {"kind": 2, "method": 3})
        DataLoader(Round())


def test_closing_in_another_order_and_names_that_were_imported_inside(index, mnist, tmp_path):
    folder, _, keep, other = mnist
    torch.save((IMAGES, torch.tensor(LABELS)), tmp_path / "data.pt")
    first, second = goldore.applied(index), goldore.applied(other)
    first.__enter__()
    second.__enter__()
    from torch import load

    assert holds(Arrays())
    assert len(MNIST(folder)) == len(keep)
    first.__exit__(None, None, None)
    assert len(Arrays()) == COUNT
    assert len(MNIST(folder)) == len(keep)
    second.__exit__(None, None, None)
    assert len(load(tmp_path / "data.pt")[0]) == COUNT
    assert len(MNIST(folder)) == 200
