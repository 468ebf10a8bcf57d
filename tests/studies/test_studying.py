"""Studies from beginning to end: what is run, what is kept, how they go on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from goldore.errors import DatasetError, ScoreFileError, UsageError
from goldore.studies import builtin, studying
from goldore.studies.study_file import load_study, read_content
from goldore.studies.studying import mirrors, study
from goldore.studies.watching import StudyWatcher
from tests.conftest import make_dataset
from tests.studies.conftest import RECIPE

SMALL = {"criterion": "LossConverge_large", "keep_ratio": "0.2,0.5", "seeds": 2, "budget": RECIPE}


def accuracies(result):
    return {(run.cell, run.seed): (run.accuracy, run.by_class.tolist(), run.digest) for run in result.runs}


@pytest.fixture
def run(scored, data):
    """Call study with the small dataset."""

    def call(**given):
        return study(scored, **{"dataset": data, **SMALL, **given})

    return call


@pytest.mark.parametrize("distiller", ["dm", "dc", "none", "dm,dc,none"])
def test_every_distiller_gives_every_cell_an_accuracy(run, distiller):
    result = run(distiller=distiller, ipc=[1, 2], keep_ratio="0.5", seeds=1)
    tables = sum(1 if name == "none" else 2 for name in distiller.split(","))
    undistilled = 0 if distiller == "none" else 2 * 2
    assert len(result) == tables * 3 + undistilled
    for each in result.runs:
        assert 0 <= each.accuracy <= 100
        assert len(each.by_class) == 3
        assert len(each.judges) == 2
        assert each.judges.mean() == pytest.approx(each.accuracy)
        assert each.seconds > 0
        assert not each.failed
    assert {cell.ipc for cell in result.images} == (set() if distiller == "none" else {1, 2})
    for cell, images in result.images.items():
        assert images.shape == (3, cell.ipc, 1, 8, 8)


def test_the_accuracy_is_that_of_the_test_images(run, data):
    """Weighted by the number of test images of each class."""
    result = run(seeds=1)
    shares = np.bincount(data.test_labels, minlength=3) / len(data.test_labels)
    for each in result.runs:
        assert each.accuracy == pytest.approx(float(each.by_class @ shares))


def test_a_study_goes_on_where_it_was_stopped_with_the_same_numbers(run, monkeypatch, tmp_path):
    monkeypatch.setattr(studying, "_WRITE_EVERY", 0.0)
    monkeypatch.setattr(builtin, "_CPU_IMAGES", 6)
    whole = run(out=tmp_path / "whole.h5")

    class Stopping(StudyWatcher):
        def __init__(self, after):
            self.left = after

        def finished(self, runs):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    distilled = []
    original = builtin.Matcher.__call__
    monkeypatch.setattr(builtin.Matcher, "__call__", lambda *given: distilled.append(1) or original(*given))
    path = tmp_path / "parts.h5"
    for after in (1, 1, 3):
        with pytest.raises(KeyboardInterrupt):
            run(out=path, watcher=Stopping(after))
    assert 0 < len(load_study(path)) < len(whole)
    assert read_content(path).waiting  # images that are distilled are not distilled again
    again = run(out=path)
    assert accuracies(again) == accuracies(whole)
    assert len(distilled) == 2  # one for each seed
    for cell, images in whole.images.items():
        np.testing.assert_array_equal(again.images[cell], images)
    assert not read_content(path).waiting


def test_more_seeds_criteria_ratios_and_distillers_add_to_a_study(run):
    first = run()
    added = run(seeds=3, criterion="LossInit_small", keep_ratio="0.3", distiller="none")
    assert accuracies(first).items() <= accuracies(added).items()
    assert {cell.criterion for cell in added.cells if cell.distiller == "none"} == {
        "All",
        "Random",
        "LossInit_small",
    }
    again = run()
    assert accuracies(again) == accuracies(added)


def test_an_added_seed_is_what_it_would_have_been(run, tmp_path):
    at_once = run(seeds=3, out=tmp_path / "at_once.h5")
    run(seeds=2, out=tmp_path / "later.h5")
    assert accuracies(run(seeds=3, out=tmp_path / "later.h5")) == accuracies(at_once)


def test_a_cell_is_the_same_whatever_is_beside_it(run, tmp_path):
    """So that what is added later, or merged, is paired with what there is."""
    few = run(criterion="LossInit_large", keep_ratio="0.5", out=tmp_path / "few.h5")
    many = run(criterion="LossInit_large,LossConverge_small", keep_ratio="0.2,0.5", out=tmp_path / "many.h5")
    grown = run(criterion="LossConverge_small", keep_ratio="0.2,0.5", out=tmp_path / "few.h5")
    for one in (few, grown):
        shared = {key: accuracies(many)[key] for key in accuracies(one)}
        assert accuracies(one) == shared
    assert len(grown) > len(few)


def test_seeds_draw_other_samples_for_random_and_the_same_for_scores(run):
    found = {
        (run.cell.criterion, run.seed): run.digest
        for run in run(keep_ratio="0.5").runs
        if run.cell.distiller == "dm"
    }
    assert found["Random", 0] != found["Random", 1]
    assert found["LossConverge_large", 0] == found["LossConverge_large", 1]


def test_another_recipe_or_seed_is_another_study(run):
    run()
    for other in ({"budget": replace(RECIPE, judge_steps=5)}, {"seed": 1}, {"augment": "none"}):
        with pytest.raises(ScoreFileError, match="another study"):
            run(**other)
    replaced = run(seed=1, overwrite=True)
    assert replaced.settings.base_seed == 1


def test_scores_that_have_changed_since_are_not_mixed(scored, data, run):
    run()
    values = np.random.default_rng(9).random(len(scored.labels))
    score = replace(scored.scores["LossConverge"], values=values)
    changed = replace(scored, scores=scored.scores | {"LossConverge": score})
    with pytest.raises(ScoreFileError, match=r"other scores: LossConverge_large 20% keeps other samples"):
        study(changed, dataset=data, **SMALL)
    others = {**SMALL, "criterion": "LossInit_large", "keep_ratio": "0.4"}  # of which the file has none yet
    with pytest.raises(ScoreFileError, match="other scores"):
        study(changed, dataset=data, **others)
    assert len(study(changed, dataset=data, **SMALL, overwrite=True)) > 0


def test_another_dataset_is_refused(scored, run):
    with pytest.raises(DatasetError, match="is not the dataset"):
        run(dataset=make_dataset(counts=(40, 30, 50), tests=40, seed=9))
    with pytest.raises(UsageError, match="name the dataset"):
        study(scored, **SMALL)


def test_scores_without_a_fingerprint_go_by_labels(scored, run, data):
    """As imported lists have none."""
    imported = replace(scored, dataset=replace(scored.dataset, fingerprint=""))
    assert len(study(imported, dataset=data, **SMALL)) > 0
    with pytest.raises(DatasetError, match="is not the dataset"):
        study(imported, dataset=make_dataset(counts=(40, 30, 50), tests=40, seed=9), **SMALL)


def test_a_dataset_without_a_test_split_is_refused(scored, run, data):
    with pytest.raises(UsageError, match="test split"):
        run(dataset=replace(data, test_images=None, test_labels=None))


def test_time_is_kept(run):
    result = run(max_seconds=1e-9)
    assert len(result) == 0
    ends = []

    class Listening(StudyWatcher):
        def ended(self, end, study, seconds):
            ends.append((end, len(study)))

    run(max_seconds=1e-9, watcher=Listening())
    assert ends == [("time", 0)]
    assert len(run(watcher=Listening())) == len(run(max_seconds=1000.0))


def test_seeds_are_added_until_all_is_decided(run, monkeypatch):
    """Undecided cells and all data get more seeds, decided ones none."""
    accuracy = {"All": 80.0, "Random": 79.9, "LossConverge_large": 20.0}
    random = np.random.default_rng(0)
    original = builtin.BuiltIn._judge_all

    def judged(self, seed, cells, images, kept, seconds, told):
        def keep(runs):
            told.keep([replace(run, accuracy=accuracy[run.cell.criterion] + random.normal()) for run in runs])

        original(self, seed, cells, images, kept, seconds, replace(told, keep=keep))

    monkeypatch.setattr(builtin.BuiltIn, "_judge_all", judged)
    result = run(until_decided=True, max_seeds=7, margin=1.0)
    seeds = {each.cell.criterion: each.seeds for each in result.verdicts if each.cell.distiller == "dm"}
    assert seeds["LossConverge_large"] < 7
    assert seeds["Random"] == seeds["All"] == 7
    assert result.looks == load_study(result.path).looks > 1
    with pytest.raises(UsageError, match="two seeds"):
        run(until_decided=True, seeds=1)


def test_a_judge_that_diverges_fails_its_cell_and_is_tried_again(run, monkeypatch):
    original = builtin.Judges.on_images
    broken = [True]

    def on_images(self, trial, images):
        found = original(self, trial, images)
        if broken[0]:
            found[0] = np.nan
        return found

    monkeypatch.setattr(builtin.Judges, "on_images", on_images)
    first = run(seeds=1)
    assert any(each.failed for each in first.runs)
    assert first.to_json()["failed"]
    broken[0] = False
    assert not any(each.failed for each in run(seeds=1).runs)


@pytest.mark.parametrize(
    "given",
    [
        {"seeds": 0},
        {"seed": -1},
        {"margin": -0.1},
        {"max_seconds": 0},
        {"budget": "huge"},
        {"budget": "paper", "distiller": "dc", "ipc": 10},
        {"augment": "blur"},
        {"compile_mode": "sometimes"},
        {"metric": "x"},
        {"repository": "dm"},
        {"device": "tpu"},
        {"distiller": "program"},
        {"ipc": "one"},
        {"ipc": [1.5]},
        {"ipc": 0},
        {"ipc": 1000},
        {"seeds": 10**9},
        {"criterion": ","},
        {"jobs": 2},
        {"plugged": True},
        {"max_seeds": 1, "until_decided": True},
    ],
)
def test_wrong_arguments_are_refused(run, given):
    with pytest.raises(UsageError):
        run(**given)


def test_the_score_file_is_not_overwritten(run, scored):
    with pytest.raises(UsageError, match="score file itself"):
        run(out=scored.path, overwrite=True)
    (scored.path.parent / "text.h5").write_text("something")
    with pytest.raises(ScoreFileError, match="not a study"):
        run(out=scored.path.parent / "text.h5")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("MNIST", False),
        ("KMNIST", False),
        ("SVHN", False),
        ("my-digits", False),
        ("FashionMNIST", True),
        ("CIFAR10", True),
    ],
)
def test_digits_are_not_mirrored(name, same):
    assert mirrors(name) is same


def test_what_a_study_says_as_json(run):
    result = run()
    told = json.loads(json.dumps(result.to_json()))
    assert {
        "criterion",
        "keep_ratio",
        "ipc",
        "distiller",
        "seeds",
        "accuracy",
        "stderr",
        "difference",
        "difference_stderr",
        "verdict",
        "worst_class",
    } <= set(told["cells"][0])
    assert [each["distiller"] for each in told["answer"]] == ["dm"]
    assert told["recipe"]["dm"]["match_steps"] == 3
    reference = next(each for each in told["cells"] if each["criterion"] == "All")
    assert (reference["verdict"], reference["difference"], reference["keep_ratio"]) == ("reference", 0.0, 1.0)
    assert len(result.table()) == len(told["cells"])
