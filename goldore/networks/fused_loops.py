"""The tail of a block for compilers of CPU code: PyTorch operations with a backward pass of their own.

TorchInductor makes a loop of each run of operations that it can see through. Given PyTorch's norm and
pooling with their gradients, it writes the activation to memory, and the gradient twice, once in float32 with
the channels outermost. Here nothing as large as x is kept but x: the backward pass computes the activation
again, and the compiler makes about three loops of the forward and two of the backward pass. Most run over the
channels innermost, which is the order of the compiler's convolutions on a CPU.

`goldore.networks.fused` is the door. Uncompiled this is right, and slow.
"""

import itertools
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

from goldore.networks.layers import EPSILON, LEAK, activate, move_running

# TorchInductor stores an intermediate that reads more than four inputs and is used twice. The gradient at the
# norm's output reads six, and computing it twice is far cheaper.
COMPILER_OPTIONS = {"realize_reads_threshold": 8}


def norm_act_pool(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running: tuple[Tensor, Tensor],
    *,
    norm: str,
    activation: str,
) -> Tensor:
    """Compute `goldore.networks.fused.norm_act_pool` by the statistics of x, for even heights and widths."""
    x = x.permute(0, 2, 3, 1)
    mean, variance = _moments(x, (0, 1, 2) if norm == "batch" else (1, 2))
    if norm == "batch":
        move_running(running, mean, variance, x.numel() // x.shape[3])
    rstd = torch.rsqrt(variance + EPSILON)
    y: Tensor = _Tail.apply(x, weight, bias, mean, rstd, activation)
    return y.permute(0, 3, 1, 2)


@torch.no_grad()
def _moments(x: Tensor, over: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance, float32 [B or 1, 1, 1, C], of x [B, H, W, C] over some axes."""
    mean = x.float().mean(over, keepdim=True)
    return mean, (x.float() - mean).square().mean(over, keepdim=True)


class _Tail(torch.autograd.Function):
    """Norm, activation and pooling, channels last; the gradient of x includes that of the statistics of x.

    x [B, H, W, C], weight and bias [C], mean and rstd [B or 1, 1, 1, C] to y [B, H / 2, W / 2, C].
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, activation: str
    ) -> Tensor:
        scale = rstd * weight
        shift = bias - mean * scale
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.activation = activation
        y = torch.zeros((), device=x.device)
        for row, column in itertools.product((0, 1), repeat=2):  # of a window
            y = y + activate(x[:, row::2, column::2].float() * scale + shift, activation)
        return (y * 0.25).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        batch, height, width, channels = x.shape
        windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels).float()
        axes = (0, 1, 2, 3, 4) if len(mean) == 1 else (1, 2, 3, 4)  # over which the statistics are
        count = windows.numel() // mean.numel()
        mean, rstd = (each.unflatten(1, (1, 1, 1)) for each in (mean, rstd))
        scale = rstd * weight
        normed = windows * scale + (bias - mean * scale)
        dz = dy[:, :, None, :, None].float() * 0.25 * _slope(normed, ctx.activation)
        dbias = dz.sum(axes, keepdim=True)
        dweight = ((dz * windows).sum(axes, keepdim=True) - mean * dbias) * rstd
        linear = dweight * rstd * scale / count
        constant = linear * mean - dbias * scale / count
        dx = (dz * scale - windows * linear + constant).to(x.dtype).reshape(x.shape)
        return dx, *(each.sum(0).flatten() for each in (dweight, dbias)), None, None, None


def _slope(x: Tensor, activation: str) -> Tensor:
    """Derivative of `goldore.networks.layers.activate`, 0 at the kink of relu as PyTorch's."""
    if activation == "relu":
        return (x > 0).to(x.dtype)
    if activation == "leakyrelu":
        return torch.where(x > 0, 1.0, LEAK)
    sigmoid = F.sigmoid(x)
    if activation == "sigmoid":
        return sigmoid * (1 - sigmoid)
    return sigmoid * (1 + x * (1 - sigmoid))
