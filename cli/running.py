"""goldore run."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .screen import err, line, out, reports_errors


@reports_errors
def run_command(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="An index file.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND...",
            help="The program to run, with its arguments. Without one, the environment variables are printed "
            "that do the same for programs that a shell starts.",
        ),
    ] = None,
) -> None:
    """Run a distillation program, unedited, on the samples of an index file.

    When the program builds the dataset that the index is about (the same labels
    in the same order), that dataset holds just the kept samples. Other datasets,
    such as the test set, are left alone. At the end a line says where the index
    was applied; a program that never built that dataset ends with an error.

    This works for datasets of torchvision and PyTorch, Hugging Face and
    TensorFlow Datasets, and for what torch.load reads. The program runs in its
    own environment, which needs no goldore.

    The exit code is the program's, or 1 if the index was not applied.
    """
    from goldore.applying.launching import run, shell_variables

    command = command[1:] if command and command[0] == "--" else command
    if not command:
        for name, value in shell_variables(index).items():
            out().print(f"export {name}={shlex.quote(value)}", markup=False, soft_wrap=True)
        return
    ended = run(index, command)
    for each in ended.lines:
        line(err(), each)
    raise typer.Exit(ended.exit_code)
