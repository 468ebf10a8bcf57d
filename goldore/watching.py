"""How a run goes, for whoever watches: the plan, and the calls that report on it. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldore.datasets.dataset import ImageDataset
from goldore.ensemble.progress import Progress
from goldore.store import LossResult, LossRun
from goldore.trials import Trial


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


class Watcher:
    """Told how a run goes. Subclass it and override what you want to show; nothing here does anything."""

    def planned(self, plan: Plan) -> None:
        """Called once, before the first training."""

    def started(self, trials: Sequence[Trial]) -> None:
        """Called when these trials start to train together."""

    def progressed(self, progress: Progress) -> None:
        """Called a few times a second while they train."""

    def finished(self, results: Sequence[LossResult]) -> None:
        """Called when they are done; those that ended well are safe in the file."""
