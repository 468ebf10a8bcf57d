"""What the server that commands are forked from imports once: the checkout's command line, and torch."""

import importlib

from goldore.__main__ import _command_line_from_checkout

_command_line_from_checkout()
for name in (
    "goldore_cli.app",
    "goldore_cli.watching",
    "goldore.report",
    "goldore.runs",
    "goldore.studies.studying",
    "torch.distributed",
    "torch._dynamo",  # which the first optimizer of a process imports, in seconds
):
    importlib.import_module(name)
[*importlib.import_module("goldore_cli.contents").Commands().values()]
