"""goldore prune: the kept positions against a brute-force selection, and what is written beside them."""

import hashlib
import json
import math
import shutil
from fractions import Fraction

import h5py
import numpy as np
import pytest

import goldore as library
from goldore.store.format import text_array
from tests.conftest import edited

SUFFIXES = (".npy", ".json", ".txt", ".csv", ".npz", ".pt", ".h5")


def brute_force(path, score, drops, stretch, scope="class"):
    """Kept positions, from the file read by plain h5py.

    `stretch` gives the first kept rank and the end among n samples that are ordered first to be dropped
    first.
    """
    with h5py.File(path, "r") as file:
        labels, values = file["dataset/labels"][()].tolist(), file[f"scores/{score}"][()].tolist()
    sign = -1 if drops == "large" else 1
    groups = [list(range(len(labels)))]
    if scope == "class":
        groups = [[i for i, label in enumerate(labels) if label == each] for each in sorted(set(labels))]
    kept = []
    for group in groups:
        order = sorted(group, key=lambda position: (sign * values[position], position))
        first, end = stretch(len(order))
        kept += order[first:end]
    return sorted(kept)


def keep(share):
    return lambda n: (n - math.ceil(Fraction(share) * n), n)


def drop(share):
    return lambda n: (math.floor(Fraction(share) * n), n)


@pytest.mark.parametrize(
    ("options", "score", "drops", "stretch", "per_class"),
    [
        (["--keep-ratio", "0.1"], "LossConverge", "large", keep("0.1"), 2),
        (["--keep-ratio", "0.1"], "LossConverge", "small", keep("0.1"), 2),
        (["--keep-ratio", "0.1"], "LossInit", "large", keep("0.1"), 2),
        (["--keep-ratio", "0.11"], "LossConverge", "large", keep("0.11"), 3),
        (["--keep-ratio", "0.001"], "LossConverge", "large", keep("0.001"), 1),
        (["--keep-ratio", "1"], "LossConverge", "large", keep("1"), 20),
        (["--drop-ratio", "0.9"], "LossConverge", "large", drop("0.9"), 2),
        (["--drop-ratio", "0.89"], "LossConverge", "small", drop("0.89"), 3),
        (["--drop-ratio", "0"], "LossInit", "small", drop("0"), 20),
        (["--keep-per-class", "7"], "LossInit", "small", lambda n: (n - 7, n), 7),
        (["--keep-per-class", "20"], "LossInit", "small", lambda _: (0, 20), 20),
        (["--keep-range", "0.2:0.55"], "LossConverge", "large", lambda _: (4, 11), 7),
        (["--keep-range", "0.9:1"], "LossConverge", "large", drop("0.9"), 2),
    ],
)
def test_kept_positions_are_those_of_a_brute_force_selection(
    options, score, drops, stretch, per_class, goldore, score_file, tmp_path
):
    done = goldore("prune", score_file, "--criterion", f"{score}_{drops}", *options, "--out", "keep.npy")
    assert done.returncode == 0, done.stderr
    kept = np.load(tmp_path / "keep.npy", allow_pickle=False)
    assert kept.dtype == np.int64
    assert kept.tolist() == brute_force(score_file, score, drops, stretch)
    assert len(kept) == 3 * per_class
    rows = [line.split() for line in done.stdout.splitlines()[-5:-2]]
    assert rows == [
        [str(label), name, str(per_class), "20"] for label, name in enumerate(["left", "middle", "right"])
    ]
    assert done.stdout.splitlines()[-2] == "written to keep.npy, provenance to keep.npy.json"
    assert done.stdout.splitlines()[-1] == "next: goldore run keep.npy -- python YOUR_TRAINING.py"
    assert f"kept {len(kept)} of 60 samples" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(("drops", "share"), [("large", "0.11"), ("small", "0.4")])
