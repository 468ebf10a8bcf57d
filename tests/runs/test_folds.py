"""Cross-validations against plain loops, what trials predict, and features of the first network."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import goldore
from goldore import ConvNetConfig, FoldRecipe, LossRecipe, UsageError
from goldore.errors import GoldoreError, ScoreFileError
from goldore.runs.job import complete_recipe
from goldore.store import load_predictions
from goldore.store.loss_trials import LOSS as OF_LOSSES
from goldore.store.reading import read_header
from goldore.training.reference import train_one
from goldore.trials.draws import folds_of
from goldore.trials.seeds import group_of, make_fold_trials, make_trials
from tests.conftest import edited, make_dataset

SEED, TRIALS, FOLDS = 3, 2, 3
SETTINGS = {
    "network": ConvNetConfig(width=4, depth=1),
    "epochs": 12,
    "converge_epochs": 2,
    "batch_size": 16,
    "lr": 0.1,
    "precision": "float32",
}
FOLD = FoldRecipe(folds=FOLDS, **SETTINGS)
LOSS = LossRecipe(init_epochs=3, **SETTINGS)
ABOUT = {"fold": FOLD, "recipe": LOSS, "seed": SEED, "device": "cpu", "fold_trials": TRIALS}


@pytest.fixture(scope="module")
def dataset():
    """61 samples, which three folds do not divide; some labels are wrong."""
    easy = make_dataset(counts=(20, 17, 24), seed=4)
    labels = easy.labels.copy()
    labels[::7] = (labels[::7] + 1) % 3
    return replace(easy, labels=labels)


@pytest.fixture(scope="module")
def scored(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "s.h5"
    return goldore.score(dataset, scores="HeldOutLoss", out=out, **ABOUT)


@pytest.fixture(scope="module")
def courses(dataset):
    """Of each trial: the fold of every sample, and every network's logits [K][epochs][N, classes]."""
    recipe = complete_recipe(FOLD, dataset)
    architecture = recipe.network.architecture(dataset.image_shape, 3)
    found = []
    for trial in make_fold_trials(SEED, range(TRIALS)):
        folds = folds_of(trial, dataset.labels, 3, FOLDS)
        samples = len(folds) - max(np.bincount(folds))
        networks = [
            train_one(dataset, architecture, recipe, network, np.flatnonzero(folds != fold), samples)
            for fold, network in enumerate(group_of(trial, FOLDS))
        ]
        found.append((folds, networks))
    return found


def softmax(logits):
    shifted = np.exp(np.array(logits, dtype=np.float64) - max(logits))
    return shifted / shifted.sum()


def test_scores_are_those_of_networks_trained_with_and_without_a_sample(dataset, courses, scored):
    loss, memorization = np.zeros(61), np.zeros(61)
    for folds, networks in courses:
        for at, label in enumerate(dataset.labels):
            losses, right = [], []
            for network in networks:
                ends = [network[epoch][at] for epoch in (11, 12)]
                losses.append(np.mean([-np.log(softmax(each)[label]) for each in ends]))
                right.append(np.mean([int(np.argmax(each) == label) for each in ends]))
            loss[at] += losses[folds[at]] / TRIALS
            within = [each for fold, each in enumerate(right) if fold != folds[at]]
            memorization[at] += (np.mean(within) - right[folds[at]]) / TRIALS
    assert scored.score_names == ("HeldOutLoss", "Memorization")
    np.testing.assert_allclose(scored.scores["HeldOutLoss"].values, loss, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scored.scores["Memorization"].values, memorization, atol=1e-6)
    assert np.ptp(memorization) > 0
    assert scored.scores["HeldOutLoss"].trials == TRIALS
    assert np.isfinite(scored.scores["HeldOutLoss"].stderr).all()


def test_predictions_are_those_of_the_network_without_the_sample(dataset, courses, scored):
    said = load_predictions(scored.path)
    assert said.held_out
    assert said.trials == TRIALS
    for at, label in enumerate(dataset.labels):
        last = [softmax(networks[folds[at]][12][at]) for folds, networks in courses]
        classes = [int(np.argmax(each)) for each in last]
        assert said.right[at] == np.mean([each == label for each in classes])
        assert said.label_probability[at] == pytest.approx(np.mean([each[label] for each in last]), abs=1e-4)
        sums = {one: sum(each.max() for each in last if np.argmax(each) == one) for one in classes}
        ranked = sorted(set(classes), key=lambda each: (-classes.count(each), -sums[each]))
        assert said.classes[at].tolist() == [*ranked, -1][:2]
        assert said.shares[at].tolist() == [classes.count(each) / TRIALS for each in ranked] + [0] * (
            2 - len(ranked)
        )
        of_first = [
            each.max() if place == ranked[0] else 0 for each, place in zip(last, classes, strict=True)
        ]
        assert said.probability[at] == pytest.approx(np.mean(of_first), abs=1e-4)


