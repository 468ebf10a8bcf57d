"""goldore verify of index files, and goldore shards."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def test_an_index_is_checked_against_its_score_file_and_datasets(goldore, score_file, tmp_path):
    options = ("--criterion", "LossInit_large", "--keep-per-class", 2, "--out", "keep.npy")
    assert goldore("prune", score_file, *options).returncode == 0
    done = goldore("verify", "keep.npy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("keep.npy: keeps 6 of the ")
    assert "by its images and labels" in " ".join(done.stdout.split())
    assert done.stdout.count("2 kept") == 3
    other = goldore("verify", "keep.npy", "--dataset", "FashionMNIST-sample")
    assert other.returncode == 1
    assert "keep.npy is about the" in other.stderr
    np.save(tmp_path / "bare.npy", np.array([1, 2, 5]))
    bare = goldore("verify", "bare.npy")
    assert bare.returncode == 2
    assert "say with --dataset what it is about" in bare.stderr
    known = goldore("verify", "bare.npy", "--dataset", "FashionMNIST-sample")
    assert known.returncode == 0
    assert "as far as can be told" in " ".join(known.stdout.split())
    assert goldore("verify", score_file, "--dataset", "FashionMNIST-sample").returncode == 2


def test_shards_are_cut_from_the_command_line(goldore, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for at in range(5):
            info = tarfile.TarInfo(f"{at}.jpg")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    np.save(tmp_path / "keep.npy", np.array([1, 4]))
    done = goldore("shards", "keep.npy", "a.tar", "--out", "new")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 shard written to new\n"
    with tarfile.open(tmp_path / "new" / "kept-000000.tar") as tar:
        assert tar.getnames() == ["1.jpg", "4.jpg"]
    again = goldore("shards", "keep.npy", "a.tar", "--out", "new")
    assert again.returncode == 2
    assert "use --overwrite" in again.stderr


@pytest.fixture
def photos(goldore_here, tmp_path, monkeypatch):
    """Photographs of many sizes, scored at 8 pixels, and some that are kept."""
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        folder = tmp_path / "my photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        colours = np.random.default_rng(number).integers(0, 256, (4, 5, 3)).astype(np.uint8)
        Image.fromarray(colours).resize((16 + number, 14)).save(folder / f"{number:02}.png")
    options = ("--image-size", 8, "--width", 4, "--depth", 1, "--epochs", 1, "--trials", 1)
    assert goldore_here("score", "my photos", *options, "--out", "s.h5").exit_code == 0
    how = ("--criterion", "LossConverge_large", "--keep-ratio", "0.5", "--out", "keep it.npy")
    done = goldore_here("prune", "s.h5", *how)
    assert done.exit_code == 0
    assert done.stdout.endswith("\nnext: goldore run 'keep it.npy' -- python YOUR_TRAINING.py\n")
    return "my photos"


def test_photographs_are_read_at_the_size_they_were_scored_at(goldore_here, photos):
    done = goldore_here("verify", "keep it.npy", "--dataset", photos)
    assert done.exit_code == 0, done.output
    assert "by its images and labels" in " ".join(done.stdout.split())
    assert goldore_here("verify", "keep it.npy", "--dataset", photos, "--image-size", 8).exit_code == 0
    other = goldore_here("verify", "keep it.npy", "--dataset", photos, "--image-size", 9)
    assert other.exit_code == 1
    refused = goldore_here("verify", "s.h5", "--image-size", 8)
    assert (refused.exit_code, refused.stderr) == (
        2,
        "error: --image-size is about index files; leave it out.\n",
    )
    Path("s.h5").rename("moved.h5")
    assert "made from is not here" in " ".join(goldore_here("verify", "keep it.npy").stderr.split())


def test_they_are_mapped_at_that_size_too(goldore_here, photos, tmp_path):
    (tmp_path / "my photos" / "cat" / "00.png").rename(tmp_path / "my photos" / "cat" / "zz.png")
    done = goldore_here("map-index", "keep it.npy", "--to", photos, "--out", "there.npy")
    assert done.exit_code == 0, done.output
    assert "6 of 6 kept samples found" in " ".join(done.stdout.split())


def test_an_index_file_is_shown_in_rounded_numbers(goldore_here, score_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--criterion", "LossInit_large", "--keep-ratio", "0.2", "--out", "keep.npy")
    assert goldore_here("prune", score_file, *words).exit_code == 0
    shown = {
        line.split("  ")[1]: line.split("  ")[-1].strip()
        for line in goldore_here("inspect", "keep.npy").stdout.splitlines()
        if line.startswith("  ")
    }
    assert shown["how much"] == "a share of 0.2 is kept"
    assert re.fullmatch(r"<0|[01]\.\d\d", shown["reliability"])
    assert re.fullmatch(r"\d+%", shown["halves agree"])
