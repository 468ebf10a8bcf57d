"""The stage that trains utility trials, by the hundred or by the hundred thousand."""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.runs.budget import DEFAULT_SWEEPS, Budget, Checks
from goldore.runs.evaluation import check_evaluable, evaluation_fingerprint, evaluation_sets
from goldore.runs.forecast import memory_taken
from goldore.runs.groups import Groups
from goldore.runs.job import Job, complete_recipe, memory_errors
from goldore.runs.output import Pace, errors_of_writing
from goldore.runs.parts import Parts
from goldore.runs.pilot import choose_subset_size, images_at_once
from goldore.runs.team import Claims
from goldore.runs.todo import Todo
from goldore.runs.watching import End, Forecast, UtilityPlan, Watcher
from goldore.scores import MONTE_CARLO
from goldore.scores.estimators.utility import ESTIMATORS
from goldore.store import (
    CheckRun,
    Score,
    ScoreFile,
    UtilityResult,
    UtilityRun,
    UtilityTrials,
    estimate_anew,
    load_scores,
    run_differences,
)
from goldore.store.together import NO_PRIOR, asks_the_same
from goldore.store.utility_trials import ESTIMATOR, OUTCOME
from goldore.training.devices import default_precision
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.kernel import KernelTrainer, networks_of, trials_at_once
from goldore.training.subsets import Outcomes, SubsetTrainer
from goldore.training.tuning import Engine, Work, choose_engine, is_compiled
from goldore.trials import OUTCOMES, CheckRecipe, KernelRecipe, Precision, UtilityRecipe
from goldore.trials.draws import Strata, Sweeps, make_strata, strata_of
from goldore.trials.seeds import Trial, make_utility_trials
from goldore.wording import count, plural

if TYPE_CHECKING:
    from goldore.runs.kernel_stage import KernelStage

_CPU_NETWORKS, _CUDA_NETWORKS = 8, 64  # at once; the second at the most
_CHECK_DRAWS = 4  # how often check trials draw each of their samples
_LEAST_POOL = 6  # samples of a class that they draw from, at the least and times k
_EXPECTED_SWEEPS = 8  # of a run until a reliability is reached, for choosing how to run


