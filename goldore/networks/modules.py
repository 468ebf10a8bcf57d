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

_BODY = "body."
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

    def frozen(self) -> set[str]:
        """Those that do not ask for gradients."""
        return {name for name, each in self._example.named_parameters() if not each.requires_grad}

    def check_batch(self, size: int) -> None:
        """See that the module trains on a single image, where a last batch has one (batch norms may not)."""
        if size != 1:
            return
        with (
            torch.random.fork_rng(devices=[]),
            _errors_of(
                f"{self.config.describe()}, trained on the last batch of a single image,",
                "choose another `batch_size`",
            ),
        ):
            self._built(0).train()(torch.rand(1, *self.image_shape))

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
        """The body to train and to look at; it gets its parameters in each call."""
        return {training: copy.deepcopy(self._example.body).train(training) for training in (False, True)}

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
            UsageError: if it cannot be built, or is none that can be computed here.
        """
        what = self.config.describe()
        with torch.random.fork_rng(devices=[]), _errors_of(what, self.config.advice):
            torch.manual_seed(seed)
            module = self.config.build(self.image_shape, self.num_classes)
            if not isinstance(module, nn.Module):
                raise UsageError(f"{what} gives {type(module).__name__}; it must give a torch.nn.Module.")
            module = module.float()
            images = torch.rand(_PROBED, *self.image_shape)
            name, head = _last_layer(module, images, self.num_classes, what)
            _check_training(copy.deepcopy(module), images, what)
            return Headed(_without(module, name), head)


def _last_layer(module: nn.Module, images: Tensor, classes: int, what: str) -> tuple[str, nn.Linear]:
    """The linear layer that gives the module's output.

    Raises:
        UsageError: if there is none, or it is more than that.
    """
    given: dict[str, Tensor] = {}
    linears = {name: each for name, each in module.named_modules() if type(each) is nn.Linear}
    handles = [
        each.register_forward_hook(lambda _, __, output, name=name: given.update({name: output}))
        for name, each in linears.items()
        if not (each._forward_hooks or each._forward_pre_hooks)  # noqa: SLF001
    ]
    with torch.no_grad():
        output = module.eval()(images)
    for handle in handles:
        handle.remove()
    name = next((name for name, each in given.items() if each is output), None)
    if name is None or output.shape != (len(images), classes):
        raise UsageError(
            f"{what} must end with a plain torch.nn.Linear of {classes} outputs, one a class, and give its "
            "output; it gives something else."
        )
    weight, everything = linears[name].weight, module.named_parameters(remove_duplicate=False)
    shared = [each for each, other in everything if other is weight]
    if len(shared) > 1:
        raise UsageError(
            f"{what} shares the weights of its last layer ({', '.join(shared)}); give it its own."
        )
    return name, linears[name]


def _check_training(module: nn.Module, images: Tensor, what: str) -> None:
    """See that a module trains, and keeps its buffers where they are.

    Raises:
        UsageError: if it does not.
    """
    before = dict(module.named_buffers())
    output = module.train()(images)
    if not isinstance(output, Tensor):
        raise UsageError(
            f"{what} gives {type(output).__name__} in training; it must give a tensor of logits."
        )
    moved = [name for name, each in module.named_buffers() if each is not before.get(name)]
    if moved:
        raise UsageError(f"{what} puts another tensor in place of its buffer {moved[0]}; change it in place.")


def _without(module: nn.Module, name: str) -> nn.Module:
    """The module with one of its layers replaced by nothing."""
    if not name:
        return nn.Flatten()
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, nn.Identity())
    return module


@contextmanager
def _errors_of(what: str, advice: str) -> Iterator[None]:
    """Say that a user's module fails."""
    try:
        yield
    except GoldoreError:
        raise
    except Exception as error:
        raise UsageError(f"{what} fails ({type(error).__name__}: {reason(error)}); {advice}.") from error
