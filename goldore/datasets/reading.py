"""What was found while a dataset was read: told before anything is trained, and kept with the dataset."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from goldore.wording import count

_MOST_LISTED, _FEW = 5, 3
_TWELVE_BITS = 4095
Counts = tuple[tuple[str, int], ...]
"""What there is, and how often, the most frequent first."""


@dataclass(frozen=True)
class SplitReading:
    """What one split was made of.

    Attributes:
        split: "train" or "test".
        where: the folder, file, array or object that it was read from.
        images: number of images.
        forms: modes of Pillow or dtypes of arrays, as they were.
        sizes: "height x width" in pixels, as they were.
        suffixes: of the files; empty if it was not read from image files.
    """

    split: str
    where: str
    images: int
    forms: Counts = ()
    sizes: Counts = ()
    suffixes: Counts = ()

    @property
    def words(self) -> str:
        """The same for people, on one line."""
        parts = [listed(self.suffixes, self.images), listed(self.forms, self.images)]
        parts.append(_span(self.sizes) or listed(self.sizes, self.images))
        made_of = "; ".join(part for part in parts if part)
        return f"{count(self.images)} images from {self.where}" + (f": {made_of}" if made_of else "")


def _span(sizes: Counts) -> str:
    """Many sizes by the smallest and the largest; empty if they are few."""
    if len(sizes) <= _FEW:
        return ""
    ordered = sorted((size for size, _ in sizes), key=lambda size: math.prod(map(int, size.split("x"))))
    return f"{count(len(sizes))} sizes from {ordered[0]} to {ordered[-1]}"


@dataclass(frozen=True)
class Reading:
    """What was read as what.

    Attributes:
        splits: that were read, the training split first.
        changed: how images were brought to 8 bits and without transparency, and how many of them.
        passed_over: what was there and was not read, with the reason, and how often.
        notes: what was decided, one sentence each.
        details: what was detected, for those who want to know it all, one sentence each.
        warnings: what is probably not as it was meant, one sentence each.
    """

    splits: tuple[SplitReading, ...] = ()
    changed: Counts = ()
    passed_over: Counts = ()
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


NOTHING_READ = Reading()
"""Of a dataset that says nothing of how it was read."""


@dataclass
class Findings:
    """Collects what is found while a dataset is read."""

    splits: list[SplitReading] = field(default_factory=list)
    changed: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def split_of_array(
        self, split: str, where: str, dtype: object, shape: tuple[int, ...], peak: int = 0
    ) -> None:
        """Say that a split was an array of images, [N, ..., H, W] once its channels are in place.

        Args:
            split: "train" or "test".
            where: names it for people.
            dtype: of the array, as it was.
            shape: of the array.
            peak: the largest value of images of 16 bits, else 0.
        """
        form, size = (str(dtype), shape[0]), ("x".join(map(str, shape[-2:])), shape[0])
        self.splits.append(SplitReading(split, where, shape[0], (form,), (size,)))
        self.saw_peak(peak, where)

    def saw_peak(self, peak: int, where: str) -> None:
        """Warn of images of 16 bits that are dark, by their largest value; 0 if none has 16 bits."""
        if 0 < peak <= _TWELVE_BITS:
            self.warnings.append(
                f"the 16-bit images of {where} use values up to {count(peak)} of 65,535 alone, so that they "
                "are dark in 8 bits; stretch them if they have 12 bits or fewer."
            )

    def saw(self, changed: str, images: int, detail: str) -> None:
        """Take in what was done to an array of images, where there is something to say."""
        if changed:
            self.changed[changed] += images
        if detail:
            self.details.append(detail)

    def reading(self) -> Reading:
        """What was found, and will not change any more."""
        return Reading(
            tuple(self.splits),
            counts(self.changed),
            counts(self.passed_over),
            tuple(dict.fromkeys(self.notes)),
            tuple(dict.fromkeys(self.details)),
            tuple(self.warnings),
        )


class _Picture(Protocol):
    """What was seen of an image, as `goldore.datasets.pictures.Picture` has it."""

    @property
    def mode(self) -> str: ...
    @property
    def size(self) -> str: ...
    @property
    def changed(self) -> tuple[str, ...]: ...
    @property
    def peak(self) -> int: ...


class Tally:
    """Counts what pictures were and became.

    Attributes:
        forms: modes of Pillow or dtypes of arrays.
        sizes: "height x width".
        changed: how pictures were brought to 8 bits.
        peak: the largest value of pictures of 16 bits, else 0.
    """

    def __init__(self) -> None:
        self.forms: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self.peak = 0

    def add(self, seen: _Picture) -> None:
        """Count a picture."""
        self.forms[seen.mode] += 1
        self.sizes[seen.size] += 1
        self.changed.update(seen.changed)
        self.peak = max(self.peak, seen.peak)

    def update(self, other: "Tally") -> None:
        """Count what another has counted."""
        self.forms.update(other.forms)
        self.sizes.update(other.sizes)
        self.changed.update(other.changed)
        self.peak = max(self.peak, other.peak)

    def tell(
        self,
        findings: Findings,
        split: str,
        where: str,
        suffixes: Counter[str] | None = None,
        images: int | None = None,
    ) -> None:
        """Say that this was all of a split, or what was looked at of so many images."""
        findings.changed.update(self.changed)
        kinds = counts(self.forms), counts(self.sizes), counts(suffixes or Counter())
        findings.splits.append(SplitReading(split, where, images or self.forms.total(), *kinds))
        findings.saw_peak(self.peak, where)

    def to_json(self) -> dict[str, Any]:
        """The same as values of JSON."""
        counters = {"forms": self.forms, "sizes": self.sizes, "changed": self.changed}
        return {**{name: dict(each) for name, each in counters.items()}, "peak": self.peak}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Read what `to_json` gives."""
        tally = cls()
        tally.forms, tally.sizes, tally.changed = (
            Counter(found.get(name, {})) for name in ("forms", "sizes", "changed")
        )
        tally.peak = int(found.get("peak", 0))
        return tally


def counts(counter: Counter[str]) -> Counts:
    """The entries of a counter, the most frequent first, then by name."""
    return tuple(sorted(counter.items(), key=lambda entry: (-entry[1], entry[0])))


def listed(entries: Counts, total: int | None = None) -> str:
    """Entries on one line: each with its number, where it is not that of all."""
    if len(entries) == 1 and entries[0][1] == total:
        return entries[0][0]
    text = ", ".join(f"{count(number)} {what}" for what, number in entries[:_MOST_LISTED])
    return text + (f" and {count(len(entries) - _MOST_LISTED)} others" if len(entries) > _MOST_LISTED else "")
