"""Trainings that went on until nearly everything was memorised."""

import math
from types import SimpleNamespace

import pytest

from goldore.report.facts import saturation


def summary(final, early, late, classes=10):
    scores = {"LossInit": SimpleNamespace(rank_reliability=early)}
    if late is not None:
        scores["LossConverge"] = SimpleNamespace(rank_reliability=late)
    trials = SimpleNamespace(loss=SimpleNamespace(train_loss=(2.0, final)) if final is not None else None)
    return SimpleNamespace(trials=trials, scores=scores, dataset=SimpleNamespace(num_classes=classes))


def test_it_is_said_where_the_late_losses_rank_less_reliably():
    (said,) = saturation(summary(0.003, 0.96, 0.6)).values()
    assert "final loss of 0.0030" in said
    assert "LossConverge ranks them less reliably (0.60) than LossInit (0.96)" in said


@pytest.mark.parametrize(
    "given",
    [
        (0.02 * math.log(10) + 1e-6, 0.96, 0.6),  # not memorised
        (0.003, 0.96, 0.92),  # as reliable
        (0.003, 0.6, 0.96),
        (0.003, 0.96, None),  # no late losses
        (None, 0.96, 0.6),  # no loss trials: imported
    ],
)
def test_it_is_not_said_otherwise(given):
    assert saturation(summary(*given)) == {}


def test_what_is_not_known_is_not_said():
    unknown = summary(0.003, 0.96, 0.6)
    unknown.scores["LossConverge"].rank_reliability = None
    assert saturation(unknown) == {}
