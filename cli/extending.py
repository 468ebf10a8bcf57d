"""goldore extend: more trials for a score file, with the recipe that it has."""

from pathlib import Path
from typing import Annotated

import typer

from .carrying import carried_out
from .durations import seconds
from .screen import reports_errors


@reports_errors
def extend_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A score file.")],
    *,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Loss trials that it shall hold in the end, and groups of untrained networks for "
            "KernelUtility."
        ),
    ] = None,
    fold_trials: Annotated[
        int | None, typer.Option(help="Cross-validations that it shall hold in the end.")
    ] = None,
    utility_trials: Annotated[
        int | None, typer.Option(metavar="M", help="Utility trials that it shall hold in the end.")
    ] = None,
    until_reliability: Annotated[
        float | None,
        typer.Option(metavar="R", help="Add utility trials until the ranking has this reliability."),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time limit of the utility trials: 90s, 30m or 2h."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="The dataset, as for goldore score (default: where it was scored)."),
    ] = None,
    data_root: Annotated[Path, typer.Option(help="Folder of the named datasets.")] = Path("data"),
    scores: Annotated[
        str,
        typer.Option(help="Scores of your own that the file records, as package.module:NAME, by commas."),
    ] = "",
    device: Annotated[
        str,
        typer.Option(help="auto (all CUDA devices, else the CPU), cuda, cuda:1 (one), cuda:0,2 or cpu."),
    ] = "auto",
    processes: Annotated[
        int | None,
        typer.Option(metavar="P", help="Processes that share the trials (default: one per CUDA device)."),
    ] = None,
    ensemble_size: Annotated[
        int | None, typer.Option(help="Networks trained at once (default: chosen).")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be trained and for how long; train nothing."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print what was detected.")] = False,
) -> None:
    """Add trials to a score file, with the dataset, the recipe and the seed that it names.

    It resumes an interrupted run too. What goldore score was told is not asked again.
    """
    max_seconds = seconds(max_time)
    with carried_out(processes, device, quiet=quiet, verbose=verbose, dry_run=dry_run) as work:
        team = work.team()
        from goldore.runs.extending import extend

        work.result = extend(
            file,
            trials=trials,
            fold_trials=fold_trials,
            utility_trials=utility_trials,
            until_reliability=until_reliability,
            max_seconds=max_seconds,
            dataset=dataset,
            data_root=data_root,
            scores=scores,
            device=device,
            ensemble_size=ensemble_size,
            dry_run=dry_run,
            watcher=work.watcher,
            team=team,
        )
