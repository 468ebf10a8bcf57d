import importlib.util
from pathlib import Path

import pytest

from goldore.repositories import REPOSITORIES

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "repositories"


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("write_pages", FOLDER / "write_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


def test_the_pages_are_those_of_the_catalogue(pages):
    """If this fails: python docs/repositories/write_pages.py."""
    assert set(pages) == {*(f"{name}.md" for name in REPOSITORIES), "README.md"}
    for name, text in pages.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name
        assert "{{" not in text
