"""A copy of goldore with a change that CONTRIBUTING.md describes, and a way to run Python in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def changed_copy(folder, added=(), edits=()):
    """Copy goldore and its command line, and change them.

    Args:
        folder: for the copy, empty.
        added: (path, text) of new files.
        edits: (path, before, after): a text that stands in a file once, and what replaces it.

    Returns:
        A function that runs Python in the copy with some arguments, and gives what it printed.
    """
    for name in ("goldore", "cli"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)  # by which its own command line is taken
    for path, text in added:
        assert not (folder / path).exists()
        (folder / path).write_text(text)
    for path, before, after in edits:
        text = (folder / path).read_text()
        assert text.count(before) == 1, path
        (folder / path).write_text(text.replace(before, after))

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run
