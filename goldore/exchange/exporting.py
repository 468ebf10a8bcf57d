"""Scores for other programs: a table with a row a sample, and lists in the form of the paper's repository.

The lists are JSON arrays of one number a sample in the original order, named `<DATASET>_<Score>.json`, as
`drop_utils` of github.com/silicx/GoldFromOres reads them. Its MonteCarlo is the in-mean, which carries the
level of the class, and there 0.0 means never drawn.
"""

import csv
import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldore.errors import ScoreFileError, UsageError
from goldore.exchange.importing import DRAWN_IN_VAIN, NEVER_DRAWN
from goldore.files.atomic import file_name, replacing
from goldore.scores import MONTE_CARLO, score_name
from goldore.selection.ranks import Ranked
from goldore.store import Score, ScoreFile, load_header
from goldore.store.estimating import estimate_from
from goldore.store.outputs import check_output

LIST_FORMAT = "goldfromores"
TABLE_FORMAT = "csv"
_BLOCK = 2**16  # rows of a table that are made at a time


def export_lists(
    file: ScoreFile,
    folder: str | Path,
    *,
    scores: Collection[str] | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write scores as `<DATASET>_<Score>.json`, which the paper's repository reads.

    MonteCarlo is written as the in-mean, the paper's form, which ranks a class as in minus out does; where it
    was estimated by ridge regression, or imported, as it is.

    Args:
        file: on the disk, with all its scores.
        folder: made if need be.
        scores: names of those to write; None writes all.
        name: DATASET in the names of the files; None takes that of the file.
        overwrite: replace files that exist.

    Returns:
        The files.

    Raises:
        UsageError: if there is no such score, or a file exists.
        ScoreFileError: if a list cannot say what the score says, as of a loss that is missing.
        GoldoreError: if the folder cannot be written to.
    """
    chosen = _chosen(file, scores)
    title = file_name(name or file.dataset.name)
    targets = {each: Path(folder) / f"{title}_{each}.json" for each in chosen}
    lists = {each: _listed(file, file.scores[each]) for each in chosen}
    for target in targets.values():
        check_output(target, "folder", overwrite=overwrite, inputs=[file.path])
    for each, target in targets.items():
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(lists[each].tolist(), allow_nan=False))
    return list(targets.values())


def _chosen(file: ScoreFile, scores: Collection[str] | None) -> list[str]:
    given = file.scores if scores is None else scores
    chosen = list(dict.fromkeys(score_name(each, file.scores) for each in given))
    if not chosen:
        raise UsageError(f"there is no score to write of {file.path}; name some that it has.")
    return chosen


def _listed(file: ScoreFile, score: Score) -> NDArray[np.float64]:
    """The numbers of a list, [N]."""
    values = score.values
    if score.name == MONTE_CARLO.name and score.estimator == "in-minus-out":
        estimate = estimate_from(file.path, estimator="in-mean")
        values = estimate.values if estimate is not None else values
    missing = ~np.isfinite(values)
    if missing.any() and (score.name != MONTE_CARLO.name or values[~missing].min(initial=np.inf) < 0):
        why = (
            f"negative values, among which {NEVER_DRAWN} would not mean never drawn"
            if score.name == MONTE_CARLO.name
            else "no way to say that"
        )
        raise ScoreFileError(
            f"{int(missing.sum())} of {len(values)} samples have no {score.name}, and the list would have "
            f"{why}; add trials, or name other scores with `scores`."
        )
    if score.name == MONTE_CARLO.name:
        values = np.where(values == NEVER_DRAWN, DRAWN_IN_VAIN, values)
    return np.where(missing, NEVER_DRAWN, values)


def write_table(
    file: ScoreFile,
    target: str | Path,
    *,
    scores: Collection[str] | None = None,
    kept: NDArray[np.int64] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a CSV table with a row a sample, RFC 4180 in UTF-8, as `table` gives it.

    Args:
        file: on the disk, with all its scores.
        target: the table.
        scores: names of those to write; None writes all.
        kept: positions for the column "kept"; None leaves it out.
        overwrite: replace `target` if it exists.

    Returns:
        The path of the table.

    Raises:
        UsageError: if there is no such score, or `target` exists.
        GoldoreError: if it cannot be written.
    """
    path = Path(target)
    check_output(path, "target", overwrite=overwrite, inputs=[file.path])
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        out.writelines(table(file, scores=scores, kept=kept))
    return path


def table(
    file: ScoreFile, *, scores: Collection[str] | None = None, kept: NDArray[np.int64] | None = None
) -> Iterator[str]:
    """A CSV table in pieces: a header, then a row a sample.

    Its columns: position, label, class; path for folder trees; for each score its value, `<Score>_stderr` and
    `<Score>_rank` (in its class, from 1 for the lowest, ties at their mean); kept (1 or 0) if it is given.
    Unknown numbers are empty.

    Args:
        file: on the disk, with all its scores.
        scores: names of those to write; None writes all.
        kept: positions for the column "kept", int64.

    Raises:
        UsageError: if there is no such score.
    """
    paths = load_header(file.path).paths
    classes = file.dataset.num_classes
    names: list[str] = ["position", "label", "class", *(["path"] if paths is not None else [])]
    columns: list[NDArray[np.float64]] = []
    for name in _chosen(file, scores):
        score = file.scores[name]
        names += [name, f"{name}_stderr", f"{name}_rank"]
        ranks = Ranked.of(score.values, file.labels, classes).within() + 1
        columns += [score.values, score.stderr, ranks]
    mask = None
    if kept is not None:
        names.append("kept")
        mask = np.zeros(len(file.labels), dtype=np.int64)
        mask[kept] = 1
    yield _rows([names])
    for start in range(0, len(file.labels), _BLOCK):
        stop = min(start + _BLOCK, len(file.labels))
        block: list[list[object]] = [
            list(range(start, stop)),
            file.labels[start:stop].tolist(),
            [file.dataset.class_names[label] for label in file.labels[start:stop]],
        ]
        if paths is not None:
            block.append(list(paths[start:stop]))
        for column in columns:
            part = column[start:stop]
            block.append([value if there else "" for value, there in zip(part.tolist(), np.isfinite(part))])  # noqa: B905
        if mask is not None:
            block.append(mask[start:stop].tolist())
        yield _rows(zip(*block, strict=True))


def _rows(rows: object) -> str:
    content = io.StringIO()
    csv.writer(content, lineterminator="\r\n").writerows(rows)  # type: ignore[arg-type]
    return content.getvalue()
