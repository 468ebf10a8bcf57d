"""The door: what a call of `study` does."""

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from goldore.datasets import ImageDataset
from goldore.datasets.classes import labels_digest
from goldore.errors import ScoreFileError, UsageError, require
from goldore.files.atomic import check_writable
from goldore.files.locking import writing_to
from goldore.files.user_code import import_named
from goldore.repositories import find_repository
from goldore.repositories.limits import count_problems, dataset_problems, make_settings
from goldore.repositories.metric import check_pattern
from goldore.runs.source import dataset_of
from goldore.store import ScoreFile, default_study, load_scores
from goldore.studies.answers import named
from goldore.studies.cells import ALL, PROGRAM, RATIOS, UNDISTILLED, Cell, grid, split_criteria
from goldore.studies.kept import feasible, select
from goldore.studies.model import MARGIN, Run, Settings, Study, verdicts_of
from goldore.studies.programs import Program, Programs, Way
from goldore.studies.study_file import (
    Content,
    Waiting,
    check_margin,
    check_same,
    read_content,
    write_study,
)
from goldore.studies.watching import End, StudyPlan, StudyWatcher, Told
from goldore.trials import AUGMENTATIONS, BUDGETS, PAPER, Precision, StudyRecipe
from goldore.trials.seeds import MAX_SEED
from goldore.wording import plain_name

SEEDS = 3
MOST_SEEDS = 20  # where seeds are added until all is decided
_ALL_SEEDS = 10_000
_MORE = 1.5  # times the seeds at each look
_WRITE_EVERY = 5.0  # seconds
_WITHOUT_FLIP = ("mnist", "svhn", "usps", "digits")  # whose mirror images are something else
_NOT_DIGITS = "fashion"


class Runner(Protocol):
    """Runs cells."""

    def run(self, seed: int, cells: Sequence[Cell], waiting: Waiting, told: Told) -> None:
        """Run cells for one seed; see `goldore.studies.builtin.BuiltIn.run`."""


class _TimeIsUpError(Exception):
    pass


