"""Selection: from scores to the positions to keep.

A criterion puts the samples in an order, first to be dropped first (`criteria`). An amount says how many are
kept (`amount`), and a rule which ones (`strategies`).
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.classes import class_members, labels_digest
from goldore.errors import GoldoreError, UnreliableError, UsageError, reason, require
from goldore.files.optional import optional
from goldore.selection.amount import Amount, Ratio, make_amount
from goldore.selection.criteria import (
    RANDOM,
    Criterion,
    Missing,
    drop_keys,
    parse_criterion,
    random_keys,
)
from goldore.selection.facts import Facts
from goldore.selection.filters import Quotas
from goldore.selection.ordered import Window
from goldore.selection.rule import Chain, End, Filter, Samples, Strategy
from goldore.selection.strategies import strategy_of
from goldore.store import Score, ScoreFile, load_header, load_scores
from goldore.values import Value
from goldore.wording import a_reliability

Scope = Literal["class", "global"]
_DRAWS = 1  # the stream of random numbers for rules; the criterion Random has the seed's own


@dataclass(frozen=True, eq=False, repr=False)
class Selection(Value):
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

    def __len__(self) -> int:
        """Kept samples."""
        return len(self.indices)

    def __repr__(self) -> str:
        about = self.provenance
        total, rule = int(self.total_per_class.sum()), about.get("strategy") or about.get("rule") or ""
        return (
            f"Selection({len(self)} of {total} samples of {about.get('dataset')} by {about.get('criterion')}"
            f"{f', {rule}' if rule else ''})"
        )

    def to_frame(self) -> Any:
        """The kept positions as a pandas DataFrame: a column position, and path where files have one.

        Raises:
            UsageError: if pandas is not installed.
        """
        columns = {"position": self.indices}
        if "paths" in self.provenance:
            columns["path"] = self.provenance["paths"]
        return optional("pandas", "a table in Python").DataFrame(columns)

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
    strategy: str | Strategy = "end",
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
            of the order in which the criterion drops, by the rule window; (R, 1) is drop_ratio R.
        strategy: the rule that chooses so many of the order: a name in `STRATEGIES` or package.module:NAME of
            your own, with settings as NAME,KEY=VALUE, or a `goldore.selection.Strategy`; several with +
            between them, of which all but the last leave samples out.
        scope: "class" applies amount and rule within every class, "global" to all samples at once.
        seed: of the criterion Random and of rules that draw; 0 to 2**63 - 1.
        missing: what to do with samples that have no score (NaN): "error" refuses, "drop" drops them
            first, "keep" drops them last.
        min_reliability: refuse a ranking whose reliability is lower, or unknown.

    Returns:
        The selection, a function of the arguments alone.

    Raises:
        UsageError: if the criterion, a ratio or the rule is wrong, more is to be kept than there is, or
            nothing.
        UnreliableError: if the ranking is less reliable than asked for.
        ScoreFileError: if the file is not a score file.
    """
    amount = make_amount(
        drop_ratio=drop_ratio, keep_ratio=keep_ratio, keep_per_class=keep_per_class, keep_range=keep_range
    )
    rule = strategy_of(strategy)
    if keep_range is not None:
        clash = f"`keep_range` is a window of its own, and the rule is {rule}; leave one of them out."
        require(rule in (End(), Window()), clash)
        rule = Window(keep_range[0])
    require(scope in ("class", "global"), f"`scope` is {scope!r}; choose class or global.")
    require(
        amount.count is None or scope == "class",
        "`keep_per_class` counts samples of each class; leave `scope` global out or give a ratio.",
    )
    parts = rule.parts if isinstance(rule, Chain) else (rule,)
    require(
        amount.count is None or not any(isinstance(part, Quotas) for part in parts),
        "`keep_per_class` keeps as many of each class, and quotas do not; give a ratio.",
    )
    require(isinstance(seed, Integral), f"`seed` is {seed!r}; it must be a whole number.")
    seed = int(seed)
    if min_reliability is not None:
        require(
            isinstance(min_reliability, Real), f"`min_reliability` is {min_reliability!r}; give a number."
        )
    require(missing in ("error", "drop", "keep"), f"`missing` is {missing!r}; choose error, drop or keep.")
    file = scores if isinstance(scores, ScoreFile) else load_scores(scores, only=_only(criterion))
    parsed = parse_criterion(criterion, file.score_names)
    values = _values(file, parsed, seed)
    if min_reliability is not None:
        unranked = "`min_reliability` is about a score, and Random ranks by none; leave it out."
        require(parsed.drops is not None, unranked)
        _check_reliability(file.scores[parsed.score], min_reliability)
    absent = int(len(values) - np.isfinite(values).sum())
    require(
        absent == 0 or missing != "error",
        f"{absent:,} of {len(values):,} samples have no {parsed.score} (NaN: never drawn); "
        "use `missing` drop or `missing` keep.",
    )
    classes = file.dataset.num_classes
    random = random_keys(len(values), seed, _DRAWS) if rule.draws else None
    facts = Facts(file)

    def chosen(values: NDArray[np.floating]) -> tuple[NDArray[np.int64], Strategy]:
        keys = drop_keys(values, parsed, "keep" if missing == "keep" else "drop")
        return choose_samples(
            keys, file.labels, classes, amount, rule, scope=scope, random=random, facts=facts
        )

    indices, found = chosen(values)
    argument, _, value = amount.text.partition(" ")
    require(len(indices) > 0, f"`{argument}` {value} keeps no sample at all; keep more.")
    stored = file.scores[parsed.score].halves if parsed.drops else None
    known = stored is not None and np.isfinite(stored).any()
    # Rules that draw, or look at more than the criterion, share that between the halves: it would seem
    # agreement.
    comparable = stored is not None and known and isinstance(rule, End | Window)
    halves = (chosen(stored[0])[0], chosen(stored[1])[0]) if stored is not None and comparable else None
    kept = np.bincount(file.labels[indices], minlength=classes)
    provenance: dict[str, Any] = {
        "dataset": file.dataset.name,
        "split": file.dataset.split,
        "fingerprint": file.dataset.fingerprint,
        "num_samples": file.dataset.num_samples,
        "labels_sha256": labels_digest(file.labels),
        "criterion": str(parsed),
        "rule": amount.text,
        "scope": scope,
        "seed": seed if rule.draws or parsed.score == RANDOM else None,
        "missing": {"count": absent, "treatment": missing} if absent else None,
        "rank_reliability": _known(file.scores[parsed.score].rank_reliability) if parsed.drops else None,
        "halves_overlap": _known(overlap_of(*halves)) if halves is not None else None,
        "ratio_kept": len(indices) / file.dataset.num_samples,
        "class_names": list(file.dataset.class_names),
        "kept_per_class": kept.tolist(),
        "score_file": str(file.path),
        "score_file_updated": file.updated,
    }
    if keep_range is None and rule != End():
        provenance["strategy"] = str(rule)
        if str(found) != str(rule):
            provenance["strategy_found"] = str(found)
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


