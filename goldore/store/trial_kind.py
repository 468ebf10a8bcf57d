"""A kind of trial as the score file sees it: one object that says what its trials are stored as.

The trials of a kind lie in /trials/<name>, a row a trial in each of some arrays, the columns. What all kinds
do with columns is here; `loss_trials` and `utility_trials` say what theirs are, and `trial_kinds`
lists them. Whoever works on all trials of a file walks that table.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.scores.estimators.agreement import Agreement, Noisy
from goldore.store.digests import digests, key_of
from goldore.store.format import create_seconds, has
from goldore.store.model import (
    DatasetInfo,
    Header,
    KernelRun,
    Result,
    Run,
    Score,
    StoredTrials,
    UtilityRun,
)
from goldore.trials.seeds import Trial

Columns = Mapping[str, NDArray[Any]]
AnyRun = TypeVar("AnyRun", bound=Run)
AnyTrials = TypeVar("AnyTrials", bound=StoredTrials)
AnyResult = TypeVar("AnyResult", bound=Result)
_BLOCK = 2**25  # bytes of trials that are held in memory together
BESIDE = ("seconds", "digest", "done", "number")  # what is no result of a trial
NOWHERE = {"device": "", "torch_version": ""}  # of a run whose recipe alone is of interest
_STALE = "stale"  # attribute of a group whose trials say more than the scores in the file


class Others(Protocol):
    """What the other trials of a file say to a kind's scores (`goldore.store.together`)."""

    def agreement(self, run: UtilityRun | KernelRun, outcome: str, utility: Noisy) -> Agreement | None:
        """How well a utility agrees with that of trained networks; None without trials that tell."""

    def prior(self) -> dict[str, NDArray[np.float64]]:
        """The scores that need no utility trials, by name, float64 [N]."""


