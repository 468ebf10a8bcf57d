"""CUDA's rules without a card: a pytest plugin that runs the tests marked `gpu` on an emulated one.

Where torch sees a card, they run on it and nothing here is used. Elsewhere a tensor on `cuda:N` is a
`CardTensor`: its numbers are those of a CPU tensor, and everything around it obeys what a card demands:

* tensors of several devices do not mix, and the host cannot read a card's memory in place;
* work is ordered by streams alone: a vector clock per stream finds memory that two streams touch with no
  event between them, page-locked memory that the host overwrites while it is sent, and memory that is freed
  while another stream uses it;
* a copy to the host that nobody waited for holds NaN until an event after it has been seen to be done;
* operations are recorded, not run, while a graph is captured; waiting, reading back and copies from the host
  break the capture, and what was made in it holds NaN until the graph is replayed, into the same memory;
* a failed capture leaves its stream current, and memory is not given back until the allocator is told that it
  is over, as in torch up to 2.11;
* memory has a limit, and library handles take workspace for each stream, as cuBLAS does;
* `torch.cuda.set_sync_debug_mode("error")` raises where the host would wait for the device;
* convolutions and products of float32 are rounded to TF32 where torch's settings allow it.

What it does not emulate: kernels (a kernel that is wrong on a card only), compilers (`torch.compile` is the
function itself), and time.

`card` in a test is the emulated machine (`Machine`), or None on a real one. Private calls of torch are used:
where a release changed them, the tests skip and say why.
"""

import contextlib
import functools
import gc
import itertools
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from goldore.networks import fused

ROOT = Path(__file__).resolve().parents[1]
WORKSPACE = 32 * 2**20  # bytes that cuBLAS takes for each stream that it is used on
HOST = 0  # the host's clock; streams count from 1
aten = torch.ops.aten


class BrokenRuleError(RuntimeError):
    """What a card would refuse, or would answer by wrong numbers."""


class Machine:
    """Cards, their streams and their memory.

    Attributes:
        limit: bytes that each card has.
        allocated: bytes in use, by card.
        peak: likewise, the most since it was last reset.
        pinned: page-locked bytes in use, and the most so far.
        broken: rules that were broken where a card would go on with wrong numbers.
        launches: kernels that were launched, those of a replayed graph counted as one.
        fault: called with the name of every operation on a card before it runs; a test makes it raise.
    """

    def __init__(self) -> None:
        self.stream_numbers = itertools.count(1)
        self.clocks: dict[int, Counter[int]] = {HOST: Counter()}
        self.cards = 2
        self.current = 0
        self.allocated: Counter[int] = Counter()
        self.peak: Counter[int] = Counter()
        self.pinned = self.pinned_peak = 0
        self.workspaces: dict[int, Allocation] = {}
        self.capture: Capture | None = None
        self.copies: list[tuple[int, int, Callable[[], None]]] = []  # to the host, under way
        self.streams = [Stream(card, self) for card in range(self.cards)]
        self.defaults = list(self.streams)
        self.begin()

    def begin(self) -> None:
        """Start a test: no faults, nothing broken, memory without a limit that matters."""
        self.limit = 80 * 2**30
        self.stuck: object = None  # pool of a capture that failed and that the allocator takes for going on
        self.broken: list[str] = []
        self.launches = 0
        self.fault: Callable[[str], None] = lambda _: None
        self.strict = False
        self.pinned_peak = self.pinned

    def allocate(self, nbytes: int, card: int, by: str) -> "Allocation":
        if self.allocated[card] + nbytes > self.limit:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {nbytes} bytes (emulated)")
        made = Allocation(self, nbytes, card, by)
        if self.capture is not None:
            self.capture.own.add(made)
        return made

    def wait(self, why: str, clock: Counter[int] | None = None) -> None:
        """The host waits for work up to a clock, or for all; what is launched from now on comes after it."""
        if self.capture is not None:
            raise BrokenRuleError(
                f"CUDA error: operation not permitted when stream is capturing ({why}, {place()})"
            )
        if self.strict:
            raise BrokenRuleError(f"called a synchronizing CUDA operation ({why}, {place()})")
        everything = Counter({each: known[each] for each, known in self.clocks.items()})
        self.see(everything if clock is None else clock)

    def see(self, clock: Counter[int]) -> None:
        """The host knows that work up to a clock is done."""
        for known in self.clocks.values():
            known.update(clock - known)
        for stream, time, arrive in self.copies:
            if time <= self.clocks[HOST][stream]:
                arrive()
        self.copies = [each for each in self.copies if each[1] > self.clocks[HOST][each[0]]]

    def touch(self, by: int, reads: list["Allocation"], writes: list["Allocation"], what: str) -> None:
        """A stream, or the host, reads and writes memory: nobody else's access may be unordered with it."""
        clock = self.clocks[by]
        clock[HOST] = self.clocks[HOST][HOST]  # what was launched comes after what the host did before
        clock[by] += 1
        for memory, writing in [(each, False) for each in reads] + [(each, True) for each in writes]:
            earlier = [memory.writes, memory.reads] if writing else [memory.writes]
            if any(other != by and time > clock[other] for known in earlier for other, time in known.items()):
                self.broken.append(
                    f"a race: {what} {'writes' if writing else 'reads'} memory of {memory.by} at {place()}"
                )
            if writing:
                memory.writes, memory.reads = {by: clock[by]}, {}
            else:
                memory.reads[by] = clock[by]


