"""goldore prune."""

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from goldore.errors import GoldoreError, UsageError
from goldore.files.atomic import file_name
from goldore.selection.strategies import STRATEGIES, strategy_of
from goldore.wording import count, number, plural, reliability

from .mapping import Translated
from .screen import class_cell, line, reports_errors, show_table, warn, warn_of_journal
from .screen import out as output
from .targets import Target, Tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from goldore.selection.criteria import Missing
    from goldore.selection.pruning import Scope, Selection
    from goldore.store import Score, ScoreFile
    from goldore.studies.lookup import Finding

_MAX_ROWS = 20
_PANELS = ("How much to keep (exactly one)", "What for", "Folder trees")
_how_much, _what_for, _folders = (partial(typer.Option, rich_help_panel=each) for each in _PANELS)
_RULES = "; ".join(f"{name}: {row.does}" for name, row in STRATEGIES.items())


@reports_errors
def prune_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A score file.")],
    *,
    criterion: Annotated[
        str,
        typer.Option(
            help="LossConverge_large, LossConverge_small, LossInit_large, LossInit_small, MonteCarlo_small, "
            "MonteCarlo_large or Random. It names the end that is DROPPED: LossConverge_large drops the "
            "hardest samples, MonteCarlo_small the least useful ones."
        ),
    ],
    drop_ratio: Annotated[str | None, _how_much(metavar="R", help="Drop this share.")] = None,
    keep_ratio: Annotated[str | None, _how_much(metavar="R", help="Keep this share.")] = None,
    keep_per_class: Annotated[
        int | None, _how_much(metavar="N", help="Keep N samples of each class.")
    ] = None,
    keep_range: Annotated[
        str | None,
        _how_much(
            metavar="A:B",
            help="Keep the part from share A to share B of the order in which samples are dropped; "
            "0.9:1 is --drop-ratio 0.9.",
        ),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            "--rule",
            metavar="NAME",
            help=f"How to choose the kept samples from the order in which samples are dropped. {_RULES}. Or "
            "your own, package.module:NAME. Settings follow the name: draw,after=0.2.",
        ),
    ] = "end",
    scope: Annotated[
        str, typer.Option(help="class: apply the rule within each class; global: to all samples at once.")
    ] = "class",
    seed: Annotated[int, typer.Option(help="Seed for the criterion Random and for rules that draw.")] = 0,
    missing: Annotated[
        str, typer.Option(help="Samples without a score: error, drop (first) or keep (drop them last).")
    ] = "error",
    min_reliability: Annotated[
        float | None,
        typer.Option(metavar="R", help="Refuse a ranking whose reliability is lower or unknown."),
    ] = None,
    repository: Annotated[
        str | None,
        _what_for(
            "--for",
            metavar="REPO",
            help="Check that this repository works with the selection, and print how to run it "
            "(goldore plug --list names them).",
        ),
    ] = None,
    ipc: Annotated[
        int | None,
        _what_for(
            metavar="N",
            help="Images per class that it will distil (default: 1). Without --for, the same as "
            "--keep-per-class.",
        ),
    ] = None,
    batch_real: Annotated[
        int | None,
        _what_for(
            metavar="N",
            help="Its batch of real images of each class, or RDED's --mipc (default: the repository's).",
        ),
    ] = None,
    factor: Annotated[
        int | None, _what_for(metavar="N", help="Multi-formation factor of IDC, DREAM and NCFM (default: 2).")
    ] = None,
    order: Annotated[
        str | None,
        _what_for(
            metavar="DATASET",
            help="Write positions in the order of this dataset instead; tfds means the same dataset in "
            "TensorFlow Datasets.",
        ),
    ] = None,
    data_root: Annotated[
        Path | None, _what_for(help="Folder of --order, if it is a name (default: data).")
    ] = None,
    as_folder: Annotated[
        Path | None, _folders(metavar="DIR", help="Also write a folder tree of links to the kept images.")
    ] = None,
    copy: Annotated[bool, _folders("--copy", help="Copy the images instead.")] = False,
    class_folders: Annotated[
        str | None,
        _folders(
            metavar="NAMING",
            help="original, or zero-padded for 00000, 00001, ... (default: as --for requires).",
        ),
    ] = None,
    images: Annotated[
        Path | None, _folders(metavar="DIR", help="Where the images are (default: where they were scored).")
    ] = None,
    as_list: Annotated[
        Path | None, _folders(metavar="FILE", help="Also write the kept images' paths, one per line.")
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="STUDY.h5",
            help="Say what this study found of the selection (default: FILE-study.h5, if it is there).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The index file: .npy, .json, .txt, .csv, .npz, .pt or .h5 "
            "(default: <dataset>-<criterion>-<rule>.npy)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that holds another selection.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help=f"List all classes, even if more than {_MAX_ROWS}.")
    ] = False,
) -> None:
    """Choose which samples to keep and write their positions to an index file.

    Counts are exact: --drop-ratio R drops floor(R*n) of a class's n samples, --keep-ratio K keeps ceil(K*n).

    Among equal scores, the lower position is dropped first.
    """
    if quiet + verbose + as_json > 1:
        raise UsageError("--quiet, --verbose and --json exclude each other; give one.")
    how_much = {
        "drop_ratio": drop_ratio,
        "keep_ratio": keep_ratio,
        "keep_per_class": keep_per_class,
        "keep_range": _range(keep_range),
    }
    ipc = _ipc_for(repository, ipc, how_much)
    rule = strategy_of(strategy)
    target = Target.of(repository, ipc=ipc, batch_real=batch_real, factor=factor)
    tree = Tree.of(
        as_folder, as_list, target, copy=copy, naming=class_folders, images=images, overwrite=overwrite
    )

    from goldore.selection.criteria import parse_criterion
    from goldore.selection.index_file import check_suffix, save_index, side_car
    from goldore.selection.pruning import prune
    from goldore.store import load_header, load_scores

    if out is not None:
        check_suffix(out)

    header = load_scores(file, only=())
    warn_of_journal(file)
    parsed = parse_criterion(criterion, header.score_names)
    scores = load_scores(file, only=(parsed.score,)) if parsed.drops else header

    def select(**how_much: Any) -> "Selection":
        return prune(
            scores,
            criterion,
            strategy=rule,
            scope=cast("Scope", scope),
            seed=seed,
            missing=cast("Missing", missing),
            min_reliability=min_reliability,
            **how_much,
        )

    selection = select(**how_much)
    translated = Translated.of(selection, file, order, data_root)
    if target is not None:
        target.check(selection, scores, select, translated)
    path = out or _default_name(selection, order)
    if tree is not None:
        tree.check(selection.indices, load_header(file), (file, path, side_car(path)))
    found = _studied(study, file, selection)
    save_index(path, translated.indices, translated.provenance, overwrite=overwrite)
    if tree is not None:
        tree.write(selection.indices, load_header(file))
    _warn(selection, scores, parsed.score, ipc)
    _tell(found, quiet=quiet or as_json)
    if quiet or as_json:
        _print_json(path, translated, wanted=as_json)
        return
    _show(selection, scores, parsed.score, parsed.drops, everything=verbose)
    translated.show()
    beside = f", provenance to {side_car(path)}" if side_car(path).is_file() else ""
    line(output(), f"written to {path}{beside}")
    _show_use(scores.dataset.name, path, target, tree)


