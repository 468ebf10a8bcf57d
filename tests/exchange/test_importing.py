"""Published lists as score files: which lists are taken, and what becomes of their numbers."""

import gzip
import json

import numpy as np
import pytest

import goldore
from goldore.datasets.idx import load_idx
from goldore.errors import ScoreFileError, UsageError
from goldore.exchange.importing import import_scores, list_scores
from goldore.report import compare, summarize
from goldore.selection.pruning import prune
from tests.conftest import make_score_file
from tests.report.making import noise

LABELS = np.array([0, 1, 0, 1, 1])


def write(path, values):
    text = json.dumps(values).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def lists(tmp_path):
    """A folder with lists of CIFAR10 (five samples) and of CIFAR100 (three), and other things."""
    folder = tmp_path / "lists"
    folder.mkdir()
    write(folder / "CIFAR10_LossConverge.json", [1, 2, 3, 4, 5])
    write(folder / "CIFAR10_MonteCarlo.json.gz", [0.5, 0.0, 0.25, 0.0, 0.75])
    write(folder / "CIFAR100_LossConverge.json", [7, 8, 9])
    write(folder / "CIFAR100_LossInit.json", [7, 8, 9])
    write(folder / "CIFAR10_keep.json", {"indices": [0]})
    (folder / "CIFAR10_LossInit.md").write_text("1")
    (folder / "README.md").write_text("lists")
    return folder


def taken(folder, tmp_path, **fields):
    return import_scores(folder, tmp_path / "out.h5", **{"labels": LABELS, "name": "CIFAR10", **fields})


class TestFolder:
    def test_takes_the_lists_of_the_dataset_alone(self, lists, tmp_path):
        found = taken(lists, tmp_path)
        assert {name: score.values[0] for name, score in found.scores.items()} == {
            "LossConverge": 1,
            "MonteCarlo": 0.5,
        }
        assert found.dataset.name == "CIFAR10"
        assert found.labels.tolist() == LABELS.tolist()
        other = taken(lists, tmp_path, name="CIFAR100", labels=np.array([0, 1, 1]), overwrite=True)
        assert {name: score.values.tolist() for name, score in other.scores.items()} == {
            "LossInit": [7, 8, 9],
            "LossConverge": [7, 8, 9],
        }

    @pytest.mark.parametrize("spelled", ["cifar-10", "Cifar10", "CIFAR_10"])
    def test_takes_them_however_the_dataset_is_spelled(self, lists, tmp_path, spelled):
        assert tuple(taken(lists, tmp_path, name=spelled).scores) == ("LossConverge", "MonteCarlo")

    def test_takes_them_however_the_list_is_spelled(self, tmp_path):
        folder = tmp_path / "lists"
        folder.mkdir()
        write(folder / "cifar-10_lossinit.json", [1, 2, 3, 4, 5])
        assert tuple(taken(folder, tmp_path).scores) == ("LossInit",)

    def test_takes_the_name_of_a_dataset_that_is_given(self, lists, tmp_path):
        dataset = noise((2, 3), name="cifar-10")
        found = import_scores(lists, tmp_path / "out.h5", dataset=dataset)
        assert found.dataset.fingerprint == dataset.fingerprint
        assert tuple(found.scores) == ("LossConverge", "MonteCarlo")

    def test_takes_what_export_wrote_of_a_name_that_is_no_file_name(self, tmp_path):
        folder = tmp_path / "lists"
        folder.mkdir()
        write(folder / "my_data__v2__LossInit.json", [1, 2, 3, 4, 5])
        assert list(taken(folder, tmp_path, name="my data (v2)").scores) == ["LossInit"]

    def test_a_score_file_is_none(self, lists, tmp_path):
        path = taken(lists, tmp_path).path
        with pytest.raises(UsageError, match="is a score file already"):
            import_scores(path, tmp_path / "other.h5", labels=LABELS)

    def test_two_lists_of_one_score_are_refused(self, lists, tmp_path):
        write(lists / "cifar-10_LossConverge.json.gz", [5, 4, 3, 2, 1])
        with pytest.raises(
            UsageError, match=r"CIFAR10_LossConverge\.json and cifar-10_LossConverge\.json\.gz"
        ):
            taken(lists, tmp_path)
        assert not (tmp_path / "out.h5").exists()

    def test_two_lists_of_one_score_of_another_dataset_do_not_matter(self, lists, tmp_path):
        write(lists / "CIFAR100_LossInit.json.gz", [1, 2, 3])
        assert tuple(taken(lists, tmp_path).scores) == ("LossConverge", "MonteCarlo")

    def test_without_a_list_of_the_dataset_it_is_refused_saying_what_is_there(self, lists, tmp_path):
        with pytest.raises(
            UsageError, match=r"no list MNIST_<Score>\.json; it has lists of CIFAR10, CIFAR100"
        ):
            taken(lists, tmp_path, name="MNIST")
        (tmp_path / "empty").mkdir()
        with pytest.raises(UsageError, match="it has none at all"):
            taken(tmp_path / "empty", tmp_path)

    def test_it_needs_a_name_and_no_score(self, lists, tmp_path):
        with pytest.raises(UsageError, match="`name`"):
            taken(lists, tmp_path, name=None)
        with pytest.raises(UsageError, match="`score` is for one list"):
            taken(lists, tmp_path, score="LossInit")

    def test_a_single_bad_list_leaves_nothing_behind(self, lists, tmp_path):
        write(lists / "CIFAR10_LossInit.json", [1, 2])
        with pytest.raises(ScoreFileError, match="has 2 scores but CIFAR10 has 5"):
            taken(lists, tmp_path)
        assert {each.name for each in tmp_path.iterdir()} == {"lists"}