class Allocation:
    """Memory that views share; given back when the last one goes."""

    def __init__(self, machine: Machine, nbytes: int, card: int | None, by: str) -> None:
        self.machine, self.nbytes, self.card, self.by = machine, nbytes, card, by
        self.stream = machine.streams[card].number if card is not None else HOST
        self.writes: dict[int, int] = {}
        self.reads: dict[int, int] = {}
        self._count(nbytes)

    def _count(self, nbytes: int) -> None:
        machine = self.machine
        if self.card is None:
            machine.pinned += nbytes
            machine.pinned_peak = max(machine.pinned_peak, machine.pinned)
        else:
            machine.allocated[self.card] += nbytes
            machine.peak[self.card] = max(machine.peak[self.card], machine.allocated[self.card])

    def __del__(self) -> None:
        self._count(-self.nbytes)
        if self.card is None:  # torch waits until page-locked memory has been read before it uses it again
            return
        owner = self.machine.clocks[self.stream]
        for other, time in [*self.writes.items(), *self.reads.items()]:
            if other != self.stream and time > owner[other]:
                self.machine.broken.append(f"memory of {self.by} was freed while another stream used it")
                return


class Stream:
    """Work in its order."""

    def __init__(self, device: object = None, machine: Machine | None = None, **_: object) -> None:
        self._machine = machine or MACHINE
        self.number = next(self._machine.stream_numbers)
        self.device_index = index_of(device, self._machine)
        self._machine.clocks[self.number] = Counter(self._machine.clocks[HOST])

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.device_index)

    @property
    def clock(self) -> Counter[int]:
        return self._machine.clocks[self.number]

    def wait_stream(self, other: "Stream") -> None:
        self.clock.update(other.clock - self.clock)

    def wait_event(self, event: "Event") -> None:
        self.clock.update(event.clock - self.clock)

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        self._machine.wait("stream.synchronize", self.clock)


class Event:
    """A mark in a stream. At the first look the work before it is still under way."""

    def __init__(self, *_: object, **__: object) -> None:
        self.clock: Counter[int] = Counter()
        self._looks = 0

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or current_stream()
        stream.clock[stream.number] += 1
        self.clock, self._looks = Counter(stream.clock), 0

    def wait(self, stream: Stream | None = None) -> None:
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        if MACHINE.capture is not None:
            raise BrokenRuleError("CUDA error: operation not permitted when stream is capturing (query)")
        self._looks += 1
        if self._looks > 1:
            MACHINE.see(self.clock)
        return self._looks > 1

    def synchronize(self) -> None:
        """Wait for an earlier mark; a way to bound what is under way, so that a strict test allows it."""
        strict, MACHINE.strict = MACHINE.strict, False
        try:
            MACHINE.wait("event.synchronize", self.clock)
        finally:
            MACHINE.strict = strict


