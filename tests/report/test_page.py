"""The page, parsed: on files of all kinds, with names of all kinds. Other tests take its makers of files."""

import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from goldore.datasets.dataset import ImageDataset
from goldore.draws import Sweeps, make_strata
from goldore.errors import GoldoreError, UsageError
from goldore.recipe import ConvNetConfig, LossRecipe, UtilityRecipe
from goldore.report import compare, describe_samples, summarize
from goldore.report.extra import check_report_extra
from goldore.report.figures import draw
from goldore.report.kept import select, usual_selections
from goldore.report.material import Material
from goldore.report.page import render, write_page
from goldore.store import Header, LossResult, LossRun, UtilityResult, UtilityRun, add_trials, load_scores
from goldore.store.writing import write_new
from goldore.trials import make_trials, make_utility_trials
from goldore.wording import count, number, percent
from tests.conftest import edited

FIVE_MB = 5_000_000
LOSSES = ("LossInit", "LossConverge")
HOSTILE = (
    '<b>&"$_^{x}</b>',
    "' onerror=alert(1) x='",
    "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET} \N{HEBREW LETTER GIMEL}",
    "\u202eevil",
    "\u6f22\u5b57",
    "\N{FISH}\N{SHARK} fish",
    "n" * 300,
    "   ",
    "\u200b",
    "a\nb\tc",
    "e\u0301",
    "\\frac{1",
    "{{7*7}}",
    "%s",
)
TEXTS = {"h1", "h2", "h3", "h4", "p", "dd", "dt", "figcaption", "title"}
VOID = {"meta", "img", "br", "link", "hr", "input"}


def noise(counts, side=8, channels=3, names=None, seed=0, **fields):
    """Images that hardly compress, of so many samples a class."""
    make = np.random.default_rng(seed)
    labels = make.permutation(np.repeat(np.arange(len(counts)), counts))
    images = make.integers(0, 256, (len(labels), channels, side, side), dtype=np.uint8)
    class_names = tuple(names or (f"kind {label}" for label in range(len(counts))))
    about = {"name": "noise", "source": "made by the tests", **fields}
    return ImageDataset(images=images, labels=labels, class_names=class_names, **about)


def scored(path, dataset, losses=3, utilities=0, seed=0, outcome="accuracy", per_class=2):
    """A score file of a dataset with trials of random results, written as goldore score writes it."""
    header, make = Header.of(dataset), np.random.default_rng(seed)
    network, channels = ConvNetConfig(depth=1, width=4), dataset.image_shape[0]
    same = {"network": network, "mean": (0.5,) * channels, "std": (0.25,) * channels}
    about = {"base_seed": 5, "device": "CPU", "torch_version": "2.6"}
    samples, classes = dataset.num_samples, dataset.num_classes
    hard = make.lognormal(size=samples)
    results = [
        LossResult(
            trial=trial,
            failed=False,
            recorded={
                name: (hard**power * make.lognormal(sigma=0.3, size=samples)).astype(np.float32)
                for name, power in zip(LOSSES, (0.5, 1), strict=True)
            },
            train_loss=(2 / np.arange(1, 5) + make.random(4)).astype(np.float32),
            test_accuracy=0.5,
            seconds=1.5,
        )
        for trial in make_trials(5, range(losses))
    ]
    if results:
        add_trials(path, header, LossRun(LossRecipe(epochs=4, **same), recorded=LOSSES, **about), results)
    if utilities:
        recipe = UtilityRecipe(steps=3, subset_per_class=per_class, **same)
        sweeps = Sweeps(make_strata(dataset.labels, classes, per_class, recipe.folds, 5), 5)
        scale = {"accuracy": 1, "logprob": -3, "margin": 2}
        drawn = [
            UtilityResult(
                trial=trial,
                failed=False,
                members=sweeps.subset(trial.number).astype(np.int32),
                outcomes={
                    name: (factor * make.random(classes)).astype(np.float32) for name, factor in scale.items()
                },
                train_loss=1.0,
                seconds=0.5,
            )
            for trial in make_utility_trials(5, range(utilities), recipe.common_init)
        ]
        run = UtilityRun(recipe, outcome=outcome, estimator="in-minus-out", evaluation="", **about)
        add_trials(path, header, run, drawn)
    return path


