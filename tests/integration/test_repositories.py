"""Plugged repositories, really run for a few iterations, use just the samples of the index file.

Every case runs unplugged, plugged, and plugged with an index; probes put into its code record a hash of every
sample that it holds and draws.
"""

import importlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from tests.integration import made_data
from tests.integration.case import Case

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TIMEOUT = 900
CASES = {
    f"{module.stem}-{number}": case
    for module in sorted((HERE / "repos").glob("[a-z]*.py"))
    for number, case in enumerate(importlib.import_module(f"tests.integration.repos.{module.stem}").CASES)
}

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("case", CASES.values(), ids=CASES)]


class Workshop:
    """A case's clone, data and interpreter in a folder of their own."""

    def __init__(self, case: Case, clones: Path, folder: Path):
        self.case, self.folder = case, folder
        self.source = clones / case.folder
        if not self.source.is_dir():
            pytest.skip(f"there is no {self.source}")
        self.python = os.environ.get(case.python, sys.executable)
        if case.python not in os.environ and case.python != Case.python:
            pytest.skip(f"needs {case.python}, the interpreter of an environment for {case.folder}")
        self.data = folder / "data"
        self.reads_files = case.data.endswith("folder")
        if case.data == "tfds-mnist":
            _, self.labels = made_data.make_tfds_mnist(self.data, self.python)
        else:
            _, self.labels = getattr(made_data, f"make_{case.data}")(self.data)
        self.modules = folder / "modules"
        self.modules.mkdir()
        shutil.copy(HERE / "goldore_probe.py", self.modules)

    def clone(self, name, *, plugged):
        """A copy of the clone, with the edits that it needs and the probes."""
        root = self.folder / name
        self._copy(root)
        if plugged:
            self.goldore("plug", self.case.repository, root, "--quiet")
        for swap in (*self.case.edits, *self.case.probes):
            file = root / swap.file
            text = file.read_bytes().decode("utf-8", "surrogateescape")
            end = "\r\n" if "\r\n" in text else "\n"
            old, new = swap.old.replace("\n", end), swap.new.replace("\n", end)
            assert text.count(old) == swap.count, f"{swap.file} has {text.count(old)} times: {swap.old}"
            file.write_bytes(text.replace(old, new).encode("utf-8", "surrogateescape"))
        for folder in {"", *(stage.folder for stage in self.case.stages)}:
            if not (root / folder / "data").exists():  # where some look, whatever their options say
                (root / folder / "data").symlink_to(self.data)
        return root

    def index(self, name, labels, *more):
        """An index file for made scores and these labels; returns its path and positions.

        Args:
            name: of a folder for it.
            labels: of the set that it is about.
            more: options of goldore prune.
        """
        folder = self.folder / name
        folder.mkdir()
        scores = np.random.default_rng(5).random(len(labels))
        (folder / "made_LossConverge.json").write_text(json.dumps(scores.tolist()))
        np.save(folder / "labels.npy", labels)
        made, keep = folder / "made.h5", folder / "keep.npy"
        list_file, label_file = folder / "made_LossConverge.json", folder / "labels.npy"
        own = self.reads_files and labels is self.labels
        of = ("--dataset", self.data) if own else ("--labels", label_file)
        self.goldore("import", list_file, *of, "--out", made)
        rule = ("--criterion", "LossConverge_large", "--keep-ratio", self.case.keep_ratio)
        self.goldore("prune", made, *rule, "--out", keep, *more)
        return keep, np.load(keep)

    def run(self, clone, stage, index=None, *, before=(), stop=False, data=None):
        """Run one stage, perhaps as the last words of a command, perhaps on other data.

        Returns:
            The ended process, what was recorded by name, and the seconds.
        """
        records = self.folder / f"{clone.name}-{stage.name}-{index.parent.name if index else 'full'}"
        records.mkdir()
        command = [
            *before,
            self.python,
            HERE / "run_on_cpu.py",
            *shlex.split(stage.command.format(data=data or self.data)),
        ]
        began = time.monotonic()
        ended = subprocess.run(
            command,
            cwd=clone / stage.folder,
            env=self._environment(records, index, stop=stop),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
        for name in ("stdout", "stderr"):
            (records / f"{name}.log").write_text(getattr(ended, name))
        if "ModuleNotFoundError: No module named" in ended.stderr:
            pytest.skip(f"{ended.stderr.strip().splitlines()[-1]} ({self.case.python} names another python)")
        recorded = {file.stem: _calls(file) for file in records.glob("*.txt")}
        return ended, recorded, time.monotonic() - began

    def run_unedited(self, clone, stage, index):
        """Run one stage by `goldore run`."""
        before = (sys.executable, "-m", "goldore", "run", index, "--")
        return self.run(clone, stage, index, before=before)

    def tell(self, text):
        """For the report of passed tests, pytest -rP."""
        sys.stdout.write(f"{self.case.folder}, {self.case.repository}, {text}\n")

    def goldore(self, *words):
        command = [sys.executable, "-m", "goldore", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
        assert ended.returncode == 0, ended.stderr

    def _copy(self, root):
        if not (self.source / ".git").exists():
            shutil.copytree(self.source, root)
            return
        leave_out = [f":(exclude){path}" for path in self.case.without]
        command = ["git", "-C", self.source, "archive", "--format=tar", self.case.commit, "--", *leave_out]
        archive = subprocess.run(command, capture_output=True, check=False)
        if archive.returncode:
            pytest.skip(f"{self.source} does not hold {self.case.commit}: {archive.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(root, filter="data")

    def _environment(self, records, index, *, stop):
        environment = {**os.environ, **self.case.environment}
        for name in ("GOLDORE_INDEX", "GOLDORE_PROBE_STOP"):
            environment.pop(name, None)
        path = (str(self.modules), str(ROOT), self.case.environment.get("PYTHONPATH"))
        environment.update(
            PYTHONPATH=os.pathsep.join(filter(None, path)),
            PYTHONDONTWRITEBYTECODE="1",
            OMP_NUM_THREADS="1",
            GOLDORE_PROBE=str(records),
        )
        if self.reads_files:
            environment["GOLDORE_PROBE_FILES"] = str(self.data / "train")
        if index:
            environment["GOLDORE_INDEX"] = str(index)
        if stop:
            environment["GOLDORE_PROBE_STOP"] = "1"
        return environment


@pytest.fixture
def workshop(case, clones, tmp_path):
    return Workshop(case, clones, tmp_path)


def test_uses_just_the_samples_of_the_index(workshop):
    if "plug" not in workshop.case.ways:
        pytest.skip("it has no plug")
    plain, plugged = workshop.clone("plain", plugged=False), workshop.clone("plugged", plugged=True)
    index, keep = workshop.index("index", workshop.labels)
    total, least = len(workshop.labels), np.bincount(workshop.labels[keep]).min()
    digest = json.loads(index.with_name("keep.npy.json").read_text())["sha256"][:12]
    line = f"goldore: kept {len(keep)} of {total} samples, at least {least} of each class, index {digest}"
    for stage in workshop.case.stages:
        before, recorded, _ = workshop.run(plain, stage, stop=True)
        assert before.returncode == 0, _end(before)
        after, recorded_after, _ = workshop.run(plugged, stage, stop=True)
        assert after.returncode == 0, _end(after)
        assert "goldore:" not in after.stdout + after.stderr
        full = recorded["all"][0]
        assert len(set(full)) == len(full) == total
        assert recorded_after["all"] == [full]

        pruned, drawn, seconds = workshop.run(plugged, stage, index)
        assert pruned.returncode == 0, _end(pruned)
        assert stage.success in pruned.stdout + pruned.stderr, _end(pruned)
        assert "loss = inf" not in pruned.stdout
        assert "loss = nan" not in pruned.stdout
        said = [each for each in pruned.stdout.splitlines() if each.startswith("goldore:")]
        assert said
        assert set(said) == {line}
        held = [full[i] for i in keep]
        reads = drawn.pop("all")
        wrong = [len(rows) for rows in reads if rows != held]
        assert not wrong, f"reads that do not hold just the samples of the index, of this many: {wrong}"
        counts = {name: _check_drawn(calls, held) for name, calls in drawn.items()}
        assert counts, "no draw was recorded"
        draws = ", ".join(f"{name} drew {count} of them" for name, count in counts.items())
        workshop.tell(f"{stage.name}: {line}; {len(reads)} reads hold just these, {draws} ({seconds:.0f} s)")


def test_refuses_the_index_of_another_data_set(workshop):
    if "plug" not in workshop.case.ways:
        pytest.skip("it has no plug")
    plugged = workshop.clone("plugged", plugged=True)
    if workshop.case.data == "tfds-mnist":  # the same images, in torchvision's order
        _, labels = made_data.make_mnist(workshop.folder / "torchvision")
    else:
        labels = np.roll(workshop.labels, 1)
    index, _ = workshop.index("other", labels)
    for stage in workshop.case.stages:
        ended, drawn, seconds = workshop.run(plugged, stage, index)
        lines = (ended.stdout + "\n" + ended.stderr).splitlines()
        lines = [each.removeprefix("SystemExit: ") for each in lines]  # LinBa prints every error, and goes on
        said = [each for each in lines if each.startswith("goldore:")]
        assert len(said) == 1, _end(ended)
        assert "the labels here are not those of made, or stand in another order" in said[0]
        assert not drawn
        workshop.tell(f"{stage.name}: exit code {ended.returncode}, {said[0]} ({seconds:.0f} s)")


def test_runs_unedited_on_just_the_samples_of_the_index(workshop):
    """Under `goldore run`: no other sample is held, drawn or opened, and labels are those of the kept."""
    if "run" not in workshop.case.ways:
        pytest.skip("goldore run does not serve it")
    plain = workshop.clone("plain", plugged=False)
    index, keep = workshop.index("index", workshop.labels)
    total = len(workshop.labels)
    files = None
    if workshop.reads_files:
        files = set(json.loads(index.with_name("keep.npy.json").read_text())["paths"])
    for stage in workshop.case.stages:
        full = [] if files else workshop.run(plain, stage, stop=True)[1]["all"][0]
        ended, drawn, seconds = workshop.run_unedited(plain, stage, index)
        assert ended.returncode == 0, _end(ended)
        assert stage.success in ended.stdout + ended.stderr, _end(ended)
        said = [each for each in ended.stderr.splitlines() if each.startswith("goldore:")]
        assert len(said) == 1, _end(ended)
        assert said[0].startswith(f"goldore: kept {len(keep)} of {total} samples in "), said
        if files:
            opened = _check_opened(drawn, files)
            workshop.tell(f"run, {stage.name}: {said[0]}; {opened} of their files opened ({seconds:.0f} s)")
            continue
        reads = drawn.pop("all")
        held = [full[each] for each in keep]
        if workshop.case.refits:  # the same samples, as their own statistics make them
            assert {tuple(row.split()[1] for row in rows) for rows in reads} == {
                tuple(row.split()[1] for row in held)
            }
            held = reads[0]
        assert not [len(rows) for rows in reads if rows != held]
        counts = {name: _check_drawn(calls, held) for name, calls in drawn.items()}
        assert counts, "no draw was recorded"
        draws = ", ".join(f"{name} drew {count} of them" for name, count in counts.items())
        workshop.tell(
            f"run, {stage.name}: {said[0]}; {len(reads)} reads hold just these, {draws} ({seconds:.0f} s)"
        )


def test_runs_unedited_as_ever_with_the_index_of_another_data_set(workshop):
    """With an index that fits nothing it holds what it does alone, bit by bit, and ends with exit code 1.

    Of a folder the same files are opened.
    """
    if "run" not in workshop.case.ways:
        pytest.skip("goldore run does not serve it")
    plain = workshop.clone("plain", plugged=False)
    fresh = workshop.clone("fresh", plugged=False)  # without results of the other run
    if workshop.case.data == "tfds-mnist":  # the same images, in torchvision's order
        _, labels = made_data.make_mnist(workshop.folder / "torchvision")
    else:
        labels = np.roll(workshop.labels, 1)
    index, _ = workshop.index("other", labels)
    stage = workshop.case.stages[0]
    _, alone, _ = workshop.run(fresh, stage)
    ended, drawn, seconds = workshop.run_unedited(plain, stage, index)
    assert ended.returncode == 1, _end(ended)
    assert stage.success in ended.stdout + ended.stderr, _end(ended)
    assert "goldore: error: nothing that the program read has the labels of" in ended.stderr
    assert f"{len(labels)} samples: its labels are others, or in another order" in ended.stderr
    if workshop.reads_files:
        opened, alone_opened = ({row for call in each["opened"] for row in call} for each in (drawn, alone))
        assert opened == alone_opened
    else:
        assert drawn["all"] == alone["all"]
    workshop.tell(f"run, {stage.name}: with another's index as without one, exit code 1 ({seconds:.0f} s)")


def test_goldore_run_refuses_what_it_cannot_serve(workshop):
    """It ends with an error, and no file that was not kept has been opened."""
    if not workshop.case.refusal:
        pytest.skip("goldore run refuses nothing in it")
    plain = workshop.clone("plain", plugged=False)
    index, _ = workshop.index("index", workshop.labels)
    files = set(json.loads(index.with_name("keep.npy.json").read_text())["paths"])
    for stage in workshop.case.stages:
        ended, drawn, seconds = workshop.run_unedited(plain, stage, index)
        assert ended.returncode == 1, _end(ended)
        said = [each for each in ended.stderr.splitlines() if each.startswith("goldore: error:")]
        assert len(said) == 1, _end(ended)
        assert workshop.case.refusal in said[0]
        _check_opened(drawn, files)
        workshop.tell(f"run, {stage.name}: exit code 1, {said[0]} ({seconds:.0f} s)")


def test_reads_just_the_kept_files_of_a_pruned_tree(workshop):
    if "tree" not in workshop.case.ways:
        pytest.skip("it reads no folder tree")
    plain, tree = workshop.clone("plain", plugged=False), workshop.folder / "tree"
    index, _ = workshop.index("index", workshop.labels, "--as-folder", tree)
    files = set(json.loads(index.with_name("keep.npy.json").read_text())["paths"])
    (plain / "data").unlink()
    (plain / "data").symlink_to(tree)
    for stage in workshop.case.stages:
        ended, drawn, seconds = workshop.run(plain, stage, data=tree)
        assert ended.returncode == 0, _end(ended)
        assert stage.success in ended.stdout + ended.stderr, _end(ended)
        opened = _check_opened(drawn, files)
        assert opened
        workshop.tell(f"tree, {stage.name}: {opened} of {len(files)} kept files opened ({seconds:.0f} s)")


def _check_opened(drawn, files):
    """How many files were opened, all of them kept ones."""
    opened = {path for call in drawn.get("opened", []) for path in call}
    strangers = opened - {path.removeprefix("train/") for path in files}
    assert not strangers, f"{len(strangers)} files were opened that were not kept"
    return len(opened)


def _calls(file):
    """The rows that each call recorded."""
    return [block.splitlines() for block in file.read_text().removesuffix("\n\n").split("\n\n")]


def _check_drawn(calls, held):
    """How many distinct samples were drawn; all must be held, under the same label where one was recorded."""
    known = {*held, *(row.split()[0] for row in held)}
    drawn = {row for rows in calls for row in rows}
    strangers = drawn - known
    assert not strangers, f"{len(strangers)} of {len(drawn)} distinct samples drawn are not of the index"
    return len({row.split()[0] for row in drawn})


def _end(ended):
    return (ended.stdout[-1500:] + "\n" + ended.stderr[-3000:]).strip()
