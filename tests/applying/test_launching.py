"""`goldore run`: programs that are started with an index, whatever they do to themselves."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from goldore.applying.launching import HOOK, run, shell_variables
from goldore.errors import IndexFileError, UsageError
from goldore.selection.index_file import SUFFIXES, save_index
from tests.applying import programs
from tests.applying.programs import ABOUT, COUNT, KEPT, make_index

PRINTS = "from data import Data\nprint(len(Data()))\n"
SAID = rf"goldore: kept {len(KEPT)} of {COUNT} samples in data.Data, index [0-9a-f]{{12}}"


@pytest.fixture
def program(tmp_path):
    """Write a program and run it with an index: how it ended, what it printed, its index."""

    def start(script, *arguments, index=None, before=(), options=()):
        path = programs.write(tmp_path, script)
        index = make_index(tmp_path) if index is None else index
        return run(index, [*before, sys.executable, *options, str(path), *arguments])

    return start


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_program_holds_the_kept_samples(tmp_path, program, capfd, suffix):
    index = make_index(tmp_path, name=f"keep{suffix}")
    ended = program(PRINTS, index=index)
    assert (ended.exit_code, capfd.readouterr().out) == (0, f"{len(KEPT)}\n")
    assert len(ended.lines) == 1
    assert re.fullmatch(SAID, ended.lines[0])


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('no')", 1),
        ("os._exit(4)", 4),
        ("os._exit(0)", 0),
        ("os.kill(os.getpid(), 9)", 128 + 9),
        ("1 / 0", 1),
        ("os.chdir('/')", 0),
        ("os.environ.clear()", 0),
        ("shutil.rmtree(os.environ['GOLDORE_RUN'].rsplit('/', 1)[0])", 0),
    ],
)
def test_however_it_ends_it_is_told_and_the_exit_code_is_its_own(program, ending, code):
    ended = program(f"import os, shutil, sys\nfrom data import Data\nData()\n{ending}\n")
    if "rmtree" in ending:  # what is there to tell of is gone, and that is an error
        assert ended.exit_code == 1
        assert "no Python process was started with the index" in ended.lines[0]
        return
    assert ended.exit_code == code
    assert re.fullmatch(SAID, ended.lines[0])


def test_in_another_folder_and_with_datasets_built_twice_in_two_processes(program):
    ended = program(
        """
        import os, subprocess, sys
        os.chdir("/")
        from data import Data
        Data(), Data()
        if len(sys.argv) == 1:
            subprocess.run([sys.executable, __file__, "again"], check=True)
        """
    )
    assert ended.exit_code == 0
    assert re.fullmatch(SAID.replace("Data,", r"Data \(4 times\), in 2 processes,"), ended.lines[0])


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run([sys.executable, child], env={}, check=True)",
        "subprocess.run([sys.executable, child], env={'PYTHONPATH': '/somewhere'}, check=True)",
        "os.environ.clear(); subprocess.check_call([sys.executable, child])",
        "os.environ['PYTHONPATH'] = '/somewhere'; subprocess.check_call([sys.executable, child])",
        "multiprocessing.get_context('spawn').Process(target=runpy.run_path, args=(child,)).start()",
        "multiprocessing.get_context('fork').Process(target=runpy.run_path, args=(child,)).start()",
        "os.fork() == 0 and (runpy.run_path(child), os._exit(0)); os.wait()",
    ],
    ids=["no environment", "PYTHONPATH given", "cleared", "PYTHONPATH replaced", "spawn", "fork", "os.fork"],
)
def test_child_processes(tmp_path, program, start):
    programs.write(tmp_path, PRINTS, "child.py")
    script = f"""
        import multiprocessing, os, runpy, subprocess, sys
        child = {str(tmp_path / "child.py")!r}
        if __name__ == "__main__":
            {start}
    """
    ended = program(script)
    assert ended.exit_code == 0, ended.lines
    assert re.fullmatch(SAID, ended.lines[0])


def test_a_shell_script_and_other_programs_of_it(tmp_path, program, capfd):
    path = programs.write(tmp_path, PRINTS, "child.py")
    script = tmp_path / "all.sh"
    script.write_text(f"echo first\n{sys.executable} {path}\n{sys.executable} {path}\n")
    ended = run(make_index(tmp_path), ["sh", str(script)])
    assert ended.exit_code == 0
    assert "data.Data (2 times), in 2 processes" in ended.lines[0]
    assert capfd.readouterr().out.split() == ["first", str(len(KEPT)), str(len(KEPT))]


def test_nothing_that_fits_is_an_error_that_lists_what_was_seen(program):
    ended = program(
        """
        from data import Data
        class Short(Data):
            def __init__(self):
                super().__init__()
                self.labels = self.labels[:7]
        Data(shift=1), Data(shift=2), Data(shift=1), Short()
        """
    )
    assert ended.exit_code == 1
    first, *rest = ended.lines
    assert first == (
        "goldore: error: nothing that the program read has the labels of the 40 samples of made in their "
        "order, so the index was not applied. It read:"
    )
    assert len(rest) == 3
    told = r"  data.Data, 40 samples: its labels are others, or in another order \(digest of labels \w{12}\)"
    assert all(re.fullmatch(told, each) for each in rest[:2])
    assert rest[0] != rest[1]
    assert re.match("  Short, 7 samples: another number of samples", rest[2])


def test_a_program_that_reads_no_data_is_an_error(program):
    ended = program("print('done')")
    assert ended.exit_code == 1
    assert "read nothing through torchvision, PyTorch, Hugging Face datasets or TensorFlow" in ended.lines[0]
    failed = program("raise SystemExit(5)")
    assert (failed.exit_code, failed.lines) == (5, [])


def test_a_refusal_that_the_program_swallows_is_an_error_all_the_same(program):
    ended = program(
        """
        from data import Data
        class Odd(Data):
            def __getitem__(self, at):
                return 10 * at
        try:
            Odd()
        except BaseException as error:
            print("went on")
        """
    )
    assert ended.exit_code == 1
    why = "Odd holds the 40 samples that keep.npy is about, but its samples do not follow its fields."
    assert ended.lines == [f"goldore: error: {why}"]


@pytest.mark.parametrize("options", [["-I"], ["-E"], ["-S"], ["-W", "ignore", "-sE"], ["-X", "dev", "-uS"]])
def test_options_that_leave_goldore_out_are_refused(tmp_path, program, options):
    with pytest.raises(UsageError, match=f"Python leaves goldore out with {options[-1]}"):
        program(PRINTS, options=options)


def test_options_that_do_not_are_not(program):
    for options in (["-W", "ignore"], ["-u", "-B"], ["-X", "utf8"], ["-Wignore::ImportWarning", "-Xutf8"]):
        assert program(PRINTS, options=options).exit_code == 0
    assert (
        program("import sys; from data import Data; Data(); assert sys.argv[1:] == ['-I']", "-I").exit_code
        == 0
    )


def test_a_script_that_replaces_the_path_of_python(tmp_path, monkeypatch, capfd):
    path = programs.write(tmp_path, PRINTS)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    ended = run(make_index(tmp_path), ["sh", "-c", f"PYTHONPATH=/nowhere python {path}; python {path}"])
    assert (ended.exit_code, capfd.readouterr().out) == (0, f"{len(KEPT)}\n" * 2)
    assert re.fullmatch(SAID.replace("Data,", r"Data \(2 times\), in 2 processes,"), ended.lines[0])


@pytest.mark.parametrize("before", [["env", "-i"], ["env", "PYTHONPATH=/nowhere"]])
def test_an_environment_that_was_cleared_before_python_is_told(program, before):
    ended = program("print('unseen')", before=before)
    assert ended.exit_code == 1
    assert "Was PYTHONPATH replaced, the environment cleared, or Python given -I, -E or -S?" in ended.lines[0]


def test_the_index_as_it_was_at_the_start(tmp_path, program, capfd):
    index = make_index(tmp_path)
    ended = program(f"open({str(index)!r}, 'w').close()\n{PRINTS}")
    assert (ended.exit_code, capfd.readouterr().out) == (0, f"{len(KEPT)}\n")


@pytest.mark.parametrize("broken", ["missing", "damaged", "no side-car", "of nothing"])
def test_an_index_that_cannot_be_used_is_refused_before_anything_runs(tmp_path, program, broken, capfd):
    index = make_index(tmp_path)
    car = tmp_path / "keep.npy.json"
    if broken == "missing":
        index.unlink()
    elif broken == "damaged":
        index.write_bytes(b"x")
    elif broken == "no side-car":
        car.unlink()
    else:
        car.write_text(
            json.dumps({key: value for key, value in json.loads(car.read_text()).items() if "sha" not in key})
        )
    with pytest.raises(IndexFileError, match=r"keep\.npy"):
        program(PRINTS, index=index)
    assert capfd.readouterr().out == ""


def test_commands_that_are_none(tmp_path):
    index = make_index(tmp_path)
    with pytest.raises(UsageError, match="no-such-command cannot be run"):
        run(index, ["no-such-command"])
    with pytest.raises(UsageError, match="say what to run"):
        run(index, [])


def test_the_sitecustomize_and_the_path_are_those_of_the_program(tmp_path, program, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nsys.own_customized = __name__, __file__\n")
    monkeypatch.setenv("PYTHONPATH", str(own))
    ended = program(
        """
        import sys, sitecustomize
        from data import Data
        Data()
        assert sys.own_customized == ("sitecustomize", sitecustomize.__file__), sys.own_customized
        assert not [each for each in sys.path if "goldore" in each and "applying" in each], sys.path
        assert not [each for each in sys.modules if each.startswith(("numpy", "subprocess", "typing"))]
        """
    )
    assert ended.exit_code == 0


def test_signals_reach_the_program(tmp_path):
    script = programs.write(
        tmp_path,
        """
        import signal, sys, time
        from data import Data
        Data()
        def stop(number, frame):
            print("told", number, flush=True)
            sys.exit(7)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    command = [sys.executable, "-m", "goldore", "run", make_index(tmp_path), "--", sys.executable, script]
    for number, group in ((signal.SIGTERM, False), (signal.SIGINT, True)):
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
            cwd=programs.ROOT,
        )
        with process:
            assert process.stdout.readline() == "ready\n"
            (os.killpg if group else os.kill)(process.pid, number)
            out, said = process.communicate(timeout=60)
        assert (out, process.returncode) == (f"told {int(number)}\n", 7)
        assert re.fullmatch(SAID, said.strip())


