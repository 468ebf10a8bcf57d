"""What a selection rule is, and what it sees of the samples.

A rule is a frozen dataclass whose fields are its settings. No NumPy is imported here: the help of the command
line is made of the rules.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldore.errors import UsageError, require
from goldore.selection.amount import Ratio, exact_ratio
from goldore.selection.ordering import ascending

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from goldore.selection.facts import Facts

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """What a rule chooses from: samples of one class, or of all, as the scope is. No array can be changed.

    Attributes:
        keys: float64 [n], the order in which the criterion drops: lower ones earlier, equal ones by position
            (`goldore.selection.ascending`); -inf or inf for samples without a score.
        labels: int64 [n], their classes.
        random: float64 [n], 0 <= number < 1, one for each sample, from the seed; empty for a rule without
            `draws`.
        positions: int64 [n], where they stand in the training set, ascending.
        facts: what the score file says beside the criterion's score; None if there is no file.
        whole: samples of the class, or of all, before filters left any out; None: these.
    """

    keys: "Floats"
    labels: "Ints"
    random: "Floats"
    positions: "Ints"
    facts: "Facts | None" = None
    whole: int | None = None

    @property
    def total(self) -> int:
        """How many there were before filters left any out."""
        return len(self) if self.whole is None else self.whole

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, places: "NDArray[Any]") -> "Samples":
        """Some of them.

        Args:
            places: 0..n-1, or a mask [n].
        """
        return dataclasses.replace(
            self,
            whole=self.total,
            keys=self.keys[places],
            labels=self.labels[places],
            random=self.random[places] if len(self.random) else self.random,
            positions=self.positions[places],
        )

    def score(self, name: str) -> "Floats":
        """A score of the file, float64 [n]; NaN where a sample has none.

        Raises:
            UsageError: if the file has no such score.
        """
        found: Floats = self.file.score(name)[self.positions]
        return found

    def features(self, given: str) -> "Floats":
        """Features from a file, float64 [n, F].

        Args:
            given: a .npy file of shape [N, F]; empty for the one beside the score file.

        Raises:
            UsageError: if there is no such file, or it does not fit the dataset.
        """
        import numpy as np

        found: Floats = self.file.features(given)[self.positions].astype("float64")
        bad = ~np.isfinite(found).all(axis=1)
        if bad.any():
            raise UsageError(
                f"the features of sample {self.positions[bad][0]} are not finite ({int(bad.sum()):,} are "
                "like that); mend them."
            )
        return found

    @property
    def file(self) -> "Facts":
        """What the score file says.

        Raises:
            UsageError: if there is none.
        """
        if self.facts is None:
            raise UsageError("this rule needs more than an order of samples; give it a score file.")
        return self.facts


@dataclass(frozen=True)
class Strategy(ABC):
    """A selection rule: a frozen dataclass, whose fields are its settings, numbers or texts.

    Attributes:
        called: its name in the table of rules; users' own have none.
        does: what it keeps, for the help: "keep ...".
        source: where it comes from.
        draws: whether it uses random numbers; the seed is recorded then.
    """

    called: ClassVar[str] = ""
    does: ClassVar[str] = ""
    source: ClassVar[str] = ""
    draws: ClassVar[bool] = False

    @abstractmethod
    def choose(self, samples: Samples, budget: int) -> "Ints":
        """Choose the samples to keep.

        Args:
            samples: of one class or of all, as the scope is.
            budget: how many to keep, 1..n.

        Returns:
            int64 [budget], different places in 0..n-1, in any order.

        Raises:
            UsageError: if it cannot choose so many.
        """

    def prepared(self, groups: Sequence[Samples], budgets: Sequence[int]) -> "tuple[Strategy, Sequence[int]]":
        """Look at all groups before the first choice.

        Args:
            groups: the classes, or one group of all samples, as the scope is.
            budgets: how many are to be kept of each.

        Returns:
            The rule that chooses, and how many it is to choose of each group; as many in all.
        """
        del groups
        return self, budgets

    def __str__(self) -> str:
        """The name and all settings, but for empty ones, as `strategy_of` reads them."""
        own = f"{type(self).__module__}:{type(self).__qualname__}"
        name = vars(type(self)).get("called", own)  # not one that it inherits
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return ",".join([name, *(f"{key}={value}" for key, value in values if value != "")])


@dataclass(frozen=True)
class Filter(Strategy):
    """A rule that leaves samples out; another one chooses from the rest, or else the end of the order."""

    @abstractmethod
    def left(self, samples: Samples, budget: int) -> "NDArray[np.bool_]":
        """Which samples remain, bool [n]."""

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """The end of what remains."""
        rule, _ = Chain((self, End())).prepared([samples], [budget])
        return rule.choose(samples, budget)


@dataclass(frozen=True)
class End(Strategy):
    """The end of the order."""

    called: ClassVar[str] = "end"
    does: ClassVar[str] = "keep what the criterion drops last"
    source: ClassVar[str] = "Xu et al. 2024, arXiv 2305.18381"

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """The last of the order."""
        return ascending(samples.keys)[len(samples) - budget :]


@dataclass(frozen=True)
class Chain(Strategy):
    """Filters one after the other, and a rule that chooses from what they leave; written with + between them.

    Attributes:
        parts: one or more, all but the last of them filters.
    """

    parts: tuple[Strategy, ...] = (End(),)

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether one of them does."""
        return any(each.draws for each in self.parts)

    def prepared(self, groups: Sequence[Samples], budgets: Sequence[int]) -> tuple[Strategy, Sequence[int]]:
        """Each of them looks at what the ones before it leave."""
        found: list[Strategy] = []
        for part in self.parts:
            ready, budgets = part.prepared(groups, budgets)
            found.append(ready)
            if isinstance(ready, Filter):
                groups = [
                    group.only(ready.left(group, budget))
                    for group, budget in zip(groups, budgets, strict=True)
                ]
        return Chain(tuple(found)), budgets

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """The last one's choice."""
        import numpy as np

        places = np.arange(len(samples))
        for part in self.parts[:-1]:
            remains = part.left(samples, budget) if isinstance(part, Filter) else np.ones(len(samples), bool)
            places, samples = places[remains], samples.only(remains)
            enough = (
                f"the rule {part} leaves {len(places)} samples, and {budget} are to be kept; pass over less, "
                "or keep fewer."
            )
            require(len(places) >= budget, enough)
        chosen: Ints = places[self.parts[-1].choose(samples, budget)]
        return chosen

    def __str__(self) -> str:
        """Their texts."""
        return "+".join(map(str, self.parts))


def rest_of(rule: Strategy, share: Ratio, samples: Samples, budget: int) -> "Ints":
    """The order without a first share of it, as places; refused if that leaves less than the budget."""
    passed = math.floor(exact_ratio(share, str(rule)) * len(samples))
    left = len(samples) - passed
    require(
        budget <= left,
        f"the rule {rule} passes over {passed} of {len(samples)} samples, and {budget} are to be kept of the "
        f"{left} that are left; pass over less, or keep fewer.",
    )
    return ascending(samples.keys)[passed:]
