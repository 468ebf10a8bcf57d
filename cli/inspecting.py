"""goldore inspect."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .screen import class_cell, count, line, number, out, plural, reports_errors

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from goldore.store import ScoreFile

_MAX_ROWS = 20
_BAR = 40


@reports_errors
def inspect_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A score file.")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help=f"List all classes, also when more than {_MAX_ROWS}.")
    ] = False,
) -> None:
    """Show what is in a score file: dataset, recipe, trials, scores and how far they can be trusted."""
    from goldore.report import summarize
    from goldore.store import load_scores

    loaded = load_scores(file)
    summary = summarize(loaded)
    if as_json:
        typer.echo(json.dumps(summary, indent=1, allow_nan=False))
        return
    console = out()
    _show_dataset(console, summary)
    if summary["trials"]:
        _show_trials(console, summary["trials"]["loss"])
    console.print()
    console.print(scores_table(loaded, summary), markup=False)
    for name, score in summary["scores"].items():
        _show_score(console, name, score, everything=verbose)


def scores_table(file: "ScoreFile", summary: dict[str, Any] | None = None) -> "Table":
    """One row a score: range, standard error, reliability, missing."""
    from rich.table import Table

    from goldore.report import summarize

    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    for title in ("trials", "min", "median", "max", "s.e.", "reliability", "of ranks"):
        table.add_column(title, justify="right")
    for name, score in (summary or summarize(file))["scores"].items():
        table.add_row(
            name,
            str(score["trials"]),
            number(score["min"]),
            number(score["median"]),
            number(score["max"]),
            number(score["stderr"]),
            number(score["reliability"], 2),
            number(score["rank_reliability"], 2),
        )
    return table


def _show_dataset(console: "Console", summary: dict[str, Any]) -> None:
    dataset = summary["dataset"]
    shape = "x".join(map(str, dataset["image_shape"]))
    line(
        console,
        f"{dataset['name']} ({dataset['split']}): {count(dataset['num_samples'])} images of {shape}, "
        f"{dataset['num_classes']} classes",
        "bold",
    )
    line(console, f"  source       {dataset['source']}")
    line(console, f"  fingerprint  {dataset['fingerprint']}")
    line(console, f"  file         {summary['file']}, updated {summary['updated']}")
    line(
        console,
        f"  made with    goldore {summary['goldore_version']}, torch {summary['torch_version']}, "
        f"{summary['device']}",
    )


def _show_trials(console: "Console", trials: dict[str, Any]) -> None:
    recipe = trials["recipe"]
    network = recipe["network"]
    failed = f", {len(trials['failed'])} diverged" if trials["failed"] else ""
    line(console, f"loss trials: {trials['done']} done{failed}, base seed {trials['base_seed']}", "bold")
    line(
        console,
        f"  ConvNet      depth {network['depth']}, width {network['width']}, {network['norm']} norm, "
        f"{network['activation']}, {network['pooling']} pooling",
    )
    line(
        console,
        f"  training     {plural(recipe['epochs'], 'epoch')}, batch {recipe['batch_size']}, "
        f"lr {recipe['lr']:g}, momentum {recipe['momentum']:g}, weight decay {recipe['weight_decay']:g}",
    )
    line(
        console,
        f"  averaged     LossInit over epochs 1-{recipe['init_epochs']}, LossConverge over the last "
        f"{recipe['converge_epochs']}",
    )
    if trials["train_loss"]:
        accuracy = trials["test_accuracy"]
        tested = f"; test accuracy {accuracy:.1%}" if accuracy is not None else ""
        first, last = trials["train_loss"][0], trials["train_loss"][-1]
        line(
            console,
            f"  course       training loss {number(first)} in epoch 1, {number(last)} at the end{tested}",
        )


def _show_score(console: "Console", name: str, score: dict[str, Any], *, everything: bool) -> None:
    from rich.table import Table

    console.print()
    line(console, f"{name}: {score['direction']}, in {score['unit']}", "bold")
    line(console, f"  {score['definition']}")
    needed = ", ".join(
        f"{target} needs {_trials(trials)}" for target, trials in score["trials_needed"].items()
    )
    line(
        console,
        f"  {plural(score['trials'], 'trial')}; reliability {number(score['reliability'], 2)}, "
        f"of ranks {number(score['rank_reliability'], 2)} ({needed})",
    )
    if score["missing"]:
        line(console, f"  {count(score['missing'])} samples have no score")
    quantiles = "  ".join(f"{float(q):.0%} {number(value)}" for q, value in score["quantiles"].items())
    line(console, f"  {quantiles}")
    _show_histogram(console, score["histogram"])
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for title in ("samples", "mean", "std", "median", "s.e.", "reliability", "of ranks"):
        table.add_column(title, justify="right")
    rows = score["classes"]
    for row in rows if everything else rows[:_MAX_ROWS]:
        table.add_row(
            class_cell(row["label"], row["name"]),
            count(row["samples"]),
            *(number(row[key]) for key in ("mean", "std", "median", "stderr")),
            number(row["reliability"], 2),
            number(row["rank_reliability"], 2),
        )
    console.print(table, markup=False)
    if len(rows) > _MAX_ROWS and not everything:
        line(console, f"and {len(rows) - _MAX_ROWS} more classes; --verbose lists them")


def _show_histogram(console: "Console", histogram: dict[str, Any]) -> None:
    counts, edges = histogram["counts"], histogram["edges"]
    block = "█" if console.encoding.lower().startswith("utf") else "#"
    for position, amount in enumerate(counts):
        bar = block * round(_BAR * amount / max(counts))
        line(console, f"  {number(edges[position]):>8} {bar:<{_BAR}} {count(amount):>9}")
    if edges:
        scale = "logarithmic bins" if histogram["scale"] == "log" else "equal bins"
        line(console, f"  {number(edges[-1]):>8} ({scale}, lower edge at the left)")


def _trials(value: float | None) -> str:
    """How many trials, rounded up; the rank reliability may be unknown or too low for any number."""
    return "an unknown number" if value is None else plural(max(2, -int(-value // 1)), "trial")
