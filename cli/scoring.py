"""goldore score."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from goldore.errors import UsageError
from goldore.files.interrupts import interrupts_held_back
from goldore.networks.config import DEFAULT_FAMILY, FAMILIES, network_of
from goldore.runs.budget import Budget
from goldore.scores import (
    DEFAULT_SCORES,
    FOLD_SCORES,
    SCORES,
    find_scores,
)
from goldore.trials import (
    ARGUMENTS,
    MANY_IMAGES,
    DistillRecipe,
    FoldRecipe,
    KernelRecipe,
    KernelUtilityRecipe,
    LossRecipe,
    UtilityRecipe,
)
from goldore.trials.presets import PRESETS, presets_help
from goldore.wording import plain_name, plural

from .carrying import carried_out
from .durations import seconds
from .screen import reports_errors

if TYPE_CHECKING:
    from goldore.datasets.pixels import Channels

_PANELS = ("Dataset", "Proxy network", "Training", "Run", "Utility (MonteCarlo, KernelUtility)")
_data, _network, _training, _run, _utility = (partial(typer.Option, rich_help_panel=each) for each in _PANELS)
_SAMPLE, _OF_SAMPLE = "FashionMNIST-sample", "quick"  # the bundled dataset, and its preset
_KINDS = {kind: " or ".join(name for name, row in SCORES.items() if row.kind == kind) for kind in ARGUMENTS}
_KINDS["loss"] = f"{' or '.join(DEFAULT_SCORES)} or another score of loss trials"
_USED_BY = {  # the kinds of trials that options are about, where these are not all
    "trials": ("loss", "kernel"),
    **dict.fromkeys(("fold_trials", "folds"), ("fold",)),
    **dict.fromkeys(("init_epochs", "features"), ("loss",)),
    **dict.fromkeys(
        ("epochs", "converge_epochs", "lr_schedule", "augment", "shuffle", "checkpoint"), ("loss", "fold")
    ),
    **dict.fromkeys(
        ("batch_size", "lr", "momentum", "weight_decay", "ensemble_size"),
        ("loss", "fold", "utility", "check"),
    ),
    **dict.fromkeys(
        ("subset_per_class", "eval_split", "eval_per_class", "networks", "check_trials"),
        ("utility", "kernel"),
    ),
    "steps": ("utility", "check"),
    **dict.fromkeys(
        (
            "utility_trials",
            "until_reliability",
            "max_trials",
            "max_time",
            "outcome",
            "estimator",
            "trial",
            "distill_method",
            "distill_steps",
            "distill_lr",
            "images_per_class",
            "real_batch",
            "fit",
            "ridge",
            "common_init",
        ),
        ("utility",),
    ),
}
_INSTEAD = {
    "trials": ("utility_trials", "fold_trials"),
    "fold_trials": ("trials", "utility_trials"),
    "utility_trials": ("trials", "fold_trials"),
    "init_epochs": ("converge_epochs",),
    "epochs": ("steps",),
    "steps": ("epochs",),
}


@reports_errors
def score_command(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A name (MNIST, FashionMNIST, KMNIST, SVHN, CIFAR10, CIFAR100, STL10, Imagenette, "
            "TinyImageNet), a folder of class folders, of IDX files or of Hugging Face datasets, a file of "
            "arrays (.npz, .npy, .h5, .pt), .parquet, shards (.tar), tfds:NAME, or package.module:function. "
            "FashionMNIST-sample is bundled.",
        ),
    ] = "FashionMNIST-sample",
    *,
    data_root: Annotated[Path, _data(help="Folder of the named datasets, like torchvision's root.")] = Path(
        "data"
    ),
    download: Annotated[bool, _data("--download", help="Download a named dataset if it is missing.")] = False,
    name: Annotated[str | None, _data(help="Name of the dataset in files and tables.")] = None,
    image_size: Annotated[
        int | None, _data(help="Class folders: resize the shorter side, then crop the centre square.")
    ] = None,
    cache: Annotated[
        str,
        _data(
            metavar="DIR",
            help="Class folders: keep decoded images here, so that they are decoded once. auto: in "
            "$GOLDORE_CACHE/images or the user's cache folder, from 1,000 images on; none: nowhere.",
        ),
    ] = "auto",
    classes: Annotated[str | None, _data(help="Class folders: read only these, separated by commas.")] = None,
    channels: Annotated[
        str, _data(help="Arrays: where the channels are: auto (detected), first or last.")
    ] = "auto",
    mean: Annotated[
        str | None,
        _data(
            help="Per-channel mean for normalisation, 0..1, separated by commas "
            "(default: the training set's)."
        ),
    ] = None,
    std: Annotated[
        str | None,
        _data(help="Per-channel standard deviation, in the same form (default: the training set's)."),
    ] = None,
    scores: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(SCORES)} (or loss-init, ...), all (every score of loss trials), or "
            "package.module:NAME for a score of your own, separated by commas."
        ),
    ] = ",".join(DEFAULT_SCORES),
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Trials, epochs and width that go together: {presets_help()}. The default is standard, and "
            "quick for the bundled sample, unless --epochs or --width is given.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Total number of loss trials (full trainings) in the file, and of groups of untrained "
            "networks for KernelUtility (default: 5, or as --preset says); at least two are needed for error "
            "bars."
        ),
    ] = None,
    fold_trials: Annotated[
        int,
        typer.Option(
            help=f"Total number of cross-validations in the file, for {' and '.join(FOLD_SCORES)}: each "
            "trains as many networks as there are folds."
        ),
    ] = 2,
    features: Annotated[
        bool,
        typer.Option(
            "--features",
            help="Also keep features of the samples, from the first loss trial's network, in "
            "<score file>-features.npy; some rules of goldore prune need them.",
        ),
    ] = False,
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
        str | None, _run(metavar="A:B", help="Run only trials A to B-1; merge the files later.")
    ] = None,
    subset_per_class: Annotated[
        int | None,
        _utility(
            metavar="K",
            help="Samples of each class that a trial draws (default: 1 with --trial kernel and for "
            "KernelUtility, else the smallest number whose accuracy is clearly above chance in a pilot).",
        ),
    ] = None,
    utility_trials: Annotated[
        int | None,
        _utility(
            metavar="M",
            help="Total number of utility trials in the file (default: enough to draw every sample twice, at "
            "least 100).",
        ),
    ] = None,
    check_trials: Annotated[
        int | None,
        _utility(
            metavar="N",
            help="Train N networks on drawn samples, to measure how well KernelUtility or --trial kernel "
            "agrees with them; --max-time does not end these.",
        ),
    ] = None,
    until_reliability: Annotated[
        float | None,
        _utility(metavar="R", help="Instead, add trials until the ranking has this reliability."),
    ] = None,
    max_trials: Annotated[
        int | None, _utility(help="With --until-reliability: at most this many (default: 100000).")
    ] = None,
    max_time: Annotated[
        str | None, _utility(metavar="TIME", help="Time limit from the first trial on: 90s, 30m or 2h.")
    ] = None,
    steps: Annotated[int, _utility(help="Optimiser steps per trial.")] = 50,
    outcome: Annotated[
        str | None,
        _utility(
            help="accuracy, logprob or margin of the class. All are stored; this one is used (default: as in "
            "the file, or accuracy)."
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        _utility(
            help="in-minus-out, in-mean (the paper's form), ridge, or shrunk (towards what KernelUtility and "
            "losses in the file predict; default: as in the file, or in-minus-out)."
        ),
    ] = None,
    eval_split: Annotated[
        str,
        _utility(
            help="test: evaluate on the test split; heldout: on training samples, from the half that the "
            "trial does not draw from."
        ),
    ] = "test",
    eval_per_class: Annotated[
        int | None,
        _utility(
            help="Evaluation images of each class; 0 uses all (default: 1000, or 100 where MonteCarlo trains "
            "networks)."
        ),
    ] = None,
    trial: Annotated[
        str,
        _utility(
            help="real: train on the drawn samples; kernel: fit a linear head to features of untrained "
            "networks, hundreds of times as fast; distill: train on synthetic images distilled from them, as "
            "in the paper."
        ),
    ] = "real",
    distill_method: Annotated[
        str | None,
        _utility(
            help="With --trial distill: dm (distribution matching, the default) or dc (gradient matching)."
        ),
    ] = None,
    distill_steps: Annotated[
        int | None, _utility(help="Updates of the synthetic images (default: 100).")
    ] = None,
    distill_lr: Annotated[
        float | None, _utility(help="Learning rate of the synthetic images (default: 1 for dm, 0.1 for dc).")
    ] = None,
    images_per_class: Annotated[
        int | None, _utility(help="Synthetic images of each class that a trial distils (default: 1).")
    ] = None,
    real_batch: Annotated[
        int | None, _utility(help="Real images of each class in a distillation step (default: 256).")
    ] = None,
    fit: Annotated[
        str | None,
        _utility(
            "--kernel-fit",
            help="With --trial kernel: descent (the optimiser's --steps, the default) or ridge (regression).",
        ),
    ] = None,
    networks: Annotated[
        int | None,
        _utility(
            "--kernel-networks",
            help="Untrained networks whose features are used together, by --trial kernel and KernelUtility "
            "(default: for 2,000 and 1,000 features, at most 16).",
        ),
    ] = None,
    ridge: Annotated[
        float | None, _utility("--kernel-ridge", help="Strength of the ridge (default: 0.1).")
    ] = None,
    common_init: Annotated[
        int,
        _utility(
            metavar="B",
            help="B consecutive trials share their initial weights and are compared with each other.",
        ),
    ] = 1,
    epochs: Annotated[
        int | None, _training(help="Passes over the training set (default: 30, or as --preset says).")
    ] = None,
    init_epochs: Annotated[
        int | None, _training(help="LossInit averages the first K epochs (default: 5, at most half of them).")
    ] = None,
    converge_epochs: Annotated[
        int | None,
        _training(
            help="LossConverge, HeldOutLoss and Memorization average the last K epochs (default: 5, at most "
            "half of them)."
        ),
    ] = None,
    folds: Annotated[
        int,
        _training(
            metavar="K",
            help="Parts of a cross-validation: each network trains without one of them.",
        ),
    ] = 5,
    batch_size: Annotated[int, _training(help="Samples per step.")] = 256,
    lr: Annotated[float, _training(help="Learning rate of SGD.")] = 0.01,
    lr_schedule: Annotated[
        str, _training(help="constant, or cosine: down to 0 over the epochs.")
    ] = "constant",
    augment: Annotated[
        str,
        _training(
            help="Augment what loss trials and cross-validations train on: none, flip-crop or dsa. Samples "
            "are scored as they are."
        ),
    ] = "none",
    shuffle: Annotated[
        str | None,
        _training(
            metavar="HOW",
            help="exact, or blocks:64:20000 (blocks of 64 neighbours stay together, and 20,000 images are "
            "mixed), which reads a disk in order (default: as in the file, or exact where the images fit "
            "into memory).",
        ),
    ] = None,
    momentum: Annotated[float, _training(help="Momentum of SGD.")] = 0.9,
    weight_decay: Annotated[float, _training(help="Weight decay.")] = 5e-4,
    precision: Annotated[
        str | None,
        _training(
            help="Precision of activations, in training and scoring: float32 or bf16 (default: as in the "
            "file, or bf16 where the device has units for it)."
        ),
    ] = None,
    network: Annotated[
        str,
        _network(
            metavar="NAME",
            help=f"Family of proxy networks ({', '.join(FAMILIES)}) and its settings, as NAME,KEY=VALUE "
            "(convnet,width=64; torchvision,model=resnet50), or package.module:function of your own, which "
            "builds a torch module for CHANNELS and CLASSES.",
        ),
    ] = DEFAULT_FAMILY,
    depth: Annotated[
        int | None, _network(help="Blocks (default: 3 up to 32 pixels, 4 at 64, 5 at 128, 6 from 224).")
    ] = None,
    width: Annotated[
        int | None, _network(help="Channels of every block (default: 128, or as --preset says).")
    ] = None,
    norm: Annotated[str | None, _network(help="instance (default), batch, layer, group or none.")] = None,
    activation: Annotated[str | None, _network(help="relu (default), leakyrelu, sigmoid or swish.")] = None,
    pooling: Annotated[str | None, _network(help="avg (default), max or none.")] = None,
    device: Annotated[
        str,
        _run(help="auto (all CUDA devices, else the CPU), cuda, cuda:1 (one), cuda:0,2 (several) or cpu."),
    ] = "auto",
    processes: Annotated[
        int | None, _run(metavar="P", help="Processes that share the trials (default: one per CUDA device).")
    ] = None,
    shared: Annotated[
        bool,
        _run(
            "--shared",
            help="Share the trials with all who run the same command, on any machine that sees --out: "
            "whoever is free takes the next ones, those of a machine that died are taken over, and the last "
            "one joins all.",
        ),
    ] = False,
    ensemble_size: Annotated[
        int | None,
        _run(
            help="Networks trained at once (default: on a CPU 1, or 8 for utility trials; on CUDA the "
            "fastest that fits in memory, measured)."
        ),
    ] = None,
    checkpoint: Annotated[
        str,
        _run(
            metavar="TIME",
            help="Keep a loss trial or cross-validation under way on the disk this often, and when it is "
            "stopped, so that it resumes from there: 90s, 30m, 2h or never.",
        ),
    ] = "10m",
    compile_mode: Annotated[
        str, _run("--compile", help="torch.compile: on, off, or auto (where it pays).")
    ] = "auto",
    deterministic: Annotated[
        bool,
        _run(
            "--deterministic",
            help="The same command gives the same bits on the same machine; slower on CUDA.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        _run(
            "--dry-run",
            help="Say what was read, what would be trained, for how long and in how much memory; train "
            "nothing.",
        ),
    ] = False,
    quiet: Annotated[bool, _run("--quiet", "-q", help="Print errors and warnings only.")] = False,
    verbose: Annotated[bool, _run("--verbose", "-v", help="Print what was detected.")] = False,
) -> None:
    """Train proxy networks on DATASET and write every sample's scores to an HDF5 file.

    The same command resumes an interrupted run; with a larger --trials it adds to the file.
    """
    _check_used(context, scores, trial, fit)
    trials, epochs, width, said = _preset(preset, dataset, trials, epochs, width, network)
    common: dict[str, Any] = {
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
    of_losses: dict[str, Any] = {
        "epochs": epochs,
        "converge_epochs": converge_epochs,
        "lr_schedule": lr_schedule,
        "augment": augment,
        "shuffle": shuffle,
        **common,
    }
    recipe = LossRecipe(init_epochs=init_epochs, **of_losses)
    fold = FoldRecipe(folds=folds, **of_losses)
    looks = "kernel" in _kinds_of(scores)
    evaluated: dict[str, Any] = {
        "subset_per_class": subset_per_class,
        "eval_split": eval_split,
        "eval_per_class": _images(eval_per_class, scores, trial),
    }
    utility = UtilityRecipe(
        steps=steps,
        common_init=common_init,
        **_special_trials(
            trial,
            {
                "distill": {
                    "method": distill_method,
                    "distill_steps": distill_steps,
                    "distill_lr": distill_lr,
                    "images_per_class": images_per_class,
                    "real_batch": real_batch,
                },
                "kernel": {
                    "fit": fit,
                    "networks": networks if trial == "kernel" or not looks else None,
                    "ridge": ridge,
                },
            },
        ),
        **evaluated,
        **common,
    )
    nothing_trained = {name: common[name] for name in ("network", "mean", "std", "precision")}
    kernel_utility = KernelUtilityRecipe(networks=networks, **evaluated, **nothing_trained)
    max_seconds = seconds(max_time)
    checkpoint_seconds = None if checkpoint == "never" else seconds(checkpoint, "--checkpoint")
    only_trials = _trial_range(trial_range)
    Budget(utility_trials, until_reliability, max_trials, max_seconds, only_trials)  # says what is wrong
    with carried_out(processes, device, quiet=quiet, verbose=verbose, dry_run=dry_run, said=said) as work:
        from goldore import load_dataset

        loaded = load_dataset(
            dataset,
            data_root=data_root,
            download=download,
            name=name,
            image_size=image_size,
            classes=[each.strip() for each in classes.split(",")] if classes is not None else None,
            channels=cast("Channels", channels),
            cache=cache,
            told=work.watcher.preparing,
            looks_only=dry_run,
        )
        # Only now torch, which takes seconds to import: a mistyped dataset is reported at once.
        with interrupts_held_back():  # an interrupt within torch's own C++ ends in an abort
            from goldore.runs.scoring import score

        work.result = score(
            loaded,
            scores=[each for each in scores.split(",") if each.strip()],
            trials=trials,
            recipe=recipe,
            fold_trials=fold_trials,
            fold=fold,
            utility=utility,
            kernel_utility=kernel_utility,
            utility_trials=utility_trials,
            check_trials=check_trials,
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
            features=features,
            checkpoint_seconds=checkpoint_seconds,
            out=out,
            overwrite=overwrite,
            shared=shared,
            dry_run=dry_run,
            watcher=work.watcher,
            team=work.team(),
        )


def _preset(
    name: str | None,
    dataset: str,
    trials: int | None,
    epochs: int | None,
    width: int | None,
    network: str,
) -> tuple[int, int, int | None, str]:
    """Trials, epochs and width, with the preset's where the user says nothing, and what to say of it."""
    said = ""
    if name is None:
        bundled = plain_name(dataset) == plain_name(_SAMPLE)
        name = (
            _OF_SAMPLE if bundled and {epochs, width} == {None} and network == DEFAULT_FAMILY else "standard"
        )
        if name == _OF_SAMPLE:
            each = PRESETS[name]
            said = (
                f"preset {name}: {plural(trials or each.trials, 'trial')} of {each.epochs} epochs, width "
                f"{each.width}, "
                f"{each.purpose}; --preset standard takes longer"
            )
    if name not in PRESETS:
        raise UsageError(f"--preset is {name!r}; choose {' or '.join(PRESETS)}.")
    chosen = PRESETS[name]
    if width is None and network == DEFAULT_FAMILY:
        width = chosen.width
    return (
        chosen.trials if trials is None else trials,
        chosen.epochs if epochs is None else epochs,
        width,
        said,
    )


