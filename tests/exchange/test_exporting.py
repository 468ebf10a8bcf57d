"""Scores for other programs: lists of the paper's form, and tables."""

import csv
import json

import h5py
import numpy as np
import pytest

from goldore.datasets.dataset import ImageDataset
from goldore.errors import GoldoreError, ScoreFileError, UsageError
from goldore.exchange.exporting import export_lists, table, write_table
from goldore.exchange.importing import import_scores, list_scores
from goldore.store import load_scores, reestimate
from tests.report.making import noise, put, scored

SCORES = ("LossInit", "LossConverge", "MonteCarlo")


@pytest.fixture
def file(tmp_path):
    """Two loss trials, and three utility trials that do not draw every sample."""
    return load_scores(scored(tmp_path / "scores.h5", noise((20, 17, 23)), 2, 3))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "lists"


def numbers(path):
    def refuse(token):
        pytest.fail(f"{token} is not JSON")

    return np.array(json.loads(path.read_text(), parse_constant=refuse))


def in_mean(path, outcome="accuracy"):
    """By hand: mean outcome of its class over the trials that drew each sample; NaN for never drawn."""
    with h5py.File(path) as file:
        labels, members = file["dataset/labels"][()], file["trials/utility/members"][()]
        outcomes = file[f"trials/utility/{outcome}"][()].astype(float)
    found = np.full(len(labels), np.nan)
    for position, label in enumerate(labels):
        drew = (members == position).any(axis=1)
        if drew.any():
            found[position] = outcomes[drew, label].mean()
    return found


class TestLists:
    def test_are_named_as_the_papers_and_hold_the_scores(self, file, out):
        paths = export_lists(file, out)
        assert paths == [out / f"noise_{name}.json" for name in SCORES]
        assert {each.name for each in out.iterdir()} == {each.name for each in paths}
        for name in SCORES[:2]:
            assert np.array_equal(numbers(out / f"noise_{name}.json"), file.scores[name].values)

    def test_monte_carlo_is_the_in_mean_and_zero_where_never_drawn(self, file, out):
        export_lists(file, out)
        expected = in_mean(file.path)
        never = np.isnan(expected)
        assert 0 < never.sum() < 60
        found = numbers(out / "noise_MonteCarlo.json")
        np.testing.assert_allclose(found[~never], expected[~never], rtol=1e-6)
        assert (found[never] == 0).all()
        assert (found[~never] != 0).all()

    def test_a_sample_that_was_drawn_to_no_avail_is_not_called_never_drawn(self, tmp_path, out):
        path = scored(tmp_path / "zero.h5", noise((20, 17, 23)), 0, 3)
        from tests.conftest import edited

        with edited(path) as content:
            content["trials/utility/accuracy"][0] = 0
        reestimate(path, "accuracy", "in-minus-out")
        expected = in_mean(path)
        export_lists(load_scores(path), out)
        found = numbers(out / "noise_MonteCarlo.json")
        assert (expected == 0).any()
        assert np.array_equal(found == 0, np.isnan(expected))
        assert 0 < found[expected == 0].max() < 1e-9
        labels = noise((20, 17, 23)).labels
        again = import_scores(out, tmp_path / "again.h5", labels=labels, name="noise")
        np.testing.assert_allclose(again.scores["MonteCarlo"].values, expected, rtol=1e-6)

    def test_the_order_within_a_class_is_that_of_in_minus_out(self, tmp_path, out):
        file = load_scores(scored(tmp_path / "many.h5", noise((20, 17, 23)), 0, 60))
        export_lists(file, out)
        found = numbers(out / "noise_MonteCarlo.json")
        np.testing.assert_allclose(found, in_mean(file.path), rtol=1e-6)
        for label in range(3):
            mine = file.labels == label
            one, two = file.scores["MonteCarlo"].values[mine], found[mine]
            assert np.corrcoef(one.argsort().argsort(), two.argsort().argsort())[0, 1] > 0.95

    def test_ridge_is_written_as_it_is(self, tmp_path, out):
        path = scored(tmp_path / "many.h5", noise((20, 17, 23)), 0, 60)
        reestimate(path, "accuracy", "ridge")
        file = load_scores(path)
        export_lists(file, out)
        assert np.array_equal(numbers(out / "noise_MonteCarlo.json"), file.scores["MonteCarlo"].values)

    def test_negative_outcomes_with_samples_never_drawn_are_refused(self, tmp_path, out):
        file = load_scores(scored(tmp_path / "logprob.h5", noise((20, 17, 23)), 0, 3, outcome="logprob"))
        with pytest.raises(ScoreFileError, match="add trials"):
            export_lists(file, out)
        whole = load_scores(scored(tmp_path / "whole.h5", noise((20, 17, 23)), 0, 60, outcome="logprob"))
        export_lists(whole, out)
        np.testing.assert_allclose(
            numbers(out / "noise_MonteCarlo.json"), in_mean(whole.path, "logprob"), rtol=1e-6
        )

    def test_a_missing_loss_is_refused_and_nothing_is_written(self, file, out):
        file = load_scores(put(file.path, "LossConverge", np.nan, slice(4)))
        with pytest.raises(ScoreFileError, match=r"4 of 60 samples have no LossConverge.*`scores`"):
            export_lists(file, out)
        assert not out.exists()
        assert export_lists(file, out, scores=["LossInit"]) == [out / "noise_LossInit.json"]

    @pytest.mark.parametrize("given", [["MonteCarlo"], ["monte-carlo", "loss_init"]])
    def test_only_the_chosen_scores_are_written(self, file, out, given):
        spelled = {"MonteCarlo": "MonteCarlo", "monte-carlo": "MonteCarlo", "loss_init": "LossInit"}
        assert export_lists(file, out, scores=given) == [
            out / f"noise_{spelled[name]}.json" for name in given
        ]
        assert len(list(out.iterdir())) == len(given)

    def test_unknown_scores_are_refused(self, file, out):
        with pytest.raises(UsageError, match="LossFinal"):
            export_lists(file, out, scores=["LossFinal"])
        assert not out.exists()

    def test_the_name_of_the_dataset_can_be_chosen(self, file, out):
        export_lists(file, out, scores=["LossInit"], name="CIFAR10")
        (path,) = export_lists(file, out, scores=["LossInit"], name="../a b/c")
        assert {each.name for each in out.iterdir()} == {"CIFAR10_LossInit.json", path.name}
        assert path.parent == out

    def test_existing_lists_are_replaced_only_if_asked(self, file, out):
        out.mkdir()
        (out / "noise_MonteCarlo.json").write_text("mine")
        with pytest.raises(UsageError, match="`overwrite`"):
            export_lists(file, out)
        assert [each.name for each in out.iterdir()] == ["noise_MonteCarlo.json"]
        assert (out / "noise_MonteCarlo.json").read_text() == "mine"
        export_lists(file, out, overwrite=True)
        assert len(numbers(out / "noise_MonteCarlo.json")) == 60

    def test_a_file_in_place_of_the_folder_is_refused(self, file, out):
        out.write_text("mine")
        with pytest.raises(GoldoreError, match="cannot write"):
            export_lists(file, out)
        assert out.read_text() == "mine"


