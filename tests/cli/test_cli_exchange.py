"""goldore export and goldore import: lists for the paper's repository, and from it."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest

from tests.report.making import noise, put, scored

SCORES = ("LossInit", "LossConverge", "MonteCarlo")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """arrays.npz and its score file a.h5, of which three utility trials do not draw every sample."""
    folder = tmp_path_factory.mktemp("exchange")
    dataset = noise((20, 17, 23), name="arrays")
    np.savez(folder / "arrays.npz", x_train=dataset.images, y_train=dataset.labels)
    scored(folder / "a.h5", dataset, 2, 3)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def works(goldore_here, folder):
    def works(*args):
        done = goldore_here(*args)
        assert done.exit_code == 0
        said = [
            line
            for line in done.stderr.splitlines()
            if "the reliability of MonteCarlo is not known" not in line
        ]
        assert said == []
        return done.stdout

    return works


@pytest.fixture
def refuses(goldore_here, folder):
    """Run what is refused, in one sentence, with nothing written."""

    def files():
        return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}

    def refuses(*args, code=2):
        before = files()
        done = goldore_here(*args)
        assert (done.exit_code, done.stdout) == (code, "")
        assert done.stderr.count("error: ") == 1
        assert files() == before
        return " ".join(done.stderr.split())

    return refuses


def values(path):
    with h5py.File(path) as file:
        return {name: node[()] for name, node in file["scores"].items()}


def names(folder):
    return {each.name for each in folder.iterdir()}


class TestExport:
    def test_writes_a_list_of_each_score_and_says_so(self, works, folder):
        text = works("export", "a.h5", "lists")
        paths = [f"lists/arrays_{name}.json" for name in SCORES]
        assert text.splitlines() == [f"60 samples written to {path}" for path in paths]
        for name, path in zip(SCORES[:2], paths, strict=False):
            assert json.loads((folder / path).read_text()) == values("a.h5")[name].tolist()
        never = np.isnan(values("a.h5")["MonteCarlo"])
        assert never.any()
        assert np.array_equal(np.array(json.loads((folder / paths[2]).read_text())) == 0, never)

    def test_scores_and_name_choose(self, works, folder):
        works("export", "a.h5", "lists", "--scores", " loss-converge, LossInit ", "--name", "CIFAR10")
        assert names(folder / "lists") == {"CIFAR10_LossConverge.json", "CIFAR10_LossInit.json"}

    def test_a_table_is_the_one_of_inspect(self, works, folder):
        assert (
            works("export", "a.h5", "tables", "--format", "csv")
            == "60 samples written to tables/arrays.csv\n"
        )
        assert (folder / "tables" / "arrays.csv").read_text() == works("inspect", "a.h5", "--csv", "-")
        works("export", "a.h5", "tables", "--format", "csv", "--scores", "LossInit", "--name", "one")
        with (folder / "tables" / "one.csv").open(newline="") as text:
            rows = list(csv.DictReader(text))
        scored = ["LossInit", "LossInit_stderr", "LossInit_rank"]
        assert list(rows[0]) == ["position", "label", "class", *scored, "equal_to"]
        assert [float(row["LossInit"]) for row in rows] == values("a.h5")["LossInit"].tolist()

    @pytest.mark.parametrize("form", ["goldfromores", "csv"])
    def test_what_exists_is_replaced_only_if_asked(self, works, refuses, folder, form):
        works("export", "a.h5", "out", "--format", form)
        first = {each.name: each.read_bytes() for each in (folder / "out").iterdir()}
        one = folder / "out" / max(first)
        one.write_text("mine")
        assert "--overwrite" in refuses("export", "a.h5", "out", "--format", form)
        works("export", "a.h5", "out", "--format", form, "--overwrite")
        assert {each.name: each.read_bytes() for each in (folder / "out").iterdir()} == first

    @pytest.mark.parametrize(
        "options",
        [("--format", "xml"), ("--scores", "LossFinal"), ("--scores", ","), ("--scores", "")],
    )
    def test_what_does_not_exist_is_refused(self, refuses, options):
        refuses("export", "a.h5", "lists", *options)

    def test_a_loss_that_is_missing_is_refused(self, refuses, works, folder):
        put(folder / "a.h5", "LossInit", np.nan, [3])
        assert "1 of 60 samples have no LossInit" in refuses("export", "a.h5", "lists", code=1)
        works("export", "a.h5", "lists", "--scores", "LossConverge,MonteCarlo")
        works("export", "a.h5", "tables", "--format", "csv")

    def test_what_is_no_score_file_is_refused(self, refuses):
        refuses("export", "arrays.npz", "lists", code=1)
        refuses("export", "nothing.h5", "lists", code=1)


class TestImport:
    @pytest.fixture(autouse=True)
    def lists(self, works, folder):
        works("export", "a.h5", "lists")
        (folder / "lists" / "arrays2_LossInit.json").write_text("[1, 2]")
        (folder / "lists" / "README.md").write_text("lists")

    def test_a_folder_gives_one_file_with_the_same_values_and_missing_ones(self, works, folder):
        text = works("import", "lists", "--dataset", "arrays.npz", "--out", "back.h5")
        never = int(np.isnan(values("a.h5")["MonteCarlo"]).sum())
        assert text.splitlines() == [
            "LossInit: 60 scores imported",
            "LossConverge: 60 scores imported",
            f"MonteCarlo: 60 scores imported, {never} of them missing (0.0 there: never drawn)",
            "written to back.h5",
            "next: goldore inspect back.h5",
        ]
        here, back = values("a.h5"), values("back.h5")
        for name in SCORES[:2]:
            assert np.array_equal(back[name], here[name])
        assert np.array_equal(np.isnan(back["MonteCarlo"]), np.isnan(here["MonteCarlo"]))
        with h5py.File(folder / "a.h5") as one, h5py.File(folder / "back.h5") as two:
            assert one["dataset"].attrs["fingerprint"] == two["dataset"].attrs["fingerprint"]
            assert np.array_equal(one["dataset/labels"][()], two["dataset/labels"][()])

    def test_what_was_imported_is_inspected_compared_and_pruned(self, works, folder):
        works("import", "lists", "--dataset", "arrays.npz", "--out", "back.h5")
        compared = json.loads(works("inspect", "a.h5", "back.h5", "--json"))["comparison"]
        for each in compared["correlations"][:2]:
            assert each["within_class"] == pytest.approx(1)
        assert set(compared["overlaps"][0]["kept_by_both"].values()) == {1.0}
        assert "MonteCarlo" in works("inspect", "back.h5")
        for name in ("a", "back"):
            works(
                "prune",
                f"{name}.h5",
                "--criterion",
                "LossInit_large",
                "--keep-ratio",
                "0.3",
                "--out",
                f"{name}.txt",
            )
        assert (folder / "a.txt").read_text().split("\n")[-20:] == (folder / "back.txt").read_text().split(
            "\n"
        )[-20:]

    def test_a_folder_goes_by_the_name_of_the_dataset(self, works, refuses, folder):
        works("import", "lists", "--dataset", "arrays.npz")
        assert (folder / "scores_cache" / "arrays-imported.h5").is_file()
        assert not list((folder / "lists").glob("*.h5"))
        (folder / "labels.txt").write_text("0\n1\n")
        text = works("import", "lists", "--labels", "labels.txt", "--name", "arrays2")
        written = "scores_cache/arrays2-imported.h5"
        wanted = ["LossInit: 2 scores imported", f"written to {written}", f"next: goldore inspect {written}"]
        assert text.splitlines() == wanted
        single = works("import", "lists/arrays2_LossInit.json", "--labels", "labels.txt")
        assert "written to scores_cache/arrays2_LossInit.h5" in single
        said = refuses("import", "lists", "--labels", "labels.txt", "--name", "CIFAR10", "--out", "x.h5")
        assert "it has lists of arrays, arrays2" in said
        assert "--name" in refuses("import", "lists", "--labels", "labels.txt", "--out", "x.h5")

    def test_two_lists_of_one_score_are_refused(self, refuses, folder):
        shutil.copy(folder / "lists" / "arrays_LossInit.json", folder / "lists" / "Arrays_LossInit.json")
        said = refuses("import", "lists", "--dataset", "arrays.npz", "--out", "x.h5")
        assert "move one of them away" in said

    def test_a_folder_without_lists_is_refused(self, refuses, folder):
        (folder / "empty").mkdir()
        assert "it has none at all" in refuses("import", "empty", "--dataset", "arrays.npz")

    @pytest.mark.parametrize("options", [(), ("--dataset", "arrays.npz", "--labels", "labels.txt")])
    def test_it_takes_either_the_dataset_or_its_labels(self, refuses, options):
        assert "either --dataset or --labels" in refuses("import", "lists", *options)

    def test_an_existing_file_is_replaced_only_if_asked(self, works, refuses, folder):
        options = ("import", "lists/arrays_LossInit.json", "--dataset", "arrays.npz", "--out", "a.h5")
        assert "--overwrite" in refuses(*options)
        works(*options, "--overwrite")
        assert values("a.h5").keys() == {"LossInit"}

    def test_a_list_for_another_dataset_is_refused(self, refuses):
        options = ("--dataset", "arrays.npz", "--out", "x.h5")
        said = refuses("import", "lists/arrays2_LossInit.json", *options, code=1)
        assert "has 2 scores but arrays has 60 training samples" in said

    def test_an_exported_import_is_the_same_to_the_byte(self, works, folder):
        works("import", "lists", "--dataset", "arrays.npz", "--out", "back.h5")
        works("export", "back.h5", "again")
        for name in names(folder / "again"):
            assert (folder / "again" / name).read_bytes() == (folder / "lists" / name).read_bytes()
        assert len(names(folder / "again")) == 3
