"""Choosing how to run: how many networks at once, which layout, compiled or not.

On a CPU the choice is a rule, from measurements (benchmarks/RESULTS.md), so that a run is repeatable to the
bit. On CUDA the fastest depends on the card, the libraries and the sizes, and is measured before the run: a
few steps of throwaway networks for each candidate, a few seconds in all.
"""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from goldore.ensemble.convnet import Architecture, Layout
from goldore.ensemble.convolution import CONVOLUTIONS
from goldore.ensemble.execution import Execution
from goldore.ensemble.images import DeviceDataset
from goldore.ensemble.stepping import Stepper
from goldore.errors import UsageError
from goldore.recipe import Recipe
from goldore.trials import make_trials

Compile = Literal["auto", "on", "off"]
_MEMORY_SHARE = 0.5  # of the free memory that the estimated activations may fill
_CPU_OPERATIONS = 5e10  # a second and thread, eager: about what width 128 reached where it was measured
_COMPILING = 60.0  # seconds, about; compiling pays where it saves more
_SAVED = 0.25  # of the time of an eager training on a CPU; measured 0.29 at width 128
_PROBES, _STEPS = 3, 4
_SLOWER = 1.03  # so much slower does not count: fewer networks at once are durable sooner


@dataclass(frozen=True)
class Work:
    """What a run is going to compute, for the choice of how.

    Attributes:
        batch: images of one network in a step.
        trials: to be trained.
        trained: images that one trial trains.
        scored: images that one trial only looks at.
        cpu_networks: networks at once on a CPU.
        cuda_networks: networks at once on CUDA, at the most.
    """

    batch: int
    trials: int
    trained: int
    scored: int
    cpu_networks: int
    cuda_networks: int


@dataclass(frozen=True)
class Engine:
    """How a run is computed.

    Attributes:
        size: networks at once.
        execution: on the device.
        note: what was measured; empty on a CPU.
    """

    size: int
    execution: Execution
    note: str = ""


def choose_engine(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: Recipe,
    work: Work,
    *,
    ensemble_size: int | None,
    compile_mode: str,
    deterministic: bool,
) -> Engine:
    """Choose how to run.

    Args:
        data: on its device.
        architecture: of the networks.
        recipe: of the trials.
        work: how much there is to do.
        ensemble_size: networks at once, if the user said so.
        compile_mode: "on", "off", or "auto": where it pays.
        deterministic: choose by rule alone, on CUDA too.

    Returns:
        The choice.

    Raises:
        UsageError: if compile_mode is something else.
    """
    if compile_mode not in get_args(Compile):
        raise UsageError(f"--compile is {compile_mode!r}; choose {', '.join(get_args(Compile))}.")
    if data.device.type == "cpu":
        size = min(ensemble_size or work.cpu_networks, max(work.trials, 1))
        pays = size == 1 and _cpu_seconds(architecture, work) * _SAVED > _COMPILING
        wanted = compile_mode == "on" or (compile_mode == "auto" and pays and not deterministic)
        return Engine(size, Execution(compiled=wanted))
    fitting = networks_that_fit(architecture, work.batch, data.device)
    most = ensemble_size or max(1, min(work.trials, work.cuda_networks, fitting))
    if deterministic:
        return Engine(most, Execution(graph=True, compiled=compile_mode == "on"))
    sizes = [most] if ensemble_size else _halves(most)
    return _measured(data, architecture, recipe, work, sizes, compile_mode)


def networks_that_fit(architecture: Architecture, batch: int, device: torch.device) -> int:
    """How many networks the free memory of a card holds by a rough estimate; running out lowers it later."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * _MEMORY_SHARE / architecture.activation_bytes(batch))


def layouts(recipe: Recipe) -> list[Layout]:
    """The candidates: every convolution, with channels innermost too where the norm allows it."""
    orders = [False, True] if recipe.network.norm in ("instance", "batch", "none") else [False]
    return [Layout(convolution, order) for order in orders for convolution in CONVOLUTIONS]


def seconds_per_image(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: Recipe,
    size: int,
    batch: int,
    execution: Execution,
) -> float:
    """Measure training steps of throwaway networks.

    Returns:
        Seconds by image and network, the median of some probes; infinite if memory does not suffice.
    """
    try:
        stepper = Stepper(
            architecture, replace(recipe, batch_size=batch), make_trials(0, range(size)), data, execution
        )
        rows = torch.arange(batch * size, device=data.index_device) % len(data.labels)
        images, targets = data.batch(rows.view(batch, size))
        stepper(images, targets)  # chooses kernels, compiles, captures
        seconds: list[float] = []
        for _ in range(_PROBES):
            with _timed(data.device, seconds):
                stepper(images, targets, steps=_STEPS)
    except torch.OutOfMemoryError:
        return math.inf
    finally:
        stepper = None  # type: ignore[assignment]  # its memory is for the next candidate
        if data.device.type == "cuda":
            torch.cuda.empty_cache()
    return float(statistics.median(seconds)) / (_STEPS * batch * size)


@contextmanager
def _timed(device: torch.device, seconds: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds.append(time.perf_counter() - start)


def _measured(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: Recipe,
    work: Work,
    sizes: Sequence[int],
    compile_mode: str,
) -> Engine:
    """Take the fastest: of the layouts with the most networks, then of the sizes, then compiled or not."""

    def measure(size: int, execution: Execution) -> float:
        return seconds_per_image(data, architecture, recipe, size, work.batch, execution)

    by_layout: dict[Layout, float] = {}
    for first in sizes:  # the most that memory holds
        by_layout = {
            layout: measure(first, Execution(layout=layout, graph=True)) for layout in layouts(recipe)
        }
        if min(by_layout.values()) < math.inf:
            break
    layout = min(by_layout, key=by_layout.__getitem__)
    execution = Execution(layout=layout, graph=True)
    by_size = {size: measure(size, execution) for size in sizes}
    size = min(size for size in sizes if by_size[size] <= _SLOWER * min(by_size.values()))
    fastest = by_size[size]
    whole = fastest * work.trials * (work.trained + work.scored / 3)
    if compile_mode == "on" or (compile_mode == "auto" and whole > _COMPILING):
        compiled = replace(execution, compiled=True)
        if measure(size, compiled) < fastest or compile_mode == "on":
            execution = compiled
    order = ", channels last" if layout.channels_last else ""
    with_compiler = ", compiled" if execution.compiled else ""
    note = (
        f"measured: {size} networks at once, {layout.convolution} convolution{order}{with_compiler} trains "
        f"{1 / fastest:,.0f} images/s"
    )
    return Engine(size, execution, note)


def _halves(most: int) -> list[int]:
    sizes = [most]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return sizes


def _cpu_seconds(architecture: Architecture, work: Work) -> float:
    """Roughly, of all trials without compiling."""
    images = work.trials * (3 * work.trained + work.scored)
    return images * architecture.forward_operations() / (_CPU_OPERATIONS * torch.get_num_threads())
