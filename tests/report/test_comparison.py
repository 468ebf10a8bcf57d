import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goldore
from goldore.errors import UsageError
from goldore.exchange.importing import import_scores
from goldore.report import compare
from goldore.report.comparison import KEEP_RATIOS, check_same_dataset
from goldore.store import load_scores
from tests.conftest import make_score_file

CLASSES = 3
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(CLASSES), [40, 33, 17]))


def make_file(labels=LABELS, classes=CLASSES, fingerprint="f" * 64, path="made.h5", trust=0.9, **values):
    """A file with these scores, by name."""
    made = {name: make_score_file(each, labels, classes, name, trust) for name, each in values.items()}
    first = next(iter(made.values()))
    return dataclasses.replace(
        first,
        path=Path(path),
        dataset=dataclasses.replace(first.dataset, fingerprint=fingerprint),
        score_names=tuple(values),
        scores={name: file.scores[name] for name, file in made.items()},
    )


def with_trust(file, name, **fields):
    score = dataclasses.replace(file.scores[name], **fields)
    return dataclasses.replace(file, scores={**file.scores, name: score})


def noisy(seed, share_missing=0.0, labels=LABELS, decimals=1):
    """Values with ties, and what is missing."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=len(labels)).round(decimals)
    values[draw.random(len(labels)) < share_missing] = np.nan
    return values


def kept(file, criterion, ratio, scope="class"):
    return goldore.prune(file, criterion, keep_ratio=ratio, scope=scope, missing="drop").indices.tolist()


def plain_spearman(first, second):
    known = np.isfinite(first) & np.isfinite(second)
    ranks = [
        np.array([(each[known] < value).sum() + (each[known] == value).sum() / 2 for value in each[known]])
        for each in (first, second)
    ]
    return np.corrcoef(*ranks)[0, 1]


def plain_within(first, second, labels, classes):
    sizes = [(np.isfinite(first) & np.isfinite(second) & (labels == label)).sum() for label in range(classes)]
    each = [plain_spearman(first[labels == label], second[labels == label]) for label in range(classes)]
    return np.average(each, weights=sizes)


def assert_overlaps_as_pruned(files, scope):
    by_id = dict(zip("ABC", files, strict=False))
    for row in compare(files, scope=scope).overlaps:
        assert list(row.kept_by_both) == list(row.chance) == list(KEEP_RATIOS)
        for ratio in KEEP_RATIOS:
            one, two = (
                kept(by_id[place], criterion, ratio, scope)
                for place, criterion in zip(row.files, row.criteria, strict=True)
            )
            share = len(set(one) & set(two)) / len(one)
            ranked = all(
                np.isfinite(by_id[place].scores[criterion.rpartition("_")[0]].values[list(each)]).all()
                for place, criterion, each in zip(row.files, row.criteria, (one, two), strict=True)
            )
            assert row.kept_by_both[ratio] == (pytest.approx(share) if ranked else None)


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_overlaps_are_those_of_what_prune_keeps(scope, missing):
    first = make_file(LossInit=noisy(1, missing), MonteCarlo=noisy(2, missing))
    second = make_file(LossInit=noisy(3, missing), MonteCarlo=noisy(4))
    assert_overlaps_as_pruned([first, second], scope)


@given(
    values=st.lists(
        st.tuples(*2 * [st.sampled_from([0.0, 1.0, 2.0, np.nan])], st.integers(0, 2)), min_size=1, max_size=25
    ),
    scope=st.sampled_from(["class", "global"]),
)
@settings(max_examples=40)
def test_overlaps_with_many_ties_are_those_of_what_prune_keeps(values, scope):
    first, second, labels = (np.array(each) for each in zip(*values, strict=True))
    assert_overlaps_as_pruned([make_file(labels, X=first), make_file(labels, X=second)], scope)


def test_two_files_with_the_same_scores_are_compared_score_by_score():
    first = make_file(LossInit=noisy(1), LossConverge=noisy(2), path="first.h5")
    second = make_file(LossConverge=noisy(3, 0.2), MonteCarlo=noisy(4), LossInit=noisy(5), path="second.h5")
    said = compare([first, second])
    assert [(row.files, row.scores) for row in said.correlations] == [
        (("A", "B"), ("LossInit", "LossInit")),
        (("A", "B"), ("LossConverge", "LossConverge")),
    ]
    assert [row.criteria for row in said.overlaps] == [
        ("LossInit_large", "LossInit_large"),
        ("LossInit_small", "LossInit_small"),
        ("LossConverge_large", "LossConverge_large"),
        ("LossConverge_small", "LossConverge_small"),
    ]
    for row in said.correlations:
        one, two = (file.scores[row.scores[0]].values for file in (first, second))
        assert row.within_class == pytest.approx(plain_within(one, two, LABELS, CLASSES))
        assert row.overall == pytest.approx(plain_spearman(one, two))
        assert row.samples == (np.isfinite(one) & np.isfinite(two)).sum()
    assert said.to_json()["files"] == [
        {
            "id": "A",
            "file": "first.h5",
            "dataset": "made",
            "fingerprint": "f" * 64,
            "scores": ["LossInit", "LossConverge"],
        },
        {
            "id": "B",
            "file": "second.h5",
            "dataset": "made",
            "fingerprint": "f" * 64,
            "scores": ["LossConverge", "MonteCarlo", "LossInit"],
        },
    ]
    assert (said.scope, said.ratios) == ("class", ("0.01", "0.05", "0.1", "0.3", "0.5"))
    json.dumps(said.to_json(), allow_nan=False)


def test_files_that_share_no_name_are_compared_score_against_score():
    first = make_file(LossInit=noisy(1), LossConverge=noisy(2))
    second = make_file(MonteCarlo=noisy(3), Other=noisy(4))
    said = compare([first, second])
    pairs = [("LossInit", "MonteCarlo"), ("LossInit", "Other")]
    pairs += [("LossConverge", "MonteCarlo"), ("LossConverge", "Other")]
    assert [row.scores for row in said.correlations] == pairs
    assert [row.criteria for row in said.overlaps] == [
        ("LossInit_large", "MonteCarlo_small"),
        ("LossInit_large", "Other_large"),
        ("LossConverge_large", "MonteCarlo_small"),
        ("LossConverge_large", "Other_large"),
    ]
    assert_overlaps_as_pruned([first, second], "class")


def test_of_three_files_every_pair_is_compared():
    files = [make_file(X=noisy(seed), Y=noisy(seed + 10)) for seed in range(2)]
    files.append(make_file(Y=noisy(20), Z=noisy(21)))
    said = compare(files)
    assert [row.id for row in said.files] == ["A", "B", "C"]
    assert [("".join(row.files), row.scores[0]) for row in said.correlations] == [
        ("AB", "X"),
        ("AB", "Y"),
        ("AC", "Y"),
        ("BC", "Y"),
    ]
    for row, (one, two) in zip(said.correlations[1:], [(0, 1), (0, 2), (1, 2)], strict=True):
        first, second = files[one].scores["Y"].values, files[two].scores["Y"].values
        assert row.overall == pytest.approx(plain_spearman(first, second))
    assert_overlaps_as_pruned(files, "class")


def test_a_file_agrees_with_itself():
    file = make_file(LossInit=noisy(1, 0.2))
    said = compare([file, file])
    assert said.correlations[0].within_class == pytest.approx(1)
    assert said.correlations[0].overall == pytest.approx(1)
    for row in said.overlaps:
        assert set(row.kept_by_both.values()) == {1}


def test_chance_is_what_random_selections_of_these_sizes_share():
    said = compare([make_file(X=noisy(1)), make_file(X=noisy(2))])
    total = np.array([40, 33, 17])
    for ratio, exact in zip(KEEP_RATIOS, (0.01, 0.05, 0.1, 0.3, 0.5), strict=True):
        sizes = np.array([math.ceil(round(exact * each, 6)) for each in total])
        expected = (sizes**2 / total).sum() / sizes.sum()
        for row in said.overlaps:
            assert row.chance[ratio] == pytest.approx(expected)


def test_chance_over_all_samples_is_the_share_that_is_kept():
    said = compare([make_file(X=noisy(1)), make_file(X=noisy(2))], scope="global")
    kept_of_90 = {"0.01": 1, "0.05": 5, "0.1": 9, "0.3": 27, "0.5": 45}
    for row in said.overlaps:
        assert row.chance == {ratio: pytest.approx(size / 90) for ratio, size in kept_of_90.items()}


def test_scores_that_have_nothing_to_do_with_each_other_overlap_by_chance():
    labels = np.tile(np.arange(4), 5000)
    files = [make_file(labels, 4, X=noisy(seed, labels=labels, decimals=12)) for seed in (1, 2)]
    for row in compare(files).overlaps:
        for ratio in ("0.05", "0.1", "0.3", "0.5"):
            assert row.kept_by_both[ratio] == pytest.approx(row.chance[ratio], abs=0.05)


def test_the_noise_limit_is_the_root_of_the_two_reliabilities_of_ranks():
    first, second = make_file(X=noisy(1)), make_file(X=noisy(2))
    first = with_trust(first, "X", rank_reliability=0.64, reliability=0.1)
    second = with_trust(second, "X", rank_reliability=np.nan, reliability=0.25)
    assert compare([first, second]).correlations[0].noise_limit == pytest.approx(0.4)


@pytest.mark.parametrize(("one", "two"), [(np.nan, 0.5), (-0.1, 0.5)])
def test_an_unknown_noise_limit_is_none(one, two):
    files = [
        with_trust(make_file(X=noisy(1)), "X", rank_reliability=each, reliability=each) for each in (one, two)
    ]
    said = compare(files)
    assert said.correlations[0].noise_limit is None
    json.dumps(said.to_json(), allow_nan=False)


def test_two_reliabilities_below_0_give_no_noise_limit():
    files = [with_trust(make_file(X=noisy(1)), "X", rank_reliability=each) for each in (-0.2, -0.3)]
    assert compare(files).correlations[0].noise_limit is None


def test_two_normal_scores_that_measure_the_same_correlate_up_to_the_noise_limit():
    labels = np.zeros(50_000, dtype=np.int64)
    draw = np.random.default_rng(6)
    truth = draw.normal(size=len(labels))
    first, second = (truth + noise * draw.normal(size=len(labels)) for noise in (0.5, 1.0))
    files = [
        make_file(labels, 1, trust=trust, X=values) for values, trust in ((first, 1 / 1.25), (second, 1 / 2))
    ]
    said = compare(files).correlations[0]
    pearson = np.corrcoef(first, second)[0, 1]
    assert said.noise_limit == pytest.approx(pearson, abs=0.01)
    assert said.overall == pytest.approx(6 / np.pi * np.arcsin(pearson / 2), abs=0.01)


def test_files_of_other_pixels_are_refused():
    first = make_file(X=noisy(1))
    other = make_file(X=noisy(1), fingerprint="e" * 64, path="other.h5")
    with pytest.raises(UsageError, match=r"other\.h5.*made\.h5.*pixels.*e{12}.*f{12}"):
        compare([first, other])


def test_files_with_other_labels_are_refused():
    first = make_file(X=noisy(1))
    with pytest.raises(UsageError, match="labels"):
        compare([first, make_file(np.roll(LABELS, 1), X=noisy(1), fingerprint="")])
    with pytest.raises(UsageError, match="labels"):
        compare([first, make_file(LABELS[:-1], X=noisy(1)[:-1])])


def test_files_that_know_only_their_labels_are_compared():
    full, bare = make_file(X=noisy(1)), make_file(X=noisy(2), fingerprint="")
    for files in ((full, bare), (bare, full), (bare, bare)):
        said = compare(files)
        expected = plain_spearman(*(file.scores["X"].values for file in files))
        assert said.correlations[0].overall == pytest.approx(expected)
        assert [row.fingerprint for row in said.files] == [file.dataset.fingerprint or None for file in files]
    check_same_dataset(full, bare)


def test_two_files_of_other_pixels_are_refused_beside_one_that_knows_only_its_labels():
    bare = make_file(X=noisy(1), fingerprint="")
    with pytest.raises(UsageError, match="pixels"):
        compare([bare, make_file(X=noisy(2)), make_file(X=noisy(3), fingerprint="e" * 64)])


@pytest.mark.parametrize("number", [0, 1, 27])
def test_too_few_and_too_many_files_are_refused(number):
    with pytest.raises(UsageError, match="2 to 26"):
        compare([make_file(X=noisy(1))] * number)


def test_26_files_have_a_letter_each():
    labels = np.array([0, 1])
    said = compare([make_file(labels, 2, X=np.array([1.0, 2])) for _ in range(26)])
    assert "".join(row.id for row in said.files) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert len(said.correlations) == 26 * 25 / 2


def test_a_score_without_any_value_is_compared():
    said = compare([make_file(X=np.full(90, np.nan)), make_file(X=noisy(1))])
    row = said.correlations[0]
    assert (row.within_class, row.overall, row.samples) == (None, None, 0)
    json.dumps(said.to_json(), allow_nan=False)


def test_classes_without_samples_are_compared():
    labels = np.where(LABELS == 1, 4, LABELS)
    files = [make_file(labels, 6, X=noisy(seed)) for seed in (1, 2)]
    assert_overlaps_as_pruned(files, "class")
    assert_overlaps_as_pruned(files, "global")


def test_a_thousand_classes_are_compared():
    labels = np.random.default_rng(7).permutation(np.repeat(np.arange(1000), 5))
    files = [make_file(labels, 1000, X=noisy(seed, labels=labels)) for seed in (1, 2)]
    assert_overlaps_as_pruned(files, "class")


def test_an_imported_list_is_compared_with_itself(tmp_path):
    values = noisy(8)
    values[values == 0] = 0.05
    values[3] = np.nan
    listed = [None if np.isnan(value) else value for value in values.tolist()]
    (tmp_path / "made_LossConverge.json").write_text(json.dumps(listed))
    import_scores(tmp_path / "made_LossConverge.json", tmp_path / "listed.h5", labels=LABELS)
    scored = make_file(LossConverge=values)
    said = compare([scored, load_scores(tmp_path / "listed.h5")])
    row = said.correlations[0]
    assert row.overall == pytest.approx(1)
    assert row.samples == 89
    assert row.noise_limit is None
    assert said.files[1].fingerprint is None
    for overlap in said.overlaps:
        assert set(overlap.kept_by_both.values()) == {1}
