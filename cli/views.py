"""What goldore inspect shows on a terminal: the records of `goldore.report`, rendered by rich."""

import math
from typing import TYPE_CHECKING

from rich.table import Table

from goldore.report import facts, summarize
from goldore.report.families import families, shown_pairs, shown_scores
from goldore.wording import count, number, percent, reliability

from .screen import class_cell, fields, line, show_table, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from goldore.report.issues import Issues
    from goldore.report.records import (
        ClassRecord,
        Comparison,
        FileCorrelation,
        Histogram,
        Kept,
        SampleRecord,
        ScoreRecord,
        Summary,
    )
    from goldore.store import ScoreFile

MAX_ROWS = 20
FEW_TRIALS = 12
_COLUMNS = 2  # of the longest titles that fit into 80 letters
_FITTING = 10  # classes of a confusion table that fits into 80 letters
_BAR = 40
_BESIDE_BAR = 22  # letters of an edge and a count


def scores_table(file: "ScoreFile", summary: "Summary | None" = None) -> Table:
    """One row a score: range, standard error, reliability, missing."""
    table = _table("score", "trials", "min", "median", "max", "s.e.", "reliability", "of ranks")
    for name, score in (summary or summarize(file)).scores.items():
        table.add_row(
            name,
            count(score.trials),
            number(score.min),
            number(score.median),
            number(score.max),
            number(score.stderr),
            reliability(score.reliability),
            reliability(score.rank_reliability),
        )
    return table


def show_summary(console: "Console", file: "ScoreFile", summary: "Summary", *, verbose: bool) -> None:
    """Print all that a summary says."""
    line(console, facts.dataset_title(summary), "bold")
    fields(console, facts.dataset_facts(summary))
    trials = summary.trials
    if trials.loss is not None:
        line(console, facts.loss_title(trials.loss), "bold")
        fields(console, facts.loss_facts(trials.loss) | facts.saturation(summary))
    if trials.fold is not None:
        line(console, facts.loss_title(trials.fold), "bold")
        fields(console, facts.loss_facts(trials.fold))
    if trials.utility is not None:
        line(console, facts.utility_title(trials.utility), "bold")
        fields(console, facts.utility_facts(trials.utility))
    if trials.kernel is not None:
        line(console, facts.kernel_title(trials.kernel), "bold")
        fields(console, facts.kernel_facts(trials.kernel))
    if trials.check is not None:
        line(console, facts.check_title(trials.check), "bold")
        fields(console, facts.utility_facts(trials.check))
    console.print()
    show_table(console, scores_table(file, summary))
    shown = list(summary.scores) if verbose else shown_scores(summary)
    for name in shown:
        _show_score(console, name, summary.scores[name], verbose=verbose)
    if len(shown) < len(summary.scores):
        console.print()
        line(console, "only the first score of each family is shown; --verbose shows all")
    if summary.correlations:
        _show_correlations(console, summary, everything=verbose)
    for warning in facts.warnings_of(summary):
        warn(warning)


def _show_score(console: "Console", name: str, score: "ScoreRecord", *, verbose: bool) -> None:
    console.print()
    line(console, facts.score_title(name, score), "bold")
    fields(console, facts.score_facts(score))
    _show_histogram(console, score.histogram)
    middle, share = (["median"], []) if score.signal_share is None else ([], ["signal"])  # no room for both
    table = _table("class", "samples", "mean", "std", *middle, "s.e.", "reliab.", "ranks", *share, "top 10%")
    rows = score.classes
    few = len(rows) > MAX_ROWS and not verbose
    for row in sorted(rows, key=_doubt)[:MAX_ROWS] if few else rows:
        table.add_row(
            class_cell(console, row.label, row.name),
            count(row.samples),
            number(row.mean),
            number(row.std),
            *(number(row.median) for _ in middle),
            number(row.stderr),
            reliability(row.reliability),
            reliability(row.rank_reliability),
            *(number(row.signal_share, 2) for _ in share),
            percent(row.highest_tenth, 1),
        )
    show_table(console, table)
    if few:
        line(
            console,
            f"these {MAX_ROWS} of {count(len(rows))} classes are ranked least reliably; --verbose lists all",
        )
    line(
        console,
        f"top 10%: share of the class's samples that are among the {score.ends[1]} 10% of all",
    )


