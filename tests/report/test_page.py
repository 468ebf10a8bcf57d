"""The page, parsed: on files of all kinds, with names of all kinds. Other tests take its makers of files."""

import re
from dataclasses import replace

import pytest

from goldore.errors import GoldoreError
from goldore.report import compare, summarize
from goldore.report.browser import browser
from goldore.report.extra import check_report_extra
from goldore.report.figures import draw
from goldore.report.material import Material
from goldore.report.page import render
from goldore.store import load_scores
from goldore.wording import number, printable
from tests.report.making import HOSTILE, LOSSES, ODD, material_of, noise, page_of, scored
from tests.report.pages import (
    Page,
    check_comparison_tables,
    check_kept_table,
    check_sample_table,
    check_stands_alone,
    check_summary_tables,
)

FIVE_MB = 5_000_000


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three classes, three scores: (path, dataset)."""
    dataset = noise((20, 17, 23), names=("left", "1", "right"))
    return scored(tmp_path_factory.mktemp("three") / "three.h5", dataset, 3, 40), dataset


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("case", [case for case in ODD if case != "a thousand classes"])
def test_odd_files_have_a_page_without_a_warning_of_fonts_or_layout(case, tmp_path):
    material = material_of(ODD[case](tmp_path / "odd.h5"), samples=(0,))
    drawings = draw(material)  # which lays all of them out
    text = render(material, drawings[:1])
    page = Page(text)
    check_summary_tables(page, material.summary.to_json())
    for _, kept in material.kept:
        check_kept_table(page, kept.to_json())
    check_sample_table(page, material.samples[0].to_json())
    check_stands_alone(page, text)
    assert len(text.encode()) < FIVE_MB


def test_markup_in_names_adds_nothing_to_the_page(tmp_path):
    texts = {}
    for names, about in ((None, {}), (HOSTILE, {"name": HOSTILE[0], "source": HOSTILE[1]})):
        dataset = noise((6,) * len(HOSTILE), names=names, **about)
        path = scored(tmp_path / f"{len(texts)}.h5", dataset, 2)
        texts[len(texts)] = Page(render(material_of(path, dataset, samples=(0,)), []))
    plain, hostile = texts.values()
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert [attrs.keys() for _, attrs in hostile.tags] == [attrs.keys() for _, attrs in plain.tags]
    shown = [f"{label} {printable(name)}" for label, name in enumerate(HOSTILE)]
    assert hostile.all_of("h4") == shown * len(LOSSES)
    assert hostile.all_of("h1")[0].startswith(f"{HOSTILE[0]} (train): 84 images")
    assert hostile.all_of("title") == [f"Scores of {HOSTILE[0]}"]
    assert HOSTILE[1] in hostile.all_of("dd")


def test_nothing_on_the_page_turns_letters_round(tmp_path):
    name = "a\x1b[31m\x07\u202eb\u2066c"
    dataset = noise((6, 6), names=(name, "right"), name=name, source=name)
    text = render(material_of(scored(tmp_path / "odd.h5", dataset, 2), dataset, samples=(0,)), [])
    assert "a?[31m??b?c" in text
    assert not [each for each in text if not each.isprintable() and each != "\n"]


def test_tables_and_facts_are_those_of_the_records(three):
    path, dataset = three
    wanted = [
        {"criterion": "LossConverge_large", "keep_ratio": "0.3", "scope": "global"},
        {"criterion": "Random", "drop_ratio": "0.5"},
    ]
    material = material_of(path, dataset, samples=(7, 3), kept=wanted)
    page = Page(render(material, []))
    check_summary_tables(page, material.summary.to_json())
    for _, kept in material.kept:
        check_kept_table(page, kept.to_json())
    for sample in material.samples:
        check_sample_table(page, sample.to_json())
    for name in ("LossInit", "MonteCarlo"):
        shown = material.summary.scores[name].quantiles
        text = "  ".join(f"{float(key):.0%} {number(value)}" for key, value in shown.items())
        assert text in page.all_of("dd")


def test_images_beside_scores_are_those_of_the_samples(three):
    path, dataset = three
    file = load_scores(path)
    page = Page(render(material_of(path, dataset), []))
    pictures = [attrs for tag, attrs in page.tags if tag == "img" and attrs.get("class") == "sample"]
    captions = [text for text in page.all_of("figcaption") if text.startswith("#")]
    assert len(pictures) == len(captions) > 3 * 3 * 12
    ends = captions[: 3 * 12]  # of LossInit
    for caption, attrs in zip(ends, pictures, strict=False):
        position = int(re.match(r"#(\d+)", caption)[1])
        assert attrs["alt"] == f"sample {position} of class {dataset.labels[position]}"
        assert caption == f"#{position}\n{number(file.scores['LossInit'].values[position])}"


def test_values_of_single_trials_are_listed(three):
    path, dataset = three
    material = material_of(path, dataset, samples=(5,))
    found = material.samples[0].scores["LossConverge"].per_trial
    assert len(found) == 3
    assert f"in each trial: {'  '.join(map(number, found))}" in Page(render(material, [])).all_of("dd")


def test_the_same_file_gives_the_same_page_to_the_byte(three):
    path, dataset = three
    assert page_of(material_of(path, dataset, (3,), [])) == page_of(material_of(path, dataset, (3,), []))


def test_a_comparison_is_on_the_page_of_the_first_file(three, tmp_path):
    path, dataset = three
    other = scored(tmp_path / "other.h5", dataset, 2, 30, seed=1)
    files = [load_scores(each) for each in (path, other)]
    summary, comparison = summarize(files[0]), compare(files)
    page = Page(render(Material(file=files[0], summary=summary, comparison=comparison), []))
    check_summary_tables(page, summary.to_json())
    check_comparison_tables(page, comparison.to_json())


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize(
    ("counts", "utilities"),
    [
        ((150,) * 10, 200),
        ((30,) * 100, 10),
        ((2,) * 1000, 1),
    ],
    ids=["10 classes", "100 classes", "1000 classes"],
)
def test_a_page_with_images_that_hardly_compress_is_below_five_megabytes(counts, utilities, tmp_path):
    dataset = noise(counts, side=32)
    material = material_of(scored(tmp_path / "big.h5", dataset, 3, utilities), dataset)
    text = page_of(material)
    check_summary_tables(Page(text), material.summary.to_json())
    assert text.count("data:image/png") > 100
    assert len(text.encode()) < FIVE_MB


def test_long_tables_are_folded(tmp_path):
    path = scored(tmp_path / "many.h5", noise((2,) * 31, side=2), 2)
    page = Page(render(material_of(path), []))
    assert sum(tag == "details" for tag, _ in page.tags) == 2 * len(LOSSES)  # classes and kept of each score


@pytest.mark.parametrize(
    ("absent", "named"),
    [({"matplotlib"}, "matplotlib"), ({"jinja2"}, "Jinja2"), ({"matplotlib", "jinja2"}, "and")],
)
def test_a_missing_library_is_named_with_how_to_install_it(absent, named, monkeypatch):
    check_report_extra()
    monkeypatch.setattr("goldore.report.extra.find_spec", lambda name: None if name in absent else object())
    with pytest.raises(GoldoreError, match=rf"{named}.*pip install matplotlib jinja2") as caught:
        check_report_extra()
    assert caught.value.exit_code == 1


def test_long_paths_leave_room_for_fewer_samples(tmp_path):
    paths = tuple(f"{'deep/' * 240}{place}.png" for place in range(2000))
    dataset = replace(noise((1000, 1000), side=1), paths=paths)
    material = material_of(scored(tmp_path / "s.h5", dataset, 1), kept=())
    found = browser(material, LOSSES, (), 10e6)
    assert 500 < found.samples < 2000
    assert len(found.data) < 1.5e6
