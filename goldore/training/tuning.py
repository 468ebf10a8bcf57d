"""Choosing how to run: how many networks at once, which layout, compiled or not.

On a CPU the choice is a rule, from measurements (benchmarks/RESULTS.md), so that a run is repeatable to the
bit. On CUDA the fastest depends on the card, the libraries and the sizes, and is measured before the run: a
few steps of throwaway networks for each candidate, a few seconds in all; where the run is long, compiled ones
too. A candidate that fails is left out.
"""

import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch

from goldore.errors import UsageError
from goldore.networks import fused
from goldore.networks.architecture import Architecture, Layout
from goldore.networks.stacked import StackedNetworks
from goldore.training.devices import abilities, synchronize
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, Images
from goldore.training.loop import forward
from goldore.training.memory import free_memory, is_memory_error, release_memory, total_memory
from goldore.training.stepping import Stepper
from goldore.trials import Precision, Recipe
from goldore.trials.seeds import make_trials
from goldore.wording import first_line

Compile = Literal["auto", "on", "off"]
_MEMORY_SHARE = 0.5  # of the free memory that the estimated activations may fill
_CPU_OPERATIONS, _CPU_ACTIVATION = 8e10, 4e-9  # operations a second, and seconds an activation, of a thread
_COMPILING = 60.0  # seconds, about; compiling pays where it saves more
_SAVED = 0.25  # of the time of an eager training on a CPU; measured 0.29 at width 128
_PROBES, _STEPS = 3, 4
_SCORED = 2048  # images that are scored to measure it
_SLOWER = 1.03  # so much slower does not count: fewer networks at once are durable sooner


@dataclass(frozen=True)
class Work:
    """What a run is going to compute, for the choice of how.

    Attributes:
        batch: images of one network in a step.
        held: images that one network holds at once, at the most.
        trials: to be trained.
        trained: images that one trial trains.
        scored: images that one trial only looks at.
        cpu_networks: networks at once on a CPU.
        cuda_networks: networks at once on CUDA, at the most.
        compiles: whether most of it can be compiled. On a CPU that then pays more than many networks at once.
        seconds: after which the run is stopped.
    """

    batch: int
    held: int
    trials: int
    trained: int
    scored: int
    cpu_networks: int
    cuda_networks: int
    compiles: bool = True
    seconds: float = math.inf


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
    check_compile_mode(compile_mode)
    given = min(ensemble_size, max(work.trials, 1)) if ensemble_size else None
    if not abilities(data.device).own_memory:
        pays = work.compiles and given in (None, 1) and not deterministic
        images = work.trials * (3 * work.trained + work.scored)
        pays = pays and compiling_pays(architecture, images, work.seconds)
        compiled = compile_mode == "on" or (compile_mode == "auto" and pays)
        size = given or (1 if compiled and work.compiles else min(work.cpu_networks, max(work.trials, 1)))
        candidates = architecture.layouts(one_operator=compiled)
        layout = Layout(fused=Layout(fused=True) in candidates)
        return Engine(size, Execution(layout, layout, compiled))
    memory = total_memory(data.device) if deterministic else free_memory(data.device)
    fitting = networks_that_fit(architecture, work.held, memory)
    most = given or max(1, min(work.trials, work.cuda_networks, fitting))
    if deterministic or work.trials == 0:
        return Engine(most, Execution(graph=True, compiled=compile_mode == "on"))
    return _measured(data, architecture, recipe, work, [most] if given else _halves(most), compile_mode)


def networks_that_fit(architecture: Architecture, images: int, memory: int) -> int:
    """How many networks some bytes of memory hold by a rough estimate; running out lowers it later."""
    return int(memory * _MEMORY_SHARE / architecture.activation_bytes(images))


def layouts(architecture: Architecture, device: torch.device) -> list[Layout]:
    """The ways to compute networks that are tried on a device."""
    return architecture.layouts(one_operator=abilities(device).triton and fused.available())


def layout_words(layout: Layout) -> str:
    """A layout in words."""
    order = ", channels last" if layout.channels_last else ""
    return f"{layout.convolution} convolution{order}{', fused blocks' if layout.fused else ''}"


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
    probe = replace(recipe, batch_size=batch)
    rows = torch.arange(batch * size, device=data.index_device) % len(data.labels)

    def prepare() -> Callable[[], object]:
        stepper = Stepper(architecture, probe, make_trials(0, range(size)), data, execution)
        images, targets = data.batch(rows.view(batch, size))
        return lambda: stepper(images, targets, steps=_STEPS)

    return _seconds(data.device, prepare) / (_STEPS * batch * size)


def scoring_seconds_per_image(
    data: DeviceDataset, architecture: Architecture, size: int, precision: Precision, execution: Execution
) -> float:
    """Measure scoring passes of throwaway networks over some images.

    Returns:
        Seconds by image and network, the median of some probes; infinite if memory does not suffice.
    """
    images = Images(data.images.run(0, _SCORED).cpu().numpy(), data.device, resident=True)

    def prepare() -> Callable[[], object]:
        draws = [np.random.default_rng(each) for each in range(size)]
        networks = StackedNetworks(architecture, draws, data.device)
        return lambda: forward(
            networks,
            data,
            images,
            data.labels[: len(images)],
            lambda *_: None,
            precision=precision,
            execution=execution,
        )

    return _seconds(data.device, prepare) / (len(images) * size)


def _seconds(device: torch.device, prepare: Callable[[], Callable[[], object]]) -> float:
    """Median time of some work after a first time, which chooses kernels, compiles and captures."""
    found: list[float] = []
    try:
        work = prepare()
        work()
        for _ in range(_PROBES):
            synchronize(device)
            start = time.perf_counter()
            work()
            synchronize(device)
            found.append(time.perf_counter() - start)
    except Exception as error:
        if not is_memory_error(error):
            raise
        found = [math.inf]
    work = None  # type: ignore[assignment]  # its memory is for the next candidate
    release_memory()
    return float(statistics.median(found))