def put(path, name, values, where=slice(None)):
    """Write values of a score into a file, past all estimates."""
    with edited(path) as file:
        column = file[f"scores/{name}"][()]
        column[where] = values
        file[f"scores/{name}"][...] = column
    return path


def _with_put(counts, values, name="LossInit", utilities=0, where=None):
    def make(path):
        dataset = noise(counts)
        chosen = slice(None) if where is None else where(dataset.labels)
        return put(scored(path, dataset, 3, utilities), name, values, chosen)

    return make


def _imported(path):
    header = Header.of(noise((20, 30)))
    unknown = np.full(2, np.nan)
    from goldore.estimators import Estimate

    found = Estimate(
        values=np.random.default_rng(0).random(50),
        stderr=np.full(50, np.nan),
        trials=0,
        reliability=np.nan,
        rank_reliability=np.nan,
        class_reliability=unknown,
        class_rank_reliability=unknown,
    )
    write_new(path, header, {"LossConverge": (found, {}), "MonteCarlo": (found, {})})
    return path


ODD = {  # how to write each odd file to a path
    "one loss trial": lambda path: scored(path, noise((20, 20)), 1),
    "one utility trial": lambda path: scored(path, noise((20, 20)), 0, 1),
    "utility trials only": lambda path: scored(path, noise((20, 20)), 0, 40),
    "one score all missing": _with_put((20, 20), np.nan, utilities=20),
    "the only score all missing": lambda path: put(
        scored(path, noise((20, 20)), 0, 20), "MonteCarlo", np.nan
    ),
    "a class all missing": _with_put((20, 20, 20), np.nan, where=lambda labels: labels == 1),
    "one class": lambda path: scored(path, noise((30,)), 3, 20),
    "one sample": lambda path: scored(path, noise((1,)), 1),
    "two samples of two classes": lambda path: scored(path, noise((1, 1)), 2, 6),
    "a constant": _with_put((20, 20), 2.0),
    "negative": _with_put((20, 20), -np.arange(40.0)),
    "a range too narrow for bins": _with_put((20, 20), 1 + np.arange(40) * 2.0**-52),
    "fourteen decades": _with_put((20, 20), np.geomspace(1e-12, 1e2, 40)),
    "infinite": _with_put((20, 20), [np.inf, -np.inf, *range(38)]),
    "imported": _imported,
    "a thousand classes": lambda path: scored(path, noise((2,) * 1000, side=2), 2, 3, per_class=1),
    "names of all kinds": lambda path: scored(path, noise((6,) * len(HOSTILE), names=HOSTILE), 3, 30),
}


