"""Torch modules of any kind as proxy networks: E of them are computed one after the other.

The last layer of a module must be a `torch.nn.Linear` that gives its output; it is taken off and computed as
the head of every family is, so that features and scores in full precision are there for all of them.
"""

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from goldore.errors import GoldoreError, UsageError, reason
from goldore.networks.architecture import Architecture, Layout, Parameters, Running
from goldore.networks.config import BuiltConfig

_BODY, _HEAD = "body.", "head."
_PROBED = 4  # images by which it is seen whether the module ends with its last linear layer


class Headed(nn.Module):
    """A module in two parts.

    Args:
        body: gives features, of any shape after the batch's axis.
        head: the last layer.
    """

    def __init__(self, body: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W]."""
        logits: Tensor = self.head(self.body(images).flatten(1))
        return logits


@dataclass(frozen=True)
class ModuleNetwork(Architecture):
    """A module applied to images and classes; `config` is a `BuiltConfig`."""

    config: BuiltConfig

    @property
    def features(self) -> int:
        """Inputs of the last layer."""
        return self._example.head.in_features

    def body_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter but the last layer's."""
        return {f"{_BODY}{name}": tuple(each.shape) for name, each in self._example.body.named_parameters()}

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter; the last layer may have no bias."""
        return {name: tuple(each.shape) for name, each in self._example.named_parameters()}

    def initial_bounds(self) -> dict[str, float]:
        """None: a module draws its own parameters.

        Raises:
            UsageError: always; who asks wants to draw them where the networks are.
        """
        raise UsageError(
            f"{self.config.describe()}: its parameters are drawn by its own code, and distilling draws new "
            "ones in every step; use the network convnet there."
        )

    def drawn(self, draw: np.random.Generator) -> dict[str, np.ndarray]:
        """Parameters as the module draws them, from a seed of torch's generator that `draw` gives."""
        built = self._built(int(draw.integers(2**63)))
        return {name: each.detach().numpy().copy() for name, each in built.named_parameters()}

    def fresh_running(self, size: int, device: torch.device) -> list[tuple[Tensor, ...]]:
        """The buffers of each network, as the module makes them."""
        buffers = tuple(self._example.body.buffers())
        return [tuple(each.to(device, copy=True) for each in buffers) for _ in range(size)] if buffers else []

    def features_of(
        self, layout: Layout, parameters: Parameters, running: Running, images: Tensor, *, training: bool
    ) -> Tensor:
        """One network after the other (see `Architecture.features_of`)."""
        del layout
        body = self._bodies[training]
        names = [name.removeprefix(_BODY) for name in parameters if name.startswith(_BODY)]
        buffers = [name for name, _ in body.named_buffers()]
        size, channels = len(parameters["head.weight"]), self.image_shape[0]
        apart = images.shape[1] == size * channels
        parts = torch.split(images, channels, dim=1) if apart else [images] * size
        low = images.dtype != torch.float32
        found = []
        for place, part in enumerate(parts):
            state = {name: parameters[f"{_BODY}{name}"][place] for name in names}
            if running:
                state |= dict(zip(buffers, running[place % len(running)], strict=True))
            with torch.autocast(images.device.type, images.dtype) if low else nullcontext():
                found.append(functional_call(body, state, (part.float(),)).flatten(1))
        return torch.stack(found).to(images.dtype)

    def forward_operations(self) -> int:
        """Floating-point operations of one image's forward pass, as torch counts them."""
        return self._cost[0]

    def activations(self) -> int:
        """Numbers that the module's layers give for one image."""
        return self._cost[1]

    def plain(self) -> nn.Module:
        """One module."""
        return self._built(0)

    @property
    def momentum(self) -> None:
        """Unknown: layers may have any."""

    def begin(self, seed: int) -> None:
        """Start torch's generator, from which layers such as dropout draw, at a trial's seed."""
        torch.manual_seed(seed)

    @functools.cached_property
    def _example(self) -> Headed:
        return self._built(0)

    @functools.cached_property
    def _bodies(self) -> dict[bool, nn.Module]:
        """The body to train and to look at; without parameters of its own, which it gets in each call."""
        return {
            training: copy.deepcopy(self._example.body).train(training).to("meta")
            for training in (False, True)
        }

    @functools.cached_property
    def _cost(self) -> tuple[int, int]:
        numbers = 0

        def add(_: nn.Module, __: Any, output: Any) -> None:
            nonlocal numbers
            numbers += output.numel() if isinstance(output, Tensor) else 0

        module = self._built(0).eval()
        leaves = [each for each in module.modules() if not list(each.children())]
        handles = [each.register_forward_hook(add) for each in leaves]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(torch.zeros(1, *self.image_shape))
        for handle in handles:
            handle.remove()
        return counter.get_total_flops(), numbers

    def _built(self, seed: int) -> Headed:
        """Build the module from a seed, on the CPU, and take off its last layer.

        Raises:
            UsageError: if it cannot be built, or does not end with a linear layer of as many outputs as there
                are classes.
        """
        what = self.config.describe()
        with torch.random.fork_rng(devices=[]), _errors_of(what):
            torch.manual_seed(seed)
            module = self.config.build(self.image_shape, self.num_classes)
            if not isinstance(module, nn.Module):
                raise UsageError(f"{what} gives {type(module).__name__}; it must give a torch.nn.Module.")
            module = module.float()
            linears = [(name, each) for name, each in module.named_modules() if isinstance(each, nn.Linear)]
            ends = f"{what} must end with a torch.nn.Linear of {self.num_classes} outputs, one a class"
            if not linears or linears[-1][1].out_features != self.num_classes:
                raise UsageError(f"{ends}; give it such a last layer.")
            name, head = linears[-1]
            probe = torch.rand(_PROBED, *self.image_shape)
            with torch.no_grad():
                whole = module.eval()(probe)
                headed = Headed(_without(module, name), copy.deepcopy(head)).eval()
                parts = headed(probe)
            if (
                not isinstance(whole, Tensor)
                or whole.shape != parts.shape
                or not torch.allclose(whole, parts, 1e-3)
            ):
                raise UsageError(f"{ends}, whose output is the module's; it gives something else.")
        return headed


def _without(module: nn.Module, name: str) -> nn.Module:
    """The module with one of its layers replaced by nothing."""
    if not name:
        return nn.Flatten()
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, nn.Identity())
    return module


@contextmanager
def _errors_of(what: str) -> Iterator[None]:
    """Say that a user's module fails."""
    try:
        yield
    except GoldoreError:
        raise
    except Exception as error:
        raise UsageError(f"{what} fails ({type(error).__name__}: {reason(error)}); mend it.") from error
