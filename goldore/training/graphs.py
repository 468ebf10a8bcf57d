"""CUDA graphs: work on fixed memory, launched as one.

A step of small networks is bound by the launching of its hundred or so kernels. A graph launches them as one.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from goldore.training.memory import is_memory_error
from goldore.wording import first_line

_WARM_UPS = 2  # runs before a graph is captured: libraries choose their kernels in them


class Replayed:
    """Work on tensors that is captured once for each shape of its arguments, and replayed from then on.

    Where it cannot be captured it runs as it is written, after a warning.

    Args:
        state: all tensors that the work changes; capturing leaves them as they were.
        device: a CUDA device, of all tensors.
    """

    def __init__(self, state: Sequence[Tensor], device: torch.device) -> None:
        self._state, self._device = state, device
        self._graphs: dict[Any, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]] | None] = {}
        self._pool: Any = None  # of memory, which the graphs share: one is replayed at a time

    def __call__(self, work: Callable[..., None], *arguments: Tensor, times: int = 1) -> None:
        """Do the work.

        Args:
            work: the same in every call; not kept, since a method would keep its object's memory alive. It
                reads its arguments and changes tensors that stay where they are. Nothing in it waits for the
                device, takes a number from the host or depends on anything else.
            arguments: of the work; copied, so that their memory is free for others afterwards.
            times: how often.

        Raises:
            RuntimeError: if memory does not suffice for the graph.
        """
        with torch.cuda.device(self._device):
            key = tuple((each.shape, each.dtype) for each in arguments)
            if key not in self._graphs:
                self._graphs[key] = self._captured(work, arguments)
            captured = self._graphs[key]
            if captured is None:
                for _ in range(times):
                    work(*arguments)
                return
            graph, fixed = captured
            for target, each in zip(fixed, arguments, strict=True):
                target.copy_(each)
            for _ in range(times):
                graph.replay()

    def _captured(
        self, work: Callable[..., None], arguments: Sequence[Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]] | None:
        """A graph and the memory of its arguments; None where it cannot be captured."""
        fixed = tuple(each.clone() for each in arguments)
        saved = [each.detach().clone() for each in self._state]
        current, side = torch.cuda.current_stream(), _side_stream(self._device)
        graph = torch.cuda.CUDAGraph()
        pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    work(*fixed)
            with torch.cuda.graph(graph, pool=pool, stream=side):
                work(*fixed)
        except Exception as error:
            _leave(pool, self._device)
            if is_memory_error(error):
                raise
            if None not in self._graphs.values():
                warnings.warn(
                    f"a CUDA graph cannot be captured, running on without it: {first_line(error)}",
                    stacklevel=4,
                )
            return None
        else:
            self._pool = pool
            return graph, fixed
        finally:
            torch.cuda.set_stream(current)  # a capture that failed leaves its own current (torch 2.11)
            current.wait_stream(side)
            with torch.no_grad():
                for each, before in zip(self._state, saved, strict=True):
                    each.copy_(before)


def _leave(pool: Any, device: torch.device) -> None:
    """Tell the allocator that a capture which failed is over.

    Torch up to 2.11 does not: from then on memory would never be given back to the card, or before 2.8 the
    next attempt to would fail (pytorch#158152, #180395). Nothing happens if it knows.
    """
    for name in ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool"):  # since 2.8, before
        with contextlib.suppress(AttributeError, RuntimeError):
            getattr(torch._C, name)(device.index, pool)  # noqa: SLF001
            torch._C._cuda_releasePool(device.index, pool)  # noqa: SLF001
            return


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream on which a device's graphs are captured.

    One for all, since libraries keep memory for every stream that they were ever used on: cuBLAS 32 MiB and
    more. No two captures overlap.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
