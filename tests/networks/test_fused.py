"""Norm, activation and pooling as one operator, against the plain composition in float64.

Without a card the kernels run in Triton's interpreter, which has to be chosen before Triton is imported: this
file is also a script, run in a process of its own, that prints what it finds.
"""

import functools
import itertools
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from goldore.networks import fused, fused_loops
from goldore.networks.architecture import Layout
from goldore.networks.config import ConvNetConfig
from goldore.networks.stacked import StackedNetworks
from goldore.training.stepping import weight_draws
from goldore.trials.seeds import make_trials
from tests.training.conftest import gradient_of

NORMS, ACTIVATIONS = ("instance", "batch"), ("relu", "leakyrelu", "sigmoid", "swish")
PARTS = ("y", "dx", "dweight", "dbias", "running mean", "running variance")
# x and dy are given as rounded, so only y and dx carry an error of bfloat16: one rounding, 2e-3 to the
# nearest and 4e-3 to zero, as the interpreter does it.
BOUNDS = {"float32": [1e-5] * 6, "bfloat16": [5e-3] * 2 + [1e-5] * 4}
ODD, SQUARE = (2, 3, 7, 5), (2, 20, 8, 8)  # neither divides a block of channels
CASES = [  # norm, activation, shape, type, channels last, training
    *itertools.product(NORMS, ACTIVATIONS, [ODD], ["float32"], [False, True], [True]),
    *itertools.product(NORMS, ["swish"], [SQUARE, (2, 1, 13, 6)], ["float32"], [False, True], [True]),
    *itertools.product(NORMS, ["relu"], [SQUARE, ODD], ["bfloat16"], [False, True], [True]),
    *itertools.product(["batch"], ["leakyrelu"], [ODD], ["float32"], [False, True], [False]),
    ("instance", "relu", (1, 600, 2, 3), "float32", True, True),  # more than a block
    ("batch", "relu", (2, 2, 34, 18), "float32", False, True),
]


