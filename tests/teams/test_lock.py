"""Locks: one writer a file, and what is said to the second; a lock never outlives its owner."""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

import goldore
from goldore.errors import GoldoreError, LockedError
from goldore.files.locking import clear_lock, lock_of, writing_to
from goldore.store import reestimate
from tests.cli.conftest import environment
from tests.teams.conftest import LOSS, NETWORK, UTILITY, files_in, sentence

ENDLESS = (*NETWORK, "--epochs", 10**6, "--trials", 1)
HOST = re.escape(socket.gethostname())
HOLD = "import sys, time; from pathlib import Path; from goldore.files.locking import writing_to\n"
HOLD += "with writing_to(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


@pytest.fixture
def held(tmp_path):
    """Another process that writes to a file: held(path) gives it."""
    started = []

    def hold(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], env=environment(), stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def without_flock(monkeypatch):
    """A file system of those that know no flock."""

    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "s.h5"


def owner(file, **fields):
    """Write a lock file as another process would have, this process's unless told."""
    with writing_to(file):
        said = json.loads(lock_of(file).read_text())
    lock_of(file).write_text(json.dumps({**said, **fields}))


def refused(file, who):
    said = rf"^{re.escape(str(file))} is being written by {who}; wait for it, or give this run an `out`"
    return pytest.raises(LockedError, match=said)


def of(process, hint=""):
    return rf"process {process} on {HOST}, since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d{hint}"


class TestFlock:
    def test_it_is_there_while_the_file_is_written_and_gone_afterwards(self, file):
        with writing_to(file):
            assert files_in(file.parent) == {"s.h5.lock"}
            said = json.loads(lock_of(file).read_text())
            assert (said["pid"], said["host"]) == (os.getpid(), socket.gethostname())
        assert files_in(file.parent) == set()

    def test_it_is_gone_after_an_error_too(self, file):
        with pytest.raises(KeyboardInterrupt), writing_to(file):
            raise KeyboardInterrupt
        assert files_in(file.parent) == set()

    def test_another_process_is_named(self, file, held):
        other = held(file)
        with refused(file, of(other.pid)), writing_to(file):
            pass
        assert lock_of(file).exists()

    def test_the_lock_of_a_killed_process_blocks_nobody(self, file, held):
        other = held(file)
        other.kill()
        other.wait()
        assert lock_of(file).exists()
        with writing_to(file):
            assert json.loads(lock_of(file).read_text())["pid"] == os.getpid()
        assert files_in(file.parent) == set()

    def test_links_to_a_file_share_its_lock(self, file, held, tmp_path):
        file.touch()
        link, folder = tmp_path / "link.h5", tmp_path / "folder"
        link.symlink_to(file)
        folder.symlink_to(tmp_path, target_is_directory=True)
        held(file)
        for path in (link, folder / "s.h5", folder / "link.h5", tmp_path / "folder" / ".." / link):
            with refused(path, "process .*"), writing_to(path):
                pass

    def test_a_link_to_nothing_yet_locks_what_it_will_be(self, file, tmp_path):
        link = tmp_path / "link.h5"
        link.symlink_to(file)
        with writing_to(link), refused(file, "process .*"), writing_to(file):
            pass

    def test_one_process_does_not_lock_twice(self, file):
        with writing_to(file), refused(file, of(os.getpid())), writing_to(file):
            pass

    @pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"[1]", b'"x"', b"{}", b'{"pid": "x"}'])
    def test_garbage_in_a_lock_file_that_nobody_holds_does_no_harm(self, file, content):
        lock_of(file).write_bytes(content)
        with writing_to(file):
            assert json.loads(lock_of(file).read_text())["pid"] == os.getpid()
        assert files_in(file.parent) == set()

    def test_garbage_in_a_lock_file_that_is_held_still_blocks(self, file, held):
        held(file)
        lock_of(file).write_bytes(b"garbage")
        with refused(file, "another process"), writing_to(file):
            pass

    def test_a_lock_file_that_was_removed_is_taken_anew(self, file):
        with writing_to(file):
            lock_of(file).unlink()
        with writing_to(file):
            assert lock_of(file).exists()

    def test_clearing_removes_only_what_nobody_holds(self, file, held, tmp_path):
        lock_of(file).write_bytes(b"left behind")
        clear_lock(file)
        assert files_in(tmp_path) == set()
        held(file)
        clear_lock(file)
        assert lock_of(file).exists()

    def test_a_folder_that_cannot_be_written_to_is_said(self, tmp_path):
        (tmp_path / "file").touch()
        with (
            pytest.raises(GoldoreError, match="cannot write to the folder"),
            writing_to(tmp_path / "file/s.h5"),
        ):
            pass
        lock_of(tmp_path / "s.h5").mkdir()
        with (
            pytest.raises(GoldoreError, match=r"cannot be locked \(.*\); make room"),
            writing_to(tmp_path / "s.h5"),
        ):
            pass


