"""What each repository survives, against the table of what was found by reading and running it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldore import prune
from goldore.errors import UsageError
from goldore.repositories import REPOSITORIES
from goldore.repositories.limits import (
    commands,
    count_problems,
    dataset_problems,
    kept_within_classes,
    make_settings,
    smallest_ratio,
)
from goldore.repositories.model import Need
from goldore.store import DatasetInfo
from tests.conftest import make_score_file

NAMES = ("a", "b", "c")
MANY = 5000

PER_CLASS = [  # repository, how it is run, the fewest samples of a class with which it runs as it should
    ("dc", {}, 1),
    ("dc", {"ipc": 10}, 10),
    ("dsa", {}, 1),
    ("dsa", {"ipc": 50}, 50),
    ("dm", {}, 1),
    ("dm", {"ipc": 10, "batch_real": 64}, 10),
    ("mtt", {}, 1),
    ("mtt", {"ipc": 10}, 10),
    ("cafe", {}, 256),
    ("cafe", {"batch_real": 16}, 16),
    ("cafe", {"ipc": 50, "batch_real": 16}, 50),
    ("frepo", {}, 1),
    ("frepo", {"ipc": 10}, 10),
    ("rfad", {}, 1),
    ("rfad", {"ipc": 50}, 50),
    ("idc", {}, 64),
    ("idc", {"ipc": 50}, 200),
    ("idc", {"ipc": 10, "factor": 3}, 90),
    ("idc", {"batch_real": 8}, 8),
    ("idm", {}, 1),
    ("idm", {"ipc": 10}, 10),
    ("linba", {}, 64),
    ("linba", {"ipc": 10}, 64),
    ("haba", {}, 1),
    ("haba", {"ipc": 2}, 2),
    ("datm", {"ipc": 10}, 10),
    ("dream", {}, 128),
    ("dream", {"ipc": 50}, 200),
    ("datadam", {}, 64),
    ("datadam", {"ipc": 10, "batch_real": 4}, 10),
    ("ncfm", {}, 4),
    ("ncfm", {"ipc": 10}, 40),
    ("sre2l", {}, 1),
    ("rded", {}, 600),
    ("rded", {"batch_real": 300}, 300),
    ("d4m", {}, 10),
    ("d4m", {"ipc": 10}, 100),
    ("g-vbsm", {}, 1),
    ("selmatch", {}, 1),
    ("selmatch", {"ipc": 10}, 15),
    ("edf", {"ipc": 10}, 10),
    ("cv-dd", {}, 1),
    ("delt", {}, 2),
    ("delt", {"ipc": 10}, 12),
    ("wmdd", {"ipc": 10}, 1),
    ("ccfs", {}, 1),
    ("ccfs", {"ipc": 10}, 8),
    ("ftd", {"ipc": 10}, 10),
    ("tesla", {"ipc": 10}, 10),
]


def problems(name, kept, **options):
    repository = REPOSITORIES[name]
    settings = make_settings(repository, **options)
    return count_problems(repository, np.array(kept, dtype=np.int64), NAMES, settings)


def refusals(name, kept, **options):
    return [each.text for each in problems(name, kept, **options) if each.refuse]


def warnings(name, kept, **options):
    return [each.text for each in problems(name, kept, **options) if not each.refuse]


def test_every_repository_is_in_the_table():
    assert {name for name, _, _ in PER_CLASS} == set(REPOSITORIES)


@pytest.mark.parametrize(("name", "options", "needed"), PER_CLASS)
def test_what_a_class_needs_is_enough_and_one_less_is_refused(name, options, needed):
    assert refusals(name, [MANY, needed, MANY], **options) == []
    text = refusals(name, [MANY, needed - 1, MANY], **options)
    assert len(text) == 1
    title = REPOSITORIES[name].title
    sentence = f"{title} needs {needed} of each class, and class 1 (b) keeps {needed - 1}: below that "
    assert text[0].startswith(sentence)
    assert text[0].endswith(".")


@pytest.mark.parametrize("name", REPOSITORIES)
def test_an_empty_class_is_refused_everywhere(name):
    text = refusals(name, [MANY, MANY, 0], ipc=10)
    assert len(text) == 1
    assert "needs 1 of each class, and class 2 (c) keeps 0: below that" in text[0]


@pytest.mark.parametrize("name", ["dc", "dsa", "dm", "mtt", "haba", "cafe", "idm"])
def test_a_single_image_is_not_copied_to_all_synthetic_ones(name):
    text = refusals(name, [MANY, 1, MANY], ipc=10)
    assert [each for each in text if "a single image is copied to all synthetic images" in each] == text
    assert not any("single image" in each for each in refusals(name, [MANY, 1, MANY], ipc=1))


def test_rfad_needs_1280_in_all():
    assert refusals("rfad", [600, 600, 80]) == []
    assert refusals("rfad", [600, 600, 79]) == [
        "RFAD needs 1280 in all, and 1279 are kept: below that its batch of 1,280 cannot be drawn."
    ]


def test_a_need_of_each_kind_is_told():
    text = refusals("rfad", [5, 10, 10], ipc=10)
    assert ["10 of each class" in each for each in text] == [True, False]
    assert ["1280 in all" in each for each in text] == [False, True]


@pytest.mark.parametrize(
    ("name", "enough", "less", "number"),
    [
        ("dc", [256] * 3, [256, 255, 256], "256 of each class"),
        ("dm", [256] * 3, [256, 255, 256], "256 of each class"),
        ("mtt", [86, 85, 85], [85] * 3, "256 in all"),
        ("frepo", [342, 341, 341], [341] * 3, "1024 in all"),
        ("ncfm", [1024] * 3, [1024, 1023, 1024], "1024 of each class"),
        ("sre2l", [43, 43, 42], [43, 42, 42], "128 in all"),
    ],
)
def test_what_only_suffers_is_a_warning(name, enough, less, number):
    assert problems(name, enough) == []
    assert refusals(name, less) == []
    assert [f"needs {number}" in text for text in warnings(name, less)] == [True]


def test_the_worst_of_a_kind_is_told():
    assert ["needs 128 of each" in text for text in warnings("cafe", [100] * 3, batch_real=16)] == [True]
    assert ["needs 10 of each" in text for text in refusals("dc", [5] * 3, ipc=10)] == [True]
    assert warnings("dc", [5] * 3, ipc=10) == []  # that batches are small is no news then


NEEDS = st.lists(
    st.builds(
        Need,
        count=st.integers(1, 40),
        of=st.sampled_from(["class", "total"]),
        refuse=st.booleans(),
        effect=st.just("it fails"),
    ),
    max_size=3,
)


@st.composite
def scored(draw):
    """A score file of three classes with few distinct values."""
    counts = draw(st.lists(st.integers(1, 30), min_size=3, max_size=3))
    labels = np.random.default_rng(draw(st.integers(0, 99))).permutation(np.repeat(np.arange(3), counts))
    return make_score_file(np.random.default_rng(0).integers(0, 9, len(labels)), labels, 3)


@given(scores=scored(), needs=NEEDS, scope=st.sampled_from(["class", "global"]), lower=st.floats(0, 1))
def test_the_smallest_ratio_is_enough_and_no_lower_one(scores, needs, scope, lower):
    totals = np.bincount(scores.labels, minlength=3)

    def kept_at(steps):
        rule = {"keep_ratio": f"{steps / 10_000:.4f}", "scope": scope}
        return prune(scores, "LossConverge_large", **rule).kept_per_class if steps else np.zeros(3, np.int64)

    def enough(kept):
        have = {"class": min(kept), "total": sum(kept)}
        return all(have[need.of] >= need.count for need in needs if need.refuse)

    ratio = smallest_ratio(needs, totals, lambda ratio: kept_at(round(ratio * 10_000)))
    if not enough(totals):
        assert ratio is None
        return
    steps = round(ratio * 10_000)
    assert ratio == steps / 10_000
    assert enough(kept_at(steps))
    if any(need.refuse for need in needs):
        assert not enough(kept_at(steps - 1))
        assert not enough(kept_at(int(lower * (steps - 1))))
    else:
        assert steps == 1


@given(scores=scored(), steps=st.integers(1, 10_000))
def test_counts_within_classes_are_those_of_pruning(scores, steps):
    kept = prune(scores, "LossConverge_small", keep_ratio=f"{steps / 10_000:.4f}").kept_per_class
    totals = np.bincount(scores.labels, minlength=3)
    assert kept_within_classes(steps / 10_000, totals).tolist() == kept.tolist()


def info(name, source, classes=10, shape=(3, 32, 32)):
    names = tuple(map(str, range(classes)))
    return DatasetInfo(name, "train", 500, classes, names, shape, "f" * 64, source)


def found(name, dataset, order=None):
    return [(each.refuse, each.text) for each in dataset_problems(REPOSITORIES[name], dataset, order)]


class TestOrder:
    there = info("MNIST", "TensorFlow Datasets mnist/3.0.1")
    here = info("MNIST", "torchvision.datasets.MNIST in data")

    def test_frepo_reads_that_of_tensorflow_datasets(self):
        [(refuse, text)] = found("frepo", self.here)
        assert refuse
        assert text.endswith(
            "positions count in that of torchvision.datasets.MNIST in data; use `order` tfds."
        )
        assert found("frepo", self.here, self.there.source) == found("frepo", self.there) == []
        assert found("frepo", self.there, self.here.source) == [(True, text)]

    def test_arrays_may_have_been_written_in_its_order(self):
        [(refuse, text)] = found("frepo", self.here, "arrays in mnist.npz")
        assert not refuse
        assert "see that arrays in mnist.npz stand in it" in text

    @pytest.mark.parametrize("name", ["dc", "rfad", "idc", "linba", "haba"])
    def test_others_read_torchvisions(self, name):
        [(refuse, text)] = found(name, self.there)
        assert refuse
        assert text.endswith("use `order` with the dataset as torchvision has it.")
        assert found(name, self.there, self.here.source) == found(name, self.here) == []
        assert found(name, self.here, self.there.source) == [(True, text)]

    @pytest.mark.parametrize(
        ("name", "same", "other", "wanted"),
        [
            ("dm", "tensors in tinyimagenet.pt", "folder tree tiny-imagenet-200", "tinyimagenet.pt"),
            ("idm", "tensors in tinyimagenet.pt", "folder tree tiny-imagenet-200", "tinyimagenet.pt"),
            ("mtt", "folder tree tiny-imagenet-200", "tensors in tinyimagenet.pt", "the folder tree"),
            ("datm", "folder tree tiny-imagenet-200", "tensors in tinyimagenet.pt", "the folder tree"),
        ],
    )
    def test_tiny_imagenet_has_two(self, name, same, other, wanted):
        right, wrong = (info("TinyImageNet", source, 200, (3, 64, 64)) for source in (same, other))
        [(refuse, text)] = found(name, wrong)
        assert refuse
        assert f"reads {wanted}, which has another order than {other}" in text
        assert found(name, right) == found(name, wrong, same) == []
        assert found(name, right, other) == [(True, text)]


def test_a_data_set_that_it_has_not_is_a_warning():
    [(refuse, text)] = found("mtt", info("MNIST", "torchvision", shape=(1, 28, 28)))
    assert not refuse
    assert text == (
        "MTT has no dataset of the name MNIST that goldore knows of (CIFAR10, CIFAR100, TinyImageNet)."
    )


def test_what_reads_any_folder_has_every_data_set():
    assert found("rded", info("mine", "folder tree mine")) == []


@pytest.mark.parametrize(("classes", "shape"), [(100, (3, 32, 32)), (10, (1, 32, 32)), (10, (3, 28, 28))])
def test_cafe_takes_one_shape_alone(classes, shape):
    [(refuse, text)] = found("cafe", info("SVHN", "torchvision", classes, shape))
    assert refuse
    assert f"SVHN has {classes} of {shape[0]} x {shape[1]} x {shape[2]}." in text
    assert found("cafe", info("SVHN", "torchvision")) == []
    assert found("cafe", info("SVHN", "labels alone", shape=(0, 0, 0))) == []


class TestSettings:
    def test_defaults_are_the_repositorys(self):
        settings = make_settings(REPOSITORIES["idc"])
        assert (settings.ipc, settings.batch_real, settings.factor) == (1, 64, 2)
        assert make_settings(REPOSITORIES["dc"]).factor == 1

    def test_what_is_given_is_taken(self):
        settings = make_settings(REPOSITORIES["idc"], ipc=10, batch_real=32, factor=3)
        assert (settings.ipc, settings.batch_real, settings.factor) == (10, 32, 3)

    @pytest.mark.parametrize("option", ["ipc", "batch_real", "factor"])
    def test_numbers_below_1_are_refused(self, option):
        with pytest.raises(UsageError, match=f"`{option}` is 0; it must be 1 or more"):
            make_settings(REPOSITORIES["idc"], **{option: 0})

    @pytest.mark.parametrize("name", ["rfad", "frepo", "linba"])
    def test_batch_real_is_refused_where_there_is_none(self, name):
        with pytest.raises(UsageError, match="leave `batch_real` out"):
            make_settings(REPOSITORIES[name], batch_real=64)

    @pytest.mark.parametrize("name", ["dc", "mtt"])
    def test_factor_is_refused_where_there_is_none(self, name):
        with pytest.raises(UsageError, match="has no factor; leave `factor` out"):
            make_settings(REPOSITORIES[name], factor=2)


@pytest.mark.parametrize("name", REPOSITORIES)
def test_commands_are_filled_in(name):
    repository = REPOSITORIES[name]
    settings = make_settings(repository, ipc=50)
    lines = commands(repository, "CIFAR100", settings, "0123abcd")
    assert lines
    text = "\n".join(lines)
    assert not set("{}") & set(text)
    wanted = repository.commands_for.get("CIFAR100", repository.commands)
    assert ("50" in text) == any("{ipc}" in each for each in wanted)


def test_commands_are_those_of_the_data_set():
    for name, here, there in (
        ("CIFAR10", "IDM_cifar10.py", "Branch_CIFAR_10/"),
        ("CIFAR100", "IDM_cifar100.py", "_100/"),
    ):
        for repository, word in (("idm", here), ("g-vbsm", there)):
            known = REPOSITORIES[repository]
            assert word in "\n".join(commands(known, name, make_settings(known), "tag"))


def test_some_needs_depend_on_the_data_set():
    for name, dataset, least in (("dream", "TinyImageNet", 64), ("rfad", "CelebA", 1)):
        known = REPOSITORIES[name]
        settings = dataclasses.replace(make_settings(known), dataset=dataset)
        for count, refused in ((least, False), (least - 1, True)):
            kept = np.array([2000, count, 2000])
            assert any(each.refuse for each in count_problems(known, kept, NAMES, settings)) == refused


@pytest.mark.parametrize("name", ["dc", "dsa", "dm", "cafe"])
def test_some_numbers_of_images_end_the_run(name):
    with pytest.raises(UsageError, match="1, 10, 20, 30, 40, 50 images per class only, and `ipc` is 5"):
        make_settings(REPOSITORIES[name], ipc=5)


def test_rded_needs_files_for_its_grid():
    assert make_settings(REPOSITORIES["rded"], ipc=10, batch_real=40).batch_real == 40
    with pytest.raises(UsageError, match="must be at least 40"):
        make_settings(REPOSITORIES["rded"], ipc=10, batch_real=39)


def test_commands_of_two_stages_share_a_tag_and_spell_the_data_set_as_there():
    repository = REPOSITORIES["mtt"]
    lines = commands(repository, "TinyImageNet", make_settings(repository, ipc=10), "0123abcd")
    assert [("--dataset Tiny " in line, "buffers-0123abcd" in line) for line in lines] == [(True, True)] * 2
    assert "--ipc 10 " in lines[1]
