"""The site builds without a broken link, and the notebook's cells run."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def build(folder, target):
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(target)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_site_builds_and_a_broken_link_fails(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("mkdocs_jupyter")
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    for page in ("index", "api", "glossary", "notebook", "repositories/index", "results"):
        assert (tmp_path / "site" / f"{page}.html").is_file()
    assert "goldore.prune" in (tmp_path / "site" / "api.html").read_text()
    for name in ("docs", "goldore", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.md"):
        shutil.copy(file, tmp_path / "copy")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path / "copy")
    with (tmp_path / "copy" / "docs" / "faq.md").open("a") as file:
        file.write("\nSee [nothing](nowhere.md).\n")
    broken = build(tmp_path / "copy", tmp_path / "other")
    assert broken.returncode != 0
    assert "nowhere.md" in broken.stderr + broken.stdout


@pytest.mark.slow
def test_the_cells_of_the_notebook_run_and_show_what_they_showed(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    shown = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        lines = [line for line in "".join(cell["source"]).splitlines() if not line.startswith("%")]
        tree = ast.parse("\n".join(lines))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "notebook", "exec"), names)  # noqa: S102 - our own
        if last is None:
            continue
        value = eval(compile(ast.Expression(last.value), "notebook", "eval"), names)  # noqa: S307
        texts = [out["data"].get("text/plain", []) for out in cell["outputs"] if "data" in out]
        if value is not None and repr(value).startswith(("ImageDataset", "Selection", "ScoreFile")):
            assert repr(value) in ["".join(text) for text in texts]
            shown += 1
    assert shown == 3
