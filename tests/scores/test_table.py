"""A score is one row: every row has its own recorder and its own numbers, users' own rows too."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import goldore
from goldore import ConvNetConfig, GoldoreError, LossRecipe, UsageError
from goldore.runs.job import complete_recipe
from goldore.runs.loss_stage import _check_own
from goldore.scores import SCORES, TRAINING_SCORES, ScoreDefinition, TrainingScore, find_scores, score_name
from goldore.scores.dynamics import DYNAMICS
from goldore.store.verifying import repair
from goldore.training.loop import Trained
from goldore.training.reference import train_one
from goldore.trials.seeds import make_trials
from tests.conftest import make_dataset

RECIPE = LossRecipe(
    network=ConvNetConfig(width=8, depth=2),
    epochs=4,
    init_epochs=2,
    converge_epochs=1,
    batch_size=16,
    lr=0.05,
    precision="float32",
)
SEED, TRIALS = 3, 2
DOCS = Path(__file__).resolve().parents[2] / "docs" / "scores.md"
OWN = re.search(r"```python\n(from goldore.scores .*?)```", DOCS.read_text(), re.DOTALL)[1]


def cross_entropy(logits, label):
    shifted = logits - logits.max()
    return np.log(np.exp(shifted).sum()) - shifted[label]


def el2n(logits, label):
    exponentials = np.exp(logits - logits.max())
    return np.linalg.norm(exponentials / exponentials.sum() - np.eye(len(logits))[label])


# What a plain loop takes of a sample's logits, and the epochs that it averages over, for every row.
PLAIN = {"LossInit": (cross_entropy, (1, 2)), "LossConverge": (cross_entropy, (4,))}


@pytest.fixture(scope="module")
def plain():
    """The values of a quantity, averaged over epochs and trials, of one plain network at a time."""
    dataset = make_dataset()
    recipe = complete_recipe(RECIPE, dataset)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    trials = [train_one(dataset, architecture, recipe, trial) for trial in make_trials(SEED, range(TRIALS))]

    def values(quantity, epochs):
        seen = [trial[epoch].astype(np.float64) for trial in trials for epoch in epochs]
        return np.mean(
            [[quantity(*each) for each in zip(logits, dataset.labels, strict=True)] for logits in seen],
            axis=0,
        )

    return values


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of a user's, in the working directory."""
    (tmp_path / "own_scores.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield "own_scores:ErrorLength"
    for module in ("own_scores", "other_scores"):
        sys.modules.pop(module, None)


def scored(dataset, scores, **settings):
    settings = {"trials": TRIALS, "recipe": RECIPE, "seed": SEED, "device": "cpu", **settings}
    return goldore.score(dataset, scores=scores, **settings)


def test_every_row_has_the_numbers_of_a_plain_loop(dataset, plain, tmp_path):
    assert {*PLAIN, *(row.name for row in DYNAMICS)} == set(TRAINING_SCORES)  # those: test_dynamics.py
    file = scored(dataset, list(PLAIN), ensemble_size=2, out=tmp_path / "scores.h5")
    for name, how in PLAIN.items():
        np.testing.assert_allclose(file.scores[name].values, plain(*how), rtol=1e-3, atol=1e-4)
        assert (file.scores[name].definition, file.scores[name].unit) == (
            SCORES[name].definition,
            SCORES[name].unit,
        )


def test_a_score_of_ones_own_has_the_numbers_of_a_plain_loop(dataset, plain, own, tmp_path):
    out = tmp_path / "scores.h5"
    file = scored(dataset, f"{own},LossInit", out=out, trials=1)
    assert file.score_names == ("LossInit", "ErrorLength")
    file = scored(dataset, f"LossInit,{own}", out=out)
    np.testing.assert_allclose(file.scores["ErrorLength"].values, plain(el2n, (2, 3)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(file.scores["LossInit"].values, plain(*PLAIN["LossInit"]), rtol=1e-3)
    assert file.scores["ErrorLength"].direction == "high = hard, low = easy"
    assert len(goldore.prune(file, "ErrorLength_small", keep_ratio="0.1").indices) > 0


def test_a_file_is_read_and_merged_without_the_module_of_its_score(dataset, own, tmp_path):
    parts = [tmp_path / "first.h5", tmp_path / "second.h5"]
    for trial, part in enumerate(parts):
        scored(dataset, own, out=part, trial_range=range(trial, trial + 1))
    whole = scored(dataset, own, out=tmp_path / "whole.h5")
    script = (
        "import goldore\n"
        "whole = goldore.merge(['first.h5', 'second.h5'], 'merged.h5').scores['ErrorLength']\n"
        "print(whole.direction, whole.drops, whole.values.tolist())"
    )
    (tmp_path / "own_scores.py").unlink()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (
        done.stdout.strip() == f"high = hard, low = easy small {whole.scores['ErrorLength'].values.tolist()}"
    )


def test_a_file_that_records_a_score_of_ones_own_wants_it_named_again(dataset, own, tmp_path):
    out = tmp_path / "scores.h5"
    scored(dataset, f"LossInit,{own}", out=out, trials=1)
    with pytest.raises(
        UsageError, match="records ErrorLength, which is not one of goldore's own scores; name it"
    ):
        scored(dataset, "LossInit", out=out)
    with pytest.raises(GoldoreError, match="scores: LossInit,ErrorLength there / LossConverge now"):
        scored(dataset, "LossConverge", out=out)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("own_scores:Other", "cannot be imported .AttributeError"),
        ("nowhere:ErrorLength", "cannot be imported .ModuleNotFoundError"),
        ("own_scores:mean_of", "own_scores:mean_of is function; a score is a goldore.scores.TrainingScore"),
        ("own_scores:LossInit", "two scores named LossInit"),
        ("", "there is no score named ''"),
        ([], "scores is empty; choose among LossInit"),
    ],
)
def test_what_is_no_score_is_refused(own, tmp_path, text, said):
    (tmp_path / "own_scores.py").write_text(
        OWN + '\nLossInit = __import__("dataclasses").replace(ErrorLength, name="LossInit")'
    )
    with pytest.raises(UsageError, match=said):
        find_scores(text)


def test_another_score_of_the_same_name_is_not_mixed_with_it(dataset, own, tmp_path):
    (tmp_path / "other_scores.py").write_text(OWN.replace("2 and 3", "1").replace("(2, 3)", "(1,)"))
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    scored(dataset, own, out=first, trials=1)
    with pytest.raises(
        GoldoreError, match=r"definition of ErrorLength: .* epochs 2 and 3 there / .* epochs 1 now"
    ):
        scored(dataset, "other_scores:ErrorLength", out=first)
    scored(dataset, "other_scores:ErrorLength", out=second, trial_range=range(1, 2))
    with pytest.raises(GoldoreError, match="definition of ErrorLength"):
        goldore.merge([first, second], tmp_path / "merged.h5")


def test_the_order_in_which_scores_are_named_does_not_matter(dataset, own, tmp_path):
    (tmp_path / "own_scores.py").write_text(OWN + OWN.replace("ErrorLength", "Other"))
    parts = [tmp_path / "first.h5", tmp_path / "second.h5"]
    scored(dataset, f"{own},own_scores:Other", out=parts[0], trial_range=range(1))
    scored(dataset, f"own_scores:Other,{own}", out=parts[1], trial_range=range(1, 2))
    merged = goldore.merge(parts, tmp_path / "merged.h5")
    np.testing.assert_array_equal(merged.scores["ErrorLength"].values, merged.scores["Other"].values)


def test_a_file_that_is_complete_needs_no_score_at_hand(dataset, own, tmp_path):
    whole = scored(dataset, f"LossInit,{own}", out=tmp_path / "scores.h5")
    again = scored(dataset, "LossInit", out=tmp_path / "scores.h5")
    np.testing.assert_array_equal(again.scores["ErrorLength"].values, whole.scores["ErrorLength"].values)


@pytest.mark.parametrize("scores", ["LossInit,LossConverge", "LossInit,own_scores:ErrorLength"])
def test_damage_in_what_describes_scores_loses_no_trial(dataset, own, tmp_path, scores):
    path, saved = tmp_path / "scores.h5", tmp_path / "saved.h5"
    whole = scored(dataset, scores, out=path)
    content = path.read_bytes()
    place = content.index(b'[{"name"')
    path.write_bytes(content[:place] + b"x" + content[place + 1 :])
    found = repair(path, saved)
    assert (found.trials["loss"].usable, found.trials["loss"].damaged) == (TRIALS, [])
    repaired = goldore.load_scores(saved)
    for name, score in whole.scores.items():
        np.testing.assert_array_equal(repaired.scores[name].values, score.values)
        known = score.definition if name in SCORES else "unknown: lost to damage"
        assert repaired.scores[name].definition == known


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"drops": "big"}, "ErrorLength drops 'big'; choose large or small"),
        ({"unit": None}, "the unit of a score is None; it must be one line of text"),
        ({"definition": "two\nlines"}, "it must be one line of text"),
    ],
)
def test_what_describes_a_score_is_checked(change, said):
    with pytest.raises(UsageError, match=said):
        ScoreDefinition(
            **{"name": "ErrorLength", "definition": "a test", "unit": "", "drops": "large", **change}
        )