def _show_use(dataset: str, path: Path, target: Target | None, tree: Tree | None) -> None:
    """Say what is there to be used, and how."""
    if tree is not None:
        tree.show()
    if target is not None:
        target.show(dataset, path, tree)
    elif tree is None or tree.folder is None:
        line(output(), f"next: goldore run {shlex.quote(str(path))} -- python YOUR_TRAINING.py")


def _print_json(path: Path, translated: Translated, *, wanted: bool) -> None:
    if wanted:
        document = {"file": str(path), **translated.provenance, "kept": len(translated.indices)}
        typer.echo(json.dumps(document, indent=1, allow_nan=False))


def _studied(given: Path | None, file: Path, selection: "Selection") -> "list[Finding]":
    """What a study says of the selection; of the study beside the file, if it is about the same dataset."""
    from goldore.store import default_study, is_study

    path = given or default_study(file)
    if given is None and not is_study(path):
        return []
    from goldore.studies.lookup import findings
    from goldore.studies.study_file import load_study

    try:
        found = findings(load_study(path), selection)
    except GoldoreError:
        if given is not None:
            raise
        return []
    if given is not None and not found:
        warn(f"{path} has no cell of this criterion, rule and ratio.")
    return found


def _tell(found: "list[Finding]", *, quiet: bool) -> None:
    """Say what a study found: what hurts as a warning."""
    for each in found:
        if each.verdict.outcome == "worse":
            warn(f"by the study, {each.sentence}.")
        elif not quiet:
            line(output(), f"by the study, {each.sentence}")


def _ipc_for(repository: str | None, ipc: int | None, how_much: dict[str, Any]) -> int | None:
    """The --ipc that is about a repository; without one it is --keep-per-class, and goes into `how_much`."""
    if repository is not None or ipc is None:
        return ipc
    if any(value is not None for value in how_much.values()):
        raise UsageError("--ipc beside another rule says what the set is for; use --for REPO with it.")
    how_much["keep_per_class"] = ipc
    return None