class TestValues:
    def test_zero_is_never_drawn_for_monte_carlo_alone(self, tmp_path):
        for name, missing in (("MonteCarlo", [1, 3]), ("LossInit", [])):
            values = [0.5, 0.0, 0.25, 0, -0.75]
            found = taken(write(tmp_path / f"x_{name}.json", values), tmp_path, overwrite=True).scores[name]
            assert np.flatnonzero(np.isnan(found.values)).tolist() == missing
            rest = np.setdiff1d(np.arange(5), missing)
            assert found.values[rest].tolist() == [values[place] for place in rest]

    @pytest.mark.parametrize(
        ("values", "unit"),
        [
            ([0.5, 0, 1, 0.25, 0.75], "accuracy (1 = all correct)"),
            ([0, 0, 0, 0, 0], "accuracy (1 = all correct)"),
            ([-0.5, -1, -2, -3, -0.25], "outcome"),
            ([0.5, 1.5, 0.25, 1, 1], "outcome"),
        ],
    )
    def test_an_outcome_that_cannot_be_an_accuracy_is_not_called_one(self, tmp_path, values, unit):
        found = taken(write(tmp_path / "x_MonteCarlo.json", values), tmp_path)
        assert found.scores["MonteCarlo"].unit == unit

    def test_null_and_nan_are_missing(self, tmp_path):
        source = tmp_path / "x_LossInit.json"
        source.write_text("[1, null, NaN, 4.5, 1e-320]")
        found = taken(source, tmp_path).scores["LossInit"].values
        np.testing.assert_array_equal(found, [1, np.nan, np.nan, 4.5, 1e-320])

    @pytest.mark.parametrize(
        "text",
        [
            '{"a": 1}',
            "[]",
            "[1, 2, 3, 4, Infinity]",
            "[1, 2, 3, 4, 1e101]",
            "[1, 2, 3, 4, -1e308]",
            '[1, 2, 3, 4, "5"]',
            "[1, 2, 3, 4, true]",
            "[[1]]",
            "no",
        ],
    )
    def test_anything_but_a_list_of_numbers_is_refused(self, tmp_path, text):
        source = tmp_path / "x_LossInit.json"
        source.write_text(text)
        with pytest.raises(ScoreFileError, match="cannot be read as a list of scores"):
            taken(source, tmp_path)
        assert not (tmp_path / "out.h5").exists()

    def test_nothing_is_claimed_to_be_known_of_their_errors(self, lists, tmp_path):
        found = taken(lists, tmp_path)
        assert found.loss_trials is found.utility_trials is None
        for score in found.scores.values():
            assert score.trials == 0
            assert np.isnan(score.stderr).all()
            assert np.isnan([score.reliability, score.rank_reliability]).all()
            assert "as published" in score.definition
        assert found.scores["MonteCarlo"].direction == "high = useful, low = useless or harmful"

    def test_they_are_pruned_like_ones_own(self, lists, tmp_path):
        found = taken(lists, tmp_path)
        assert prune(found, "LossConverge_large", keep_ratio=0.5).indices.tolist() == [0, 1, 3]
        with pytest.raises(UsageError, match="2 of 5 samples have no MonteCarlo"):
            prune(found, "MonteCarlo_small", keep_ratio=0.5)