def test_loss_trials_predict_early_unless_there_are_folds(dataset, tmp_path):
    out = tmp_path / "s.h5"
    goldore.score(dataset, scores="LossConverge", trials=2, out=out, **ABOUT)
    said = load_predictions(out)
    assert not said.held_out
    recipe = complete_recipe(LOSS, dataset)
    architecture = recipe.network.architecture(dataset.image_shape, 3)
    logits = [train_one(dataset, architecture, recipe, trial)[3] for trial in make_trials(SEED, range(2))]
    right = np.mean([each.argmax(axis=1) == dataset.labels for each in logits], axis=0)
    assert said.right.tolist() == right.tolist()
    goldore.score(dataset, scores="Memorization", out=out, **ABOUT)
    assert load_predictions(out).held_out
    assert not load_predictions(out, "loss").held_out
    with pytest.raises(UsageError, match="`trials` is 'utility'; choose fold or loss"):
        load_predictions(out, "utility")


@pytest.mark.parametrize("size", [2, 4, 16])
def test_how_many_networks_train_at_once_changes_nothing(dataset, scored, tmp_path, size):
    again = goldore.score(dataset, scores="Memorization", ensemble_size=size, out=tmp_path / "s.h5", **ABOUT)
    np.testing.assert_allclose(
        again.scores["HeldOutLoss"].values, scored.scores["HeldOutLoss"].values, rtol=1e-3, atol=1e-4
    )


def test_a_file_is_gone_on_with_and_merged_as_with_loss_trials(dataset, scored, tmp_path):
    first, second, whole = (tmp_path / name for name in ("a.h5", "b.h5", "whole.h5"))
    about = {**ABOUT, "fold_trials": 1}
    goldore.score(dataset, scores="HeldOutLoss", out=first, **about)
    goldore.score(dataset, scores="HeldOutLoss", trial_range=range(1, 2), out=second, **about)
    goldore.merge([first, second], whole)
    grown = goldore.score(dataset, scores="HeldOutLoss", out=first, **ABOUT)
    for file in (grown, goldore.load_scores(whole)):
        for name, score in scored.scores.items():
            assert file.scores[name].values.tolist() == score.values.tolist()
    assert load_predictions(whole).right.tolist() == load_predictions(scored.path).right.tolist()
    with pytest.raises(ScoreFileError, match="folds"):
        goldore.score(dataset, scores="HeldOutLoss", out=first, **ABOUT | {"fold": replace(FOLD, folds=4)})


def test_files_without_predictions_stay_as_they_are(dataset, tmp_path):
    out = tmp_path / "old.h5"
    about = {"scores": "LossConverge", "recipe": LOSS, "seed": SEED, "device": "cpu", "out": out}
    new = goldore.score(dataset, trials=2, **about).scores["LossConverge"].values
    out.unlink()
    goldore.score(dataset, trials=1, **about)
    with edited(out) as file:
        group = file["trials/loss"]
        for name in ("predicted", "predicted_probability", "label_probability"):
            del group[name]
        header = read_header(file)
        numbers = np.array([0])
        group["digest"][:] = OF_LOSSES.digests_of(
            OF_LOSSES.key_in(file, header), numbers, OF_LOSSES.columns_at(group, slice(0, 1))
        )
    assert load_predictions(out) is None
    assert goldore.score(dataset, trials=2, **about).scores["LossConverge"].values.tolist() == new.tolist()
    assert load_predictions(out) is None
    with h5py.File(out) as file:
        assert "predicted" not in file["trials/loss"]


