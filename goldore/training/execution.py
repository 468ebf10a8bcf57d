"""What runs on the device, as functions of tensors that can be compiled: training losses and logits."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from goldore.networks import fused_loops
from goldore.networks.architecture import Architecture, Layout, Parameters, Running
from goldore.networks.stacked import logits_of
from goldore.training.devices import abilities
from goldore.training.images import normalized
from goldore.training.memory import is_memory_error
from goldore.trials import Precision
from goldore.wording import first_line

TYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16}
Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Execution:
    """How networks run on their device; it changes no result beyond rounding.

    Attributes:
        layout: of the networks in training.
        scoring: of the networks where they are only looked at.
        compiled: whether torch.compile makes the forward and backward passes.
        graph: whether training steps are replayed as CUDA graphs.
    """

    layout: Layout = field(default_factory=Layout)
    scoring: Layout = field(default_factory=Layout)
    compiled: bool = False
    graph: bool = False


@functools.cache
def losses_function(
    architecture: Architecture,
    layout: Layout,
    precision: Precision,
    *,
    compiled: bool,
    device: torch.device,
) -> Function:
    """Give a function for training.

    Args:
        architecture: of the networks.
        layout: of the networks.
        precision: of activations; the parameters and what is left of them in the optimiser are float32.
        compiled: by torch.compile, for batches of one size. Compiling begins with the first call, and may
            fail there or in the first backward pass.
        device: that it runs on.

    Returns:
        (parameters, running, images [B, E, C, H, W], targets [B, E], shift, scale) to the mean cross-entropy
        of each network's batch, float32 [E].
    """

    def losses(
        parameters: Parameters,
        running: Running,
        images: Tensor,
        targets: Tensor,
        shift: Tensor,
        scale: Tensor,
    ) -> Tensor:
        inputs = normalized(images, shift, scale).to(TYPES[precision]).flatten(1, 2)  # [B, E * C, H, W]
        logits = logits_of(architecture, layout, parameters, running, inputs, training=True)
        each = F.cross_entropy(logits.flatten(0, 1), targets.t().flatten(), reduction="none")
        return each.view(len(logits), -1).mean(1)

    return _compiled(losses, layout, device) if compiled else losses


@functools.cache
def logits_function(
    architecture: Architecture,
    layout: Layout,
    precision: Precision,
    *,
    compiled: bool,
    device: torch.device,
) -> Function:
    """Give a function for scoring and evaluating.

    Args:
        architecture: of the networks.
        layout: of the networks.
        precision: of activations.
        compiled: by torch.compile, for runs of one size.
        device: that it runs on.

    Returns:
        (parameters, running, images [B, C, H, W], shift, scale) to logits in eval mode, float32 [E, B, K].
    """

    def logits(
        parameters: Parameters, running: Running, images: Tensor, shift: Tensor, scale: Tensor
    ) -> Tensor:
        inputs = normalized(images, shift, scale).to(TYPES[precision])
        return logits_of(architecture, layout, parameters, running, inputs, training=False)

    return _or_plain(_compiled(logits, layout, device), logits) if compiled else logits


@functools.cache
def features_function(
    architecture: Architecture,
    layout: Layout,
    precision: Precision,
    *,
    compiled: bool,
    device: torch.device,
) -> Function:
    """Give a function for embedding.

    Args:
        architecture: of the networks.
        layout: of the networks.
        precision: of activations.
        compiled: by torch.compile, for runs of one size.
        device: that it runs on.

    Returns:
        (parameters, running, normalised images [B, C, H, W]) to embeddings in eval mode, float32 [E, B, F].
    """

    def features(parameters: Parameters, running: Running, images: Tensor) -> Tensor:
        inputs = images.to(TYPES[precision])
        return architecture.features_of(layout, parameters, running, inputs, training=False).float()

    return _or_plain(_compiled(features, layout, device), features) if compiled else features


def _compiled(function: Function, layout: Layout, device: torch.device) -> Function:
    """Compile for fixed shapes.

    Where Triton compiles, the order of activations in memory is the layout's. Left to itself the compiler
    makes convolutions channels-last, and copies back for every operator of its own that it meets
    (benchmarks/step_bytes.py).
    """
    by_triton = abilities(device).triton
    options: dict[str, Any] = {"layout_optimization": layout.channels_last} if by_triton else {}
    if layout.fused and not by_triton:
        known: list[str] = getattr(torch._inductor, "list_options", list)()  # noqa: SLF001
        options = {name: value for name, value in fused_loops.COMPILER_OPTIONS.items() if name in known}
    # Dynamo counts its compilations by code object and gives up after eight; closures share one.
    function.__code__ = function.__code__.replace()
    compiled: Function = torch.compile(function, dynamic=False, options=options or None)
    return compiled


def _or_plain(fast: Function, plain: Function) -> Function:
    """Run the function as it is once compiling it has failed, as it does without a compiler."""
    failed = False

    def call(*arguments: Any) -> Tensor:
        nonlocal failed
        if not failed:
            try:
                return fast(*arguments)
            except Exception as error:
                if is_memory_error(error):
                    raise
                warn_of_compiler(error)
                failed = True
        return plain(*arguments)

    return call


def warn_of_compiler(error: BaseException) -> None:
    """Say that compiling failed and the run goes on without."""
    warnings.warn(f"torch.compile failed, running on without it: {first_line(error)}", stacklevel=3)
