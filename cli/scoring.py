"""goldore score."""

import logging
import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from goldore.errors import GoldoreError, UsageError
from goldore.networks.config import DEFAULT_FAMILY, FAMILIES, network_of
from goldore.runs.budget import Budget
from goldore.runs.launching import rank_and_size
from goldore.scores import MONTE_CARLO, TRAINING_SCORES, TrainingScore, find_scores
from goldore.trials import DistillRecipe, EvalSplit, LossRecipe, UtilityRecipe
from goldore.wording import plural

from .screen import err, line, reports_errors, warn
from .signals import exit_code
from .workers import share_out

if TYPE_CHECKING:
    from goldore.datasets.pixels import Channels

_DATA, _NETWORK, _TRAINING, _RUN = "Dataset", "Proxy network", "Training", "Run"
_UTILITY = "MonteCarlo (utility trials)"
_BEFORE_RANK_SPEAKS = 2.0  # seconds in which rank 0 may say the same, and this process be stopped
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LOSS_ONLY = {"trials": "--utility-trials", "epochs": "--steps", "init_epochs": "", "converge_epochs": ""}
_UTILITY_ONLY = {
    "utility_trials": "--trials",
    "steps": "--epochs",
    **dict.fromkeys(
        (
            "subset_per_class",
            "until_reliability",
            "max_trials",
            "max_time",
            "outcome",
            "estimator",
            "eval_split",
            "eval_per_class",
            "trial",
            "distill_method",
            "distill_steps",
            "distill_lr",
            "images_per_class",
            "real_batch",
            "common_init",
        ),
        "",
    ),
}


