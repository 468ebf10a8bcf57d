"""goldore score."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from goldore.errors import UsageError
from goldore.recipe import Activation, ConvNetConfig, LossRecipe, Norm, Pooling

from .screen import INTERRUPTED, err, line, plural, reports_errors

if TYPE_CHECKING:
    from goldore.datasets.pixels import Channels

_DATA, _NETWORK, _TRAINING, _RUN = "Dataset", "Proxy network", "Training", "Run"


@reports_errors
def score_command(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A name (MNIST, FashionMNIST, KMNIST, SVHN, CIFAR10, CIFAR100, STL10, Imagenette, "
            "TinyImageNet), a folder of IDX files or of class folders, a .npz or .h5 file, or "
            "package.module:function. Without it: the bundled sample.",
        ),
    ] = "FashionMNIST-sample",
    *,
    data_root: Annotated[
        Path, typer.Option(help="Folder of the named datasets, as torchvision's root.", rich_help_panel=_DATA)
    ] = Path("data"),
    download: Annotated[
        bool, typer.Option("--download", help="Fetch a named dataset that is missing.", rich_help_panel=_DATA)
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
        typer.Option(help="Arrays: channels are auto (detected), first or last.", rich_help_panel=_DATA),
    ] = "auto",
    mean: Annotated[
        str | None,
        typer.Option(
            help="Per-channel mean to normalise with, 0..1, separated by commas "
            "(default: the training set's).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            help="Per-channel standard deviation, likewise (default: the training set's).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    scores: Annotated[
        str, typer.Option(help="LossInit, LossConverge (or loss-init, ...), separated by commas.")
    ] = "LossInit,LossConverge",
    trials: Annotated[
        int, typer.Option(help="Independent trainings the file shall hold; two or more give standard errors.")
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
    batch_size: Annotated[int, typer.Option(help="Samples a step.", rich_help_panel=_TRAINING)] = 256,
    lr: Annotated[float, typer.Option(help="Learning rate of SGD.", rich_help_panel=_TRAINING)] = 0.01,
    momentum: Annotated[float, typer.Option(help="Momentum of SGD.", rich_help_panel=_TRAINING)] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.", rich_help_panel=_TRAINING)] = 5e-4,
    depth: Annotated[
        int | None,
        typer.Option(
            help="Blocks (default: by image size: 3 up to 32 pixels, 4 at 64, 5 at 128, 6 from 224).",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    width: Annotated[int, typer.Option(help="Channels of every block.", rich_help_panel=_NETWORK)] = 128,
    norm: Annotated[
        str, typer.Option(help="instance, batch, layer, group or none.", rich_help_panel=_NETWORK)
    ] = "instance",
    activation: Annotated[
        str, typer.Option(help="relu, leakyrelu, sigmoid or swish.", rich_help_panel=_NETWORK)
    ] = "relu",
    pooling: Annotated[str, typer.Option(help="avg, max or none.", rich_help_panel=_NETWORK)] = "avg",
    device: Annotated[
        str, typer.Option(help="auto, cuda, cuda:1 (a number) or cpu.", rich_help_panel=_RUN)
    ] = "auto",
    ensemble_size: Annotated[
        int | None,
        typer.Option(
            help="Networks trained at once (default: 1 on a CPU; on CUDA what memory holds, up to 16).",
            rich_help_panel=_RUN,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.", rich_help_panel=_RUN)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print what was detected.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Train proxy networks on DATASET and write every sample's scores to an HDF5 file.

    A file that holds trials of the same run is gone on with. More --trials add to it.

    An interrupted run goes on when the same command is given again.
    """
    recipe = LossRecipe(
        network=ConvNetConfig(
            depth=depth,
            width=width,
            norm=cast("Norm", norm),  # the three are checked by ConvNetConfig itself
            activation=cast("Activation", activation),
            pooling=cast("Pooling", pooling),
        ),
        epochs=epochs,
        init_epochs=init_epochs,
        converge_epochs=converge_epochs,
        batch_size=batch_size,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        mean=_numbers(mean, "--mean"),
        std=_numbers(std, "--std"),
    )
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other; leave one out.")

    from .watching import ScreenWatcher, show_result

    watcher = ScreenWatcher(quiet=quiet, verbose=verbose)
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
        from goldore.devices import keep_freed_memory
        from goldore.scoring import score

        keep_freed_memory()
        with watcher:
            result = score(
                loaded,
                scores=[each for each in scores.split(",") if each.strip()],
                trials=trials,
                recipe=recipe,
                seed=seed,
                device=device,
                ensemble_size=ensemble_size,
                out=out,
                overwrite=overwrite,
                watcher=watcher,
            )
    except KeyboardInterrupt:
        line(err(), _interrupted(watcher.kept, watcher.out))
        raise typer.Exit(INTERRUPTED) from None
    if not quiet:
        show_result(result)


def _interrupted(kept: int, out: Path | None) -> str:
    """Say what an interrupted run leaves and how to go on."""
    if out is None or kept == 0:
        return "interrupted: no trial was finished and nothing was written; run the same command again."
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
