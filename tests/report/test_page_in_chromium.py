"""The page in a browser: what its script adds, by clicking; skipped where there is no Chromium."""

import pytest

from goldore.report import summarize
from goldore.report.figures import draw
from goldore.report.issues import find_issues
from goldore.report.kept import usual_selections
from goldore.report.material import Material
from goldore.report.page import render
from goldore.store import load_scores
from tests.chromium import PATH, Chromium

pytestmark = [
    pytest.mark.skipif(PATH is None, reason="there is no Chromium"),
    pytest.mark.slow,
]
GRID = "[...document.querySelectorAll('#browse .one')].map((each) => Number(each.dataset.position))"
CARD = "document.getElementById('card').innerText"
SHOWN = "!document.getElementById('card').hidden"
CLASSES = ("left", "middle", "</script><b>right")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A folder tree whose first image of the first class is there twice, its score file, and its page."""
    import numpy as np
    from PIL import Image

    import goldore

    folder = tmp_path_factory.mktemp("page")
    draw_pixels = np.random.default_rng(0)
    for label, name in enumerate(("left", "middle", "right")):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(30):
            pixels = draw_pixels.integers(0, 120, (8, 8, 3)) + 60 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "data" / name / f"{number:02}.png")
    twice = (folder / "data" / "left" / "00.png").read_bytes()
    (folder / "data" / "left" / "99.png").write_bytes(twice)
    recipe = goldore.LossRecipe(epochs=2, network=goldore.ConvNetConfig(depth=1, width=4))
    goldore.score(folder / "data", trials=2, recipe=recipe, out=folder / "s.h5", device="cpu")
    file = load_scores(folder / "s.h5")
    from goldore.report.images import find_images

    images, _ = find_images(file, None, folder)
    material = Material(
        file=file,
        summary=summarize(file, curves=True),
        kept=tuple(usual_selections(file)),
        issues=find_issues(file),
        images=images,
    )
    page = folder / "page.html"
    page.write_text(render(material, draw(material)), encoding="utf-8")
    return page, file


@pytest.fixture(params=[(1280, False), (390, True)], ids=["desk", "phone"])
def browser(scored, tmp_path, request):
    width, phone = request.param
    with Chromium(tmp_path, width, phone=phone) as opened:
        opened.open(scored[0])
        opened.phone = phone
        yield opened
        assert opened.complaints == []


def test_all_samples_are_there_and_nothing_is_wider_than_the_screen(browser, scored):
    _, file = scored
    assert len(browser.js(GRID)) == 60
    browser.click("#browse .more")
    assert sorted(browser.js(GRID)) == list(range(len(file.labels)))
    assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.js("document.querySelector('#browse .more').hidden")


def test_sorting_and_filtering(browser, scored):
    _, file = scored
    values = file.scores["LossConverge"].values
    browser.choose("by", "1")
    assert browser.js("document.querySelector('[name=by]').selectedOptions[0].textContent") == "LossConverge"
    assert browser.js(GRID)[0] == values.argmin()
    browser.choose("order", "highest")
    assert browser.js(GRID)[0] == values.argmax()
    browser.choose("label", "1")
    found = browser.js(GRID)
    assert len(found) == 30
    assert set(file.labels[found].tolist()) == {1}
    browser.choose("label", "")
    browser.choose("by", "position")
    browser.choose("order", "lowest")
    browser.choose("only", "equal")
    assert browser.js(GRID) == [0, 30]
    browser.choose("only", "")
    browser.choose("kept", "0 1")
    kept = usual_selections(file)[0][0]
    assert browser.js(GRID) == kept.indices.tolist()[:60]


def test_right_and_wrong_make_up_the_whole(browser, scored):
    _, file = scored
    counts = []
    for which in ("right", "wrong"):
        browser.choose("prediction", which)
        counts.append(
            int(browser.js("document.querySelector('#browse [role=status]').textContent").split()[0])
        )
    assert sum(counts) == len(file.labels)


def test_searching_by_position_and_by_file(browser):
    browser.choose("by", "position")
    browser.choose("search", "#7")
    assert browser.js(GRID) == [7]
    browser.choose("search", "MIDDLE/0")
    assert browser.js(GRID) == list(range(31, 41))
    browser.choose("search", "nowhere")
    assert browser.js(GRID) == []


def test_a_sample_says_what_is_known_of_it(browser, scored):
    _, file = scored
    browser.choose("by", "position")
    assert not browser.js(SHOWN)
    (browser.tap if browser.phone else browser.hover)("[data-position='0']")
    browser.wait(SHOWN)
    said = browser.js(CARD)
    for part in (
        "#0",
        "0 left",
        "left/00.png",
        "predicted",
        "LossConverge",
        "\N{PLUS-MINUS SIGN}",
        "equal to",
        "#30",
    ):
        assert part in said
    value = file.scores["LossInit"].values[0]
    assert str(float(f"{value:.4g}")) in said
    browser.do("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    browser.wait(f"!({SHOWN})")


def test_a_click_holds_a_sample_until_it_is_closed(browser):
    browser.choose("by", "position")
    if browser.phone:
        pytest.skip("a tap is the click")
    browser.click("[data-position='3']")
    browser.hover("[data-position='4']")
    assert "#3" in browser.js(CARD)
    browser.click("#card .close")
    browser.wait(f"!({SHOWN})")


def test_pictures_elsewhere_on_the_page_say_it_too(browser):
    (browser.tap if browser.phone else browser.hover)(".gallery [data-sample]")
    browser.wait(SHOWN)
    position = browser.js("document.querySelector('.gallery [data-sample]').dataset.sample")
    assert f"#{position}" in browser.js(CARD)


def test_tables_are_sorted_by_their_heads(browser):
    column = "[...document.querySelectorAll('table.classes')][0]"
    means = f"[...{column}.tBodies[0].rows].map((row) => parseFloat(row.cells[2].textContent))"
    browser.js(f"{column}.tHead.rows[0].cells[2].setAttribute('id', 'head')")
    for direction in ("ascending", "descending"):
        (browser.tap if browser.phone else browser.click)("#head")
        browser.wait(f"document.getElementById('head').getAttribute('aria-sort') === '{direction}'")
        found = browser.js(means)
        assert found == sorted(found, reverse=direction == "descending")