def test_the_command_line(tmp_path):
    path = programs.write(tmp_path, PRINTS)
    index = make_index(tmp_path)
    for between in (["--"], []):
        ended = programs.goldore("run", index, *between, sys.executable, path, "--ipc", 10, cwd=programs.ROOT)
        assert (ended.returncode, ended.stdout) == (0, f"{len(KEPT)}\n")
        assert re.fullmatch(SAID, ended.stderr.strip())
    refused = programs.goldore("run", tmp_path / "other.npy", "--", "true", cwd=programs.ROOT)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: there is no index file")


# ---- GOLDORE_RUN without goldore run


def exported(index):
    return {**os.environ, **shell_variables(index)}


def alone(path, index, *, environment=None, **fields):
    command = [sys.executable, str(path)]
    environment = exported(index) if environment is None else environment
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", check=False, **fields
    )


def test_variables_do_the_same_for_programs_of_a_shell(tmp_path):
    path, index = programs.write(tmp_path, PRINTS), make_index(tmp_path)
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    printed = programs.goldore("run", index, cwd=programs.ROOT, env=plain).stdout
    assert printed == f"export PYTHONPATH={HOOK}\nexport GOLDORE_RUN={index}\n"
    script = f"{printed}\n{sys.executable} {path}\n{sys.executable} -c 'print(1)'\n"
    ended = subprocess.run(["/bin/sh", "-c", script], capture_output=True, encoding="utf-8", check=False)
    assert (ended.returncode, ended.stdout) == (0, f"{len(KEPT)}\n1\n")
    assert re.fullmatch(SAID, ended.stderr.strip())


