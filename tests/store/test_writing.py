import dataclasses
import json
import shutil

import h5py
import numpy as np
import pytest

from goldore import load_scores
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.errors import ScoreFileError, UsageError
from goldore.networks.config import ConvNetConfig
from goldore.scores import LOSS_CONVERGE, LOSS_INIT, ScoreDefinition
from goldore.store import (
    Header,
    LossResult,
    LossRun,
    add_trials,
    check_same_run,
    check_storable,
    estimate_scores,
)
from goldore.store.digests import header_digest
from goldore.store.verifying import verify
from goldore.store.writing import size_of
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.conftest import edited, make_dataset

OTHER = ScoreDefinition(name="Other", definition="a test", unit="nat", drops="small")
RECIPE = LossRecipe(network=ConvNetConfig(depth=2, width=8), epochs=4, mean=(0.3,), std=(0.2,))


def run(**fields):
    return LossRun(
        **{
            "recipe": RECIPE,
            "base_seed": 5,
            "scores": (LOSS_INIT, LOSS_CONVERGE),
            "device": "CPU",
            "torch_version": "2.6",
            **fields,
        }
    )


def results(dataset, numbers, failed=()):
    return [
        LossResult(
            trial=trial,
            failed=trial.number in failed,
            recorded={
                name: np.random.default_rng([trial.number, code]).random(
                    dataset.num_samples, dtype=np.float32
                )
                for code, name in enumerate(("LossInit", "LossConverge"))
            },
            train_loss=np.linspace(2, 1, 4, dtype=np.float32),
            test_accuracy=0.5,
        )
        for trial in make_trials(5, numbers)
    ]


@pytest.fixture
def path(tmp_path, dataset):
    add_trials(tmp_path / "scores.h5", Header.of(dataset), run(), results(dataset, [0, 1, 2]))
    estimate_scores(tmp_path / "scores.h5")
    return tmp_path / "scores.h5"


def test_what_was_written_is_read_again(path, dataset):
    file = load_scores(path)
    assert file.dataset.name == "corners"
    assert file.dataset.fingerprint == dataset.fingerprint
    assert file.dataset.class_names == dataset.class_names
    assert file.dataset.image_shape == (1, 8, 8)
    assert np.array_equal(file.labels, dataset.labels)
    assert file.score_names == ("LossInit", "LossConverge")
    assert file.loss_trials.recipe == RECIPE
    assert file.loss_trials.done == (0, 1, 2)
    assert file.loss_trials.seed.tolist() == [trial.seed for trial in make_trials(5, range(3))]
    written = np.stack([each.recorded["LossInit"] for each in results(dataset, [0, 1, 2])]).astype(float)
    np.testing.assert_allclose(file.scores["LossInit"].values, written.mean(0), rtol=1e-12)
    np.testing.assert_allclose(file.scores["LossInit"].stderr, written.std(0, ddof=1) / 3**0.5, rtol=1e-9)


def test_plain_h5py_reads_the_documented_layout(path, dataset):
    with h5py.File(path) as file:
        assert file.attrs["format"] == "goldore-scores"
        assert file["dataset/labels"].dtype == np.int32
        assert np.array_equal(file["dataset/sample_hash"][()], dataset.sample_hash)
        assert file["scores/LossConverge"].dtype == np.float64
        assert file["stderr/LossConverge"].shape == (60,)
        assert file["scores/LossInit"].attrs["trials"] == 3
        assert json.loads(file["scores/LossInit"].attrs["recipe"])["epochs"] == 4
        assert "ICC" in file["scores/LossInit"].attrs["reliability_method"]
        assert file["trials/loss/LossInit"].dtype == np.float32
        assert file["trials/loss/LossInit"].shape == (3, 60)
        assert file["trials/loss/done"][()].tolist() == [1, 1, 1]
        assert "paths" not in file["dataset"]


@pytest.mark.parametrize(
    ("source", "digest"),
    [
        ("folder tree /data, images resized to 4", "d35d95f1241c628f661f04dd7eaf7337"),
        ("made by the tests", "105b81e4ead152b866ae6d587d62f82e"),
    ],
)
def test_the_checksum_of_a_header_is_that_of_files_without_an_origin(source, digest):
    images = np.arange(96, dtype=np.uint8).reshape(2, 3, 4, 4)
    two = ImageDataset("two", images, np.array([0, 1]), ("a", "b"), source, paths=("a/1.png", "b/2.png"))
    header = Header.of(two)
    assert header_digest(header)[:32] == digest
    other = dataclasses.replace(header.info, origin=Origin("folder", path="/elsewhere"))
    assert header_digest(dataclasses.replace(header, info=other))[:32] != digest