class UtilityStage:
    """The utility trials of a call of `score`.

    Args:
        job: what they are part of.
        recipe: perhaps with open settings.
        budget: how many trials there shall be.
        outcome: that MonteCarlo is about; None: that of the file, or accuracy.
        estimator: of MonteCarlo; None: that of the file, or in-minus-out.
        has_prior: whether the call makes other scores, towards which "shrunk" draws.

    Attributes:
        looks: whether MonteCarlo is estimated from them meanwhile.
    """

    looks = True

    def __init__(
        self,
        job: Job,
        recipe: UtilityRecipe,
        budget: Budget,
        outcome: str | None,
        estimator: str | None,
        *,
        has_prior: bool = False,
    ) -> None:
        self._job, self._recipe, self._budget = job, recipe, budget
        self._outcome, self._estimator, self._has_prior = outcome, estimator, has_prior

    def plan(self, stored: ScoreFile | None) -> UtilityRun:
        """Fill in what is left open, as far as the file says it; see `Stage.plan`.

        Raises:
            UsageError: if there are no images to evaluate on, or nothing to shrink towards.
        """
        job, dataset = self._job, self._job.dataset
        beside = stored is not None and (stored.loss_trials or stored.kernel_trials)
        if self._estimator == "shrunk" and not (beside or self._has_prior):
            raise UsageError(NO_PRIOR)
        own = self.complete(default_precision(job.device))
        check_evaluable(dataset, own)
        fingerprint = evaluation_fingerprint(dataset, own)
        run = UtilityRun(own, job.seed, OUTCOMES[0], ESTIMATORS[0], fingerprint, **job.made_on)
        there = stored.utility_trials if stored is not None else None
        if stored is not None and there is not None:
            same = self.complete(there.recipe.precision or "float32")
            size = same.subset_per_class or there.recipe.subset_per_class
            going_on = dataclasses.replace(run, recipe=dataclasses.replace(same, subset_per_class=size))
            if job.overwrite and run_differences(stored, job.header, going_on):
                there = None
            else:
                run = going_on
        if run.recipe.kernel is not None and run.recipe.subset_per_class is None:
            run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, subset_per_class=1))
        return dataclasses.replace(
            run,
            outcome=OUTCOME[self._outcome or (there.outcome if there else OUTCOMES[0])],
            estimator=ESTIMATOR[self._estimator or (there.estimator if there else ESTIMATORS[0])],
        )

    def complete(self, precision: Precision) -> UtilityRecipe:
        """The recipe with only the size of the subsets left open."""
        dataset = self._job.dataset
        recipe = complete_recipe(self._recipe, dataset, precision)
        if recipe.kernel is None:
            return recipe
        architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
        networks = networks_of(recipe.kernel, architecture)
        unused = ("batch_size", "lr", "momentum", "weight_decay", "steps")
        usual = UtilityRecipe()  # what is of no use is no difference between recipes
        return dataclasses.replace(
            recipe,
            kernel=dataclasses.replace(recipe.kernel, networks=networks),
            **{
                name: getattr(usual, name) for name in unused[: 1 if recipe.kernel.fit == "descent" else None]
            },
        )

    def settle(self, run: UtilityRun) -> tuple[UtilityRun, list[str]]:
        """Let a pilot choose the size of the subsets, if nobody did; see `Stage.settle`."""
        if run.recipe.subset_per_class is not None:
            return run, []
        job = self._job
        with memory_errors():
            size, note = choose_subset_size(
                job.dataset, run.recipe, job.device, job.settings.ensemble_size, job.watcher
            )
        return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, subset_per_class=size)), [note]

    def train(self, run: UtilityRun, existing: ScoreFile | None, notes: Sequence[str]) -> None:
        """Train the utility trials that are missing; see `Stage.train`."""
        job, budget, recipe = self._job, self._budget, run.recipe
        dataset, parts, watcher, path = job.dataset, job.parts, job.watcher, job.parts.path
        strata = strata_of(recipe, dataset.labels, dataset.num_classes, run.base_seed)
        todo = Todo(job, run, existing, budget.numbers(strata))
        expected = len(todo.missing)
        if budget.until_reliability is not None:
            expected = min(expected, _EXPECTED_SWEEPS * strata.trials_for_sweeps(1))
        seconds = budget.max_seconds or math.inf
        training = _Training(job, run, strata, -(-expected // parts.team.size), seconds)
        engine = training.engine
        plan = UtilityPlan(
            **todo.plan(
                engine.size,
                training.architecture.num_parameters(),
                [*notes, engine.note],
                compiled=engine.execution.compiled,
            ),
            per_sweep=strata.trials_for_sweeps(1),
            subset_sizes=strata.sizes,
            evaluation_images=training.evaluation_images,
            until_reliability=budget.until_reliability,
            max_seconds=budget.max_seconds,
        )
        watcher.planned(plan)
        if job.dry:
            watcher.forecast(plan, training.forecast(todo.missing, expected))
            return
        self._change_estimate(run, existing)
        if len(todo.missing):
            training.make_ready()
        checks, looking = Checks(strata, budget), Pace()
        start, missing_at_first = time.monotonic(), len(todo.missing)
        stop_at = start + seconds

        def enough(written: bool) -> bool:
            if written and self.looks and parts.team.size == 1 and looking.is_due():
                with looking.timed():
                    _look(path, watcher)
            return time.monotonic() > stop_at

        end: End | None = "reliable" if missing_at_first and _agreed(parts, checks) else None
        while len(todo.missing) and end is None:
            batch = todo.missing[: checks.until_next(len(todo.there))]
            groups = training.groups(parts.team.claims(batch), watcher)
            if todo.look_again(stopped=todo.take_in(groups, enough)):
                end = "time"
            if _agreed(parts, checks, watcher):
                end = "reliable"
        parts.estimate()
        score = _estimated(path) if self.looks and parts.team.rank == 0 else None
        trained = missing_at_first - len(todo.missing)
        watcher.ended(end or "complete", score, time.monotonic() - start, trained)

    def _change_estimate(self, run: UtilityRun, existing: ScoreFile | None) -> None:
        """Estimate MonteCarlo anew where it is to be about another outcome, or estimated in another way."""
        known, parts = existing.utility_trials if existing is not None else None, self._job.parts
        if not self.looks or known is None or parts.team.rank > 0:
            return
        if (known.outcome, known.estimator) != (run.outcome, run.estimator):
            with errors_of_writing(parts.path):
                estimate_anew(parts.path, run.outcome, run.estimator, parts.path)  # the lock is ours


class CheckStage(UtilityStage):
    """The trained trials of a call of `score` that utilities which train nothing are compared with.

    Args:
        job: what they are part of.
        recipe: how to train, perhaps with open settings.
        count: of the trials that the file shall hold.
        compared: the stages of the utilities that train nothing.
    """

    looks = False

    def __init__(
        self,
        job: Job,
        recipe: UtilityRecipe,
        count: int,
        compared: Sequence["UtilityStage | KernelStage"],
    ) -> None:
        super().__init__(job, dataclasses.replace(recipe, kernel=None), Budget(trials=count), None, None)
        self._count, self._compared = count, compared

    def plan(self, stored: ScoreFile | None) -> CheckRun:
        """Take over the question of what is compared; see `Stage.plan`.

        Raises:
            UsageError: if the questions of two differ.
        """
        job = self._job
        asked = [stage.plan(stored).recipe for stage in self._compared]
        questions = {each.question for each in asked}
        if len(questions) > 1:
            raise UsageError(
                "`check_trials` draw and are evaluated as what they are compared with, and here are two that "
                "differ in that; give both the same `subset_per_class` and `eval_per_class`, or score one "
                "at a time."
            )
        ((k, eval_split, eval_per_class),) = questions
        there = stored.check_trials if stored is not None else None

        def planned(there: UtilityTrials | None) -> CheckRun:
            precision = there.recipe.precision if there is not None else None
            recipe = self.complete(precision or default_precision(job.device))
            pool = getattr(there.recipe, "pool_per_class", None) if there is not None else None
            settings = vars(recipe) | {
                "common_init": 1,
                "subset_per_class": k,
                "eval_split": eval_split,
                "eval_per_class": eval_per_class,
            }
            own = CheckRecipe(**settings)
            drawn = self._count * (k or 1) / own.folds
            pool = pool or max(math.ceil(drawn / _CHECK_DRAWS), _LEAST_POOL * (k or 1))
            own = dataclasses.replace(own, pool_per_class=pool)
            evaluation = evaluation_fingerprint(job.dataset, own)
            return CheckRun(own, job.seed, OUTCOMES[0], ESTIMATORS[0], evaluation, **job.made_on)

        run = planned(there)
        if stored is not None and job.overwrite and run_differences(stored, job.header, run):
            return planned(None)
        return run

    def train(self, run: UtilityRun, existing: ScoreFile | None, notes: Sequence[str]) -> None:
        """Train those that are missing, unless the file has other trained trials that serve as well."""
        if not self._has_others(run, existing):
            super().train(run, existing, notes)

    def _has_others(self, run: UtilityRun, existing: ScoreFile | None) -> bool:
        known = existing.utility_trials if existing is not None else None
        if existing is None or known is None or not known.recipe.trains_networks:
            return False
        theirs = UtilityRun(
            known.recipe,
            known.base_seed,
            known.outcome,
            known.estimator,
            known.evaluation,
            **self._job.made_on,
        )
        strata = strata_of(known.recipe, existing.labels, existing.dataset.num_classes, known.base_seed)
        enough = max(self._count, strata.trials_for_sweeps(DEFAULT_SWEEPS))
        return asks_the_same(theirs, run) and len(known.done) >= enough


def _agreed(parts: Parts, checks: Checks, watcher: Watcher | None = None) -> bool:
    """Whether a reliability that was asked for is reached, as rank 0 finds; all ranks ask together."""
    if not checks.wanted:
        return False
    parts.estimate()  # written, so that nobody estimates the same trials again
    score = _look(parts.path, watcher) if parts.team.rank == 0 else None
    return bool(parts.team.gather(checks.enough(score))[0])


def _look(path: Path, watcher: Watcher | None) -> Score | None:
    """MonteCarlo of the file as it stands, which is told of."""
    score = _estimated(path)
    if score is not None and watcher is not None:
        watcher.estimated(score)
    return score


class _Training:
    """Trains groups of utility trials on the device.

    Args:
        job: what they are part of.
        run: what the trials share.
        strata: that they draw from.
        count: trials to be trained, as far as can be told.
        seconds: after which they are stopped.

    Attributes:
        architecture: of the networks.
        engine: how they are computed.
        evaluation_images: that each network is evaluated on.
    """

    def __init__(self, job: Job, run: UtilityRun, strata: Strata, count: int, seconds: float) -> None:
        dataset = job.dataset
        self._run, self._strata = run, strata
        self.architecture = run.recipe.network.architecture(dataset.image_shape, dataset.num_classes)
        images = images_at_once(run.recipe, strata)
        distill = run.recipe.distill
        self._watcher = job.watcher
        self._kernel: KernelTrainer | None = None  # its features are for all groups
        made = distill.images_per_class * dataset.num_classes if distill is not None else 0
        whole = make_strata(dataset.labels, dataset.num_classes, 1, run.recipe.folds, run.base_seed)
        with memory_errors():
            self._data = DeviceDataset(dataset, run.recipe.mean or (), run.recipe.std or (), job.device)
            self._evaluations = evaluation_sets(dataset, self._data, run.recipe, whole)
            self.evaluation_images = len(self._evaluations[0].labels)
            if run.recipe.kernel is not None:
                self.engine = self._for_kernel(job, run.recipe.kernel, count)
                return
            work = Work(
                batch=images if distill is None else made,
                held=images,
                trials=count,
                trained=(images if distill is None else made) * run.recipe.steps,
                scored=self.evaluation_images,
                cpu_networks=_CPU_NETWORKS,
                cuda_networks=_CUDA_NETWORKS,
                compiles=distill is None,
                seconds=seconds,
            )
            self.engine = choose_engine(
                self._data, self.architecture, run.recipe, work, **dataclasses.asdict(job.settings)
            )

    def _for_kernel(self, job: Job, kernel: KernelRecipe, count: int) -> Engine:
        """How trials of kernels run: many at once, the untrained networks compiled where that pays."""
        size = job.settings.ensemble_size or trials_at_once(
            kernel, self.architecture, self._strata, job.device
        )
        images = len(job.dataset.labels) * (kernel.networks or 1)
        compiled = is_compiled(self.architecture, images, job.device, job.settings.compile_mode)
        return Engine(min(size, max(count, 1)), Execution(compiled=compiled))

    def _trainer(self) -> "SubsetTrainer | KernelTrainer":
        run, data, execution = self._run, self._data, self.engine.execution
        if run.recipe.kernel is None:
            return SubsetTrainer(data, self.architecture, run.recipe, execution)
        if self._kernel is not None:
            return self._kernel
        what = f"{plural(run.recipe.kernel.networks or 1, 'untrained network')} look at all images"
        with memory_errors():
            self._kernel = KernelTrainer(
                data,
                self.architecture,
                run.recipe,
                self._strata,
                run.base_seed,
                self._evaluations[0],
                execution,
                lambda share: self._watcher.preparing(what, share),
            )
        return self._kernel

    def make_ready(self) -> None:
        """Make what all trials need before the first of them."""
        if self._run.recipe.kernel is not None:
            self._trainer()

    def forecast(self, missing: NDArray[np.int64], expected: int) -> Forecast:
        """What trials will take: two groups of them are trained, and forgotten.

        Args:
            missing: numbers of all that may be trained.
            expected: how many are, as far as can be told.
        """
        start, before = time.perf_counter(), 0.0
        if len(missing):
            plain = dataclasses.replace(self.engine.execution, compiled=False)
            self.engine = dataclasses.replace(self.engine, execution=plain)
            self.make_ready()
            before = time.perf_counter() - start
            most = self.engine.size * self._strata.folds
            waiting = [missing[:most].tolist(), missing[:most].tolist()]
            groups = self.groups(lambda _: waiting.pop() if waiting else [], Watcher())
            next(groups)  # the first one takes longer
            start = time.perf_counter()
            trained = len(next(groups))
            each = (time.perf_counter() - start) / trained
            rate = f"{count(round(3600 / each))} trials/hour, uncompiled"
        else:
            each, rate = 0.0, "nothing to train"
        return Forecast(before + each * expected, memory_taken(self._data.device), rate)

    def groups(self, take: Claims, watcher: Watcher) -> Iterator[list[UtilityResult]]:
        """Train the trials that are given, as many at once as memory holds."""
        sweeps, run = Sweeps(self._strata, self._run.draw_seed), self._run
        trainer: SubsetTrainer | KernelTrainer | None = None

        def of_group(numbers: list[int]) -> list[UtilityResult]:
            nonlocal trainer
            kept, trainer = trainer, None  # one that fails holds memory
            kept = kept or self._trainer()
            trials = make_utility_trials(run.draw_seed, numbers, run.recipe.common_init)
            watcher.started(trials)
            members = np.stack([sweeps.subset(trial.number) for trial in trials]).astype(np.int32)
            evaluation = self._evaluations[numbers[0] % self._strata.folds]
            start = time.perf_counter()
            outcomes = kept.on_subsets(trials, members, self._strata.sizes, evaluation)
            trainer = kept
            return _results(trials, members, outcomes, (time.perf_counter() - start) / len(numbers))

        return Groups(take, self.engine.size, self._strata.folds).trained(of_group, watcher)


def _estimated(path: Path) -> Score | None:
    """MonteCarlo as it stands in the file."""
    return load_scores(path, only=(MONTE_CARLO.name,)).scores.get(MONTE_CARLO.name) if path.exists() else None


def _results(
    trials: Sequence[Trial], members: NDArray[np.int32], outcomes: Outcomes, seconds: float
) -> list[UtilityResult]:
    return [
        UtilityResult(
            trial=trial,
            failed=bool(outcomes.failed[row]),
            members=members[row],
            outcomes={name: values[row] for name, values in outcomes.by_class.items()},
            train_loss=float(outcomes.train_loss[row]),
            seconds=seconds,
        )
        for row, trial in enumerate(trials)
    ]