def test_scope_global_ranks_all_classes_together(drops, share, goldore, score_file, tmp_path):
    command = ("prune", score_file, "--criterion", f"LossConverge_{drops}", "--keep-ratio", share)
    done = goldore(*command, "--scope", "global")
    assert done.returncode == 0, done.stderr
    kept = np.load(tmp_path / f"tiny-LossConverge_{drops}-keep{share}-global.npy")
    expected = brute_force(score_file, "LossConverge", drops, keep(share), "global")
    assert kept.tolist() == expected
    assert expected != brute_force(score_file, "LossConverge", drops, keep(share))


def test_criterion_may_be_spelled_with_hyphens_in_lower_case(goldore, score_file, tmp_path):
    command = (
        "prune",
        score_file,
        "--criterion",
        "loss-converge-large",
        "--keep-per-class",
        2,
        "--out",
        "keep.npy",
    )
    assert goldore(*command).returncode == 0
    expected = brute_force(score_file, "LossConverge", "large", lambda n: (n - 2, n))
    assert np.load(tmp_path / "keep.npy").tolist() == expected


def test_the_kept_range_and_the_direction_are_shown(goldore, score_file, read_h5):
    done = goldore("prune", score_file, "--criterion", "LossConverge_large", "--keep-ratio", "0.5")
    values = read_h5(score_file)["scores/LossConverge"]
    kept = brute_force(score_file, "LossConverge", "large", keep("0.5"))
    mask = np.isin(np.arange(60), kept)
    spans = [f"{each.min():.3f} to {each.max():.3f}" for each in (values[mask], values[~mask])]
    assert f"kept LossConverge {spans[0]} nat, dropped {spans[1]} nat" in done.stdout
    assert "LossConverge_large drops large LossConverge (high = hard, low = easy)" in done.stdout


class TestRandom:
    def test_a_seed_draws_the_same_samples_and_another_seed_others(self, goldore, score_file, tmp_path):
        drawn = []
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            options = (
                "--criterion",
                "Random",
                "--keep-ratio",
                "0.25",
                "--seed",
                seed,
                "--out",
                f"{name}.npy",
            )
            assert goldore("prune", score_file, *options).returncode == 0
            drawn.append(np.load(tmp_path / f"{name}.npy"))
            assert json.loads((tmp_path / f"{name}.npy.json").read_text())["seed"] == seed
        with h5py.File(score_file, "r") as file:
            labels = file["dataset/labels"][()]
        assert [np.bincount(labels[kept]).tolist() for kept in drawn] == [[5, 5, 5]] * 3
        assert drawn[0].tolist() == drawn[1].tolist() != drawn[2].tolist()

    def test_the_default_name_tells_the_seed(self, goldore, score_file, tmp_path):
        done = goldore("prune", score_file, "--criterion", "random", "--keep-per-class", 2, "--seed", 7)
        assert done.returncode == 0, done.stderr
        assert "drawn with seed 7" in done.stdout
        assert len(np.load(tmp_path / "tiny-Random-keep_per_class2-seed7.npy")) == 6


OWN = """
from goldore.selection import Strategy

class Own(Strategy):
    def choose(self, samples, budget):
        return {}
"""


