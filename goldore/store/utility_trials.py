"""Utility trials in a score file.

    /trials/utility             attrs: recipe (JSON), base_seed, outcome, estimator, evaluation, outcomes,
                                stale (while /scores is still to be estimated)
    /trials/utility/members     int32 [T, S]; the positions that trial t drew, class by class
    /trials/utility/subset_sizes int64 [K]; how many of the S columns belong to each class
    /trials/utility/accuracy    float32 [T, K]; share of the class's evaluation images classified correctly
    /trials/utility/logprob     float32 [T, K]; mean log-probability of the correct class, nat
    /trials/utility/margin      float32 [T, K]; mean logit of the correct class minus the highest other one
    /trials/utility/...         seed, weights_seed uint64 [T], train_loss, seconds float32 [T],
                                failed uint8 [T], done uint8 [T], digest uint64 [T] (see
                                `goldore.store.digests`; of all but the seconds)

/trials/check is the same, of the trained trials that utilities which train nothing are compared with
(`CheckRun`).

All outcomes that there were when the file was made are stored, so that MonteCarlo can be estimated anew from
another one, or in another way.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import h5py
import numpy as np

from goldore.errors import NewerFormatError, ScoreFileError, UsageError
from goldore.scores import MONTE_CARLO
from goldore.scores.estimators import Estimate
from goldore.scores.estimators.agreement import Halved, Noisy
from goldore.scores.estimators.sweeps import TrialBlock, Trials
from goldore.scores.estimators.utility import ESTIMATORS, Estimator, estimate_utility, halved_utility
from goldore.store.format import (
    create_rows,
    node_at,
    read_array,
    read_attribute,
    read_per_trial,
    read_seconds,
    read_text,
    read_text_list,
    rows_at,
    write_text_list,
)
from goldore.store.model import (
    CheckRun,
    DatasetInfo,
    Header,
    Score,
    UtilityResult,
    UtilityRun,
    UtilityTrials,
)
from goldore.store.trial_kind import BESIDE, NOWHERE, Columns, Others, TrialKind
from goldore.trials import OUTCOMES, CheckRecipe, Outcome, UtilityRecipe
from goldore.trials.draws import strata_of
from goldore.trials.seeds import Trial, make_utility_trials

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTCOME = {str(name): name for name in OUTCOMES}
ESTIMATOR = {str(name): name for name in ESTIMATORS}
_FIRST_OUTCOMES = ("accuracy", "logprob", "margin")  # of files that do not say which they hold
_OF_TRIALS = ("seed", "weights_seed", "failed", "train_loss", "members")  # columns beside the outcomes
_MOST_OUTCOMES = 64
_CHUNK = 2**16  # numbers that HDF5 reads and writes together, about
_BLOCK = 2**21  # members that an estimator holds at once


class UtilityKind(TrialKind[UtilityRun, UtilityTrials, UtilityResult]):
    """Trainings on drawn subsets, which give an outcome for each class.

    Args:
        run: what its trials share.
        recipe: of the trials.
    """

    result = UtilityResult
    tells: ClassVar[tuple[str, ...]] = ("kernel",)

    def __init__(self, run: type[UtilityRun], recipe: type[UtilityRecipe]) -> None:
        self.name = run.kind
        self._run, self._recipe = run, recipe

    def read(self, file: h5py.File, info: DatasetInfo) -> UtilityTrials:
        """Read what the file says of its utility trials, without members."""
        group = node_at(file, self.group)
        text = read_text(group, "recipe")
        recipe, outcomes = self._recipe.from_json(text), outcomes_in(group)
        outcome, estimator = about(group)
        rows = len(node_at(file, f"{self.group}/done"))
        sizes = read_array(file, f"{self.group}/subset_sizes", (info.num_classes,), "iu").astype(np.int64)
        done, failed = (
            read_per_trial(file, f"{self.group}/{name}", (rows,), "u").astype(bool)
            for name in ("done", "failed")
        )
        for name, (dtype, shape) in layout(int(sizes.sum()), info.num_classes, outcomes).items():
            if name in BESIDE:
                continue
            path = f"{self.group}/{name}"
            values = rows_at(file, path, (rows, *shape), np.dtype(dtype).kind)
            needed = int(done.sum()) * values.dtype.itemsize * math.prod(shape)
            if values.maxshape[0] is not None or values.id.get_storage_size() < needed:
                raise ValueError(f"{path} holds fewer trials than it claims")
        usable = np.flatnonzero(done & ~failed)
        total = np.zeros(info.num_classes)
        step = max(1, _BLOCK // info.num_classes)
        for start in np.unique(usable // step) * step if "accuracy" in outcomes else ():
            part = group["accuracy"][start : start + step]
            total += part[(done & ~failed)[start : start + step]].sum(axis=0, dtype=np.float64)
        known = len(usable) > 0 and "accuracy" in outcomes
        return UtilityTrials(
            recipe=recipe,
            base_seed=int(read_attribute(group, "base_seed")),
            outcome=outcome,
            estimator=estimator,
            evaluation=read_text(group, "evaluation"),
            outcomes=outcomes,
            assumed=recipe.settings_left_out(text),
            done=usable,
            failed=np.flatnonzero(done & failed),
            accuracy=total / len(usable) if known else np.full(info.num_classes, np.nan),
            subset_sizes=sizes,
            seconds=read_seconds(file, f"{self.group}/seconds", rows),
        )

    def run_of(self, trials: UtilityTrials, made_on: Mapping[str, str]) -> UtilityRun:
        """What these trials share."""
        return self._run(
            trials.recipe, trials.base_seed, trials.outcome, trials.estimator, trials.evaluation, **made_on
        )

    def run_in(self, group: h5py.Group, made_on: Mapping[str, str]) -> UtilityRun:
        """The same from a file's attributes alone."""
        recipe = self._recipe.from_json(read_text(group, "recipe"))
        outcome, estimator = about(group)
        seed, evaluation = int(read_attribute(group, "base_seed")), read_text(group, "evaluation")
        return self._run(recipe, seed, outcome, estimator, evaluation, **made_on)

    def continuing(self, run: UtilityRun, trials: UtilityTrials) -> UtilityRun:
        """It stays as it is."""
        del trials
        return run

    def run_from_json(self, fields: dict[str, Any]) -> UtilityRun:
        """Read back what the run's `to_json` gave."""
        chosen = {"outcome": OUTCOME[fields["outcome"]], "estimator": ESTIMATOR[fields["estimator"]]}
        return self._run(**fields | chosen | {"recipe": self._recipe.from_json(fields["recipe"])})

    def differences(self, trials: UtilityTrials, run: UtilityRun) -> list[tuple[str, Any, Any]]:
        """All networks must be evaluated on the same images."""
        if trials.evaluation == run.evaluation:
            return []
        return [("test images", trials.evaluation[:12] or "none", run.evaluation[:12] or "none")]

    def create(self, file: h5py.File, header: Header, run: UtilityRun) -> None:
        """Make the group with its attributes and empty columns."""
        group = file.create_group(self.group)
        group.attrs["recipe"] = run.recipe.to_json()
        group.attrs["base_seed"] = np.uint64(run.base_seed)
        group.attrs["evaluation"] = run.evaluation
        group["subset_sizes"] = strata_of(
            run.recipe, header.labels, header.info.num_classes, run.base_seed
        ).sizes
        write_text_list(group, "outcomes", list(OUTCOMES))
        subset, classes = int(group["subset_sizes"][()].sum()), header.info.num_classes
        shapes = layout(subset, classes, OUTCOMES) | {"digest": ("<u8", ()), "done": ("u1", ())}
        for name, (dtype, shape) in shapes.items():
            empty = np.nan if np.dtype(dtype).kind == "f" else -1 if name == "members" else 0
            rows = max(1, min(4096, _CHUNK // max(int(np.prod(shape)), 1)))
            create_rows(group, name, dtype, shape, empty, rows)

    def update(self, group: h5py.Group, run: UtilityRun) -> None:
        """MonteCarlo may be about another outcome, or estimated in another way."""
        group.attrs.update({"outcome": run.outcome, "estimator": run.estimator})

    def shared(self, group: h5py.Group) -> list[Any]:
        """Recipe, base seed and the images that networks are evaluated on."""
        return [group.attrs["recipe"], int(group.attrs["base_seed"]), group.attrs["evaluation"]]

    def content_names(self, group: h5py.Group) -> list[str]:
        """The columns beside the outcomes, then the outcomes."""
        return [*_OF_TRIALS, *outcomes_in(group)]

    def columns_of(self, results: Sequence[UtilityResult], names: Sequence[str]) -> dict[str, "NDArray[Any]"]:
        """Trials as rows of columns; NaN for an outcome that a trial does not have."""
        members = np.stack([result.members for result in results])
        unknown = np.full_like(next(iter(results[0].outcomes.values())), np.nan)
        outcomes = [name for name in names if name not in _OF_TRIALS]
        values: dict[str, Any] = {
            "seed": [result.trial.seed for result in results],
            "weights_seed": [result.trial.weights_seed or 0 for result in results],
            "failed": [result.failed for result in results],
            "train_loss": [result.train_loss for result in results],
            "seconds": [result.seconds for result in results],
            "members": members,
        }
        values |= {
            name: np.stack([result.outcomes.get(name, unknown) for result in results]) for name in outcomes
        }
        shapes = layout(members.shape[1], len(unknown), outcomes)
        return {name: np.asarray(values[name], dtype=dtype) for name, (dtype, _) in shapes.items()}

    def results_of(self, numbers: "NDArray[np.int64]", columns: Columns) -> list[UtilityResult]:
        """Trials from rows of columns."""
        outcomes = [name for name in columns if name not in _OF_TRIALS and name not in BESIDE]
        return [
            UtilityResult(
                trial=Trial(int(number), int(columns["seed"][row]), int(columns["weights_seed"][row])),
                failed=bool(columns["failed"][row]),
                members=columns["members"][row],
                outcomes={name: columns[name][row] for name in outcomes},
                train_loss=float(columns["train_loss"][row]),
                seconds=float(columns["seconds"][row]) if "seconds" in columns else math.nan,
            )
            for row, number in enumerate(numbers)
        ]

    def derived(self, run: UtilityRun, numbers: Sequence[int]) -> list[Trial]:
        """The trials of a run with these numbers."""
        return make_utility_trials(run.draw_seed, numbers, run.recipe.common_init)

    def size_of(self, header: Header, run: UtilityRun, results: Sequence[UtilityResult]) -> int:
        """Upper estimate, in bytes, of what a file grows by: these results, and their scores."""
        del run
        chunks = 8 * 4 * _CHUNK
        per_trial = sum(4 * len(result.members) + 12 * header.info.num_classes + 64 for result in results)
        return header.info.num_samples * (2 * 8 + 3 * 4) + chunks + per_trial

    def concerns(self, file: h5py.File, other: str) -> bool:
        """KernelUtility is compared with networks that are trained."""
        del other
        return self._recipe.from_json(read_text(file[self.group], "recipe")).trains_networks

    def score_names(self, trials: UtilityTrials) -> tuple[str, ...]:
        """MonteCarlo."""
        return (MONTE_CARLO.name,) if len(trials.done) else ()

    def estimates(self, file: h5py.File, header: Header, others: Others) -> list[Score]:
        """Estimate MonteCarlo by the outcome and the estimator that the file names."""
        found = monte_carlo(file, header, others)
        return [] if found is None else [found]


class CheckKind(UtilityKind):
    """Trained trials that utilities which train nothing are compared with; they give no score."""

    tells: ClassVar[tuple[str, ...]] = ("utility", "kernel")

    def score_names(self, trials: UtilityTrials) -> tuple[str, ...]:
        """None."""
        del trials
        return ()

    def estimates(self, file: h5py.File, header: Header, others: Others) -> list[Score]:
        """None."""
        del file, header, others
        return []


UTILITY = UtilityKind(UtilityRun, UtilityRecipe)
CHECK = CheckKind(CheckRun, CheckRecipe)


def outcomes_in(group: h5py.Group) -> tuple[str, ...]:
    """Names of the outcomes that a file holds, those that its goldore knew."""
    outcomes = read_text_list(group, "outcomes") if "outcomes" in group.attrs else _FIRST_OUTCOMES
    taken = {*_OF_TRIALS, *BESIDE, "subset_sizes"}
    fine = all(each.isidentifier() and each not in taken for each in outcomes)
    if not fine or not 0 < len(set(outcomes)) == len(outcomes) <= _MOST_OUTCOMES:
        raise ValueError("its outcomes have names that outcomes cannot have")
    return outcomes


def about(group: h5py.Group) -> tuple[Outcome, Estimator]:
    """The outcome and the estimator of the file's MonteCarlo.

    Raises:
        NewerFormatError: if this goldore does not know one of them.
    """
    outcome, estimator = read_text(group, "outcome"), read_text(group, "estimator")
    for given, known in ((outcome, OUTCOME), (estimator, ESTIMATOR)):
        if given not in known:
            raise NewerFormatError(
                f"its MonteCarlo is made by {given!r}, which this goldore does not know; update goldore"
            )
    return OUTCOME[outcome], ESTIMATOR[estimator]


def layout(subset: int, classes: int, outcomes: Sequence[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of a trial's row in each column."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        "seed": ("<u8", ()),
        "weights_seed": ("<u8", ()),
        "failed": ("u1", ()),
        "train_loss": ("<f4", ()),
        "members": ("<i4", (subset,)),
    }
    return found | {str(name): ("<f4", (classes,)) for name in outcomes} | {"seconds": ("<f4", ())}


def estimate(
    file: h5py.File,
    header: Header,
    *,
    kind: UtilityKind = UTILITY,
    outcome: str | None = None,
    estimator: str | None = None,
    trials: int | None = None,
    prior: "Mapping[str, NDArray[np.float64]] | None" = None,
) -> Estimate | None:
    """Estimate MonteCarlo from the trials that ended well; None if none did.

    Args:
        file: an open score file with utility trials.
        header: of its dataset.
        kind: of the trials.
        outcome: that MonteCarlo is to be about; None takes that of the file.
        estimator: likewise.
        trials: only the first so many; None takes all.
        prior: for the estimator "shrunk": scores by name, float64 [N].

    Raises:
        ScoreFileError: if the file does not hold that outcome.
    """
    known = kind.read(file, header.info)
    known = dataclasses.replace(
        known,
        done=known.done[:trials],
        outcome=OUTCOME[outcome or known.outcome],
        estimator=ESTIMATOR[estimator or known.estimator],
    )
    if known.outcome not in known.outcomes:
        raise ScoreFileError(
            f"the trials of this file hold no {known.outcome}, which came with a later goldore; choose among "
            f"the outcomes {', '.join(known.outcomes)}."
        )
    if len(known.done) == 0:
        return None
    stored = _Stored(kind, file, header, known)
    return estimate_utility(stored.trials(), header.info.num_samples, known.estimator, prior)


def halved(file: h5py.File, header: Header, kind: UtilityKind, outcome: str) -> Halved | None:
    """The utility by an outcome of the trials of a kind that ended well, and by halves of them.

    Returns:
        None if none ended well, or they do not have the outcome.
    """
    known = dataclasses.replace(kind.read(file, header.info), outcome=OUTCOME[outcome])
    if outcome not in known.outcomes or len(known.done) == 0:
        return None
    return halved_utility(_Stored(kind, file, header, known).trials(), header.info.num_samples)


def monte_carlo(
    file: h5py.File,
    header: Header,
    others: Others,
    *,
    outcome: str | None = None,
    estimator: str | None = None,
) -> Score | None:
    """MonteCarlo as a score, with its agreement with trained trials if its own train nothing.

    Args:
        file: an open score file with utility trials.
        header: of its dataset.
        others: all trials of the file.
        outcome: that MonteCarlo is to be about; None takes that of the file.
        estimator: likewise.

    Returns:
        None if no trial ended well.
    """
    run = UTILITY.run_in(file[UTILITY.group], NOWHERE)
    chosen = outcome or run.outcome, estimator or run.estimator
    prior = others.prior() if chosen[1] == "shrunk" else None
    found = estimate(file, header, outcome=chosen[0], estimator=chosen[1], prior=prior)
    if found is None:
        return None
    agreement = None
    if run.recipe.kernel is not None and chosen[1] in ("in-minus-out", "in-mean"):
        agreement = others.agreement(run, chosen[0], Noisy(found.values, found.stderr**2))
    return Score.of(MONTE_CARLO, found, *chosen, agreement)


def check_choice(outcome: str | None, estimator: str | None) -> None:
    """Refuse an outcome or an estimator that does not exist; None is no choice.

    Raises:
        UsageError: naming those that do.
    """
    for name, given, known in (("outcome", outcome, OUTCOMES), ("estimator", estimator, ESTIMATORS)):
        if given is not None and given not in known:
            raise UsageError(f"`{name}` is {given!r}; choose among {', '.join(known)}.")


class _Stored:
    """The trials of an open file, for the estimators."""

    def __init__(self, kind: UtilityKind, file: h5py.File, header: Header, known: UtilityTrials) -> None:
        self._kind, self._group = kind, file[kind.group]
        self._known = known
        self._samples = header.info.num_samples
        self._strata = strata_of(known.recipe, header.labels, header.info.num_classes, known.base_seed)
        if not np.array_equal(self._strata.sizes, known.subset_sizes):
            raise ValueError("the sizes of the subsets do not fit the recipe")
        self._key = kind.key_in(file, header)
        self._checked = 0  # trials below that number fit their digests

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
            rows_of = slice(start, start + rows)
            if start >= self._checked:
                names = self._kind.names_in(self._group)
                columns = {name: self._group[name][rows_of][numbers - start] for name in names}
                expected = self._group["digest"][rows_of][numbers - start]
                wrong = self._kind.digests_of(self._key, numbers, columns) != expected
                if wrong.any():
                    raise ValueError(f"utility trial {numbers[wrong][0]} does not fit its checksum")
                members, outcome = columns["members"], columns[self._known.outcome]
                self._checked = start + rows
            else:
                members = self._group["members"][rows_of][numbers - start]
                outcome = self._group[self._known.outcome][rows_of][numbers - start]
            if members.min() < 0 or members.max() >= self._samples:
                raise ValueError("a member of a trial is out of range")
            yield TrialBlock(numbers, members, outcome)
