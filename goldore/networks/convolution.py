"""The convolution of E networks at once, in several ways that give the same numbers.

Activations are [B, E * C, H, W]: network e owns the channels e * C to (e + 1) * C - 1. Which way is fastest
depends on the device and on the sizes (`goldore.training.tuning` measures):

* `grouped`: one convolution with E groups. The best on CPUs (benchmarks/RESULTS.md).
* `matmul`: the 3x3 neighbourhoods as columns, and one batched matrix product.
* `separate`: E ordinary convolutions. For wide networks on large batches each fills a GPU by itself, and
  libraries tune ordinary convolutions best.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Convolution = Literal["grouped", "matmul", "separate"]
CONVOLUTIONS: tuple[Convolution, ...] = get_args(Convolution)
_SIDE = 3  # of the kernel


def stacked_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, convolution: Convolution
) -> Tensor:
    """Convolve every network's images with its own 3x3 kernels.

    Args:
        x: [B, E * C, H, W]; or [B, C, H, W], the same images for all networks.
        weight: [E, O, C, 3, 3].
        bias: [E, O]; None adds nothing.
        padding: zeros on every side.
        convolution: the way.

    Returns:
        [B, E * O, H', W'].
    """
    shared = x.shape[1] == weight.shape[2]
    if convolution == "grouped":
        groups = 1 if shared else len(weight)
        shifts = None if bias is None else bias.flatten()
        return F.conv2d(x, weight.flatten(0, 1), shifts, padding=padding, groups=groups)
    if convolution == "separate":
        parts = [x] * len(weight) if shared else torch.split(x, weight.shape[2], dim=1)
        each = [
            F.conv2d(part, kernel, shift, padding=padding)
            for part, kernel, shift in zip(
                parts, weight, [None] * len(weight) if bias is None else bias, strict=True
            )
        ]
        return torch.cat(each, dim=1)
    return _matmul(x, weight, bias, padding, shared=shared)


def _matmul(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, *, shared: bool) -> Tensor:
    networks, outputs, channels = weight.shape[:3]
    height, width = (side + 2 * padding - _SIDE + 1 for side in x.shape[2:])
    padded = F.pad(x, (padding,) * 4)
    owners = 1 if shared else networks
    padded = padded.view(len(x), owners, channels, *padded.shape[2:])
    windows = padded.unfold(3, _SIDE, 1).unfold(4, _SIDE, 1)  # [B, owners, C, H', W', 3, 3]
    columns = windows.permute(1, 2, 5, 6, 0, 3, 4).reshape(owners, channels * _SIDE**2, -1)
    kernels = weight.flatten(2)  # [E, O, C * 9]
    if shared:
        product = (kernels.flatten(0, 1) @ columns[0]).view(networks, outputs, -1)
        product = product if bias is None else product + bias.unsqueeze(2)
    elif bias is None:
        product = kernels @ columns  # [E, O, B * H' * W']
    else:
        product = torch.baddbmm(bias.unsqueeze(2), kernels, columns)
    product = product.view(networks, outputs, len(x), height, width)
    return product.permute(2, 0, 1, 3, 4).reshape(len(x), networks * outputs, height, width)
