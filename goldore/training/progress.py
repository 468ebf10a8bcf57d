"""How far a training is. Here without torch, for those who only show it."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Progress:
    """How far the networks that train together are.

    Attributes:
        epoch: the epoch under way, counted from 1.
        images: images trained so far, over all networks.
        total_images: images that will have been trained at the end.
        loss: mean training loss of the latest step, over the networks that have not diverged.
    """

    epoch: int
    images: int
    total_images: int
    loss: float

    def after(self, images: int) -> Self:
        """The same, so many images later."""
        return replace(self, images=self.images + images, total_images=self.total_images + images)
