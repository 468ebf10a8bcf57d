"""Studies of a program of the user's."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from goldore.errors import UsageError
from goldore.studies import programs
from goldore.studies.study_file import load_study
from goldore.studies.studying import study
from goldore.studies.watching import StudyWatcher
from tests.cli.conftest import ROOT

METRIC = r"accuracy (\S+)%"
SMALL = {"criterion": "LossConverge_large", "keep_ratio": "0.5", "seeds": 2, "metric": METRIC}
PLUGGED = """
    import os, sys
    from pathlib import Path
    import numpy as np
    index = os.environ.get("GOLDORE_INDEX")
    kept = len(np.load(index)) if index else 120
    with Path("ran.txt").open("a") as file:
        file.write(f"{kept} {' '.join(sys.argv[1:])}\\n")
    print("training accuracy 99")
    print(f"accuracy 1.0%\\raccuracy {kept / 2}%")
"""
TORCH = """
    import torch
    from torch.utils.data import Dataset

    class Corners(Dataset):
        def __init__(self):
            self.data, self.targets = torch.load("corners.pt")
        def __len__(self):
            return len(self.data)
        def __getitem__(self, at):
            return self.data[at], int(self.targets[at])

    print(f"accuracy {len(Corners()) / 2}%")
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write a program, and run studies in its folder."""
    folder = tmp_path / "clone"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(text, *, applied=True):
        said = 'print("goldore: kept some of them", flush=True)\n' if applied else ""
        (folder / "main.py").write_text(said + textwrap.dedent(text))
        return [sys.executable, "main.py"]

    return write


@pytest.fixture
def run(scored, tmp_path):
    """Call study with a command."""

    def call(command, **given):
        return study(
            scored, command=command, **{"plugged": True, "ipc": 1, **SMALL, "out": tmp_path / "p.h5", **given}
        )

    return call


def test_every_cell_and_seed_is_a_run_of_the_program(program, run, tmp_path):
    result = run([*program(PLUGGED), "--seed", "{seed}", "--ipc", "{ipc}", "--name={name}"], seed=5)
    assert len(result) == 3 * 2
    ran = [line.split() for line in (tmp_path / "clone" / "ran.txt").read_text().splitlines()]
    assert sorted(line[0] for line in ran) == ["120", "120", "60", "60", "60", "60"]
    assert {line[2] for line in ran} == {"5", "6"}
    assert {line[4] for line in ran} == {"1"}
    assert len({line[5] for line in ran}) == 6
    for each in result.runs:
        assert each.accuracy == (60.0 if each.cell.is_all else 30.0)
        assert each.kept == (120 if each.cell.is_all else 60)
        assert each.seconds > 0
    assert result.settings.program.endswith("main.py --seed '{seed}' --ipc '{ipc}' '--name={name}'")
    logs = list((tmp_path / "p-runs").glob("*.log"))
    assert len(logs) == 6
    assert "training accuracy 99" in logs[0].read_text()
    assert {each.outcome for each in result.verdicts if not each.cell.is_all} == {"undecided"}
    assert result.answers[0].fixed  # the program uses no random numbers


def test_an_unedited_program_is_run_with_the_index(program, run, data):
    import torch

    torch.save((torch.from_numpy(data.images), torch.from_numpy(data.labels)), "corners.pt")
    result = run(program(TORCH), plugged=False, seeds=1)
    assert {(each.cell.criterion, each.accuracy) for each in result.runs} == {
        ("All", 60.0),
        ("Random", 30.0),
        ("LossConverge_large", 30.0),
    }, [each.failed for each in result.runs]


def test_a_program_that_ignores_the_index_fails(program, run):
    result = run(program('print("accuracy 50%")'), plugged=False, seeds=1)
    failed = {each.cell.criterion: each.failed for each in result.runs}
    assert failed.pop("All") == ""
    assert all("exit code 1" in why and "index was not applied" in why for why in failed.values())


def test_a_plugged_program_that_does_not_read_the_index_fails(program, run):
    result = run(program('print("accuracy 50%")', applied=False), seeds=1)
    failed = {each.cell.criterion: each.failed for each in result.runs}
    assert failed.pop("All") == ""
    assert all("is it plugged?" in why for why in failed.values())


def test_an_accuracy_is_not_read_off_the_command_or_goldore(program, run):
    result = run([*program("pass"), "accuracy 90%"], seeds=1)
    assert all("no accuracy" in each.failed for each in result.runs)


def test_a_number_that_may_be_a_share_or_a_percentage_is_refused(program, run, tmp_path):
    command = program('print("acc 1.00")')
    result = run(command, seeds=1, metric=r"acc (\S+)")
    assert all("metric_unit" in each.failed for each in result.runs)
    for unit, accuracy in (("share", 100.0), ("percent", 1.0)):
        found = run(command, seeds=1, metric=r"acc (\S+)", metric_unit=unit, out=tmp_path / f"{unit}.h5")
        assert {each.accuracy for each in found.runs} == {accuracy}


def test_what_fails_is_said_and_tried_again(program, run):
    broken = """
        import os, sys
        if os.environ.get("GOLDORE_INDEX"):
            print("no memory", file=sys.stderr)
            sys.exit(3)
        print("accuracy 70%")
    """
    first = run(program(broken), seeds=1)
    failed = [each for each in first.runs if each.failed]
    assert len(failed) == 2
    assert all("no memory; see " in each.failed for each in failed)
    assert load_study(first.path).runs[0].accuracy == 70.0
    again = run(program(PLUGGED), seeds=1)
    assert not any(each.failed for each in again.runs)
    assert sorted(each.accuracy for each in again.runs) == [30.0, 30.0, 70.0]  # all data are not run again


@pytest.mark.parametrize("output", ["nothing", "accuracy nan%", "accuracy 170%", "accuracy -3%"])
def test_an_accuracy_that_is_none_fails(program, run, output):
    result = run(program(f"print({output!r})"), seeds=1)
    assert all("no accuracy" in each.failed for each in result.runs)


@pytest.mark.parametrize(
    ("output", "metric", "accuracy"),
    [
        ("acc 0.9%", r"acc (\S+)%", 0.9),
        ("acc 45.5", r"acc (\S+)", 45.5),
        ("acc 0.9%", r"acc ([\d.]+)", 0.9),
        ("acc 12\nacc 34", r"acc (\S+)", 34.0),
    ],
)
def test_shares_and_percentages_are_told_apart(program, run, output, metric, accuracy):
    result = run(program(f"print({output!r})"), seeds=1, metric=metric)
    assert {each.accuracy for each in result.runs} == {accuracy}


def test_a_program_that_takes_too_long_is_stopped_with_all_that_it_started(program, run, tmp_path):
    slow = """
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
        open("child.txt", "w").write(str(child.pid))
        time.sleep(100)
    """
    start = time.monotonic()
    result = run(program(slow), seeds=1, max_run_seconds=2.0, criterion="Random")
    assert time.monotonic() - start < 60
    assert all("longer than 2 s" in each.failed for each in result.runs)
    assert not is_running(int((tmp_path / "clone" / "child.txt").read_text()))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_programs_run_side_by_side(program, run, tmp_path):
    meeting = """
        import os, sys, time
        name, job = sys.argv[1:]
        open(f"{name}.started", "w").write(job)
        until = time.monotonic() + 60
        while len([each for each in os.listdir() if each.endswith(".started")]) < 3:
            if time.monotonic() > until:
                sys.exit("alone")
            time.sleep(0.02)
        print("accuracy 50%")
    """
    result = run([*program(meeting), "{name}", "{job}"], seeds=1, jobs=3)
    assert not any(each.failed for each in result.runs)
    jobs = sorted(path.read_text() for path in (tmp_path / "clone").glob("*.started"))
    assert jobs == ["0", "1", "2"]
    with pytest.raises(UsageError, match="name"):
        run(program(meeting), jobs=2)


def test_a_finished_run_is_written_at_once(program, run, tmp_path):
    command = program(PLUGGED)
    seen = []

    class Reading(StudyWatcher):
        def finished(self, runs):
            seen.append(len(load_study(tmp_path / "p.h5")))

    run(command, seeds=1, watcher=Reading())
    assert seen[-1] == 3
    assert seen[0] >= 1


def test_an_interrupt_stops_the_programs_and_keeps_what_is_done(program, run, tmp_path):
    sleepy = """
        import os, sys, time
        if os.environ.get("GOLDORE_INDEX"):
            open("pid.txt", "w").write(str(os.getpid()))
            time.sleep(100)
        print("accuracy 70%")
    """

    class Interrupting(StudyWatcher):
        def progressed(self, what, share):
            path = tmp_path / "clone" / "pid.txt"
            if path.exists() and path.read_text():
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(program(sleepy), seeds=1, watcher=Interrupting())
    kept = load_study(tmp_path / "p.h5").runs
    assert [(each.cell.criterion, each.accuracy) for each in kept] == [("All", 70.0)]
    assert not is_running(int((tmp_path / "clone" / "pid.txt").read_text()))


def test_a_repository_says_how_its_accuracy_is_read_and_what_it_needs(program, run):
    shown = "Run 1 experiments, train on ConvNet, evaluate 5 random ConvNet, mean  = 61.25%  std = 0.50%"
    given = {"repository": "dm", "metric": None, "keep_ratio": "0.1,0.9", "ipc": 10}
    result = run(program(f"print({shown!r})"), seeds=1, **given)
    assert {each.accuracy for each in result.runs} == {61.25}
    assert result.settings.repository == "dm"
    assert {each.cell.keep_ratio for each in result.runs} == {
        "1",
        "0.9",
    }  # a tenth is too few


def test_several_images_per_class_need_a_place_in_the_command(program, run):
    with pytest.raises(UsageError, match="ipc"):
        run(program(PLUGGED), ipc=[1, 2])
    result = run([*program(PLUGGED), "{ipc}"], ipc=[1, 2], seeds=1)
    assert {each.cell.ipc for each in result.runs} == {1, 2}


@pytest.mark.parametrize(
    "given",
    [
        {"metric": None},
        {"metric_unit": "points"},
        {"ipc": None},
        {"metric": "(("},
        {"distiller": "dm"},
        {"jobs": 0},
        {"max_run_seconds": 0},
        {"repository": "nothing"},
        {"augment": "none"},
    ],
)
def test_wrong_arguments_are_refused(program, run, given):
    with pytest.raises(UsageError):
        run(program(PLUGGED), **given)


def test_a_command_that_does_not_exist_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="there is no program"):
        run([str(tmp_path / "nothing")], seeds=1)


def test_another_program_is_another_study(program, run):
    from goldore.errors import ScoreFileError

    run(program(PLUGGED), seeds=1)
    with pytest.raises(ScoreFileError, match="another study"):
        run([*program(PLUGGED), "--other"], seeds=1)


def test_a_log_is_read_from_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "_MOST_LOG", 30)
    log = tmp_path / "x.log"
    log.write_bytes(b"$ command\n" + b"a" * 100 + b"\raccuracy 12.5%\ngoldore: 1\n")
    assert programs._own(programs._output_of(log)).endswith("accuracy 12.5%")


def test_the_command_ends_in_order_on_ctrl_c(program, scored, tmp_path):
    command = program("import time; open('up.txt', 'w').close(); time.sleep(100)")
    words = [
        sys.executable,
        "-m",
        "goldore",
        "study",
        str(scored.path),
        "--metric",
        METRIC,
        "--ipc",
        "1",
        "--out",
    ]
    words += [str(tmp_path / "c.h5"), "--seeds", "1", "--", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / "clone" / "up.txt").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
