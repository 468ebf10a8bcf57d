"""goldore plug."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from goldore.errors import PlugError, UsageError
from goldore.wording import plural

from .screen import line, out, reports_errors, show_table

if TYPE_CHECKING:
    from goldore.repositories.plug import Change, Place

_STATES = {
    "plugged": "plugged",
    "outdated": "plugged by another version of goldore; plug it again",
    "clean": "not plugged",
    "unknown": "cannot be plugged: the anchor stands there {found} times instead of once",
}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@reports_errors
def plug_command(
    repository: Annotated[
        str | None,
        typer.Argument(
            metavar="REPO",
            help="dc, dsa, dm, mtt, cafe, frepo, rfad, idc, idm, linba, haba, datm, dream, datadam, "
            "ncfm, sre2l, d4m or "
            "g-vbsm.",
        ),
    ] = None,
    clone: Annotated[Path | None, typer.Argument(metavar="CLONE", help="The folder of the clone.")] = None,
    *,
    revert: Annotated[bool, typer.Option("--revert", help="Remove the blocks.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only report which blocks are in place.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff and change nothing.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the repositories.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print the diff.")] = False,
) -> None:
    """Make a clone of a distillation repository read an index file, for what goldore run does not reach.

    A marked block is inserted wherever the repository reads its training set. It keeps the samples of the
    index file that the environment variable GOLDORE_INDEX names; without that variable the repository
    works as before.

    The exit code of --check is 0 if every block is in place, else 1.
    """
    from goldore.repositories import find_repository
    from goldore.repositories.plug import inspect_clone, plug, unplug

    if list_:
        _list()
        return
    if repository is None or clone is None:
        raise UsageError(
            "say which repository and where its clone is: goldore plug REPO CLONE; --list names them."
        )
    if revert + check + dry_run > 1 and not (revert and dry_run):
        raise UsageError("--check goes with neither --revert nor --dry-run; leave one out.")
    known = find_repository(repository)
    if check:
        _report(inspect_clone(known, clone))
        return
    changes = (unplug if revert else plug)(known, clone, dry_run=dry_run)
    if not quiet:
        _show(changes)
    console = out()
    files = plural(len(changes), "file")
    if not changes:
        line(console, f"{clone}: {'no block to take out' if revert else 'already plugged'}; nothing changed.")
    elif dry_run:
        line(console, f"{clone}: {files} would be changed.")
    elif revert:
        line(console, f"{clone}: {files} changed; the blocks are gone.")
    else:
        line(
            console,
            f"{clone}: {files} changed; run it with GOLDORE_INDEX=/path/to/keep.npy in the environment.",
        )


def _list() -> None:
    from rich.table import Table

    from goldore.repositories import REPOSITORIES

    console = out()
    table = Table(box=None, pad_edge=False)
    for title in ("REPO", "repository", "served by"):
        table.add_column(title, no_wrap=title != "served by")
    for each in REPOSITORIES.values():
        table.add_row(each.name, each.url.removeprefix("github.com/"), ", ".join(each.ways))
    show_table(console, table)


def _report(places: "list[Place]") -> None:
    console = out()
    for place in places:
        line(console, f"{place.file}: {_STATES[place.state].format(found=place.found)} ({place.edit.place})")
    missing = sum(place.state != "plugged" for place in places)
    if missing:
        raise PlugError(
            f"{missing} of {plural(len(places), 'block')} not in place; run goldore plug without --check."
        )


def _show(changes: "list[Change]") -> None:
    console = out()
    for change in changes:
        for each in change.diff().splitlines():
            console.print(Text(each, _COLOURS.get(each[:1], "")), soft_wrap=True)
