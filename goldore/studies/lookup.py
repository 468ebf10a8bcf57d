"""What a study says of a selection."""

import math
from dataclasses import dataclass
from decimal import Decimal

from goldore.errors import ScoreFileError
from goldore.selection.pruning import Selection
from goldore.studies.answers import signed, title_of
from goldore.studies.cells import ALL, Cell
from goldore.studies.judging import Verdict
from goldore.studies.kept import digest_of
from goldore.studies.model import Study
from goldore.wording import plural


@dataclass(frozen=True)
class Finding:
    """What one table of a study says of a selection.

    Attributes:
        verdict: of its cell.
        same: whether the cell kept these very samples for one of its seeds.
        drawn: whether it keeps other samples for each seed, as Random does.
    """

    verdict: Verdict
    same: bool
    drawn: bool

    @property
    def sentence(self) -> str:
        """In words."""
        verdict = self.verdict
        other = "" if self.same or self.drawn else "; the scores were others then, so other samples were kept"
        known = math.isfinite(verdict.difference_stderr)
        error = f" +- {verdict.difference_stderr:.1f}" if known else ""
        return (
            f"{title_of(*verdict.cell.table)}: {signed(verdict.difference)}{error} points "
            f"to all data over {plural(verdict.seeds, 'seed')}, {verdict.outcome}{other}"
        )


def findings(study: Study, selection: Selection) -> list[Finding]:
    """Find the cells of a study that are about a selection, in each of its tables.

    Args:
        study: of any dataset.
        selection: what is going to be kept.

    Returns:
        One for each table that has such a cell with runs; the same samples count before the same words.

    Raises:
        ScoreFileError: if the study is about another dataset.
    """
    about = selection.provenance
    if study.settings.fingerprint != about["fingerprint"]:
        raise ScoreFileError(
            f"{study.path} is about another dataset; give the study of {about['score_file']}."
        )
    digest = digest_of(selection.indices)
    digests: dict[Cell, set[str]] = {}
    for run in study.runs:
        digests.setdefault(run.cell, set()).add(run.digest)
    found: dict[tuple[str, int], Finding] = {}
    for verdict in study.verdicts:
        cell = verdict.cell
        same = digest in digests[cell]
        if (
            cell.criterion == ALL
            or not (same or _is_asked(cell, selection))
            or not math.isfinite(verdict.difference)
        ):
            continue
        if same or cell.table not in found:
            found[cell.table] = Finding(verdict, same, drawn=cell.draws)
    return list(found.values())


def _is_asked(cell: Cell, selection: Selection) -> bool:
    """Whether a cell has the criterion, the rule and the ratio of a selection."""
    about = selection.provenance
    rule = f":{about['strategy']}" if "strategy" in about else ""
    kind, _, text = about["rule"].partition(" ")
    if about["scope"] != "class" or kind not in ("keep_ratio", "drop_ratio") or not cell.keep_ratio:
        return False
    ratio = Decimal(text) if kind == "keep_ratio" else 1 - Decimal(text)
    return cell.criterion == about["criterion"] + rule and Decimal(cell.keep_ratio) == ratio