class TestRules:
    def test_a_rule_of_ones_own_is_found_in_the_working_directory(self, goldore, score_file, tmp_path):
        (tmp_path / "own_rules.py").write_text(OWN.format("range(len(samples))[::-1][:budget]"))
        command = ("prune", score_file, "--criterion", "LossInit_large", "--keep-per-class", 3)
        done = goldore(*command, "--rule", "own_rules:Own")
        assert done.returncode == 0, done.stderr
        assert "by the rule own_rules:Own\n" in done.stdout
        name = "tiny-LossInit_large-keep_per_class3-own_rules_Own.npy"
        with h5py.File(score_file, "r") as file:
            labels = file["dataset/labels"][()]
        expected = np.concatenate([np.flatnonzero(labels == each)[-3:] for each in range(3)])
        assert np.load(tmp_path / name).tolist() == sorted(expected.tolist())
        about = json.loads((tmp_path / f"{name}.json").read_text())
        assert (about["strategy"], about["rule"]) == ("own_rules:Own", "keep_per_class 3")

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("[0, 1]", "the rule own_rules:Own gave an array of shape (2,); it must give 3 different"),
            ("[0, 1, 1]", "the rule own_rules:Own gave a position twice"),
            ("[0, 1, 20]", "the rule own_rules:Own gave positions from 0 to 20"),
            ("1 / 0", "the rule own_rules:Own failed (ZeroDivisionError: division by zero)"),
        ],
    )
    def test_what_is_wrong_with_it_is_said_in_one_sentence(self, given, says, goldore, score_file, tmp_path):
        (tmp_path / "own_rules.py").write_text(OWN.format(given))
        options = ("--criterion", "Random", "--keep-per-class", 3, "--rule", "own_rules:Own")
        done = goldore("prune", score_file, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {says}")
        assert done.stderr.count("\n") == 1
        assert not list(tmp_path.glob("*.npy*"))

    def test_a_rule_that_draws_tells_its_seed(self, goldore, score_file, tmp_path):
        command = ("prune", score_file, "--criterion", "LossInit_large", "--keep-ratio", "0.25")
        done = goldore(*command, "--rule", "draw,after=0.3", "--seed", 7)
        assert done.returncode == 0, done.stderr
        assert "by the rule draw,after=0.3, drawn with seed 7" in done.stdout
        name = "tiny-LossInit_large-keep0.25-draw_after_0.3-seed7.npy"
        first = brute_force(score_file, "LossInit", "large", lambda n: (0, math.floor(0.3 * n)))
        kept = np.load(tmp_path / name)
        assert len(kept) == 15
        assert not np.isin(kept, first).any()

    def test_keep_range_is_a_window(self, goldore, score_file, tmp_path):
        command = ("prune", score_file, "--criterion", "LossInit_large")
        assert goldore(*command, "--keep-range", "0.2:0.45", "--out", "a.npy").returncode == 0
        options = ("--keep-ratio", "0.25", "--rule", "window,start=0.2", "--out", "b.npy")
        assert goldore(*command, *options).returncode == 0
        assert np.load(tmp_path / "a.npy").tolist() == np.load(tmp_path / "b.npy").tolist()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--keep-ratio", "0.1"], "tiny-LossInit_small-keep0.1.npy"),
        (["--drop-ratio", "0.90"], "tiny-LossInit_small-drop0.90.npy"),
        (["--keep-per-class", "4"], "tiny-LossInit_small-keep_per_class4.npy"),
        (["--keep-range", "0.2:0.5"], "tiny-LossInit_small-keep0.2to0.5.npy"),
    ],
)
def test_default_file_name(options, name, goldore, score_file, tmp_path):
    done = goldore("prune", score_file, "--criterion", "LossInit_small", *options)
    assert done.stdout.splitlines()[-2] == f"written to {name}, provenance to {name}.json"
    assert {path.name for path in tmp_path.iterdir()} == {"scores.h5", name, f"{name}.json"}


def test_side_car_says_where_the_positions_come_from(goldore, score_file, tmp_path, read_h5):
    command = ("prune", "scores.h5", "--criterion", "LossConverge_large", "--keep-ratio", "0.11")
    assert goldore(*command, "--out", "keep.npy").returncode == 0
    about = json.loads((tmp_path / "keep.npy.json").read_text())
    kept = np.load(tmp_path / "keep.npy")
    content = read_h5(score_file)
    labels = content["dataset/labels"]
    halves = [
        np.concatenate(
            [np.flatnonzero(labels == each)[np.argsort(-half[labels == each])[-3:]] for each in range(3)]
        )
        for half in content["halves/LossConverge"]
    ]
    assert about == {
        "format": "goldore-index",
        "format_version": 1,
        "dataset": "tiny",
        "split": "train",
        "fingerprint": content["dataset@fingerprint"],
        "num_samples": 60,
        "labels_sha256": hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
        "criterion": "LossConverge_large",
        "rule": "keep_ratio 0.11",
        "scope": "class",
        "seed": None,
        "missing": None,
        "rank_reliability": content["scores/LossConverge@rank_reliability"],
        "halves_overlap": len(np.intersect1d(*halves)) / 9,
        "ratio_kept": 9 / 60,
        "class_names": ["left", "middle", "right"],
        "kept_per_class": np.bincount(content["dataset/labels"][kept], minlength=3).tolist(),
        "score_file": "scores.h5",
        "score_file_updated": content["@updated"],
        "kept": 9,
        "sha256": hashlib.sha256(kept.astype("<i8").tobytes()).hexdigest(),
    }


