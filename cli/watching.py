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

from goldore.runs.watching import End, Plan, UtilityPlan, Watcher
from goldore.scores.estimators.estimate import UNRELIABLE
from goldore.store import LossResult, Score, ScoreFile, UtilityResult
from goldore.training.progress import Progress as TrainingProgress
from goldore.trials.seeds import Trial
from goldore.wording import count, duration, number, plural

from .screen import err, line, out, show_table, warn
from .utility_screen import UtilityCourse, ending, is_noise, trust_sentence, utility_bar
from .views import scores_table

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
        self._images_before, self._done = 0, 0  # trained in groups that are done, and their trials
        self._group: Sequence[Trial] = ()
        self._plan: Plan | None = None
        self._utility: UtilityCourse | None = None
        self._utility_bar = utility_bar(self._console)
        self._utility_task = self._utility_bar.add_task(
            "starting", total=1.0, visible=False, rate="", left=""
        )
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
            self._utility_bar.stop()

    def say(self, text: str, *, verbose_only: bool = False) -> None:
        """Print a line above the bar."""
        if not self._quiet and (self._verbose or not verbose_only):
            line(self._console, text)

    def planned(self, plan: Plan) -> None:
        """Say what is going to happen."""
        self._plan, self.out, self.kept = plan, plan.out, plan.usable
        dataset, recipe = plan.dataset, plan.run.recipe
        shape = "x".join(map(str, dataset.image_shape))
        self.say(
            f"{dataset.name}: {count(dataset.num_samples)} training images of {shape}, "
            f"{dataset.num_classes} classes"
        )
        self.say(f"read from {dataset.source}; fingerprint {dataset.fingerprint}", verbose_only=True)
        for note in dataset.notes:
            self.say(note, verbose_only=True)
        self.say(
            f"{recipe.network.describe()}; {count(plan.parameters)} parameters, trained in {recipe.precision}"
        )
        self.say(f"recipe {recipe.to_json()}", verbose_only=True)
        there = f", {plan.there} of them done before" if plan.there else ""
        trials, epochs = plural(plan.trials, "trial"), plural(plan.epochs, "epoch")
        self.say(f"{trials} of {epochs}{there}, {_at_once(plan)}")
        if plan.note:
            self.say(plan.note)
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
        per_trial = self._plan.dataset.num_samples * self._plan.epochs
        total = max((self._plan.trials - self._plan.there) * per_trial, done)
        where = self._where(self._plan, progress)
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
                f"{duration(left)} left"
            )

    def ensemble_lowered(self, size: int) -> None:
        """Say that memory ran out and nothing is lost."""
        warn(f"out of memory; going on with {plural(size, 'network')} at once, finished trials are kept.")

    def finished(self, results: Sequence[LossResult]) -> None:
        """Count the trials, and say which diverged."""
        if self._plan is None:
            return
        samples = self._plan.dataset.num_samples
        self._images_before += (
            samples * self._plan.epochs * len(results)
        )  # diverged ones may have stopped early
        self.kept += sum(not result.failed for result in results)
        self._done += len(results)
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
                which = f"trial {number_of}{_of_all(self._plan, number_of)}"
                self.say(f"{which} done: training loss {number(float(final))}{accuracy}")

    def pilot_started(self, sizes: Sequence[int]) -> None:
        """Say what takes a moment before anything else is seen."""
        tried = ", ".join(map(str, sizes))
        self.say(f"a pilot looks for the smallest subset that teaches something ({tried} of each class) ...")

    def utility_planned(self, plan: UtilityPlan) -> None:
        """Say what is going to happen."""
        self.out, self.kept = plan.out, self.kept + plan.usable
        self._utility = UtilityCourse(plan)
        dataset, recipe = plan.dataset, plan.run.recipe
        if self._plan is None:
            shape = "x".join(map(str, dataset.image_shape))
            self.say(
                f"{dataset.name}: {count(dataset.num_samples)} training images of {shape}, "
                f"{dataset.num_classes} classes"
            )
            self.say(
                f"{recipe.network.describe()}; {count(plan.parameters)} parameters, "
                f"trained in {recipe.precision}"
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
        self.say(f"{goal}{there}, {_at_once(plan)}")
        self._spoke = time.monotonic()
        if self._live:
            self._bar.stop()
            self._utility_bar.start()

    def utility_finished(self, results: Sequence[UtilityResult]) -> None:
        """Move the bar, or print a line if the last one is long ago."""
        if self._utility is None:
            return
        self.kept += sum(not result.failed for result in results)
        self._utility.add(results)
        if self._quiet:
            return
        if self._live:
            left = self._utility.seconds_left()
            self._utility_bar.update(
                self._utility_task,
                description=self._utility.where(),
                completed=self._utility.share(),
                visible=True,
                rate=f"{self._utility.per_second() * 3600:,.0f}/hour",
                left=f"{duration(left)} left" if math.isfinite(left) else "",
            )
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            self.say(self._utility.line())

    def estimated(self, score: Score) -> None:
        """Show how far the scores can be trusted by now: in the bar, and in a line where trials doubled."""
        if self._utility is None:
            return
        self._utility.score = score
        if score.trials >= 2 * self._judged and math.isfinite(score.trust):
            self._judged = score.trials
            self.say(trust_sentence(score))

    def utility_ended(self, end: End, score: Score | None, seconds: float, trials: int) -> None:
        """Say why the trials ended, where that is not plain."""
        if self._live:
            self._utility_bar.stop()
        if self._utility is not None:
            sentence = ending(end, self._utility.plan, score, seconds, trials)
            if sentence:
                self.say(sentence)

    def _where(self, plan: Plan, progress: TrainingProgress) -> str:
        """What is under way: this process's trials and their epoch, or what many have done between them."""
        if plan.processes > 1:
            return f"{count(plan.there + self._done)} of {plural(plan.trials, 'trial')} done"
        first, last = self._group[0].number + 1, self._group[-1].number + 1
        trials = f"trial {first}" if first == last else f"trials {first}-{last}"
        return f"{trials}{_of_all(plan, last)}, epoch {progress.epoch}/{plan.epochs}"


def _of_all(plan: Plan, number_of: int) -> str:
    """Of how many trials this is one; nothing where a --trial-range has numbers beyond."""
    return f" of {plan.trials}" if number_of <= plan.trials else ""


def _at_once(plan: Plan | UtilityPlan) -> str:
    """How many networks are trained at the same time, and where."""
    shared = f", in {plan.processes} processes" if plan.processes > 1 else ""
    return f"{plan.ensemble_size} at once on {plan.run.device}{shared}"


def show_result(file: ScoreFile) -> None:
    """Show the scores of a finished run and what to do next."""
    console = out()
    show_table(console, scores_table(file))
    line(console, f"written to {file.path}")
    if "MonteCarlo" in file.scores:
        line(console, trust_sentence(file.scores["MonteCarlo"]))
        if file.scores["MonteCarlo"].trust < UNRELIABLE:
            warn("the ranking by MonteCarlo is mostly noise so far.")
    line(console, f"next: {_next_step(file)}")


def _next_step(file: ScoreFile) -> str:
    """What to do with a file of scores."""
    losses = [name for name in file.score_names if name in file.scores and name != "MonteCarlo"]
    score = file.scores[losses[-1] if losses else file.score_names[-1]]
    if score.name != "MonteCarlo":
        if score.trials == 1:
            return "add --trials (2 or more) to learn how far the scores can be trusted"
        if not score.rank_reliability >= UNRELIABLE:
            return "the ranking is mostly noise; train longer (--epochs) or add --trials"
        return f"goldore prune {file.path} --criterion {score.criterion} --keep-ratio 0.1"
    missing = int((score.values != score.values).sum())  # NaN is not equal to itself
    if missing or is_noise(score):
        why = (
            f"{plural(missing, 'sample')} not drawn yet" if missing else "the ranking is mostly noise so far"
        )
        return (
            f"{why}; the same command adds to the file with a larger --utility-trials or --max-time, and "
            "goldore merge joins it with other --trial-range parts"
        )
    return f"goldore prune {file.path} --criterion MonteCarlo_small --keep-ratio 0.1"
