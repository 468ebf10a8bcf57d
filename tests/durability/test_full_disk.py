"""Disks that are full or read-only, folders that vanish: a sentence, and nothing that was there is lost."""

import os
import resource
import shutil
import subprocess

import pytest

import goldore
from goldore import Watcher
from goldore.errors import GoldoreError
from goldore.store import LossResult, journal
from tests.durability import runs

# A mount of one's own: by root, or in a user namespace where those are allowed.
OWN_MOUNTS = ("unshare", "--mount", "--map-root-user", "sh", "-e", "-c")


@pytest.fixture(scope="session")
def mounts():
    """The words before a shell script that may mount, seen by that script alone."""
    try:
        done = subprocess.run([*OWN_MOUNTS, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    except OSError:
        pytest.skip("there is no unshare command on this machine")
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    return OWN_MOUNTS


@pytest.fixture(scope="session")
def scored(npz, tmp_path_factory):
    """A score file of the command line's, with a loss trial and utility trials."""
    path = tmp_path_factory.mktemp("scored") / "scores.h5"
    done = runs.cli(*words(npz, path, 10))
    assert done.returncode == 0, done.stderr
    return path


def words(npz, out, utility):
    tiny = (*runs.TINY, *runs.TINY_LOSS, *runs.TINY_UTILITY)
    scores = ("--scores", "LossInit,MonteCarlo", "--trials", 1, "--utility-trials", utility)
    return ("score", npz, *tiny, *scores, "--out", out, "--quiet")


def is_one_sentence(done):
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_a_limit_on_file_sizes(scored, npz, tmp_path):
    out = shutil.copyfile(scored, tmp_path / "scores.h5")
    before = out.read_bytes()
    limited = ("sh", "-c", 'ulimit -f 200; exec "$@"', "sh")
    done = runs.cli(*words(npz, out, 12), before=limited)
    assert "File too large" in is_one_sentence(done)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]
    done = runs.cli(*words(npz, out, 12))
    assert done.returncode == 0, done.stderr
    assert len(goldore.load_scores(out).utility_trials.done) == 12


@pytest.mark.slow
def test_a_disk_that_is_full(scored, npz, tmp_path, mounts):
    folder, result = tmp_path / "disk", tmp_path / "result"
    folder.mkdir()
    result.mkdir()
    script = f"""
        mount -t tmpfs -o size=8m none {folder}
        cp {scored} {folder}/scores.h5
        dd if=/dev/zero of={folder}/filler bs=4k >{result}/dd 2>&1 || true
        code=0
        "$@" || code=$?
        cmp {scored} {folder}/scores.h5 && ls -A {folder} >{result}/left
        rm {folder}/filler
        "$@"
        cp {folder}/scores.h5 {result}
        exit $code
    """
    done = runs.cli(*words(npz, folder / "scores.h5", 12), before=(*mounts, script, "sh"))
    assert "No space left on device" in is_one_sentence(done)
    assert (result / "left").read_text().split() == ["filler", "scores.h5"]
    assert len(goldore.load_scores(result / "scores.h5").utility_trials.done) == 12


def test_a_folder_that_is_read_only(scored, npz, tmp_path, mounts):
    out = tmp_path / "folder" / "scores.h5"
    out.parent.mkdir()
    shutil.copyfile(scored, out)
    script = f'mount --bind {out.parent} {out.parent}; mount -o remount,ro,bind {out.parent}; exec "$@"'
    done = runs.cli(*words(npz, out, 12), before=(*mounts, script, "sh"))
    said = is_one_sentence(done)
    assert "Read-only file system" in said
    assert "choose another with --out" in said
    assert out.read_bytes() == scored.read_bytes()
    assert list(out.parent.iterdir()) == [out]


class Meddle(Watcher):
    """Does something once so many utility trials are done."""

    def __init__(self, after, what):
        self._left, self._what, self.told = after, what, []

    def finished(self, results):
        if isinstance(results[0], LossResult):
            return
        self.told += [each.trial.number for each in results]
        self._left -= len(results)
        if self._left == 0:
            self._what()


@pytest.mark.parametrize("after", [1, 4])
def test_a_folder_that_is_removed_is_made_again_and_all_trials_are_there_in_the_end(tmp_path, after):
    out = tmp_path / "folder" / "scores.h5"
    watcher = Meddle(after, lambda: shutil.rmtree(out.parent))
    file = runs.score(out, loss=1, utility=12, watcher=watcher)
    assert file.utility_trials.done.tolist() == list(range(12))
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_that_becomes_a_file_ends_in_a_sentence(tmp_path):
    out = tmp_path / "folder" / "scores.h5"

    def replace():
        shutil.move(out.parent, tmp_path / "moved")
        out.parent.touch()

    with pytest.raises(GoldoreError, match="could not be written"):
        runs.score(out, loss=1, utility=12, watcher=Meddle(4, replace))
    assert goldore.load_scores(tmp_path / "moved" / "scores.h5").loss_trials.done == (0,)


def check_and_go_on(out, watcher):
    """What was told is in the file or its journal, and the same run completes."""
    assert set(watcher.told) <= runs.kept(out)["utility"]
    file = runs.score(out, loss=1, utility=12)
    assert file.utility_trials.done.tolist() == list(range(12))
    assert list(out.parent.iterdir()) == [out]


def test_a_journal_that_cannot_be_opened(tmp_path):
    out = tmp_path / "scores.h5"
    watcher = Meddle(1, lambda: journal.journal_of(out).mkdir())
    with pytest.raises(GoldoreError, match=r"could not be written \(Is a directory\).*run the same command"):
        runs.score(out, loss=1, utility=12, watcher=watcher)
    journal.journal_of(out).rmdir()
    check_and_go_on(out, watcher)


def test_a_journal_that_cannot_grow(tmp_path):
    out = tmp_path / "scores.h5"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal.journal_of(out).stat().st_size + 50, hard))

    watcher = Meddle(4, limit)
    try:
        with pytest.raises(GoldoreError, match=r"could not be written.*previous state is kept"):
            runs.score(out, loss=1, utility=12, watcher=watcher)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert watcher.told == [0, 1, 2, 3]
    assert [result.trial.number for result in journal.read(out)["utility"]] == [1, 2, 3]
    check_and_go_on(out, watcher)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(npz, tmp_path):
    tmp_path.chmod(0o500)
    done = runs.cli(*words(npz, tmp_path / "scores.h5", 12))
    assert "Permission denied" in is_one_sentence(done)
