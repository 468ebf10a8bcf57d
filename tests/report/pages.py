"""A page taken apart, and its tables against the documents that they show."""

import hashlib
import json
import re
import xml.etree.ElementTree as ET
from base64 import b64decode, b64encode
from collections import Counter
from html.parser import HTMLParser
from importlib import resources

from goldore.wording import count, number, percent, printable, reliability

TEXTS = {"h1", "h2", "h3", "h4", "p", "dd", "dt", "figcaption", "title"}
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """A page taken apart; fails where a tag is not closed or stands in the wrong order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.texts, self.styles, self.scripts = [], [], [], [], []
        self._open = []
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
        elif self._open and self._open[-1] == "script":
            self.scripts.append(data)
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
    name = printable(row["name"])
    return name if name == str(row["label"]) else f"{row['label']} {name}"


def check_summary_tables(page, summary):
    """Every number of the tables of scores, classes and correlations is that of the summary."""
    assert page.rows(id="scores") == [
        [
            name,
            count(score["trials"]),
            *(number(score[key]) for key in ("min", "median", "max", "stderr")),
            *(reliability(score[key]) for key in ("reliability", "rank_reliability")),
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
                *(reliability(row[key]) for key in ("reliability", "rank_reliability")),
                *(number(row[key], 2) for key in signal),
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
    """Nothing is fetched from anywhere, and nothing runs but the page's own script, as its policy says."""
    tags = Counter(tag for tag, _ in page.tags)
    assert not tags.keys() & {"link", "iframe", "object", "embed", "base", "video", "audio"}
    assert [attrs for tag, attrs in page.tags if tag == "form"] == [{"class": "choose"}]
    data, script = (attrs for tag, attrs in page.tags if tag == "script")
    assert (data, script) == ({"type": "application/json", "id": "browse-data"}, {})
    code = page.scripts[1]
    assert code == resources.files("goldore.report").joinpath("templates", "browse.js").read_text()
    digest = b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src"
    assert f"{policy} 'sha256-{digest}'" in page.attributes("content")
    columns = json.loads(page.scripts[0])
    assert all(
        len(columns[name]) == len(columns["position"]) for name in ("label", "doubted") if name in columns
    )
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
