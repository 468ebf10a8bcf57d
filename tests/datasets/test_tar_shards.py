import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from goldore.datasets import load_dataset

pytest.importorskip("webdataset")
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
    with refused(tmp_path / "s.tar", "cannot be read as WebDataset shards"):
        load_dataset(str(tmp_path / "s.tar"))