def _range(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not colon:
        raise UsageError(f"--keep-range is {text!r}; it has the form A:B, for example 0.2:0.5.")
    return first, last


def _default_name(selection: "Selection", order: str | None) -> Path:
    about = selection.provenance
    amount = about["rule"].replace("_ratio ", "").replace("_range ", "").replace(" ", "").replace(":", "to")
    rule = f"-{file_name(about['strategy'])}" if "strategy" in about else ""
    dataset = file_name(about["dataset"])
    scope = "-global" if about["scope"] == "global" else ""
    random = f"-seed{about['seed']}" if about["seed"] is not None else ""
    other = f"-{file_name(order)}" if order is not None else ""
    return Path(f"{dataset}-{about['criterion']}-{amount}{rule}{scope}{random}{other}.npy")


def _warn(selection: "Selection", scores: "ScoreFile", name: str, ipc: int | None) -> None:
    empty = int((selection.kept_per_class == 0).sum())
    if empty:
        classes = len(selection.kept_per_class)
        warn(f"{empty} of {classes} classes keep no sample; most repositories fail on that.")
    if selection.missing:
        treatment = selection.provenance["missing"]["treatment"]
        done = "were dropped first" if treatment == "drop" else "were dropped last"
        warn(f"{selection.missing} samples have no score and {done}.")
    if name not in scores.scores:
        return
    from goldore.report.doubts import noise_warning, subset_warning

    score = scores.scores[name]
    other = subset_warning(name, scores.subset_of(name), ipc) if ipc is not None else None
    for warning in filter(None, (noise_warning(name, score.trust, utility=score.of_utility), other)):
        warn(warning)


def _show(
    selection: "Selection",
    scores: "ScoreFile",
    name: str,
    drops: str | None,
    *,
    everything: bool,
) -> None:
    import numpy as np
    from rich.table import Table

    from goldore.selection.pruning import chance_overlap

    console = output()
    total = int(selection.total_per_class.sum())
    kept = len(selection.indices)
    line(
        console,
        f"{selection.provenance['dataset']}: kept {count(kept)} of {count(total)} samples "
        f"({kept / total:.2%}), dropped {count(total - kept)}",
    )
    if "strategy" in selection.provenance:
        seed = selection.provenance["seed"]
        drawn = f", drawn with seed {seed}" if seed is not None else ""
        found = selection.provenance.get("strategy_found")
        settled = f", which took {found}" if found is not None else ""
        line(console, f"by the rule {selection.provenance['strategy']}{settled}{drawn}")
    if drops is None:
        line(console, f"Random: drawn with seed {selection.provenance['seed']}")
    else:
        score = scores.scores[name]
        mask = np.zeros(total, dtype=bool)
        mask[selection.indices] = True
        line(console, f"{name}_{drops} drops {drops} {name} ({score.direction})")
        held, gone = (_span(score.values[each], score.unit) for each in (mask, ~mask))
        line(console, f"kept {name} {held}, dropped {gone}")
        line(console, f"reliability of this ranking: {_reliability(score)}")
        if selection.halves_overlap >= 0:
            scope = selection.provenance["scope"]
            chance = chance_overlap(selection.kept_per_class, selection.total_per_class, scope)
            line(
                console,
                f"two halves of the trials agree on {selection.halves_overlap:.0%} of the kept samples "
                f"({chance:.0%} by chance)",
            )
    rows = range(len(selection.class_names))
    table = Table(box=None, pad_edge=False)
    for title in ("class", "kept", "total"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for label in rows if everything else rows[:_MAX_ROWS]:
        table.add_row(
            class_cell(console, label, selection.class_names[label]),
            count(int(selection.kept_per_class[label])),
            count(int(selection.total_per_class[label])),
        )
    show_table(console, table)
    if len(rows) > _MAX_ROWS and not everything:
        least = int(selection.kept_per_class.min())
        most = int(selection.kept_per_class.max())
        line(
            console,
            f"and {len(rows) - _MAX_ROWS} more classes (--verbose lists them); kept {least} to {most} each",
        )


def _reliability(score: "Score") -> str:
    """How reliable a ranking is, and from what."""
    trials = plural(score.trials, "trial")
    if score.trust == score.trust:  # not NaN
        return f"{reliability(score.trust)} ({trials})"
    if score.trials == 0:
        return "unknown, since no trials are stored"
    more = "add trials with --utility-trials" if score.estimator else "score with --trials 2 or more"
    return f"unknown from {trials}; {more}"


def _span(values: "NDArray[np.float64]", unit: str) -> str:
    finite = values[values == values]  # noqa: PLR0124  # NaN is not equal to itself
    return f"{number(float(finite.min()))} to {number(float(finite.max()))} {unit}" if len(finite) else "none"
