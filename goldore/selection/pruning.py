"""Selection: from scores to the positions to keep.

A criterion `<Score>_<large|small>` names the end that is DROPPED, as in the paper's repository. It puts the
samples in an order, first to be dropped first; a rule says which stretch of that order is kept. Ties are
broken by position: among equal values the lower position is dropped first, as there.

Counts are exact. A ratio is taken as the decimal that was written, never through binary floating point; of n
samples, `drop_ratio` R drops floor(R * n), and `keep_ratio` K keeps ceil(K * n), so that both say the same
thing and no class is emptied by a positive keep ratio. Keep 0.1 of 5000 is 500.
"""

import difflib
import math
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.classes import labels_digest
from goldore.datasets.dataset import FOLDER_SOURCE
from goldore.errors import UnreliableError, UsageError
from goldore.scores.estimators import class_members, trials_needed
from goldore.selection.ordering import ascending
from goldore.store import Score, ScoreFile, load_header, load_scores
from goldore.trials.seeds import MAX_SEED
from goldore.wording import plain_name

Ratio = str | float | Decimal | Fraction
Scope = Literal["class", "global"]
Missing = Literal["error", "drop", "keep"]
RANDOM = "Random"
_VERY_NEAR = 0.9  # so near that a criterion is meant, and not one end guessed
_MAX_DECIMALS = 18  # of the first digit of a ratio that is not zero


@dataclass(frozen=True)
class Criterion:
    """Which end of which score is dropped.

    Attributes:
        score: name of the score, or "Random".
        drops: the end that is dropped; None for Random.
    """

    score: str
    drops: Literal["large", "small"] | None

    def __str__(self) -> str:
        return f"{self.score}_{self.drops}" if self.drops else self.score


@dataclass(frozen=True)
class KeepRule:
    """Which stretch of the order is kept, first to be dropped first.

    Attributes:
        text: the rule as the user gave it, for example "keep_ratio 0.1".
        start: share of the order before the stretch, 0..1.
        stop: share of the order before its end, 0..1.
        count: keep this many from the end instead.
    """

    text: str
    start: Fraction = Fraction(0)
    stop: Fraction = Fraction(1)
    count: int | None = None

    def bounds(self, samples: int) -> tuple[int, int]:
        """First kept position and end of the stretch among this many ordered samples."""
        if self.count is not None:
            return samples - self.count, samples
        return math.floor(self.start * samples), math.floor(self.stop * samples)


