"""Trials of KernelUtility in a score file: each is a group of untrained networks.

/trials/kernel            attrs: recipe (JSON), base_seed, evaluation, stale (while /scores is still to be
                          estimated)
/trials/kernel/values     float32 [T, N]; utility in the kernel of the trial's networks
/trials/kernel/halves     float32 [T, 2, N]; likewise by the even and the odd evaluation images of each class
/trials/kernel/variances  float32 [T, N]; of the values, by the spread over the evaluation images
/trials/kernel/...        seed uint64 [T], seconds float32 [T], failed uint8 [T], done uint8 [T],
                          digest uint64 [T] (see `goldore.store.digests`; of all but the seconds)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.scores import KERNEL_UTILITY
from goldore.scores.estimators import class_members
from goldore.scores.estimators.agreement import Noisy
from goldore.scores.estimators.kernel_utility import over_groups
from goldore.store.format import (
    create_rows,
    node_at,
    read_attribute,
    read_per_trial,
    read_seconds,
    read_text,
    rows_at,
)
from goldore.store.model import DatasetInfo, Header, KernelResult, KernelRun, KernelTrials, Score
from goldore.store.trial_kind import NOWHERE, Columns, Others, TrialKind
from goldore.trials import KernelUtilityRecipe
from goldore.trials.seeds import Trial, make_kernel_trials

_COLUMNS = ("seed", "failed", "values", "halves", "variances")


class KernelKind(TrialKind[KernelRun, KernelTrials, KernelResult]):
    """Groups of untrained networks, which give a utility of every sample."""

    name = "kernel"
    result = KernelResult
    tells: ClassVar[tuple[str, ...]] = ("utility",)
    rounding = 1e-2

    def read(self, file: h5py.File, info: DatasetInfo) -> KernelTrials:
        """Read what the file says of its trials, without the [T, N] arrays."""
        group = node_at(file, self.group)
        text = read_text(group, "recipe")
        recipe = KernelUtilityRecipe.from_json(text)
        rows = len(node_at(file, f"{self.group}/done"))
        done, failed = (
            read_per_trial(file, f"{self.group}/{name}", (rows,), "u").astype(bool)
            for name in ("done", "failed")
        )
        for name, shape in _shapes(info.num_samples).items():
            path = f"{self.group}/{name}"
            values = rows_at(file, path, (rows, *shape), "f")
            if (
                values.maxshape[0] is not None
                or values.id.get_storage_size() < 4 * math.prod(shape) * done.sum()
            ):
                raise ValueError(f"{path} holds fewer trials than it claims")
        return KernelTrials(
            recipe=recipe,
            base_seed=int(read_attribute(group, "base_seed")),
            evaluation=read_text(group, "evaluation"),
            done=tuple(int(row) for row in np.flatnonzero(done & ~failed)),
            failed=tuple(int(row) for row in np.flatnonzero(done & failed)),
            seconds=read_seconds(file, f"{self.group}/seconds", rows),
            assumed=recipe.settings_left_out(text),
        )

    def run_of(self, trials: KernelTrials, made_on: Mapping[str, str]) -> KernelRun:
        """What these trials share."""
        return KernelRun(trials.recipe, trials.base_seed, trials.evaluation, **made_on)

    def run_in(self, group: h5py.Group, made_on: Mapping[str, str]) -> KernelRun:
        """The same from a file's attributes alone."""
        recipe = KernelUtilityRecipe.from_json(read_text(group, "recipe"))
        seed = int(read_attribute(group, "base_seed"))
        return KernelRun(recipe, seed, read_text(group, "evaluation"), **made_on)

    def continuing(self, run: KernelRun, trials: KernelTrials) -> KernelRun:
        """It stays as it is."""
        del trials
        return run

    def run_from_json(self, fields: dict[str, Any]) -> KernelRun:
        """Read back what the run's `to_json` gave."""
        return KernelRun(**fields | {"recipe": KernelUtilityRecipe.from_json(fields["recipe"])})

    def differences(self, trials: KernelTrials, run: KernelRun) -> list[tuple[str, Any, Any]]:
        """All must be evaluated on the same images."""
        if trials.evaluation == run.evaluation:
            return []
        return [("test images", trials.evaluation[:12] or "none", run.evaluation[:12] or "none")]

    def create(self, file: h5py.File, header: Header, run: KernelRun) -> None:
        """Make the group with its attributes and empty columns."""
        group = file.create_group(self.group)
        group.attrs["recipe"] = run.recipe.to_json()
        group.attrs["base_seed"] = np.uint64(run.base_seed)
        group.attrs["evaluation"] = run.evaluation
        for name, dtype in (("seed", "u8"), ("failed", "u1"), ("digest", "u8"), ("done", "u1")):
            create_rows(group, name, dtype, (), 0)
        for name, shape in _shapes(header.info.num_samples).items():
            create_rows(group, name, "f4", shape, np.nan)

    def update(self, group: h5py.Group, run: KernelRun) -> None:
        """Nothing may change."""

    def shared(self, group: h5py.Group) -> list[Any]:
        """Recipe, base seed and the images that they are evaluated on."""
        return [group.attrs["recipe"], int(group.attrs["base_seed"]), group.attrs["evaluation"]]

    def content_names(self, group: h5py.Group) -> list[str]:
        """All columns."""
        del group
        return list(_COLUMNS)

    def columns_of(self, results: Sequence[KernelResult], names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Trials as rows of columns."""
        del names
        return {
            "seed": np.array([result.trial.seed for result in results], dtype="<u8"),
            "failed": np.array([result.failed for result in results], dtype="u1"),
            "values": np.stack([result.values for result in results]).astype("<f4"),
            "halves": np.stack([result.halves for result in results]).astype("<f4"),
            "variances": np.stack([result.variances for result in results]).astype("<f4"),
            "seconds": np.array([result.seconds for result in results], dtype="<f4"),
        }

    def results_of(self, numbers: NDArray[np.int64], columns: Columns) -> list[KernelResult]:
        """Trials from rows of columns."""
        return [
            KernelResult(
                trial=Trial(int(number), int(columns["seed"][row])),
                failed=bool(columns["failed"][row]),
                values=columns["values"][row],
                halves=columns["halves"][row],
                variances=columns["variances"][row],
                seconds=float(columns["seconds"][row]) if "seconds" in columns else math.nan,
            )
            for row, number in enumerate(numbers)
        ]

    def derived(self, run: KernelRun, numbers: Sequence[int]) -> list[Trial]:
        """The trials of a run with these numbers."""
        return make_kernel_trials(run.base_seed, numbers)

    def size_of(self, header: Header, run: KernelRun, results: Sequence[KernelResult]) -> int:
        """Upper estimate, in bytes, of what a file grows by: these results, and their score."""
        del run
        return header.info.num_samples * (2 * 8 + 2 * 4 + 4 * 4 * len(results))

    def score_names(self, trials: KernelTrials) -> tuple[str, ...]:
        """KernelUtility."""
        return (KERNEL_UTILITY.name,) if trials.done else ()

    def estimates(self, file: h5py.File, header: Header, others: Others) -> list[Score]:
        """Average the trials that ended well."""
        known = self.read(file, header.info)
        if not known.done:
            return []
        count = len(known.done)
        found = {
            name: np.empty((count, *shape), np.float32)
            for name, shape in _shapes(header.info.num_samples).items()
        }
        place = 0
        for numbers, columns, fit in self.blocks(file, header, np.array(known.done)):
            if not fit.all():
                raise ValueError(f"kernel trial {numbers[~fit][0]} does not fit its checksum")
            for name, all_trials in found.items():
                all_trials[place : place + len(numbers)] = columns[name]
            place += len(numbers)
        members = class_members(header.labels, header.info.num_classes)
        estimate = over_groups(found["values"], found["halves"], found["variances"], members)
        noise = np.full(header.info.num_samples, np.nan)
        if count > 1:  # the noise of the evaluation images is in trained trials too
            noise = found["values"].var(axis=0, ddof=1, dtype=np.float64) / count
        run = self.run_of(known, NOWHERE)
        agreement = others.agreement(run, "accuracy", Noisy(estimate.values, noise))
        return [Score.of(KERNEL_UTILITY, estimate, agreement=agreement)]


KERNEL = KernelKind()


def _shapes(samples: int) -> dict[str, tuple[int, ...]]:
    """A trial's row in each column of float32."""
    return {"values": (samples,), "halves": (2, samples), "variances": (samples,)}
