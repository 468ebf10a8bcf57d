"""goldore inspect."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .screen import class_cell, count, fields, line, number, out, plural, reports_errors

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
    if "loss" in summary["trials"]:
        _show_trials(console, summary["trials"]["loss"])
    if "utility" in summary["trials"]:
        _show_utility_trials(console, summary["trials"]["utility"])
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
    what = f"images of {shape}" if any(dataset["image_shape"]) else "samples"
    line(
        console,
        f"{dataset['name']} ({dataset['split']}): {count(dataset['num_samples'])} {what}, "
        f"{dataset['num_classes']} classes",
        "bold",
    )
    versions = f"goldore {summary['goldore_version']}, torch {summary['torch_version']}, {summary['device']}"
    fields(
        console,
        {
            "source": dataset["source"],
            "fingerprint": dataset["fingerprint"] or "unknown: only labels were at hand",
            "file": f"{summary['file']}, updated {summary['updated']}",
            "made with": versions,
        },
    )


def _show_trials(console: "Console", trials: dict[str, Any]) -> None:
    recipe = trials["recipe"]
    network = recipe["network"]
    failed = f", {len(trials['failed'])} diverged" if trials["failed"] else ""
    line(console, f"loss trials: {trials['done']} done{failed}, base seed {trials['base_seed']}", "bold")
    windows = {
        "LossInit": f"the first {plural(recipe['init_epochs'], 'epoch')}",
        "LossConverge": f"the last {plural(recipe['converge_epochs'], 'epoch')}",
    }
    averaged = [f"{name} over {windows[name]}" for name in trials["recorded"] if name in windows]
    rows = {
        "ConvNet": f"depth {network['depth']}, width {network['width']}, {network['norm']} norm, "
        f"{network['activation']}, {network['pooling']} pooling",
        "training": f"{plural(recipe['epochs'], 'epoch')}, batch {recipe['batch_size']}, "
        f"lr {recipe['lr']:g}, momentum {recipe['momentum']:g}, weight decay {recipe['weight_decay']:g}",
        "averaged": ", ".join(averaged),
    }
    losses = trials["train_loss"]
    if losses:
        accuracy = trials["test_accuracy"]
        tested = f"; test accuracy {accuracy:.1%}" if accuracy is not None else ""
        later = f", {number(losses[-1])} in epoch {len(losses)}" if len(losses) > 1 else ""
        rows["course"] = f"training loss {number(losses[0])} in epoch 1{later}{tested}"
    fields(console, rows)


def _show_utility_trials(console: "Console", trials: dict[str, Any]) -> None:
    recipe = trials["recipe"]
    network = recipe["network"]
    failed = f", {trials['failed']} diverged" if trials["failed"] else ""
    line(
        console,
        f"utility trials: {count(trials['done'])} done{failed}, base seed {trials['base_seed']}",
        "bold",
    )
    images = "all" if recipe["eval_per_class"] is None else f"up to {recipe['eval_per_class']}"
    split = "test split" if recipe["eval_split"] == "test" else "half of the training set not drawn from"
    distilled = recipe["distill"]
    made = ""
    if distilled is not None:
        made = (
            f", distilled to {plural(distilled['images_per_class'], 'image')} by {distilled['method']} in "
            f"{plural(distilled['distill_steps'], 'step')}"
        )
    init = f", weights shared by {recipe['common_init']} trials" if recipe["common_init"] > 1 else ""
    fields(
        console,
        {
            "subsets": f"{_sizes(trials['subset_sizes'])} of each class{made}; every sample drawn once in "
            f"{plural(trials['per_sweep'], 'trial')}",
            "ConvNet": f"depth {network['depth']}, width {network['width']}, {network['norm']} norm, "
            f"{network['activation']}, {network['pooling']} pooling",
            "training": f"{plural(recipe['steps'], 'step')}, lr {recipe['lr']:g}, momentum "
            f"{recipe['momentum']:g}, weight decay {recipe['weight_decay']:g}{init}",
            "evaluation": f"{images} images of each class of the {split}; mean accuracy "
            f"{number(trials['accuracy'])}",
        },
    )


def _sizes(sizes: list[int]) -> str:
    """Samples of each class in a subset: small classes give less."""
    return str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _show_score(console: "Console", name: str, score: dict[str, Any], *, everything: bool) -> None:
    from rich.table import Table

    console.print()
    line(console, f"{name}: {score['direction']}, in {score['unit']}", "bold")
    rows = {"meaning": score["definition"], "trials": str(score["trials"])}
    if score["outcome"]:
        rows["outcome"] = f"{score['outcome']}, estimated by {score['estimator']}"
    if score["trials"] == 0:
        rows["trials"] = "none stored"
        rows["reliability"] = "unknown, since no trials are stored"
    elif score["trials"] == 1:
        rows["reliability"] = "unknown from 1 trial; score with --trials 2 or more"
    else:
        needed = ", ".join(
            f"{target} would take {plural(max(2, math.ceil(trials)), 'trial')}"
            for target, trials in score["trials_needed"].items()
            if trials is not None
        )
        ranks = number(score["rank_reliability"], 2)
        ahead = needed or "too low to tell how many trials it would take"
        rows["reliability"] = f"{number(score['reliability'], 2)}, of ranks {ranks}; {ahead}"
    if score["signal_share"] is not None:
        rows["signal"] = (
            f"{number(score['signal_share'], 2)}: the share of an outcome's variance that is due to "
            "which samples of the class were drawn"
        )
    if score["within_class_std"] is not None:
        between = max(score["between_class_share"], 0)  # rounding may leave it below
        rows["spread"] = (
            f"{number(score['within_class_std'])} within classes; {between:.1%} of the variance is between "
            "classes"
        )
    if score["missing"]:
        rows["missing"] = f"{plural(score['missing'], 'sample')} without a score"
    rows["quantiles"] = "  ".join(
        f"{float(q):.0%}\N{NO-BREAK SPACE}{number(value)}" for q, value in score["quantiles"].items()
    )
    fields(console, rows)
    _show_histogram(console, score["histogram"])
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    signal = ["signal"] if score["signal_share"] is not None else []
    for title in ("samples", "mean", "std", "median", "s.e.", "reliability", "of ranks", *signal):
        table.add_column(title, justify="right")
    classes = score["classes"]
    for row in classes if everything else classes[:_MAX_ROWS]:
        table.add_row(
            class_cell(console, row["label"], row["name"]),
            count(row["samples"]),
            *(number(row[key]) for key in ("mean", "std", "median", "stderr")),
            number(row["reliability"], 2),
            number(row["rank_reliability"], 2),
            *(number(row["signal_share"], 2) for _ in signal),
        )
    console.print(table, markup=False)
    if len(classes) > _MAX_ROWS and not everything:
        line(console, f"and {len(classes) - _MAX_ROWS} more classes; --verbose lists them")


def _show_histogram(console: "Console", histogram: dict[str, Any]) -> None:
    counts, edges = histogram["counts"], histogram["edges"]
    block = "█" if console.encoding.lower().startswith("utf") else "#"
    for position, amount in enumerate(counts):
        bar = block * round(_BAR * amount / max(counts))
        line(console, f"  {number(edges[position]):>8} {bar:<{_BAR}} {count(amount):>9}")
    if edges:
        scale = "logarithmic bins" if histogram["scale"] == "log" else "equal bins"
        line(console, f"  {number(edges[-1]):>8} ({scale}, lower edge at the left)")
