"""What all recipes share: the proxy network, its optimiser, the images' normalisation, and JSON."""

import dataclasses
import json
import math
import typing
from typing import Any, Self

from goldore.errors import NewerFormatError, UsageError, require
from goldore.files.user_code import fits
from goldore.networks.config import NetworkConfig, family_of, make_network

Precision = typing.Literal["float32", "bf16"]
_MOST_TEXT = 2**16  # characters of a recipe
_FIRST = {"precision": "float32", "shuffle": "exact"}  # what was so before there was a setting for it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a proxy network is trained.

    Stochastic gradient descent with momentum on the mean cross-entropy, constant learning rate, no
    augmentation. The defaults are those with which DatasetCondensation trains the same ConvNet.

    Attributes:
        network: the proxy network.
        batch_size: samples a step.
        lr: learning rate.
        momentum: 0 <= momentum < 1.
        weight_decay: coefficient of the squared norm's gradient, on all parameters.
        mean: per-channel mean that is subtracted from the images, scaled to 0..1; None takes the training
            set's own.
        std: per-channel standard deviation to divide by, scaled to 0..1; None takes the training set's own.
        precision: of activations, in training and scoring, "float32" or "bf16"; None takes that of the file
            that is resumed, or bf16 where the device has units for it. Parameters and the linear head
            are float32, the softmax of losses is float64.

    Raises:
        UsageError: if a value is outside its range.
    """

    unheeded: typing.ClassVar[tuple[str, ...]] = ()
    """Settings that mean nothing to this kind of trial."""

    network: NetworkConfig = dataclasses.field(default_factory=make_network)
    batch_size: int = 256
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    precision: Precision | None = None

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, f"`batch_size` is {self.batch_size}; it must be 1 or more.")
        require(0 < self.lr < math.inf, f"`lr` is {self.lr}; it must be above 0.")
        require(0 <= self.momentum < 1, f"`momentum` is {self.momentum}; it must be at least 0 and below 1.")
        require(
            0 <= self.weight_decay < math.inf, f"`weight_decay` is {self.weight_decay}; it must be 0 or more."
        )
        for field in ("mean", "std"):
            values = getattr(self, field)
            require(
                values is None or all(math.isfinite(value) for value in values),
                f"`{field}` must be finite numbers.",
            )
        precisions = typing.get_args(Precision)
        require(
            self.precision is None or self.precision in precisions,
            f"`precision` is {self.precision!r}; choose {' or '.join(precisions)}.",
        )
        require(self.std is None or all(value > 0 for value in self.std), "`std` must be above 0.")
        for field in ("mean", "std"):
            largest = max(map(abs, getattr(self, field) or (0,)))
            require(
                largest <= 1,
                f"`{field}` has {largest:g}, and is of pixels scaled to 0..1; divide it by 255.",
            )

    @property
    def learning_rates(self) -> tuple[str, ...]:
        """Names of the settings to lower if trainings diverge, `lr` first."""
        return ("lr",)

    def settled(self, shuffle: str | None = None) -> Self:
        """With what it leaves open filled in; `shuffle` is how samples are shuffled, where they are."""
        del shuffle
        return self

    def to_json(self) -> str:
        """Give the recipe as one JSON object with sorted keys; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a recipe that `to_json` wrote, in this version of goldore or an older one.

        Args:
            text: a JSON object. Settings that it lacks take their defaults (`settings_left_out` names them).

        Returns:
            The equal recipe.

        Raises:
            ValueError: if the text is not such an object.
            NewerFormatError: if it has a setting that this version does not know.
        """
        try:
            known = {field.name for field in dataclasses.fields(cls)}
            first = {name: value for name, value in _FIRST.items() if name in known}
            recipe = _built(cls, first | _parsed(text))
        except (KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
            raise ValueError(f"not a recipe: {error}") from error
        if not isinstance(recipe, cls):
            raise ValueError("not a recipe")  # noqa: TRY004
        return recipe

    def settings_left_out(self, text: str) -> dict[str, Any]:
        """The settings that the text lacks from which this recipe was read, and what they were taken as.

        Not those that are taken as None: they are about what there was not.
        """
        mine, theirs = _flat(dataclasses.asdict(self)), _flat(_parsed(text))
        return {name: value for name, value in mine.items() if name not in theirs and value is not None}

    def differences(self, other: "Recipe") -> list[tuple[str, Any, Any]]:
        """List the settings in which two recipes of one kind differ: (name, mine, theirs)."""
        mine, theirs = _flat(dataclasses.asdict(self)), _flat(dataclasses.asdict(other))
        names = [*mine, *(name for name in theirs if name not in mine)]
        return [
            (name, mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)
        ]


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > _MOST_TEXT:
        raise TypeError("it is far too long")
    fields = json.loads(text)
    if not isinstance(fields, dict) or "network" not in fields:  # there was one in every version
        raise TypeError("it names no network")
    return fields


def _built(kind: type[Any], fields: dict[str, Any]) -> Any:
    """Make a dataclass from plain JSON values, the dataclasses in its fields too."""
    hints = typing.get_type_hints(kind)
    types = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    unknown = sorted(set(fields) - set(types))
    if unknown:
        raise NewerFormatError(
            f"its recipe has the setting {unknown[0]!r}, which this goldore does not know; update goldore"
        )
    values = {}
    for name, value in fields.items():
        if types[name] is NetworkConfig:
            values[name] = _built(family_of(value), value)
            continue
        nested = [
            each for each in (types[name], *typing.get_args(types[name])) if dataclasses.is_dataclass(each)
        ]
        if nested and value is not None:
            values[name] = _built(typing.cast("type[Any]", nested[0]), value)
        elif not fits(value, types[name]):
            raise TypeError(f"{name} is {value!r}")
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, those of dataclasses within in their place; "dc.match_lr" where there is one already."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        inner = value if isinstance(value, dict) else {name: value}
        flat |= {f"{name}.{key}" if key in flat else key: each for key, each in inner.items()}
    return flat
