"""What is wrong with a dataset, as far as its scores tell: likely wrong labels, confusions, equal images."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from goldore.report.records import Known, Record, number_or_none
from goldore.scores.estimators.predicted import Predicted, chance, confusion, guessing, label_issues
from goldore.store import ScoreFile, load_header, load_predictions

_MOST_CLASSES = 20  # of a confusion table that is given whole


@dataclass(frozen=True, kw_only=True)
class LabelIssue(Record):
    """A sample whose label is likely to be wrong.

    Attributes:
        position: in the training set.
        label: of the sample.
        class_name: of the label.
        path: of the file, for folder trees.
        predicted: the class that most trials predict.
        predicted_name: its name.
        share: of the trials that predict it.
        probability: of it, mean over the trials, at the least.
        label_probability: of the label, mean over the trials.
    """

    position: int
    label: int
    class_name: str
    path: str | None = field(metadata={"optional": True})
    predicted: int
    predicted_name: str
    share: float
    probability: float
    label_probability: float


@dataclass(frozen=True, kw_only=True)
class Confused(Record):
    """Samples of one class that are taken for another.

    Attributes:
        label: of the class.
        name: of the class.
        predicted: the class that most trials predict.
        predicted_name: its name.
        samples: how many.
        share: of the samples of the class.
    """

    label: int
    name: str
    predicted: int
    predicted_name: str
    samples: int
    share: float


@dataclass(frozen=True, kw_only=True)
class EqualImages(Record):
    """Samples whose images are equal pixel for pixel.

    Attributes:
        positions: ascending.
        labels: of each.
        paths: of each, for folder trees.
    """

    positions: tuple[int, ...]
    labels: tuple[int, ...]
    paths: tuple[str, ...] | None = field(metadata={"optional": True})

    @property
    def contradict(self) -> bool:
        """Whether their labels differ."""
        return len(set(self.labels)) > 1


@dataclass(frozen=True, kw_only=True)
class Issues(Record):
    """What is wrong with a dataset, as far as a score file tells.

    Attributes:
        held_out: whether the predictions are of networks that did not train on the sample; None without any.
        trials: that predict.
        accuracy: share of the trials that predict a sample's label, mean over the samples; None without.
        chance: the same if the largest class is always predicted, 0..1.
        guessing: whether the predictions are hardly better than that, so that no label is doubted.
        label_issues: likely wrong labels, the most doubtful first; none where the networks are `guessing`.
        confused: which classes are taken for which, the most frequent first.
        confusion: samples by label (row) and by the class that most trials predict; None without predictions,
            or for more than 20 classes.
        hashed: whether the file tells equal images.
        equal: groups of equal images, those with different labels first.
        repeated: samples that are there again: all but one of each group.
    """

    held_out: bool | None
    trials: int
    accuracy: Known
    chance: float
    guessing: bool
    label_issues: tuple[LabelIssue, ...]
    confused: tuple[Confused, ...]
    confusion: tuple[tuple[int, ...], ...] | None
    hashed: bool
    equal: tuple[EqualImages, ...]
    repeated: int

    @property
    def contradictions(self) -> int:
        """Groups of equal images with different labels."""
        return sum(each.contradict for each in self.equal)


def find_issues(file: ScoreFile) -> Issues:
    """Look for likely wrong labels and equal images.

    Args:
        file: on the disk.

    Raises:
        ScoreFileError: if it cannot be read.
    """
    header, said = load_header(file.path), load_predictions(file.path)
    hashed = header.sample_hash is not None
    groups = _equal(header.sample_hash, file.labels, header.paths) if header.sample_hash is not None else ()
    table = confusion(said, file.labels, file.dataset.num_classes) if said is not None else None
    small = table is not None and len(table) <= _MOST_CLASSES
    return Issues(
        held_out=said.held_out if said is not None else None,
        trials=said.trials if said is not None else 0,
        accuracy=number_or_none(said.right.mean()) if said is not None else None,
        label_issues=_doubted(file, said, header.paths) if said is not None else (),
        confused=_confused(file, table) if table is not None else (),
        confusion=tuple(map(tuple, table.tolist())) if table is not None and small else None,
        hashed=hashed,
        equal=groups,
        repeated=sum(len(each.positions) - 1 for each in groups),
        chance=chance(file.labels),
        guessing=said is not None and guessing(said, file.labels),
    )


def _doubted(file: ScoreFile, said: Predicted, paths: tuple[str, ...] | None) -> tuple[LabelIssue, ...]:
    names = file.dataset.class_names
    return tuple(
        LabelIssue(
            position=at,
            label=int(file.labels[at]),
            class_name=names[file.labels[at]],
            path=paths[at] if paths is not None else None,
            predicted=int(said.classes[at, 0]),
            predicted_name=names[said.classes[at, 0]],
            share=float(said.shares[at, 0]),
            probability=float(said.probability[at]),
            label_probability=float(said.label_probability[at]),
        )
        for at in label_issues(said, file.labels, file.dataset.num_classes).tolist()
    )


def _confused(file: ScoreFile, table: NDArray[np.int64]) -> tuple[Confused, ...]:
    names, sizes = file.dataset.class_names, table.sum(axis=1)
    wrong = table.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    order = np.argsort(-wrong[rows, columns], kind="stable")
    return tuple(
        Confused(
            label=int(row),
            name=names[row],
            predicted=int(column),
            predicted_name=names[column],
            samples=int(wrong[row, column]),
            share=float(wrong[row, column] / sizes[row]),
        )
        for row, column in zip(rows[order], columns[order], strict=True)
    )


def _equal(
    hashes: NDArray[np.uint64], labels: NDArray[np.int64], paths: tuple[str, ...] | None
) -> tuple[EqualImages, ...]:
    order = np.argsort(hashes, kind="stable")
    ends = np.flatnonzero(np.diff(hashes[order])) + 1
    groups = [np.sort(each) for each in np.split(order, ends) if len(each) > 1]
    found = [
        EqualImages(
            positions=tuple(each.tolist()),
            labels=tuple(labels[each].tolist()),
            paths=tuple(paths[at] for at in each) if paths is not None else None,
        )
        for each in groups
    ]
    return tuple(sorted(found, key=lambda each: (not each.contradict, each.positions)))
