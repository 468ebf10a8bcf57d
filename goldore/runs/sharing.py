"""One screen for many processes: ranks tell rank 0 how they are getting on, and its watcher sees one run."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from goldore.datasets import ImageDataset
from goldore.runs.team import Team
from goldore.runs.watching import End, Forecast, Plan, Watcher
from goldore.store import Result, Score
from goldore.store.trial_kinds import KINDS
from goldore.training.progress import Progress
from goldore.trials.seeds import Trial


def shared_watcher(watcher: Watcher, team: Team) -> Watcher:
    """The watcher to give to a run, so that rank 0's own sees what all ranks do, and no other anything."""
    if team.size == 1:
        return watcher
    return _Listener(watcher, team) if team.rank == 0 else _Teller(team)


class _Teller(Watcher):
    """Tells rank 0 how another rank is getting on."""

    def __init__(self, team: Team) -> None:
        self._team = team

    def progressed(self, progress: Progress) -> None:
        self._tell("images", progress.images)

    def ensemble_lowered(self, size: int) -> None:
        self._tell("lowered", size)

    def planned(self, plan: Plan) -> None:
        self._kind = plan.run.kind

    def finished(self, results: Sequence[Result]) -> None:
        self._tell("finished", [self._kind, [result.told() for result in results]])

    def _tell(self, what: str, value: Any) -> None:
        self._team.tell([self._team.rank, what, value])


class _Listener(Watcher):
    """Shows rank 0's watcher what it does itself, and what the others tell."""

    def __init__(self, watcher: Watcher, team: Team) -> None:
        self._watcher, self._team = watcher, team
        self._images: dict[int, int] = {}  # of trials under way, by rank
        self._own: Progress | None = None

    def dataset_read(self, dataset: ImageDataset) -> None:
        self._watcher.dataset_read(dataset)

    def planned(self, plan: Plan) -> None:
        self._watcher.planned(plan)

    def forecast(self, plan: Plan, forecast: Forecast) -> None:
        self._watcher.forecast(plan, forecast)

    def started(self, trials: Sequence[Trial]) -> None:
        self._watcher.started(trials)

    def resumed(self, trials: Sequence[Trial], epoch: int, epochs: int) -> None:
        self._watcher.resumed(trials, epoch, epochs)

    def progressed(self, progress: Progress) -> None:
        self._own = progress
        self._listen()
        self._show()

    def waited(self) -> None:
        if self._listen():
            self._show()

    def ensemble_lowered(self, size: int) -> None:
        self._watcher.ensemble_lowered(size)

    def finished(self, results: Sequence[Result]) -> None:
        if self._own is not None:
            self._own = dataclasses.replace(self._own, images=0)
        self._listen()
        self._watcher.finished(results)

    def estimated(self, score: Score) -> None:
        self._listen()
        self._watcher.estimated(score)

    def ended(self, end: End, score: Score | None, seconds: float, trials: int) -> None:
        self._listen()
        self._watcher.ended(end, score, seconds, trials)

    def preparing(self, what: str, share: float) -> None:
        self._watcher.preparing(what, share)

    def pilot_started(self, sizes: Sequence[int]) -> None:
        self._watcher.pilot_started(sizes)

    def _show(self) -> None:
        """All images of trials under way, as if one process trained them."""
        if self._own is not None:
            images = self._own.images + sum(self._images.values())
            self._watcher.progressed(dataclasses.replace(self._own, images=images))

    def _listen(self) -> bool:
        told = self._team.heard()
        for rank, what, value in told:
            if what == "images":
                self._images[rank] = value
            elif what == "lowered":
                self._watcher.ensemble_lowered(value)
            elif what == "finished":
                self._images[rank] = 0
                kind, results = value
                self._watcher.finished([KINDS[kind].result.from_told(each) for each in results])
        return bool(told)
