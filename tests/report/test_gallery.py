"""Images for a page: whose they are, and that they are the sample's pixels."""

import io
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cli.picture import show_picture
from goldore.report import summarize
from goldore.report.gallery import EACH, as_pil, data_uri, examples, extremes, most_classes, pictures
from goldore.report.kept import select
from goldore.report.material import Material
from tests.conftest import make_score_file


def material_of(values, labels, classes):
    """Scores in memory, with images whose pixels tell the position."""
    file = make_score_file(values, labels, classes)

    def images(positions):
        return np.broadcast_to(
            (positions % 256).astype(np.uint8)[:, None, None, None], (len(positions), 1, 8, 8)
        )

    return Material(file=file, summary=summarize(file), images=images)


def image_of(uri):
    kind, _, content = uri.partition(";base64,")
    return kind.removeprefix("data:image/"), Image.open(io.BytesIO(b64decode(content)))


def positions(row):
    return [each.position for each in row]


class TestExtremes:
    def test_are_the_lowest_and_the_highest_of_each_class(self):
        draw = np.random.default_rng(0)
        labels, values = draw.integers(0, 3, 200), draw.normal(size=200)
        rows = extremes(material_of(values, labels, 3), "LossConverge")
        assert [(row.label, row.name) for row in rows] == [(each, f"class {each}") for each in range(3)]
        for row in rows:
            members = np.flatnonzero(labels == row.label)
            ordered = members[np.argsort(values[members])]
            assert positions(row.lowest) == ordered[:EACH].tolist()
            assert positions(row.highest) == ordered[::-1][:EACH].tolist()
            assert [each.value for each in row.lowest] == values[ordered[:EACH]].tolist()
            for each in row.lowest:
                assert np.asarray(image_of(each.uri)[1]).tolist() == [[each.position] * 8] * 8

    @pytest.mark.parametrize("samples", [1, 2, 5, 11, 12, 13])
    def test_no_sample_stands_at_both_ends(self, samples):
        (row,) = extremes(material_of(np.arange(samples), [0] * samples, 1), "LossConverge")
        shown = positions(row.lowest) + positions(row.highest)
        assert len(shown) == len(set(shown)) == min(samples, 2 * EACH)
        assert positions(row.lowest) == list(range(len(row.lowest)))
        assert abs(len(row.lowest) - len(row.highest)) <= 1

    def test_samples_without_a_score_are_not_shown(self):
        values = [np.nan, 3, 1, np.nan, 2, np.nan, np.nan]
        rows = extremes(material_of(values, [0, 0, 0, 0, 0, 1, 1], 2), "LossConverge")
        assert [(row.label, positions(row.lowest), positions(row.highest)) for row in rows] == [
            (0, [2, 4], [1])
        ]

    def test_of_many_classes_those_with_the_lowest_and_highest_means_are_shown(self):
        means = np.random.default_rng(1).permutation(50)
        labels = np.repeat(np.arange(50), 3)
        material = material_of(means[labels] + np.tile([0.0, 0.1, 0.2], 50), labels, 50)
        rows = extremes(material, "LossConverge")
        half = most_classes(material) // 2
        assert half == 10
        assert [row.label for row in rows] == sorted(np.argsort(means)[[*range(half), *range(-half, 0)]])


class TestExamples:
    def test_are_some_of_the_kept_and_some_of_the_dropped(self):
        draw = np.random.default_rng(0)
        material = material_of(draw.random(200), draw.integers(0, 3, 200), 3)
        chosen, _ = select(material.file, "LossConverge_large", keep_ratio="0.5")
        kept, dropped = (positions(each) for each in examples(material, chosen, "LossConverge"))
        assert set(kept) <= set(chosen.indices.tolist())
        assert not set(dropped) & set(chosen.indices.tolist())
        assert len(set(kept)) == len(set(dropped)) == 24
        assert kept == sorted(kept)
        again = examples(material, chosen, None)
        assert (positions(again[0]), positions(again[1])) == (kept, dropped)
        assert all(np.isnan(each.value) for each in again[0])

    def test_are_none_without_images_or_with_nothing_dropped(self):
        material = material_of(np.arange(4.0), [0] * 4, 1)
        chosen, _ = select(material.file, "LossConverge_large", keep_ratio="1")
        kept, dropped = examples(material, chosen, None)
        assert (positions(kept), dropped) == ([0, 1, 2, 3], ())
        assert examples(replace(material, images=None), chosen, None) == ((), ())
        assert pictures(material, np.array([], dtype=np.int64), np.arange(4.0)) == ()


def noise_image(channels, side=32):
    return np.random.default_rng(channels).integers(0, 256, (channels, side, side + 3), dtype=np.uint8)


class TestPixels:
    @pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB"), (7, "RGB")])
    def test_small_images_are_kept_to_the_pixel(self, channels, mode):
        image = noise_image(channels)
        kind, decoded = image_of(data_uri(image))
        assert (kind, decoded.mode, decoded.size) == ("png", mode, (35, 32))
        shown = image[:1] if mode == "L" else image[:3]
        assert np.array_equal(np.asarray(decoded).reshape(32, 35, -1), shown.transpose(1, 2, 0))

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_large_images_are_made_smaller(self, channels):
        kind, decoded = image_of(data_uri(noise_image(channels, 300)))
        assert (kind, max(decoded.size)) == ("jpeg", 64)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_an_image_of_a_single_colour_stays_that_colour(self, channels):
        image = np.full((channels, 300, 300), 200, dtype=np.uint8)
        drawn = np.asarray(image_of(data_uri(image))[1]).astype(int)
        assert abs(drawn - 200).max() <= 2

    def test_a_view_with_other_strides_is_drawn_alike(self):
        image = noise_image(3)
        view = np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)
        assert np.array_equal(np.asarray(as_pil(view)), np.asarray(as_pil(image)))


def shown(image, *, encoding="utf-8", width=80, **options):
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    show_picture(Console(file=buffer, width=width, **options), image)
    buffer.flush()
    return buffer.buffer.getvalue().decode(encoding)


class TestTerminal:
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
    def test_light_is_full_and_dark_is_empty_without_colours(self, channels, encoding):
        image = np.zeros((channels, 4, 4), dtype=np.uint8)
        image[:, :2] = 255
        full = "\N{FULL BLOCK}" if encoding == "utf-8" else "@"
        assert shown(image, encoding=encoding).splitlines() == [full * 8, full * 8, "", ""]

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_two_pixels_share_a_character_where_there_are_colours(self, channels):
        image = np.zeros((channels, 3, 2), dtype=np.uint8)
        image[0, 0, 0], image[-1 if channels < 3 else 2, 1, 1] = 255, 128
        lines = shown(image, force_terminal=True, color_system="truecolor").splitlines()
        assert len(lines) == 2
        rgb = np.asarray(as_pil(image).convert("RGB"))
        top = ";".join(map(str, rgb[0, 0]))
        below = ";".join(map(str, rgb[1, 0]))
        assert lines[0].startswith(f"\x1b[38;2;{top};48;2;{below}m")
        assert "48;2" not in lines[1]

    @pytest.mark.parametrize("width", [40, 80, 200])
    @pytest.mark.parametrize("colours", [None, "truecolor"])
    def test_no_line_is_wider_than_the_terminal(self, width, colours):
        import re

        image = np.full((3, 50, 500), 255, dtype=np.uint8)
        text = shown(image, width=width, force_terminal=colours is not None, color_system=colours)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
        assert 1 <= len(lines) <= 64
        assert max(map(len, lines)) == min(64, width)
