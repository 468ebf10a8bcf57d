"""Trainings under way, kept on the disk so that one that was stopped goes on where it was.

A file holds what is known of one group of trials: the results of trainings that are done, and the state of
the one under way between two of its steps. It is written every so many minutes and when a signal asks the
process to end, read with `weights_only`, and removed once the trials are in the score file.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from goldore.files.atomic import remove_left_behind, replacing
from goldore.files.interrupts import interrupts_held_back
from goldore.networks.architecture import Layout
from goldore.training.execution import Execution
from goldore.trials.seeds import Trial

CHECKPOINT_SECONDS = 600.0
_WORTH = 30.0  # seconds of training that are worth keeping when a process is asked to end
_SHARE = 20  # times what saving took the last time pass before it is done again, at the least
_FORMAT = 1

Name = TypeVar("Name", str, int)
State = dict[str, Any]
"""Tensors, numbers, texts, and lists and dictionaries of them."""


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints beside a score file.

    Attributes:
        path: of the score file.
        kind: of trials.
        key: of what they share: a checkpoint of another run is not used.
        seconds: between two of a training; None keeps none.
        settled: settings of the recipe that the user may have left open, by name.
    """

    path: Path
    kind: str
    key: str
    seconds: float | None = CHECKPOINT_SECONDS
    settled: State = dataclasses.field(default_factory=dict)

    def of(self, numbers: Sequence[int]) -> "Keeper":
        """What is kept of the trials with these numbers, which are trained together."""
        if self.seconds is None:
            return Keeper(None, self.key, numbers, settled=self.settled)
        real = self.path.resolve()
        file = real.with_name(f"{real.name}.{self.kind}-{numbers[0]}.checkpoint")
        return Keeper(file, self.key, numbers, self.seconds, self.settled)

    def groups(self, missing: Sequence[int]) -> list[list[int]]:
        """Numbers of the trials that were trained together when they were stopped, out of those missing.

        Removes checkpoints that cannot be read, and those of trials that are not missing; others are left.
        """
        found: list[list[int]] = []
        wanted = set(missing)
        for file in self._files():
            state = _read(file)
            if state is None or (state["key"] == self.key and wanted.isdisjoint(state["numbers"])):
                _remove(file)
            elif (
                self.seconds is not None and state["key"] == self.key and wanted.issuperset(state["numbers"])
            ):
                found.append(state["numbers"])
                wanted.difference_update(state["numbers"])
        return found

    def _goes_on(self, state: State) -> bool:
        return self.seconds is not None and state["key"] == self.key

    def settings(self) -> list[tuple[str, State]]:
        """What the trainings that are kept have in common, and how they settled what was open."""
        states = [_read(file) for file in self._files()]
        return [(state["key"], state["settings"]) for state in states if state is not None]

    def clear(self) -> None:
        """Remove all that there are."""
        for file in self._files():
            _remove(file)

    def _files(self) -> list[Path]:
        return checkpoints_beside(self.path, self.kind)


