"""Where to train, and what the device can do.

Code that runs on devices asks `abilities`, never for a device's kind: a new kind is a row of `ABILITIES`, and
what `list_devices`, `describe` and `default_precision` say of it.
"""

import ctypes
import operator
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from goldore.errors import UsageError
from goldore.trials import Precision

_FIRST_WITH_BF16 = (8, 0)  # compute capability
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1  # glibc's malloc.h


@dataclass(frozen=True)
class Abilities:
    """What a kind of device can do.

    Attributes:
        own_memory: it has memory apart from the host's, which can be asked how much is free. What it needs is
            copied there, and how many networks it takes at once is measured.
        runs_ahead: work is queued while the host goes on, copies from page-locked memory among it, and events
            tell how far it is.
        graphs: a queue of work can be captured once and replayed.
        float64: it computes in float64. Where it does not, scores are computed on the host.
        triton: Triton compiles kernels for it.
    """

    own_memory: bool
    runs_ahead: bool
    graphs: bool
    float64: bool
    triton: bool


ABILITIES = {
    "cpu": Abilities(own_memory=False, runs_ahead=False, graphs=False, float64=True, triton=False),
    "cuda": Abilities(own_memory=True, runs_ahead=True, graphs=True, float64=True, triton=True),
}


def abilities(device: torch.device) -> Abilities:
    """What a device can do."""
    return ABILITIES[device.type]


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was sent."""
    if abilities(device).runs_ahead:
        torch.cuda.synchronize(device)


def resolve_device(name: str = "auto", local_rank: int | None = None) -> torch.device:
    """Find the device that a name means for this process.

    Args:
        name: "auto" (CUDA if there is a device, else CPU), "cuda", "cuda:1", "cpu", or "cuda:0,2", several.
        local_rank: of this process among those of its run on this machine, which share the devices in turn;
            None: it is alone, and takes the first.

    Returns:
        The device, with an index if it is a CUDA device.

    Raises:
        UsageError: if the name is not one, there is no such device, or a lone process is given several.
    """
    if local_rank is None and "," in name:
        raise UsageError(
            f"`device` is {name!r}, but a process trains on one device; let goldore score start one for each "
            "(without --processes), or torchrun."
        )
    devices = list_devices(name)
    return devices[(local_rank or 0) % len(devices)]


def list_devices(name: str = "auto") -> list[torch.device]:
    """Find all devices that a name means: every CUDA device for "auto" and "cuda".

    Args:
        name: as for `resolve_device`.

    Returns:
        One device or more.

    Raises:
        UsageError: if the name is not one, or there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, listed = name.partition(":")
    numbers = listed.split(",") if colon else []
    if kind not in ("cpu", "cuda") or not all(each.isdecimal() for each in numbers):
        raise UsageError(
            f"`device` is {name!r}; choose auto, cuda, cuda:1 (a number), cuda:0,2 (several) or cpu."
        )
    if kind == "cpu":
        return [torch.device("cpu")]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise UsageError(
            f"`device` is {name!r} but this torch ({torch.__version__}) sees no CUDA device; "
            "use `device` cpu, or check the driver with nvidia-smi."
        )
    if not numbers:
        return [torch.device("cuda", index) for index in range(count)]
    chosen = [int(each) for each in numbers]
    if max(chosen) >= count or len(set(chosen)) < len(chosen):
        raise UsageError(
            f"`device` is {name!r} but there are {count} CUDA devices; count from cuda:0, each once."
        )
    return [torch.device("cuda", number) for number in chosen]


def describe(device: torch.device) -> str:
    """Name a device for people: the card, or the processor and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})"


def default_precision(device: torch.device) -> Precision:
    """Precision of activations where nobody chose: bf16 where the device has units for it.

    On a CPU these are AVX512-BF16 or AMX; without them bf16 is emulated and slow.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= _FIRST_WITH_BF16 else "float32"
    return "bf16" if _BF16_FLAGS & _cpu_flags() else "float32"


def _cpu_flags() -> set[str]:
    """What the processor can do, in Linux's words; empty where that cannot be told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith(("flags", "Features"))), set())


def prepare_determinism(device: torch.device) -> None:
    """Set what cuBLAS reads once, when it starts.

    Raises:
        UsageError: if that is too late.
    """
    if device.type != "cuda" or _CUBLAS in os.environ:
        return
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise UsageError(
            f"deterministic runs on CUDA need {_CUBLAS}=:4096:8 in the environment before CUDA is used; "
            "set it and start Python anew."
        )
    os.environ[_CUBLAS] = ":4096:8"


@contextmanager
def running_on(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Within: this card is torch's current one, its kernels the deterministic or the fastest ones.

    Float32 is float32 within (`full_float32`), in training too, so that no result depends on how the networks
    are computed: TF32 would reach grouped convolutions and not products.

    Args:
        device: to train on; a CPU's kernels are deterministic as they are.
        deterministic: whether CUDA's are to be.
    """
    if device.type != "cuda":
        with full_float32():
            yield
        return
    cudnn = torch.backends.cudnn
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, fill = cudnn.benchmark, memory.fill_uninitialized_memory
    if deterministic:
        torch.use_deterministic_algorithms(mode=True)
    cudnn.benchmark = not deterministic
    memory.fill_uninitialized_memory = False  # every torch.empty here is written before it is read
    try:
        with torch.cuda.device(device), full_float32():
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        cudnn.benchmark, memory.fill_uninitialized_memory = benchmark, fill


@contextmanager
def full_float32() -> Iterator[None]:
    """Within: products and convolutions of float32 are computed in float32, on cards and CPUs.

    TF32 has a mantissa of ten bits, which shows in losses. Torch allows it by two sets of settings: older
    ones, and since 2.9 `fp32_precision`, where "none" inherits from a setting above. Both are switched off,
    so that they agree: torch refuses to read the older ones where they do not.
    """
    backends: Any = torch.backends
    kinds = ("cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.conv", "mkldnn.rnn", "mkldnn.matmul")
    named = (operator.attrgetter(each) for each in kinds)
    places = [each(backends) for each in named] if hasattr(backends, "fp32_precision") else []
    before = [place.fp32_precision for place in places]
    older = _older_switches()
    for switch, off, _ in older:
        switch(off)
    for place in places:
        place.fp32_precision = "ieee"
    try:
        yield
    finally:
        for switch, _, known in older:
            switch(known)
        for place, known in zip(places, before, strict=True):
            place.fp32_precision = "none"
            if place.fp32_precision != known:  # it was not inherited
                place.fp32_precision = known


def _older_switches() -> list[tuple[Callable[[Any], None], Any, Any]]:
    """The older settings: how to set each, what switches TF32 off, and what it is now.

    Those that cannot be read are left out: there the newer ones are in use, and overrule them.
    """

    def set_cudnn(value: bool) -> None:
        torch.backends.cudnn.allow_tf32 = value

    readers: list[tuple[Callable[[], Any], Callable[[Any], None], Any]] = [
        (lambda: torch.backends.cudnn.allow_tf32, set_cudnn, False),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    ]
    found = []
    for read, switch, off in readers:
        try:
            found.append((switch, off, read()))
        except RuntimeError:
            continue
    return found


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory in the process instead of returning it to the system.

    Activations of tens of megabytes are freed and taken again every step, and glibc maps each anew, so that
    a CPU training spends up to half of its time in page faults. Changes the whole process: the command line
    calls it, the library does not. Does nothing where the C library is not glibc.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
