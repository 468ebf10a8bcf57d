"""The command that makes a score file like one that is there."""

import dataclasses
import shlex
from typing import Any

from goldore.networks.config import DEFAULT_FAMILY, ConvNetConfig, NetworkConfig, default_depth
from goldore.store import ScoreFile
from goldore.trials import FoldRecipe, KernelUtilityRecipe, LossRecipe, UtilityRecipe

_DASHES = "--"  # this is a whole command, not a message that names an option
_OPTIONS = {
    "fit": "kernel-fit",
    "networks": "kernel-networks",
    "ridge": "kernel-ridge",
    "method": "distill-method",
}
_MEASURED = {"mean", "std", "network", "precision", "init_epochs", "converge_epochs", "distill", "kernel"}
_USUAL = {
    "loss": LossRecipe(),
    "fold": FoldRecipe(),
    "utility": UtilityRecipe(),
    "kernel": KernelUtilityRecipe(),
}
_NUMBERS = {"loss": "trials", "fold": "fold-trials", "utility": "utility-trials", "kernel": "trials"}


def command_of(file: ScoreFile) -> str | None:
    """The goldore score command whose dataset, recipe and trials are those of a score file.

    Normalisation and precision are left to be found again.

    Returns:
        One line for a shell; None if the dataset was an object in memory, or the scores were imported.
    """
    there = {kind: file.trials_of(kind) for kind in _USUAL}
    trained = {kind: trials for kind, trials in there.items() if trials is not None}
    words = _dataset(file)
    if words is None or not trained:
        return None
    scores = [name for name in file.score_names if name != "MonteCarlo"]
    scores += ["MonteCarlo"] if "utility" in trained else []
    options: dict[str, str] = {"scores": ",".join(scores)}
    for kind, trials in trained.items():
        known: Any = trials
        options[_NUMBERS[kind]] = str(len(known.done) + len(known.failed))
        options |= _recipe(known.recipe, _USUAL[kind], min(file.dataset.image_shape[1:]))
        if known.base_seed:
            options["seed"] = str(known.base_seed)
    options["out"] = str(file.path)
    parts = [part for name, value in options.items() for part in (_DASHES + name, value)]
    return shlex.join(["goldore", "score", *words, *parts])


def _dataset(file: ScoreFile) -> list[str] | None:
    origin = file.dataset.origin
    if origin is None or origin.kind == "memory":
        return None
    sized = [f"{_DASHES}image-size", str(origin.image_size)] if origin.image_size else []
    if origin.kind == "bundled":
        return ["FashionMNIST-sample"]
    if origin.kind == "torchvision":
        return [origin.name, f"{_DASHES}data-root", origin.path]
    if origin.kind == "tfds":
        return [f"tfds:{origin.name.partition(':')[0]}"]
    return [origin.path or origin.name, *sized]


def _recipe(recipe: Any, usual: Any, side: int) -> dict[str, str]:
    """The options in which a recipe differs from the usual one; those of presets always."""
    found = _network(recipe.network, side)
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        always = field.name == "epochs"
        if field.name in _MEASURED or value is None or (value == getattr(usual, field.name) and not always):
            continue
        found[field.name.replace("_", "-")] = str(value)
    for name in ("init_epochs", "converge_epochs"):
        window = getattr(recipe, name, None)
        if window is not None and window != min(5, max(recipe.epochs // 2, 1)):
            found[name.replace("_", "-")] = str(window)
    for trial in ("distill", "kernel"):
        special = getattr(recipe, trial, None)
        if special is None:
            continue
        found["trial"] = trial
        for field in dataclasses.fields(special):
            value = getattr(special, field.name)
            if value is not None and value != field.default:
                found[_OPTIONS.get(field.name, field.name.replace("_", "-"))] = str(value)
    return found


def _network(network: NetworkConfig, side: int) -> dict[str, str]:
    settings = {each.name: getattr(network, each.name) for each in dataclasses.fields(network)}  # type: ignore[arg-type]
    if isinstance(network, ConvNetConfig):
        usual = ConvNetConfig(depth=default_depth(side))
        return {
            name: str(value)
            for name, value in settings.items()
            if name == "width" or value != getattr(usual, name)
        }
    family = settings.pop("family", DEFAULT_FAMILY)
    own = settings.get("builder")
    given = "".join(f",{name}={value}" for name, value in settings.items() if value is not None)
    return {"network": str(own) if own else f"{family}{given}"}
