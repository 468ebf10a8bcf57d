"""What the trials of one kind say to the scores of another: agreement, and priors."""

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.scores.estimators import class_members
from goldore.scores.estimators.agreement import Agreement, Halved, Noisy, agreement
from goldore.store.format import has
from goldore.store.kernel_trials import KERNEL
from goldore.store.loss_trials import LOSS
from goldore.store.model import Header, KernelRun, Score, UtilityRun
from goldore.store.trial_kind import NOWHERE, TrialKind
from goldore.store.utility_trials import CHECK, UTILITY, halved


def estimates(kind: TrialKind[Any, Any, Any], file: h5py.File, header: Header) -> list[Score]:
    """Estimate every score of a kind; see `TrialKind.estimates`."""
    found: list[Score] = kind.estimates(file, header, Together(file, header))
    return found


NO_PRIOR = (
    "`estimator` shrunk needs KernelUtility or losses in the same file to shrink towards; score them into it "
    "first."
)


_OF_PRIOR: tuple[TrialKind[Any, Any, Any], ...] = (LOSS, KERNEL)


class _Nothing:
    """Others that say nothing."""

    def prior(self) -> dict[str, NDArray[np.float64]]:
        """Nothing."""
        return {}

    def agreement(self, run: UtilityRun | KernelRun, outcome: str, utility: Noisy) -> Agreement | None:
        """Nothing."""
        del run, outcome, utility
        return None


class Together:
    """All trials of an open score file.

    Args:
        file: the score file.
        header: of its dataset.
    """

    def __init__(self, file: h5py.File, header: Header) -> None:
        self._file, self._header = file, header

    @property
    def has_prior(self) -> bool:
        """Whether the file has scores that need no utility trials."""
        there = [kind for kind in _OF_PRIOR if has(self._file, kind.group)]
        return any(kind.score_names(kind.read(self._file, self._header.info)) for kind in there)

    def prior(self) -> dict[str, NDArray[np.float64]]:
        """The scores that need no utility trials, by name, float64 [N]."""
        return {
            score.name: score.values
            for kind in _OF_PRIOR
            if has(self._file, kind.group)
            for score in kind.estimates(self._file, self._header, _Nothing())
        }

    def agreement(self, run: UtilityRun | KernelRun, outcome: str, utility: Noisy) -> Agreement | None:
        """How well a utility agrees with that of trained networks, by the trials that tell it best.

        Args:
            run: of the trials that the utility is from.
            outcome: of trained trials, that it is to be compared with.
            utility: with the noise of its own trials.

        Returns:
            None if the file has no trained trials of the same question.
        """
        members = class_members(self._header.labels, self._header.info.num_classes)
        found = [agreement(utility, each, members) for each in self._trained(run, outcome)]
        return min(found, key=lambda each: np.nan_to_num(each.stderr, nan=np.inf), default=None)

    def _trained(self, run: UtilityRun | KernelRun, outcome: str) -> Iterator[Halved]:
        """What trained trials say whose draws are as large and which are evaluated on the same images."""
        for kind in (CHECK, UTILITY):
            if not has(self._file, kind.group):
                continue
            known = kind.read(self._file, self._header.info)
            if known.recipe.trains_networks and asks_the_same(kind.run_of(known, NOWHERE), run):
                found = halved(self._file, self._header, kind, outcome)
                if found is not None:
                    yield found


def asks_the_same(first: UtilityRun | KernelRun, second: UtilityRun | KernelRun) -> bool:
    """Whether the utilities of two runs are about the same subsets and evaluation images."""
    by_seed = first.recipe.folds > 1  # halved at random
    return (
        first.evaluation == second.evaluation
        and first.recipe.question == second.recipe.question
        and (not by_seed or first.base_seed == second.base_seed)
    )
