"""How what passes show becomes one number per network and sample."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldore.scores.columns import PREDICTED
from goldore.scores.predictions import Predictions


class Recorder(Protocol):
    """Folds the predictions of chosen epochs; keeps a few numbers per network and sample."""

    def see(self, start: int, predictions: Predictions) -> None:
        """Take in a run of consecutive samples; every epoch shows all samples once.

        Args:
            start: position of the first of them.
            predictions: of them.
        """

    def result(self) -> Tensor:
        """Give the quantity, [E, N], after the last epoch."""


@dataclass(frozen=True)
class Observer:
    """A recorder, and when it looks.

    Attributes:
        name: of what it records.
        epochs: counted from 1, after which it sees all samples; not empty.
        recorder: sees them.
    """

    name: str
    epochs: Collection[int]
    recorder: Recorder


def observe_predictions(epoch: int, networks: int, samples: int, device: torch.device) -> list[Observer]:
    """Make what keeps, for people, which class the networks predict after an epoch (`PREDICTED`).

    Returns:
        Observers of the predicted class, its probability, and the label's.
    """
    quantities: tuple[Callable[[Predictions], Tensor], ...] = (
        lambda predictions: predictions.logits.argmax(dim=2),
        lambda predictions: predictions.probabilities.amax(dim=2),
        lambda predictions: predictions.confidence,
    )
    return [
        Observer(name, (epoch,), Mean(quantity, networks, samples, 1, device))
        for name, quantity in zip(PREDICTED, quantities, strict=True)
    ]


class Features:
    """Keeps what the head of one network gets.

    Args:
        row: of the network.
        target: [N, F], written to.
        networks: E.
    """

    def __init__(self, row: int, target: NDArray[np.floating], networks: int) -> None:
        self._row, self._target, self._networks = row, target, networks

    def see(self, start: int, predictions: Predictions) -> None:
        """Keep those of a run of samples (see `Recorder.see`)."""
        found = predictions.features[self._row].cpu().numpy()
        self._target[start : start + len(found)] = found

    def result(self) -> Tensor:
        """Nothing to record beside, zeros [E, N]."""
        return torch.zeros(self._networks, len(self._target))


class Mean:
    """Mean over epochs of a quantity.

    Args:
        quantity: of the predictions of some samples, [E, B].
        networks: E.
        samples: N.
        epochs: how many there are.
        device: of the predictions.
    """

    def __init__(
        self,
        quantity: Callable[[Predictions], Tensor],
        networks: int,
        samples: int,
        epochs: int,
        device: torch.device,
    ) -> None:
        self._quantity, self._epochs = quantity, epochs
        self._sum = torch.zeros(networks, samples, dtype=torch.float64, device=device)

    def see(self, start: int, predictions: Predictions) -> None:
        """Add the quantity of a run of samples (see `Recorder.see`)."""
        values, shape = self._quantity(predictions), predictions.logits.shape[:2]
        if values.shape != shape:
            raise ValueError(f"its quantity has the shape {tuple(values.shape)} instead of {tuple(shape)}")
        self._sum[:, start : start + values.shape[1]] += values

    def result(self) -> Tensor:
        """Give the mean, float64 [E, N]."""
        return self._sum / self._epochs
