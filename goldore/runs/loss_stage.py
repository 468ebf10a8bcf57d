"""The stage that trains loss trials."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from goldore.errors import GoldoreError, UsageError
from goldore.files.atomic import check_space, remove_left_behind, replacing
from goldore.networks.architecture import Architecture
from goldore.runs.forecast import training_forecast
from goldore.runs.groups import Groups
from goldore.runs.job import Job, complete_recipe, memory_errors
from goldore.runs.output import errors_of_writing
from goldore.runs.todo import Todo
from goldore.runs.watching import LossPlan
from goldore.scores import FOLD_SCORES, SCORES, TRAINING_SCORES, FoldScore, TrainingScore
from goldore.scores.recorders import Features, Observer, observe_predictions
from goldore.store import LossResult, LossRun, LossTrials, ScoreFile, features_path, run_differences
from goldore.store.trial_kinds import KINDS
from goldore.training.checkpoints import NO_KEEPER, Checkpoints, Keeper
from goldore.training.devices import default_precision
from goldore.training.images import DeviceDataset
from goldore.training.loop import Trained, errors_of, train
from goldore.training.progress import Progress
from goldore.training.tuning import Engine, Work, choose_engine
from goldore.trials import LossRecipe, Precision
from goldore.trials.seeds import Trial

Row = TrainingScore | FoldScore
_SECONDS_BETWEEN_REPORTS = 0.2
_HEADER = 4096  # bytes of a .npy file before its numbers, at the most
_FEATURES = "features"  # name of the observer that keeps them


@dataclasses.dataclass(frozen=True)
class Training:
    """How the networks of a stage are trained.

    Attributes:
        data: the training set on its device.
        architecture: of the networks.
        recipe: of the trials.
        rows: the scores that are recorded.
        tick: told of the progress.
        engine: how networks are computed, and how many at once.
        predicting: the epoch after which it is kept what the networks predict; None keeps nothing.
        last: the last epoch of all.
        seed: base seed of the run.
        keeper: keeps the trainings of some trials now and then.
    """

    data: DeviceDataset
    architecture: Architecture
    recipe: LossRecipe
    rows: Sequence[Row]
    tick: Callable[[Callable[[], Progress]], None]
    engine: Engine
    predicting: int | None
    last: int
    seed: int
    keeper: Keeper = NO_KEEPER

    def __call__(
        self,
        networks: Sequence[Trial],
        pools: Sequence[NDArray[np.int64]] | None = None,
        samples: int | None = None,
        images_before: int = 0,
        features: Path | None = None,
    ) -> Trained:
        """Train networks together.

        Args:
            networks: the seeds of each.
            pools: positions that each trains on; None: all.
            samples: that an epoch takes of these.
            images_before: that networks of the same trials have trained on by now.
            features: where to keep those of the first network, as it ends, unless it diverges; None does not.
        """
        known = self.keeper.result(networks)
        if known is not None:
            return Trained(**known)
        observers, data = [], self.data
        shape = len(networks), len(data.labels), data.score_device
        for row in self.rows:
            with errors_of(row.name):
                observers.append(row.observe(self.recipe, *shape))
        if self.predicting is not None:
            observers += observe_predictions(self.predicting, *shape)

        def tick(progress: Callable[[], Progress]) -> None:
            self.tick(lambda: progress().after(images_before))

        with ExitStack() as files:
            if features is not None:
                files.enter_context(errors_of_writing(features))
                remove_left_behind(features)
                path = files.enter_context(replacing(features))
                size = len(data.labels), self.architecture.features
                check_space(path, 2 * math.prod(size) + _HEADER)  # a mapped file does not survive a full disk
                target = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=size)
                observers.append(Observer(_FEATURES, (self.last,), Features(0, target, len(networks))))
            execution = self.keeper.execution(self.engine.execution)
            how = tick, execution, pools, samples, self.keeper, self.seed
            trained = train(data, self.architecture, self.recipe, networks, observers, *how)
            trained.recorded.pop(_FEATURES, None)
        if features is not None and trained.failed[0]:
            features.unlink(missing_ok=True)
        _check_own(trained, self.rows)
        self.keeper.done(networks, vars(trained))
        return trained


class LossStage:
    """The loss trials of a call of `score`.

    Args:
        job: what they are part of.
        recipe: perhaps with open settings.
        scores: that are asked for, by name.
        numbers: of the trials that the file shall hold.
        features: whether to keep, beside the file, features of the samples in the first trial's network.
    """

    run_type: ClassVar[type[LossRun]] = LossRun

    def __init__(
        self,
        job: Job,
        recipe: LossRecipe,
        scores: Mapping[str, Row],
        numbers: range,
        *,
        features: bool = False,
    ) -> None:
        self._job, self._recipe, self._scores, self._numbers = job, recipe, scores, numbers
        self._features = features_path(job.parts.path) if features else None

    def plan(self, stored: ScoreFile | None) -> LossRun:
        """Fill in what the recipe leaves open; see `Stage.plan`.

        Raises:
            UsageError: if the recipe does not fit the dataset.
        """
        job = self._job
        own = default_precision(job.device)
        there = stored.trials_of(self.run_type.kind) if stored is not None else None
        same = self._run(own)
        if isinstance(there, LossTrials):
            same = self._run(there.recipe.precision or own, there.recipe.shuffle)
        elif job.checkpoint_seconds is not None:
            same = self._of_checkpoint(same)
        if stored is not None and job.overwrite and run_differences(stored, job.header, same):
            return self._run(own)
        return same

    def _of_checkpoint(self, own: LossRun) -> LossRun:
        """The run of a training that was stopped, if it is this one but for what is left open."""
        for key, settings in self._checkpoints(own).settings():
            run = self._run(settings["precision"], settings["shuffle"])
            if self._key(run) == key:
                return run
        return own

    def _checkpoints(self, run: LossRun) -> Checkpoints:
        settled = {"precision": run.recipe.precision, "shuffle": run.recipe.shuffle}
        job = self._job
        return Checkpoints(job.parts.path, run.kind, self._key(run), job.checkpoint_seconds, settled)

    def settle(self, run: LossRun) -> tuple[LossRun, list[str]]:
        """Nothing is left open; see `Stage.settle`."""
        return run, []

    def _run(self, precision: Precision, shuffle: str | None = None) -> LossRun:
        recipe = complete_recipe(self._recipe, self._job.dataset, precision, shuffle)
        return self.run_type(recipe, self._job.seed, tuple(self._scores.values()), **self._job.made_on)

    def train(self, run: LossRun, existing: ScoreFile | None, notes: Sequence[str]) -> None:
        """Train the loss trials that are missing; see `Stage.train`.

        Raises:
            UsageError: if the file records a score that is not at hand, or the recipe is too short for one.
        """
        job, recipe = self._job, run.recipe
        dataset, watcher = job.dataset, job.watcher
        features = self._features
        if existing is None and job.parts.team.rank == 0 and job.overwrite and not job.dry:
            features_path(job.parts.path).unlink(missing_ok=True)  # those of the run that is replaced
        if existing is not None and features is not None and features.exists():
            features = None  # they are there
            if job.parts.team.rank == 0 and not job.dry:
                self._of_features(run).groups([])  # one was stopped after they were
        todo = Todo(job, run, existing, self._numbers)
        rows = rows_of(run, self._scores, needed=len(todo.missing) > 0)
        looks = {epoch for row in rows for epoch in row.window(recipe)} or {recipe.epochs}
        epochs = max(looks)
        predicting = self.predicting_epoch(recipe, epochs)
        looks.add(predicting)
        networks, samples = self.networks_of(recipe), self.samples_of(recipe)
        batch = min(recipe.batch_size, samples)
        work = Work(
            batch=batch,
            held=batch,
            trials=-(-len(todo.missing) // job.parts.team.size) * networks,
            trained=epochs * samples,
            scored=len(looks) * dataset.num_samples,
            cpu_networks=1,
            cuda_networks=16,
        )
        architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
        with memory_errors():
            data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), job.device)
            engine = choose_engine(data, architecture, recipe, work, **dataclasses.asdict(job.settings))
        architecture.check_batch(samples % recipe.batch_size)
        again = features is not None and 0 not in todo.missing
        note = "the features are not there: trial 1 is trained once more for them" if again else ""
        known_of_all = todo.plan(
            engine.size,
            architecture.num_parameters(),
            [*notes, engine.note, note],
            compiled=engine.execution.compiled,
        )
        images = epochs * samples * networks
        plan = LossPlan(**known_of_all, epochs=epochs, networks=networks, images=images, again=again)
        watcher.planned(plan)
        if job.dry:
            left = len(todo.missing) * networks
            sizes = left * work.trained, left * work.scored, samples
            with memory_errors():
                how = engine.size, engine.execution
                watcher.forecast(plan, training_forecast(data, architecture, recipe, *how, *sizes))
            return
        start, missing_at_first = time.monotonic(), len(todo.missing)
        tick = _now_and_then(watcher.progressed)
        known = existing.trials_of(run.kind) if existing is not None else None
        keeps = not isinstance(known, LossTrials) or known.predicts
        training = Training(
            data,
            architecture,
            recipe,
            rows,
            tick,
            engine,
            predicting if keeps else None,
            epochs,
            run.base_seed,
        )

        self._train_missing(todo, run, training, networks, features)
        if again and job.parts.team.rank == 0:
            self._train_again(run, training, features)
        watcher.ended("complete", None, time.monotonic() - start, missing_at_first)

    def _train_missing(
        self, todo: Todo, run: LossRun, training: Training, networks: int, features: Path | None
    ) -> None:
        """Train in groups; those first that were stopped before."""
        job = self._job
        watcher, team = job.watcher, job.parts.team
        checkpoints = self._checkpoints(run)
        if team.rank == 0 and not len(todo.missing):
            checkpoints.groups([])  # one was stopped between its end and this

        def of_group(numbers: list[int]) -> tuple[Keeper, list[LossResult]]:
            trials, keeper = KINDS[run.kind].derived(run, numbers), checkpoints.of(numbers)
            watcher.started(trials)
            if keeper.epoch is not None:
                watcher.resumed(trials, keeper.epoch, training.last)
            own = dataclasses.replace(training, keeper=keeper)
            return keeper, self.results(own, trials, features if trials[0].number == 0 else None)

        def safe(groups: Iterable[tuple[Keeper, list[LossResult]]]) -> Iterator[list[LossResult]]:
            for keeper, results in groups:
                yield results
                keeper.remove()  # whoever asks for more has written these

        while len(todo.missing):  # once, unless somebody removed the file
            stopped = checkpoints.groups(todo.missing.tolist()) if team.rank == 0 else []
            stopped = team.gather(stopped)[0]
            fresh = np.setdiff1d(todo.missing, [number for group in stopped for number in group])
            groups = Groups(
                team.claims(fresh), max(1, training.engine.size // networks), first=team.shared(stopped)
            )
            todo.take_in(safe(groups.trained(of_group, watcher)), lambda _: False)
            todo.look_again()

    def _train_again(self, run: LossRun, training: Training, features: Path | None) -> None:
        """Train the network of the first trial once more, for its features."""
        keeper = self._of_features(run).of([0])
        trials = KINDS[run.kind].derived(run, [0])
        if keeper.epoch is not None:
            self._job.watcher.resumed(trials, keeper.epoch, training.last)
        dataclasses.replace(training, keeper=keeper)(trials, features=features)
        keeper.remove()

    def _of_features(self, run: LossRun) -> Checkpoints:
        """Those of `_train_again`, by a key of their own: its trial is in the file already."""
        return dataclasses.replace(self._checkpoints(run), key=f"{self._key(run)}, features")

    def _key(self, run: LossRun) -> str:
        """Of what trainings have in common that can go on from each other's checkpoints."""
        shared = run.to_json() | {"device": self._job.device.type, "torch_version": ""}
        text = json.dumps([shared, self._job.dataset.fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def networks_of(self, recipe: LossRecipe) -> int:  # noqa: ARG002
        """Networks of one trial."""
        return 1

    def samples_of(self, recipe: LossRecipe) -> int:  # noqa: ARG002
        """Samples that one network trains on in an epoch."""
        return self._job.dataset.num_samples

    def predicting_epoch(self, recipe: LossRecipe, epochs: int) -> int:
        """The epoch after which it is kept what networks predict: early, while wrong labels still show.

        A network that was trained to the end has learned wrong labels by heart.
        """
        return min(recipe.init_window[-1], epochs)

    def results(
        self, training: Training, trials: Sequence[Trial], features: Path | None = None
    ) -> list[LossResult]:
        """Train some trials together, and keep the features of the first one if a file is named for them."""
        start = time.perf_counter()
        trained = training(trials, features=features)
        seconds = (time.perf_counter() - start) / len(trials)
        return [
            LossResult(
                trial=trial,
                failed=bool(trained.failed[row]),
                recorded={name: values[row] for name, values in trained.recorded.items()},
                train_loss=trained.train_loss[row],
                test_accuracy=float(trained.test_accuracy[row]),
                seconds=seconds,
            )
            for row, trial in enumerate(trials)
        ]


def rows_of(run: LossRun, scores: Mapping[str, Row], *, needed: bool = True) -> list[Row]:
    """How to record what a run records.

    Args:
        run: whose scores are meant.
        scores: that were asked for, by name; those of the table are known.
        needed: whether something is going to be recorded; else those that are not at hand are left out.

    Raises:
        UsageError: if one is a user's own that was not asked for, or the recipe is too short for one.
    """
    known: dict[str, Row] = {**TRAINING_SCORES, **FOLD_SCORES, **scores}
    for name in run.recorded:
        if name not in known and needed:
            raise UsageError(
                f"the file records {name}, which is not one of goldore's own scores; name it in scores as "
                f"well, as package.module:{name}."
            )
    rows = [known[name] for name in run.recorded if name in known]
    _check_windows(rows, run.recipe)
    return rows


def _check_windows(rows: Sequence[Row], recipe: LossRecipe) -> None:
    """See that the recipe is long enough for all.

    Raises:
        UsageError: naming all for which it is not.
    """
    refused: dict[str, UsageError] = {}
    for row in rows:
        try:
            row.window(recipe)
        except UsageError as error:
            refused[row.name] = error
    if len(refused) > 1:
        others = ",".join(row.name for row in rows if row.name not in refused)
        raise UsageError(
            f"{', '.join(refused)} look at more epochs than the {recipe.epochs} of a trial (the last of "
            f"them: {[*refused.values()][-1]}) Train longer, or name the others: {others}"
        )
    for only in refused.values():
        raise only


def _check_own(trained: Trained, rows: Sequence[Row]) -> None:
    """Tell a score of a user's own that is not finite from a training that diverged."""
    healthy = ~trained.diverged
    for row in rows:
        if row.name in SCORES:
            healthy &= np.isfinite(trained.recorded[row.name]).all(axis=1)
    for row in rows:
        if not np.isfinite(trained.recorded[row.name][healthy]).all():
            raise GoldoreError(
                f"the score {row.name} gives values that are not finite, in a training that went well; mend "
                "it, or leave it out."
            )


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
