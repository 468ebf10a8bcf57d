"""The stage that trains loss trials."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from goldore.datasets import ImageDataset
from goldore.definitions import LOSS_CONVERGE, LOSS_INIT
from goldore.devices import choose_ensemble_size
from goldore.ensemble.convnet import Architecture
from goldore.ensemble.observers import MeanLoss
from goldore.ensemble.progress import Progress
from goldore.ensemble.training import DeviceDataset, train
from goldore.scoring.common import memory_errors
from goldore.scoring.output import Output
from goldore.store import Header, LossResult, LossRun, ScoreFile
from goldore.trials import Trial, make_trials
from goldore.watching import Plan, Watcher

_SECONDS_BETWEEN_REPORTS = 0.2


def run_loss_trials(
    dataset: ImageDataset,
    header: Header,
    run: LossRun,
    numbers: Sequence[int],
    existing: ScoreFile | None,
    *,
    path: Path,
    device: torch.device,
    ensemble_size: int | None,
    watcher: Watcher,
) -> None:
    """Train the loss trials that are missing and add each group to the score file when it is done.

    Args:
        dataset: to train on.
        header: of it.
        run: what the trials share; what it records is what an existing file records.
        numbers: of the trials that the file shall hold.
        existing: the file to go on with.
        path: of the file.
        device: to train on.
        ensemble_size: networks trained at once; None chooses.
        watcher: told how the run goes.
    """
    there: set[int] = set()
    if existing is not None and existing.loss_trials is not None:
        there = {*existing.loss_trials.done, *existing.loss_trials.failed}
    output = Output(path, header, run, fresh=existing is None)
    missing = make_trials(run.base_seed, [number for number in numbers if number not in there])
    architecture = Architecture(run.recipe.network, dataset.image_shape, dataset.num_classes)
    with memory_errors():
        data = DeviceDataset(dataset, run.recipe.mean or (), run.recipe.std or (), device)
        size = ensemble_size or choose_ensemble_size(
            architecture, run.recipe.batch_size, max(len(missing), 1), device
        )
    watcher.planned(
        Plan(
            dataset=dataset,
            run=run,
            out=path,
            trials=max(len(numbers), len(there)),
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
        with memory_errors():
            results = _train_group(data, architecture, run, group, _now_and_then(watcher.progressed))
        output.add(results)
        watcher.finished(results)
    output.close()


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
