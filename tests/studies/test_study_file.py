"""The study file: what is written is read again, damage is noticed, studies are joined."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from goldore.errors import ScoreFileError, UsageError
from goldore.store import is_study, load_scores
from goldore.store.seal import seal
from goldore.studies.cells import Cell
from goldore.studies.model import Run, Settings
from goldore.studies.study_file import (
    Content,
    check_same,
    load_study,
    merge_studies,
    read_content,
    write_study,
)
from tests.studies.conftest import RECIPE

ALL, HARD, TEXT = (
    Cell("dm", 1, name, ratio)
    for name, ratio in (("All", "1"), ("LossInit_small", "0.1"), ("é:x,a=1", "0.2"))
)
SETTINGS = Settings(
    "corners", "f" * 64, ("a", "ü", "c"), "0" * 64, "scores.h5", budget="quick", recipe=RECIPE, evaluation="e"
)


def a_run(cell, seed, accuracy, failed=""):
    by_class = np.array([accuracy - 1, accuracy, accuracy + 1]) if not failed else np.empty(0)
    value = float("nan") if failed else accuracy
    return Run(cell, seed, value, by_class, np.array([accuracy] * 2), 30, "abcd", 1.5, failed)


@pytest.fixture
def content():
    made = Content(SETTINGS, device="CPU", torch_version="2")
    images = np.random.default_rng(0).normal(size=(3, 1, 1, 8, 8)).astype(np.float16)
    made.waiting = {(ALL, 0): images, (HARD, 0): images + 1}
    for seed in range(3):
        made.add(a_run(ALL, seed, 80.0 + seed))
        made.add(a_run(TEXT, seed, 70.0 + seed + seed % 2 / 10))
    made.add(a_run(HARD, 1, 0.0, failed="it broke: née"))
    return made


def test_what_is_written_is_read_again(content, tmp_path):
    path = tmp_path / "study.h5"
    written = write_study(path, content)
    read = load_study(path)
    assert read.settings == SETTINGS
    assert [(run.cell, run.seed, run.failed) for run in read.runs] == [
        (run.cell, run.seed, run.failed) for run in written.runs
    ]
    for one, other in zip(read.runs, content.study(path).runs, strict=True):
        np.testing.assert_array_equal(one.by_class, other.by_class)
        np.testing.assert_array_equal(one.judges, other.judges)
        assert (one.kept, one.digest, one.seconds) == (other.kept, other.digest, other.seconds)
    assert set(read.images) == {ALL}
    np.testing.assert_array_equal(read.images[ALL], content.images[ALL][1])
    assert set(read_content(path).waiting) == {(HARD, 0)}
    assert (read.device, read.margin, read.looks) == ("CPU", 1.0, 1)
    assert read.created <= read.updated


def test_the_margin_may_be_another_when_it_is_read(content, tmp_path):
    write_study(tmp_path / "study.h5", content)
    found = load_study(tmp_path / "study.h5", margin=50.0)
    assert [each.outcome for each in found.verdicts if each.cell == TEXT] == ["as good"]
    assert [each.outcome for each in load_study(tmp_path / "study.h5").verdicts if each.cell == TEXT] == [
        "worse"
    ]
    with pytest.raises(UsageError):
        load_study(tmp_path / "study.h5", margin=-1.0)


def test_a_study_without_runs_can_be_written(tmp_path):
    write_study(tmp_path / "study.h5", Content(SETTINGS))
    assert load_study(tmp_path / "study.h5").runs == ()


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_damage_is_noticed(content, tmp_path, at):
    path = tmp_path / "study.h5"
    write_study(path, content)
    whole = bytearray(path.read_bytes())
    whole[int(at * len(whole))] ^= 0x10
    path.write_bytes(whole)
    with pytest.raises(ScoreFileError, match="damaged"):
        load_study(path)


def test_what_is_sealed_and_contradicts_itself_is_damaged(content, tmp_path):
    path = tmp_path / "study.h5"
    write_study(path, content)
    with h5py.File(path, "r+") as file:
        del file["runs/accuracy"]
    seal(path)
    with pytest.raises(ScoreFileError, match="damaged"):
        load_study(path)


def test_other_files_are_told_from_studies(content, scored, tmp_path):
    path = tmp_path / "study.h5"
    write_study(path, content)
    assert is_study(path)
    assert not is_study(scored.path)
    assert not is_study(tmp_path / "nothing.h5")
    with pytest.raises(ScoreFileError, match="not a study"):
        load_study(scored.path)
    with pytest.raises(ScoreFileError, match="no study"):
        load_study(tmp_path / "nothing.h5")
    with pytest.raises(ScoreFileError, match="study"):
        load_scores(path)


def test_a_newer_format_is_refused(content, tmp_path):
    path = tmp_path / "study.h5"
    write_study(path, content)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    seal(path)
    with pytest.raises(ScoreFileError, match="update goldore"):
        load_study(path)


def test_studies_of_two_machines_are_joined(content, tmp_path):
    other = Content(SETTINGS)
    other.add(a_run(HARD, 1, 60.0))
    other.add(a_run(HARD, 0, 61.0))
    other.add(a_run(ALL, 0, 99.0))  # is there already
    first, second, both = (tmp_path / f"{name}.h5" for name in ("a", "b", "c"))
    write_study(first, content)
    write_study(second, other)
    joined = merge_studies([first, second], both)
    found = {(run.cell, run.seed): run for run in joined.runs}
    assert len(found) == 8
    assert found[HARD, 1].accuracy == 60.0  # where the first has failed
    assert found[ALL, 0].accuracy == 80.0
    assert load_study(both).runs[0].cell == ALL
    with pytest.raises(UsageError, match="exists"):
        merge_studies([first, second], both)
    with pytest.raises(UsageError, match="two files"):
        merge_studies([first], both, overwrite=True)


def test_runs_that_kept_other_samples_are_not_joined(content, tmp_path):
    other = Content(SETTINGS)
    other.add(replace(a_run(HARD, 7, 60.0), digest="efgh"))
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    write_study(first, content)
    write_study(second, other)
    with pytest.raises(ScoreFileError, match=r"other scores: LossInit_small 10%"):
        merge_studies([first, second], tmp_path / "c.h5")
    other.runs.clear()
    other.add(replace(a_run(Cell("dm", 1, "Random", "0.1"), 7, 60.0), digest="efgh"))
    write_study(second, other)
    assert len(merge_studies([first, second], tmp_path / "c.h5")) == 8


@pytest.mark.parametrize(
    "other",
    [
        {"fingerprint": "e" * 64},
        {"recipe": replace(RECIPE, judges=3)},
        {"recipe": replace(RECIPE, dm=replace(RECIPE.dm, match_lr=7.0))},
        {"recipe": replace(RECIPE, dc=replace(RECIPE.dc, match_lr=7.0))},
        {"base_seed": 4},
        {"plugged": True},
        {"labels_sha256": "1" * 64},
        {"evaluation": "another"},
        {"program": "python x.py"},
    ],
)
def test_what_does_not_belong_together_is_not_joined(other, tmp_path):
    with pytest.raises(ScoreFileError, match="another study"):
        check_same(SETTINGS, replace(SETTINGS, **other), tmp_path / "x.h5")
    check_same(SETTINGS, replace(SETTINGS, scores="renamed.h5", dataset="renamed"), tmp_path / "x.h5")
