"""What a criterion would keep, and how far two halves of the trials agree on it."""

from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.report.records import Kept, KeptClass, Known, number_or_none
from goldore.selection.amount import Ratio
from goldore.selection.criteria import RANDOM, parse_criterion
from goldore.selection.pruning import Scope, Selection, chance_overlap, prune
from goldore.store import ScoreFile

USUAL_RATIO = "0.1"


class HowMuch(TypedDict, total=False):
    """How much to keep, one of these: share to drop, share to keep, 0..1 each, or samples of every class."""

    drop_ratio: Ratio | None
    keep_ratio: Ratio | None
    keep_per_class: int | None


def select(
    file: ScoreFile, criterion: str, *, scope: Scope = "class", **how_much: Unpack[HowMuch]
) -> tuple[Selection, Kept]:
    """Choose samples as `goldore.prune` does and say what is kept; those without a score are dropped first.

    Args:
        file: with the score of the criterion.
        criterion: "<Score>_<large|small>", the end that is dropped, or "Random".
        scope: "class" applies the ratio within every class, "global" to all samples at once.
        how_much: drop_ratio, keep_ratio or keep_per_class.

    Returns:
        The selection, and what `what_is_kept` gives.

    Raises:
        UsageError: if the criterion or the ratio is wrong, or nothing is kept.
    """
    parsed = parse_criterion(criterion, file.score_names)
    if parsed.score != RANDOM and not np.isfinite(file.scores[parsed.score].values).any():
        raise UsageError(f"no sample has a {parsed.score}, so nothing can be ranked by it; choose another.")
    chosen = prune(file, criterion, scope=scope, missing="drop", **how_much)
    kept = np.zeros(len(file.labels), dtype=bool)
    kept[chosen.indices] = True
    score = file.scores.get(parsed.score)  # Random is none
    values = score.values if score is not None else None
    classes = file.dataset.num_classes
    agreed = np.full(classes, np.nan)
    if chosen.halves is not None:
        both = np.bincount(file.labels[np.intersect1d(*chosen.halves, assume_unique=True)], minlength=classes)
        either = np.bincount(file.labels[np.concatenate(chosen.halves)], minlength=classes)
        agreed = np.divide(2 * both, either, out=agreed, where=either > 0)
    low, high = _spans(values, kept, file.labels, classes)
    about = chosen.provenance
    return chosen, Kept(
        criterion=about["criterion"],
        rule=about["rule"],
        scope=scope,
        score=parsed.score if score is not None else None,
        drops=parsed.drops,
        direction=score.direction if score is not None else None,
        unit=score.unit if score is not None else None,
        reliability=number_or_none(score.trust) if score is not None else None,
        utility=bool(score is not None and score.estimator),
        kept=len(chosen.indices),
        total=len(file.labels),
        missing=chosen.missing,
        kept_missing=int((~np.isfinite(values[chosen.indices])).sum()) if values is not None else 0,
        halves_overlap=about["halves_overlap"],
        chance_overlap=number_or_none(chance_overlap(chosen.kept_per_class, chosen.total_per_class, scope)),
        classes=tuple(
            KeptClass(
                label=label,
                name=chosen.class_names[label],
                kept=int(chosen.kept_per_class[label]),
                total=int(chosen.total_per_class[label]),
                lowest_kept=number_or_none(low[label]),
                highest_kept=number_or_none(high[label]),
                threshold=_threshold(parsed.drops, low[label], high[label]),
                halves_overlap=number_or_none(agreed[label]),
            )
            for label in range(classes)
        ),
        of_utility=score is not None and score.of_utility,
    )


def usual_selections(file: ScoreFile) -> list[tuple[Selection, Kept]]:
    """What the authors' criteria keep of each score, a tenth of every class; as `select` gives it."""
    return [
        select(file, score.criterion, keep_ratio=USUAL_RATIO)
        for score in file.scores.values()
        if np.isfinite(score.values).any()
    ]


def what_is_kept(
    file: ScoreFile, criterion: str, *, scope: Scope = "class", **how_much: Unpack[HowMuch]
) -> Kept:
    """Say what a criterion keeps; arguments and errors are those of `select`."""
    return select(file, criterion, scope=scope, **how_much)[1]


def _threshold(drops: str | None, low: float, high: float) -> Known:
    return number_or_none({"large": high, "small": low}.get(drops or "", np.nan))


def _spans(
    values: NDArray[np.float64] | None, kept: NDArray[np.bool_], labels: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest kept value of each class, [K] each; NaN without."""
    low, high = np.full(classes, np.inf), np.full(classes, -np.inf)
    if values is not None:
        known = kept & np.isfinite(values)
        np.minimum.at(low, labels[known], values[known])
        np.maximum.at(high, labels[known], values[known])
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)
