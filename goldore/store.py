"""The score file: plain HDF5 without pickles, readable with h5py and h5ls.

    /                    attrs: format, format_version, goldore_version, torch_version, device, created,
                         updated
    /dataset             attrs: name, split, num_samples, num_classes, class_names, image_shape,
                         fingerprint, source
    /dataset/labels      int32 [N]
    /dataset/sample_hash uint64 [N]
    /dataset/paths       strings [N] (folder trees only)
    /scores/<Name>       float64 [N]; attrs: definition, direction, unit, trials, recipe, reliability, ...
    /stderr/<Name>       float64 [N]
    /trials/loss         attrs: recipe (JSON), base_seed, recorded
    /trials/loss/<Name>  float32 [T, N]; row t is trial t
    /trials/loss/...     seed uint64 [T], train_loss float32 [T, epochs], test_accuracy float32 [T],
                         failed uint8 [T], done uint8 [T]

Row i of every [N] array is position i of the original training set; nothing is sorted or regrouped. A file is
never changed in place: each batch of finished trials is added to a copy that then replaces the file, so that
a crash at any moment leaves the previous, complete state.
"""

import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore import __version__
from goldore.atomic import check_space, check_writable, replacing
from goldore.datasets.dataset import ImageDataset
from goldore.definitions import SCORES, plain_name
from goldore.errors import GoldoreError, ScoreFileError, UsageError, reason
from goldore.estimators import (
    RANK_RELIABILITY_METHOD,
    RELIABILITY_METHOD,
    Estimate,
    class_members,
    mean_over_trials,
)
from goldore.recipe import LossRecipe
from goldore.trials import Trial

FORMAT = "goldore-scores"
FORMAT_VERSION = 1
_LOSS = "trials/loss"
_TEXT = h5py.string_dtype()
_PER_TRIAL = ("seed", "train_loss", "test_accuracy", "failed", "done")
# HDF5 1.8's format, which every reader in use knows: the one before holds at most 64 KiB of attributes, about
# 4,000 class names.
_LIBVER = ("v108", "latest")
_INDEX_SUFFIXES = (".npy", ".npz", ".json", ".txt", ".csv", ".pt")
_OVERHEAD = 2**18  # bytes of a file beside its arrays, generously


@dataclass(frozen=True)
class DatasetInfo:
    """The dataset of a score file, without its images.

    Attributes:
        name: of the dataset.
        split: "train"; positions count in it.
        num_samples: N.
        num_classes: K.
        class_names: K names.
        image_shape: channels, height, width.
        fingerprint: as `ImageDataset.fingerprint`.
        source: where it was read from, in words.
    """

    name: str
    split: str
    num_samples: int
    num_classes: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    fingerprint: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Score(Estimate):
    """One score of a file: an estimate (values NaN for samples without a score) and what it means.

    Attributes:
        name: for example "LossConverge".
        definition: one sentence.
        direction: what high and low mean.
        unit: of the values.
    """

    name: str
    definition: str
    direction: str
    unit: str


@dataclass(frozen=True)
class LossTrials:
    """What a file says of its loss trials, without the [T, N] arrays.

    Attributes:
        recipe: of all of them.
        base_seed: from which the trials' seeds are derived.
        recorded: names of the recorded quantities.
        done: numbers of the trials that ended well.
        failed: numbers of the trials that diverged.
        seed: per row, uint64 [T].
        train_loss: float32 [T, epochs]; NaN where not run.
        test_accuracy: float32 [T]; NaN where unknown.
    """

    recipe: LossRecipe
    base_seed: int
    recorded: tuple[str, ...]
    done: tuple[int, ...]
    failed: tuple[int, ...]
    seed: NDArray[np.uint64]
    train_loss: NDArray[np.float32]
    test_accuracy: NDArray[np.float32]


