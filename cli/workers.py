"""A bare command that shares its trials among several processes, one for each device."""

import sys
from pathlib import Path

import typer

from goldore.errors import UsageError

from .signals import exit_code

_CARDS = "nvidia[0-9]*"


def share_out(processes: int | None, device: str) -> None:
    """Let workers do this command where several are wanted, and end with it; otherwise do nothing.

    Args:
        processes: that share the trials; None: one for each device.
        device: as the command was told.
    """
    if processes is not None and processes < 1:
        raise UsageError(f"--processes is {processes}; it must be 1 or more.")
    count = processes or _devices_at_hand(device)
    if count == 1:
        return
    from goldore.runs.launching import run_workers

    try:
        raise typer.Exit(run_workers(sys.argv[1:], count))
    except KeyboardInterrupt as interrupt:  # rank 0 has said what is kept
        raise typer.Exit(exit_code(interrupt)) from None


def _devices_at_hand(device: str) -> int:
    """How many devices a --device means: 1 unless several are named, or it is open and there are several.

    Torch, which takes seconds to import, is asked only if the system has several cards.
    """
    if "," not in device and (device not in ("auto", "cuda") or not _may_have_several_cards()):
        return 1
    from goldore.training.devices import list_devices

    return len(list_devices(device))


def _may_have_several_cards() -> bool:
    return sum(1 for _ in Path("/dev").glob(_CARDS)) > 1 or Path("/dev/kfd").exists()
