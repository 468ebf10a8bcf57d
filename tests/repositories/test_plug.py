"""Plugs on small files with the anchors that the repositories have."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from goldore.datasets.classes import labels_digest
from goldore.errors import PlugError, UsageError
from goldore.repositories import REPOSITORIES, find_repository
from goldore.repositories import plug as plug_module
from goldore.repositories.keep_block import goldore_keep
from goldore.repositories.plug import inspect_clone, plug, unplug
from goldore.selection.index_file import save_index

PLUGGED = [each for each in REPOSITORIES.values() if each.edits]
BEFORE = "def load(path):\n    data = read(path)\n    if data:\n"
AFTER = "\n    return data\n# end, ä, \x0c and \u2028\n"


def write_clone(repository, folder, end="\n", indent="        "):
    """Files that hold nothing but the anchors, between other lines."""
    for name in {edit.file for edit in repository.edits}:
        text = BEFORE
        for edit in (each for each in repository.edits if each.file == name):
            text += "".join(f"{indent}{line}\n" for line in edit.anchor) + f"{indent}pass\n"
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((text + AFTER).replace("\n", end).encode())
    before = {file: file.read_bytes() for file in folder.rglob("*.py")}
    sign(repository, folder)
    return before


def sign(repository, folder):
    """The files by which a clone is told from its relatives'."""
    for name in repository.files:
        (folder / name).touch()


def contents(files):
    return {file: file.read_bytes() for file in files}


@pytest.mark.parametrize("repository", PLUGGED, ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("end", "indent"), [("\n", "    "), ("\r\n", "        "), ("\n", "\t"), ("\r\n", "\t\t")]
)
def test_inserts_once_and_reverts_to_the_byte(repository, end, indent, tmp_path):
    before = write_clone(repository, tmp_path, end, indent)
    changes = plug(repository, tmp_path)
    assert {change.file for change in changes} == set(before)
    after = contents(before)
    blocks = sum(text.count(b"# >>> goldore plug ") for text in after.values())
    assert blocks == len(repository.edits)
    assert all(place.state == "plugged" for place in inspect_clone(repository, tmp_path))
    for text in after.values():
        lines = text.decode().split("\n")
        assert all(line.endswith("\r") for line in lines[:-1]) == (end == "\r\n")
        block = lines[next(at for at, line in enumerate(lines) if ">>> goldore plug" in line) :]
        assert block[0].startswith(indent + "#")
    assert plug(repository, tmp_path) == []
    assert contents(before) == after
    assert {change.file for change in unplug(repository, tmp_path)} == set(before)
    assert contents(before) == before
    assert unplug(repository, tmp_path) == []


@pytest.mark.parametrize("indent", ["    ", "\t", ""])
def test_the_block_stands_before_the_anchor_and_compiles(indent, tmp_path):
    mtt = find_repository("mtt")
    anchor = mtt.edits[0].anchor[0]
    head = f"def load():\n{indent}if True:\n" if indent else ""
    sign(mtt, tmp_path)
    (tmp_path / "utils.py").write_text(f"{head}{indent * 2}{anchor}\n{indent * 2}pass\n")
    plug(mtt, tmp_path)
    text = (tmp_path / "utils.py").read_text()
    compile(text, "utils.py", "exec")
    assert text.index("<<< goldore plug") < text.index(anchor) < text.index("pass")


def test_a_dry_run_shows_the_diff_and_changes_nothing(tmp_path):
    dc = find_repository("dc")
    before = write_clone(dc, tmp_path, "\r\n")
    (change,) = plug(dc, tmp_path, dry_run=True)
    assert contents(before) == before
    diff = change.diff().splitlines()
    assert diff[:2] == ["--- a/utils.py", "+++ b/utils.py"]
    added = [line for line in diff[2:] if line.startswith("+")]
    assert ">>> goldore plug dc" in added[0]
    assert "<<< goldore plug dc" in added[-1]
    assert not [line for line in diff[2:] if line.startswith("-")]


