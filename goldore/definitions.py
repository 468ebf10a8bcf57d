"""The scores by name: what each one is, its unit and what its ends mean.

One table that scoring, the score file, selection and the command line read. A new score is a new row here,
and an observer that records its quantity (`goldore.ensemble.observers`).
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from goldore.errors import UsageError


@dataclass(frozen=True)
class ScoreDefinition:
    """What a score is.

    Attributes:
        name: as in the paper's repository, for example "LossConverge".
        definition: one sentence, written into the score file.
        direction: what a high and a low value mean, written into the score file.
        unit: unit of the values.
        drop: the criterion that the paper recommends, naming the end that is dropped.
    """

    name: str
    definition: str
    direction: str
    unit: str
    drop: str


LOSS_INIT = ScoreDefinition(
    name="LossInit",
    definition="mean over trials and over the first init_epochs epochs of the sample's cross-entropy, "
    "evaluated after each epoch in eval mode without augmentation",
    direction="high = hard, low = easy",
    unit="nat",
    drop="LossInit_large",
)
LOSS_CONVERGE = ScoreDefinition(
    name="LossConverge",
    definition="mean over trials and over the last converge_epochs epochs of the sample's cross-entropy, "
    "evaluated after each epoch in eval mode without augmentation",
    direction="high = hard, low = easy",
    unit="nat",
    drop="LossConverge_large",
)
MONTE_CARLO = ScoreDefinition(
    name="MonteCarlo",
    definition="mean outcome of the sample's class over the trials that contain the sample, minus the mean "
    "over those that do not",
    direction="high = useful, low = useless or harmful",
    unit="outcome",
    drop="MonteCarlo_small",
)
MONTE_CARLO_DEFINITIONS = {
    "in-minus-out": MONTE_CARLO.definition,
    "in-mean": "mean outcome of the sample's class over the trials that contain the sample; it carries the "
    "level of the class",
    "ridge": "effect of the sample on the outcome of its class in a ridge regression on which samples were "
    "drawn",
}
UTILITY_UNITS = {"accuracy": "accuracy (1 = all correct)", "logprob": "nat", "margin": "nat"}

SCORES: dict[str, ScoreDefinition] = {each.name: each for each in (LOSS_INIT, LOSS_CONVERGE, MONTE_CARLO)}
LOSS_SCORES = (LOSS_INIT.name, LOSS_CONVERGE.name)


def plain_name(name: str) -> str:
    """Spell a name without case, hyphens and underscores, for comparing."""
    return name.lower().replace("-", "").replace("_", "")


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
    hint = f"did you mean {names[near[0]]}?" if near else "choose among " + ", ".join(names.values()) + "."
    raise UsageError(f"there is no score named {given!r}; {hint}")
