"""Layers of the ConvNet that are written out, and the constants of its norms and activations."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

LEAK = 0.01  # slope of leakyrelu below zero
EPSILON = 1e-5  # added to variances; PyTorch's default
MOMENTUM = 0.1  # of batch norm's running statistics; PyTorch's default


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Instance norm, statistics at least in float32, written out so that the memory format stays as it is."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, dim=(2, 3), correction=0, keepdim=True)
    scale = torch.rsqrt(variance + EPSILON) * weight.to(wide.dtype).view(-1, 1, 1)
    shift = bias.to(wide.dtype).view(-1, 1, 1) - mean * scale
    return (x * scale + shift).to(x.dtype)


def move_running(running: tuple[Tensor, Tensor], mean: Tensor, variance: Tensor, count: int) -> None:
    """Move batch norm's running mean and variance, [C].

    Args:
        running: moved in place.
        mean: of the batch.
        variance: of the batch, biased; the running one moves by the unbiased.
        count: numbers of the batch in each channel.
    """
    for kept, new in zip(running, (mean, variance * (count / (count - 1))), strict=True):
        kept.mul_(1 - MOMENTUM).add_(new.flatten(), alpha=MOMENTUM)


def activate(x: Tensor, kind: str) -> Tensor:
    """Apply an activation by its name in `ConvNetConfig`."""
    if kind == "relu":
        return F.relu(x)
    if kind == "leakyrelu":
        return F.leaky_relu(x, LEAK)
    return torch.sigmoid(x) if kind == "sigmoid" else F.silu(x)
