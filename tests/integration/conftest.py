"""The folder of clones that these tests run; without it they are skipped."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--clones",
        metavar="DIR",
        help="folder of clones of the distillation repositories (or GOLDORE_CLONES)",
    )


@pytest.fixture(scope="session")
def clones(request):
    folder = request.config.getoption("--clones", None) or os.environ.get("GOLDORE_CLONES")
    if not folder:
        pytest.skip("needs clones of distillation repositories: give their folder with --clones")
    return Path(folder).resolve()