@reports_errors
def score_command(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A name (MNIST, FashionMNIST, KMNIST, SVHN, CIFAR10, CIFAR100, STL10, Imagenette, "
            "TinyImageNet), a folder of IDX files or of class folders, a .npz or .h5 file, tfds:NAME, or "
            "package.module:function. FashionMNIST-sample is bundled.",
        ),
    ] = "FashionMNIST-sample",
    *,
    data_root: Annotated[
        Path,
        typer.Option(help="Folder of the named datasets, like torchvision's root.", rich_help_panel=_DATA),
    ] = Path("data"),
    download: Annotated[
        bool,
        typer.Option("--download", help="Download a named dataset if it is missing.", rich_help_panel=_DATA),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset in files and tables.", rich_help_panel=_DATA)
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Class folders: resize the shorter side, then crop the centre square.", rich_help_panel=_DATA
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Class folders: read only these, separated by commas.", rich_help_panel=_DATA),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            help="Arrays: where the channels are: auto (detected), first or last.", rich_help_panel=_DATA
        ),
    ] = "auto",
    mean: Annotated[
        str | None,
        typer.Option(
            help="Per-channel mean for normalisation, 0..1, separated by commas "
            "(default: the training set's).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            help="Per-channel standard deviation, in the same form (default: the training set's).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    scores: Annotated[
        str,
        typer.Option(
            help="LossInit, LossConverge, MonteCarlo (or loss-init, ...), or package.module:NAME for a score "
            "of your own, separated by commas."
        ),
    ] = "LossInit,LossConverge",
    trials: Annotated[
        int,
        typer.Option(
            help="Total number of loss trials (full trainings) in the file; at least two are needed for "
            "error bars."
        ),
    ] = 5,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The score file (default: scores_cache/<dataset>.h5; $GOLDORE_CACHE names another folder)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Base seed of all trials.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that holds another run.")
    ] = False,
    trial_range: Annotated[
        str | None,
        typer.Option(
            metavar="A:B", help="Run only trials A to B-1; merge the files later.", rich_help_panel=_RUN
        ),
    ] = None,
    subset_per_class: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Samples of each class that a trial draws (default: the smallest number whose accuracy is "
            "clearly above chance in a pilot).",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    utility_trials: Annotated[
        int | None,
        typer.Option(
            metavar="M",
            help="Total number of utility trials in the file (default: enough to draw every sample twice, at "
            "least 100).",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    until_reliability: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="Instead, add trials until the ranking has this reliability.",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    max_trials: Annotated[
        int | None,
        typer.Option(
            help="With --until-reliability: at most this many (default: 100000).", rich_help_panel=_UTILITY
        ),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time limit from the first trial on: 90s, 30m or 2h.",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps per trial.", rich_help_panel=_UTILITY)] = 50,
    outcome: Annotated[
        str | None,
        typer.Option(
            help="accuracy, logprob or margin of the class. All are stored; this one is used (default: as in "
            "the file, or accuracy).",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            help="in-minus-out, in-mean (the paper's form) or ridge (default: as in the file, or "
            "in-minus-out).",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    eval_split: Annotated[
        str,
        typer.Option(
            help="test: evaluate on the test split; heldout: on training samples, from the half that the "
            "trial does not draw from.",
            rich_help_panel=_UTILITY,
        ),
    ] = "test",
    eval_per_class: Annotated[
        int,
        typer.Option(help="Evaluation images of each class; 0 uses all.", rich_help_panel=_UTILITY),
    ] = 100,
    trial: Annotated[
        str,
        typer.Option(
            help="real: train on the drawn samples; distill: train on synthetic images distilled from them, "
            "as in the paper.",
            rich_help_panel=_UTILITY,
        ),
    ] = "real",
    distill_method: Annotated[
        str | None,
        typer.Option(
            help="With --trial distill: dm (distribution matching, the default) or dc (gradient matching).",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    distill_steps: Annotated[
        int | None,
        typer.Option(help="Updates of the synthetic images (default: 100).", rich_help_panel=_UTILITY),
    ] = None,
    distill_lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of the synthetic images (default: 1 for dm, 0.1 for dc).",
            rich_help_panel=_UTILITY,
        ),
    ] = None,
    images_per_class: Annotated[
        int | None,
        typer.Option(
            help="Synthetic images of each class that a trial distils (default: 1).", rich_help_panel=_UTILITY
        ),
    ] = None,
    real_batch: Annotated[
        int | None,
        typer.Option(
            help="Real images of each class in a distillation step (default: 256).", rich_help_panel=_UTILITY
        ),
    ] = None,
    common_init: Annotated[
        int,
        typer.Option(
            metavar="B",
            help="B consecutive trials share their initial weights and are compared with each other.",
            rich_help_panel=_UTILITY,
        ),
    ] = 1,
    epochs: Annotated[
        int, typer.Option(help="Passes over the training set.", rich_help_panel=_TRAINING)
    ] = 30,
    init_epochs: Annotated[
        int | None,
        typer.Option(
            help="LossInit averages the first K epochs (default: 5, at most half of them).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    converge_epochs: Annotated[
        int | None,
        typer.Option(
            help="LossConverge averages the last K epochs (default: 5, at most half of them).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples per step.", rich_help_panel=_TRAINING)] = 256,
    lr: Annotated[float, typer.Option(help="Learning rate of SGD.", rich_help_panel=_TRAINING)] = 0.01,
    momentum: Annotated[float, typer.Option(help="Momentum of SGD.", rich_help_panel=_TRAINING)] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.", rich_help_panel=_TRAINING)] = 5e-4,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Precision of activations, in training and scoring: float32 or bf16 (default: as in the "
            "file, or bf16 where the device has units for it).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"Family of proxy networks ({', '.join(FAMILIES)}) and its settings, as NAME,KEY=VALUE: "
            "convnet,width=64.",
            rich_help_panel=_NETWORK,
        ),
    ] = DEFAULT_FAMILY,
    depth: Annotated[
        int | None,
        typer.Option(
            help="Blocks (default: 3 up to 32 pixels, 4 at 64, 5 at 128, 6 from 224).",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels of every block (default: 128).", rich_help_panel=_NETWORK)
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(help="instance (default), batch, layer, group or none.", rich_help_panel=_NETWORK),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(help="relu (default), leakyrelu, sigmoid or swish.", rich_help_panel=_NETWORK),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="avg (default), max or none.", rich_help_panel=_NETWORK)
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="auto (all CUDA devices, else the CPU), cuda, cuda:1 (one), cuda:0,2 (several) or cpu.",
            rich_help_panel=_RUN,
        ),
    ] = "auto",
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="P",
            help="Processes that share the trials (default: one per CUDA device).",
            rich_help_panel=_RUN,
        ),
    ] = None,
    ensemble_size: Annotated[
        int | None,
        typer.Option(
            help="Networks trained at once (default: on a CPU 1, or 8 for utility trials; on CUDA the "
            "fastest that fits in memory, measured).",
            rich_help_panel=_RUN,
        ),
    ] = None,
    compile_mode: Annotated[
        str,
        typer.Option(
            "--compile", help="torch.compile: on, off, or auto (where it pays).", rich_help_panel=_RUN
        ),
    ] = "auto",
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="The same command gives the same bits on the same machine; slower on CUDA.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.", rich_help_panel=_RUN)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print what was detected.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Train proxy networks on DATASET and write every sample's scores to an HDF5 file.

    The same command resumes an interrupted run; with a larger --trials it adds to the file.
    """
    shared: dict[str, Any] = {
        "network": network_of(
            network, depth=depth, width=width, norm=norm, activation=activation, pooling=pooling
        ),
        "batch_size": batch_size,
        "lr": lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "mean": _numbers(mean, "--mean"),
        "std": _numbers(std, "--std"),
        "precision": precision,
    }
    recipe = LossRecipe(epochs=epochs, init_epochs=init_epochs, converge_epochs=converge_epochs, **shared)
    utility = UtilityRecipe(
        subset_per_class=subset_per_class,
        steps=steps,
        eval_split=cast("EvalSplit", eval_split),  # checked by UtilityRecipe itself
        eval_per_class=eval_per_class or None,
        common_init=common_init,
        distill=_distill_recipe(
            trial,
            method=distill_method,
            distill_steps=distill_steps,
            distill_lr=distill_lr,
            images_per_class=images_per_class,
            real_batch=real_batch,
        ),
        **shared,
    )
    _check_used(context, scores)
    max_seconds = _seconds(max_time)
    only_trials = _trial_range(trial_range)
    Budget(utility_trials, until_reliability, max_trials, max_seconds, only_trials)  # says what is wrong
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other; leave one out.")

    from .watching import ScreenWatcher, show_result

    warnings.showwarning = lambda message, *_, **__: warn(f"{str(message).rstrip('.')}.")
    logging.getLogger("torch.utils.cpp_extension").setLevel(
        logging.ERROR
    )  # compiling without CUDA is no news
    place = rank_and_size()
    if place is None:
        share_out(processes, device)
    else:
        if processes is not None and "GOLDORE_WORKER" not in os.environ:
            raise UsageError("torchrun says how many processes there are; leave --processes out.")
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what it says of lost connections, we say too
    rank, size = place or (0, 1)
    watcher = ScreenWatcher(quiet=quiet or rank > 0, verbose=verbose and not rank)
    watcher.say("loading torch and the dataset ...", verbose_only=True)
    try:
        from goldore import load_dataset

        loaded = load_dataset(
            dataset,
            data_root=data_root,
            download=download,
            name=name,
            image_size=image_size,
            classes=[each.strip() for each in classes.split(",")] if classes is not None else None,
            channels=cast("Channels", channels),
        )
        # Only now torch, which takes seconds to import: a mistyped dataset is reported at once.
        from goldore.runs.scoring import score
        from goldore.runs.team import find_team
        from goldore.training.devices import keep_freed_memory

        keep_freed_memory()
        with watcher:
            result = score(
                loaded,
                scores=[each for each in scores.split(",") if each.strip()],
                trials=trials,
                recipe=recipe,
                utility=utility,
                utility_trials=utility_trials,
                until_reliability=until_reliability,
                max_trials=max_trials,
                max_seconds=max_seconds,
                outcome=outcome,
                estimator=estimator,
                trial_range=only_trials,
                seed=seed,
                device=device,
                ensemble_size=ensemble_size,
                compile_mode=compile_mode,
                deterministic=deterministic,
                out=out,
                overwrite=overwrite,
                watcher=watcher,
                team=find_team(),
            )
    except KeyboardInterrupt as interrupt:
        if rank == 0:
            line(err(), _interrupted(watcher.kept, watcher.out, shared=size > 1))
        raise typer.Exit(exit_code(interrupt)) from None
    except GoldoreError as error:
        if rank > 0:
            _wait_for_rank_0()
            raise type(error)(f"rank {rank}: {error}") from error
        raise
    if not quiet and rank == 0:
        show_result(result)


def _check_used(context: typer.Context, scores: str) -> None:
    """Refuse options that would do nothing: of the other kind of trials, or --trials beside a range."""
    given = {name: context.get_parameter_source(name) for name in ("trials", "trial_range")}
    if all(source is not None and source.name == "COMMANDLINE" for source in given.values()):
        raise UsageError("--trial-range says which trials to run; leave --trials out.")
    rows = find_scores(scores)
    unused = {} if MONTE_CARLO.name in rows else dict.fromkeys(_UTILITY_ONLY, MONTE_CARLO.name)
    if not any(isinstance(row, TrainingScore) for row in rows.values()):
        unused |= dict.fromkeys(_LOSS_ONLY, " or ".join(TRAINING_SCORES))
    for parameter, wanted in unused.items():
        source = context.get_parameter_source(parameter)
        if source is not None and source.name == "COMMANDLINE":
            instead = (_LOSS_ONLY | _UTILITY_ONLY)[parameter]
            raise UsageError(
                f"`{parameter}` belongs to {wanted}, which --scores does not name; "
                + (f"use {instead} here, or add it." if instead else "leave it out, or add the score.")
            )


def _wait_for_rank_0() -> None:
    """Give rank 0 time to say what is wrong, if it is wrong there as well; this process is then ended."""
    try:
        time.sleep(_BEFORE_RANK_SPEAKS)
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(exit_code(interrupt)) from None


def _interrupted(kept: int, out: Path | None, *, shared: bool) -> str:
    """Say what an interrupted run leaves and how to go on."""
    if out is None or kept == 0:
        return "interrupted: no trial was finished and nothing was written; run the same command again."
    if shared:
        return (
            f"interrupted: {plural(kept, 'trial')} kept, in {out} and part files beside it; run the same "
            "command again to go on, with any number of processes."
        )
    return (
        f"interrupted: {plural(kept, 'trial')} kept in {out}; run the same command again to go on, "
        "or use the file as it is."
    )


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} is {text!r}; give numbers separated by commas, one a channel.") from None


def _distill_recipe(trial: str, **given: Any) -> DistillRecipe | None:
    """The options of --trial distill, those that were given; None for trials on the samples themselves."""
    chosen = {name: value for name, value in given.items() if value is not None}
    if trial not in ("real", "distill"):
        raise UsageError(f"--trial is {trial!r}; choose real or distill.")
    if trial == "real":
        if chosen:
            raise UsageError(
                f"`{next(iter(chosen))}` is an option of --trial distill; add that, or leave it out."
            )
        return None
    return DistillRecipe(**chosen)


def _seconds(text: str | None) -> float | None:
    """A time such as 90s, 30m, 2h or 1.5h; a bare number is seconds."""
    if text is None:
        return None
    unit = _UNITS.get(text[-1:], 0)
    try:
        return float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise UsageError(f"--max-time is {text!r}; give it as 90s, 30m or 2h.") from None


def _trial_range(text: str | None) -> range | None:
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise UsageError(f"--trial-range is {text!r}; it has the form A:B, for example 0:500.")
    return range(int(first), int(last))
