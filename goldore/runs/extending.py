"""More trials for a score file, with the recipe that it has."""

from pathlib import Path
from typing import Any

from goldore.errors import UsageError
from goldore.runs.scoring import score
from goldore.runs.source import dataset_of
from goldore.store import ScoreFile, load_scores
from goldore.trials import ARGUMENTS
from goldore.wording import plural

_OF_UTILITY = ("until_reliability", "max_trials", "max_seconds")


def extend(
    file: ScoreFile | str | Path,
    *,
    trials: int | None = None,
    fold_trials: int | None = None,
    utility_trials: int | None = None,
    dataset: Any = None,
    data_root: str | Path = "data",
    scores: str = "",
    **how: Any,
) -> ScoreFile:
    """Add trials to a score file, with the dataset, recipes and seed that it names.

    Args:
        file: the score file, or its path.
        trials: loss trials, and groups of untrained networks for KernelUtility, that it shall hold in the
            end.
        fold_trials: cross-validations likewise.
        utility_trials: utility trials likewise; instead of it `until_reliability` or `max_seconds` may be
            given, as to `score`.
        dataset: what `load_dataset` takes; None reads it from where it was scored.
        data_root: folder of the named datasets.
        scores: of the user's own that the file records, as package.module:NAME, separated by commas.
        how: the other arguments of `score` that are no part of a recipe: device, watcher and so on.

    Returns:
        The content of the score file.

    Raises:
        UsageError: if no number is given, or the file has no trials of that kind.
        ScoreFileError: if the file cannot be read.
        DatasetError: if its dataset cannot be read, or is another one.
        GoldoreError: as `score`.
    """
    there = file if isinstance(file, ScoreFile) else load_scores(file, only=())
    given = {"trials": trials, "fold_trials": fold_trials, "utility_trials": utility_trials}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    asked = {*wanted, *(["utility_trials"] if any(how.get(name) is not None for name in _OF_UTILITY) else [])}
    kinds = {kind for kind in ARGUMENTS if there.trials_of(kind) is not None}
    _check(there, asked, kinds)
    names, recipes = _what_is_there(there, asked)
    return score(
        dataset_of(there, dataset, data_root=data_root),
        scores=[*(name for name in names if name not in scores), *filter(None, scores.split(","))],
        out=there.path,
        **recipes,
        **wanted,
        **how,
    )


def _check(there: ScoreFile, asked: set[str], kinds: set[str]) -> None:
    """See that what is asked for is there to be extended."""
    if not kinds:
        raise UsageError(
            f"{there.path} has no trials, since its scores were imported; score the dataset itself."
        )
    if not asked:
        have = ", ".join(plural(len(_done(there, kind)), f"{kind} trial") for kind in sorted(kinds))
        numbers = dict.fromkeys(about.number for kind, about in ARGUMENTS.items() if kind in kinds)
        names = " or ".join(f"`{name}`" for name in numbers)
        raise UsageError(
            f"say how many trials {there.path} shall hold in the end with {names}; it has {have}."
        )
    for name in asked:
        if not any(ARGUMENTS[kind].number == name for kind in kinds):
            raise UsageError(
                f"{there.path} has no trials that `{name}` are about; score the dataset with those scores "
                "first."
            )


def _done(there: ScoreFile, kind: str) -> Any:
    trials: Any = there.trials_of(kind)
    return trials.done


def _what_is_there(there: ScoreFile, asked: set[str]) -> tuple[list[str], dict[str, Any]]:
    """The scores whose trials are extended, and their recipes."""
    names: list[str] = []
    found: dict[str, Any] = {}
    seeds = set()
    for kind, about in ARGUMENTS.items():
        trials: Any = there.trials_of(kind)
        if trials is None or about.number not in asked:
            continue
        found[about.recipe] = trials.recipe
        seeds.add(trials.base_seed)
        names += trials.gives
    if len(seeds) > 1:
        raise UsageError(f"the trials of {there.path} have different seeds; extend one kind at a time.")
    return names, found | {"seed": seeds.pop()}