def test_a_file_holds_so_many_scores(own, tmp_path):
    rows = [OWN.replace("ErrorLength", f"S{number}") for number in range(33)]
    (tmp_path / "own_scores.py").write_text("\n".join(rows))
    with pytest.raises(UsageError, match="these are 33 scores; a file holds 32"):
        find_scores([f"own_scores:S{number}" for number in range(33)])


@pytest.mark.parametrize("name", ["RANDOM", "Rand", "el2n", "ErrorLength/2", "E_L", "Random", "", "E" * 65])
def test_names_that_a_file_could_not_hold_are_refused(name):
    with pytest.raises(UsageError, match="cannot be named"):
        ScoreDefinition(name=name, definition="", unit="", drops="large")


@pytest.mark.parametrize(
    "epochs", [lambda _: (2.5,), lambda recipe: recipe.nothing, lambda _: "23", lambda _: 3, lambda: ()]
)
def test_epochs_that_cannot_be_told_are_refused(epochs):
    row = dataclasses.replace(TRAINING_SCORES["LossInit"], epochs=epochs)
    with pytest.raises(UsageError, match="the epochs of LossInit cannot be told"):
        row.window(RECIPE)


@pytest.mark.parametrize("epochs", [np.array([3, 1, 3]), (each for each in (3, 1)), {1, 3}])
def test_epochs_may_be_any_collection(epochs):
    row = dataclasses.replace(TRAINING_SCORES["LossInit"], epochs=lambda _: epochs)
    assert row.window(RECIPE) == [1, 3]


