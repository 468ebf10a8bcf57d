import gzip
import struct
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from goldore.errors import DatasetError


@pytest.fixture
def refused():
    """A block that must fail with exactly this kind of error, in one sentence that holds the parts."""

    @contextmanager
    def check(*parts, kind=DatasetError):
        with pytest.raises(Exception) as caught:
            yield
        assert type(caught.value) is kind, repr(caught.value)
        message = str(caught.value)
        assert "\n" not in message
        assert message[-1] in ".?"
        for part in parts:
            assert str(part) in message

    return check


@pytest.fixture
def make_arrays():
    """Random images [N, C, H, W] and labels in which every class occurs, not sorted by class."""

    def make(samples=20, shape=(1, 5, 6), classes=10, seed=0):
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (samples, *shape), dtype=np.uint8)
        labels = rng.permutation(np.arange(samples) % classes)
        return images, labels

    return make


@pytest.fixture
def write_idx():
    """Write IDX files of [N, H, W] images and labels; returns the two paths."""

    def write(folder, images, labels, split="train", *, dotted=False, packed=False):
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for kind, axes, array in (("images", 3, images), ("labels", 1, labels)):
            name = f"{split}-{kind}{'.' if dotted else '-'}idx{axes}-ubyte{'.gz' if packed else ''}"
            header = struct.pack(f">4B{axes}I", 0, 0, 8, axes, *array.shape)
            content = header + array.astype(np.uint8).tobytes()
            (folder / name).write_bytes(gzip.compress(content) if packed else content)
            paths.append(folder / name)
        return paths

    return write


@pytest.fixture
def write_images():
    """Write random images, one folder a class; the contents name the files of each class."""

    def write(folder, contents, size=(6, 5), seed=0):
        rng = np.random.default_rng(seed)
        for label, files in contents.items():
            (folder / label).mkdir(parents=True, exist_ok=True)
            for file in files:
                pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / label / file)

    return write


@pytest.fixture
def assert_same_items():
    """Compare images [N, C, H, W] and labels with the items of a torchvision dataset, in its order."""

    def check(images, labels, reference):
        assert labels.tolist() == [int(reference[position][1]) for position in range(len(reference))]
        pixels = np.stack([np.asarray(reference[position][0]) for position in range(len(reference))])
        if pixels.ndim == 3:
            pixels = pixels[..., None]
        np.testing.assert_array_equal(images.transpose(0, 2, 3, 1), pixels)

    return check
