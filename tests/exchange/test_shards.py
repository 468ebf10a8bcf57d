"""WebDataset shards of kept samples, read again by webdataset's own library."""

import io
import tarfile

import numpy as np
import pytest

import goldore
from goldore.datasets.classes import labels_digest
from goldore.errors import DatasetError, IndexFileError, UsageError
from goldore.selection.index_file import save_index

LABELS = np.random.default_rng(0).integers(0, 3, 25)
KEPT = np.array([0, 3, 4, 9, 10, 11, 17, 24])
ABOUT = {"dataset": "made", "num_samples": 25, "labels_sha256": labels_digest(LABELS)}


def write(path, positions, classes=True):
    with tarfile.open(path, "w") as tar:
        for at in positions:
            files = {"jpg": f"image {at}".encode(), "json": b"{}"} | (
                {"cls": str(LABELS[at]).encode()} if classes else {}
            )
            for suffix, content in files.items():
                info = tarfile.TarInfo(f"train/n.{at // 5}/s{at:03d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def sources(tmp_path):
    paths = [tmp_path / f"a-{place}.tar" for place in range(3)]
    for path, positions in zip(paths, np.split(np.arange(25), [10, 19]), strict=True):
        write(path, positions)
    return paths


@pytest.fixture
def keep(tmp_path):
    return save_index(tmp_path / "keep.npy", KEPT, ABOUT)


@pytest.mark.parametrize(("per_shard", "sizes"), [(3, [3, 3, 2]), (8, [8]), (100, [8]), (1, [1] * 8)])
def test_new_shards_hold_the_kept_samples_in_order(sources, keep, tmp_path, per_shard, sizes):
    wds = pytest.importorskip("webdataset")
    written = goldore.shards(keep, sources, tmp_path / "out", per_shard=per_shard)
    assert [path.name for path in written] == [f"kept-{place:06d}.tar" for place in range(len(sizes))]
    read = [list(wds.WebDataset(str(path), shardshuffle=False)) for path in written]
    assert [len(each) for each in read] == sizes
    samples = [sample for each in read for sample in each]
    assert [sample["jpg"] for sample in samples] == [f"image {at}".encode() for at in KEPT]
    assert [int(sample["cls"]) for sample in samples] == LABELS[KEPT].tolist()
    before = list(wds.WebDataset([str(each) for each in sources], shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [before[at]["__key__"] for at in KEPT]


def test_shards_of_another_dataset_are_refused_and_nothing_is_left(sources, keep, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(IndexFileError, match="about the 25 samples of made, and here are 19"):
        goldore.shards(keep, sources[:2], out, per_shard=2)
    with pytest.raises(IndexFileError, match="the labels here are not those of made"):
        goldore.shards(keep, sources[::-1], out, per_shard=2)
    (tmp_path / "bad.tar").write_bytes(b"no tar")
    with pytest.raises(DatasetError, match=r"bad.tar cannot be read as a tar file"):
        goldore.shards(keep, [*sources, tmp_path / "bad.tar"], out)
    with pytest.raises(UsageError, match="there are no shards"):
        goldore.shards(keep, [], out)
    with pytest.raises(UsageError, match="`per_shard` is 0"):
        goldore.shards(keep, sources, out, per_shard=0)
    assert list(out.glob("*")) == []


def test_without_classes_the_number_is_checked(tmp_path, keep):
    write(tmp_path / "plain.tar", range(25), classes=False)
    (written,) = goldore.shards(keep, [tmp_path / "plain.tar"], tmp_path / "out")
    with tarfile.open(written) as tar:
        assert len(tar.getnames()) == 16


def test_existing_ones_are_replaced_only_if_asked_for(sources, keep, tmp_path):
    out = tmp_path / "out"
    assert len(goldore.shards(keep, sources, out, per_shard=2)) == 4
    with pytest.raises(UsageError, match="exists already"):
        goldore.shards(keep, sources, out)
    assert len(goldore.shards(keep, sources, out, overwrite=True)) == 1
    assert len(list(out.glob("*.tar"))) == 1


class TestTraps:
    """Shards as other programs and machines write them."""

    @pytest.fixture
    def make(self, tmp_path):
        def make(name, members, mode="w"):
            with tarfile.open(tmp_path / name, mode) as tar:
                for path, content in members:
                    member = tarfile.TarInfo(path)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
            return tmp_path / name

        return make

    @staticmethod
    def samples(count=10, label=lambda number: str(number % 2), ending="cls"):
        return [
            part
            for number in range(count)
            for part in (
                (f"{number:04}.jpg", b"%d" % number),
                (f"{number:04}.{ending}", label(number).encode()),
            )
        ]

    @staticmethod
    def index(path, positions):
        np.save(path, np.array(positions))
        return path

    @staticmethod
    def contents(path):
        with tarfile.open(path) as tar:
            return {member.name: tar.extractfile(member).read() for member in tar}

    def test_sources_are_never_replaced(self, make, tmp_path):
        (tmp_path / "out").mkdir()
        source = make("out/kept-000000.tar", self.samples())
        before = source.read_bytes()
        with pytest.raises(UsageError, match="is one of the sources"):
            goldore.shards(self.index(tmp_path / "k.npy", [1]), [source], tmp_path / "out", overwrite=True)
        assert source.read_bytes() == before

    def test_files_of_others_stay(self, make, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "kept-my-old-data.tar").write_bytes(b"mine")
        goldore.shards(
            self.index(tmp_path / "k.npy", [1]),
            [make("a.tar", self.samples())],
            tmp_path / "out",
            overwrite=True,
        )
        assert (tmp_path / "out" / "kept-my-old-data.tar").read_bytes() == b"mine"

    def test_keys_that_repeat_from_shard_to_shard_stay_apart(self, make, tmp_path):
        sources = [make("a.tar", self.samples()), make("b.tar", self.samples())]
        (written,) = goldore.shards(self.index(tmp_path / "k.npy", [3, 13]), sources, tmp_path / "out")
        assert self.contents(written).keys() == {"0003.jpg", "0003.cls", "0003-13.jpg", "0003-13.cls"}

    @pytest.mark.parametrize("extra", ["README", "./.DS_Store", "._0000.jpg", "folder/.hidden.jpg"])
    def test_members_that_webdataset_passes_over_are_no_samples(self, make, tmp_path, extra):
        source = make("a.tar", [(extra, b"x"), *self.samples()])
        (written,) = goldore.shards(self.index(tmp_path / "k.npy", [3]), [source], tmp_path / "out")
        assert self.contents(written)["0003.jpg"] == b"3"

    @pytest.mark.parametrize("ending", ["CLS", "Cls"])
    def test_the_ending_of_labels_has_any_case(self, make, tmp_path, ending, recwarn):
        source = make("a.tar", self.samples(ending=ending))
        goldore.shards(self.index(tmp_path / "k.npy", [3]), [source], tmp_path / "out")
        assert not recwarn.list

    @pytest.mark.parametrize("label", ["", "-1", "9" * 5000, "cat"])
    def test_it_is_said_that_labels_were_not_compared(self, make, tmp_path, label):
        source = make("a.tar", self.samples(label=lambda number: label if number == 4 else "0"))
        with pytest.warns(UserWarning, match="1 samples have no .cls file with a number"):
            goldore.shards(self.index(tmp_path / "k.npy", [3]), [source], tmp_path / "out")

    def test_another_file_that_ends_alike_is_no_label(self, make, tmp_path, recwarn):
        members = [(f"{number:04}.coarse.cls", b"cat") for number in range(10)]
        source = make("a.tar", sorted([*members, *self.samples()]))
        goldore.shards(self.index(tmp_path / "k.npy", [3]), [source], tmp_path / "out")
        assert not recwarn.list

    @pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w"])
    @pytest.mark.parametrize("damage", ["cut", "flip"])
    def test_damaged_shards_are_refused_and_nothing_is_left(self, make, tmp_path, mode, damage):
        content = [(f"{number:04}.jpg", np.random.default_rng(number).bytes(3000)) for number in range(30)]
        source = make("a.tar", content, mode)
        data = bytearray(source.read_bytes())
        if damage == "cut":
            data = data[: len(data) // 2 + 100]
        else:
            place = 3584 * 15 + 50 if mode == "w" else len(data) // 2  # within a header
            data[place] ^= 0xFF
        source.write_bytes(data)
        with pytest.raises(DatasetError, match=r"a\.tar cannot be read as a tar file"):
            goldore.shards(self.index(tmp_path / "k.npy", [3]), [source], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_an_out_that_is_a_file_is_refused(self, make, tmp_path):
        index, source = self.index(tmp_path / "k.npy", [3]), make("a.tar", self.samples())
        with pytest.raises(UsageError, match="is a file"):
            goldore.shards(index, [source], index)