def index_of(device: object, machine: Machine) -> int:
    if isinstance(device, int):
        return device
    index = torch.device(device).index if device is not None else None
    return machine.current if index is None else index


def current_stream(device: object = None) -> Stream:
    return MACHINE.streams[index_of(device, MACHINE)]


def place() -> str:
    """The line of goldore, of its benchmarks or of a test that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        if (name := own_file(frame.f_code.co_filename)) is not None:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


@functools.cache
def own_file(name: str) -> str | None:
    path = Path(name)
    ours = path.is_relative_to(ROOT) and path != Path(__file__) and ".venv" not in path.parts
    return str(path.relative_to(ROOT)) if ours else None


class CardTensor(torch.Tensor):
    """A tensor that says it is on a card. To torch's C++ it is on the CPU: autograd needs a card for others.

    Attributes:
        numbers: the CPU tensor that has them.
        memory: shared with its views.
        card: number of its device.
        engine: made by autograd's engine, which does not know for which device.
    """

    @staticmethod
    def __new__(cls, numbers, memory, *, engine=False):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            layout=numbers.layout,
            device=torch.device("cpu"),
            requires_grad=False,
        )
        made.numbers, made.memory, made.card, made.engine = numbers, memory, memory.card, engine
        return made

    device = property(lambda self: torch.device("cuda", self.card))
    is_cuda = property(lambda _: True)
    is_cpu = property(lambda _: False)

    def __repr__(self, **_):
        return f"CardTensor(cuda:{self.card}, {tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return dispatch(function, args, kwargs or {})

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            first = args[0] if args else None
            if isinstance(first, CardTensor):
                if function is torch.Tensor.cpu:
                    return to_host(first)
                if function is torch.Tensor.tolist:
                    return to_host(first).tolist()
                if function is torch.Tensor.numpy:
                    raise TypeError(f"can't convert cuda:{first.card} device type tensor to numpy")
                if function is torch.Tensor.to:
                    return moved(first, args[1:], kwargs)
            return function(*args, **kwargs)


def to_host(tensor, dtype=None, *, non_blocking=False):
    with AskedFor():
        return aten._to_copy(tensor, dtype=dtype, device=torch.device("cpu"), non_blocking=non_blocking)


def moved(tensor, args, kwargs):
    copy = kwargs.get("copy", False)
    parsed = {name: value for name, value in kwargs.items() if name != "copy"}
    device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **parsed)
    if device is None:
        return torch.Tensor.to(tensor, *args, **kwargs)
    if device.type == "cpu":
        return to_host(tensor, dtype, non_blocking=non_blocking)
    card = index_of(device, MACHINE)
    if card == tensor.card and dtype in (None, tensor.dtype) and not copy:
        return tensor
    return aten._to_copy(tensor, dtype=dtype, device=torch.device("cuda", card), non_blocking=non_blocking)


class AskedFor:
    """While Python asks for a copy to the host; other ones are autograd's idea of a CPU tensor."""

    depth = 0

    def __enter__(self):
        AskedFor.depth += 1

    def __exit__(self, *_):
        AskedFor.depth -= 1