class TrialKind(ABC, Generic[AnyRun, AnyTrials, AnyResult]):
    """What a kind of trial is stored as.

    Attributes:
        name: of the kind.
        result: what a trial of it gives.
        rounding: by how much numbers of one trial may differ, trained among others or alone.
        tells: kinds of other trials whose scores say something that rests on these as well.
    """

    name: str
    result: type[AnyResult]
    tells: ClassVar[tuple[str, ...]] = ()
    rounding: float = 5e-2

    @property
    def group(self) -> str:
        """Where its trials lie in a score file."""
        return f"trials/{self.name}"

    @abstractmethod
    def read(self, file: h5py.File, info: DatasetInfo) -> AnyTrials:
        """Read what the file says of its trials, without the large columns."""

    @abstractmethod
    def run_of(self, trials: AnyTrials, made_on: Mapping[str, str]) -> AnyRun:
        """What these trials share, as the run that continues with them."""

    @abstractmethod
    def run_in(self, group: h5py.Group, made_on: Mapping[str, str]) -> AnyRun:
        """The same from a file's attributes alone, whatever state its columns are in."""

    @abstractmethod
    def continuing(self, run: AnyRun, trials: AnyTrials) -> AnyRun:
        """What a run becomes that adds to these trials."""

    @abstractmethod
    def run_from_json(self, fields: dict[str, Any]) -> AnyRun:
        """Read back what the run's `to_json` gave."""

    @abstractmethod
    def differences(self, trials: AnyTrials, run: AnyRun) -> list[tuple[str, Any, Any]]:
        """What beside recipe and seed keeps a run from adding to these trials: (name, there, now)."""

    @abstractmethod
    def create(self, file: h5py.File, header: Header, run: AnyRun) -> None:
        """Make the group with its attributes and empty columns."""

    @abstractmethod
    def update(self, group: h5py.Group, run: AnyRun) -> None:
        """Write what a later run may say otherwise."""

    @abstractmethod
    def shared(self, group: h5py.Group) -> list[Any]:
        """What all trials of a file share and their digests cover, as JSON values."""

    @abstractmethod
    def content_names(self, group: h5py.Group) -> list[str]:
        """Names of the columns that hold results, in the order in which digests cover them."""

    @abstractmethod
    def columns_of(self, results: Sequence[AnyResult], names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Trials as rows of columns: those of these names, and the seconds; NaN where a trial has none."""

    @abstractmethod
    def results_of(self, numbers: NDArray[np.int64], columns: Columns) -> list[AnyResult]:
        """Trials from rows of columns."""

    @abstractmethod
    def derived(self, run: AnyRun, numbers: Sequence[int]) -> list[Trial]:
        """The trials of a run with these numbers."""

    @abstractmethod
    def size_of(self, header: Header, run: AnyRun, results: Sequence[AnyResult]) -> int:
        """Upper estimate, in bytes, of what a file grows by: these results, and their scores."""

    @abstractmethod
    def score_names(self, trials: AnyTrials) -> tuple[str, ...]:
        """Names of the scores that these trials give."""

    @abstractmethod
    def estimates(self, file: h5py.File, header: Header, others: Others) -> list[Score]:
        """Estimate every score from the trials that ended well; empty if none did.

        Args:
            file: an open score file.
            header: of its dataset.
            others: all trials of the file.

        Raises:
            ValueError: if a trial does not fit its digest.
        """

    def is_stale(self, file: h5py.File) -> bool:
        """Whether trials were added, and the scores in the file do not rest on them yet."""
        return has(file, self.group) and _STALE in file[self.group].attrs

    def mark(self, file: h5py.File, *, stale: bool) -> None:
        """Note whether the scores in the file are still to be estimated from these trials.

        If they are, so are those of the kinds that these trials tell something.
        """
        for name in (self.name, *self.tells) if stale else ():
            if has(file, f"trials/{name}") and (name == self.name or self.concerns(file, name)):
                file[f"trials/{name}"].attrs[_STALE] = np.uint8(1)
        if not stale and _STALE in file[self.group].attrs:
            del file[self.group].attrs[_STALE]

    def concerns(self, file: h5py.File, other: str) -> bool:
        """Whether scores of another kind rest on these trials, as that kind's trials in the file are."""
        return other != "utility" or file["trials/utility"].attrs.get("estimator") == "shrunk"

    def rows_at_once(self, group: h5py.Group) -> int:
        """Trials that are held in memory together."""
        return max(1, _BLOCK // int(self.layout_in(group).itemsize))

    def names_in(self, group: h5py.Group) -> list[str]:
        """Names of the columns of a file, the seconds last if it has them."""
        return [*self.content_names(group), *(["seconds"] if "seconds" in group else [])]

    def columns_at(self, group: h5py.Group, rows: Any) -> dict[str, NDArray[Any]]:
        """Rows of a file's columns."""
        return {name: group[name][rows] for name in self.names_in(group)}

    def layout_in(self, group: h5py.Group) -> np.dtype[np.void]:
        """A trial as one record: its number, then its row of every column, the seconds last."""
        names = self.content_names(group)
        columns = [(name, group[name].dtype, group[name].shape[1:]) for name in names]
        return np.dtype([("number", "<i8"), *columns, ("seconds", "<f4")])

    def key_in(self, file: h5py.File, header: Header) -> bytes:
        """The key of the digests of a file's trials."""
        return key_of(header.info.fingerprint, self.name, *self.shared(file[self.group]))

    def digests_of(self, key: bytes, numbers: NDArray[np.int64], columns: Columns) -> NDArray[np.uint64]:
        """The digest of each trial, over its number and what it gave, in the order of the columns."""
        content = [values for name, values in columns.items() if name not in BESIDE]
        return digests(key, [numbers.astype("<i8"), *content])

    def add(self, file: h5py.File, header: Header, run: AnyRun, results: Sequence[AnyResult]) -> None:
        """Write finished trials, their done flags last; scores are estimated later."""
        ordered = sorted(results, key=lambda result: result.trial.number)
        if not ordered:
            return
        if self.group not in file:
            self.create(file, header, run)
        group = file[self.group]
        self.update(group, run)
        self.mark(file, stale=True)
        create_seconds(group)
        names = self.content_names(group)
        rows = max(len(group["done"]), ordered[-1].trial.number + 1)
        for name in (*names, "seconds", "digest", "done"):
            group[name].resize(rows, axis=0)
        key = self.key_in(file, header)
        for together in consecutive(ordered):
            where = slice(together[0].trial.number, together[-1].trial.number + 1)
            columns = self.columns_of(together, names)
            for name, values in columns.items():
                group[name][where] = values
            group["digest"][where] = self.digests_of(key, np.arange(where.start, where.stop), columns)
            group["done"][where] = np.ones(len(together), dtype=np.uint8)

    def blocks(
        self, file: h5py.File, header: Header, numbers: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]], NDArray[np.bool_]]]:
        """Trials some at a time: numbers, columns, and which of them fit their digests."""
        group, key = file[self.group], self.key_in(file, header)
        rows = self.rows_at_once(group)
        for start in np.unique(numbers // rows) * rows:
            some = numbers[(numbers >= start) & (numbers < start + rows)]
            stretch, places = slice(some[0], some[-1] + 1), some - some[0]  # HDF5 reads long lists slowly
            columns = {name: values[places] for name, values in self.columns_at(group, stretch).items()}
            yield some, columns, self.digests_of(key, some, columns) == group["digest"][stretch][places]


def consecutive(ordered: Sequence[AnyResult]) -> Iterator[list[AnyResult]]:
    """Cut results into runs of consecutive trial numbers."""
    current: list[AnyResult] = []
    for result in ordered:
        if current and result.trial.number != current[-1].trial.number + 1:
            yield current
            current = []
        current.append(result)
    yield current
