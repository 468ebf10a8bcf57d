"""Scores of training dynamics, each against a plain loop over the logits of plain networks."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import goldore
from goldore import ConvNetConfig, LossRecipe, UsageError
from goldore.runs.job import complete_recipe
from goldore.scores import TRAINING_SCORES, find_scores
from goldore.scores.dynamics import DYNAMICS
from goldore.scores.predictions import Predictions
from goldore.store.loss_trials import LOSS
from goldore.training.reference import train_one
from goldore.trials.seeds import make_trials
from tests.conftest import make_dataset

EPOCHS, SEED, TRIALS = 22, 3, 2
RECIPE = LossRecipe(
    network=ConvNetConfig(width=4, depth=1),
    epochs=EPOCHS,
    init_epochs=2,
    converge_epochs=3,
    batch_size=16,
    lr=0.05,
    precision="float32",
)


def softmax(logits):
    shifted = np.exp(np.array(logits, dtype=np.float64) - max(logits))
    return shifted / shifted.sum()


# One sample's course: the logits after each epoch, [T][K], and its label.


def el2n(course, label):
    error = softmax(course[1]) - np.eye(len(course[1]))[label]  # after epoch 2
    return math.sqrt(sum(each**2 for each in error))


def aum(course, label):
    margins = [logits[label] - max(np.delete(logits, label)) for logits in course]
    return sum(margins) / len(margins)


def rights(course, label):
    return [int(np.argmax(logits)) == label for logits in course]


def forgetting(course, label):
    right = rights(course, label)
    if not any(right):
        return len(course)
    return sum(a and not b for a, b in itertools.pairwise(right))


def probabilities(course, label):
    return [softmax(logits)[label] for logits in course]


def confidence(course, label):
    return sum(probabilities(course, label)) / len(course)


def variability(course, label):
    seen, mean = probabilities(course, label), confidence(course, label)
    return math.sqrt(sum((each - mean) ** 2 for each in seen) / len(seen))


def correctness(course, label):
    return sum(rights(course, label)) / len(course)


def windows(values, length=10):
    return [values[start : start + length] for start in range(len(values) - length + 1)]


def sd(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((each - mean) ** 2 for each in values) / (len(values) - 1))


def dynunc(course, label):
    found = [sd(window) for window in windows(probabilities(course, label))]
    return sum(found) / len(found)


def dual(course, label):
    seen = probabilities(course, label)[: max(10, round(0.15 * EPOCHS))]
    found = [sd(window) * (1 - sum(window) / 10) for window in windows(seen)]
    return sum(found) / len(found)


def tdds(course, label):
    del label
    seen = [softmax(logits) for logits in course]
    changes = [
        sum(p * abs(math.log(p) - math.log(q)) for p, q in zip(new, old, strict=True))
        for old, new in itertools.pairwise(seen)
    ]
    spreads = []
    for window in windows(changes):
        mean = sum(window) / 10
        spreads.append(math.sqrt(sum((each - mean) ** 2 for each in window)))
    last = len(spreads) - 1
    return sum(0.9 * 0.1 ** (last - place) * spread for place, spread in enumerate(spreads))


def esps(course, label):
    del label
    seen = [softmax(logits) for logits in course[:10]]
    apart = [
        1 - (old @ new) / (np.linalg.norm(old) * np.linalg.norm(new)) for old, new in itertools.pairwise(seen)
    ]
    return sum(apart) / len(apart)


def mrmc(course, label):
    losses = [-math.log(each) for each in probabilities(course, label)[:20]]
    slope, at_zero = np.polyfit(np.arange(1, 21), np.log(losses), 1)
    w = math.exp(-slope)
    return math.exp(at_zero) * (1 - w**-20)


PLAIN = {
    "EL2N": el2n,
    "AUM": aum,
    "Forgetting": forgetting,
    "Confidence": confidence,
    "Variability": variability,
    "Correctness": correctness,
    "DynUnc": dynunc,
    "DUAL": dual,
    "TDDS": tdds,
    "ESPS": esps,
    "MRMC": mrmc,
}


@pytest.fixture(scope="module")
def dataset():
    """Some of its labels are wrong: these samples are learned late, forgotten, or never learned."""
    easy = make_dataset(seed=4)
    labels = easy.labels.copy()
    labels[::7] = (labels[::7] + 1) % easy.num_classes
    return replace(easy, labels=labels)


@pytest.fixture(scope="module")
def courses(dataset):
    """Logits by trial, [T][N][K]."""
    recipe = complete_recipe(RECIPE, dataset)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    found = []
    for trial in make_trials(SEED, range(TRIALS)):
        logits = train_one(dataset, architecture, recipe, trial)
        found.append(np.stack([logits[epoch] for epoch in range(1, EPOCHS + 1)]))
    return found


@pytest.fixture(scope="module")
def file(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("dynamics") / "s.h5"
    return goldore.score(
        dataset, scores="all", trials=TRIALS, recipe=RECIPE, seed=SEED, device="cpu", out=out
    )


@pytest.mark.parametrize("name", PLAIN)
def test_a_score_is_what_a_plain_loop_makes_of_its_definition(name, dataset, courses, file):
    wanted = np.mean(
        [
            [PLAIN[name](course[:, place], label) for place, label in enumerate(dataset.labels)]
            for course in courses
        ],
        axis=0,
    )
    found = file.scores[name].values
    assert np.ptp(wanted) > 0
    if name == "Forgetting":
        assert (np.floor(found * TRIALS) / TRIALS == wanted).all()
        return
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4)


def test_all_of_them_are_in_the_file_with_what_they_mean(file):
    assert file.score_names == tuple(TRAINING_SCORES)
    assert {row.name for row in DYNAMICS} == {*PLAIN, "GraNdLast"}
    for row in DYNAMICS:
        score = file.scores[row.name]
        assert score.definition.startswith("mean over trials of ")
        assert score.drops == row.drops == "small"
        assert score.trials == TRIALS
        assert np.isfinite(score.values).all()


def test_the_gradient_of_the_last_layer_is_that_of_autograd():
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(1, 5, 7, generator=draw)
    weight = torch.randn(3, 7, generator=draw, requires_grad=True)
    bias = torch.randn(3, generator=draw, requires_grad=True)
    labels = torch.tensor([0, 2, 1, 1, 0])
    logits = features @ weight.t() + bias
    recorder = TRAINING_SCORES["GraNdLast"].record(1, 5, [1], torch.device("cpu"))
    recorder.see(0, Predictions(logits.detach(), labels, 1, lambda: features))
    for place, label in enumerate(labels):
        loss = torch.nn.functional.cross_entropy(logits[0, place], label)
        parts = torch.autograd.grad(loss, (weight, bias), retain_graph=True)
        norm = math.sqrt(sum(float(part.square().sum()) for part in parts))
        assert float(recorder.result()[0, place]) == pytest.approx(norm, rel=1e-5)


def shown(name, courses, labels, batches=((0, 2), (2, 4))):
    """What a row records of made-up courses, [T, N, K], shown some samples at a time."""
    courses, labels = torch.tensor(courses, dtype=torch.float32), torch.tensor(labels)
    row = TRAINING_SCORES[name]
    epochs = range(1, len(courses) + 1)
    recorder = row.record(1, courses.shape[1], epochs, torch.device("cpu"))
    for epoch in epochs:
        for start, end in batches:
            part = slice(start, end)
            recorder.see(start, Predictions(courses[None, epoch - 1, part], labels[part], epoch))
    return recorder.result()[0].numpy()


def test_what_is_never_learned_is_forgotten_most_and_equal_numbers_go_by_the_loss():
    right, wrong, very_wrong = [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]
    courses = [
        [right, right, wrong, very_wrong],
        [right, wrong, wrong, very_wrong],
        [right, right, wrong, very_wrong],
        [right, wrong, wrong, very_wrong],
    ]
    found = shown("Forgetting", courses, [0, 0, 0, 0])
    assert np.floor(found).tolist() == [0, 2, 4, 4]
    assert found[2] < found[3] < found[2] + 1e-3


def test_a_sample_without_doubt_has_no_dynamics():
    """Probabilities that are 0 or 1 to the last bit, which public code takes for missing."""
    sure, never = [200.0, 0.0], [0.0, 200.0]
    courses = [[sure, never, sure, never]] * 22
    labels = [0, 0, 0, 0]
    assert shown("DynUnc", courses, labels).tolist() == [0, 0, 0, 0]
    assert shown("DUAL", courses, labels).tolist() == [0, 0, 0, 0]
    assert shown("TDDS", courses, labels).tolist() == [0, 0, 0, 0]
    assert np.abs(shown("ESPS", courses, labels)).max() < 1e-6
    assert shown("AUM", courses, labels).tolist() == [200, -200, 200, -200]
    assert np.isfinite(shown("MRMC", courses, labels)).all()


def test_windows_slide_and_the_last_one_counts():
    """One jump in the last epoch: the windows before it are still."""
    still, jump = [0.0, 0.0], [3.0, 0.0]
    courses = [[still] * 4] * 21 + [[jump, still, still, still]]
    for name in ("DynUnc", "TDDS"):
        found = shown(name, courses, [0, 0, 0, 0])
        assert found[0] > 0
        assert found[1:].tolist() == [0, 0, 0]
    p = 1 / (1 + math.exp(-3))
    assert shown("DynUnc", courses, [0] * 4)[0] == pytest.approx(sd([0.5] * 9 + [p]) / 13, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "epochs"), [("DynUnc", 9), ("DUAL", 9), ("TDDS", 10), ("ESPS", 9), ("MRMC", 19)]
)
def test_a_recipe_that_is_too_short_says_so(dataset, name, epochs, tmp_path):
    recipe = LossRecipe(network=RECIPE.network, epochs=epochs)
    with pytest.raises(
        UsageError, match=rf"{name} looks at epochs 1 to {epochs + 1} and a trial has {epochs}"
    ):
        goldore.score(dataset, scores=name, recipe=recipe, device="cpu", out=tmp_path / "s.h5")
    longer = LossRecipe(network=RECIPE.network, epochs=epochs + 1)
    assert TRAINING_SCORES[name].window(longer)[-1] == epochs + 1


def test_all_names_them_all():
    assert tuple(find_scores("all")) == tuple(TRAINING_SCORES)
    assert tuple(find_scores("ALL,MonteCarlo")) == (*TRAINING_SCORES, "MonteCarlo")
    assert tuple(find_scores("el2n,grand-last")) == ("EL2N", "GraNdLast")


def test_the_paper_s_share_of_the_epochs_is_used_by_dual():
    windows_of = TRAINING_SCORES["DUAL"].window
    assert windows_of(LossRecipe(epochs=200)) == list(range(1, 31))
    assert windows_of(LossRecipe(epochs=30)) == list(range(1, 11))


def test_all_that_a_recipe_is_too_short_for_are_named_with_those_it_serves(dataset, tmp_path):
    recipe = LossRecipe(network=RECIPE.network, epochs=10)
    with pytest.raises(UsageError, match="TDDS, MRMC look at more epochs than the 10 of a trial") as refused:
        goldore.score(dataset, scores="all", recipe=recipe, device="cpu", out=tmp_path / "s.h5")
    left = str(refused.value).rpartition("name the others: ")[2]
    assert tuple(find_scores(left)) == tuple(name for name in TRAINING_SCORES if name not in ("TDDS", "MRMC"))


def test_a_file_of_a_users_score_of_that_name_is_not_continued_with_ours(file):
    run = LOSS.run_of(file.loss_trials, {"device": "", "torch_version": ""})
    assert LOSS.differences(file.loss_trials, run) == []
    theirs = [
        replace(score, definition="my own") if score.name == "EL2N" else score
        for score in file.loss_trials.scores
    ]
    ours = replace(run, scores=tuple(score for score in run.scores if score.name == "LossInit"))
    (difference,) = LOSS.differences(replace(file.loss_trials, scores=tuple(theirs)), ours)
    assert difference[:2] == ("definition of EL2N", "my own")
