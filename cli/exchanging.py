"""goldore export and import: scores in the form of the paper's repository, and back."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldore.errors import UsageError
from goldore.wording import count, plural

from .screen import line, out, reports_errors, show_warnings, warn, warn_of_journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldore.store import ScoreFile


@reports_errors
def export_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A score file.")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to write to; it is created if needed.")
    ],
    *,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="goldfromores: <DATASET>_<Score>.json lists, which the paper's repository reads; csv or "
            "json: <DATASET>.csv or .json with one row or object per sample: path, label, scores, "
            "predictions, as cleanlab and FiftyOne take them.",
        ),
    ] = "goldfromores",
    scores: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these, separated by commas (default: all).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="DATASET in the file names (default: as in the score file).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write scores for other programs.

    In a goldfromores list MonteCarlo is the paper's in-mean, and 0.0 means never drawn.
    """
    from goldore.exchange.exporting import (
        LIST_FORMAT,
        RECORDS_FORMAT,
        TABLE_FORMAT,
        export_lists,
        write_records,
        write_table,
    )
    from goldore.files.atomic import file_name
    from goldore.store import load_scores

    writers = {TABLE_FORMAT: write_table, RECORDS_FORMAT: write_records}
    if form not in (LIST_FORMAT, *writers):
        raise UsageError(f"--format is {form!r}; choose {LIST_FORMAT}, {' or '.join(writers)}.")
    chosen = [each.strip() for each in scores.split(",") if each.strip()] if scores is not None else None
    if chosen is not None and not chosen:
        raise UsageError("--scores names no score; name some or leave it out.")
    if name is not None and not name.strip():
        raise UsageError("--name is empty; leave it out for the name in the score file.")
    loaded = load_scores(file)
    warn_of_journal(file)
    if form == LIST_FORMAT:
        paths = export_lists(loaded, folder, scores=chosen, name=name, overwrite=overwrite)
        _say_outcome(loaded, paths)
    else:
        target = folder / f"{file_name(name or loaded.dataset.name)}.{form}"
        paths = [writers[form](loaded, target, scores=chosen, overwrite=overwrite)]
    for path in paths:
        line(out(), f"{plural(len(loaded.labels), 'sample')} written to {path}")


def _say_outcome(file: "ScoreFile", paths: "Sequence[Path]") -> None:
    """Warn if a list of MonteCarlo is by another outcome than the paper's."""
    utility = file.scores.get("MonteCarlo")
    written = any(path.stem.endswith("_MonteCarlo") for path in paths)
    if written and utility is not None and utility.outcome not in ("", "accuracy"):
        warn(
            f"MonteCarlo is written by {utility.outcome}, as the file has it; the paper's lists are by "
            "accuracy, which goldore estimate gives from the same trials."
        )


@reports_errors
def import_command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="LIST|DIR",
            help="A list of one number per sample (.json, .json.gz, .npy, .npz, .csv, .pt or .txt), or a "
            "folder of lists of the dataset.",
        ),
    ],
    *,
    dataset: Annotated[
        str | None, typer.Option(help="The dataset that was scored, as for goldore score.")
    ] = None,
    data_root: Annotated[Path, typer.Option(help="Folder of the named datasets.")] = Path("data"),
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --dataset: labels of the training samples, numbers or names, .npy or one per "
            "line."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset (default: from the file name).")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="Name of the score in a list (default: from the file name <dataset>_<Score>.json)."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The score file (default: scores_cache/<list>.h5, of a folder <dataset>-imported.h5; "
            "$GOLDORE_CACHE names another folder).",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")] = False,
) -> None:
    """Make a score file from published lists, to inspect, compare and prune it like your own.

    In a MonteCarlo list 0.0 means never drawn; it becomes a missing score.
    """
    from goldore.datasets.load import load_dataset
    from goldore.exchange.importing import import_scores
    from goldore.exchange.lists import list_stem, read_labels
    from goldore.store import default_path

    if (dataset is None) == (labels is None):
        raise UsageError("a list has no classes of its own; give either --dataset or --labels.")
    known = load_dataset(dataset, data_root=data_root, name=name) if dataset is not None else None
    dataset_name = known.name if known is not None else name or source.name
    title = f"{dataset_name}-imported" if source.is_dir() else list_stem(source)
    result = import_scores(
        source,
        to or default_path(title),
        dataset=known,
        labels=read_labels(labels) if labels is not None else None,
        score=score,
        name=name,
        overwrite=overwrite,
    )
    for each in result.scores.values():
        missing = int((each.values != each.values).sum())
        why = " (0.0 there: never drawn)" if each.name == "MonteCarlo" else ""
        without = f", {count(missing)} of them missing{why}" if missing else ""
        line(out(), f"{each.name}: {plural(len(result.labels), 'score')} imported{without}")
    line(out(), f"written to {result.path}")
    line(out(), f"next: goldore inspect {shlex.quote(str(result.path))}")


@reports_errors
def shards_command(
    index: Annotated[Path, typer.Argument(metavar="KEEP", help="An index file.")],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SHARD.tar", help="WebDataset shards, in the order in which they were scored."
        ),
    ],
    *,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the new shards.")],
    per_shard: Annotated[int, typer.Option(help="Samples of a new shard.")] = 10_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace new shards that exist.")] = False,
) -> None:
    """Write the kept samples of WebDataset shards to new shards.

    Where samples have .cls files, their labels are checked too.
    """
    from goldore.exchange.shards import shards

    show_warnings()
    written = shards(index, sources, folder, per_shard=per_shard, overwrite=overwrite)
    line(out(), f"{plural(len(written), 'shard')} written to {folder}")
