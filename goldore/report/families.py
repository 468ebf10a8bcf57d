"""Which scores of a file rank alike: a dozen scores are a few families."""

from collections.abc import Sequence

from goldore.report.records import Correlation, Summary

ALIKE = 0.9  # rank correlation within classes, in size, from which two scores say the same
_FEW = 6  # scores of which every pair is shown


def families(summary: Summary) -> list[list[str]]:
    """Group the scores so that every two of a group have a correlation of `ALIKE` or more, in size.

    Groups are joined as long as that holds, those that are most alike first (complete linkage).

    Args:
        summary: of a score file.

    Returns:
        Names, in the order of the file; with a minus before those that rank the other way round than the
        first.
    """
    known = {frozenset((each.first, each.second)): each.within_class or 0.0 for each in summary.correlations}
    groups = [[name] for name in summary.scores]

    def least(first: Sequence[str], second: Sequence[str]) -> float:
        return min(abs(known.get(frozenset((a, b)), 0.0)) for a in first for b in second)

    while True:
        pairs = [(least(a, b), i, j) for i, a in enumerate(groups) for j, b in enumerate(groups[:i])]
        likeness, later, earlier = max(pairs, default=(0.0, 0, 0))
        if likeness < ALIKE:
            break
        groups[earlier] += groups.pop(later)
    places = {name: place for place, name in enumerate(summary.scores)}
    ordered = sorted(
        (sorted(group, key=places.__getitem__) for group in groups), key=lambda each: places[each[0]]
    )
    return [
        [f"-{name}" if known.get(frozenset((group[0], name)), 1.0) < 0 else name for name in group]
        for group in ordered
    ]


def shown_scores(summary: Summary) -> list[str]:
    """The scores worth a section of their own: of few all, else the first one of each family."""
    if len(summary.scores) <= _FEW:
        return list(summary.scores)
    return [group[0] for group in families(summary)]


def shown_pairs(summary: Summary) -> list[Correlation]:
    """The correlations worth a row or a figure: those of `shown_scores`."""
    shown = set(shown_scores(summary))
    return [each for each in summary.correlations if {each.first, each.second} <= shown]
