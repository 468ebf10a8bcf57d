"""The stage that trains utility trials, by the hundred or by the hundred thousand."""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from goldore.budget import Budget, Checks
from goldore.datasets import ImageDataset
from goldore.definitions import MONTE_CARLO
from goldore.devices import default_precision
from goldore.draws import Strata, Sweeps, make_strata
from goldore.ensemble.convnet import Architecture
from goldore.ensemble.images import DeviceDataset
from goldore.ensemble.subsets import Outcomes, SubsetTrainer
from goldore.ensemble.tuning import Work, choose_engine
from goldore.errors import OutOfMemoryError
from goldore.estimators.utility import ESTIMATORS
from goldore.recipe import OUTCOMES, UtilityRecipe
from goldore.scoring.common import Settings, complete_recipe, memory_errors, stored_file
from goldore.scoring.evaluation import check_evaluable, evaluation_fingerprint, evaluation_sets
from goldore.scoring.groups import Groups
from goldore.scoring.output import Output
from goldore.scoring.pilot import choose_subset_size, images_at_once
from goldore.store import (
    Header,
    Score,
    ScoreFile,
    UtilityResult,
    UtilityRun,
    load_scores,
    run_differences,
)
from goldore.store.utility import ESTIMATOR, OUTCOME
from goldore.trials import Trial, make_utility_trials
from goldore.watching import End, UtilityPlan, Watcher

_CPU_NETWORKS, _CUDA_NETWORKS = 8, 64  # at once; the second at the most
_EXPECTED_SWEEPS = 8  # of a run until a reliability is reached, for choosing how to run
_COMPLETE: End = "complete"
_REACHED: End = "reliable"
_LATE: End = "time"


def plan_utility_run(
    dataset: ImageDataset,
    header: Header,
    recipe: UtilityRecipe,
    *,
    seed: int,
    outcome: str | None,
    estimator: str | None,
    made_on: Mapping[str, str],
    path: Path,
    overwrite: bool,
    device: torch.device,
    settings: Settings,
    watcher: Watcher,
) -> tuple[UtilityRun, tuple[str, ...]]:
    """Fill in what is left open, from the file that is gone on with or by a pilot.

    Args:
        dataset: to draw from.
        header: of it.
        recipe: perhaps with open settings.
        seed: base seed.
        outcome: None: that of the file, or accuracy.
        estimator: None: that of the file, or in-minus-out.
        made_on: device and torch_version of the run.
        path: of the score file.
        overwrite: whether a file of another run is going to be replaced.
        device: to train on.
        settings: of how to run.
        watcher: told of the pilot.

    Returns:
        What the trials share, and what the pilot found.

    Raises:
        UsageError: if there are no images to evaluate on.
    """
    own = complete_recipe(recipe, dataset, default_precision(device))
    check_evaluable(dataset, own)
    fingerprint = evaluation_fingerprint(dataset, own)
    run = UtilityRun(own, seed, OUTCOMES[0], ESTIMATORS[0], fingerprint, **made_on)
    stored = stored_file(path)
    there = stored.utility_trials if stored is not None else None
    if stored is not None and there is not None:
        same = complete_recipe(recipe, dataset, there.recipe.precision or "float32")
        size = same.subset_per_class or there.recipe.subset_per_class
        going_on = dataclasses.replace(run, recipe=dataclasses.replace(same, subset_per_class=size))
        if overwrite and run_differences(stored, header, going_on):
            there = None
        else:
            run = going_on
    notes: tuple[str, ...] = ()
    if run.recipe.subset_per_class is None:
        with memory_errors():
            size, note = choose_subset_size(dataset, run.recipe, device, settings.ensemble_size, watcher)
        notes = (note,)
        run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, subset_per_class=size))
    run = dataclasses.replace(
        run,
        outcome=OUTCOME[outcome] if outcome else there.outcome if there else OUTCOMES[0],
        estimator=ESTIMATOR[estimator] if estimator else there.estimator if there else ESTIMATORS[0],
    )
    return run, notes


