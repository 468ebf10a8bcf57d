"""Criteria: which end of which score is dropped, as keys that put the samples in an order.

A criterion `<Score>_<large|small>` names the end that is DROPPED, as in the paper's repository. Ties are
broken by position: among equal values the lower position is dropped first, as there.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.trials.seeds import MAX_SEED
from goldore.wording import plain_name

Missing = Literal["error", "drop", "keep"]
RANDOM = "Random"
_VERY_NEAR = 0.9  # so near that a criterion is meant, and not one end guessed


@dataclass(frozen=True)
class Criterion:
    """Which end of which score is dropped.

    Attributes:
        score: name of the score, or "Random".
        drops: the end that is dropped; None for Random.
    """

    score: str
    drops: Literal["large", "small"] | None

    def __str__(self) -> str:
        return f"{self.score}_{self.drops}" if self.drops else self.score


def parse_criterion(text: str, known: tuple[str, ...]) -> Criterion:
    """Read a criterion.

    Args:
        text: "<Score>_<large|small>" or "Random"; case is ignored, and a hyphen may stand for the underscore.
        known: names of the scores in the file.

    Returns:
        The criterion.

    Raises:
        UsageError: if it is not of that form or the file has no such score.
    """
    if text.lower() in ("random", "rand"):
        return Criterion(RANDOM, None)
    match = re.fullmatch(r"(?P<score>.+)[_-](?P<end>large|small)", text, re.IGNORECASE)
    choices = [*(f"{name}_{end}" for name in known for end in ("large", "small")), RANDOM]
    if match is None:
        near = difflib.get_close_matches(text, choices, n=1, cutoff=_VERY_NEAR)
        hint = f"did you mean {near[0]}?" if near else f"it names the end to drop: {', '.join(choices)}."
        raise UsageError(f"there is no criterion {text!r}; {hint}")
    names = {plain_name(name): name for name in known}
    score, end = plain_name(match["score"]), match["end"].lower()
    if score not in names:
        near = difflib.get_close_matches(score, names, n=1)
        hint = f"did you mean {names[near[0]]}_{end}?" if near else f"it has {', '.join(choices)}."
        raise UsageError(f"this file has no criterion {text!r}; {hint}")
    return Criterion(names[score], "large" if end == "large" else "small")


def random_keys(samples: int, seed: int, *streams: int) -> NDArray[np.float64]:
    """Keys by which the criterion Random drops, float64 [N], 0 <= key < 1.

    Args:
        samples: N.
        seed: 0 to 2**63 - 1.
        streams: give other numbers, independent of those without.

    Raises:
        UsageError: if the seed is out of range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"`seed` is {seed}; it must be 0 to {MAX_SEED}.")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=streams)).random(samples)


def drop_keys(
    values: NDArray[np.floating], criterion: Criterion, missing: Missing = "keep"
) -> NDArray[np.float64]:
    """Keys by which the samples are dropped, float64 [N], lowest first; those of NaN are at one end.

    Args:
        values: the scores, [N].
        criterion: which end is dropped.
        missing: "drop" to drop samples without a score first, anything else to drop them last.
    """
    keys = np.array(values, dtype=np.float64)
    if criterion.drops == "large":
        np.negative(keys, out=keys)
    keys[~np.isfinite(keys)] = -np.inf if missing == "drop" else np.inf
    return keys