def test_where_the_images_come_from_is_stored_and_read_again(tmp_path, dataset):
    origin = Origin("folder", path="trees, images resized to 5")  # which words cannot tell
    written = Header.of(dataclasses.replace(dataset, origin=origin))
    add_trials(tmp_path / "origin.h5", written, run(), results(dataset, [0]))
    assert load_scores(tmp_path / "origin.h5").dataset == written.info
    assert not verify(tmp_path / "origin.h5").problems


def test_paths_and_other_alphabets_survive(tmp_path):
    from dataclasses import replace

    base = make_dataset(counts=(3, 3))
    names, paths = ("Würfel", "立方体"), tuple(f"立方体/{i}.png" for i in range(6))
    dataset = replace(base, class_names=names, paths=paths)
    add_trials(tmp_path / "s.h5", Header.of(dataset), run(), results(dataset, [0]))
    assert load_scores(tmp_path / "s.h5").dataset.class_names == names
    with h5py.File(tmp_path / "s.h5") as file:
        assert tuple(file["dataset/paths"].asstr()[()]) == paths


def test_trials_added_later_give_the_file_of_one_go(path, dataset, tmp_path):
    add_trials(path, Header.of(dataset), run(), results(dataset, [4, 3]))
    add_trials(tmp_path / "whole.h5", Header.of(dataset), run(), results(dataset, range(5)))
    piecewise, whole = load_scores(path), load_scores(tmp_path / "whole.h5")
    assert piecewise.loss_trials.done == whole.loss_trials.done == (0, 1, 2, 3, 4)
    for name in whole.scores:
        assert np.array_equal(piecewise.scores[name].values, whole.scores[name].values)
        assert np.array_equal(piecewise.scores[name].stderr, whole.scores[name].stderr)
        assert piecewise.scores[name].rank_reliability == whole.scores[name].rank_reliability


def test_rows_that_are_not_done_are_not_averaged(tmp_path, dataset):
    path = tmp_path / "gap.h5"
    add_trials(path, Header.of(dataset), run(), results(dataset, [0, 3]))
    file = load_scores(path)
    assert file.loss_trials.done == (0, 3)
    assert file.scores["LossInit"].trials == 2
    assert np.isfinite(file.scores["LossInit"].values).all()


def test_failed_trials_are_marked_and_not_averaged(path, dataset):
    before = load_scores(path).scores["LossConverge"].values
    add_trials(path, Header.of(dataset), run(), results(dataset, [3], failed=[3]))
    file = load_scores(path)
    assert file.loss_trials.failed == (3,)
    assert np.array_equal(file.scores["LossConverge"].values, before)


def test_a_crash_while_writing_leaves_the_previous_file(path, dataset, monkeypatch):
    content = path.read_bytes()

    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("goldore.store.writing.seal", crash)
    with pytest.raises(KeyboardInterrupt):
        add_trials(path, Header.of(dataset), run(), results(dataset, [3]))
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_only_the_wanted_scores_are_read(path):
    assert list(load_scores(path, only=()).scores) == []
    assert list(load_scores(path, only=["loss-init"]).scores) == ["LossInit"]
    assert load_scores(path, only=["loss-init"]).score_names == ("LossInit", "LossConverge")


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (run(base_seed=6), ["seed: 5 there / 6 now"]),
        (
            run(
                recipe=LossRecipe(network=ConvNetConfig(depth=2, width=16), epochs=4, mean=(0.3,), std=(0.2,))
            ),
            ["width: 8 there / 16 now"],
        ),
        (run(scores=(LOSS_INIT, OTHER)), ["scores: LossInit,LossConverge there / LossInit,Other now"]),
    ],
)
def test_another_run_is_refused_with_both_values(path, dataset, other, parts):
    with pytest.raises(ScoreFileError) as refusal:
        check_same_run(load_scores(path), Header.of(dataset), other)
    for part in [*parts, "`overwrite`", "`out`"]:
        assert part in str(refusal.value)