class TestBesideAFile:
    def test_a_list_has_the_labels_but_no_fingerprint_of_the_file(self, tmp_path):
        like = make_score_file([1, 2, 3, 4, 5], LABELS, 2)
        found = list_scores(write(tmp_path / "any_MonteCarlo.json.gz", [0.1, 0.0, 0.2, 0.3, 0.4]), like)
        assert found.labels.tolist() == LABELS.tolist()
        assert found.dataset.fingerprint == ""
        assert np.flatnonzero(np.isnan(found.scores["MonteCarlo"].values)).tolist() == [1]
        assert [each.name for each in tmp_path.iterdir()] == ["any_MonteCarlo.json.gz"]

    @pytest.mark.parametrize(
        ("name", "error"), [("scores.json", UsageError), ("x_LossInit.json", ScoreFileError)]
    )
    def test_a_list_without_a_score_in_its_name_or_of_another_length_is_refused(self, tmp_path, name, error):
        like = make_score_file([1, 2, 3, 4, 5], LABELS, 2)
        with pytest.raises(error):
            list_scores(write(tmp_path / name, [1, 2, 3]), like)


@pytest.fixture(scope="module")
def mnist_lists(tmp_path_factory):
    """Both published MNIST lists, imported from their folder into one file."""
    from tests.conftest import SHARED_DATA

    folder = SHARED_DATA / "published_scores"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared/data")
    labels = load_idx(SHARED_DATA / "mnist", "MNIST", None).labels
    out = tmp_path_factory.mktemp("published") / "mnist.h5"
    return folder, labels, import_scores(folder, out, labels=labels, name="MNIST")


class TestPublished:
    def read(self, folder, name):
        return np.array(
            json.loads(gzip.decompress((folder / f"MNIST_{name}.json.gz").read_bytes())), dtype=float
        )

    def test_both_lists_are_in_one_file(self, mnist_lists):
        folder, labels, found = mnist_lists
        assert tuple(found.scores) == ("LossConverge", "MonteCarlo")
        assert np.array_equal(found.labels, labels)
        assert np.array_equal(found.scores["LossConverge"].values, self.read(folder, "LossConverge"))
        published = self.read(folder, "MonteCarlo")
        missing = np.isnan(found.scores["MonteCarlo"].values)
        assert missing.sum() == 11
        assert np.array_equal(missing, published == 0)
        assert np.array_equal(found.scores["MonteCarlo"].values[~missing], published[~missing])

    def test_their_correlation_is_spearmans(self, mnist_lists):
        from scipy.stats import spearmanr

        folder, labels, found = mnist_lists
        (shown,) = summarize(found).correlations
        one, two = (self.read(folder, name) for name in ("LossConverge", "MonteCarlo"))
        known = two != 0
        assert shown.samples == 60_000 - 11
        assert shown.overall == pytest.approx(spearmanr(one[known], two[known]).statistic)
        mine = [known & (labels == label) for label in range(10)]
        within = [spearmanr(one[each], two[each]).statistic for each in mine]
        assert shown.classes == pytest.approx(within)
        weights = [each.sum() for each in mine]
        assert shown.within_class == pytest.approx(np.average(within, weights=weights))

    def test_a_list_agrees_with_the_file_that_it_became(self, mnist_lists):
        folder, _, found = mnist_lists
        compared = compare([found, list_scores(folder / "MNIST_LossConverge.json.gz", found)])
        (correlation,) = compared.correlations
        assert correlation.within_class == pytest.approx(1)
        assert {share for each in compared.overlaps for share in each.kept_by_both.values()} == {1.0}

    def test_cifar100_is_not_mnist(self, mnist_lists, tmp_path):
        folder, labels, _ = mnist_lists
        with pytest.raises(UsageError, match="it has lists of CIFAR100, MNIST"):
            import_scores(folder, tmp_path / "out.h5", labels=labels, name="CIFAR10")


def test_the_public_function_is_the_same():
    assert goldore.import_scores is import_scores