@pytest.mark.parametrize("epochs", [(), (0, 1), (4, 5)])
def test_a_recipe_that_is_too_short_for_a_score_is_refused(dataset, tmp_path, epochs):
    row = dataclasses.replace(TRAINING_SCORES["LossInit"], epochs=lambda _: epochs)
    assert isinstance(row, TrainingScore)
    with pytest.raises(UsageError, match=r"LossInit looks at .* and a trial has 4"):
        row.window(RECIPE)


@pytest.mark.parametrize(
    "record",
    [
        "mean_of(lambda seen: seen.nothing)",
        "mean_of(lambda seen: seen.logits.sum())",
        "mean_of(lambda seen: seen.errors.norm(dim=1))",
        "lambda *_: None",
        "lambda *_: 1 / 0",
    ],
)
def test_a_score_that_fails_is_named(dataset, own, tmp_path, record):
    (tmp_path / "own_scores.py").write_text(OWN.split("record=", maxsplit=1)[0] + f"record={record})")
    with pytest.raises(GoldoreError, match="the score ErrorLength failed"):
        scored(dataset, own, out=tmp_path / "scores.h5", trials=1)
    assert not (tmp_path / "scores.h5").exists()


def test_a_score_that_is_not_finite_is_not_taken_for_a_training_that_diverged(dataset, own, tmp_path):
    infinite = "record=mean_of(lambda seen: seen.cross_entropy / 0))"
    (tmp_path / "own_scores.py").write_text(OWN.split("record=", maxsplit=1)[0] + infinite)
    with pytest.raises(GoldoreError, match="the score ErrorLength gives values that are not finite"):
        scored(dataset, f"LossInit,{own}", out=tmp_path / "scores.h5", trials=1)


def test_a_training_that_diverged_is_not_blamed_on_the_score(own):
    values = np.array([[np.nan, 1.0], [2.0, 3.0]], dtype=np.float32)
    rows = list(find_scores(own).values())

    def check(diverged):
        course = np.ones((2, 1), dtype=np.float32)
        _check_own(Trained({"ErrorLength": values}, course, course[:, 0], diverged, diverged), rows)

    check(np.array([True, False]))
    with pytest.raises(GoldoreError, match="ErrorLength gives values that are not finite"):
        check(np.array([False, True]))


@pytest.mark.parametrize("given", ["LossInit", "loss-init", "LOSS_INIT", "lossinit"])
def test_spellings_of_a_score(given):
    assert score_name(given) == "LossInit"


def test_a_near_miss_gets_a_hint_and_a_stranger_the_list():
    with pytest.raises(UsageError, match=r"did you mean LossConverge\?"):
        score_name("LossConverged")
    with pytest.raises(UsageError, match="choose among LossInit, LossConverge"):
        score_name("xyz")


def test_every_score_states_direction_and_unit():
    for name, definition in SCORES.items():
        assert definition.name == name
        assert definition.low != definition.high
        assert definition.unit
        assert definition.drops in ("large", "small")
