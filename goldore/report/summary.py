"""What a score file says, in numbers: the one summary that terminal and page show and --json prints."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldore.report.commands import command_of
from goldore.report.curves import reliability_curve, targets_of
from goldore.report.records import (
    AgreementRecord,
    ClassRecord,
    Correlation,
    Histogram,
    KernelTrialsRecord,
    Known,
    LossTrialsRecord,
    ReliabilityCurve,
    ScoreRecord,
    Summary,
    TrialsRecord,
    UtilityTrialsRecord,
    number_or_none,
)
from goldore.scores import FOLD_SCORES, TRAINING_SCORES, FoldScore, TrainingScore
from goldore.scores.estimators import class_members
from goldore.scores.estimators.agreement import Agreement
from goldore.selection.ranks import Ranked, rank_correlation
from goldore.store import KernelTrials, LossTrials, Score, ScoreFile, UtilityTrials
from goldore.trials.draws import strata_of

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 16
_NO_LOSS = 1e-50  # float32 losses are larger, or 0
_LOG_SPREAD = 30.0  # positive values whose 99% and 1% quantiles are this far apart are binned by logarithm


def summarize(file: ScoreFile, *, curves: bool = False) -> Summary:
    """Summarise a score file.

    Args:
        file: with the scores to summarise.
        curves: also measure, for each score, its `reliability_curve` (`goldore.report.curves`) from the
            file's trials, which takes seconds.

    Returns:
        What terminal, page and --json say of the file.

    Raises:
        ScoreFileError: if the trials of a curve cannot be read any more.
    """
    members = class_members(file.labels, file.dataset.num_classes)
    ranked = {
        name: Ranked.of(score.values, file.labels, file.dataset.num_classes)
        for name, score in file.scores.items()
    }
    return Summary(
        file=str(file.path),
        goldore_version=file.goldore_version,
        torch_version=file.torch_version,
        device=file.device,
        command=command_of(file),
        created=file.created,
        updated=file.updated,
        dataset=file.dataset,
        trials=TrialsRecord(
            _loss_trials(file.loss_trials) if file.loss_trials else None,
            _utility_trials(file, file.utility_trials) if file.utility_trials else None,
            _kernel_trials(file.kernel_trials) if file.kernel_trials else None,
            _utility_trials(file, file.check_trials) if file.check_trials else None,
            _loss_trials(file.fold_trials) if file.fold_trials else None,
        ),
        scores={
            name: _score(
                score,
                ranked[name],
                members,
                file.dataset.class_names,
                reliability_curve(file, score) if curves else None,
            )
            for name, score in file.scores.items()
        },
        correlations=tuple(
            _correlation(first, second, ranked) for first, second in itertools.combinations(file.scores, 2)
        ),
    )


def _loss_trials(trials: LossTrials) -> LossTrialsRecord:
    accuracy = trials.test_accuracy[list(trials.done)].astype(float)
    final = trials.train_loss[list(trials.done)]
    ran = np.isfinite(final).any(axis=0)
    recipe = trials.recipe.settled()
    rows: dict[str, TrainingScore | FoldScore] = {**TRAINING_SCORES, **FOLD_SCORES}
    return LossTrialsRecord(
        done=len(trials.done),
        failed=trials.failed,
        base_seed=trials.base_seed,
        recorded=trials.recorded,
        windows={
            name: (min(epochs), max(epochs))
            for name, row in rows.items()
            if name in trials.recorded
            for epochs in [row.window(recipe)]
        },
        recipe=recipe,
        assumed=trials.assumed,
        train_loss=tuple(number_or_none(value) for value in _column_means(final[:, ran])),
        test_accuracy=number_or_none(accuracy.mean() if len(accuracy) else np.nan),
        seconds=_total(trials.seconds[[*trials.done, *trials.failed]]),
    )


def _utility_trials(file: ScoreFile, trials: UtilityTrials) -> UtilityTrialsRecord:
    recipe = trials.recipe
    strata = strata_of(recipe, file.labels, file.dataset.num_classes, trials.base_seed)
    return UtilityTrialsRecord(
        done=len(trials.done),
        failed=len(trials.failed),
        base_seed=trials.base_seed,
        outcome=trials.outcome,
        estimator=trials.estimator,
        recipe=recipe,
        assumed=trials.assumed,
        subset_sizes=tuple(trials.subset_sizes.tolist()),
        per_sweep=strata.trials_for_sweeps(1),
        accuracy=number_or_none(trials.accuracy.mean()),
        class_accuracy=tuple(number_or_none(value) for value in trials.accuracy),
        seconds=_total(trials.seconds[np.concatenate([trials.done, trials.failed])]),
    )


def _kernel_trials(trials: KernelTrials) -> KernelTrialsRecord:
    return KernelTrialsRecord(
        done=len(trials.done),
        failed=len(trials.failed),
        base_seed=trials.base_seed,
        recipe=trials.recipe,
        assumed=trials.assumed,
        seconds=_total(trials.seconds[[*trials.done, *trials.failed]]),
    )


def _column_means(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return values.mean(axis=0, dtype=np.float64) if len(values) else np.empty(0)


def _total(seconds: NDArray[np.float32]) -> Known:
    """Time of all trials; None if that of one is not known."""
    return number_or_none(seconds.sum(dtype=np.float64)) if len(seconds) else None


def _correlation(first: str, second: str, ranked: dict[str, Ranked]) -> Correlation:
    found = rank_correlation(ranked[first], ranked[second])
    return Correlation(
        first=first,
        second=second,
        within_class=number_or_none(found.within_class),
        overall=number_or_none(found.overall),
        classes=tuple(number_or_none(each) for each in found.by_class),
        samples=found.samples,
    )


def _score(
    score: Score,
    ranked: Ranked,
    members: list[NDArray[np.int64]],
    class_names: tuple[str, ...],
    curve: ReliabilityCurve | None,
) -> ScoreRecord:
    present = score.values[ranked.ascending]
    mean, std, low, median, high = _moments(present)
    class_mean, class_std = _class_moments(ranked)
    class_low, class_high = ranked.ends()
    class_median, highest_tenth = ranked.medians(), ranked.highest_tenth()
    within, between = _spread(ranked, class_std)
    return ScoreRecord(
        definition=score.definition,
        direction=score.direction,
        ends=(score.lowest, score.highest),
        unit=score.unit,
        trials=score.trials,
        missing=len(score.values) - len(present),
        mean=mean,
        std=std,
        min=low,
        median=median,
        max=high,
        within_class_std=within,
        between_class_share=between,
        quantiles=dict(zip(map(str, QUANTILES), _quantiles(present), strict=True)),
        stderr=number_or_none(_median(score.stderr)),
        reliability=number_or_none(score.reliability),
        reliability_stderr=number_or_none(score.reliability_stderr),
        rank_reliability=number_or_none(score.rank_reliability),
        rank_reliability_stderr=number_or_none(score.rank_reliability_stderr),
        signal_share=number_or_none(score.signal_share),
        outcome=score.outcome or None,
        estimator=score.estimator or None,
        explained=number_or_none(score.explained),
        agreement=_agreement(score.agreement) if score.agreement is not None else None,
        trials_needed={
            str(target): number_or_none(score.trials_needed(target)) for target in targets_of(score)
        },
        histogram=_histogram(present),
        classes=tuple(
            ClassRecord(
                label=label,
                name=class_names[label],
                samples=len(positions),
                missing=len(positions) - int(ranked.counts[label]),
                mean=number_or_none(class_mean[label]),
                std=number_or_none(class_std[label]),
                min=number_or_none(class_low[label]),
                median=number_or_none(class_median[label]),
                max=number_or_none(class_high[label]),
                highest_tenth=number_or_none(highest_tenth[label]),
                stderr=number_or_none(_median(score.stderr[positions])),
                reliability=number_or_none(score.class_reliability[label]),
                rank_reliability=number_or_none(score.class_rank_reliability[label]),
                signal_share=number_or_none(
                    math.nan if score.class_signal_share is None else score.class_signal_share[label]
                ),
            )
            for label, positions in enumerate(members)
        ),
        reliability_curve=curve,
        of_utility=score.of_utility,
    )


def _agreement(agreement: Agreement) -> AgreementRecord:
    return AgreementRecord(
        correlation=number_or_none(agreement.correlation),
        stderr=number_or_none(agreement.stderr),
        verdict=agreement.verdict,
        trials=agreement.trials,
        samples=agreement.samples,
        trained_reliability=number_or_none(agreement.reliability),
    )


def _moments(values: NDArray[np.float64]) -> tuple[Known, Known, Known, Known, Known]:
    """Mean, standard deviation, minimum, median and maximum of values in ascending order."""
    if len(values) == 0:
        return (None,) * 5
    half = len(values) // 2
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = values.mean(), values.std(ddof=1) if len(values) > 1 else np.nan
    return (
        number_or_none(mean),
        number_or_none(std),
        number_or_none(values[0]),
        number_or_none((values[(len(values) - 1) // 2] + values[half]) / 2),
        number_or_none(values[-1]),
    )


def _class_moments(ranked: Ranked) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each class, [K]."""
    sizes, there = ranked.counts, ranked.by_class
    values, labels = ranked.values[there], ranked.labels[there]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.bincount(labels, weights=values, minlength=len(sizes)) / sizes
        squares = np.bincount(labels, weights=(values - mean[labels]) ** 2, minlength=len(sizes))
        return mean, np.sqrt(squares / np.maximum(sizes - 1, 0))


