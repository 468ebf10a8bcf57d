"""goldore inspect beside its summary: criteria, comparisons, single samples, tables; terminals and pipes."""

import csv
import dataclasses
import functools
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
from itertools import pairwise

import h5py
import numpy as np
import pytest
from rich.cells import cell_len

import goldore
from goldore.report.curves import reliability_curve
from goldore.wording import a_reliability, count, number, percent, reliability
from tests.report.making import HOSTILE, ODD, noise, put, scored

KEEP = ("--criterion", "LossConverge_large", "--keep-ratio", "0.3")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
NAMES = ("\u6f22\u5b57" * 30, "[bold]x[/bold]", "n" * 90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """a.h5 and b.h5 of one dataset, arrays.npz; c.h5 of another one; a list of LossInit."""
    folder = tmp_path_factory.mktemp("views")
    dataset = noise((20, 17, 23), names=NAMES, source=f"arrays in {folder / 'arrays.npz'}")
    np.savez(
        folder / "arrays.npz", x_train=dataset.images, y_train=dataset.labels, class_names=np.array(NAMES)
    )
    scored(folder / "a.h5", dataset, 3, 40)
    put(folder / "a.h5", "LossInit", np.nan, [3, 4])
    scored(folder / "b.h5", dataset, 2, 30, seed=1)
    scored(folder / "names.h5", noise((6,) * len(HOSTILE), names=HOSTILE), 20, 30)
    scored(folder / "c.h5", noise((20, 17, 23), seed=1), 1)
    values = list(np.random.default_rng(0).random(60))
    (folder / "noise_LossInit.json").write_text(json.dumps([None, *values[1:]]))
    return folder


@pytest.fixture
def inspect(folder, monkeypatch, goldore_here):
    """Run goldore inspect in that folder."""
    monkeypatch.chdir(folder)
    return functools.partial(goldore_here, "inspect")


@pytest.fixture
def shows(inspect):
    def run(*args, **options):
        done = inspect(*args, **options)
        assert done.exit_code == 0
        assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
        return done.stdout

    return run


@pytest.fixture
def as_json(shows):
    def run(*args):
        def refuse(token):
            pytest.fail(f"{token} is not JSON")

        return json.loads(shows(*args, "--json"), parse_constant=refuse)

    return run


def stored(path):
    """(labels, scores by name), by plain h5py."""
    with h5py.File(path) as file:
        return file["dataset/labels"][()], {name: node[()] for name, node in file["scores"].items()}


def spearman(first, second):
    one, two = (
        np.array([(x < x_i).sum() + ((x == x_i).sum() - 1) / 2 for x_i in x]) for x in (first, second)
    )
    return np.corrcoef(one, two)[0, 1]


def kept_by_hand(values, labels, share, scope="class", drops="large"):
    """Positions that are kept, NaN dropped first; ties do not occur."""
    keys = np.where(np.isnan(values), np.inf, values if drops == "large" else -values)
    groups = [labels == label for label in np.unique(labels)] if scope == "class" else [labels >= 0]
    found = []
    for group in groups:
        members = np.flatnonzero(group)
        found += members[np.argsort(keys[members], kind="stable")][
            : int(np.ceil(share * len(members)))
        ].tolist()
    return set(found)


def words(text):
    return [" ".join(line.split()) for line in text.splitlines()]


class TestCriterion:
    @pytest.mark.parametrize("scope", ["class", "global"])
    @pytest.mark.parametrize("ratio", [("--keep-ratio", "0.3"), ("--drop-ratio", "0.7")])
    def test_counts_and_thresholds_are_those_of_the_file(self, folder, as_json, scope, ratio):
        labels, scores = stored(folder / "a.h5")
        found = as_json("a.h5", "--criterion", "loss-init-large", *ratio, "--scope", scope)["kept"]
        kept = np.array(sorted(kept_by_hand(scores["LossInit"], labels, 0.3, scope)))
        assert (found["criterion"], found["scope"]) == ("LossInit_large", scope)
        assert (found["kept"], found["total"], found["missing"]) == (len(kept), 60, 2)
        for label, row in enumerate(found["classes"]):
            mine = kept[labels[kept] == label]
            assert (row["kept"], row["total"]) == (len(mine), int((labels == label).sum()))
            assert row["threshold"] == pytest.approx(scores["LossInit"][mine].max())

    def test_the_text_has_the_same_numbers(self, as_json, shows):
        found, lines = as_json("a.h5", *KEEP)["kept"], words(shows("a.h5", *KEEP))
        title = "LossConverge_large, keep ratio 0.3 of each class: keeps 19 of 60 samples (31.67%)"
        assert title in lines
        for row in found["classes"]:
            cells = (count(row["kept"]), count(row["total"]), number(row["threshold"]))
            assert (
                " ".join([f"{row['label']} {row['name']}", *cells, percent(row["halves_overlap"])]) in lines
            )

    def test_random_has_no_threshold(self, as_json, shows):
        options = ("a.h5", "--criterion", "Random", "--drop-ratio", "0.5")
        found = as_json(*options)["kept"]
        assert found["kept"] == 31
        assert {row["threshold"] for row in found["classes"]} == {None}
        assert words(shows(*options))[-1].endswith("- -")

    @pytest.mark.parametrize("rule", [("--keep-ratio", "0.3"), ("--keep-per-class", "4")])
    def test_it_is_the_selection_that_prune_writes(self, rule, folder, as_json, goldore_here, tmp_path):
        out = tmp_path / "keep.json"
        options = ("--criterion", "LossConverge_large", *rule)
        done = goldore_here("prune", folder / "b.h5", *options, "--out", out)
        assert done.exit_code == 0, done.output
        written = json.loads(out.read_text())
        found = as_json("b.h5", *options)["kept"]
        assert found["kept"] == len(written["indices"])
        assert [row["kept"] for row in found["classes"]] == written["kept_per_class"]

    def test_it_says_what_is_dropped_and_how_far_to_trust_it(self, as_json, inspect):
        options = ("a.h5", "--criterion", "MonteCarlo_small", "--keep-per-class", 4)
        found, done = as_json(*options), inspect(*options)
        trust = found["scores"]["MonteCarlo"]["rank_reliability"]
        assert (found["kept"]["score"], found["kept"]["drops"]) == ("MonteCarlo", "small")
        assert (found["kept"]["reliability"], found["kept"]["utility"]) == (trust, True)
        lines = words(done.stdout)
        assert (
            "drops small MonteCarlo (high = useful, low = useless or harmful), in accuracy (1 = all correct)"
            in lines
        )
        assert f"reliability {reliability(trust)}" in lines
        assert "MonteCarlo_small, keep 4 of each class: keeps 12 of 60 samples (20.00%)" in lines
        assert f"has {a_reliability(trust)}; most of it is noise" in " ".join(done.stderr.split())


class TestReliabilityByTrials:
    def test_json_has_the_points_of_the_curves_if_asked(self, folder, as_json):
        short, long = as_json("a.h5"), as_json("a.h5", "--verbose")
        file = goldore.load_scores(folder / "a.h5")
        for name, score in long["scores"].items():
            curve = score.pop("reliability_curve")
            known = reliability_curve(file, file.scores[name])
            assert curve == json.loads(json.dumps(dataclasses.asdict(known)))
            assert curve["measured"][-1] == [score["trials"], score["rank_reliability"]]
            assert list(score["trials_needed"]) == [str(target) for target in curve["targets"]]
        assert long == short

    def test_of_every_file_that_is_compared(self, as_json):
        for file in as_json("a.h5", "b.h5", "--verbose")["files"]:
            assert file["scores"]["LossConverge"]["reliability_curve"]["measured"]

    def test_a_list_has_none(self, as_json):
        for file in as_json("noise_LossInit.json", "b.h5", "--verbose")["files"]:
            listed = file["file"].endswith(".json")
            assert (file["scores"]["LossInit"]["reliability_curve"] is None) == listed


class TestComparison:
    def test_correlations_are_spearmans(self, folder, as_json):
        labels, first = stored(folder / "a.h5")
        _, second = stored(folder / "b.h5")
        found = as_json("a.h5", "b.h5")["comparison"]["correlations"]
        assert [each["scores"] for each in found] == [
            [name] * 2 for name in ("LossInit", "LossConverge", "MonteCarlo")
        ]
        for each in found:
            one, two = first[each["scores"][0]], second[each["scores"][0]]
            known = np.isfinite(one) & np.isfinite(two)
            within = [
                spearman(one[mine], two[mine]) for mine in (known & (labels == label) for label in range(3))
            ]
            sizes = [(known & (labels == label)).sum() for label in range(3)]
            assert each["within_class"] == pytest.approx(np.average(within, weights=sizes))
            assert each["global"] == pytest.approx(spearman(one[known], two[known]))
            assert each["samples"] == known.sum()

    @pytest.mark.parametrize("scope", ["class", "global"])
    def test_overlaps_are_those_of_the_kept_sets(self, folder, as_json, scope):
        labels, first = stored(folder / "a.h5")
        _, second = stored(folder / "b.h5")
        found = as_json("a.h5", "b.h5", "--scope", scope)["comparison"]
        assert found["ratios"] == ["0.01", "0.05", "0.1", "0.3", "0.5"]
        assert len(found["overlaps"]) == 6
        for each in found["overlaps"]:
            name, _, end = each["criteria"][0].rpartition("_")
            for ratio in found["ratios"]:
                one, two = (kept_by_hand(x[name], labels, float(ratio), scope, end) for x in (first, second))
                assert each["kept_by_both"][ratio] == pytest.approx(len(one & two) / len(one))

    def test_the_text_has_the_same_numbers(self, as_json, shows):
        found, lines = as_json("a.h5", "b.h5")["comparison"], words(shows("a.h5", "b.h5"))
        assert lines[0] == "A a.h5: LossInit, LossConverge, MonteCarlo"
        for each in found["correlations"]:
            cells = [number(each[key]) for key in ("within_class", "noise_limit", "global")]
            assert " ".join(["A B", each["scores"][0], *cells, count(each["samples"])]) in lines
        for each in found["overlaps"]:
            assert (
                " ".join(["A B", each["criteria"][0], *map(percent, each["kept_by_both"].values())]) in lines
            )
        assert " ".join(["chance", *map(percent, found["overlaps"][0]["chance"].values())]) in lines

    @pytest.mark.parametrize("order", [("a.h5", "noise_LossInit.json"), ("noise_LossInit.json", "a.h5")])
    def test_a_list_takes_the_labels_of_the_file_beside_it(self, folder, as_json, shows, order):
        _, scores = stored(folder / "a.h5")
        values = np.array(json.loads((folder / "noise_LossInit.json").read_text()), dtype=float)
        found = as_json(*order)
        (correlation,) = found["comparison"]["correlations"]
        known = np.isfinite(values) & np.isfinite(scores["LossInit"])
        assert correlation["global"] == pytest.approx(spearman(values[known], scores["LossInit"][known]))
        assert (correlation["samples"], correlation["noise_limit"]) == (57, None)
        assert [each["file"] for each in found["comparison"]["files"]] == list(order)
        assert [list(each["scores"]) for each in found["files"]][order.index("noise_LossInit.json")] == [
            "LossInit"
        ]
        assert "as many scores where it is a list" in shows(*order)

    def test_a_gzipped_list_is_read_too(self, folder, as_json):
        import gzip

        packed = folder / "packed_LossInit.json.gz"
        packed.write_bytes(gzip.compress((folder / "noise_LossInit.json").read_bytes()))
        plain, zipped = (as_json("a.h5", name)["comparison"] for name in ("noise_LossInit.json", packed.name))
        assert zipped["correlations"] == plain["correlations"]
        assert zipped["overlaps"] == plain["overlaps"]

    def test_three_files_give_three_pairs(self, as_json):
        found = as_json("a.h5", "b.h5", "noise_LossInit.json")["comparison"]
        assert [tuple(each["files"]) for each in found["correlations"]] == [("A", "B")] * 3 + [
            ("A", "C"),
            ("B", "C"),
        ]

    def test_files_of_other_datasets_are_refused(self, inspect):
        done = inspect("a.h5", "c.h5")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "compare files of one dataset" in done.stderr

    def test_a_list_of_another_length_is_refused(self, inspect, tmp_path):
        (tmp_path / "noise_LossInit.json").write_text("[1, 2, 3]")
        done = inspect("a.h5", tmp_path / "noise_LossInit.json")
        assert (done.exit_code, done.stdout) == (1, "")
        assert "has 3 scores but noise has 60" in " ".join(done.stderr.split())


class TestSample:
    def test_numbers_are_those_of_the_file(self, folder, as_json):
        labels, scores = stored(folder / "a.h5")
        found = as_json("a.h5", "--sample", 7, "--sample", 3, "--sample", 7)["samples"]
        assert [each["position"] for each in found] == [7, 3, 7]
        assert found[0] == found[2]
        with h5py.File(folder / "a.h5") as file:
            losses = {name: file[f"trials/loss/{name}"][()] for name in ("LossInit", "LossConverge")}
            members, accuracy = file["trials/utility/members"][()], file["trials/utility/accuracy"][()]
            hashes = file["dataset/sample_hash"][()]
            errors = {name: node[()] for name, node in file["stderr"].items()}
        for each in found:
            position, label = each["position"], labels[each["position"]]
            assert (each["label"], each["class"]) == (label, NAMES[label])
            assert int(each["hash"], 16) == hashes[position]
            for name, shown in each["scores"].items():
                values = scores[name][labels == label]
                if np.isnan(scores[name][position]):
                    assert (shown["value"], shown["rank"]) == (None, None)
                else:
                    assert shown["value"] == scores[name][position]
                    assert shown["rank"] == 1 + (values < shown["value"]).sum()
                assert shown["ranked"] == np.isfinite(values).sum()
                assert shown["stderr"] == pytest.approx(errors[name][position])
                per_trial = (
                    accuracy[(members == position).any(axis=1), label]
                    if name == "MonteCarlo"
                    else losses[name][:, position]
                )
                assert shown["per_trial"] == per_trial.astype(float).tolist()
                assert shown["trials"] == len(per_trial)

    def test_the_text_has_the_same_numbers(self, as_json, shows):
        options = ("a.h5", "--sample", 7)
        (found,), lines = as_json(*options)["samples"], words(shows(*options))
        assert f"sample 7: class {found['label']} {found['class']}" in lines
        for name, each in found["scores"].items():
            rank = f"{each['rank']:g} of {each['ranked']}"
            cells = (number(each["value"]), number(each["stderr"]), rank, count(each["trials"]))
            assert " ".join([name, *cells]) in lines
            assert any(line.endswith(" ".join(map(number, each["per_trial"]))) for line in lines)

    def test_the_image_is_drawn_in_shades_in_a_pipe(self, folder, shows):
        text = shows("a.h5", "--sample", 7)
        assert "\x1b" not in text
        rows = text.splitlines()[-8:]
        with np.load(folder / "arrays.npz") as arrays:
            grey = (
                arrays["x_train"][7].astype(float).mean(axis=0 if arrays["x_train"][7].shape[0] == 3 else 2)
            )
        shades = " \N{LIGHT SHADE}\N{MEDIUM SHADE}\N{DARK SHADE}\N{FULL BLOCK}"
        drawn = np.array([[shades.index(mark) for mark in f"{row:<16}"[::2]] for row in rows])
        assert np.array_equal(drawn, np.minimum(grey / 256 * 5, 4).astype(int))

    def test_samples_without_images_are_shown_with_a_sentence(self, inspect):
        done = inspect("c.h5", "--sample", 3)
        assert done.exit_code == 0
        assert "sample 3: class" in done.stdout
        assert "the images of noise are not at hand" in " ".join(done.stderr.split())

    @pytest.mark.parametrize("position", [-1, 60, 10**12])
    def test_there_are_no_other_positions(self, inspect, position):
        done = inspect("a.h5", "--sample", position)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "0 to 59" in done.stderr

    def test_criterion_and_sample_are_shown_together(self, as_json, shows):
        options = ("a.h5", *KEEP, "--sample", 3)
        assert {"kept", "samples"} <= as_json(*options).keys()
        text = shows(*options)
        assert "sample 3: class" in text
        assert "LossConverge_large, keep ratio 0.3" in text


class TestTable:
    def check(self, text, path, kept=None):
        labels, scores = stored(path)
        with h5py.File(path) as file:
            errors = {name: node[()] for name, node in file["stderr"].items()}
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [int(row["position"]) for row in rows] == list(range(60))
        assert [int(row["label"]) for row in rows] == labels.tolist()
        assert [row["class"] for row in rows] == [NAMES[label] for label in labels]
        for name, values in scores.items():
            for column, exact in ((name, values), (f"{name}_stderr", errors[name])):
                read = np.array([float(row[column]) if row[column] else np.nan for row in rows])
                np.testing.assert_array_equal(read, exact)
            for row, value, label in zip(rows, values, labels, strict=True):
                mine = values[labels == label]
                rank = 1 + (mine < value).sum() + ((mine == value).sum() - 1) / 2
                assert row[f"{name}_rank"] == ("" if np.isnan(value) else str(rank))
        if kept is None:
            assert "kept" not in rows[0]
        else:
            assert {int(row["position"]) for row in rows if row["kept"] == "1"} == kept
            assert {row["kept"] for row in rows} == {"0", "1"}

    def test_numbers_come_back_to_the_last_bit(self, folder, shows, tmp_path):
        out = tmp_path / "table.csv"
        assert "table written to" in shows("a.h5", "--csv", out)
        self.check(out.read_text(encoding="utf-8"), folder / "a.h5")

    def test_the_table_on_stdout_is_the_same_and_nothing_else(self, shows, tmp_path):
        out = tmp_path / "table.csv"
        shows("a.h5", *KEEP, "--csv", out)
        assert shows("a.h5", *KEEP, "--csv", "-") == out.read_text(encoding="utf-8")

    def test_a_criterion_adds_what_is_kept(self, folder, shows):
        labels, scores = stored(folder / "a.h5")
        self.check(
            shows("a.h5", *KEEP, "--csv", "-"),
            folder / "a.h5",
            kept_by_hand(scores["LossConverge"], labels, 0.3),
        )

    def test_names_of_all_kinds_are_read_back(self, shows, tmp_path):
        dataset = noise((3,) * len(HOSTILE), names=HOSTILE)
        scored(tmp_path / "names.h5", dataset, 1)
        rows = list(csv.DictReader(io.StringIO(shows(tmp_path / "names.h5", "--csv", "-"), newline="")))
        assert [row["class"] for row in rows] == [HOSTILE[label] for label in dataset.labels]

    def test_the_table_on_stdout_stays_a_table_beside_a_page(self, folder, inspect, tmp_path):
        pytest.importorskip("matplotlib")
        done = inspect("a.h5", "--csv", "-", "--report", tmp_path / "page.html")
        assert done.exit_code == 0
        assert "page written to" in done.stderr
        self.check(done.stdout, folder / "a.h5")

    def test_an_existing_table_is_replaced_only_if_asked(self, inspect, shows, tmp_path):
        out = tmp_path / "table.csv"
        out.write_text("mine")
        done = inspect("a.h5", "--csv", out)
        assert (done.exit_code, done.stdout, out.read_text()) == (2, "", "mine")
        shows("a.h5", "--csv", out, "--overwrite")
        assert out.read_text(encoding="utf-8").startswith("position,label,class,LossInit,")
        assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]


