"""What the stages of a scoring run share."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch

from goldore.datasets import ImageDataset
from goldore.datasets.dataset import is_glance, is_mapped
from goldore.errors import OutOfMemoryError, UsageError
from goldore.runs.parts import Parts
from goldore.runs.watching import Watcher
from goldore.store import Header, Run, ScoreFile
from goldore.training.memory import host_memory, is_memory_error
from goldore.trials import Precision, Recipe
from goldore.trials.shuffling import EXACT, shuffle_for

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the user wants a run to be computed; none of it is part of the recipe.

    Attributes:
        ensemble_size: networks trained at once; None chooses.
        compile_mode: "auto", "on" or "off".
        deterministic: the same command gives the same bits.
    """

    ensemble_size: int | None = None
    compile_mode: str = "auto"
    deterministic: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """What travels together through a call of `score`.

    Attributes:
        dataset: to train on.
        header: of it.
        parts: the files, and the processes that share the work.
        device: to train on, of this process.
        settings: of how to run.
        watcher: told how it goes.
        seed: base seed.
        overwrite: whether a file of another run is to be replaced.
        made_on: device and torch_version, in words.
        checkpoint_seconds: between two checkpoints of a training that takes longer; None keeps none.
        dry: train nothing and write nothing: stages only say what they would do.
    """

    dataset: ImageDataset
    header: Header
    parts: Parts
    device: torch.device
    settings: Settings
    watcher: Watcher
    seed: int
    overwrite: bool
    made_on: Mapping[str, str]
    checkpoint_seconds: float | None = None
    dry: bool = False


class Stage(Protocol):
    """The trials of one kind in a call of `score`."""

    def plan(self, stored: ScoreFile | None) -> Run:
        """Say what the trials share, without training anything; on rank 0 alone.

        Args:
            stored: the file that is there.
        """

    def settle(self, run: Any) -> tuple[Run, list[str]]:
        """Find out by training what nobody has said and no file; on rank 0 alone.

        Args:
            run: as it was planned; it fits the file that is there, if any.

        Returns:
            What the trials share, with nothing left open, and what was found out.
        """

    def train(self, run: Any, existing: ScoreFile | None, notes: Sequence[str]) -> None:
        """Train the trials that are missing, and keep them in this process's file as they are done.

        In a dry run, tell the watcher of the plan and of what it would take, and do nothing else.

        Args:
            run: what the trials share, as rank 0 planned it.
            existing: what is there, of all processes; None starts anew.
            notes: what was found out while the run was planned.
        """


def complete_recipe(
    recipe: AnyRecipe,
    dataset: ImageDataset,
    precision: Precision = "float32",
    shuffle: str | None = None,
) -> AnyRecipe:
    """Fill in what a recipe leaves open: the network's depth, the windows, mean and std of the images.

    Args:
        recipe: perhaps with None for them.
        dataset: to be trained on.
        precision: to take where the recipe leaves it open.
        shuffle: likewise; None: `shuffle_of` the dataset.

    Returns:
        The recipe with nothing left open.

    Raises:
        UsageError: if mean or std have another number of channels than the images, or the images are too
            small for the depth.
    """
    channels, height, width = dataset.image_shape
    own_mean, own_std = dataset.normalization() if None in (recipe.mean, recipe.std) else ((), ())
    mean, std = recipe.mean or own_mean, recipe.std or own_std
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise UsageError(
                f"`{name}` has {len(values)} numbers but the images have "
                f"{channels} channel{'s' if channels > 1 else ''}; give one for each."
            )
    return dataclasses.replace(
        recipe,
        network=recipe.network.for_images(height, width),
        mean=mean,
        std=std,
        precision=recipe.precision or precision,
    ).settled(shuffle or shuffle_of(dataset))


def shuffle_of(dataset: ImageDataset) -> str:
    """How the samples of a dataset are shuffled on this machine if nothing else is said."""
    if not is_mapped(dataset.images) and not is_glance(dataset.images):  # which will be mapped
        return EXACT
    return shuffle_for(dataset.num_samples, math.prod(dataset.image_shape), host_memory()).text


@contextmanager
def memory_errors(sentence: str = "") -> Iterator[None]:
    """Turn a lack of memory, on CUDA or on the host, into one sentence; a scoring run's if none is given."""
    try:
        yield
    except Exception as error:
        if not is_memory_error(error):
            raise
        raise OutOfMemoryError(sentence or _OUT_OF_MEMORY) from error


_OUT_OF_MEMORY = (
    "out of memory; lower `ensemble_size`, if it is not 1 by now, then `batch_size` or `width`. Finished "
    "trials are kept, but `batch_size` and `width` belong to the recipe and need another `out`."
)
