"""The door: what a call of `score` does, stage by stage."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goldore.datasets import ImageDataset, load_dataset
from goldore.errors import DatasetError, UsageError
from goldore.runs.agents import Block, settled_by_others, share
from goldore.runs.budget import MOST_TRIALS, Budget
from goldore.runs.fold_stage import FoldStage
from goldore.runs.job import Job, Settings, Stage
from goldore.runs.kernel_stage import KernelStage
from goldore.runs.loss_stage import LossStage
from goldore.runs.notebook import default_watcher
from goldore.runs.parts import Parts
from goldore.runs.preparation import look_ahead, prepare
from goldore.runs.sharing import shared_watcher
from goldore.runs.team import Team
from goldore.runs.utility_stage import CheckStage, UtilityStage
from goldore.runs.watching import Watcher
from goldore.scores import (
    DEFAULT_SCORES,
    FOLD_SCORES,
    SCORES,
    TrainingScore,
    find_scores,
)
from goldore.store import Header, Run, ScoreFile, default_path, features_path, load_scores
from goldore.store.utility_trials import check_choice
from goldore.training.checkpoints import CHECKPOINT_SECONDS
from goldore.training.devices import (
    describe,
    prepare_determinism,
    resolve_device,
    running_on,
)
from goldore.trials import ARGUMENTS, FoldRecipe, KernelUtilityRecipe, LossRecipe, UtilityRecipe
from goldore.trials.seeds import MAX_SEED
from goldore.version import __version__

_FEWEST_CHECKS = 20
_BLOCK_OF_CARDS = 8  # loss trials that an agent with a card takes at once
DEFAULT_TRIALS = 5  # why: docs/scores.md
DEFAULT_FOLD_TRIALS = 2


def score(
    source: Any,
    *,
    scores: str | Sequence[str] = DEFAULT_SCORES,
    trials: int = DEFAULT_TRIALS,
    recipe: LossRecipe | None = None,
    fold_trials: int = DEFAULT_FOLD_TRIALS,
    fold: FoldRecipe | None = None,
    utility: UtilityRecipe | None = None,
    kernel_utility: KernelUtilityRecipe | None = None,
    utility_trials: int | None = None,
    check_trials: int | None = None,
    until_reliability: float | None = None,
    max_trials: int | None = None,
    max_seconds: float | None = None,
    outcome: str | None = None,
    estimator: str | None = None,
    trial_range: range | None = None,
    seed: int = 0,
    device: str = "auto",
    ensemble_size: int | None = None,
    compile_mode: str = "auto",
    deterministic: bool = False,
    features: bool = False,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
    out: str | Path | None = None,
    overwrite: bool = False,
    shared: bool = False,
    dry_run: bool = False,
    data_root: str | Path = "data",
    download: bool = False,
    name: str | None = None,
    image_size: int | None = None,
    cache: str | Path | None = "auto",
    watcher: Watcher | None = None,
    team: Team | None = None,
) -> ScoreFile:
    """Score every training sample of a dataset and write a score file.

    Trains `trials` proxy networks on the whole training set and records each sample's loss; one training
    serves both loss scores. For HeldOutLoss and Memorization, cross-validates. For MonteCarlo, trains proxy
    networks on drawn subsets. For KernelUtility, looks at all images with `trials` groups of untrained
    networks. A file that already holds trials of the same dataset, recipe and seed is resumed: only missing
    trials are trained. Results do not depend on `ensemble_size` or on what was resumed, beyond rounding.

    Args:
        source: what `load_dataset` takes: a name, a path, arrays, a torch Dataset, ...
        scores: names of rows of `goldore.scores.SCORES` ("LossInit", "EL2N", "MonteCarlo", ...), or
            "package.module:NAME" of a `goldore.scores.TrainingScore` of your own, as a list or separated by
            commas; "all" names all that loss trials give.
        trials: loss trials, and groups of untrained networks for KernelUtility, that the file shall hold in
            the end, 1 or more; two give standard errors.
        recipe: how to train loss trials; None takes the defaults. Depth, mean and std are filled in from
            the dataset where they are None.
        fold_trials: cross-validations that the file shall hold in the end, each of as many trainings as it
            has folds.
        fold: how they train, likewise.
        utility: how to train utility trials, likewise; a pilot chooses subset_per_class where it is None.
        kernel_utility: how KernelUtility looks at the samples, likewise.
        utility_trials: that the file shall hold in the end; None: as many as draw every sample twice, and at
            least 100.
        check_trials: networks to train on drawn subsets beside KernelUtility, or a MonteCarlo of kernel
            trials, to measure how well these agree with them; those that the file holds count.
        until_reliability: instead, add utility trials until the ranking by MonteCarlo has this reliability.
        max_trials: stop then at so many utility trials; None: 100,000.
        max_seconds: stop the utility trials after so long, counted from the first one.
        outcome: of a utility trial that MonteCarlo is about: "accuracy", "logprob" or "margin"; None: as in
            the file, or accuracy.
        estimator: of MonteCarlo: "in-minus-out", "in-mean", "ridge", or "shrunk" towards KernelUtility and
            losses in the same file; None: as in the file, or in-minus-out.
        trial_range: run only the trials with these numbers, to be merged with others later.
        seed: base seed, 0 to 2**63 - 1.
        device: "auto", "cuda", "cuda:1" or "cpu"; of a team also "cuda:0,2", which are shared out by local
            rank, as all cards are by "auto" and "cuda".
        ensemble_size: networks trained at once; None chooses. Running out of memory lowers it.
        compile_mode: "on" or "off" for torch.compile; "auto": where it pays.
        deterministic: the same call gives the same bits on the same machine; on CUDA that is slower.
        features: also keep features of the samples, what the head of the first loss trial's network gets in
            the end, as float16 [N, F] in <score file>-features.npy; selection rules may need them.
        checkpoint_seconds: keep a training of loss trials or cross-validations that takes longer on the disk
            every so often, and when a signal asks the process to end, so that it goes on from there; None
            keeps none.
        out: the score file; None takes `<dataset>.h5` in the folder that the environment variable
            GOLDORE_CACHE names, or in scores_cache.
        overwrite: replace an existing file of another run.
        shared: share the trials with all who make the same call, on any machine that sees the file: whoever
            is free takes the next ones, those of an agent that is gone are taken over, and the last one joins
            all. `utility_trials` and `subset_per_class` must be said then.
        dry_run: train nothing and write nothing: the watcher is told of the plan, and what it would take.
        data_root: folder of the named datasets.
        download: let torchvision fetch a named dataset that is missing.
        name: of the dataset in files and tables; None takes its own.
        image_size: as of `load_dataset`: for images that are to be resized.
        cache: as of `load_dataset`: where decoded images are kept.
        watcher: told how the run goes; of a team, rank 0's is told of all. None shows it in a notebook, and
            nothing elsewhere.
        team: processes that share the trials, of `goldore.runs.team.find_team`: each calls this function with
            the same arguments, and writes a part file that rank 0 joins. None: this process alone.

    Returns:
        The content of the score file; on a rank of a team that does not see it, of this rank's part.

    Raises:
        UsageError: if an argument is wrong.
        DatasetError: if the dataset cannot be read.
        ScoreFileError: if the file holds another run and overwrite is not set.
        LockedError: if another process writes to the file.
        OutOfMemoryError: if the device's memory does not suffice.
        GoldoreError: if all trials diverge, or the file cannot be written.
    """
    rows = find_scores(scores)
    kinds = {row.kind for row in rows.values()}
    recorded = {name: row for name, row in rows.items() if isinstance(row, TrainingScore)}
    _check_numbers({"trials": trials, "fold_trials": fold_trials}, seed, ensemble_size)
    check_choice(outcome, estimator)
    _check_kinds(kinds, trial_range, features=features)
    budget = Budget(utility_trials, until_reliability, max_trials, max_seconds, trial_range)
    team = team or Team()
    where = resolve_device(device, team.local_rank if team.size > 1 else None)
    if shared:
        single = estimator == "shrunk" or {check_trials, trial_range, max_seconds} != {None}
        _check_shared("utility" in kinds, utility, budget, overwrite=overwrite, single=single)
        team = Team()  # each is an agent of its own
    if deterministic:
        prepare_determinism(where)
    told = shared_watcher(watcher or default_watcher(), team)
    dataset = load_dataset(
        source,
        data_root=data_root,
        download=download,
        name=name,
        image_size=image_size,
        cache=cache,
        told=told.preparing,
        looks_only=dry_run,
    )
    told.dataset_read(dataset)
    _check_rankable(dataset)
    parts = Parts(Path(out) if out is not None else default_path(dataset.name), team)
    job = Job(
        dataset=dataset,
        header=Header.of(dataset),
        parts=parts,
        device=where,
        settings=Settings(ensemble_size, compile_mode, deterministic),
        watcher=told,
        seed=seed,
        overwrite=overwrite,
        made_on={"device": describe(where), "torch_version": str(torch.__version__)},
        checkpoint_seconds=checkpoint_seconds,
        dry=dry_run,
    )
    utility = utility or UtilityRecipe()
    if shared:
        recipe, fold, utility, kernel_utility = _as_settled(
            {"loss": recipe, "fold": fold, "utility": utility, "kernel": kernel_utility},
            settled_by_others(parts.path),
        )
    stages: list[Stage] = []
    compared: list[UtilityStage | KernelStage] = []
    numbers = range(trials) if trial_range is None else trial_range
    if "kernel" in kinds:
        compared.append(KernelStage(job, kernel_utility or KernelUtilityRecipe(), numbers))
        stages.append(compared[-1])
    if recorded:
        stages.append(LossStage(job, recipe or LossRecipe(), recorded, numbers, features=features))
    if "fold" in kinds:
        of_folds = range(fold_trials) if trial_range is None else trial_range
        stages.append(FoldStage(job, fold or FoldRecipe(), FOLD_SCORES, of_folds))
    if "utility" in kinds:
        monte_carlo = UtilityStage(
            job, utility, budget, outcome, estimator, has_prior=bool(compared or recorded)
        )
        stages.append(monte_carlo)
        compared += [monte_carlo] if utility.kernel is not None else []
    if check_trials is not None:
        _check_comparable(check_trials, utility, trial_range, any_compared=bool(compared))
        stages.append(CheckStage(job, utility, check_trials, compared))
    if shared and not dry_run:
        numbers_of = {"trials": trials, "fold_trials": fold_trials, "utility_trials": utility_trials or 0}
        wanted = {kind: numbers_of[about.number] for kind, about in ARGUMENTS.items()}
        same = {
            "outcome": outcome,
            "estimator": estimator,
            "seed": seed,
            "device": str(where),
            "ensemble_size": ensemble_size,
            "compile_mode": compile_mode,
            "deterministic": deterministic,
            "checkpoint_seconds": checkpoint_seconds,
        }
        _share(job, stages, wanted, _by_kind(scores), features, same)
        return load_scores(parts.path)
    with running_on(where, deterministic=deterministic):
        (_only_plan if dry_run else _train)(job, stages)
    return _seen(parts, job)


def _as_settled(given: dict[str, Any], settled: dict[str, dict[str, Any]]) -> list[Any]:
    """Recipes in which is filled in what other agents have settled of what they leave open."""
    found = []
    for kind, recipe in given.items():
        whole = recipe or ARGUMENTS[kind].usual
        is_open = {
            name: value for name, value in settled.get(kind, {}).items() if getattr(whole, name) is None
        }
        found.append(replace(whole, **is_open))
    return found


def _share(
    job: Job,
    stages: Sequence[Stage],
    wanted: dict[str, int],
    names: dict[str, list[str]],
    features: bool,
    same: dict[str, Any],
) -> None:
    """Be one of the agents of a shared run."""
    there = load_scores(job.parts.path, only=()).loss_trials if job.parts.path.exists() else None
    if features and there is not None and 0 in there.done and not features_path(job.parts.path).exists():
        raise UsageError(
            f"trial 1 is in {job.parts.path} without its features; make them without `shared` first."
        )
    size = job.settings.ensemble_size or (1 if job.device.type == "cpu" else _BLOCK_OF_CARDS)
    train = partial(_train_block, job.dataset, names, features, same)
    share(job, stages, {kind: wanted[kind] for kind in names}, size, train)


def _train_block(
    dataset: ImageDataset,
    names: dict[str, list[str]],
    features: bool,
    same: dict[str, Any],
    block: Block,
    run: Run,
    part: Path,
    watcher: Watcher,
) -> None:
    """Train a block of a shared run, as it was planned, into a file of its own."""
    recorded = [name for name in getattr(run, "recorded", ()) if name in SCORES]
    asked = dict.fromkeys([*names[block.kind], *recorded])
    about = {
        "scores": list(asked),
        "trial_range": range(block.first, block.stop),
        "features": features and block.kind == "loss" and block.first == 0,
        ARGUMENTS[block.kind].recipe: run.recipe,
        **same,
    }
    score(dataset, out=part, watcher=watcher, team=Team(keeps_failed=True), **about)


def _train(job: Job, stages: Sequence[Stage]) -> None:
    """Train what is missing, stage by stage."""
    parts = job.parts
    with parts.locked():
        plans, existing = prepare(job, stages)
        for stage, run, notes in zip(stages, plans.runs, plans.notes, strict=True):
            with parts.estimated():
                stage.train(run, existing, notes)
            existing = load_scores(parts.path, only=()) if parts.path.exists() else None
        try:
            parts.close(plans.runs)
        finally:
            parts.team.leave()


def _only_plan(job: Job, stages: Sequence[Stage]) -> None:
    """Say what would be trained."""
    plans, existing = look_ahead(job, stages)
    for stage, run, notes in zip(stages, plans.runs, plans.notes, strict=True):
        stage.train(run, existing, notes)


def _seen(parts: Parts, job: Job) -> ScoreFile:
    """What this process sees of the run: the score file, else its part, else that it trained nothing."""
    there = next((path for path in (parts.path, parts.own) if path.exists()), None)
    if there is not None:
        return load_scores(there)
    return ScoreFile(
        path=parts.path,
        dataset=job.header.info,
        labels=job.header.labels,
        score_names=(),
        scores={},
        loss_trials=None,
        created="",
        updated="",
        goldore_version=__version__,
        device=job.made_on["device"],
        torch_version=job.made_on["torch_version"],
    )


def _check_rankable(dataset: ImageDataset) -> None:
    """Refuse what has nothing to rank.

    Raises:
        DatasetError: if there is one class, or all images are equal.
    """
    if dataset.num_classes == 1:
        raise DatasetError(
            f"{dataset.name} has one class ({dataset.class_names[0]}), so that every loss is 0 and there is "
            "nothing to rank; give a dataset of two or more classes."
        )
    if len(np.unique(dataset.sample_hash)) == 1:
        raise DatasetError(
            f"all {dataset.num_samples} images of {dataset.name} are equal, so that there is nothing to "
            "rank; look at them."
        )


def _check_comparable(
    count: int, utility: UtilityRecipe, trial_range: range | None, *, any_compared: bool
) -> None:
    if not _FEWEST_CHECKS <= count <= MOST_TRIALS:
        raise UsageError(f"`check_trials` is {count}; it must be from {_FEWEST_CHECKS} to {MOST_TRIALS:,}.")
    if not any_compared or utility.distill is not None:
        raise UsageError(
            "`check_trials` are compared with a utility that trains nothing; ask for KernelUtility, or for "
            "MonteCarlo of kernel trials."
        )
    if trial_range is not None:
        raise UsageError("`check_trials` take no `trial_range`; add them when the parts are merged.")


def _by_kind(scores: str | Sequence[str]) -> dict[str, list[str]]:
    """What was asked for, as it was spelled, by the kind of trials that gives it, in the order of stages."""
    spelled = [each.strip() for each in (scores.split(",") if isinstance(scores, str) else scores)]
    found: dict[str, list[str]] = {kind: [] for kind in ARGUMENTS}
    for each in spelled:
        for row in find_scores([each]).values():
            if each not in found[row.kind]:
                found[row.kind].append(each)
    return {kind: names for kind, names in found.items() if names}


def _check_shared(
    monte_carlo: bool,
    utility: UtilityRecipe | None,
    budget: Budget,
    *,
    overwrite: bool,
    single: bool,
) -> None:
    """See that all agents of a shared run know what is to be done without asking each other."""
    if overwrite:
        raise UsageError("a `shared` run replaces no file; remove the file, or choose another `out`.")
    if single:
        raise UsageError(
            "a `shared` run has no `trial_range`, `max_seconds`, `check_trials` or `estimator` shrunk; add "
            "the last two to the file afterwards, without `shared`."
        )
    if monte_carlo and (budget.trials is None or utility is None or utility.subset_per_class is None):
        raise UsageError(
            "a `shared` run of MonteCarlo needs `utility_trials` and `subset_per_class`, so that all agents "
            "do the same."
        )


def _check_kinds(kinds: set[str], trial_range: range | None, *, features: bool) -> None:
    """See that what is asked for besides suits the kinds of trials."""
    if features and "loss" not in kinds:
        raise UsageError("`features` are those of loss trials; score a loss too, or leave it out.")
    if features and trial_range is not None and 0 not in trial_range:
        raise UsageError(
            "`features` are those of trial 0, which `trial_range` leaves out; leave them out here."
        )
    if trial_range is not None and len(kinds) > 1:
        raise UsageError(
            "`trial_range` numbers the trials of one kind; score the losses, HeldOutLoss and Memorization, "
            "MonteCarlo, and KernelUtility in runs of their own."
        )


def _check_numbers(trials: dict[str, int], seed: int, ensemble_size: int | None) -> None:
    for name, number in trials.items():
        if number < 1:
            raise UsageError(f"`{name}` is {number}; it must be 1 or more.")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"`seed` is {seed}; it must be 0 to {MAX_SEED}.")
    if ensemble_size is not None and ensemble_size < 1:
        raise UsageError(f"`ensemble_size` is {ensemble_size}; it must be 1 or more.")
