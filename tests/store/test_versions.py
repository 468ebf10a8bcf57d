"""Score files of an older and of a newer goldore: what they lack is a default or unknown, never damage."""

import json

import h5py
import numpy as np
import pytest

import goldore
from goldore.errors import ScoreFileError
from goldore.report import facts, summarize
from goldore.store import journal, load_header
from goldore.store.format import write_text_list
from goldore.store.utility_trials import UTILITY as KIND
from goldore.store.verifying import verify
from tests.conftest import edited
from tests.durability import runs

LOSS, UTILITY = "trials/loss", "trials/utility"


@pytest.fixture
def path(tmp_path):
    runs.score(tmp_path / "scores.h5", loss=2, utility=8)
    return tmp_path / "scores.h5"


def change_recipes(path, change):
    with edited(path) as file:
        for group in (LOSS, UTILITY):
            fields = json.loads(file[group].attrs["recipe"])
            change(fields)
            file[group].attrs["recipe"] = json.dumps(fields)


def hold(path, outcomes):
    """Make the file one that holds these outcomes."""
    with edited(path) as file:
        group = file[UTILITY]
        for name in {"accuracy", "logprob", "margin"} - {*outcomes}:
            del group[name]
        for name in outcomes:
            if name not in group:
                group.copy("margin", name)
        write_text_list(group, "outcomes", list(outcomes))


class TestRecipes:
    def test_what_an_older_file_lacks_is_a_default_that_is_named(self, path):
        change_recipes(path, lambda fields: fields.pop("weight_decay"))
        before = goldore.load_scores(path)
        assert verify(path).problems == []
        for trials in (before.loss_trials, before.utility_trials):
            assert trials.recipe.weight_decay == 5e-4
            assert trials.assumed == {"weight_decay": 5e-4}
        said = summarize(before).trials
        for told in (facts.loss_facts(said.loss), facts.utility_facts(said.utility)):
            assert told["older file"] == "does not name weight_decay 0.0005: taken as such"

    def test_an_older_file_is_resumed_as_any_other(self, path, tmp_path):
        whole = runs.score(tmp_path / "whole.h5", loss=3, utility=16)
        change_recipes(path, lambda fields: fields.pop("weight_decay"))
        found = runs.score(path, loss=3, utility=16)
        assert verify(path).problems == []
        for name, score in whole.scores.items():
            np.testing.assert_array_equal(found.scores[name].values, score.values)

    def test_what_waits_in_the_journal_of_an_older_file_is_taken_in(self, path, tmp_path):
        runs.score(tmp_path / "whole.h5", loss=2, utility=12)
        change_recipes(path, lambda fields: fields.pop("weight_decay"))
        with h5py.File(tmp_path / "whole.h5") as file:
            numbers = np.arange(8, 12)
            waiting = KIND.results_of(numbers, KIND.columns_at(file[KIND.group], numbers))
        journal.Journal.beside(path, load_header(path), KIND.name).append(path, waiting)
        assert [result.trial.number for result in journal.read(path)[KIND.name]] == [8, 9, 10, 11]
        assert len(runs.score(path, loss=2, utility=12).utility_trials.done) == 12
        assert verify(path).problems == []

    def test_a_newer_setting_is_named_and_nothing_is_called_damaged(self, path):
        change_recipes(path, lambda fields: fields.update(speed=3))
        said = "its recipe has the setting 'speed', which this goldore does not know; update goldore."
        with pytest.raises(ScoreFileError) as refusal:
            goldore.load_scores(path)
        assert str(refusal.value) == f"{path} cannot be read: {said}"
        with pytest.raises(ScoreFileError, match="update goldore"):
            verify(path)


class TestOutcomes:
    @pytest.mark.parametrize(
        "outcomes", [("accuracy", "logprob"), ("accuracy", "logprob", "margin", "brier")]
    )
    def test_a_file_with_fewer_or_more_is_resumed(self, path, tmp_path, outcomes):
        whole = runs.score(tmp_path / "whole.h5", loss=2, utility=16)
        hold(path, outcomes)
        assert verify(path).problems == []
        found = runs.score(path, loss=2, utility=16)
        assert found.utility_trials.outcomes == outcomes
        assert verify(path).problems == []
        np.testing.assert_array_equal(found.scores["MonteCarlo"].values, whole.scores["MonteCarlo"].values)

    def test_files_that_hold_different_ones_are_merged(self, path, tmp_path):
        other = tmp_path / "other.h5"
        runs.score(other, loss=2, utility=16)
        hold(path, ("accuracy", "logprob"))
        for parts in ([path, other], [other, path]):
            merged = goldore.merge(parts, tmp_path / "merged.h5", overwrite=True)
            assert len(merged.utility_trials.done) == 16
            assert verify(tmp_path / "merged.h5").problems == []

    def test_one_that_a_file_does_not_hold_is_refused(self, path):
        hold(path, ("accuracy", "logprob"))
        with pytest.raises(ScoreFileError, match=r"hold no margin, .* choose among .* accuracy, logprob"):
            goldore.reestimate(path, "margin", "in-minus-out")
        assert goldore.load_scores(path).utility_trials.outcome == "accuracy"

    def test_one_of_a_newer_goldore_that_the_score_is_about_is_named(self, path):
        hold(path, ("accuracy", "margin", "brier"))
        with edited(path) as file:
            file[UTILITY].attrs["outcome"] = "brier"
        with pytest.raises(ScoreFileError, match="made by 'brier', which this goldore does not know; update"):
            goldore.load_scores(path)

    @pytest.mark.parametrize("names", [("accuracy", "../x"), ("accuracy", "done"), tuple("abcdefgh" * 9)])
    def test_names_that_outcomes_cannot_have_are_damage(self, path, names):
        with edited(path) as file:
            write_text_list(file[UTILITY], "outcomes", list(names))
        with pytest.raises(ScoreFileError, match="names that outcomes cannot have"):
            goldore.load_scores(path)
