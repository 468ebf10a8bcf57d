"""How a run goes, for whoever watches: the plan, and the calls that report on it. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.store import LossResult, LossRun, Score, UtilityResult, UtilityRun
from goldore.training.progress import Progress
from goldore.trials.seeds import Trial

End = Literal["complete", "reliable", "time"]  # utility trials ended: all done, reliable enough, too long


@dataclass(frozen=True)
class Plan:
    """What a run is going to do.

    Attributes:
        dataset: to train on.
        run: recipe, seed and what is recorded.
        out: the score file.
        trials: all that the file will hold.
        epochs: that each of them trains; fewer than the recipe's if no score needs the last ones.
        there: how many of them it holds already.
        usable: how many of those ended well.
        ensemble_size: networks trained at once.
        parameters: trainable numbers of one network.
        note: what was measured for the choice of how to run; empty if nothing was.
        processes: that share the trials.
    """

    dataset: ImageDataset
    run: LossRun
    out: Path
    trials: int
    epochs: int
    there: int
    usable: int
    ensemble_size: int
    parameters: int
    note: str = ""
    processes: int = 1


@dataclass(frozen=True)
class UtilityPlan:
    """What a run is going to do with utility trials.

    Attributes:
        dataset: to draw from.
        run: recipe, seed, outcome and estimator.
        out: the score file.
        trials: that the file may hold in the end.
        there: how many of them it holds already.
        usable: how many trials in the file ended well.
        per_sweep: trials that draw every sample once.
        subset_sizes: samples of each class in a subset, int64 [K].
        evaluation_images: that each network is evaluated on.
        until_reliability: stop when the ranking is so reliable; None: after `trials`.
        max_seconds: stop after so long; None: never.
        ensemble_size: networks trained at once.
        parameters: trainable numbers of one network.
        notes: what was found out while planning.
        processes: that share the trials.
    """

    dataset: ImageDataset
    run: UtilityRun
    out: Path
    trials: int
    there: int
    usable: int
    per_sweep: int
    subset_sizes: NDArray[np.int64]
    evaluation_images: int
    until_reliability: float | None
    max_seconds: float | None
    ensemble_size: int
    parameters: int
    notes: tuple[str, ...]
    processes: int = 1


class Watcher:
    """Told how a run goes. Subclass it and override what you want to show; nothing here does anything."""

    def planned(self, plan: Plan) -> None:
        """Called once, before the first training."""

    def started(self, trials: Sequence[Trial]) -> None:
        """Called when these trials start to train together."""

    def progressed(self, progress: Progress) -> None:
        """Called a few times a second while they train."""

    def waited(self) -> None:
        """Called now and then while this process has nothing to train and others do."""

    def ensemble_lowered(self, size: int) -> None:
        """Called when memory ran out and so many networks are trained at once from now on."""

    def finished(self, results: Sequence[LossResult]) -> None:
        """Called when they are done; those that ended well are safe in the file."""

    def utility_planned(self, plan: UtilityPlan) -> None:
        """Called once, before the first training on a subset."""

    def utility_finished(self, results: Sequence[UtilityResult]) -> None:
        """Called when these trials are done; they are written to the file soon."""

    def estimated(self, score: Score) -> None:
        """Called when utility trials were written and MonteCarlo was estimated from all of them."""

    def utility_ended(self, end: End, score: Score | None, seconds: float, trials: int) -> None:
        """Called when the utility trials have ended by themselves.

        Args:
            end: why.
            score: MonteCarlo as it stands in the file; None if there is none.
            seconds: that the trials took.
            trials: that were trained in this run.
        """

    def pilot_started(self, sizes: Sequence[int]) -> None:
        """Called when a pilot begins to look for the size of the subsets among these."""
