"""Selection rules that look at features of the samples, or at several scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from goldore.errors import require
from goldore.selection.amount import exact_ratio
from goldore.selection.ordered import Window, in_turn, stretch
from goldore.selection.ordering import ascending
from goldore.selection.rule import Samples, Strategy

if TYPE_CHECKING:
    from goldore.selection.rule import Floats, Ints

_EDGE = 1e-12  # of probabilities: at 0 and 1 the density may be infinite
_TOP = 10  # samples whose mean probability says how easy the dataset is
_CONCENTRATION, _EASY = 16.0, 15.0  # a + b of the beta distribution, and b where nothing is pruned and p is 0


@dataclass(frozen=True)
class Beta(Strategy):
    """A draw without replacement, weighted by the score and by how easy samples are that suit the budget.

    The weight of a sample is BetaPDF(p; a, b) times its score, where p is the mean probability of its label,
    b = 15 (1 - m) (1 - r^c) and a = 16 - b; m is the mean of p over the ten samples with the highest scores,
    and r the share that is pruned. So easy samples are drawn where much is pruned.

    Attributes:
        c: exponent of the pruned share, above 0.
        by: the score that holds p.
    """

    called: ClassVar[str] = "beta"
    does: ClassVar[str] = "draw by the score and by how easy samples are that suit the budget; for DUAL_small"
    source: ClassVar[str] = "Cho et al. 2025 (DUAL), arXiv 2502.06905"
    draws: ClassVar[bool] = True
    c: float = 4.0
    by: str = "Confidence"

    def __post_init__(self) -> None:
        require(0 < self.c < math.inf, f"c of the rule beta is {self.c}; it must be above 0.")

    def prepared(self, groups: Sequence[Samples], budgets: Sequence[int]) -> tuple[Strategy, Sequence[int]]:
        """See how easy the samples with the highest scores are."""
        import numpy as np

        keys = np.concatenate([each.keys for each in groups])
        easy = np.concatenate([each.score(self.by) for each in groups])
        known = np.isfinite(keys) & np.isfinite(easy)
        require(
            bool((keys[known] >= 0).all()) and bool(known.any()),
            "the rule beta weighs by the score, which must not be negative, and keeps high ones; use "
            "DUAL_small.",
        )
        inside = bool(((easy[known] >= 0) & (easy[known] <= 1)).all())
        require(inside, f"the rule beta needs probabilities, and {self.by} has others; use Confidence.")
        positions = np.concatenate([each.positions for each in groups])
        top = np.lexsort((positions, np.where(known, keys, -np.inf)))[-min(_TOP, int(known.sum())) :]
        return _Weighted(self, float(easy[top].mean())), budgets

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """A draw from these samples alone."""
        rule, _ = self.prepared([samples], [budget])
        return rule.choose(samples, budget)


@dataclass(frozen=True)
class _Weighted(Strategy):
    """`Beta` where the mean is known."""

    rule: Beta
    mean: float

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """Those with the lowest exponential numbers, each at the rate of its weight.

        This draws without replacement (Efraimidis & Spirakis 2006).
        """
        import numpy as np

        pruned = 1 - budget / samples.total
        b = _EASY * (1 - self.mean) * (1 - pruned**self.rule.c)
        a = _CONCENTRATION - b
        p = np.clip(np.nan_to_num(samples.score(self.rule.by)), _EDGE, 1 - _EDGE)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = (a - 1) * np.log(p) + (b - 1) * np.log1p(-p) + np.log(samples.keys)
        waiting = np.log(-np.log1p(-samples.random)) - weight  # of those with no weight, for ever

        def drawn(part: "Ints", count: int) -> "Ints":
            return part[ascending(np.where(np.isnan(waiting[part]), np.inf, waiting[part]))[:count]]

        return in_turn(np.arange(len(samples)), samples.keys, budget, drawn)

    def __str__(self) -> str:
        return str(self.rule)


@dataclass(frozen=True)
class Moderate(Strategy):
    """The samples whose distance from the centre of their class is nearest to the median distance.

    The median is that of the class, or of all samples where the scope is global. Of equally near ones those
    are kept that the criterion drops last.

    Attributes:
        features: a .npy file [N, F]; empty for the one beside the score file.
    """

    called: ClassVar[str] = "moderate"
    does: ClassVar[str] = "keep the median distance from the class centre, in features (features=FILE.npy)"
    source: ClassVar[str] = "Xia et al. 2023, ICLR"
    features: str = ""

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """The nearest ones."""
        import numpy as np

        points = samples.features(self.features)
        distance = np.empty(len(samples))
        for label in np.unique(samples.labels):
            members = samples.labels == label
            away = points[members] - points[members].mean(axis=0)
            distance[members] = np.sqrt((away**2).sum(axis=1))
        away = np.abs(distance - np.median(distance))

        def nearest(part: "Ints", count: int) -> "Ints":
            order = part[ascending(samples.keys[part])[::-1]]  # last to be dropped first
            return order[ascending(away[order])[:count]]

        return in_turn(np.arange(len(samples)), samples.keys, budget, nearest)


@dataclass(frozen=True)
class KCentre(Strategy):
    """Farthest-first: one sample after the other that is farthest from all that are kept.

    It begins with the one that the criterion drops last; of equally far ones it takes the one that is dropped
    last.

    Attributes:
        features: a .npy file [N, F]; empty for the one beside the score file.
    """

    called: ClassVar[str] = "k-centre"
    does: ClassVar[str] = "keep samples far from each other, in features (features=FILE.npy)"
    source: ClassVar[str] = "Sener & Savarese 2018, arXiv 1708.00489"
    features: str = ""

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """By squared Euclidean distances."""
        import numpy as np

        features = samples.features(self.features)

        def farthest(part: "Ints", count: int) -> "Ints":
            return part[_farthest_first(features[part], samples.keys[part], count)]

        return in_turn(np.arange(len(samples)), samples.keys, budget, farthest)


def _farthest_first(points: "Floats", keys: "Floats", count: int) -> "Ints":
    """So many places, beginning with the highest key; of equally far ones that with the higher key."""
    import numpy as np

    order = ascending(keys)[::-1]
    points = points[order] - points.mean(axis=0)  # distances stay, and what is lost by cancellation is less
    squares = (points**2).sum(axis=1)
    nearest = np.full(len(points), np.inf)
    chosen = np.zeros(count, dtype=np.int64)
    for place in range(count):
        at = int(np.argmax(nearest)) if place else 0
        chosen[place] = at
        np.minimum(nearest, squares + squares[at] - 2 * (points @ points[at]), out=nearest)
        nearest[chosen[: place + 1]] = -np.inf
    found: Ints = order[chosen]
    return found


@dataclass(frozen=True)
class BestWindow(Strategy):
    """The stretch of the order whose samples train the best ridge regression on features.

    For each start a ridge regression of the classes is fitted to the stretch, and judged by the share of all
    samples that it classifies correctly; the first of equally good starts is taken. The stretch is the same
    in all classes.

    Attributes:
        features: a .npy file [N, F]; empty for the one beside the score file.
        step: between starts, a share of the order, above 0 and at most 1.
        ridge: what is added to the diagonal, times its mean; above 0.
    """

    called: ClassVar[str] = "best-window"
    does: ClassVar[str] = (
        "keep the stretch that trains the best ridge regression on features (features=FILE.npy)"
    )
    source: ClassVar[str] = "Choi et al. 2024 (BWS), arXiv 2406.03057"
    features: str = ""
    step: float = 0.05
    ridge: float = 0.1

    def __post_init__(self) -> None:
        require(
            0 < self.step <= 1, f"step of the rule best-window is {self.step}; it must be above 0, at most 1."
        )
        require(
            0 < self.ridge < math.inf, f"ridge of the rule best-window is {self.ridge}; it must be above 0."
        )

    def prepared(self, groups: Sequence[Samples], budgets: Sequence[int]) -> tuple[Strategy, Sequence[int]]:
        """Try all starts at which every group has enough."""
        import numpy as np

        there = [(group, budget) for group, budget in zip(groups, budgets, strict=True) if budget]
        require(bool(there), "the rule best-window has nothing to keep; keep more.")
        for group, budget in there:
            few = (
                f"{budget} samples are to be kept of the {len(group)} that are left for the rule best-window"
            )
            require(budget <= len(group), f"{few}; pass over less, or keep fewer.")
        points = np.concatenate([group.features(self.features) for group in groups])
        points -= points.mean(axis=0)
        points /= max(float(np.sqrt((points**2).mean())), _EDGE)
        features = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        labels = np.concatenate([group.labels for group in groups])
        firsts = np.cumsum([0, *map(len, groups)])
        orders = [ascending(group.keys) for group in groups]
        step = exact_ratio(self.step, "step of the rule best-window")
        room = min(Fraction(len(group) - budget, len(group)) for group, budget in there)
        starts = [step * each for each in range(int(room / step) + 1)]
        found: list[float] = []
        for start in starts:
            rows = np.concatenate(
                [
                    first + stretch(order[math.floor(start * len(order)) :], group.keys, budget)
                    for first, order, group, budget in zip(firsts, orders, groups, budgets, strict=False)
                ]
            )
            found.append(_fitted(features, labels, rows, self.ridge))
        best = starts[int(np.argmax(found))]
        return Window(f"{float(best):.12g}"), budgets

    def choose(self, samples: Samples, budget: int) -> "Ints":
        """The best stretch of these samples alone."""
        rule, _ = self.prepared([samples], [budget])
        return rule.choose(samples, budget)


def _fitted(features: "Floats", labels: "Ints", rows: "Ints", ridge: float) -> float:
    """Share of all samples that a ridge regression on some rows classifies correctly."""
    import numpy as np

    classes, codes = np.unique(labels, return_inverse=True)
    x = features[rows]
    y = np.eye(len(classes))[codes[rows]]
    strength = ridge * float((x**2).sum()) / len(rows)  # the mean of the diagonal of x x'
    if len(rows) < x.shape[1]:
        weights = x.T @ np.linalg.solve(x @ x.T + strength * np.eye(len(rows)), y)
    else:
        weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y)
    return float((np.argmax(features @ weights, axis=1) == codes).mean())