def choose_samples(
    keys: NDArray[np.float64],
    labels: NDArray[np.int64],
    num_classes: int,
    amount: Amount,
    strategy: Strategy = End(),  # noqa: B008
    *,
    scope: Scope = "class",
    random: NDArray[np.float64] | None = None,
    facts: Facts | None = None,
) -> tuple[NDArray[np.int64], Strategy]:
    """Apply a rule to samples with known drop-order keys.

    Args:
        keys: float64 [N]; lower is dropped earlier, equal ones by position.
        labels: int64 [N].
        num_classes: K.
        amount: how many are kept, of each class or of all.
        strategy: the rule.
        scope: whether it is applied within every class, or to all samples at once.
        random: float64 [N] for a rule that draws; None for another.
        facts: what the score file says beside.

    Returns:
        Positions to keep, int64, ascending, and the rule with what it found out by looking at all samples.

    Raises:
        UsageError: if a class has fewer samples than are kept, or the rule does not choose so many.
    """
    members = class_members(labels, num_classes) if scope == "class" else [np.arange(len(labels))]
    if amount.count is not None:
        size, smallest = min((len(each), place) for place, each in enumerate(members))
        name = facts.class_name(smallest) if facts is not None else smallest
        require(
            size >= amount.count,
            f"`keep_per_class` {amount.count} is more than the {size} samples of class {name}; "
            + ("lower it." if size else "that class has none, so give a ratio."),
        )
    groups = [
        Samples(
            _fixed(keys[each]),
            _fixed(labels[each]),
            _fixed(np.empty(0) if random is None else random[each]),
            _fixed(each),
            facts,
            len(each),
        )
        for each in members
    ]
    rule = Chain((strategy, End())) if isinstance(strategy, Filter) else strategy
    wanted = [amount.of(len(each)) for each in groups]
    with _failures_of(strategy):
        found, budgets = rule.prepared(groups, wanted)
        budgets = [int(budget) for budget in budgets]
    fits = len(budgets) == len(groups) and sum(budgets) == sum(wanted)
    require(
        fits and all(0 <= budget <= len(group) for budget, group in zip(budgets, groups, strict=True)),
        f"the rule {strategy} would keep {sum(budgets)} samples, {budgets[:10]} of the groups, and "
        f"{sum(wanted)} are to be kept of those that there are; mend it.",
    )
    kept = np.zeros(len(keys), dtype=np.bool_)
    for group, budget in zip(groups, budgets, strict=True):
        if budget:
            kept[group.positions[_chosen(found, group, budget)]] = True
    return np.flatnonzero(kept), strategy if isinstance(strategy, Filter) else found


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    """An array that a rule cannot change."""
    array.flags.writeable = False
    return array


