"""Differentiable augmentation."""

import numpy as np
import pytest
import torch

from goldore.training.augmentation import Drawn, augment, draw
from goldore.trials import AUGMENTATIONS

IMAGES = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3, 16, 12)).astype(np.float32))
UNCHANGED = {  # numbers with which a strategy changes nothing
    "color": (0.5, 0.5, 0.5),
    "crop": (0.5, 0.5, 0.0),
    "flip": (0.5, 0.0, 0.0),
    "scale": ((1 - 1 / 1.2) / (1.2 - 1 / 1.2),) * 3,
    "rotate": (0.5, 0.0, 0.0),
}


def drawn(name, *rows):
    return Drawn(name, np.array(rows, dtype=np.float32))


@pytest.mark.parametrize("name", sorted(UNCHANGED))
def test_the_middle_of_the_range_changes_nothing(name):
    torch.testing.assert_close(augment(IMAGES, drawn(name, UNCHANGED[name])), IMAGES, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_numbers_for_all_are_the_same_numbers_for_each(name):
    numbers = (0.1, 0.8, 0.3)
    alike = augment(IMAGES, drawn(name, numbers))
    torch.testing.assert_close(augment(IMAGES, drawn(name, *[numbers] * 5)), alike)
    assert alike.shape == IMAGES.shape
    assert not torch.equal(alike, IMAGES)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_image_has_its_own_numbers(name):
    numbers = np.random.default_rng(1).random((5, 3))
    whole = augment(IMAGES, drawn(name, *numbers))
    for row in range(5):
        torch.testing.assert_close(whole[row], augment(IMAGES[row : row + 1], drawn(name, numbers[row]))[0])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_pass(name):
    images = IMAGES.clone().requires_grad_()
    augment(images, drawn(name, (0.2, 0.7, 0.4))).square().sum().backward()
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0


def test_flip_is_of_the_width():
    torch.testing.assert_close(augment(IMAGES, drawn("flip", (0.4, 0, 0))), IMAGES.flip(3))


def test_crop_moves_by_an_eighth_at_the_most():
    moved = augment(IMAGES, drawn("crop", (0.0, 0.0, 0.0)))  # 2 of 16 down, 2 of 12 (1.5) to the right
    torch.testing.assert_close(moved[:, :, 2:, 2:], IMAGES[:, :, :-2, :-2])
    assert (moved[:, :, :2] == 0).all()
    back = augment(IMAGES, drawn("crop", (0.999, 0.999, 0.0)))
    torch.testing.assert_close(back[:, :, :-2, :-2], IMAGES[:, :, 2:, 2:])


def test_cutout_clears_a_square_of_half_the_side():
    cut = augment(torch.ones(1, 1, 16, 16), drawn("cutout", (0.5, 0.5, 0)))
    assert (cut == 0).sum() == 64
    corner = augment(torch.ones(1, 1, 16, 16), drawn("cutout", (0.0, 0.0, 0)))
    assert (corner == 0).sum() == 16
    assert (corner[0, 0, :4, :4] == 0).all()


def test_colours_keep_their_ranges():
    brighter = augment(IMAGES, drawn("color", (0.999, 0.5, 0.5)))
    torch.testing.assert_close(brighter.mean(), IMAGES.mean() + 0.499, rtol=1e-3, atol=1e-3)
    grey = augment(IMAGES, drawn("color", (0.5, 0.0, 0.5)))
    torch.testing.assert_close(grey.std(1), torch.zeros(5, 16, 12), rtol=0, atol=1e-5)
    flat = augment(IMAGES, drawn("color", (0.5, 0.5, 0.0)))
    torch.testing.assert_close(flat.std((1, 2, 3)), 0.5 * IMAGES.std((1, 2, 3)))


def test_drawing_takes_as_many_numbers_whatever_comes_out():
    for names in (AUGMENTATIONS, ("flip",), ()):
        random, same = np.random.default_rng(3), np.random.default_rng(3)
        found = {draw(names, random, 2).name for _ in range(60)}
        for _ in range(60):
            same.integers(max(len(names), 1))
            same.random((2, 3), dtype=np.float32)
        assert random.random() == same.random()
        assert found == (set(names) or {""})


def test_nothing_is_changed_without_a_strategy():
    assert augment(IMAGES, drawn("", (0.1, 0.2, 0.3))) is IMAGES
