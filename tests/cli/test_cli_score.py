"""goldore score: what it prints, writes, resumes, and leaves behind when it is interrupted."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

PATIENCE = 120  # seconds until a process must have said what is waited for


def temporary_files(folder):
    return [path for path in folder.rglob(".*") if path.is_file()]


def cells(line):
    """A table row's cells; they stand at least two blanks apart."""
    return re.split(r"\s{2,}", line.strip())


class TestFirstRun:
    def test_writes_to_the_default_path_and_nothing_else(self, tiny_run):
        folder, _ = tiny_run
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files == {"tiny.npz", os.path.join("scores_cache", "tiny.h5")}  # noqa: PTH118

    def test_stdout_is_the_table_the_path_and_the_next_command(self, tiny_run):
        lines = tiny_run[1].stdout.splitlines()
        assert [line.split()[0] for line in lines] == [
            "score",
            "LossInit",
            "LossConverge",
            "written",
            "next:",
        ]
        assert lines[3] == "written to scores_cache/tiny.h5"
        assert lines[4].startswith("next: goldore score tiny.npz ")  # they have learned next to nothing
        assert lines[4].endswith(" --out scores_cache/tiny-longer.h5")

    def test_the_table_in_a_pipe_is_not_cut(self, tiny_run):
        head = tiny_run[1].stdout.splitlines()[0]
        titles = ["score", "trials", "min", "median", "max", "s.e.", "reliability", "of ranks"]
        assert cells(head)[:8] == titles

    def test_the_table_shows_the_file_s_numbers(self, tiny_run, tiny_scores, read_h5):
        content = read_h5(tiny_scores)
        for line in tiny_run[1].stdout.splitlines()[1:3]:
            name, trials, *numbers = cells(line)
            values, stderr = content[f"scores/{name}"], content[f"stderr/{name}"]
            expected = [values.min(), np.median(values), values.max(), np.median(stderr)]
            assert trials == "2"
            assert [float(each) for each in numbers[:4]] == pytest.approx(expected, abs=6e-4)
            assert float(numbers[4]) == pytest.approx(content[f"scores/{name}@reliability"], abs=6e-3)
            assert float(numbers[5]) == pytest.approx(content[f"scores/{name}@rank_reliability"], abs=6e-3)

    def test_the_next_command_can_be_run_as_printed(self, tiny_npz, goldore_in, tmp_path):
        folder = tmp_path / "a folder"
        folder.mkdir()
        shutil.copy(tiny_npz, folder)
        learns = ("--width", 4, "--depth", 1, "--epochs", 30, "--lr", 0.1, "--trials", 2)
        done = goldore_in(folder, "score", "tiny.npz", *learns)
        words = shlex.split(done.stdout.splitlines()[-1].removeprefix("next: goldore "))
        (folder / "small_budget.py").write_text(
            "from goldore import ConvNetConfig, MatchRecipe, StudyRecipe\n"
            "MATCH = MatchRecipe(match_steps=1, match_lr=1.0)\n"
            "NETWORK = ConvNetConfig(width=4, depth=1)\n"
            "RECIPE = StudyRecipe(network=NETWORK, dm=MATCH, dc=MATCH, judges=1, judge_steps=1)\n"
        )
        small = (
            "--criterion",
            "Random",
            "--keep-ratio",
            "0.5",
            "--seeds",
            "1",
            "--budget",
            "small_budget:RECIPE",
        )
        studied = goldore_in(folder, *words, *small, "--out", tmp_path / "study.h5")
        assert studied.returncode == 0, studied.stderr
        assert "all data: " in studied.stdout

    def test_progress_in_a_pipe_is_plain_lines_on_stderr(self, tiny_run):
        done = tiny_run[1]
        assert "\x1b" not in done.stdout + done.stderr
        assert "\r" not in done.stdout + done.stderr
        lines = done.stderr.splitlines()
        assert lines[0] == "tiny: 60 training images of 1x8x8, 3 classes"
        network = "ConvNet: depth 1, width 4, instance norm, relu, avg pooling; "
        assert sum(line.startswith(network) for line in lines) == 1
        place = next(at for at, line in enumerate(lines) if line.startswith("2 trials of 2 epochs, "))
        told = [line.split(":")[0] for line in lines[place + 1 :]]
        assert [each for each in told if each != "warning"] == ["trial 1 of 2 done", "trial 2 of 2 done"]

    def test_scores_are_the_mean_over_the_stored_trials(self, tiny_scores, read_h5):
        content = read_h5(tiny_scores)
        for name in ("LossInit", "LossConverge"):
            trials = content[f"trials/loss/{name}"].astype(np.float64)
            assert trials.shape == (2, 60)
            np.testing.assert_allclose(content[f"scores/{name}"], trials.mean(0), rtol=1e-12)
            error = trials.std(0, ddof=1) / 2**0.5
            np.testing.assert_allclose(content[f"stderr/{name}"], error, rtol=1e-9)
        assert not np.array_equal(content["trials/loss/LossInit"], content["trials/loss/LossConverge"])

    def test_the_file_holds_the_dataset_in_its_own_order(self, tiny_scores, tiny_arrays, read_h5):
        content = read_h5(tiny_scores)
        np.testing.assert_array_equal(content["dataset/labels"], tiny_arrays["y_train"])
        assert list(content["dataset@class_names"]) == [b"left", b"middle", b"right"]
        assert content["dataset@name"] == "tiny"

    def test_no_mean_given_takes_that_of_the_training_set(self, tiny_scores, tiny_arrays, read_h5):
        recipe = json.loads(read_h5(tiny_scores)["trials/loss@recipe"])
        pixels = tiny_arrays["x_train"] / 255
        assert recipe["mean"] == pytest.approx([pixels.mean()], abs=1e-6)
        assert recipe["std"] == pytest.approx([pixels.std()], abs=1e-6)