class Capture:
    """The operations between the beginning and the end of a capture, and the memory that they need."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.tape: list[tuple[Callable, tuple, dict, list[torch.Tensor]]] = []
        self.own: weakref.WeakSet[Allocation] = weakref.WeakSet()
        self.needed: dict[int, tuple[weakref.ref[Allocation], str]] = {}

    def need(self, memory: list[Allocation], what: str) -> None:
        for each in memory:
            if each not in self.own:
                self.needed.setdefault(id(each), (weakref.ref(each), f"{what} at {place()}"))


class Graph:
    """What was captured; a replay runs it on the same memory."""

    def __init__(self, *_: object, **__: object) -> None:
        self.captured: Capture | None = None

    def pool(self) -> object:
        if self.captured is None:
            raise RuntimeError("Called CUDAGraph::pool() without a preceding successful capture.")
        return self.captured.stream.number, id(self)

    def reset(self) -> None:
        self.captured = None

    def replay(self) -> None:
        if MACHINE.capture is not None or self.captured is None:
            raise BrokenRuleError("a replay while capturing, or of nothing")
        MACHINE.launches += 1
        MACHINE.fault("replay")
        used = []
        for reference, what in self.captured.needed.values():
            if (memory := reference()) is None:
                raise BrokenRuleError(f"a graph uses memory that was freed: {what}")
            used.append(memory)
        MACHINE.touch(current_stream().number, [], used, "a replay")
        with _disable_current_modes(), torch.no_grad():
            for function, args, kwargs, made in self.captured.tape:
                results = tensors(function(*args, **kwargs))
                for target, result in zip(made, results if made else [], strict=True):
                    target.copy_(result)


class GraphContext:
    """`torch.cuda.graph`."""

    def __init__(self, cuda_graph: Graph, pool=None, stream: Stream | None = None, **_: object) -> None:
        self.graph, self.stream = cuda_graph, stream or Stream()
        self.pool = pool

    def __enter__(self) -> None:
        MACHINE.wait("torch.cuda.graph")
        empty_cache()
        if self.stream in MACHINE.defaults:
            raise BrokenRuleError("CUDA graphs must be captured on a non-default stream")
        if self.stream.device_index != MACHINE.current:
            raise BrokenRuleError("a graph is captured on a stream of another device than the current one")
        self.before = current_stream()
        set_stream(self.stream)
        MACHINE.capture = Capture(self.stream)

    def __exit__(self, kind, *_: object) -> None:
        captured, MACHINE.capture = MACHINE.capture, None
        with _disable_current_modes(), torch.no_grad():
            for *_, made in captured.tape:
                for each in made:
                    poison(each)
        if kind is not None:  # the capture cannot be ended: torch leaves the stream, and the allocator's mark
            MACHINE.stuck = self.pool or self
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        set_stream(self.before)
        self.graph.captured = captured


@contextlib.contextmanager
def stream_context(stream: Stream | None) -> Iterator[None]:
    if stream is None:
        yield
        return
    card = stream.device_index
    before, MACHINE.streams[card] = MACHINE.streams[card], stream
    with device_context(card):
        try:
            yield
        finally:
            MACHINE.streams[card] = before


def set_stream(stream: Stream) -> None:
    MACHINE.current = stream.device_index
    MACHINE.streams[stream.device_index] = stream


@contextlib.contextmanager
def device_context(device: object) -> Iterator[None]:
    before = MACHINE.current
    MACHINE.current = index_of(device, MACHINE)
    try:
        yield
    finally:
        MACHINE.current = before


# What waits for the device, uses random numbers, or needs a workspace.
WAITING = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.unique_dim,
    aten.bincount,
    aten.repeat_interleave,
    aten.is_nonzero,
    aten.equal,
}
RANDOM = {aten.bernoulli_, aten.normal_, aten.uniform_, aten.randn, aten.rand, aten.randperm, aten.random_}
PRODUCTS = {aten.mm, aten.bmm, aten.baddbmm, aten.addmm}
CONVOLUTIONS = {aten.convolution, aten.convolution_backward, aten.convolution_backward_overrideable}
COPIES = {aten._to_copy, aten.copy_, aten._copy_from}
INDEXING = {aten.index, aten.index_put_, aten._index_put_impl_}


def tensors(tree) -> list[torch.Tensor]:
    """The tensors among arguments: in lists and dictionaries too."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return []
    return [found for each in tree for found in tensors(each)]


