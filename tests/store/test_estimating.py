"""Scores are estimated when somebody looks, never while trials are written."""

import h5py
import numpy as np
import pytest

from goldore import Watcher
from goldore.store import estimate_scores, load_scores, merge, reestimate, verifying
from goldore.store.loss_trials import LossKind
from goldore.store.trial_kinds import KINDS
from goldore.store.utility_trials import UtilityKind
from goldore.store.verifying import verify
from tests.conftest import edited
from tests.durability import runs


@pytest.fixture
def file(tmp_path):
    """A score file with trials of both kinds."""
    path = tmp_path / "s.h5"
    runs.score(path, loss=3, utility=8)
    return path


def make_stale(path):
    """As a run leaves it that is killed before its first estimate."""
    with edited(path) as file:
        for group in ("scores", "stderr", "halves", "counts"):
            del file[group]
        for kind in KINDS.values():
            if kind.group in file:
                kind.mark(file, stale=True)
    return path


def same(first, second):
    assert first.score_names == second.score_names
    for name, score in first.scores.items():
        for key, value in vars(score).items():
            other = getattr(second.scores[name], key)
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, other, err_msg=f"{name} {key}")
            else:
                assert value == other or value != value, f"{name} {key}"  # noqa: PLR0124 - NaN


def stale_kinds(path):
    with h5py.File(path) as file:
        return [kind.name for kind in KINDS.values() if kind.is_stale(file)]


def test_a_run_that_ends_leaves_nothing_to_estimate(file):
    assert stale_kinds(file) == []


def test_what_a_reader_estimates_is_what_is_written(file):
    written = load_scores(file)
    make_stale(file)
    read = load_scores(file)
    same(written, read)
    assert verify(file).intact
    estimate_scores(file)
    assert stale_kinds(file) == []
    same(written, load_scores(file))


def test_only_what_is_asked_for_is_estimated(file, monkeypatch):
    make_stale(file)

    def refuse(*_):
        raise AssertionError("estimated")

    monkeypatch.setattr(UtilityKind, "estimates", refuse)
    assert list(load_scores(file, only=("LossInit",)).scores) == ["LossInit"]
    assert load_scores(file, only=()).score_names == ("LossInit", "LossConverge", "MonteCarlo")
    with pytest.raises(AssertionError, match="estimated"):
        load_scores(file)


def test_writing_trials_estimates_nothing(tmp_path, monkeypatch):
    """Each kind is estimated once, at the end of its stage, however often its trials are written."""
    calls = []
    for kind in (LossKind, UtilityKind):
        estimates = kind.estimates

        def counted(self, *args, estimates=estimates):
            calls.append(self.name)
            return estimates(self, *args)

        monkeypatch.setattr(kind, "estimates", counted)
    from goldore.runs import output

    monkeypatch.setattr(output, "_SECONDS_BETWEEN", 0)
    monkeypatch.setattr(output, "_SHARE", 0)
    monkeypatch.setattr("goldore.runs.utility_stage._estimated", lambda _: None)  # for the screen
    runs.score(tmp_path / "s.h5", loss=6, utility=12, ensemble_size=1)
    assert calls == ["loss", "utility"]


def test_an_interrupted_run_leaves_scores_of_all_its_trials(tmp_path):
    class Stop(Watcher):
        def finished(self, results):
            if results[0].trial.number == 2:
                raise KeyboardInterrupt

    path = tmp_path / "s.h5"
    with pytest.raises(KeyboardInterrupt):
        runs.score(path, loss=6, utility=1, ensemble_size=1, watcher=Stop())
    assert stale_kinds(path) == []
    assert [score.trials for score in load_scores(path).scores.values()] == [3, 3]


def test_another_run_of_the_same_command_estimates_what_is_stale(file):
    written = load_scores(file)
    make_stale(file)
    runs.score(file, loss=3, utility=8)
    assert stale_kinds(file) == []
    same(written, load_scores(file))


def test_merged_and_repaired_files_have_their_scores(file, tmp_path):
    runs.score(tmp_path / "more.h5", loss=5, utility=8)
    merge([make_stale(file), tmp_path / "more.h5"], tmp_path / "whole.h5")
    assert stale_kinds(tmp_path / "whole.h5") == []
    same(load_scores(tmp_path / "more.h5"), load_scores(tmp_path / "whole.h5"))
    verifying.repair(file, tmp_path / "new.h5")
    assert stale_kinds(tmp_path / "new.h5") == []
    same(load_scores(file), load_scores(tmp_path / "new.h5"))


def test_another_outcome_settles_the_utility_trials_alone(file):
    make_stale(file)
    reestimate(file, "margin", "in-mean")
    assert stale_kinds(file) == ["loss"]
    assert load_scores(file).scores["MonteCarlo"].outcome == "margin"


def test_imported_scores_stay_beside_stale_trials(file):
    samples = len(load_scores(make_stale(file)).labels)
    with edited(file) as content:
        content["scores/Other"] = np.zeros(samples)
    assert set(load_scores(file, only=()).score_names) == {"LossInit", "LossConverge", "MonteCarlo", "Other"}
