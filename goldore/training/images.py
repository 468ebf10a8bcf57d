"""The dataset where the networks are: on the device, or streamed to it where it does not fit."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from goldore.datasets import ImageDataset
from goldore.datasets.dataset import is_glance, is_mapped
from goldore.training.devices import abilities
from goldore.training.memory import free_memory
from goldore.training.read_ahead import ReadAhead
from goldore.training.sending import Sender

_SHARE = 0.5  # of a card's free memory that images may fill; the rest is for the networks


class Images:
    """Images uint8 [N, C, H, W], on the device or, if they are too many for it, on the host.

    Args:
        array: the images.
        device: where they are wanted.
        resident: whether they are copied there; None: if they fit.
    """

    def __init__(self, array: np.ndarray, device: torch.device, *, resident: bool | None = None) -> None:
        if resident is None:
            resident = not abilities(device).own_memory or array.nbytes <= _SHARE * free_memory(device)
        self.resident = resident
        self._device = device
        self._sender = Sender(device)
        self._images = to_device(array, device) if resident else as_tensor(array)
        on_disk = is_mapped(array) and not (resident and abilities(device).own_memory)
        self._ahead = ReadAhead(array) if on_disk else None

    def __len__(self) -> int:
        return len(self._images)

    def take(self, rows: Tensor) -> Tensor:
        """Gather images.

        Args:
            rows: positions, int64 of any shape, on the host if the images are not resident.

        Returns:
            uint8 [*rows.shape, C, H, W] on the device, contiguous, since convolutions round by the strides:
            a mapped array with the channels last is to give the same bits as its copy in memory.
        """
        if self.resident:
            return self._images[rows.to(self._device)].contiguous()
        flat = rows.cpu().flatten()
        shape = (len(flat), *self._images.shape[1:])
        sent = self._sender.send(
            shape, torch.uint8, lambda out: torch.index_select(self._images, 0, flat, out=out)
        )
        return sent.view(*rows.shape, *self._images.shape[1:])

    def follow(
        self, order: Tensor, batch: int, windows: list[np.ndarray] | None, first: int
    ) -> Iterator[None]:
        """Have read what the steps of an epoch take, if the images lie on a disk; see `ReadAhead.follow`."""
        return iter(()) if self._ahead is None else self._ahead.follow(order.numpy(), batch, windows, first)

    def run(self, start: int, stop: int) -> Tensor:
        """Give consecutive images, uint8 [stop - start, C, H, W] on the device."""
        part = self._images[start:stop]
        if self.resident:
            return part.contiguous()
        return self._sender.send(part.shape, torch.uint8, lambda out: out.copy_(part))


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
        score_device: where what networks say is made into scores, in float64.
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
        self._host_labels = as_tensor(dataset.labels)
        self.images = Images(dataset.images, device, resident=resident)
        self.test: tuple[Images, Tensor] | None = None
        if dataset.test_images is not None and dataset.test_labels is not None:
            test = Images(dataset.test_images, device, resident=resident)
            self.test = test, to_device(dataset.test_labels, device)
        self.index_device = device if self.images.resident else torch.device("cpu")
        self.score_device = device if abilities(device).float64 else torch.device("cpu")
        self._sender = Sender(device)
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
        if self.images.resident:
            return self.images.take(rows), self.labels[rows]
        labels = self._host_labels[rows]
        return self.images.take(rows), self._sender.send(
            rows.shape, torch.int64, lambda out: out.copy_(labels)
        )

    def normalize(self, images: Tensor) -> Tensor:
        """Turn uint8 images [..., C, H, W] into normalised float32 ones; leave others as they are."""
        return normalized(images, self.shift, self.scale)


def normalized(images: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Turn uint8 images [..., C, H, W] into normalised float32 ones; leave others as they are."""
    return (images.float() - shift) * scale if images.dtype == torch.uint8 else images


def as_tensor(array: np.ndarray) -> Tensor:
    """Share an array's memory where torch can; a mapped file is never copied, and never written to."""
    if (is_mapped(array) or is_glance(array)) and min(array.strides) >= 0:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(array)
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to a device."""
    return as_tensor(array).to(device)
