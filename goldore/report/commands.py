"""The command that makes a score file like one that is there."""

import dataclasses
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldore.networks.config import DEFAULT_FAMILY, ConvNetConfig, NetworkConfig, default_depth
from goldore.scores import SCORES
from goldore.scores.estimators.utility import ESTIMATORS
from goldore.store import ScoreFile
from goldore.trials import ARGUMENTS, OUTCOMES, KernelUtilityRecipe
from goldore.wording import plain_name

Options = dict[str, str | None]  # by their names without dashes; None is the default
_DASHES = "--"  # this is a whole command, not a message that names an option
_OPTIONS = {
    "fit": "kernel-fit",
    "networks": "kernel-networks",
    "ridge": "kernel-ridge",
    "method": "distill-method",
}
_WINDOWS = ("init_epochs", "converge_epochs")
_TOLD_APART = {"network", "mean", "std", "distill", "kernel", *_WINDOWS}
_ALWAYS = {"precision", "epochs", "eval_per_class"}  # their defaults depend on more than the recipe
_SPECIAL = ("distill", "kernel")  # trials


def rerun_of_losses(file: ScoreFile, changes: Mapping[str, str], out: Path) -> str | None:
    """The command that trains the loss trials of a file otherwise, into another file.

    Args:
        file: with loss trials.
        changes: options, by their names without dashes.
        out: the other file.

    Returns:
        One line for a shell; None if the dataset was an object in memory.
    """
    words, trials = _dataset(file), file.loss_trials
    if words is None or trials is None:
        return None
    options = _options(file, "loss", trials) | dict(changes)
    return _spelled(words, _scores(trials), options, out)


def images_option(file: ScoreFile) -> str:
    """What a command needs to find the images again, a space before it; empty where the file suffices."""
    origin, words = file.dataset.origin, _dataset(file)
    asks = words is not None and origin is not None and origin.kind in ("function", "tfds")
    return f" {_DASHES}dataset {shlex.quote(words[0])}" if asks and words else ""


def command_of(file: ScoreFile) -> str | None:
    """The goldore score command whose dataset, recipes and trials are those of a score file.

    Mean, standard deviation and precision are always said: a file does not tell whether they were given or
    found. Nor does it tell where a score of a user's own is defined: that is named package.module:NAME.

    Returns:
        One line for a shell, of a command for all kinds of trials whose options agree, joined by &&; None if
        the dataset was an object in memory, or the scores were imported.
    """
    words = _dataset(file)
    commands: list[tuple[list[str], Options]] = []
    for kind in ARGUMENTS:
        trials: Any = file.trials_of(kind)
        if trials is None:
            continue
        scores, options = _scores(trials), _options(file, kind, trials)
        for named, others in commands:
            if _agree(options, others):
                named.extend(scores)
                others.update(options)
                break
        else:
            commands.append((scores, options))
    if words is None or not commands:
        return None
    return " && ".join(_spelled(words, scores, options, file.path) for scores, options in commands)


def _spelled(words: list[str], scores: list[str], options: Options, out: Path) -> str:
    named: Options = {"scores": ",".join(scores), **options, "out": str(out)}
    parts = [part for name, value in named.items() if value is not None for part in (_DASHES + name, value)]
    return shlex.join(["goldore", "score", *words, *parts])


def _agree(first: Options, second: Options) -> bool:
    """Whether one command can have the options of both; a range of trials is of one kind."""
    ranges = {first["trial-range"], second["trial-range"]}
    return ranges == {None} and all(second.get(name, value) == value for name, value in first.items())


def _dataset(file: ScoreFile) -> list[str] | None:
    origin, title = file.dataset.origin, file.dataset.name
    if origin is None or origin.kind == "memory":
        return None
    if origin.kind == "bundled":
        source, usual = "FashionMNIST-sample", {"FashionMNIST-sample"}
    elif origin.kind == "torchvision":
        source, usual = origin.name, {origin.name}
    elif origin.kind == "tfds":
        source, usual = f"tfds:{origin.name.partition(':')[0]}", set()
    elif origin.kind == "function":
        source, usual = origin.name, {origin.name.replace(":", ".").rpartition(".")[2]}
    else:
        source, usual = _as_path(origin.path), {Path(origin.path).name, Path(origin.path).stem}
    classes = getattr(origin, "classes", None)
    channels = getattr(origin, "channels", None)
    options: Options = {
        "data-root": origin.path if origin.kind == "torchvision" else None,
        "name": None if title in usual else title,
        "image-size": str(origin.image_size) if origin.image_size else None,
        "classes": ",".join(classes) if classes else None,
        "channels": channels if channels != "auto" else None,
    }
    return [source, *(part for name, value in options.items() if value for part in (_DASHES + name, value))]


