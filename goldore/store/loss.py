"""Loss trials in a score file.

/trials/loss         attrs: recipe (JSON), base_seed, recorded, scores (JSON: what each recorded score is)
/trials/loss/<Name>  float32 [T, N]; row t is trial t
/trials/loss/...     seed uint64 [T], train_loss float32 [T, epochs], test_accuracy float32 [T],
                     seconds float32 [T], failed uint8 [T], done uint8 [T],
                     digest uint64 [T] (see `goldore.store.digests`; of all but the seconds)
"""

import json
import math
from collections.abc import Sequence

import h5py
import numpy as np

from goldore.estimators import Estimate, class_members, mean_over_trials
from goldore.recipe import LossRecipe
from goldore.scores import SCORES, ScoreDefinition
from goldore.store.digests import digests, key_of
from goldore.store.format import (
    create_rows,
    create_seconds,
    node_at,
    read_attribute,
    read_per_trial,
    read_seconds,
    read_text,
    read_text_list,
    rows_at,
    write_text_list,
)
from goldore.store.model import DatasetInfo, Header, LossResult, LossRun, LossTrials
from goldore.trials import Trial

GROUP = "trials/loss"
_PER_TRIAL = ("seed", "train_loss", "test_accuracy", "seconds", "failed", "done", "digest")


def read(file: h5py.File, info: DatasetInfo) -> LossTrials:
    """Read what the file says of its loss trials, without the [T, N] arrays."""
    group = node_at(file, GROUP)
    text = read_text(group, "recipe")
    recipe = LossRecipe.from_json(text)
    scores = read_scores(group)
    rows = len(node_at(file, f"{GROUP}/done"))
    done, failed = (
        read_per_trial(file, f"{GROUP}/{name}", (rows,), "u").astype(bool) for name in ("done", "failed")
    )
    for score in scores:
        values = rows_at(file, f"{GROUP}/{score.name}", (rows, info.num_samples), "f")
        if values.maxshape[0] is not None or values.id.get_storage_size() < 4 * info.num_samples * done.sum():
            raise ValueError(f"{GROUP}/{score.name} holds fewer trials than it claims")
    return LossTrials(
        recipe=recipe,
        base_seed=int(read_attribute(group, "base_seed")),
        scores=scores,
        assumed=recipe.settings_left_out(text),
        done=tuple(int(row) for row in np.flatnonzero(done & ~failed)),
        failed=tuple(int(row) for row in np.flatnonzero(done & failed)),
        seed=read_per_trial(file, f"{GROUP}/seed", (rows,), "u"),
        train_loss=read_per_trial(file, f"{GROUP}/train_loss", (rows, recipe.epochs), "f"),
        test_accuracy=read_per_trial(file, f"{GROUP}/test_accuracy", (rows,), "f"),
        seconds=read_seconds(file, f"{GROUP}/seconds", rows),
    )


def read_scores(group: h5py.Group) -> tuple[ScoreDefinition, ...]:
    """What each recorded score is: as the file says, or as the table says where it does not."""
    recorded = read_text_list(group, "recorded")
    described = json.loads(read_text(group, "scores")) if "scores" in group.attrs else []
    if not isinstance(described, list) or not all(isinstance(each, dict) for each in described):
        raise ValueError("the attribute scores does not describe scores")
    known = {each.get("name"): ScoreDefinition.from_described(each) for each in described}
    missing = [name for name in recorded if name not in known and name not in SCORES]
    if missing:
        raise ValueError(f"it does not say what {missing[0]} is")
    return tuple(known.get(name) or SCORES[name] for name in recorded)


def size_of(header: Header, run: LossRun, results: Sequence[LossResult]) -> int:
    """Upper estimate, in bytes, of what a file grows by when these results are added to it."""
    return header.info.num_samples * len(run.recorded) * (2 * 8 + 2 * 4 + 4 * len(results))


