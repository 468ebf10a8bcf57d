"""The stage of cross-validations: the networks of a trial each leave out a part of the training set."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from goldore.runs.groups import Groups
from goldore.runs.loss_stage import LossStage, Training
from goldore.scores import FOLD_SCORES
from goldore.store import FoldRun, LossResult, LossRun
from goldore.training.loop import Trained
from goldore.trials import FoldRecipe, LossRecipe
from goldore.trials.draws import folds_of
from goldore.trials.seeds import Trial, group_of


class FoldStage(LossStage):
    """The cross-validations of a call of `score`; see `LossStage`."""

    run_type: ClassVar[type[LossRun]] = FoldRun

    def networks_of(self, recipe: LossRecipe) -> int:
        """One for each fold."""
        return _folds(recipe)

    def samples_of(self, recipe: LossRecipe) -> int:
        """All but the largest fold."""
        samples = self._job.dataset.num_samples
        return samples - -(-samples // _folds(recipe))

    def predicting_epoch(self, recipe: LossRecipe, epochs: int) -> int:  # noqa: ARG002
        """The last one: nobody has learned the label of a sample that was left out."""
        return epochs

    def results(
        self, training: Training, trials: Sequence[Trial], features: Path | None = None
    ) -> list[LossResult]:
        """Train all networks of some trials, as many at once as the device holds."""
        del features  # those of loss trials
        dataset, number = self._job.dataset, _folds(training.recipe)
        folds = [folds_of(trial, dataset.labels, dataset.num_classes, number) for trial in trials]
        seeds = [network for trial in trials for network in group_of(trial, number)]
        pools = [np.flatnonzero(dealt != fold) for dealt in folds for fold in range(number)]
        waiting, samples = list(range(len(seeds))), self.samples_of(training.recipe)

        def take(count: int) -> list[int]:
            taken, waiting[:] = waiting[:count], waiting[count:]
            return taken

        def together(numbers: list[int]) -> Trained:
            before = numbers[0] * training.recipe.epochs * samples
            chosen = [pools[each] for each in numbers]
            return training([seeds[each] for each in numbers], chosen, samples, before)

        start = time.perf_counter()
        parts = list(Groups(take, training.engine.size).trained(together, self._job.watcher))
        seconds = (time.perf_counter() - start) / len(trials)
        recorded = {
            name: np.concatenate([part.recorded[name] for part in parts]) for name in parts[0].recorded
        }
        train_loss, test_accuracy, failed = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("train_loss", "test_accuracy", "failed")
        )
        found = []
        for place, (trial, dealt) in enumerate(zip(trials, folds, strict=True)):
            own = slice(place * number, (place + 1) * number)
            found.append(
                LossResult(
                    trial=trial,
                    failed=bool(failed[own].any()),
                    recorded={name: _of_trial(name, values[own], dealt) for name, values in recorded.items()},
                    train_loss=train_loss[own].mean(axis=0),
                    test_accuracy=float(test_accuracy[own].mean()),
                    seconds=seconds,
                )
            )
        return found


def _folds(recipe: LossRecipe) -> int:
    if not isinstance(recipe, FoldRecipe):
        raise TypeError("a cross-validation has a recipe with folds")
    return recipe.folds


def _of_trial(name: str, values: NDArray[np.float32], folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """What a trial records of each sample, [N], from its networks' [K, N]: scores as they say."""
    if name in FOLD_SCORES:
        return FOLD_SCORES[name].of_trial(values, folds)
    without: NDArray[np.float32] = np.take_along_axis(values, folds[None], axis=0)[0]
    return without
