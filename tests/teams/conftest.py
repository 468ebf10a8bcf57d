"""What the tests of shared runs have in common: a tiny dataset, whole runs to compare with, and commands."""

import socket
import sys

import numpy as np
import pytest

from tests.cli.conftest import environment, run_goldore
from tests.conftest import contents, make_dataset
from tests.teams.commands import Command

NETWORK = ("--width", 4, "--depth", 1)
LOSS = (*NETWORK, "--epochs", 2)
UTILITY = (*NETWORK, "--scores", "MonteCarlo", "--steps", 3, "--subset-per-class", 2, "--ensemble-size", 1)
DIFFER = {"@created", "@updated", "@device", "@torch_version", "@goldore_version"}
DIFFER |= {f"trials/{kind}/seconds" for kind in ("loss", "fold", "kernel", "utility")}


def write_npz(path, **options):
    data = make_dataset(**options)
    np.savez(
        path,
        x_train=data.images[:, 0],
        y_train=data.labels,
        x_test=data.test_images[:, 0],
        y_test=data.test_labels,
    )
    return path


def content(path):
    """All arrays and attributes of a score file, but for times and versions."""
    return {name: value for name, value in contents(path).items() if name not in DIFFER}


def assert_same(first, second):
    """The content of two score files is the same to the bit."""
    here, there = content(first), content(second)
    assert here.keys() == there.keys()
    for name, value in here.items():
        mine, other = np.asarray(value), np.asarray(there[name])
        assert mine.shape == other.shape, name
        assert mine.dtype == other.dtype, name
        same = mine.tolist() == other.tolist() if mine.dtype == object else mine.tobytes() == other.tobytes()
        assert same, name


def files_in(folder):
    """Names in a folder, hidden ones included, but for what commands said."""
    return {each.name for each in folder.iterdir() if not each.name.startswith(".log")}


def sentence(done):
    """What a command says on stderr, on one line."""
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def torchrun(processes, *args, cwd, restarts=0):
    """The command line of torchrun, for `run_goldore`-like calls: (arguments, keywords) of subprocess."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = [f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    command = [*launcher, *options, "-m", "goldore", *map(str, args)]
    return command, {"cwd": cwd, "env": environment(), "encoding": "utf-8"}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("data") / "corners.npz")


@pytest.fixture(scope="session")
def other_data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("other") / "corners.npz", seed=5)


@pytest.fixture(scope="session")
def whole(data, tmp_path_factory):
    """The score file that one process makes of a command, each made once: whole("--trials", 6)."""
    made = {}

    def make(*options):
        if options not in made:
            path = tmp_path_factory.mktemp("whole") / "whole.h5"
            done = Command(path.parent, ("score", data, *options, "--out", path)).wait()
            assert done.code == 0, done.stderr
            made[options] = path
        return made[options]

    return make


@pytest.fixture
def start(tmp_path):
    """Start a goldore command in tmp_path, or in a folder of it; what still runs in the end is killed."""
    commands = []

    def run(*arguments, folder=tmp_path, **variables):
        commands.append(Command(folder, arguments, **variables))
        return commands[-1]

    yield run
    for command in commands:
        command.kill()


@pytest.fixture
def run(start):
    """Run a goldore command in tmp_path to its end."""
    return lambda *arguments, **options: start(*arguments, **options).wait()


@pytest.fixture
def start_ranks(start, tmp_path):
    """Start a command once a rank, by hand as on several machines: each in a folder, with its options."""

    def go(*commands, folders=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": str(len(commands)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        places = folders or [tmp_path] * len(commands)
        return [
            start(*command, folder=place, RANK=str(rank), LOCAL_RANK=str(rank), **shared)
            for rank, (command, place) in enumerate(zip(commands, places, strict=True))
        ]

    return go


@pytest.fixture
def goldore(tmp_path):
    """Run a goldore command in tmp_path with a Python of its own, as a user does."""
    return lambda *arguments: run_goldore(*arguments, cwd=tmp_path)
