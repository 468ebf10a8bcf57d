"""A run that is killed at any moment loses nothing that it said was done, and goes on to the same bits."""

import contextlib
import functools
import random
import time

import h5py
import pytest

import goldore.files.atomic
from goldore.store.verifying import verify
from tests.durability import runs
from tests.forked import FORKS

KILLS, MOST_KILLS = 30, 120  # more only until every kind of rest was seen
PATIENCE = 60
POINTS = (
    "before the copy",
    "while scores are estimated",
    "before the seal",
    "before the rename",
    "after the rename",
    "before the journal is removed",
    "before a record",
    "half a record",
)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def start():
    """Start a function of `runs` in a process that need not import torch: it was imported before the fork."""
    started = []

    def start(target, *args, **fields):
        process = FORKS.Process(target=target, args=args, kwargs=fields, daemon=True)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
        process.close()


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    """What a run gives in one go, by its number of utility trials."""

    @functools.cache
    def run(utility):
        folder = tmp_path_factory.mktemp("whole")
        process = start(runs.cut_run, folder / "whole.h5", folder / "log", utility=utility)
        process.join(PATIENCE)
        assert process.exitcode == 0
        with h5py.File(folder / "whole.h5") as file:
            return runs.arrays(file)

    return run


def check(out, log):
    """The file opens, and holds with its journal what was reported."""
    there = runs.kept(out)
    for kind, numbers in runs.told(log).items():
        assert numbers <= there[kind], f"{kind} trials that were reported are gone"


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def finish(start, out, log, uninterrupted, utility):
    """The last run gives what an uninterrupted one gives, and leaves nothing else behind."""
    process = start(runs.cut_run, out, log, utility=utility)
    process.join(PATIENCE)
    assert process.exitcode == 0
    check(out, log)
    assert verify(out).intact
    with h5py.File(out) as file:
        found = runs.arrays(file)
    expected = uninterrupted(utility)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    assert names(out.parent) == [out.name]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_loses_nothing(start, uninterrupted, tmp_path):
    (tmp_path / "run").mkdir()
    out, log = tmp_path / "run" / "scores.h5", tmp_path / "log"
    draw = random.Random(5)
    seen = {"no file": 0, "journal": 0, "temporary": 0, "lock": 0, "finished": 0}
    most_left = asked = 0
    for kill in range(MOST_KILLS):
        if kill >= KILLS and min(seen["journal"], seen["temporary"], seen["lock"]) > 0:
            break
        more = draw.choice([0, 0, 0, 1, 1, 2, 3])  # trials that are waited for before it is killed
        before = sum(map(len, runs.told(log).values()))
        asked = max(asked, len(runs.kept(out)["utility"]) + 40)  # so that there is always something to do
        process = start(runs.cut_run, out, log, utility=asked)
        if more == 0:
            time.sleep(draw.uniform(0, 0.4))
        until = time.monotonic() + PATIENCE
        while process.is_alive() and sum(map(len, runs.told(log).values())) < before + more:
            assert time.monotonic() < until
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.06))
        process.kill()
        process.join(PATIENCE)
        seen["finished"] += process.exitcode == 0
        there = names(out.parent)
        left = [name for name in there if name.startswith(".goldore-")]
        most_left = max(most_left, len(left))
        seen["no file"] += out.name not in there
        seen["journal"] += f"{out.name}.journal" in there
        seen["lock"] += f"{out.name}.lock" in there
        seen["temporary"] += bool(left)
        check(out, log)
        if kill % 10 == 0 and out.exists():
            assert verify(out).intact
    assert seen["finished"] <= kill // 4, f"too few kills hit a run: {seen}"
    assert min(seen["journal"], seen["temporary"], seen["lock"]) > 0, f"kills hit too little: {seen}"
    assert most_left <= 2, "temporaries of killed runs pile up"
    finish(start, out, log, uninterrupted, asked)


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_at_a_point_of_its_writing_loses_nothing(start, uninterrupted, tmp_path, point):
    (tmp_path / "run").mkdir()
    out, log = tmp_path / "run" / "scores.h5", tmp_path / "log"
    for call in (1, 2, 11) if "record" in point else (1, 2, 3):
        process = start(runs.killed_at, out, log, point, call, utility=24)
        process.join(PATIENCE)
        assert process.exitcode == -9
        check(out, log)
    finish(start, out, log, uninterrupted, 24)


def test_temporaries_of_other_files_are_left_alone(tmp_path):
    out = tmp_path / "a.h5"
    mine = [".goldore-a.h5-abcdefgh.h5", ".goldore-a.h5-0123_567"]
    others = [
        ".goldore-b.h5-abcdefgh.h5",
        ".goldore-a.h5-abcdefgh.h5-abcdefgh.h5",  # of a.h5-abcdefgh.h5
        ".goldore-a.h5.npy-abcdefgh.npy",
        ".goldore-abcdefgh.h5",
        "a.h5-abcdefgh.h5",
    ]
    for name in (*mine, *others):
        (tmp_path / name).touch()
    (tmp_path / ".goldore-a.h5-folder__.h5").mkdir()
    (tmp_path / ".goldore-a.h5-folder__.h5" / "trial.h5").touch()
    with contextlib.chdir(tmp_path):
        runs.score(out, loss=1, scores="LossInit")
    assert names(tmp_path) == sorted([*others, "a.h5"])


def test_the_longest_name_has_temporaries_too(tmp_path):
    out = tmp_path / f"{'n' * 240}.h5"
    runs.score(out, loss=1, scores="LossInit")
    assert names(tmp_path) == [out.name]


def test_an_interrupt_just_after_a_temporary_was_made_leaves_nothing(tmp_path, monkeypatch):
    made = goldore.files.atomic.tempfile.mkstemp

    def interrupted(*args, **fields):
        made(*args, **fields)
        raise KeyboardInterrupt

    monkeypatch.setattr(goldore.files.atomic.tempfile, "mkstemp", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.score(tmp_path / "a.h5", loss=1, scores="LossInit")
    assert names(tmp_path) == []


def test_what_a_check_leaves_behind_is_removed_by_the_next_run(tmp_path, monkeypatch):
    made = goldore.files.atomic.tempfile.NamedTemporaryFile

    def interrupted(*args, **fields):
        made(*args, **fields)
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(goldore.files.atomic.tempfile, "NamedTemporaryFile", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runs.score(tmp_path / "a.h5", loss=1, scores="LossInit")
    assert len(names(tmp_path)) == 1
    runs.score(tmp_path / "a.h5", loss=1, scores="LossInit")
    assert names(tmp_path) == ["a.h5"]