@pytest.mark.parametrize("times", [0, 2])
def test_refuses_an_anchor_that_is_not_there_once_and_changes_no_file(times, tmp_path):
    idm = find_repository("idm")
    before = write_clone(idm, tmp_path)
    file = tmp_path / idm.edits[-1].file
    text = file.read_text(encoding="utf-8")
    anchor = idm.edits[-1].anchor[0]
    file.write_text(
        text.replace(anchor, "\n        ".join([anchor] * times) or "changed()"), encoding="utf-8"
    )
    before = contents(before)
    with pytest.raises(
        PlugError, match=rf"{times} times instead of once.*by hand the block goes at the end"
    ) as caught:
        plug(idm, tmp_path)
    assert anchor in caught.value.details
    assert "def goldore_keep(data):" in caught.value.details
    assert contents(before) == before
    states = [place.state for place in inspect_clone(idm, tmp_path)]
    assert states == ["clean", "clean", "unknown"]


def test_a_changed_block_is_outdated_and_renewed(tmp_path):
    mtt = find_repository("mtt")
    write_clone(mtt, tmp_path)
    plug(mtt, tmp_path)
    file = tmp_path / "utils.py"
    good = file.read_bytes()
    file.write_bytes(good.replace(b'GOLDORE_INDEX")', b'OTHER")'))
    assert [place.state for place in inspect_clone(mtt, tmp_path)] == ["outdated"]
    assert len(plug(mtt, tmp_path)) == 1
    assert file.read_bytes() == good


@pytest.mark.parametrize("lost", [">>> goldore plug", "<<< goldore plug"])
def test_a_block_that_lost_a_line_is_left_alone(lost, tmp_path):
    mtt = find_repository("mtt")
    write_clone(mtt, tmp_path)
    plug(mtt, tmp_path)
    file = tmp_path / "utils.py"
    text = "".join(
        line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if lost not in line
    )
    file.write_text(text, encoding="utf-8")
    for action in (plug, unplug, inspect_clone):
        with pytest.raises(PlugError, match="lost its"):
            action(mtt, tmp_path)
    assert file.read_text(encoding="utf-8") == text


def test_other_bytes_modes_and_links_are_kept(tmp_path):
    mtt = find_repository("mtt")
    write_clone(mtt, tmp_path)
    file = tmp_path / "utils.py"
    real = tmp_path / "elsewhere.py"
    file.rename(real)
    real.write_bytes(b"# \xb5 \xff\n" + real.read_bytes())
    real.chmod(0o755)
    file.symlink_to(real)
    before = real.read_bytes()
    plug(mtt, tmp_path)
    assert file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o755
    assert real.read_bytes().startswith(b"# \xb5 \xff\n")
    unplug(mtt, tmp_path)
    assert real.read_bytes() == before


def test_plugs_all_files_or_none(tmp_path, monkeypatch):
    idm = find_repository("idm")
    before = write_clone(idm, tmp_path)
    real = plug_module.replacing

    def failing(target):
        if target.name == "others_edc.py":
            raise PermissionError(13, "Permission denied")
        return real(target)

    monkeypatch.setattr(plug_module, "replacing", failing)
    with pytest.raises(PlugError, match=r"others_edc\.py cannot be written .*nothing was changed"):
        plug(idm, tmp_path)
    assert contents(before) == before
    monkeypatch.undo()
    (tmp_path / "dc_utils.py").chmod(0o444)
    with pytest.raises(PlugError, match=r"dc_utils\.py is read-only; nothing was changed"):
        plug(idm, tmp_path)
    assert contents(before) == before


def test_finds_the_copy_in_a_clone_of_goldfromores(tmp_path):
    write_clone(find_repository("dm"), tmp_path / "DatasetCondensation")
    (change,) = plug(find_repository("DM"), tmp_path)
    assert change.file == tmp_path / "DatasetCondensation" / "utils.py"


def test_dc_and_dm_share_a_clone(tmp_path):
    """They are one repository, and plugged for all of them at once."""
    before = write_clone(find_repository("dc"), tmp_path)
    plug(find_repository("dsa"), tmp_path)
    assert plug(find_repository("dm"), tmp_path) == []
    assert [place.state for place in inspect_clone(find_repository("dc"), tmp_path)] == ["plugged"]
    (text,) = contents(before).values()
    assert text.count(b">>> goldore plug") == 1
    unplug(find_repository("dc"), tmp_path)
    assert contents(before) == before


