"""goldore study on the command line."""

import csv
import json
import sys

import pytest

SMALL = ("--criterion", "LossConverge_large", "--keep-ratio", "0.1", "--seeds", "2", "--distiller", "none")
SMALL += ("--budget", "tiny:RECIPE")
TINY = """
from goldore import ConvNetConfig, MatchRecipe, StudyRecipe
MATCH = MatchRecipe(match_steps=2, match_lr=1.0, match_batch=4)
RECIPE = StudyRecipe(
    network=ConvNetConfig(width=4, depth=1), dm=MATCH, dc=MATCH, judges=2, judge_steps=5, subset_steps=5
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, goldore_in):
    """A folder with scores of the bundled sample, and a study of them."""
    where = tmp_path_factory.mktemp("study")
    scores = (
        "score",
        "--width",
        "4",
        "--depth",
        "1",
        "--epochs",
        "1",
        "--trials",
        "2",
        "--out",
        "s.h5",
        "-q",
    )
    assert goldore_in(where, *scores).returncode == 0
    (where / "tiny.py").write_text(TINY)
    done = goldore_in(where, "study", "s.h5", *SMALL)
    assert done.returncode == 0, done.stderr
    (where / "told.txt").write_text(done.stdout)
    return where


@pytest.fixture(scope="module")
def goldore_in(repository):
    from tests.cli.conftest import run_goldore

    return lambda where, *args: run_goldore(*args, cwd=where)


def test_the_table_says_what_was_found(folder):
    told = (folder / "told.txt").read_text()
    assert "study of FashionMNIST-sample by the scores of s.h5, budget tiny:RECIPE" in told
    assert "all data: " in told
    assert "% over 2 seeds, worst class " in told
    assert "Random" in told
    assert "LossConverge_large" in told
    assert "differences to all data in points: B better, = as good (above -1), W worse, ? undecided" in told
    assert "written to s-study.h5" in told
    assert "next: " in told


def test_the_same_command_runs_nothing_again(folder, goldore_in):
    done = goldore_in(folder, "study", "s.h5", *SMALL)
    assert done.returncode == 0
    assert "6 runs done before" in done.stderr
    assert done.stdout == (folder / "told.txt").read_text()


def test_json_and_csv_and_the_long_table(folder, goldore_in):
    done = goldore_in(folder, "study", "s.h5", *SMALL, "--json", "--csv", "cells.csv")
    told = json.loads(done.stdout)
    assert {each["criterion"] for each in told["cells"]} == {"All", "Random", "LossConverge_large"}
    assert told["margin"] == 1.0
    with (folder / "cells.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == [each["verdict"] for each in told["cells"]]
    long = goldore_in(folder, "study", "s.h5", *SMALL, "--verbose").stdout
    assert "accuracy" in long
    again = goldore_in(folder, "study", "s.h5", *SMALL, "--csv", "cells.csv")
    assert again.returncode == 0  # what is made of a study is made anew


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ipc", "one"), "--ipc is 'one'"),
        (("--keep-ratio", "2"), "--keep-ratio is 2; it must be from 0 to 1"),
        (("--distiller", "mtt"), "there is no distiller 'mtt'"),
        (("--criterion", "Loss_large"), "no criterion 'Loss_large'"),
        (("--budget", "huge"), "there is no budget 'huge'; choose quick, standard, paper"),
        (("--margin", "-1"), "--margin is -1.0"),
        (("--max-time", "soon"), "--max-time is 'soon'"),
        (("--json", "--quiet"), "--json prints everything"),
        (("--metric", "x"), "--metric is about a command"),
        (("--max-run-time", "2"), "--max-run-time is about a command"),
        (("--ipc", "1", "--", "python", "x.py"), "say how the accuracy is read with --metric"),
        (("--metric", "x", "--", "python", "x.py"), "say with --ipc how many images per class"),
        (("--ipc", "1", "--device", "cpu", "--", "python", "x.py"), "--device is about goldore's own"),
        (("--images", "worst"), "--images names 'worst'"),
        (("--csv", "-"), "--csv names a file"),
        (("--jobs", "2"), "--jobs is about a command"),
        (("--for", "mtt", "--distiller", "dm", "--", "python", "x.py"), "--distiller is about goldore's own"),
        (("--seed", "1", *SMALL), "holds another study (base_seed: 0 there / 1 now)"),
        (("--dataset", "nowhere/x.npz"), "nowhere/x.npz"),
        (("--out", "s.h5"), "--out is the score file itself"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(folder, goldore_in, options, says):
    done = goldore_in(folder, "study", "s.h5", *options)
    assert done.returncode in (1, 2)
    assert says in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_study_is_no_score_file_and_no_other_way_round(folder, goldore_in):
    done = goldore_in(folder, "prune", "s-study.h5", "--criterion", "Random", "--keep-ratio", "0.1")
    assert done.returncode == 1
    assert "s-study.h5 is a study" in done.stderr
    done = goldore_in(folder, "study", "s-study.h5")
    assert "s-study.h5 is a study" in done.stderr


def test_studies_are_merged_and_inspected(folder, goldore_in):
    other = goldore_in(folder, "study", "s.h5", *SMALL, "--keep-ratio", "0.3", "--out", "other.h5", "-q")
    assert other.returncode == 0, other.stderr
    assert other.stdout == ""
    done = goldore_in(folder, "merge", "s-study.h5", "other.h5", "--out", "both.h5")
    assert done.returncode == 0, done.stderr
    assert "2 files merged, 10 runs (2 of them in more than one file), written to both.h5" in done.stdout
    told = goldore_in(folder, "inspect", "both.h5").stdout
    assert "10%" in told
    assert "30%" in told
    shown = json.loads(goldore_in(folder, "inspect", "both.h5", "--json").stdout)
    assert len(shown["cells"]) == 5
    mixed = goldore_in(folder, "merge", "s-study.h5", "s.h5", "--out", "mixed.h5")
    assert mixed.returncode == 1
    assert "not a study" in mixed.stderr


def test_a_utility_of_another_number_of_images_is_told_of_even_quietly(folder, goldore_in):
    utility = ("--scores", "KernelUtility", "--width", "4", "--depth", "1", "--trials", "2")
    scored = goldore_in(folder, "score", *utility, "--kernel-networks", "1", "--out", "k.h5")
    assert scored.returncode == 0, scored.stderr
    asked = ("--criterion", "KernelUtility_small", "--distiller", "dm,none", "--ipc", "1,2", "--seeds", "1")
    done = goldore_in(folder, "study", "k.h5", *SMALL[2:], *asked, "--out", "u.h5", "--quiet")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stderr.split())
    assert told.count("KernelUtility is about 1 sample of each class and not 2") == 1
    assert "and not 1" not in told
    assert "and not 0" not in told


def test_prune_says_what_the_study_found(folder, goldore_in):
    prune = ("prune", "s.h5", "--criterion", "LossConverge_large", "--keep-ratio", "0.1", "--overwrite")
    done = goldore_in(folder, *prune, "--out", "k.npy")
    assert done.returncode == 0
    told = done.stdout + done.stderr
    assert "by the study, training on the kept samples, undistilled: " in told
    assert "points to all data over 2 seeds, " in told
    unknown = goldore_in(
        folder, "prune", "s.h5", "--criterion", "Random", "--keep-ratio", "0.4", "--out", "r.npy"
    )
    assert "by the study" not in unknown.stdout + unknown.stderr
    asked = goldore_in(
        folder,
        "prune",
        "s.h5",
        "--criterion",
        "Random",
        "--keep-ratio",
        "0.4",
        "--out",
        "r.npy",
        "--study",
        "s-study.h5",
    )
    assert "s-study.h5 has no cell of this criterion, rule and ratio" in asked.stderr
    missing = goldore_in(folder, *prune, "--study", "nothing.h5")
    assert missing.returncode == 1
    assert "there is no study nothing.h5" in missing.stderr


def test_a_page_and_figures(folder, goldore_in):
    pytest.importorskip("matplotlib")
    done = goldore_in(folder, "inspect", "s-study.h5", "--report", "page.html", "--figures", "figures")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Does pruning pay?" in (folder / "page.html").read_text(encoding="utf-8")
    assert (folder / "figures" / "study-none-ipc0.png").is_file()
    again = goldore_in(folder, "inspect", "s-study.h5", "--report", "page.html")
    assert "page.html exists already" in again.stderr
    refused = goldore_in(folder, "inspect", "s-study.h5", "--criterion", "Random")
    assert refused.returncode == 2
    assert "a study is shown alone" in refused.stderr


def test_programs_that_all_fail_lead_back_to_the_same_command(folder, goldore_in):
    program = ("--ipc", "1", "--keep-ratio", "0.5", "--seeds", "1", "--metric", "x (.*)", "--out", "f.h5")
    words = ("--criterion", "Random", "--", sys.executable, "-c", "raise SystemExit('no data here')")
    done = goldore_in(folder, "study", "s.h5", *program, *words)
    assert done.returncode == 1
    assert "all data, seed 0 failed: " in done.stderr
    assert "no data here" in done.stderr
    assert "next: mend what failed; the same command tries it again" in done.stdout
