"""The library's sentences name arguments in backticks, as Python spells them, and no options."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import typer

import goldore
from cli import screen
from cli.app import app
from goldore.exchange.exporting import write_table
from goldore.report.figures import check_figures
from goldore.repositories.limits import dataset_problems, make_settings
from goldore.repositories.tree import write_list, write_tree

ROOT = Path(__file__).resolve().parents[1] / "goldore"
OTHERS = {  # whose texts are about other people's programs, or are their lines
    "repositories/catalogue.py",
    "repositories/needs.py",
}
OPTION = re.compile(r"--[a-z{]")  # also one that is put together
NAMED = re.compile(r"`([a-z_][a-z0-9_]*)`")
TAKE_A_NAME = {"check_output", "check_writable"}
COMMAND = re.compile(r"\bgoldore [a-z]")


def texts(path):
    """The texts of a module but docstrings, a `{}` for each value that is put into one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    no_message = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            no_message |= {id(each) for each in node.values}
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in no_message:
            yield node.value


TEXTS = {str(path.relative_to(ROOT)): list(texts(path)) for path in sorted(ROOT.rglob("*.py"))}


@pytest.mark.parametrize("module", sorted(set(TEXTS) - OTHERS))
def test_the_library_names_no_option_but_in_whole_commands(module):
    for text in TEXTS[module]:
        for found in OPTION.finditer(text):
            assert COMMAND.search(text[: found.start()]), text


def options():
    """All names that the command line knows."""
    commands = typer.main.get_command(app).commands.values()
    return {name for command in commands for name in screen._options_of(command)} | set(screen.ALIASES)


def arguments():
    """All parameters of what the library offers in front and of what goldore prune writes and checks."""
    offered = [getattr(goldore, name) for name in goldore.__all__ if name[0].islower() or "Recipe" in name]
    offered += [goldore.ConvNetConfig, dataset_problems, make_settings, write_list, write_tree, write_table]
    offered += [check_figures]
    return {name for each in offered if callable(each) for name in inspect.signature(each).parameters}


def passed(path):
    """Names that are passed to a function which puts them into its sentences."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in TAKE_A_NAME:
            yield from (each.value for each in node.args[1:] if isinstance(each, ast.Constant))


NAMES = {name for each in TEXTS.values() for text in each for name in NAMED.findall(text)}
NAMES |= {name for path in sorted(ROOT.rglob("*.py")) for name in passed(path)}


def test_a_name_is_one_in_python_and_on_the_command_line():
    assert len(NAMES) > 40
    assert NAMES - options() == {"score_dir", "match_lr"}  # of what no command takes
    assert NAMES - arguments() == set()
    assert set(screen.ALIASES) <= NAMES
