"""Several score files of one dataset: do they put its samples in the same order, and keep the same ones?

Beside each correlation stands its noise limit, sqrt(r1 r2) of the two reliabilities of ranks: two scores that
measure the same thing correlate by that much on average, and no more (Spearman's attenuation, 1904). Beside
each overlap stands chance: what two random selections of these sizes share.
"""

import itertools
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.report.records import (
    ComparedFile,
    Comparison,
    FileCorrelation,
    Known,
    Overlap,
    number_or_none,
)
from goldore.scores import KERNEL_UTILITY
from goldore.selection.amount import make_amount
from goldore.selection.criteria import Criterion, drop_keys
from goldore.selection.pruning import Scope, chance_overlap
from goldore.selection.ranks import Ranked, rank_correlation
from goldore.store import Score, ScoreFile

KEEP_RATIOS = ("0.01", "0.05", "0.1", "0.3", "0.5")
MOST_FILES = len(string.ascii_uppercase)
_ENDS: tuple[Literal["large", "small"], ...] = ("large", "small")


def compare(files: Sequence[ScoreFile], *, scope: Scope = "class") -> Comparison:
    """Compare scores of the same name in several files, or all scores of two files that share none.

    Args:
        files: two or more of one dataset, with all their scores.
        scope: "class" keeps a share of every class, "global" of all samples at once.

    Returns:
        Correlations of their scores, and the overlaps of what they keep.

    Raises:
        UsageError: if there are less than two files, or more than 26, or they are not of one dataset.
    """
    if not 2 <= len(files) <= MOST_FILES:  # noqa: PLR2004
        raise UsageError(f"{len(files)} score files cannot be compared; give 2 to {MOST_FILES}.")
    known = next((file for file in files if file.dataset.fingerprint), files[0])
    for file in files:
        check_same_dataset(known, file)
    pairs = list(_pairs(files))
    labels, classes = files[0].labels, files[0].dataset.num_classes
    ranked = {
        key: Ranked.of(key.score_in(files).values, labels, classes)
        for key in {key for pair in pairs for key in pair}
    }
    return Comparison(
        files=tuple(
            ComparedFile(
                _id(place),
                str(file.path),
                file.dataset.name,
                file.dataset.fingerprint or None,
                tuple(file.scores),
            )
            for place, file in enumerate(files)
        ),
        scope=scope,
        class_names=files[0].dataset.class_names,
        ratios=KEEP_RATIOS,
        correlations=tuple(_correlation(files, first, second, ranked) for first, second in pairs),
        overlaps=tuple(_overlaps(files, pairs, scope)),
    )


def check_same_dataset(first: ScoreFile, other: ScoreFile) -> None:
    """See that two files are about the same samples in the same order.

    Raises:
        UsageError: if their fingerprints differ, or where one has none their labels.
    """
    here, there = first.dataset, other.dataset
    both = bool(here.fingerprint and there.fingerprint)
    if here.num_samples == there.num_samples and np.array_equal(first.labels, other.labels):
        if not both or here.fingerprint == there.fingerprint:
            return
        raise UsageError(
            f"{other.path} has the labels of {first.path} but other pixels (fingerprints "
            f"{there.fingerprint[:12]} and {here.fingerprint[:12]}); compare files of one dataset."
        )
    raise UsageError(
        f"{other.path} is about {there.name} ({there.num_samples:,} samples) and {first.path} about "
        f"{here.name} ({here.num_samples:,}), or their labels differ; compare files of one dataset."
    )


@dataclass(frozen=True)
class _Key:
    """A score of a file, by the file's place."""

    place: int
    name: str

    def score_in(self, files: Sequence[ScoreFile]) -> Score:
        return files[self.place].scores[self.name]


def _id(place: int) -> str:
    return string.ascii_uppercase[place]


