import gzip
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from goldore.datasets import load_dataset

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def write_shards(tmp_path):
    """Write shards of three samples each, labelled by the extension's content; returns their pattern."""

    def write(labels, extension="cls", picture="png"):
        for shard in range(2):
            with tarfile.open(tmp_path / f"s-{shard:03}.tar", "w") as tar:
                for number in range(3 * shard, 3 * shard + 3):
                    image = io.BytesIO()
                    Image.fromarray(PIXELS[number]).save(image, "PNG")
                    for name, content in (
                        (picture, image.getvalue()),
                        (extension, str(labels[number]).encode()),
                    ):
                        member = tarfile.TarInfo(f"{number:04}.{name}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
        return f"{tmp_path}/s-{{000..001}}.tar"

    return write


@pytest.mark.parametrize(
    ("labels", "names"), [([0, 1, 0, 1, 1, 0], ("0", "1")), (["a", "b", "a", "b", "b", "a"], ("a", "b"))]
)
def test_samples_come_in_the_order_of_the_shards(write_shards, labels, names):
    dataset = load_dataset(write_shards(labels))
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), PIXELS)
    assert [names[label] for label in dataset.labels] == [str(label) for label in labels]
    assert dataset.class_names == names
    assert dataset.origin.kind == "shards"


def test_one_shard(write_shards):
    dataset = load_dataset(write_shards([0, 1] * 3).replace("{000..001}", "001"))
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), PIXELS[3:])


def test_positions_are_those_of_goldore_shards(write_shards, tmp_path):
    import goldore

    pattern = write_shards([0, 1] * 3)
    np.save(tmp_path / "keep.npy", np.array([1, 4]))
    shards = [pattern.replace("{000..001}", number) for number in ("000", "001")]
    written = goldore.shards(tmp_path / "keep.npy", shards, tmp_path / "kept")
    kept = load_dataset(str(written[0]))
    np.testing.assert_array_equal(kept.images.transpose(0, 2, 3, 1), PIXELS[[1, 4]])


def test_a_missing_shard_is_named(write_shards, tmp_path, refused):
    pattern = write_shards([0, 1] * 3)
    with refused("no shard", "s-002.tar"):
        load_dataset(pattern.replace("001}", "002}"))


@pytest.mark.parametrize(
    ("options", "part"), [({"extension": "json"}, "png, json"), ({"picture": "bin"}, "bin, cls")]
)
def test_samples_without_picture_or_label_are_refused(write_shards, refused, options, part):
    with refused("sample 0000 of", part, "must have a picture and a label"):
        load_dataset(write_shards([0, 1] * 3, **options))


def test_a_damaged_shard_is_refused(tmp_path, refused):
    (tmp_path / "s.tar").write_bytes(b"no tar file" * 100)
    with refused(tmp_path / "s.tar", "cannot be read as a tar file"):
        load_dataset(str(tmp_path / "s.tar"))


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda data, header: data[:header], "its end is missing"),
        (lambda data, header: data[: header + 700], "cannot be read as a tar file"),
        (lambda data, header: data[: header + 50] + b"?" + data[header + 51 :], "damaged header"),
    ],
    ids=["cut between files", "cut in a file", "header"],
)
def test_a_shard_that_was_cut_short_is_refused(write_shards, tmp_path, refused, damage, part):
    pattern, second = write_shards([0, 1] * 3), tmp_path / "s-001.tar"
    with tarfile.open(second) as tar:
        header = tar.getmember("0004.png").offset
    second.write_bytes(damage(second.read_bytes(), header))
    with refused(second, part):
        load_dataset(pattern)


def test_packed_shards_are_read(write_shards, tmp_path):
    pattern = write_shards([0, 1] * 3)
    for shard in tmp_path.glob("*.tar"):
        shard.write_bytes(gzip.compress(shard.read_bytes()))
    np.testing.assert_array_equal(load_dataset(pattern).images.transpose(0, 2, 3, 1), PIXELS)


def test_a_picture_without_a_dot_in_its_ending_goes_first(write_shards, tmp_path, refused):
    pattern = write_shards([0, 1] * 3)
    for shard in tmp_path.glob("*.tar"):
        add(shard, lambda name: [(f"{name}.depth.png", PIXELS[0] // 2), (f"{name}.txt", b"caption")])
    dataset = load_dataset(pattern)
    np.testing.assert_array_equal(dataset.images.transpose(0, 2, 3, 1), PIXELS)
    assert dataset.class_names == ("0", "1")
    assert dataset.reading.passed_over == ((".depth.png file of a sample", 6), (".txt file of a sample", 6))
    add(tmp_path / "s-000.tar", lambda name: [(f"{name}.bmp", PIXELS[0])])
    with refused("sample 0000", "has the pictures bmp and png"):
        load_dataset(pattern)


def add(shard, extra):
    """Write a shard again with more files before those of each sample."""
    with tarfile.open(shard) as tar:
        files = [(member.name, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(shard, "w") as tar:
        for name, content in files:
            more = extra(name.partition(".")[0]) if name.endswith("png") and "depth" not in name else []
            for each, made in [*more, (name, content)]:
                image = io.BytesIO()
                if not isinstance(made, bytes):
                    Image.fromarray(made).save(image, each.rpartition(".")[2])
                data = image.getvalue() or made
                member = tarfile.TarInfo(each)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def test_texts_are_labels_where_there_is_no_other(write_shards):
    dataset = load_dataset(write_shards(list("abcabc"), extension="txt"))
    assert dataset.class_names == ("a", "b", "c")
    assert "the labels are those of .txt files, since there is no .cls" in dataset.reading.notes
