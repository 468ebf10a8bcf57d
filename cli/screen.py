"""What all commands share of the screen: consoles, errors, numbers, how options are spelled."""

import contextlib
import functools
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from goldore.errors import GoldoreError, PlugError, reason
from goldore.wording import printable

from .signals import exit_code

if TYPE_CHECKING:
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")

_READER_GONE = 128 + 13  # as if by the signal SIGPIPE
_PIPE_WIDTH = 10_000
_NAME_WIDTH = 28
_NAME_LEAST = 10
_LABEL_WIDTH = 13
_NAMED = re.compile(r"`([a-z_][a-z0-9_]*)`")
ALIASES = {  # arguments that have another name on the command line
    "max_seconds": "--max-time",
    "max_run_seconds": "--max-run-time",
    "method": "--distill-method",  # of a DistillRecipe
    "source": "--dataset",  # of map_index
    "folder": "--figures",  # of check_figures; the export command has one of its own
    "target": "DIR",  # of write_table, as the export command calls it
}
_command_line: dict[str, Any] = {}  # "commands", all of them by name, and the one that is "running"


class _Console(Console):
    """A console whose broken pipe is `reports_errors`'s business."""

    def on_broken_pipe(self) -> None:
        """Called while BrokenPipeError is handled."""
        raise  # noqa: PLE0704


def out() -> Console:
    """The console for results, on stdout; in a pipe no table is cut to a terminal's width."""
    console = _Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def err() -> Console:
    """The console for progress, warnings and errors, on stderr."""
    return Console(stderr=True, highlight=False)


def show_warnings() -> None:
    """Print what the library warns of as other warnings are, and leave out what is no news."""
    warnings.showwarning = lambda message, *_, **__: warn(f"{str(message).rstrip('.')}.")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA


def is_live(console: Console) -> bool:
    """Whether a console is a screen on which something may move."""
    return console.is_terminal and not console.is_dumb_terminal


def line(console: Console, text: str, style: str = "", label: str = "") -> None:
    """Print a sentence as it is: no markup is read in it; wrapped at words on a terminal, never in a pipe."""
    text = printable(text)
    sentence = Text.assemble((label, style), text) if label else Text(text, style)
    console.print(sentence, soft_wrap=not console.is_terminal)


def learn_options(context: typer.Context) -> None:
    """Learn which command is run, whose options arguments are spelled as.

    Args:
        context: of the application, with all its commands.
    """
    commands = getattr(context.command, "commands", {})
    _command_line.update(commands=commands, running=commands.get(context.invoked_subcommand))


def _spelling(name: str) -> str | None:
    """How an argument is spelled: by the command that is run, by `ALIASES`, or by the other commands."""
    if not _command_line:
        return None
    running, commands = _command_line["running"], _command_line["commands"]
    own = _options_of(running) if running is not None else {}
    known = own.get(name) or ALIASES.get(name)
    return known or next(filter(None, (_options_of(each).get(name) for each in commands.values())), None)


def _options_of(command: Any) -> dict[str, str]:
    """The options and positional arguments of a command, by their names in Python."""
    found = {}
    for each in command.params:
        if each.param_type_name == "argument":
            found[each.name] = each.metavar or each.name.upper()
            continue
        option = next(text for text in each.opts if text.startswith("--"))
        found[each.name] = found[option[2:].replace("-", "_")] = option
    return found


def spelled(text: str) -> str:
    """A sentence of the library with `keep_ratio` as --keep-ratio; names of no option stay as they are."""
    return _NAMED.sub(lambda found: _spelling(found[1]) or found[0], text)


def warn(text: str) -> None:
    """Print a warning on stderr, with arguments as options."""
    line(err(), spelled(text), "bold yellow", "warning: ")


def warn_of_journal(path: "Path") -> None:
    """Warn where finished trials wait beside a score file, as a killed run leaves them."""
    from goldore.store import journal_of

    waiting = journal_of(path)
    if waiting.is_file() and waiting.stat().st_size:
        warn(
            f"{waiting.name} beside it holds finished trials that are not in the file yet; repeat its "
            "goldore score command to take them in."
        )


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command end in one sentence and an exit code when the user can mend what is wrong."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except GoldoreError as error:
            line(err(), spelled(str(error)), "bold red", "error: ")
            if isinstance(error, PlugError) and error.details:
                line(err(), f"\n{error.details}")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:  # nobody reads on, as after | head
            with contextlib.suppress(OSError, AttributeError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_READER_GONE) from None
        except OSError as error:
            what = f"{error.filename}: {reason(error)}" if error.filename else reason(error)
            line(err(), f"{what}; check the path and the disk.", "bold red", "error: ")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            line(err(), "interrupted.")
            raise typer.Exit(exit_code(interrupt)) from None

    return wrapped


def fields(console: Console, rows: dict[str, str]) -> None:
    """Print named facts, one a row, with long ones wrapped in their own column."""
    if not console.is_terminal:  # a grid would fill its rows with spaces
        for label, text in rows.items():
            line(console, f"  {label:<{_LABEL_WIDTH - 2}}  {text}")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=_LABEL_WIDTH)
    table.add_column(overflow="fold")
    for label, text in rows.items():
        table.add_row(f"  {label}", Text(printable(text)))
    console.print(table)


def show_table(console: Console, table: Table) -> None:
    """Print a table with whole numbers; on a screen too narrow a row becomes a block of lines.

    Of classes, which may be many, a row goes on in the next line instead, and a first column of them gives
    way, down to `_NAME_LEAST` letters.
    """
    needed = Measurement.get(console, console.options.update(max_width=_PIPE_WIDTH), table)
    if table.columns[0].header == "class":
        names = max((cell_len(str(each)) for each in table.columns[0].cells), default=0)
        room = needed.maximum - max(0, names - _NAME_LEAST)
        if room > console.width:
            table.width = room
    elif needed.minimum > console.width:
        titles = [str(each.header) for each in table.columns]
        for row in zip(*(each.cells for each in table.columns), strict=True):
            line(console, str(row[0]), "bold")
            fields(console, dict(zip(titles[1:], map(str, row[1:]), strict=True)))
        return
    console.print(table, markup=False, crop=False)


def class_cell(console: Console, label: int, name: str) -> Text:
    """A class in a table: its number and its name, on one line, and on a terminal not endless."""
    text = "".join(each if each.isprintable() else "?" for each in name)
    fits = len(text) <= _NAME_WIDTH or not console.is_terminal
    shown = text if fits else text[: _NAME_WIDTH - 3] + "..."
    cell = f"{label} {shown}" if shown != str(label) else shown
    return Text(cell, no_wrap=True, overflow="ellipsis")  # in a narrow table the name gives way, no number
