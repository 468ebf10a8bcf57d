"""How many processes a bare command starts: one for each device. No torch here unless it must be asked."""

from pathlib import Path

_CARDS = "nvidia[0-9]*"


def devices_at_hand(device: str) -> int:
    """How many devices a --device means: 1 unless several are named, or it is open and there are several.

    Torch, which takes seconds to import, is asked only if the system has several cards.
    """
    if "," not in device and (device not in ("auto", "cuda") or not _may_have_several_cards()):
        return 1
    from goldore.devices import list_devices

    return len(list_devices(device))


def _may_have_several_cards() -> bool:
    return sum(1 for _ in Path("/dev").glob(_CARDS)) > 1 or Path("/dev/kfd").exists()
