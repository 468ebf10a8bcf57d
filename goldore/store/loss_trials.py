"""Loss trials in a score file, and cross-validations.

/trials/loss         attrs: recipe (JSON), base_seed, recorded, scores (JSON: what each recorded score is),
                     scores_checksum (its sha256), stale (while /scores is still to be estimated)
/trials/loss/<Name>  float32 [T, N]; row t is trial t
/trials/loss/...     predicted int32 [T, N], the class that each trial predicts (after the last epoch of
LossInit's
                     window; of a cross-validation, at the end, by the network that left the sample out),
                     predicted_probability and label_probability float32 [T, N]; not in files of goldore 0.1
/trials/loss/...     seed uint64 [T], train_loss float32 [T, epochs], test_accuracy float32 [T],
                     seconds float32 [T], failed uint8 [T], done uint8 [T],
                     digest uint64 [T] (see `goldore.store.digests`; of all but the seconds)
/trials/fold         likewise, a row a cross-validation
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from goldore.scores import PREDICTED, SCORES, ScoreDefinition
from goldore.scores.dynamics import DYNAMICS
from goldore.scores.estimators import class_members, mean_over_trials
from goldore.store.digests import digests
from goldore.store.format import (
    create_rows,
    node_at,
    read_attribute,
    read_per_trial,
    read_seconds,
    read_text,
    read_text_list,
    rows_at,
    write_text_list,
)
from goldore.store.model import DatasetInfo, FoldRun, Header, LossResult, LossRun, LossTrials, Score
from goldore.store.trial_kind import Columns, Others, TrialKind
from goldore.trials import FoldRecipe, LossRecipe
from goldore.trials.seeds import Trial, make_fold_trials, make_trials

_OF_TRIALS = ("seed", "failed", "train_loss", "test_accuracy")  # columns beside the scores


class LossKind(TrialKind[LossRun, LossTrials, LossResult]):
    """Trainings on the whole training set, which record the samples' scores.

    Args:
        run: what its trials share.
        recipe: of them.
    """

    result = LossResult
    tells: ClassVar[tuple[str, ...]] = ("utility",)
    make_trials = staticmethod(make_trials)

    def __init__(self, run: type[LossRun], recipe: type[LossRecipe]) -> None:
        self.name = run.kind
        self._run, self._recipe = run, recipe

    def read(self, file: h5py.File, info: DatasetInfo) -> LossTrials:
        """Read what the file says of its loss trials, without the [T, N] arrays."""
        group = node_at(file, self.group)
        text = read_text(group, "recipe")
        recipe = self._recipe.from_json(text)
        scores = read_scores(group)
        rows = len(node_at(file, f"{self.group}/done"))

        def column(name: str, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
            return read_per_trial(file, f"{self.group}/{name}", (rows, *shape), kinds)

        done, failed = (column(name, (), "u").astype(bool) for name in ("done", "failed"))
        predicts = PREDICTED[0] in group
        names = [(score.name, "f") for score in scores]
        names += [(name, "i" if name == PREDICTED[0] else "f") for name in PREDICTED if predicts]
        for name, kinds in names:
            path = f"{self.group}/{name}"
            values = rows_at(file, path, (rows, info.num_samples), kinds)
            held = values.id.get_storage_size()
            if values.maxshape[0] is not None or held < 4 * info.num_samples * done.sum():
                raise ValueError(f"{path} holds fewer trials than it claims")
        return LossTrials(
            recipe=recipe,
            base_seed=int(read_attribute(group, "base_seed")),
            scores=scores,
            assumed=recipe.settings_left_out(text),
            done=tuple(int(row) for row in np.flatnonzero(done & ~failed)),
            failed=tuple(int(row) for row in np.flatnonzero(done & failed)),
            seed=column("seed", (), "u"),
            train_loss=column("train_loss", (recipe.epochs,), "f"),
            test_accuracy=column("test_accuracy", (), "f"),
            seconds=read_seconds(file, f"{self.group}/seconds", rows),
            predicts=predicts,
        )

    def run_of(self, trials: LossTrials, made_on: Mapping[str, str]) -> LossRun:
        """What these trials share."""
        return self._run(trials.recipe, trials.base_seed, trials.scores, **made_on)

    def run_in(self, group: h5py.Group, made_on: Mapping[str, str]) -> LossRun:
        """The same from a file's attributes alone."""
        recipe = self._recipe.from_json(read_text(group, "recipe"))
        scores = read_scores(group, damaged=True)
        return self._run(recipe, int(read_attribute(group, "base_seed")), scores, **made_on)

    def continuing(self, run: LossRun, trials: LossTrials) -> LossRun:
        """It records what they record."""
        return dataclasses.replace(run, scores=trials.scores)

    def run_from_json(self, fields: dict[str, Any]) -> LossRun:
        """Read back what the run's `to_json` gave."""
        scores = tuple(ScoreDefinition.from_described(each) for each in fields["scores"])
        return self._run(**{**fields, "recipe": self._recipe.from_json(fields["recipe"]), "scores": scores})

    def differences(self, trials: LossTrials, run: LossRun) -> list[tuple[str, Any, Any]]:
        """A run can record fewer scores than are there, not others."""
        if not set(run.recorded) <= set(trials.recorded):
            return [("scores", ",".join(trials.recorded), ",".join(run.recorded))]
        there = {score.name: score.described() for score in trials.scores}
        theirs = [score for score in run.scores if score.name not in SCORES]
        ours = [row for row in DYNAMICS if row.name in there]  # recorded whether they are asked for or not
        return [
            (f"{key} of {score.name}", there[score.name][key], text)
            for score in (*theirs, *ours)
            for key, text in score.described().items()
            if there[score.name][key] != text
        ]

    def create(self, file: h5py.File, header: Header, run: LossRun) -> None:
        """Make the group with its attributes and empty columns."""
        group = file.create_group(self.group)
        group.attrs["recipe"] = run.recipe.to_json()
        group.attrs["base_seed"] = np.uint64(run.base_seed)
        write_text_list(group, "recorded", list(run.recorded))
        text = json.dumps([score.described() for score in run.scores])
        group.attrs.update({"scores": text, "scores_checksum": _checksum(text)})
        for name, dtype in (("seed", "u8"), ("failed", "u1"), ("digest", "u8"), ("done", "u1")):
            create_rows(group, name, dtype, (), 0)
        for name, shape in (("train_loss", (run.recipe.epochs,)), ("test_accuracy", ()), ("seconds", ())):
            create_rows(group, name, "f4", shape, np.nan)
        for name in run.recorded:
            create_rows(group, name, "f4", (header.info.num_samples,), np.nan)
        for name in PREDICTED:
            whole = name == PREDICTED[0]
            create_rows(
                group, name, "i4" if whole else "f4", (header.info.num_samples,), -1 if whole else np.nan
            )

    def update(self, group: h5py.Group, run: LossRun) -> None:
        """Nothing may change."""

    def shared(self, group: h5py.Group) -> list[Any]:
        """Recipe, base seed and the names of the scores."""
        return [group.attrs["recipe"], int(group.attrs["base_seed"]), list(read_text_list(group, "recorded"))]

    def content_names(self, group: h5py.Group) -> list[str]:
        """The small columns, then the scores."""
        return [
            *_OF_TRIALS,
            *read_text_list(group, "recorded"),
            *(name for name in PREDICTED if name in group),
        ]

    def columns_of(self, results: Sequence[LossResult], names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Trials as rows of columns."""
        columns: dict[str, NDArray[Any]] = {
            "seed": np.array([result.trial.seed for result in results], dtype="<u8"),
            "failed": np.array([result.failed for result in results], dtype="u1"),
            "train_loss": np.stack([result.train_loss for result in results]).astype("<f4"),
            "test_accuracy": np.array([result.test_accuracy for result in results], dtype="<f4"),
        }
        for name in names:
            if name not in _OF_TRIALS:
                dtype, empty = ("<i4", -1) if name == PREDICTED[0] else ("<f4", np.nan)
                samples = len(next(iter(results[0].recorded.values())))
                nothing = np.full(samples, empty)  # of what a trial predicts, where it does not say
                there = [result.recorded.get(name, nothing) for result in results]
                columns[name] = np.stack(there).astype(dtype)
        columns["seconds"] = np.array([result.seconds for result in results], dtype="<f4")
        return columns

    def results_of(self, numbers: NDArray[np.int64], columns: Columns) -> list[LossResult]:
        """Trials from rows of columns."""
        recorded = [*_scores_among(columns), *_predicted_among(columns)]
        return [
            LossResult(
                trial=Trial(int(number), int(columns["seed"][row])),
                failed=bool(columns["failed"][row]),
                recorded={name: columns[name][row] for name in recorded},
                train_loss=columns["train_loss"][row],
                test_accuracy=float(columns["test_accuracy"][row]),
                seconds=float(columns["seconds"][row]) if "seconds" in columns else math.nan,
            )
            for row, number in enumerate(numbers)
        ]

    def digests_of(self, key: bytes, numbers: NDArray[np.int64], columns: Columns) -> NDArray[np.uint64]:
        """The digest of each trial: number, seed and failed as three uint64, then the other columns."""
        head = [numbers.astype("<u8"), *(columns[name].astype("<u8") for name in ("seed", "failed"))]
        rest = ("train_loss", "test_accuracy", *_scores_among(columns), *_predicted_among(columns))
        return digests(key, [*head, *(columns[name] for name in rest)])

    def derived(self, run: LossRun, numbers: Sequence[int]) -> list[Trial]:
        """The trials of a run with these numbers."""
        return self.make_trials(run.base_seed, numbers)

    def size_of(self, header: Header, run: LossRun, results: Sequence[LossResult]) -> int:
        """Upper estimate, in bytes, of what a file grows by: these results, and their scores."""
        of_scores = len(run.recorded) * (2 * 8 + 2 * 4 + 4 * len(results))
        return header.info.num_samples * (of_scores + 4 * len(PREDICTED) * len(results))

    def score_names(self, trials: LossTrials) -> tuple[str, ...]:
        """Those that each trial recorded."""
        return trials.recorded if trials.done else ()

    def estimates(self, file: h5py.File, header: Header, others: Others) -> list[Score]:
        """Average every recorded score over the trials that ended well."""
        del others
        known = self.read(file, header.info)
        if not known.done:
            return []
        shape = len(known.done), header.info.num_samples
        values = {name: np.empty(shape, np.float32) for name in known.recorded}
        place = 0
        for numbers, columns, fit in self.blocks(file, header, np.array(known.done)):
            if not fit.all():
                raise ValueError(f"loss trial {numbers[~fit][0]} does not fit its checksum")
            for name, all_trials in values.items():
                all_trials[place : place + len(numbers)] = columns[name]
            place += len(numbers)
        members = class_members(header.labels, header.info.num_classes)
        return [Score.of(score, mean_over_trials(values[score.name], members)) for score in known.scores]


class FoldKind(LossKind):
    """Cross-validations: a row is over all networks of one."""

    tells: ClassVar[tuple[str, ...]] = ()
    make_trials = staticmethod(make_fold_trials)


LOSS = LossKind(LossRun, LossRecipe)
FOLD = FoldKind(FoldRun, FoldRecipe)


def _scores_among(columns: Columns) -> list[str]:
    """Names of the scores: they begin with a capital, and no other column does."""
    return [name for name in columns if name[:1].isupper()]


def _predicted_among(columns: Columns) -> list[str]:
    """Names of the columns of what trials predict, of which older files have none."""
    return [name for name in PREDICTED if name in columns]


def read_scores(group: h5py.Group, *, damaged: bool = False) -> tuple[ScoreDefinition, ...]:
    """What each recorded score is: as the file says, or as the table says where it does not.

    Args:
        group: of the loss trials.
        damaged: whether the file may be: a score of a user's own whose description is lost is then unknown.

    Raises:
        ValueError: if such a description is lost in a file that is not known to be damaged.
    """
    try:
        known = _described(group)
    except (ValueError, TypeError, AttributeError, RecursionError):
        known = {}
    recorded = read_text_list(group, "recorded")
    lost = [name for name in recorded if name not in known and name not in SCORES]
    if lost and not damaged:
        raise ValueError(f"it does not say what {lost[0]} is")
    for name in lost:
        known[name] = ScoreDefinition(name=name, definition="unknown: lost to damage", unit="", drops="large")
    return tuple(known.get(name) or SCORES[name] for name in recorded)


def _described(group: h5py.Group) -> dict[str, ScoreDefinition]:
    if "scores" not in group.attrs:
        return {}
    text = read_text(group, "scores")
    if read_text(group, "scores_checksum") != _checksum(text):
        raise ValueError("the descriptions of the scores are damaged")
    found = [ScoreDefinition.from_described(each) for each in json.loads(text)]
    return {score.name: score for score in found}


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
