import dataclasses

import numpy as np
import pytest

import goldore
from goldore import ConvNetConfig, LossRecipe
from goldore.errors import ScoreFileError, UsageError
from tests.conftest import edited, make_dataset

RECIPE = LossRecipe(network=ConvNetConfig(depth=1, width=4), epochs=2, batch_size=16)


@pytest.fixture
def part(tmp_path):
    def make(name, numbers, dataset=None, **fields):
        arguments = {"recipe": RECIPE, "device": "cpu", **fields}
        path = tmp_path / f"{name}.h5"
        goldore.score(dataset or make_dataset(), out=path, trial_range=numbers, **arguments)
        return path

    return make


def test_parts_make_the_whole(part, tmp_path):
    whole = part("whole", range(5))
    merged = goldore.merge([part("a", range(2)), part("b", range(1, 5))], tmp_path / "m.h5")
    expected = goldore.load_scores(whole)
    assert merged.loss_trials.done == (0, 1, 2, 3, 4)
    for name, score in expected.scores.items():
        assert np.array_equal(score.values, merged.scores[name].values)
        assert score.rank_reliability == merged.scores[name].rank_reliability


def test_strangers_are_refused(part, tmp_path):
    first = part("a", range(1))
    strangers = [
        part("seed", range(1, 2), seed=1),
        part("recipe", range(1, 2), recipe=dataclasses.replace(RECIPE, lr=0.1)),
        part("dataset", range(1, 2), make_dataset(seed=5)),
    ]
    for stranger in strangers:
        with pytest.raises(ScoreFileError, match=r"another run than .*a\.h5 .*merge parts of one run"):
            goldore.merge([first, stranger], tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


def test_a_trial_with_two_results_is_refused(part, tmp_path):
    first, second = part("a", range(2)), part("b", range(1, 3))
    with edited(second) as file:
        file["trials/loss/LossInit"][1] += 1
    with pytest.raises(ScoreFileError, match=r"trial 1 .* has another LossInit"):
        goldore.merge([first, second], tmp_path / "m.h5")


def test_one_part_or_an_existing_target_is_refused(part, tmp_path):
    first = part("a", range(1))
    with pytest.raises(UsageError, match="two score files or more"):
        goldore.merge([first], tmp_path / "m.h5")
    before = first.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        goldore.merge([first, first], first)
    assert first.read_bytes() == before
