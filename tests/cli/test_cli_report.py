"""goldore inspect --report and --figures: the page says what --json says, and needs nothing else."""

import functools
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import goldore
from goldore.report.figures import FORMATS
from tests.report.making import noise, scored
from tests.report.pages import (
    Page,
    check_comparison_tables,
    check_kept_table,
    check_sample_table,
    check_stands_alone,
    check_summary_tables,
)

NAMES = ("<b>left</b>", "1", "\u6f22\u5b57")
KEEP = ("--criterion", "LossConverge_large", "--keep-ratio", "0.3")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """arrays.npz with its score files a.h5 and b.h5, and gone.h5 of a dataset that is nowhere."""
    folder = tmp_path_factory.mktemp("report")
    dataset = noise((20, 17, 23), names=NAMES, source="arrays in arrays.npz")
    np.savez(
        folder / "arrays.npz", x_train=dataset.images, y_train=dataset.labels, class_names=np.array(NAMES)
    )
    scored(folder / "a.h5", dataset, 3, 40)
    scored(folder / "b.h5", dataset, 2, seed=1)
    scored(folder / "gone.h5", noise((10, 10)), 1)
    values = np.random.default_rng(0).random(60)
    (folder / "noise_LossInit.json").write_text(json.dumps(values.tolist()))
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def inspect(folder, goldore_here):
    return functools.partial(goldore_here, "inspect")


@pytest.fixture
def both(inspect, folder):
    """The page and the JSON document of the same options."""

    def run(*args):
        done = inspect(*args, "--report", "out.html")
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == "page written to out.html\n"
        text = (folder / "out.html").read_text(encoding="utf-8")
        page = Page(text)
        check_stands_alone(page, text)
        return page, json.loads(inspect(*args, "--json").stdout)

    return run


def test_a_page_says_what_json_says(both, inspect):
    page, document = both("a.h5")
    check_summary_tables(page, document)
    for criterion in ("LossInit_large", "LossConverge_large", "MonteCarlo_small"):
        options = ("--criterion", criterion, "--keep-ratio", "0.1", "--json")
        check_kept_table(page, json.loads(inspect("a.h5", *options).stdout)["kept"])
    assert page.all_of("h4") == [f"0 {NAMES[0]}", "1", f"2 {NAMES[2]}"] * 3


def test_a_page_of_a_criterion_and_samples_says_what_json_says(both):
    page, document = both("a.h5", *KEEP, "--scope", "global", "--sample", 3, "--sample", 7)
    check_summary_tables(page, document)
    check_kept_table(page, document["kept"])
    assert len([each for each, _ in page.tables if each.get("class") == "kept"]) == 1
    for sample in document["samples"]:
        check_sample_table(page, sample)
    assert [attrs["alt"] for _, attrs in page.tags if attrs.get("class") == "sample large"] == [
        "sample 3",
        "sample 7",
    ]


def test_a_page_of_several_files_says_what_json_says(both):
    page, document = both("a.h5", "b.h5", "noise_LossInit.json", "--scope", "global")
    check_summary_tables(page, document["files"][0])
    check_comparison_tables(page, document["comparison"])


def test_a_list_before_the_score_file_has_a_page_too(both):
    page, document = both("noise_LossInit.json", "b.h5")
    check_comparison_tables(page, document["comparison"])


def test_figures_are_written_in_three_formats(inspect, folder):
    done = inspect("gone.h5", "--figures", "figures")
    assert done.exit_code == 0
    assert "there are no images" in done.stderr
    names = {
        "distribution-LossInit", "distribution-LossConverge", "pair-LossInit-LossConverge", "loss-curves",
        "kept-LossInit_large-keep_ratio0.1-class", "kept-LossConverge_large-keep_ratio0.1-class",
    }  # fmt: skip
    written = {f"{name}.{each}" for name in names for each in FORMATS}
    assert {each.name for each in (folder / "figures").iterdir()} == {*written, "captions.txt"}
    captions = (folder / "figures" / "captions.txt").read_text(encoding="utf-8").split("\n\n")
    assert {each.splitlines()[0] for each in captions} == names
    assert done.stdout == "6 figures written to figures, each as PNG, SVG and PDF, with captions.txt\n"


class TestImages:
    def test_a_dataset_that_is_nowhere_is_told_and_the_page_is_written(self, inspect, folder):
        done = inspect("gone.h5", "--report", "out.html")
        assert done.exit_code == 0
        assert "there are no images" in done.stderr
        page = Page((folder / "out.html").read_text(encoding="utf-8"))
        assert (
            "No images are shown: the images of noise are not at hand; name the dataset with --dataset."
            in page.all_of("p")
        )
        assert not [attrs for _, attrs in page.tags if attrs.get("class") == "sample"]

    @pytest.mark.parametrize("named", ["other.npz", "nothing.npz", "fashion-mnist-sample"])
    def test_another_dataset_is_refused_where_it_is_named(self, inspect, folder, named):
        done = inspect("a.h5", "--report", "out.html", "--dataset", named)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")
        assert not (folder / "out.html").exists()

    @pytest.fixture(autouse=True)
    def other(self, folder):
        other = noise((20, 17, 24))
        np.savez(folder / "other.npz", x_train=other.images, y_train=other.labels)

    def test_another_dataset_in_its_place_is_left_out(self, inspect, folder):
        (folder / "other.npz").replace(folder / "arrays.npz")
        done = inspect("b.h5", "--report", "out.html")
        assert done.exit_code == 0
        assert "is not the dataset of the score file" in " ".join(done.stderr.split())
        assert "sample" not in {
            attrs.get("class") for _, attrs in Page((folder / "out.html").read_text()).tags
        }

    def test_another_image_is_never_shown(self, inspect, folder):
        with np.load(folder / "arrays.npz") as arrays:
            content = dict(arrays)
        content["x_train"] = content["x_train"] ^ 1
        np.savez(folder / "changed.npz", **content)
        done = inspect("a.h5", "--report", "out.html", "--dataset", "changed.npz")
        assert done.exit_code == 1
        assert "is not the one that was scored" in " ".join(done.stderr.split())
        assert not (folder / "out.html").exists()

    def test_other_pixels_in_its_place_are_left_out(self, inspect, folder):
        with np.load(folder / "arrays.npz") as arrays:
            content = dict(arrays)
        np.savez(folder / "arrays.npz", **{**content, "x_train": content["x_train"] ^ 1})
        done = inspect("b.h5", "--report", "out.html")
        assert done.exit_code == 0
        assert "--dataset" in done.stderr

    def test_a_folder_tree_is_found_again(self, inspect, folder):
        draw = np.random.default_rng(0)
        for place in range(12):
            target = folder / "tree" / f"class {place % 2}" / f"<{place}>.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(target)
        scored(folder / "tree.h5", goldore.load_dataset("tree"), 1)
        done = inspect("tree.h5", "--report", "out.html", "--sample", 5)
        assert (done.exit_code, done.stderr) == (0, "")
        page = Page((folder / "out.html").read_text(encoding="utf-8"))
        assert any(each.endswith(".png") and "<" in each for each in page.all_of("h3"))
        assert len([attrs for _, attrs in page.tags if attrs.get("class") == "sample large"]) == 1