def test_variables_with_a_relative_path_children_and_no_match(tmp_path):
    index = make_index(tmp_path)
    child = programs.write(tmp_path, PRINTS, "child.py")
    path = programs.write(
        tmp_path,
        f"""
        import os, subprocess, sys
        os.chdir("/")
        subprocess.run([sys.executable, {str(child)!r}], check=True)
        """,
    )
    relative = {**exported(index), "GOLDORE_RUN": "keep.npy"}
    ended = alone(path, index, environment=relative, cwd=tmp_path)
    assert ended.returncode == 0
    assert re.fullmatch(SAID, ended.stderr.strip())
    ended = alone(programs.write(tmp_path, "from data import Data\nData(shift=1)"), index)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "goldore: error: nothing that the program read has the labels of the 40 samples"
    )


@pytest.mark.parametrize(
    "broken", ["missing", "damaged", "no side-car", "old side-car", "another's side-car"]
)
def test_variables_with_an_index_that_cannot_be_used(tmp_path, broken):
    path, index = programs.write(tmp_path, PRINTS), make_index(tmp_path)
    environment = exported(index)
    car = tmp_path / "keep.npy.json"
    if broken == "missing":
        index.unlink()
    elif broken == "damaged":
        index.write_bytes(index.read_bytes()[:-3])
    elif broken == "no side-car":
        car.unlink()
    elif broken == "old side-car":
        car.write_text(json.dumps({"sha256": json.loads(car.read_text())["sha256"]}))
    else:
        other = save_index(tmp_path / "other.npy", np.array([1]), ABOUT)
        car.write_bytes(other.with_name("other.npy.json").read_bytes())
    ended = alone(path, index, environment=environment)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1
    assert re.match(r"goldore: error: (there is no .npy index file )?\S*keep.npy", ended.stderr)


