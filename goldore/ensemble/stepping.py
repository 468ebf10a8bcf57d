"""The training step of E networks: run as it is written, compiled, or replayed as a CUDA graph.

The same numbers come out, but for rounding. Nothing here waits for the device.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from goldore.ensemble.convnet import Architecture, StackedConvNet
from goldore.ensemble.execution import Execution, losses_function, warn_of_compiler
from goldore.ensemble.graphs import Replayed
from goldore.ensemble.images import DeviceDataset
from goldore.ensemble.memory import is_memory_error
from goldore.recipe import Recipe
from goldore.trials import Trial


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
            losses_function(
                architecture,
                execution.layout,
                recipe.precision or "float32",
                compiled=compiled,
                on_card=data.device.type == "cuda",
            )
            for compiled in (False, execution.compiled)
        )
        state = [*self._parameters, *self._momentum, self.losses, self.loss_sum]
        state += [each for pair in self.networks.running for each in pair]
        graph = execution.graph and data.device.type == "cuda"
        self._replayed = Replayed(state, data.device) if graph else None

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
        if self._replayed is not None:
            self._replayed(self._step, images, targets, times=steps)
            return
        for _ in range(steps):
            self._step(images, targets)

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
            in_capture = images.is_cuda and torch.cuda.is_current_stream_capturing()
            if compute is self._plain or in_capture or is_memory_error(error):
                raise
            warn_of_compiler(error)
            self._fast = self._plain
            return self._gradients(images, targets)
        return losses
