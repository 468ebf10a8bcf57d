"""Figures: that what they draw is what the numbers say, and their files."""

import xml.etree.ElementTree as ET
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from goldore.errors import UsageError
from goldore.report import compare, summarize
from goldore.report.curves import reliability_curve
from goldore.report.figures import CAPTIONS, FORMATS, draw, svg, write_figures
from goldore.report.figures.agreement import overlaps
from goldore.report.figures.kept import kept_and_dropped
from goldore.report.figures.scores import distribution, pair
from goldore.report.figures.style import class_labels, styled, writable
from goldore.report.figures.trials import loss_curves, reliability
from goldore.report.kept import select
from goldore.report.material import Material
from goldore.store import load_scores
from tests.report.making import HOSTILE, material_of, noise, put, scored


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Three classes; seven samples without LossInit; LossConverge over orders of magnitude."""
    path = scored(tmp_path_factory.mktemp("figures") / "three.h5", noise((20, 17, 23)), 3, 40)
    put(path, "LossConverge", np.geomspace(1e-4, 10, 60))
    return put(path, "LossInit", np.nan, slice(7))


@pytest.fixture(scope="module")
def material(path):
    return material_of(path)


def bars(axes):
    """(left edge, width, height) of the bars of each colour."""
    return [[(bar.get_x(), bar.get_width(), bar.get_height()) for bar in group] for group in axes.containers]


def heights(group):
    return [height for _, _, height in group]


class TestDistribution:
    def test_every_sample_with_a_score_is_in_one_bar(self, material):
        values = material.file.scores["LossInit"].values[7:]
        figure = distribution(material, "LossInit").figure
        (group,) = bars(figure.axes[0])
        edges = [left for left, _, _ in group] + [group[-1][0] + group[-1][1]]
        assert edges[0] == pytest.approx(values.min())
        assert edges[-1] == pytest.approx(values.max())
        inner = np.searchsorted(edges[1:-1], values, side="right")
        assert heights(group) == np.bincount(inner, minlength=len(group)).tolist()
        assert sum(heights(group)) == 53

    def test_bands_of_classes_are_their_quantiles(self, material):
        scores, labels = material.file.scores["LossInit"].values, material.file.labels
        axes = distribution(material, "LossInit").figure.axes[1]
        quantiles = np.array(
            [np.nanquantile(scores[labels == label], (0.05, 0.25, 0.5, 0.75, 0.95)) for label in range(3)]
        )
        wide, narrow = (np.array(lines.get_segments())[:, :, 0] for lines in axes.collections)
        np.testing.assert_allclose(wide, quantiles[:, [0, 4]], rtol=1e-12)
        np.testing.assert_allclose(narrow, quantiles[:, [1, 3]], rtol=1e-12)
        np.testing.assert_allclose(axes.lines[0].get_xdata(), quantiles[:, 2], rtol=1e-12)
        assert [text.get_text() for text in axes.get_yticklabels()] == ["kind 0", "kind 1", "kind 2"]

    def test_orders_of_magnitude_stand_on_a_logarithmic_axis(self, material):
        scales = {
            name: distribution(material, name).figure.axes[1].get_xscale()
            for name in ("LossInit", "LossConverge", "MonteCarlo")
        }
        assert scales == {"LossInit": "linear", "LossConverge": "log", "MonteCarlo": "linear"}

    def test_many_classes_are_sorted_by_their_median(self, tmp_path):
        many = material_of(scored(tmp_path / "many.h5", noise((3,) * 40, side=2), 2))
        axes = distribution(many, "LossConverge").figure.axes[1]
        scores, labels = many.file.scores["LossConverge"].values, many.file.labels
        medians = sorted(np.median(scores[labels == label]) for label in range(40))
        np.testing.assert_allclose(axes.lines[0].get_xdata(), medians)


class TestPair:
    def test_points_are_the_samples_with_both_scores(self, material):
        correlation = material.summary.correlations[0]
        (points,) = pair(material, correlation).figure.axes[0].collections
        both = [material.file.scores[name].values[7:] for name in ("LossInit", "LossConverge")]
        np.testing.assert_allclose(points.get_offsets(), np.stack(both, axis=1))
        assert correlation.samples == 53

    def test_of_many_samples_the_cells_count_them_all(self, tmp_path):
        many = material_of(scored(tmp_path / "many.h5", noise((1600, 1600), side=2), 2))
        axes = pair(many, many.summary.correlations[0]).figure.axes[0]
        (cells,) = axes.collections
        assert cells.get_array().sum() == 3200
        assert cells.get_array().min() >= 1

    def test_scores_that_share_no_sample_have_none(self, path, tmp_path):
        apart = scored(tmp_path / "apart.h5", noise((20, 20)), 2)
        put(apart, "LossInit", np.nan, slice(20))
        put(apart, "LossConverge", np.nan, slice(20, 40))
        material = material_of(apart)
        assert pair(material, material.summary.correlations[0]) is None
        assert not [each for each in draw(material) if each.about == "pairs"]


class TestKept:
    def test_each_class_has_a_panel_with_its_samples(self, material):
        chosen, kept = select(material.file, "LossConverge_large", keep_ratio="0.3")
        labels = material.file.labels
        for label, axes in enumerate(kept_and_dropped(material, chosen, kept).figure.axes):
            mine, others = bars(axes)
            here = int((labels[chosen.indices] == label).sum())
            assert (sum(heights(mine)), sum(heights(others))) == (here, int((labels == label).sum()) - here)

    @pytest.mark.parametrize("scope", ["class", "global"])
    def test_bars_are_the_kept_and_the_dropped_samples(self, material, scope):
        chosen, kept = select(material.file, "LossConverge_large", keep_ratio="0.3", scope=scope)
        panels = kept_and_dropped(material, chosen, kept).figure.axes
        panels = panels[:1] if scope == "global" else panels
        assert len(panels) == (1 if scope == "global" else 3)
        mine, others = ([bar for axes in panels for bar in bars(axes)[which]] for which in (0, 1))
        assert (sum(heights(mine)), sum(heights(others))) == (len(chosen.indices), 60 - len(chosen.indices))
        values = material.file.scores["LossConverge"].values[chosen.indices]
        highest = max(left + width for left, width, height in mine if height)
        assert highest >= values.max() * (1 - 1e-9)
        assert min(left for left, _, height in mine if height) <= values.min() * (1 + 1e-9)

    def test_global_scope_shows_the_share_of_each_class(self, material):
        chosen, kept = select(material.file, "LossConverge_large", keep_ratio="0.3", scope="global")
        axes = kept_and_dropped(material, chosen, kept).figure.axes[1]
        labels = material.file.labels
        shares = np.bincount(labels[chosen.indices], minlength=3) / np.bincount(labels)
        assert [bar.get_width() for bar in axes.containers[0]] == pytest.approx(shares.tolist())
        assert axes.lines[0].get_xdata()[0] == pytest.approx(18 / 60)

    def test_samples_without_a_score_are_not_counted_as_drawn(self, path):
        put(path, "LossConverge", np.nan, slice(4, 9))
        material = material_of(path)
        chosen, kept = select(material.file, "LossConverge_large", keep_ratio="0.3")
        drawing = kept_and_dropped(material, chosen, kept)
        drawn = [bar for axes in drawing.figure.axes for group in bars(axes) for bar in group]
        assert sum(heights(drawn)) == 55
        (legend,) = drawing.figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["kept", "dropped"]
        assert "Not drawn: 5 samples without a score." in drawing.caption

    def test_random_has_no_score_to_draw(self, material):
        assert kept_and_dropped(material, *select(material.file, "Random", keep_ratio="0.3")) is None


class TestTrials:
    def test_the_mean_curve_is_that_of_the_trials(self, material):
        stored = material.file.loss_trials.train_loss.astype(float)
        *lines, mean = loss_curves(material).figure.axes[0].lines
        np.testing.assert_allclose([line.get_ydata() for line in lines], stored)
        np.testing.assert_allclose(mean.get_ydata(), stored.mean(axis=0))
        assert mean.get_xdata().tolist() == [1, 2, 3, 4]

    def test_reliability_ends_at_that_of_the_file(self, material):
        score = material.file.scores["LossConverge"]
        curve = material.summary.scores["LossConverge"].reliability_curve
        *_, measured = reliability("LossConverge", curve).figure.axes[0].lines
        assert measured.get_xdata().tolist() == [2, 3]
        assert measured.get_ydata()[-1] == pytest.approx(score.rank_reliability)

    def test_one_trial_has_no_reliability(self, tmp_path):
        file = load_scores(scored(tmp_path / "one.h5", noise((20, 20)), 1))
        assert not reliability_curve(file, file.scores["LossConverge"]).measured


def test_overlaps_are_those_of_the_comparison(path, tmp_path):
    other = scored(tmp_path / "other.h5", noise((20, 17, 23)), 3, seed=1)
    comparison = compare([load_scores(path), load_scores(other)])
    (drawing,) = overlaps(comparison)
    lines = {line.get_label(): line.get_ydata() for line in drawing.figure.axes[0].lines}
    for row in comparison.overlaps:
        assert list(lines.pop(row.criteria[0])) == list(row.kept_by_both.values())
    assert list(lines.pop("chance")) == list(comparison.overlaps[0].chance.values())
    assert lines == {}


class TestFiles:
    @pytest.fixture
    def few(self, material):
        def draw_two():
            with styled():
                return [distribution(material, "MonteCarlo"), loss_curves(material)]

        return draw_two

    def test_each_figure_is_written_in_each_format(self, few, tmp_path):
        folder = tmp_path / "deeper" / "figures"
        written = write_figures(folder, few())
        names = {f"{name}.{each}" for name in ("distribution-MonteCarlo", "loss-curves") for each in FORMATS}
        names.add(CAPTIONS)
        assert {each.name for each in folder.iterdir()} == {each.name for each in written} == names
        with Image.open(folder / "loss-curves.png") as image:
            assert image.width == pytest.approx(3.25 * 300, abs=2)
            assert image.info["dpi"] == pytest.approx((300, 300), abs=1)
        assert ET.parse(folder / "loss-curves.svg").getroot().tag.endswith("svg")  # noqa: S314
        assert (folder / "loss-curves.pdf").read_bytes().startswith(b"%PDF")

    def test_the_same_file_gives_the_same_figures_to_the_byte(self, few, tmp_path):
        first, second = (write_figures(tmp_path / name, few()) for name in ("first", "second"))
        for one, two in zip(first, second, strict=True):
            assert one.read_bytes() == two.read_bytes()

    def test_a_figure_is_the_same_however_often_it_is_saved(self, tmp_path):
        material = material_of(scored(tmp_path / "ten.h5", noise((200,) * 10, side=2), 3), kept=[])
        for drawing in draw(material):
            assert svg(drawing) == svg(drawing)

    def test_existing_figures_are_replaced_only_if_asked(self, few, tmp_path):
        (tmp_path / "loss-curves.svg").write_text("mine")
        with pytest.raises(UsageError, match="`overwrite`"):
            write_figures(tmp_path, few())
        assert [each.name for each in tmp_path.iterdir()] == ["loss-curves.svg"]
        assert (tmp_path / "loss-curves.svg").read_text() == "mine"
        write_figures(tmp_path, few(), overwrite=True)
        assert len(list(tmp_path.iterdir())) == 2 * len(FORMATS) + 1

    def test_the_users_own_style_changes_nothing_and_is_left_alone(self, few):
        usual = svg(few()[1])
        with mpl.rc_context(
            {"font.size": 20, "lines.linewidth": 9, "axes.grid": True, "svg.fonttype": "none"}
        ):
            before = dict(mpl.rcParams)
            assert svg(few()[1]) == usual
            assert dict(mpl.rcParams) == before

    def test_letters_are_drawn_as_outlines(self, few):
        assert "<text" not in svg(few()[1])


def test_classes_are_labelled_by_name_where_the_font_has_its_letters():
    names = ["cat", "a\n b\tc", "n" * 300, "", "   ", "\u202eevil", "\U000f0000", "$x$", "e\u0301"]
    labels = class_labels([SimpleNamespace(label=label, name=name) for label, name in enumerate(names)])
    assert labels[:2] == ["cat", "a b c"]
    assert labels[2].startswith("nnn")
    assert len(labels[2]) <= 16
    assert labels[3:8] == ["class 3", "class 4", "class 5", "class 6", "$x$"]
    assert writable("Z\u00fcrich, \u0394")
    assert not writable("\U000f0000")


@pytest.mark.filterwarnings("error::UserWarning")
def test_names_of_all_kinds_are_drawn_on_all_axes(tmp_path):
    dataset = noise((6,) * len(HOSTILE), names=HOSTILE)
    file = load_scores(scored(tmp_path / "names.h5", dataset, 1))
    kept = select(file, "LossInit_large", keep_ratio="0.3", scope="global")
    material = Material(file=file, summary=summarize(file, curves=True), kept=(kept,))
    drawings = [distribution(material, "LossInit"), kept_and_dropped(material, *kept)]
    for written in drawings:
        svg(written)
    write_figures(tmp_path / "figures", drawings[:1])


def test_trials_that_all_diverged_have_no_curve(material):
    none = SimpleNamespace(file=SimpleNamespace(loss_trials=None))
    assert loss_curves(none) is None
