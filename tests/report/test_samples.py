import dataclasses
import json

import h5py
import numpy as np
import pytest

import goldore
from goldore.datasets.origin import Origin
from goldore.errors import ScoreFileError, UsageError
from goldore.exchange.importing import import_scores
from goldore.networks.config import ConvNetConfig
from goldore.report import describe_samples
from goldore.trials import LossRecipe, UtilityRecipe
from tests.conftest import edited, make_dataset

NETWORK = ConvNetConfig(depth=1, width=4)
PATHS = tuple(f"corner/{position:03}.png" for position in range(60))


def make_scores(out, dataset):
    return goldore.score(
        dataset,
        scores="LossInit,LossConverge,MonteCarlo",
        recipe=LossRecipe(network=NETWORK, epochs=2, batch_size=16),
        trials=3,
        utility=UtilityRecipe(network=NETWORK, steps=3, subset_per_class=2, lr=0.05),
        utility_trials=40,
        outcome="margin",
        device="cpu",
        out=out,
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A tiny score file with trials of both kinds; read only."""
    dataset = make_dataset()
    file = make_scores(tmp_path_factory.mktemp("samples") / "scores.h5", dataset)
    with h5py.File(file.path) as raw:
        content = {
            "losses": {name: raw["trials/loss"][name][()] for name in ("LossInit", "LossConverge")},
            "members": raw["trials/utility/members"][()],
            "margin": raw["trials/utility/margin"][()],
            "scores": {name: raw["scores"][name][()] for name in raw["scores"]},
            "stderr": {name: raw["stderr"][name][()] for name in raw["stderr"]},
        }
    return file, dataset, content


@pytest.fixture
def copied(scored, tmp_path):
    """A copy of the file to change."""
    path = tmp_path / "copy.h5"
    path.write_bytes(scored[0].path.read_bytes())
    return path


def none_if_unknown(value):
    return float(value) if np.isfinite(value) else None


def plain_rank(values, labels, position):
    """From 1, ties at their mean; and how many of the class have a value."""
    mine = values[(labels == labels[position]) & np.isfinite(values)]
    below, same = (mine < values[position]).sum(), (mine == values[position]).sum()
    return (below + (same + 1) / 2 if same else None), len(mine)


def test_what_is_said_of_each_sample_is_what_the_file_holds(scored):
    file, dataset, content = scored
    said = describe_samples(file, range(60))
    assert [row.position for row in said] == list(range(60))
    for position, row in enumerate(said):
        label = dataset.labels[position]
        assert (row.label, row.class_name) == (label, f"corner {label}")
        assert list(row.scores) == ["LossInit", "LossConverge", "MonteCarlo"]
        for name, about in row.scores.items():
            values = content["scores"][name]
            assert about.value == none_if_unknown(values[position])
            assert about.stderr == none_if_unknown(content["stderr"][name][position])
            assert (about.rank, about.ranked) == plain_rank(values, dataset.labels, position)
            assert about.trials == len(about.per_trial)
    json.dumps([row.to_json() for row in said], allow_nan=False)


def test_losses_have_the_value_of_each_trial(scored):
    file, _, content = scored
    for position, row in enumerate(describe_samples(file, range(60))):
        for name, recorded in content["losses"].items():
            about = row.scores[name]
            assert about.per_trial == tuple(recorded[:, position].astype(float).tolist())
            assert about.trials == 3
            assert np.mean(about.per_trial) == pytest.approx(about.value)
            assert np.std(about.per_trial, ddof=1) / 3**0.5 == pytest.approx(about.stderr)


def test_utility_has_the_outcomes_of_the_trials_that_drew_the_sample(scored):
    file, dataset, content = scored
    for position, row in enumerate(describe_samples(file, range(60))):
        drew = (content["members"] == position).any(axis=1)
        outcomes = content["margin"][:, dataset.labels[position]].astype(np.float64)
        about = row.scores["MonteCarlo"]
        assert about.per_trial == tuple(outcomes[drew].tolist())
        assert about.trials == drew.sum() == file.scores["MonteCarlo"].counts[position]
        assert about.value == pytest.approx(outcomes[drew].mean() - outcomes[~drew].mean(), abs=1e-6)


def test_trials_that_diverged_are_left_out(copied):
    with edited(copied) as file:
        file["trials/loss/failed"][1] = 1
        file["trials/utility/failed"][:20] = 1
        losses = file["trials/loss/LossInit"][()]
        members, margin = file["trials/utility/members"][()], file["trials/utility/margin"][()]
        labels = file["dataset/labels"][()]
    (row,) = describe_samples(goldore.load_scores(copied), [5])
    assert row.scores["LossInit"].per_trial == tuple(losses[[0, 2], 5].astype(float).tolist())
    drew = (members == 5).any(axis=1) & (np.arange(40) >= 20)
    assert row.scores["MonteCarlo"].per_trial == tuple(margin[drew, labels[5]].astype(float).tolist())


def test_samples_come_in_the_order_asked_for_and_may_repeat(scored):
    file, _, _ = scored
    whole = describe_samples(file, range(60))
    asked = [59, 0, 17, 17, 3]
    assert describe_samples(file, asked) == [whole[position] for position in asked]
    assert describe_samples(file, []) == []


@pytest.mark.parametrize("position", [-1, 60, 10**9])
def test_positions_out_of_range_are_refused(scored, position):
    with pytest.raises(UsageError, match=f"{position}.*0 to 59"):
        describe_samples(scored[0], [3, position])


def test_positions_of_numpy_are_as_good_as_those_of_python(scored):
    said = describe_samples(scored[0], np.array([4, 2]))
    assert said == describe_samples(scored[0], [4, 2])
    json.dumps(said[0].to_json())


def test_equal_values_share_their_mean_rank(copied):
    with edited(copied) as file:
        labels = file["dataset/labels"][()]
        mine = np.flatnonzero(labels == 1)
        values = file["scores/LossInit"][()]
        values[mine] = [5.0] * 3 + [1.0] * 2 + list(range(10, 10 + len(mine) - 5))
        file["scores/LossInit"][...] = values
    said = describe_samples(goldore.load_scores(copied), mine[:6].tolist())
    assert [row.scores["LossInit"].rank for row in said] == [4, 4, 4, 1.5, 1.5, 6]
    assert {row.scores["LossInit"].ranked for row in said} == {len(mine)}


def test_a_sample_without_a_score_has_no_rank_and_is_not_ranked_against(copied):
    with edited(copied) as file:
        labels = file["dataset/labels"][()]
        mine = np.flatnonzero(labels == 0)
        file["scores/LossInit"][mine[0]] = np.nan
        file["stderr/LossInit"][mine[0]] = np.nan
        values = file["scores/LossInit"][()]
    absent, other = describe_samples(goldore.load_scores(copied), mine[:2].tolist())
    about = absent.scores["LossInit"]
    assert (about.value, about.stderr, about.rank) == (None, None, None)
    assert about.ranked == len(mine) - 1
    assert other.scores["LossInit"].rank == plain_rank(values, labels, mine[1])[0]
    json.dumps([absent.to_json(), other.to_json()], allow_nan=False)


def test_the_hash_is_that_of_the_pixels(scored):
    file, dataset, _ = scored
    for position, row in enumerate(describe_samples(file, range(60))):
        assert row.hash == f"{dataset.sample_hash[position]:016x}"
        assert len(row.hash) == 16


def test_samples_of_folder_trees_have_their_paths(scored, tmp_path):
    assert describe_samples(scored[0], [3])[0].path is None
    dataset = dataclasses.replace(make_dataset(), paths=PATHS, origin=Origin("folder", path="x"))
    file = goldore.score(
        dataset,
        scores="LossInit",
        recipe=LossRecipe(network=NETWORK, epochs=1),
        trials=1,
        device="cpu",
        out=tmp_path / "folder.h5",
    )
    said = describe_samples(file, [59, 3])
    assert [row.path for row in said] == ["corner/059.png", "corner/003.png"]
    about = said[0].scores["LossInit"]
    assert about.stderr is None
    assert about.per_trial == (pytest.approx(about.value),)


def test_of_an_imported_list_the_values_and_ranks_are_told(tmp_path):
    labels = np.array([0, 0, 0, 1, 1])
    (tmp_path / "made_MonteCarlo.json").write_text("[0.5, 0.0, -0.25, 0.0, 1.0]")
    file = import_scores(tmp_path / "made_MonteCarlo.json", tmp_path / "made.h5", labels=labels)
    said = describe_samples(file, range(5))
    assert [row.hash for row in said] == [row.path for row in said] == [None] * 5
    scores = [row.scores["MonteCarlo"] for row in said]
    assert [each.value for each in scores] == [0.5, None, -0.25, None, 1.0]
    assert [each.rank for each in scores] == [2, None, 1, None, 1]
    assert [each.ranked for each in scores] == [2, 2, 2, 1, 1]
    assert all((each.trials, each.per_trial) == (0, ()) for each in scores)


def test_a_file_that_is_gone_is_refused(copied):
    file = goldore.load_scores(copied)
    copied.unlink()
    with pytest.raises(ScoreFileError):
        describe_samples(file, [0])