@pytest.mark.usefixtures("without_flock")
class TestWithoutFlock:
    def test_it_is_gone_afterwards(self, file):
        with writing_to(file):
            assert json.loads(lock_of(file).read_text())["pid"] == os.getpid()
        assert files_in(file.parent) == set()

    def test_a_living_owner_blocks(self, file, held):
        other = held(file)
        with refused(file, of(other.pid)), writing_to(file):
            pass

    def test_a_dead_owner_does_not(self, file, held):
        other = held(file)
        other.kill()
        other.wait()
        with writing_to(file):
            pass
        assert files_in(file.parent) == set()

    def test_a_number_that_went_to_another_process_does_not(self, file):
        owner(file)
        with refused(file, of(os.getpid())), writing_to(file):
            pass
        lock_of(file).unlink()
        owner(file, started="12345")
        with writing_to(file):
            pass

    def test_another_machine_blocks_and_the_way_out_is_said(self, file):
        owner(file, host="elsewhere", pid=1)
        hint = rf" \(if it is gone, remove {re.escape(str(lock_of(file)))}\)"
        with refused(file, rf"process 1 on elsewhere, since \S+{hint}"), writing_to(file):
            pass
        assert lock_of(file).exists()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"garbage",
            b"[1]",
            b'{"pid": 7}',
            json.dumps({"host": socket.gethostname(), "pid": "x"}).encode(),
        ],
    )
    def test_garbage_names_no_owner(self, file, content):
        lock_of(file).write_bytes(content)
        with writing_to(file):
            pass
        assert files_in(file.parent) == set()

    @pytest.mark.parametrize("number", [0, -1, 2**40, None, 1.5])
    def test_no_process_of_such_a_number_lives(self, file, number):
        owner(file, pid=number)
        with writing_to(file):
            pass

    def test_other_errors_of_the_system_are_said(self, file, monkeypatch):
        def fail(*_):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(fcntl, "flock", fail)
        with pytest.raises(GoldoreError, match=r"s\.h5 cannot be locked \(Input/output error\)"):
            writing_to(file).__enter__()


class TestCommands:
    def test_the_second_run_on_a_file_ends_with_a_sentence_and_writes_nothing(self, data, start, run, file):
        first = start("score", data, *ENDLESS, "--out", file)
        first.until(lambda: "1 trial of" in first.stderr)
        second = run("score", data, *LOSS, "--trials", 1, "--out", "s.h5")
        assert second.code == 1
        said = sentence(second)
        assert re.search(rf"error: s\.h5 is being written by {of(first.process.pid)}; wait for it", said)
        assert files_in(file.parent) == {"s.h5.lock"}
        os.kill(first.process.pid, signal.SIGINT)
        assert first.wait().code == 130
        assert files_in(file.parent) == set()

    def test_a_run_of_many_is_refused_by_a_run_of_one_and_the_other_way(self, data, start, start_ranks, file):
        one = start("score", data, *ENDLESS, "--out", file)
        one.until(lambda: "1 trial of" in one.stderr)
        command = ("score", data, *ENDLESS, "--out", "s.h5")
        zero, other = start_ranks(command, command)
        assert zero.wait().code == 1
        assert "error: s.h5 is being written by process" in sentence(zero)
        other.kill()
        one.kill()
        ranks = start_ranks(command, command)
        ranks[0].until(lambda: "1 trial of" in ranks[0].stderr)
        late = start(*command).wait()
        assert late.code == 1
        assert re.search(rf"s\.h5 is being written by {of(ranks[0].process.pid)}", sentence(late))

    def test_a_killed_run_is_gone_on_with(self, data, start, run, file):
        first = start("score", data, *ENDLESS, "--out", file)
        first.until(lambda: "1 trial of" in first.stderr)
        first.kill()
        assert lock_of(file).exists()
        assert run("score", data, *LOSS, "--trials", 1, "--out", file).code == 0
        assert files_in(file.parent) == {"s.h5"}

    @pytest.mark.parametrize("command", ["estimate", "estimate --out", "merge", "import", "verify"])
    def test_every_command_that_writes_a_score_file_locks_it(self, data, whole, run, held, file, command):
        source = shutil.copy(whole(*UTILITY, "--utility-trials", 30), file.with_name("source.h5"))
        file.with_name("list_LossInit.json").write_text(json.dumps([0.5] * 60))
        target = source if command == "estimate" else file
        target.exists() or target.write_bytes(b"old")
        arguments = {
            "estimate": ("estimate", source, "--outcome", "margin"),
            "estimate --out": ("estimate", source, "--out", file, "--overwrite"),
            "merge": ("merge", source, source, "--out", file, "--overwrite"),
            "import": ("import", "list_LossInit.json", "--dataset", data, "--out", file, "--overwrite"),
            "verify": ("verify", source, "--repair", file, "--overwrite"),
        }[command]
        before, other = target.read_bytes(), held(target)
        done = run(*arguments)
        assert done.code == 1
        assert re.search(rf"{target.name} is being written by {of(other.pid)}", sentence(done))
        assert target.read_bytes() == before
        other.kill()
        other.wait()
        assert run(*arguments).code == 0
        assert target.read_bytes() != before
        assert not lock_of(target).exists()

    def test_a_run_that_changes_the_outcome_does_not_lock_itself_out(self, data, whole, run, file):
        options = (*UTILITY, "--utility-trials", 30)
        shutil.copy(whole(*options), file)
        done = run("score", data, *options, "--outcome", "margin", "--out", file)
        assert done.code == 0, done.stderr
        score = goldore.load_scores(file).scores["MonteCarlo"]
        assert score.outcome == "margin"
        reestimate(file, "margin", "in-mean", file.with_name("other.h5"))
        other = goldore.load_scores(file.with_name("other.h5")).scores["MonteCarlo"]
        assert not np.array_equal(score.values, other.values)
        assert files_in(file.parent) == {"s.h5", "other.h5"}