@contextmanager
def _failures_of(rule: Strategy) -> Iterator[None]:
    """Say which rule an error comes from: it may be a user's own."""
    try:
        yield
    except GoldoreError:
        raise
    except (Exception, SystemExit) as error:
        failed = f"the rule {rule} failed ({type(error).__name__}: {reason(error)}); mend it."
        raise UsageError(failed) from error


def _distinct(places: NDArray[np.integer], among: int) -> int:
    """How many different places there are: a mask takes a tenth of the time of NumPy's unique."""
    there = np.zeros(among, dtype=bool)
    there[places] = True
    return int(there.sum())


def _chosen(rule: Strategy, samples: Samples, budget: int) -> NDArray[np.int64]:
    """The places that a rule keeps, after a look at what it gives."""
    with _failures_of(rule):
        found: NDArray[Any] = np.asarray(rule.choose(samples, budget))
    if found.shape != (budget,):
        fault = f"an array of shape {found.shape}"
    elif not np.issubdtype(found.dtype, np.integer):
        fault = f"numbers of type {found.dtype}"
    elif not 0 <= found.min() <= found.max() < len(samples):
        fault = f"positions from {found.min()} to {found.max()}"
    elif _distinct(found, len(samples)) < budget:
        fault = "a position twice"
    else:
        return found.astype(np.int64)
    wanted = f"{budget} different positions from 0 to {len(samples) - 1}"
    raise UsageError(f"the rule {rule} gave {fault}; it must give {wanted}.")


def _paths(file: ScoreFile, indices: NDArray[np.int64]) -> list[str] | None:
    """The kept files of a folder tree, relative to its training folder; None for other datasets."""
    origin = file.dataset.origin
    if origin is None or origin.kind != "folder" or not file.path.is_file():
        return None
    paths = load_header(file.path).paths
    return None if paths is None else [paths[index] for index in indices]


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
    require(0 <= least <= 1, f"`min_reliability` is {least}; it must be from 0 to 1.")
    if score.trials <= 1 or math.isnan(score.trust):
        hint = (
            "add trials with goldore score" if score.trials else "the file is an import and stores no trials"
        )
        raise UnreliableError(
            f"the reliability of {score.name} is unknown, and `min_reliability` asks for {least:g}; {hint}."
        )
    if score.trust < least:
        needed = score.trials_needed(least) if least < 1 else math.inf
        many = f"about {math.ceil(needed):,} trials" if math.isfinite(needed) else "many more trials"
        raise UnreliableError(
            f"{score.name} has {a_reliability(score.trust)} from {score.trials:,} trials, and "
            f"`min_reliability` asks for {least:g}; that takes {many}."
        )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _only(criterion: str) -> tuple[str, ...] | None:
    """The one score that a criterion needs, so that the others are not read; None if it cannot be told."""
    match = re.fullmatch(r"(.+)[_-](large|small)", criterion, re.IGNORECASE)
    return (match[1],) if match else ()


def _values(file: ScoreFile, criterion: Criterion, seed: int) -> NDArray[np.float64]:
    name = criterion.score
    if name == RANDOM:
        return random_keys(file.dataset.num_samples, seed)
    require(name in file.scores, f"{name} was not read from {file.path}; load it with load_scores.")
    return file.scores[name].values
