"""goldore inspect."""

import itertools
import json
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from goldore.errors import DatasetError, UsageError

from .index_views import index_document, is_index_file, show_index
from .screen import err, line, out, reports_errors, spelled, warn, warn_of_journal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from goldore.report.figures import Drawing
    from goldore.report.images import Images
    from goldore.report.issues import Issues
    from goldore.report.material import Material
    from goldore.report.records import Comparison, Kept, SampleRecord
    from goldore.selection.pruning import Scope, Selection
    from goldore.store import ScoreFile

_LISTS = (".json", ".json.gz")
_STDOUT = "-"


@reports_errors
def inspect_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.h5",
            help="A score file, an index file or a study; or several score files of one dataset, including "
            "published lists (.json, .json.gz), to compare.",
        ),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="List all classes and label issues, even if there are more than 20, and all trials of a "
            "sample; with --json: also the reliability at smaller and larger numbers of trials.",
        ),
    ] = False,
    criterion: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE_END",
            help="Show what prune would keep by this criterion, for example LossConverge_large.",
        ),
    ] = None,
    keep_ratio: Annotated[
        str | None, typer.Option(metavar="K", help="With --criterion: share to keep, 0 to 1.")
    ] = None,
    drop_ratio: Annotated[
        str | None, typer.Option(metavar="R", help="With --criterion: share to drop, 0 to 1.")
    ] = None,
    keep_per_class: Annotated[
        int | None, typer.Option(metavar="N", help="With --criterion: samples to keep of each class.")
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(help="class (default) or global: take shares of each class or of all samples at once."),
    ] = None,
    sample: Annotated[
        list[int] | None,
        typer.Option(
            metavar="POSITION",
            help="Show this sample: scores, ranks, trials, image; can be repeated.",
        ),
    ] = None,
    label_issues: Annotated[
        bool,
        typer.Option(
            "--label-issues",
            help="Show labels that are likely to be wrong, which classes are confused, and equal images.",
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.html", help="Write a page with figures and images: one file that needs no network."
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the figures into a folder, each as PNG, SVG and PDF."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="OUT.csv", help="Write a table with one row per sample; - writes it to stdout."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="With --sample, --report or --figures: where the images are, as for goldore score (default: "
            "where they were scored)."
        ),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Likewise: folder of the named datasets (default: data).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Show what scores are, how far to trust them and what they would keep; compare files.

    With --report, --figures or --csv, it writes these and prints nothing else.
    """
    from goldore.store import is_study

    wanted = _Wanted(
        criterion=criterion,
        keep_ratio=keep_ratio,
        drop_ratio=drop_ratio,
        keep_per_class=keep_per_class,
        scope=scope,
        samples=tuple(sample or ()),
        issues=label_issues,
        dataset=dataset,
        data_root=data_root,
        overwrite=overwrite,
    )
    draws = report is not None or figures is not None
    if any(is_study(each) for each in files):
        if len(files) > 1 or replace(wanted, overwrite=False) != _NOTHING:
            raise UsageError(
                "a study is shown alone; of the options --json, --verbose, --csv, --report, --figures and "
                "--overwrite are for it."
            )
        from .studying import inspect_study

        inspect_study(
            files[0],
            as_json=as_json,
            verbose=verbose,
            csv=csv,
            report=report,
            figures=figures,
            overwrite=overwrite,
        )
        return
    if len(files) == 1 and is_index_file(files[0]):
        if replace(wanted, overwrite=False) != _NOTHING or draws or csv is not None:
            raise UsageError(f"{files[0]} is an index file; of the options only --json is for it.")
        _show_index(files[0], as_json=as_json)
        return
    wanted.check(files, csv, as_json=as_json, draws=draws, page=report)
    if verbose and (draws or csv is not None):
        raise UsageError("--verbose is about what is printed; leave it out where something is written.")
    found = _Found.of(files, wanted)
    if as_json:
        typer.echo(json.dumps(found.document(curves=verbose), indent=1, allow_nan=False))
    elif csv is not None or report is not None or figures is not None:
        _write(found, wanted, csv, report, figures)
    else:
        _show(found, wanted, verbose=verbose)


def _show_index(path: Path, *, as_json: bool) -> None:
    from goldore.selection.index_file import load_index

    index = load_index(path)
    if as_json:
        typer.echo(json.dumps(index_document(path, index), indent=1, allow_nan=False))
    else:
        show_index(path, index)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What is to be shown beside the summary."""

    criterion: str | None
    keep_ratio: str | None
    drop_ratio: str | None
    keep_per_class: int | None
    scope: str | None
    samples: tuple[int, ...]
    issues: bool
    dataset: str | None
    data_root: Path | None
    overwrite: bool

    def check(
        self, files: "Sequence[Path]", csv: Path | None, *, as_json: bool, draws: bool, page: Path | None
    ) -> None:
        """Refuse options that exclude each other or would do nothing.

        Raises:
            UsageError: naming them.
        """
        several = len(files) > 1
        self._check_criterion(several=several)
        if several and (self.criterion is not None or self.samples or self.issues or csv is not None):
            raise UsageError(
                "--criterion, --sample, --label-issues and --csv are about one file; give them with one."
            )
        if self.issues and (draws or csv is not None):
            raise UsageError(
                "--label-issues is for the terminal and --json; pages and tables have them anyway."
            )
        if self.scope not in (None, "class", "global"):
            raise UsageError(f"--scope is {self.scope!r}; choose class or global.")
        if as_json and (draws or csv is not None):
            raise UsageError("--json prints one document; give --report, --figures and --csv without it.")
        shows = page is not None or (bool(self.samples) and not draws and csv is None)
        if self.samples and not (shows or as_json):
            raise UsageError("--sample is for the terminal, --json and --report; leave it out.")
        if (self.dataset is not None or self.data_root is not None) and (as_json or not (shows or draws)):
            raise UsageError("--dataset and --data-root are for images; use --sample, --report or --figures.")
        if self.overwrite and not draws and csv in (None, Path(_STDOUT)):
            raise UsageError("--overwrite is about files that are written; leave it out.")
        if not several and any(_is_list(each) for each in files):
            raise UsageError(
                f"{files[0]} is a list without classes; give it beside a score file of its dataset, or make "
                "a score file of it with: goldore import"
            )

    def _check_criterion(self, *, several: bool) -> None:
        rules = (self.keep_ratio, self.drop_ratio, self.keep_per_class)
        given = sum(each is not None for each in rules)
        if self.criterion is None and (given or (self.scope is not None and not several)):
            raise UsageError(
                "--keep-ratio, --drop-ratio, --keep-per-class and --scope are about a criterion; say "
                "--criterion too."
            )
        if self.criterion is not None and not given:
            raise UsageError(
                "say with --keep-ratio, --drop-ratio or --keep-per-class how much --criterion keeps."
            )
        if given > 1:
            raise UsageError("--keep-ratio, --drop-ratio and --keep-per-class exclude each other; give one.")

    @property
    def where(self) -> "Scope":
        """What a share is of."""
        return "global" if self.scope == "global" else "class"


_NOTHING = _Wanted(
    criterion=None,
    keep_ratio=None,
    drop_ratio=None,
    keep_per_class=None,
    scope=None,
    samples=(),
    issues=False,
    dataset=None,
    data_root=None,
    overwrite=False,
)


@dataclass(frozen=True)
class _Found:
    """The files, and what they say."""

    files: "Sequence[ScoreFile]"
    comparison: "Comparison | None" = None
    kept: "tuple[Selection, Kept] | None" = None
    samples: "Sequence[SampleRecord]" = ()
    issues: "Issues | None" = None

    @classmethod
    def of(cls, paths: "Sequence[Path]", wanted: _Wanted) -> Self:
        from goldore.report import compare, describe_samples
        from goldore.report.issues import find_issues
        from goldore.report.kept import select

        files = _load(paths)
        if len(files) > 1:
            return cls(files, comparison=compare(files, scope=wanted.where))
        (file,) = files
        kept = None
        if wanted.criterion is not None:
            kept = select(
                file,
                wanted.criterion,
                keep_ratio=wanted.keep_ratio,
                drop_ratio=wanted.drop_ratio,
                keep_per_class=wanted.keep_per_class,
                scope=wanted.where,
            )
        samples = describe_samples(file, wanted.samples) if wanted.samples else ()
        issues = find_issues(file) if wanted.issues else None
        return cls(files, kept=kept, samples=samples, issues=issues)

    def document(self, *, curves: bool) -> dict[str, Any]:
        """All of it as one object that JSON can hold; `curves`: of the reliability."""
        from goldore.report import summarize

        if self.comparison is not None:
            return {
                "files": [summarize(each, curves=curves).to_json() for each in self.files],
                "comparison": self.comparison.to_json(),
            }
        found: dict[str, Any] = summarize(self.file, curves=curves).to_json()
        if self.kept is not None:
            found["kept"] = self.kept[1].to_json()
        if self.samples:
            found["samples"] = [each.to_json() for each in self.samples]
        if self.issues is not None:
            found["issues"] = self.issues.to_json()
        return found

    @property
    def paths(self) -> list[Path]:
        """Of all files that are read."""
        return [each.path for each in self.files]

    @property
    def file(self) -> "ScoreFile":
        """The first score file; lists may stand before it."""
        return next(each for each in self.files if not _is_list(each.path))

    def images(self, wanted: _Wanted) -> "tuple[Images | None, str]":
        """Of the first file's samples; and why there are none."""
        from goldore.report.images import find_images

        return find_images(self.file, wanted.dataset, wanted.data_root or Path("data"))

    def material(self, wanted: _Wanted) -> "Material":
        """For a page and figures, of the first score file."""
        from goldore.report import summarize
        from goldore.report.issues import find_issues
        from goldore.report.kept import usual_selections
        from goldore.report.material import Material

        images, why_not = self.images(wanted)
        return Material(
            file=self.file,
            summary=summarize(self.file, curves=True),
            kept=(self.kept,) if self.kept is not None else tuple(usual_selections(self.file)),
            samples=tuple(self.samples),
            issues=find_issues(self.file) if self.comparison is None else None,
            comparison=self.comparison,
            images=images,
            no_images=spelled(why_not),
        )


def _load(paths: "Sequence[Path]") -> "list[ScoreFile]":
    from goldore.exchange.importing import list_scores
    from goldore.store import load_scores

    loaded = {place: load_scores(path) for place, path in enumerate(paths) if not _is_list(path)}
    for place in loaded:
        warn_of_journal(paths[place])
    if not loaded:
        raise UsageError("lists have no classes of their own; give a score file of their dataset with them.")
    like = next(iter(loaded.values()))
    return [loaded[place] if place in loaded else list_scores(path, like) for place, path in enumerate(paths)]


def _is_list(path: Path) -> bool:
    return path.name.endswith(_LISTS)


def _write(
    found: _Found, wanted: _Wanted, csv: Path | None, report: Path | None, figures: Path | None
) -> None:
    """Write what was asked for; a folder that was made for figures is gone again if they are not."""
    made = figures is not None and not figures.exists()
    try:
        _write_all(found, wanted, csv, report, figures)
    except BaseException:
        if made and figures is not None:
            with suppress(OSError):
                figures.rmdir()
        raise


def _write_all(
    found: _Found, wanted: _Wanted, csv: Path | None, report: Path | None, figures: Path | None
) -> None:
    """Write what was asked for, after seeing that all of it can be written."""
    from goldore.store.outputs import check_output

    to_stdout = csv == Path(_STDOUT)
    say = err() if to_stdout else out()
    if to_stdout and sys.stdout is None:
        raise UsageError("there is no stdout to write the table to; give --csv the name of a file.")
    files = {"csv": None if to_stdout else csv, "report": report}
    given = {name: path for name, path in (files | {"figures": figures}).items() if path is not None}
    for (one, first), (other, second) in itertools.combinations(given.items(), 2):
        if first.resolve() == second.resolve():
            raise UsageError(f"`{one}` and `{other}` name the same path, {second}; give each its own.")
    for name, path in files.items():
        if path is not None:
            check_output(path, name, overwrite=wanted.overwrite, inputs=[*found.paths, wanted.dataset])
    if report is not None or figures is not None:
        _draw(found, wanted, files, figures, say)
    if csv is not None:
        _write_table(found, csv, say, overwrite=wanted.overwrite)


def _write_table(found: _Found, target: Path, say: "Console", *, overwrite: bool) -> None:
    from goldore.exchange.exporting import table, write_table

    kept = found.kept[0].indices if found.kept is not None else None
    if str(target) == _STDOUT:
        for piece in table(found.file, kept=kept):
            sys.stdout.write(piece)
        return
    path = write_table(found.file, target, kept=kept, overwrite=overwrite)
    line(say, f"table written to {path}")


def _draw(
    found: _Found, wanted: _Wanted, files: "Mapping[str, Path | None]", figures: Path | None, say: "Console"
) -> None:
    from goldore.report.extra import check_report_extra

    check_report_extra()
    from goldore.report.figures import check_figures, write_figures
    from goldore.report.page import save_page

    if figures is not None:
        check_figures(figures, [], overwrite=wanted.overwrite)
    report = files["report"]
    material, drawings, page = _drawn(found, wanted, page=report is not None)
    if figures is not None:
        others = [path for path in files.values() if path is not None]
        check_figures(figures, drawings, overwrite=wanted.overwrite, taken=others)
    if material.no_images:
        warn(f"there are no images: {material.no_images}")
    if figures is not None:
        write_figures(figures, drawings, overwrite=wanted.overwrite)
    if report is not None:
        save_page(report, page)
        line(say, f"page written to {report}")
    if figures is not None:
        line(
            say,
            f"{len(drawings)} figures written to {figures}, each as PNG, SVG and PDF, with captions.txt",
        )


def _drawn(found: _Found, wanted: _Wanted, *, page: bool) -> "tuple[Material, list[Drawing], str]":
    """What is shown, its figures, and the page; without images if those found by themselves are others."""
    from goldore.report.figures import draw
    from goldore.report.page import render

    material = found.material(wanted)
    try:
        drawings = draw(material)
        return material, drawings, render(material, drawings) if page else ""
    except DatasetError as error:
        if wanted.dataset is not None:
            raise
        material = replace(material, images=None, no_images=spelled(str(error)))
    drawings = draw(material)
    return material, drawings, render(material, drawings) if page else ""


def _show(found: _Found, wanted: _Wanted, *, verbose: bool) -> None:
    from goldore.report import summarize
    from goldore.report.facts import kept_warning

    from .views import show_comparison, show_issues, show_kept, show_summary

    console = out()
    if found.comparison is not None:
        show_comparison(console, found.comparison, verbose=verbose)
        return
    if found.samples:
        _show_samples(console, found, wanted, verbose=verbose)
    if found.kept is not None:
        if found.samples:
            console.print()
        show_kept(console, found.file, found.kept[1], verbose=verbose)
        warning = kept_warning(found.kept[1])
        if warning:
            warn(warning)
    if found.issues is not None:
        if found.samples or found.kept is not None:
            console.print()
        show_issues(console, found.file, found.issues, verbose=verbose)
    if not found.samples and found.kept is None and found.issues is None:
        show_summary(console, found.file, summarize(found.file), verbose=verbose)


def _show_samples(console: "Console", found: _Found, wanted: _Wanted, *, verbose: bool) -> None:
    import numpy as np

    from .picture import show_picture
    from .views import show_sample

    images, why_not = found.images(wanted)
    for each in found.samples:
        show_sample(console, each, verbose=verbose)
        if images is None:
            continue
        try:
            image = images(np.array([each.position]))[0]
        except DatasetError as error:
            if wanted.dataset is not None:
                raise
            why_not = str(error)
        else:
            show_picture(console, image)
    if why_not:
        warn(why_not)