class TestSecondRun:
    def test_same_command_says_nothing_to_do_and_changes_nothing(
        self, tiny_run, tiny_options, tmp_path, goldore, read_h5
    ):
        shutil.copytree(tiny_run[0], tmp_path, dirs_exist_ok=True)
        path = tmp_path / "scores_cache" / "tiny.h5"
        before, first = path.read_bytes(), tiny_run[1]
        again = goldore("score", "tiny.npz", *tiny_options, "--trials", 2, "--verbose")
        assert again.returncode == 0, again.stderr
        told = [line for line in again.stderr.splitlines() if not line.startswith("warning: ")]
        assert "nothing to do" in told[-1]
        assert "2 of them done before" in again.stderr
        assert again.stdout == first.stdout.replace("written to", "scores are in")
        assert path.read_bytes() == before
        # --verbose shows what was detected, which the first run without it does not
        content = read_h5(path)
        for detail in (
            f"fingerprint {content['dataset@fingerprint']}",
            f"recipe {content['trials/loss@recipe']}",
            "x_train in tiny.npz: grey images [N, H, W]",
        ):
            assert detail in again.stderr
            assert detail not in first.stderr

    def test_more_trials_are_added_to_those_there(
        self, score_file, tiny_scores, data_file, tiny_options, goldore, read_h5, tmp_path
    ):
        done = goldore("score", data_file, *tiny_options, "--trials", 3, "--out", score_file)
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stderr.splitlines() if " done: " in line]
        assert [line.split(" done")[0] for line in lines] == ["trial 3 of 3"]
        before, after = read_h5(tiny_scores), read_h5(score_file)
        for name in ("LossInit", "LossConverge", "train_loss", "test_accuracy", "seed"):
            there, now = before[f"trials/loss/{name}"], after[f"trials/loss/{name}"]
            assert len(now) == 3
            assert now[:2].tobytes() == there.tobytes()
            assert now[2].tobytes() not in (there[0].tobytes(), there[1].tobytes()) or name == "test_accuracy"
        assert after["scores/LossInit@trials"] == 3
        expected = after["trials/loss/LossInit"].astype(np.float64).mean(0)
        np.testing.assert_allclose(after["scores/LossInit"], expected, rtol=1e-12)
        assert temporary_files(tmp_path) == []


@pytest.fixture(scope="module")
def quiet_run(tiny_npz, tiny_options, goldore_in, tmp_path_factory):
    """LossInit alone, quietly, to the folder that GOLDORE_CACHE names, under another name."""
    folder = tmp_path_factory.mktemp("quiet")
    options = ("--trials", 1, "--scores", "loss-init", "--name", "my data", "--quiet")
    cache = {"GOLDORE_CACHE": str(folder / "deep" / "cache")}
    return folder, goldore_in(folder, "score", tiny_npz, *tiny_options, *options, env=cache)


