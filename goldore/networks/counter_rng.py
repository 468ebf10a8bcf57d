"""Counter-based random numbers: number i of key k is a function of k and i alone.

So the numbers of many networks are drawn at once, on any device, and are the same everywhere to the bit. The
function is SplitMix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014):
output i of a generator seeded with k mixes k + (i + 1) * golden gamma.
"""

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BITS = 24  # of a float32's mantissa


def uniform(keys: Tensor, count: int) -> Tensor:
    """Draw numbers from 0 up to, not including, 1.

    Args:
        keys: int64 [E], one for each network, any values.
        count: numbers of each.

    Returns:
        float32 [E, count], multiples of 2**-24: of each output of SplitMix64 the lower 32 bits, then the
        upper ones, the highest 24 of both.
    """
    halves = splitmix64(keys, (count + 1) // 2).view(torch.int32)[:, :count]
    return ((halves >> 32 - _BITS) & (1 << _BITS) - 1).float() * 2.0**-_BITS


def splitmix64(keys: Tensor, count: int) -> Tensor:
    """Give the first outputs of SplitMix64 seeded with each key.

    Args:
        keys: int64 [E].
        count: outputs of each.

    Returns:
        int64 [E, count]: the bits of the unsigned outputs.
    """
    counters = torch.arange(1, count + 1, device=keys.device) * _signed(_GAMMA)
    state = keys[:, None] + counters  # int64 wraps around, as the unsigned arithmetic does
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        state = (state ^ _shifted(state, shift)) * _signed(factor)
    return state ^ _shifted(state, 31)


def _shifted(values: Tensor, by: int) -> Tensor:
    """Shift to the right as unsigned numbers."""
    return (values >> by) & (1 << 64 - by) - 1


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
