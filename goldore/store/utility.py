"""Utility trials in a score file.

    /trials/utility             attrs: recipe (JSON), base_seed, outcome, estimator, evaluation
    /trials/utility/members     int32 [T, S]; the positions that trial t drew, class by class
    /trials/utility/subset_sizes int64 [K]; how many of the S columns belong to each class
    /trials/utility/accuracy    float32 [T, K]; share of the class's evaluation images classified correctly
    /trials/utility/logprob     float32 [T, K]; mean log-probability of the correct class, nat
    /trials/utility/margin      float32 [T, K]; mean logit of the correct class minus the highest other one
    /trials/utility/...         seed, weights_seed uint64 [T], train_loss float32 [T], failed uint8 [T],
                                done uint8 [T]

All outcomes are stored, so that MonteCarlo can be estimated anew from another one, or in another way.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from goldore.draws import Strata, make_strata
from goldore.errors import UsageError
from goldore.estimators import Estimate
from goldore.estimators.utility import ESTIMATORS, TrialBlock, Trials, estimate_utility
from goldore.recipe import OUTCOMES, UtilityRecipe
from goldore.store.format import create_rows, read_array
from goldore.store.model import DatasetInfo, Header, UtilityResult, UtilityRun, UtilityTrials

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP = "trials/utility"
OUTCOME = {str(name): name for name in OUTCOMES}
ESTIMATOR = {str(name): name for name in ESTIMATORS}
_CHUNK = 2**16  # numbers that HDF5 reads and writes together, about
_BLOCK = 2**21  # members that an estimator holds at once


def strata_of(header: Header, recipe: UtilityRecipe, base_seed: int) -> Strata:
    """The pools that these trials draw from."""
    if recipe.subset_per_class is None:
        raise ValueError("the recipe leaves subset_per_class open")
    return make_strata(
        header.labels, header.info.num_classes, recipe.subset_per_class, recipe.folds, base_seed
    )


def read(file: h5py.File, info: DatasetInfo) -> UtilityTrials:
    """Read what the file says of its utility trials, without members."""
    group = file[GROUP]
    recipe = UtilityRecipe.from_json(str(group.attrs["recipe"]))
    outcome, estimator = str(group.attrs["outcome"]), str(group.attrs["estimator"])
    rows = group["done"].shape[0]
    sizes = read_array(file, f"{GROUP}/subset_sizes", (info.num_classes,), "iu").astype(np.int64)
    expected: dict[str, int] = {"members": int(sizes.sum())}
    expected |= {str(name): info.num_classes for name in OUTCOMES}
    for name, columns in expected.items():
        if group[name].shape != (rows, columns) or group[name].maxshape[0] is not None:
            raise ValueError(f"{GROUP}/{name} has another shape than {(rows, columns)}")
    done, failed = (
        read_array(file, f"{GROUP}/{name}", (rows,), "u").astype(bool) for name in ("done", "failed")
    )
    usable = np.flatnonzero(done & ~failed)
    total = np.zeros(info.num_classes)
    step = max(1, _BLOCK // info.num_classes)
    for start in range(0, rows, step):
        part = group["accuracy"][start : start + step]
        total += part[(done & ~failed)[start : start + step]].sum(axis=0, dtype=np.float64)
    return UtilityTrials(
        recipe=recipe,
        base_seed=int(group.attrs["base_seed"]),
        outcome=OUTCOME[outcome],
        estimator=ESTIMATOR[estimator],
        evaluation=str(group.attrs.get("evaluation", "")),
        done=usable,
        failed=np.flatnonzero(done & failed),
        accuracy=total / len(usable) if len(usable) else np.full(info.num_classes, np.nan),
        subset_sizes=sizes,
    )


def size_of(header: Header, results: Sequence[UtilityResult]) -> int:
    """Upper estimate, in bytes, of what a file grows by when these results are added to it."""
    chunks = 8 * 4 * _CHUNK
    per_trial = sum(4 * len(result.members) + 12 * header.info.num_classes + 64 for result in results)
    return header.info.num_samples * (2 * 8 + 3 * 4) + chunks + per_trial


def add(file: h5py.File, header: Header, run: UtilityRun, results: Sequence[UtilityResult]) -> None:
    """Write finished trials; their done flags are written last."""
    if GROUP not in file:
        _create(file, header, run)
    trials = file[GROUP]
    trials.attrs["outcome"], trials.attrs["estimator"] = run.outcome, run.estimator
    ordered = sorted(results, key=lambda result: result.trial.number)
    if not ordered:
        return
    rows = max(len(trials["done"]), ordered[-1].trial.number + 1)
    for name in ("members", *OUTCOMES, "seed", "weights_seed", "train_loss", "failed", "done"):
        trials[name].resize(rows, axis=0)
    for run_of in _consecutive(ordered):
        where = slice(run_of[0].trial.number, run_of[-1].trial.number + 1)
        trials["members"][where] = np.stack([result.members for result in run_of])
        for name in OUTCOMES:
            trials[name][where] = np.stack([result.outcomes[name] for result in run_of])
        trials["seed"][where] = np.array([result.trial.seed for result in run_of], dtype=np.uint64)
        weights = [result.trial.weights_seed or 0 for result in run_of]
        trials["weights_seed"][where] = np.array(weights, dtype=np.uint64)
        trials["train_loss"][where] = np.array([result.train_loss for result in run_of], dtype=np.float32)
        trials["failed"][where] = np.array([result.failed for result in run_of], dtype=np.uint8)
        trials["done"][where] = np.ones(len(run_of), dtype=np.uint8)


def estimate(file: h5py.File, header: Header) -> Estimate | None:
    """Estimate MonteCarlo from the trials that ended well, as the file says; None if none did."""
    known = read(file, header.info)
    if len(known.done) == 0:
        return None
    return estimate_utility(_Stored(file, header, known).trials(), header.info.num_samples, known.estimator)


def check_choice(outcome: str | None, estimator: str | None) -> None:
    """Refuse an outcome or an estimator that does not exist; None is no choice.

    Raises:
        UsageError: naming those that do.
    """
    for option, given, known in (("--outcome", outcome, OUTCOMES), ("--estimator", estimator, ESTIMATORS)):
        if given is not None and given not in known:
            raise UsageError(f"{option} is {given!r}; choose among {', '.join(known)}.")


class _Stored:
    """The trials of an open file, for the estimators."""

    def __init__(self, file: h5py.File, header: Header, known: UtilityTrials) -> None:
        self._group = file[GROUP]
        self._known = known
        self._samples = header.info.num_samples
        self._strata = strata_of(header, known.recipe, known.base_seed)
        if not np.array_equal(self._strata.sizes, known.subset_sizes):
            raise ValueError("the sizes of the subsets do not fit the recipe")

    def trials(self) -> Trials:
        """Give them as the estimators take them."""
        last = int(self._known.done[-1]) + 1
        return Trials(self._strata, self._known.recipe.common_init, self._read, last)

    def _read(self) -> Iterator[TrialBlock]:
        common = self._known.recipe.common_init
        rows = max(1, _BLOCK // max(int(self._strata.sizes.sum()), 1) // common) * common
        done = self._known.done
        for start in range(0, int(done[-1]) + 1, rows):
            numbers = done[np.searchsorted(done, start) : np.searchsorted(done, start + rows)]
            if len(numbers) == 0:
                continue
            members: NDArray[np.int32] = self._group["members"][start : start + rows][numbers - start]
            if members.min() < 0 or members.max() >= self._samples:
                raise ValueError("a member of a trial is out of range")
            outcome = self._group[self._known.outcome][start : start + rows][numbers - start]
            yield TrialBlock(numbers, members, outcome)


def _consecutive(ordered: Sequence[UtilityResult]) -> Iterator[list[UtilityResult]]:
    """Cut results into runs of consecutive trial numbers."""
    current: list[UtilityResult] = []
    for result in ordered:
        if current and result.trial.number != current[-1].trial.number + 1:
            yield current
            current = []
        current.append(result)
    yield current


def _create(file: h5py.File, header: Header, run: UtilityRun) -> None:
    trials = file.create_group(GROUP)
    trials.attrs["recipe"] = run.recipe.to_json()
    trials.attrs["base_seed"] = np.uint64(run.base_seed)
    trials.attrs["evaluation"] = run.evaluation
    trials["subset_sizes"] = strata_of(header, run.recipe, run.base_seed).sizes
    subset, classes = int(trials["subset_sizes"][()].sum()), header.info.num_classes
    shapes: dict[str, tuple[str, tuple[int, ...], Any]] = {"members": ("i4", (subset,), -1)}
    shapes |= {str(name): ("f4", (classes,), np.nan) for name in OUTCOMES}
    for name in ("seed", "weights_seed"):
        shapes[name] = ("u8", (), 0)
    shapes["train_loss"] = ("f4", (), np.nan)
    shapes["failed"] = shapes["done"] = ("u1", (), 0)
    for name, (dtype, shape, empty) in shapes.items():
        rows = max(1, min(4096, _CHUNK // max(int(np.prod(shape)), 1)))
        create_rows(trials, name, dtype, shape, empty, rows)