def _measured(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: Recipe,
    work: Work,
    sizes: Sequence[int],
    compile_mode: str,
) -> Engine:
    """Take the fastest: of the layouts with the most networks, then of the sizes, then compiled or not."""
    failed: list[str] = []

    def tried(seconds: Callable[[], float]) -> float:
        try:
            return seconds()
        except Exception as error:  # noqa: BLE001
            synchronize(
                data.device
            )  # an error that the device keeps ends the run here, another one this candidate
            failed.append(first_line(error))
        release_memory()
        return math.inf

    def trains(size: int, execution: Execution) -> float:
        return tried(lambda: seconds_per_image(data, architecture, recipe, size, work.batch, execution))

    def scores(size: int, execution: Execution) -> float:
        precision = recipe.precision or "float32"
        return tried(lambda: scoring_seconds_per_image(data, architecture, size, precision, execution))

    by_layout: dict[Layout, float] = {}
    for first in sizes:  # the most that memory holds
        by_layout = {
            layout: trains(first, Execution(layout=layout, graph=True))
            for layout in layouts(architecture, data.device)
        }
        if min(by_layout.values()) < math.inf:
            break
        if len(failed) == len(by_layout):  # not for want of memory: the run would fail likewise
            execution = Execution(layout=next(iter(by_layout)), graph=True)
            seconds_per_image(data, architecture, recipe, first, work.batch, execution)
        failed.clear()
    layout = min(by_layout, key=by_layout.__getitem__)
    execution = Execution(layout=layout, graph=True)
    by_size = {size: trains(size, execution) for size in sizes}
    size = min(size for size in sizes if by_size[size] <= _SLOWER * min(by_size.values()))
    fastest = by_size[size]
    execution, scored = _with_scoring(scores, size, execution)
    whole = min(work.trials * (fastest * work.trained + scored * work.scored), work.seconds)
    worth = {"on": math.inf, "auto": whole / _COMPILING, "off": 0}[compile_mode]
    by_compiled = {
        each: trains(size, Execution(layout=each, graph=True, compiled=True))
        for number, each in enumerate(_worth_compiling(by_layout), start=1)
        if number <= worth
    }
    best = min(by_compiled.values(), default=math.inf)
    if best < (math.inf if compile_mode == "on" else fastest):
        layout = min(by_compiled, key=by_compiled.__getitem__)
        fastest = best
        execution = Execution(layout=layout, graph=True, compiled=True)
        execution, _ = _with_scoring(scores, size, execution)
    if failed:
        warnings.warn(
            f"some ways to compute the networks fail here and are left out: {failed[0]}",
            stacklevel=3,
        )
    return Engine(size, execution, _note(size, execution, fastest))


def _worth_compiling(by_layout: Mapping[Layout, float]) -> list[Layout]:
    """The fastest layout of each kind, the most promising first.

    Compiling changes which is the best: uncompiled, the norm of channels last reads and writes the most of
    all, compiled the least (benchmarks/step_bytes.py).
    """
    best: dict[tuple[bool, bool], Layout] = {}
    for layout in sorted(by_layout, key=by_layout.__getitem__):
        if by_layout[layout] < math.inf:
            best.setdefault((layout.fused, layout.channels_last), layout)
    return [best[kind] for kind in sorted(best, reverse=True)]


def _with_scoring(
    seconds: Callable[[int, Execution], float], size: int, execution: Execution
) -> tuple[Execution, float]:
    """Take the faster way to score: the plain layout or that of training; seconds by image and network."""
    ways = [replace(execution, scoring=each) for each in dict.fromkeys((Layout(), execution.layout))]
    found = {each: seconds(size, each) for each in ways}
    best = min(found, key=found.__getitem__)
    return best, found[best]


def _note(size: int, execution: Execution, seconds: float) -> str:
    compiled = ", compiled" if execution.compiled else ""
    return (
        f"measured: {size} networks at once, {layout_words(execution.layout)}{compiled} trains "
        f"{1 / seconds:,.0f} images/s"
    )


def _halves(most: int) -> list[int]:
    sizes = [most]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return sizes


def check_compile_mode(compile_mode: str) -> None:
    """Refuse what is no mode.

    Raises:
        UsageError: naming those that there are.
    """
    if compile_mode not in get_args(Compile):
        raise UsageError(f"`compile_mode` is {compile_mode!r}; choose {', '.join(get_args(Compile))}.")


def is_compiled(architecture: Architecture, images: int, device: torch.device, compile_mode: str) -> bool:
    """Whether work that is not measured first is compiled: if the user says so, or on a CPU where it pays.

    Args:
        architecture: of a network.
        images: as for `compiling_pays`.
        device: that it runs on.
        compile_mode: "on", "off" or "auto".

    Raises:
        UsageError: if compile_mode is something else.
    """
    check_compile_mode(compile_mode)
    if compile_mode == "auto":
        return not abilities(device).own_memory and compiling_pays(architecture, images)
    return compile_mode == "on"


def compiling_pays(architecture: Architecture, images: int, most: float = math.inf) -> bool:
    """Whether compiling saves more on a CPU than it takes.

    Args:
        architecture: of a network.
        images: that pass through it forward; a backward pass counts as two more.
        most: seconds after which the work ends anyway.
    """
    each = architecture.forward_operations() / _CPU_OPERATIONS
    each += _CPU_ACTIVATION * architecture.activations()
    return min(images * each / torch.get_num_threads(), most) * _SAVED > _COMPILING