def run_utility_trials(
    dataset: ImageDataset,
    header: Header,
    run: UtilityRun,
    budget: Budget,
    existing: ScoreFile | None,
    *,
    path: Path,
    device: torch.device,
    settings: Settings,
    watcher: Watcher,
    notes: Sequence[str] = (),
) -> None:
    """Train the utility trials that are missing, and keep them in the score file as they are done.

    Args:
        dataset: to draw from.
        header: of it.
        run: what the trials share.
        budget: how many there shall be.
        existing: the file to go on with.
        path: of the file.
        device: to train on.
        settings: of how to run.
        watcher: told how the run goes.
        notes: what was found out while the run was planned.
    """
    recipe = run.recipe
    known = existing.utility_trials if existing is not None else None
    there = np.union1d(known.done, known.failed) if known else np.empty(0, dtype=np.int64)
    strata = make_strata(
        dataset.labels, dataset.num_classes, recipe.subset_per_class or 1, recipe.folds, run.base_seed
    )
    numbers = budget.numbers(strata)
    missing = np.setdiff1d(np.arange(numbers.start, numbers.stop), there, assume_unique=True)
    output = Output(path, header, run, fresh=existing is None)
    expected = len(missing)
    if budget.until_reliability is not None:
        expected = min(expected, _EXPECTED_SWEEPS * strata.trials_for_sweeps(1))
    training = _Training(dataset, run, strata, device, expected, budget.max_seconds or math.inf, settings)
    engine = training.engine
    watcher.utility_planned(
        UtilityPlan(
            dataset=dataset,
            run=run,
            out=path,
            trials=len(numbers),
            there=len(numbers) - len(missing),
            usable=len(known.done) if known else 0,
            per_sweep=strata.trials_for_sweeps(1),
            subset_sizes=strata.sizes,
            evaluation_images=training.evaluation_images,
            until_reliability=budget.until_reliability,
            max_seconds=budget.max_seconds,
            ensemble_size=engine.size,
            parameters=training.architecture.num_parameters(),
            notes=(*notes, *([engine.note] if engine.note else [])),
        )
    )
    if known is not None and (known.outcome, known.estimator) != (run.outcome, run.estimator):
        output.estimate()
    checks = Checks(strata, budget, len(there))
    start = time.monotonic()
    if len(missing) and checks.enough(_estimated(path)):
        end, trained = _REACHED, 0
    else:
        stop_at = start + (budget.max_seconds or math.inf)
        try:
            end, trained = _train(training.groups(missing, watcher), output, checks, stop_at, watcher)
        finally:
            output.add(())
    if trained < len(missing) and end == _COMPLETE:
        end = _LATE
    watcher.utility_ended(end, _estimated(path), time.monotonic() - start, trained)
    output.close()


def _train(
    groups: Iterable[list[UtilityResult]],
    output: Output,
    checks: Checks,
    stop_at: float,
    watcher: Watcher,
) -> tuple[End, int]:
    """Take in group after group until there are no more, the reliability is reached, or time is up."""
    trained = 0
    for results in groups:
        trained += len(results)
        watcher.utility_finished(results)
        due = checks.due(len(results))
        if due:
            output.add(results)
        if due or output.add_soon(results):
            estimated = _estimated(output.path)
            if estimated is not None:
                watcher.estimated(estimated)
            if due and checks.enough(estimated):
                return _REACHED, trained
        if time.monotonic() > stop_at:
            break
    return _COMPLETE, trained


class _Training:
    """Trains groups of utility trials on the device.

    Args:
        dataset: to draw from.
        run: what the trials share.
        strata: that they draw from.
        device: to train on.
        count: trials to be trained, as far as can be told.
        seconds: after which they are stopped.
        settings: of how to run.

    Attributes:
        architecture: of the networks.
        engine: how they are computed.
        evaluation_images: that each network is evaluated on.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        run: UtilityRun,
        strata: Strata,
        device: torch.device,
        count: int,
        seconds: float,
        settings: Settings,
    ) -> None:
        self._run, self._strata = run, strata
        self.architecture = Architecture(run.recipe.network, dataset.image_shape, dataset.num_classes)
        images = images_at_once(run.recipe, strata)
        distill = run.recipe.distill
        made = distill.images_per_class * dataset.num_classes if distill is not None else 0
        with memory_errors():
            self._data = DeviceDataset(dataset, run.recipe.mean or (), run.recipe.std or (), device)
            self._evaluations = evaluation_sets(dataset, self._data, run.recipe, strata)
            self.evaluation_images = len(self._evaluations[0].labels)
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
                self._data, self.architecture, run.recipe, work, **dataclasses.asdict(settings)
            )

    def groups(self, numbers: NDArray[np.int64], watcher: Watcher) -> Iterator[list[UtilityResult]]:
        """Train the trials with these numbers, as many at once as memory holds."""
        sweeps = Sweeps(self._strata, self._run.base_seed)
        trainer = self._trainer()
        groups = Groups(numbers, self.engine.size, self._strata.folds)
        for group in groups:
            trials = make_utility_trials(self._run.base_seed, group, self._run.recipe.common_init)
            members = np.stack([sweeps.subset(trial.number) for trial in trials]).astype(np.int32)
            evaluation = self._evaluations[group[0] % self._strata.folds]
            outcomes = None
            try:
                with memory_errors():
                    outcomes = trainer.on_subsets(trials, members, self._strata.sizes, evaluation)
            except OutOfMemoryError:
                if len(group) == 1:
                    raise
            if outcomes is None:
                trainer = self._trainer()  # the last one holds memory
                groups.put_back(group)
                watcher.ensemble_lowered(groups.size)
                continue
            yield _results(trials, members, outcomes)

    def _trainer(self) -> SubsetTrainer:
        return SubsetTrainer(self._data, self.architecture, self._run.recipe, self.engine.execution)


def _estimated(path: Path) -> Score | None:
    """MonteCarlo as it stands in the file."""
    return load_scores(path, only=(MONTE_CARLO.name,)).scores.get(MONTE_CARLO.name) if path.exists() else None


def _results(trials: Sequence[Trial], members: NDArray[np.int32], outcomes: Outcomes) -> list[UtilityResult]:
    return [
        UtilityResult(
            trial=trial,
            failed=bool(outcomes.failed[row]),
            members=members[row],
            outcomes={name: values[row] for name, values in outcomes.by_class.items()},
            train_loss=float(outcomes.train_loss[row]),
        )
        for row, trial in enumerate(trials)
    ]