class Page(HTMLParser):
    """A page taken apart; fails where a tag is not closed or stands in the wrong order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.texts, self.styles, self._open = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append((dict(attrs), []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        elif tag in TEXTS:
            self.texts.append((tag, ""))
        elif tag == "br":
            self.handle_data("\n")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][1][-1][-1] += data
        elif self._open and self._open[-1] == "style":
            self.styles.append(data)
        elif TEXTS & set(self._open):
            tag, text = self.texts[-1]
            self.texts[-1] = tag, text + data

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.tags if name in attrs]

    def rows(self, **wanted):
        """The body of the one table with these attributes (`kind` is its class)."""
        keys = {
            "class" if key == "kind" else f"data-{key}" if key != "id" else key: wanted[key] for key in wanted
        }
        (found,) = [rows for attrs, rows in self.tables if keys.items() <= attrs.items()]
        return found[1:]

    def all_of(self, tag):
        return [text for each, text in self.texts if each == tag]


def class_cell(row):
    return str(row["label"]) if row["name"] == str(row["label"]) else f"{row['label']} {row['name']}"


def check_summary_tables(page, summary):
    """Every number of the tables of scores, classes and correlations is that of the summary."""
    assert page.rows(id="scores") == [
        [
            name,
            count(score["trials"]),
            *(number(score[key]) for key in ("min", "median", "max", "stderr")),
            *(number(score[key], 2) for key in ("reliability", "rank_reliability")),
            count(score["missing"]),
        ]
        for name, score in summary["scores"].items()
    ]
    for name, score in summary["scores"].items():
        signal = ["signal_share"] if score["signal_share"] is not None else []
        assert page.rows(kind="classes", score=name) == [
            [
                class_cell(row),
                count(row["samples"]),
                *(number(row[key]) for key in ("mean", "std", "median", "stderr")),
                *(number(row[key], 2) for key in ("reliability", "rank_reliability", *signal)),
                percent(row["highest_tenth"], 1),
            ]
            for row in score["classes"]
        ]
    if summary["correlations"]:
        assert page.rows(kind="correlations") == [
            [
                f"{each['first']} and {each['second']}",
                number(each["within_class"]),
                number(each["global"]),
                count(each["samples"]),
            ]
            for each in summary["correlations"]
        ]


def check_kept_table(page, kept):
    assert page.rows(kind="kept", criterion=kept["criterion"]) == [
        [
            class_cell(row),
            count(row["kept"]),
            count(row["total"]),
            number(row["threshold"]),
            percent(row["halves_overlap"]),
        ]
        for row in kept["classes"]
    ]


def check_sample_table(page, sample):
    rows = page.rows(kind="sample", position=str(sample["position"]))
    assert len(rows) == len(sample["scores"])
    for row, (name, found) in zip(rows, sample["scores"].items(), strict=True):
        rank = "-" if found["rank"] is None else f"{found['rank']:,g} of {count(found['ranked'])}"
        assert row == [name, number(found["value"]), number(found["stderr"]), rank, count(found["trials"])]


def check_comparison_tables(page, comparison):
    def both(names):
        return " / ".join(dict.fromkeys(names))

    assert page.rows(kind="comparison") == [
        [
            " ".join(each["files"]),
            both(each["scores"]),
            *(number(each[key]) for key in ("within_class", "noise_limit", "global")),
            count(each["samples"]),
        ]
        for each in comparison["correlations"]
    ]
    assert page.rows(kind="overlaps") == [
        [
            " ".join(each["files"]),
            both(each["criteria"]),
            *(
                f"{percent(share)} ({percent(each['chance'][key])})"
                for key, share in each["kept_by_both"].items()
            ),
        ]
        for each in comparison["overlaps"]
    ]


def check_stands_alone(page, text):
    """Nothing is fetched from anywhere, and nothing runs."""
    tags = Counter(tag for tag, _ in page.tags)
    assert not tags.keys() & {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
    for name in {name for _, attrs in page.tags for name in attrs}:
        assert not name.startswith("on")
        assert name not in {"srcset", "poster", "action", "background", "data", "xlink:href", "style"}
    assert all(source.startswith("data:image/") for source in page.attributes("src"))
    assert all(target.startswith("#") for target in page.attributes("href"))
    style = "".join(page.styles)
    assert style
    assert "url(" not in style
    assert "@import" not in style
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.attributes("href")} <= set(ids)
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert all(attrs.get("alt", "").strip() for attrs in images)
    for source in page.attributes("src"):
        kind, content = re.fullmatch(
            r"data:image/(png|jpeg|svg\+xml);base64,([A-Za-z0-9+/]+=*)", source
        ).groups()
        if kind == "svg+xml":
            check_svg_stands_alone(b64decode(content))


def check_svg_stands_alone(content):
    for node in ET.fromstring(content).iter():  # noqa: S314
        assert node.tag.rpartition("}")[2] not in {"script", "foreignObject"}
        for name, value in node.attrib.items():
            assert not name.startswith("on")
            if name.rpartition("}")[2] == "href":
                assert value.startswith(("#", "data:"))
            assert all(each.startswith("#") for each in re.findall(r"url\(([^)]*)\)", value))


def material_of(path, dataset=None, samples=(), kept=None):
    file = load_scores(path)
    return Material(
        file=file,
        summary=summarize(file),
        kept=tuple(usual_selections(file) if kept is None else [select(file, **each) for each in kept]),
        samples=tuple(describe_samples(file, samples)),
        images=None if dataset is None else lambda positions: dataset.images[positions],
    )


def page_of(material):
    return render(material, draw(material))


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
    check_summary_tables(page, material.summary)
    for _, kept in material.kept:
        check_kept_table(page, kept)
    check_sample_table(page, material.samples[0])
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
    assert hostile.all_of("h4") == [f"{label} {name}" for label, name in enumerate(HOSTILE)] * len(LOSSES)
    assert hostile.all_of("h1")[0].startswith(f"{HOSTILE[0]} (train): 84 images")
    assert hostile.all_of("title") == [f"Scores of {HOSTILE[0]}"]
    assert HOSTILE[1] in hostile.all_of("dd")


def test_tables_and_facts_are_those_of_the_dictionaries(three):
    path, dataset = three
    wanted = [
        {"criterion": "LossConverge_large", "keep_ratio": "0.3", "scope": "global"},
        {"criterion": "Random", "drop_ratio": "0.5"},
    ]
    material = material_of(path, dataset, samples=(7, 3), kept=wanted)
    page = Page(render(material, []))
    check_summary_tables(page, material.summary)
    for _, kept in material.kept:
        check_kept_table(page, kept)
    for sample in material.samples:
        check_sample_table(page, sample)
    for name in ("LossInit", "MonteCarlo"):
        shown = material.summary["scores"][name]["quantiles"]
        text = "  ".join(f"{float(key):.0%}\N{NO-BREAK SPACE}{number(value)}" for key, value in shown.items())
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
    found = material.samples[0]["scores"]["LossConverge"]["per_trial"]
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
    check_summary_tables(page, summary)
    check_comparison_tables(page, comparison)


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize(
    ("counts", "utilities"),
    [
        ((300,) * 10, 200),
        ((30,) * 100, 10),
        ((2,) * 1000, 1),
    ],
    ids=["10 classes", "100 classes", "1000 classes"],
)
def test_a_page_with_images_that_hardly_compress_is_below_five_megabytes(counts, utilities, tmp_path):
    dataset = noise(counts, side=32)
    material = material_of(scored(tmp_path / "big.h5", dataset, 3, utilities), dataset)
    text = page_of(material)
    check_summary_tables(Page(text), material.summary)
    assert text.count("data:image/png") > 100
    assert len(text.encode()) < FIVE_MB


def test_long_tables_are_folded(tmp_path):
    path = scored(tmp_path / "many.h5", noise((2,) * 31, side=2), 2)
    page = Page(render(material_of(path), []))
    assert sum(tag == "details" for tag, _ in page.tags) == 2 * len(LOSSES)  # classes and kept of each score


def test_an_existing_page_is_replaced_only_if_asked(three, tmp_path):
    material, out = material_of(three[0]), tmp_path / "deeper" / "page.html"
    write_page(out, material, [])
    first = out.read_bytes()
    out.write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        write_page(out, material, [])
    assert out.read_text() == "mine"
    write_page(out, material, [], overwrite=True)
    assert out.read_bytes() == first
    assert [each.name for each in out.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("absent", "named"),
    [({"matplotlib"}, "matplotlib"), ({"jinja2"}, "Jinja2"), ({"matplotlib", "jinja2"}, "and")],
)
def test_a_missing_library_is_named_with_how_to_install_it(absent, named, monkeypatch):
    check_report_extra()
    monkeypatch.setattr("goldore.report.extra.find_spec", lambda name: None if name in absent else object())
    with pytest.raises(GoldoreError, match=rf"{named}.*goldore\[report\]") as caught:
        check_report_extra()
    assert caught.value.exit_code == 1