def study(
    scores: ScoreFile | str | Path,
    *,
    dataset: str | ImageDataset | None = None,
    distiller: str | Sequence[str] | None = None,
    ipc: int | str | Sequence[int] | None = None,
    criterion: str | Sequence[str] | None = None,
    keep_ratio: str | float | Sequence[str | float] = RATIOS,
    seeds: int = SEEDS,
    until_decided: bool = False,
    max_seeds: int = MOST_SEEDS,
    max_seconds: float | None = None,
    margin: float = MARGIN,
    budget: str | StudyRecipe = "quick",
    augment: str | Sequence[str] | None = None,
    precision: Precision | None = None,
    command: Sequence[str] = (),
    repository: str | None = None,
    metric: str | None = None,
    metric_unit: str | None = None,
    plugged: bool = False,
    jobs: int = 1,
    max_run_seconds: float | None = None,
    seed: int = 0,
    device: str = "auto",
    deterministic: bool = False,
    compile_mode: str = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    data_root: str | Path = "data",
    image_size: int | None = None,
    watcher: StudyWatcher | None = None,
) -> Study:
    """Measure which criterion and which keep ratio help a distiller, and which hurt.

    Runs every cell (criterion, keep ratio, images per class, distiller) for some seeds, all data and Random
    among them, and compares each with all data. What a study file holds already is not run again; more
    seeds, criteria, ratios or distillers add to it.

    Args:
        scores: a score file, or the path of one.
        dataset: that was scored, or what `load_dataset` takes; None reads it from where it was scored.
        distiller: "dm" (the default), "dc" and "none", as a list or separated by commas; not for a command.
        ipc: images per class, one number or several, as a list or separated by commas; None: 1, but for a
            command it must be said.
        criterion: CRITERION or CRITERION:RULE (as `prune` takes them), as a list or separated by commas;
            None: every score of the file at both ends, and for losses the rule draw,after=0.2.
        keep_ratio: decimals between 0 and 1, as a list or separated by commas.
        seeds: runs of each cell that the study shall have, 1 or more.
        until_decided: then add seeds to cells that are undecided.
        max_seeds: stop that at so many.
        max_seconds: stop after so long.
        margin: points of accuracy below all data that count as as good.
        budget: name in `BUDGETS`, package.module:NAME of a recipe of your own, or a recipe.
        augment: strategies of augmentation, as a list or separated by commas, "none" for none; None: all, but
            flip only where mirror images mean the same.
        precision: of activations, "float32" (the default) or "bf16".
        command: a program to run for each cell and seed instead, in which {seed}, {ipc}, {name} and {job}
            are filled in.
        repository: name in the catalogue that the program belongs to, for its metric and needs.
        metric: regular expression whose last match in the program's output is the accuracy.
        metric_unit: whether that is in "percent" or a "share" from 0 to 1; None: in percent where it is above
            1 or a % follows, and refused otherwise.
        plugged: the program's code was edited by `goldore plug`, and reads the index file itself.
        jobs: programs at a time.
        max_run_seconds: stop a program after so long; it then counts as failed.
        seed: base seed, 0 to 2**63 - 1.
        device: "auto", "cuda", "cuda:1" or "cpu".
        deterministic: on CUDA, the same call gives the same bits; slower.
        compile_mode: "on" or "off" for torch.compile; "auto": where it pays.
        out: the study file; None: the score file's name with -study.
        overwrite: replace another study that is there.
        data_root: folder of the named datasets.
        image_size: as given when the dataset was scored.
        watcher: told how it goes.

    Returns:
        The study.

    Raises:
        UsageError: if an argument is wrong.
        ScoreFileError: if a file cannot be read, or `out` holds another study.
        DatasetError: if the dataset cannot be read, or is another one.
        LockedError: if another process writes to the file.
    """
    file = scores if isinstance(scores, ScoreFile) else load_scores(scores)
    watcher = watcher or StudyWatcher()
    _check_numbers(seeds, until_decided, max_seeds, max_seconds, seed)
    check_margin(margin)
    path = Path(out) if out is not None else default_study(file.path)
    require(path.resolve() != file.path.resolve(), "`out` is the score file itself; choose another name.")
    program = None
    if command:
        require(distiller is None, "`distiller` is about goldore's own; leave it out, or the command.")
        program = _program(
            command,
            repository,
            (metric, metric_unit),
            "plug" if plugged else "run",
            jobs,
            max_run_seconds,
            path,
        )
    about_commands = {
        "repository": repository,
        "metric": metric,
        "metric_unit": metric_unit,
        "max_run_seconds": max_run_seconds,
        "plugged": plugged or None,
        "jobs": None if jobs == 1 else jobs,
    }
    for name, given in about_commands.items():
        require(given is None or program is not None, f"`{name}` is about a command; give one.")
    distillers = _texts("dm" if distiller is None else distiller) if program is None else [PROGRAM]
    require(program is not None or PROGRAM not in distillers, "a program is given by `command`.")
    require(
        ipc is not None or program is None, "say with `ipc` how many images per class the command distils."
    )
    ipcs = _whole_numbers(1 if ipc is None else ipc)
    require(
        program is None or len(ipcs) == 1 or any("{ipc}" in word for word in program.command),
        "`ipc` names several numbers; put {ipc} into the command where each belongs.",
    )
    require(
        budget != PAPER or "dc" not in distillers or max(ipcs) == 1,
        "for more than one image per class the paper's gradient matching trains each network on the images "
        "between steps, which networks that all cells share cannot; study its own code with: goldore study "
        "SCORES.h5 --for dc -- python main.py ...",
    )
    criteria = None if criterion is None else split_criteria(criterion)
    require(criteria is None or bool(criteria), "`criterion` names none; leave it out for the default ones.")
    cells = grid(file, distillers, ipcs, criteria, _texts(keep_ratio))
    cells, refused = feasible(file, cells, seed)
    if program is not None:
        cells, more = _surviving(file, program, cells, seed)
        refused |= more
    require(bool(cells), f"no cell can be run: {next(iter(refused.values()), 'none was asked for')}.")
    settings = Settings(
        dataset=file.dataset.name,
        fingerprint=file.dataset.fingerprint,
        class_names=file.dataset.class_names,
        labels_sha256=labels_digest(file.labels),
        scores=file.path.name,
        base_seed=seed,
    )
    content = Content(settings)
    if program is None:
        from goldore.studies.preparing import prepare

        runner: Runner
        images = dataset_of(file, dataset, data_root=data_root, image_size=image_size)
        recipe = _recipe(budget, images.name, augment, precision)
        label = budget if isinstance(budget, str) else "own"
        runner, content = prepare(
            images,
            file,
            replace(settings, budget=label),
            recipe,
            device,
            deterministic=deterministic,
            compile_mode=compile_mode,
        )
    else:
        require(
            augment is None and precision is None, "`augment` and `precision` are for built-in distillers."
        )
        content.settings = replace(
            settings,
            program=program.words,
            metric=program.pattern,
            plugged=plugged,
            repository=program.repository.name if program.repository else "",
        )
        runner = Programs(program, file, seed)
    check_writable(path)
    with writing_to(path):
        if path.exists():
            content = _existing(path, content, file, overwrite=overwrite)
        content.margin = margin
        session = _Session(runner, content, path, watcher, max_seconds)
        session.run(cells, refused, seeds, max_seeds if until_decided else seeds)
        return session.study