def mapped(change, tree):
    """The arguments with every tensor changed."""
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {name: mapped(change, each) for name, each in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(mapped(change, each) for each in tree)
    return tree


def numbers_of(tree):
    return mapped(lambda each: each.numbers if isinstance(each, CardTensor) else each, tree)


@functools.cache
def written_arguments(function) -> list[tuple[int, str]]:
    return [
        (place, argument.name)
        for place, argument in enumerate(function._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


@functools.cache
def is_view(function) -> bool:
    aliases = [
        argument.alias_info for argument in function._schema.arguments if argument.alias_info is not None
    ]
    return bool(aliases) and not any(each.is_write for each in aliases)


@functools.cache
def is_composite(function) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(function.name(), "CompositeImplicitAutograd")


def dispatch(function, args, kwargs):
    """Run an operation as its device would."""
    if is_composite(function):  # in inference mode they come whole
        with Rules():
            result = function.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
    found = tensors((args, kwargs))
    on_card = [each for each in found if isinstance(each, CardTensor)]
    on_host = [each for each in found if not isinstance(each, CardTensor)]
    target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    engine = bool(on_card) and all(each.engine for each in on_card)
    if engine and any(each.dim() for each in on_host):  # what the engine made was for the host
        return function(*numbers_of(args), **numbers_of(kwargs))
    if not found and target is not None and target.type == "cpu" and from_engine():
        target, engine = torch.device("cuda", MACHINE.current), True
    if not on_card and (target is None or target.type != "cuda"):
        return on_the_host(function, args, kwargs, on_host)
    if function.overloadpacket in COPIES and found:
        return copied(function, args, kwargs, target)
    return on_the_card(function, args, kwargs, on_card, on_host, target, engine=engine)


def from_engine() -> bool:
    """Whether autograd's engine asks, and not Python code."""
    own = ("cuda_rules.py", "_ops.py", "_python_dispatch.py", "overrides.py", "_contextlib.py", "_compile.py")
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.endswith((*own, "eval_frame.py")):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.endswith("autograd/graph.py")


# Page-locked memory, by its address.
PINNED: dict[int, tuple["weakref.ref[torch.UntypedStorage]", Allocation]] = {}


def pinned_memory(tensor) -> Allocation | None:
    storage = tensor.untyped_storage()
    reference, memory = PINNED.get(storage.data_ptr(), (None, None))
    return memory if reference is not None and reference() is storage else None


def pin(tensor):
    storage = tensor.untyped_storage()
    memory = Allocation(MACHINE, storage.nbytes(), None, place())
    address = storage.data_ptr()
    PINNED[address] = weakref.ref(storage, lambda _: PINNED.pop(address, None)), memory
    return tensor


def on_the_host(function, args, kwargs, found):
    """An ordinary operation; page-locked memory that it writes must not be under way to a card."""
    pinned = kwargs.pop("pin_memory", False) if "pin_memory" in kwargs else False
    if written_arguments(function) and PINNED:
        written = [argument_of(args, kwargs, each) for each in written_arguments(function)]
        memory = [known for each in tensors(written) if (known := pinned_memory(each)) is not None]
        if memory:
            MACHINE.touch(HOST, [], memory, str(function))
    result = function(*args, **kwargs)
    return pin(result) if pinned else result


def argument_of(args, kwargs, where):
    place, name = where
    return args[place] if place < len(args) else kwargs.get(name)


def on_the_card(function, args, kwargs, on_card, on_host, target, *, engine):
    name, kind = str(function), function.overloadpacket
    cards = {each.card for each in on_card} | ({index_of(target, MACHINE)} if target is not None else set())
    if len(cards) > 1:
        raise BrokenRuleError(f"Expected all tensors to be on the same device: {name} at {place()}")
    card = cards.pop()
    MACHINE.fault(name)
    for each in on_host:
        check_host_argument(each, kind, name)
    check_kind(kind, name, card)
    written = tensors([argument_of(args, kwargs, each) for each in written_arguments(function)])
    if written or not is_view(function):
        read = [each for each in on_card if not any(each is other for other in written)]
        launch(name, card, [each.memory for each in read], [each.memory for each in written])
    call = rounded(function) if kind in PRODUCTS | CONVOLUTIONS else function
    plain_args, plain_kwargs = numbers_of(args), numbers_of(kwargs)
    if "device" in plain_kwargs:
        plain_kwargs["device"] = torch.device("cpu")
    plain_kwargs.pop("pin_memory", None)
    if written and MACHINE.capture is not None:  # recorded, not run
        MACHINE.capture.tape.append((call, plain_args, plain_kwargs, []))
        returned = len(function._schema.returns)
        return None if returned == 0 else written[0] if returned == 1 else tuple(written)
    result = call(*plain_args, **plain_kwargs)
    made = []
    wrapped = mapped(lambda each: on_card_again(each, on_card, card, name, made, engine=engine), result)
    if MACHINE.capture is not None and made:
        MACHINE.capture.tape.append((call, plain_args, plain_kwargs, tensors(result)))
    return wrapped


def check_kind(kind, name, card) -> None:
    """What some operations do beside their work: wait, draw, or take a workspace."""
    stream, capture = MACHINE.streams[card], MACHINE.capture
    if kind in WAITING:
        MACHINE.wait(name, stream.clock)
    if capture is not None and stream is not capture.stream:
        raise BrokenRuleError(f"{name} on another stream than the one that is captured at {place()}")
    if capture is not None and kind in RANDOM:
        raise BrokenRuleError(f"random numbers in a capture are not emulated: {name} at {place()}")
    if kind in PRODUCTS and stream.number not in MACHINE.workspaces:
        MACHINE.workspaces[stream.number] = MACHINE.allocate(WORKSPACE, card, "cuBLAS")


def launch(name, card, reads, writes) -> None:
    """A kernel, now or at the replays of what is captured."""
    if MACHINE.capture is not None:
        MACHINE.capture.need(reads + writes, name)
        return
    MACHINE.launches += 1
    MACHINE.touch(MACHINE.streams[card].number, reads, writes, name)


def on_card_again(result, on_card, card, name, made, *, engine):
    """What an operation gave: an argument, a view of one, or new memory."""
    address = result.untyped_storage().data_ptr()
    for known in on_card:
        if known.numbers is result:
            return known
        if known.numbers.untyped_storage().data_ptr() == address and result.untyped_storage().nbytes():
            with torch.inference_mode(mode=result.is_inference()):
                return CardTensor(result, known.memory)
    stream = MACHINE.streams[card]
    memory = MACHINE.allocate(result.untyped_storage().nbytes(), card, name)
    memory.writes = {stream.number: stream.clock[stream.number]}
    made.append(result)
    return CardTensor(result, memory, engine=engine)


def check_host_argument(tensor, kind, name) -> None:
    """A card takes single numbers from the host, and positions, which it copies first."""
    if tensor.dim() and kind not in INDEXING:
        raise BrokenRuleError(
            f"Expected all tensors to be on the same device: {name} has a tensor of the host at {place()}"
        )
    if tensor.dim():
        MACHINE.wait(f"positions on the host in {name}")
    elif MACHINE.capture is not None:
        MACHINE.broken.append(f"a number of the host is fixed in a graph: {name} at {place()}")


def copied(function, args, kwargs, target):
    """Copies, in which host and card meet."""
    if function.overloadpacket is aten._to_copy:
        return copied_anew(function, args[0], kwargs, target)
    goal, source = args[0], args[1]
    if isinstance(goal, CardTensor) and isinstance(source, CardTensor):
        MACHINE.fault("copy_")
        launch("copy_", goal.card, [source.memory], [goal.memory])
        if MACHINE.capture is not None:
            MACHINE.capture.tape.append((aten.copy_.default, (goal.numbers, source.numbers), {}, []))
        else:
            goal.numbers.copy_(source.numbers)
        return goal
    non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
    if isinstance(goal, CardTensor):
        send(source, goal.memory, goal.card, non_blocking=non_blocking and source.dim())
        goal.numbers.copy_(source)
        return goal
    MACHINE.touch(MACHINE.streams[source.card].number, [source.memory], [], "copy_")
    MACHINE.wait("a copy to the host", MACHINE.streams[source.card].clock)
    goal.copy_(source.numbers)
    return goal


def copied_anew(function, source, kwargs, target):
    plain = {name: value for name, value in kwargs.items() if name not in ("device", "pin_memory")}
    non_blocking = plain.pop("non_blocking", False)
    leaves = target is not None and target.type == "cpu" and AskedFor.depth > 0
    if isinstance(source, CardTensor) and not leaves:
        card = index_of(target, MACHINE) if target is not None and target.type == "cuda" else source.card
        MACHINE.fault("_to_copy")
        numbers = aten._to_copy(source.numbers, **plain)
        memory = MACHINE.allocate(numbers.untyped_storage().nbytes(), card, "_to_copy")
        launch("_to_copy", source.card, [source.memory], [memory])
        if MACHINE.capture is not None:
            MACHINE.capture.tape.append((aten._to_copy.default, (source.numbers,), plain, [numbers]))
        return CardTensor(numbers, memory)
    if isinstance(source, CardTensor):
        stream = MACHINE.streams[source.card]
        if MACHINE.capture is not None or not non_blocking:
            MACHINE.wait("a copy to the host", stream.clock)
        MACHINE.touch(stream.number, [source.memory], [], "_to_copy")
        numbers = aten._to_copy(source.numbers, **plain)
        if non_blocking:
            held = numbers.clone()
            poison(numbers)
            MACHINE.copies.append((stream.number, stream.clock[stream.number], lambda: numbers.copy_(held)))
        return numbers
    card = index_of(target, MACHINE)
    numbers = aten._to_copy(source, **plain)
    if numbers.untyped_storage().data_ptr() == source.untyped_storage().data_ptr():
        numbers = numbers.clone()
    memory = MACHINE.allocate(numbers.untyped_storage().nbytes(), card, "_to_copy")
    send(source, memory, card, non_blocking=non_blocking)
    return CardTensor(numbers, memory)


def send(source, memory, card, *, non_blocking) -> None:
    """A copy from the host: pageable memory is read before the call returns, page-locked memory later."""
    stream, pinned = MACHINE.streams[card], pinned_memory(source)
    MACHINE.fault("a copy from the host")
    if MACHINE.capture is not None:
        raise BrokenRuleError(
            f"CUDA error: operation not permitted when stream is capturing (copy from the host, {place()})"
        )
    if non_blocking and pinned is not None:
        MACHINE.touch(stream.number, [pinned], [memory], "a copy from the host")
        return
    MACHINE.touch(stream.number, [], [memory], "a copy from the host")
    MACHINE.wait("a copy from the host", stream.clock)


def poison(tensor) -> None:
    """Numbers that show where something is used that is not there yet."""
    if tensor.is_floating_point():
        tensor.fill_(float("nan"))
    else:
        tensor.fill_(1 if tensor.dtype is torch.bool else 249)


def rounded(function):
    """The operation with its float32 operands rounded as the settings allow when it runs."""

    def call(*args, **kwargs):
        if not tf32_allowed(product=function.overloadpacket in PRODUCTS):
            return function(*args, **kwargs)
        return function(*mapped(to_tf32, args), **kwargs)

    return call


def tf32_allowed(*, product: bool) -> bool:
    where = torch.backends.cuda.matmul if product else torch.backends.cudnn
    if not hasattr(torch.backends, "fp32_precision"):  # before torch 2.9
        return where.allow_tf32
    return (where if product else where.conv).fp32_precision == "tf32"


def to_tf32(each):
    """Round to the nearest number with ten bits of mantissa."""
    if each.dtype != torch.float32:
        return each
    bits = each.detach().contiguous().view(torch.int32)
    bits = (bits + 0x0FFF + ((bits >> 13) & 1)) & ~0x1FFF
    return bits.view(torch.float32).view(each.shape).contiguous(memory_format=torch.preserve_format)


class Rules(TorchDispatchMode):
    """Sends every operation through `dispatch`."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return dispatch(function, args, dict(kwargs or {}))


class WithNumber(TorchFunctionMode):
    """A plain "cuda" is the current card; torch's C++ would ask the driver."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        def numbered(each):
            plain = isinstance(each, torch.device) and each.type == "cuda" and each.index is None
            named = isinstance(each, str) and each == "cuda" and function is not torch.device
            return torch.device("cuda", MACHINE.current) if plain or named else each

        return function(
            *[numbered(each) for each in args],
            **{name: numbered(each) for name, each in (kwargs or {}).items()},
        )


def empty_cache() -> None:
    if MACHINE.stuck is not None:
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")


def end_allocating(_: int, pool: object) -> None:
    if MACHINE.stuck is not pool:
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
    MACHINE.stuck = None


def set_sync_debug_mode(mode: object) -> None:
    MACHINE.strict = mode in ("error", 2)


def replacements() -> dict[str, object]:
    """What stands in for torch.cuda's own."""

    def card(device: object = None) -> int:
        return index_of(device, MACHINE)

    def reset_peak(device: object = None) -> None:
        MACHINE.peak[card(device)] = MACHINE.allocated[card(device)]

    def memory_info(device: object = None) -> tuple[int, int]:
        return MACHINE.limit - MACHINE.allocated[card(device)], MACHINE.limit

    return {
        "_lazy_init": lambda *_: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: MACHINE.cards,
        "current_device": lambda: MACHINE.current,
        "get_device_name": lambda _=None: "Emulated card",
        "get_device_capability": lambda _=None: (9, 0),
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": GraphContext,
        "stream": stream_context,
        "set_stream": set_stream,
        "current_stream": current_stream,
        "default_stream": lambda device=None: MACHINE.defaults[card(device)],
        "device": device_context,
        "synchronize": lambda _=None: MACHINE.wait("torch.cuda.synchronize"),
        "set_sync_debug_mode": set_sync_debug_mode,
        "empty_cache": empty_cache,
        "graph_pool_handle": object,
        "is_current_stream_capturing": lambda: MACHINE.capture is not None,
        "mem_get_info": memory_info,
        "memory_allocated": lambda device=None: MACHINE.allocated[card(device)],
        "max_memory_allocated": lambda device=None: MACHINE.peak[card(device)],
        "reset_peak_memory_stats": reset_peak,
    }


MACHINE = Machine()


@contextlib.contextmanager
def emulated() -> Iterator[Machine]:
    """Within: `cuda` is an emulated machine of two cards."""
    MACHINE.begin()
    lift = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # noqa: FBT003 - else torch.tensor(..., device="cuda") asks the driver
    with contextlib.ExitStack() as stack:
        stack.callback(torch._C._set_only_lift_cpu_tensors, lift)
        gc.freeze()  # so that the many searches for garbage see only what is made here
        stack.callback(gc.unfreeze)
        for name, value in replacements().items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(torch, "compile", lambda function, **_: function))
        stack.enter_context(mock.patch.object(fused, "_has_kernels", return_value=False))
        for name, value in (("endAllocateToPool", end_allocating), ("releasePool", lambda *_: None)):
            stack.enter_context(mock.patch.object(torch._C, f"_cuda_{name}", value, create=True))
        stack.enter_context(
            mock.patch.object(torch.Tensor, "pin_memory", lambda tensor, *_: pin(tensor.clone()))
        )
        stack.enter_context(
            mock.patch.object(torch.Tensor, "is_pinned", lambda tensor, *_: pinned_memory(tensor) is not None)
        )
        stack.enter_context(Rules())
        stack.enter_context(WithNumber())
        yield MACHINE


@functools.cache
def obstacle() -> str | None:
    """Why gpu tests can run neither on a card nor here; None: they can."""
    if torch.cuda.is_available():
        return None
    try:
        with emulated():
            weight = torch.tensor([[2.0]], device="cuda").requires_grad_()
            graph, given = Graph(), torch.ones(1, 1, device="cuda:0")
            with GraphContext(graph):
                made = given @ weight
            graph.replay()
            (given @ weight).sum().backward()
            torch.nn.functional.conv2d(given.view(1, 1, 1, 1), weight.view(1, 1, 1, 1))
            if (made.item(), weight.grad.device.type, weight.grad.item()) != (2.0, "cuda", 1.0):
                return "the emulated card computes something else"
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return None


def pytest_report_header() -> str:
    if torch.cuda.is_available():
        return f"gpu tests: on {torch.cuda.get_device_name()}"
    if (why := obstacle()) is not None:
        return (
            f"gpu tests: skipped, there is no card, and torch {torch.__version__} cannot emulate one ({why})"
        )
    return "gpu tests: no card; under CUDA's rules on the CPU (tests/cuda_rules.py)"


@pytest.fixture(autouse=True)
def card(request: pytest.FixtureRequest) -> Iterator[Machine | None]:
    """The emulated machine while a test marked `gpu` runs; None on a real card, and in other tests."""
    if request.node.get_closest_marker("gpu") is None or torch.cuda.is_available():
        yield None
        return
    if (why := obstacle()) is not None:
        pytest.skip(f"no card, and torch {torch.__version__} cannot emulate one: {why}")
    with emulated() as machine:
        yield machine
    assert not machine.broken, "\n".join(sorted(set(machine.broken)))
