"""goldore estimate, merge and import: what is done with stored trials and published lists."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .screen import count, line, out, plural, reports_errors

if TYPE_CHECKING:
    from goldore.store import ScoreFile


@reports_errors
def estimate_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A score file with utility trials.")],
    *,
    outcome: Annotated[
        str | None, typer.Option(help="accuracy, logprob or margin (default: as in the file).")
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help="in-minus-out, in-mean (the paper's form) or ridge (default: as in the file)."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="Write another file and leave this one as it is.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")] = False,
) -> None:
    """Estimate MonteCarlo anew from the stored trials, without training."""
    from goldore.errors import ScoreFileError, UsageError
    from goldore.store import load_scores, reestimate

    from .inspecting import scores_table
    from .utility_screen import trust_sentence

    if to is not None and to.exists() and not overwrite:
        raise UsageError(f"{to} exists already; choose another --out or say --overwrite.")
    known = load_scores(file, only=()).utility_trials
    if known is None:
        raise ScoreFileError(
            f"{file} has no utility trials to estimate from; make some with: "
            "goldore score DATASET --scores MonteCarlo"
        )
    reestimate(file, outcome or known.outcome, estimator or known.estimator, to)
    result = load_scores(to or file)
    console = out()
    console.print(scores_table(result))
    score = result.scores["MonteCarlo"]
    line(console, f"MonteCarlo by {score.outcome}, {score.estimator}, in {score.unit}")
    line(console, trust_sentence(score))
    line(console, f"written to {result.path}")


@reports_errors
def merge_command(
    parts: Annotated[list[Path], typer.Argument(metavar="PART.h5...", help="Score files of one run.")],
    *,
    to: Annotated[Path, typer.Option("--out", help="The file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")] = False,
) -> None:
    """Join score files of one run that were made in parts (--trial-range)."""
    from goldore.store import load_scores, merge

    from .inspecting import scores_table
    from .utility_screen import trust_sentence

    held = sum(_trials(load_scores(part, only=())) for part in parts)
    result = merge(parts, to, overwrite=overwrite)
    console = out()
    console.print(scores_table(result))
    if "MonteCarlo" in result.scores:
        line(console, trust_sentence(result.scores["MonteCarlo"]))
    whole = _trials(result)
    twice = f" ({count(held - whole)} of them in more than one file)" if held > whole else ""
    line(
        console,
        f"{plural(len(parts), 'file')} merged, {plural(whole, 'trial')}{twice}, written to {result.path}",
    )


def _trials(file: "ScoreFile") -> int:
    """Finished trials of both kinds."""
    return sum(len(each.done) for each in (file.loss_trials, file.utility_trials) if each is not None)


@reports_errors
def import_command(
    source: Annotated[
        Path, typer.Argument(metavar="LIST.json", help="A list of one number a sample, .json or .json.gz.")
    ],
    *,
    dataset: Annotated[
        str | None, typer.Option(help="The dataset that it is about, as for goldore score.")
    ] = None,
    data_root: Annotated[Path, typer.Option(help="Folder of the named datasets.")] = Path("data"),
    labels: Annotated[
        Path | None,
        typer.Option(help="Instead: labels of the training samples, .npy or one a line."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset (default: from the file name).")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(help="Which score it is (default: from a file name <dataset>_<Score>.json)."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="The score file (default: beside the list, .h5).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")] = False,
) -> None:
    """Make a score file from a published list, to inspect and prune it like one's own.

    In a MonteCarlo list 0.0 means never drawn, and becomes missing.
    """
    from goldore.datasets.load import load_dataset
    from goldore.errors import UsageError
    from goldore.importing import import_scores, read_labels

    if (dataset is None) == (labels is None):
        raise UsageError("a list has no classes of its own; give either --dataset or --labels.")
    stem = source.name.removesuffix(".gz").removesuffix(".json")
    result = import_scores(
        source,
        to or source.with_name(f"{stem}.h5"),
        dataset=load_dataset(dataset, data_root=data_root, name=name) if dataset is not None else None,
        labels=read_labels(labels) if labels is not None else None,
        score=score,
        name=name,
        overwrite=overwrite,
    )
    missing = sum(int((each.values != each.values).sum()) for each in result.scores.values())
    why = " (0.0 there: never drawn)" if "MonteCarlo" in result.scores else ""
    without = f", {count(missing)} of them missing{why}" if missing else ""
    line(out(), f"{plural(len(result.labels), 'score')} imported{without}, written to {result.path}")
