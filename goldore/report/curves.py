"""How the reliability of a ranking grows with the number of trials: measured, and as it is planned."""

import numpy as np
from numpy.typing import NDArray

from goldore.report.records import ReliabilityCurve
from goldore.scores import KERNEL_UTILITY
from goldore.scores.estimators import class_members, mean_over_trials
from goldore.scores.estimators.reliability import spearman_brown
from goldore.store import Score, ScoreFile
from goldore.store.estimating import estimate_from
from goldore.store.trialwise import values_by_trial
from goldore.trials.draws import make_strata

RELIABILITY_TARGETS = (0.8, 0.9)
UTILITY_TARGETS = (0.5, 0.8)
_MOST_SAMPLES, _MOST_CLASSES = 20_000, 100  # that the measured points of losses are computed from
_MOST_WORK = 2e9  # members of utility trials that are read for the measured points
_MOST_POINTS = 16
_MOST_AHEAD = 1000  # times the trials there are: a plan that goes further is not drawn


def reliability_curve(file: ScoreFile, score: Score) -> ReliabilityCurve:
    """Measure the reliability from the first 2, 3, ... trials, and plan it for more of them.

    Args:
        file: on the disk.
        score: of it.

    Returns:
        The curve; without a point where fewer than two trials are stored.

    Raises:
        ScoreFileError: if the file cannot be read.
    """
    targets = targets_of(score)
    if score.trials < 2 or not (score.estimator or score.of_training):  # noqa: PLR2004
        return ReliabilityCurve((), (), targets, 0)
    if score.estimator:
        measured, samples = _of_utility(file, score), len(file.labels)
    else:
        measured, samples = _of_losses(file, score)
    measured = [(trials, value) for trials, value in measured if np.isfinite(value)]
    if np.isfinite(score.trust):
        measured = [*(each for each in measured if each[0] < score.trials), (score.trials, score.trust)]
    return ReliabilityCurve(tuple(measured), _planned(score, targets), targets, samples)


def targets_of(score: Score) -> tuple[float, ...]:
    """Reliabilities that one plans for; none where more trials do not lead to all of them."""
    if score.name == KERNEL_UTILITY.name:
        return ()
    return UTILITY_TARGETS if score.estimator else RELIABILITY_TARGETS


def _of_losses(file: ScoreFile, score: Score) -> tuple[list[tuple[int, float]], int]:
    positions = _spread_out(file.labels, file.dataset.num_classes)
    observed = values_by_trial(file.path, positions).get(score.name)
    if observed is None:
        return [], 0
    members = class_members(file.labels[positions], file.dataset.num_classes)
    return [
        (trials, mean_over_trials(observed[:trials], members).trust) for trials in _numbers(2, len(observed))
    ], len(positions)


def _of_utility(file: ScoreFile, score: Score) -> list[tuple[int, float]]:
    known = file.utility_trials
    if known is None:
        return []
    recipe, classes = known.recipe, file.dataset.num_classes
    strata = make_strata(file.labels, classes, recipe.subset_per_class or 1, recipe.folds, known.base_seed)
    first = 2 * strata.trials_for_sweeps(1)  # before that there is nothing to split
    most = max(1, min(_MOST_POINTS, _MOST_CLASSES * _MOST_POINTS // classes))
    found, work = [], 0.0
    for trials in _numbers(first, score.trials - 1, most)[::-1]:
        work += trials * int(known.subset_sizes.sum())
        if work > _MOST_WORK:
            break
        estimate = estimate_from(file.path, trials=trials)
        if estimate is not None and np.isfinite(estimate.rank_reliability):
            found.append((trials, estimate.rank_reliability))
    return found[::-1]


def _numbers(first: int, last: int, most: int = _MOST_POINTS) -> list[int]:
    """Numbers of trials to measure at: all, or so many that grow by a factor."""
    if last - first < most:
        return list(range(first, last + 1))
    return sorted({round(each) for each in np.geomspace(first, last, most)})


def _spread_out(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """At most `_MOST_SAMPLES` positions of `_MOST_CLASSES` classes, both spread evenly; ascending."""
    wanted = np.unique(np.linspace(0, classes - 1, min(classes, _MOST_CLASSES)).round().astype(np.int64))
    there = np.flatnonzero(np.isin(labels, wanted))
    ordered = there[np.argsort(labels[there], kind="stable")]
    chosen = np.linspace(0, len(ordered) - 1, min(len(ordered), _MOST_SAMPLES)).round().astype(np.int64)
    return np.sort(ordered[chosen])


def _planned(score: Score, targets: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    needed = score.trials_needed(max(targets))
    if not np.isfinite(needed) or not 0 < score.trust < 1:
        return ()
    end = max(min(1.3 * needed, _MOST_AHEAD * score.trials), 1.3 * score.trials)
    return tuple(
        (float(trials), spearman_brown(score.trust, trials / score.trials))
        for trials in np.geomspace(1, end, 64)
    )
