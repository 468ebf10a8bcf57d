"""What the tests of studies share: a small dataset, its score file, and a recipe of seconds."""

from dataclasses import replace

import numpy as np
import pytest

from goldore.networks.config import ConvNetConfig
from goldore.store import Header, Score, load_scores, write_new
from goldore.trials import MatchRecipe, StudyRecipe
from tests.conftest import make_dataset, make_score_file

RECIPE = StudyRecipe(
    network=ConvNetConfig(width=4, depth=1),
    dm=MatchRecipe(match_steps=3, match_lr=1.0, match_batch=4),
    dc=MatchRecipe(match_steps=2, match_lr=0.1, match_batch=3),
    augment=("crop", "flip"),
    judges=2,
    judge_steps=4,
    subset_steps=3,
    test_per_class=None,
)


def two_scores(labels, classes):
    """A score file in memory with LossInit and LossConverge, two random orders."""
    random = np.random.default_rng(0)
    made = [
        make_score_file(random.random(len(labels)), labels, classes, name=name)
        for name in ("LossInit", "LossConverge")
    ]
    scores = {each.score_names[0]: next(iter(each.scores.values())) for each in made}
    return replace(made[0], score_names=tuple(scores), scores=scores)


@pytest.fixture
def data():
    """Images of three classes, 30 and more of each."""
    return make_dataset(counts=(40, 30, 50), tests=40)


@pytest.fixture
def scored(data, tmp_path):
    """The score file of that dataset."""
    header = Header.of(data)
    scores = two_scores(data.labels, data.num_classes).scores.values()
    path = tmp_path / "scores.h5"
    write_new(path, header, [replace(each, trials=0) if isinstance(each, Score) else each for each in scores])
    return load_scores(path)
