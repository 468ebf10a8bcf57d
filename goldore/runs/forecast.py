"""What trials are going to take, found out in a few seconds without training any of them."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks
from goldore.runs.watching import Forecast
from goldore.training.devices import abilities, synchronize
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, Images
from goldore.training.loop import forward
from goldore.training.memory import release_memory
from goldore.training.stepping import Stepper
from goldore.trials import Recipe
from goldore.trials.seeds import make_trials

_BATCH, _SECONDS, _MOST = (
    64,
    2.0,
    16,
)  # images of a measured step, seconds it is measured, and steps at the most


def training_forecast(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: Recipe,
    size: int,
    execution: Execution,
    trained: float,
    scored: float,
    samples: int = 0,
) -> Forecast:
    """Measure steps and passes of throwaway networks, without compiling, and add up.

    What a step takes of memory is measured on a small batch and scaled to the recipe's.

    Args:
        data: on its device.
        architecture: of the networks.
        recipe: of the trials.
        size: networks at once.
        execution: how they are going to run.
        trained: images that are trained, over all networks.
        scored: images that are only looked at, over all networks.
        samples: of a network's epoch, where there are epochs.
    """
    plain = replace(execution, compiled=False, graph=False)
    before = memory_taken(data.device)
    step = _seconds(data.device, _training(data, architecture, recipe, size, plain)) / (_BATCH * size)
    look = _seconds(data.device, _looking(data, architecture, recipe, size, plain)) / (_BATCH * size)
    rate = f"{1 / step:,.0f} images/s trained and {1 / look:,.0f} scored"
    saved = ", uncompiled; compiled it is usually faster" if execution.compiled else ""
    measured = memory_taken(data.device) - before
    memory = before + int(measured * (max(recipe.batch_size, _BATCH) / _BATCH if trained else 1))
    release_memory()
    return Forecast(trained * step + scored * look, memory, f"{rate}{saved}", samples * step)


def memory_taken(device: torch.device) -> int:
    """Bytes that this process has taken at the most: on a card of its memory, else of the machine's."""
    if abilities(device).own_memory:
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def _training(
    data: DeviceDataset, architecture: Architecture, recipe: Recipe, size: int, execution: Execution
) -> Callable[[], object]:
    stepper = Stepper(
        architecture, replace(recipe, batch_size=_BATCH), make_trials(0, range(size)), data, execution
    )
    rows = torch.arange(_BATCH * size, device=data.index_device) % len(data.labels)
    images, targets = data.batch(rows.view(_BATCH, size))
    return lambda: stepper(images, targets)


def _looking(
    data: DeviceDataset, architecture: Architecture, recipe: Recipe, size: int, execution: Execution
) -> Callable[[], object]:
    images = Images(data.images.run(0, _BATCH).cpu().numpy(), data.device, resident=True)
    networks = StackedNetworks(
        architecture, [np.random.default_rng(each) for each in range(size)], data.device
    )
    labels, precision = data.labels[: len(images)], recipe.precision or "float32"

    def look() -> None:
        forward(networks, data, images, labels, lambda *_: None, precision=precision, execution=execution)

    return look


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """The mean time of some work, after a first time."""
    work()
    synchronize(device)
    start, times = time.perf_counter(), 0
    while times == 0 or (times < _MOST and time.perf_counter() - start < _SECONDS):
        work()
        synchronize(device)
        times += 1
    return (time.perf_counter() - start) / times
