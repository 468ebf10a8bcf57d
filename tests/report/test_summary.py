import dataclasses
import json

import numpy as np
import pytest

from goldore.recipe import LossRecipe
from goldore.report import summarize
from goldore.store import LossTrials
from tests.conftest import make_score_file


def make_file(values, labels, classes=2, reliability=0.5):
    return make_score_file(values, labels, classes, "LossInit", reliability)


def test_numbers_of_a_hand_made_score():
    summary = summarize(make_file([1, 2, 3, 4, 10], [0, 0, 0, 1, 1]))["scores"]["LossInit"]
    assert (summary["mean"], summary["min"], summary["median"], summary["max"]) == (4, 1, 3, 10)
    assert summary["stderr"] == pytest.approx(0.3)
    assert summary["trials_needed"] == {"0.8": pytest.approx(16), "0.9": pytest.approx(36)}
    assert sum(summary["histogram"]["counts"]) == 5
    assert [row["mean"] for row in summary["classes"]] == [2, 7]
    assert [row["samples"] for row in summary["classes"]] == [3, 2]
    assert summary["missing"] == 0


def test_missing_scores_are_counted_and_left_out():
    summary = summarize(make_file([1, np.nan, 3, np.nan], [0, 0, 1, 1], reliability=np.nan))
    score = summary["scores"]["LossInit"]
    assert (score["missing"], score["mean"], score["reliability"]) == (2, 2, None)
    json.dumps(summary, allow_nan=False)


def test_a_score_without_any_value_is_summarised():
    summary = summarize(make_file([np.nan, np.nan], [0, 1]))
    assert summary["scores"]["LossInit"]["mean"] is None
    assert summary["scores"]["LossInit"]["histogram"]["counts"] == []
    json.dumps(summary, allow_nan=False)


def test_values_that_span_orders_of_magnitude_are_binned_by_logarithm():
    wide = summarize(make_file(10.0 ** np.arange(-6, 2), [0] * 8, 1))["scores"]["LossInit"]["histogram"]
    assert wide["scale"] == "log"
    assert wide["edges"][0] == pytest.approx(1e-6)
    assert wide["edges"][-1] == pytest.approx(10)
    narrow = summarize(make_file(np.arange(1.0, 9), [0] * 8, 1))["scores"]["LossInit"]["histogram"]
    assert narrow["scale"] == "linear"


def test_constant_values_are_binned():
    histogram = summarize(make_file([2.0, 2.0], [0, 0], 1))["scores"]["LossInit"]["histogram"]
    assert sum(histogram["counts"]) == 2


def test_the_dataset_is_in_the_summary():
    file = make_file([1, 2], [0, 1])
    assert summarize(file)["dataset"] == dataclasses.asdict(file.dataset)


def test_a_range_too_narrow_for_bins_gets_one():
    histogram = summarize(make_file([0.3, np.nextafter(0.3, 1)], [0, 0], 1))["scores"]["LossInit"][
        "histogram"
    ]
    assert sum(histogram["counts"]) == 2


def test_the_trials_course_and_windows_are_summarised():
    trials = LossTrials(
        recipe=LossRecipe(epochs=4),
        base_seed=3,
        recorded=("LossInit",),
        done=(0, 2),
        failed=(1,),
        seed=np.arange(3, dtype=np.uint64),
        train_loss=np.array([[2, 1, np.nan, np.nan], [np.nan] * 4, [4, 3, np.nan, np.nan]], dtype=np.float32),
        test_accuracy=np.array([0.5, np.nan, 0.75], dtype=np.float32),
        seconds=np.array([1, 2, 4], dtype=np.float32),
    )
    file = dataclasses.replace(make_file([1, 2], [0, 1]), loss_trials=trials)
    summary = summarize(file)["trials"]["loss"]
    assert summary["train_loss"] == [3, 2]
    assert summary["seconds"] == 7
    assert summary["test_accuracy"] == 0.625
    assert (summary["done"], summary["failed"]) == (2, [1])
    assert (summary["recipe"]["init_epochs"], summary["recipe"]["converge_epochs"]) == (2, 2)
