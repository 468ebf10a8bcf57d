"""A study as page, figures and images."""

import re
from dataclasses import replace

import numpy as np
import pytest

from goldore.errors import UsageError
from goldore.report.figures import svg, write_figures
from goldore.report.study_page import draw_study, render_study
from goldore.report.study_records import pick, pixels
from goldore.studies.cells import Cell
from goldore.studies.model import Run, Settings, Study
from tests.studies.conftest import RECIPE

PICKS = ("all", "best", "recommended")


def make_study(
    tmp_path, *, channels=1, classes=3, criteria=("Random", "LossInit_large"), images=True, program=""
):
    """Three seeds: keeping half is better, keeping a tenth far worse."""
    cells = [Cell("dm", 2, "All", "1")]
    cells += [Cell("dm", 2, name, ratio) for name in criteria for ratio in ("0.1", "0.5")]
    cells += [
        Cell("undistilled", 2, "All", ""),
        Cell("none", 0, "All", "1"),
        Cell("none", 0, "Random", "0.1"),
    ]
    gains = {"1": 0.0, "0.5": 6.0, "0.1": -20.0, "": -5.0}
    random = np.random.default_rng(0)
    runs = []
    for cell in cells:
        for seed in range(3):
            value = 70 + seed + gains[cell.keep_ratio] + random.normal(0, 0.2)
            runs.append(Run(cell, seed, value, np.full(classes, value), np.array([value]), 10, "d", 2.0))
    runs.append(Run(cells[1], 3, float("nan"), np.empty(0), np.empty(0), 10, "d", 1.0, "it <broke>"))
    recipe = replace(RECIPE, mean=(0.5,) * channels, std=(0.25,) * channels)
    settings = Settings(
        "<made>", "f" * 64, tuple(map(str, range(classes))), "0" * 64, "s.h5", "quick", recipe, program
    )
    made = random.normal(0, 1, (classes, 2, channels, 8, 8)).astype(np.float16)
    shown = {cell: made for cell in cells if cell.distiller == "dm"} if images else {}
    return Study(tmp_path / "study.h5", settings, tuple(runs), shown)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_images(tmp_path, channels):
    study = make_study(tmp_path, channels=channels)
    images = np.full((1, 1, channels, 2, 2), -2.0, dtype=np.float16)  # two standard deviations below 0.5: 0
    images[..., 0, 0] = 2.0  # 1
    images[..., 0, 1] = 100.0  # is cut
    images[..., 1, 1] = 0.0
    found = pixels(study, images)
    assert found.shape == (1, 1, 2, 2, 3)
    np.testing.assert_array_equal(found[0, 0, ..., 0], [[255, 255], [0, 128]])


def test_the_best_the_recommended_and_all_data_are_picked(tmp_path):
    study = make_study(tmp_path)
    answer = study.answers[0]
    found = [each.verdict.cell.keep_ratio for each in pick(study, answer, PICKS)]
    assert found == ["1", "0.5"]  # the best is the recommended one, and stands once
    named = pick(study, answer, ["Random@0.10", "LossInit_large@0.5"])
    assert [(each.verdict.cell.criterion, each.verdict.cell.keep_ratio) for each in named] == [
        ("Random", "0.1"),
        ("LossInit_large", "0.5"),
    ]
    for wrong in ("Random", "Random@0.2", "worst", "Nothing@0.1"):
        with pytest.raises(UsageError, match="images"):
            pick(study, answer, [wrong])


def test_where_nothing_is_as_good_the_nearest_is_picked(tmp_path):
    study = replace(make_study(tmp_path), margin=0.0)
    runs = tuple(
        replace(run, accuracy=run.accuracy - 30) if not run.cell.is_all else run for run in study.runs
    )
    study = replace(study, runs=runs)
    assert study.answers[0].best is None
    assert [each.verdict.cell.keep_ratio for each in pick(study, study.answers[0], PICKS)] == ["1", "0.5"]


def test_each_table_has_a_figure_and_its_images(tmp_path):
    drawings = draw_study(make_study(tmp_path), PICKS)
    assert [each.name for each in drawings] == ["study-dm-ipc2", "distilled-dm-ipc2", "study-none-ipc0"]
    for each in drawings:
        assert svg(each) == svg(each)
    paths = write_figures(tmp_path / "figures", drawings)
    assert len(paths) == 3 * 3 + 1


def test_a_study_of_a_program_has_no_images(tmp_path):
    study = make_study(tmp_path, images=False, program="python x.py")
    study = replace(study, settings=replace(study.settings, recipe=None))
    drawings = draw_study(study, PICKS)
    assert [each.name for each in drawings] == ["study-dm-ipc2", "study-none-ipc0"]
    assert "python x.py" in render_study(study, drawings)


def test_many_criteria_and_classes_are_drawn_as_far_as_there_is_room(tmp_path):
    criteria = ("Random", *(f"Score{number}_large:draw,after=0.{number}" for number in range(15)))
    study = make_study(tmp_path, classes=30, criteria=criteria, channels=3)
    curves, sheet, *_ = draw_study(study, PICKS)
    assert "The first 12 criteria are drawn" in curves.caption
    assert "the first 10 classes" in sheet.caption


def test_the_page_says_what_the_study_says(tmp_path):
    study = make_study(tmp_path)
    page = render_study(study, draw_study(study, PICKS))
    assert "&lt;made&gt;" in page
    assert "<made>" not in page
    assert "it &lt;broke&gt;" in page
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th><td>(.*?)</td>.*?class=\"text\">(.*?)</td>", page)
    assert ("LossInit_large", "50%", "better") in rows
    assert ("Random", "10%", "worse") in rows
    assert ("all data", "100%", "reference") in rows
    assert page.count("<img") == 3
    assert "script" not in page.lower()


def test_it_is_plotted_from_python(tmp_path):
    study = make_study(tmp_path)
    assert len(study.plot()) == 3
    assert len(study.plot(images=["Random@0.1"])) == 3


def test_a_study_without_runs_is_an_empty_page(tmp_path):
    study = replace(make_study(tmp_path), runs=(), images={})
    assert draw_study(study, PICKS) == []
    assert "Does pruning pay" in render_study(study, [])
