"""No circles among the modules, imports inside of functions included."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def modules():
    """Every module of the library and the command line: its file, by name."""
    found = {}
    for path in sorted([*(ROOT / "goldore").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imported(path, known):
    """The modules among those known that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {each if each in known else node.module for each in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(known)


def test_no_circles():
    known = modules()
    graph = {name: imported(path, known) - {name} for name, path in known.items()}
    assert len(graph) > 100
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_library_does_not_import_its_command_line():
    known = modules()
    for name, path in known.items():
        if name.startswith("goldore"):
            assert not any(each.startswith("cli") for each in imported(path, known)), name