def _as_path(path: str) -> str:
    """A path that is not taken for the name of a dataset."""
    from goldore.datasets.load import KNOWN

    named = os.sep not in path and plain_name(path) in map(plain_name, KNOWN)
    return f".{os.sep}{path}" if named else path


def _scores(trials: Any) -> list[str]:
    """Those that trials give, as goldore score takes them."""
    return [name if name in SCORES else f"package.module:{name}" for name in trials.gives]


def _options(file: ScoreFile, kind: str, trials: Any) -> Options:
    """All options that the trials of a kind heed."""
    options = _numbers(kind, trials) | _recipe(trials.recipe, kind, min(file.dataset.image_shape[1:]))
    options["seed"] = str(trials.base_seed) if trials.base_seed else None
    for name, (usual, *_) in (("outcome", OUTCOMES), ("estimator", ESTIMATORS)):
        if hasattr(trials, name):
            chosen = getattr(trials, name)
            options[name] = None if chosen == usual else chosen
    check = file.check_trials
    compared = [each for each in ("kernel", "utility") if file.trials_of(each) is not None]
    if check is not None and kind in compared[:1]:
        trained = ("steps", *KernelUtilityRecipe.unheeded)
        options |= {_option(name): _value(check.recipe, ARGUMENTS["utility"].usual, name) for name in trained}
        options["check-trials"] = str(len(check.done) + len(check.failed))
    return options


def _numbers(kind: str, trials: Any) -> Options:
    numbers = [*trials.done, *trials.failed]
    first, end = min(numbers, default=0), max(numbers, default=-1) + 1
    number = _option(ARGUMENTS[kind].number)
    if first:
        return {number: None, "trial-range": f"{first}:{end}"}
    return {number: str(end), "trial-range": None}


def _recipe(recipe: Any, kind: str, side: int) -> Options:
    options = _network(recipe.network, side)
    for name in ("mean", "std"):
        values = getattr(recipe, name)
        options[name] = ",".join(map(str, values)) if values else None
    for field in dataclasses.fields(recipe):
        if field.name not in {*_TOLD_APART, *recipe.unheeded}:
            options[_option(field.name)] = _value(recipe, ARGUMENTS[kind].usual, field.name)
    for name in [each for each in _WINDOWS if hasattr(recipe, each) and each not in recipe.unheeded]:
        chosen = getattr(recipe, name)
        options[_option(name)] = None if chosen == min(5, max(recipe.epochs // 2, 1)) else str(chosen)
    return options | _special(recipe)


def _special(recipe: Any) -> Options:
    """What is said of utility trials that distil, or fit a head to features."""
    options: Options = {"trial": None} if hasattr(recipe, _SPECIAL[0]) else {}
    for trial in _SPECIAL:
        special: Any = getattr(recipe, trial, None)
        if special is not None:
            options["trial"] = trial
            options |= {
                _option(each.name): _value(special, type(special)(), each.name) for each in _fields(special)
            }
    return options


def _value(recipe: Any, usual: Any, name: str) -> str | None:
    """Of an option; None where it is the default."""
    value = getattr(recipe, name)
    if name == "eval_per_class":
        return str(value or 0)  # 0 are all
    if value is None or (value == getattr(usual, name) and name not in _ALWAYS):
        return None
    return str(value)


def _option(name: str) -> str:
    return _OPTIONS.get(name, name.replace("_", "-"))


def _fields(settings: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(settings)


def _network(network: NetworkConfig, side: int) -> Options:
    settings = {each.name: getattr(network, each.name) for each in _fields(network)}
    if isinstance(network, ConvNetConfig):
        usual = ConvNetConfig(depth=default_depth(side))
        told = {
            name: str(value)
            for name, value in settings.items()
            if name == "width" or value != getattr(usual, name)
        }
        return dict.fromkeys(("network", *settings)) | told
    family = settings.pop("family", DEFAULT_FAMILY)
    own = settings.get("builder")
    given = "".join(f",{name}={value}" for name, value in settings.items() if value is not None)
    of_convnet = (each.name for each in dataclasses.fields(ConvNetConfig))
    return dict.fromkeys(of_convnet) | {"network": str(own) if own else f"{family}{given}"}
