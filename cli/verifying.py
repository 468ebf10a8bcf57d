"""goldore verify: whether a score file can be trusted, and saving what can."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from goldore.errors import IndexFileError, UsageError
from goldore.wording import count, plural

from .index_views import is_index_file
from .mapping import scored_size
from .screen import err, fields, line, out, reports_errors


@reports_errors
def verify_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A score file, damaged or not; or an index file.")
    ],
    *,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Of an index file: see that it is about this dataset, as for goldore score (default: about "
            "that of the score file that it was made from)."
        ),
    ] = None,
    data_root: Annotated[Path, typer.Option(help="Folder of --dataset, if it is a name.")] = Path("data"),
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Of --dataset, as for goldore score (default: as the scores of the index file have it).",
        ),
    ] = None,
    repair: Annotated[
        Path | None,
        typer.Option(metavar="NEW.h5", help="Save all intact trials to a new score file."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace NEW.h5 if it exists.")] = False,
) -> None:
    """Check a score file: its checksum, every trial, and the scores against the trials; or an index file.

    The exit code is 1 if the file is damaged and was not repaired, or an index file is about another dataset.
    """
    from goldore.store.verifying import repair as save
    from goldore.store.verifying import verify

    if overwrite and repair is None:
        raise UsageError("--overwrite is about the file of --repair; leave it out.")
    if repair is None and _is_index(file, dataset):
        _verify_index(file, dataset, data_root, image_size)
        return
    if dataset is not None or image_size is not None:
        option = "--dataset" if dataset is not None else "--image-size"
        raise UsageError(f"{option} is about index files; leave it out.")
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
        saves = f"saves {plural(found.recoverable, 'trial')}"
        saved = f"goldore verify {shlex.quote(str(file))} --repair NEW.h5 {saves}"
        line(err(), saved if found.recoverable else "nothing can be saved; score the dataset again")
        raise typer.Exit(1)


def _is_index(file: Path, dataset: str | None) -> bool:
    """Whether an index file is meant; of HDF5 only where a dataset is named: a score file may be damaged."""
    from goldore.selection.index_file import SUFFIXES
    from goldore.store import is_score_file

    return (
        file.suffix in SUFFIXES and not is_score_file(file) and (dataset is not None or is_index_file(file))
    )


def _verify_index(file: Path, dataset: str | None, data_root: Path, image_size: int | None) -> None:
    """See that an index file belongs to a dataset, and say what it keeps."""
    from goldore.datasets import load_dataset
    from goldore.selection.index_file import load_index
    from goldore.selection.keeping import check_index
    from goldore.store import load_scores

    about = load_index(file).provenance
    scores = Path(str(about.get("score_file", "")))
    if dataset is not None:
        size = image_size or scored_size(dataset, about)
        loaded = load_dataset(dataset, data_root=data_root, image_size=size)
        labels, names, whose = loaded.labels, loaded.class_names, loaded.name
        fingerprint = loaded.fingerprint
    elif scores.is_file() and "mapped_from" not in about:
        read = load_scores(scores, only=())
        labels, names, whose = read.labels, read.dataset.class_names, f"{read.dataset.name}, by {scores}"
        fingerprint = read.dataset.fingerprint
    else:
        raise UsageError(
            f"the score file that {file} was made from is not here; say with --dataset what it is about."
        )
    kept = check_index(file, labels)
    claimed = about.get("fingerprint")
    if claimed and fingerprint and claimed != fingerprint:
        raise IndexFileError(
            f"{file} is about other images than those of {whose}, or another order of them, with the same "
            f"labels (fingerprint {claimed[:12]} / {fingerprint[:12]}); translate it with goldore map-index, "
            "or choose the index file of this dataset."
        )
    checked = (
        "by its images and labels"
        if claimed and fingerprint
        else "by the labels"
        if "labels_sha256" in about
        else "as far as can be told: the file says nothing of labels"
    )
    console = out()
    line(
        console,
        f"{file}: keeps {count(int(kept.sum()))} of the {plural(len(labels), 'sample')} of {whose}, "
        f"{checked}",
    )
    most = 20
    rows = {
        (f"{label} {name}" if name != str(label) else name): f"{count(int(kept[label]))} kept"
        for label, name in enumerate(names[:most])
    }
    fields(console, rows)
    if len(names) > most:
        line(
            console, f"and {len(names) - most} more classes; kept {int(kept.min())} to {int(kept.max())} each"
        )
