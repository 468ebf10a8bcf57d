"""The Typer application and its entry point."""

import contextlib
import gc
import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from goldore.errors import UsageError
from goldore.version import __version__

from .contents import Commands, listed
from .screen import err, learn_options, line
from .signals import end_in_order, exit_code, is_exit_of_interrupt

_OBJECTS = 50_000  # made before Python looks for garbage: looking after 700 is a tenth of a start


class _Commands(TyperGroup):
    """The commands; a wrong command line ends in one sentence, like every other error."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Commands()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the list of commands."""
        self.commands = listed()
        super().format_help(ctx, formatter)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line."""
        try:
            ended = super().main(*args, **{**kwargs, "standalone_mode": False})
        except Exception as error:
            if not hasattr(error, "format_message"):  # not about the command line
                raise
            context = getattr(error, "ctx", None)
            where = context.command_path if context is not None else "goldore"
            message = error.format_message()
            if not message:  # the help was printed instead
                sys.exit(UsageError.exit_code)
            end = "" if message.endswith("?") else "."
            said = f"{message.rstrip('.')}{end} See {where} --help."
            line(err(), said, "bold red", "error: ")
            sys.exit(UsageError.exit_code)
        if isinstance(ended, int):
            sys.exit(ended)
        return ended


app = typer.Typer(
    name="goldore",
    cls=_Commands,
    help="Score the samples of an image dataset and keep the ones worth distilling.",
    epilog="The scores are those of arXiv 2305.18381. First score, then prune; inspect at any time.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"goldore {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Score the samples of an image dataset and keep the ones worth distilling."""
    learn_options(context)


def main() -> None:
    """Run the command line; exit codes: 0 ok, 1 failed, 2 wrong usage, 128 + its number after a signal."""
    gc.set_threshold(_OBJECTS)
    end_in_order()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a class name must not fail where the locale cannot show it
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="goldore")
    except KeyboardInterrupt as interrupt:
        _leave(exit_code(interrupt))
    except SystemExit as end:
        if is_exit_of_interrupt(end.code):
            _leave(int(end.code or 0))
        raise


def _leave(code: int) -> NoReturn:
    """End with the exit code of an interrupt, at once.

    An interrupt that arrives while a module compiles code (as imports of torch do) makes CPython end itself
    with the signal later on, even though it was handled, unless the interpreter is left this way.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):  # the terminal may be gone
                stream.flush()
    os._exit(code)