def _check_used(context: typer.Context, scores: str, trial: str, fit: str | None) -> None:
    """Refuse options that would do nothing: of other kinds of trials, or --trials beside a range."""

    def is_given(parameter: str) -> bool:
        source = context.get_parameter_source(parameter)
        return source is not None and source.name == "COMMANDLINE"

    if is_given("trials") and is_given("trial_range"):
        raise UsageError("--trial-range says which trials to run; leave --trials out.")
    kinds = _kinds_of(scores) | ({"check"} if is_given("check_trials") else set())
    for parameter in filter(is_given, _USED_BY):
        users = _USED_BY[parameter]
        if kinds.isdisjoint(users):
            others = _INSTEAD.get(parameter, ())
            use = next((each for each in others if not kinds.isdisjoint(_USED_BY[each])), None)
            owners = " or ".join(_KINDS[each] for each in users if each in _KINDS)
            raise UsageError(
                f"`{parameter}` belongs to {owners}, which --scores does not name; "
                + (f"use `{use}` here, or add it." if use else "leave it out, or add the score.")
            )
    if trial == "kernel" and kinds.isdisjoint({"loss", "fold", "check"}):
        of_steps = () if fit != "ridge" else ("lr", "momentum", "weight_decay", "steps")
        for parameter in filter(is_given, ("batch_size", *of_steps)):
            raise UsageError(f"`{parameter}` does nothing in kernel trials of this kind; leave it out.")