def _spread(ranked: Ranked, class_std: NDArray[np.float64]) -> tuple[Known, Known]:
    """Standard deviation within classes, and the share of the variance that is between them."""
    freedom = np.maximum(ranked.counts - 1, 0)
    several = freedom > 0
    present = ranked.values[ranked.ascending]
    if len(present) == 0:
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        squares = float((class_std[several] ** 2) @ freedom[several])
        total = float(((present - present.mean()) ** 2).sum())
    constant = present[0] == present[-1]  # rounding may leave some variance all the same
    share = 0.0 if constant or total == 0 else max(0.0, 1 - squares / total)
    within = (squares / int(freedom.sum())) ** 0.5 if several.any() else math.nan
    return number_or_none(within), number_or_none(share)


def _quantiles(values: NDArray[np.float64]) -> list[Known]:
    """Of ascending values."""
    if len(values) == 0:
        return [None] * len(QUANTILES)
    return [number_or_none(value) for value in quantiles_of_sorted(values, QUANTILES)]


def quantiles_of_sorted(values: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.float64]:
    """Quantiles of ascending values, by linear interpolation, without sorting them again; [len(levels)]."""
    place = np.asarray(levels) * (len(values) - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, len(values) - 1)
    return np.asarray(values[low] + (place - low) * (values[high] - values[low]), dtype=np.float64)


