"""The Typer application and its entry point."""

import contextlib
import io
import os
import sys
from typing import Annotated, NoReturn

import typer

from goldore.version import __version__

from .estimating import estimate_command, merge_command
from .exchanging import export_command, import_command, shards_command
from .inspecting import inspect_command
from .mapping import map_index_command
from .plugging import plug_command
from .pruning import prune_command
from .running import run_command
from .scoring import score_command
from .screen import learn_options
from .signals import end_in_order, exit_code, is_exit_of_interrupt
from .studying import study_command
from .verifying import verify_command

app = typer.Typer(
    name="goldore",
    help="Score the samples of an image dataset and keep the ones worth distilling.",
    epilog="The scores are those of arXiv 2305.18381. First score, then prune; inspect at any time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score")(score_command)
app.command("study")(study_command)
app.command("prune")(prune_command)
app.command("inspect")(inspect_command)
app.command("estimate")(estimate_command)
app.command("merge")(merge_command)
app.command("verify")(verify_command)
app.command("export")(export_command)
app.command("import")(import_command)
app.command("shards")(shards_command)
app.command("run", context_settings={"allow_interspersed_args": False})(run_command)
app.command("plug")(plug_command)
app.command("map-index")(map_index_command)


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
