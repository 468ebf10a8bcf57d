"""The hook itself: what it needs, and that it reads index files and labels as goldore does."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldore.applying.hook.goldore_hook.index import Refusal, labels_digest, read_index
from goldore.applying.launching import HOOK
from goldore.datasets import classes
from goldore.selection.index_file import save_index
from tests.applying.programs import ABOUT, KEPT, make_index

FILES = sorted(HOOK.rglob("*.py"))
OLDEST = (3, 6)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_needs_python_alone_and_an_old_one(file):
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=OLDEST)
    inside = {each.name for each in HOOK.iterdir()} | {each.stem for each in FILES}
    where_it_is_there = {"tfds.py": {"tensorflow", "tensorflow_datasets"}}.get(file.name, set())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if not node.level else []
        for name in names:
            package = name.split(".")[0]
            assert package in sys.stdlib_module_names or package in inside | where_it_is_there, name


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_labels_have_the_digest_that_goldore_gives_them(labels):
    expected = classes.labels_digest(np.array(labels))
    assert labels_digest(labels) == labels_digest([str(each) for each in labels]) == expected
    distinct = len(set(labels))
    assert labels_digest(labels, distinct) == expected
    assert labels_digest(labels, distinct - 1) is None


def test_an_index_is_read_as_goldore_writes_it(tmp_path):
    index = read_index(str(make_index(tmp_path, class_names=list("abcd"), paths=["a"] * len(KEPT))))
    assert index.keep == KEPT.tolist()
    assert (index.size, index.name, index.classes, index.file) == (40, "made", 4, "keep.npy")
    assert (index.digest, index.paths) == (ABOUT["labels_sha256"], ["a"] * len(KEPT))


@pytest.mark.parametrize(
    "content", [np.arange(3, dtype=np.int32), np.arange(4).reshape(2, 2), np.arange(3.0), np.array(3)]
)
def test_what_is_no_index_is_refused(tmp_path, content):
    path = save_index(tmp_path / "keep.npy", KEPT, ABOUT)
    np.save(path, content)
    with pytest.raises(Refusal, match="it holds no vector of int64"):
        read_index(str(path))


def test_the_folder_on_the_path_has_nothing_else():
    assert {each.name for each in Path(HOOK).iterdir()} - {"__pycache__"} == {
        "goldore_hook",
        "sitecustomize.py",
    }
