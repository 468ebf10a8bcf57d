"""The commands: where each is, and its line in the list of commands.

A command is imported when it is run or its help is shown: to import all of them takes longer than to prune.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand


class Listed(NamedTuple):
    """A command as it is listed.

    Attributes:
        module: that it is in.
        line: the first paragraph of its docstring.
    """

    module: str
    line: str


COMMANDS = {
    "score": Listed(
        "scoring", "Train proxy networks on DATASET and write every sample's scores to an HDF5 file."
    ),
    "extend": Listed(
        "extending", "Add trials to a score file, with the dataset, the recipe and the seed that it names."
    ),
    "study": Listed(
        "studying", "Measure which criterion and which keep ratio help a distiller, and which hurt it."
    ),
    "prune": Listed("pruning", "Choose which samples to keep and write their positions to an index file."),
    "inspect": Listed(
        "inspecting", "Show what scores are, how far to trust them and what they would keep; compare files."
    ),
    "estimate": Listed("estimating", "Recompute MonteCarlo from the stored trials, without training."),
    "merge": Listed(
        "estimating",
        "Join the score files of a run that was split into parts (--trial-range), or studies of one recipe.",
    ),
    "verify": Listed(
        "verifying",
        "Check a score file: its checksum, every trial, and the scores against the trials; or an index file.",
    ),
    "export": Listed("exchanging", "Write scores for other programs."),
    "import": Listed(
        "exchanging",
        "Make a score file from published lists, to inspect, compare and prune it like your own.",
    ),
    "shards": Listed("exchanging", "Write the kept samples of WebDataset shards to new shards."),
    "run": Listed("running", "Run a distillation program, unedited, on the samples of an index file."),
    "plug": Listed(
        "plugging",
        "Make a clone of a distillation repository read an index file, for what goldore run does not reach.",
    ),
    "map-index": Listed("mapping", "Translate an index file to the order of another loader."),
    "cache": Listed(
        "caching", "List the decoded images that goldore keeps between commands, verify them, or remove them."
    ),
}
_SETTINGS: dict[str, dict[str, Any]] = {"run": {"allow_interspersed_args": False}}


class Commands(Mapping[str, Any]):
    """The commands by name, each imported and built when it is first asked for."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            module = import_module(f".{COMMANDS[name].module}", __package__)
            alone = typer.Typer(add_completion=False)
            settings = _SETTINGS.get(name)
            alone.command(name, context_settings=settings)(
                getattr(module, f"{name.replace('-', '_')}_command")
            )
            self._built[name] = typer.main.get_command(alone)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def listed() -> dict[str, TyperCommand]:
    """The commands as the list of commands shows them, without importing any."""
    return {name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()}
