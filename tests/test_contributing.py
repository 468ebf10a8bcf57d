"""CONTRIBUTING.md names files that exist; three of its changes are made as tests of their own."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOMS = {"training/": "goldore/", "scores/": "goldore/"}  # named without their package, in a row that has it


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"`((?:goldore|cli|tests|docs|benchmarks|training|scores)/[\w./]*)`", TEXT))),
)
def test_a_path_exists(path):
    first = path.partition("/")[0] + "/"
    assert (ROOT / (ROOMS.get(first, "") + path)).exists()