def _doubt(row: "ClassRecord") -> float:
    """How little the ranking of a class can be trusted: the least first, then what is not known."""
    trust = row.reliability if row.rank_reliability is None else row.rank_reliability
    return math.inf if trust is None else trust


def _show_histogram(console: "Console", histogram: "Histogram") -> None:
    counts, edges = histogram.counts, histogram.edges
    longest = max(1, min(_BAR, console.width - _BESIDE_BAR))
    block = "█" if console.encoding.lower().startswith("utf") else "#"
    for position, amount in enumerate(counts):
        bar = block * round(longest * amount / max(counts))
        line(console, f"  {number(edges[position]):>8} {bar:<{longest}} {count(amount):>9}")
    if edges:
        scale = "logarithmic bins" if histogram.scale == "log" else "equal bins"
        line(console, f"  {number(edges[-1]):>8} ({scale}, lower edge at the left)")


def _show_correlations(console: "Console", summary: "Summary", *, everything: bool) -> None:
    shown = summary.correlations if everything else shown_pairs(summary)
    console.print()
    line(console, "rank correlation of the scores (Spearman)", "bold")
    table = _table("scores", "within classes", "over all", "samples")
    for each in shown:
        table.add_row(
            f"{each.first}, {each.second}",
            number(each.within_class),
            number(each.overall),
            count(each.samples),
        )
    show_table(console, table)
    for text in facts.families_texts(families(summary)):
        line(console, text)
    if len(shown) < len(summary.correlations):
        line(
            console,
            f"only pairs from different families are shown; --verbose shows all {len(summary.correlations)}",
        )


def show_kept(console: "Console", file: "ScoreFile", kept: "Kept", *, verbose: bool) -> None:
    """Print what a criterion would keep."""
    line(console, f"{file.dataset.name}, {file.path}")
    line(console, facts.kept_title(kept), "bold")
    fields(console, facts.kept_facts(kept))
    table = _table("class", "kept", "total", "threshold", "halves agree")
    rows = kept.classes
    for row in rows if verbose else rows[:MAX_ROWS]:
        table.add_row(
            class_cell(console, row.label, row.name),
            count(row.kept),
            count(row.total),
            number(row.threshold),
            percent(row.halves_overlap),
        )
    show_table(console, table)
    _say_more(console, len(rows), verbose=verbose)
    if kept.score is not None:
        line(console, facts.KEPT_COLUMNS)


def show_issues(console: "Console", file: "ScoreFile", issues: "Issues", *, verbose: bool) -> None:
    """Print likely wrong labels, what is confused, and equal images; all of them if it is to be verbose."""
    line(console, f"{file.dataset.name}, {file.path}", "bold")
    fields(console, facts.issues_facts(issues))
    most = None if verbose else MAX_ROWS
    if issues.label_issues:
        console.print()
        line(console, "labels that are likely to be wrong, the most doubtful first", "bold")
        table = _table("position", "label", "predicted", "trials", "p(label)", "p(predicted)")
        files: list[str] = []
        for each in issues.label_issues[:most]:
            table.add_row(
                str(each.position),
                class_cell(console, each.label, each.class_name),
                class_cell(console, each.predicted, each.predicted_name),
                percent(each.share),
                number(each.label_probability),
                number(each.probability),
            )
            if each.path is not None:
                files.append(f"{each.position}: {each.path}")
        show_table(console, table)
        for each_file in files:
            line(console, each_file)
        _say_more_of(console, issues.label_issues, "labels", verbose=verbose)
    if issues.confused:
        console.print()
        _show_confusion(console, file, issues, most)
    if issues.equal:
        console.print()
        line(console, "equal images", "bold")
        for group in issues.equal[:most]:
            clash = "different labels: " if group.contradict else ""
            line(console, f"{clash}{facts.equal_text(group)}")
        _say_more_of(console, issues.equal, "groups", verbose=verbose)


def _show_confusion(console: "Console", file: "ScoreFile", issues: "Issues", most: int | None) -> None:
    """The whole table where it fits, else the pairs that are confused most."""
    if issues.confusion is not None and len(issues.confusion) <= _FITTING:
        line(console, "samples by label (row) and by the class that most trials predict (column)", "bold")
        table = _table("label", *map(str, range(len(issues.confusion))))
        for label, row in enumerate(issues.confusion):
            table.add_row(class_cell(console, label, file.dataset.class_names[label]), *map(count, row))
        show_table(console, table)
        return
    line(console, "classes that are taken for others", "bold")
    table = _table("label", "predicted", "samples", "of the class")
    for each in issues.confused[:most]:
        table.add_row(
            class_cell(console, each.label, each.name),
            class_cell(console, each.predicted, each.predicted_name),
            count(each.samples),
            percent(each.share, 1),
        )
    show_table(console, table)
    _say_more_of(console, issues.confused, "pairs", verbose=most is None)


