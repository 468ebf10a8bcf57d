"""The stage of KernelUtility: groups of untrained networks look at all samples."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from goldore.runs.evaluation import check_evaluable, evaluation_fingerprint, evaluation_sets
from goldore.runs.forecast import training_forecast
from goldore.runs.groups import Groups
from goldore.runs.job import Job, complete_recipe, memory_errors
from goldore.runs.todo import Todo
from goldore.runs.watching import KernelPlan
from goldore.store import KernelResult, KernelRun, KernelTrials, ScoreFile, run_differences
from goldore.training.devices import default_precision
from goldore.training.exact import ExactUtility, group_size
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.tuning import is_compiled
from goldore.trials import KernelUtilityRecipe, Precision
from goldore.trials.draws import make_strata
from goldore.trials.seeds import Trial, make_kernel_trials

_OUT_OF_MEMORY = "out of memory; lower `networks` or `width`, in another `out`. Finished trials are kept."


class KernelStage:
    """The trials of KernelUtility of a call of `score`.

    Args:
        job: what they are part of.
        recipe: perhaps with open settings.
        numbers: of the trials that the file shall hold.
    """

    def __init__(self, job: Job, recipe: KernelUtilityRecipe, numbers: range) -> None:
        self._job, self._recipe, self._numbers = job, recipe, numbers

    def plan(self, stored: ScoreFile | None) -> KernelRun:
        """Fill in what the recipe leaves open; see `Stage.plan`.

        Raises:
            UsageError: if there are no images to evaluate on.
        """
        job = self._job
        check_evaluable(job.dataset, self._recipe)
        own = default_precision(job.device)
        there = stored.kernel_trials if stored is not None else None
        same = self._run((there.recipe.precision or own) if there is not None else own, there)
        if stored is not None and job.overwrite and run_differences(stored, job.header, same):
            return self._run(own)
        return same

    def settle(self, run: KernelRun) -> tuple[KernelRun, list[str]]:
        """Nothing is left open; see `Stage.settle`."""
        return run, []

    def _run(self, precision: Precision, there: KernelTrials | None = None) -> KernelRun:
        job, dataset = self._job, self._job.dataset
        recipe = complete_recipe(self._recipe, dataset, precision)
        architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
        theirs = there.recipe if there is not None else None
        networks = (
            recipe.networks or (theirs.networks if theirs else None) or group_size(recipe, architecture)
        )
        k = recipe.subset_per_class or (theirs.subset_per_class if theirs else None) or 1
        recipe = dataclasses.replace(recipe, networks=networks, subset_per_class=k)
        return KernelRun(recipe, job.seed, evaluation_fingerprint(dataset, recipe), **job.made_on)

    def train(self, run: KernelRun, existing: ScoreFile | None, notes: Sequence[str]) -> None:
        """Do the trials that are missing; see `Stage.train`."""
        job, recipe = self._job, run.recipe
        dataset, watcher = job.dataset, job.watcher
        todo = Todo(job, run, existing, self._numbers)
        architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
        strata = make_strata(
            dataset.labels, dataset.num_classes, recipe.subset_per_class or 1, recipe.folds, run.base_seed
        )
        with memory_errors(_OUT_OF_MEMORY):
            data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), job.device)
            evaluations = evaluation_sets(dataset, data, recipe, strata)
            images = len(todo.missing) * (recipe.networks or 1) * dataset.num_samples
            compiled = is_compiled(architecture, images, job.device, job.settings.compile_mode)
            exact = ExactUtility(
                data, architecture, recipe, strata, evaluations, Execution(compiled=compiled)
            )
        plan = KernelPlan(
            **todo.plan(1, architecture.num_parameters(), notes, compiled=compiled),
            evaluation_images=sum(len(each.labels) for each in evaluations),
        )
        watcher.planned(plan)
        if job.dry:
            with memory_errors(_OUT_OF_MEMORY):
                how = 1, Execution(compiled=compiled)
                watcher.forecast(plan, training_forecast(data, architecture, recipe, *how, 0, images))
            return
        start, missing_at_first = time.monotonic(), len(todo.missing)

        def of_group(numbers: list[int]) -> list[KernelResult]:
            trials = make_kernel_trials(run.base_seed, numbers)
            watcher.started(trials)
            return [_result(exact, trial, job) for trial in trials]

        while len(todo.missing):  # once, unless somebody removed the file
            groups = Groups(job.parts.team.claims(todo.missing), 1)
            todo.take_in(groups.trained(of_group, watcher), lambda _: False)
            todo.look_again()
        watcher.ended("complete", None, time.monotonic() - start, missing_at_first)


def _result(exact: ExactUtility, trial: Trial, job: Job) -> KernelResult:
    start = time.perf_counter()
    what = f"group {trial.number + 1} of untrained networks"
    found = exact(trial, lambda share: job.watcher.preparing(what, share))
    return KernelResult(
        trial=trial,
        failed=not np.isfinite(found.values).all(),
        values=found.values,
        halves=found.halves,
        variances=found.variances,
        seconds=time.perf_counter() - start,
    )
