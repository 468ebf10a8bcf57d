"""How a scoring run looks: a live progress bar on a terminal, plain lines now and then elsewhere."""

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from goldore.ensemble.progress import Progress as TrainingProgress
from goldore.store import LossResult, Score, ScoreFile, UtilityResult
from goldore.trials import Trial
from goldore.watching import Plan, UtilityPlan, Watcher

from .inspecting import scores_table, utility_trust
from .screen import UNRELIABLE, count, err, line, number, out, plural, warn

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS_BETWEEN_LINES = 30.0
_SMOOTHING_SECONDS = 60.0  # the window over which the rate is averaged


class _Rate(ProgressColumn):
    """Images trained a second, over the last minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "- images/s")


class ScreenWatcher(Watcher):
    """Shows a run on stderr; a context manager, so that the terminal is left in order whatever happens.

    Args:
        quiet: show nothing.
        verbose: also show what was detected and every trial's course.

    Attributes:
        out: the score file, once the run is planned.
        kept: trials in it so far that can be used.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet, self._verbose = quiet, verbose
        self._console = err()
        self._live = (
            out().is_terminal
            and self._console.is_terminal
            and not self._console.is_dumb_terminal
            and not quiet
        )
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            _Rate(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            expand=True,
            transient=True,
            speed_estimate_period=_SMOOTHING_SECONDS,
        )
        self._task = self._bar.add_task("starting", total=None, visible=False, loss="-")
        self._spoke, self._spoken = 0.0, 0  # time of the last line, and images trained by then
        self._images_before = 0  # trained in groups that are done
        self._group: Sequence[Trial] = ()
        self._plan: Plan | None = None
        self._utility: _UtilityProgress | None = None
        self._judged = 0  # trials when it was last said how far MonteCarlo can be trusted
        self.out: Path | None = None
        self.kept = 0

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()

    def say(self, text: str, *, verbose_only: bool = False) -> None:
        """Print a line above the bar."""
        if not self._quiet and (self._verbose or not verbose_only):
            line(self._bar.console, text)

    def planned(self, plan: Plan) -> None:
        """Say what is going to happen."""
        self._plan, self.out, self.kept = plan, plan.out, plan.usable
        dataset, recipe = plan.dataset, plan.run.recipe
        network = recipe.network
        shape = "x".join(map(str, dataset.image_shape))
        self.say(
            f"{dataset.name}: {count(dataset.num_samples)} training images of {shape}, "
            f"{dataset.num_classes} classes"
        )
        self.say(f"read from {dataset.source}; fingerprint {dataset.fingerprint}", verbose_only=True)
        for note in dataset.notes:
            self.say(note, verbose_only=True)
        self.say(
            f"ConvNet: depth {network.depth}, width {network.width}, {network.norm} norm, "
            f"{network.activation}, {network.pooling} pooling; {count(plan.parameters)} parameters"
        )
        self.say(f"recipe {recipe.to_json()}", verbose_only=True)
        there = f", {plan.there} of them done before" if plan.there else ""
        trials, epochs = plural(plan.trials, "trial"), plural(plan.epochs, "epoch")
        self.say(f"{trials} of {epochs}{there}, {plan.ensemble_size} at once on {plan.run.device}")
        if plan.trials <= plan.there:
            self.say("nothing to do: all trials are there already")

    def started(self, trials: Sequence[Trial]) -> None:
        """Begin a group of trials."""
        self._group = trials
        self._spoke = self._spoke or time.monotonic()

    def progressed(self, progress: TrainingProgress) -> None:
        """Move the bar, or print a line if the last one is long ago."""
        if self._plan is None or self._quiet:
            return
        done = self._images_before + progress.images
        groups = (self._plan.trials - self._plan.there) / len(self._group)
        total = max(round(groups * progress.total_images), done)
        epochs = self._plan.epochs
        where = f"{self._numbers()}, epoch {progress.epoch}/{epochs}"
        if self._live:
            self._bar.update(
                self._task,
                description=where,
                total=total,
                completed=done,
                visible=True,
                loss=number(progress.loss),
            )
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            now = time.monotonic()
            rate = max(done - self._spoken, 1) / (now - self._spoke)
            self._spoke, self._spoken = now, done
            left = (total - done) / rate
            self.say(
                f"{where}: {done / total:.0%}, {rate:,.0f} images/s, loss {number(progress.loss)}, "
                f"{_duration(left)} left"
            )

    def finished(self, results: Sequence[LossResult]) -> None:
        """Count the trials, and say which diverged."""
        if self._plan is None:
            return
        samples = self._plan.dataset.num_samples
        self._images_before += (
            samples * self._plan.epochs * len(results)
        )  # diverged ones may have stopped early
        self.kept += sum(not result.failed for result in results)
        for result in results:
            number_of = result.trial.number + 1
            if result.failed:
                warn(
                    f"trial {number_of} diverged (its loss became infinite or NaN) and is not averaged in; "
                    "a lower --lr may help."
                )
            else:
                accuracy = f", test accuracy {result.test_accuracy:.1%}" if result.test_accuracy >= 0 else ""
                final = result.train_loss[result.train_loss >= 0][-1]
                which = f"trial {number_of} of {self._plan.trials}"
                self.say(f"{which} done: training loss {number(float(final))}{accuracy}")

    def utility_planned(self, plan: UtilityPlan) -> None:
        """Say what is going to happen."""
        self.out, self.kept = plan.out, self.kept + plan.usable
        self._utility = _UtilityProgress(plan)
        dataset, recipe = plan.dataset, plan.run.recipe
        if self._plan is None:
            shape = "x".join(map(str, dataset.image_shape))
            self.say(
                f"{dataset.name}: {count(dataset.num_samples)} training images of {shape}, "
                f"{dataset.num_classes} classes"
            )
            network = recipe.network
            self.say(
                f"ConvNet: depth {network.depth}, width {network.width}, {network.norm} norm, "
                f"{network.activation}, {network.pooling} pooling; {count(plan.parameters)} parameters"
            )
        self.say(f"recipe {recipe.to_json()}", verbose_only=True)
        for note in plan.notes:
            self.say(note)
        made = f" distilled by {recipe.distill.method}" if recipe.distill else ""
        split = "test" if recipe.eval_split == "test" else "held-out training"
        self.say(
            f"utility trials: {plan.subset_sizes.max()} of each class{made}, {plural(recipe.steps, 'step')}, "
            f"evaluated on {count(plan.evaluation_images)} {split} images; every sample is drawn once in "
            f"{plural(plan.per_sweep, 'trial')}"
        )
        there = f", {count(plan.there)} of them done before" if plan.there else ""
        many = plural(plan.trials, "trial")
        goal = (
            f"until the reliability is {plan.until_reliability:g}, at most {many}"
            if plan.until_reliability is not None
            else many
        )
        self.say(f"{goal}{there}, {plan.ensemble_size} at once on {plan.run.device}")
        self._bar.reset(self._task, visible=False, loss="-")
        self._spoke = time.monotonic()

    def utility_finished(self, results: Sequence[UtilityResult]) -> None:
        """Move the bar, or print a line if the last one is long ago."""
        if self._utility is None:
            return
        self.kept += sum(not result.failed for result in results)
        self._utility.add(results)
        if self._quiet:
            return
        if self._live:
            self._bar.update(
                self._task,
                description=self._utility.where(),
                total=self._utility.plan.trials,
                completed=self._utility.done,
                visible=True,
                loss=number(self._utility.loss),
            )
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            self.say(f"{self._utility.where()}, {self._utility.per_hour():,.0f} trials/hour")

    def estimated(self, score: Score) -> None:
        """Show how far the scores can be trusted by now: in the bar, and in a line where trials doubled."""
        if self._utility is None:
            return
        self._utility.reliability = score.trust
        if score.trials >= 2 * self._judged and math.isfinite(score.trust):
            self._judged = score.trials
            self.say(utility_trust(score))

    def _numbers(self) -> str:
        first, last = self._group[0].number + 1, self._group[-1].number + 1
        trials = f"trial {first}" if first == last else f"trials {first}-{last}"
        return f"{trials} of {self._plan.trials if self._plan else '?'}"


