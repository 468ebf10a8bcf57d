"""Which real images a step of a study draws, and with which weights."""

import numpy as np
import pytest

from goldore.studies.pool import Pool, start_rows

LABELS = np.random.default_rng(0).integers(0, 3, 400)


def nested(seed, *sizes):
    order = np.random.default_rng(seed).permutation(len(LABELS))
    sets = np.zeros((len(sizes), len(LABELS)), dtype=bool)
    for row, size in zip(sets, sizes, strict=True):
        row[order[:size]] = True
    return sets


SETS = np.concatenate([nested(1, 300, 30, 100), nested(2, 60, 200), np.ones((1, len(LABELS)), dtype=bool)])


def test_weights_add_up_and_are_of_the_set_alone():
    for label, drawn in enumerate(Pool(SETS, LABELS, 3, 5).draw(np.random.default_rng(0))):
        weights = drawn.weights()
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
        assert (LABELS[drawn.rows] == label).all()
        assert len(np.unique(drawn.rows)) == len(drawn.rows)
        for which, row in enumerate(weights):
            assert SETS[which, drawn.rows[row > 0]].all()


def test_small_sets_are_taken_whole():
    for label, drawn in enumerate(Pool(SETS, LABELS, 3, len(LABELS)).draw(np.random.default_rng(0))):
        for which, row in enumerate(drawn.weights()):
            inside = SETS[which] & (label == LABELS)
            np.testing.assert_allclose(row, inside[drawn.rows] / inside.sum(), rtol=1e-5)


def test_a_batch_has_the_lowest_numbers_of_its_set():
    numbers = np.random.default_rng(7).random(len(LABELS), dtype=np.float32)
    for label, drawn in enumerate(Pool(SETS, LABELS, 3, 6).draw(np.random.default_rng(7))):
        for which, columns in enumerate(drawn.batches):
            inside = np.flatnonzero(SETS[which] & (label == LABELS))
            wanted = inside[np.argsort(numbers[inside])[:6]]
            assert sorted(drawn.rows[columns]) == sorted(wanted)


def test_a_set_draws_the_same_whatever_sets_are_beside_it():
    alone = Pool(SETS[2:3], LABELS, 3, 6).draw(np.random.default_rng(7))
    together = Pool(SETS, LABELS, 3, 6).draw(np.random.default_rng(7))
    for one, other in zip(alone, together, strict=True):
        assert sorted(one.rows[one.batches[0]]) == sorted(other.rows[other.batches[2]])


def test_means_over_sets_are_right_on_average():
    values = np.random.default_rng(3).normal(size=len(LABELS))
    pool, random = Pool(SETS, LABELS, 3, 4), np.random.default_rng(4)
    found = [[drawn.weights() @ values[drawn.rows] for drawn in pool.draw(random)] for _ in range(3000)]
    wanted = [[values[kept & (label == LABELS)].mean() for kept in SETS] for label in range(3)]
    spread = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - wanted) < 5 * spread + 1e-6).all()


def test_sets_that_overlap_draw_many_of_the_same_images():
    twice = np.concatenate([nested(1, 300)] * 2)
    twice[0, np.flatnonzero(twice[0])[-1]] = twice[1, np.flatnonzero(twice[1])[0]] = False
    drawn = Pool(twice, LABELS, 3, 20).draw(np.random.default_rng(0))
    assert sum(len(each.rows) for each in drawn) <= 3 * 22


def test_a_class_without_samples_in_a_set_has_no_weights():
    sets = np.stack([LABELS != 1, np.ones(len(LABELS), dtype=bool)])
    drawn = Pool(sets, LABELS, 3, 5).draw(np.random.default_rng(0))
    assert drawn[1].weights()[0].sum() == 0
    assert drawn[1].weights()[1].sum() == pytest.approx(1)


def test_images_start_from_the_lowest_numbers_of_each_class():
    numbers = np.array([0.5, 0.1, 0.3, 0.2, 0.9, 0.0], dtype=np.float32)
    found = start_rows([np.array([0, 1, 2]), np.array([3, 4, 5])], 2, numbers)
    assert found.tolist() == [[1, 2], [5, 3]]
