"""Likely wrong labels, confusions and equal images: on the terminal, in JSON, in tables and on the page."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from goldore.exchange.exporting import records, table
from goldore.networks.config import ConvNetConfig
from goldore.report import facts, summarize
from goldore.report.issues import find_issues
from goldore.report.material import Material
from goldore.report.page import render
from goldore.scores import SCORES
from goldore.store import Header, LossResult, LossRun, add_trials, estimate_scores, load_scores
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.report.making import HOSTILE, noise, scored

MISTAKEN = {3: 1, 14: 0, 27: 2}  # position: what it shows


def planted(path, classes=3, samples=30, names=None, paths=None, mistaken=None):
    """A score file with wrong labels and equal images."""
    dataset = noise((samples // classes,) * classes, side=4, names=names)
    labels = np.arange(samples) % classes
    images = dataset.images.copy()
    images[[7, 20]] = images[5]  # labels 1, 2 and 2
    images[9] = images[12]  # both 0
    dataset = replace(dataset, labels=labels, images=images, paths=paths)
    truth = labels.copy()
    for at, shown in (mistaken or MISTAKEN).items():
        truth[at] = shown
    recipe = LossRecipe(network=ConvNetConfig(depth=1, width=4), mean=(0.5,) * 3, std=(0.2,) * 3, epochs=2)
    run = LossRun(recipe, 0, (SCORES["LossConverge"],), device="CPU", torch_version="2")
    draw = np.random.default_rng(0)
    results = [
        LossResult(
            trial=trial,
            failed=False,
            recorded={
                "LossConverge": draw.random(samples, dtype=np.float32),
                "predicted": truth,
                "predicted_probability": np.full(samples, 0.9, dtype=np.float32),
                "label_probability": np.where(truth == labels, 0.9, 0.02 + 0.001 * np.arange(samples)),
            },
            train_loss=np.ones(2, dtype=np.float32),
        )
        for trial in make_trials(0, range(2))
    ]
    add_trials(path, Header.of(dataset), run, results)
    estimate_scores(path)
    return load_scores(path)


def test_what_is_planted_is_found(tmp_path):
    found = find_issues(planted(tmp_path / "s.h5"))
    assert [(each.position, each.label, each.predicted) for each in found.label_issues] == [
        (3, 0, 1),
        (14, 2, 0),
        (27, 0, 2),
    ]
    assert found.label_issues[0].share == 1
    assert found.label_issues[0].probability == pytest.approx(0.9)
    assert found.label_issues[0].label_probability == pytest.approx(0.023)
    assert found.confusion == ((8, 1, 1), (0, 10, 0), (1, 0, 9))
    assert [(each.label, each.predicted, each.samples) for each in found.confused] == [
        (0, 1, 1),
        (0, 2, 1),
        (2, 0, 1),
    ]
    assert found.confused[0].share == pytest.approx(0.1)
    assert [each.positions for each in found.equal] == [(5, 7, 20), (9, 12)]
    assert [each.contradict for each in found.equal] == [True, False]
    assert (found.repeated, found.contradictions, found.held_out, found.trials) == (3, 1, False, 2)
    assert found.accuracy == pytest.approx(0.9)
    told = facts.issues_facts(found)
    assert told["labels"].startswith("3 labels are likely to be wrong")
    assert told["beware"] == facts.OPTIMISTIC
    assert told["equal images"].startswith("2 groups, 1 of them with different labels; 3 samples could go")


def test_networks_that_guess_accuse_no_label(tmp_path):
    file = planted(tmp_path / "s.h5", mistaken={at: (at + 1) % 3 for at in range(20)})
    found = find_issues(file)
    assert found.guessing
    assert found.label_issues == ()
    told = facts.issues_facts(found)
    assert told["predictions"].endswith("right about 33.3% of the samples on average")
    assert told["labels"].startswith(
        "not judged, since always naming the largest class would be right about 33.3%"
    )
    assert "beware" not in told
    assert {row["label_issue"] for row in json.loads("".join(records(file)))} == {None}


def test_files_that_do_not_tell_say_so(tmp_path):
    found = find_issues(load_scores(scored(tmp_path / "s.h5", noise((9, 9)), 1)))
    assert (found.held_out, found.label_issues, found.confusion, found.equal) == (None, (), None, ())
    told = facts.issues_facts(found)
    assert told == {"predictions": facts.NO_PREDICTIONS, "equal images": "none"}
    assert facts.issues_facts(replace(found, hashed=False))["equal images"].startswith("unknown")


def test_tables_and_json_have_a_column_for_each(tmp_path):
    paths = tuple(f"a/{place}.png" for place in range(30))
    file = planted(tmp_path / "s.h5", paths=paths)
    rows = list(csv.DictReader("".join(table(file)).splitlines()))
    objects = json.loads("".join(records(file)))
    assert [*rows[0]] == [*objects[0]]
    for at, (row, each) in enumerate(zip(rows, objects, strict=True)):
        assert {key: "" if value is None else str(value) for key, value in each.items()} == row
        assert each["path"] == paths[at]
        assert each["predicted"] == MISTAKEN.get(at, at % 3)
        assert each["right"] == (at not in MISTAKEN)
        assert each["label_issue"] == ({3: 1, 14: 2, 27: 3}.get(at))
        assert each["equal_to"] == {5: 5, 7: 5, 20: 5, 9: 9, 12: 9}.get(at)


@pytest.mark.parametrize("names", [None, HOSTILE[:3]])
def test_the_page_lists_them(tmp_path, names):
    file = planted(tmp_path / "s.h5", names=names)
    page = render(Material(file=file, summary=summarize(file), issues=find_issues(file)), [])
    assert 'href="#issues"' in page
    assert (
        page.count("<tr", page.index('class="issues"'), page.index("</table>", page.index('class="issues"')))
        == 4
    )
    assert "different labels: #5 (label 2), #7 (label 1), #20 (label 2)" in page
    assert '<table class="confusion">' in page
    assert "<b>&" not in page


def test_of_many_classes_the_pairs_are_listed(tmp_path):
    file = planted(tmp_path / "s.h5", classes=30, samples=60)
    found = find_issues(file)
    assert found.confusion is None
    assert {(each.label, each.predicted) for each in found.confused} == {(3, 1), (14, 0), (27, 2)}
    page = render(Material(file=file, summary=summarize(file), issues=found), [])
    assert '<table class="confused">' in page
