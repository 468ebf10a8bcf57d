"""What is told before and after a run, and going on with a file without its recipe."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def here(tiny_npz, tiny_scores, tmp_path, monkeypatch):
    """The tiny dataset and a copy of its score file, in the working directory."""
    (tmp_path / "tiny.npz").write_bytes(tiny_npz.read_bytes())
    (tmp_path / "scores.h5").write_bytes(tiny_scores.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestDryRun:
    def test_it_tells_what_was_read_and_what_it_takes_and_writes_nothing(
        self, goldore, here, tiny_options, snapshot
    ):
        before = snapshot()
        done = goldore("score", "tiny.npz", *tiny_options, "--trials", "3", "--out", "new.h5", "--dry-run")
        assert done.returncode == 0, done.stderr
        assert snapshot() == before
        assert "dry run: nothing was trained, and nothing was written" in done.stdout
        told = " ".join(done.stderr.split())
        for part in (
            "tiny: 60 training images of 1x8x8, 3 classes",
            "train 60 images from x_train in tiny.npz: uint8; 8x8",
            "classes 3: left, middle, right; 20 images each",
            "3 trials of 2 epochs",
            "would take about",
            "GiB of memory",
        ):
            assert part in told

    @pytest.mark.parametrize("scores", ["MonteCarlo", "KernelUtility", "HeldOutLoss"])
    def test_other_kinds_of_trials(self, goldore, here, scores, snapshot):
        before = snapshot()
        command = ["score", "tiny.npz", "--width", "4", "--depth", "1", "--scores", scores, "--out", "new.h5"]
        extra = ["--subset-per-class", "2"] if scores == "MonteCarlo" else []
        done = goldore(*command, *extra, "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "would take about" in done.stderr
        assert snapshot() == before

    def test_of_a_file_that_is_complete(self, goldore, here, tiny_options):
        done = goldore("score", "tiny.npz", *tiny_options, "--trials", "2", "--out", "scores.h5", "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "nothing to do" in done.stderr
        assert "would take" not in done.stderr
        assert "the file holds" not in done.stderr
        fewer = goldore("extend", "scores.h5", "--trials", "1", "--dataset", "tiny.npz", "--dry-run")
        assert "nothing to do: all trials are there already; the file holds 2" in fewer.stderr


class TestWhatWasRead:
    def test_folders_are_told_with_what_was_passed_over(self, goldore, tmp_path):
        draw = np.random.default_rng(0)
        for split, name in (("Training", "cat"), ("Training", "dog"), ("valid", "cat")):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = draw.integers(0, 65536, (8, 8)).astype("u2")
                Image.fromarray(pixels).save(folder / f"{number}.png")
        (tmp_path / "pets" / "Training" / "cat" / "notes.txt").touch()
        (tmp_path / "pets" / "Training" / ".ipynb_checkpoints").mkdir()
        done = goldore("score", "pets", "--width", "4", "--depth", "1", "--epochs", "1", "--dry-run")
        assert done.returncode == 0, done.stderr
        told = " ".join(done.stderr.split())
        for part in (
            "train 6 images from Training/: .png; I;16; 8x8",
            "classes 2: cat, dog; 3 images each",
            "changed 6 images: 16 bits scaled to 8",
            "passed over 1 .txt file, 1 folder .ipynb_checkpoints",
            "note valid/ is not used: it has no image of class dog",
        ):
            assert part in told


class TestPreset:
    def test_the_bundled_sample_is_scored_quickly_and_that_is_said(self, goldore):
        done = goldore("score", "--dry-run", "--out", "s.h5")
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("preset quick: 3 trials of 10 epochs, width 32")
        assert "3 trials of 10 epochs" in done.stderr

    def test_more_trials_keep_it_and_extend_the_file(self, goldore):
        done = goldore("score", "--trials", "10", "--dry-run", "--out", "s.h5")
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("preset quick: 10 trials of 10 epochs, width 32")
        assert "\n10 trials of 10 epochs" in done.stderr

    @pytest.mark.parametrize(
        ("words", "trials"),
        [(["--preset", "standard"], "5 trials of 30 epochs"), (["--trials", "2"], "2 trials of 30 epochs")],
    )
    def test_who_says_something_gets_the_standard(self, goldore, words, trials):
        command = ["score", "--network", "convnet,width=4,depth=1", "--dry-run", "--out", "s.h5", *words]
        done = goldore(*command)
        assert done.returncode == 0, done.stderr
        assert trials in done.stderr
        assert "preset quick" not in done.stderr

    def test_an_unknown_one_is_refused(self, goldore):
        done = goldore("score", "--preset", "paper")
        assert done.returncode == 2
        assert done.stderr == "error: --preset is 'paper'; choose quick or standard.\n"


class TestExtend:
    def test_it_adds_trials_as_the_same_command_would(self, goldore, here, tiny_options, read_h5):
        done = goldore("extend", "scores.h5", "--trials", "3", "--dataset", "tiny.npz")
        assert done.returncode == 0, done.stderr
        again = goldore("score", "tiny.npz", *tiny_options, "--trials", "3", "--out", "other.h5")
        assert again.returncode == 0, again.stderr
        found, expected = read_h5(here / "scores.h5"), read_h5(here / "other.h5")
        for name in ("LossInit", "LossConverge"):
            np.testing.assert_array_equal(found[f"scores/{name}"], expected[f"scores/{name}"])

    def test_the_dataset_is_found_where_it_was_scored(self, goldore, here, tiny_options):
        made = goldore("score", "tiny.npz", *tiny_options, "--trials", "1", "--out", "new.h5")
        assert made.returncode == 0, made.stderr
        done = goldore("extend", "new.h5", "--trials", "2")
        assert done.returncode == 0, done.stderr
        assert "trial 2 of 2 done" in done.stderr

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            ([], "say how many trials scores.h5 shall hold in the end with --trials; it has 2 loss trials"),
            (["--fold-trials", "2"], "no trials that --fold-trials are about"),
            (["--utility-trials", "2"], "no trials that --utility-trials are about"),
            (["--max-time", "1m"], "no trials that --utility-trials are about"),
        ],
    )
    def test_what_is_not_there_is_not_extended(self, goldore, here, snapshot, words, says):
        before = snapshot()
        done = goldore("extend", "scores.h5", "--dataset", "tiny.npz", *words)
        assert done.returncode == 2
        assert says in done.stderr
        assert snapshot() == before

    def test_another_dataset_is_refused(self, goldore, here):
        done = goldore("extend", "scores.h5", "--trials", "3", "--dataset", "FashionMNIST-sample")
        assert done.returncode == 1
        assert "is not the dataset of scores.h5" in done.stderr


class TestCommand:
    def test_inspect_prints_the_command_that_makes_the_same_file(self, goldore, here, tiny_options, read_h5):
        options = [*tiny_options, "--lr", "0.02", "--trials", "2", "--seed", "7", "--converge-epochs", "2"]
        made = goldore("score", "tiny.npz", *options, "--scores", "LossConverge,EL2N", "--out", "one.h5")
        assert made.returncode == 0, made.stderr
        shown = goldore("inspect", "one.h5", "--json")
        command = json.loads(shown.stdout)["command"]
        assert command in " ".join(goldore("inspect", "one.h5").stdout.split())
        (here / "one.h5").rename(here / "first.h5")
        words = shlex.split(command)
        assert words[:2] == ["goldore", "score"]
        done = goldore(*words[1:])
        assert done.returncode == 0, done.stderr
        found, expected = read_h5(here / "one.h5"), read_h5(here / "first.h5")
        for name in ("LossConverge", "EL2N"):
            np.testing.assert_array_equal(found[f"scores/{name}"], expected[f"scores/{name}"])


class TestIndexFiles:
    @pytest.fixture
    def index(self, goldore, here):
        done = goldore(
            "prune",
            "scores.h5",
            "--criterion",
            "LossInit_large",
            "--keep-per-class",
            "4",
            "--out",
            "k.npy",
            "--json",
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def test_prune_prints_a_document(self, index, here):
        kept = np.load("k.npy")
        assert index["file"] == "k.npy"
        assert index["kept"] == len(kept) == 12
        assert index["kept_per_class"] == [4, 4, 4]
        assert index["criterion"] == "LossInit_large"

    def test_inspect_says_what_is_kept(self, index, goldore):
        done = goldore("inspect", "k.npy")
        assert done.returncode == 0, done.stderr
        text = " ".join(done.stdout.split())
        for part in ("k.npy: keeps 12 of the 60 samples (20.00%) of tiny", "LossInit_large", "0 left 4"):
            assert part in text
        document = json.loads(goldore("inspect", "k.npy", "--json").stdout)
        assert document["kept_per_class"] == [4, 4, 4]

    def test_bare_positions_have_no_provenance(self, goldore, here):
        np.save("bare.npy", np.array([1, 5]))
        done = goldore("inspect", "bare.npy")
        assert done.returncode == 0, done.stderr
        assert "bare.npy: keeps 2 samples" in done.stdout
        assert "none: positions alone" in done.stdout

    def test_options_of_score_files_are_refused(self, index, goldore):
        done = goldore("inspect", "k.npy", "--label-issues")
        assert done.returncode == 2
        assert "only --json is for it" in done.stderr

    def test_json_excludes_quiet(self, goldore, here):
        done = goldore(
            "prune", "scores.h5", "--criterion", "Random", "--keep-ratio", "0.5", "--json", "--quiet"
        )
        assert done.returncode == 2
        assert "exclude each other" in done.stderr


def test_completion_can_be_installed(goldore):
    done = goldore("--help")
    assert "--install-completion" in done.stdout


class TestVerifyIndex:
    """An index file is about images in an order, and equal labels are not enough."""

    @pytest.fixture
    def made(self, goldore, tmp_path, tiny_options):
        draw = np.random.default_rng(0)
        labels = np.repeat(np.arange(3), 12)
        for name in ("one", "two"):
            images = draw.integers(0, 256, (36, 8, 8), dtype=np.uint8)
            np.savez(tmp_path / f"{name}.npz", x_train=images, y_train=labels)
        scored = goldore("score", "one.npz", *tiny_options, "--trials", "1", "--out", "one.h5")
        assert scored.returncode == 0, scored.stderr

    def test_other_images_with_the_same_labels_are_refused(self, goldore, made):
        rule = ["--criterion", "LossInit_large", "--keep-per-class", "4"]
        assert goldore("prune", "one.h5", *rule, "--out", "k.npy").returncode == 0
        assert goldore("verify", "k.npy").returncode == 0
        assert goldore("verify", "k.npy", "--dataset", "one.npz").returncode == 0
        done = goldore("verify", "k.npy", "--dataset", "two.npz")
        assert done.returncode == 1
        assert "is about other images than those of two" in done.stderr

    def test_index_files_in_hdf5_and_of_other_orders(self, goldore, made):
        rule = ["--criterion", "LossInit_large", "--keep-per-class", "4"]
        assert goldore("prune", "one.h5", *rule, "--out", "k.h5").returncode == 0
        done = goldore("verify", "k.h5")
        assert done.returncode == 0, done.stderr
        assert "keeps 12 of the 36 samples" in done.stdout
        mapped = goldore("prune", "one.h5", *rule, "--order", "one.npz", "--out", "m.npy")
        assert mapped.returncode == 0, mapped.stderr
        assert "say with --dataset what it is about" in goldore("verify", "m.npy").stderr
        assert goldore("verify", "m.npy", "--dataset", "one.npz").returncode == 0
