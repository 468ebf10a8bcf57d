"""What a pass over the samples shows: computed once, for all scores that look."""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


class Predictions:
    """What E networks say of B consecutive samples, without augmentation, in eval mode.

    Each quantity is computed when it is first asked for. What is made of probabilities is float64: in
    float32 the loss of a sample that is classified with confidence is rounded to a multiple of 6e-8 and often
    to zero, which gives ties among just those samples that LossConverge has to rank.

    Args:
        logits: float32 [E, B, K].
        labels: int64 [B].
        epoch: after which the networks were looked at, counted from 1.
        features: gives the inputs of the linear heads, [E, B, F].

    Attributes:
        logits: float32 [E, B, K].
        labels: int64 [B].
        epoch: after which the networks were looked at, counted from 1.
    """

    def __init__(
        self, logits: Tensor, labels: Tensor, epoch: int, features: Callable[[], Tensor] | None = None
    ) -> None:
        self.logits, self.labels, self.epoch = logits, labels, epoch
        self._features = features

    @functools.cached_property
    def log_probabilities(self) -> Tensor:
        """Natural logarithms of the softmax, float64 [E, B, K]."""
        return F.log_softmax(self.logits.double(), dim=2)

    @functools.cached_property
    def probabilities(self) -> Tensor:
        """The softmax, float64 [E, B, K]."""
        return self.log_probabilities.exp()

    @functools.cached_property
    def cross_entropy(self) -> Tensor:
        """Minus the log-probability of the label, in nat, float64 [E, B]."""
        return -self._of_label(self.log_probabilities)

    @functools.cached_property
    def confidence(self) -> Tensor:
        """The probability of the label, float64 [E, B]."""
        return self._of_label(self.probabilities)

    @functools.cached_property
    def errors(self) -> Tensor:
        """The probabilities minus the one-hot label, float64 [E, B, K]: the loss's gradient by the logits."""
        minus = torch.full(self._places.shape, -1.0, dtype=torch.float64, device=self.labels.device)
        return self.probabilities.scatter_add(2, self._places, minus)  # one_hot waits for the device

    @functools.cached_property
    def margin(self) -> Tensor:
        """The label's logit minus the largest other one, float32 [E, B]; infinite with one class."""
        others = self.logits.scatter(2, self._places, -torch.inf)
        return self._of_label(self.logits) - others.amax(dim=2)

    @functools.cached_property
    def correct(self) -> Tensor:
        """Whether the label has the largest logit, the first of equal ones, bool [E, B]."""
        return self.logits.argmax(dim=2) == self.labels

    @functools.cached_property
    def features(self) -> Tensor:
        """The inputs of the linear heads, [E, B, F]; they take another forward pass."""
        if self._features is None:
            raise RuntimeError("these predictions have no features")
        return self._features()

    @functools.cached_property
    def _places(self) -> Tensor:
        return self.labels.expand(self.logits.shape[:2]).unsqueeze(2)

    def _of_label(self, values: Tensor) -> Tensor:
        """The label's of values [E, B, K]."""
        return values.gather(2, self._places).squeeze(2)
