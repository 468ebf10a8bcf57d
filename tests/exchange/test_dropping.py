"""drop_samples against a plain reading of what the paper's repository does, and on its own."""

import gzip
import itertools
import json

import numpy as np
import pytest
import torch

import goldore
from goldore.errors import IndexFileError, ScoreFileError, UsageError

RATIOS = [round(number / 51, 3) for number in range(1, 51)]


def plain_drop(values, classes, drops, ratio):
    """int(ratio * n) of each class are dropped, lowest first, large ones negated; ties by position."""
    keys = [-value if drops == "large" else value for value in values]
    gone = set()
    for members in classes:
        gone.update(sorted(members, key=keys.__getitem__)[: int(ratio * len(members))])
    return [position for position in range(len(values)) if position not in gone]


def structures(labels, classes):
    """Images whose only pixel is their position, and the other two structures."""
    images = torch.arange(len(labels)).reshape(-1, 1, 1, 1)
    members = [np.flatnonzero(labels == label).tolist() for label in range(classes)]
    return images, torch.tensor(labels), members


def write_list(folder, values, name="made_LossConverge.json"):
    (folder / name).write_text(json.dumps(list(map(float, values))))


@pytest.fixture
def made(tmp_path):
    labels = np.random.default_rng(1).integers(0, 3, 200)
    values = np.random.default_rng(2).integers(0, 40, 200) / 8  # with ties
    write_list(tmp_path, values)
    return labels, values


@pytest.mark.parametrize("drops", ["large", "small"])
def test_keeps_what_the_paper_keeps_in_its_counting(made, drops, tmp_path):
    labels, values = made
    images, truth, members = structures(labels, 3)
    for ratio in RATIOS:
        wanted = plain_drop(values, members, drops, ratio)
        kept, new, classes = goldore.drop_samples(
            images,
            truth,
            members,
            "made",
            f"LossConverge_{drops}",
            drop_ratio=ratio,
            compat=True,
            score_dir=tmp_path,
        )
        assert kept.flatten().tolist() == wanted
        assert new.tolist() == labels[wanted].tolist()
        assert new.dtype == torch.int64
        assert [labels[np.array(wanted)[each]].tolist() for each in classes] == [
            [label] * len(each) for label, each in enumerate(classes)
        ]
        assert sorted(itertools.chain(*classes)) == list(range(len(wanted)))


@pytest.mark.parametrize("ratio", ["0.1", "0.57", 0.3])
def test_exact_counts_agree_with_prune(made, ratio, tmp_path):
    labels, values = made
    images, truth, members = structures(labels, 3)
    np.save(tmp_path / "labels.npy", labels)
    scores = goldore.import_scores(tmp_path / "made_LossConverge.json", tmp_path / "made.h5", labels=labels)
    for rule in ("keep_ratio", "drop_ratio"):
        wanted = goldore.prune(scores, "LossConverge_large", **{rule: ratio}).indices
        for folder in (tmp_path, tmp_path / "lists"):  # the score file, then the list alone
            folder.mkdir(exist_ok=True)
            write_list(folder, values)
            arguments = (images, truth, members, "made", "loss-converge-large")
            kept, *_ = goldore.drop_samples(*arguments, **{rule: ratio}, score_dir=folder)
            assert kept.flatten().tolist() == wanted.tolist()
    random = goldore.prune(scores, "Random", keep_ratio=0.2, seed=9).indices
    for name in ("Random", "rand", "RANDOM"):
        kept, *_ = goldore.drop_samples(images, truth, members, "any", name, keep_ratio=0.2, seed=9)
        assert kept.flatten().tolist() == random.tolist()


def test_counts_that_binary_floating_point_gets_wrong(tmp_path):
    labels = np.repeat([0, 1], 5000)
    write_list(tmp_path, range(10000))
    arguments = (*structures(labels, 2), "made", "LossConverge_small")
    compat, *_ = goldore.drop_samples(*arguments, keep_ratio=0.8, compat=True, score_dir=tmp_path)
    exact, *_ = goldore.drop_samples(*arguments, keep_ratio=0.8, score_dir=tmp_path)
    assert (len(compat), len(exact)) == (8002, 8000)


def test_changes_nothing_it_is_given(made, tmp_path):
    images, truth, members = structures(made[0], 3)
    before = images.clone(), truth.clone(), [list(each) for each in members]
    for criterion in ("Random", "LossConverge_large"):
        goldore.drop_samples(images, truth, members, "made", criterion, drop_ratio=0.5, score_dir=tmp_path)
    assert torch.equal(images, before[0])
    assert torch.equal(truth, before[1])
    assert members == before[2]


def test_takes_lists_as_the_paper_does(made, tmp_path):
    images, truth, members = structures(made[0], 3)
    arguments = ("made", "LossConverge_large")
    one = goldore.drop_samples(images, truth, members, *arguments, drop_ratio=0.5, score_dir=tmp_path)
    two = goldore.drop_samples(
        list(images), truth.tolist(), members, *arguments, drop_ratio=0.5, score_dir=tmp_path
    )
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert one[2] == two[2]


