import numpy as np
import pytest

from goldore.scores.estimators.ridge import Ridge
from goldore.scores.estimators.utility import estimate_utility
from tests.scores.estimators.simulation import simulate


@pytest.mark.parametrize("common_init", [1, 5])
def test_it_is_the_closed_form_solution(common_init):
    made = simulate((14, 11), 60, 2, common_init=common_init, block_noise=1.0)
    ridge = Ridge(made.trials, made.trials.parts(), 25, 0.4, np.ones(25, dtype=bool))
    values, stderr = ridge.fit()
    member = np.zeros((60, 25), dtype=bool)
    np.put_along_axis(member, made.members.astype(int), values=True, axis=1)
    labels = np.zeros(25, dtype=int)
    labels[made.strata.pools[0][1]] = 1
    blocks = made.numbers // common_init if common_init > 1 else np.zeros(60, dtype=int)
    level = np.eye(blocks.max() + 1)[blocks]
    centre = np.eye(60) - level @ np.diag(1 / level.sum(axis=0)) @ level.T
    for label in range(2):
        of_class = labels == label
        design = centre @ member[:, of_class]
        penalty = 2 * (1 - 0.4) / 0.4 * np.eye(of_class.sum())
        outcome = centre @ made.outcome[:, label].astype(float)
        expected = np.linalg.solve(design.T @ design + penalty, design.T @ outcome)
        np.testing.assert_allclose(values[of_class], expected, rtol=1e-3, atol=1e-5)
    assert (stderr > 0).all()


def test_it_gains_where_the_samples_decide_much():
    plain, ridge = [], []
    for seed in range(3):
        made = simulate((200,), 600, 4, 0.8, seed)
        for found, estimator in ((plain, "in-minus-out"), (ridge, "ridge")):
            values = estimate_utility(made.trials, 200, estimator).values
            found.append(np.corrcoef(values, made.utility)[0, 1])
    assert np.mean(ridge) > np.mean(plain) + 0.02
