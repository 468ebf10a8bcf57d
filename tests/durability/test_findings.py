"""What once went wrong, or nearly did."""

import hashlib
import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

import goldore
from goldore.errors import GoldoreError
from goldore.runs import output
from goldore.runs.parts import Parts, part_of
from goldore.runs.team import Team
from goldore.selection.index_file import load_index, save_index
from goldore.store import journal, load_header, load_scores, verifying
from goldore.store.loss_trials import LOSS
from goldore.store.utility_trials import UTILITY
from tests.conftest import edited
from tests.durability import runs


def test_a_module_in_the_current_folder_is_not_run_by_verify(tmp_path):
    runs.score(tmp_path / "s.h5", loss=2, scores="LossInit")
    (tmp_path / "h5py.py").write_text("open('RAN', 'w').close(); raise ImportError('boo')")
    code = (
        "import sys; sys.path.pop(0)\n"
        "from goldore.store.verifying import verify; print(verify('s.h5').intact)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=runs.environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.stdout, (tmp_path / "RAN").exists()) == ("True\n", False), done.stderr


def test_an_interrupt_while_results_are_written_waits(tmp_path, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    add = output.add_trials
    calls = []

    def interrupted(*args, **fields):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        add(*args, **fields)

    monkeypatch.setattr(output, "add_trials", interrupted)
    monkeypatch.setattr(output, "_SECONDS_BETWEEN", 0)
    monkeypatch.setattr(output, "_SHARE", 0)
    with pytest.raises(KeyboardInterrupt):
        runs.score(tmp_path / "s.h5", loss=5, scores="LossInit")
    signal.signal(signal.SIGINT, before)
    assert load_scores(tmp_path / "s.h5").loss_trials.done == (0, 1)


def test_diverged_trials_do_not_spoil_a_file_that_has_others(tmp_path):
    out = tmp_path / "s.h5"
    runs.score(out, scores="MonteCarlo", utility=6)
    before = out.read_bytes()
    wild = goldore.LossRecipe(network=goldore.ConvNetConfig(depth=1, width=4), epochs=2, lr=1e30)
    with pytest.raises(GoldoreError, match="every trial diverged"):
        runs.score(out, scores="LossInit", loss=2, recipe=wild)
    assert out.read_bytes() == before


def test_a_part_that_grows_while_parts_are_joined_stays(tmp_path, monkeypatch):
    from goldore.runs import parts as module

    out = tmp_path / "s.h5"
    part = part_of(out, 1)
    runs.score(part, loss=1, scores="LossInit")
    join = module.join

    def slow(*args):
        join(*args)
        runs.score(part, loss=2, scores="LossInit")

    monkeypatch.setattr(module, "join", slow)
    Parts(out, Team()).take_in()
    assert load_scores(out).loss_trials.done == (0,)
    assert load_scores(part).loss_trials.done == (0, 1)


def test_more_trials_of_a_range_are_planned_as_they_are(tmp_path):
    out, plans = tmp_path / "s.h5", []

    class Planned(goldore.Watcher):
        def planned(self, plan):
            plans.append((plan.trials, plan.there))

    for numbers in (range(2), range(2, 4), range(1, 4)):
        runs.score(out, scores="LossInit", loss=1, utility=None, trial_range=numbers, watcher=Planned())
    assert plans == [(2, 0), (2, 0), (3, 3)]
    with h5py.File(out) as file:
        assert list(file[LOSS.group]["done"]) == [1, 1, 1, 1]


def test_an_index_of_a_large_folder_tree_is_read_again(tmp_path):
    paths = [f"n{number // 1300:08d}/n_{number}[1].JPEG" for number in range(700_000)]
    save_index(tmp_path / "keep.npy", np.arange(700_000), {"num_samples": 700_000, "paths": paths})
    assert len(load_index(tmp_path / "keep.npy").indices) == 700_000


def test_a_journal_of_a_goldore_that_stored_no_times_is_taken_in(tmp_path):
    path = tmp_path / "s.h5"
    runs.score(path, loss=2, utility=6)
    header = load_header(path)
    with h5py.File(path) as file:
        group = file[UTILITY.group]
        columns, layout = UTILITY.columns_at(group, slice(4, 6)), UTILITY.layout_in(group)
        key = UTILITY.key_in(file, header)
    rows = np.empty(2, dtype=[(name, layout[name]) for name in layout.names if name != "seconds"])
    rows["number"] = [10, 11]
    for name in rows.dtype.names[1:]:
        rows[name] = columns[name]
    head = journal._HEAD.pack(journal._MAGIC, 2, key, hashlib.sha256(rows.tobytes()).digest())
    journal.journal_of(path).write_bytes(head + rows.tobytes())
    found = journal.read(path)["utility"]
    assert [result.trial.number for result in found] == [10, 11]
    assert [result.members.tolist() for result in found] == columns["members"].tolist()
    assert all(np.isnan(result.seconds) for result in found)


def test_damage_in_the_times_alone_loses_no_trial(tmp_path):
    path = tmp_path / "s.h5"
    runs.score(path, loss=3, scores="LossInit")
    with h5py.File(path) as file:
        where = file["trials/loss/seconds"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(bytes(content))
    repaired = verifying.repair(path, tmp_path / "new.h5")
    assert (repaired.trials["loss"].usable, repaired.trials["loss"].damaged) == (3, [])
    seconds = load_scores(tmp_path / "new.h5").loss_trials.seconds
    assert np.isnan(seconds).tolist() == [False, True, False]


def test_files_that_store_no_times_are_read_and_gone_on_with(tmp_path):
    path = tmp_path / "s.h5"
    runs.score(path, loss=2, utility=4)
    with edited(path) as file:
        del file["trials/loss/seconds"], file["trials/utility/seconds"]
    before = load_scores(path)
    assert np.isnan(before.loss_trials.seconds).all()
    assert np.isnan(before.utility_trials.seconds).all()
    runs.score(path, loss=3, utility=6)
    after = load_scores(path)
    assert np.isnan(after.loss_trials.seconds).tolist() == [True, True, False]
    assert np.isnan(after.utility_trials.seconds).tolist() == [True] * 4 + [False] * 2
    assert after.loss_trials.seconds[2] > 0
    assert after.utility_trials.seconds[5] > 0