def add(file: h5py.File, header: Header, run: LossRun, results: Sequence[LossResult]) -> None:
    """Write finished trials; the done flag of each is written last."""
    if GROUP not in file:
        _create(file, header, run)
    trials, key = file[GROUP], key_in(file, header)
    create_seconds(trials)
    for result in results:
        row = result.trial.number
        if row >= len(trials["done"]):
            for name in (*_PER_TRIAL, *result.recorded):
                trials[name].resize(row + 1, axis=0)
        trials["seed"][row] = result.trial.seed
        trials["train_loss"][row] = result.train_loss
        trials["test_accuracy"][row] = result.test_accuracy
        trials["seconds"][row] = result.seconds
        for name, values in result.recorded.items():
            trials[name][row] = values
        trials["failed"][row] = result.failed
        trials["digest"][row] = digest_of(key, result, run.recorded)
        trials["done"][row] = True


def key_in(file: h5py.File, header: Header) -> bytes:
    """The key of the digests of a file's loss trials."""
    attrs = file[GROUP].attrs
    recorded = [name.decode() for name in attrs["recorded"].tolist()]
    return key_of(header.info.fingerprint, "loss", attrs["recipe"], int(attrs["base_seed"]), recorded)


def digest_of(key: bytes, result: LossResult, recorded: Sequence[str]) -> int:
    """A trial's digest."""
    numbers = np.array([result.trial.number, result.trial.seed, result.failed], dtype="<u8")
    course = np.array([*result.train_loss, result.test_accuracy], dtype="<f4")
    columns = [numbers, course, *(result.recorded[name].astype("<f4") for name in recorded)]
    return int(digests(key, [each[None] for each in columns])[0])


def result_at(group: h5py.Group, row: int, recorded: Sequence[str]) -> LossResult:
    """One trial of a file."""
    return LossResult(
        trial=Trial(row, int(group["seed"][row])),
        failed=bool(group["failed"][row]),
        recorded={name: group[name][row] for name in recorded},
        train_loss=group["train_loss"][row],
        test_accuracy=float(group["test_accuracy"][row]),
        seconds=_seconds_at(group, row),
    )


def _seconds_at(group: h5py.Group, row: int) -> float:
    """What a trial took; NaN where that is not stored, or damaged: it is no part of the result."""
    try:
        return float(group["seconds"][row]) if "seconds" in group else math.nan
    except (OSError, RuntimeError, ValueError):
        return math.nan


def estimates(file: h5py.File, header: Header) -> dict[ScoreDefinition, Estimate]:
    """Estimate every recorded score from the trials that ended well; empty if none did.

    Raises:
        ValueError: if a trial does not fit its digest.
    """
    known = read(file, header.info)
    if not known.done:
        return {}
    group, key = file[GROUP], key_in(file, header)
    shape = len(known.done), header.info.num_samples
    values = {name: np.empty(shape, np.float32) for name in known.recorded}
    for place, row in enumerate(known.done):
        result = result_at(group, row, known.recorded)
        if digest_of(key, result, known.recorded) != int(group["digest"][row]):
            raise ValueError(f"loss trial {row} does not fit its checksum")
        for name in known.recorded:
            values[name][place] = result.recorded[name]
    members = class_members(header.labels, header.info.num_classes)
    return {score: mean_over_trials(values[score.name], members) for score in known.scores}


def _create(file: h5py.File, header: Header, run: LossRun) -> None:
    trials = file.create_group(GROUP)
    trials.attrs["recipe"] = run.recipe.to_json()
    trials.attrs["base_seed"] = np.uint64(run.base_seed)
    write_text_list(trials, "recorded", list(run.recorded))
    trials.attrs["scores"] = json.dumps([score.described() for score in run.scores])
    create_rows(trials, "seed", "u8", (), 0)
    create_rows(trials, "train_loss", "f4", (run.recipe.epochs,), np.nan)
    create_rows(trials, "test_accuracy", "f4", (), np.nan)
    create_rows(trials, "seconds", "f4", (), np.nan)
    create_rows(trials, "failed", "u1", (), 0)
    create_rows(trials, "digest", "u8", (), 0)
    create_rows(trials, "done", "u1", (), 0)
    for name in run.recorded:
        create_rows(trials, name, "f4", (header.info.num_samples,), np.nan)
