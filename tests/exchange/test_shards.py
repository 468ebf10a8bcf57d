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
