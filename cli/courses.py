"""How the trials of each kind look while they are trained: an announcement, a live bar, lines for a log."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from goldore.runs.watching import End, KernelPlan, LossPlan, Plan, UtilityPlan
from goldore.scores.estimators.estimate import UNRELIABLE
from goldore.store import KernelResult, LossResult, Result, Score, UtilityResult
from goldore.training.progress import Progress as TrainingProgress
from goldore.trials.shuffling import EXACT, Shuffle
from goldore.wording import count, duration, number, plural, reliability

if TYPE_CHECKING:
    from goldore.trials.seeds import Trial

TARGETS = (0.5, 0.8)
_MOST_DIGITS = 2
_SMOOTHING_SECONDS = 60.0  # the window over which the bar's rate is averaged
AnyPlan = TypeVar("AnyPlan", bound=Plan)
AnyResult = TypeVar("AnyResult", bound=Result)


class Course(ABC, Generic[AnyPlan, AnyResult]):
    """How far the trials of one kind are.

    Args:
        plan: of the run.
        console: that the bar is drawn on.

    Attributes:
        plan: of the run.
        bar: live, with one task.
        group: the trials that train together now.
        progress: how far they are.
        done: trials that the file holds of those planned.
    """

    def __init__(self, plan: AnyPlan, console: Console) -> None:
        self.plan, self.done = plan, plan.there
        self.group: Sequence[Trial] = ()
        self.progress: TrainingProgress | None = None
        self.bar = Progress(
            *self.columns(),
            console=console,
            expand=True,
            transient=True,
            speed_estimate_period=_SMOOTHING_SECONDS,
        )
        self._task = self.bar.add_task("starting", total=None, visible=False, rate="", loss="-", left="")
        self._start = time.monotonic()

    @abstractmethod
    def columns(self) -> list[Any]:
        """Columns of the bar; its task has the fields rate, loss and left."""

    @abstractmethod
    def announcement(self) -> list[str]:
        """What is going to happen, in lines."""

    @abstractmethod
    def move_bar(self) -> None:
        """Show in the bar how far it is."""

    @abstractmethod
    def line(self) -> str:
        """The same in one line for a log."""

    def begin(self, trials: Sequence["Trial"]) -> None:
        """Take in the trials that train together now."""
        self.group = trials

    def first(self, progress: TrainingProgress) -> None:
        """Take in the first progress of trials: what came before, such as compiling, is not their rate."""

    def add(self, results: Sequence[AnyResult]) -> None:
        """Count finished trials."""
        self.done += len(results)

    def about(self, result: AnyResult) -> str | None:
        """What to say of a trial that is done; None: nothing."""

    def estimated(self, score: Score) -> str | None:
        """Take in a new estimate, and say what there is to say of it."""

    def ending(self, end: End, score: Score | None, seconds: float, trials: int) -> str | None:
        """What to say at the end (see `Watcher.ended`); None: nothing."""

    def at_once(self) -> str:
        """How many trials were there before, how many networks are trained at the same time, and where."""
        plan = self.plan
        there = f", {count(plan.there)} of them done before" if plan.there else ""
        shared = f", in {plan.processes} processes" if plan.processes > 1 else ""
        return f"{there}, {plan.ensemble_size} at once on {plan.run.device}{shared}"

    def nothing_to_do(self, what: str) -> str:
        """That all trials are there already, and more of them if so."""
        more = f"; the file holds {count(self.plan.usable)}" if self.plan.usable > self.plan.trials else ""
        return f"nothing to do: all {what} are there already{more}"


def _shuffled(plan: LossPlan) -> list[str]:
    """How the samples are shuffled, if it is not the usual way."""
    shuffle = Shuffle.of(plan.run.recipe.shuffle or EXACT)
    if shuffle.is_exact:
        return []
    mixed = f"{count(shuffle.window)} images mixed at a time"
    return [f"shuffled in blocks of {plural(shuffle.block, 'image')}, {mixed}"]


class LossCourse(Course[LossPlan, LossResult]):
    """Long trials: the bar moves by images."""

    def __init__(self, plan: LossPlan, console: Console) -> None:
        super().__init__(plan, console)
        self._images_before = 0  # trained in groups that are done
        self._spoken = (time.monotonic(), 0)  # when the last line was printed, and images trained by then

    def columns(self) -> list[Any]:
        """Trial and epoch, the share, images a second over the last minute, the loss and the time left."""
        return [
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
        ]

    def announcement(self) -> list[str]:
        """How many trials of how many epochs."""
        plan = self.plan
        lines = [f"{plural(plan.trials, 'trial')} of {plural(plan.epochs, 'epoch')}{self.at_once()}"]
        lines += _shuffled(plan)
        nothing = plan.trials <= plan.there and not plan.again
        return [*lines, *plan.notes, *([self.nothing_to_do("trials")] if nothing else [])]

    def first(self, progress: TrainingProgress) -> None:
        """Let the rate begin here."""
        self._spoken = time.monotonic(), self._images_before + progress.images

    def add(self, results: Sequence[LossResult]) -> None:
        """Count finished trials; diverged ones may have stopped early."""
        super().add(results)
        self._images_before += self.plan.images * len(results)
        self.progress = None

    def about(self, result: LossResult) -> str | None:
        """Its last training loss and its test accuracy, or that it diverged."""
        number_of = result.trial.number + 1
        if result.failed:
            return (
                f"trial {number_of} diverged (its loss became infinite or NaN) and is not averaged in; "
                "a lower --lr may help."
            )
        accuracy = f", test accuracy {result.test_accuracy:.1%}" if result.test_accuracy >= 0 else ""
        final = result.train_loss[result.train_loss >= 0][-1]
        return (
            f"trial {number_of}{self._of_all(number_of)} done: training loss {number(float(final))}{accuracy}"
        )

    def move_bar(self) -> None:
        """Show images and loss."""
        if self.progress is None:
            return
        done, total = self._images()
        speed = self.bar.tasks[self._task].speed
        self.bar.update(
            self._task,
            description=self._where(self.progress),
            total=total,
            completed=done,
            visible=True,
            rate=f"{speed:,.0f} images/s" if speed else "- images/s",
            loss=number(self.progress.loss),
        )

    def line(self) -> str:
        """Trial and epoch, share, rate since the last line, loss, time left."""
        done, total = self._images()
        now, (then, spoken) = time.monotonic(), self._spoken
        rate = max(done - spoken, 1) / max(now - then, 1e-6)
        self._spoken = now, done
        training = self.progress
        loss = f", loss {number(training.loss)}" if training is not None else ""
        return (
            f"{self._where(training)}: {done / total:.0%}, {rate:,.0f} images/s{loss}, "
            f"{duration((total - done) / rate)} left"
        )

    def _images(self) -> tuple[int, int]:
        """Images trained, and to be trained."""
        done = self._images_before + (self.progress.images if self.progress is not None else 0)
        return done, max((self.plan.trials - self.plan.there) * self.plan.images, done, 1)

    def _where(self, progress: TrainingProgress | None) -> str:
        """What is under way: this process's trials and their epoch, or what many have done between them."""
        plan = self.plan
        if plan.processes > 1 or progress is None or not self.group:
            return f"{count(self.done)} of {plural(plan.trials, 'trial')} done"
        first, last = self.group[0].number + 1, self.group[-1].number + 1
        trials = f"trial {first}" if first == last else f"trials {first}-{last}"
        return f"{trials}{self._of_all(last)}, epoch {progress.epoch}/{plan.epochs}"

    def _of_all(self, number_of: int) -> str:
        """Of how many trials this is one; nothing where a --trial-range has numbers beyond."""
        return f" of {self.plan.trials}" if number_of <= self.plan.trials else ""