def show_comparison(console: "Console", comparison: "Comparison", *, verbose: bool) -> None:
    """Print how far several files agree; with each class if it is to be verbose."""
    for file in comparison.files:
        line(console, f"{file.id}  {file.file}: {', '.join(file.scores)}")
    known = all(file.fingerprint for file in comparison.files)
    same = "the same fingerprint" if known else "the same labels, or as many scores where it is a list"
    name = comparison.files[0].dataset
    line(console, f"one dataset, {name}: {same}")
    console.print()
    line(console, "rank correlation (Spearman)", "bold")
    table = _table("files", "score", "within classes", "noise limit", "over all", "samples")
    for each in comparison.correlations:
        table.add_row(
            " ".join(each.files),
            facts.both(each.scores),
            number(each.within_class),
            number(each.noise_limit),
            number(each.overall),
            count(each.samples),
        )
    show_table(console, table)
    line(
        console,
        "noise limit: what two scores of these reliabilities reach on average if they measure the same thing",
    )
    if verbose:
        console.print()
        line(console, "rank correlation within each class", "bold")
        rows = comparison.correlations
        together = _COLUMNS if console.is_terminal else len(rows)
        for start in range(0, len(rows), together):
            _show_class_correlations(console, comparison.class_names, rows[start : start + together])
    console.print()
    where = "of each class" if comparison.scope == "class" else "of all samples at once"
    line(console, f"kept by both, if a share {where} is kept", "bold")
    table = _table("files", "criterion", *(percent(float(ratio)) for ratio in comparison.ratios))
    for row in comparison.overlaps:
        shares = [percent(share) for share in row.kept_by_both.values()]
        table.add_row(" ".join(row.files), facts.both(row.criteria), *shares)
    if comparison.overlaps:
        chances = [percent(share) for share in comparison.overlaps[0].chance.values()]
        table.add_row("", "chance", *chances)
    show_table(console, table)


def _show_class_correlations(
    console: "Console", names: "Sequence[str]", rows: "Sequence[FileCorrelation]"
) -> None:
    """A row a class, a column for each pair of scores."""
    titles = (f"{' '.join(each.files)} {facts.both(each.scores)}" for each in rows)
    table = _table("class", *titles)
    for label, name in enumerate(names):
        table.add_row(class_cell(console, label, name), *(number(each.classes[label]) for each in rows))
    show_table(console, table)


def show_sample(console: "Console", sample: "SampleRecord", *, verbose: bool) -> None:
    """Print what is known of a sample; each of many trials if it is to be verbose."""
    line(console, facts.sample_title(sample), "bold")
    table = _table("score", "value", "s.e.", "rank in class", "trials")
    for name, found in sample.scores.items():
        table.add_row(
            name,
            number(found.value),
            number(found.stderr),
            facts.rank_text(found),
            count(found.trials),
        )
    show_table(console, table)
    for name, found in sample.scores.items():
        values = facts.per_trial_text(found, len(found.per_trial) if verbose else FEW_TRIALS)
        line(console, f"{name} {facts.per_trial_title(found)}: {values}")


def _table(first: str, *others: str) -> Table:
    """A table without lines; text at the left in the columns that have no numbers."""
    table = Table(box=None, pad_edge=False)
    texts = {"files", "score", "scores", "criterion", "label", "predicted"}
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="left" if title in texts else "right", no_wrap=True)
    return table


def _say_more_of(console: "Console", rows: "Sequence[object]", what: str, *, verbose: bool) -> None:
    if len(rows) > MAX_ROWS and not verbose:
        line(console, f"and {count(len(rows) - MAX_ROWS)} more {what}; --verbose lists them")


def _say_more(console: "Console", rows: int, *, verbose: bool) -> None:
    if rows > MAX_ROWS and not verbose:
        line(console, f"and {rows - MAX_ROWS} more classes; --verbose lists them")