def _pairs(files: Sequence[ScoreFile]) -> Iterable[tuple[_Key, _Key]]:
    for first, second in itertools.combinations(range(len(files)), 2):
        shared = [name for name in files[first].scores if name in files[second].scores]
        names = (
            zip(shared, shared, strict=True)
            if shared
            else itertools.product(files[first].scores, files[second].scores)
        )
        yield from ((_Key(first, one), _Key(second, two)) for one, two in names)


def _correlation(
    files: Sequence[ScoreFile], first: _Key, second: _Key, ranked: dict[_Key, Ranked]
) -> FileCorrelation:
    found = rank_correlation(ranked[first], ranked[second])
    trust = [key.score_in(files).trust for key in (first, second)]
    shared = first.name == second.name == KERNEL_UTILITY.name  # both err by the same evaluation images
    limit = (trust[0] * trust[1]) ** 0.5 if min(trust) >= 0 and not shared else np.nan
    return FileCorrelation(
        files=(_id(first.place), _id(second.place)),
        scores=(first.name, second.name),
        within_class=number_or_none(found.within_class),
        overall=number_or_none(found.overall),
        noise_limit=number_or_none(limit),
        classes=tuple(number_or_none(each) for each in found.by_class),
        samples=found.samples,
    )


def _criteria(first: Score, second: Score) -> list[tuple[Criterion, Criterion]]:
    """Which ends are compared: either end of one score; of two scores those that their criteria drop."""
    if first.name == second.name:
        return [(Criterion(first.name, end), Criterion(second.name, end)) for end in _ENDS]
    return [(_recommended(first), _recommended(second))]


def _recommended(score: Score) -> Criterion:
    return Criterion(score.name, "small" if score.drops == "small" else "large")


def _overlaps(files: Sequence[ScoreFile], pairs: Sequence[tuple[_Key, _Key]], scope: Scope) -> list[Overlap]:
    labels, classes = files[0].labels, files[0].dataset.num_classes
    total = np.bincount(labels, minlength=classes)
    places: dict[tuple[int, Criterion], NDArray[np.int64]] = {}
    found = []
    for first, second in pairs:
        for one, two in _criteria(first.score_in(files), second.score_in(files)):
            for key, criterion in ((first, one), (second, two)):
                if (key.place, criterion) not in places:
                    keys = drop_keys(key.score_in(files).values, criterion, "drop")
                    places[key.place, criterion] = _places(keys, labels, total, scope)
            has = {key: np.isfinite(key.score_in(files).values) for key in (first, second)}
            mine, others = places[first.place, one], places[second.place, two]
            shares: dict[str, Known] = {}
            chances = {}
            for ratio in KEEP_RATIOS:
                start = _starts(ratio, total, scope)[labels]
                kept, other = mine >= start, others >= start
                known = bool(has[first][kept].all() and has[second][other].all())
                shares[ratio] = float((kept & other).sum() / kept.sum()) if known else None
                per_class = np.bincount(labels[kept], minlength=classes)
                chances[ratio] = chance_overlap(per_class, total, scope)
            ids = _id(first.place), _id(second.place)
            found.append(Overlap(ids, (str(one), str(two)), shares, chances))
    return found


def _places(
    keys: NDArray[np.float64], labels: NDArray[np.int64], total: NDArray[np.int64], scope: Scope
) -> NDArray[np.int64]:
    """How many samples are dropped before each one, of its class or of all, int64 [N]."""
    order = np.argsort(keys, kind="stable")
    starts = np.zeros(len(total), dtype=np.int64)
    if scope == "class":
        small = labels[order].astype(np.uint16) if len(total) <= 2**16 else labels[order]
        order = order[np.argsort(small, kind="stable")]
        starts = np.cumsum(total) - total
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.arange(len(keys)) - starts[labels[order]]
    return places


def _starts(ratio: str, total: NDArray[np.int64], scope: Scope) -> NDArray[np.int64]:
    """How many samples a keep ratio drops, for each class the count that applies to it, int64 [K]."""
    amount = make_amount(keep_ratio=ratio)
    groups = np.full(len(total), total.sum()) if scope == "global" else total
    return np.array([each - amount.of(int(each)) for each in groups])
