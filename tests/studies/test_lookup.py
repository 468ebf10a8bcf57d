"""What a study says of a selection."""

from dataclasses import replace

import numpy as np
import pytest

from goldore.errors import ScoreFileError
from goldore.selection.pruning import prune
from goldore.store import default_study
from goldore.studies.cells import Cell
from goldore.studies.kept import select
from goldore.studies.lookup import findings
from goldore.studies.model import Run, Settings, Study

CELLS = [
    Cell("dm", 1, "All", "1"),
    Cell("dm", 1, "Random", "0.5"),
    Cell("dm", 1, "LossInit_large", "0.5"),
    Cell("dm", 1, "LossInit_large:draw,after=0.2", "0.5"),
    Cell("none", 0, "All", "1"),
    Cell("none", 0, "LossInit_large", "0.5"),
    Cell("undistilled", 3, "LossInit_large", ""),
]


@pytest.fixture
def studied(scored, tmp_path):
    """Three seeds of those cells, all of them far worse than all data."""
    runs = []
    for cell in CELLS:
        for seed in range(3):
            kept = select(scored, cell, seed)
            value = 80.0 + seed / 10 - (0 if cell.is_all else 30 + (seed - 1) / 100)
            runs.append(Run(cell, seed, value, np.empty(0), np.empty(0), len(kept.indices), kept.digest, 1.0))
    info = scored.dataset
    settings = Settings(info.name, info.fingerprint, info.class_names, "0" * 64, "scores.h5")
    return Study(tmp_path / "scores-study.h5", settings, tuple(runs), {})


def test_the_same_samples_are_found_however_they_were_asked_for(scored, studied):
    for given in (
        {"keep_ratio": "0.5"},
        {"keep_ratio": 0.50},
        {"drop_ratio": "0.5"},
        {"keep_range": ("0.5", "1")},
    ):
        found = findings(studied, prune(scored, "LossInit_large", **given))
        assert [each.verdict.cell.table for each in found] == [("dm", 1), ("none", 0)]
        assert all(each.same and each.verdict.outcome == "worse" for each in found)
        assert "-30.0 +- " in found[0].sentence
        assert found[0].sentence.startswith("distribution matching (dm), 1 image per class: ")
        assert found[0].sentence.endswith("over 3 seeds, worse")


def test_random_is_found_with_any_seed(scored, studied):
    (seen,) = findings(studied, prune(scored, "Random", keep_ratio="0.5", seed=2))
    (other,) = findings(studied, prune(scored, "Random", keep_ratio="0.5", seed=77))
    assert (seen.same, other.same) == (True, False)
    assert "others then" not in other.sentence


def test_rules_are_told_apart(scored, studied):
    (found,) = findings(
        studied, prune(scored, "LossInit_large", keep_ratio="0.5", strategy="draw,after=0.2", seed=9)
    )
    assert found.verdict.cell == CELLS[3]
    assert (
        findings(studied, prune(scored, "LossInit_large", keep_ratio="0.5", strategy="draw,after=0.1")) == []
    )


def test_other_ratios_scopes_and_scores_are_not_found(scored, studied):
    assert findings(studied, prune(scored, "LossInit_large", keep_ratio="0.4")) == []
    assert findings(studied, prune(scored, "LossConverge_large", keep_ratio="0.5")) == []
    assert findings(studied, prune(scored, "LossInit_large", keep_ratio="0.5", scope="global")) == []


def test_scores_that_have_changed_since_are_said(scored, studied):
    values = np.random.default_rng(9).random(len(scored.labels))
    changed = replace(
        scored, scores=scored.scores | {"LossInit": replace(scored.scores["LossInit"], values=values)}
    )
    found = findings(studied, prune(changed, "LossInit_large", keep_ratio="0.5"))
    assert [each.same for each in found] == [False, False]
    assert "the scores were others then" in found[0].sentence


def test_a_study_of_another_dataset_says_nothing(scored, studied):
    other = replace(studied, settings=replace(studied.settings, fingerprint="e" * 64))
    with pytest.raises(ScoreFileError, match="another dataset"):
        findings(other, prune(scored, "LossInit_large", keep_ratio="0.5"))


def test_the_study_of_a_score_file_is_beside_it(scored):
    assert default_study(scored.path).name == "scores-study.h5"
