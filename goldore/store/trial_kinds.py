"""The kinds of trial, by name: whoever works on all trials of a file walks this table."""

from typing import Any

from goldore.store.kernel_trials import KERNEL
from goldore.store.loss_trials import FOLD, LOSS
from goldore.store.model import Run, ScoreFile
from goldore.store.trial_kind import TrialKind
from goldore.store.utility_trials import CHECK, UTILITY

KINDS: dict[str, TrialKind[Any, Any, Any]] = {
    kind.name: kind for kind in (LOSS, FOLD, UTILITY, KERNEL, CHECK)
}


def continuing(run: Run, file: ScoreFile) -> Run:
    """What a run becomes that adds to the trials of a file."""
    trials = file.trials_of(run.kind)
    found: Run = run if trials is None else KINDS[run.kind].continuing(run, trials)
    return found


def run_from_json(fields: dict[str, Any]) -> Run:
    """Read back what a run's `to_json` gave."""
    kind = KINDS[fields["kind"]]
    found: Run = kind.run_from_json({name: value for name, value in fields.items() if name != "kind"})
    return found
