"""goldore verify of index files, and goldore shards."""

import io
import tarfile

import numpy as np


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
