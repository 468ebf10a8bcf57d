"""What the server that commands are forked from imports once: the checkout's command line, and torch."""

import atexit
import contextlib
import gc
import importlib
import pkgutil

from goldore.__main__ import _command_line_from_checkout

_command_line_from_checkout()
own = [
    module.name
    for package in ("goldore", "goldore_cli")
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    if not module.name.startswith("goldore.applying.hook") and not module.name.endswith("__main__")
]
for name in (
    *own,
    "torch.distributed",
    "torch.utils.serialization.config",
    "torch._dynamo",  # which the first optimizer of a process imports, in seconds
    "typer._adapters",  # which imports pydantic when the first option is read
):
    with contextlib.suppress(ImportError):  # of matplotlib and others that only some commands need
        importlib.import_module(name)
gc.collect()
gc.freeze()  # no forked process looks through all this for garbage
atexit.register(gc.unfreeze)
