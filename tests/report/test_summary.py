import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldore.networks.config import ConvNetConfig
from goldore.report import summarize
from goldore.scores import LOSS_INIT
from goldore.store import LossTrials, UtilityTrials
from goldore.trials import LossRecipe, UtilityRecipe
from tests.conftest import make_score_file


def make_file(values, labels, classes=2, reliability=0.5):
    return make_score_file(values, labels, classes, "LossInit", reliability)


def test_numbers_of_a_hand_made_score():
    summary = summarize(make_file([1, 2, 3, 4, 10], [0, 0, 0, 1, 1])).scores["LossInit"]
    assert (summary.mean, summary.min, summary.median, summary.max) == (4, 1, 3, 10)
    assert summary.stderr == pytest.approx(0.3)
    assert summary.trials_needed == {"0.8": pytest.approx(16), "0.9": pytest.approx(36)}
    assert sum(summary.histogram.counts) == 5
    assert [row.mean for row in summary.classes] == [2, 7]
    assert [row.samples for row in summary.classes] == [3, 2]
    assert summary.missing == 0


def test_missing_scores_are_counted_and_left_out():
    summary = summarize(make_file([1, np.nan, 3, np.nan], [0, 0, 1, 1], reliability=np.nan))
    score = summary.scores["LossInit"]
    assert (score.missing, score.mean, score.reliability) == (2, 2, None)
    json.dumps(summary.to_json(), allow_nan=False)


def test_a_score_without_any_value_is_summarised():
    summary = summarize(make_file([np.nan, np.nan], [0, 1]))
    assert summary.scores["LossInit"].mean is None
    assert summary.scores["LossInit"].histogram.counts == ()
    json.dumps(summary.to_json(), allow_nan=False)


def test_values_that_span_orders_of_magnitude_are_binned_by_logarithm():
    wide = summarize(make_file(10.0 ** np.arange(-6, 2), [0] * 8, 1)).scores["LossInit"].histogram
    assert wide.scale == "log"
    assert wide.edges[0] == pytest.approx(1e-6)
    assert wide.edges[-1] == pytest.approx(10)
    narrow = summarize(make_file(np.arange(1.0, 9), [0] * 8, 1)).scores["LossInit"].histogram
    assert narrow.scale == "linear"


def test_constant_values_are_binned():
    histogram = summarize(make_file([2.0, 2.0], [0, 0], 1)).scores["LossInit"].histogram
    assert sum(histogram.counts) == 2


def test_the_dataset_is_in_the_summary():
    file = make_file([1, 2], [0, 1])
    assert summarize(file).dataset == file.dataset
    about = dataclasses.asdict(file.dataset)
    del about["origin"]
    about |= {"class_names": ["class 0", "class 1"], "image_shape": [1, 8, 8]}
    assert summarize(file).to_json()["dataset"] == about


def test_a_range_too_narrow_for_bins_gets_one():
    histogram = summarize(make_file([0.3, np.nextafter(0.3, 1)], [0, 0], 1)).scores["LossInit"].histogram
    assert sum(histogram.counts) == 2


def test_the_trials_course_and_windows_are_summarised():
    trials = LossTrials(
        recipe=LossRecipe(epochs=4),
        base_seed=3,
        scores=(LOSS_INIT,),
        done=(0, 2),
        failed=(1,),
        seed=np.arange(3, dtype=np.uint64),
        train_loss=np.array([[2, 1, np.nan, np.nan], [np.nan] * 4, [4, 3, np.nan, np.nan]], dtype=np.float32),
        test_accuracy=np.array([0.5, np.nan, 0.75], dtype=np.float32),
        seconds=np.array([1, 2, 4], dtype=np.float32),
    )
    file = dataclasses.replace(make_file([1, 2], [0, 1]), loss_trials=trials)
    summary = summarize(file).trials.loss
    assert summary.train_loss == (3, 2)
    assert summary.seconds == 7
    assert summary.test_accuracy == 0.625
    assert (summary.done, summary.failed) == (2, (1,))
    assert (summary.recipe.init_epochs, summary.recipe.converge_epochs) == (2, 2)


MOMENTS = ("mean", "std", "min", "median", "max")
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
known_or_not = st.sampled_from([0.0, 0.0, 1.0, 2.5, -3.0, 4.25, np.nan, np.inf, -np.inf])


