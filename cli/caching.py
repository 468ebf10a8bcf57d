"""goldore cache: decoded images that are kept between commands."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from goldore.errors import DatasetError, GoldoreError, UsageError, reason
from goldore.wording import count, plural, size

from .screen import line, out, reports_errors, show_table

if TYPE_CHECKING:
    from goldore.datasets.cache import Kept


@reports_errors
def cache_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Entries to verify or to remove (default: all)."),
    ] = None,
    *,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder (default: $GOLDORE_CACHE/images, or goldore/images in the user's cache folder).",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="See that the images are as they were decoded.")
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Remove entries.")] = False,
) -> None:
    """List the decoded images that goldore keeps between commands, verify them, or remove them."""
    from goldore.datasets.cache import cache_folder, list_cache

    if verify and clear:
        raise UsageError("--verify and --clear exclude each other; leave one out.")
    folder = cache or cache_folder()
    there = {each.name: each for each in list_cache(folder)}
    unknown = [name for name in names or [] if name not in there]
    if unknown:
        raise UsageError(f"there is no {unknown[0]} in {folder}; goldore cache lists what there is.")
    chosen = [there[name] for name in names] if names else [*there.values()]
    console = out()
    if not chosen:
        line(console, f"{folder} holds no decoded images")
        return
    if clear:
        _clear(folder, chosen)
    elif verify:
        _verify(folder, chosen)
    else:
        show_table(console, _table(chosen))
        line(console, f"{size(sum(each.bytes for each in chosen))} in {folder}")


def _clear(folder: Path, chosen: "list[Kept]") -> None:
    from goldore.datasets.cache import remove_entry

    for each in chosen:
        try:
            remove_entry(folder / each.name)
        except OSError as error:
            raise GoldoreError(f"{folder / each.name} cannot be removed ({reason(error)}).") from error
        line(out(), f"{each.name} removed ({size(each.bytes)})")


def _verify(folder: Path, chosen: "list[Kept]") -> None:
    from goldore.datasets.cache import entry_at

    damaged = []
    for each in chosen:
        entry = entry_at(folder / each.name)
        bad = entry.damaged() if entry is not None and each.complete else []
        state = "intact" if each.complete else "not complete; the next command that reads it goes on"
        if bad:
            damaged.append(each.name)
            state = f"damaged in {plural(len(bad), 'block')}"
        line(out(), f"{each.name}: {state}")
    if damaged:
        raise DatasetError(
            f"{damaged[0]} is not as it was decoded; remove it, and it is decoded again: "
            f"goldore cache --clear {' '.join(damaged)}"
        )


def _table(entries: "list[Kept]") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("entry", overflow="fold")
    for name in ("images", "shape", "size", "used"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("read from", overflow="fold")
    for each in entries:
        images = count(each.images) + ("" if each.complete else " so far")
        used = f"{datetime.fromtimestamp(each.used).astimezone():%Y-%m-%d}"
        shape = "x".join(map(str, each.shape))
        table.add_row(each.name, images, shape, size(each.bytes), used, each.source or "(interrupted)")
    return table
