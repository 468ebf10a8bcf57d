"""A device's memory: how much is free, and whether an error means that there was too little."""

import gc
import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import torch

_GROUPS = defaultdict(
    lambda: ("/nowhere", ""),
    {
        "": ("/sys/fs/cgroup", "memory.max"),  # the second version
        "memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    },
)
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "CUBLAS_STATUS_NOT_INITIALIZED",  # what cuBLAS says where no memory is left for it to start in
)


def release_memory() -> None:
    """Give back what nobody uses any more, so that it counts as free."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a card."""
    release_memory()
    return torch.cuda.mem_get_info(device)[0]


def total_memory(device: torch.device) -> int:
    """Bytes that a card has."""
    return torch.cuda.mem_get_info(device)[1]


def host_memory() -> int:
    """Bytes that this process may have of the machine's memory: all, or what its control group allows."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return limits[0]
    for line in lines:
        _, controllers, place = line.split(":", 2)
        folder, name = _GROUPS["memory" if "memory" in controllers.split(",") else controllers]
        groups = [Path(f"{folder}{place}"), *Path(f"{folder}{place}").parents]  # each limits those in it
        for each in groups:
            with suppress(OSError, ValueError):
                limits.append(int((each / name).read_text(encoding="utf-8")))
    return min(limits)


def is_memory_error(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is for want of memory, on a card or on the host.

    Libraries say it in many ways; ending a capture that failed raises a RuntimeError of its own over it, and
    a compiler's "out of resource: shared memory" is none of them.
    """
    known: BaseException | None = error
    seen: set[int] = set()
    while known is not None and id(known) not in seen:
        seen.add(id(known))
        if isinstance(known, (torch.OutOfMemoryError, MemoryError)):
            return True
        if isinstance(known, RuntimeError) and any(sign in str(known) for sign in _SIGNS):
            return True
        over = isinstance(known, RuntimeError) and not known.__suppress_context__
        known = known.__cause__ or (known.__context__ if over else None)
    return False
