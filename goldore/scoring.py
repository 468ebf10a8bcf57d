"""Scoring: plan the trials, train those that are missing, keep each as soon as it is done."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from goldore.atomic import file_name, user_path
from goldore.datasets import ImageDataset, load_dataset
from goldore.definitions import LOSS_CONVERGE, LOSS_INIT, SCORES, score_name
from goldore.devices import choose_ensemble_size, describe, resolve_device
from goldore.ensemble.convnet import Architecture
from goldore.ensemble.observers import MeanLoss
from goldore.ensemble.progress import Progress
from goldore.ensemble.training import DeviceDataset, train
from goldore.errors import GoldoreError, OutOfMemoryError, ScoreFileError, UsageError, reason
from goldore.recipe import LossRecipe
from goldore.store import (
    LossResult,
    LossRun,
    ScoreFile,
    add_loss_trials,
    check_same_run,
    check_storable,
    is_score_file,
    load_scores,
)
from goldore.trials import MAX_SEED, Trial, make_trials
from goldore.watching import Plan, Watcher

DEFAULT_TRIALS = 5  # why: docs/scores.md
_CACHE_VARIABLE = "GOLDORE_CACHE"
_CACHE_FOLDER = "scores_cache"
_SECONDS_BETWEEN_REPORTS = 0.2


def score(
    source: str | ImageDataset,
    *,
    scores: str | Sequence[str] = (LOSS_INIT.name, LOSS_CONVERGE.name),
    trials: int = DEFAULT_TRIALS,
    recipe: LossRecipe | None = None,
    seed: int = 0,
    device: str = "auto",
    ensemble_size: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    data_root: str | Path = "data",
    download: bool = False,
    watcher: Watcher | None = None,
) -> ScoreFile:
    """Score every training sample of a dataset and write a score file.

    Trains `trials` proxy networks and records each sample's loss. One training serves all scores. A file
    that already holds trials of the same dataset, recipe and seed is gone on with: only missing trials are
    trained. Results do not depend on `ensemble_size` or on what was resumed, beyond rounding.

    Args:
        source: a dataset, or what `load_dataset` takes.
        scores: names out of "LossInit" and "LossConverge", as a list or separated by commas.
        trials: how many the file shall hold in the end, 1 or more. Two are needed for standard errors.
        recipe: how to train; None takes the defaults. Depth, mean and std are filled in from the dataset
            where they are None.
        seed: base seed, 0 to 2**63 - 1.
        device: "auto", "cuda", "cuda:1" or "cpu".
        ensemble_size: networks trained at once; None chooses.
        out: the score file; None takes `<dataset>.h5` in the folder that the environment variable
            GOLDORE_CACHE names, or in scores_cache.
        overwrite: replace an existing file of another run.
        data_root: folder of the named datasets.
        download: let torchvision fetch a named dataset that is missing.
        watcher: told how the run goes.

    Returns:
        The content of the score file.

    Raises:
        UsageError: if an argument is wrong.
        DatasetError: if the dataset cannot be read.
        ScoreFileError: if the file holds another run and overwrite is not set.
        OutOfMemoryError: if the device's memory does not suffice.
        GoldoreError: if all trials diverge, or the file cannot be written.
    """
    recorded = _requested(scores)
    if trials < 1:
        raise UsageError(f"--trials is {trials}; it must be 1 or more.")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"--seed is {seed}; it must be 0 to {MAX_SEED}.")
    if ensemble_size is not None and ensemble_size < 1:
        raise UsageError(f"--ensemble-size is {ensemble_size}; it must be 1 or more.")
    where = resolve_device(device)
    if isinstance(source, ImageDataset):
        dataset = source
    else:
        dataset = load_dataset(source, data_root=data_root, download=download)
    run = LossRun(
        recipe=complete_recipe(recipe or LossRecipe(), dataset),
        base_seed=seed,
        recorded=recorded,
        device=describe(where),
        torch_version=str(torch.__version__),
    )
    path = Path(out) if out is not None else default_path(dataset.name)
    check_storable(path, dataset, run)
    existing = _existing(path, dataset, run, overwrite=overwrite)
    there: set[int] = set()
    if existing is not None and existing.loss_trials is not None:
        there = {*existing.loss_trials.done, *existing.loss_trials.failed}
        run = dataclasses.replace(run, recorded=existing.loss_trials.recorded)
    output = _Output(path, dataset, run, fresh=existing is None)
    missing = make_trials(seed, [number for number in range(trials) if number not in there])
    architecture = Architecture(run.recipe.network, dataset.image_shape, dataset.num_classes)
    with _memory_errors():
        data = DeviceDataset(dataset, run.recipe.mean or (), run.recipe.std or (), where)
        size = ensemble_size or choose_ensemble_size(
            architecture, run.recipe.batch_size, max(len(missing), 1), where
        )
    watcher = watcher or Watcher()
    watcher.planned(
        Plan(
            dataset=dataset,
            run=run,
            out=path,
            trials=max(trials, len(there)),
            epochs=max(max(window) for window in _windows(run).values()),
            there=len(there),
            usable=len(existing.loss_trials.done) if existing and existing.loss_trials else 0,
            ensemble_size=size,
            parameters=architecture.num_parameters(),
        )
    )
    for start in range(0, len(missing), size):
        group = missing[start : start + size]
        watcher.started(group)
        with _memory_errors():
            results = _train_group(data, architecture, run, group, _now_and_then(watcher.progressed))
        output.add(results)
        watcher.finished(results)
    output.close()
    return load_scores(path)


def _existing(path: Path, dataset: ImageDataset, run: LossRun, *, overwrite: bool) -> ScoreFile | None:
    """The file to go on with, or None to start afresh; never replaces what is not a score file."""
    if not path.exists():
        return None
    try:
        existing = load_scores(path)
        check_same_run(existing, dataset, run)
    except ScoreFileError:
        if overwrite and is_score_file(path):
            return None
        if overwrite:
            raise ScoreFileError(
                f"{path} cannot be read as a score file, and --overwrite replaces nothing else; "
                "choose another --out or remove it yourself."
            ) from None
        raise
    return existing


class _Output:
    """The score file of a run, from plan to end.

    Trials that diverged are kept back until one has ended well, so that a run in which all diverge leaves no
    file behind. A file that is not as this run left it is looked at again before it is written: trials of
    another run are neither replaced nor mixed with.

    Args:
        path: of the file.
        dataset: that is scored.
        run: what the trials share.
        fresh: start anew, whatever is there.
    """

    def __init__(self, path: Path, dataset: ImageDataset, run: LossRun, *, fresh: bool) -> None:
        self._path, self._dataset, self._run, self._fresh = path, dataset, run, fresh
        self._waiting: list[LossResult] = []
        self._seen = _stamp(path)

    def add(self, results: Sequence[LossResult]) -> None:
        """Make finished trials durable."""
        self._waiting += results
        self._fresh = self._fresh or not self._path.exists()  # it may have been removed meanwhile
        if self._fresh and all(result.failed for result in self._waiting):
            return
        if self._path.exists() and _stamp(self._path) != self._seen:
            self._look_again()
        self._write(self._path, fresh=self._fresh)
        self._waiting, self._fresh, self._seen = [], False, _stamp(self._path)

    def _look_again(self) -> None:
        """The file is not as it was left: go on if it can take this run's trials, else save them beside."""
        try:
            check_same_run(load_scores(self._path), self._dataset, self._run)
            self._fresh = False
        except ScoreFileError as error:
            beside = self._path.with_name(f"{self._path.stem}-{os.getpid()}.h5")
            self._write(beside, fresh=True)
            raise ScoreFileError(
                f"{self._path} was changed by another run meanwhile and is left as it is; the trials in "
                f"hand are in {beside}. Give every run an --out of its own."
            ) from error

    def _write(self, path: Path, *, fresh: bool) -> None:
        try:
            add_loss_trials(path, self._dataset, self._run, self._waiting, fresh=fresh)
        except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:  # as h5py has it
            raise GoldoreError(
                f"{path} could not be written ({reason(error)}); its previous state is kept. "
                "Make room or choose another --out, then run the same command again."
            ) from error

    def close(self) -> None:
        """Complain if trials diverged and none ended well."""
        if self._waiting:
            raise GoldoreError(
                "every trial diverged (the loss became infinite or NaN) and nothing was written; "
                f"lower --lr (it is {self._run.recipe.lr:g})."
            )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from another that took its place; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def complete_recipe(recipe: LossRecipe, dataset: ImageDataset) -> LossRecipe:
    """Fill in what a recipe leaves open: the network's depth, the windows, mean and std of the images.

    Args:
        recipe: perhaps with None for them.
        dataset: to be trained on.

    Returns:
        The recipe with nothing left open.

    Raises:
        UsageError: if mean or std have another number of channels than the images, or the images are too
            small for the depth.
    """
    channels, height, width = dataset.image_shape
    own_mean, own_std = dataset.normalization() if None in (recipe.mean, recipe.std) else ((), ())
    mean, std = recipe.mean or own_mean, recipe.std or own_std
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values) != channels:
            raise UsageError(
                f"{option} has {len(values)} numbers but the images have "
                f"{channels} channel{'s' if channels > 1 else ''}; give one for each."
            )
    return dataclasses.replace(
        recipe,
        network=recipe.network.for_images(height, width),
        init_epochs=len(recipe.init_window),
        converge_epochs=len(recipe.converge_window),
        mean=mean,
        std=std,
    )


