"""How a run goes, for whoever watches: the plan, and the calls that report on it. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.store import KernelRun, LossRun, Result, Run, Score, UtilityRun
from goldore.training.progress import Progress
from goldore.trials.seeds import Trial

End = Literal["complete", "reliable", "time"]  # of the trials of a kind: all done, reliable enough, too long


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is going to do with the trials of one kind.

    Attributes:
        dataset: to train on.
        run: what the trials share.
        out: the score file.
        trials: that the file may hold in the end.
        there: how many of them it holds already.
        usable: how many trials of the file ended well.
        ensemble_size: networks trained at once.
        parameters: trainable numbers of one network.
        notes: what was found out while planning, and measured for the choice of how to run.
        processes: that share the trials.
        compiled: whether the networks are compiled before the first step, which takes a while.
    """

    dataset: ImageDataset
    run: Run
    out: Path
    trials: int
    there: int
    usable: int
    ensemble_size: int
    parameters: int
    notes: tuple[str, ...]
    processes: int
    compiled: bool = False


@dataclass(frozen=True, kw_only=True)
class LossPlan(Plan):
    """What a run is going to do with loss trials, or with cross-validations.

    Attributes:
        epochs: that each of them trains; fewer than the recipe's if no score needs the last ones.
        networks: of a trial.
        images: that a trial trains on, over its epochs and networks.
        again: whether the first trial is trained once more, for its features alone.
    """

    run: LossRun
    epochs: int
    networks: int
    images: int
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class UtilityPlan(Plan):
    """What a run is going to do with utility trials.

    Attributes:
        per_sweep: trials that draw every sample once.
        subset_sizes: samples of each class in a subset, int64 [K].
        evaluation_images: that each network is evaluated on.
        until_reliability: stop when the ranking is so reliable; None: after `trials`.
        max_seconds: stop after so long; None: never.
    """

    run: UtilityRun
    per_sweep: int
    subset_sizes: NDArray[np.int64]
    evaluation_images: int
    until_reliability: float | None
    max_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class KernelPlan(Plan):
    """What a run is going to do with trials of KernelUtility.

    Attributes:
        evaluation_images: that nearest neighbours are asked about.
    """

    run: KernelRun
    evaluation_images: int


@dataclass(frozen=True)
class Forecast:
    """What the trials of a kind are going to take on this machine.

    Attributes:
        seconds: about.
        memory: bytes that this process has taken on the device so far, with images and networks in place.
        rate: what was measured, in words.
        epoch: seconds of one network's pass over its samples in training; 0 where trials have none.
    """

    seconds: float
    memory: int
    rate: str
    epoch: float = 0.0


class Watcher:
    """Told how a run goes, one kind of trials after the other.

    Subclass it and override what you want to show; nothing here does anything.
    """

    def dataset_read(self, dataset: ImageDataset) -> None:
        """Called first, with the dataset that is going to be scored."""

    def pilot_started(self, sizes: Sequence[int]) -> None:
        """Called when a pilot begins to look for the size of the subsets among these."""

    def preparing(self, what: str, share: float) -> None:
        """Called now and then while something is made that trials need: what, and which share is there."""

    def planned(self, plan: Plan) -> None:
        """Called before the first training of a kind; what follows is about its trials."""

    def forecast(self, plan: Plan, forecast: Forecast) -> None:
        """Called in a dry run instead of a training: what it would take."""

    def started(self, trials: Sequence[Trial]) -> None:
        """Called when these trials start to train together."""

    def resumed(self, trials: Sequence[Trial], epoch: int, epochs: int) -> None:
        """Called after `started` when their training goes on from a checkpoint, in this of its epochs."""

    def progressed(self, progress: Progress) -> None:
        """Called a few times a second while trials train that take longer."""

    def waited(self) -> None:
        """Called now and then while this process has nothing to train and others do."""

    def ensemble_lowered(self, size: int) -> None:
        """Called when memory ran out and so many networks are trained at once from now on."""

    def finished(self, results: Sequence[Result]) -> None:
        """Called when they are done; those that ended well are safe on the disk."""

    def estimated(self, score: Score) -> None:
        """Called when a score was estimated from all trials so far."""

    def ended(self, end: End, score: Score | None, seconds: float, trials: int) -> None:
        """Called when the trials of a kind have ended by themselves.

        Args:
            end: why.
            score: MonteCarlo as it stands in the file; None if there is none, or other trials have ended.
            seconds: that the trials took.
            trials: that were trained in this run.
        """
