"""Sending from the host to a card without waiting, in bounded memory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from goldore.training.devices import abilities

_BUFFERS = 3  # one is filled while others are on their way


class _Slot:
    """Page-locked memory, and the mark in the stream after which it has been read."""

    def __init__(self, nbytes: int) -> None:
        self.memory = _page_locked(nbytes)
        self.read = torch.cuda.Event()  # type: ignore[no-untyped-call]


class Sender:
    """Sends arrays through a few page-locked buffers in turn.

    A copy from ordinary memory makes the host wait for the device. One from page-locked memory does not, but
    the memory must stay as it is until the copy is done: each buffer is filled again only then. So the host
    runs ahead of the device by a few arrays at the most, and page-locked memory, which is taken from the
    whole machine, stays bounded.

    Args:
        device: where to send to; on a device that does not run ahead nothing is copied.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._slots: list[_Slot] = []
        self._next = 0

    def send(self, shape: Sequence[int], dtype: torch.dtype, fill: Callable[[Tensor], object]) -> Tensor:
        """Send an array.

        Args:
            shape: of the array.
            dtype: of the array.
            fill: writes it to the tensor of this shape that it is given, on the host.

        Returns:
            The array on the device.
        """
        if not abilities(self._device).runs_ahead:
            array = torch.empty(tuple(shape), dtype=dtype)
            fill(array)
            return array
        nbytes = torch.Size(shape).numel() * dtype.itemsize
        slot = self._free(nbytes)
        array = slot.memory[:nbytes].view(dtype).view(tuple(shape))
        fill(array)
        sent = array.to(self._device, non_blocking=True)
        slot.read.record(torch.cuda.current_stream(self._device))
        return sent

    def _free(self, nbytes: int) -> _Slot:
        """The next buffer, once it has been read, and large enough."""
        if len(self._slots) < _BUFFERS:
            self._slots.append(_Slot(nbytes))
            return self._slots[-1]
        slot = self._slots[self._next]
        self._next = (self._next + 1) % _BUFFERS
        slot.read.synchronize()
        if len(slot.memory) < nbytes:
            slot.memory = _page_locked(nbytes)
        return slot


def _page_locked(nbytes: int) -> Tensor:
    with torch.inference_mode(mode=False):  # it is written outside of that mode too
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)