REFUSED = {
    "keep ratio without a criterion": ("a.h5", "--keep-ratio", "0.3"),
    "drop ratio without a criterion": ("a.h5", "--drop-ratio", "0.3"),
    "scope without a criterion": ("a.h5", "--scope", "global"),
    "criterion without a ratio": ("a.h5", "--criterion", "LossInit_large"),
    "two ratios": ("a.h5", *KEEP, "--drop-ratio", "0.3"),
    "ratio above one": ("a.h5", "--criterion", "LossInit_large", "--keep-ratio", "1.5"),
    "ratio that is no number": ("a.h5", "--criterion", "LossInit_large", "--keep-ratio", "nan"),
    "nothing kept": ("a.h5", "--criterion", "LossInit_large", "--keep-ratio", "0"),
    "unknown criterion": ("a.h5", "--criterion", "LossFinal_large", "--keep-ratio", "0.3"),
    "unknown scope": ("a.h5", "b.h5", "--scope", "all"),
    "criterion of several files": ("a.h5", "b.h5", *KEEP),
    "sample of several files": ("a.h5", "b.h5", "--sample", "3"),
    "table of several files": ("a.h5", "b.h5", "--csv", "new.csv"),
    "json and a page": ("a.h5", "--json", "--report", "new.html"),
    "json and figures": ("a.h5", "--json", "--figures", "new"),
    "json and a table": ("a.h5", "--json", "--csv", "new.csv"),
    "json and a dataset": ("a.h5", "--json", "--sample", "3", "--dataset", "arrays.npz"),
    "dataset without images": ("a.h5", "--dataset", "arrays.npz"),
    "dataset of a table": ("a.h5", "--csv", "new.csv", "--dataset", "arrays.npz"),
    "overwrite of nothing": ("a.h5", "--overwrite"),
    "overwrite of stdout": ("a.h5", "--csv", "-", "--overwrite"),
    "a list alone": ("noise_LossInit.json",),
    "lists alone": ("noise_LossInit.json", "noise_LossInit.json"),
    "too many files": ("a.h5",) * 27,
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_do_not_fit_are_refused_in_one_sentence(case, inspect, folder):
    before = sorted(folder.iterdir())
    done = inspect(*REFUSED[case])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    sentence = " ".join(done.stderr.split())
    assert sentence.endswith((".", "?", "import"))
    assert done.stderr.count("error:") == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("case", ODD)
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
def test_odd_files_are_shown(case, shows, as_json, tmp_path):
    path = ODD[case](tmp_path / "odd.h5")
    text, found = shows(path), as_json(path)
    for name, score in found["scores"].items():
        assert f"{name}: {score['direction']}, in {score['unit']}" in text
    assert words(text)[0].startswith("noise (train): ")
    assert as_json(path, "--sample", 0)["samples"][0]["position"] == 0
    if any(score["mean"] is not None for score in found["scores"].values()):
        assert as_json(path, path)["comparison"]["correlations"]


VIEWS = {
    "summary": ("a.h5", "--verbose"),
    "kept": ("a.h5", *KEEP, "--scope", "global"),
    "comparison": ("a.h5", "b.h5", "noise_LossInit.json"),
    "comparison by class": ("a.h5", "b.h5", "noise_LossInit.json", "--verbose"),
    "sample": ("a.h5", "--sample", "3"),
    "sample with all trials": ("names.h5", "--sample", "3", "--verbose"),
    "all names": ("names.h5", "--sample", "3", *KEEP),
}


class TestTerminal:
    """The command on a terminal of 80 columns, and with colours forced into a pipe."""

    def on_a_terminal(self, args, cwd, environment, columns=80):
        leader, follower = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "goldore", "inspect", *args],
            cwd=cwd,
            env=environment(TERM="xterm-256color"),
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)
        written = b""
        while select.select([leader], [], [], 60)[0]:
            try:
                block = os.read(leader, 2**16)
            except OSError:  # Linux's end of a terminal
                break
            if not block:
                break
            written += block
        os.close(leader)
        return process.wait(60), written.decode()

    @pytest.mark.parametrize("view", VIEWS)
    def test_no_number_is_cut_on_a_narrower_one(self, view, folder, inspect, goldore_environment):
        def environment(**extra):
            kept = goldore_environment(**extra)
            return {name: value for name, value in kept.items() if name not in ("COLUMNS", "LINES")}

        code, text = self.on_a_terminal(VIEWS[view], folder, environment, columns=44)
        assert code == 0, text
        plain = ESCAPES.sub("", text).replace("\r", "")
        numbers = re.compile(r"(?<![\w.])\d[\d.,]*%?(?= |$)", re.MULTILINE)
        wide = set(numbers.findall(inspect(*VIEWS[view]).stdout))
        assert wide
        assert wide <= set(numbers.findall(plain))

    @pytest.mark.parametrize("view", VIEWS)
    def test_no_line_is_wider_than_the_terminal(self, view, folder, goldore_environment):
        def environment(**extra):
            kept = goldore_environment(**extra)
            return {name: value for name, value in kept.items() if name not in ("COLUMNS", "LINES")}

        code, text = self.on_a_terminal(VIEWS[view], folder, environment)
        assert code == 0, text
        assert "Traceback" not in text
        assert "\x1b[1m" in text
        plain = ESCAPES.sub("", text)
        assert "\x1b" not in plain
        assert max(cell_len(line) for line in plain.splitlines()) <= 80

    @pytest.mark.parametrize("view", VIEWS)
    def test_forced_colours_do_not_widen_it(self, view, inspect):
        done = inspect(*VIEWS[view], env={"FORCE_COLOR": "1"})
        assert done.exit_code == 0
        plain = ESCAPES.sub("", done.stdout)
        assert "\x1b" in done.stdout
        assert "\x1b" not in plain
        assert max(cell_len(line) for line in plain.splitlines()) <= 80

    def test_numbers_are_whole_beside_long_names(self, as_json, inspect):
        lines = words(ESCAPES.sub("", inspect("a.h5", env={"FORCE_COLOR": "1"}).stdout))
        for score in as_json("a.h5")["scores"].values():
            signal = ["signal_share"] if score["signal_share"] is not None else []
            for row in score["classes"]:
                median = [] if signal else ["median"]
                cells = [number(row[key]) for key in ("mean", "std", *median, "stderr")]
                cells += [reliability(row[key]) for key in ("reliability", "rank_reliability")]
                cells += [number(row[key], 2) for key in signal]
                ending = " ".join([count(row["samples"]), *cells, percent(row["highest_tenth"], 1)])
                assert any(line.endswith(ending) for line in lines)

    def test_correlations_within_classes_are_whole_for_four_files(self, as_json, inspect):
        files = ("a.h5", "b.h5", "a.h5", "b.h5", "--verbose")
        text = ESCAPES.sub("", inspect(*files, env={"FORCE_COLOR": "1"}).stdout)
        section = text.split("rank correlation within each class")[1].split("kept by both")[0]
        for each in as_json(*files[:-1])["comparison"]["correlations"]:
            assert all(number(value) in section for value in each["classes"])

    def test_colours_change_no_word(self, inspect):
        plain, coloured = (inspect("b.h5", "b.h5", env=env).stdout for env in ({}, {"FORCE_COLOR": "1"}))
        assert " ".join(ESCAPES.sub("", coloured).split()) == " ".join(plain.split())

    def test_half_blocks_have_the_pixels_colours(self, inspect, folder):
        text = inspect("a.h5", "--sample", 7, env={"FORCE_COLOR": "1", "COLORTERM": "truecolor"}).stdout
        cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m\N{UPPER HALF BLOCK}", text)
        with np.load(folder / "arrays.npz") as arrays:
            pixels = arrays["x_train"][7]
        pixels = pixels.transpose(1, 2, 0) if pixels.shape[0] == 3 else pixels
        expected = np.concatenate([pixels[::2], pixels[1::2]], axis=2).reshape(-1, 6)
        assert np.array_equal(np.array(cells, dtype=int), expected)

    def test_no_colour_is_respected(self, inspect):
        env = {"FORCE_COLOR": "1", "NO_COLOR": "1"}
        text = inspect("a.h5", "--sample", 7, env=env).stdout
        assert not re.search(r"\x1b\[[0-9;]*(3|4|9|10)\d", text)
        assert "\N{UPPER HALF BLOCK}" not in text

    def test_a_locale_without_blocks_gets_letters(self, folder, goldore_in):
        done = goldore_in(folder, "inspect", "a.h5", "--sample", "7", env={"PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert len({len(line) <= 16 for line in done.stdout.splitlines()[-8:]}) == 1


def test_nothing_heavy_is_imported_to_look_at_scores(folder, repository, goldore_environment):
    code = (
        "import sys, json; from typer.testing import CliRunner; from cli.app import app\n"
        "run = lambda *args: CliRunner().invoke(app, ['inspect', *args]).exit_code\n"
        f"codes = [run('{folder}/a.h5'), run('{folder}/a.h5', '{folder}/b.h5'), "
        f"run('{folder}/a.h5', '--csv', '-'), run('{folder}/a.h5', '--sample', '1', '--json')]\n"
        "heavy = {'torch', 'torchvision', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "print(json.dumps([codes, sorted(heavy)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository, env=goldore_environment(), capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [[0] * 4, []]


def test_histograms_in_the_text_have_the_counts_of_the_json(as_json, shows):
    found = as_json("a.h5")["scores"]["LossConverge"]["histogram"]
    section = shows("a.h5").split("\nLossConverge: high")[1]
    lines = [line.split() for line in section.splitlines()]
    begin = next(place for place, line in enumerate(lines) if line[:1] == ["quantiles"]) + 1
    lines = lines[begin : begin + len(found["counts"])]
    assert [int(line[-1]) for line in lines] == found["counts"]
    assert [line[0] for line in lines] == [number(edge) for edge in found["edges"][:-1]]
    longest = max(found["counts"])
    bars = [line[1].count("\N{FULL BLOCK}") if len(line) == 3 else 0 for line in lines]
    assert bars == [round(40 * amount / longest) for amount in found["counts"]]
    assert all(low < high for low, high in pairwise(found["edges"]))