@dataclass(frozen=True)
class ScoreFile:
    """The content of a score file.

    Attributes:
        path: of the file.
        dataset: what was scored.
        labels: int64 [N].
        score_names: names of all scores in the file.
        scores: the scores that were read, by name.
        loss_trials: None if the file has none.
        device: what it was computed on.
        created: time, ISO 8601 in UTC.
        updated: likewise.
        goldore_version: that wrote it.
        torch_version: that trained.
    """

    path: Path
    dataset: DatasetInfo
    labels: NDArray[np.int64]
    score_names: tuple[str, ...]
    scores: dict[str, Score]
    loss_trials: LossTrials | None
    device: str
    created: str
    updated: str
    goldore_version: str
    torch_version: str


@dataclass(frozen=True)
class LossRun:
    """What all loss trials of one file share.

    Attributes:
        recipe: complete, with depth, mean and std filled in.
        base_seed: 0 to 2**63 - 1.
        recorded: names of the scores whose quantities each trial records.
        device: what the trials run on, in words.
        torch_version: that trains.
    """

    recipe: LossRecipe
    base_seed: int
    recorded: tuple[str, ...]
    device: str
    torch_version: str


@dataclass(frozen=True)
class LossResult:
    """The outcome of one loss trial.

    Attributes:
        trial: number and seed.
        failed: whether the training diverged; its values are then not averaged in.
        recorded: float32 [N] by score name.
        train_loss: float32 [epochs].
        test_accuracy: NaN if there is no test split.
    """

    trial: Trial
    failed: bool
    recorded: dict[str, NDArray[np.float32]] = field(repr=False)
    train_loss: NDArray[np.float32] = field(repr=False)
    test_accuracy: float = float("nan")


def load_scores(path: str | Path, only: Collection[str] | None = None) -> ScoreFile:
    """Read a score file.

    Args:
        path: of the file.
        only: names of the scores to read (case and hyphens ignored); None reads all. Others stay unread,
            which saves time on large files.

    Returns:
        Its content.

    Raises:
        ScoreFileError: if the file is missing, damaged, not a score file or of a newer format.
    """
    path = Path(path)
    wanted = None if only is None else {plain_name(name) for name in only}
    with _opened(path) as file:
        dataset = _read_dataset(file)
        labels = _array(file, "dataset/labels", (dataset.num_samples,), "iu").astype(np.int64)
        if len(labels) and not 0 <= labels.min() <= labels.max() < dataset.num_classes:
            raise ValueError("a label is out of range")
        names = _known_first(file["scores"]) if "scores" in file else ()
        return ScoreFile(
            path=path,
            dataset=dataset,
            labels=labels,
            score_names=names,
            scores={
                name: _read_score(file, name, dataset)
                for name in names
                if wanted is None or plain_name(name) in wanted
            },
            loss_trials=_read_loss_trials(file) if _LOSS in file else None,
            **{
                key: str(file.attrs[key])
                for key in ("device", "created", "updated", "goldore_version", "torch_version")
            },
        )