class FoldCourse(LossCourse):
    """Cross-validations: several trainings each."""

    def announcement(self) -> list[str]:
        """How many of how many networks, and epochs."""
        plan = self.plan
        what = f"{plural(plan.trials, 'cross-validation')} of {plural(plan.networks, 'network')}"
        lines = [
            f"{what}, {plural(plan.epochs, 'epoch')} each{self.at_once()}",
            *_shuffled(plan),
            *plan.notes,
        ]
        return lines if plan.trials > plan.there else [*lines, self.nothing_to_do("of them")]

    def _where(self, progress: TrainingProgress | None) -> str:
        """The network under way too, where one is trained at a time."""
        plan = self.plan
        if progress is None or plan.ensemble_size > 1 or not self.group or plan.processes > 1:
            return super()._where(progress)
        network = min(progress.images // (plan.images // plan.networks) + 1, plan.networks)
        trial = self.group[0].number + 1
        return f"trial {trial}, network {network}/{plan.networks}, epoch {progress.epoch}/{plan.epochs}"


class UtilityCourse(Course[UtilityPlan, UtilityResult]):
    """Short trials by the thousand: the bar moves by the time that the run is expected to take."""

    def __init__(self, plan: UtilityPlan, console: Console) -> None:
        super().__init__(plan, console)
        self._score: Score | None = None
        self._judged = 0  # trials when it was last said how far MonteCarlo can be trusted

    def begin(self, trials: Sequence["Trial"]) -> None:
        """The rate counts from the first trials on, not from what is made before them."""
        if not self.group:
            self._start = time.monotonic()
        super().begin(trials)

    def columns(self) -> list[Any]:
        """Trials and reliability, trials an hour, the time left."""
        return [
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
        ]

    def announcement(self) -> list[str]:
        """What a trial is, how many there will be, and until when."""
        plan, recipe = self.plan, self.plan.run.recipe
        made = f" distilled by {recipe.distill.method}" if recipe.distill else ""
        trained = plural(recipe.steps, "step")
        if recipe.kernel is not None:
            fit = "a ridge regression" if recipe.kernel.fit == "ridge" else f"{trained} of a linear head"
            trained = f"{fit} on {plural(recipe.kernel.networks or 1, 'untrained network')}"
        split = "test" if recipe.eval_split == "test" else "held-out training"
        goal = plural(plan.trials, "trial")
        if plan.until_reliability is not None:
            goal = f"until the reliability is {plan.until_reliability:g}, at most {goal}"
        what = (
            f"utility trials: {plan.subset_sizes.max()} of each class{made}, {trained}, "
            f"evaluated on {count(plan.evaluation_images)} {split} images; every sample is drawn once in "
            f"{plural(plan.per_sweep, 'trial')}"
        )
        return [
            *plan.notes,
            what,
            f"{goal}{self.at_once()}",
        ]

    def move_bar(self) -> None:
        """Show trials, their rate and the time left."""
        left = self._seconds_left()
        spent = time.monotonic() - self._start
        self.bar.update(
            self._task,
            description=self._where(),
            total=1.0,
            completed=spent / max(spent + left, 1e-6),
            visible=True,
            rate=f"{self._per_second() * 3600:,.0f}/hour",
            left=f"{duration(left)} left" if math.isfinite(left) else "",
        )

    def line(self) -> str:
        """Trials, their rate and the time left."""
        left = self._seconds_left()
        ahead = f", {duration(left)} left" if math.isfinite(left) else ""
        return f"{self._where()}, {self._per_second() * 3600:,.0f} trials/hour{ahead}"

    def estimated(self, score: Score) -> str | None:
        """How far MonteCarlo can be trusted, where trials have doubled since it was last said."""
        self._score = score
        if score.trials < 2 * self._judged or not math.isfinite(score.trust):
            return None
        self._judged = score.trials
        return trust_sentence(score)

    def ending(self, end: End, score: Score | None, seconds: float, trials: int) -> str | None:
        """Where the run was to reach a reliability, or was stopped by the clock."""
        plan, target = self.plan, self.plan.until_reliability
        if end == "reliable":
            return f"the reliability of {target:g} was " + ("there already" if trials == 0 else "reached")
        if end == "complete" and target is None:
            return None
        why = "--max-time" if end == "time" else "--max-trials"
        if target is None:
            return f"stopped by {why} at {count(plan.there + trials)} of {plural(plan.trials, 'trial')}"
        ahead = ""
        if trials and (score is None or not math.isfinite(score.trust)):
            more = max(2 * plan.per_sweep - plan.there - trials, 1)
            ahead = f"; how reliable it is can be told after two sweeps, about {plural(more, 'trial')} more, "
            ahead += duration(more * seconds / trials)
        elif score is not None and trials and math.isfinite(_needed(score, target)):
            needed = self._until_looked(_needed(score, target))
            ahead = f"; it takes about {plural(math.ceil(needed), 'trial')} more, "
            ahead += duration(needed * seconds / trials)
        return f"stopped by {why} before the reliability of {target:g} was reached{ahead}"

    def _until_looked(self, needed: float) -> float:
        """Trials until it is looked whether so many suffice: after whole sweeps, two at the least."""
        sweep = self.plan.per_sweep
        sweeps = max(math.ceil(needed / sweep), 2, self.done // sweep + 1)
        return float(sweeps * sweep - self.done)

    def _where(self) -> str:
        """The trials done, and how reliable the ranking is by now."""
        trust = self._score.trust if self._score is not None else math.nan
        target = self.plan.until_reliability
        goal = f" of {target:g}" if target is not None else ""
        known = f", reliability {reliability(trust)}{goal}" if math.isfinite(trust) else ""
        many = "" if target is not None else f" of {count(self.plan.trials)}"
        return f"trial {count(self.done)}{many}{known}"

    def _per_second(self) -> float:
        """Trials a second since the run began."""
        return (self.done - self.plan.there) / max(time.monotonic() - self._start, 1e-6)

    def _seconds_left(self) -> float:
        """Until the first of the ends: the number of trials, the reliability as forecast, or the time."""
        to_do = float(self.plan.trials - self.done)
        target, score = self.plan.until_reliability, self._score
        if target is not None and score is not None and math.isfinite(_needed(score, target)):
            to_do = min(to_do, self._until_looked(_needed(score, target)))
        left = to_do / self._per_second() if self._per_second() > 0 else math.inf
        if self.plan.max_seconds is not None:
            left = min(left, max(self.plan.max_seconds - (time.monotonic() - self._start), 0.0))
        return left


class CheckCourse(UtilityCourse):
    """Trained trials that a utility without training is compared with."""

    def announcement(self) -> list[str]:
        """What is trained, and what for."""
        plan, recipe = self.plan, self.plan.run.recipe
        pool = getattr(recipe, "pool_per_class", None)
        drawn = f"{plan.subset_sizes.max()} of each class" + (f" out of {count(pool)}" if pool else "")
        what = (
            f"{plural(plan.trials, 'trained trial')} to compare with{self.at_once()}: {drawn}, "
            f"{plural(recipe.steps, 'step')}, evaluated on {count(plan.evaluation_images)} images"
        )
        done = ["nothing to train: they are there already"] if plan.trials <= plan.there else []
        return [*plan.notes, what, *done]

    def ending(self, end: End, score: Score | None, seconds: float, trials: int) -> str | None:
        """Nothing: the agreement is told with the scores."""


class KernelCourse(Course[KernelPlan, KernelResult]):
    """Groups of untrained networks: the bar moves by group."""

    def columns(self) -> list[Any]:
        """Groups and their share."""
        return [TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn()]

    def announcement(self) -> list[str]:
        """What is looked at, by how many groups."""
        plan, recipe = self.plan, self.plan.run.recipe
        split = "test" if recipe.eval_split == "test" else "held-out training"
        there = f", {count(plan.there)} of them done before" if plan.there else ""
        drawn = plural(recipe.subset_per_class or 1, "sample")
        asked = f"asked about {count(plan.evaluation_images)} {split} images"
        groups = f"{plural(plan.trials, 'group')} of {plural(recipe.networks or 1, 'untrained network')}"
        lines = [
            f"kernel utility: the nearest of {drawn} of each class, {asked}",
            f"{groups}{there}, on {plan.run.device}"
            + (f", in {plan.processes} processes" if plan.processes > 1 else ""),
        ]
        return [*lines, self.nothing_to_do("groups")] if plan.trials <= plan.there else lines

    def move_bar(self) -> None:
        """Show groups."""
        self.bar.update(
            self._task,
            description=self.line(),
            total=max(self.plan.trials, 1),
            completed=self.done,
            visible=True,
        )

    def line(self) -> str:
        """Groups that are done."""
        return f"{count(self.done)} of {plural(self.plan.trials, 'group')} done"


COURSES: dict[str, type[Course[Any, Any]]] = {
    "loss": LossCourse,
    "fold": FoldCourse,
    "utility": UtilityCourse,
    "kernel": KernelCourse,
    "check": CheckCourse,
}


def trust_sentence(score: Score) -> str:
    """How far MonteCarlo can be trusted, over all and by class, and how many trials more trust takes."""
    if not math.isfinite(score.trust):
        return (
            f"MonteCarlo of {plural(score.trials, 'trial')}: its reliability can be told when every sample "
            "has been drawn twice"
        )
    known = [each for each in score.class_rank_reliability.tolist() if math.isfinite(each)]
    span = f", classes {reliability(min(known))} to {reliability(max(known))}" if len(known) > 1 else ""
    if math.isfinite(score.rank_reliability):
        ranks = _with_error(score.rank_reliability, score.rank_reliability_stderr)
        how = "by values" if score.estimator == "shrunk" else "by 1 - noise/spread"
        trust = f"{ranks} (of ranks{span}; {how} {_plain(score)})"
    else:
        trust = f"about {_plain(score)} (by 1 - noise/spread; halves can be compared after two sweeps)"
    return (
        f"MonteCarlo of {plural(score.trials, 'trial')}: reliability {trust}; signal share "
        f"{number(score.signal_share, 2)}; {_needed_sentence(score)}"
    )


def _needed_sentence(score: Score) -> str:
    """Trials that reliabilities take: "0.5 takes 120 trials and 0.8 takes 480"."""
    if not score.trust > 0 or not math.isfinite(_needed(score, TARGETS[0])):
        return "how many trials it takes cannot be told" + (" yet" if score.estimator != "shrunk" else "")
    return " and ".join(f"{target:g} takes {_trials(_needed(score, target))}" for target in TARGETS)


def is_noise(score: Score) -> bool:
    """Whether the ranking is, as far as can be told, mostly noise."""
    return not score.trust >= UNRELIABLE


def _needed(score: Score, target: float) -> float:
    return score.trials_needed(target)


def _plain(score: Score) -> str:
    return _with_error(score.reliability, score.reliability_stderr)


def _with_error(value: float, error: float) -> str:
    text = reliability(value)
    return f"{text} +- {error:.2f}" if math.isfinite(error) and value >= 0 else text


def _trials(value: float) -> str:
    """How many trials, to two digits: a forecast."""
    value = max(value, 2.0)
    digits = 10 ** max(len(str(math.ceil(value))) - _MOST_DIGITS, 0)
    return plural(math.ceil(value / digits) * digits, "trial")
