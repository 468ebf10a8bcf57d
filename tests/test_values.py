import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

import goldore
from goldore.values import Value
from tests.conftest import make_dataset


@dataclass(frozen=True, eq=False, repr=False)
class Pair(Value):
    name: str
    array: np.ndarray
    more: object = None


class Other(Pair):
    pass


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        (np.arange(3), np.arange(3), True),
        (np.arange(3), np.arange(4), False),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), False),
        (np.array(["a"]), np.array(["a"]), True),
    ],
)
def test_arrays_are_compared_by_their_entries(one, two, equal):
    assert (Pair("a", one) == Pair("a", two)) is equal
    assert (Pair("a", one) != Pair("a", two)) is not equal
    assert (Pair("a", one, {"x": [one]}) == Pair("a", one, {"x": [two]})) is equal


def test_other_types_and_names_differ():
    pair = Pair("a", np.arange(3))
    assert pair != Pair("b", np.arange(3))
    assert pair != Other("a", np.arange(3))
    assert pair != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(pair)


def test_a_repr_is_short():
    text = repr(Pair("n" * 500, np.zeros((1000, 3), np.float32), tuple(range(1000))))
    assert len(text) < 200
    assert "float32[1000, 3]" in text
    assert "... 996 more" in text


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    recipe = goldore.LossRecipe(epochs=1, network=goldore.ConvNetConfig(depth=1, width=4))
    out = tmp_path_factory.mktemp("values") / "s.h5"
    return goldore.score(make_dataset(), trials=2, recipe=recipe, out=out, device="cpu")


def test_what_python_users_hold_is_shown_on_a_line(scored):
    kept = goldore.prune(scored, "LossInit_large", keep_per_class=3)
    for value in (scored, scored.scores["LossInit"], kept, make_dataset(), scored.loss_trials):
        assert len(repr(value)) < 320, repr(value)
        assert "\n" not in repr(value)
    assert repr(kept) == "Selection(9 of 60 samples of corners by LossInit_large, keep_per_class 3)"
    assert (len(scored), len(kept), len(make_dataset())) == (60, 9, 60)


def test_equal_content_is_equal(scored):
    again = goldore.load_scores(scored.path)
    assert again == scored
    assert dataclasses.replace(again, device="elsewhere") != scored
    assert make_dataset() == make_dataset()
    assert make_dataset() != make_dataset(seed=1)
    one, two = (goldore.prune(scored, "LossInit_large", keep_per_class=count) for count in (3, 4))
    assert one == goldore.prune(scored, "LossInit_large", keep_per_class=3)
    assert one != two


def test_frames_hold_the_table(scored):
    pytest.importorskip("pandas")
    frame = scored.to_frame()
    assert len(frame) == 60
    np.testing.assert_array_equal(frame["LossInit"], scored.scores["LossInit"].values)
    np.testing.assert_array_equal(frame["label"], scored.labels)
    kept = goldore.prune(scored, "LossInit_large", keep_per_class=3)
    np.testing.assert_array_equal(kept.to_frame()["position"], kept.indices)


def test_without_pandas_it_is_named(scored, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(goldore.UsageError, match="pip install pandas"):
        scored.to_frame()


def test_scores_are_drawn(scored):
    pytest.importorskip("matplotlib")
    assert len(scored.plot()) == 3  # two distributions and a pair
    assert len(scored.plot("LossInit")) == 1
    with pytest.raises(goldore.UsageError, match="has no score EL2N"):
        scored.plot("EL2N")


@pytest.mark.parametrize(
    ("call", "kind", "argument"),
    [
        (
            lambda file: goldore.prune(file, "LossInit_large", keep_ratio="3"),
            goldore.UsageError,
            "keep_ratio",
        ),
        (lambda _: goldore.load_dataset("MNIST", data_root="/nowhere"), goldore.DatasetError, "data_root"),
        (lambda _: goldore.load_indices("/nowhere.npy"), goldore.IndexFileError, None),
        (lambda _: goldore.load_scores("/nowhere.h5"), goldore.ScoreFileError, None),
    ],
)
def test_errors_are_exported_and_name_the_argument(scored, call, kind, argument):
    with pytest.raises(kind) as caught:
        call(scored)
    assert caught.value.argument == argument
    assert isinstance(caught.value, goldore.GoldoreError)
