"""Scores for other programs: rows of a table, objects in JSON, and lists as the paper's repository has them.

The lists are JSON arrays of one number a sample in the original order, named `<DATASET>_<Score>.json`, as
`drop_utils` of github.com/silicx/GoldFromOres reads them. Its MonteCarlo is the in-mean, which carries the
level of the class, and there 0.0 means never drawn.
"""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.errors import ScoreFileError, UsageError
from goldore.exchange.importing import DRAWN_IN_VAIN, NEVER_DRAWN
from goldore.files.atomic import file_name, replacing
from goldore.files.optional import optional
from goldore.scores import MONTE_CARLO, score_name
from goldore.scores.estimators.predicted import label_issues
from goldore.selection.ranks import Ranked
from goldore.store import Score, ScoreFile, load_header, load_predictions
from goldore.store.estimating import estimate_from
from goldore.store.outputs import check_output

LIST_FORMAT = "goldfromores"
TABLE_FORMAT, RECORDS_FORMAT = "csv", "json"
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


def write_records(
    file: ScoreFile, target: str | Path, *, scores: Collection[str] | None = None, overwrite: bool = False
) -> Path:
    """Write a JSON array with an object a sample, as `records` gives it; arguments as for `write_table`."""
    path = Path(target)
    check_output(path, "target", overwrite=overwrite, inputs=[file.path])
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.writelines(records(file, scores=scores))
    return path


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
    `<Score>_rank` (in its class, from 1 for the lowest, ties at their mean); what the trials predict, if the
    file says it: predicted (the class that most trials predict), predicted_share (of the trials),
    predicted_probability, label_probability, right (share of the trials that predict the label), label_issue
    (from 1 for the most doubtful label); equal_to (the first of the samples whose image is equal, if there is
    another); kept (1 or 0) if it is given. Unknown numbers are empty.

    Args:
        file: on the disk, with all its scores.
        scores: names of those to write; None writes all.
        kept: positions for the column "kept", int64.

    Raises:
        UsageError: if there is no such score.
    """
    columns = _columns(file, scores, kept)
    yield _rows([[*columns]])
    for start in range(0, len(file.labels), _BLOCK):
        block = [column(start, min(start + _BLOCK, len(file.labels))) for column in columns.values()]
        yield _rows(zip(*(["" if value is None else value for value in each] for each in block), strict=True))


def records(file: ScoreFile, *, scores: Collection[str] | None = None) -> Iterator[str]:
    """A JSON array in pieces, an object a sample, its keys the columns of `table`; unknown numbers are null.

    Args:
        file: on the disk, with all its scores.
        scores: names of those to write; None writes all.

    Raises:
        UsageError: if there is no such score.
    """
    columns = _columns(file, scores, None)
    yield "["
    for start in range(0, len(file.labels), _BLOCK):
        block = [column(start, min(start + _BLOCK, len(file.labels))) for column in columns.values()]
        lines = (json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*block, strict=True))
        yield ("," if start else "") + "\n" + ",\n".join(lines)
    yield "\n]\n"


def frame(file: ScoreFile) -> Any:
    """The columns of `table` as a pandas DataFrame; unknown numbers are NaN, and the index is the position.

    Args:
        file: on the disk.

    Raises:
        UsageError: if pandas is not installed.
    """
    columns = {name: column(0, len(file.labels)) for name, column in _columns(file, None, None).items()}
    return optional("pandas", "a table in Python").DataFrame(columns).set_index("position")


_Column = Callable[[int, int], list[Any]]


def _columns(
    file: ScoreFile, scores: Collection[str] | None, kept: NDArray[np.int64] | None
) -> dict[str, _Column]:
    """The columns of a table by name; each gives its values of some samples, None where there is none."""
    header, labels = load_header(file.path), file.labels
    names = file.dataset.class_names
    found: dict[str, _Column] = {
        "position": lambda start, stop: list(range(start, stop)),
        "label": _whole(labels),
        "class": lambda start, stop: [names[label] for label in labels[start:stop]],
    }
    paths = header.paths
    if paths is not None:
        found["path"] = lambda start, stop: list(paths[start:stop])
    for name in _chosen(file, scores):
        score = file.scores[name]
        ranks = Ranked.of(score.values, labels, file.dataset.num_classes).within() + 1
        found |= {
            name: _real(score.values),
            f"{name}_stderr": _real(score.stderr),
            f"{name}_rank": _real(ranks),
        }
    said = load_predictions(file.path)
    if said is not None:
        doubted = np.zeros(len(labels), dtype=np.int64)
        order = label_issues(said, labels, file.dataset.num_classes)
        doubted[order] = np.arange(1, len(order) + 1)
        found |= {
            "predicted": _whole(said.classes[:, 0]),
            "predicted_share": _real(said.shares[:, 0]),
            "predicted_probability": _real(said.probability),
            "label_probability": _real(said.label_probability),
            "right": _real(said.right),
            "label_issue": _whole(doubted, doubted > 0),
        }
    if header.sample_hash is not None:
        _, first, which, counts = np.unique(
            header.sample_hash, return_index=True, return_inverse=True, return_counts=True
        )
        found["equal_to"] = _whole(first[which], counts[which] > 1)
    if kept is not None:
        mask = np.zeros(len(labels), dtype=np.int64)
        mask[kept] = 1
        found["kept"] = _whole(mask)
    return found


def _real(values: NDArray[np.floating]) -> _Column:
    def column(start: int, stop: int) -> list[float | None]:
        part = values[start:stop]
        there = np.isfinite(part).tolist()
        return [value if known else None for value, known in zip(part.tolist(), there, strict=True)]

    return column


def _whole(values: NDArray[np.integer], known: NDArray[np.bool_] | None = None) -> _Column:
    def column(start: int, stop: int) -> list[int | None]:
        there = [True] * (stop - start) if known is None else known[start:stop].tolist()
        return [
            value if is_known else None
            for value, is_known in zip(values[start:stop].tolist(), there, strict=True)
        ]

    return column


def _rows(rows: object) -> str:
    content = io.StringIO()
    csv.writer(content, lineterminator="\r\n").writerows(rows)  # type: ignore[arg-type]
    return content.getvalue()
