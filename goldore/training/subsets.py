"""Training E networks at once, each on a small subset of its own, and their outcomes by class."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks
from goldore.training.distill import Distiller
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, Images, to_device
from goldore.training.loop import forward
from goldore.training.stepping import Stepper
from goldore.trials import OUTCOMES, Precision, UtilityRecipe
from goldore.trials.seeds import Stream, Trial


@dataclass(frozen=True)
class EvaluationSet:
    """Images that trained networks are evaluated on.

    Attributes:
        images: n of them.
        labels: int64 [n] on the device; every class is there.
    """

    images: Images
    labels: Tensor


@dataclass(frozen=True)
class Outcomes:
    """What E trainings on subsets achieved.

    Attributes:
        by_class: float32 [E, K] by name: "accuracy", the share of the class's evaluation images classified
            correctly; "logprob", the mean log-probability of the correct class in nat; "margin", the mean of
            the correct class's logit minus the highest other one.
        train_loss: of the last step, float32 [E].
        failed: whether the training diverged (something is not finite), bool [E].
    """

    by_class: dict[str, NDArray[np.float32]]
    train_loss: NDArray[np.float32]
    failed: NDArray[np.bool_]

    @classmethod
    def of(cls, by_class: Mapping[str, Tensor], losses: Tensor) -> Self:
        """Take copies of outcomes float64 [E, K] by name, and of losses [E]."""
        device = next(iter(by_class.values())).device
        stacked = torch.cat([losses.to(device).double()[:, None], *by_class.values()], dim=1)
        return cls(
            by_class={name: values.float().cpu().numpy() for name, values in by_class.items()},
            train_loss=losses.cpu().numpy().copy(),  # the next trials are trained in its memory
            failed=~stacked.isfinite().all(dim=1).cpu().numpy(),
        )


class SubsetTrainer:
    """Trains one network per trial on images of its own, group after group.

    Networks, optimiser and CUDA graphs of one group are used again for the next of the same size.

    Args:
        data: the training set on its device.
        architecture: of the networks.
        recipe: steps, batch size, optimiser, and whether subsets are distilled first. A subset of at most a
            batch is in every step as a whole.
        execution: how to run; None: as it is written.
    """

    def __init__(
        self,
        data: DeviceDataset,
        architecture: Architecture,
        recipe: UtilityRecipe,
        execution: Execution | None = None,
    ) -> None:
        self._data, self._architecture, self._recipe = data, architecture, recipe
        self._execution = execution or Execution()
        self._stepper: Stepper | None = None
        self._distiller = (
            Distiller(data, architecture, recipe.distill, graph=self._execution.graph)
            if recipe.distill is not None
            else None
        )

    def on_subsets(
        self,
        trials: Sequence[Trial],
        members: NDArray[np.integer],
        sizes: NDArray[np.integer],
        evaluation: EvaluationSet,
    ) -> Outcomes:
        """Train each trial's network on its subset, all at once, and evaluate each.

        Args:
            trials: E of them; each decides its network's initial weights and its order of the samples.
            members: positions of each trial's subset, [E, S], class by class.
            sizes: samples of each class in a subset, [K].
            evaluation: images to evaluate on.

        Returns:
            The outcomes.
        """
        if self._distiller is None:
            rows = to_device(members.T.astype(np.int64), self._data.index_device)  # [S, E]
            return self.on_images(trials, *self._data.batch(rows), evaluation)
        images, labels = self._distiller(trials, members, sizes)
        return self.on_images(trials, images, labels[:, None].expand(-1, len(trials)), evaluation)

    def on_images(
        self, trials: Sequence[Trial], images: Tensor, targets: Tensor, evaluation: EvaluationSet
    ) -> Outcomes:
        """Train each trial's network on images of its own, all at once, and evaluate each.

        Args:
            trials: E of them.
            images: uint8, or normalised float32, [S, E, C, H, W].
            targets: int64 [S, E].
            evaluation: images to evaluate on.

        Returns:
            The outcomes.
        """
        recipe, stepper = self._recipe, self._stepper_for(trials)
        if len(images) <= recipe.batch_size:
            stepper(images, targets, steps=recipe.steps)
        else:
            each = torch.arange(len(trials), device=self._data.device)
            batches = list(_batches(trials, len(images), recipe.batch_size, recipe.steps))
            order = to_device(np.concatenate(batches), self._data.device)  # in one copy, which waits
            for rows in torch.split(order, [len(batch) for batch in batches]):  # [B, E]
                stepper(images[rows, each], targets[rows, each])
        losses = stepper.losses
        by_class = class_outcomes(
            stepper.networks, self._data, evaluation, recipe.precision or "float32", self._execution
        )
        return Outcomes.of(by_class, losses)

    def _stepper_for(self, trials: Sequence[Trial]) -> Stepper:
        """Networks at the start of these trials."""
        if self._stepper is None or self._stepper.networks.size != len(trials):
            self._stepper = None  # its memory first
            self._stepper = Stepper(self._architecture, self._recipe, trials, self._data, self._execution)
        else:
            self._stepper.restart(trials)
        return self._stepper


def class_outcomes(
    networks: StackedNetworks,
    data: DeviceDataset,
    evaluation: EvaluationSet,
    precision: Precision,
    execution: Execution,
) -> dict[str, Tensor]:
    """Evaluate every network: mean over the images of each class, float64 [E, K] by outcome."""
    found = ClassOutcomes(networks.size, networks.architecture.num_classes, data.score_device)

    def see(_: int, logits: Tensor, labels: Tensor, __: object) -> None:
        found.see(logits, labels)

    images, labels = evaluation.images, evaluation.labels
    forward(networks, data, images, labels, see, precision=precision, execution=execution)
    return found.means()


class ClassOutcomes:
    """Adds up the outcomes of evaluation images, class by class.

    Args:
        networks: E of them.
        classes: K.
        device: of the logits, which has float64.
    """

    def __init__(self, networks: int, classes: int, device: torch.device) -> None:
        self._sums = {
            name: torch.zeros(networks, classes, dtype=torch.float64, device=device) for name in OUTCOMES
        }
        self._counts = torch.zeros(classes, dtype=torch.float64, device=device)

    def see(self, logits: Tensor, labels: Tensor) -> None:
        """Take in logits [E, B, K] of images with these labels, int64 [B]."""
        logits = logits.double()
        index = labels.view(1, -1, 1).expand(len(logits), -1, 1)
        right = logits.gather(2, index)[..., 0]  # [E, B]
        other = logits.scatter(2, index, -torch.inf).amax(2)
        self._sums["accuracy"].index_add_(1, labels, (right > other).double())
        self._sums["logprob"].index_add_(1, labels, right - logits.logsumexp(2))
        self._sums["margin"].index_add_(1, labels, right - other)
        self._counts.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))

    def means(self) -> dict[str, Tensor]:
        """Mean over the images of each class, float64 [E, K] by outcome."""
        return {name: values / self._counts for name, values in self._sums.items()}


def _batches(trials: Sequence[Trial], size: int, batch_size: int, steps: int) -> Iterator[NDArray[np.int64]]:
    """Rows of the subset for every step, int64 [B, E]. Epochs follow one another."""
    draws = [trial.stream(Stream.ORDER) for trial in trials]
    done = 0
    while True:
        order = np.stack([draw.permutation(size) for draw in draws], axis=1)  # [S, E]
        for start in range(0, size, batch_size):
            if done == steps:
                return
            done += 1
            yield order[start : start + batch_size]