@pytest.mark.parametrize("size", [1, 2])
def test_features_are_those_of_the_first_trial_as_it_ends(dataset, tmp_path, size):
    about = {"scores": "LossConverge", "recipe": LOSS, "seed": SEED, "device": "cpu", "trials": 2}
    out = tmp_path / "s.h5"
    goldore.score(dataset, out=out, features=True, ensemble_size=size, **about)
    features = np.load(tmp_path / "s-features.npy")
    assert features.shape == (61, 4 * 4 * 4)
    assert features.dtype == np.float16
    plain = tmp_path / "plain.h5"
    goldore.score(dataset, out=plain, **about)
    assert not (tmp_path / "plain-features.npy").exists()
    goldore.score(dataset, out=plain, features=True, **about)  # the trial is there, and trained again
    later = np.load(tmp_path / "plain-features.npy")
    np.testing.assert_allclose(later.astype(float), features.astype(float), atol=2e-3)
    with h5py.File(out) as first, h5py.File(plain) as second:
        assert first["scores/LossConverge"].shape == second["scores/LossConverge"].shape
    before = (tmp_path / "s-features.npy").stat().st_mtime_ns
    goldore.score(dataset, out=out, features=True, **about)
    assert (tmp_path / "s-features.npy").stat().st_mtime_ns == before
    wider = replace(LOSS, network=ConvNetConfig(width=8, depth=1))
    goldore.score(
        dataset, out=out, overwrite=True, **about | {"recipe": wider}
    )  # the features are another run's
    assert not (tmp_path / "s-features.npy").exists()
    goldore.score(dataset, out=out, features=True, **about | {"recipe": wider})
    assert np.load(tmp_path / "s-features.npy").shape == (61, 8 * 4 * 4)


def test_a_dry_run_leaves_features_alone(dataset, tmp_path):
    about = {"scores": "LossConverge", "seed": SEED, "device": "cpu", "trials": 1, "features": True}
    goldore.score(dataset, out=tmp_path / "s.h5", recipe=LOSS, **about)
    before = (tmp_path / "s-features.npy").read_bytes()
    other = replace(LOSS, epochs=LOSS.epochs + 1)
    goldore.score(dataset, out=tmp_path / "s.h5", recipe=other, overwrite=True, dry_run=True, **about)
    assert (tmp_path / "s-features.npy").read_bytes() == before


def test_features_of_a_training_that_diverges_are_not_kept(dataset, tmp_path):
    about = {"scores": "LossConverge", "seed": SEED, "device": "cpu", "trials": 1, "features": True}
    with pytest.raises(GoldoreError):
        goldore.score(dataset, out=tmp_path / "s.h5", recipe=replace(LOSS, lr=1e30), **about)
    assert not list(tmp_path.glob("*.npy"))


def test_features_are_of_trial_0(dataset, tmp_path):
    about = {"scores": "LossConverge", "recipe": LOSS, "device": "cpu", "features": True}
    with pytest.raises(UsageError, match="`features` are those of trial 0, which `trial_range` leaves out"):
        goldore.score(dataset, out=tmp_path / "s.h5", trial_range=range(1, 2), **about)


def test_what_cannot_be_is_said_in_one_sentence(dataset, tmp_path):
    out = tmp_path / "s.h5"
    with pytest.raises(UsageError, match="`folds` is 1; it must be 2 or more"):
        FoldRecipe(folds=1)
    with pytest.raises(UsageError, match="`folds` is 62 and there are 61 samples"):
        goldore.score(dataset, scores="HeldOutLoss", out=out, **ABOUT | {"fold": replace(FOLD, folds=62)})
    with pytest.raises(UsageError, match="`fold_trials` is 0"):
        goldore.score(dataset, scores="HeldOutLoss", out=out, **ABOUT | {"fold_trials": 0})
    with pytest.raises(UsageError, match="`features` are those of loss trials"):
        goldore.score(dataset, scores="HeldOutLoss", features=True, out=out, **ABOUT)
    with pytest.raises(UsageError, match="`trial_range` numbers the trials of one kind"):
        goldore.score(dataset, scores="HeldOutLoss,LossInit", trial_range=range(2), out=out, **ABOUT)
    assert not out.exists()


def test_folds_are_even_over_all_and_within_classes():
    labels = np.repeat([0, 1, 2, 3], [10, 1, 7, 25])
    first, second = (folds_of(trial, labels, 4, 5) for trial in make_fold_trials(0, range(2)))
    assert first.tolist() != second.tolist()
    for folds in (first, second):
        assert np.ptp(np.bincount(folds, minlength=5)) <= 1
        for label in range(4):
            assert np.ptp(np.bincount(folds[labels == label], minlength=5)) <= 1
