"""Loss trials in a score file.

/trials/loss         attrs: recipe (JSON), base_seed, recorded
/trials/loss/<Name>  float32 [T, N]; row t is trial t
/trials/loss/...     seed uint64 [T], train_loss float32 [T, epochs], test_accuracy float32 [T],
                     failed uint8 [T], done uint8 [T]
"""

from collections.abc import Sequence

import h5py
import numpy as np

from goldore.estimators import Estimate, class_members, mean_over_trials
from goldore.recipe import LossRecipe
from goldore.store.format import create_rows, read_array, write_text_list
from goldore.store.model import DatasetInfo, Header, LossResult, LossRun, LossTrials

GROUP = "trials/loss"
_PER_TRIAL = ("seed", "train_loss", "test_accuracy", "failed", "done")


def read(file: h5py.File, info: DatasetInfo) -> LossTrials:
    """Read what the file says of its loss trials, without the [T, N] arrays."""
    group = file[GROUP]
    recipe = LossRecipe.from_json(str(group.attrs["recipe"]))
    recorded = tuple(str(name) for name in group.attrs["recorded"])
    rows = group["done"].shape[0]
    for name in recorded:
        expected = (rows, info.num_samples)
        if group[name].shape != expected or group[name].maxshape[0] is not None:
            raise ValueError(f"{GROUP}/{name} has another shape than {expected}")
    done, failed = (
        read_array(file, f"{GROUP}/{name}", (rows,), "u").astype(bool) for name in ("done", "failed")
    )
    return LossTrials(
        recipe=recipe,
        base_seed=int(group.attrs["base_seed"]),
        recorded=recorded,
        done=tuple(int(row) for row in np.flatnonzero(done & ~failed)),
        failed=tuple(int(row) for row in np.flatnonzero(done & failed)),
        seed=read_array(file, f"{GROUP}/seed", (rows,), "u"),
        train_loss=read_array(file, f"{GROUP}/train_loss", (rows, recipe.epochs), "f"),
        test_accuracy=read_array(file, f"{GROUP}/test_accuracy", (rows,), "f"),
    )


def size_of(header: Header, run: LossRun, results: Sequence[LossResult]) -> int:
    """Upper estimate, in bytes, of what a file grows by when these results are added to it."""
    return header.info.num_samples * len(run.recorded) * (2 * 8 + 2 * 4 + 4 * len(results))


def add(file: h5py.File, header: Header, run: LossRun, results: Sequence[LossResult]) -> None:
    """Write finished trials; the done flag of each is written last."""
    if GROUP not in file:
        _create(file, header, run)
    trials = file[GROUP]
    for result in results:
        row = result.trial.number
        if row >= len(trials["done"]):
            for name in (*_PER_TRIAL, *result.recorded):
                trials[name].resize(row + 1, axis=0)
        trials["seed"][row] = result.trial.seed
        trials["train_loss"][row] = result.train_loss
        trials["test_accuracy"][row] = result.test_accuracy
        for name, values in result.recorded.items():
            trials[name][row] = values
        trials["failed"][row] = result.failed
        trials["done"][row] = True


def estimates(file: h5py.File, header: Header) -> dict[str, Estimate]:
    """Estimate every recorded score from the trials that ended well; empty if none did."""
    trials = file[GROUP]
    usable = np.flatnonzero(trials["done"][()].astype(bool) & ~trials["failed"][()].astype(bool))
    if len(usable) == 0:
        return {}
    members = class_members(header.labels, header.info.num_classes)
    return {
        str(name): mean_over_trials(np.stack([trials[name][row] for row in usable]), members)
        for name in trials.attrs["recorded"]
    }


def _create(file: h5py.File, header: Header, run: LossRun) -> None:
    trials = file.create_group(GROUP)
    trials.attrs["recipe"] = run.recipe.to_json()
    trials.attrs["base_seed"] = np.uint64(run.base_seed)
    write_text_list(trials, "recorded", list(run.recorded))
    create_rows(trials, "seed", "u8", (), 0)
    create_rows(trials, "train_loss", "f4", (run.recipe.epochs,), np.nan)
    create_rows(trials, "test_accuracy", "f4", (), np.nan)
    create_rows(trials, "failed", "u1", (), 0)
    create_rows(trials, "done", "u1", (), 0)
    for name in run.recorded:
        create_rows(trials, name, "f4", (header.info.num_samples,), np.nan)
