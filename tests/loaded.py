"""What the server that commands are forked from imports once: the checkout's command line, and torch."""

import contextlib
import importlib

from goldore.__main__ import _command_line_from_checkout

_command_line_from_checkout()
for name in (
    "goldore_cli.app",
    "goldore_cli.watching",
    "goldore.runs",
    "goldore.report.figures",
    "goldore.report.page",
    "goldore.studies.studying",
    "torch.distributed",
    "torch._dynamo",  # which the first optimizer of a process imports, in seconds
):
    with contextlib.suppress(ImportError):  # of matplotlib and others that only some commands need
        importlib.import_module(name)
[*importlib.import_module("goldore_cli.contents").Commands().values()]