def test_refuses_what_is_no_clone(tmp_path):
    with pytest.raises(PlugError, match=r"there is no folder .*mtt-distillation"):
        plug(find_repository("mtt"), tmp_path / "none")
    with pytest.raises(PlugError, match=r"has no buffer\.py"):
        plug(find_repository("mtt"), tmp_path)
    haba = find_repository("haba")  # has the anchor of MTT, and its files
    before = write_clone(haba, tmp_path)
    for name in ("buffer.py", "distill.py"):
        (tmp_path / name).touch()
    with pytest.raises(PlugError, match=r"has distill_fac\.py, so it is the clone of a relative"):
        plug(find_repository("mtt"), tmp_path)
    assert contents(before) == before
    with pytest.raises(PlugError, match="--as-folder"):
        plug(find_repository("rded"), tmp_path)
    with pytest.raises(UsageError, match="did you mean mtt"):
        find_repository("mtx")
    with pytest.raises(UsageError, match="known are dc, dsa"):
        find_repository("something else")


# --- what the block does when it runs


SCRIPT = """
import numpy as np
import torch


class Labelled:
    def __init__(self, labels, name):
        setattr(self, name, labels)
        self.all = labels
    def __len__(self):
        return len(self.all)
    def __getitem__(self, index):
        return torch.tensor([index]), self.all[index]


def get_dataset(name):
    labels = LABELS
    dst_train = Labelled(labels, name)
    dst_test = [torch.zeros(1)]
    ANCHOR
    return dst_train, os_is_still_theirs()


def os_is_still_theirs():
    import os
    return os.sep


dst_train, _ = get_dataset('NAME')
print('length', len(dst_train), [int(dst_train[i][0]) for i in range(len(dst_train))])
"""
LABELS = [3, 3, 7, 0, 7, 0, 3, 7]