def test_another_dataset_is_refused(path):
    with pytest.raises(ScoreFileError, match=r"dataset: corners .* there / corners"):
        check_same_run(load_scores(path), Header.of(make_dataset(seed=1)), run())


def test_the_same_run_with_fewer_scores_is_accepted(path, dataset):
    check_same_run(load_scores(path), Header.of(dataset), run(scores=(LOSS_INIT,)))


def _delete(name):
    def damage(file):
        del file[name]

    return damage


def _set(name, key, value):
    def damage(file):
        file[name].attrs[key] = value

    return damage


def _replace(name, value):
    def damage(file):
        attrs = dict(file[name].attrs)
        del file[name]
        file[name] = value
        file[name].attrs.update(attrs)

    return damage


def _link_outside(file):
    del file["dataset/labels"]
    file["dataset/labels"] = h5py.ExternalLink("elsewhere.h5", "/labels")


@pytest.mark.parametrize(
    "damage",
    [
        _delete("dataset"),
        _delete("dataset/labels"),
        _delete("stderr/LossInit"),
        _delete("stderr"),
        _delete("trials/loss/done"),
        _set("/", "format", "something else"),
        _set("dataset", "num_samples", 61),
        _set("dataset", "num_classes", 2),
        _set("dataset", "image_shape", [1, 2]),
        _set("trials/loss", "recipe", "{"),
        _replace("dataset/labels", np.full(60, 7)),
        _replace("dataset/labels", np.zeros(60)),
        _replace("scores/LossInit", np.zeros(59)),
        _replace("scores/LossInit", [b"text"] * 60),
        _link_outside,
    ],
)
def test_damaged_files_end_in_a_sentence(path, damage):
    with edited(path) as file:
        damage(file)
    with pytest.raises(ScoreFileError) as refusal:
        load_scores(path)
    assert str(path) in str(refusal.value)


def test_files_that_are_something_else_are_refused(path, tmp_path):
    (tmp_path / "text.h5").write_text("hello")
    h5py.File(tmp_path / "other.h5", "w").close()
    for name in ("text.h5", "other.h5", "missing.h5"):
        with pytest.raises(ScoreFileError, match=name):
            load_scores(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_files_end_in_a_sentence(path, tmp_path, share):
    short = tmp_path / "short.h5"
    shutil.copyfile(path, short)
    with short.open("rb+") as file:
        file.truncate(int(share * path.stat().st_size))
    with pytest.raises(ScoreFileError, match="damaged"):
        load_scores(short)


def test_ten_thousand_classes_are_stored(tmp_path):
    dataset = make_dataset(counts=(1,) * 10_000, side=2, tests=0)
    add_trials(tmp_path / "s.h5", Header.of(dataset), run(), results(dataset, [0]))
    file = load_scores(tmp_path / "s.h5")
    assert file.dataset.class_names == dataset.class_names
    assert len(file.scores["LossInit"].class_reliability) == 10_000


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path, dataset):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.h5"
    link.symlink_to(tmp_path / "real" / "scores.h5")
    for numbers in ([0], [1]):
        add_trials(link, Header.of(dataset), run(), results(dataset, numbers))
    assert link.is_symlink()
    assert load_scores(tmp_path / "real" / "scores.h5").loss_trials.done == (0, 1)


def test_a_file_without_loss_trials_can_take_some(path, dataset):
    with edited(path) as file:
        del file["trials"]
    assert load_scores(path).loss_trials is None
    add_trials(path, Header.of(dataset), run(), results(dataset, [0]))
    assert load_scores(path).loss_trials.done == (0,)


def test_check_storable_leaves_nothing_behind(tmp_path, dataset):
    check_storable(tmp_path / "new" / "s.h5", Header.of(dataset), run())
    assert list((tmp_path / "new").iterdir()) == []


def test_the_size_of_a_file_is_never_underestimated(tmp_path):
    dataset = make_dataset(counts=(3000, 3000), side=2)
    added = results(dataset, range(6))
    add_trials(tmp_path / "s.h5", Header.of(dataset), run(), added)
    size = (tmp_path / "s.h5").stat().st_size
    assert size < size_of(Header.of(dataset), run(), added) < size + 2**20


def test_a_score_file_does_not_take_the_name_of_an_index_file(tmp_path, dataset):
    with pytest.raises(UsageError, match=r"ends in \.h5"):
        check_storable(tmp_path / "scores.npz", Header.of(dataset), run())