def _histogram(values: NDArray[np.float64]) -> Histogram:
    """Counts of ascending values in bins, equal on a log scale where they span orders of magnitude."""
    if len(values) == 0:
        return Histogram("linear", (), ())
    low, high = quantiles_of_sorted(values, (QUANTILES[0], QUANTILES[-1]))
    logarithmic = bool(values[0] > _NO_LOSS and high > _LOG_SPREAD * low)
    ends = np.log10(values[[0, -1]]) if logarithmic else values[[0, -1]]
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(float(ends[0]), float(ends[1]), _BINS + 1)
        edges = 10**edges if logarithmic else edges
    if not (np.diff(edges) > 0).all():  # a range too narrow, or too wide, to be cut into bins
        edges = values[[0, -1]]
    edges[[0, -1]] = values[[0, -1]]
    inner = np.searchsorted(values, edges[1:-1])
    return Histogram(
        "log" if logarithmic else "linear",
        tuple(float(edge) for edge in edges),
        tuple(np.diff([0, *inner, len(values)]).tolist()),
    )


def _median(values: NDArray[np.float64]) -> float:
    """Of the finite values; NaN without. np.median takes four times as long for the few of a class."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return math.nan
    low, high = (len(finite) - 1) // 2, len(finite) // 2
    parted = np.partition(finite, (low, high))
    return float(parted[low] + parted[high]) / 2