@pytest.fixture
def run(tmp_path):
    """Run a plugged script with these labels, an index file or none; the ended process."""
    mtt = find_repository("mtt")
    sign(mtt, tmp_path)

    def run_script(labels=LABELS, name="targets", index=None):
        text = SCRIPT.replace("ANCHOR", mtt.edits[0].anchor[0]).replace("NAME", name)
        (tmp_path / "utils.py").write_text(text.replace("LABELS", repr(labels)))
        plug(mtt, tmp_path)
        environment = {"GOLDORE_INDEX": str(index)} if index else {}
        return subprocess.run(
            [sys.executable, "utils.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run_script


@pytest.fixture
def index(tmp_path):
    """Write an index file about LABELS."""

    def write(indices, labels=LABELS, **more):
        about = {
            "dataset": "made",
            "num_samples": len(labels),
            "labels_sha256": labels_digest(np.array(labels)),
        }
        return save_index(
            tmp_path / "keep.npy", np.array(indices, np.int64), {**about, **more}, overwrite=True
        )

    return write


def test_without_the_variable_nothing_changes(run):
    done = run()
    assert done.stdout == f"length 8 {list(range(8))}\n"
    assert done.stderr == ""


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_takes_labels_as_they_are(kind, index, monkeypatch, capsys):
    """As RFAD and FRePo hold them; a tensor has attributes of many names."""
    monkeypatch.setenv("GOLDORE_INDEX", str(index([1, 4])))
    assert goldore_keep(kind(LABELS)).tolist() == [1, 4]
    assert capsys.readouterr().out.startswith("goldore: kept 2 of 8 samples")
    with pytest.raises(SystemExit, match="the labels here are not those of made"):
        goldore_keep(kind(LABELS[::-1]))


@pytest.mark.parametrize("name", ["targets", "labels", "neither"])
def test_keeps_the_samples_and_says_so_in_one_line(run, index, name):
    path = index([0, 2, 3, 7])
    digest = json.loads(path.with_name("keep.npy.json").read_text())["sha256"][:12]
    done = run(name=name, index=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"goldore: kept 4 of 8 samples, at least 1 of each class, index {digest}\nlength 4 [0, 2, 3, 7]\n"
    )


def test_class_numbers_may_differ_but_not_their_order(run, index):
    path = index([1, 2], labels=[0, 0, 1, 2, 1, 2, 0, 1])
    assert "kept 2 of 8 samples, at least 0 of each class" in run(index=path).stdout
    path = index([1, 2], labels=[0, 1, 0, 2, 1, 2, 0, 1])
    refused = run(index=path)
    assert refused.returncode == 1
    assert "goldore:" in refused.stderr
    assert "the labels here are not those of made" in refused.stderr
    assert "length" not in refused.stdout


def test_refuses_another_length(run, index):
    refused = run(index=index([1], labels=[*LABELS, 3]))
    assert refused.returncode == 1
    assert "it is about the 9 samples of made, and here are 8" in refused.stderr


def test_refuses_files_that_do_not_belong_together(run, index, tmp_path):
    path = index([1, 2])
    np.save(path, np.array([1, 3]))
    assert "belong to different selections" in run(index=path).stderr
    path.with_name("keep.npy.json").unlink()
    assert "its side-car" in run(index=path).stderr
    assert "no such .npy index file" in run(index=tmp_path / "none.npy").stderr
    assert "no such .npy index file" in run(index=path.with_suffix(".txt")).stderr


def test_refuses_an_object_array_without_unpickling_it(run, index):
    path = index([1, 2])
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    refused = run(index=path)
    assert refused.returncode == 1
    assert "length" not in refused.stdout


def test_the_digest_in_the_block_is_that_of_the_library(run, index):
    """Over labels that appear in no order, with classes that appear late."""
    labels = [int(label) for label in np.random.default_rng(0).integers(0, 40, 300) * 3]
    done = run(labels, index=index(list(range(0, 300, 2)), labels=labels))
    assert "kept 150 of 300" in done.stdout, done.stderr


FILES = """
class Files:
    def __init__(self):
        self.samples = SAMPLES
        self.targets = LABELS
    def __len__(self):
        return len(self.samples)
    def __getitem__(self, index):
        return torch.tensor([index]), self.targets[index]

"""


@pytest.mark.parametrize("inside", [False, True])
def test_the_files_of_a_folder_tree_must_be_those_of_the_index(index, inside, tmp_path):
    """Labels that are sorted do not tell the order within a class; a torch Subset is looked through."""
    mtt = find_repository("mtt")
    sign(mtt, tmp_path)
    names = [f"n0{label}/im {number}.png" for label in range(2) for number in range(4)]
    path = index([1, 2, 5], labels=[0] * 4 + [1] * 4, paths=[names[each] for each in (1, 2, 5)])

    def run_with(files):
        made = [("/somewhere/train/" + name.replace(".png", ".pt"), 0) for name in files]
        head = "import numpy as np\nimport torch\n" + FILES.replace("SAMPLES", repr(made))
        head = head.replace("LABELS", repr([0] * 4 + [1] * 4))
        subset = "torch.utils.data.Subset(Files(), list(range(8)))" if inside else "Files()"
        lines = ["def load():", f"    dst_train, dst_test = {subset}, [0]", f"    {mtt.edits[0].anchor[0]}"]
        tail = "\n".join([*lines, "    return dst_train", "print('length', len(load()))"])
        (tmp_path / "utils.py").write_text(head + tail)
        plug(mtt, tmp_path)
        return subprocess.run(
            [sys.executable, "utils.py"],
            cwd=tmp_path,
            env={"GOLDORE_INDEX": str(path)},
            capture_output=True,
            text=True,
            check=False,
        )

    good = run_with(names)
    assert good.stdout.endswith("length 3\n"), good.stderr
    swapped = [*names[:4][::-1], *names[4:]]
    bad = run_with(swapped)
    assert bad.returncode == 1
    assert "the files here are not those of made, or stand in another order" in bad.stderr


SLICED = textwrap.dedent("""
    import numpy as np
    import torch

    class Data:
        pass

    def load():
        train_dataset, val_loader = Data(), None
        train_dataset.data = torch.arange(8)
        train_dataset.targets = train_dataset.labels = np.array(LABELS)
        train_dataset.imgs = list('abcdefgh')
        ANCHOR

    data, _ = load()
    print(data.data.tolist(), data.targets.tolist(), data.labels.tolist(), data.imgs)
""")


def test_the_fields_of_idcs_datasets_are_sliced_together(index, tmp_path):
    idc = find_repository("idc")
    for name in ("condense.py", "condense_mp.py"):
        text = SLICED.replace("LABELS", repr(LABELS)).replace("ANCHOR", "return train_dataset, val_loader")
        (tmp_path / name).write_text(text)
    plug(idc, tmp_path)
    done = subprocess.run(
        [sys.executable, "condense_mp.py"],
        cwd=tmp_path,
        env={"GOLDORE_INDEX": str(index([1, 4, 5]))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("[1, 4, 5] [3, 7, 0] [3, 7, 0] ['b', 'e', 'f']\n"), done.stderr
