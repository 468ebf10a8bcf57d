import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import goldore
from goldore.errors import UsageError
from goldore.report.kept import chance_overlap, select, usual_selections, what_is_kept
from goldore.store import ScoreFile
from tests.conftest import make_score_file

CLASSES = 3
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(CLASSES), [30, 20, 11]))


def make_file(values, labels=LABELS, classes=CLASSES, name="LossConverge", halves=None) -> ScoreFile:
    file = make_score_file(values, labels, classes, name)
    if halves is None:
        return file
    score = dataclasses.replace(file.scores[name], halves=np.asarray(halves, dtype=np.float32))
    return dataclasses.replace(file, scores={name: score})


def with_score(file, name, values, labels=LABELS, classes=CLASSES):
    score = make_score_file(values, labels, classes, name).scores[name]
    return dataclasses.replace(
        file, score_names=(*file.score_names, name), scores={**file.scores, name: score}
    )


def noisy(seed=1, noise=0.5, labels=LABELS):
    """Values, and what two halves of the trials say of them."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=len(labels)).round(1)
    return values, values + noise * draw.normal(size=(2, len(labels)))


def plain_kept(values, labels, drops, dropped_of, scope):
    """Drop so many of each class, or of all: those without a score first, ties by position."""

    def key(place):
        value = values[place]
        return (0, 0) if np.isnan(value) else (1, -value if drops == "large" else value)

    groups = [np.arange(len(values))]
    if scope == "class":
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = [sorted(group.tolist(), key=key)[dropped_of(len(group)) :] for group in groups]
    return sorted(place for group in kept for place in group)


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize("drops", ["large", "small"])
def test_what_is_kept_is_what_prune_keeps(drops, scope):
    values, halves = noisy()
    values[::7] = np.nan
    file = make_file(values, halves=halves)
    criterion = f"LossConverge_{drops}"
    chosen, said = select(file, criterion, drop_ratio="0.7", scope=scope)
    pruned = goldore.prune(file, criterion, drop_ratio="0.7", scope=scope, missing="drop")
    by_hand = plain_kept(values, LABELS, drops, lambda size: math.floor(size * 7 / 10), scope)
    assert chosen.indices.tolist() == pruned.indices.tolist() == by_hand
    assert said == what_is_kept(file, criterion, drop_ratio="0.7", scope=scope)
    assert (said.criterion, said.rule, said.scope) == (criterion, "drop_ratio 0.7", scope)
    assert (said.kept, said.total, said.missing) == (len(by_hand), 61, 9)
    for row in said.classes:
        mine = [place for place in by_hand if LABELS[place] == row.label]
        known = [values[place] for place in mine if not np.isnan(values[place])]
        assert row.name == f"class {row.label}"
        assert (row.kept, row.total) == (len(mine), np.bincount(LABELS)[row.label])
        low, high = (min(known), max(known)) if known else (None, None)
        assert (row.lowest_kept, row.highest_kept) == (low, high)
        assert row.threshold == (high if drops == "large" else low)
    json.dumps(said.to_json(), allow_nan=False)


def test_nothing_that_is_dropped_lies_on_the_kept_side_of_the_threshold():
    values, _ = noisy()
    file = make_file(values)
    for drops, sign in (("large", 1), ("small", -1)):
        chosen, said = select(file, f"LossConverge_{drops}", keep_ratio="0.4")
        dropped = np.setdiff1d(np.arange(len(values)), chosen.indices)
        for row in said.classes:
            there = values[dropped[LABELS[dropped] == row.label]]
            assert (sign * there >= sign * row.threshold).all()


def test_drop_and_keep_ratios_say_the_same():
    file = make_file(noisy()[0])
    dropped = what_is_kept(file, "LossConverge_large", drop_ratio="0.9")
    kept = what_is_kept(file, "LossConverge_large", keep_ratio="0.1")
    assert kept.rule == "keep_ratio 0.1"
    assert dataclasses.replace(kept, rule="") == dataclasses.replace(dropped, rule="")
    assert [row.kept for row in kept.classes] == [3, 2, 2]


def test_ratios_are_exact_decimals():
    file = make_file(np.arange(100.0), np.zeros(100, dtype=np.int64), 1)
    assert what_is_kept(file, "LossConverge_large", keep_ratio=0.07).kept == 7
    assert what_is_kept(file, "LossConverge_large", drop_ratio=0.29).kept == 71


def test_random_has_no_thresholds_and_no_halves():
    values, halves = noisy()
    values[:5] = np.nan
    said = what_is_kept(make_file(values, halves=halves), "Random", keep_ratio="0.3")
    assert (said.criterion, said.kept, said.missing) == ("Random", 9 + 6 + 4, 0)
    assert said.halves_overlap is None
    for row in said.classes:
        assert (row.lowest_kept, row.highest_kept, row.threshold, row.halves_overlap) == (None,) * 4
    pruned = goldore.prune(make_file(values), "Random", keep_ratio="0.3")
    assert (
        select(make_file(values), "random", keep_ratio="0.3")[0].indices.tolist() == pruned.indices.tolist()
    )


def test_a_class_of_which_nothing_is_kept_has_no_values():
    said = what_is_kept(
        make_file(LABELS.astype(float)), "LossConverge_large", keep_ratio="0.2", scope="global"
    )
    assert [row.kept for row in said.classes] == [13, 0, 0]
    for row in said.classes[1:]:
        assert row.lowest_kept is row.highest_kept is row.threshold is row.halves_overlap is None


def test_a_class_without_samples_is_told():
    said = what_is_kept(make_file([1, 2, 3], [0, 0, 2]), "LossConverge_small", keep_ratio="0.5")
    assert [(row.kept, row.total) for row in said.classes] == [(1, 2), (0, 0), (1, 1)]
    assert [row.threshold for row in said.classes] == [2, None, 3]
    assert said.chance_overlap == pytest.approx((1 * 1 / 2 + 1) / 2)


def test_samples_without_a_score_are_kept_only_where_nothing_else_is_left():
    values = [np.nan, 5, np.nan, 1, np.nan, np.nan]
    said = what_is_kept(make_file(values, [0, 0, 0, 1, 1, 1], 2), "LossConverge_large", keep_ratio="0.6")
    assert said.missing == 4
    assert [row.kept for row in said.classes] == [2, 2]
    assert [(row.lowest_kept, row.highest_kept) for row in said.classes] == [(5, 5), (1, 1)]


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize("drops", ["large", "small"])
def test_halves_overlap_is_that_of_what_either_half_keeps(drops, scope):
    values, halves = noisy(noise=1.0)
    halves[1, ::5] = np.nan
    file = make_file(values, halves=halves)
    said = what_is_kept(file, f"LossConverge_{drops}", keep_ratio="0.3", scope=scope)

    def dropped_of(size):
        return size - math.ceil(size * 3 / 10)

    first, second = (plain_kept(half.astype(np.float32), LABELS, drops, dropped_of, scope) for half in halves)
    both = set(first) & set(second)
    assert said.halves_overlap == pytest.approx(len(both) / len(first))
    assert 0 < said.halves_overlap < 1
    agreed = 0
    for row in said.classes:
        mine = [place for place in [*first, *second] if LABELS[place] == row.label]
        shared = sum(LABELS[place] == row.label for place in both)
        agreed += shared
        assert row.halves_overlap == (pytest.approx(2 * shared / len(mine)) if mine else None)
    assert agreed == len(both)
    pruned = goldore.prune(file, f"LossConverge_{drops}", keep_ratio="0.3", scope=scope)
    assert said.halves_overlap == pruned.halves_overlap


def test_halves_that_agree_overlap_fully():
    values, _ = noisy()
    said = what_is_kept(
        make_file(values, halves=[values, 2 * values]), "LossConverge_large", drop_ratio="0.5"
    )
    assert said.halves_overlap == 1
    assert [row.halves_overlap for row in said.classes] == [1, 1, 1]


@pytest.mark.parametrize("halves", [None, np.full((2, len(LABELS)), np.nan)])
def test_without_halves_their_overlap_is_unknown(halves):
    said = what_is_kept(make_file(noisy()[0], halves=halves), "LossConverge_large", drop_ratio="0.5")
    assert said.halves_overlap is None
    assert [row.halves_overlap for row in said.classes] == [None] * 3
    json.dumps(said.to_json(), allow_nan=False)


@pytest.mark.parametrize("scope", ["class", "global"])
def test_chance_is_what_random_selections_share_on_average(scope):
    total = np.array([40, 10, 25])
    kept = np.array([8, 9, 5])
    labels = np.repeat(np.arange(3), total)
    draw = np.random.default_rng(3)

    def random_selection():
        if scope == "global":
            return draw.permutation(75)[: kept.sum()]
        return np.concatenate(
            [draw.permutation(np.flatnonzero(labels == label))[: kept[label]] for label in range(3)]
        )

    shared = [len(np.intersect1d(random_selection(), random_selection())) / 22 for _ in range(2000)]
    error = np.std(shared) / len(shared) ** 0.5
    assert chance_overlap(kept, total, scope) == pytest.approx(np.mean(shared), abs=4 * error)


def test_chance_of_a_selection_of_everything_is_certainty():
    total = np.array([4, 0, 6])
    for scope in ("class", "global"):
        assert chance_overlap(total, total, scope) == 1


def test_the_chance_that_is_told_is_that_of_its_scope():
    file = make_file(LABELS + noisy()[0])
    for scope in ("class", "global"):
        chosen, said = select(file, "LossConverge_large", keep_ratio="0.25", scope=scope)
        kept = np.bincount(LABELS[chosen.indices], minlength=3)
        total = np.bincount(LABELS)
        expected = (kept**2 / total).sum() / kept.sum() if scope == "class" else kept.sum() / total.sum()
        assert said.chance_overlap == pytest.approx(expected)


def test_usual_selections_keep_a_tenth_of_what_each_score_recommends():
    draw = np.random.default_rng(5)
    file = make_file(draw.normal(size=61), name="LossInit")
    for name in ("LossConverge", "MonteCarlo", "Other"):
        file = with_score(file, name, draw.normal(size=61))
    usual = usual_selections(file)
    assert [said.criterion for _, said in usual] == [
        "LossInit_large",
        "LossConverge_large",
        "MonteCarlo_small",
        "Other_large",
    ]
    for chosen, said in usual:
        assert said.rule == "keep_ratio 0.1"
        assert said.scope == "class"
        assert [row.kept for row in said.classes] == [3, 2, 2]
        name, end = said.criterion.split("_")
        values = file.scores[name].values
        by_hand = plain_kept(values, LABELS, end, lambda size: size - math.ceil(size / 10), "class")
        assert chosen.indices.tolist() == by_hand


def test_scores_without_any_value_have_no_usual_selection():
    file = with_score(make_file(np.full(61, np.nan)), "MonteCarlo", noisy()[0])
    assert [said.criterion for _, said in usual_selections(file)] == ["MonteCarlo_small"]


@pytest.mark.parametrize(
    ("criterion", "ratios"),
    [
        ("LossInit_large", {"drop_ratio": "0.5"}),
        ("LossConverge", {"drop_ratio": "0.5"}),
        ("LossConverge_large", {"drop_ratio": "1.5"}),
        ("LossConverge_large", {"drop_ratio": "1"}),
        ("LossConverge_large", {"keep_ratio": "0"}),
        ("LossConverge_large", {}),
        ("LossConverge_large", {"drop_ratio": "0.5", "keep_ratio": "0.5"}),
    ],
)
def test_wrong_criteria_and_ratios_are_refused(criterion, ratios):
    with pytest.raises(UsageError):
        what_is_kept(make_file(noisy()[0]), criterion, **ratios)


@given(
    values=st.lists(st.sampled_from([0.0, 1.0, 2.0, -1.5, np.nan]), min_size=1, max_size=20),
    tenths=st.integers(0, 9),
    drops=st.sampled_from(["large", "small"]),
    scope=st.sampled_from(["class", "global"]),
    seed=st.integers(0, 3),
)
@settings(max_examples=60)
def test_the_classes_add_up_to_the_whole(values, tenths, drops, scope, seed):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, len(values))
    halves = draw.integers(0, 3, (2, len(values)))
    values = np.array(values)
    assume(np.isfinite(values).any())
    file = make_file(values, labels, halves=halves)
    chosen, said = select(file, f"LossConverge_{drops}", drop_ratio=f"0.{tenths}", scope=scope)
    by_hand = plain_kept(values, labels, drops, lambda size: size * tenths // 10, scope)
    assert chosen.indices.tolist() == by_hand
    assert sum(row.kept for row in said.classes) == said.kept == len(by_hand)
    assert sum(row.total for row in said.classes) == said.total == len(values)
    first = plain_kept(halves[0], labels, drops, lambda size: size * tenths // 10, scope)
    second = plain_kept(halves[1], labels, drops, lambda size: size * tenths // 10, scope)
    by_halves = np.bincount(labels[[*first, *second]], minlength=3)
    overlap = sum((row.halves_overlap or 0) * by_halves[row.label] for row in said.classes)
    assert said.halves_overlap == pytest.approx(overlap / (2 * len(first)))


def test_a_score_that_no_sample_has_ranks_nothing():
    file = make_file([np.nan] * 4, [0, 0, 1, 1])
    with pytest.raises(UsageError, match="no sample has a LossConverge"):
        what_is_kept(file, "LossConverge_large", keep_ratio="0.5")


def test_kept_samples_without_a_score_are_counted():
    said = what_is_kept(
        make_file([1, np.nan, np.nan, 4], [0, 0, 0, 0]), "LossConverge_large", keep_ratio="0.75"
    )
    assert (said.kept, said.missing, said.kept_missing) == (3, 2, 1)
