"""goldore study."""

import csv
import io
import json
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from goldore.errors import UsageError
from goldore.files.interrupts import interrupts_held_back
from goldore.trials import BUDGETS
from goldore.wording import plural

from .durations import seconds
from .screen import err, line, out, reports_errors, show_warnings, warn
from .signals import exit_code

if TYPE_CHECKING:
    from goldore.store import ScoreFile
    from goldore.studies.model import Study
    from goldore.trials import Precision

_PANELS = ("What to compare", "How long", "A program of your own", "Dataset", "Results")
_what, _long, _program, _data, _results = (partial(typer.Option, rich_help_panel=each) for each in _PANELS)
_RATIOS = "0.002,0.005,0.01,0.03,0.1,0.3"


@reports_errors
def study_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="SCORES.h5", help="A score file.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND...]",
            help="A program to run for each cell and seed instead of goldore's own distillers. {seed}, "
            "{ipc}, {name} (for its own output) and {job} are filled in.",
        ),
    ] = None,
    *,
    distiller: Annotated[
        str | None,
        _what(
            help="dm (distribution matching, the default), dc (gradient matching), none (training on the "
            "kept samples themselves), or several, separated by commas."
        ),
    ] = None,
    ipc: Annotated[
        str | None,
        _what(metavar="N", help="Images per class, separated by commas (default: 1; say it for a program)."),
    ] = None,
    criterion: Annotated[
        list[str] | None,
        _what(
            metavar="NAMES",
            help="Criteria, separated by commas, as for goldore prune; CRITERION:RULE has a rule, for "
            "example LossConverge_large:draw,after=0.2 (default: every score at both ends, and for losses "
            "that rule). All data and Random always run.",
        ),
    ] = None,
    keep_ratio: Annotated[str, _what(metavar="R", help="Keep ratios, separated by commas.")] = _RATIOS,
    augment: Annotated[
        str | None,
        _what(
            help="Augmentations that steps draw from: color, crop, cutout, flip, scale, rotate, or none "
            "(default: all; without flip for digits)."
        ),
    ] = None,
    budget: Annotated[
        str,
        _long(
            metavar="NAME",
            help=f"Steps and sizes of the built-in distillers: {', '.join(BUDGETS)} (docs/study.md), "
            "or package.module:NAME of a goldore.StudyRecipe.",
        ),
    ] = "quick",
    seeds: Annotated[int, _long(metavar="N", help="Runs of each cell that the study shall have.")] = 3,
    until_decided: Annotated[
        bool, _long("--until-decided", help="Then add seeds to the cells that are undecided.")
    ] = False,
    max_seeds: Annotated[int, _long(metavar="N", help="With --until-decided: at most so many.")] = 20,
    max_time: Annotated[
        str | None, _long(metavar="TIME", help="Stop after 90s, 30m or 2h; the same command goes on.")
    ] = None,
    margin: Annotated[
        float, _long(metavar="POINTS", help="Points of accuracy below all data that count as as good.")
    ] = 1.0,
    seed: Annotated[int, _long(help="Base seed.")] = 0,
    device: Annotated[str, _long(help="auto, cuda, cuda:1 or cpu.")] = "auto",
    precision: Annotated[
        str | None, _long(help="Precision of activations: float32 (the default) or bf16.")
    ] = None,
    compile_mode: Annotated[
        str, _long("--compile", help="torch.compile: on, off, or auto (where it pays).")
    ] = "auto",
    deterministic: Annotated[
        bool, _long("--deterministic", help="The same command gives the same bits; slower on CUDA.")
    ] = False,
    repository: Annotated[
        str | None,
        _program(
            "--for",
            metavar="REPO",
            help="The repository that the program belongs to: how its accuracy is read, and what it needs.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        _program(
            metavar="REGEX",
            help="Regular expression with one group: its last match in the output is the accuracy.",
        ),
    ] = None,
    metric_unit: Annotated[
        str | None,
        _program(
            metavar="UNIT",
            help="percent or share (default: percent where it is above 1 or a % follows, else refused).",
        ),
    ] = None,
    plugged: Annotated[
        bool,
        _program(
            "--plugged", help="The program reads GOLDORE_INDEX itself, its code edited by goldore plug."
        ),
    ] = False,
    jobs: Annotated[int, _program(metavar="N", help="Programs at a time.")] = 1,
    max_run_time: Annotated[
        str | None, _program(metavar="TIME", help="Stop a program after 90s, 30m or 2h; it counts as failed.")
    ] = None,
    dataset: Annotated[
        str | None, _data(help="The dataset, as for goldore score (default: where it was scored).")
    ] = None,
    data_root: Annotated[Path, _data(help="Folder of the named datasets.")] = Path("data"),
    image_size: Annotated[
        int | None, _data(help="As given to goldore score (default: as the score file says).")
    ] = None,
    to: Annotated[Path | None, _results("--out", help="The study file (default: SCORES-study.h5).")] = None,
    overwrite: Annotated[
        bool, _results("--overwrite", help="Replace a file that holds another study.")
    ] = False,
    as_json: Annotated[bool, _results("--json", help="Print one JSON document.")] = False,
    as_csv: Annotated[
        Path | None,
        _results("--csv", metavar="FILE", help="Also write the cells as a table, in place of what is there."),
    ] = None,
    report: Annotated[
        Path | None,
        _results(
            metavar="OUT.html",
            help="Also write a page with figures and distilled images, in place of what is there.",
        ),
    ] = None,
    figures: Annotated[
        Path | None, _results(metavar="DIR", help="Also write the figures, each as PNG, SVG and PDF.")
    ] = None,
    images: Annotated[
        str,
        _results(
            metavar="CELLS",
            help="Whose distilled images are drawn: all, best, recommended, or CRITERION@RATIO.",
        ),
    ] = "all,best,recommended",
    quiet: Annotated[bool, _results("--quiet", "-q", help="Print errors and warnings only.")] = False,
    verbose: Annotated[bool, _results("--verbose", "-v", help="Print a row for each cell.")] = False,
) -> None:
    """Measure which criterion and which keep ratio help a distiller, and which hurt it.

    Every cell is compared with all data, seed by seed. The same command goes on
    where it was stopped; more seeds, criteria, ratios or distillers add to the
    study file. goldore inspect STUDY.h5 shows it again.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other; leave one out.")
    if as_json and (quiet or verbose):
        raise UsageError("--json prints everything; leave --quiet and --verbose out.")
    words = command[1:] if command and command[0] == "--" else command or []
    shown = Shown(
        as_json=as_json,
        verbose=verbose,
        quiet=quiet,
        csv=as_csv,
        report=report,
        figures=figures,
        images=tuple(each.strip() for each in images.split(",")),
        overwrite=True,  # what is derived of a study is made anew whenever it goes on
    )
    shown.check()
    max_seconds = seconds(max_time)
    _check_used(context, bool(words))
    max_run_seconds = seconds(max_run_time, "--max-run-time")
    from goldore.store import load_scores

    from .study_screen import StudyScreen

    scores = load_scores(file)
    watcher = StudyScreen(quiet=quiet, subsets={name: scores.subset_of(name) for name in scores.score_names})
    show_warnings()
    try:
        from goldore.studies.studying import study

        if not words:
            with interrupts_held_back():  # an interrupt within torch's own C++ ends in an abort
                from goldore.training.devices import keep_freed_memory

            keep_freed_memory()
        with watcher:
            result = study(
                scores,
                dataset=dataset,
                distiller=distiller,
                ipc=ipc,
                criterion=criterion,
                keep_ratio=keep_ratio,
                seeds=seeds,
                until_decided=until_decided,
                max_seeds=max_seeds,
                max_seconds=max_seconds,
                margin=margin,
                budget=budget,
                augment=augment,
                precision=cast("Precision | None", precision),
                command=words,
                repository=repository,
                metric=metric,
                metric_unit=metric_unit,
                plugged=plugged,
                jobs=jobs,
                max_run_seconds=max_run_seconds,
                seed=seed,
                device=device,
                deterministic=deterministic,
                compile_mode=compile_mode,
                out=to,
                overwrite=overwrite,
                data_root=data_root,
                image_size=image_size,
                watcher=watcher,
            )
    except KeyboardInterrupt as interrupt:
        where = (
            f"{plural(watcher.kept, 'run')} kept in {watcher.out}" if watcher.kept else "no run was finished"
        )
        line(err(), f"interrupted: {where}; run the same command again to go on.")
        raise typer.Exit(exit_code(interrupt)) from None
    shown.show(result)
    if not quiet and not as_json:
        line(out(), f"written to {result.path}")
        _show_next(scores, result)
    if result.runs and all(run.failed for run in result.runs):
        raise typer.Exit(1)


_BUILT_IN = (
    "budget",
    "augment",
    "device",
    "precision",
    "compile_mode",
    "deterministic",
    "dataset",
    "image_size",
)


def _check_used(context: typer.Context, program: bool) -> None:
    """Refuse options of the built-in distillers where a program is run."""
    for name in _BUILT_IN if program else ():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"`{name}` is about goldore's own distillers; leave it out, or the program.")


@dataclass(frozen=True)
class Shown:
    """How a study is shown.

    Attributes:
        as_json: as one document.
        verbose: a row for each cell.
        quiet: not at all.
        csv: a table to write.
        report: a page to write.
        figures: a folder for figures.
        images: cells whose distilled images are drawn.
        overwrite: replace files that are there.
    """

    as_json: bool = False
    verbose: bool = False
    quiet: bool = False
    csv: Path | None = None
    report: Path | None = None
    figures: Path | None = None
    images: tuple[str, ...] = ("all", "best", "recommended")
    overwrite: bool = False

    def check(self) -> None:
        """Refuse what cannot be written, before hours of work.

        Raises:
            UsageError: if a file is there already.
            GoldoreError: if libraries are missing.
        """
        from goldore.files.atomic import check_writable

        for path, option in ((self.csv, "csv"), (self.report, "report")):
            if str(path) == "-":
                raise UsageError(f"--{option} names a file, and - is none; --json prints everything.")
            if path is not None and path.exists() and not self.overwrite:
                raise UsageError(f"{path} exists already; choose another name or use --overwrite.")
            if path is not None:
                check_writable(path, option)
        if self.figures is not None:
            check_writable(self.figures / "figure.png", "figures")
        if self.report is not None or self.figures is not None:
            from goldore.report.extra import check_report_extra

            check_report_extra()
        from goldore.report.study_records import check_picks

        check_picks(self.images)

    def show(self, study: "Study") -> None:
        """Print a study, and write its table, page and figures."""
        from .study_views import show_study

        for run in study.runs:
            if run.failed:
                from goldore.studies.answers import named

                warn(f"{named(run.cell)}, seed {run.seed} failed: {run.failed.rstrip('.')}.")
        if self.as_json:
            out().print(json.dumps(study.to_json(), indent=2), markup=False, soft_wrap=True)
        elif not self.quiet:
            show_study(out(), study, verbose=self.verbose)
        if self.csv is not None:
            _write_csv(study, self.csv)
        if self.report is not None or self.figures is not None:
            self._draw(study)

    def _draw(self, study: "Study") -> None:
        from goldore.report.figures import write_figures
        from goldore.report.page import save_page
        from goldore.report.study_page import draw_study, render_study

        drawings = draw_study(study, self.images)
        if self.figures is not None:
            write_figures(self.figures, drawings, overwrite=self.overwrite)
        if self.report is not None:
            save_page(self.report, render_study(study, drawings))


def inspect_study(
    path: Path,
    *,
    as_json: bool,
    verbose: bool,
    csv: Path | None,
    report: Path | None,
    figures: Path | None,
    overwrite: bool,
) -> None:
    """Show a study that is there, for goldore inspect."""
    from goldore.studies.study_file import load_study

    writes = csv is not None or report is not None or figures is not None
    shown = Shown(
        as_json=as_json,
        verbose=verbose,
        quiet=writes,
        csv=csv,
        report=report,
        figures=figures,
        overwrite=overwrite,
    )
    shown.check()
    shown.show(load_study(path))


def _write_csv(study: "Study", path: Path) -> None:
    """Write a row for each cell."""
    from goldore.files.atomic import replacing

    text = io.StringIO()
    rows = study.table()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _show_next(scores: "ScoreFile", study: "Study") -> None:
    """What to do with the answer: prune by it, or keep everything."""
    good = [(each.title, each.recommended.cell) for each in study.answers if each.recommended is not None]
    for title, cell in good:
        criterion, _, rule = cell.criterion.partition(":")
        words = [
            "goldore",
            "prune",
            str(scores.path),
            "--criterion",
            criterion,
            "--keep-ratio",
            cell.keep_ratio,
        ]
        words += ["--rule", rule] if rule else []
        words += ["--seed", str(study.settings.base_seed)] if cell.draws and study.settings.base_seed else []
        score = scores.scores.get(criterion.rpartition("_")[0])
        words += ["--missing", "drop"] if score is not None and (score.values != score.values).any() else []
        where = f" ({title})" if len(study.answers) > 1 else ""
        line(out(), f"next: {shlex.join(words)}{where}")
    if not good and all(run.failed for run in study.runs):
        line(out(), "next: mend what failed; the same command tries it again")
    elif not good:
        line(out(), "next: keep all data, or add seeds with --seeds or --until-decided")
