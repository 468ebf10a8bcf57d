"""The study file: plain HDF5, sealed like a score file.

    /                attrs: format, format_version, goldore_version, torch_version, device, created, updated,
                     settings (JSON), margin, targets
    /runs            a column each, R rows: cell (JSON), seed, accuracy, kept, digest, seconds, failed,
                     by_class [R, K], judges (JSON)
    /images/<n>      float16 [K, ipc, C, H, W]; attrs: cell (JSON), seed, waiting

`waiting` images are distilled and not judged yet: a run that was stopped goes on with them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.errors import ScoreFileError, UsageError, reason
from goldore.files.atomic import check_space, check_writable, replacing
from goldore.files.locking import writing_to
from goldore.store import is_study
from goldore.store.format import LIBVER, STUDY_FORMAT, read_array, read_attribute, read_text, text_array
from goldore.store.seal import SIZE, check_seal, seal
from goldore.studies.answers import named
from goldore.studies.cells import Cell
from goldore.studies.model import MARGIN, Run, Settings, Study
from goldore.trials import StudyRecipe
from goldore.version import __version__

VERSION = 1
_OVERHEAD = 2**18
_OF_RUN = 2**10  # bytes that a run takes besides its classes, generously
_MOST_IMAGES = 2**16

Waiting = dict[tuple[Cell, int], NDArray[np.float16]]


@dataclass
class Content:
    """What a study file holds, to be changed and written.

    Attributes:
        settings: what all runs share.
        runs: by cell and seed.
        images: of cells that were judged, with the seed that they are of.
        waiting: images that are not judged yet.
        margin: points.
        targets: numbers of seeds at which verdicts were given, ascending.
        created: time.
        updated: time at which it was written last.
        goldore_version: that wrote it last.
        torch_version: that distilled.
        device: likewise.
    """

    settings: Settings
    runs: dict[tuple[Cell, int], Run] = field(default_factory=dict)
    images: dict[Cell, tuple[int, NDArray[np.float16]]] = field(default_factory=dict)
    waiting: Waiting = field(default_factory=dict)
    margin: float = MARGIN
    targets: tuple[int, ...] = ()
    created: str = ""
    updated: str = ""
    goldore_version: str = __version__
    torch_version: str = ""
    device: str = ""

    def add(self, run: Run) -> None:
        """Take in a run; its images no longer wait, and stay if they are the first of the cell."""
        key = run.cell, run.seed
        self.runs[key] = run
        images = self.waiting.pop(key, None)
        if images is not None and not run.failed:
            self.images.setdefault(run.cell, (run.seed, images))

    def study(self, path: Path) -> Study:
        """The same for reading."""
        order = {cell: place for place, cell in enumerate(dict.fromkeys(cell for cell, _ in self.runs))}
        runs = sorted(self.runs.values(), key=lambda run: (run.cell.table, order[run.cell], run.seed))
        return Study(
            path=path,
            settings=self.settings,
            runs=tuple(runs),
            images={cell: images for cell, (_, images) in self.images.items()},
            looks=max(len(self.targets), 1),
            margin=self.margin,
            created=self.created,
            updated=self.updated,
            goldore_version=self.goldore_version,
            torch_version=self.torch_version,
            device=self.device,
        )


def write_study(path: Path, content: Content) -> Study:
    """Write a study file, whole, in place of what is there.

    Raises:
        OSError: if it cannot be written; what was there is then still there.
    """
    runs, settings = list(content.runs.values()), content.settings
    classes = len(settings.class_names)
    stored: list[tuple[Cell, int, NDArray[np.float16], bool]] = [
        *((cell, seed, images, False) for cell, (seed, images) in content.images.items()),
        *((cell, seed, images, True) for (cell, seed), images in content.waiting.items()),
    ]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content.created, content.updated, content.goldore_version = content.created or now, now, __version__
    size = _OVERHEAD + len(runs) * (_OF_RUN + 8 * classes) + sum(each[2].nbytes + 2**12 for each in stored)
    with replacing(path) as temporary:
        check_space(temporary, size)
        with h5py.File(temporary, "w", libver=LIBVER, locking=False, userblock_size=SIZE) as file:
            file.attrs.update(
                {
                    "format": STUDY_FORMAT,
                    "format_version": VERSION,
                    "goldore_version": __version__,
                    "torch_version": content.torch_version,
                    "device": content.device,
                    "created": content.created,
                    "updated": now,
                    "margin": content.margin,
                    "targets": np.array(content.targets, dtype=np.int64),
                }
            )
            file["settings"] = np.frombuffer(_settings_text(settings).encode(), dtype=np.uint8)
            group = file.create_group("runs")
            for name, column in _columns(runs, classes).items():
                group[name] = column
            for number, (cell, seed, images, waiting) in enumerate(stored):
                node = file.create_dataset(f"images/{number}", data=images)
                node.attrs.update({"cell": _cell_text(cell), "seed": seed, "waiting": waiting})
        seal(temporary)
    return content.study(path)


def read_content(path: Path) -> Content:
    """Read a study file.

    Raises:
        ScoreFileError: if it is missing, damaged, not a study or of a newer format.
    """
    if not path.is_file():
        raise ScoreFileError(f"there is no study {path}; make one with goldore study.")
    if not is_study(path):
        raise ScoreFileError(f"{path} is not a study; check the path, or choose another with `out`.")
    check_seal(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            if int(read_attribute(file, "format_version")) > VERSION:
                raise ScoreFileError(f"{path} was written by a newer goldore; update goldore.")
            return _read(file)
    except ScoreFileError:
        raise
    except (LookupError, ArithmeticError, ValueError, TypeError, RuntimeError, OSError) as error:
        raise ScoreFileError(f"{path} is damaged ({reason(error)}); run the study again.") from error


def load_study(path: str | Path, margin: float | None = None) -> Study:
    """Read a study file.

    Args:
        path: of the file.
        margin: points, for other verdicts; None: as in the file.

    Raises:
        ScoreFileError: if it is missing, damaged, not a study or of a newer format.
        UsageError: if the margin is negative.
    """
    content = read_content(Path(path))
    if margin is not None:
        check_margin(margin)
        content.margin = margin
    return content.study(Path(path))


def merge_studies(paths: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> Study:
    """Join studies of the same recipe, seed and dataset.

    Args:
        paths: of two files or more.
        out: the joint file.
        overwrite: replace what is there.

    Raises:
        UsageError: if there is only one, or `out` exists.
        ScoreFileError: if they are not studies, or do not belong together.
    """
    if len(paths) < 2:  # noqa: PLR2004
        raise UsageError("give two files or more to merge.")
    target = Path(out)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; use `overwrite` to replace it.")
    check_writable(target)
    with writing_to(target):
        return _merged(paths, target)


def _merged(paths: Sequence[str | Path], target: Path) -> Study:
    first, *others = (read_content(Path(path)) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        check_same(first.settings, other.settings, Path(path))
        _check_kept(first, other, Path(path))
        for run in other.runs.values():
            known = first.runs.get((run.cell, run.seed))
            if known is None or (known.failed and not run.failed):
                first.runs[run.cell, run.seed] = run
        for cell, images in other.images.items():
            first.images.setdefault(cell, images)
        first.targets = tuple(sorted({*first.targets, *other.targets}))
    return write_study(target, first)


def check_same(there: Settings, now: Settings, path: Path) -> None:
    """Refuse to mix runs of different recipes, datasets or seeds in one file.

    Raises:
        ScoreFileError: naming what differs.
    """
    differences = there.differences(now)
    if differences:
        shown = "; ".join(
            f"{name}: {_short(mine)} there / {_short(theirs)} now" for name, mine, theirs in differences
        )
        raise ScoreFileError(
            f"{path} holds another study ({shown}); choose another file with "
            "`out`, or replace it with `overwrite`."
        )


def _check_kept(first: Content, other: Content, path: Path) -> None:
    """Refuse to join runs of one cell that kept other samples, because the scores were others.

    Raises:
        ScoreFileError: naming the cell.
    """
    kept: dict[tuple[Cell, int], str] = {}
    for run in (*first.runs.values(), *other.runs.values()):
        key = run.cell, run.seed if run.cell.draws else 0
        if kept.setdefault(key, run.digest) != run.digest:
            raise ScoreFileError(f"{path} is of other scores: {named(run.cell)} keeps other samples there.")


def check_margin(margin: float) -> None:
    """Refuse what is no margin."""
    if not 0 <= margin < 100:  # noqa: PLR2004  # points
        raise UsageError(f"`margin` is {margin}; it must be 0 or more points of accuracy, and below 100.")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004


def _columns(runs: Sequence[Run], classes: int) -> Mapping[str, NDArray[Any]]:
    by_class = np.full((len(runs), classes), np.nan)
    for row, run in enumerate(runs):
        if len(run.by_class):
            by_class[row] = run.by_class
    return {
        "cell": text_array([_cell_text(run.cell) for run in runs]),
        "seed": np.array([run.seed for run in runs], dtype=np.int64),
        "accuracy": np.array([run.accuracy for run in runs], dtype=np.float64),
        "by_class": by_class,
        "judges": text_array([json.dumps(run.judges.tolist()) for run in runs]),
        "kept": np.array([run.kept for run in runs], dtype=np.int64),
        "digest": text_array([run.digest for run in runs]),
        "seconds": np.array([run.seconds for run in runs], dtype=np.float64),
        "failed": text_array([run.failed for run in runs]),
    }


def _read(file: h5py.File) -> Content:
    text = bytes(read_array(file, "settings", file["settings"].shape, "u").data).decode()
    settings = _settings_of(text)
    count, classes = len(file["runs/seed"]), len(settings.class_names)
    columns: dict[str, list[Any]] = {}
    for name, kinds in (("seed", "i"), ("accuracy", "f"), ("kept", "i"), ("seconds", "f")):
        columns[name] = read_array(file, f"runs/{name}", (count,), kinds).tolist()
    for name in ("cell", "judges", "digest", "failed"):
        columns[name] = [each.decode() for each in read_array(file, f"runs/{name}", (count,), "S").tolist()]
    by_class = read_array(file, "runs/by_class", (count, classes), "f")
    content = Content(
        settings=settings,
        margin=float(read_attribute(file, "margin")),
        targets=tuple(int(each) for each in np.atleast_1d(read_attribute(file, "targets"))),
        updated=read_text(file, "updated"),
        goldore_version=read_text(file, "goldore_version"),
        created=read_text(file, "created"),
        torch_version=read_text(file, "torch_version"),
        device=read_text(file, "device"),
    )
    for row in range(count):
        values = {name: column[row] for name, column in columns.items()}
        known = by_class[row]
        run = Run(
            **values
            | {
                "cell": _cell_of(values["cell"]),
                "judges": np.array(json.loads(values["judges"]), dtype=np.float64),
                "by_class": known if np.isfinite(known).any() else np.empty(0),
            }
        )
        content.runs[run.cell, run.seed] = run
    nodes = file.get("images", {})
    if len(nodes) > _MOST_IMAGES:
        raise ValueError(f"it claims {len(nodes):,} sets of images")
    for name in sorted(nodes, key=int):
        node = nodes[name]
        images = read_array(file, f"images/{name}", node.shape, "f").astype(np.float16)
        cell, seed = _cell_of(read_text(node, "cell")), int(read_attribute(node, "seed"))
        if read_attribute(node, "waiting"):
            content.waiting[cell, seed] = images
        else:
            content.images[cell] = seed, images
    return content


def _cell_text(cell: Cell) -> str:
    return json.dumps(astuple(cell))


def _cell_of(text: str) -> Cell:
    distiller, ipc, criterion, ratio = json.loads(text)
    return Cell(str(distiller), int(ipc), str(criterion), str(ratio))


def _settings_text(settings: Settings) -> str:
    recipe = settings.recipe.to_json() if settings.recipe is not None else None
    return json.dumps(asdict(replace(settings, recipe=None)) | {"recipe": recipe})


def _settings_of(text: str) -> Settings:
    values = json.loads(text)
    recipe = values["recipe"]
    return Settings(
        **values
        | {
            "recipe": StudyRecipe.from_json(recipe) if recipe is not None else None,
            "class_names": tuple(values["class_names"]),
        }
    )
