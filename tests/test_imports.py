"""The rooms of goldore/ import only what their docstrings allow, and nothing imports in a circle."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY = re.compile(r"^May import: ([a-z, ]+)\.$", re.MULTILINE)


def modules():
    """Every module of the library and the command line: its file, by name."""
    found = {}
    for path in sorted([*(ROOT / "goldore").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imported(path, known):
    """The modules among those known that a file imports anywhere, inside of functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {each if each in known else node.module for each in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(known)


KNOWN = modules()
ROOMS = sorted(path.name for path in (ROOT / "goldore").iterdir() if (path / "__init__.py").is_file())


def allowed(room):
    """The rooms that a room may import from, as its docstring says."""
    docstring = ast.get_docstring(ast.parse(KNOWN[f"goldore.{room}"].read_text(encoding="utf-8")))
    found = MAY.search(docstring or "")
    assert found, f"the docstring of goldore/{room}/__init__.py does not say what it may import"
    return set() if found[1] == "nothing" else set(found[1].split(", "))


def test_no_circles_among_modules():
    graph = {name: imported(path, KNOWN) - {name} for name, path in KNOWN.items()}
    assert len(graph) > 100
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_rooms_are_in_order():
    graph = {room: allowed(room) for room in ROOMS}
    assert set().union(*graph.values()) <= set(ROOMS)
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_its_docstring_allows(room):
    inside = {name: path for name, path in KNOWN.items() if f"{name}.".startswith(f"goldore.{room}.")}
    used = {each for path in inside.values() for each in imported(path, KNOWN)}
    rooms = {name.split(".")[1] for name in used if name.count(".")} & set(ROOMS)
    assert rooms - {room} == allowed(room), "what the docstring allows is what is used"
    assert "goldore" not in used, "a room imports from where a thing is, not from the package's front door"


@pytest.mark.parametrize("name", sorted(name for name in KNOWN if name.startswith("goldore")))
def test_the_library_does_not_import_its_command_line(name):
    assert not any(each.startswith("cli") for each in imported(KNOWN[name], KNOWN))


def test_every_package_is_installed():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.findall(r'"(goldore[._a-z]*)"', text[text.index("packages = [") : text.index("package-dir")])
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name, path in KNOWN.items()
        if name.startswith("goldore")
    }
    assert sorted(listed) == sorted(there | {"goldore_cli"})
