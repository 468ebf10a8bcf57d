"""Which scores rank alike."""

import itertools
from types import SimpleNamespace

import pytest

from goldore.report.facts import families_texts
from goldore.report.families import families, shown_pairs


def summary(names, found):
    """What is needed of a summary: pairs that are not given correlate by 0."""
    correlations = tuple(
        SimpleNamespace(first=a, second=b, within_class=found.get((a, b), 0.0))
        for a, b in itertools.combinations(names, 2)
    )
    return SimpleNamespace(scores=dict.fromkeys(names), correlations=correlations)


def test_scores_that_rank_alike_are_a_family_the_other_way_round_too():
    made = summary("ABCD", {("A", "C"): -0.95, ("B", "D"): 0.97})
    assert families(made) == [["A", "-C"], ["B", "D"]]
    assert families_texts(families(made)) == [
        "rank alike (0.9 or more within classes; a minus marks the opposite order): A, -C",
        "rank alike (0.9 or more within classes; a minus marks the opposite order): B, D",
    ]


def test_every_two_of_a_family_are_alike():
    """A chain is cut where it is weakest."""
    made = summary("ABC", {("A", "B"): 0.92, ("B", "C"): 0.95, ("A", "C"): 0.8})
    assert families(made) == [["A"], ["B", "C"]]


@pytest.mark.parametrize("unknown", [None, 0.0])
def test_what_is_not_known_is_not_alike(unknown):
    made = summary("AB", {("A", "B"): unknown})
    assert families(made) == [["A"], ["B"]]
    assert families_texts(families(made)) == []


def test_of_many_scores_pairs_of_different_families_are_shown():
    few, many = summary("ABCDEF", {("A", "B"): 1.0}), summary("ABCDEFG", {("A", "B"): 1.0})
    assert len(shown_pairs(few)) == 15
    assert {(each.first, each.second) for each in shown_pairs(many)} == set(
        itertools.combinations("ACDEFG", 2)
    )