def is_score_file(path: Path) -> bool:
    """Whether a file calls itself a goldore score file, whatever state the rest of it is in."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except (OSError, ValueError, TypeError):
        return False


def add_loss_trials(
    path: Path, dataset: ImageDataset, run: LossRun, results: Sequence[LossResult], *, fresh: bool = False
) -> None:
    """Add finished loss trials to a score file, and estimate its scores anew; make the file if need be.

    The caller has checked that an existing file belongs to the same dataset and run (`check_same_run`).

    Args:
        path: of the file; its folder exists.
        dataset: that was trained on.
        run: what the trials share.
        results: the trials to add; one that is there already is replaced.
        fresh: start a new file, whatever is there.

    Raises:
        ScoreFileError: if the existing file cannot be read.
        OSError: if the new state cannot be written; the previous one is then still there.
    """
    with replacing(path) as temporary:
        going_on = path.exists() and not fresh
        check_space(temporary, (path.stat().st_size if going_on else 0) + _size_of(dataset, run, results))
        if going_on:
            shutil.copyfile(path, temporary)
        with h5py.File(temporary, "r+" if going_on else "w", libver=_LIBVER) as file:
            if "format" not in file.attrs:
                _write_header(file, dataset)
            if _LOSS not in file:
                _write_empty_trials(file, dataset, run)
            trials = file[_LOSS]
            for result in results:
                _write_trial(trials, result)
            _write_estimates(file, dataset, run)
            file.attrs["updated"] = _now()
            file.attrs["device"] = run.device
            file.attrs["torch_version"] = run.torch_version
            file.attrs["goldore_version"] = __version__


def check_storable(path: Path, dataset: ImageDataset, run: LossRun) -> None:
    """Write a score file without trials beside `path` and remove it again, before hours of training.

    Raises:
        UsageError: if the name is that of an index file.
        GoldoreError: if the folder cannot be written to, or HDF5 cannot hold a name.
    """
    if path.suffix in _INDEX_SUFFIXES:
        raise UsageError(
            f"{path} has the suffix of an index file; give the score file a name that ends in .h5."
        )
    check_writable(path)
    try:
        with tempfile.TemporaryDirectory(prefix=".goldore-", dir=path.resolve().parent) as folder:
            trial = Path(folder) / "trial.h5"
            trial.touch()
            check_space(trial, _size_of(dataset, run, ()))
            with h5py.File(trial, "w", libver=_LIBVER) as file:
                _write_header(file, dataset)
    except (OSError, RuntimeError, ValueError) as error:
        raise GoldoreError(
            f"the scores of {dataset.name} could not be stored in {path.parent} ({reason(error)}); "
            "make room, choose another --out, or rename what HDF5 cannot hold."
        ) from error


def check_same_run(existing: ScoreFile, dataset: ImageDataset, run: LossRun) -> None:
    """Refuse to mix trials of different datasets, recipes or seeds in one file.

    Raises:
        ScoreFileError: naming what differs, with both values.
    """
    trials = existing.loss_trials
    differences = []
    if existing.dataset.fingerprint != dataset.fingerprint:
        differences.append(
            f"dataset: {existing.dataset.name} {existing.dataset.fingerprint[:12]} there / "
            f"{dataset.name} {dataset.fingerprint[:12]} now"
        )
    elif trials is not None:
        differences += [
            f"{name}: {there} there / {now} now" for name, there, now in trials.recipe.differences(run.recipe)
        ]
        if trials.base_seed != run.base_seed:
            differences.append(f"seed: {trials.base_seed} there / {run.base_seed} now")
        if not set(run.recorded) <= set(trials.recorded):
            differences.append(f"scores: {','.join(trials.recorded)} there / {','.join(run.recorded)} now")
    if differences:
        raise ScoreFileError(
            f"{existing.path} holds another run ({'; '.join(differences)}); "
            "choose another file with --out, or replace it with --overwrite."
        )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a score file for reading; whatever goes wrong inside the block becomes one sentence."""
    if path.is_dir():
        raise ScoreFileError(f"{path} is a folder; give the path of a score file.")
    if not path.is_file():
        raise ScoreFileError(
            f"there is no score file {path}; make one with: goldore score DATASET --out {path}"
        )
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ScoreFileError(f"{path} is HDF5 but not a goldore score file; check the path.")
            version = int(file.attrs["format_version"])
            if version > FORMAT_VERSION:
                raise ScoreFileError(
                    f"{path} has format version {version} and this goldore reads up to {FORMAT_VERSION}; "
                    "update goldore."
                )
            yield file
    except ScoreFileError:
        raise
    except OSError as error:
        if path.suffix in _INDEX_SUFFIXES:
            raise ScoreFileError(
                f"{path} looks like an index file; give the score file it was made from."
            ) from error
        raise ScoreFileError(
            f"{path} is no score file, or a damaged one ({reason(error)}); check the path, or delete it and "
            "score again."
        ) from error
    except (LookupError, ArithmeticError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        what = reason(error).strip("'\"")
        raise ScoreFileError(f"{path} is damaged ({what}); score the dataset again.") from error


def _array(file: h5py.File, name: str, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """Read an array after checking that it is one, of this shape and of these kinds of dtype."""
    node = file.get(name)
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(node, h5py.Dataset):
        raise ValueError(f"{name} is missing")  # noqa: TRY004
    if node.shape != shape or node.dtype.kind not in kinds:
        raise ValueError(f"{name} is {node.dtype} {node.shape} instead of {shape}")
    return np.asarray(node[()])


def _read_dataset(file: h5py.File) -> DatasetInfo:
    attrs = file["dataset"].attrs
    channels, height, width = (int(size) for size in attrs["image_shape"])
    info = DatasetInfo(
        name=str(attrs["name"]),
        split=str(attrs["split"]),
        num_samples=int(attrs["num_samples"]),
        num_classes=int(attrs["num_classes"]),
        class_names=tuple(str(name) for name in attrs["class_names"]),
        image_shape=(channels, height, width),
        fingerprint=str(attrs["fingerprint"]),
        source=str(attrs["source"]),
    )
    if len(info.class_names) != info.num_classes:
        raise ValueError(f"{info.num_classes} classes but {len(info.class_names)} class names")
    return info


def _known_first(names: Collection[str]) -> tuple[str, ...]:
    """The names in the order of the table of definitions; HDF5 gives them in alphabetical order."""
    known = [name for name in SCORES if name in names]
    return (*known, *(name for name in names if name not in SCORES))


def _read_score(file: h5py.File, name: str, dataset: DatasetInfo) -> Score:
    shape = (dataset.num_samples,)
    values = _array(file, f"scores/{name}", shape, "f")
    attrs = file[f"scores/{name}"].attrs
    unknown = np.full(dataset.num_classes, np.nan)
    return Score(
        name=name,
        definition=str(attrs["definition"]),
        direction=str(attrs["direction"]),
        unit=str(attrs["unit"]),
        values=values,
        stderr=_array(file, f"stderr/{name}", shape, "f"),
        trials=int(attrs["trials"]),
        reliability=float(attrs.get("reliability", np.nan)),
        rank_reliability=float(attrs.get("rank_reliability", np.nan)),
        class_reliability=np.asarray(attrs.get("class_reliability", unknown)).reshape(unknown.shape),
        class_rank_reliability=np.asarray(attrs.get("class_rank_reliability", unknown)).reshape(
            unknown.shape
        ),
    )


def _read_loss_trials(file: h5py.File) -> LossTrials:
    group = file[_LOSS]
    recipe = LossRecipe.from_json(str(group.attrs["recipe"]))
    recorded = tuple(str(name) for name in group.attrs["recorded"])
    rows = group["done"].shape[0]
    for name in recorded:
        expected = (rows, int(file["dataset"].attrs["num_samples"]))
        if group[name].shape != expected or group[name].maxshape[0] is not None:
            raise ValueError(f"{_LOSS}/{name} has another shape than {expected}")
    done, failed = (_array(file, f"{_LOSS}/{name}", (rows,), "u").astype(bool) for name in ("done", "failed"))
    return LossTrials(
        recipe=recipe,
        base_seed=int(group.attrs["base_seed"]),
        recorded=recorded,
        done=tuple(int(row) for row in np.flatnonzero(done & ~failed)),
        failed=tuple(int(row) for row in np.flatnonzero(done & failed)),
        seed=_array(file, f"{_LOSS}/seed", (rows,), "u"),
        train_loss=_array(file, f"{_LOSS}/train_loss", (rows, recipe.epochs), "f"),
        test_accuracy=_array(file, f"{_LOSS}/test_accuracy", (rows,), "f"),
    )


def _write_header(file: h5py.File, dataset: ImageDataset) -> None:
    file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "created": _now()})
    group = file.create_group("dataset")
    group.attrs.update(
        {
            "name": dataset.name,
            "split": "train",
            "num_samples": dataset.num_samples,
            "num_classes": dataset.num_classes,
            "image_shape": dataset.image_shape,
            "fingerprint": dataset.fingerprint,
            "source": dataset.source,
        }
    )
    _write_names(group, "class_names", dataset.class_names)
    group["labels"] = dataset.labels.astype(np.int32)
    group["sample_hash"] = dataset.sample_hash
    group["sample_hash"].attrs["definition"] = (
        "BLAKE2b-64 of the uint8 pixels in the order H, W, C, little-endian"
    )
    if dataset.paths is not None:
        group.create_dataset("paths", data=list(dataset.paths), dtype=_TEXT)


