"""Recorders that follow samples from epoch to epoch; see `goldore.scores.dynamics` for what they make.

Each keeps what its docstring says for every network and sample, in bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection

import torch
from torch import Tensor

from goldore.scores.definition import WINDOW
from goldore.scores.predictions import Predictions

_TIE = 1e-3  # what the mean loss may add to a number of events
_SMALLEST = 1e-12  # nat; a loss below that counts as this much where its logarithm is taken
_NEWEST = 0.9  # weight of the newest window of TDDS, of which each older one has a tenth


class _Base:
    def __init__(self, networks: int, samples: int, epochs: Collection[int], device: torch.device) -> None:
        self._shape, self._device = (networks, samples), device
        self._place = {epoch: place for place, epoch in enumerate(sorted(epochs))}
        self._epochs = len(self._place)

    def _zeros(self, *more: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.zeros(*more, *self._shape, dtype=dtype, device=self._device)

    @staticmethod
    def _part(start: int, predictions: Predictions) -> tuple[slice, slice]:
        """All networks, and these samples."""
        return slice(None), slice(start, start + predictions.logits.shape[1])


class Variability(_Base):
    """Standard deviation (n) over epochs of the label's probability; 16 bytes."""

    def __init__(self, networks: int, samples: int, epochs: Collection[int], device: torch.device) -> None:
        super().__init__(networks, samples, epochs, device)
        self._mean, self._squares = self._zeros(), self._zeros()

    def see(self, start: int, predictions: Predictions) -> None:
        """Welford's update."""
        part = self._part(start, predictions)
        away = predictions.confidence - self._mean[part]
        self._mean[part] += away / (self._place[predictions.epoch] + 1)
        self._squares[part] += away * (predictions.confidence - self._mean[part])

    def result(self) -> Tensor:
        """Float64 [E, N]."""
        return (self._squares / self._epochs).sqrt()


class Forgetting(_Base):
    """How often a sample that was right after an epoch is wrong after the next; 14 bytes.

    One that was never right counts as often as there are epochs. Equal numbers are ordered by the mean loss,
    which adds less than 0.001.
    """

    def __init__(self, networks: int, samples: int, epochs: Collection[int], device: torch.device) -> None:
        super().__init__(networks, samples, epochs, device)
        self._events = self._zeros(dtype=torch.int32)
        self._right, self._ever = self._zeros(dtype=torch.bool), self._zeros(dtype=torch.bool)
        self._loss = self._zeros()

    def see(self, start: int, predictions: Predictions) -> None:
        """Compare with the last epoch."""
        part, right = self._part(start, predictions), predictions.correct
        self._events[part] += self._right[part] & ~right
        self._right[part] = right
        self._ever[part] |= right
        self._loss[part] += predictions.cross_entropy / self._epochs

    def result(self) -> Tensor:
        """Float64 [E, N]."""
        events = torch.where(self._ever, self._events, self._epochs)
        return events + _TIE * self._loss / (1 + self._loss)


class _Windows(_Base, ABC):
    """Mean over sliding windows of what the label's probabilities in a window say; 8 + 4 * WINDOW bytes."""

    def __init__(self, networks: int, samples: int, epochs: Collection[int], device: torch.device) -> None:
        super().__init__(networks, samples, epochs, device)
        self._last = self._zeros(WINDOW, dtype=torch.float32)
        self._sum = self._zeros()

    def see(self, start: int, predictions: Predictions) -> None:
        """Take in an epoch, and the window that it ends."""
        place, part = self._place[predictions.epoch], self._part(start, predictions)
        self._last[(place % WINDOW, *part)] = predictions.confidence.float()
        if place >= WINDOW - 1:
            self._sum[part] += self.of_window(self._last[(slice(None), *part)].double())

    @abstractmethod
    def of_window(self, probabilities: Tensor) -> Tensor:
        """What a window says, [E, B], of its probabilities in any order, float64 [WINDOW, E, B]."""

    def result(self) -> Tensor:
        """Float64 [E, N]."""
        return self._sum / (self._epochs - WINDOW + 1)


