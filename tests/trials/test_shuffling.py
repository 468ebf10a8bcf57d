"""Shuffling in blocks: every sample once, blocks together, the same order for all, another one each epoch."""

import numpy as np
import pytest

from goldore.errors import UsageError
from goldore.trials import LossRecipe
from goldore.trials.shuffling import Shuffle, shuffle_for

BLOCKS = Shuffle(4, 16)


@pytest.mark.parametrize("samples", [1, 4, 15, 16, 17, 103])
def test_every_sample_comes_once_in_whole_blocks(samples):
    windows = list(BLOCKS.windows(samples, seed=3, epoch=1))
    assert sorted(np.concatenate(windows)) == list(range(samples))
    assert all(len(window) <= 16 for window in windows)
    for window in windows[:-1]:
        blocks = {position // 4 for position in window}
        assert all({*range(4 * block, min(4 * block + 4, samples))} <= {*window} for block in blocks)


def test_the_order_is_that_of_seed_and_epoch():
    first, again, later, other = (
        np.concatenate(list(BLOCKS.windows(100, seed, epoch)))
        for seed, epoch in ((3, 1), (3, 1), (3, 2), (4, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()
    assert (first != other).any()


def test_exact_is_one_window():
    (window,) = Shuffle().windows(7, 0, 1)
    np.testing.assert_array_equal(window, np.arange(7))


@pytest.mark.parametrize("text", ["exact", "blocks:4:16", "blocks:1:1"])
def test_texts_come_back(text):
    assert Shuffle.of(text).text == text
    assert LossRecipe.from_json(LossRecipe(shuffle=text).to_json()).shuffle == text


@pytest.mark.parametrize(
    "text", ["", "blocks", "blocks:0:4", "blocks:4:3", "blocks:4", "blocks:4:8:2", "Exact"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="`shuffle` is"):
        LossRecipe(shuffle=text)


def test_older_recipes_were_shuffled_exactly():
    text = LossRecipe(shuffle="exact").to_json().replace(', "shuffle": "exact"', "")
    assert "shuffle" not in text
    assert LossRecipe.from_json(text).shuffle == "exact"


def test_images_that_fit_are_shuffled_exactly():
    assert shuffle_for(1000, 12_288, 2**30).is_exact
    chosen = shuffle_for(1_281_167, 150_528, 64 * 2**30)  # ImageNet at 224 pixels
    assert chosen.block == 6
    assert chosen.window == 65_536
    assert shuffle_for(1_281_167, 150_528, 64 * 2**30 - 2**23) == chosen
