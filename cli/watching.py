"""How a scoring run looks: a live progress bar on a terminal, plain lines now and then elsewhere."""

import math
import shlex
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from goldore.report import summarize
from goldore.report.commands import images_option, rerun_of_losses
from goldore.report.facts import agreement_text, learning, reading_facts, warnings_of
from goldore.runs.watching import End, Forecast, Plan, Watcher
from goldore.scores import MONTE_CARLO, kind_of
from goldore.store import Result, Score, ScoreFile
from goldore.training.progress import Progress as TrainingProgress
from goldore.trials import ARGUMENTS
from goldore.trials.seeds import Trial
from goldore.wording import count, plural, took

from .courses import COURSES, Course, is_noise, trust_sentence
from .screen import err, fields, is_live, line, out, show_table, spelled, warn
from .views import scores_table

if TYPE_CHECKING:
    from pathlib import Path

    from goldore.datasets import ImageDataset

_NIGHT = 12 * 3600  # seconds
_SECONDS_BETWEEN_LINES = 30.0
_FEW = 5  # trials that are advised at the least


class ScreenWatcher(Watcher):
    """Shows a run on stderr; a context manager, so that the terminal is left in order whatever happens.

    Args:
        quiet: show nothing.
        verbose: also show what was detected and every trial's course.

    Attributes:
        out: the score file, once the run is planned.
        kept: trials in it so far that can be used.
        trained: trials of this run, of all kinds.
        testable: whether the dataset has test images of every class.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet, self._verbose = quiet, verbose
        self._console = err()
        self._live = out().is_terminal and is_live(self._console) and not quiet
        self._course: Course[Any, Any] | None = None  # of the trials under way
        self._spoke = 0.0  # time of the last line
        self._said: set[str] = set()
        self.out: Path | None = None
        self.kept = 0
        self.trained = 0
        self.testable = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def say(self, text: str, *, verbose_only: bool = False) -> None:
        """Print a line above the bar."""
        if text and not self._quiet and (self._verbose or not verbose_only):
            line(self._console, spelled(text))

    def dataset_read(self, dataset: "ImageDataset") -> None:
        """Say what was read as what, and what is probably not as it was meant."""
        tests = dataset.test_labels if dataset.test_labels is not None else ()
        self.testable = len(set(tests)) == dataset.num_classes
        self.say(dataset_line(dataset))
        if not self._quiet:
            fields(self._console, reading_facts(dataset))
        for detail in (*dataset.reading.details, f"fingerprint {dataset.fingerprint}"):
            self.say(detail, verbose_only=True)
        for warning in dataset.reading.warnings:
            warn(warning)

    def pilot_started(self, sizes: Sequence[int]) -> None:
        """Say what takes a moment before anything else is seen."""
        tried = ", ".join(map(str, sizes))
        self.say(f"a pilot looks for the smallest subset that teaches something ({tried} of each class) ...")

    def preparing(self, what: str, share: float) -> None:
        """Say what is made before the first trial, and how far it is if that takes long."""
        now = time.monotonic()
        if what not in self._said or now - self._spoke >= _SECONDS_BETWEEN_LINES:
            self.say(f"{what} ..." if what not in self._said else f"{what}: {share:.0%}")
            self._said.add(what)
            self._spoke = now

    def planned(self, plan: Plan) -> None:
        """Say what is going to happen."""
        self._stop()
        self.out, self.kept = plan.out, self.kept + plan.usable
        if self._course is None:
            self._introduce(plan)
        self._course = COURSES[plan.run.kind](plan, self._console)
        self.say(f"recipe {plan.run.recipe.to_json()}", verbose_only=True)
        for text in self._course.announcement():
            self.say(text)
        if plan.compiled and plan.trials > plan.there:
            self.say("the networks are compiled first, which takes 20 to 90 seconds")
        self._spoke = time.monotonic()
        if self._live:
            self._course.bar.start()

    def forecast(self, plan: Plan, forecast: Forecast) -> None:
        """Say what the trials would take."""
        self._stop()
        if plan.trials > plan.there:
            self.say(
                f"would take about {took(forecast.seconds)} and at least {forecast.memory / 2**30:.1f} GiB "
                f"of memory on {plan.run.device} (measured: {forecast.rate})"
            )
            if forecast.epoch:
                devices = math.ceil(forecast.seconds / _NIGHT)
                night = f"; a night of 12 hours takes {count(devices)} of them" if devices > 1 else ""
                self.say(f"one epoch of one network: {took(forecast.epoch)}{night}")

    def started(self, trials: Sequence[Trial]) -> None:
        """Begin a group of trials."""
        if self._course is not None:
            self._course.begin(trials)

    def resumed(self, trials: Sequence[Trial], epoch: int, epochs: int) -> None:
        """Say that they do not begin anew."""
        numbers = ", ".join(str(trial.number + 1) for trial in trials)
        which = "trials" if len(trials) > 1 else "trial"
        self.say(f"{which} {numbers}: resumed in epoch {epoch} of {epochs}")

    def progressed(self, progress: TrainingProgress) -> None:
        """Move the bar, or print a line if the last one is long ago."""
        if self._course is not None:
            if self._course.progress is None:
                self._course.first(progress)
            self._course.progress = progress
            self._show(self._course)

    def ensemble_lowered(self, size: int) -> None:
        """Say that memory ran out and nothing is lost."""
        warn(f"out of memory; going on with {plural(size, 'network')} at once, finished trials are kept.")

    def finished(self, results: Sequence[Result]) -> None:
        """Count the trials, and say what there is to say of each."""
        self.kept += sum(not result.failed for result in results)
        self.trained += len(results)
        if self._course is not None:
            self._course.add(results)
            told = [self._tell_of(self._course, result) for result in results]
            if not any(told):
                self._show(self._course)

    def estimated(self, score: Score) -> None:
        """Show how far the scores can be trusted by now: in the bar, and in a line where trials doubled."""
        sentence = self._course.estimated(score) if self._course is not None else None
        if sentence:
            self.say(sentence)

    def ended(self, end: End, score: Score | None, seconds: float, trials: int) -> None:
        """Say why the trials ended, where that is not plain."""
        self._stop()
        sentence = self._course.ending(end, score, seconds, trials) if self._course is not None else None
        if sentence:
            self.say(sentence)

    def _introduce(self, plan: Plan) -> None:
        recipe = plan.run.recipe
        self.say(f"{recipe.network.describe()}; {count(plan.parameters)} parameters, in {recipe.precision}")

    def _tell_of(self, course: Course[Any, Any], result: Result) -> bool:
        """Say of a trial what there is to say, if anything."""
        told = course.about(result)
        if told is not None and result.failed:
            warn(told)
        elif told is not None:
            self.say(told)
        return told is not None

    def _show(self, course: Course[Any, Any]) -> None:
        """Move the bar, or print a line if the last one is long ago."""
        if self._quiet:
            return
        if self._live:
            course.move_bar()
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            self.say(course.line())

    def _stop(self) -> None:
        if self._live and self._course is not None:
            self._course.bar.stop()


def dataset_line(dataset: "ImageDataset") -> str:
    """A dataset in one line."""
    shape = "x".join(map(str, dataset.image_shape))
    classes = "1 class" if dataset.num_classes == 1 else f"{count(dataset.num_classes)} classes"
    return f"{dataset.name}: {count(dataset.num_samples)} training images of {shape}, {classes}"


def show_result(file: ScoreFile, watcher: ScreenWatcher, *, dry: bool = False) -> None:
    """Show the scores of a finished run and what to do next; of a dry run, that there are none."""
    console = out()
    if dry:
        line(console, "dry run: nothing was trained, and nothing was written")
        return
    summary = summarize(file)
    show_table(console, scores_table(file, summary))
    line(console, f"{'written to' if watcher.trained else 'scores are in'} {file.path}")
    if "MonteCarlo" in file.scores:
        line(console, trust_sentence(file.scores["MonteCarlo"]))
    for warning in warnings_of(summary):
        warn(warning)
    for name, score in file.scores.items():
        if score.agreement is not None:
            line(console, f"agreement of {name}: {agreement_text(score.agreement)}")
    missing = max((int((each.values != each.values).sum()) for each in file.scores.values()), default=0)
    if missing:  # NaN is not equal to itself
        line(console, f"{plural(missing, 'sample')} not drawn yet, and without a score")
    line(console, f"next: {next_step(file, learning(summary), testable=watcher.testable)}")


def _trusted(score: Score) -> float:
    """The reliability of its ranks; below all others where it is not known."""
    return score.rank_reliability if math.isfinite(score.rank_reliability) else -math.inf


def next_step(file: ScoreFile, learned: str, *, testable: bool) -> str:
    """What to do with a file of scores: find out what they are good for, if they are more than noise.

    Args:
        file: of the scores.
        learned: what the networks of the loss trials did, as `learning` says.
        testable: whether the dataset has a test split that a study can judge by.
    """
    losses = [name for name in file.score_names if name in file.scores and name != MONTE_CARLO.name]
    score = max((file.scores[name] for name in losses or file.score_names[-1:]), key=_trusted)
    trained = file.loss_trials
    if trained is not None and learned != "something" and score.of_training:
        recipe = trained.recipe
        slower = learned == "diverging"
        other = file.path.with_name(f"{file.path.stem}-{'slower' if slower else 'longer'}.h5")
        changes = {"lr": f"{recipe.lr / 10:g}"} if slower else {"epochs": str(max(30, 3 * recipe.epochs))}
        return rerun_of_losses(file, changes, other) or "train longer, or with another learning rate"
    path = shlex.quote(str(file.path))
    option, numbers = _numbers(file, score.name)
    if min(numbers, default=0):
        return f"goldore merge {path} PART.h5 --out WHOLE.h5    (with the files of the other trials)"
    if (score.values != score.values).any() or is_noise(score):
        more = max(2 * len(numbers), _FEW)
        return f"goldore extend {path} {option} {more}{images_option(file)}"
    if not testable:
        page = shlex.quote(str(file.path.with_suffix(".html")))
        return f"goldore inspect {path} --report {page}"
    return f"goldore study {path} --ipc {file.subset_of(score.name) or 1}{images_option(file)}"


def _numbers(file: ScoreFile, score: str) -> tuple[str, list[int]]:
    """The option that adds trials to a score, and their numbers by now."""
    kind = kind_of(score)
    trials: Any = file.trials_of(kind)
    option = f"--{ARGUMENTS[kind].number.replace('_', '-')}"
    return option, [*trials.done, *trials.failed] if trials is not None else []
