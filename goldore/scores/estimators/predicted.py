"""What trials predict of the samples, put together, and which labels are likely to be wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEARNED = 0.1  # of what chance leaves to be learned, at the least
_BLOCK = 2**18  # samples that are counted at a time


@dataclass(frozen=True)
class Predicted:
    """Which classes the trials of a file predict for its samples.

    Attributes:
        held_out: whether networks predict that did not train on the sample; else they did, and say too often
            what its label says.
        trials: that ended well.
        classes: the most frequent class of each sample and the next, of equally frequent ones the more
            probable first; -1 without, int64 [N, 2].
        shares: of the trials that predict them, float64 [N, 2].
        probability: of the most frequent class, at the least: its mean over the trials, 0 where another is
            predicted, float64 [N].
        label_probability: of the label, mean over the trials, float64 [N].
        right: share of the trials that predict the label, float64 [N].
    """

    held_out: bool
    trials: int
    classes: NDArray[np.int64]
    shares: NDArray[np.float64]
    probability: NDArray[np.float64]
    label_probability: NDArray[np.float64]
    right: NDArray[np.float64]


def combine_predictions(
    predicted: NDArray[np.integer],
    probability: NDArray[np.floating],
    label_probability: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    held_out: bool,
) -> Predicted:
    """Put together what trials predict.

    Args:
        predicted: classes, [T, N], T at least 1.
        probability: of them, [T, N].
        label_probability: of the labels, [T, N].
        labels: [N].
        held_out: whether networks predict that did not train on the sample.
    """
    trials, samples = predicted.shape
    classes, shares = np.full((samples, 2), -1, dtype=np.int64), np.zeros((samples, 2))
    for start in range(0, samples, _BLOCK):
        part = slice(start, start + _BLOCK)
        places = np.argsort(predicted[:, part], axis=0, kind="stable")
        ordered, surely = (
            np.take_along_axis(each[:, part], places, axis=0) for each in (predicted, probability)
        )
        changes = np.concatenate(
            [np.ones((1, ordered.shape[1]), dtype=np.bool_), ordered[1:] != ordered[:-1]]
        )
        runs = np.cumsum(changes, axis=0) - 1  # which of a sample's different classes
        columns = np.broadcast_to(np.arange(ordered.shape[1]), ordered.shape)
        counts = np.zeros((trials, ordered.shape[1]), dtype=np.int64)
        np.add.at(counts, (runs, columns), 1)
        values = np.full((trials, ordered.shape[1]), -1, dtype=np.int64)
        values[runs, columns] = ordered
        sums = np.zeros(counts.shape)
        np.add.at(sums, (runs, columns), surely)  # less than one vote each, so that they decide ties alone
        order = np.argsort(-(counts + sums / (trials + 1)), axis=0, kind="stable")[:2]
        there = np.take_along_axis(counts, order, axis=0)
        found = np.where(there > 0, np.take_along_axis(values, order, axis=0), -1)
        classes[part, : len(order)], shares[part, : len(order)] = found.T, there.T / trials
    first = classes[:, 0]
    return Predicted(
        held_out=held_out,
        trials=trials,
        classes=classes,
        shares=shares,
        probability=np.where(predicted == first, probability, 0).mean(axis=0, dtype=np.float64),
        label_probability=label_probability.mean(axis=0, dtype=np.float64),
        right=(predicted == labels).mean(axis=0, dtype=np.float64),
    )


def chance(labels: NDArray[np.int64]) -> float:
    """Share of the samples about which who always names the largest class is right, 0..1."""
    return float(np.bincount(labels).max() / len(labels))


def guessing(predicted: Predicted, labels: NDArray[np.int64]) -> bool:
    """Whether the trials are right hardly more often than by `chance`, so that they accuse no label."""
    by_chance = chance(labels)
    return float(predicted.right.mean()) - by_chance < _LEARNED * (1 - by_chance)


def label_issues(predicted: Predicted, labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Find likely wrong labels by confident learning (Northcutt et al. 2021, arXiv 1911.00068).

    A label is doubted where another class is predicted with at least the mean probability that samples with
    that label have of it; none where the networks are `guessing`.

    Args:
        predicted: what the trials say.
        labels: [N].
        num_classes: K.

    Returns:
        Their positions, int64, the most doubtful first: by the label's probability minus the other's.
    """
    if guessing(predicted, labels):
        return np.empty(0, dtype=np.int64)
    sizes = np.bincount(labels, minlength=num_classes)
    totals = np.bincount(labels, weights=predicted.label_probability, minlength=num_classes)
    usual = np.divide(totals, sizes, out=np.full(num_classes, np.inf), where=sizes > 0)
    other = predicted.classes[:, 0]
    found = np.flatnonzero((other != labels) & (predicted.probability >= usual[other]))
    margin = predicted.label_probability[found] - predicted.probability[found]
    return found[np.argsort(margin, kind="stable")]


def confusion(predicted: Predicted, labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Samples by label (row) and by the class that most trials predict (column), int64 [K, K]."""
    pairs = np.bincount(labels * num_classes + predicted.classes[:, 0], minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)
