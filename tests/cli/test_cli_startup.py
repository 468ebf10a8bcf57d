"""How the command line starts: without torch where nothing is trained, and without an installation."""

import os
import subprocess
import sys

import pytest

import goldore as library
from cli.contents import COMMANDS, Commands


def imported_modules(stderr):
    rows = (line.split("|") for line in stderr.splitlines() if line.startswith("import time:"))
    return {row[2].strip() for row in rows if len(row) == 3}


@pytest.mark.parametrize(
    ("command", "works_with"),
    [
        (["--help"], "goldore_cli.contents"),
        (["score", "--help"], "goldore_cli.carrying"),
        (
            ["prune", "scores.h5", "--criterion", "LossInit_large", "--keep-per-class", "1"],
            "goldore.selection",
        ),
        (["inspect", "scores.h5"], "goldore.report"),
        (["inspect", "scores.h5", "--json"], "goldore.report"),
    ],
    ids=["help", "score-help", "prune", "inspect", "inspect-json"],
)
def test_no_torch_is_imported(command, works_with, goldore, score_file):
    done = goldore(*command, python=["-X", "importtime"])
    assert done.returncode == 0, done.stderr[-2000:]
    modules = imported_modules(done.stderr)
    assert works_with in modules  # the list is that of this command
    needless = {"torch", "torchvision"} | ({"numpy", "h5py"} if "--help" in command else set())
    assert not {name for name in modules if name.split(".")[0] in needless}


def test_runs_from_a_checkout_without_installation(tmp_path, repository, tiny_scores, goldore_environment):
    # -S leaves .pth files unread, an editable installation among them; PYTHONPATH brings the packages back.
    packages = [entry for entry in sys.path if "site-packages" in entry or "dist-packages" in entry]
    env = goldore_environment(PYTHONPATH=os.pathsep.join([str(repository), *packages]))

    def run(*words):
        command = [sys.executable, "-S", "-P", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", timeout=120, check=False
        )

    search = "import importlib.util; print(importlib.util.find_spec('goldore_cli'))"
    if run("-c", search).stdout.strip() != "None":
        pytest.skip("goldore is installed as a wheel, which this cannot hide")
    told = run("-m", "goldore", "--help")
    assert told.returncode == 0, told.stderr
    assert "inspect" in told.stdout
    shown = run("-m", "goldore", "inspect", str(tiny_scores))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("tiny (train): 60 images")


def test_help_names_the_commands(goldore):
    done = goldore("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: goldore " in done.stdout
    for command in ("score", "prune", "inspect"):
        assert f"│ {command} " in done.stdout


def test_the_list_of_commands_says_what_their_own_help_says():
    for name, command in Commands().items():
        assert COMMANDS[name].line == " ".join(command.help.split("\n\n")[0].split())


def test_version(goldore):
    done = goldore("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"goldore {library.__version__}\n", "")


def test_without_a_command_the_help_is_shown(goldore):
    done = goldore()
    assert done.returncode == 2
    assert "Usage: goldore " in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["inspect", "scores.h5", "--frobnicate"], "No such option"),
        (["inspect"], "Missing argument 'FILE.h5'"),
        (["prune", "scores.h5", "--keep-per-class", "2"], "Missing option '--criterion'"),
        (
            ["prune", "scores.h5", "--criterion", "Random", "--keep-per-class", "two"],
            "Invalid value for '--keep-per-class'",
        ),
        (["score", "--epochs", "many"], "Invalid value for '--epochs'"),
    ],
)
def test_wrong_usage_exits_with_2(words, says, goldore, snapshot):
    before = snapshot()
    done = goldore(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert snapshot() == before