@pytest.mark.usefixtures("stays")
class TestNothingIsWritten:
    @pytest.fixture(autouse=True)
    def there(self, folder):
        (folder / "page.html").write_text("mine")
        (folder / "table.csv").write_text("mine")
        (folder / "figures").mkdir()
        (folder / "figures" / "loss-curves.png").write_text("mine")

    @pytest.fixture
    def stays(self, there, folder):
        def files():
            return {
                path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")
            }

        before = files()
        yield
        assert files() == before

    def refused(self, done, code=2):
        assert (done.exit_code, done.stdout) == (code, "")
        assert done.stderr.count("error: ") == 1

    @pytest.mark.parametrize(
        "options", [("--report", "page.html"), ("--csv", "table.csv"), ("--figures", "figures")]
    )
    def test_where_a_file_exists(self, inspect, options):
        self.refused(inspect("b.h5", *options))

    @pytest.mark.parametrize(
        "options",
        [
            ("--csv", "new.csv", "--report", "page.html"),
            ("--csv", "new.csv", "--figures", "figures"),
            ("--report", "new.html", "--figures", "figures"),
            ("--csv", "new", "--report", "new"),
            ("--csv", "new", "--figures", "./new"),
            ("--report", "new", "--figures", "new"),
            ("--report", "new/loss-curves.png", "--figures", "new"),
            ("--csv", "figures/loss-curves.png", "--figures", "figures", "--overwrite"),
            ("--figures", "-"),
        ],
        ids=[
            "table and page",
            "table and figures",
            "page and figures",
            "table as page",
            "table as figures",
            "page as figures",
            "page as a figure",
            "table as a figure",
            "figures on stdout",
        ],
    )
    def test_where_one_of_several_exists(self, inspect, options):
        self.refused(inspect("b.h5", *options))

    @pytest.mark.parametrize("absent", ["matplotlib", "jinja2"])
    @pytest.mark.parametrize("option", ["--report", "--figures"])
    def test_without_the_libraries(self, inspect, monkeypatch, absent, option):
        monkeypatch.setattr(
            "goldore.report.extra.find_spec", lambda name: None if name == absent else object()
        )
        done = inspect("b.h5", option, "new")
        self.refused(done, 1)
        sentence = " ".join(done.stderr.split())
        assert absent in sentence.lower()
        assert "pip install matplotlib jinja2" in sentence

    def test_where_a_figure_cannot_be_written_none_is(self, inspect, monkeypatch):
        saved = []

        def save(figure, path, **_):
            saved.append(path)
            if len(saved) == 8:
                raise KeyboardInterrupt

        monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
        done = inspect("gone.h5", "--figures", "new")
        assert (done.exit_code, done.stdout) == (130, "")
        assert len(saved) == 8

    def test_where_the_folder_cannot_be_made(self, inspect):
        self.refused(inspect("b.h5", "--report", "page.html/out.html"), 1)


def test_overwrite_replaces_all_that_is_asked_for(inspect, folder):
    (folder / "page.html").write_text("mine")
    (folder / "table.csv").write_text("mine")
    (folder / "figures").mkdir()
    (folder / "figures" / "loss-curves.png").write_text("mine")
    (folder / "figures" / "other.png").write_text("mine")
    done = inspect(
        "gone.h5", "--report", "page.html", "--csv", "table.csv", "--figures", "figures", "--overwrite"
    )
    assert done.exit_code == 0
    assert [line.split(" written")[0] for line in done.stdout.splitlines()] == ["page", "6 figures", "table"]
    assert (folder / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert (folder / "table.csv").read_text().startswith("position,")
    assert (folder / "figures" / "loss-curves.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figures" / "other.png").read_text() == "mine"


def test_the_command_needs_no_display_and_no_torch(made, tmp_path, repository, goldore_environment):
    code = (
        "import sys; from typer.testing import CliRunner; from cli.app import app\n"
        f"done = CliRunner().invoke(app, ['inspect', '{made}/gone.h5', '--report', 'out.html'])\n"
        "print(done.exit_code, 'torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    environment = goldore_environment(PYTHONPATH=str(repository), MPLBACKEND="tkagg")
    environment.pop("DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0 False False\n", "")
    assert (tmp_path / "out.html").is_file()