class TestOptions:
    def test_quiet_prints_nothing(self, quiet_run):
        _, done = quiet_run
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_goldore_cache_names_the_folder_and_the_dataset_the_file(self, quiet_run):
        folder, _ = quiet_run
        files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        assert files == ["deep/cache/my_data.h5"]

    def test_one_score_alone_records_only_it(self, quiet_run, tiny_scores, read_h5):
        content = read_h5(quiet_run[0] / "deep" / "cache" / "my_data.h5")
        assert list(content["trials/loss@recorded"]) == [b"LossInit"]
        assert not [key for key in content if "LossConverge" in key]
        # one training serves all scores: the trial is the one that records both
        there = read_h5(tiny_scores)["trials/loss/LossInit"][0]
        assert content["trials/loss/LossInit"][0].tobytes() == there.tobytes()

    def test_mean_and_std_are_taken_and_recorded(self, one_trial_run, tiny_scores, read_h5):
        content = read_h5(one_trial_run[0] / "one.h5")
        recipe = json.loads(content["trials/loss@recipe"])
        assert (recipe["mean"], recipe["std"]) == ([0.5], [0.25])
        other = read_h5(tiny_scores)
        assert content["trials/loss/seed"][0] == other["trials/loss/seed"][0]
        assert not np.array_equal(content["trials/loss/LossInit"][0], other["trials/loss/LossInit"][0])

    def test_one_trial_has_no_standard_error(self, one_trial_run, read_h5):
        content = read_h5(one_trial_run[0] / "one.h5")
        assert np.isnan(content["stderr/LossInit"]).all()
        row = cells(one_trial_run[1].stdout.splitlines()[1])
        assert row[:2] == ["LossInit", "1"]
        assert row[5:8] == ["-", "-", "-"]  # s.e., reliability, of ranks


@pytest.fixture
def interrupt(tmp_path, tmp_path_factory, goldore_environment):
    """Start a command and press Ctrl-C once it has said something: interrupt("trial 1 of", "score", ...).

    Gives the exit code, stdout and stderr.
    """
    log = tmp_path_factory.mktemp("log")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child must not inherit "ignored"
    started = []

    def run(said, *args):
        with (log / "out").open("w") as out, (log / "err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "goldore", *map(str, args)],
                cwd=tmp_path,
                env=goldore_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        started.append(process)
        deadline = time.monotonic() + PATIENCE
        while said not in (log / "err").read_text():
            assert process.poll() is None, f"ended before it was interrupted: {(log / 'err').read_text()}"
            assert time.monotonic() < deadline, f"never said {said!r}: {(log / 'err').read_text()}"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        code = process.wait(PATIENCE)
        return code, (log / "out").read_text(), (log / "err").read_text()

    yield run
    signal.signal(signal.SIGINT, before)
    for process in started:
        process.kill()
        process.wait()


class TestInterrupt:
    @pytest.mark.slow
    def test_finished_trials_are_kept_and_the_same_command_goes_on(
        self, data_file, tmp_path, interrupt, goldore, read_h5
    ):
        command = ("score", data_file, "--width", 4, "--depth", 1, "--epochs", 150, "--trials", 6, "--out")
        code, out, err = interrupt("trial 1 of 6 done", *command, "cut.h5")
        assert code == 130
        assert out == ""
        assert "Traceback" not in err
        assert {path.name for path in tmp_path.iterdir()} == {"tiny.npz", "cut.h5"}
        with h5py.File(tmp_path / "cut.h5", "r") as file:
            kept = int(file["trials/loss/done"][()].sum())
        assert 1 <= kept < 6
        trials = "1 trial" if kept == 1 else f"{kept} trials"
        assert err.splitlines()[-1] == (
            f"interrupted: {trials} kept in cut.h5; run the same command again to go on, "
            "or use the file as it is."
        )

        resumed = goldore(*command, "cut.h5")
        assert resumed.returncode == 0, resumed.stderr
        assert f"{kept} of them done before" in resumed.stderr
        whole = goldore(*command, "whole.h5")
        assert whole.returncode == 0, whole.stderr
        first, second = read_h5(tmp_path / "cut.h5"), read_h5(tmp_path / "whole.h5")
        assert first.keys() == second.keys()
        arrays = [key for key in first if "@" not in key and key.split("/")[0] != "dataset"]
        arrays.remove("trials/loss/seconds")
        assert {"scores/LossInit", "scores/LossConverge", "trials/loss/LossConverge"} <= set(arrays)
        for key in arrays:
            assert first[key].tobytes() == second[key].tobytes(), key
        assert {path.name for path in tmp_path.iterdir()} == {"tiny.npz", "cut.h5", "whole.h5"}

    def test_before_the_first_trial_nothing_is_written(self, data_file, interrupt, snapshot):
        before = snapshot()
        options = ("--width", 4, "--depth", 1, "--epochs", 1000000, "--trials", 2, "--out", "cut.h5")
        code, out, err = interrupt("2 trials of 1,000,000 epochs", "score", data_file, *options)
        assert code == 130
        assert out == ""
        assert "Traceback" not in err
        assert (
            err.splitlines()[-1]
            == "interrupted: no trial was finished and nothing was written; run the same command again."
        )
        assert snapshot() == before
