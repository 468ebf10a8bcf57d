"""The exact utility of samples to a nearest neighbour, in the kernel of untrained networks.

A trial of k samples of each class, drawn with replacement, is right about an evaluation image if the one
that is most similar to it has its class; similar by the cosine of K(x, x') = phi(x) . phi(x') + 1, with phi
as in `goldore.training.kernel`. How often that happens if sample i is among them needs no trial. For an
evaluation image of class c and a sample i of that class with similarity v, let F_o(v) be the share of class
o's samples that are less similar, and G(v) the product of F_o(v)^k over the classes o other than c. Then

* k = 1: P = G(v);
* k > 1: P = G(v) H(v) + sum over w > v of G(w) dH(w), with H = F_c^(k-1), F_c counting up to w: the best of i
  and k - 1 others of its class decides.

The utility of i is the mean of P over the evaluation images of its class, less the mean over the class's
samples. Sorting makes it O(E N log N) for E evaluation images and N samples.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldore.networks.architecture import Architecture
from goldore.training.embedding import Untrained
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, to_device
from goldore.training.subsets import EvaluationSet
from goldore.trials import KernelUtilityRecipe
from goldore.trials.draws import Strata
from goldore.trials.seeds import Trial, group_of

_FEATURES, _MOST = 1024, 16  # of a group together, and networks, where the recipe is open
_NUMBERS = 2**25  # similarities that are held at once
_IMAGES = 256  # evaluation images at once, at the most
_SAMPLES = 8192  # in a product at once


@dataclass(frozen=True)
class Utilities:
    """What one group of networks says of N samples; NaN for samples of classes without evaluation images.

    Attributes:
        halves: utility by the even and by the odd evaluation images of each class, float32 [2, N]; NaN by the
            odd ones of a single image.
        values: by all of them, float32 [N].
        variances: of the values, by the spread over evaluation images, float32 [N]; NaN from a single one.
    """

    halves: NDArray[np.float32]
    values: NDArray[np.float32]
    variances: NDArray[np.float32]


def group_size(recipe: KernelUtilityRecipe, architecture: Architecture) -> int:
    """Untrained networks of a group: as the recipe says, or as many as give enough features."""
    return recipe.networks or min(_MOST, math.ceil(_FEATURES / architecture.features))


def images_at_once(samples: int) -> int:
    """Evaluation images whose similarities to so many samples are held at once."""
    return max(1, min(_IMAGES, _NUMBERS // samples))


class ExactUtility:
    """Finds the utility of every sample in the kernel of a group of untrained networks.

    Holds 2 bytes for each feature of each training image on the device, and at most 2**25 similarities, which
    take about 1 GB with what sorting them needs.

    Args:
        data: the training set on its device.
        architecture: of the networks.
        recipe: complete.
        strata: pools of the samples; those of a fold compete among each other.
        evaluations: images for each fold, class by class.
        execution: how networks run.
    """

    def __init__(
        self,
        data: DeviceDataset,
        architecture: Architecture,
        recipe: KernelUtilityRecipe,
        strata: Strata,
        evaluations: Sequence[EvaluationSet],
        execution: Execution,
    ) -> None:
        if recipe.networks is None or recipe.subset_per_class is None:
            raise RuntimeError("the recipe is not complete")
        self._data, self._architecture, self._recipe = data, architecture, recipe
        self._networks, self._k = recipe.networks, recipe.subset_per_class
        self._strata, self._evaluations, self._execution = strata, evaluations, execution

    def __call__(self, trial: Trial, tick: Callable[[float], None] = lambda _: None) -> Utilities:
        """Find the utilities.

        Args:
            trial: whose random streams the networks come from.
            tick: told which share is done, 0..1.

        Returns:
            The utilities; NaN for all samples if an embedding is not finite.
        """
        count, strata = len(self._data.labels), self._strata
        untrained = Untrained(
            self._data, self._architecture, self._recipe, group_of(trial, self._networks), self._execution
        )
        features = untrained.of(self._data.images, torch.float16, lambda share: tick(share / 2))
        found = np.full((4, count), np.nan)
        if not bool(features.isfinite().all()):
            return _utilities(found)
        images = sum(len(each.labels) for each in self._evaluations)
        done = 0
        for pools, evaluation in zip(strata.pools, self._evaluations, strict=True):
            sizes = [len(pool) for pool in pools]
            order = to_device(np.concatenate(pools), features.device)
            shown = untrained.of(evaluation.images, torch.float32)
            if not bool(shown.isfinite().all()):
                return _utilities(np.full_like(found, np.nan))
            for label, pool in enumerate(pools):
                mine = shown[evaluation.labels == label]
                sums = torch.zeros(4, len(pool), dtype=torch.float64, device=self._data.score_device)
                most = images_at_once(len(order))
                for start in range(0, len(mine), most):
                    part = mine[start : start + most]
                    right = chances(similarities(part, features, order), sizes, label, self._k)
                    right = right.to(self._data.score_device).double()
                    right -= right.mean(1, keepdim=True)
                    odd = (torch.arange(start, start + len(part), device=right.device) % 2).double()
                    sums += torch.stack([(1 - odd) @ right, odd @ right, right.sum(0), right.square().sum(0)])
                    done += len(part)
                    tick(0.5 + done / images / 2)
                found[:, pool] = _moments(sums.cpu().numpy(), len(mine))
        return _utilities(found)


def _utilities(found: NDArray[np.float64]) -> Utilities:
    values = found.astype(np.float32)
    return Utilities(values[:2], values[2], values[3])


def _moments(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Means of even, odd and all images, and the variance of the last, from sums and the sum of squares."""
    with np.errstate(divide="ignore", invalid="ignore"):
        numbers = np.array([(count + 1) // 2, count // 2, count])[:, None]
        means = sums[:3] / numbers
        variance = (sums[3] / count - means[2] ** 2) / np.float64(count - 1)
    return np.concatenate([means, np.maximum(variance, 0)[None]])


@torch.no_grad()
def similarities(shown: Tensor, features: Tensor, order: Tensor) -> Tensor:
    """K(e, i) / sqrt(K(i, i)), which ranks samples as the cosine does.

    Args:
        shown: features of B images, float32 [B, D].
        features: of all samples, [N, D].
        order: positions of the n samples that are wanted, int64 [n].

    Returns:
        float32 [B, n].
    """
    found = torch.empty(len(shown), len(order), device=shown.device)
    for start in range(0, len(order), _SAMPLES):
        part = features[order[start : start + _SAMPLES]].float()
        norms = (part.square().sum(1) + 1).rsqrt()
        found[:, start : start + len(part)] = (shown @ part.t() + 1) * norms
    return found


def chances(similarity: Tensor, sizes: Sequence[int], label: int, k: int) -> Tensor:
    """How often a nearest neighbour is right if a sample is among those drawn, for each sample of a class.

    Args:
        similarity: of evaluation images of the class to all samples, float32 [B, n], class by class.
        sizes: samples of each class, [K].
        label: of the class.
        k: samples that are drawn of each class, with replacement.

    Returns:
        float32 [B, n of the class]. Another class's sample that is just as similar counts as more similar.
    """
    parts = torch.split(similarity, list(sizes), dim=1)
    own, order = parts[label].sort(dim=1)  # queries in order are found faster
    best = torch.ones_like(own)
    for other, part in enumerate(parts):
        if other != label:
            best *= torch.searchsorted(_sorted(part), own, out_int32=True) / part.shape[1]
    if k > 1:
        best **= k
        below = (torch.arange(own.shape[1] + 1, device=own.device) / own.shape[1]) ** (k - 1)
        terms = best * below.diff()
        best = best * below[1:] + terms.sum(1, keepdim=True) - terms.cumsum(1)
    return torch.empty_like(own).scatter_(1, order, best)


def _sorted(values: Tensor) -> Tensor:
    """Sort each row; on the CPU by NumPy, whose sort is vectorised and takes a fifth of the time."""
    if values.is_cuda:
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=1))