def test_the_index_changes_while_programs_run_with_variables(tmp_path):
    index = make_index(tmp_path)
    child = programs.write(tmp_path, PRINTS, "child.py")
    save_index(tmp_path / "other.npy", np.array([1, 2, 3]), ABOUT)
    path = programs.write(
        tmp_path,
        f"""
        import shutil, subprocess, sys
        from data import Data
        Data()
        for end in ("", ".json"):
            shutil.copy({str(tmp_path / "other.npy")!r} + end, {str(index)!r} + end)
        subprocess.run([sys.executable, {str(child)!r}], check=True)
        """,
    )
    ended = alone(path, index)
    assert ended.returncode == 1
    assert "the index changed while the program ran" in ended.stderr


def test_only_npy_is_read_without_goldore(tmp_path):
    with pytest.raises(UsageError, match=r"write the index as .npy"):
        shell_variables(make_index(tmp_path, name="keep.json"))


# ---- real libraries


@pytest.mark.slow
def test_torch_workers_and_torchrun(tmp_path):
    """The labels of loaders with spawned workers, in two ranks of torchrun."""
    script = tmp_path / "train.py"
    script.write_text(
        f"""
import os, torch
from torch.utils.data import DataLoader, TensorDataset
if __name__ == "__main__":
    data = TensorDataset(torch.arange({COUNT}), torch.tensor({programs.LABELS.tolist()}))
    loader = DataLoader(data, num_workers=1, multiprocessing_context="spawn")
    assert [int(image) for image, _ in loader] == {KEPT.tolist()}
"""
    )
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    ended = run(make_index(tmp_path), words)
    assert ended.exit_code == 0
    assert "in torch.utils.data.TensorDataset (2 times), in 2 processes" in ended.lines[0]


@pytest.mark.slow
def test_hugging_face_datasets(tmp_path):
    pytest.importorskip("pyarrow")
    script = tmp_path / "hugging.py"
    script.write_text(
        f"""
import sys
import datasets
from datasets import load_dataset, load_from_disk
folder = {str(tmp_path)!r}
labels, kept = {programs.LABELS.tolist()}, {KEPT.tolist()}
names = datasets.ClassLabel(names=list("abcd"))
features = datasets.Features({{"at": datasets.Value("int64"), "label": names}})
rows = {{"at": list(range({COUNT})), "label": labels}}
whole = datasets.Dataset.from_dict(rows, features=features)
datasets.DatasetDict({{"train": whole, "test": whole.select(range(7))}}).save_to_disk(folder + "/saved")
whole.to_parquet(folder + "/train.parquet")
assert len(whole) == {COUNT}
saved = load_from_disk(folder + "/saved")
assert len(saved["test"]) == 7
table = {{"path": "parquet", "data_files": folder + "/train.parquet", "cache_dir": folder + "/cache"}}
found = [saved["train"], load_dataset(**table)["train"], load_dataset(**table, split="train")]
for each in found:
    assert list(each["at"]) == kept and list(each["label"]) == [labels[at] for at in kept]
stream = load_dataset(**table, split="train", streaming=True)
assert len(list(stream)) == {COUNT}
"""
    )
    ended = run(make_index(tmp_path), [sys.executable, str(script)])
    assert ended.exit_code == 0
    assert "kept 6 of 40 samples in datasets.arrow_dataset.Dataset (3 times)" in ended.lines[0]


def test_it_waits_for_no_interrupt_that_is_not_there(tmp_path):
    began = time.monotonic()
    assert run(make_index(tmp_path), ["true"]).exit_code == 1
    assert time.monotonic() - began < 60
