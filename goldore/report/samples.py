"""Single samples: their scores, how sure these are, where they stand in their class, what each trial said."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.report.summary import number_or_none
from goldore.selection.ranks import Ranked
from goldore.store import Score, ScoreFile, load_header
from goldore.store.trialwise import UtilityOfSample, loss_values, utility_of_samples


def describe_samples(file: ScoreFile, positions: Sequence[int]) -> list[dict[str, Any]]:
    """Say what a file says of some samples, as objects that JSON can hold; unknown numbers are None.

    Args:
        file: on the disk, with all its scores.
        positions: in the original training set, 0..N-1.

    Returns:
        For each position the keys position, label, class, path (folder trees), hash (of the pixels, in
        hexadecimal) and scores: by name value, stderr, rank (1 is the lowest of its class, ties at their
        mean), ranked (samples of its class with this score), trials (that count for it) and per_trial: for
        losses the value of each trial, for MonteCarlo the outcome of its class in each trial that drew it.

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
    losses = loss_values(file.path, order)
    utilities = utility_of_samples(file.path, positions)
    ranks = {
        name: _class_ranks(score, file.labels, file.dataset.num_classes)
        for name, score in file.scores.items()
    }
    return [
        {
            "position": int(position),
            "label": int(file.labels[position]),
            "class": file.dataset.class_names[file.labels[position]],
            "path": header.paths[position] if header.paths is not None else None,
            "hash": f"{int(header.sample_hash[position]):016x}" if header.sample_hash is not None else None,
            "scores": {
                name: {
                    "value": number_or_none(score.values[position]),
                    "stderr": number_or_none(score.stderr[position]),
                    "rank": number_or_none(ranks[name][0][position]),
                    "ranked": int(ranks[name][1][file.labels[position]]),
                    **_by_trial(
                        losses[name][:, np.searchsorted(order, position)] if name in losses else None,
                        utilities[place] if utilities and score.estimator else None,
                    ),
                }
                for name, score in file.scores.items()
            },
        }
        for place, position in enumerate(positions)
    ]


def _class_ranks(
    score: Score, labels: NDArray[np.int64], num_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rank in its class, from 1, of each sample, [N], and how many of each class have one, [K]."""
    ranked = Ranked.of(score.values, labels, num_classes)
    return ranked.within() + 1, ranked.counts


def _by_trial(losses: NDArray[np.float32] | None, utility: UtilityOfSample | None) -> dict[str, Any]:
    if utility is not None:
        values = utility.outcomes
    elif losses is not None:
        values = losses
    else:
        return {"trials": 0, "per_trial": []}
    return {"trials": len(values), "per_trial": [number_or_none(value) for value in values.tolist()]}