def default_path(dataset_name: str) -> Path:
    """The score file of a dataset where no other is named: in $GOLDORE_CACHE, or in scores_cache."""
    folder = Path(os.environ.get(_CACHE_VARIABLE) or _CACHE_FOLDER)
    return user_path(folder) / f"{file_name(dataset_name)}.h5"


def _requested(scores: str | Sequence[str]) -> tuple[str, ...]:
    names = {score_name(each.strip()) for each in (scores.split(",") if isinstance(scores, str) else scores)}
    if not names:
        raise UsageError(f"--scores is empty; choose among {', '.join(SCORES)}.")
    return tuple(name for name in SCORES if name in names)


def _windows(run: LossRun) -> dict[str, range]:
    """The epochs after which each recorded score looks at the samples."""
    windows = {LOSS_INIT.name: run.recipe.init_window, LOSS_CONVERGE.name: run.recipe.converge_window}
    return {name: windows[name] for name in run.recorded}


def _train_group(
    data: DeviceDataset,
    architecture: Architecture,
    run: LossRun,
    group: Sequence[Trial],
    tick: Callable[[Callable[[], Progress]], None],
) -> list[LossResult]:
    observers = [
        MeanLoss(name, window, len(group), len(data.labels), data.device)
        for name, window in _windows(run).items()
    ]
    trained = train(data, architecture, run.recipe, group, observers, tick)
    return [
        LossResult(
            trial=trial,
            failed=bool(trained.failed[row]),
            recorded={name: values[row] for name, values in trained.recorded.items()},
            train_loss=trained.train_loss[row],
            test_accuracy=float(trained.test_accuracy[row]),
        )
        for row, trial in enumerate(group)
    ]


def _now_and_then(report: Callable[[Progress], None]) -> Callable[[Callable[[], Progress]], None]:
    """Ask for the progress, which waits for the device, only a few times a second."""
    last = 0.0

    def tick(progress: Callable[[], Progress]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_REPORTS:
            last = now
            report(progress())

    return tick


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn a lack of memory, on CUDA or on the host, into one sentence."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemoryError(_OUT_OF_MEMORY) from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _MEMORY_SIGNS):
            raise
        raise OutOfMemoryError(_OUT_OF_MEMORY) from error


_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
_OUT_OF_MEMORY = (
    "out of memory; lower --ensemble-size, then --batch-size or --width. Finished trials are kept, "
    "but --batch-size and --width belong to the recipe and need another --out."
)
