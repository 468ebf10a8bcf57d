"""How what passes show becomes one number per network and sample."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldore.scores.columns import PREDICTED
from goldore.scores.predictions import Predictions


class Recorder(Protocol):
    """Folds the predictions of chosen epochs; keeps a few numbers per network and sample.

    What it changes while it sees must be attributes: tensors, arrays, numbers, texts, or lists and
    dictionaries of them. So a training that is stopped can go on (`state_of`).
    """

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


def can_be_kept(recorder: Recorder) -> bool:
    """Whether what a recorder has seen can be kept while it sees.

    That of one with attributes of other kinds than `Recorder` says cannot, nor what is in a file of its own.
    """
    if isinstance(recorder, Features) or not hasattr(recorder, "__dict__"):
        return False
    return all(_is_state(value) or _is_constant(value) for value in vars(recorder).values())


def state_of(recorder: Recorder) -> dict[str, Any]:
    """What a recorder has seen, as tensors and plain values; nothing if it cannot be kept."""
    if not can_be_kept(recorder):
        return {}
    return {name: _kept(value) for name, value in vars(recorder).items() if _is_state(value)}


def restore(recorder: Recorder, state: Mapping[str, Any], device: torch.device) -> None:
    """Let a recorder that was made anew have seen what another one had, `state_of`."""
    for name, value in state.items():
        setattr(recorder, name, _restored(value, getattr(recorder, name, None), device))


_ARRAY = "array of NumPy"


def _is_constant(value: Any) -> bool:
    """Whether a value is as it was made: functions, devices, types."""
    return callable(value) or isinstance(value, torch.device | torch.dtype)


def _is_state(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_state, value))
    if type(value) is dict:
        return all(isinstance(key, str | int) for key in value) and all(map(_is_state, value.values()))
    plain = bool, int, float, str, np.bool_, np.integer, np.floating, Tensor, np.ndarray
    return value is None or isinstance(value, plain)


def _kept(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, np.ndarray):
        return {_ARRAY: torch.from_numpy(value.copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return type(value)(map(_kept, value))
    return {key: _kept(each) for key, each in value.items()} if isinstance(value, dict) else value


def _restored(value: Any, made: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(made.device if isinstance(made, Tensor) else device)
    if isinstance(value, list | tuple):
        return type(value)(_restored(each, None, device) for each in value)
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return value[_ARRAY].numpy()
        return {key: _restored(each, None, device) for key, each in value.items()}
    return value


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
