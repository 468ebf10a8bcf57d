"""goldore prune for something: a repository, a folder tree, another order."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from goldore import load_index
from goldore.repositories import REPOSITORIES

LARGE = ("--criterion", "LossConverge_large")
CLASSES = (500, 600, 700)


@pytest.fixture
def scores(write_scores, tmp_path):
    """1800 samples that call themselves CIFAR10, in scores.h5."""
    return write_scores(tmp_path / "scores.h5", CLASSES)


@pytest.fixture(scope="module")
def scored(goldore_in, tiny_options, tmp_path_factory):
    """A folder with a scored tree of 18 training and 6 other images."""
    folder = tmp_path_factory.mktemp("tree")
    draw = np.random.default_rng(0)
    for number in range(24):
        split = "train" if number < 18 else "val"
        file = folder / "tree" / split / ("Dog", "ant", "cat")[number % 3] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)
    done = goldore_in(folder, "score", "tree", *tiny_options, "--trials", 1)
    assert done.returncode == 0, done.stderr
    return folder


class TestRepository:
    def test_prints_how_to_run_it(self, goldore, scores, tmp_path):
        command = ("prune", scores, *LARGE, "--keep-ratio", "0.5")
        done = goldore(*command, "--for", "MTT", "--ipc", 10, "--out", "keep.npy")
        assert (done.returncode, done.stderr) == (0, "")
        mtt = REPOSITORIES["mtt"]
        tag = json.loads((tmp_path / "keep.npy.json").read_text())["sha256"][:8]
        lines = done.stdout.splitlines()
        start = lines.index(f"MTT ({mtt.url} at {mtt.commit}):")
        filled = [each.format(dataset="CIFAR10", ipc=10, tag=tag) for each in mtt.commands]
        through = [f"  goldore run {tmp_path / 'keep.npy'} -- {each}" for each in filled]
        remarks = [f"- {each}" for each in (mtt.refits, *mtt.traps, mtt.caches)]
        assert lines[start + 1 :] == through + remarks

    def test_a_command_in_a_folder_of_the_clone_is_run_there(self, goldore, scores, tmp_path):
        command = ("prune", scores, *LARGE, "--keep-ratio", "0.5", "--for", "datm", "--out", "keep.json")
        done = goldore(*command)
        assert done.returncode == 0, done.stderr
        assert f"  (cd buffer; goldore run {tmp_path / 'keep.json'} -- python buffer_FTD.py" in done.stdout

    def test_changes_nothing_of_what_is_kept(self, goldore, scores, tmp_path):
        command = ("prune", scores, *LARGE, "--keep-ratio", "0.5")
        assert goldore(*command, "--out", "plain.npy").returncode == 0
        assert goldore(*command, "--for", "dc", "--out", "dc.npy").returncode == 0
        for suffix in ("", ".json"):
            plain, dc = (tmp_path / f"{name}.npy{suffix}" for name in ("plain", "dc"))
            assert plain.read_bytes() == dc.read_bytes()

    def test_warns_of_what_it_only_suffers_from_even_quietly(self, goldore, scores):
        done = goldore("prune", scores, *LARGE, "--keep-ratio", "0.1", "--for", "mtt", "--quiet")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == (
            "warning: MTT needs 256 in all, and 180 are kept: below that an epoch of the experts is a "
            "single step.\n"
        )

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--for", "dc", "--ipc", 10, "--keep-per-class", 9], "DC needs 10 of each class, and class 0"),
            (["--for", "linba", "--keep-ratio", "0.1"], "LinBa needs 64 of each class, and class 0"),
            (
                ["--for", "linba", "--keep-ratio", "0.1", "--scope", "global", "--rule", "draw,after=0.5"],
                "; keep more.",  # at which ratio this rule would have no samples left is not looked for
            ),
            (["--for", "rfad", "--keep-per-class", 426], "RFAD needs 1280 in all, and 1278 are kept"),
            (["--for", "cafe", "--keep-ratio", "1"], "CAFE takes 10 classes of 3 x 32 x 32 images only"),
            (
                ["--for", "frepo", "--keep-ratio", "1"],
                "positions count in that of torchvision.datasets.CIFAR10 in data; use --order tfds.",
            ),
            (
                ["--for", "rded", "--keep-ratio", "1"],
                "keeps 500: below that it runs out of files; lower its --mipc; even all samples are too few",
            ),
        ],
    )
    def test_refuses_what_it_does_not_survive_and_writes_nothing(
        self, goldore, scores, snapshot, options, sentence
    ):
        before = snapshot()
        done = goldore("prune", scores, *LARGE, *options)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert sentence in done.stderr
        assert snapshot() == before

    @pytest.mark.parametrize(
        ("options", "rule", "wanted"),
        [
            (["--for", "linba"], ["--keep-ratio", "0.1"], 0.1261),
            (["--for", "linba", "--scope", "global"], ["--keep-ratio", "0.1"], None),
            (["--for", "dc", "--ipc", 10, "--scope", "global"], ["--keep-ratio", "0.001"], None),
            (["--for", "dc", "--ipc", 10], ["--keep-per-class", 1], 0.0181),
            (["--for", "idc", "--ipc", 10, "--factor", 3], ["--drop-ratio", "0.9"], 0.1781),
            (["--for", "datadam", "--batch-real", 100], ["--keep-ratio", "0.002"], 0.1981),
            (["--for", "rfad"], ["--keep-ratio", "0.2"], 0.7101),
        ],
    )
    def test_the_smallest_ratio_that_it_names_is_accepted_and_none_below(
        self, goldore, scores, tmp_path, options, rule, wanted
    ):
        command = ("prune", scores, *LARGE, *options, "--out", "keep.npy")
        refused = goldore(*command, *rule)
        assert refused.returncode == 1
        named = re.search(
            r"; the smallest ratio that runs is --keep-ratio (0\.\d{1,4})\.$", refused.stderr.strip()
        )
        ratio = float(named[1])
        assert wanted in (None, ratio)
        below = goldore(*command, "--keep-ratio", f"{ratio - 0.0001:.4f}")
        assert below.returncode == 1
        assert f"--keep-ratio {named[1]}." in below.stderr
        assert not (tmp_path / "keep.npy").exists()
        assert goldore(*command, "--keep-ratio", named[1]).returncode == 0
        assert (tmp_path / "keep.npy").is_file()

    def test_a_near_name_is_suggested(self, goldore, scores):
        done = goldore("prune", scores, *LARGE, "--keep-ratio", "0.5", "--for", "daatm")
        assert done.returncode == 2
        assert "goldore knows no repository 'daatm'; did you mean datm?" in done.stderr


class TestIpc:
    def test_alone_it_is_keep_per_class(self, goldore, scores, snapshot, tmp_path):
        first = goldore("prune", scores, *LARGE, "--keep-per-class", 7)
        before = snapshot()
        again = goldore("prune", scores, *LARGE, "--ipc", 7)
        assert (again.returncode, again.stdout) == (0, first.stdout)
        assert snapshot() == before
        [index] = tmp_path.glob("*.npy")
        assert load_index(index).provenance["kept_per_class"] == [7, 7, 7]

    def test_a_folder_without_an_order_is_refused(self, goldore, score_file):
        done = goldore("prune", score_file, *LARGE, "--keep-ratio", "1", "--data-root", "data")
        assert done.returncode == 2
        assert "--data-root is the folder of --order" in done.stderr

    def test_no_commands_for_a_data_set_that_the_repository_has_not(self, goldore, score_file):
        done = goldore("prune", score_file, *LARGE, "--keep-ratio", "1", "--for", "g-vbsm")
        assert done.returncode == 0, done.stderr
        assert "goldore knows of none for this dataset" in done.stdout
        assert "Branch" not in done.stdout

    def test_for_a_repository_it_keeps_nothing(self, goldore, scores, snapshot):
        before = snapshot()
        done = goldore("prune", scores, *LARGE, "--ipc", 10, "--for", "dc")
        assert done.returncode == 2
        assert "exactly one of --drop-ratio, --keep-ratio, --keep-per-class" in done.stderr
        assert snapshot() == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--ipc", "2", "--keep-ratio", "0.5"], "use --for REPO with it"),
        (["--ipc", "2", "--keep-per-class", "5"], "use --for REPO with it"),
        (["--batch-real", "64", "--keep-ratio", "0.5"], "use --for REPO with them"),
        (["--factor", "2", "--keep-ratio", "0.5"], "use --for REPO with them"),
        (["--for", "rfad", "--batch-real", "64", "--keep-ratio", "1"], "leave --batch-real out"),
        (["--for", "dc", "--ipc", "0", "--keep-ratio", "0.5"], "--ipc is 0; it must be 1 or more"),
        (["--keep-ratio", "0.5", "--copy"], "are about --as-folder DIR"),
        (["--keep-ratio", "0.5", "--as-list", "l.txt", "--images", "x"], "are about --as-folder DIR"),
        (["--keep-ratio", "0.5", "--as-folder", "new"], "CIFAR10 was not read from a folder tree"),
        (["--keep-ratio", "0.5", "--as-list", "l.txt"], "CIFAR10 was not read from a folder tree"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_nothing_is_written(
    goldore, scores, snapshot, options, sentence
):
    before = snapshot()
    done = goldore("prune", scores, *LARGE, *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert snapshot() == before


class TestFolder:
    """A folder tree that was scored, and trees and lists of what is kept."""

    prune = ("prune", "scores_cache/tree.h5", *LARGE, "--keep-per-class", 2, "--out", "keep.npy")

    @pytest.fixture
    def goldore(self, scored, goldore_in, tmp_path):
        """Run a command in a folder with the tree, as a link, and a copy of its scores."""
        (tmp_path / "tree").symlink_to(scored / "tree")
        (tmp_path / "scores_cache").mkdir()
        scores = (scored / "scores_cache" / "tree.h5").read_bytes()
        (tmp_path / "scores_cache" / "tree.h5").write_bytes(scores)
        return lambda *args: goldore_in(tmp_path, *args)

    @pytest.fixture
    def paths(self, scored):
        """Of all training samples, in their order."""
        samples = ImageFolder(scored / "tree" / "train").samples
        return [Path(file).relative_to(scored / "tree" / "train").as_posix() for file, _ in samples]

    def test_holds_what_the_index_file_keeps(self, goldore, paths, tmp_path):
        done = goldore(*self.prune, "--as-folder", "pruned", "--as-list", "kept.txt")
        assert done.returncode == 0, done.stderr
        kept = [paths[position] for position in np.load(tmp_path / "keep.npy")]
        assert len(kept) == 6
        pruned = ImageFolder(tmp_path / "pruned" / "train")
        assert pruned.class_to_idx == {"Dog": 0, "ant": 1, "cat": 2}
        assert [file for file, _ in pruned.samples] == [
            str(tmp_path / "pruned" / "train" / path) for path in kept
        ]
        assert all(Path(file).is_symlink() for file, _ in pruned.samples)
        assert len(ImageFolder(tmp_path / "pruned" / "val")) == 6
        assert (tmp_path / "kept.txt").read_text().splitlines() == kept
        assert done.stdout.splitlines()[-2:] == [
            "folder tree in pruned, linked",
            "list of files in kept.txt",
        ]

    def test_may_hold_copies(self, goldore, tmp_path):
        assert goldore(*self.prune, "--as-folder", "pruned", "--copy").returncode == 0
        files = [path for path in (tmp_path / "pruned").rglob("*") if path.is_file()]
        assert len(files) == 6 + 6
        assert not any(path.is_symlink() for path in (tmp_path / "pruned").rglob("*"))

    @pytest.mark.parametrize(
        ("options", "folders"),
        [
            (["--for", "rded", "--batch-real", 2, "--factor", 1], ["00000", "00001", "00002"]),
            (
                ["--for", "rded", "--batch-real", 2, "--factor", 1, "--class-folders", "original"],
                ["Dog", "ant", "cat"],
            ),
            (["--for", "ncfm", "--factor", 1], ["Dog", "ant", "cat"]),
            (["--class-folders", "zero-padded"], ["00000", "00001", "00002"]),
        ],
    )
    def test_class_folders_are_named_as_wanted(self, goldore, tmp_path, options, folders):
        done = goldore(*self.prune, "--as-folder", "pruned", *options)
        assert done.returncode == 0, done.stderr
        for split in ("train", "val"):
            assert sorted(path.name for path in (tmp_path / "pruned" / split).iterdir()) == folders
        assert "run goldore prune again" not in done.stdout

    def test_what_reads_trees_alone_is_told_to_want_one(self, goldore):
        done = goldore(*self.prune, "--for", "rded", "--batch-real", 2, "--factor", 1)
        assert done.returncode == 0, done.stderr
        assert "it reads a folder tree: run goldore prune again with --as-folder DIR" in done.stdout
        assert "GOLDORE_INDEX" not in done.stdout

    @pytest.mark.parametrize(
        ("options", "code", "sentence"),
        [
            (["--as-folder", "full"], 1, "full exists and is not empty"),
            (["--as-folder", "scores_cache"], 2, "lies in scores_cache, which is to be made"),
            (["--as-folder", "tree/more"], 1, "would be one more of its classes"),
            (["--as-list", "scores_cache/tree.h5"], 2, "--as-list would replace scores_cache/tree.h5"),
            (["--as-list", "keep.npy.json", "--out", "keep.npy"], 2, "--as-list would replace"),
            (["--as-list", "full/file"], 1, "full/file exists and is no list of these files"),
            (["--as-list", "full"], 1, "full is a folder"),
            (["--as-folder", "new", "--class-folders", "short"], 2, "choose original or zero-padded"),
            (["--as-folder", "new", "--images", "nowhere"], 1, "there is no folder nowhere"),
            (["--as-folder", "new", "--images", "tree/val"], 1, "say with --images where the images lie"),
        ],
    )
    def test_what_cannot_be_written_is_refused_before_anything_is(
        self, goldore, snapshot, tmp_path, options, code, sentence
    ):
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").write_text("something")
        before = snapshot()
        done = goldore(*self.prune, *options)
        assert (done.returncode, done.stdout) == (code, "")
        assert sentence in done.stderr
        assert snapshot() == before

    def test_images_that_moved_are_named(self, goldore, tmp_path):
        (tmp_path / "tree").rename(tmp_path / "moved")
        assert goldore(*self.prune, "--as-folder", "pruned").returncode == 1
        assert goldore(*self.prune, "--as-folder", "pruned", "--images", "moved").returncode == 0
        assert len(ImageFolder(tmp_path / "pruned" / "train")) == 6


class TestOrder:
    prune = ("prune", "scores.h5", *LARGE, "--keep-ratio", "0.3")

    def test_gives_positions_in_another_files_order(self, goldore, score_file, other_npz, tmp_path):
        assert goldore(*self.prune, "--out", "here.npy").returncode == 0
        done = goldore(*self.prune, "--order", "other.npz")
        assert done.returncode == 0, done.stderr
        name = "tiny-LossConverge_large-keep0.3-other.npz.npy"
        assert f"written to {name}, provenance to {name}.json" in done.stdout
        assert "tiny: 18 of 18 kept samples found in arrays in other.npz (other, 60 samples)" in done.stdout
        kept = set(np.load(tmp_path / "here.npy").tolist())
        there = np.load(tmp_path / name)
        assert there.tolist() == [place for place, position in enumerate(other_npz) if position in kept]
        about = json.loads((tmp_path / f"{name}.json").read_text())
        assert (about["order"], about["mapped_from"]["dataset"]) == ("arrays in other.npz", "tiny")

    def test_serves_a_repository_that_has_another(self, goldore, score_file, other_npz, tmp_path):
        command = (*self.prune, "--for", "frepo", "--ipc", 2, "--out", "keep.npy")
        done = goldore(*command, "--order", "other.npz")
        assert done.returncode == 0, done.stderr
        assert "see that arrays in other.npz stand in it" in done.stderr
        assert (tmp_path / "keep.npy").is_file()

    def test_a_data_set_that_is_not_known_there_is_named(self, goldore, score_file, snapshot):
        before = snapshot()
        done = goldore(*self.prune, "--order", "tfds")
        assert done.returncode == 2
        assert "the name of tiny in TensorFlow Datasets is not known; use --order tfds:NAME." in done.stderr
        assert snapshot() == before
