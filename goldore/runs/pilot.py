"""The pilot: which subsets are the cheapest that teach something."""

import numpy as np
import torch

from goldore.datasets import ImageDataset
from goldore.datasets.classes import class_members
from goldore.networks.architecture import Architecture
from goldore.runs.evaluation import evaluation_sets
from goldore.runs.watching import Watcher
from goldore.training.devices import abilities
from goldore.training.distill import REAL_AT_ONCE
from goldore.training.images import DeviceDataset
from goldore.training.memory import free_memory
from goldore.training.subsets import SubsetTrainer
from goldore.training.tuning import networks_that_fit
from goldore.trials import UtilityRecipe
from goldore.trials.draws import Strata, Sweeps, make_strata
from goldore.trials.seeds import make_utility_trials

_PILOT_SIZES = (1, 2, 5, 10, 20, 50, 100)
_PILOT_TRIALS = 8
_PILOT_SEED = 2**64 - 1  # not a base seed, so that no trial of a run is one of a pilot
_DISTILLED_FROM = 10  # samples, at the least, for each synthetic image
_CLEARLY, _CLEARLY_OF_CHANCE = 0.1, 0.5  # of the way from chance to certainty, and of chance
_PILOT_SAMPLES = 5000  # of a pilot's largest subset


def choose_subset_size(
    dataset: ImageDataset,
    recipe: UtilityRecipe,
    device: torch.device,
    ensemble_size: int | None,
    watcher: Watcher,
) -> tuple[int, str]:
    """Find the cheapest subset whose outcome is clearly above chance, by a pilot.

    The reliability of utilities does not depend on the subset's size (see the estimators), so the
    smallest subset that teaches something is the best buy. Eight pilot trials are run for 1, 2, 5, 10, ...
    samples of each class, up to 5,000 samples. The first size is taken whose mean accuracy is above chance by
    three standard errors, and by half of chance or a tenth of the way to certainty, whichever is less. If
    none is, the smallest size is taken, and the note says so.

    Args:
        dataset: to draw from.
        recipe: with everything but the subset's size filled in.
        device: to train on.
        ensemble_size: networks trained at once; None chooses.
        watcher: told that it begins.

    Returns:
        Samples of each class, and a sentence on what the pilot found. The trials of the pilot are the same
        for every base seed, and none of any run.
    """
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), device)
    chance = 1 / dataset.num_classes
    enough = chance + min(_CLEARLY * (1 - chance), _CLEARLY_OF_CHANCE * chance)
    found = []
    sizes = _pilot_sizes(dataset, recipe)
    watcher.pilot_started(sizes)
    for size in sizes:
        strata = make_strata(dataset.labels, dataset.num_classes, size, recipe.folds, _PILOT_SEED)
        sweeps = Sweeps(strata, _PILOT_SEED)
        evaluation = evaluation_sets(dataset, data, recipe, strata)[0]
        together = ensemble_size or _networks_at_once(architecture, images_at_once(recipe, strata), device)
        trainer = SubsetTrainer(data, architecture, recipe)
        outcomes = []
        for first in range(0, _PILOT_TRIALS, together):
            numbers = [each * strata.folds for each in range(first, min(first + together, _PILOT_TRIALS))]
            trained = trainer.on_subsets(
                make_utility_trials(_PILOT_SEED, numbers, 1),
                np.stack([sweeps.subset(number) for number in numbers]),
                strata.sizes,
                evaluation,
            )
            outcomes.append(trained.by_class["accuracy"].mean(axis=1))
        accuracy = np.concatenate(outcomes)
        mean, error = float(accuracy.mean()), float(accuracy.std(ddof=1)) / _PILOT_TRIALS**0.5
        found.append(f"{size}: {mean:.1%}")
        if mean - 3 * error > chance and mean >= enough:
            break
    else:
        size = sizes[0]
    note = f"pilot accuracy by samples of each class: {', '.join(found)} (chance {chance:.1%})"
    if len(found) == len(sizes) and mean < enough:
        note += "; none is clearly above chance: raise `steps` or `lr`, or name a `subset_per_class`"
    return size, note


def _pilot_sizes(dataset: ImageDataset, recipe: UtilityRecipe) -> list[int]:
    """The sizes that a pilot tries, ascending."""
    classes = class_members(dataset.labels, dataset.num_classes)
    largest = max(len(members) for members in classes) // recipe.folds // 3 or 1
    least = 1 if recipe.distill is None else _DISTILLED_FROM * recipe.distill.images_per_class
    sizes = [size for size in _PILOT_SIZES if least <= size <= largest] or [min(least, largest)]
    return [size for size in sizes if size * dataset.num_classes <= _PILOT_SAMPLES] or sizes[:1]


def images_at_once(recipe: UtilityRecipe, strata: Strata) -> int:
    """Images that one network sees at once in a trial."""
    if recipe.distill is None:
        return min(int(strata.sizes.sum()), recipe.batch_size)
    return max(int(np.minimum(strata.sizes, recipe.distill.real_batch).max()), REAL_AT_ONCE)


def _networks_at_once(architecture: Architecture, images: int, device: torch.device) -> int:
    """So many as train together in a pilot."""
    if not abilities(device).own_memory:
        return _PILOT_TRIALS
    return max(1, min(_PILOT_TRIALS, networks_that_fit(architecture, images, free_memory(device))))
