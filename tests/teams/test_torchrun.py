"""Runs that several processes share: the file that one process makes, whatever happens on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

import goldore
from goldore.datasets import load_dataset
from goldore.runs.parts import part_of
from tests.cli.conftest import TIMEOUT, environment
from tests.teams.commands import wait_until
from tests.teams.conftest import LOSS, NETWORK, UTILITY, assert_same, files_in, sentence

ALL = (*LOSS, *UTILITY[len(NETWORK) :], "--scores", "LossInit,LossConverge,MonteCarlo")
MANY = ("--trials", 3, "--utility-trials", 20)
LONG = (*NETWORK, "--epochs", 60)  # about half a second a trial
LINE = re.compile(r"^trial (\d+) of \d+ done", re.MULTILINE)


def torchrun(processes, *arguments, restarts=0):
    options = ["--standalone", f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    return [sys.executable, "-m", "torch.distributed.run", *options, "-m", "goldore", *map(str, arguments)]


def bare(processes, *arguments):
    return [sys.executable, "-m", "goldore", *map(str, arguments), "--processes", str(processes)]


class Launched:
    """A launcher of processes under way."""

    def __init__(self, command, folder):
        self._log = folder / ".log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    @property
    def stderr(self):
        return self._log.read_text()

    def until(self, found):
        wait_until(found, lambda: f"it: {self.stderr}", lambda: self.process.poll() is None)

    def wait(self):
        self.code = self.process.wait(TIMEOUT)
        return self


@pytest.fixture
def launch(tmp_path):
    launched = []

    def start(command):
        launched.append(Launched(command, tmp_path))
        return launched[-1]

    yield start
    for each in launched:
        each.process.terminate()
        each.process.wait(TIMEOUT)


def pid_of(part):
    """The process that writes a part, as its lock says."""
    return json.loads(part.with_name(f"{part.name}.lock").read_text())["pid"]


def trials_in(path):
    return set(goldore.load_scores(path).loss_trials.done)


def numbers_done(stderr):
    """Trials that a run said were done, counted from 0."""
    return [int(number) - 1 for number in LINE.findall(stderr)]


class TestTorchrun:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("processes", "options", "there"),
        [
            (1, (*LOSS, "--trials", 3), None),
            (2, (*ALL, *MANY), (*LOSS, "--trials", 2)),
            (3, (*LOSS, "--trials", 2), None),
        ],
        ids=["1", "2, all scores, some trials there", "3, of which one has nothing to do"],
    )
    def test_any_number_of_processes_makes_the_file_of_one(
        self, data, whole, run, launch, tmp_path, processes, options, there
    ):
        out = tmp_path / "s.h5"
        if there is not None:
            assert run("score", data, *there, "--out", out).code == 0
        done = launch(torchrun(processes, "score", data, *options, "--out", out)).wait()
        assert done.code == 0, done.stderr
        assert_same(whole(*options), out)
        assert files_in(tmp_path) == {"s.h5"}
        assert sorted(numbers_done(done.stderr)) == ([2] if there else [*range(options[-1])])
        assert done.stderr.count("ConvNet: ") == 1

    @pytest.mark.slow
    def test_a_killed_rank_is_started_again_and_nothing_is_trained_twice(self, data, whole, launch, tmp_path):
        out = tmp_path / "s.h5"
        options = (*LONG, "--trials", 14)
        run = launch(torchrun(2, "score", data, *options, "--out", out, restarts=2))
        part = part_of(out, 1)
        run.until(lambda: part.exists() and part_of(out, 0).exists())
        os.kill(pid_of(part), signal.SIGKILL)
        kept = trials_in(shutil.copy(part, tmp_path / ".copy.h5")) if part.exists() else set()
        assert run.wait().code == 0, run.stderr
        assert_same(whole(*options), out)
        assert files_in(tmp_path) - {name for name in files_in(tmp_path) if name[0] == "."} == {"s.h5"}
        first, again = re.split(r", \d+ of them done before, 1 at once .* in 2 processes", run.stderr)
        assert kept
        assert not kept & set(numbers_done(again))
        assert not set(numbers_done(first)) & set(numbers_done(again))


class TestProcesses:
    @pytest.mark.slow
    def test_three_processes_make_the_file_of_one(self, data, whole, launch, tmp_path):
        done = launch(bare(3, "score", data, *ALL, *MANY, "--out", "s.h5")).wait()
        assert done.code == 0, done.stderr
        assert_same(whole(*ALL, *MANY), tmp_path / "s.h5")
        assert files_in(tmp_path) == {"s.h5"}

    @pytest.mark.slow
    def test_what_an_interrupted_run_leaves_is_gone_on_with(
        self, data, whole, launch, run, start_ranks, tmp_path
    ):
        out, options = tmp_path / "s.h5", (*LONG, "--trials", 14)
        command = ("score", data, *options, "--out", "s.h5")
        cut = launch(bare(2, *command))
        cut.until(lambda: part_of(out, 0).exists() and part_of(out, 1).exists())
        cut.process.send_signal(signal.SIGINT)
        assert cut.wait().code == 130
        assert "Traceback" not in cut.stderr
        last = cut.stderr.splitlines()[-1]
        assert re.fullmatch(r"interrupted: \d+ trials? kept, in s\.h5 and part files beside it; run .*", last)
        assert files_in(tmp_path) == {"s.rank0.part.h5", "s.rank1.part.h5"}
        kept = trials_in(part_of(out, 0)) | trials_in(part_of(out, 1))
        more = shutil.copytree(tmp_path, tmp_path / ".log-more")
        for on in (run(*command), start_ranks(*[command] * 3, folders=[more] * 3)[0].wait()):
            assert on.code == 0, on.stderr
            assert f"{len(kept)} of them done before" in on.stderr
            assert sorted(numbers_done(on.stderr)) == sorted(set(range(14)) - kept)
        for folder in (tmp_path, more):
            assert_same(whole(*options), folder / "s.h5")
            assert files_in(folder) == {"s.h5"}

    @pytest.mark.slow
    def test_workers_do_not_outlive_the_command_that_started_them(self, data, launch, run, tmp_path):
        out = tmp_path / "s.h5"
        killed = launch(bare(2, "score", data, *LONG, "--trials", 500, "--out", "s.h5"))
        killed.until(lambda: part_of(out, 0).exists() and part_of(out, 1).exists())
        workers = [pid_of(part_of(out, rank)) for rank in range(2)]
        killed.process.kill()
        wait_until(lambda: not any(map(is_alive, workers)), lambda: "the workers to end")
        assert "Traceback" not in killed.stderr
        assert "the connection to the other processes of this run is lost" in killed.stderr
        assert files_in(tmp_path) == {"s.rank0.part.h5", "s.rank1.part.h5"}

    @pytest.mark.slow
    def test_a_killed_worker_ends_the_run_with_a_sentence(self, data, launch, run, tmp_path):
        out = tmp_path / "s.h5"
        cut = launch(bare(2, "score", data, *LONG, "--trials", 500, "--out", "s.h5"))
        cut.until(part_of(out, 1).exists)
        os.kill(pid_of(part_of(out, 1)), signal.SIGKILL)
        assert cut.wait().code == 1
        assert "error: process 1 of 2 was killed (SIGKILL); finished trials are kept" in cut.stderr
        kept = {number for rank in range(2) for number in trials_of_part(out, rank)}
        most = max(kept) + 1
        on = run("score", data, *LONG, "--trials", most, "--out", "s.h5")
        assert on.code == 0, on.stderr
        assert trials_in(out) == set(range(most))
        left = {name for name in files_in(tmp_path) if not name.startswith(".goldore-")}
        assert left == {"s.h5"}  # the lock of the killed one is gone as well

    @pytest.mark.slow
    def test_an_error_is_said_once(self, data, other_data, launch, run, tmp_path):
        assert run("score", other_data, *LOSS, "--trials", 1, "--out", "s.h5").code == 0
        before = (tmp_path / "s.h5").read_bytes()
        done = launch(bare(4, "score", data, *LOSS, "--trials", 4, "--out", "s.h5")).wait()
        assert done.code == 1
        assert done.stderr.count("error: ") == 1, done.stderr
        assert "s.h5 holds another run (dataset: " in done.stderr
        assert (tmp_path / "s.h5").read_bytes() == before
        assert files_in(tmp_path) == {"s.h5"}

    @pytest.mark.parametrize(
        "wrong",
        [("--lr", -1), ("--until-reliability", 2), ("--trial-range", "3")],
    )
    def test_wrong_usage_is_said_once(self, data, launch, tmp_path, wrong):
        done = launch(bare(4, "score", data, *UTILITY, *wrong)).wait()
        assert done.code == 2, done.stderr
        assert done.stderr.count("rror") == 1, done.stderr
        assert files_in(tmp_path) == set()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def trials_of_part(out, rank):
    part = part_of(out, rank)
    return trials_in(part) if part.exists() else set()


class TestRanks:
    """Ranks started by hand with what torchrun would tell them."""

    def finish(self, ranks, code=0):
        for each in ranks:
            each.wait()
        assert [each.code for each in ranks] == [code] * len(ranks), [each.stderr for each in ranks]
        return ranks

    @pytest.mark.parametrize(("size", "common"), [(2, 3), (5, 1)])
    def test_utility_trials_are_those_of_one_process(self, data, whole, start_ranks, tmp_path, size, common):
        options = (*UTILITY, "--utility-trials", 33, "--common-init", common)
        self.finish(start_ranks(*[("score", data, *options, "--out", "s.h5")] * size))
        assert_same(whole(*options), tmp_path / "s.h5")
        assert files_in(tmp_path) == {"s.h5"}

    def test_held_out_trials_and_a_file_that_has_some(self, data, whole, run, start_ranks, tmp_path):
        options = (*UTILITY, "--eval-split", "heldout")
        assert run("score", data, *options, "--utility-trials", 7, "--out", "s.h5").code == 0
        ranks = start_ranks(*[("score", data, *options, "--utility-trials", 40, "--out", "s.h5")] * 3)
        self.finish(ranks)
        assert "40 trials, 7 of them done before" in ranks[0].stderr
        assert_same(whole(*options, "--utility-trials", 40), tmp_path / "s.h5")

    def test_a_reliability_is_reached_at_the_same_number_of_trials(self, data, whole, start_ranks, tmp_path):
        options = (*UTILITY, "--until-reliability", 0.02, "--outcome", "logprob", "--lr", 0.05)
        ranks = self.finish(start_ranks(*[("score", data, *options, "--out", "s.h5")] * 2))
        assert "the reliability of 0.02 was reached" in ranks[0].stderr
        assert_same(whole(*options), tmp_path / "s.h5")
        assert files_in(tmp_path) == {"s.h5"}

    def test_time_runs_out_for_all_at_once(self, data, start_ranks, tmp_path):
        options = (*UTILITY, "--utility-trials", 10**6, "--max-time", "2s")
        ranks = self.finish(start_ranks(*[("score", data, *options, "--out", "s.h5")] * 2))
        assert "stopped by --max-time at " in ranks[0].stderr
        assert files_in(tmp_path) == {"s.h5"}
        done = goldore.load_scores(tmp_path / "s.h5").utility_trials.done
        assert f"at {len(done):,} of 1,000,000 trials" in ranks[0].stderr

    def test_another_outcome_of_the_same_trials(self, data, whole, start_ranks, tmp_path):
        options = (*UTILITY, "--utility-trials", 30)
        shutil.copy(whole(*options), tmp_path / "s.h5")
        again = ("score", data, *options, "--outcome", "margin", "--out", "s.h5")
        self.finish(start_ranks(again, again))
        assert_same(whole(*options, "--outcome", "margin"), tmp_path / "s.h5")

    def test_rank_0_says_what_all_do_and_the_others_nothing(self, data, start_ranks, tmp_path):
        command = ("score", data, *LOSS, "--trials", 7, "--verbose", "--out", "s.h5")
        ranks = self.finish(start_ranks(*[command] * 3))
        assert sorted(numbers_done(ranks[0].stderr)) == list(range(7))
        assert "7 trials of 2 epochs, 1 at once on CPU" in ranks[0].stderr
        assert "in 3 processes" in ranks[0].stderr
        assert ranks[0].stdout.count("written to s.h5") == 1
        assert [each.stdout + each.stderr for each in ranks[1:]] == ["", ""]

    def test_when_all_trials_diverge_nothing_is_written(self, data, start_ranks, tmp_path):
        command = ("score", data, *LOSS, "--trials", 3, "--lr", 1e30, "--out", "s.h5")
        ranks = self.finish(start_ranks(command, command), 1)
        assert "error: every trial diverged" in sentence(ranks[0])
        assert "error: rank 1: every trial diverged" in sentence(ranks[1])
        assert files_in(tmp_path) == set()

    def test_different_data_sets_are_told_apart(self, data, other_data, start_ranks, tmp_path):
        options = (*LOSS, "--trials", 2, "--out", "s.h5")
        zero, one = start_ranks(("score", data, *options), ("score", other_data, *options))
        assert one.wait().code == 1
        prints = [load_dataset(str(each)).fingerprint[:12] for each in (other_data, data)]
        expected = (
            f"error: rank 1: this process has read another dataset than rank 0 ({prints[0]} / {prints[1]})"
        )
        assert expected in sentence(one)
        zero.kill()

    def test_another_part_of_this_rank_is_refused(self, data, other_data, run, start_ranks, tmp_path):
        (tmp_path / "here").mkdir()
        (tmp_path / "there").mkdir()
        options = (*LOSS, "--trials", 2, "--out", "s.h5")
        assert (
            run("score", data, *LOSS, "--seed", 9, "--trials", 1, "--out", "there/s.rank1.part.h5").code == 0
        )
        folders = [tmp_path / "here", tmp_path / "there"]
        zero, one = start_ranks(*[("score", data, *options)] * 2, folders=folders)
        assert one.wait().code == 1
        assert "s.rank1.part.h5 holds another run (seed: 9 there / 0 now)" in sentence(one)
        zero.kill()

    def test_overwriting_goes_on_where_it_was_interrupted(self, data, whole, run, start_ranks, tmp_path):
        out, options = tmp_path / "s.h5", (*LONG, "--trials", 12)
        assert run("score", data, *LOSS, "--seed", 9, "--trials", 1, "--out", out).code == 0
        old = out.read_bytes()
        command = ("score", data, *options, "--out", "s.h5", "--overwrite")
        ranks = start_ranks(command, command)
        ranks[0].until(lambda: part_of(out, 0).exists() and part_of(out, 1).exists())
        for each in ranks:
            os.kill(each.process.pid, signal.SIGTERM)
        self.finish(ranks, 143)
        assert out.read_bytes() == old
        kept = trials_in(part_of(out, 0)) | trials_in(part_of(out, 1))
        on = run(*command)
        assert on.code == 0, on.stderr
        assert f"{len(kept)} of them done before" in on.stderr
        assert_same(whole(*options), out)
        assert files_in(tmp_path) == {"s.h5"}

    def test_overwriting_discards_parts_of_another_run(self, data, whole, run, start_ranks, tmp_path):
        for name, seed in (("s.h5", 7), ("s.rank1.part.h5", 8)):
            assert run("score", data, *LOSS, "--seed", seed, "--trials", 1, "--out", name).code == 0
        command = ("score", data, *LOSS, "--trials", 3, "--out", "s.h5")
        refused = run(*command)
        assert refused.code == 1
        assert "s.rank1.part.h5 holds another run than s.h5 (seed: 8 / 7)" in sentence(refused)
        assert files_in(tmp_path) == {"s.h5", "s.rank1.part.h5"}
        self.finish(start_ranks(*[(*command, "--overwrite")] * 2))
        assert_same(whole(*LOSS, "--trials", 3), tmp_path / "s.h5")
        assert files_in(tmp_path) == {"s.h5"}


class TestMachines:
    def test_without_a_common_file_system_parts_are_merged_by_hand(
        self, data, whole, run, start_ranks, tmp_path
    ):
        folders = [tmp_path / "one", tmp_path / "two"]
        for each in folders:
            each.mkdir()
        command = ("score", data, *LOSS, "--trials", 6, "--out", "s.h5")
        hidden = folders[1] / "s.rank1.part.h5"
        for path, numbers in ((folders[0] / "s.h5", "0:1"), (hidden, "5:6")):
            assert run("score", data, *LOSS, "--trial-range", numbers, "--out", path).code == 0
        ranks = start_ranks(command, command, folders=folders)
        for each in ranks:
            assert each.wait().code == 1
            assert f"but rank 0 does not see these parts: {os.uname().nodename}:{hidden}; " in sentence(each)
            assert "bring them together and run: goldore merge s.h5 PART... --out WHOLE.h5" in sentence(each)
        assert files_in(folders[0]) == {"s.h5"}
        assert files_in(folders[1]) == {"s.rank1.part.h5"}
        merged = run("merge", folders[0] / "s.h5", hidden, "--out", "m.h5")
        assert merged.code == 0, merged.stderr
        assert_same(whole(*LOSS, "--trials", 6), tmp_path / "m.h5")

    def test_the_same_command_again_trains_nothing_and_says_the_same(self, data, run, start_ranks, tmp_path):
        folders = [tmp_path / "one", tmp_path / "two"]
        for each in folders:
            each.mkdir()
        for path, numbers in (("one/s.h5", "0:18"), ("two/s.rank1.part.h5", "18:30")):
            assert run("score", data, *UTILITY, "--trial-range", numbers, "--out", path).code == 0
        command = ("score", data, *UTILITY, "--utility-trials", 30, "--out", "s.h5")
        said = []
        for _ in range(2):
            zero, one = start_ranks(command, command, folders=folders)
            assert (zero.wait().code, one.wait().code) == (1, 1)
            said.append(sentence(zero).rpartition("error: ")[2])
        assert said[0] == said[1]
        assert "30 trials, 30 of them done before" in zero.stderr

    def test_a_rank_without_trials_sees_nothing_and_ends_well(self, data, run, start_ranks, tmp_path):
        folders = [tmp_path / "one", tmp_path / "two"]
        for each in folders:
            each.mkdir()
        options = (*LOSS, "--trials", 3)
        assert run("score", data, *options, "--out", "one/s.h5").code == 0
        for rank in start_ranks(*[("score", data, *options, "--out", "s.h5")] * 2, folders=folders):
            assert rank.wait().code == 0, rank.stderr
        assert files_in(folders[0]) == {"s.h5"}
        assert files_in(folders[1]) == set()

    @pytest.mark.parametrize(
        ("options", "ranges"),
        [
            ((*LOSS, "--trials", 6), ("0:3", "3:6")),
            ((*UTILITY, "--utility-trials", 30), ("0:11", "11:30")),
        ],
        ids=["loss", "utility"],
    )
    def test_two_jobs_of_an_array_are_merged_to_one_run(
        self, data, whole, start, run, tmp_path, options, ranges
    ):
        jobs = [
            start("score", data, *options[:-2], "--trial-range", each, "--out", f"job{place}.h5")
            for place, each in enumerate(ranges)
        ]
        assert [job.wait().code for job in jobs] == [0, 0], jobs[0].stderr
        merged = run("merge", "job0.h5", "job1.h5", "--out", "m.h5")
        assert merged.code == 0, merged.stderr
        assert_same(whole(*options), tmp_path / "m.h5")

    def test_jobs_share_a_team_s_range(self, data, whole, run, start_ranks, tmp_path):
        for name, numbers in (("a.h5", "0:3"), ("b.h5", "3:6")):
            ranks = start_ranks(*[("score", data, *LOSS, "--trial-range", numbers, "--out", name)] * 2)
            assert [each.wait().code for each in ranks] == [0, 0], ranks[0].stderr
        assert run("merge", "a.h5", "b.h5", "--out", "m.h5").code == 0
        assert_same(whole(*LOSS, "--trials", 6), tmp_path / "m.h5")

    def test_the_same_trials_twice_must_be_the_same(self, data, whole, run, tmp_path):
        from tests.conftest import edited

        one, two = (shutil.copy(whole(*LOSS, "--trials", 6), tmp_path / name) for name in ("a.h5", "b.h5"))
        same = run("merge", one, two, "--out", "m.h5")
        assert same.code == 0
        assert "(6 of them in more than one file)" in same.stdout
        assert_same(one, tmp_path / "m.h5")
        with edited(two) as file:
            file["trials/loss/LossConverge"][4, 7] += 1
        refused = run("merge", one, two, "--out", "n.h5")
        assert refused.code == 1
        assert "trial 4 of" in sentence(refused)
        assert "has another LossConverge than the same trial of an earlier part" in sentence(refused)
        assert not (tmp_path / "n.h5").exists()

    def test_merging_leaves_no_journal_of_what_it_replaced(self, data, whole, run, tmp_path):
        one = shutil.copy(whole(*UTILITY, "--utility-trials", 30), tmp_path / "a.h5")
        (tmp_path / "m.h5").write_bytes(b"old")
        (tmp_path / "m.h5.journal").write_bytes(b"of the old one" * 100)
        assert run("merge", one, one, "--out", "m.h5", "--overwrite").code == 0
        assert files_in(tmp_path) == {"a.h5", "m.h5"}

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--seed", 4), "(seed: 4 / 0)"),
            (("--lr", 0.5), "(lr: 0.5 / 0.01)"),
            ((), "(dataset: corners "),
        ],
    )
    def test_parts_of_another_run_are_refused_with_both_values(
        self, data, other_data, whole, run, tmp_path, options, said
    ):
        part = whole(*LOSS, "--trials", 6)
        source = data if options else other_data
        assert run("score", source, *LOSS, "--trials", 1, *options, "--out", "b.h5").code == 0
        before = (tmp_path / "b.h5").read_bytes()
        for target, folder_part in (("m.h5", "b.h5"), ("s.h5", "s.rank3.part.h5")):
            shutil.copy(tmp_path / "b.h5", tmp_path / folder_part) if folder_part != "b.h5" else None
            if target == "m.h5":
                refused = run("merge", part, "b.h5", "--out", target)
            else:
                shutil.copy(part, tmp_path / target)
                refused = run("score", data, *LOSS, "--trials", 7, "--out", target)
            assert refused.code == 1
            assert said in sentence(refused)
        assert (tmp_path / "s.rank3.part.h5").read_bytes() == before
        assert (tmp_path / "s.h5").read_bytes() == part.read_bytes()
        assert not (tmp_path / "m.h5").exists()
