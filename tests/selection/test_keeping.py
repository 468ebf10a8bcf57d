"""subset and keep_mask against plain Python."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

import goldore
from goldore.datasets.classes import labels_digest
from goldore.errors import IndexFileError
from goldore.selection.index_file import SUFFIXES, save_index

LABELS = np.random.default_rng(0).integers(0, 3, 50)
KEPT = np.flatnonzero(np.random.default_rng(1).random(50) < 0.3)
ABOUT = {"dataset": "made", "num_samples": 50, "labels_sha256": labels_digest(LABELS)}


class Numbers(Dataset):
    """Each item is its position and its label; the labels stand in an attribute of this name."""

    def __init__(self, labels=LABELS, name=None):
        self.all = list(map(int, labels))
        if name is not None:
            setattr(self, name, labels)

    def __len__(self):
        return len(self.all)

    def __getitem__(self, position):
        return position, self.all[position]


@pytest.fixture(params=SUFFIXES)
def index_file(request, tmp_path):
    return save_index(tmp_path / f"keep{request.param}", KEPT, ABOUT)


@pytest.fixture
def npy(tmp_path):
    return save_index(tmp_path / "keep.npy", KEPT, ABOUT)


def test_a_subset_holds_the_kept_items_in_their_order(index_file):
    kept = goldore.subset(Numbers(name="targets"), index_file)
    assert list(kept) == [(position, int(LABELS[position])) for position in KEPT.tolist()]
    assert isinstance(kept, torch.utils.data.Subset)
    assert all(type(position) is int for position in kept.indices)


def test_a_mask_is_true_where_a_sample_is_kept(index_file):
    mask = goldore.keep_mask(index_file, labels=LABELS)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [position in set(KEPT.tolist()) for position in range(50)]
    assert goldore.keep_mask(index_file).tolist() == mask.tolist()
    assert goldore.keep_mask(index_file, 50).tolist() == mask.tolist()


def test_a_mask_picks_what_positions_pick(npy):
    images = np.random.default_rng(2).random((50, 2, 2))
    assert np.array_equal(images[goldore.keep_mask(npy)], images[np.load(npy)])


@pytest.mark.parametrize("name", ["targets", "labels"])
@pytest.mark.parametrize("kind", [list, np.asarray, torch.tensor])
def test_labels_of_any_kind_are_compared(npy, name, kind):
    assert len(goldore.subset(Numbers(kind(LABELS.tolist()), name), npy)) == len(KEPT)
    with pytest.raises(IndexFileError, match=r"not those of made.*map-index"):
        goldore.subset(Numbers(kind(LABELS[::-1].tolist()), name), npy)


def test_labels_that_are_numbered_in_another_way_are_the_same(npy):
    renumbered = np.array([7, 0, 3])[LABELS]
    assert goldore.keep_mask(npy, labels=renumbered).sum() == len(KEPT)
    assert len(goldore.subset(Numbers(renumbered, "targets"), npy)) == len(KEPT)


@pytest.mark.parametrize("length", [49, 51])
def test_another_number_of_samples_is_refused(npy, length):
    sentence = f"about the 50 samples of made, and here are {length}"
    with pytest.raises(IndexFileError, match=sentence):
        goldore.subset(TensorDataset(torch.zeros(length)), npy)
    with pytest.raises(IndexFileError, match=sentence):
        goldore.keep_mask(npy, length)
    with pytest.raises(IndexFileError, match=sentence):
        goldore.keep_mask(npy, labels=np.zeros(length, dtype=np.int64))


def test_other_labels_are_refused(npy):
    with pytest.raises(IndexFileError, match="not those of made"):
        goldore.keep_mask(npy, labels=np.roll(LABELS, 1))


def test_labels_and_number_must_agree(npy):
    with pytest.raises(IndexFileError, match="there are 50 labels and num_samples is 40"):
        goldore.keep_mask(npy, 40, LABELS)


class TestWithoutProvenance:
    @pytest.fixture
    def bare(self, tmp_path):
        np.save(tmp_path / "bare.npy", np.array([0, 3, 9]))
        return tmp_path / "bare.npy"

    def test_the_number_of_samples_must_be_given(self, bare):
        with pytest.raises(IndexFileError, match="give num_samples"):
            goldore.keep_mask(bare)
        assert np.flatnonzero(goldore.keep_mask(bare, 12)).tolist() == [0, 3, 9]

    def test_a_position_out_of_range_is_refused(self, bare):
        assert goldore.keep_mask(bare, 10).tolist()[-1] is True
        with pytest.raises(IndexFileError, match="keeps position 9, and here are 9 samples"):
            goldore.keep_mask(bare, 9)
        with pytest.raises(IndexFileError, match="keeps position 9, and here are 9 samples"):
            goldore.subset(TensorDataset(torch.zeros(9)), bare)

    def test_labels_go_unchecked(self, bare):
        kept = goldore.subset(Numbers(LABELS[:12], "targets"), bare)
        assert [position for position, _ in kept] == [0, 3, 9]


def test_an_index_of_a_selection_fits_its_data_set(dataset, tmp_path):
    recipe = goldore.LossRecipe(network=goldore.ConvNetConfig(depth=1, width=4), epochs=1)
    scores = goldore.score(dataset, trials=1, recipe=recipe, out=tmp_path / "s.h5", device="cpu")
    path = goldore.prune(scores, "Random", keep_per_class=4).save(tmp_path / "keep.npy")
    kept = goldore.keep_mask(path, labels=dataset.labels)
    assert np.bincount(dataset.labels[kept]).tolist() == [4, 4, 4]
    with pytest.raises(IndexFileError, match="not those of corners"):
        goldore.keep_mask(path, labels=np.sort(dataset.labels))


def test_a_table_of_hugging_face_is_selected(npy):
    datasets = pytest.importorskip("datasets")
    for column in ("label", "fine_label"):
        whole = datasets.Dataset.from_dict({"place": list(range(50)), column: LABELS.tolist()})
        kept = goldore.subset(whole, npy)
        assert kept["place"] == KEPT.tolist() or list(kept["place"]) == KEPT.tolist()
    with pytest.raises(IndexFileError, match="the labels here are not those of made"):
        goldore.subset(datasets.Dataset.from_dict({"label": LABELS[::-1].tolist()}), npy)
    with pytest.raises(IndexFileError, match="and here are 3;"):
        goldore.subset(datasets.Dataset.from_dict({"label": [0, 1, 2]}), npy)


def test_a_sampler_draws_the_kept_samples_of_the_whole_dataset(npy):
    drawn = goldore.sampler(Numbers(name="targets"), npy, generator=torch.Generator().manual_seed(0))
    loader = torch.utils.data.DataLoader(Numbers(name="targets"), batch_size=4, sampler=drawn)
    seen = [int(each) for batch, _ in loader for each in batch]
    assert sorted(seen) == KEPT.tolist() != seen
    with pytest.raises(IndexFileError, match="labels here are not those"):
        goldore.sampler(Numbers(labels=LABELS[::-1], name="targets"), npy)


def test_whether_an_index_belongs_to_data_is_said_with_its_classes(tmp_path):
    kept = np.bincount(LABELS[KEPT], minlength=3)
    path = save_index(tmp_path / "keep.npy", KEPT, {**ABOUT, "kept_per_class": kept.tolist()})
    assert goldore.check_index(path, LABELS).tolist() == kept.tolist()
    other = np.random.default_rng(5).permutation(LABELS)
    here = np.bincount(other[KEPT], minlength=3).tolist()
    with pytest.raises(IndexFileError) as refused:
        goldore.check_index(path, other)
    assert f"it would keep {here} samples, and it was made to keep {kept.tolist()}" in str(refused.value)
    with pytest.raises(goldore.UsageError, match="give integers"):
        goldore.check_index(path, LABELS.astype(float))


class TestWhatStandsForAnIndex:
    """A selection, an array, a mask and a path mean the same everywhere."""

    @pytest.fixture
    def selection(self, tmp_path):
        import goldore
        from tests.conftest import make_dataset

        file = goldore.score(
            make_dataset(counts=(6, 6)),
            trials=1,
            recipe=goldore.LossRecipe(epochs=1, network=goldore.ConvNetConfig(depth=1, width=4)),
            out=tmp_path / "s.h5",
            device="cpu",
        )
        return goldore.prune(file, "LossInit_large", keep_per_class=2)

    def test_all_forms_keep_the_same(self, selection, tmp_path):
        import goldore

        data = list(range(12))
        path = selection.save(tmp_path / "keep.npy")
        mask = np.zeros(12, bool)
        mask[selection.indices] = True
        for each in (selection, path, str(path), selection.indices, selection.indices[::-1].tolist(), mask):
            assert list(goldore.subset(data, each)) == selection.indices.tolist()
            assert sorted(goldore.sampler(data, each)) == selection.indices.tolist()
            assert np.array_equal(goldore.keep_mask(each, 12), mask)

    @pytest.mark.parametrize("wrong", [[], [1, 1], [-1, 2], [0.5], np.zeros((2, 2), int), np.zeros(12, bool)])
    def test_what_is_no_index_is_refused(self, wrong):
        import goldore

        with pytest.raises(goldore.GoldoreError):
            goldore.subset(list(range(12)), wrong)

    def test_a_mask_of_another_length_is_refused(self):
        import goldore

        with pytest.raises(goldore.GoldoreError, match="is about the 11 samples"):
            goldore.subset(list(range(12)), np.ones(11, bool))


class TestFolderTrees:
    """Positions in a folder tree mean files: they are compared."""

    @pytest.fixture
    def tree(self, tmp_path):
        from PIL import Image

        import goldore

        rng = np.random.default_rng(0)
        for label in ("a", "b"):
            (tmp_path / "data" / label).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.png")
        file = goldore.score(
            tmp_path / "data",
            trials=1,
            recipe=goldore.LossRecipe(epochs=1, network=goldore.ConvNetConfig(depth=1, width=4)),
            out=tmp_path / "s.h5",
            device="cpu",
        )
        return tmp_path / "data", goldore.prune(file, "LossInit_large", keep_per_class=2)

    def test_a_renamed_file_is_refused_by_name(self, tree):
        from torchvision.datasets import ImageFolder

        import goldore

        root, selection = tree
        assert len(goldore.subset(ImageFolder(root), selection)) == 4
        kept = selection.provenance["paths"][0]
        (root / kept).rename(root / "a" / "z.png")
        with pytest.raises(goldore.GoldoreError) as caught:
            goldore.subset(ImageFolder(root), selection)
        assert f"keeps {kept}, and a/" in str(caught.value)
        assert "stands in its place here" in str(caught.value)

    def test_a_renamed_file_that_is_not_kept_does_not_matter(self, tree):
        from torchvision.datasets import ImageFolder

        import goldore

        root, selection = tree
        last = max(int(path[2]) for path in selection.provenance["paths"] if path.startswith("b"))
        if last < 3:
            (root / "b" / "3.png").rename(root / "b" / "4.png")
        assert len(goldore.subset(ImageFolder(root), selection)) == 4


class TestLabelsOfAllKinds:
    """What is compared, whatever holds the labels."""

    LABELS = np.array([0, 0, 1, 2, 1, 2])

    @pytest.fixture
    def index(self, tmp_path):
        import json

        from goldore.datasets.classes import labels_digest

        np.save(tmp_path / "k.npy", np.array([1, 3]))
        about = {"format": "goldore-index", "dataset": "d", "num_samples": 6}
        about["labels_sha256"] = labels_digest(self.LABELS)
        (tmp_path / "k.npy.json").write_text(json.dumps(about))
        return tmp_path / "k.npy"

    @staticmethod
    def held(kind, labels):
        import torch

        class Items(list):
            pass

        names = np.array(["ant", "bee", "cow"])
        if kind == "tensors":
            return torch.utils.data.TensorDataset(torch.zeros(6, 1), torch.tensor(labels.copy()))
        if kind == "subset":
            inner = Items(range(6))
            inner.targets = list(labels[::-1])
            return torch.utils.data.Subset(inner, [5, 4, 3, 2, 1, 0])
        if kind == "huggingface":
            datasets = pytest.importorskip("datasets")
            features = datasets.Features({"x": datasets.Value("int64"), "kind": datasets.ClassLabel(3)})
            return datasets.Dataset.from_dict({"x": list(range(6)), "kind": list(labels)}, features)
        items = Items(range(6))
        values = {
            "texts": names[labels].tolist(),
            "floats": labels.astype(float),
            "one-hot": np.eye(3)[labels],
            "column": labels[:, None],
            "none, then labels": labels,
        }
        items.targets = values[kind]
        if kind == "none, then labels":
            items.targets, items.labels = None, values[kind]
        return items

    KINDS = ("tensors", "subset", "huggingface", "texts", "floats", "one-hot", "column", "none, then labels")

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_right_order_passes_and_another_is_refused(self, index, kind, recwarn):
        import goldore

        assert len(goldore.subset(self.held(kind, self.LABELS), index)) == 2
        assert not [each for each in recwarn.list if "compared" in str(each.message)]
        with pytest.raises(goldore.IndexFileError, match="the labels here are not those of d"):
            goldore.subset(self.held(kind, self.LABELS[::-1]), index)

    def test_it_is_said_where_nothing_can_be_compared(self, index):
        import goldore

        with pytest.warns(UserWarning, match="only the number of samples was compared"):
            goldore.subset(list(range(6)), index)
        index.with_name("k.npy.json").unlink()
        with pytest.warns(UserWarning, match="says nothing of its dataset"):
            goldore.subset(list(range(60)), index)

    def test_what_cannot_be_indexed_is_refused(self, index):
        import goldore

        class Stream:
            def __len__(self):
                return 6

            def __iter__(self):
                return iter(range(6))

        with pytest.raises(goldore.UsageError, match="cannot be indexed"):
            goldore.subset(Stream(), index)

    def test_negative_labels_are_refused(self, index):
        import goldore

        with pytest.raises(goldore.UsageError, match="0 or more"):
            goldore.check_index(index, self.LABELS - 1)
