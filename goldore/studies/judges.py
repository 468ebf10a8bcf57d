"""Networks that judge: trained on a cell's images, they say how much is learned from them.

All cells of a seed share each judge's initial weights, order of images and augmentation.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldore.datasets import ImageDataset
from goldore.datasets.classes import class_members
from goldore.networks.architecture import Architecture
from goldore.training.augmentation import Drawn, augment, draw
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, Images, to_device
from goldore.training.stepping import Stepper
from goldore.training.subsets import EvaluationSet, class_outcomes
from goldore.trials import StudyRecipe
from goldore.trials.seeds import Stream, Trial

_FALL = 0.1  # of the learning rate half way, as in DatasetCondensation


class Judges:
    """Trains one judge for each of some cells, all at once; the next ones in the same memory.

    Args:
        dataset: with test images of every class.
        data: the same on its device.
        architecture: of the judges.
        recipe: of the study.
        execution: how networks run.

    Attributes:
        class_shares: of the test images, float64 [K].
    """

    def __init__(
        self,
        dataset: ImageDataset,
        data: DeviceDataset,
        architecture: Architecture,
        recipe: StudyRecipe,
        execution: Execution,
    ) -> None:
        self._data, self._architecture, self._recipe = data, architecture, recipe
        self._execution = execution
        self._stepper: Stepper | None = None
        images, labels = dataset.test_images, dataset.test_labels
        if images is None or labels is None:
            raise RuntimeError("no test split")  # check_test_split has seen to it
        self._test_images, self._test_labels = images, labels
        self._test_classes = class_members(labels, dataset.num_classes)
        counts = np.array([len(each) for each in self._test_classes], dtype=np.float64)
        self.class_shares: NDArray[np.float64] = counts / counts.sum()

    def on_images(self, trial: Trial, images: Tensor) -> NDArray[np.float64]:
        """Train on images of each cell.

        Args:
            trial: of the judge; the same one for all cells.
            images: normalised float32 [E, K, ipc, C, H, W].

        Returns:
            Accuracy of each class, float64 [E, K]; NaN where a training diverged.
        """
        cells, classes, count = images.shape[:3]
        shown = images.flatten(1, 2).transpose(0, 1)  # [S, E, ...]
        labels = torch.arange(classes, device=images.device).repeat_interleave(count)
        random = trial.stream(Stream.ORDER)
        size = min(len(shown), self._recipe.batch_size)
        order = np.empty(0, dtype=np.int64)
        stepper = self._started(trial, cells)
        for step in range(self._recipe.judge_steps):
            if step == self._recipe.judge_steps // 2:
                stepper.set_learning_rate(self._recipe.lr * _FALL)
            if len(shown) > size and len(order) < size:
                order = random.permutation(len(shown))  # what is left of the last one would be a short batch
            drawn = draw(self._recipe.augment, random, size)
            if len(shown) > size:
                rows, order = to_device(order[:size], images.device), order[size:]
                self._step(stepper, shown[rows], labels[rows], drawn)
            else:
                self._step(stepper, shown, labels, drawn)
        return self._judged(stepper, trial)

    def on_subsets(self, trial: Trial, kept: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Train on the kept samples of each cell, in batches drawn with replacement.

        Args:
            trial: as for `on_images`.
            kept: positions, E sets of any size.

        Returns:
            Accuracy of each class, float64 [E, K]; NaN where a training diverged.
        """
        size, random = self._recipe.batch_size, trial.stream(Stream.ORDER)
        stepper = self._started(trial, len(kept))
        for step in range(self._recipe.subset_steps):
            if step == self._recipe.subset_steps // 2:
                stepper.set_learning_rate(self._recipe.lr * _FALL)
            numbers = random.random(size)
            drawn = draw(self._recipe.augment, random, size)
            rows = np.stack([each[(numbers * len(each)).astype(np.int64)] for each in kept], axis=1)
            images, labels = self._data.batch(to_device(rows, self._data.index_device))
            self._step(stepper, self._data.normalize(images), labels, drawn)
        return self._judged(stepper, trial)

    def _started(self, trial: Trial, cells: int) -> Stepper:
        trials = [trial] * cells
        if self._stepper is None or self._stepper.networks.size != cells:
            self._stepper = None  # its memory first
            self._stepper = Stepper(self._architecture, self._recipe, trials, self._data, self._execution)
        else:
            self._stepper.restart(trials)
            self._stepper.set_learning_rate(self._recipe.lr)
        return self._stepper

    @staticmethod
    def _step(stepper: Stepper, images: Tensor, labels: Tensor, drawn: Drawn) -> None:
        """One step with images [B, E, C, H, W], changed alike for all cells, and labels [B] or [B, E]."""
        cells = images.shape[1]
        each = Drawn(drawn.name, np.repeat(drawn.numbers, cells, axis=0))
        changed = augment(images.flatten(0, 1), each).view_as(images)
        stepper(changed, labels if labels.ndim > 1 else labels[:, None].expand(-1, cells))

    def _judged(self, stepper: Stepper, trial: Trial) -> NDArray[np.float64]:
        precision = self._recipe.precision or "float32"
        outcomes = class_outcomes(
            stepper.networks, self._data, self._test_set(trial), precision, self._execution
        )
        found = outcomes["accuracy"].clone()
        found[~outcomes["logprob"].isfinite().all(dim=1)] = torch.nan
        accuracy: NDArray[np.float64] = found.cpu().numpy()
        return accuracy

    def _test_set(self, trial: Trial) -> EvaluationSet:
        """What a judge is tested by: images of each class, drawn anew for each judge; the same for all cells.

        So that which images are drawn is part of the spread between seeds, and no hidden error of all.
        """
        random, most = trial.stream(Stream.TEST), self._recipe.test_per_class
        chosen = np.concatenate(
            [each if most is None else random.permutation(each)[:most] for each in self._test_classes]
        )
        device = self._data.device
        return EvaluationSet(
            Images(self._test_images[chosen], device), to_device(self._test_labels[chosen], device)
        )
