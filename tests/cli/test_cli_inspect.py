"""goldore inspect: its numbers against the file read by plain h5py, as JSON and as text."""

import json

import numpy as np
import pytest

from goldore.store.format import text_array
from tests.conftest import edited

SCORES = ("LossInit", "LossConverge")


def refuse(token):
    pytest.fail(f"{token} is not JSON")


def strict_json(text):
    """The one document in the text; NaN and Infinity, which Python writes but JSON has not, fail."""
    document, end = json.JSONDecoder(parse_constant=refuse).raw_decode(text)
    assert text[end:] == "\n"
    return document


@pytest.fixture(scope="module")
def summary(tiny_scores, goldore_in):
    done = goldore_in(tiny_scores.parent, "inspect", tiny_scores.name, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return strict_json(done.stdout)


@pytest.fixture(scope="module")
def text(tiny_scores, goldore_in):
    done = goldore_in(tiny_scores.parent, "inspect", tiny_scores.name)
    assert done.returncode == 0
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    return done.stdout


@pytest.fixture(scope="module")
def content(tiny_scores, read_h5):
    return read_h5(tiny_scores)


class TestJson:
    @pytest.mark.parametrize("name", SCORES)
    def test_score_numbers_are_those_of_the_file(self, name, summary, content):
        values, stderr = content[f"scores/{name}"], content[f"stderr/{name}"]
        shown = summary["scores"][name]
        expected = {
            "mean": values.mean(),
            "std": values.std(ddof=1),
            "min": values.min(),
            "median": np.median(values),
            "max": values.max(),
            "stderr": np.median(stderr),
            "reliability": content[f"scores/{name}@reliability"],
            "rank_reliability": content[f"scores/{name}@rank_reliability"],
            "trials": 2,
            "missing": 0,
        }
        assert {key: shown[key] for key in expected} == pytest.approx(expected, rel=1e-12)
        for share, value in shown["quantiles"].items():
            assert value == pytest.approx(np.quantile(values, float(share)), rel=1e-12)
        assert len(shown["quantiles"]) >= 5
        assert shown["direction"] == content[f"scores/{name}@direction"]
        assert shown["unit"] == "nat"

    @pytest.mark.parametrize("name", SCORES)
    def test_class_rows_are_those_of_the_file(self, name, summary, content):
        rows = summary["scores"][name]["classes"]
        assert [(row["label"], row["name"]) for row in rows] == [(0, "left"), (1, "middle"), (2, "right")]
        for row in rows:
            members = content["dataset/labels"] == row["label"]
            values = content[f"scores/{name}"][members]
            expected = {
                "samples": 20,
                "mean": values.mean(),
                "std": values.std(ddof=1),
                "min": values.min(),
                "median": np.median(values),
                "max": values.max(),
                "stderr": np.median(content[f"stderr/{name}"][members]),
                "reliability": content[f"scores/{name}@class_reliability"][row["label"]],
                "rank_reliability": content[f"scores/{name}@class_rank_reliability"][row["label"]],
            }
            assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("name", SCORES)
    def test_histogram_counts_every_sample_once(self, name, summary, content):
        histogram, values = summary["scores"][name]["histogram"], content[f"scores/{name}"]
        edges = np.array(histogram["edges"])
        assert [edges[0], edges[-1]] == pytest.approx([values.min(), values.max()])
        inside = [int(((values >= low) & (values < high)).sum()) for low, high in zip(edges, edges[1:])]  # noqa: B905, RUF007
        inside[-1] += int((values >= edges[-1]).sum())
        assert histogram["counts"] == inside
        assert sum(histogram["counts"]) == 60

    def test_dataset_is_that_of_the_file(self, summary, content):
        shown = summary["dataset"]
        assert (shown["name"], shown["split"], shown["num_samples"], shown["num_classes"]) == (
            "tiny", "train", 60, 3,
        )  # fmt: skip
        assert shown["fingerprint"] == content["dataset@fingerprint"]
        assert shown["image_shape"] == [1, 8, 8]
        assert shown["class_names"] == ["left", "middle", "right"]
        for key in ("device", "created", "updated", "goldore_version", "torch_version"):
            assert summary[key] == content[f"@{key}"]

    def test_trials_are_those_of_the_file(self, summary, content):
        shown = summary["trials"]["loss"]
        assert shown["recipe"] == json.loads(content["trials/loss@recipe"])
        assert (shown["done"], shown["failed"], shown["base_seed"]) == (2, [], 0)
        assert shown["recorded"] == list(SCORES)
        assert shown["train_loss"] == pytest.approx(content["trials/loss/train_loss"].astype(float).mean(0))
        accuracy = content["trials/loss/test_accuracy"].astype(float)
        assert shown["test_accuracy"] == pytest.approx(accuracy.mean())

    def test_missing_values_are_counted_and_left_out(self, score_file, goldore, content):
        with edited(score_file) as file:
            values = file["scores/LossInit"][()]
            values[content["dataset/labels"] == 2] = np.nan
            file["scores/LossInit"][...] = values
        shown = strict_json(goldore("inspect", score_file, "--json").stdout)["scores"]["LossInit"]
        assert shown["missing"] == 20
        assert shown["mean"] == pytest.approx(np.nanmean(values))
        assert shown["classes"][2]["mean"] is None
        assert shown["classes"][1]["mean"] == pytest.approx(content["scores/LossInit"][1::3].mean())

    def test_one_trial_gives_null_for_what_is_unknown(self, one_trial_run, goldore_in):
        done = goldore_in(one_trial_run[0], "inspect", "one.h5", "--json")
        shown = strict_json(done.stdout)["scores"]["LossConverge"]
        assert shown["trials"] == 1
        assert [shown[key] for key in ("stderr", "reliability", "rank_reliability")] == [None] * 3
        assert shown["mean"] > 0


class TestText:
    def test_shows_the_dataset(self, text, content):
        lines = text.splitlines()
        assert lines[0] == "tiny (train): 60 images of 1x8x8, 3 classes"
        assert f"  fingerprint  {content['dataset@fingerprint']}" in lines
        assert f"  file         tiny.h5, updated {content['@updated']}" in lines

    def test_shows_the_recipe(self, text):
        lines = [" ".join(line.split()) for line in text.splitlines()]
        assert "loss trials: 2 done, base seed 0" in lines
        assert "networks ConvNet: depth 1, width 4, instance norm, relu, avg pooling" in lines
        assert "training 2 epochs, batch 256, lr 0.01, momentum 0.9, weight decay 0.0005" in lines
        assert "averaged LossInit over the first 1 epoch, LossConverge over the last 1 epoch" in lines

    @pytest.mark.parametrize("name", SCORES)
    def test_shows_the_score_with_a_row_a_class(self, name, text, content):
        section = text.split(f"\n{name}: high = hard, low = easy, in nat\n")[1].split("\n\n")[0]
        rows = [line.split() for line in section.splitlines()[-4:-1]]
        assert [row[:3] for row in rows] == [["0", "left", "20"], ["1", "middle", "20"], ["2", "right", "20"]]
        for label, row in enumerate(rows):
            values = content[f"scores/{name}"][content["dataset/labels"] == label]
            expected = [values.mean(), values.std(ddof=1), np.median(values)]
            assert [float(each) for each in row[3:6]] == pytest.approx(expected, abs=6e-4)
        bars = [line for line in section.splitlines() if "█" in line]
        assert len(bars) >= 2

    def test_is_plain_in_a_pipe_and_nothing_is_cut(self, text):
        assert "\x1b" not in text
        assert "…" not in text

    def test_a_class_is_one_line_in_a_pipe_however_long_its_name(self, goldore, score_file, long_names):
        lines = goldore("inspect", score_file).stdout.splitlines()
        for label, name in enumerate(long_names):
            assert len([line for line in lines if line.startswith(f"{label} {name}  ")]) == len(SCORES)

    def test_samples_without_a_score_are_told(self, goldore, score_file):
        assert "have no score" not in goldore("inspect", score_file).stdout
        with edited(score_file) as file:
            file["scores/LossInit"][:7] = np.nan
        assert "7 samples without a score" in goldore("inspect", score_file).stdout

    def test_one_trial_shows_dashes(self, one_trial_run, goldore_in):
        done = goldore_in(one_trial_run[0], "inspect", "one.h5")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        for name in SCORES:
            row = next(line for line in lines if line.startswith(f"{name} ")).split()
            assert row[1] == "1"
            assert row[5:8] == ["-", "-", "-"]  # s.e., reliability, of ranks
        rows = [line.split() for line in lines if line.startswith(("0 left", "1 middle", "2 right"))]
        assert [row[6:9] for row in rows] == [["-", "-", "-"]] * 6

    def test_many_classes_are_listed_with_verbose_only(self, score_file, goldore):
        with edited(score_file) as file:  # the same 60 samples in 30 classes
            file["dataset/labels"][...] = np.repeat(np.arange(30), 2)
            file["dataset"].attrs["num_classes"] = 30
            file["dataset"].attrs["class_names"] = text_array([f"class{label}" for label in range(30)])
            for name in SCORES:
                for key in ("class_reliability", "class_rank_reliability"):
                    file[f"scores/{name}"].attrs[key] = np.full(30, 0.5)
        short, long = goldore("inspect", score_file), goldore("inspect", score_file, "--verbose")
        assert (
            short.stdout.count("these 20 of 30 classes are ranked least reliably; --verbose lists all") == 2
        )
        assert ("19 class19" in short.stdout, "20 class20" in short.stdout) == (True, False)
        assert "29 class29" in long.stdout
        assert "more classes" not in long.stdout


def test_the_file_is_not_touched(goldore, score_file, snapshot):
    before, modified = snapshot(), score_file.stat().st_mtime_ns
    assert goldore("inspect", score_file).returncode == 0
    assert snapshot() == before
    assert score_file.stat().st_mtime_ns == modified
