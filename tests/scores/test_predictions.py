"""What a pass shows, against plain NumPy."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from goldore.scores.predictions import Predictions


@pytest.fixture
def logits():
    return 4 * torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))


LABELS = torch.tensor([0, 3, 1, 1, 2])


def test_every_quantity_is_what_its_name_says(logits):
    seen = Predictions(logits, LABELS, epoch=7, features=lambda: logits[..., :2])
    wide, labels = logits.double().numpy(), LABELS.numpy()
    probabilities = np.exp(wide) / np.exp(wide).sum(axis=2, keepdims=True)
    rows = np.arange(5)
    own = wide[:, rows, labels]
    others = np.where(np.eye(4, dtype=bool)[labels], -np.inf, wide).max(axis=2)
    expected = {
        "probabilities": probabilities,
        "log_probabilities": np.log(probabilities),
        "confidence": probabilities[:, rows, labels],
        "cross_entropy": -np.log(probabilities[:, rows, labels]),
        "errors": probabilities - np.eye(4)[labels],
        "margin": own - others,
        "correct": own > others,
        "features": logits[..., :2].numpy(),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(seen, name), values, rtol=1e-6, atol=1e-12, err_msg=name)
    assert seen.epoch == 7


def test_each_is_computed_once(logits):
    calls = []
    seen = Predictions(logits, LABELS, epoch=1, features=lambda: calls.append(1) or logits)
    assert seen.features is seen.features
    assert seen.log_probabilities is seen.log_probabilities
    assert calls == [1]


def test_small_losses_are_not_rounded_into_ties():
    logits = torch.tensor([[[18.0, 0.0], [19.0, 0.0], [0.0, 3.0]]])
    losses = Predictions(logits, torch.tensor([0, 0, 1]), epoch=1).cross_entropy[0]
    assert losses.tolist() == pytest.approx([np.log1p(np.exp(-x)) for x in (18, 19, 3)], rel=1e-6)
    assert functional.cross_entropy(logits[0, :2], torch.tensor([0, 0]), reduction="none").tolist() == [0, 0]
