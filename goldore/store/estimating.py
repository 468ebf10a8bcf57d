"""When stored trials become scores: when somebody reads them, and in the file when a run has ended.

Adding trials to a file estimates nothing, but marks their kind as stale (`TrialKind.is_stale`). Readers then
estimate in memory what they want to know; `estimate_scores` writes it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

from goldore.errors import ScoreFileError, UsageError
from goldore.files.locking import writing_to
from goldore.scores.estimators import Estimate
from goldore.store.format import has, read_text
from goldore.store.model import Score
from goldore.store.reading import opened, read_header
from goldore.store.together import NO_PRIOR, Together, estimates
from goldore.store.trial_kind import TrialKind
from goldore.store.trial_kinds import KINDS
from goldore.store.utility_trials import UTILITY, about, check_choice, estimate, monte_carlo
from goldore.store.writing import OF_A_SCORE, new_state, size_of, write_score


def estimate_scores(path: Path) -> None:
    """Write the scores of a file whose trials say more than its scores do; the lock is the caller's.

    Raises:
        ScoreFileError: if the file cannot be read.
        OSError: if the new state cannot be written; the previous one is then still there.
    """
    with opened(path) as file:
        header = read_header(file)
        found = {kind: estimates(kind, file, header) for kind in KINDS.values() if kind.is_stale(file)}
    if not found:
        return
    growth = OF_A_SCORE * header.info.num_samples * sum(map(len, found.values()))
    with new_state(path, size_of(header, None, ()) + growth, path) as file:
        for kind, scores in found.items():
            _write(file, kind, scores)


def reestimate(path: Path, outcome: str, estimator: str, out: Path | None = None) -> None:
    """Estimate MonteCarlo anew from the stored trials, without training.

    Args:
        path: of the score file.
        outcome: "accuracy", "logprob" or "margin".
        estimator: "in-minus-out", "in-mean", "ridge" or "shrunk".
        out: write another file and leave this one as it is.

    Raises:
        UsageError: if there is no such outcome or estimator, or the file has nothing to shrink towards.
        ScoreFileError: if the file cannot be read or has no utility trials.
        LockedError: if another process writes to the file.
    """
    check_choice(outcome, estimator)
    with writing_to(out or path):
        estimate_anew(path, outcome, estimator, out or path)


def estimate_anew(path: Path, outcome: str, estimator: str, target: Path) -> None:
    """Do what `reestimate` does, for a caller that holds the lock of `target`."""
    with opened(path) as file:
        header = read_header(file)
        if not has(file, UTILITY.group):
            raise ScoreFileError(
                f"{path} has no utility trials to estimate from; make some with: "
                "goldore score DATASET --scores MonteCarlo"
            )
        if estimator == "shrunk" and not Together(file, header).has_prior:
            raise UsageError(NO_PRIOR)
        found = monte_carlo(file, header, Together(file, header), outcome=outcome, estimator=estimator)
    with new_state(target, size_of(header, None, ()), path) as file:
        file[UTILITY.group].attrs.update({"outcome": outcome, "estimator": estimator})
        if found is not None:
            _write(file, UTILITY, [found])


def estimate_from(path: Path, *, estimator: str | None = None, trials: int | None = None) -> Estimate | None:
    """Estimate MonteCarlo from the stored trials, without writing it.

    Args:
        path: of a score file.
        estimator: None takes that of the file.
        trials: only the first so many that ended well; None takes all.

    Returns:
        The estimate; None without utility trials that ended well.

    Raises:
        UsageError: if there is no such estimator.
        ScoreFileError: if the file cannot be read.
    """
    check_choice(None, estimator)
    with opened(path) as file:
        if not has(file, UTILITY.group):
            return None
        header = read_header(file)
        chosen = estimator or about(file[UTILITY.group])[1]
        prior = Together(file, header).prior() if chosen == "shrunk" else None
        return estimate(file, header, estimator=chosen, trials=trials, prior=prior)


def _write(file: h5py.File, kind: TrialKind[Any, Any, Any], scores: Sequence[Score]) -> None:
    for score in scores:
        write_score(file, score, read_text(file[kind.group], "recipe"))
    kind.mark(file, stale=False)
