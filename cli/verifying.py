"""goldore verify: whether a score file can be trusted, and saving what can."""

from pathlib import Path
from typing import Annotated

import typer

from goldore.wording import count, plural

from .screen import err, fields, line, out, reports_errors


@reports_errors
def verify_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A score file, damaged or not.")],
    *,
    repair: Annotated[
        Path | None,
        typer.Option(metavar="NEW.h5", help="Save all intact trials to a new score file."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace NEW.h5 if it exists.")] = False,
) -> None:
    """Check a score file: its checksum, every trial, and the scores against the trials.

    The exit code is 1 if the file is damaged and was not repaired.
    """
    from goldore.errors import UsageError
    from goldore.store.verifying import repair as save
    from goldore.store.verifying import verify

    if overwrite and repair is None:
        raise UsageError("--overwrite is about the file of --repair; leave it out.")
    found = verify(file) if repair is None else save(file, repair, overwrite=overwrite)
    console = out()
    line(console, f"{file}: " + ("intact" if found.intact else f"damaged: {'; '.join(found.problems)}"))
    rows = {}
    for name, trials in found.trials.items():
        said = [f"{count(trials.usable)} usable", f"{count(trials.failed)} diverged"]
        if trials.damaged:
            said.append(f"{count(len(trials.damaged))} damaged")
        if trials.waiting:
            said.append(f"{count(trials.waiting)} in the journal, which the next run takes in")
        rows[f"{name} trials"] = ", ".join(said)
    said = [f"{', '.join(found.scores)} as the trials give them"] if found.scores else []
    said += [f"{', '.join(found.unchecked)} without trials to compare with"] if found.unchecked else []
    if said:
        rows["scores"] = "; ".join(said)
    fields(console, rows)
    if repair is not None:
        line(console, f"{plural(found.recoverable, 'trial')} saved to {repair}")
    elif not found.intact:
        saved = f"goldore verify {file} --repair NEW.h5 saves {plural(found.recoverable, 'trial')}"
        line(err(), saved if found.recoverable else "nothing can be saved; score the dataset again")
        raise typer.Exit(1)