@dataclass(frozen=True)
class Selection:
    """The kept samples and where they come from.

    Attributes:
        indices: positions in the original training set, int64, strictly ascending.
        kept_per_class: int64 [K].
        total_per_class: int64 [K].
        class_names: K names.
        missing: samples without a score (NaN); what was done with them is in the provenance.
        provenance: dataset, fingerprint, criterion, rule and so on, as written beside the index file.
        halves: what two halves of the trials would keep, positions each; None where there are no halves.
    """

    indices: NDArray[np.int64]
    kept_per_class: NDArray[np.int64]
    total_per_class: NDArray[np.int64]
    class_names: tuple[str, ...]
    missing: int
    provenance: dict[str, Any]
    halves: tuple[NDArray[np.int64], NDArray[np.int64]] | None = field(default=None, repr=False)

    @property
    def halves_overlap(self) -> float:
        """Share of the kept samples that two halves of the trials agree on, 0..1; NaN where unknown.

        For what chance agrees on see `chance_overlap`.
        """
        return overlap_of(*self.halves) if self.halves is not None else math.nan

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the index file, in the format that the suffix names (see `goldore.selection.index_file`).

        Args:
            path: ends in .npy, .json, .txt, .csv, .npz, .pt or .h5.
            overwrite: replace a file that holds something else.

        Returns:
            The path.
        """
        from goldore.selection.index_file import save_index

        return save_index(path, self.indices, self.provenance, overwrite=overwrite)


def prune(
    scores: ScoreFile | str | Path,
    criterion: str,
    *,
    drop_ratio: Ratio | None = None,
    keep_ratio: Ratio | None = None,
    keep_per_class: int | None = None,
    keep_range: tuple[Ratio, Ratio] | None = None,
    scope: Scope = "class",
    seed: int = 0,
    missing: Missing = "error",
    min_reliability: float | None = None,
) -> Selection:
    """Choose the samples to keep.

    Exactly one of drop_ratio, keep_ratio, keep_per_class and keep_range is given. Floats are read as the
    shortest decimal that means them (0.1 is one tenth).

    Args:
        scores: a score file, or the path of one.
        criterion: "<Score>_<large|small>", the end that is dropped, for example "LossConverge_large"; or
            "Random". Case and hyphens are ignored.
        drop_ratio: share to drop, 0..1; floor(ratio * n) samples are dropped.
        keep_ratio: share to keep, 0..1; ceil(ratio * n) samples are kept.
        keep_per_class: number of samples to keep of every class.
        keep_range: shares (A, B) with 0 <= A < B <= 1: keep the samples from floor(A * n) to floor(B * n)
            of the order in which the criterion drops; (R, 1) is drop_ratio R.
        scope: "class" applies the rule within every class, "global" to all samples at once.
        seed: of the criterion Random.
        missing: what to do with samples that have no score (NaN): "error" refuses, "drop" drops them
            first, "keep" drops them last.
        min_reliability: refuse a ranking whose reliability is lower, or unknown.

    Returns:
        The selection, a function of the arguments alone.

    Raises:
        UsageError: if the criterion or a ratio is wrong, more is to be kept than there is, or nothing.
        UnreliableError: if the ranking is less reliable than asked for.
        ScoreFileError: if the file is not a score file.
    """
    rule = make_rule(
        drop_ratio=drop_ratio, keep_ratio=keep_ratio, keep_per_class=keep_per_class, keep_range=keep_range
    )
    if scope not in ("class", "global"):
        raise UsageError(f"the scope is {scope!r}; choose class or global.")
    if rule.count is not None and scope == "global":
        raise UsageError(
            "--keep-per-class counts samples of each class; leave --scope global out or give a ratio."
        )
    if missing not in ("error", "drop", "keep"):
        raise UsageError(f"missing is {missing!r}; choose error, drop or keep.")
    file = scores if isinstance(scores, ScoreFile) else load_scores(scores, only=_only(criterion))
    parsed = parse_criterion(criterion, file.score_names)
    values = _values(file, parsed, seed)
    if min_reliability is not None and not parsed.drops:
        raise UsageError("--min-reliability is about a score, and Random ranks by none; leave it out.")
    if min_reliability is not None:
        _check_reliability(file.scores[parsed.score], min_reliability)
    absent = int(len(values) - np.isfinite(values).sum())
    if absent and missing == "error":
        raise UsageError(
            f"{absent:,} of {len(values):,} samples have no {parsed.score} (NaN: never drawn); "
            "use --missing drop or --missing keep."
        )
    keys = drop_keys(values, parsed, missing)
    indices = kept_positions(keys, file.labels, file.dataset.num_classes, rule, scope)
    if len(indices) == 0:
        raise UsageError(f"--{rule.text.replace('_', '-')} keeps no sample at all; keep more.")
    classes = file.dataset.num_classes
    halves = kept_by_halves(file, parsed, rule, scope, missing)
    kept = np.bincount(file.labels[indices], minlength=classes)
    provenance: dict[str, Any] = {
        "dataset": file.dataset.name,
        "split": file.dataset.split,
        "fingerprint": file.dataset.fingerprint,
        "num_samples": file.dataset.num_samples,
        "labels_sha256": labels_digest(file.labels),
        "criterion": str(parsed),
        "rule": rule.text,
        "scope": scope,
        "seed": seed if parsed.score == RANDOM else None,
        "missing": {"count": absent, "treatment": missing} if absent else None,
        "rank_reliability": _known(file.scores[parsed.score].rank_reliability) if parsed.drops else None,
        "halves_overlap": _known(overlap_of(*halves)) if halves is not None else None,
        "ratio_kept": len(indices) / file.dataset.num_samples,
        "class_names": list(file.dataset.class_names),
        "kept_per_class": kept.tolist(),
        "score_file": str(file.path),
        "score_file_updated": file.updated,
    }
    paths = _paths(file, indices)
    if paths is not None:
        provenance["paths"] = paths
    return Selection(
        indices=indices,
        kept_per_class=kept,
        total_per_class=np.bincount(file.labels, minlength=classes),
        class_names=file.dataset.class_names,
        missing=absent,
        provenance=provenance,
        halves=halves,
    )


def parse_criterion(text: str, known: tuple[str, ...]) -> Criterion:
    """Read a criterion.

    Args:
        text: "<Score>_<large|small>" or "Random"; case is ignored, and a hyphen may stand for the underscore.
        known: names of the scores in the file.

    Returns:
        The criterion.

    Raises:
        UsageError: if it is not of that form or the file has no such score.
    """
    if text.lower() in ("random", "rand"):
        return Criterion(RANDOM, None)
    match = re.fullmatch(r"(?P<score>.+)[_-](?P<end>large|small)", text, re.IGNORECASE)
    choices = [*(f"{name}_{end}" for name in known for end in ("large", "small")), RANDOM]
    if match is None:
        near = difflib.get_close_matches(text, choices, n=1, cutoff=_VERY_NEAR)
        hint = f"did you mean {near[0]}?" if near else f"it names the end to drop: {', '.join(choices)}."
        raise UsageError(f"there is no criterion {text!r}; {hint}")
    names = {plain_name(name): name for name in known}
    score, end = plain_name(match["score"]), match["end"].lower()
    if score not in names:
        near = difflib.get_close_matches(score, names, n=1)
        hint = f"did you mean {names[near[0]]}_{end}?" if near else f"it has {', '.join(choices)}."
        raise UsageError(f"this file has no criterion {text!r}; {hint}")
    return Criterion(names[score], "large" if end == "large" else "small")


def make_rule(
    *,
    drop_ratio: Ratio | None = None,
    keep_ratio: Ratio | None = None,
    keep_per_class: int | None = None,
    keep_range: tuple[Ratio, Ratio] | None = None,
) -> KeepRule:
    """Make the rule from whichever of the four was given (see `prune`).

    Raises:
        UsageError: if none or several were given, or a number is out of range.
    """
    given = [value for value in (drop_ratio, keep_ratio, keep_per_class, keep_range) if value is not None]
    if len(given) != 1:
        raise UsageError(
            "say how much to keep with exactly one of --drop-ratio, --keep-ratio, --keep-per-class and "
            "--keep-range."
        )
    if drop_ratio is not None:
        ratio = exact_ratio(drop_ratio, "--drop-ratio")
        return KeepRule(f"drop_ratio {_text(drop_ratio)}", start=ratio)
    if keep_ratio is not None:
        ratio = exact_ratio(keep_ratio, "--keep-ratio")
        return KeepRule(f"keep_ratio {_text(keep_ratio)}", start=1 - ratio)
    if keep_per_class is not None:
        if keep_per_class < 1:
            raise UsageError(f"--keep-per-class is {keep_per_class}; it must be 1 or more.")
        return KeepRule(f"keep_per_class {keep_per_class}", count=keep_per_class)
    first, last = keep_range or (0, 1)
    start, stop = exact_ratio(first, "--keep-range"), exact_ratio(last, "--keep-range")
    if start >= stop:
        raise UsageError(
            f"--keep-range {_text(first)}:{_text(last)} is empty; the first must be below the second."
        )
    return KeepRule(f"keep_range {_text(first)}:{_text(last)}", start=start, stop=stop)


def kept_positions(
    keys: NDArray[np.float64], labels: NDArray[np.integer], num_classes: int, rule: KeepRule, scope: Scope
) -> NDArray[np.int64]:
    """Apply a rule to samples with known drop-order keys.

    Args:
        keys: float64 [N]; lower is dropped earlier, equal ones by position.
        labels: [N].
        num_classes: K.
        rule: what to keep.
        scope: "class" or "global".

    Returns:
        Positions to keep, int64, ascending.

    Raises:
        UsageError: if a class has fewer samples than the rule keeps.
    """
    groups = class_members(labels, num_classes) if scope == "class" else [np.arange(len(keys))]
    if rule.count is not None:
        smallest = int(np.argmin([len(members) for members in groups]))
        if len(groups[smallest]) < rule.count:
            raise UsageError(
                f"--keep-per-class {rule.count} is more than the {len(groups[smallest])} samples of class "
                f"{smallest}; lower it."
            )
    kept = []
    for members in groups:
        start, stop = rule.bounds(len(members))
        order = ascending(keys[members])
        kept.append(members[order[start:stop]])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def _paths(file: ScoreFile, indices: NDArray[np.int64]) -> list[str] | None:
    """The kept files of a folder tree, relative to its training folder; None for other datasets."""
    if not file.dataset.source.startswith(FOLDER_SOURCE) or not file.path.is_file():
        return None
    paths = load_header(file.path).paths
    return None if paths is None else [paths[index] for index in indices]


def kept_by_halves(
    file: ScoreFile, criterion: Criterion, rule: KeepRule, scope: Scope, missing: Missing
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """What either half of the trials would keep, positions each; None where there are no halves.

    Args:
        file: with the score of the criterion.
        criterion: Random has no halves.
        rule: what to keep.
        scope: "class" or "global".
        missing: what to do with samples without a score; "error" drops them first here.
    """
    halves = file.scores[criterion.score].halves if criterion.drops else None
    if halves is None or not np.isfinite(halves).any():
        return None
    treatment: Missing = "keep" if missing == "keep" else "drop"
    first, second = (
        kept_positions(
            drop_keys(half.astype(np.float64), criterion, treatment),
            file.labels,
            file.dataset.num_classes,
            rule,
            scope,
        )
        for half in halves
    )
    return first, second


def overlap_of(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Share of the positions in the first set that are in the second too, 0..1; NaN of nothing.

    Args:
        first: int64, each position once.
        second: likewise; for kept sets of equal size the order of the two does not matter.
    """
    return len(np.intersect1d(first, second, assume_unique=True)) / len(first) if len(first) else math.nan


