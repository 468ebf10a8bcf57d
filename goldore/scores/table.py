"""The table of scores: a score is one row here.

Scoring, the score file, selection, reports and the command line read it; nothing else says what a score is.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence

from goldore.errors import UsageError
from goldore.files.user_code import import_named
from goldore.scores.definition import FoldScore, TrainingScore, UtilityScore, mean_of
from goldore.scores.dynamics import DYNAMICS
from goldore.trials import LossRecipe
from goldore.wording import plain_name


def _mean_loss(name: str, which: str, epochs: Callable[[LossRecipe], Collection[int]]) -> TrainingScore:
    return TrainingScore(
        name=name,
        definition=f"mean over trials and over the {which} epochs of the sample's cross-entropy, evaluated "
        "after each epoch in eval mode without augmentation",
        unit="nat",
        drops="large",
        low="easy",
        high="hard",
        lowest="easiest",
        highest="hardest",
        epochs=epochs,
        record=mean_of(lambda predictions: predictions.cross_entropy),
    )


LOSS_INIT = _mean_loss("LossInit", "first init_epochs", lambda recipe: recipe.init_window)
LOSS_CONVERGE = _mean_loss("LossConverge", "last converge_epochs", lambda recipe: recipe.converge_window)
HELD_OUT_LOSS = FoldScore(
    name="HeldOutLoss",
    definition="mean over trials and over the last converge_epochs epochs of the sample's cross-entropy in "
    "the network of a cross-validation that did not train on it",
    unit="nat",
    drops="large",
    low="easy",
    high="hard",
    lowest="easiest",
    highest="hardest",
    quantity=lambda predictions: predictions.cross_entropy,
)
MEMORIZATION = FoldScore(
    name="Memorization",
    definition="how often the sample is classified correctly, over the last converge_epochs epochs, by the "
    "networks of a cross-validation that trained on it, minus how often by the one that did not; mean over "
    "trials (Feldman & Zhang 2020, arXiv 2008.03703, for folds in place of random subsets)",
    unit="probability",
    drops="small",
    low="typical",
    high="atypical",
    lowest="most typical",
    highest="most atypical",
    quantity=lambda predictions: predictions.correct.double(),
    compared=True,
)
MONTE_CARLO = UtilityScore(
    kind="utility",
    name="MonteCarlo",
    definition="mean outcome of the sample's class over the trials that contain the sample, minus the mean "
    "over those that do not",
    unit="outcome",
    drops="small",
    low="useless or harmful",
    high="useful",
    lowest="least useful",
    highest="most useful",
)
KERNEL_UTILITY = UtilityScore(
    kind="kernel",
    name="KernelUtility",
    definition="how often a nearest neighbour among k random samples of each class is right about evaluation "
    "images of the sample's class if the sample is one of them, minus the mean over its class; in the "
    "kernel of untrained networks, exactly",
    unit="probability",
    drops="small",
    low="useless or harmful",
    high="useful",
    lowest="least useful",
    highest="most useful",
)
MONTE_CARLO_DEFINITIONS = {
    "in-minus-out": MONTE_CARLO.definition,
    "in-mean": "mean outcome of the sample's class over the trials that contain the sample; it carries the "
    "level of the class",
    "shrunk": "mean outcome of the sample's class over the trials that contain the sample, minus the mean "
    "over those that do not, drawn towards what the file's other scores predict of it (empirical Bayes)",
    "ridge": "effect of the sample on the outcome of its class in a ridge regression on which samples were "
    "drawn",
}
UTILITY_UNITS = {"accuracy": "accuracy (1 = all correct)", "logprob": "nat", "margin": "nat"}

AnyScore = TrainingScore | FoldScore | UtilityScore
_MOST = 32  # scores of a file

_ROWS = (LOSS_INIT, LOSS_CONVERGE, *DYNAMICS, HELD_OUT_LOSS, MEMORIZATION, MONTE_CARLO, KERNEL_UTILITY)
SCORES: dict[str, AnyScore] = {each.name: each for each in _ROWS}
TRAINING_SCORES = {name: row for name, row in SCORES.items() if isinstance(row, TrainingScore)}
FOLD_SCORES = {name: row for name, row in SCORES.items() if isinstance(row, FoldScore)}
DEFAULT_SCORES = (LOSS_INIT.name, LOSS_CONVERGE.name)
ALL = "all"  # names all scores that loss trials give


def find_scores(given: str | Sequence[str]) -> dict[str, AnyScore]:
    """Find the scores that are asked for: rows of the table, and users' own.

    Args:
        given: names, for which case, hyphens and underscores are ignored, or "package.module:NAME" of a
            `TrainingScore`; as a list or separated by commas. "all" names all that loss trials give.

    Returns:
        Rows by name: those of the table in its order, then the users' own.

    Raises:
        UsageError: if there is no such score, or none is given.
    """
    asked = [each.strip() for each in (given.split(",") if isinstance(given, str) else given)]
    own = [_imported(each) for each in asked if ":" in each]
    names = {score_name(each) for each in asked if ":" not in each and each.lower() != ALL}
    names |= set(TRAINING_SCORES) if ALL in map(str.lower, asked) else set()
    if not names and not own:
        raise UsageError(f"scores is empty; choose among {', '.join(SCORES)}.")
    if len(names) + len(own) > _MOST:
        raise UsageError(f"these are {len(names) + len(own)} scores; a file holds {_MOST} at the most.")
    taken = {plain_name(name): row for name, row in SCORES.items()}
    for row in own:
        if taken.setdefault(plain_name(row.name), row) is not row:
            raise UsageError(f"there are two scores named {row.name}; name yours otherwise.")
    return {name: row for name, row in SCORES.items() if name in names} | {row.name: row for row in own}


def kind_of(name: str) -> str:
    """The kind of trials that gives a score; users' own are recorded by loss trials."""
    return SCORES[name].kind if name in SCORES else TrainingScore.kind


def _imported(spec: str) -> TrainingScore:
    row = import_named(spec, "the score")
    if not isinstance(row, TrainingScore):
        raise UsageError(f"{spec} is {type(row).__name__}; a score is a goldore.scores.TrainingScore.")
    return row


def score_name(given: str, known: Iterable[str] = SCORES) -> str:
    """Find the score that `given` means; case, hyphens and underscores are ignored.

    Args:
        given: for example "LossInit" or "loss-init".
        known: the names to choose from.

    Returns:
        The name as it is spelled in `known`.

    Raises:
        UsageError: if no known score has that name.
    """
    names = {plain_name(name): name for name in known}
    if plain_name(given) in names:
        return names[plain_name(given)]
    near = difflib.get_close_matches(plain_name(given), names, n=1)
    others = ", ".join(names.values())
    hint = f"did you mean {names[near[0]]}?" if near else f"choose among {others}."
    raise UsageError(f"there is no score named {given!r}; {hint}")