class TestEverySuffix:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_loads_to_the_same_positions(self, suffix, goldore, score_file, tmp_path):
        path = tmp_path / f"keep{suffix}"
        command = ("prune", score_file, "--criterion", "LossConverge_large", "--keep-ratio", "0.15")
        done = goldore(*command, "--out", path.name)
        assert done.returncode == 0, done.stderr
        index = library.load_index(path)
        assert index.indices.dtype == np.int64
        expected = brute_force(score_file, "LossConverge", "large", keep("0.15"))
        assert library.load_indices(path).tolist() == expected
        assert index.provenance["criterion"] == "LossConverge_large"
        assert index.provenance["kept_per_class"] == [3, 3, 3]
        beside = {f"keep{suffix}.json"} if suffix in (".npy", ".txt", ".csv") else set()
        assert {each.name for each in tmp_path.iterdir()} == {"scores.h5", path.name} | beside

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_same_input_gives_the_same_bytes(self, suffix, goldore, score_file, tmp_path):
        command = ("prune", score_file, "--criterion", "LossConverge_large", "--keep-ratio", "0.15")
        for folder in ("first", "second"):
            done = goldore(*command, "--out", f"{folder}/keep{suffix}")
            assert done.returncode == 0, done.stderr
        written = {
            folder: {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
            for folder in ("first", "second")
        }
        assert written["first"] == written["second"]
        assert f"keep{suffix}" in written["first"]


class TestExistingOutput:
    first = (
        "prune",
        "scores.h5",
        "--criterion",
        "LossConverge_large",
        "--keep-ratio",
        "0.1",
        "--out",
        "k.npy",
    )
    other = (
        "prune",
        "scores.h5",
        "--criterion",
        "LossConverge_large",
        "--keep-ratio",
        "0.2",
        "--out",
        "k.npy",
    )

    def test_the_same_command_again_is_fine(self, goldore, score_file, snapshot):
        first = goldore(*self.first)
        before = snapshot()
        again = goldore(*self.first)
        assert (again.returncode, again.stdout) == (0, first.stdout)
        assert snapshot() == before

    def test_another_selection_is_refused_and_with_overwrite_replaced(
        self, goldore, score_file, snapshot, tmp_path
    ):
        assert goldore(*self.first).returncode == 0
        before = snapshot()
        refused = goldore(*self.other)
        assert refused.returncode == 1
        assert refused.stderr.splitlines()[-1] == (
            "error: k.npy exists and holds another selection; use --overwrite or another --out."
        )
        assert snapshot() == before
        assert goldore(*self.other, "--overwrite").returncode == 0
        assert len(np.load(tmp_path / "k.npy")) == 12
        assert json.loads((tmp_path / "k.npy.json").read_text())["rule"] == "keep_ratio 0.2"
        assert set(snapshot()) == set(before)

    def test_a_file_of_the_user_s_own_is_refused(self, goldore, score_file, tmp_path):
        (tmp_path / "k.npy").write_bytes(b"something else")
        assert goldore(*self.first).returncode == 1
        assert (tmp_path / "k.npy").read_bytes() == b"something else"
        assert not (tmp_path / "k.npy.json").exists()


def test_quiet_prints_no_result(goldore, score_file, tmp_path):
    done = goldore(
        "prune", score_file, "--criterion", "Random", "--keep-per-class", 2, "--out", "keep.npy", "--quiet"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(np.load(tmp_path / "keep.npy")) == 6


def test_a_ranking_that_is_mostly_noise_is_warned_of_even_quietly(goldore, score_file):
    with edited(score_file) as file:
        file["scores/LossConverge"].attrs["rank_reliability"] = 0.21
        file["scores/LossInit"].attrs["rank_reliability"] = 0.87
    warned = goldore(
        "prune", score_file, "--criterion", "LossConverge_large", "--keep-per-class", 2, "--quiet"
    )
    assert "reliability of 0.21" in warned.stderr
    assert warned.stderr.startswith("warning: ")
    trusted = goldore("prune", score_file, "--criterion", "LossInit_large", "--keep-per-class", 2, "--quiet")
    assert (trusted.returncode, trusted.stderr) == (0, "")


class TestMissingScores:
    @pytest.fixture
    def with_gaps(self, score_file):
        """Four samples of class 0 and one of class 1 have no score."""
        with edited(score_file) as file:
            labels = file["dataset/labels"][()]
            gaps = np.r_[np.flatnonzero(labels == 0)[:4], np.flatnonzero(labels == 1)[5]]
            values = file["scores/LossInit"][()]
            values[gaps] = np.nan
            file["scores/LossInit"][...] = values
        return set(gaps.tolist())

    @pytest.mark.parametrize(("treatment", "kept_gaps"), [("drop", 0), ("keep", 3)])
    def test_are_dropped_first_or_last(self, treatment, kept_gaps, with_gaps, goldore, score_file, tmp_path):
        command = (
            "prune",
            score_file,
            "--criterion",
            "LossInit_large",
            "--keep-per-class",
            2,
            "--out",
            "keep.npy",
        )
        done = goldore(*command, "--missing", treatment)
        assert done.returncode == 0, done.stderr
        kept = np.load(tmp_path / "keep.npy").tolist()
        assert len(kept) == 6
        assert len(with_gaps.intersection(kept)) == kept_gaps
        assert "warning: 5 samples have no score" in done.stderr
        about = json.loads((tmp_path / "keep.npy.json").read_text())
        assert about["missing"] == {"count": 5, "treatment": treatment}

    def test_are_refused_unless_told(self, with_gaps, goldore, score_file, snapshot):
        before = snapshot()
        done = goldore("prune", score_file, "--criterion", "LossInit_large", "--keep-per-class", 2)
        assert done.returncode == 2
        assert "5 of 60 samples have no LossInit" in done.stderr
        assert snapshot() == before


def test_many_classes_are_listed_with_verbose_only(goldore, tmp_path, tiny_scores):
    path = tmp_path / "many.h5"
    shutil.copy(tiny_scores, path)
    with edited(path) as file:  # the same 60 samples in 30 classes
        file["dataset/labels"][...] = np.repeat(np.arange(30), 2)
        file["dataset"].attrs["num_classes"] = 30
        file["dataset"].attrs["class_names"] = text_array([f"class{label}" for label in range(30)])
    command = ("prune", path, "--criterion", "Random", "--keep-per-class", 1, "--out", "keep.npy")
    short, long = goldore(*command), goldore(*command, "--verbose")
    assert "and 10 more classes (--verbose lists them); kept 1 to 1 each" in short.stdout
    assert (short.stdout.count(" class"), long.stdout.count(" class")) == (20 + 1, 30)


def test_a_class_is_one_line_in_a_pipe_however_long_its_name(goldore, score_file, long_names):
    done = goldore("prune", score_file, "--criterion", "Random", "--keep-per-class", 3, "--out", "keep.npy")
    rows = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()[-5:-2]]
    assert rows == [[f"{label} {name}", "3", "20"] for label, name in enumerate(long_names)]