class DynUnc(_Windows):
    """Mean over windows of the standard deviation (n - 1); 48 bytes."""

    def of_window(self, probabilities: Tensor) -> Tensor:
        """The standard deviation."""
        return probabilities.std(dim=0)


class Dual(_Windows):
    """Mean over windows of the standard deviation (n - 1) times one minus the mean; 48 bytes."""

    def of_window(self, probabilities: Tensor) -> Tensor:
        """Uncertainty times difficulty."""
        return probabilities.std(dim=0) * (1 - probabilities.mean(dim=0))


class Tdds(_Base):
    """Spread of the change from epoch to epoch, the newest window first; 48 + 4 bytes for each class.

    The change is D_t = sum over classes of p_{t+1} |ln p_{t+1} - ln p_t|, and a window's spread the norm of
    its ten changes about their mean.
    """

    def __init__(self, networks: int, samples: int, epochs: Collection[int], device: torch.device) -> None:
        super().__init__(networks, samples, epochs, device)
        self._changes = self._zeros(WINDOW, dtype=torch.float32)
        self._score = self._zeros()
        self._before: Tensor | None = None  # [E, N, K]

    def see(self, start: int, predictions: Predictions) -> None:
        """Compare with the last epoch."""
        place, part = self._place[predictions.epoch], self._part(start, predictions)
        if self._before is None:
            classes = predictions.logits.shape[2]
            self._before = torch.zeros(*self._shape, classes, device=self._device)
        if place > 0:
            apart = (predictions.log_probabilities - self._before[part]).abs()
            change = (predictions.probabilities * apart).sum(dim=2)
            self._changes[((place - 1) % WINDOW, *part)] = change.float()
        if place >= WINDOW:
            window = self._changes[(slice(None), *part)].double()
            spread = (window - window.mean(dim=0)).norm(dim=0)
            self._score[part] = _NEWEST * spread + (1 - _NEWEST) * self._score[part]
        self._before[part] = predictions.log_probabilities.float()

    def result(self) -> Tensor:
        """Float64 [E, N]."""
        return self._score


class Esps(_Base):
    """Mean over epochs of 1 - cosine of the probabilities of one and the next; 8 + 4 bytes for each class."""

    def __init__(self, networks: int, samples: int, epochs: Collection[int], device: torch.device) -> None:
        super().__init__(networks, samples, epochs, device)
        self._sum = self._zeros()
        self._before: Tensor | None = None  # [E, N, K]

    def see(self, start: int, predictions: Predictions) -> None:
        """Compare with the last epoch."""
        place, part, now = (
            self._place[predictions.epoch],
            self._part(start, predictions),
            predictions.probabilities,
        )
        if self._before is None:
            self._before = torch.zeros(*self._shape, now.shape[2], device=self._device)
        if place > 0:
            self._sum[part] += 1 - torch.cosine_similarity(now, self._before[part].double(), dim=2)
        self._before[part] = now.float()

    def result(self) -> Tensor:
        """Float64 [E, N]."""
        return self._sum / (self._epochs - 1)


class Mrmc(_Base):
    """What a fitted exponential of the loss has come down by; 16 bytes.

    ln l_r is fitted by ln q - r ln w over the epochs r = 1..R, by least squares; the result is q (1 - w^-R).
    """

    def __init__(self, networks: int, samples: int, epochs: Collection[int], device: torch.device) -> None:
        super().__init__(networks, samples, epochs, device)
        self._sum, self._product = self._zeros(), self._zeros()

    def see(self, start: int, predictions: Predictions) -> None:
        """Add to the sums of the least squares."""
        part = self._part(start, predictions)
        logarithm = predictions.cross_entropy.clamp(min=_SMALLEST).log()
        self._sum[part] += logarithm
        self._product[part] += logarithm * (self._place[predictions.epoch] + 1)

    def result(self) -> Tensor:
        """Float64 [E, N]."""
        number = self._epochs
        middle = (number + 1) / 2
        slope = (self._product - middle * self._sum) / (number * (number**2 - 1) / 12)
        at_zero = self._sum / number - slope * middle
        return at_zero.exp() - (at_zero + slope * number).exp()
