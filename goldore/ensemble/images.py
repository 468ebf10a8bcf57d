"""The dataset where the networks are: on the device, or streamed to it where it does not fit."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from goldore.datasets import ImageDataset

_SHARE = 0.5  # of a card's free memory that images may fill; the rest is for the networks
_SLOTS = 3  # batches on their way to the device


class Images:
    """Images uint8 [N, C, H, W], on the device or, if they are too many for it, on the host.

    Args:
        array: the images.
        device: where they are wanted.
        resident: whether they are copied there; None: if they fit.
    """

    def __init__(self, array: np.ndarray, device: torch.device, *, resident: bool | None = None) -> None:
        if resident is None:
            resident = device.type == "cpu" or array.nbytes <= _SHARE * torch.cuda.mem_get_info(device)[0]
        self.resident = resident
        self._device = device
        self._images = to_device(array, device) if resident else as_tensor(array)
        self._staging = None if resident else _Staging(device, self._images.shape[1:])

    def __len__(self) -> int:
        return len(self._images)

    def take(self, rows: Tensor) -> Tensor:
        """Gather images.

        Args:
            rows: positions, int64 of any shape, on the host if the images are not resident.

        Returns:
            uint8 [*rows.shape, C, H, W] on the device.
        """
        if self._staging is None:
            return self._images[rows.to(self._device)]
        flat = rows.cpu().flatten()
        taken = self._staging.upload(
            len(flat), lambda buffer: torch.index_select(self._images, 0, flat, out=buffer)
        )
        return taken.view(*rows.shape, *self._images.shape[1:])

    def run(self, start: int, stop: int) -> Tensor:
        """Give consecutive images, uint8 [stop - start, C, H, W] on the device."""
        part = self._images[start:stop]
        return part if self._staging is None else self._staging.upload(len(part), lambda b: b.copy_(part))


class _Staging:
    """Page-locked buffers through which images go to a card while it computes; taken in turn.

    Args:
        device: that they go to.
        shape: of an image.
    """

    def __init__(self, device: torch.device, shape: torch.Size) -> None:
        self._device, self._shape = device, shape
        self._cuda = device.type == "cuda"
        self._buffers: list[Tensor | None] = [None] * _SLOTS
        self._copied: list[torch.cuda.Event | None] = [None] * _SLOTS
        self._turn = 0

    def upload(self, count: int, fill: Callable[[Tensor], object]) -> Tensor:
        """Let `fill` write `count` images into a buffer and send them off, without waiting for it."""
        slot = self._turn = (self._turn + 1) % _SLOTS
        copied = self._copied[slot]
        if copied is not None:
            copied.synchronize()  # the buffer is being read until then
        buffer = self._buffers[slot]
        if buffer is None or len(buffer) < count:
            buffer = torch.empty((count, *self._shape), dtype=torch.uint8, pin_memory=self._cuda)
            self._buffers[slot] = buffer
        part = buffer[:count]
        fill(part)
        if not self._cuda:
            return part.clone()
        sent = part.to(self._device, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._copied[slot] = event
        return sent


class DeviceDataset:
    """A dataset for its device: uint8 images, normalised when they are used.

    Args:
        dataset: in memory.
        mean: per channel, of pixels scaled to 0..1.
        std: per channel, likewise.
        device: to train on.
        resident: whether the training images are copied to the device; None: if they fit.

    Attributes:
        device: to train on.
        images: training images.
        labels: int64 [N] on the device.
        test: images, and labels on the device; None without a test split.
        index_device: where positions of training images are best kept.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        *,
        resident: bool | None = None,
    ) -> None:
        self.device = device
        self.labels = to_device(dataset.labels, device)
        self.images = Images(dataset.images, device, resident=resident)
        self.test: tuple[Images, Tensor] | None = None
        if dataset.test_images is not None and dataset.test_labels is not None:
            test = Images(dataset.test_images, device, resident=resident)
            self.test = test, to_device(dataset.test_labels, device)
        self.index_device = device if self.images.resident else torch.device("cpu")
        channel = (-1, 1, 1)
        self.shift = torch.tensor(mean, dtype=torch.float32, device=device).view(channel) * 255
        self.scale = 1 / (torch.tensor(std, dtype=torch.float32, device=device).view(channel) * 255)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gather training samples.

        Args:
            rows: positions, int64 [B, E] on `index_device`.

        Returns:
            Images uint8 [B, E, C, H, W] and labels int64 [B, E], on the device.
        """
        return self.images.take(rows), self.labels[rows.to(self.device)]

    def normalize(self, images: Tensor) -> Tensor:
        """Turn uint8 images [..., C, H, W] into normalised float32 ones; leave others as they are."""
        return normalized(images, self.shift, self.scale)


def normalized(images: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Turn uint8 images [..., C, H, W] into normalised float32 ones; leave others as they are."""
    return (images.float() - shift) * scale if images.dtype == torch.uint8 else images


def as_tensor(array: np.ndarray) -> Tensor:
    """Share an array's memory where torch can."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to a device."""
    return as_tensor(array).to(device)
