"""Goldore on real data; the tests skip where the data are not at hand."""

import gzip
import json

import numpy as np
import pytest
from scipy.stats import spearmanr

import goldore


@pytest.mark.slow
def test_loss_converge_of_mnist_agrees_with_the_published_scores(shared_data, tmp_path):
    """The published file is that of arXiv 2305.18381's repository; docs/mnist.md has the full run."""
    published = np.array(
        json.loads(
            gzip.decompress((shared_data / "published_scores/MNIST_LossConverge.json.gz").read_bytes())
        )
    )
    recipe = goldore.LossRecipe(network=goldore.ConvNetConfig(width=16), epochs=2)
    file = goldore.score(
        str(shared_data / "mnist"),
        scores=["LossConverge"],
        trials=3,
        recipe=recipe,
        device="cpu",
        out=tmp_path / "m.h5",
    )
    values = file.scores["LossConverge"].values
    within = [
        spearmanr(values[file.labels == label], published[file.labels == label]).statistic
        for label in range(10)
    ]
    assert np.mean(within) >= 0.95
    assert file.scores["LossConverge"].rank_reliability > 0.85
