"""What trials predict, put together, and the labels that it casts doubt on, against plain loops."""

import numpy as np
import pytest

from goldore.scores.estimators.predicted import combine_predictions, confusion, label_issues

CLASSES = 4


@pytest.fixture
def trials():
    draw = np.random.default_rng(1)
    labels = draw.integers(0, CLASSES, 300)
    predicted = np.where(draw.random((7, 300)) < 0.6, labels, draw.integers(0, CLASSES, (7, 300)))
    probability = draw.uniform(0.3, 1, (7, 300)).astype(np.float32)
    of_label = np.where(predicted == labels, probability, draw.uniform(0, 0.3, (7, 300))).astype(np.float32)
    return predicted.astype(np.int32), probability, of_label, labels


@pytest.mark.parametrize("count", [1, 2, 7])
def test_it_is_what_a_plain_loop_counts(trials, count, monkeypatch):
    monkeypatch.setattr("goldore.scores.estimators.predicted._BLOCK", 64)
    predicted, probability, of_label, labels = (*(each[:count] for each in trials[:3]), trials[3])
    said = combine_predictions(predicted, probability, of_label, labels, held_out=True)
    for at, label in enumerate(labels):
        mine = predicted[:, at].tolist()
        surely = {
            one: sum(float(p) for p, each in zip(probability[:, at], mine, strict=True) if each == one)
            for one in mine
        }
        ranked = sorted(set(mine), key=lambda each: (-mine.count(each), -surely[each]))
        assert said.classes[at].tolist() == [*ranked, -1][:2]
        assert said.shares[at].tolist() == pytest.approx(
            [mine.count(each) / count for each in [*ranked, -1][:2]]
        )
        first = [p for p, each in zip(probability[:, at], mine, strict=True) if each == ranked[0]]
        assert said.probability[at] == pytest.approx(sum(map(float, first)) / count)
        assert said.right[at] == mine.count(label) / count
        assert said.label_probability[at] == pytest.approx(np.mean(of_label[:, at].astype(float)))


def test_labels_are_doubted_where_another_class_is_as_likely_as_its_own_samples_are(trials):
    predicted, probability, of_label, labels = trials
    predicted[:, ::15] = (labels[::15] + 1) % CLASSES
    probability[:, ::15] = np.linspace(0.4, 1, 20)
    of_label[:, ::15] = 0.02
    said = combine_predictions(predicted, probability, of_label, labels, held_out=True)
    usual = [np.mean(said.label_probability[labels == each]) for each in range(CLASSES)]
    doubted = []
    for at, label in enumerate(labels):
        other = said.classes[at, 0]
        if other != label and said.probability[at] >= usual[other]:
            doubted.append((said.label_probability[at] - said.probability[at], at))
    assert 0 < len(doubted) < 60
    assert label_issues(said, labels, CLASSES).tolist() == [at for _, at in sorted(doubted)]


def test_planted_mistakes_are_found_and_classes_without_samples_do_no_harm():
    labels = np.repeat([0, 1, 3], 20)
    truth = labels.copy()
    truth[[3, 25, 50]] = [1, 3, 0]
    of_label = np.where(truth == labels, 0.9, 0.05)[None].astype(np.float32)
    said = combine_predictions(truth[None], np.full((1, 60), 0.9), of_label, labels, held_out=True)
    assert label_issues(said, labels, CLASSES).tolist() == [3, 25, 50]
    table = confusion(said, labels, CLASSES)
    assert table.tolist() == [[19, 1, 0, 0], [0, 19, 0, 1], [0, 0, 0, 0], [1, 0, 0, 19]]
