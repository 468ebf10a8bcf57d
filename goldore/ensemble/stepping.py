"""The training step of E networks: run as it is written, compiled, or replayed as a CUDA graph.

The same numbers come out, but for rounding. A step of small networks is bound by the launching of its hundred
or so kernels; a graph launches them as one. Nothing here waits for the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from goldore.ensemble.convnet import Architecture, StackedConvNet
from goldore.ensemble.execution import Execution, losses_function, warn_of_compiler
from goldore.ensemble.images import DeviceDataset
from goldore.ensemble.memory import is_memory_error
from goldore.recipe import Recipe
from goldore.trials import Trial

_WARM_UPS = 2  # steps before a graph is captured: libraries choose their kernels in them


class Stepper:
    """E networks with their optimiser, trained step by step.

    Args:
        architecture: of the networks.
        recipe: optimiser, precision and batch size.
        trials: E of them; each decides its network's initial weights.
        data: for the device and the normalisation.
        execution: how to run. Batches of another size than the first run uncompiled.

    Attributes:
        networks: E of them.
        losses: mean loss of the last step's batch, float32 [E], on the device.
        loss_sum: sum over samples of the losses since it was last cleared, float64 [E], on the device.
    """

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        trials: Sequence[Trial],
        data: DeviceDataset,
        execution: Execution,
    ) -> None:
        self.networks = StackedConvNet(architecture, trials, data.device, execution.layout)
        self.losses = torch.zeros(len(trials), device=data.device)
        self.loss_sum = torch.zeros(len(trials), dtype=torch.float64, device=data.device)
        self._parameters = list(self.networks.parameters.values())
        self._optimizer = torch.optim.SGD(
            self._parameters,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=data.device.type == "cuda",
        )
        self._momentum = []
        if recipe.momentum:  # before the first step, so that a graph captured there takes it as it will be
            for parameter in self._parameters:
                buffer = torch.zeros_like(parameter, requires_grad=False)
                self._optimizer.state[parameter]["momentum_buffer"] = buffer
                self._momentum.append(buffer)
        self._batch_size: int | None = None  # of the first batch
        self._normalization = data.shift, data.scale
        self._plain, self._fast = (
            losses_function(architecture, execution.layout, recipe.precision or "float32", compiled=compiled)
            for compiled in (False, execution.compiled)
        )
        self._graphs: dict[tuple[Any, ...], _Graph] | None = (
            {} if execution.graph and data.device.type == "cuda" else None
        )
        self._pool: Any = None  # of memory, which the graphs share: one is replayed at a time

    def restart(self, trials: Sequence[Trial]) -> None:
        """Start anew with E other trials, in the same memory and with the graphs that there are."""
        self.networks.restart(trials)
        for buffer in self._momentum:
            buffer.zero_()
        self.losses.zero_()
        self.loss_sum.zero_()

    def __call__(self, images: Tensor, targets: Tensor, steps: int = 1) -> None:
        """Take optimiser steps with every network, each on its own batch.

        Args:
            images: uint8, or normalised float32, [B, E, C, H, W].
            targets: int64 [B, E].
            steps: how many, all on this batch.
        """
        if self._graphs is None:
            for _ in range(steps):
                self._step(images, targets)
            return
        key = (images.shape, images.dtype)
        if key not in self._graphs:
            self._graphs[key] = self._capture(images, targets)
        self._graphs[key].replay(images, targets, steps)

    def _step(self, images: Tensor, targets: Tensor) -> None:
        losses = self._gradients(images, targets)
        self._optimizer.step()
        self.losses.copy_(losses.detach())
        self.loss_sum.add_(self.losses.double(), alpha=len(images))

    def _gradients(self, images: Tensor, targets: Tensor) -> Tensor:
        """Losses [E] of a batch, their gradients left with the parameters."""
        self._batch_size = self._batch_size or len(images)
        compute = self._fast if len(images) == self._batch_size else self._plain
        self._optimizer.zero_grad(set_to_none=True)
        try:
            losses = compute(
                self.networks.parameters, self.networks.running, images, targets, *self._normalization
            )
            losses.sum().backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            if compute is self._plain or is_memory_error(error):
                raise
            warn_of_compiler(error)
            self._fast = self._plain
            return self._gradients(images, targets)
        return losses

    def _capture(self, images: Tensor, targets: Tensor) -> "_Graph":
        """Capture a step on batches of this shape; the networks are as they were afterwards."""
        static = images.clone(), targets.clone()
        state = [
            *self._parameters,
            *self._momentum,
            *(each for pair in self.networks.running for each in pair),
            self.losses,
            self.loss_sum,
        ]
        saved = [each.detach().clone() for each in state]
        current = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._step(*static)
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=side):
            self._step(*static)
        self._pool = graph.pool()
        with torch.no_grad():
            for each, before in zip(state, saved, strict=True):
                each.copy_(before)
        return _Graph(graph, *static)


@dataclass(frozen=True)
class _Graph:
    """A captured step and the memory that it reads its batch from."""

    graph: "torch.cuda.CUDAGraph"
    images: Tensor
    targets: Tensor

    def replay(self, images: Tensor, targets: Tensor, steps: int) -> None:
        self.images.copy_(images)
        self.targets.copy_(targets)
        for _ in range(steps):
            self.graph.replay()
