"""Damaged score files are noticed, always; and of what is damaged, only whole trials are saved."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

import goldore
from goldore.errors import GoldoreError, ScoreFileError
from goldore.scores import SCORES
from goldore.scores.estimators import Estimate
from goldore.store import Score, load_header, load_scores, salvage, verifying, write_new
from goldore.store import journal as journals
from goldore.store.seal import SIZE
from goldore.store.trial_kinds import KINDS
from tests.conftest import edited, make_dataset
from tests.durability import runs

ROOT = Path(__file__).resolve().parents[2]
UTILITY = "trials/utility"


def flipped(content, draw, count):
    changed = bytearray(content)
    for place in draw.choice(len(content), count, replace=False):
        changed[place] ^= int(draw.integers(1, 256))
    return bytes(changed)


def written(content):
    """Places of a file that hold something: most of a tiny one is room for trials to come."""
    return np.flatnonzero(np.frombuffer(content, np.uint8))


def refusal_of(path):
    with pytest.raises(ScoreFileError) as refusal:
        load_scores(path)
    said = str(refusal.value)
    assert "\n" not in said
    assert str(path) in said
    assert said.endswith(".")
    return said


class TestReading:
    def test_a_file_that_was_cut_short_is_damaged(self, whole, tmp_path):
        content, draw = whole.read_bytes(), np.random.default_rng(1)
        lengths = [0, 1, SIZE - 1, SIZE, SIZE + 1, len(content) - 1]
        for length in [*lengths, *draw.integers(0, len(content), 94)]:
            path = tmp_path / f"{length}.h5"
            path.write_bytes(content[:length])
            refusal_of(path)
            path.unlink()

    def test_a_file_with_flipped_bytes_is_damaged(self, whole, tmp_path):
        content, draw = whole.read_bytes(), np.random.default_rng(2)
        for turn in range(300):
            path = tmp_path / f"{turn}.h5"
            changed = flipped(content, draw, int(draw.integers(1, 51)))
            path.write_bytes(changed)
            if changed[SIZE:] != content[SIZE:]:
                refusal_of(path)
            path.unlink()

    def test_flips_before_the_content_are_damage_or_do_no_harm(self, whole, tmp_path, trials_of):
        content, draw, harmless = whole.read_bytes(), np.random.default_rng(3), 0
        before = load_scores(whole)
        for turn in range(40):
            path = tmp_path / f"{turn}.h5"
            path.write_bytes(flipped(content[:SIZE], draw, 1) + content[SIZE:])
            try:
                after = load_scores(path)
            except ScoreFileError:
                refusal_of(path)
                continue
            harmless += 1
            assert trials_of(path) == trials_of(whole)
            for name, score in before.scores.items():
                assert score.values.tobytes() == after.scores[name].values.tobytes()
        assert 0 < harmless < 40

    @pytest.mark.parametrize("what", ["zeros", "garbage", "spliced in", "taken out", "doubled"])
    def test_a_block_that_was_changed_is_damage(self, whole, tmp_path, what):
        content, draw = whole.read_bytes(), np.random.default_rng(4)
        for turn in range(20):
            start = int(draw.choice(written(content)))
            size = int(draw.integers(1, 2000))
            old = content[start : start + size]
            new = {
                "zeros": bytes(len(old)),
                "garbage": draw.bytes(len(old)),
                "spliced in": draw.bytes(size) + old,
                "taken out": b"",
                "doubled": old + old,
            }[what]
            path = tmp_path / f"{turn}.h5"
            path.write_bytes(content[:start] + new + content[start + size :])
            refusal_of(path)

    def test_a_run_does_not_go_on_with_a_damaged_file(self, file):
        content = file.read_bytes()
        changed = flipped(content, np.random.default_rng(5), 3)
        file.write_bytes(changed)
        with pytest.raises(ScoreFileError, match=r"damaged.*goldore verify"):
            runs.score(file, loss=5, utility=40)
        assert file.read_bytes() == changed
        assert [each.name for each in file.parent.iterdir()] == [file.name]


class TestRepair:
    @pytest.mark.parametrize("turn", range(24))
    def test_what_is_saved_is_what_was_there(self, file, whole, trials_of, tmp_path, turn):
        content, draw = whole.read_bytes(), np.random.default_rng([6, turn])
        changed, places = bytearray(content), written(content)
        for place in draw.choice(places[places > SIZE], [1, 3, 10][turn % 3]):
            changed[place] ^= int(draw.integers(1, 256))
        if turn % 4 == 3:
            start = int(draw.choice(places))
            changed[start : start + 300] = draw.bytes(len(changed[start : start + 300]))
        file.write_bytes(changed)
        new = tmp_path / "new.h5"
        before = trials_of(whole)
        try:
            found = verifying.repair(file, new)
        except ScoreFileError as refusal:
            assert "nothing can be saved" in str(refusal)  # noqa: PT017 - either outcome is right
            assert not new.exists()
            assert file.read_bytes() == changed
            return
        assert not found.intact
        saved = trials_of(new)
        assert len(saved) == found.recoverable
        for trial, content_of in saved.items():
            assert content_of == before[trial]
        old, header = load_header(whole), load_header(new)
        assert (header.info, header.paths) == (old.info, old.paths)
        assert header.labels.tobytes() == old.labels.tobytes()
        assert header.sample_hash.tobytes() == old.sample_hash.tobytes()
        assert verifying.verify(new).intact
        assert file.read_bytes() == changed

    def damage_one(self, file, name, number):
        """Change one trial's row of an array in the bytes of a file."""
        with h5py.File(file) as opened:
            array = opened[name]
            row = array[number].tobytes()
            chunk = number // array.chunks[0]
            start = array.id.get_chunk_info_by_coord((chunk * array.chunks[0], *[0] * (array.ndim - 1)))
            place = start.byte_offset + number % array.chunks[0] * len(row)
        content = bytearray(file.read_bytes())
        assert content[place : place + len(row)] == row
        content[place] ^= 0x40
        file.write_bytes(content)

    @pytest.mark.parametrize(
        ("name", "number"),
        [
            ("trials/loss/LossInit", 2),
            ("trials/loss/seed", 0),
            ("trials/loss/done", 1),
            ("trials/loss/digest", 3),
            (f"{UTILITY}/members", 17),
            (f"{UTILITY}/accuracy", 0),
            (f"{UTILITY}/done", 29),
            (f"{UTILITY}/digest", 5),
        ],
    )
    def test_damage_in_one_trial_costs_that_trial_at_most(
        self, file, whole, trials_of, tmp_path, name, number
    ):
        self.damage_one(file, name, number)
        found = verifying.repair(file, tmp_path / "new.h5")
        lost = trials_of(whole).keys() - trials_of(tmp_path / "new.h5").keys()
        hit = (name.split("/")[1], number)
        assert lost == (set() if name.endswith("done") else {hit})
        assert [number] == found.trials[hit[0]].damaged or name.endswith("done")

    @pytest.mark.parametrize("name", ["dataset/labels", "dataset/sample_hash"])
    def test_a_damaged_header_is_refused(self, file, tmp_path, name):
        with h5py.File(file) as opened:
            place, size = opened[name].id.get_offset(), opened[name].id.get_storage_size()
            stored = opened[name][()].tobytes()
        content = bytearray(file.read_bytes())
        assert content[place : place + size] == stored
        content[place] ^= 1
        file.write_bytes(content)
        with pytest.raises(ScoreFileError, match=r"nothing can be saved.*what describes the dataset"):
            verifying.repair(file, tmp_path / "new.h5")
        assert not (tmp_path / "new.h5").exists()

    def test_what_describes_one_kind_of_trials_costs_that_kind(self, file, whole, trials_of, tmp_path):
        with edited(file) as opened:
            opened[UTILITY].attrs["recipe"] = "{"
        file.write_bytes(
            flipped(file.read_bytes()[:SIZE], np.random.default_rng(0), SIZE) + file.read_bytes()[SIZE:]
        )
        found = verifying.repair(file, tmp_path / "new.h5")
        assert any("what describes the utility trials is lost" in each for each in found.problems)
        expected = {trial: row for trial, row in trials_of(whole).items() if trial[0] == "loss"}
        assert trials_of(tmp_path / "new.h5") == expected

    def test_a_disk_that_is_full_is_not_taken_for_damage(self, file, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("goldore.store.writing.check_space", full)
        monkeypatch.setattr(verifying, "_examined", salvage.examine)
        with pytest.raises(GoldoreError, match=r"new\.h5 could not be written \(No space left on device\)"):
            verifying.repair(file, tmp_path / "new.h5")
        assert [each.name for each in tmp_path.iterdir()] == ["run"]

    @pytest.mark.parametrize("code", [f"os.kill(os.getpid(), {int(signal.SIGSEGV)})", "time.sleep(60)"])
    def test_hdf5_may_crash_or_hang(self, file, tmp_path, monkeypatch, code):
        run = subprocess.run

        def crashing(command, **fields):
            return run([command[0], "-c", f"import os, sys, time; {code}"], **{**fields, "timeout": 2})

        monkeypatch.setattr(verifying.subprocess, "run", crashing)
        found = verifying.verify(file)
        assert found.problems == ["HDF5 does not survive opening it"]
        with pytest.raises(ScoreFileError, match="nothing can be saved"):
            verifying.repair(file, tmp_path / "new.h5")

    def test_another_failure_is_not_taken_for_damage(self, file, monkeypatch):
        run = subprocess.run

        def failing(command, **fields):
            return run([command[0], "-c", "import sys; sys.exit('a long\\nstory')"], **fields)

        monkeypatch.setattr(verifying.subprocess, "run", failing)
        with pytest.raises(GoldoreError, match=r"could not be examined \(story\)"):
            verifying.verify(file)


@pytest.fixture
def waiting(whole, tmp_path):
    """A score file with 10 of 30 utility trials in the file and 20 in its journal, two a record."""
    path = tmp_path / "run" / "scores.h5"
    path.parent.mkdir()
    runs.score(path, loss=4, utility=10)
    header = load_header(whole)
    with h5py.File(whole) as file:
        rows = np.arange(10, 30)
        columns = {name: file[UTILITY][name][10:30] for name in file[UTILITY] if name != "subset_sizes"}
    results = KINDS["utility"].results_of(rows, columns)
    for start in range(0, 20, 2):
        journals.Journal.beside(path, header, "utility").append(path, results[start : start + 2])
    return path


class TestJournal:
    def check(self, path, original, trials_of):
        """What is read is right; gives the numbers."""
        found = journals.read(path).get("utility", [])
        classes = len(load_header(path).info.class_names)
        with h5py.File(path) as file:
            subset = int(file[f"{UTILITY}/subset_sizes"][()].sum())
        for result in found:
            there = original["utility", result.trial.number]
            assert result.members.shape == (subset,)
            assert result.members.tobytes() == there["members"]
            assert result.outcomes["margin"].shape == (classes,)
            assert result.outcomes["margin"].tobytes() == there["margin"]
            assert np.uint64(result.trial.seed).tobytes() == there["seed"]
        return [result.trial.number for result in found]

    def test_only_whole_records_are_taken(self, waiting, whole, trials_of):
        journal = journals.journal_of(waiting)
        content, original = journal.read_bytes(), trials_of(whole)
        size = len(content) // 10
        assert self.check(waiting, original, trials_of) == list(range(10, 30))
        for boundary in (0, size, 2 * size, 9 * size, 10 * size):
            for length in range(max(0, boundary - 90), min(len(content), boundary + 90) + 1, 7):
                journal.write_bytes(content[:length])
                assert self.check(waiting, original, trials_of) == list(range(10, 10 + 2 * (length // size)))

    def test_a_record_that_was_cut_short_may_be_followed_by_others(self, waiting, whole, trials_of):
        journal = journals.journal_of(waiting)
        content, original = journal.read_bytes(), trials_of(whole)
        size = len(content) // 10
        for cut in (1, 50, 79, 80, 81, size - 1):
            journal.write_bytes(content[:size] + content[size : size + cut] + content[2 * size :])
            assert self.check(waiting, original, trials_of) == [10, 11, *range(14, 30)]

    def test_flipped_bytes_cost_their_record(self, waiting, whole, trials_of):
        journal = journals.journal_of(waiting)
        content, original, draw = journal.read_bytes(), trials_of(whole), np.random.default_rng(7)
        size = len(content) // 10
        for _ in range(100):
            changed = bytearray(content)
            places = draw.choice(len(content), int(draw.integers(1, 4)), replace=False)
            for place in places:
                changed[place] ^= int(draw.integers(1, 256))
            journal.write_bytes(changed)
            hit = {int(place) // size for place in places}
            expected = [10 + 2 * each + half for each in range(10) if each not in hit for half in (0, 1)]
            assert self.check(waiting, original, trials_of) == expected

    def test_a_first_record_that_was_cut_short_does_not_stop_the_next_run(self, waiting):
        journal = journals.journal_of(waiting)
        os.truncate(journal, 100)
        assert runs.score(waiting, loss=4, utility=30).utility_trials.done.tolist() == list(range(30))
        assert not journal.exists()

    @pytest.mark.parametrize("what", ["another run's", "no journal", "beside loss trials alone"])
    def test_a_journal_of_something_else_is_refused_and_kept(self, waiting, tmp_path, what):
        journal = journals.journal_of(waiting)
        path, arguments = tmp_path / "other.h5", {"loss": 1, "utility": 10, "seed": 1}
        if what == "beside loss trials alone":
            arguments["scores"] = "LossInit"
        runs.score(path, **arguments)
        content = b"precious " * 20 if what == "no journal" else journal.read_bytes()
        journals.journal_of(path).write_bytes(content)
        before = path.read_bytes()
        with pytest.raises(ScoreFileError, match="another run's, or damaged: move it away"):
            runs.score(path, **{**arguments, "loss": 2})
        assert path.read_bytes() == before
        assert journals.journal_of(path).read_bytes() == content

    def test_repair_saves_what_waits(self, waiting, whole, trials_of, tmp_path):
        TestRepair().damage_one(waiting, f"{UTILITY}/logprob", 4)
        found = verifying.repair(waiting, tmp_path / "new.h5")
        assert found.trials["utility"].damaged == [4]
        assert found.trials["utility"].waiting == 20
        expected = {trial: row for trial, row in trials_of(whole).items() if trial != ("utility", 4)}
        assert trials_of(tmp_path / "new.h5") == expected


class TestVerify:
    def test_an_intact_file(self, whole):
        done = runs.cli("verify", whole)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            f"{whole}: intact",
            "  loss trials  4 usable, 0 diverged",
            "  utility trials  30 usable, 0 diverged",
            "  scores       LossInit, LossConverge, MonteCarlo as the trials give them",
        ]

    def test_a_file_with_a_journal(self, waiting):
        found = verifying.verify(waiting)
        assert found.intact
        assert (found.trials["utility"].usable, found.trials["utility"].waiting) == (10, 20)

    def test_a_damaged_file_and_what_is_left(self, file, tmp_path):
        TestRepair().damage_one(file, f"{UTILITY}/members", 7)
        before = file.read_bytes()
        done = runs.cli("verify", file)
        assert done.returncode == 1
        assert "1 utility trials are damaged (7)" in done.stdout
        assert done.stderr.strip() == f"goldore verify {file} --repair NEW.h5 saves 33 trials"
        assert file.read_bytes() == before

    def test_a_list_without_trials(self, tmp_path):
        dataset = make_dataset()
        estimate = Estimate(
            values=np.arange(60.0),
            stderr=np.full(60, np.nan),
            trials=0,
            reliability=np.nan,
            rank_reliability=np.nan,
            class_reliability=np.full(3, np.nan),
            class_rank_reliability=np.full(3, np.nan),
        )
        path = tmp_path / "list.h5"
        write_new(path, goldore.store.Header.of(dataset), [Score.of(SCORES["LossConverge"], estimate)])
        found = verifying.verify(path)
        assert found.intact
        assert (found.unchecked, found.trials) == (["LossConverge"], {})
        with pytest.raises(ScoreFileError, match="it has no trials"):
            verifying.repair(path, tmp_path / "new.h5")

    def test_a_score_that_is_not_what_its_trials_give(self, file):
        with edited(file) as opened:
            opened["scores/LossConverge"][3] += 0.01
        found = verifying.verify(file)
        assert found.problems == ["LossConverge differs from what the trials give, or is missing"]
        assert found.scores == ["LossInit", "MonteCarlo"]
        assert found.recoverable == 34

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("keep.npy", "looks like an index file"),
            ("text.h5", "is not a score file, or a damaged one"),
            ("empty.h5", "is not a score file, or a damaged one"),
            ("missing.h5", "there is no score file"),
            ("folder.h5", "is a folder"),
        ],
    )
    def test_what_never_was_a_score_file(self, tmp_path, name, said):
        np.save(tmp_path / "keep.npy", np.arange(5))
        (tmp_path / "text.h5").write_text("hello")
        (tmp_path / "empty.h5").touch()
        (tmp_path / "folder.h5").mkdir()
        with pytest.raises(ScoreFileError, match=said) as refusal:
            verifying.verify(tmp_path / name)
        assert "\n" not in str(refusal.value)

    def test_the_command_says_so_too(self, tmp_path):
        shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "text.h5")
        done = runs.cli("verify", tmp_path / "text.h5")
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
