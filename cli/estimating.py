"""goldore estimate and merge: what is done with stored trials."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldore.wording import count, plural

from .screen import line, out, reports_errors, show_table, warn_of_journal

if TYPE_CHECKING:
    from goldore.store import ScoreFile


@reports_errors
def estimate_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A score file with utility trials.")],
    *,
    outcome: Annotated[
        str | None, typer.Option(help="accuracy, logprob or margin (default: as in the file).")
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            help="in-minus-out, in-mean (the paper's form), ridge, or shrunk (towards what KernelUtility and "
            "losses in the file predict; default: as in the file)."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="Write a new file and leave this one unchanged.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")] = False,
) -> None:
    """Recompute MonteCarlo from the stored trials, without training."""
    from goldore.errors import ScoreFileError, UsageError
    from goldore.report.facts import prior_text
    from goldore.store import load_scores, reestimate

    from .courses import trust_sentence
    from .views import scores_table

    if to is not None and to.exists() and not overwrite:
        raise UsageError(f"{to} exists already; choose another --out or use --overwrite.")
    known = load_scores(file, only=()).utility_trials
    warn_of_journal(file)
    if known is None:
        raise ScoreFileError(
            f"{file} has no utility trials to estimate from; make some with: "
            "goldore score DATASET --scores MonteCarlo"
        )
    reestimate(file, outcome or known.outcome, estimator or known.estimator, to)
    result = load_scores(to or file)
    console = out()
    show_table(console, scores_table(result))
    score = result.scores["MonteCarlo"]
    line(console, f"MonteCarlo by {score.outcome}, {score.estimator}, in {score.unit}")
    if score.estimator == "shrunk":
        line(console, prior_text(score.explained))
    line(console, trust_sentence(score))
    line(console, f"written to {result.path}")


@reports_errors
def merge_command(
    parts: Annotated[
        list[Path], typer.Argument(metavar="PART.h5...", help="Score files of one run, or studies.")
    ],
    *,
    to: Annotated[Path, typer.Option("--out", help="The file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")] = False,
) -> None:
    """Join the score files of a run that was split into parts (--trial-range), or studies of one recipe."""
    from goldore.store import is_study

    if any(is_study(part) for part in parts):
        _merge_studies(parts, to, overwrite=overwrite)
        return
    from goldore.store import load_scores, merge

    from .courses import trust_sentence
    from .views import scores_table

    held = sum(_trials(load_scores(part, only=())) for part in parts)
    result = merge(parts, to, overwrite=overwrite)
    console = out()
    show_table(console, scores_table(result))
    if "MonteCarlo" in result.scores:
        line(console, trust_sentence(result.scores["MonteCarlo"]))
    whole = _trials(result)
    twice = f" ({count(held - whole)} of them in more than one file)" if held > whole else ""
    line(
        console,
        f"{plural(len(parts), 'file')} merged, {plural(whole, 'trial')}{twice}, written to {result.path}",
    )


def _merge_studies(parts: list[Path], to: Path, *, overwrite: bool) -> None:
    from goldore.studies.study_file import load_study, merge_studies

    held = sum(len(load_study(part)) for part in parts)
    study = merge_studies(parts, to, overwrite=overwrite)
    twice = f" ({count(held - len(study))} of them in more than one file)" if held > len(study) else ""
    line(
        out(),
        f"{plural(len(parts), 'file')} merged, {plural(len(study), 'run')}{twice}, written to {study.path}",
    )


def _trials(file: "ScoreFile") -> int:
    """Finished trials of all kinds that give scores."""
    kinds = (file.loss_trials, file.fold_trials, file.utility_trials, file.kernel_trials)
    return sum(len(each.done) for each in kinds if each is not None)
