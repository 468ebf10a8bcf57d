"""Utility trials without training a network: a linear head on features of untrained networks.

On a few samples a network is trained so little that it behaves almost like a linear machine on the features
that it had before. With phi(x) the embeddings of R untrained networks side by side, over sqrt(R), it
knows images by K(x, x') = phi(x) . phi(x') + 1 alone, where the 1 is the bias, and a trial is a small problem
on the K of its subset. How close that comes to trained networks is to be measured (docs/utility.md).
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from goldore.networks.architecture import Architecture
from goldore.training.devices import abilities
from goldore.training.embedding import Untrained
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, to_device
from goldore.training.subsets import ClassOutcomes, EvaluationSet, Outcomes
from goldore.trials import KernelRecipe, UtilityRecipe
from goldore.trials.draws import Strata, Sweeps
from goldore.trials.seeds import Trial, make_utility_trials

_RIDGE = 0.1
_FEATURES, _LEAST, _MOST = 2048, 2, 16  # of all networks together, and networks, where the recipe is open
_CPU_NUMBERS, _CARD_NUMBERS = 2**22, 2**27  # in the heads and kernels of trials done at once, about
_MOST_TRIALS = 256  # at once
_LOGITS = 2**21  # likewise
_TEMPERATURE_TRIALS = 32
_TEMPERATURES = np.logspace(-1, 3, 81)


def networks_of(kernel: KernelRecipe, architecture: Architecture) -> int:
    """Untrained networks of a trial: as the recipe says, or as many as give enough features."""
    return kernel.networks or min(_MOST, max(_LEAST, math.ceil(_FEATURES / architecture.features)))


def trials_at_once(
    kernel: KernelRecipe, architecture: Architecture, strata: Strata, device: torch.device
) -> int:
    """Trials that are done together."""
    subset, classes = int(strata.sizes.sum()), len(strata.sizes)
    features = networks_of(kernel, architecture) * architecture.features
    numbers = _CARD_NUMBERS if abilities(device).own_memory else _CPU_NUMBERS
    return max(1, min(_MOST_TRIALS, numbers // (features * (subset + classes) + subset * subset)))


class KernelTrainer:
    """Does utility trials on features of untrained networks; stands where a `SubsetTrainer` does.

    Holds 2 bytes for each feature of each training image on the device.

    Args:
        data: the training set on its device.
        architecture: of the networks.
        recipe: with a complete `kernel`. Its fit "descent" takes steps, lr, momentum and weight_decay.
        strata: that the trials draw from.
        base_seed: of the trials. The untrained networks have the initial weights of its first trials.
        evaluation: that trials of fold 0 are evaluated on.
        execution: how networks run.
        tick: told which share of the features is there, 0..1.
    """

    def __init__(
        self,
        data: DeviceDataset,
        architecture: Architecture,
        recipe: UtilityRecipe,
        strata: Strata,
        base_seed: int,
        evaluation: EvaluationSet,
        execution: Execution,
        tick: Callable[[float], None] = lambda _: None,
    ) -> None:
        kernel = recipe.kernel
        if kernel is None or kernel.networks is None:
            raise RuntimeError("the recipe says nothing of kernels")
        self._data, self._recipe, self._kernel = data, recipe, kernel
        self._columns = to_device(strata.columns, data.device)
        self._classes = len(strata.sizes)
        trials = make_utility_trials(base_seed, range(kernel.networks), 1)
        self._untrained = Untrained(data, architecture, recipe, trials, execution)
        self._features = self._untrained.of(data.images, torch.float16, tick)  # [N, D]
        self._evaluated: list[tuple[EvaluationSet, Tensor]] = []
        self._temperature = 1.0
        if kernel.fit == "ridge":
            sweeps = Sweeps(strata, base_seed)
            first = [sweeps.subset(each * strata.folds) for each in range(_TEMPERATURE_TRIALS)]
            self._temperature = self._best_temperature(np.stack(first), evaluation)

    def on_subsets(
        self,
        trials: Sequence[Trial],
        members: NDArray[np.integer],
        sizes: NDArray[np.integer],
        evaluation: EvaluationSet,
    ) -> Outcomes:
        """Do trials, and evaluate each; see `SubsetTrainer.on_subsets`."""
        del trials, sizes
        device = self._data.score_device
        weights, bias, losses = self._fitted(members)
        found = ClassOutcomes(len(members), self._classes, device)
        for start, logits in self._logits(weights, bias, evaluation):
            labels = evaluation.labels[start : start + logits.shape[1]]
            found.see(logits.to(device), labels.to(device))
        return Outcomes.of(found.means(), losses)

    def _fitted(self, members: NDArray[np.integer]) -> tuple[Tensor, Tensor, Tensor]:
        """Heads of T trials: weights [T, D, K], biases [T, K], and each one's loss on its subset, [T]."""
        rows = to_device(members.astype(np.int64), self._features.device)
        shown = self._features[rows].float()  # [T, S, D]
        kernel = shown @ shown.transpose(1, 2) + 1
        targets = torch.eye(self._classes, device=shown.device)[self._columns]  # one_hot waits for the device
        fitted = (
            ridge(kernel, targets, self._kernel.ridge or _RIDGE)
            if self._kernel.fit == "ridge"
            else descent(kernel, targets, self._recipe)
        )
        fitted = fitted * self._temperature
        logits = kernel @ fitted
        labels = self._columns.expand(len(members), -1)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return shown.transpose(1, 2) @ fitted, fitted.sum(1), losses.view(len(members), -1).mean(1)

    def _logits(
        self, weights: Tensor, bias: Tensor, evaluation: EvaluationSet
    ) -> Iterator[tuple[int, Tensor]]:
        """Logits [T, B, K] of some evaluation images at a time, with the position of the first."""
        features = self._features_of(evaluation)
        flat = weights.transpose(0, 1).flatten(1)  # [D, T * K]
        run = max(1, _LOGITS // flat.shape[1])
        for start in range(0, len(features), run):
            logits = (features[start : start + run] @ flat).view(-1, *bias.shape) + bias
            yield start, logits.transpose(0, 1)

    def _features_of(self, evaluation: EvaluationSet) -> Tensor:
        """Float32 [n, D]."""
        known = next((found for each, found in self._evaluated if each is evaluation), None)
        if known is None:
            known = self._untrained.of(evaluation.images, torch.float32)
            self._evaluated.append((evaluation, known))
        return known

    def _best_temperature(self, members: NDArray[np.integer], evaluation: EvaluationSet) -> float:
        """The factor by which the values of ridge regressions make the best logits."""
        weights, bias, _ = self._fitted(members)
        found = np.zeros(len(_TEMPERATURES))
        for start, logits in self._logits(weights, bias, evaluation):
            labels = evaluation.labels[start : start + logits.shape[1]].expand(len(members), -1)
            for place, factor in enumerate(_TEMPERATURES):
                scaled = float(factor) * logits.flatten(0, 1)
                found[place] += float(F.cross_entropy(scaled, labels.flatten(), reduction="sum"))
        return float(_TEMPERATURES[found.argmin()])


def descent(kernel: Tensor, targets: Tensor, recipe: UtilityRecipe) -> Tensor:
    """Train linear heads from zero by the recipe's optimiser, in the space of their samples.

    SGD with momentum and weight decay on the mean cross-entropy of all samples. The weights stay combinations
    of the samples' features, W = sum_i a_i phi(x_i), so that a_i is all there is to follow.

    Args:
        kernel: of the samples of each trial, float32 [T, S, S].
        targets: classes of the samples as one-hot rows, float32 [S, K].
        recipe: steps, lr, momentum, weight_decay.

    Returns:
        The coefficients a, float32 [T, S, K].
    """
    found = torch.zeros(*kernel.shape[:2], targets.shape[1], device=kernel.device)
    velocity = torch.zeros_like(found)
    for _ in range(recipe.steps):
        gradient = ((kernel @ found).softmax(2) - targets) / len(targets)
        velocity.mul_(recipe.momentum).add_(gradient).add_(found, alpha=recipe.weight_decay)
        found.sub_(velocity, alpha=recipe.lr)
    return found


def ridge(kernel: Tensor, targets: Tensor, strength: float) -> Tensor:
    """Kernel ridge regression of the classes, without their mean.

    Args:
        kernel: of the samples of each trial, float32 [T, S, S].
        targets: classes of the samples as one-hot rows, float32 [S, K].
        strength: of the ridge, times the mean of the kernel's diagonal.

    Returns:
        Coefficients, float32 [T, S, K].
    """
    diagonal = kernel.diagonal(dim1=1, dim2=2)
    damped = kernel + torch.diag_embed(strength * diagonal.mean(1, keepdim=True).expand_as(diagonal))
    wanted = (targets - 1 / targets.shape[1]).expand(len(kernel), -1, -1)
    found: Tensor = torch.linalg.solve(damped, wanted)
    return found