class _UtilityProgress:
    """How far the utility trials are."""

    def __init__(self, plan: UtilityPlan) -> None:
        self.plan = plan
        self.done = plan.there
        self.loss = float("nan")
        self.reliability = float("nan")
        self._start = time.monotonic()

    def add(self, results: Sequence[UtilityResult]) -> None:
        """Count finished trials."""
        self.done += len(results)
        self.loss = results[-1].train_loss

    def where(self) -> str:
        """The trials done and how reliable the scores are."""
        known = f", reliability {number(self.reliability, 2)}" if self.reliability >= 0 else ""
        return f"trial {count(self.done)} of {count(self.plan.trials)}{known}"

    def per_hour(self) -> float:
        """Trials an hour since the run began."""
        return (self.done - self.plan.there) / max(time.monotonic() - self._start, 1e-6) * 3600


def show_result(file: ScoreFile) -> None:
    """Show the scores of a finished run and what to do next."""
    console = out()
    console.print(scores_table(file))
    line(console, f"written to {file.path}")
    if "MonteCarlo" in file.scores:
        line(console, utility_trust(file.scores["MonteCarlo"]))
        if not file.scores["MonteCarlo"].trust >= UNRELIABLE:
            warn("MonteCarlo is mostly noise so far; the same command with more --utility-trials adds to it.")
    losses = [name for name in file.score_names if name in file.scores and name != "MonteCarlo"]
    name = losses[-1] if losses else file.score_names[-1]
    score = file.scores[name]
    if name == "MonteCarlo":
        line(console, f"next: goldore prune {file.path} --criterion MonteCarlo_small --keep-ratio 0.1")
    elif score.trials == 1:
        line(console, "next: add --trials (2 or more) to learn how far the scores can be trusted")
    elif not score.rank_reliability >= UNRELIABLE:
        line(console, "next: the ranking is mostly noise; train longer (--epochs) or add --trials")
    else:
        line(console, f"next: goldore prune {file.path} --criterion {name}_large --keep-ratio 0.1")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
