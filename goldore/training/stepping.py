"""The training step of E networks: run as it is written, compiled, or replayed as a CUDA graph.

The same numbers come out, but for rounding. Nothing here waits for the device.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks
from goldore.training.checkpoints import on_host
from goldore.training.devices import abilities
from goldore.training.execution import Execution, losses_function, warn_of_compiler
from goldore.training.graphs import Replayed
from goldore.training.images import DeviceDataset
from goldore.training.memory import is_memory_error
from goldore.trials import Recipe
from goldore.trials.seeds import Stream, Trial


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
        loss_sum: sum over samples of the losses since it was last cleared, [E], on the device; float64
            where that has it.
    """

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        trials: Sequence[Trial],
        data: DeviceDataset,
        execution: Execution,
    ) -> None:
        self.networks = StackedNetworks(architecture, weight_draws(trials), data.device, execution.layout)
        able = abilities(data.device)
        # On a card a tensor, which steps read anew, so that graphs serve every rate.
        self._rate = torch.tensor(recipe.lr, device=data.device) if able.own_memory else None
        self._rate_now = recipe.lr
        self.losses = torch.zeros(len(trials), device=data.device)
        wide = torch.float64 if able.float64 else torch.float32
        self.loss_sum = torch.zeros(len(trials), dtype=wide, device=data.device)
        self._parameters = list(self.networks.parameters.values())
        self._optimizer = torch.optim.SGD(
            self._parameters,
            lr=recipe.lr if self._rate is None else self._rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=able.own_memory,
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
                device=data.device,
            )
            for compiled in (False, execution.compiled)
        )
        state = [*self._parameters, *self._momentum, self.losses, self.loss_sum]
        state += [each for pair in self.networks.running for each in pair]
        graph = execution.graph and able.graphs
        self._replayed = Replayed(state, data.device) if graph else None
        architecture.begin(trials[0].seed)

    def restart(self, trials: Sequence[Trial]) -> None:
        """Start anew with E other trials, in the same memory and with the graphs that there are."""
        self.networks.restart(weight_draws(trials))
        self.networks.architecture.begin(trials[0].seed)
        for buffer in self._momentum:
            buffer.zero_()
        self.losses.zero_()
        self.loss_sum.zero_()

    def state(self) -> dict[str, Any]:
        """What the steps so far have made, copied to the host."""
        return {
            "parameters": on_host(self.networks.parameters),
            "running": [on_host(dict(enumerate(pair))) for pair in self.networks.running],
            "momentum": on_host(dict(enumerate(self._momentum))),
            "losses": on_host({"losses": self.losses, "loss_sum": self.loss_sum}),
            "batch_size": self._batch_size,
            "random": torch.get_rng_state(),  # of layers that draw numbers
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of the same networks, in the same memory."""
        for name, parameter in self.networks.parameters.items():
            parameter.copy_(state["parameters"][name])
        for pair, kept in zip(self.networks.running, state["running"], strict=True):
            for place, each in enumerate(pair):
                each.copy_(kept[place])
        for place, buffer in enumerate(self._momentum):
            buffer.copy_(state["momentum"][place])
        self.losses.copy_(state["losses"]["losses"])
        self.loss_sum.copy_(state["losses"]["loss_sum"])
        self._batch_size = state["batch_size"]
        torch.set_rng_state(state["random"])

    def set_learning_rate(self, rate: float) -> None:
        """Take the next steps with another learning rate."""
        if rate == self._rate_now:
            return
        self._rate_now = rate
        if self._rate is None:
            self._optimizer.param_groups[0]["lr"] = rate
        else:
            self._rate.fill_(rate)

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
        self.loss_sum.add_(self.losses.to(self.loss_sum.dtype), alpha=len(images))

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
            in_capture = self._replayed is not None and torch.cuda.is_current_stream_capturing()
            if compute is self._plain or in_capture or is_memory_error(error):
                raise
            warn_of_compiler(error)
            self._fast = self._plain
            return self._gradients(images, targets)
        return losses


def weight_draws(trials: Sequence[Trial]) -> list[np.random.Generator]:
    """Each trial's stream of initial weights, from its beginning."""
    return [trial.stream(Stream.WEIGHTS) for trial in trials]
