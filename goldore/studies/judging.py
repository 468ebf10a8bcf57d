"""What a study's accuracies say: differences to all data, and verdicts that a margin and errors justify.

Cells are compared with all data of the same table, seed by seed: they share networks, augmentation and draws,
so that their difference is far more precise than either accuracy. Three seeds say little about the spread of
one cell, so the spread of all cells of the table counts as up to `PRIOR_SEEDS` further seeds: the moderated t
statistic of Smyth (2004, doi 10.2202/1544-6115.1027), with its degrees of freedom set instead of estimated,
because the cells of a table are not independent. Each table's verdicts hold together with a confidence of 95%
(Holm 1979).
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldore.studies.cells import Cell

Outcome = Literal["better", "as good", "worse", "undecided", "reference"]
ERROR = 0.05  # probability that a table holds a wrong verdict of a kind
PRIOR_SEEDS = 4  # degrees of freedom that the spread of all cells is worth, at the most
_SHARED = 0.5  # correlation of two cells' differences, which share all data
_MOST_SEEDS = 1000
_PLACES = 64  # at which the density of t is summed; tested to nine digits
_FLOOR = 1e-4  # of the cells' mean variance: what rounding may leave of one
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What is known of a cell.

    Attributes:
        cell: which.
        seeds: runs that it rests on.
        accuracy: mean over seeds, percent.
        stderr: of it, points; NaN of one seed.
        worst_class: mean over seeds of the lowest accuracy of a class, percent; NaN where unknown.
        difference: to all data, mean over the seeds that both have, points.
        difference_stderr: of it, moderated; NaN where nothing is known of the spread.
        outcome: "better": above 0; "as good": above minus the margin; "worse": below it; else "undecided";
            "reference" for all data.
        more_seeds: about so many more would decide it, if the difference stays as it is; None if decided,
            unknown, or more than a thousand.
    """

    cell: Cell
    seeds: int
    accuracy: float
    stderr: float
    worst_class: float
    difference: float
    difference_stderr: float
    outcome: Outcome
    more_seeds: int | None = None


def judge(
    runs: Mapping[Cell, Mapping[int, float]],
    *,
    margin: float,
    worst: Mapping[Cell, Mapping[int, float]] | None = None,
    looks: int = 1,
) -> list[Verdict]:
    """Judge all cells, table by table.

    Args:
        runs: accuracy of each cell by seed, percent.
        margin: points below all data that count as as good.
        worst: lowest accuracy of a class, likewise.
        looks: how often such verdicts were given, this time included; seeds may have been added in their
            light. The error is divided by the square of that, so that it stays about the same over all looks
            (simulated in tests/studies/test_judging.py).

    Returns:
        A verdict for each cell, in the order of `runs`.
    """
    tables: dict[tuple[str, int], list[Cell]] = {}
    for cell in runs:
        tables.setdefault(cell.table, []).append(cell)
    error = error_of(looks)
    found: dict[Cell, Verdict] = {}
    for cells in tables.values():
        for verdict in _judge_table({cell: runs[cell] for cell in cells}, margin, worst or {}, error):
            found[verdict.cell] = verdict
    return [found[cell] for cell in runs]


def error_of(looks: int) -> float:
    """The error of the last of so many looks."""
    return ERROR / max(looks, 1) ** 2


def is_fixed(runs: Mapping[int, float]) -> bool:
    """Whether all seeds gave the very same accuracy, as of a program that fixes its own seed."""
    return len(runs) > 1 and len({*runs.values()}) == 1


def _judge_table(
    runs: Mapping[Cell, Mapping[int, float]],
    margin: float,
    worst: Mapping[Cell, Mapping[int, float]],
    error: float,
) -> list[Verdict]:
    cells = list(runs)
    reference = runs.get(cells[0].reference, {})
    differences: list[Floats] = []
    for cell in cells:
        shared = [] if cell.is_all or is_fixed(reference) else sorted(set(runs[cell]) & set(reference))
        differences.append(np.array([runs[cell][seed] - reference[seed] for seed in shared]))
    counts = np.array([len(each) for each in differences])
    means = np.array([each.mean() if len(each) else np.nan for each in differences])
    errors, freedom = moderated_errors(differences)
    compared = np.flatnonzero(np.isfinite(errors))
    share = {  # Holm-adjusted probabilities of each kind of verdict being wrong
        kind: np.ones(len(cells)) for kind in ("better", "as good", "worse")
    }
    for kind, bound, sign in (("better", 0.0, 1), ("as good", -margin, 1), ("worse", -margin, -1)):
        t = [sign * (means[i] - bound) / errors[i] for i in compared]
        tails = [upper_tail(value, freedom[i]) for value, i in zip(t, compared, strict=True)]
        share[kind][compared] = holm(tails)
    verdicts = []
    kinds: tuple[Outcome, ...] = ("worse", "as good", "better")
    for i, cell in enumerate(cells):
        values = np.array(list(runs[cell].values()))
        outcome: Outcome = "reference" if cell.is_all else "undecided"
        for kind in kinds:
            if share[kind][i] < error:
                outcome = kind
        more = None
        if outcome == "undecided" and np.isfinite(errors[i]):
            more = _more_seeds(
                means[i] + margin, errors[i] * math.sqrt(counts[i]), int(counts[i]), error, len(compared)
            )
        lowest = list(worst.get(cell, {}).values())
        verdicts.append(
            Verdict(
                cell=cell,
                seeds=len(values),
                accuracy=float(values.mean()) if len(values) else math.nan,
                stderr=float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan,
                worst_class=float(np.mean(lowest)) if lowest else math.nan,
                difference=0.0 if cell.is_all else float(means[i]),
                difference_stderr=0.0 if cell.is_all else float(errors[i]),
                outcome=outcome,
                more_seeds=more,
            )
        )
    return verdicts