def _write_empty_trials(file: h5py.File, dataset: ImageDataset, run: LossRun) -> None:
    trials = file.create_group(_LOSS)
    trials.attrs["recipe"] = run.recipe.to_json()
    trials.attrs["base_seed"] = np.uint64(run.base_seed)
    _write_names(trials, "recorded", run.recorded)
    per_trial: dict[str, tuple[str, tuple[int, ...], Any]] = {
        "seed": ("u8", (), 0),
        "train_loss": ("f4", (run.recipe.epochs,), np.nan),
        "test_accuracy": ("f4", (), np.nan),
        "failed": ("u1", (), 0),
        "done": ("u1", (), 0),
    }
    per_trial.update(dict.fromkeys(run.recorded, ("f4", (dataset.num_samples,), np.nan)))
    for name, (dtype, shape, empty) in per_trial.items():
        trials.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            dtype=dtype,
            fillvalue=empty,
            chunks=(1, *shape),
            fletcher32=True,
        )


def _size_of(dataset: ImageDataset, run: LossRun, results: Sequence[LossResult]) -> int:
    """Upper estimate, in bytes, of what a file grows by when these results are added to it."""
    names = sum(
        len(name.encode(errors="replace")) + 16 for name in (*dataset.class_names, *(dataset.paths or ()))
    )
    per_sample = 4 + 8 + len(run.recorded) * (2 * 8 + 4 * len(results))
    return _OVERHEAD + 2 * names + dataset.num_samples * per_sample