def errors(norm, activation, shape, dtype, last, training, device="cpu", *, made=None):
    """Relative error of each part, in the norm of all entries, of what `made` gives (None: `kernels`)."""
    torch.manual_seed(0)
    dtype, memory = getattr(torch, dtype), torch.channels_last if last else torch.contiguous_format
    x = (2 * torch.randn(shape) + 1).to(device, dtype, memory_format=memory)
    dy = torch.randn(*shape[:2], shape[2] // 2, shape[3] // 2).to(device, dtype)
    affine = torch.randn(2, shape[1], device=device)
    start = torch.stack([torch.randn(shape[1]), 0.5 + torch.rand(shape[1])]).to(device)

    def parts(compute, wide=None):
        leaves = [each.detach().to(wide or each.dtype).requires_grad_() for each in (x, *affine)]
        running = tuple(each.to(wide or each.dtype, copy=True) for each in start)
        y = compute(*leaves, running)
        y.backward(dy.to(y.dtype))
        return [y.detach(), *(leaf.grad for leaf in leaves), *running]

    def plain(*arguments):
        return fused.composition(*arguments, norm=norm, activation=activation, training=training)

    found = parts((made or kernels)(norm, activation, training=training))
    assert [each.dtype for each in found] == [dtype] * 2 + [torch.float32] * 4
    assert all(each.is_contiguous(memory_format=memory) for each in found[:2])
    return [relative(*pair) for pair in zip(found, parts(plain, torch.float64), strict=True)]


def kernels(norm, activation, *, training=True):
    """What `norm_act_pool` runs on a card."""
    from goldore.networks import fused_kernels

    def compute(x, weight, bias, running):
        if norm == "instance":
            return fused_kernels.instance_norm_act_pool(x, weight, bias, activation)
        return fused_kernels.batch_norm_act_pool(x, weight, bias, running, activation, training=training)

    return compute


def loops(norm, activation, *, training):
    """What `norm_act_pool` is compiled as on a CPU."""
    assert training
    return functools.partial(fused_loops.norm_act_pool, norm=norm, activation=activation)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def strided_errors():
    """Of y and dx, for an x and a dy that lie in memory in neither order."""
    torch.manual_seed(0)
    x = torch.randn(6, 4, 3, 5).transpose(0, 3).requires_grad_()
    dy = torch.randn(5, 1, 1, 3).expand(5, 4, 1, 3)
    arguments = torch.ones(4), torch.zeros(4), (torch.zeros(4), torch.ones(4))
    found = kernels("instance", "swish")(x, *arguments)
    (dx,) = torch.autograd.grad(found, x, dy)
    wide = x.detach().double().requires_grad_()
    expected = fused.composition(wide, *arguments, norm="instance", activation="swish", training=True)
    return [relative(found, expected), relative(dx, *torch.autograd.grad(expected, wide, dy.double()))]


def second_derivative():
    """What is said to who asks for one."""
    x, weight = torch.randn(1, 1, 4, 4, requires_grad=True), torch.ones(1)
    y = kernels("instance", "swish")(x, weight, weight, None)
    (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    try:
        torch.autograd.grad(dx.square().sum(), x)
    except RuntimeError as error:
        return str(error)
    return ""


def name(case):
    norm, activation, shape, dtype, last, training = case
    words = [norm, activation, "x".join(map(str, shape)), dtype, "channels last" if last else "contiguous"]
    return " ".join([*words, "training" if training else "eval"])


def check(found, dtype):
    for part, error, bound in zip(PARTS, found, BOUNDS[dtype], strict=True):
        assert error < bound, part


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def interpreted():
    """What this file prints as a script, by case."""
    if find_spec("triton") is None:
        pytest.skip("needs Triton")
    done = run("-m", "tests.networks.test_fused", TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES, ids=name)
def test_kernels_equal_the_composition(interpreted, case):
    check(interpreted[name(case)], case[3])


def test_any_order_in_memory_will_do(interpreted):
    assert max(interpreted["strided"]) < 1e-5


def test_second_derivatives_are_refused(interpreted):
    assert "no autograd formula" in interpreted["second derivative"]


EVEN = [(2, 20, 8, 8), (1, 3, 6, 2)]
LOOPS = [
    *itertools.product(NORMS, ACTIVATIONS, EVEN, ["float32"], [True], [True]),
    *itertools.product(NORMS, ACTIVATIONS, EVEN, ["bfloat16"], [True], [True]),
]


@pytest.mark.parametrize("case", LOOPS, ids=name)
def test_loops_equal_the_composition(case):
    check(errors(*case, made=loops), case[3])


def test_second_derivatives_of_loops_are_refused():
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    y = loops("instance", "swish", training=True)(x, torch.ones(3), torch.zeros(3), None)
    (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="used in the graph"):
        torch.autograd.grad(dx.square().sum(), x)


@pytest.mark.parametrize("norm", NORMS)
def test_loops_keep_nothing_as_large_as_x_but_x(norm):
    kept = []
    x = torch.randn(4, 8, 16, 16, requires_grad=True)
    affine = torch.ones(8, requires_grad=True), torch.zeros(8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda each: kept.append(each.numel()) or each, lambda each: each
    ):
        loops(norm, "swish", training=True)(x, *affine, (torch.zeros(8), torch.ones(8)))
    assert max(kept) == x.numel()
    assert sum(kept) < 1.1 * x.numel()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_on_the_cpu_it_is_the_composition(norm, activation):
    x, weight, bias = torch.randn(3, 4, 7, 6), torch.randn(4), torch.randn(4)
    running = torch.zeros(4), torch.ones(4)
    found = fused.norm_act_pool(x, weight, bias, running, norm=norm, activation=activation, training=True)
    if norm == "batch":
        mean, variance = torch.zeros(4), torch.ones(4)
        normed = F.batch_norm(x, mean, variance, weight, bias, training=True)
        assert torch.equal(running[0], mean)
        assert torch.equal(running[1], variance)
    else:
        normed = F.instance_norm(x, weight=weight, bias=bias)
    functions = {"relu": F.relu, "leakyrelu": F.leaky_relu, "sigmoid": torch.sigmoid, "swish": F.silu}
    torch.testing.assert_close(found, F.avg_pool2d(functions[activation](normed), 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("norm", [*NORMS, "group", "none"])
def test_a_fused_network_is_the_same_network_on_the_cpu(norm, pooling, channels_last, dtype):
    config = ConvNetConfig(width=8, depth=2, norm=norm, pooling=pooling)
    architecture, trials = config.architecture((3, 10, 10), 5), make_trials(0, range(2))
    images = torch.randn(4, 6, 10, 10, dtype=dtype)
    found = []
    for each in (False, True):
        layout = Layout(channels_last=channels_last, fused=each)
        networks = StackedNetworks(architecture, weight_draws(trials), torch.device("cpu"), layout)
        logits = networks(images, training=True)
        logits.square().sum().backward()
        gradients = [gradient_of(networks, each) for each in networks.parameters]
        found.append([logits, *gradients, *(each for pair in networks.running for each in pair)])
    for plain, other in zip(*found, strict=True):
        assert torch.equal(plain, other)


def test_what_is_supported():
    assert fused.supports("instance", "avg")
    assert fused.supports("batch", "avg")
    assert not fused.supports("group", "avg")
    assert not fused.supports("instance", "max")


def test_without_triton_there_is_the_composition():
    done = run(
        "-c",
        "import sys; sys.modules['triton'] = None\n"
        "from goldore.networks import fused\n"
        "print(fused.available())",
    )
    assert done.stdout == "False\n", done.stderr


def test_triton_is_imported_only_where_it_is_needed():
    done = run("-c", "import sys, goldore.training.loop\nprint('triton' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


real_card = pytest.mark.skipif(
    not (torch.cuda.is_available() and fused.available()),
    reason="needs Triton and a real card: it runs kernels",
)


@pytest.mark.gpu
@real_card
@pytest.mark.parametrize(
    "case", [*CASES, ("instance", "relu", (2, 6, 128, 128), "bfloat16", True, True)], ids=name
)
def test_kernels_equal_the_composition_on_a_card(case):
    check(errors(*case, device="cuda"), case[3])


def gradients_on_a_card(norm, compute):
    """Of a sum of squares, by x, weight and bias."""
    torch.manual_seed(0)
    leaves = [
        torch.randn(shape, device="cuda", requires_grad=True) for shape in ((4, 16, 8, 8), (16,), (16,))
    ]
    running = torch.zeros(16, device="cuda"), torch.ones(16, device="cuda")

    def work():
        y = compute(*leaves, running, norm=norm, activation="relu", training=True)
        return torch.autograd.grad(y.square().sum(), leaves)

    return work


@pytest.mark.gpu
@real_card
@pytest.mark.parametrize("norm", NORMS)
def test_a_cuda_graph_replays_it(norm):
    work = gradients_on_a_card(norm, fused.norm_act_pool)
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())  # the leaves were made there
    with torch.cuda.stream(side):
        expected = work()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        found = work()
    graph.replay()
    for each, value in zip(found, expected, strict=True):
        assert torch.equal(each, value)  # to the bit: nothing is summed in an order that varies


@pytest.mark.gpu
@real_card
@pytest.mark.parametrize("norm", NORMS)
def test_torch_compile_takes_it_as_it_is(norm):
    compiled = torch.compile(fused.norm_act_pool, fullgraph=True, dynamic=False)
    found = gradients_on_a_card(norm, compiled)()
    for each, value in zip(found, gradients_on_a_card(norm, fused.norm_act_pool)(), strict=True):
        torch.testing.assert_close(each, value)


if __name__ == "__main__":
    from goldore.networks import fused_kernels

    fused_kernels.wrap_triton = lambda kernel: kernel  # older versions of torch refuse interpreted kernels
    results = {name(case): errors(*case) for case in CASES}
    results |= {"strided": strided_errors(), "second derivative": second_derivative()}
    sys.stdout.write(json.dumps(results))