class _Session:
    """One call of `study` at work."""

    def __init__(
        self, runner: Runner, content: Content, path: Path, watcher: StudyWatcher, max_seconds: float | None
    ) -> None:
        self._runner, self._content, self._path, self._watcher = runner, content, path, watcher
        self._start = time.monotonic()
        self._until = math.inf if max_seconds is None else self._start + max_seconds
        self._written = -math.inf
        self._dirty = True
        self.study = content.study(path)

    def run(self, cells: Sequence[Cell], refused: dict[Cell, str], seeds: int, most: int) -> None:
        """Run what is missing, then more where that is wanted."""
        content = self._content
        missing = sum(len(self._missing(cells, number)) for number in range(seeds))
        there = sum(not run.failed for run in content.runs.values())
        plan = StudyPlan(content.settings, tuple(cells), refused, seeds, there, missing, self._path)
        self._watcher.planned(plan)
        end: End = "complete"
        try:
            for number in range(seeds):
                self._run_seed(number, cells)
            self._looked_at(seeds)
            if most > seeds:
                end = self._until_decided(cells, seeds, most)
        except _TimeIsUpError:
            end = "time"
        finally:
            self._write(at_once=True)
        self._watcher.ended(end, self.study, time.monotonic() - self._start)

    def _until_decided(self, cells: Sequence[Cell], seeds: int, most: int) -> End:
        """Add seeds to what is undecided, and to all data, which it is compared with.

        A stopped study looks again at the same numbers of seeds, each time at the runs up to there alone.
        """
        while True:
            runs = [run for run in self._content.study(self._path).runs if run.seed < seeds]
            verdicts = verdicts_of(runs, self._content.margin, looks=self._looked_at(seeds))
            open_ = [
                each.cell
                for each in verdicts
                if each.outcome == "undecided" and each.cell.distiller != UNDISTILLED and each.cell in cells
            ]
            if not open_:
                return "decided"
            if seeds >= most:
                return "complete"
            wanted = list(dict.fromkeys(each for cell in open_ for each in (cell.reference, cell)))
            seeds = min(max(math.ceil(seeds * _MORE), seeds + 1), most)
            for number in range(seeds):
                self._run_seed(number, wanted)

    def _looked_at(self, seeds: int) -> int:
        """Remember that verdicts are given at so many seeds; how often they were by then."""
        targets = {*self._content.targets, seeds}
        if len(targets) > len(self._content.targets):
            self._content.targets = tuple(sorted(targets))
            self._dirty = True
        return sum(each <= seeds for each in targets)

    def _missing(self, cells: Sequence[Cell], number: int) -> list[Cell]:
        runs = self._content.runs
        return [cell for cell in cells if (cell, number) not in runs or runs[cell, number].failed]

    def _run_seed(self, number: int, cells: Sequence[Cell]) -> None:
        missing = self._missing(cells, number)
        if not missing:
            return
        self._watcher.started(number, missing)
        self._check_time()
        waiting = {
            (cell, each): images for (cell, each), images in self._content.waiting.items() if each == number
        }
        self._runner.run(number, missing, waiting, Told(self._keep, self._wait, self._progressed))

    def _keep(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._content.add(run)
        self._dirty = True
        self._write(at_once=not self._content.settings.recipe)  # a program's run may take hours
        self._watcher.finished(runs)
        self._check_time()

    def _wait(self, images: Waiting) -> None:
        self._content.waiting |= images
        self._dirty = True
        self._write(at_once=True)

    def _progressed(self, what: str, share: float) -> None:
        self._check_time()
        self._watcher.progressed(what, share)

    def _check_time(self) -> None:
        if time.monotonic() > self._until:
            raise _TimeIsUpError

    def _write(self, *, at_once: bool) -> None:
        """Write the file, if anything has changed, but not too often."""
        if not self._dirty or (not at_once and time.monotonic() - self._written < _WRITE_EVERY):
            return
        self.study = write_study(self._path, self._content)
        self._dirty, self._written = False, time.monotonic()


def _existing(path: Path, content: Content, file: ScoreFile, *, overwrite: bool) -> Content:
    """The study that is there, if it can be added to."""
    try:
        there = read_content(path)
        check_same(there.settings, content.settings, path)
        _check_scores(there, path, file)
    except ScoreFileError:
        if overwrite:
            return content
        raise
    there.torch_version, there.device = content.torch_version, content.device
    return there


def _check_numbers(
    seeds: int, until_decided: bool, max_seeds: int, max_seconds: float | None, seed: int
) -> None:
    require(1 <= seeds <= _ALL_SEEDS, f"`seeds` is {seeds}; it must be 1 to {_ALL_SEEDS:,}.")
    enough = seeds <= max_seeds <= _ALL_SEEDS or not until_decided
    require(
        enough,
        f"`max_seeds` is {max_seeds}; it must be at least `seeds`, {seeds}, and at most {_ALL_SEEDS:,}.",
    )
    require(not until_decided or seeds > 1, "`until_decided` needs two seeds to begin with; raise `seeds`.")
    require(0 <= seed <= MAX_SEED - _ALL_SEEDS, f"`seed` is {seed}; it must be 0 to {MAX_SEED - _ALL_SEEDS}.")
    require(max_seconds is None or max_seconds > 0, "`max_seconds` must be above 0.")


def _check_scores(there: Content, path: Path, file: ScoreFile) -> None:
    """See that every cell of the file keeps what it kept in its runs: the scores may be others by now.

    Raises:
        ScoreFileError: naming a cell that does not.
    """
    some = {run.cell.keeps: run for run in there.runs.values()}
    for run in some.values():
        cell = run.cell
        try:
            same = select(file, cell, there.settings.base_seed + run.seed).digest == run.digest
        except UsageError:  # there is no such score any more
            same = False
        if not same:
            raise ScoreFileError(
                f"{path} is of other scores: {named(cell)} keeps other samples now; choose another file with "
                "`out`, or replace it with `overwrite`."
            )


def _program(
    command: Sequence[str],
    repository: str | None,
    metric: tuple[str | None, str | None],
    way: Way,
    jobs: int,
    max_run_seconds: float | None,
    path: Path,
) -> Program:
    known = find_repository(repository) if repository is not None else None
    own, unit = metric
    require(unit in (None, "percent", "share"), f"`metric_unit` is {unit!r}; choose percent or share.")
    require(shutil.which(command[0]) is not None, f"there is no program {command[0]}; check its name.")
    pattern = own or (known.metric if known is not None else "")
    require(bool(pattern), "say how the accuracy is read with `metric`, a regular expression with one group.")
    check_pattern(pattern)
    require(jobs >= 1, f"`jobs` is {jobs}; it must be 1 or more.")
    require(max_run_seconds is None or max_run_seconds > 0, "`max_run_seconds` must be above 0.")
    percent = known.metric_percent if known is not None and own is None else None
    percent = percent if unit is None else unit == "percent"
    logs = path.with_name(f"{path.stem}-runs")
    require(
        jobs == 1 or any(place in " ".join(command) for place in ("{name}", "{job}")),
        (
            "`jobs` runs programs side by side, which would write to the same places; put {name} into the "
            "command where it names its output."
        ),
    )
    return Program(tuple(command), pattern, percent, way, known, jobs, max_run_seconds, logs)


def _surviving(
    file: ScoreFile, program: Program, cells: Sequence[Cell], seed: int
) -> tuple[list[Cell], dict[Cell, str]]:
    """The cells that a repository survives, and what is wrong with the others."""
    if program.repository is None:
        return list(cells), {}
    for problem in dataset_problems(program.repository, file.dataset):
        require(not problem.refuse, problem.text)
    good: list[Cell] = []
    refused: dict[Cell, str] = {}
    for cell in cells:
        settings = replace(make_settings(program.repository, ipc=cell.ipc), dataset=file.dataset.name)
        kept = select(file, cell, seed).per_class
        problems = count_problems(program.repository, kept, file.dataset.class_names, settings)
        wrong = next((each.text for each in problems if each.refuse), None)
        if wrong is None or cell.criterion == ALL:
            good.append(cell)
        else:
            refused[cell] = wrong
    return good, refused


def _recipe(
    budget: str | StudyRecipe,
    dataset: str,
    augment: str | Sequence[str] | None,
    precision: Precision | None,
) -> StudyRecipe:
    if isinstance(budget, StudyRecipe):
        recipe = budget
    elif ":" in budget:
        recipe = import_named(budget, "the budget")
        require(isinstance(recipe, StudyRecipe), f"{budget} is no goldore.StudyRecipe; name one.")
    else:
        choices = f"{', '.join(BUDGETS)}, or package.module:NAME of your own"
        require(budget in BUDGETS, f"there is no budget {budget!r}; choose {choices}.")
        recipe = BUDGETS[budget]
    if augment is not None:
        names = _texts(augment)
        recipe = replace(recipe, augment=() if names == ["none"] else tuple(names))
    elif isinstance(budget, str) and budget in BUDGETS and not mirrors(dataset):
        recipe = replace(recipe, augment=tuple(each for each in AUGMENTATIONS if each != "flip"))
    return replace(recipe, precision=precision or recipe.precision or "float32")


def mirrors(dataset: str) -> bool:
    """Whether mirror images of a dataset mean the same, by its name: they do not where it is of digits."""
    plain = plain_name(dataset)
    return _NOT_DIGITS in plain or not any(each in plain for each in _WITHOUT_FLIP)


def _whole_numbers(given: int | str | Sequence[int]) -> list[int]:
    """A number, several, or a text with commas."""
    texts = _texts(given)
    require(all(each.isdecimal() for each in texts), f"`ipc` is {given!r}; give whole numbers of 1 or more.")
    return [int(each) for each in texts]


def _texts(given: object) -> list[str]:
    """A list, or a text with commas, as texts."""
    if isinstance(given, str):
        return [each.strip() for each in given.split(",") if each.strip()]
    if isinstance(given, float | int):
        return [str(given)]
    return [str(each) for each in given]  # type: ignore[attr-defined]
