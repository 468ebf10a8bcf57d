"""Tables on screens that are too narrow for them, and reliabilities below 0 in them."""

import io
import re

from rich.console import Console
from rich.table import Table

from cli import plugging, screen
from goldore.report.doubts import noise_warning
from goldore.repositories import REPOSITORIES
from goldore.wording import a_reliability, reliability

ROWS = (("LossInit", "3", "0.892", "<0"), ("LossConverge", "3", "1.162", "0.13"))


def shown(width, titles=("score", "trials", "median", "reliability"), rows=ROWS):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    screen.show_table(console, table)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_a_row_becomes_a_block_where_the_table_does_not_fit():
    wide, narrow = shown(60), shown(30)
    assert wide == [["score", "trials", "median", "reliability"], *map(list, ROWS)]
    assert narrow[:4] == [["LossInit"], ["trials", "3"], ["median", "0.892"], ["reliability", "<0"]]
    assert narrow[4:] == [["LossConverge"], ["trials", "3"], ["median", "1.162"], ["reliability", "0.13"]]


def test_the_list_of_repositories_breaks_no_name(monkeypatch):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(plugging, "out", lambda: console)
    plugging._list()
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert lines[0] == ["REPO", "repository", "served", "by"]
    names = [line[:2] for line in lines[1:] if len(line) > 2]
    assert names == [[each.name, each.url.removeprefix("github.com/")] for each in REPOSITORIES.values()]


def test_a_reliability_below_0_is_shown_as_that():
    assert [reliability(value) for value in (-1.11, -0.2, -0.001, 0.0, 0.456, None)] == [
        *("<0", "<0", "0.00", "0.00", "0.46", "-")
    ]
    assert (a_reliability(-1.11), a_reliability(0.2)) == ("a reliability below 0", "a reliability of 0.20")
    assert re.match(
        "the ranking by X has a reliability below 0; most", noise_warning("X", -1.11, utility=False)
    )