def _kinds_of(scores: str) -> set[str]:
    """The kinds of trials that scores take."""
    return {row.kind for row in find_scores(scores).values()}


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} is {text!r}; give numbers separated by commas, one a channel.") from None


def _special_trials(trial: str, options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a recipe says of trials that are not real ones, from the options of each that were given."""
    recipes = {"distill": DistillRecipe, "kernel": KernelRecipe}
    if trial not in ("real", *recipes):
        raise UsageError(f"--trial is {trial!r}; choose real, kernel or distill.")
    found: dict[str, Any] = {}
    for kind, recipe in recipes.items():
        chosen = {name: value for name, value in options[kind].items() if value is not None}
        if kind == trial:
            found[kind] = recipe(**chosen)
        elif chosen:
            raise UsageError(
                f"`{next(iter(chosen))}` is an option of --trial {kind}; add that, or leave it out."
            )
    return found


def _images(given: int | None, scores: str, trial: str) -> int | None:
    """Evaluation images of each class; None are all."""
    if given is not None:
        return given or None
    trains = "utility" in _kinds_of(scores) and trial != "kernel"
    return UtilityRecipe().eval_per_class if trains else MANY_IMAGES


def _trial_range(text: str | None) -> range | None:
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise UsageError(f"--trial-range is {text!r}; it has the form A:B, for example 0:500.")
    return range(int(first), int(last))
