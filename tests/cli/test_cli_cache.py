"""goldore cache: what is kept, whether it is intact, and out with it."""

import numpy as np
import pytest
from PIL import Image

from goldore.datasets import load_dataset


@pytest.fixture
def kept(tmp_path):
    """A cache with one entry, of four images."""
    for label in "ab":
        folder = tmp_path / "tree" / label
        folder.mkdir(parents=True)
        for each in range(2):
            Image.fromarray(np.full((4, 4, 3), 40 * each, np.uint8)).save(folder / f"{each}.png")
    load_dataset(str(tmp_path / "tree"), cache=tmp_path / "c")
    (entry,) = (tmp_path / "c").iterdir()
    return entry


def test_entries_are_listed_verified_and_removed(kept, goldore, tmp_path):
    asked = ("cache", "--cache", str(tmp_path / "c"))
    listed = goldore(*asked)
    assert kept.name in listed.stdout
    assert "3x4x4" in listed.stdout
    assert goldore(*asked, "--verify").stdout == f"{kept.name}: intact\n"
    content = bytearray((kept / "images.npy").read_bytes())
    content[-1] ^= 1
    (kept / "images.npy").write_bytes(bytes(content))
    damaged = goldore(*asked, "--verify")
    assert damaged.returncode == 1
    assert f"goldore cache --clear {kept.name}" in " ".join(damaged.stderr.split())
    assert f"{kept.name} removed" in goldore(*asked, "--clear", kept.name).stdout
    assert not kept.exists()
    assert "holds no decoded images" in goldore(*asked).stdout


def test_an_unknown_name_and_two_wishes_are_refused(kept, goldore, tmp_path):
    asked = ("cache", "--cache", str(tmp_path / "c"))
    assert "goldore cache lists" in goldore(*asked, "--clear", "nothing").stderr
    assert "exclude each other" in goldore(*asked, "--clear", "--verify").stderr
    assert kept.exists()
