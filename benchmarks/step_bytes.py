"""Bytes that a compiled training step moves on a GPU, counted without one.

The step of one ConvNet (width 128, bf16, 32x32x3) is traced with tensors that have no memory, lowered by
torch.compile's backend for an H100 that is not there, and what its kernels read and write is added up, every
tensor once a kernel. That is what a training step waits for: divided by the bandwidth of the memory it is a
bound on the time. Convolutions count as reading their inputs and writing their outputs once.

It reaches into torch's internals, as of torch 2.15, and needs Triton.

"NCHW, kept" is with `torch._inductor.config.layout_optimization` off.

Usage: python benchmarks/step_bytes.py [instance|batch]
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch import Tensor
from torch._functorch.aot_autograd import aot_function, make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor import config as inductor
from torch._inductor import ir, scheduler
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.fx_passes.post_grad import post_grad_passes
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.virtualized import V
from torch._subclasses import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from goldore.networks import fused
from goldore.networks.architecture import Layout
from goldore.networks.config import ConvNetConfig, Norm
from goldore.training.execution import losses_function

BATCH, CLASSES, SIDE = 256, 10, 32
CARD = torch.device("cuda", 0)
PROPERTIES = DeviceProperties("cuda", 0, 132, 90, 9, 65536, 2048, 1024, 32)
Graph = tuple[GraphModule, list[Tensor]]


def traced(layout: Layout, norm: Norm) -> list[Graph]:
    """Trace the forward and the backward pass, on the CPU, where autograd can run: graphs and inputs."""
    network = ConvNetConfig(norm=norm).for_images(SIDE, SIDE)
    architecture = network.architecture((3, SIDE, SIDE), CLASSES)
    losses = losses_function(architecture, layout, "bf16", compiled=False, device=torch.device("cpu"))
    names = list(architecture.parameter_shapes())
    graphs: list[Graph] = []

    def keep(graph: GraphModule, inputs: list[Tensor]) -> object:
        graphs.append((graph, inputs))
        return make_boxed_func(graph)

    def step(parameters: list[Tensor], running: list[tuple[Tensor, Tensor]], *data: Tensor) -> Tensor:
        return losses(dict(zip(names, parameters, strict=True)), running, *data).sum()

    with FakeTensorMode():
        shapes = architecture.parameter_shapes().values()
        parameters = [torch.empty(1, *shape, requires_grad=True) for shape in shapes]
        running = [
            (torch.empty(network.width), torch.empty(network.width)) for _ in range(architecture.depth)
        ]
        images = torch.empty(BATCH, 1, 3, SIDE, SIDE, dtype=torch.uint8)
        targets = torch.empty(BATCH, 1, dtype=torch.int64)
        compiled = aot_function(
            step,
            fw_compiler=keep,
            bw_compiler=keep,
            partition_fn=partial(min_cut_rematerialization_partition, compiler="inductor"),
            decompositions=select_decomp_table(),
        )
        compiled(parameters, running, images, targets, torch.empty(3, 1, 1), torch.empty(3, 1, 1)).backward()
    return graphs


def moved(graph: GraphModule, inputs: list[Tensor], *, backward: bool) -> int:
    """Lower a graph for the card and add up what its kernels read and write, in bytes."""
    mode = FakeTensorMode()
    with mode:
        there = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=CARD) for x in inputs]
    for node in graph.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": CARD}
    graph.recompile()
    FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*there)
    with V.set_fake_mode(mode):
        post_grad_passes(graph, is_inference=False)
        FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*there)
        lowering = GraphLowering(graph, there, is_backward=backward)
        with V.set_graph_handler(lowering), V.set_debug_handler(DebugContext()):
            lowering.run(*there)
            lowering.init_wrapper_code()
            return sum(map(node_bytes, scheduler.Scheduler(lowering.operations).nodes))


def node_bytes(node: scheduler.BaseSchedulerNode) -> int:
    """What a kernel moves; one of several outputs of a library's function is a node of its own."""
    if isinstance(node.node, ir.MultiOutput):
        return int(node.node.get_numel()) * node.node.get_dtype().itemsize
    return int(node.get_read_write_buffers_sizes())


def conv_format(x: Tensor, *_: Tensor) -> torch.memory_format:
    """How a convolution's output lies in memory on CUDA: like its input."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


@contextmanager
def pretended_card() -> Iterator[None]:
    """What the lowering asks of the card, answered."""
    target = GPUTarget("cuda", 90, 32)
    with ExitStack() as stack:
        driver.set_active(SimpleNamespace(get_current_target=lambda: target))
        for holder, name, answer in (
            (fused, "_has_kernels", lambda _: True),
            (torch._C, "_conv_determine_backend_memory_format", conv_format),  # noqa: SLF001
            (DeviceProperties, "create", lambda _: PROPERTIES),
            (scheduler, "has_triton", lambda *_: True),
        ):
            stack.enter_context(patch.object(holder, name, answer))
        yield


def main() -> None:
    """Print a table: megabytes by image."""
    norm: Norm = "batch" if sys.argv[1:] == ["batch"] else "instance"
    print(f"{norm} norm, batch {BATCH}, MB by image   forward  backward   step")
    with pretended_card():
        for last, each, kept in product((False, True), (False, True), (False, True)):
            if last and kept:
                continue
            graphs = traced(Layout(channels_last=last, fused=each), norm)
            # Left to itself the compiler turns NCHW to channels_last, and back for each kernel it is given.
            with inductor.patch(layout_optimization=not kept):
                found = [
                    moved(graph, inputs, backward=bool(place)) / BATCH / 1e6
                    for place, (graph, inputs) in enumerate(graphs)
                ]
            order = "channels last" if last else "NCHW, kept" if kept else "NCHW"
            name = f"{order}, {'one operator' if each else 'composition'}"
            print(f"{name:36}{found[0]:8.2f}{found[1]:10.2f}{sum(found):7.2f}", flush=True)


if __name__ == "__main__":
    main()