def chance_overlap(kept: NDArray[np.int64], total: NDArray[np.int64], scope: Scope) -> float:
    """Share of a random selection that another random one of the same sizes keeps too, on average, 0..1.

    Args:
        kept: samples that are kept of each class, int64 [K].
        total: samples of each class, int64 [K].
        scope: "class" if so many are drawn of each class, "global" if they are drawn of all at once.
    """
    if scope == "global":
        return float(kept.sum() / total.sum())
    return float((kept * kept / np.maximum(total, 1)).sum() / kept.sum())


def _check_reliability(score: Score, least: float) -> None:
    if not 0 <= least <= 1:
        raise UsageError(f"--min-reliability is {least}; it must be from 0 to 1.")
    if score.trials <= 1 or math.isnan(score.trust):
        raise UnreliableError(
            f"the reliability of {score.name} is unknown, and --min-reliability asks for {least:g}; "
            + (
                "add trials with goldore score."
                if score.trials
                else "the file is an import and stores no trials."
            )
        )
    if score.trust < least:
        needed = trials_needed(score.trust, score.trials, least) if least < 1 else math.inf
        many = f"about {math.ceil(needed):,} trials" if math.isfinite(needed) else "many more trials"
        raise UnreliableError(
            f"{score.name} has a reliability of {score.trust:.2f} from {score.trials:,} trials, and "
            f"--min-reliability asks for {least:g}; that takes {many}."
        )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _only(criterion: str) -> tuple[str, ...] | None:
    """The one score that a criterion needs, so that the others are not read; None if it cannot be told."""
    match = re.fullmatch(r"(.+)[_-](large|small)", criterion, re.IGNORECASE)
    return (match[1],) if match else ()


