"""Observers: what is recorded of each sample while networks train.

The trainer runs the scoring pass after the epochs that some observer asks for and shows the logits to every
observer that wants that epoch. A new per-sample quantity (error norm, forgetting, margin, ...) is a new
observer; the trainer does not change.
"""

from collections.abc import Collection
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


class Observer(Protocol):
    """Turns the logits of chosen epochs into one number per network and sample.

    Attributes:
        name: of the recorded quantity.
        epochs: the epochs, counted from 1, after which it wants to see all samples.
    """

    @property
    def name(self) -> str:
        """Name of the recorded quantity."""

    @property
    def epochs(self) -> Collection[int]:
        """The epochs, counted from 1, after which it wants to see all samples."""

    def see(self, start: int, logits: Tensor, labels: Tensor) -> None:
        """Take in a run of consecutive samples.

        Args:
            start: position of the first of them.
            logits: float32 [E, B, K].
            labels: int64 [B].
        """

    def result(self) -> Tensor:
        """Give the quantity, float32 [E, N], on the device."""


class MeanLoss:
    """Mean over the chosen epochs of each sample's cross-entropy, in nat.

    The softmax is taken in float64. In float32 the loss of a sample that is classified with confidence is
    rounded to a multiple of 6e-8 and often to zero, which gives ties among just those samples that
    LossConverge has to rank.

    Args:
        name: of the recorded quantity.
        epochs: counted from 1, not empty.
        networks: E.
        samples: N.
        device: of the logits.
    """

    def __init__(
        self, name: str, epochs: Collection[int], networks: int, samples: int, device: torch.device
    ) -> None:
        self.name = name
        self.epochs = epochs
        self._sum = torch.zeros(networks, samples, dtype=torch.float64, device=device)

    def see(self, start: int, logits: Tensor, labels: Tensor) -> None:
        """Add the cross-entropy of a run of samples (see `Observer.see`)."""
        networks, batch, _ = logits.shape
        targets = labels.expand(networks, batch).flatten()
        losses = F.cross_entropy(logits.double().flatten(0, 1), targets, reduction="none")
        self._sum[:, start : start + batch] += losses.view(networks, batch)

    def result(self) -> Tensor:
        """Give the mean loss, float32 [E, N]."""
        return (self._sum / len(self.epochs)).float()