def moderated_errors(differences: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Standard errors of means of few numbers each, in the light of all.

    Args:
        differences: for each cell some numbers, or none.

    Returns:
        Standard errors, NaN where there are no numbers or nothing is known of the spread; and degrees of
        freedom: a cell's own, and at most `PRIOR_SEEDS` of the others, fewer if these say less.
    """
    counts = np.array([len(each) for each in differences], dtype=np.int64)
    own = np.maximum(counts - 1, 0)
    variances = np.array([each.var(ddof=1) if len(each) > 1 else np.nan for each in differences])
    known = np.isfinite(variances)
    if not known.any():
        return np.full(len(counts), np.nan), own.astype(np.float64)
    floor = max(_FLOOR * float(variances[known].mean()), np.finfo(float).tiny)
    logs = np.log(np.maximum(variances[known], floor))
    bias = [_digamma_half(int(each)) - math.log(each / 2) for each in own[known]]
    typical = math.exp(float(np.average(logs - bias, weights=own[known])))
    others = np.maximum(known.sum() - 1, 1)
    prior = np.minimum(PRIOR_SEEDS, (own.sum() - own) / (1 + (others - 1) * _SHARED**2))
    freedom = np.maximum(prior + own, np.finfo(float).tiny)
    pooled = (prior * typical + own * np.where(known, variances, 0)) / freedom
    errors = np.sqrt(np.where((counts > 0) & (pooled > 0), pooled / np.maximum(counts, 1), np.nan))
    return errors, freedom


def holm(probabilities: Sequence[float]) -> Floats:
    """Holm's adjusted probabilities: those below a level hold together at that level."""
    given = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    steps = np.minimum(given[order] * np.arange(len(given), 0, -1), 1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.maximum.accumulate(steps) if len(steps) else steps
    return adjusted


def upper_tail(t: float, freedom: float) -> float:
    """Probability that Student's t with so many degrees of freedom exceeds t."""
    nodes, weights = _quadrature()
    angle = math.atan(
        abs(t) / math.sqrt(freedom)
    )  # t = sqrt(freedom) tan(angle) makes the density a cosine's power
    places = angle * (nodes + 1) / 2
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    inner = scale * angle / 2 * float((weights * np.cos(places) ** (freedom - 1)).sum())
    return max(0.5 - inner, 0.0) if t >= 0 else min(0.5 + inner, 1.0)


@functools.cache
def _quadrature() -> tuple[Floats, Floats]:
    """Places and weights of Gauss and Legendre's rule on -1..1."""
    nodes, weights = np.polynomial.legendre.leggauss(_PLACES)
    return nodes, weights


def _more_seeds(gap: float, spread: float, seeds: int, error: float, cells: int) -> int | None:
    """Seeds that it takes until a gap so wide is told from 0, among so many cells."""
    low, high = seeds + 1, seeds + _MOST_SEEDS

    def decided(count: int) -> bool:
        t = abs(gap) / spread * math.sqrt(count)
        return upper_tail(t, PRIOR_SEEDS + count - 1) * cells < error

    if not decided(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if decided(middle):
            high = middle
        else:
            low = middle + 1
    return low - seeds


def _digamma_half(freedom: int) -> float:
    """Digamma of half a whole number from 1."""
    value = -np.euler_gamma if freedom % 2 == 0 else -np.euler_gamma - 2 * math.log(2)
    at = 1.0 if freedom % 2 == 0 else 0.5
    while at < freedom / 2:
        value += 1 / at
        at += 1
    return float(value)
