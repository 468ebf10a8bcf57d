"""Differentiable augmentation.

The strategies of Zhao & Bilen, "Dataset Condensation with Differentiable Siamese Augmentation" (arXiv
2102.08259), with the ranges of their table. A step draws one strategy, and numbers for it: one set for all
images, so that real and synthetic ones are changed alike ("siamese"), or one for each image. Images are
normalised; what comes in from outside is 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from goldore.training.checkpoints import generator_state, set_generator
from goldore.trials import AUGMENTATIONS
from goldore.trials.loss_recipe import Augment
from goldore.trials.seeds import Stream, Trial

_NUMBERS = 3  # that a strategy takes at the most
_SHIFT, _CUT = 0.125, 0.5  # shares of the side
_SCALE, _DEGREES = 1.2, 15.0
_BRIGHTNESS, _SATURATION, _CONTRAST = 1.0, 2.0, 0.5


@dataclass(frozen=True)
class Drawn:
    """One strategy with its numbers.

    Attributes:
        name: out of `AUGMENTATIONS`, or "flip-crop"; "" changes nothing.
        numbers: 0 <= number < 1, float32 [n, 3]; n is 1 for all images alike.
    """

    name: str
    numbers: NDArray[np.float32]


def draw(names: tuple[str, ...], random: np.random.Generator, count: int = 1) -> Drawn:
    """Draw one of the strategies.

    Args:
        names: to draw from; empty: nothing is changed.
        random: which has drawn the same numbers afterwards, whatever came out.
        count: sets of numbers.
    """
    which = int(random.integers(max(len(names), 1)))
    numbers = random.random((count, _NUMBERS), dtype=np.float32)
    return Drawn(names[which] if names else "", numbers)


def augment(images: Tensor, drawn: Drawn) -> Tensor:
    """Change images; gradients pass through.

    Args:
        images: normalised, [B, C, H, W].
        drawn: for all alike, or for B images.

    Returns:
        Images of the same shape.
    """
    if not drawn.name:
        return images
    numbers = torch.from_numpy(drawn.numbers).to(images.device).T[..., None, None, None]  # [3, n, 1, 1, 1]
    return (_STRATEGIES | _TOGETHER)[drawn.name](images, numbers.to(images.dtype))


class Augmenter:
    """Augments the batches of networks that train together, each by its own trial's numbers.

    Args:
        kind: as `LossRecipe.augment`, not "none".
        trials: E of them.
    """

    def __init__(self, kind: Augment, trials: Sequence[Trial]) -> None:
        self._names = AUGMENTATIONS if kind == "dsa" else (kind,)
        self._draws = [trial.stream(Stream.AUGMENT) for trial in trials]

    def state(self) -> list[dict[str, Any]]:
        """Where its random numbers are."""
        return [generator_state(random) for random in self._draws]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from a `state` of the same trials."""
        for random, where in zip(self._draws, state, strict=True):
            set_generator(random, where)

    def __call__(self, images: Tensor) -> Tensor:
        """Change the next batch, normalised images [B, E, C, H, W]."""
        changed = [
            augment(images[:, place], draw(self._names, random, len(images)))
            for place, random in enumerate(self._draws)
        ]
        return torch.stack(changed, dim=1)


def _flip(images: Tensor, numbers: Tensor) -> Tensor:
    return torch.where(numbers[0] < 0.5, images.flip(3), images)  # noqa: PLR2004  # half of them


def _color(images: Tensor, numbers: Tensor) -> Tensor:
    """Brightness, saturation and contrast, one after another."""
    images = images + (numbers[0] - 0.5) * _BRIGHTNESS
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (numbers[1] * _SATURATION) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (numbers[2] + _CONTRAST) + mean


def _crop(images: Tensor, numbers: Tensor) -> Tensor:
    """Move by up to an eighth of the side."""
    size = images.shape[2:]
    most = [round(_SHIFT * side) for side in size]
    first = [(numbers[axis].flatten() * (2 * most[axis] + 1)).long() for axis in (0, 1)]  # [n] each
    padded = F.pad(images, (most[1], most[1], most[0], most[0]))
    if len(first[0]) == 1:
        top, left = (int(each) for each in first)
        return padded[:, :, top : top + size[0], left : left + size[1]].contiguous()
    rows, columns = (
        start[:, None] + torch.arange(side, device=images.device)
        for start, side in zip(first, size, strict=True)
    )
    each = torch.arange(len(images), device=images.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]  # [B, H, W, C]
    return moved.permute(0, 3, 1, 2).contiguous()


def _flip_crop(images: Tensor, numbers: Tensor) -> Tensor:
    """Both, each with numbers of its own."""
    return _crop(_flip(images, numbers[:1]), numbers[1:])


def _cutout(images: Tensor, numbers: Tensor) -> Tensor:
    """Put 0 into a square of half the side, somewhere, partly outside too."""
    inside = []
    for axis, side in enumerate(images.shape[2:]):
        cut = round(_CUT * side)
        centre = (numbers[axis].flatten() * (side + 1 - cut % 2)).long()[:, None]  # [n, 1]
        place = torch.arange(side, device=images.device) - (centre - cut // 2)
        inside.append((place >= 0) & (place < cut))  # [n, side]
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _scale(images: Tensor, numbers: Tensor) -> Tensor:
    """Shrink or stretch each side."""
    factors = numbers.view(_NUMBERS, -1) * (_SCALE - 1 / _SCALE) + 1 / _SCALE
    nothing = torch.zeros_like(factors[0])
    rows = [factors[0], nothing, nothing], [nothing, factors[1], nothing]
    return _affine(images, torch.stack([torch.stack(row, dim=1) for row in rows], dim=1))


def _rotate(images: Tensor, numbers: Tensor) -> Tensor:
    angle = (numbers[0].flatten() - 0.5) * (2 * _DEGREES * math.pi / 180)
    sine, cosine, nothing = angle.sin(), angle.cos(), torch.zeros_like(angle)
    rows = [cosine, -sine, nothing], [sine, cosine, nothing]
    return _affine(images, torch.stack([torch.stack(row, dim=1) for row in rows], dim=1))


def _affine(images: Tensor, matrices: Tensor) -> Tensor:
    grid = F.affine_grid(matrices, [len(matrices), *images.shape[1:]], align_corners=False)
    return F.grid_sample(images, grid.expand(len(images), -1, -1, -1), align_corners=False)


_STRATEGIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
_TOGETHER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"flip-crop": _flip_crop}
assert tuple(_STRATEGIES) == AUGMENTATIONS  # noqa: S101
