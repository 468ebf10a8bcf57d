"""Triton kernels of norm, activation and average pooling, and the operators made of them.

This module needs Triton. `goldore.networks.fused` is the door: it imports this module where Triton is there.

A program handles a few channels of one image. It holds their planes as one tile [channels, rows / 2,
columns / 2, 2, 2], in which the last two axes run over a pooling window: its columns, then its rows. The tile
is joined from loads without gaps: of every second row where neighbours in a row are neighbours in memory, of
every second pixel where channels are (channels_last). So a thread loads and stores 16 bytes at once, and has
whole windows to itself: pooling needs no exchange between threads.

All arithmetic is in float32. Sums over an image have a place of their own in memory and are added up by
torch: the result does not depend on the order in which programs run.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton

from goldore.networks.layers import EPSILON, LEAK, move_running

_ELEMENTS = 4096  # of a tile, unless a plane has more
_MOST_ELEMENTS = 16384  # of a tile: one plane of 128 x 128
_SECTOR = 32  # bytes that memory delivers at once; so many of each pixel are read with channels_last
_THREAD_ELEMENTS = 32  # of a tile, for each thread: with more, registers spill
_WARP, _MOST_WARPS = 32, 16

_EPSILON = tl.constexpr(EPSILON)
_LEAK = tl.constexpr(LEAK)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_jit: Callable[[_Function], _Function] = triton.jit  # Triton has no types


# Places. A tile is addressed by its channels c [block, 1, 1], rows of windows i [1, rows, 1] and columns of
# windows j [1, 1, columns], powers of two all of them. `last` says that channels are innermost in memory;
# what lies outside of the tensor is masked, if there can be any.


@_jit
def _image(channels: tl.tensor, block: tl.constexpr) -> tl.tensor:
    return tl.program_id(0) // tl.cdiv(channels, block)


@_jit
def _channel(channels: tl.tensor, block: tl.constexpr) -> tl.tensor:
    return tl.program_id(0) % tl.cdiv(channels, block) * block + tl.arange(0, block)


@_jit
def _start(tensor: tl.tensor, channels: tl.tensor, block: tl.constexpr, pixels: tl.constexpr) -> tl.tensor:
    # A batch may have more than 2**31 elements, an image has not.
    return tensor + _image(channels, block).to(tl.int64) * channels * pixels


@_jit
def _offsets(
    c: tl.tensor,
    i: tl.tensor,
    j: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    last: tl.constexpr,
) -> tl.tensor:
    if last:
        return (i * width + j) * channels + c
    return (c * height + i) * width + j


@_jit
def _load(
    image: tl.tensor,
    c: tl.tensor,
    i: tl.tensor,
    j: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
) -> tl.tensor:
    places = image + _offsets(c, i, j, channels, height, width, last)
    if masked:
        inside = (c < channels) & (i < height) & (j < width)
        return tl.load(places, mask=inside, other=0.0).to(tl.float32)
    return tl.load(places).to(tl.float32)


@_jit
def _store(
    image: tl.tensor,
    values: tl.tensor,
    c: tl.tensor,
    i: tl.tensor,
    j: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
) -> None:
    places = image + _offsets(c, i, j, channels, height, width, last)
    rounded = values.to(image.dtype.element_ty)
    if masked:
        tl.store(places, rounded, mask=(c < channels) & (i < height) & (j < width))
    else:
        tl.store(places, rounded)


@_jit
def _load_rows(
    image: tl.tensor,
    c: tl.tensor,
    i: tl.tensor,
    j: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
) -> tl.tensor:
    """Load the rows i of pixels, [block, rows, columns, 2]."""
    if last:
        left = _load(image, c, i, 2 * j, channels, height, width, last, masked)
        right = _load(image, c, i, 2 * j + 1, channels, height, width, last, masked)
        return tl.join(left, right)
    pixels = tl.arange(0, 2 * j.shape[2])[None, None, :]
    whole = _load(image, c, i, pixels, channels, height, width, last, masked)
    return tl.reshape(whole, [c.shape[0], i.shape[1], j.shape[2], 2])


@_jit
def _store_rows(
    image: tl.tensor,
    values: tl.tensor,
    c: tl.tensor,
    i: tl.tensor,
    j: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
) -> None:
    """Store what `_load_rows` loads."""
    if last:
        left, right = tl.split(values)
        _store(image, left, c, i, 2 * j, channels, height, width, last, masked)
        _store(image, right, c, i, 2 * j + 1, channels, height, width, last, masked)
    else:
        pixels = tl.arange(0, 2 * j.shape[2])[None, None, :]
        whole = tl.reshape(values, [c.shape[0], i.shape[1], 2 * j.shape[2]])
        _store(image, whole, c, i, pixels, channels, height, width, last, masked)


@_jit
def _load_windows(
    image: tl.tensor,
    c: tl.tensor,
    i: tl.tensor,
    j: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
) -> tl.tensor:
    """Load planes as windows, [block, rows, columns, 2, 2]."""
    upper = _load_rows(image, c, 2 * i, j, channels, height, width, last, masked)
    lower = _load_rows(image, c, 2 * i + 1, j, channels, height, width, last, masked)
    return tl.join(upper, lower)


@_jit
def _store_windows(
    image: tl.tensor,
    values: tl.tensor,
    c: tl.tensor,
    i: tl.tensor,
    j: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
) -> None:
    """Store what `_load_windows` loads."""
    upper, lower = tl.split(values)
    _store_rows(image, upper, c, 2 * i, j, channels, height, width, last, masked)
    _store_rows(image, lower, c, 2 * i + 1, j, channels, height, width, last, masked)


# Arithmetic on tiles of windows.


@_jit
def _spread(values: tl.tensor) -> tl.tensor:
    """One value a channel, for the whole tile."""
    return values[:, None, None, None, None]


@_jit
def _pool(tile: tl.tensor) -> tl.tensor:
    """Sum every window, [block, rows, columns]."""
    return tl.sum(tl.sum(tile, 4), 3)


@_jit
def _total(tile: tl.tensor) -> tl.tensor:
    """Sum every plane, [block]. Windows first: a thread does that on its own."""
    return tl.sum(tl.reshape(_pool(tile), [tile.shape[0], tile.shape[1] * tile.shape[2]]), 1)


@_jit
def _centred(
    tile: tl.tensor, mean: tl.tensor, height: tl.constexpr, width: tl.constexpr, masked: tl.constexpr
) -> tl.tensor:
    """Take the mean away, and leave 0 outside of the plane."""
    centred = tile - _spread(mean)
    if masked:
        i = (
            2 * tl.arange(0, tile.shape[1])[None, :, None, None, None]
            + tl.arange(0, 2)[None, None, None, None, :]
        )
        j = (
            2 * tl.arange(0, tile.shape[2])[None, None, :, None, None]
            + tl.arange(0, 2)[None, None, None, :, None]
        )
        return tl.where((i < height) & (j < width), centred, 0.0)
    return centred


@_jit
def _activate(u: tl.tensor, activation: tl.constexpr) -> tl.tensor:
    if activation == "relu":
        return tl.maximum(u, 0.0, propagate_nan=tl.PropagateNan.ALL)
    if activation == "leakyrelu":
        return tl.where(u > 0, u, _LEAK * u)
    if activation == "sigmoid":
        return tl.sigmoid(u)
    return u * tl.sigmoid(u)


@_jit
def _activate_backward(gradient: tl.tensor, u: tl.tensor, activation: tl.constexpr) -> tl.tensor:
    if activation == "relu":
        return tl.where(u <= 0, 0.0, gradient)
    if activation == "leakyrelu":
        return tl.where(u <= 0, _LEAK * gradient, gradient)
    s = tl.sigmoid(u)
    if activation == "sigmoid":
        return gradient * (s * (1 - s))
    return gradient * (s * (1 + u * (1 - s)))


# Kernels. Tensors are [B, C, H, W], statistics [C] or, one of each image, [B, C].


@_jit
def _moments_kernel(
    x: tl.tensor,
    mean: tl.tensor,
    squares: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
) -> None:
    """Mean and sum of squared deviations of every plane, [B, C]."""
    channel = _channel(channels, block)
    c = channel[:, None, None]
    i, j = tl.arange(0, rows)[None, :, None], tl.arange(0, columns)[None, None, :]
    tile = _load_windows(
        _start(x, channels, block, height * width), c, i, j, channels, height, width, last, masked
    )
    m = _total(tile) / (height * width)
    centred = _centred(tile, m, height, width, masked)
    own = _image(channels, block) * channels + channel
    tl.store(mean + own, m, mask=channel < channels)
    tl.store(squares + own, _total(centred * centred), mask=channel < channels)


@_jit
def _forward_kernel(
    x: tl.tensor,
    y: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
    activation: tl.constexpr,
    own: tl.constexpr,
) -> None:
    """Norm, activation and pooling; statistics are the image's own and stored, or else loaded."""
    channel = _channel(channels, block)
    known = channel < channels
    c = channel[:, None, None]
    i, j = tl.arange(0, rows)[None, :, None], tl.arange(0, columns)[None, None, :]
    tile = _load_windows(
        _start(x, channels, block, height * width), c, i, j, channels, height, width, last, masked
    )
    if own:
        m = _total(tile) / (height * width)
        centred = _centred(tile, m, height, width, masked)
        r = tl.rsqrt(_total(centred * centred) / (height * width) + _EPSILON)
        plane = _image(channels, block) * channels + channel
        tl.store(mean + plane, m, mask=known)
        tl.store(rstd + plane, r, mask=known)
    else:
        centred = tile - _spread(tl.load(mean + channel, mask=known, other=0.0))
        r = tl.load(rstd + channel, mask=known, other=0.0)
    scale = r * tl.load(weight + channel, mask=known, other=0.0)
    shift = tl.load(bias + channel, mask=known, other=0.0)
    pooled = 0.25 * _pool(_activate(centred * _spread(scale) + _spread(shift), activation))
    start = _start(y, channels, block, (height // 2) * (width // 2))
    _store(start, pooled, c, i, j, channels, height // 2, width // 2, last, masked)


@_jit
def _backward_kernel(
    x: tl.tensor,
    dy: tl.tensor,
    dx: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    dweight: tl.tensor,
    dbias: tl.tensor,
    channels: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    last: tl.constexpr,
    masked: tl.constexpr,
    activation: tl.constexpr,
    own: tl.constexpr,
    sums: tl.constexpr,
    inputs: tl.constexpr,
) -> None:
    """Gradients of weight and bias by plane (`sums`), of x (`inputs`), or both.

    Statistics are the image's own (`own`), [B, C], or [C]. Without `sums`, `dweight` and `dbias` are read:
    means over all that was normalised together, [C].
    """
    channel = _channel(channels, block)
    known = channel < channels
    c = channel[:, None, None]
    i, j = tl.arange(0, rows)[None, :, None], tl.arange(0, columns)[None, None, :]
    tile = _load_windows(
        _start(x, channels, block, height * width), c, i, j, channels, height, width, last, masked
    )
    start = _start(dy, channels, block, (height // 2) * (width // 2))
    pooled = 0.25 * _load(start, c, i, j, channels, height // 2, width // 2, last, masked)
    plane = _image(channels, block) * channels + channel
    statistics = plane if own else channel
    r = tl.load(rstd + statistics, mask=known, other=0.0)
    scale = r * tl.load(weight + channel, mask=known, other=0.0)
    shift = tl.load(bias + channel, mask=known, other=0.0)
    # Outside of the plane `centred` is not 0, but the gradient is: no pooling window counts those pixels.
    centred = tile - _spread(tl.load(mean + statistics, mask=known, other=0.0))
    before = _activate_backward(
        pooled[:, :, :, None, None], centred * _spread(scale) + _spread(shift), activation
    )
    if sums:
        of_weight = r * _total(before * centred)
        of_bias = _total(before)
        tl.store(dweight + plane, of_weight, mask=known)
        tl.store(dbias + plane, of_bias, mask=known)
        of_weight = of_weight / (height * width)
        of_bias = of_bias / (height * width)
    else:
        of_weight = tl.load(dweight + channel, mask=known, other=0.0)
        of_bias = tl.load(dbias + channel, mask=known, other=0.0)
    if inputs:
        through_statistics = centred * _spread(scale * r * of_weight) + _spread(scale * of_bias)
        of_x = before * _spread(scale) - through_statistics
        start = _start(dx, channels, block, height * width)
        _store_windows(start, of_x, c, i, j, channels, height, width, last, masked)


# Operators.


def _format(x: Tensor) -> torch.memory_format:
    """How x lies in memory; what is neither is copied to the first."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _tile(x: Tensor) -> dict[str, Any]:
    """Choose the constants of a kernel for the planes of x."""
    channels, height, width = x.shape[1:]
    rows, columns = _power(height) // 2, _power(width) // 2
    last = _format(x) == torch.channels_last
    plane = 4 * rows * columns
    block = max(_ELEMENTS // plane, _SECTOR // x.element_size() if last else 1)
    block = min(block, _MOST_ELEMENTS // plane, _power(channels))
    return {
        "channels": channels,
        "height": height,
        "width": width,
        "block": block,
        "rows": rows,
        "columns": columns,
        "last": last,
        "masked": (2 * rows, 2 * columns) != (height, width) or channels % block != 0,
        "num_warps": min(max(block * plane // (_THREAD_ELEMENTS * _WARP), 1), _MOST_WARPS),
    }


def _power(number: int) -> int:
    """Round up to a power of two."""
    return 1 << (number - 1).bit_length()


def _programs(x: Tensor, tile: dict[str, Any]) -> tuple[int]:
    return (len(x) * -(-x.shape[1] // tile["block"]),)


def _pooled_like(x: Tensor) -> Tensor:
    batch, channels, height, width = *x.shape[:2], x.shape[2] // 2, x.shape[3] // 2
    last = _format(x) == torch.channels_last
    inner = (1, width * channels, channels) if last else (height * width, width, 1)
    # Strides in full: the compiler would fill a tensor that is only asked for in a memory format.
    return torch.empty_strided(
        (batch, channels, height, width),
        (channels * height * width, *inner),
        dtype=x.dtype,
        device=x.device,
    )


def _by_plane(x: Tensor) -> Tensor:
    return torch.empty(x.shape[:2], dtype=torch.float32, device=x.device)


@triton_op("goldore::plane_moments", mutates_args=())
def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and sum of squared deviations of every plane, both [B, C]."""
    x = x.contiguous(memory_format=_format(x))
    mean, squares = _by_plane(x), _by_plane(x)
    tile = _tile(x)
    wrap_triton(_moments_kernel)[_programs(x, tile)](x, mean, squares, **tile)
    return mean, squares


@triton_op("goldore::instance_norm_act_pool", mutates_args=())
def _instance(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> tuple[Tensor, Tensor, Tensor]:
    """Norm by the image's own statistics, activation, pooling: y, mean [B, C] and 1 / deviation [B, C]."""
    x = x.contiguous(memory_format=_format(x))
    y, mean, rstd = _pooled_like(x), _by_plane(x), _by_plane(x)
    tile = _tile(x)
    wrap_triton(_forward_kernel)[_programs(x, tile)](
        x, y, weight, bias, mean, rstd, activation=activation, own=True, **tile
    )
    return y, mean, rstd


@triton_op("goldore::instance_norm_act_pool_backward", mutates_args=())
def _instance_gradients(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    x = x.contiguous(memory_format=_format(x))
    dy = dy.contiguous(memory_format=_format(x))
    dx, dweight, dbias = torch.empty_like(x), _by_plane(x), _by_plane(x)
    tile = _tile(x)
    wrap_triton(_backward_kernel)[_programs(x, tile)](
        x,
        dy,
        dx,
        weight,
        bias,
        mean,
        rstd,
        dweight,
        dbias,
        activation=activation,
        own=True,
        sums=True,
        inputs=True,
        **tile,
    )
    return dx, dweight.sum(0), dbias.sum(0)


@triton_op("goldore::norm_act_pool", mutates_args=())
def _given(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, activation: str, through: bool
) -> Tensor:
    """Norm by given statistics [C], activation, pooling; `through`: gradients go through the statistics."""
    del through
    x = x.contiguous(memory_format=_format(x))
    y = _pooled_like(x)
    tile = _tile(x)
    wrap_triton(_forward_kernel)[_programs(x, tile)](
        x, y, weight, bias, mean, rstd, activation=activation, own=False, **tile
    )
    return y


@triton_op("goldore::norm_act_pool_backward", mutates_args=())
def _given_gradients(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    activation: str,
    through: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias. Those of x need sums over the batch: two passes."""
    x = x.contiguous(memory_format=_format(x))
    dy = dy.contiguous(memory_format=_format(x))
    dx, dweight, dbias = torch.empty_like(x), _by_plane(x), _by_plane(x)
    tile = _tile(x)
    kernel = wrap_triton(_backward_kernel)[_programs(x, tile)]
    known = (x, dy, dx, weight, bias, mean, rstd)
    kernel(*known, dweight, dbias, activation=activation, own=False, sums=True, inputs=False, **tile)
    dweight, dbias = dweight.sum(0), dbias.sum(0)
    share = 1 / (x.numel() // x.shape[1]) if through else 0.0
    kernel(
        *known,
        dweight * share,
        dbias * share,
        activation=activation,
        own=False,
        sums=False,
        inputs=True,
        **tile,
    )
    return dx, dweight, dbias


def _save_instance(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, bias, ctx.activation = inputs
    _, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    ctx.save_for_backward(x, weight, bias, mean, rstd)


def _instance_backward(ctx: Any, dy: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    return *_instance_gradients(dy, *ctx.saved_tensors, ctx.activation), None


def _save_given(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    *tensors, ctx.activation, ctx.through = inputs
    ctx.save_for_backward(*tensors)


def _given_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _given_gradients(dy, *ctx.saved_tensors, ctx.activation, ctx.through)
    return *gradients, None, None, None, None


_instance.register_autograd(_instance_backward, setup_context=_save_instance)
_given.register_autograd(_given_backward, setup_context=_save_given)


def instance_norm_act_pool(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """Compute `goldore.networks.fused.norm_act_pool` with instance norm."""
    y: Tensor = _instance(x, weight, bias, activation)[0]
    return y


def batch_norm_act_pool(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running: tuple[Tensor, Tensor],
    activation: str,
    *,
    training: bool,
) -> Tensor:
    """Compute `goldore.networks.fused.norm_act_pool` with batch norm."""
    mean, variance = _batch_moments(x, running) if training else running
    y: Tensor = _given(x, weight, bias, mean, torch.rsqrt(variance + EPSILON), activation, training)
    return y


@torch.no_grad()
def _batch_moments(x: Tensor, running: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel; moves the running ones, the variance by the unbiased."""
    means, squares = _moments(x)
    count, pixels = x.numel() // x.shape[1], x.shape[2] * x.shape[3]
    mean = means.mean(0)
    total = squares.sum(0) + pixels * (means - mean).square().sum(0)  # Chan et al. 1979, equal counts
    variance = total / count
    move_running(running, mean, variance, count)
    return mean, variance
