"""The stage that trains utility trials, by the hundred or by the hundred thousand."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from goldore.budget import Budget, Checks
from goldore.classes import class_members
from goldore.datasets import ImageDataset
from goldore.definitions import MONTE_CARLO
from goldore.devices import choose_utility_ensemble_size
from goldore.draws import Strata, Sweeps, make_strata
from goldore.ensemble.convnet import Architecture
from goldore.ensemble.subsets import EvaluationSet, Outcomes, train_on_subsets
from goldore.ensemble.training import DeviceDataset, to_device
from goldore.errors import ScoreFileError, UsageError
from goldore.recipe import UtilityRecipe
from goldore.scoring.common import memory_errors
from goldore.scoring.output import Output
from goldore.store import Header, Score, ScoreFile, UtilityResult, UtilityRun, load_scores
from goldore.trials import Trial, make_utility_trials
from goldore.watching import End, UtilityPlan, Watcher

_PILOT_SIZES = (1, 2, 5, 10, 20, 50, 100)
_PILOT_TRIALS = 8
_PILOT_SEED = 2**64 - 1  # not a base seed, so that no trial of a run is one of a pilot
_DISTILLED_FROM = 10  # samples, at the least, for each synthetic image
_CLEARLY = 0.1  # of the way from chance to certainty


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
    there = {int(number) for each in ((known.done, known.failed) if known else ()) for number in each}
    strata = make_strata(
        dataset.labels, dataset.num_classes, recipe.subset_per_class or 1, recipe.folds, run.base_seed
    )
    numbers = budget.numbers(strata)
    output = Output(path, header, run, fresh=existing is None)
    architecture = Architecture(recipe.network, dataset.image_shape, dataset.num_classes)
    with memory_errors():
        data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), device)
        evaluations = _evaluation_sets(dataset, data, recipe, strata)
    batch = min(int(strata.sizes.sum()), recipe.batch_size)
    size = ensemble_size or choose_utility_ensemble_size(architecture, batch, len(numbers), device)
    watcher.utility_planned(
        UtilityPlan(
            dataset=dataset,
            run=run,
            out=path,
            trials=len(numbers),
            there=len(there.intersection(numbers)),
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
    missing = [number for number in numbers if number not in there]
    if known is not None and (known.outcome, known.estimator) != (run.outcome, run.estimator):
        output.estimate()
    checks = Checks(strata, budget, len(there))
    end: End = "complete"
    if missing and checks.enough(_estimated(path)):
        missing, end = [], "reliable"
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


def choose_subset_size(
    dataset: ImageDataset, recipe: UtilityRecipe, device: torch.device, watcher: Watcher
) -> tuple[int, str]:
    """Find the cheapest subset whose outcome is clearly above chance, by a pilot.

    The reliability of utilities does not depend on the subset's size (`goldore.estimators.utility`), so the
    smallest subset that teaches something is the best buy. Eight pilot trials are run for 1, 2, 5, 10, ...
    samples of each class; the first size is taken whose mean accuracy, less three standard errors, is above
    chance and which goes at least a tenth of the way from chance to certainty.

    Args:
        dataset: to draw from.
        recipe: with everything but the subset's size filled in.
        device: to train on.
        watcher: told that it begins.

    Returns:
        Samples of each class, and a sentence on what the pilot found. The trials of the pilot are the same
        for every base seed, and none of any run.
    """
    architecture = Architecture(recipe.network, dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), device)
    chance = 1 / dataset.num_classes
    found = []
    largest = max(len(members) for members in class_members(dataset.labels, dataset.num_classes)) // 3 or 1
    least = 1 if recipe.distill is None else _DISTILLED_FROM * recipe.distill.images_per_class
    sizes = [size for size in _PILOT_SIZES if least <= size <= largest] or [min(least, largest)]
    watcher.pilot_started(sizes)
    for size in sizes:
        strata = make_strata(dataset.labels, dataset.num_classes, size, recipe.folds, _PILOT_SEED)
        sweeps = Sweeps(strata, _PILOT_SEED)
        numbers = range(0, _PILOT_TRIALS * strata.folds, strata.folds)
        members = np.stack([sweeps.subset(number) for number in numbers])
        outcomes = train_on_subsets(
            data,
            architecture,
            recipe,
            make_utility_trials(_PILOT_SEED, numbers, 1),
            members,
            strata.sizes,
            _evaluation_sets(dataset, data, recipe, strata)[0],
        )
        accuracy = outcomes.by_class["accuracy"].mean(axis=1)
        mean, error = float(accuracy.mean()), float(accuracy.std(ddof=1)) / _PILOT_TRIALS**0.5
        found.append(f"{size}: {mean:.1%}")
        if mean - 3 * error > chance and (mean - chance) / (1 - chance) >= _CLEARLY:
            break
    return size, f"pilot accuracy by samples of each class: {', '.join(found)} (chance {chance:.1%})"


def check_evaluable(dataset: ImageDataset, recipe: UtilityRecipe) -> None:
    """See that there are images of every class to evaluate on.

    Raises:
        UsageError: if not.
    """
    if dataset.num_classes == 1:
        raise UsageError("MonteCarlo compares classes and this dataset has one; leave it out of --scores.")
    if recipe.eval_split == "heldout":
        make_strata(dataset.labels, dataset.num_classes, 1, recipe.folds, 0)
        return
    if dataset.test_labels is None:
        raise UsageError(f"{dataset.name} has no test split to evaluate on; use --eval-split heldout.")
    counts = np.bincount(dataset.test_labels, minlength=dataset.num_classes)
    if counts.min() == 0:
        name = dataset.class_names[int(counts.argmin())]
        raise UsageError(f"the test split has no image of class {name}; use --eval-split heldout.")


def _evaluation_sets(
    dataset: ImageDataset, data: DeviceDataset, recipe: UtilityRecipe, strata: Strata
) -> list[EvaluationSet]:
    """Images to evaluate the trials of each fold on."""
    if recipe.eval_split == "heldout":
        return [
            _first_of_each_class(data.images, dataset.labels, strata.pools[1 - fold], recipe.eval_per_class)
            for fold in range(strata.folds)
        ]
    if data.test is None or dataset.test_labels is None:
        raise RuntimeError("no test split")  # check_evaluable has seen to it
    classes = class_members(dataset.test_labels, dataset.num_classes)
    return [_first_of_each_class(data.test[0], dataset.test_labels, classes, recipe.eval_per_class)]


def _first_of_each_class(
    images: torch.Tensor,
    labels: NDArray[np.int64],
    classes: Sequence[NDArray[np.int64]],
    per_class: int | None,
) -> EvaluationSet:
    chosen = np.concatenate([members[:per_class] for members in classes])
    return EvaluationSet(images[to_device(chosen, images.device)], to_device(labels[chosen], images.device))


def _groups(numbers: Sequence[int], size: int, folds: int) -> Iterator[list[int]]:
    """Trials to train together: in order, and of one fold, which is evaluated on the same images."""
    for start in range(0, len(numbers), size * folds):
        together = numbers[start : start + size * folds]
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


def with_subset_size(
    recipe: UtilityRecipe, dataset: ImageDataset, path: Path, device: torch.device, watcher: Watcher
) -> tuple[UtilityRecipe, tuple[str, ...]]:
    """Fill in the subset's size where it is open: that of an existing file, else what a pilot chooses.

    Returns:
        The recipe, and what the pilot found.
    """
    if recipe.subset_per_class is not None:
        return recipe, ()
    try:
        there = load_scores(path, only=()).utility_trials if path.is_file() else None
    except ScoreFileError:  # the caller says what is wrong with it
        there = None
    if there is not None:
        return dataclasses.replace(recipe, subset_per_class=there.recipe.subset_per_class), ()
    with memory_errors():
        size, note = choose_subset_size(dataset, recipe, device, watcher)
    return dataclasses.replace(recipe, subset_per_class=size), (note,)
