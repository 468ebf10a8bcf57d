"""The dataset of a score file is read again with all that was said when it was scored."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

import goldore
from goldore.runs.source import dataset_of

RECIPE = goldore.LossRecipe(epochs=1, network=goldore.ConvNetConfig(depth=1, width=4))
RNG = np.random.default_rng(0)


def png():
    stream = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def tree(folder):
    for name in ("ant", "bee", "cow"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            (folder / name / f"{number}.png").write_bytes(png())
    return folder, {"image_size": 8, "classes": ["cow", "ant"]}


def arrays(folder):
    folder.mkdir()
    images = RNG.integers(0, 256, (6, 3, 8, 3), dtype=np.uint8)
    np.savez(folder / "a.npz", x_train=images, y_train=[0, 1] * 3)
    return folder / "a.npz", {"channels": "first"}


def shards(folder):
    folder.mkdir()
    for shard in range(2):
        with tarfile.open(folder / f"w-{shard}.tar", "w") as tar:
            for number in range(4):
                for name, content in (("png", png()), ("cls", b"%d" % (number % 2))):
                    member = tarfile.TarInfo(f"{shard}{number}.{name}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return folder / "w-{0..1}.tar", {"image_size": 8}


def parquet(folder):
    datasets = pytest.importorskip("datasets")
    folder.mkdir()
    rows = {"image": [{"bytes": png(), "path": None} for _ in range(4)], "label": [0, 1] * 2}
    datasets.Dataset.from_dict(rows).to_parquet(folder / "train.parquet")
    return folder, {"image_size": 8}


@pytest.mark.parametrize("make", [tree, arrays, shards, parquet])
def test_a_dataset_is_found_again(tmp_path, make):
    source, options = make(tmp_path / "data")
    dataset = goldore.load_dataset(str(source), name="made", **options)
    file = goldore.score(dataset, out=tmp_path / "made.h5", trials=1, recipe=RECIPE, device="cpu")
    assert dataset_of(goldore.load_scores(file.path)).fingerprint == dataset.fingerprint
    assert dataset_of(file, str(source)).fingerprint == dataset.fingerprint