def _values(file: ScoreFile, criterion: Criterion, seed: int) -> NDArray[np.float64]:
    if criterion.score != RANDOM:
        if criterion.score not in file.scores:
            raise UsageError(f"{criterion.score} was not read from {file.path}; load it with load_scores.")
        return file.scores[criterion.score].values
    return random_keys(file.dataset.num_samples, seed)


def random_keys(samples: int, seed: int) -> NDArray[np.float64]:
    """Keys by which the criterion Random drops, float64 [N].

    Raises:
        UsageError: if the seed is out of range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"--seed is {seed}; it must be 0 to {MAX_SEED}.")
    return np.random.default_rng(seed).random(samples)


def drop_keys(
    values: NDArray[np.float64], criterion: Criterion, missing: Missing = "keep"
) -> NDArray[np.float64]:
    """Keys by which the samples are dropped, lowest first; samples without a score (NaN) go to one end.

    Args:
        values: the scores, [N].
        criterion: which end is dropped.
        missing: "drop" to drop samples without a score first, anything else to drop them last.
    """
    keys = -values if criterion.drops == "large" else values
    return np.where(np.isfinite(keys), keys, -np.inf if missing == "drop" else np.inf)


def exact_ratio(ratio: Ratio, option: str) -> Fraction:
    """A ratio as the decimal that was written.

    Raises:
        UsageError: if it is no number from 0 to 1; `option` names it in the message.
    """
    try:
        number = ratio if isinstance(ratio, Fraction) else Decimal(_text(ratio))
        inside = 0 <= number <= 1
    except InvalidOperation:
        raise UsageError(f"{option} is {ratio!r}; it must be a decimal number from 0 to 1.") from None
    if not inside:
        raise UsageError(f"{option} is {_text(ratio)}; it must be from 0 to 1.")
    if isinstance(number, Decimal) and number.adjusted() < -_MAX_DECIMALS:
        raise UsageError(f"{option} is {_text(ratio)}; it must be 0 or at least 1e-{_MAX_DECIMALS}.")
    return Fraction(number)


def _text(ratio: Ratio) -> str:
    return str(ratio).strip()
