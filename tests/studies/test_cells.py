"""Cells of a study, and what they keep."""

import numpy as np
import pytest

from goldore.errors import UsageError
from goldore.selection.pruning import prune
from goldore.studies.cells import ALL, Cell, criterion_of, default_criteria, grid, split_criteria
from goldore.studies.kept import digest_of, feasible, select
from tests.studies.conftest import two_scores

KNOWN = ("LossInit", "LossConverge", "MonteCarlo")


@pytest.fixture
def file():
    """Two scores of 200 samples of four classes."""
    return two_scores(np.random.default_rng(1).permutation(np.repeat(np.arange(4), 50)), 4)


def test_commas_part_criteria_and_not_settings():
    assert split_criteria("A_large, B_small:draw,after=0.2,Random") == [
        "A_large",
        "B_small:draw,after=0.2",
        "Random",
    ]
    assert split_criteria(["A_large:window,start=0.1", "B_small,Random"]) == [
        "A_large:window,start=0.1",
        "B_small",
        "Random",
    ]


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("lossconverge-LARGE", "LossConverge_large"),
        ("rand", "Random"),
        ("LossInit_small:draw,after=0.3", "LossInit_small:draw,after=0.3"),
        ("LossInit_small:end", "LossInit_small"),
        ("MonteCarlo_small:window,start=0.5", "MonteCarlo_small:window,start=0.5"),
    ],
)
def test_a_criterion_is_spelled_as_goldore_does(text, spelled):
    assert criterion_of(text, KNOWN) == spelled


@pytest.mark.parametrize("text", ["Loss_large", "LossInit_large:nothing", "LossInit_large:draw,before=1"])
def test_what_is_no_criterion_is_refused(text):
    with pytest.raises(UsageError):
        criterion_of(text, KNOWN)


def test_the_default_criteria_are_both_ends_and_the_draw(file):
    assert default_criteria(file) == [
        "Random",
        "LossInit_large",
        "LossInit_small",
        "LossConverge_large",
        "LossConverge_small",
        "LossInit_large:draw,after=0.2",
        "LossConverge_large:draw,after=0.2",
    ]


def test_all_data_random_and_undistilled_samples_are_always_there(file):
    cells = grid(file, ["dm"], [1, 10], ["LossInit_large"], ["0.1", "0.10", "1e-1", "0.3"])
    assert len(cells) == len(set(cells)) == 2 * (1 + 2 * 2 + 2)
    assert Cell("dm", 10, ALL, "1") in cells
    assert Cell("dm", 1, "Random", "0.3") in cells
    assert Cell("undistilled", 1, "LossInit_large", "") in cells
    assert {cell.reference for cell in cells} <= set(cells)
    alone = grid(file, ["none"], [], None, ["0.5"])
    assert {cell.ipc for cell in alone} == {0}
    assert not any(cell.distiller == "undistilled" for cell in alone)


@pytest.mark.parametrize(
    "given",
    [
        {"distillers": ["mtt"]},
        {"distillers": []},
        {"ipcs": [0]},
        {"ipcs": []},
        {"ratios": ["1"]},
        {"ratios": ["0"]},
        {"ratios": []},
        {"ratios": ["half"]},
    ],
)
def test_what_cannot_be_asked_is_refused(file, given):
    with pytest.raises(UsageError):
        grid(file, **{"distillers": ["dm"], "ipcs": [1], "criteria": None, "ratios": ["0.1"]} | given)


@pytest.mark.parametrize("criterion", ["Random", "LossInit_large", "LossConverge_small:draw,after=0.3"])
def test_a_cell_keeps_what_prune_keeps(file, criterion):
    name, _, rule = criterion.partition(":")
    kept = select(file, Cell("dm", 1, criterion, "0.15"), seed=7)
    wanted = prune(file, name, keep_ratio="0.15", strategy=rule or "end", seed=7)
    np.testing.assert_array_equal(kept.indices, wanted.indices)
    assert kept.digest == digest_of(wanted.indices)
    np.testing.assert_array_equal(kept.per_class, np.bincount(file.labels[kept.indices], minlength=4))


def test_undistilled_cells_keep_as_many_as_there_would_be_images(file):
    assert select(file, Cell("undistilled", 3, "LossInit_large", ""), 0).per_class.tolist() == [3] * 4
    assert select(file, Cell("undistilled", 3, ALL, ""), 0).per_class.tolist() == [3] * 4
    assert len(select(file, Cell("dm", 3, ALL, "1"), 0).indices) == 200


def test_cells_with_fewer_samples_than_images_are_left_out(file):
    few, enough = Cell("dm", 10, "LossInit_large", "0.1"), Cell("dm", 10, "LossInit_large", "0.5")
    impossible = Cell("dm", 1, "LossInit_large:draw,after=0.9", "0.5")
    good, refused = feasible(file, [few, enough, impossible], 0)
    assert good == [enough]
    assert "fewer than the 10 images per class" in refused[few]
    assert "passes over" in refused[impossible]
