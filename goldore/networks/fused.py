"""The tail of a block as one operator: norm, activation and 2x2 average pooling.

Layer by layer, these three read and write the largest tensors of the network several times over, and that is
what a training step waits for on a GPU. As one operator, instance norm reads x and writes y in the forward
pass, reads x and dy and writes dx in the backward pass, each once. Batch norm reads once more in both passes,
for its sums over the batch.

On CUDA the operator is made of Triton kernels (`goldore.networks.fused_kernels`), which torch.compile and
CUDA graphs take as they are. Compiled for a CPU it is operations that the compiler turns into a few loops
(`goldore.networks.fused_loops`). Both have first derivatives only. Everywhere else it is the plain
composition.
"""

import functools

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from goldore.networks import fused_loops
from goldore.networks.layers import EPSILON, MOMENTUM, activate, instance_norm

_TYPES = (torch.float32, torch.bfloat16)
_LARGEST = 128  # side of a plane
_MOST_ELEMENTS = 2**31  # of an image: offsets in it have 32 bits


@functools.cache
def available() -> bool:
    """Whether Triton can be imported. It may still find no device that it can compile for."""
    try:
        import goldore.networks.fused_kernels  # noqa: F401
    except ImportError:
        return False
    return True


def supports(norm: str, pooling: str) -> bool:
    """Whether `norm_act_pool` computes a block's tail: instance or batch norm, and average pooling."""
    return norm in ("instance", "batch") and pooling == "avg"


def norm_act_pool(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running: tuple[Tensor, Tensor],
    *,
    norm: str,
    activation: str,
    training: bool,
) -> Tensor:
    """Compute avg_pool2d(activation(norm(x) * weight + bias), 2).

    For float32 and bfloat16, computed in float32: on CUDA by kernels that need Triton (`available`), for
    planes of up to 128 x 128; where it is compiled for a CPU, by loops, for even heights and widths. Else by
    `composition`. With an odd height or width the last row or column counts in the statistics and is in no
    pooling window.

    Args:
        x: [B, C, H, W], H and W from 2 on, in any memory format.
        weight: float32 [C].
        bias: float32 [C].
        running: for batch norm, running mean and variance, float32 [C]; updated in training, used otherwise.
        norm: "instance" or "batch".
        activation: as in `ConvNetConfig`.
        training: whether batch norm uses and updates the batch's statistics; instance norm ignores it.

    Returns:
        In the type and memory format of x, [B, C, H // 2, W // 2].
    """
    if _becomes_loops(x) and (training or norm == "instance"):
        return fused_loops.norm_act_pool(x, weight, bias, running, norm=norm, activation=activation)
    if not _has_kernels(x):
        return composition(x, weight, bias, running, norm=norm, activation=activation, training=training)
    from goldore.networks import fused_kernels

    if norm == "instance":
        return fused_kernels.instance_norm_act_pool(x, weight, bias, activation)
    return fused_kernels.batch_norm_act_pool(x, weight, bias, running, activation, training=training)


def _has_kernels(x: Tensor) -> bool:
    fits = max(x.shape[2:]) <= _LARGEST and 0 < x.numel() < len(x) * _MOST_ELEMENTS
    return x.is_cuda and x.dtype in _TYPES and fits


def _becomes_loops(x: Tensor) -> bool:
    even = all(side % 2 == 0 for side in x.shape[2:])
    return torch.compiler.is_compiling() and x.device.type == "cpu" and x.dtype in _TYPES and even


def composition(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running: tuple[Tensor, Tensor],
    *,
    norm: str,
    activation: str,
    training: bool,
) -> Tensor:
    """Compute `norm_act_pool` by PyTorch's own layers, in the type of x."""
    weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    if norm == "batch":
        mean, variance = running
        affine = weight.to(mean.dtype), bias.to(mean.dtype)
        x = F.batch_norm(x, mean, variance, *affine, training=training, momentum=MOMENTUM, eps=EPSILON)
    elif x.is_contiguous():
        x = F.group_norm(x, x.shape[1], weight, bias, EPSILON)
    else:
        x = instance_norm(x, weight, bias)
    return F.avg_pool2d(activate(x, activation), 2)
