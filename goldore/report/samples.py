"""Single samples: their scores, how sure these are, where they stand in their class, what each trial said."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.report.records import SampleRecord, SampleScore, number_or_none
from goldore.selection.ranks import Ranked
from goldore.store import Score, ScoreFile, load_header
from goldore.store.trialwise import UtilityOfSample, utility_of_samples, values_by_trial


def describe_samples(file: ScoreFile, positions: Sequence[int]) -> list[SampleRecord]:
    """Say what a file says of some samples.

    Args:
        file: on the disk, with all its scores.
        positions: in the original training set, 0..N-1.

    Returns:
        A record for each position.

    Raises:
        UsageError: if a position is out of range.
        ScoreFileError: if the file cannot be read.
    """
    for position in positions:
        if not 0 <= position < len(file.labels):
            raise UsageError(
                f"there is no sample {position}; {file.dataset.name} has the positions 0 to "
                f"{len(file.labels) - 1}."
            )
    header = load_header(file.path)
    order = np.unique(np.asarray(positions, dtype=np.int64))
    losses = values_by_trial(file.path, order)
    utilities = utility_of_samples(file.path, positions)
    ranks = {
        name: _class_ranks(score, file.labels, file.dataset.num_classes)
        for name, score in file.scores.items()
    }
    return [
        SampleRecord(
            position=int(position),
            label=int(file.labels[position]),
            class_name=file.dataset.class_names[file.labels[position]],
            path=header.paths[position] if header.paths is not None else None,
            hash=f"{int(header.sample_hash[position]):016x}" if header.sample_hash is not None else None,
            scores={
                name: _score(
                    score,
                    position,
                    ranks[name][0][position],
                    ranks[name][1][file.labels[position]],
                    losses[name][:, np.searchsorted(order, position)] if name in losses else None,
                    utilities[place] if utilities and score.estimator else None,
                )
                for name, score in file.scores.items()
            },
        )
        for place, position in enumerate(positions)
    ]


def _class_ranks(
    score: Score, labels: NDArray[np.int64], num_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rank in its class, from 1, of each sample, [N], and how many of each class have one, [K]."""
    ranked = Ranked.of(score.values, labels, num_classes)
    return ranked.within() + 1, ranked.counts


def _score(
    score: Score,
    position: int,
    rank: float,
    ranked: int,
    losses: NDArray[np.float32] | None,
    utility: UtilityOfSample | None,
) -> SampleScore:
    values = utility.outcomes if utility is not None else losses
    return SampleScore(
        value=number_or_none(score.values[position]),
        stderr=number_or_none(score.stderr[position]),
        rank=number_or_none(rank),
        ranked=int(ranked),
        trials=0 if values is None else len(values),
        per_trial=() if values is None else tuple(number_or_none(value) for value in values.tolist()),
        of_utility=score.of_utility,
    )
