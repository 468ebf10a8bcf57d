"""A score is one row of the table: added to a copy of goldore, and run from its command line."""

import h5py
import numpy as np
import pytest

import goldore
from tests.conftest import make_dataset
from tests.copies import changed_copy

ROW = """ErrorLength = TrainingScore(
    name="ErrorLength",
    definition="norm of the softmax minus the label, after the last epoch (Paul et al., arXiv 2107.07075)",
    unit="1",
    drops="large",
    low="easy",
    high="hard",
    epochs=lambda recipe: [recipe.epochs],
    record=mean_of(lambda predictions: predictions.errors.norm(dim=2)),
)
MONTE_CARLO = UtilityScore("""
TABLE = "goldore/scores/table.py"
EDITS = (
    (TABLE, "MONTE_CARLO = UtilityScore(", ROW),
    (
        TABLE,
        "(LOSS_INIT, LOSS_CONVERGE, *DYNAMICS, HELD",
        "(LOSS_INIT, LOSS_CONVERGE, ErrorLength, *DYNAMICS, HELD",
    ),
)
PLAIN = """
import sys
import numpy as np
from goldore import LossRecipe, load_dataset, load_scores
from goldore.training.reference import train_one
from goldore.trials.seeds import make_trials
dataset, file = load_dataset(sys.argv[1]), load_scores(sys.argv[2])
recipe, found = file.loss_trials.recipe, []
architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
for trial in make_trials(file.loss_trials.base_seed, range(2)):
    logits = train_one(dataset, architecture, recipe, trial)[recipe.epochs].astype(np.float64)
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax /= softmax.sum(axis=1, keepdims=True)
    found.append(np.linalg.norm(softmax - np.eye(dataset.num_classes)[dataset.labels], axis=1))
np.save(sys.argv[3], np.mean(found, axis=0))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return changed_copy(tmp_path_factory.mktemp("copy"), edits=EDITS)


def test_a_score_that_is_added_runs_end_to_end(run, tmp_path):
    dataset = make_dataset()
    data, out, keep = (tmp_path / name for name in ("data.npz", "s.h5", "keep.npy"))
    np.savez(data, x_train=dataset.images, y_train=dataset.labels)
    options = ("--trials", 2, "--epochs", 3, "--width", 4, "--depth", 1, "--precision", "float32")
    run("-m", "goldore", "score", data, "--scores", "loss-init,error-length", *options, "--out", out)
    run("-c", PLAIN, data, out, tmp_path / "plain.npy")
    with h5py.File(out) as file:
        values = file["scores/ErrorLength"][()]
    np.testing.assert_allclose(values, np.load(tmp_path / "plain.npy"), rtol=1e-4)
    assert "high = hard, low = easy" in run("-m", "goldore", "inspect", out, "--verbose").stdout
    run(
        "-m",
        "goldore",
        "prune",
        out,
        "--criterion",
        "ErrorLength_large",
        "--keep-ratio",
        "0.5",
        "--out",
        keep,
    )
    dropped = np.setdiff1d(np.arange(len(values)), goldore.load_indices(keep))
    for label in range(dataset.num_classes):
        mine = np.flatnonzero(dataset.labels == label)
        assert values[np.intersect1d(mine, dropped)].min() >= values[np.setdiff1d(mine, dropped)].max()
    assert goldore.load_scores(out).score_names == ("LossInit", "ErrorLength")  # by a goldore without it
