"""Where to train, and how many networks at once."""

import ctypes
import platform
import sys

import torch

from goldore.ensemble.convnet import Architecture
from goldore.errors import UsageError

_CPU_NETWORKS = 1
_CUDA_NETWORKS = 16  # at the most, unless told otherwise
_CPU_UTILITY_NETWORKS = 8
_CUDA_UTILITY_NETWORKS = 64  # at the most, unless told otherwise; not yet measured
_MEMORY_SHARE = 0.5  # of the free memory that the estimated activations may fill
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1  # glibc's malloc.h


def resolve_device(name: str = "auto") -> torch.device:
    """Find the device that a name means.

    Args:
        name: "auto" (CUDA if there is a device, else CPU), "cuda", "cuda:1", "cpu" and so on.

    Returns:
        The device, with an index if it is a CUDA device.

    Raises:
        UsageError: if the name is not one, or there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device is {name!r}; choose auto, cuda, cuda:1 (a number) or cpu.") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device is {name!r}; goldore trains on cuda or cpu.")
    if device.type == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise UsageError(
            f"--device is {name!r} but this torch ({torch.__version__}) sees no CUDA device; "
            "use --device cpu, or check the driver with nvidia-smi."
        )
    if (device.index or 0) >= count:
        raise UsageError(f"--device is {name!r} but there are {count} CUDA devices; count from cuda:0.")
    return torch.device("cuda", device.index or 0)


def describe(device: torch.device) -> str:
    """Name a device for people: the card, or the processor and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})"


def choose_ensemble_size(
    architecture: Architecture, batch_size: int, trials: int, device: torch.device
) -> int:
    """Choose how many networks to train at once.

    On a CPU one network keeps all threads busy, and stacking more was measured not to pay
    (benchmarks/RESULTS.md). On CUDA as many as half of the free memory holds by a rough estimate.

    Args:
        architecture: of the networks.
        batch_size: samples a step.
        trials: how many there are to run.
        device: to train on.

    Returns:
        1 to `trials`.
    """
    if device.type == "cpu":
        return min(trials, _CPU_NETWORKS)
    free, _ = torch.cuda.mem_get_info(device)
    fitting = int(free * _MEMORY_SHARE / architecture.activation_bytes(batch_size))
    return max(1, min(trials, _CUDA_NETWORKS, fitting))


def choose_utility_ensemble_size(
    architecture: Architecture, batch_size: int, trials: int, device: torch.device
) -> int:
    """Choose how many networks to train at once on small subsets.

    A step on a handful of images is bound by its overhead, so many networks share it (measured:
    benchmarks/RESULTS.md).

    Args:
        architecture: of the networks.
        batch_size: samples a step.
        trials: how many there are to run.
        device: to train on.

    Returns:
        1 to `trials`.
    """
    if device.type == "cpu":
        return max(1, min(trials, _CPU_UTILITY_NETWORKS))
    free, _ = torch.cuda.mem_get_info(device)
    fitting = int(free * _MEMORY_SHARE / architecture.activation_bytes(max(batch_size, 256)))
    return max(1, min(trials, _CUDA_UTILITY_NETWORKS, fitting))


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