@st.composite
def scored(draw):
    labels = draw(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    values = draw(st.lists(known_or_not, min_size=len(labels), max_size=len(labels)))
    return np.array(values), np.array(labels)


def summary_of(values, labels, classes=2, **fields):
    return summarize(make_file(values, labels, classes, **fields)).scores["LossInit"]


def plain_moments(values):
    """Of the finite ones; None of nothing."""
    if len(values) == 0:
        return dict.fromkeys(MOMENTS)
    return {
        "mean": pytest.approx(values.mean()),
        "std": pytest.approx(values.std(ddof=1)) if len(values) > 1 else None,
        "min": values.min(),
        "median": np.median(values),
        "max": values.max(),
    }


@given(scored())
def test_moments_and_quantiles_are_those_of_numpy(case):
    values, labels = case
    score = summary_of(values, labels, 4)
    known = values[np.isfinite(values)]
    assert score.missing == len(values) - len(known)
    assert {name: getattr(score, name) for name in MOMENTS} == plain_moments(known)
    expected = np.quantile(known, LEVELS).tolist() if len(known) else [None] * 7
    assert list(score.quantiles) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]
    assert list(score.quantiles.values()) == pytest.approx(expected)
    assert sum(score.histogram.counts) == len(known)


def highest_tenth(values, labels, label):
    """Share of a class's samples in the highest tenth; those tied where it begins are in it in part."""
    known = values[np.isfinite(values)]
    places = -(-len(known) // 10)
    boundary = np.sort(known)[len(known) - places]
    part = (places - (known > boundary).sum()) / (known == boundary).sum()
    mine = values[(labels == label) & np.isfinite(values)]
    return ((mine > boundary).sum() + part * (mine == boundary).sum()) / len(mine)


@given(scored())
def test_numbers_of_each_class_are_those_of_numpy(case):
    values, labels = case
    rows = summary_of(values, labels, 4).classes
    known = np.isfinite(values)
    assert [row.label for row in rows] == [0, 1, 2, 3]
    for label, row in enumerate(rows):
        mine = labels == label
        assert (row.samples, row.missing) == (mine.sum(), (mine & ~known).sum())
        assert {name: getattr(row, name) for name in MOMENTS} == plain_moments(values[mine & known])
        if (mine & known).any():
            assert row.highest_tenth == pytest.approx(highest_tenth(values, labels, label))
        else:
            assert row.highest_tenth is None


@given(scored())
def test_the_spread_between_classes_is_what_is_not_within(case):
    values, labels = case
    score = summary_of(values, labels, 4)
    known = np.isfinite(values)
    groups = [values[known & (labels == label)] for label in range(4)]
    groups = [group for group in groups if len(group)]
    squares = sum(((group - group.mean()) ** 2).sum() for group in groups)
    freedom = sum(len(group) - 1 for group in groups)
    assert score.within_class_std == (pytest.approx((squares / freedom) ** 0.5) if freedom else None)
    if known.any():
        total = ((values[known] - values[known].mean()) ** 2).sum()
        expected = 1 - squares / total if total else 0
        assert score.between_class_share == pytest.approx(expected, abs=1e-9)


def test_classes_apart_share_all_the_variance_and_classes_alike_none():
    assert summary_of([1, 1, 5, 5], [0, 0, 1, 1]).between_class_share == 1
    assert summary_of([1, 5, 1, 5], [0, 0, 1, 1]).between_class_share == 0
    assert summary_of([1, 2, 3, 4], [0] * 4, 1).between_class_share == 0


@pytest.mark.parametrize("count", [3, 7])
def test_a_constant_score_has_no_variance_between_classes(count):
    assert summary_of([0.1] * count, np.arange(count) % 3, 3).between_class_share == 0


def test_the_highest_tenth_is_counted_over_all_classes():
    values = np.arange(100.0)
    labels = np.where(values >= 95, 2, np.where(values >= 50, 1, 0))
    rows = summary_of(values, labels, 4).classes
    assert [row.highest_tenth for row in rows] == [0, pytest.approx(5 / 45), 1, None]


def test_the_highest_tenth_of_few_samples_is_one():
    assert [row.highest_tenth for row in summary_of([3, 1, 2, 9], [0, 0, 0, 1]).classes] == [0, 1]
    rows = summary_of([3, 1, 2, 9, np.nan, 5, 6, 7, 8, 4, 4.5, 11], [0, 0, 0, 1] + [0] * 8).classes
    assert [row.highest_tenth for row in rows] == [pytest.approx(1 / 10), 1]


def test_of_equal_values_each_class_has_the_same_share_in_the_tenth():
    rows = summary_of([1.0] * 20, [0] * 10 + [1] * 10).classes
    assert [row.highest_tenth for row in rows] == [0.1, 0.1]
    rows = summary_of([1.0] * 10 + [2.0] + [1.0] * 9, [0] * 10 + [1] * 10).classes
    assert [row.highest_tenth for row in rows] == pytest.approx([1 / 19, (1 + 9 / 19) / 10])


def test_a_class_without_a_score_has_no_numbers():
    row = summary_of([1, np.nan, 3, np.nan], [0, 1, 0, 1]).classes[1]
    assert (row.samples, row.missing) == (2, 2)
    assert [getattr(row, name) for name in (*MOMENTS, "highest_tenth", "stderr")] == [None] * 7


def test_infinite_values_count_as_missing():
    file = make_file([1, np.inf, 3, -np.inf, 7], [0, 0, 0, 1, 1])
    score = summarize(file).scores["LossInit"]
    assert score.missing == 2
    assert [row.missing for row in score.classes] == [1, 1]
    assert (score.min, score.max) == (1, 7)
    assert sum(score.histogram.counts) == 3
    json.dumps(summarize(file).to_json(), allow_nan=False)


def test_the_histogram_counts_what_lies_between_its_edges():
    values = np.random.default_rng(0).normal(size=500)
    histogram = summary_of(values, [0] * 500, 1).histogram
    counts, edges = np.histogram(values, bins=16)
    assert histogram.counts == tuple(counts.tolist())
    assert histogram.edges == pytest.approx(edges)
    wide = summary_of(np.exp(4 * values), [0] * 500, 1).histogram
    assert wide.scale == "log"
    counts, edges = np.histogram(4 * values, bins=16)
    assert wide.counts == tuple(counts.tolist())
    assert wide.edges == pytest.approx(np.exp(edges))


def with_scores(values, labels, classes):
    """A file with several scores."""
    files = {name: make_score_file(each, labels, classes, name) for name, each in values.items()}
    first = next(iter(files.values()))
    return dataclasses.replace(
        first, score_names=tuple(values), scores={name: file.scores[name] for name, file in files.items()}
    )


def test_every_two_scores_are_correlated_within_classes_and_over_all():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    values = {
        "LossInit": [1, 2, 3, 4, 11, 12, 13, 14, 5],
        "LossConverge": [4, 3, 2, 1, 14, 13, 12, 11, 5],
        "MonteCarlo": [1, 2, 4, np.nan, 2, 1, 4, 3, np.nan],
    }
    said = summarize(with_scores(values, labels, 4)).correlations
    assert [(row.first, row.second) for row in said] == [
        ("LossInit", "LossConverge"),
        ("LossInit", "MonteCarlo"),
        ("LossConverge", "MonteCarlo"),
    ]
    assert said[0].classes == (pytest.approx(-1), pytest.approx(-1), None, None)
    assert said[0].within_class == pytest.approx(-1)
    ranks = np.array([[0, 1, 2, 3, 5, 6, 7, 8, 4], [3, 2, 1, 0, 8, 7, 6, 5, 4]])
    assert said[0].overall == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert said[0].overall > 0
    assert said[0].samples == 9
    second = 1 - 6 * (1 + 1 + 1 + 1) / (4 * 15)  # Spearman's own formula, four ranks that differ by one
    assert said[1].classes == (pytest.approx(1), pytest.approx(second), None, None)
    assert said[1].within_class == pytest.approx((3 * 1 + 4 * second) / 7)
    assert said[1].samples == 7
    json.dumps([row.to_json() for row in said], allow_nan=False)


def test_scores_that_cannot_be_correlated_say_so():
    said = summarize(with_scores({"X": [1, 1, 1], "Y": [1, 2, 3]}, [0, 0, 0], 1)).correlations
    assert [row.to_json() for row in said] == [
        {
            "first": "X",
            "second": "Y",
            "within_class": None,
            "global": None,
            "classes": [None],
            "samples": 3,
        }
    ]
    assert summarize(make_file([1, 2], [0, 1])).correlations == ()


def loss_trials(seconds, done, failed):
    count = len(seconds)
    return LossTrials(
        recipe=LossRecipe(epochs=2),
        base_seed=0,
        scores=(LOSS_INIT,),
        done=done,
        failed=failed,
        seed=np.arange(count, dtype=np.uint64),
        train_loss=np.ones((count, 2), dtype=np.float32),
        test_accuracy=np.full(count, 0.5, dtype=np.float32),
        seconds=np.array(seconds, dtype=np.float32),
    )


@pytest.mark.parametrize(
    ("seconds", "done", "failed", "total"),
    [
        ([1, 2, 4], (0, 1, 2), (), 7),
        ([1, 2, 4], (0, 2), (1,), 7),
        ([1, 2, np.nan], (0, 1), (), 3),  # trial 2 was not run
        ([1, np.nan, 4], (0, 1, 2), (), None),
        ([1, np.nan, 4], (0, 2), (1,), None),
    ],
)
def test_the_time_of_all_trials_is_unknown_where_that_of_one_is(seconds, done, failed, total):
    file = dataclasses.replace(make_file([1, 2], [0, 1]), loss_trials=loss_trials(seconds, done, failed))
    assert summarize(file).trials.loss.seconds == total


def with_utility(seconds, done, failed, accuracy=(0.5, 0.75), folds=1):
    trials = UtilityTrials(
        recipe=UtilityRecipe(
            network=ConvNetConfig(depth=1, width=4),
            subset_per_class=2,
            eval_split="heldout" if folds == 2 else "test",
        ),
        base_seed=3,
        outcome="margin",
        estimator="ridge",
        evaluation="",
        done=np.array(done, dtype=np.int64),
        failed=np.array(failed, dtype=np.int64),
        accuracy=np.array(accuracy),
        subset_sizes=np.array([2, 2]),
        seconds=np.array(seconds, dtype=np.float32),
    )
    labels = np.repeat([0, 1], [20, 30])
    return dataclasses.replace(make_file(np.arange(50.0), labels), utility_trials=trials)


@pytest.mark.parametrize(
    ("seconds", "done", "failed", "total"),
    [
        ([1, 2, 4], [0, 2], [1], 7),
        ([1, np.nan, 4], [0, 2], [], 5),
        ([1, np.nan, 4], [0, 1, 2], [], None),
        ([1, np.nan, 4], [0, 2], [1], None),
        ([], [], [], None),
    ],
)
def test_the_time_of_utility_trials_is_told_likewise(seconds, done, failed, total):
    said = summarize(with_utility(seconds, done, failed)).trials.utility
    assert said.seconds == total
    assert (said.done, said.failed) == (len(done), len(failed))


@pytest.mark.parametrize(("folds", "sweep"), [(1, 15), (2, 16)])
def test_utility_trials_are_summarised(folds, sweep):
    file = with_utility([1, 2], [0, 1], [], folds=folds)
    said = summarize(file).trials.utility
    assert (said.outcome, said.estimator, said.base_seed) == ("margin", "ridge", 3)
    assert said.accuracy == 0.625
    assert said.class_accuracy == (0.5, 0.75)
    assert said.subset_sizes == (2, 2)
    assert said.per_sweep == sweep  # 30 samples, or 15 of each half, two a trial
    json.dumps(summarize(file).to_json(), allow_nan=False)


def test_without_a_good_utility_trial_the_accuracy_is_unknown():
    said = summarize(with_utility([1], [], [0], accuracy=(np.nan, np.nan))).trials.utility
    assert (said.accuracy, said.class_accuracy, said.done) == (None, (None, None), 0)


def test_a_file_of_one_class_and_one_sample_is_summarised():
    score = summary_of([2.0], [0], 1)
    assert (score.mean, score.median, score.std, score.within_class_std) == (2, 2, None, None)
    assert score.classes[0].highest_tenth == 1


def test_a_thousand_classes_are_summarised():
    draw = np.random.default_rng(1)
    labels = draw.permutation(np.repeat(np.arange(1000), 4))
    values = draw.normal(size=4000)
    values[labels == 500] = np.nan
    rows = summary_of(values, labels, 1000).classes
    assert len(rows) == 1000
    for label in (0, 1, 499, 999):
        mine = values[labels == label]
        assert {name: getattr(rows[label], name) for name in MOMENTS} == plain_moments(mine)
    assert rows[500].mean is None
    counted = sum(row.highest_tenth * 4 for row in rows if row.highest_tenth is not None)
    assert counted == pytest.approx(400)


def test_names_in_any_script_pass_through():
    file = make_file([1, 2], [0, 1])
    names = ("猫", "naïve Ω")
    file = dataclasses.replace(file, dataset=dataclasses.replace(file.dataset, class_names=names))
    said = summarize(file)
    assert [row.name for row in said.scores["LossInit"].classes] == list(names)
    assert said.to_json()["dataset"]["class_names"] == list(names)