def _write_names(group: h5py.Group, key: str, names: Sequence[str]) -> None:
    """Write a list of strings as an attribute."""
    group.attrs.create(key, list(names), dtype=_TEXT)


def _write_trial(trials: h5py.Group, result: LossResult) -> None:
    row = result.trial.number
    if row >= len(trials["done"]):
        for name in (*_PER_TRIAL, *result.recorded):
            trials[name].resize(row + 1, axis=0)
    trials["seed"][row] = result.trial.seed
    trials["train_loss"][row] = result.train_loss
    trials["test_accuracy"][row] = result.test_accuracy
    for name, values in result.recorded.items():
        trials[name][row] = values
    trials["failed"][row] = result.failed
    trials["done"][row] = True


def _write_estimates(file: h5py.File, dataset: ImageDataset, run: LossRun) -> None:
    trials = file[_LOSS]
    usable = np.flatnonzero(trials["done"][()].astype(bool) & ~trials["failed"][()].astype(bool))
    if len(usable) == 0:
        return
    members = class_members(dataset.labels, dataset.num_classes)
    for name in run.recorded:
        observed = np.stack([trials[name][row] for row in usable])
        _write_score(file, name, mean_over_trials(observed, members), run)


def _write_score(file: h5py.File, name: str, estimate: Estimate, run: LossRun) -> None:
    for group, values in (("scores", estimate.values), ("stderr", estimate.stderr)):
        if name in file.require_group(group):
            file[group][name][...] = values
        else:
            file[group][name] = values
    definition = SCORES[name]
    file["scores"][name].attrs.update(
        {
            "definition": definition.definition,
            "direction": definition.direction,
            "unit": definition.unit,
            "trials": estimate.trials,
            "recipe": run.recipe.to_json(),
            "reliability": estimate.reliability,
            "reliability_method": RELIABILITY_METHOD,
            "rank_reliability": estimate.rank_reliability,
            "rank_reliability_method": RANK_RELIABILITY_METHOD,
            "class_reliability": estimate.class_reliability,
            "class_rank_reliability": estimate.class_rank_reliability,
        }
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