class Keeper:
    """Keeps a group of trials while it is trained, and knows what was kept before.

    Args:
        file: to keep it in; None keeps nothing.
        key: of what the trials share.
        numbers: of the trials.
        seconds: between two checkpoints.
        settled: settings that the user may have left open.
    """

    def __init__(
        self,
        file: Path | None,
        key: str,
        numbers: Sequence[int],
        seconds: float = CHECKPOINT_SECONDS,
        settled: State | None = None,
    ) -> None:
        self._file, self._seconds, self._held = file, seconds, ExitStack()
        self._came: list[int] | None = None
        self._last, self._took = time.monotonic(), 0.0
        fresh: State = {"format": _FORMAT, "key": key, "numbers": [int(each) for each in numbers]}
        kept = _read(file) if file is not None else None
        fits = kept is not None and all(kept[name] == value for name, value in fresh.items())
        nothing: State = {**fresh, "settings": settled or {}, "done": [], "execution": None}
        self._content: State = kept if kept is not None and fits else nothing

    @property
    def epoch(self) -> int | None:
        """The epoch in which a training was stopped, counted from 1; None if nothing was kept."""
        under_way = self._content.get("state")
        return int(under_way["epoch"]) if under_way is not None else None

    def execution(self, chosen: Execution) -> Execution:
        """How the networks ran before, so that they go on to the bit; else what was chosen now."""
        known = self._content["execution"]
        if known is None:
            if self._file is not None:
                self._content["execution"] = dataclasses.asdict(chosen)
            return chosen
        layouts = {name: Layout(**known[name]) for name in ("layout", "scoring")}
        return Execution(**{**known, **layouts})

    def result(self, trials: Sequence[Trial]) -> State | None:
        """What a training of these networks gave, if it is done."""
        seeds = _seeds(trials)
        found = next((each["result"] for each in self._content["done"] if each["seeds"] == seeds), None)
        return None if found is None else _each(found, Tensor, Tensor.numpy)

    def state(self, trials: Sequence[Trial]) -> State | None:
        """The state of the training of these networks, if it was stopped."""
        under_way = self._content.get("state")
        return under_way if under_way is not None and self._content["seeds"] == _seeds(trials) else None

    def done(self, trials: Sequence[Trial], result: Mapping[str, Any]) -> None:
        """Note what a training gave; it is kept with the next checkpoint."""
        if self._file is None:
            return
        self._content.pop("state", None)
        kept = _each(dict(result), np.ndarray, torch.from_numpy)
        self._content["done"].append({"seeds": _seeds(trials), "result": kept})

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Train within: from the first `look` on, signals wait for the next."""
        try:
            yield
        finally:
            self._came = None
            self._held.close()

    def look(self, trials: Sequence[Trial], state: Callable[[], State] | None) -> None:
        """Called between two steps: keeps the state if that is due or a signal waits, which then interrupts.

        Args:
            trials: that train together.
            state: gives it; None: it cannot be kept at the moment.
        """
        if self._file is None:
            return
        if self._came is None:  # the first step may take long: it compiles
            self._came = self._held.enter_context(interrupts_held_back(patience=1))
        since = time.monotonic() - self._last
        due = since >= (_WORTH if self._came else max(self._seconds, _SHARE * self._took))
        if due and state is not None:
            self._content |= {"seeds": _seeds(trials), "state": state()}
            self._save()
        if self._came:
            self._came = None
            self._held.close()  # interrupts

    def remove(self) -> None:
        """The trials are in the score file."""
        if self._file is not None:
            _remove(self._file)

    def _save(self) -> None:
        assert self._file is not None  # noqa: S101
        start = time.monotonic()
        with suppress(OSError, RuntimeError), replacing(self._file) as target:
            torch.save(self._content, target)  # where the disk is full, torch raises RuntimeError
        self._last = time.monotonic()
        self._took = self._last - start


NO_KEEPER = Keeper(None, "", [])
"""Keeps nothing."""


def checkpoints_beside(path: Path, kind: str = "[a-z]+") -> list[Path]:
    """The checkpoints beside a score file, by number of the first trial; those of one kind if it is named."""
    real = path.resolve()
    pattern = re.compile(rf"{re.escape(real.name)}\.{kind}-(\d+)\.checkpoint")
    folder = real.parent
    found = [(pattern.fullmatch(each.name), each) for each in folder.iterdir()] if folder.is_dir() else []
    return [file for _, file in sorted((int(match[1]), file) for match, file in found if match)]


def generator_state(random: np.random.Generator) -> State:
    """Where a generator is in its numbers."""
    return dict(random.bit_generator.state)


def set_generator(random: np.random.Generator, state: State) -> None:
    """Bring a generator of the same kind there."""
    random.bit_generator.state = state


def on_host(tensors: Mapping[Name, Tensor]) -> dict[Name, Tensor]:
    """Copies on the host."""
    return {name: each.detach().to("cpu", copy=True) for name, each in tensors.items()}


def _each(values: State, kind: type, change: Callable[[Any], Any]) -> State:
    """A dictionary with its values of a kind changed, those in dictionaries within too."""
    changed = {}
    for name, value in values.items():
        if isinstance(value, dict):
            changed[name] = _each(value, kind, change)
        else:
            changed[name] = change(value) if isinstance(value, kind) else value
    return changed


def _seeds(trials: Sequence[Trial]) -> list[int]:
    return [trial.seed for trial in trials]


def _read(file: Path) -> State | None:
    """What a checkpoint holds; None if it cannot be read, or is of another version."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        known = found["format"] == _FORMAT and {"key", "numbers", "settings", "done"} <= found.keys()
        return found if known and found["numbers"] else None
    except Exception:  # noqa: BLE001 - whatever torch raises at a damaged file, or none there
        return None


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
    remove_left_behind(file)