def test_positions_of_no_class_are_kept(made, tmp_path):
    """As in the paper's function: only what a class lists can be dropped."""
    labels, values = made
    images, truth, members = structures(labels, 3)
    some = [each[:10] for each in members]
    kept, *_ = goldore.drop_samples(
        images, truth, some, "made", "LossConverge_small", drop_ratio=1.0, compat=True, score_dir=tmp_path
    )
    assert kept.flatten().tolist() == plain_drop(values, some, "small", 1.0)


@pytest.mark.parametrize("suffix", [".npy", ".json", ".h5"])
def test_an_index_file_in_place_of_the_criterion(made, suffix, tmp_path):
    labels, _ = made
    images, truth, members = structures(labels, 3)
    scores = goldore.import_scores(tmp_path / "made_LossConverge.json", tmp_path / "m.h5", labels=labels)
    selection = goldore.prune(scores, "LossConverge_large", keep_ratio=0.25)
    path = selection.save(tmp_path / f"keep{suffix}")
    for more in ({}, {"drop_ratio": 0.0}):
        kept, _, classes = goldore.drop_samples(images, truth, members, "made", str(path), **more)
        assert kept.flatten().tolist() == selection.indices.tolist()
        assert [len(each) for each in classes] == selection.kept_per_class.tolist()
    with pytest.raises(UsageError, match="leave the ratio out"):
        goldore.drop_samples(images, truth, members, "made", path, drop_ratio=0.5)
    with pytest.raises(IndexFileError, match="labels here are not those of made"):
        goldore.drop_samples(images, truth.flip(0), members, "made", path)
    with pytest.raises(IndexFileError, match="about the 200 samples"):
        goldore.drop_samples(images[:-1], truth[:-1], members, "made", path)


def test_what_a_user_can_get_wrong(made, tmp_path, monkeypatch):
    labels, _ = made
    data = structures(labels, 3)
    monkeypatch.setenv("GOLDORE_CACHE", str(tmp_path))

    def drop(criterion="LossConverge_large", dataset="made", given=data, **rule):
        return goldore.drop_samples(*given, dataset, criterion, **(rule or {"drop_ratio": 0.5}))

    assert len(drop()[0]) == sum((each + 1) // 2 for each in map(len, data[2]))  # from the cache folder
    with pytest.raises(UsageError, match="exactly one of `drop_ratio` and `keep_ratio`"):
        drop(drop_ratio=0.5, keep_ratio=0.5)
    with pytest.raises(UsageError, match=r"drop_ratio` is 1\.5"):
        drop(drop_ratio=1.5)
    with pytest.raises(UsageError, match="no sample would be left"):
        drop(drop_ratio=1)
    with pytest.raises(UsageError, match="there are no scores of other"):
        drop(dataset="other")
    with pytest.raises(UsageError, match="no criterion 'LossInit_large'"):
        drop("LossInit_large")
    with pytest.raises(ScoreFileError, match="has 200 scores, and here are 199"):
        drop(given=(data[0][:-1], data[1][:-1], [each[:-1] for each in data[2]]))
    with pytest.raises(UsageError, match="200 images and 199 labels"):
        drop(given=(data[0], data[1][:-1], data[2]))
    with pytest.raises(UsageError, match="position outside 0 to 199"):
        drop(given=(data[0], data[1], [[200]]))


def test_samples_without_a_score_are_refused(tmp_path):
    labels = np.array([0, 0, 1, 1])
    (tmp_path / "made_MonteCarlo.json").write_text("[1, null, 2, 3]")
    with pytest.raises(UsageError, match="1 samples have no MonteCarlo"):
        goldore.drop_samples(
            *structures(labels, 2), "made", "MonteCarlo_small", drop_ratio=0.5, score_dir=tmp_path
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MNIST_LossConverge", "MNIST_MonteCarlo", "CIFAR100_MonteCarlo"])
def test_the_published_lists(shared_data, name, tmp_path):
    file = shared_data / "published_scores" / f"{name}.json.gz"
    values = np.array(json.loads(gzip.decompress(file.read_bytes())))
    dataset, score = name.split("_")
    if dataset == "MNIST":
        labels = goldore.load_dataset(str(shared_data / "mnist")).labels
    else:  # the list has no labels; any of 500 a class show the same
        labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))
    data = structures(labels, labels.max() + 1)
    scores = goldore.import_scores(file, tmp_path / "scores.h5", labels=labels)
    for drops in ("large", "small"):
        for ratio in RATIOS[
            drops == "small" :: 7
        ]:  # tests/integration has all, with the paper's own function
            wanted = plain_drop(values.tolist(), data[2], drops, ratio)
            kept, *_ = goldore.drop_samples(
                *data, dataset, f"{score}_{drops}", drop_ratio=ratio, compat=True, score_dir=file.parent
            )
            assert kept.flatten().tolist() == wanted
            if score == "LossConverge":  # MonteCarlo lists hold 0 for never drawn, which prune does not rank
                exact = goldore.prune(scores, f"{score}_{drops}", drop_ratio=ratio).indices
                differ = np.setxor1d(exact, wanted)
                assert np.bincount(labels[differ], minlength=10).max(initial=0) <= 1
                counts = [len(each) - int(round(ratio * 1000) * len(each) // 1000) for each in data[2]]
                assert np.bincount(labels[exact], minlength=10).tolist() == counts
