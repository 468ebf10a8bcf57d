"""The stage that trains utility trials, by the hundred or by the hundred thousand."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from goldore.budget import Budget, Checks
from goldore.datasets import ImageDataset
from goldore.definitions import MONTE_CARLO
from goldore.devices import choose_utility_ensemble_size
from goldore.draws import Sweeps, make_strata
from goldore.ensemble.convnet import Architecture
from goldore.ensemble.subsets import Outcomes, train_on_subsets
from goldore.ensemble.training import DeviceDataset
from goldore.errors import ScoreFileError
from goldore.estimators.utility import ESTIMATORS
from goldore.recipe import OUTCOMES, UtilityRecipe
from goldore.scoring.common import complete_recipe, memory_errors
from goldore.scoring.evaluation import check_evaluable, evaluation_fingerprint, evaluation_sets
from goldore.scoring.output import Output
from goldore.scoring.pilot import choose_subset_size, images_at_once
from goldore.store import (
    Header,
    Score,
    ScoreFile,
    UtilityResult,
    UtilityRun,
    UtilityTrials,
    load_scores,
    run_differences,
)
from goldore.store.utility import ESTIMATOR, OUTCOME
from goldore.trials import Trial, make_utility_trials
from goldore.watching import End, UtilityPlan, Watcher


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
    ensemble_size: int | None,
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
        ensemble_size: networks trained at once; None chooses.
        watcher: told of the pilot.

    Returns:
        What the trials share, and what the pilot found.

    Raises:
        UsageError: if there are no images to evaluate on.
    """
    complete = complete_recipe(recipe, dataset)
    check_evaluable(dataset, complete)
    open_run = UtilityRun(
        complete, seed, OUTCOMES[0], ESTIMATORS[0], evaluation_fingerprint(dataset, complete), **made_on
    )
    there = _trials_to_go_on_with(path, header, open_run, overwrite=overwrite)
    notes: tuple[str, ...] = ()
    size = complete.subset_per_class or (there.recipe.subset_per_class if there is not None else None)
    if size is None:
        with memory_errors():
            size, note = choose_subset_size(dataset, complete, device, ensemble_size, watcher)
        notes = (note,)
    run = dataclasses.replace(
        open_run,
        recipe=dataclasses.replace(complete, subset_per_class=size),
        outcome=OUTCOME[outcome] if outcome else there.outcome if there else OUTCOMES[0],
        estimator=ESTIMATOR[estimator] if estimator else there.estimator if there else ESTIMATORS[0],
    )
    return run, notes


def _trials_to_go_on_with(
    path: Path, header: Header, run: UtilityRun, *, overwrite: bool
) -> UtilityTrials | None:
    """The utility trials of the file at `path`; None if there are none, or they are about to be replaced."""
    try:
        file = load_scores(path, only=()) if path.is_file() else None
    except ScoreFileError:  # the caller says what is wrong with it
        return None
    there = file.utility_trials if file is not None else None
    if file is None or there is None:
        return None
    if run.recipe.subset_per_class is None:
        sized = dataclasses.replace(run.recipe, subset_per_class=there.recipe.subset_per_class)
        run = dataclasses.replace(run, recipe=sized)
    return None if overwrite and run_differences(file, header, run) else there


def run_utility_trials(
    dataset: ImageDataset,
    header: Header,
    run: UtilityRun,
    budget: Budget,
    existing: ScoreFile | None,
    *,
    path: Path,
    device: torch.device,
    ensemble_size: int | None,
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
        ensemble_size: networks trained at once; None chooses.
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
    architecture = Architecture(recipe.network, dataset.image_shape, dataset.num_classes)
    with memory_errors():
        data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), device)
        evaluations = evaluation_sets(dataset, data, recipe, strata)
    size = ensemble_size or choose_utility_ensemble_size(
        architecture, images_at_once(recipe, strata), len(numbers), device
    )
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
            evaluation_images=len(evaluations[0].labels),
            until_reliability=budget.until_reliability,
            max_seconds=budget.max_seconds,
            ensemble_size=size,
            parameters=architecture.num_parameters(),
            notes=tuple(notes),
        )
    )
    if known is not None and (known.outcome, known.estimator) != (run.outcome, run.estimator):
        output.estimate()
    checks = Checks(strata, budget, len(there))
    end: End = "complete"
    if len(missing) and checks.enough(_estimated(path)):
        missing, end = missing[:0], "reliable"
    sweeps = Sweeps(strata, run.base_seed)
    trained, start = 0, time.monotonic()
    try:
        for group in _groups(missing, size, strata.folds):
            trials = make_utility_trials(run.base_seed, group, recipe.common_init)
            members = np.stack([sweeps.subset(trial.number) for trial in trials]).astype(np.int32)
            with memory_errors():
                outcomes = train_on_subsets(
                    data,
                    architecture,
                    recipe,
                    trials,
                    members,
                    strata.sizes,
                    evaluations[group[0] % strata.folds],
                )
            results = _results(trials, members, outcomes)
            trained += len(results)
            watcher.utility_finished(results)
            due = checks.due(len(results))
            if due:
                output.add(results)
            if due or output.add_soon(results):
                estimated = _estimated(path)
                if estimated is not None:
                    watcher.estimated(estimated)
                if due and checks.enough(estimated):
                    end = "reliable"
                    break
            if budget.max_seconds is not None and time.monotonic() - start > budget.max_seconds:
                end = "time" if trained < len(missing) else "complete"
                break
    finally:
        output.add(())
    watcher.utility_ended(end, _estimated(path), time.monotonic() - start, trained)
    output.close()


def _estimated(path: Path) -> Score | None:
    """MonteCarlo as it stands in the file."""
    return load_scores(path, only=(MONTE_CARLO.name,)).scores.get(MONTE_CARLO.name) if path.exists() else None


def _groups(numbers: NDArray[np.int64], size: int, folds: int) -> Iterator[list[int]]:
    """Trials to train together: in order, and of one fold, which is evaluated on the same images."""
    for start in range(0, len(numbers), size * folds):
        together = numbers[start : start + size * folds].tolist()
        for fold in range(folds):
            group = [number for number in together if number % folds == fold]
            for first in range(0, len(group), size):
                yield group[first : first + size]


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
