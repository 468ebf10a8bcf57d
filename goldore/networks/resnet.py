"""The ResNet-18 of the distillation literature, for small images (He et al. 2015, arXiv 1512.03385)."""

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

_NORMS: "dict[str, Callable[[int], nn.Module]]" = {
    "batch": nn.BatchNorm2d,
    "instance": lambda width: nn.GroupNorm(width, width),
    "group": lambda width: nn.GroupNorm(4, width),
}


class ResNet18(nn.Module):
    """Four stages of two residual blocks after a 3x3 convolution; the mean over pixels, and a linear layer.

    Args:
        channels: of the images.
        classes: outputs.
        width: channels of the first stage; they double from stage to stage, and sizes halve.
        norm: "batch", "instance" (per channel, affine) or "group" (4 groups).
    """

    def __init__(self, channels: int, classes: int, width: int, norm: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = _NORMS[norm](width)
        blocks: list[nn.Module] = []
        given = width
        for stage in range(4):
            wanted = width * 2**stage
            blocks += [_Block(given, wanted, 1 if stage == 0 else 2, norm), _Block(wanted, wanted, 1, norm)]
            given = wanted
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(given, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W]."""
        x = self.blocks(F.relu(self.norm(self.stem(images))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, given: int, wanted: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, wanted, 3, stride, padding=1, bias=False)
        self.norm1 = _NORMS[norm](wanted)
        self.conv2 = nn.Conv2d(wanted, wanted, 3, padding=1, bias=False)
        self.norm2 = _NORMS[norm](wanted)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or given != wanted:
            self.shortcut = nn.Sequential(
                nn.Conv2d(given, wanted, 1, stride, bias=False), _NORMS[norm](wanted)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))