class TestThereAndBack:
    def test_the_same_values_and_the_same_missing_ones(self, file, out, tmp_path):
        export_lists(file, out)
        back = import_scores(out, tmp_path / "back.h5", labels=file.labels, name="noise")
        assert tuple(back.scores) == SCORES
        for name in SCORES[:2]:
            assert np.array_equal(back.scores[name].values, file.scores[name].values)
        expected = in_mean(file.path)
        values = back.scores["MonteCarlo"].values
        assert np.array_equal(np.isnan(values), np.isnan(expected))
        np.testing.assert_allclose(values, expected, rtol=1e-6)

    def test_a_second_time_gives_the_same_lists_to_the_byte(self, file, out, tmp_path):
        export_lists(file, out)
        back = import_scores(out, tmp_path / "back.h5", labels=file.labels, name="noise")
        export_lists(back, tmp_path / "again")
        for each in out.iterdir():
            assert (tmp_path / "again" / each.name).read_bytes() == each.read_bytes()

    def test_a_list_stands_beside_the_file_that_it_came_from(self, file, out):
        export_lists(file, out)
        found = list_scores(out / "noise_LossConverge.json", file)
        assert np.array_equal(found.scores["LossConverge"].values, file.scores["LossConverge"].values)
        assert (found.dataset.fingerprint, found.score_names) == ("", ("LossConverge",))


class TestTable:
    def test_blocks_join_without_a_seam(self, tmp_path, monkeypatch):
        file = load_scores(scored(tmp_path / "scores.h5", noise((50, 50), side=2), 1))
        whole = "".join(table(file))
        for block in (1, 7, 100):
            monkeypatch.setattr("goldore.exchange.exporting._BLOCK", block)
            assert "".join(table(file)) == whole
        assert whole.count("\n") == 101

    def test_columns_are_those_of_the_chosen_scores(self, file):
        rows = list(
            csv.reader("".join(table(file, scores=["loss-init"], kept=np.array([2, 5]))).splitlines())
        )
        assert rows[0] == [
            "position",
            "label",
            "class",
            "LossInit",
            "LossInit_stderr",
            "LossInit_rank",
            "equal_to",
            "kept",
        ]
        assert [place for place, row in enumerate(rows[1:]) if row[-1] == "1"] == [2, 5]

    def test_paths_of_folder_trees_are_in_it(self, tmp_path):
        plain = noise((3, 3))
        paths = tuple(f'a,"b"/{place}\n.png' for place in range(6))
        dataset = ImageDataset(
            plain.name, plain.images, plain.labels, plain.class_names, "folder tree x", paths=paths
        )
        out = tmp_path / "table.csv"
        write_table(load_scores(scored(tmp_path / "tree.h5", dataset, 1)), out)
        with out.open(encoding="utf-8", newline="") as text:
            assert [row["path"] for row in csv.DictReader(text)] == list(paths)

    def test_an_existing_table_is_replaced_only_if_asked(self, file, tmp_path):
        out = tmp_path / "deeper" / "table.csv"
        write_table(file, out)
        content = out.read_bytes()
        out.write_text("mine")
        with pytest.raises(UsageError, match="`overwrite`"):
            write_table(file, out)
        assert out.read_text() == "mine"
        write_table(file, out, overwrite=True)
        assert out.read_bytes() == content
        assert [each.name for each in out.parent.iterdir()] == ["table.csv"]


def test_line_breaks_in_names_of_classes_stay_in_their_cell(tmp_path):
    names = ("a\rb", "c\nd", 'e",f')
    dataset = noise((3, 4, 5), names=names)
    path = write_table(load_scores(scored(tmp_path / "s.h5", dataset, 1)), tmp_path / "t.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [names[label] for label in dataset.labels]
