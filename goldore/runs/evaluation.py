"""What the networks of utility trials are evaluated on."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldore.datasets import ImageDataset
from goldore.datasets.classes import class_members
from goldore.errors import UsageError
from goldore.training.images import DeviceDataset, Images, to_device
from goldore.training.subsets import EvaluationSet
from goldore.trials import EvaluatedRecipe
from goldore.trials.draws import Strata, make_strata

_HASHED = 4096  # images at a time


def check_evaluable(dataset: ImageDataset, recipe: EvaluatedRecipe) -> None:
    """See that there are images of every class to evaluate on.

    Raises:
        UsageError: if not.
    """
    if dataset.num_classes == 1:
        raise UsageError("utilities compare classes and this dataset has one; leave them out of `scores`.")
    if recipe.eval_split == "heldout":
        make_strata(dataset.labels, dataset.num_classes, 1, recipe.folds, 0)
        return
    check_test_split(dataset, "use `eval_split` heldout")


def check_test_split(dataset: ImageDataset, advice: str) -> None:
    """See that there are test images of every class.

    Raises:
        UsageError: if not; its sentence ends with the advice.
    """
    if dataset.test_labels is None:
        raise UsageError(f"{dataset.name} has no test split to evaluate on; {advice}.")
    counts = np.bincount(dataset.test_labels, minlength=dataset.num_classes)
    if counts.min() == 0:
        name = dataset.class_names[int(counts.argmin())]
        raise UsageError(f"the test split has no image of class {name}; {advice}.")


def evaluation_sets(
    dataset: ImageDataset, data: DeviceDataset, recipe: EvaluatedRecipe, strata: Strata
) -> list[EvaluationSet]:
    """Gather the images to evaluate the trials of each fold on.

    Args:
        dataset: for its labels.
        data: the same on the device.
        recipe: which split, and how many images of each class.
        strata: that trials draw from.

    Returns:
        A set for each fold.
    """
    if recipe.eval_split == "heldout":
        return [
            _first_of_each_class(
                dataset.images, dataset.labels, strata.pools[1 - fold], recipe.eval_per_class, data
            )
            for fold in range(strata.folds)
        ]
    return [test_set(dataset, data, recipe.eval_per_class)]


def test_set(dataset: ImageDataset, data: DeviceDataset, per_class: int | None) -> EvaluationSet:
    """The first test images of each class, so many, or all."""
    if dataset.test_images is None or dataset.test_labels is None:
        raise RuntimeError("no test split")  # check_test_split has seen to it
    classes = class_members(dataset.test_labels, dataset.num_classes)
    return _first_of_each_class(dataset.test_images, dataset.test_labels, classes, per_class, data)


def _first_of_each_class(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: Sequence[NDArray[np.int64]],
    per_class: int | None,
    data: DeviceDataset,
) -> EvaluationSet:
    chosen = np.concatenate([members[:per_class] for members in classes])
    return EvaluationSet(Images(images[chosen], data.device), to_device(labels[chosen], data.device))


def evaluation_fingerprint(dataset: ImageDataset, recipe: EvaluatedRecipe) -> str:
    """Hash the test images and labels that networks are evaluated on (sha256); empty where there are none."""
    return "" if recipe.eval_split == "heldout" else test_fingerprint(dataset, recipe.eval_per_class)


def test_fingerprint(dataset: ImageDataset, per_class: int | None) -> str:
    """Hash the images and labels of `test_set` (sha256); empty where there are none."""
    if dataset.test_images is None or dataset.test_labels is None:
        return ""
    classes = class_members(dataset.test_labels, dataset.num_classes)
    chosen = np.concatenate([members[:per_class] for members in classes])
    digest = hashlib.sha256(dataset.test_labels[chosen].astype("<i8").tobytes())
    for start in range(0, len(chosen), _HASHED):
        digest.update(np.ascontiguousarray(dataset.test_images[chosen[start : start + _HASHED]]).data)
    return digest.hexdigest()
