"""Signals that end a run: the exit code of the signal, one sentence, and a file that is resumed."""

import signal
import subprocess
import sys
import time

import h5py
import pytest

import goldore
from goldore.store.verifying import verify
from tests.durability import runs
from tests.forked import Forked

PATIENCE = 120
TERM, HUP, INT = signal.SIGTERM, signal.SIGHUP, signal.SIGINT
LOSS = ("--scores", "LossInit", "--trials", 400, *runs.TINY_LOSS)
UTILITY = ("--scores", "MonteCarlo", "--utility-trials", 3000, *runs.TINY_UTILITY)
NOTHING = "interrupted: no trial was finished and nothing was written; run the same command again."


@pytest.fixture
def stop(tmp_path, npz):
    """Start a command, wait until it says something, and send signals: stop(said, after, [signals], words).

    Gives the exit code and the lines of stderr.
    """
    (tmp_path / "run").mkdir()
    started = []

    def stop(said, after, signals, *words, exists=None):
        log = tmp_path / "stderr"
        out = tmp_path / "run" / "scores.h5"
        words = ["score", npz, *runs.TINY, *words, "--out", out, "--verbose"]
        process = Forked(words, tmp_path, runs.environment(), err=log)
        started.append(process)
        until = time.monotonic() + PATIENCE
        while said not in log.read_text() or not (exists is None or exists.exists()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.01)
        time.sleep(after)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.02)
        output, _ = process.communicate(timeout=PATIENCE)
        assert output == ""
        text = log.read_text()
        assert "Traceback" not in text
        assert "Exception" not in text
        lines = text.splitlines()
        assert sum("interrupted" in each for each in lines) == 1, text
        return process.returncode, lines

    yield stop
    for process in started:
        process.kill()
        process.wait()


def check(out):
    """The file is whole and nothing else lies beside it; gives its content."""
    assert [each.name for each in out.parent.iterdir()] == [out.name]
    assert verify(out).intact
    return goldore.load_scores(out)


@pytest.mark.parametrize(("number", "after"), [(TERM, 0.7), (HUP, 0.0), (INT, 0.3)])
def test_while_torch_is_imported(stop, tmp_path, number, after):
    code, lines = stop("loading torch", after, [number], *LOSS)
    assert code == 128 + number
    assert lines[-1].startswith("interrupted")
    if not list((tmp_path / "run").iterdir()):
        assert lines[-1] == NOTHING


@pytest.mark.parametrize("number", [HUP])
def test_during_loss_trials(stop, tmp_path, number):
    code, lines = stop("trial 2 of 400 done", 0, [number], *LOSS)
    assert code == 128 + number
    file = check(tmp_path / "run" / "scores.h5")
    assert lines[-1].startswith(f"interrupted: {len(file.loss_trials.done)} trials kept in ")


@pytest.mark.parametrize("signals", [[TERM], [INT], [INT, INT, TERM]])
def test_during_utility_trials(stop, tmp_path, signals):
    out = tmp_path / "run" / "scores.h5"
    code, lines = stop("3,000 trials, 1 at once", 0.1, signals, *UTILITY, exists=out)
    assert code in {128 + number for number in signals}
    assert "interrupted" in lines[-1]
    if len(signals) == 1:
        file = check(out)
        assert lines[-1].startswith(f"interrupted: {len(file.utility_trials.done)} trial")
    elif out.exists():
        assert verify(out).intact


@pytest.mark.slow
@pytest.mark.parametrize("number", [TERM, INT])
def test_with_several_processes(stop, tmp_path, npz, number):
    code, lines = stop("trial 4 of 400 done", 0, [number], *LOSS, "--processes", 2)
    assert code == 128 + number
    assert "interrupted: " in lines[-1]
    assert not [each.name for each in (tmp_path / "run").iterdir() if not each.name.endswith(".h5")]
    if number == INT:
        out = tmp_path / "run" / "scores.h5"
        done = runs.cli("score", npz, *runs.TINY, *LOSS, "--trials", 4, "--out", out)
        assert done.returncode == 0, done.stderr
        assert len(check(out).loss_trials.done) >= 4


@pytest.mark.slow
def test_the_same_command_goes_on_to_the_same_result(stop, tmp_path, npz):
    words = (
        *("--scores", "LossInit,MonteCarlo", "--trials", 3, "--utility-trials", 300),
        *(*runs.TINY_LOSS, *runs.TINY_UTILITY),
    )
    code, _ = stop("300 trials, 1 at once", 0.3, [TERM], *words)
    assert code == 128 + TERM
    cut, whole = tmp_path / "run" / "scores.h5", tmp_path / "whole.h5"
    there = check(cut).utility_trials
    assert there is None or len(there.done) < 300
    for out in (cut, whole):
        done = runs.cli("score", npz, *runs.TINY, *words, "--out", out)
        assert done.returncode == 0, done.stderr
    with h5py.File(cut) as first, h5py.File(whole) as second:
        there, expected = runs.arrays(first), runs.arrays(second)
    assert there.keys() == expected.keys()
    assert [name for name in there if there[name] != expected[name]] == []


def test_an_interrupt_that_python_drops_comes_again(tmp_path):
    code = (
        "import sys, time, os, signal\n"
        "from goldore.__main__ import _command_line_from_checkout\n"
        "_command_line_from_checkout()\n"
        "from goldore_cli.signals import end_in_order, exit_code\n"
        "end_in_order()\n"
        "class Finalised:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(0.1)\n"
        "try:\n"
        "    Finalised()\n"
        "    time.sleep(20)\n"
        "except KeyboardInterrupt as interrupt:\n"
        "    sys.exit(exit_code(interrupt))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=runs.environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (143, "")
