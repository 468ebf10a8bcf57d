"""What proxy networks look like, as a part of every recipe: the families, and the ConvNet's settings.

A family is a frozen dataclass here, whose fields are its settings, and an `Architecture` that computes it.
`FAMILIES` lists them. No torch here: recipes are read where nothing is trained.
"""

import dataclasses
import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from goldore.errors import NewerFormatError, UsageError, require
from goldore.files.user_code import import_named, read_settings, with_settings

if TYPE_CHECKING:
    from torch import nn

    from goldore.networks.architecture import Architecture

Norm = Literal["instance", "batch", "layer", "group", "none"]
Activation = Literal["relu", "leakyrelu", "sigmoid", "swish"]
Pooling = Literal["avg", "max", "none"]
ResNetNorm = Literal["batch", "instance", "group"]

_STRIDES = 8  # of a ResNet-18 with a 3x3 first layer, together
NORM_GROUPS = 4  # of a group norm, as in DatasetCondensation
DEFAULT_FAMILY = "convnet"


class NetworkConfig(ABC):
    """The settings of a family: a frozen dataclass, whose fields JSON can hold.

    A family other than the ConvNet has a field `family` that holds its name, by which a recipe is read again.

    Attributes:
        computed_by: its `Architecture`, as module:name: it needs torch, and is imported when it is asked for.
    """

    computed_by: ClassVar[str]

    @abstractmethod
    def for_images(self, height: int, width: int) -> Self:
        """Fill in what depends on the images' size, in pixels, and check that it suffices.

        Raises:
            UsageError: if the images are too small.
        """

    def architecture(self, image_shape: tuple[int, int, int], num_classes: int) -> "Architecture":
        """The networks of these settings, for images [C, H, W] and this many classes."""
        module, _, name = self.computed_by.partition(":")
        kind: type[Architecture] = getattr(import_module(module), name)
        return kind(self.for_images(*image_shape[1:]), image_shape, num_classes)

    @abstractmethod
    def describe(self) -> str:
        """The family and its settings in words, for one line."""


@dataclasses.dataclass(frozen=True)
class ConvNetConfig(NetworkConfig):
    """The proxy network: the ConvNet of the distillation literature (Gidaris & Komodakis; Zhao et al. 2020).

    `depth` blocks of [3x3 convolution, norm, activation, 2x2 pooling], then a linear head.

    Attributes:
        depth: number of blocks; None chooses by the image size (`default_depth`).
        width: channels of every block.
        norm: "instance" (per-channel, affine), "batch", "layer", "group" (4 groups) or "none".
        activation: "relu", "leakyrelu" (slope 0.01), "sigmoid" or "swish".
        pooling: "avg", "max" (both 2x2, stride 2) or "none".

    Raises:
        UsageError: if a value is outside its range.
    """

    computed_by: ClassVar[str] = "goldore.networks.convnet:ConvNet"
    depth: int | None = None
    width: int = 128
    norm: Norm = "instance"
    activation: Activation = "relu"
    pooling: Pooling = "avg"

    def __post_init__(self) -> None:
        require(self.depth is None or self.depth >= 1, f"`depth` is {self.depth}; it must be 1 or more.")
        require(self.width >= 1, f"`width` is {self.width}; it must be 1 or more.")
        for field, allowed in (("norm", Norm), ("activation", Activation), ("pooling", Pooling)):
            value = getattr(self, field)
            options = get_args(allowed)
            require(value in options, f"`{field}` is {value!r}; choose among {', '.join(options)}.")
        require(
            self.norm != "group" or self.width % NORM_GROUPS == 0,
            f"`width` is {self.width}; with `norm` group it must be a multiple of {NORM_GROUPS}.",
        )

    def for_images(self, height: int, width: int) -> Self:
        """Fill in the depth for images of this size and check that pooling leaves at least one pixel.

        Args:
            height: of the images, in pixels.
            width: of the images, in pixels.

        Returns:
            The same configuration with `depth` a number.

        Raises:
            UsageError: if the images are too small for the depth.
        """
        depth = self.depth if self.depth is not None else default_depth(min(height, width))
        if height * width == 1 and self.norm != "none":
            raise UsageError("images of one pixel leave a norm nothing to average; use `norm` none.")
        if self.pooling != "none" and min(padded_size(height, width)) >> depth < 1:
            raise UsageError(
                f"images of {height}x{width} pixels are too small for {depth} pooling blocks; "
                f"lower `depth` or use `pooling` none."
            )
        return dataclasses.replace(self, depth=depth)

    def describe(self) -> str:
        """The ConvNet in words."""
        return (
            f"ConvNet: depth {self.depth}, width {self.width}, {self.norm} norm, {self.activation}, "
            f"{self.pooling} pooling"
        )


@dataclasses.dataclass(frozen=True)
class BuiltConfig(NetworkConfig):
    """A family whose networks are torch modules, computed one after the other."""

    computed_by: ClassVar[str] = "goldore.networks.modules:ModuleNetwork"
    advice: ClassVar[str] = "mend it"  # where it fails

    @abstractmethod
    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "nn.Module":
        """Build one on the CPU, which draws its parameters from torch's generator.

        Its last layer is a `torch.nn.Linear` with an output a class, which gives the module's own.

        Args:
            image_shape: channels, height and width of the images.
            num_classes: outputs.
        """

    def for_images(self, height: int, width: int) -> Self:
        """Nothing depends on the images' size; whether it suffices is seen when one is built."""
        del height, width
        return self


@dataclasses.dataclass(frozen=True)
class ResNet18Config(BuiltConfig):
    """The ResNet-18 of the distillation literature, whose first layer keeps the size of small images.

    Attributes:
        family: "resnet18".
        width: channels of the first stage.
        norm: "batch", "instance" or "group".
    """

    family: Literal["resnet18"] = "resnet18"
    width: int = 64
    norm: ResNetNorm = "batch"

    def __post_init__(self) -> None:
        norms = get_args(ResNetNorm)
        require(self.norm in norms, f"`norm` is {self.norm!r}; choose among {', '.join(norms)}.")
        fits = self.width >= 1 and (self.norm != "group" or self.width % NORM_GROUPS == 0)
        require(fits, f"`width` is {self.width}; it must be 1 or more, with `norm` group a multiple of 4.")

    def for_images(self, height: int, width: int) -> Self:
        """Check that an instance norm has something to average in the last stage, of an eighth of the size.

        Raises:
            UsageError: if it has not.
        """
        if self.norm == "instance" and max(height, width) <= _STRIDES:
            raise UsageError(
                f"images of {height}x{width} pixels leave the last norm a single pixel; use `norm` batch or "
                "group."
            )
        return self

    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "nn.Module":
        """A ResNet-18."""
        from goldore.networks.resnet import ResNet18

        return ResNet18(image_shape[0], num_classes, self.width, self.norm)

    def describe(self) -> str:
        """It in words."""
        return f"ResNet-18: 3x3 first layer, width {self.width}, {self.norm} norm"


@dataclasses.dataclass(frozen=True)
class TorchvisionConfig(BuiltConfig):
    """A classifier of torchvision, untrained; they are made for images of about 224 pixels.

    Attributes:
        family: "torchvision".
        model: as `torchvision.models.list_models` names it.
    """

    advice: ClassVar[str] = "take larger images (`image_size` for class folders) or another model"
    family: Literal["torchvision"] = "torchvision"
    model: str = "resnet18"

    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "nn.Module":
        """The model; its first convolution takes as many channels as the images have."""
        import torchvision
        from torch import nn

        names = torchvision.models.list_models(module=torchvision.models)
        if self.model not in names:
            near = difflib.get_close_matches(self.model, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "see torchvision.models.list_models()."
            raise UsageError(f"torchvision has no classifier {self.model!r}; {hint}")
        plain = {"init_weights": True, "aux_logits": False}
        extra = plain if self.model in ("googlenet", "inception_v3") else {}
        model: nn.Module = torchvision.models.get_model(
            self.model, weights=None, num_classes=num_classes, **extra
        )
        channels = image_shape[0]
        name, first = next(
            (name, each) for name, each in model.named_modules() if isinstance(each, nn.Conv2d)
        )
        if channels != first.in_channels:
            parent, _, last = name.rpartition(".")
            settings = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding")}
            other = nn.Conv2d(channels, first.out_channels, bias=first.bias is not None, **settings)
            setattr(model.get_submodule(parent), last, other)
        return model

    def describe(self) -> str:
        """It in words."""
        return f"torchvision's {self.model}"


@dataclasses.dataclass(frozen=True)
class OwnConfig(BuiltConfig):
    """A network of a user's own.

    Attributes:
        family: "own".
        builder: package.module:function, of two numbers: the images' channels and the classes.
    """

    family: Literal["own"] = "own"
    builder: str = ""

    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "nn.Module":
        """What the function gives."""
        made: nn.Module = import_named(self.builder, "the network")(image_shape[0], num_classes)
        return made

    def describe(self) -> str:
        """It in words."""
        return f"network {self.builder}"


FAMILIES: dict[str, type[NetworkConfig]] = {
    DEFAULT_FAMILY: ConvNetConfig,
    "resnet18": ResNet18Config,
    "torchvision": TorchvisionConfig,
}
_OWN = "own"  # family of networks that users name by package.module:function


def family_of(settings: Mapping[str, Any]) -> type[NetworkConfig]:
    """The family whose settings these are, read from JSON.

    Raises:
        NewerFormatError: if this goldore does not know it.
    """
    name = settings.get("family", DEFAULT_FAMILY)
    if name == _OWN:
        return OwnConfig
    if name not in FAMILIES:
        raise NewerFormatError(f"its networks are {name!r}, which this goldore does not know; update goldore")
    return FAMILIES[name]


def make_network(family: str = DEFAULT_FAMILY, **settings: Any) -> NetworkConfig:
    """Make the settings of a family.

    Args:
        family: a name in `FAMILIES`, or package.module:function of a user's own, which builds a
            `torch.nn.Module` for so many channels and classes.
        settings: of it; those that are None take their defaults.

    Raises:
        UsageError: if there is no such family, or a setting is not one of it or out of its range.
    """
    if ":" in family:
        given = [name for name, value in settings.items() if value is not None]
        require(not given, f"the network {family} has no settings; leave {', '.join(given)} out.")
        require(callable(import_named(family, "the network")), f"the network {family} is no function.")
        return OwnConfig(builder=family)
    if family not in FAMILIES:
        choices = f"{', '.join(FAMILIES)} or package.module:function of your own"
        raise UsageError(f"there is no network {family!r}; choose {choices}.")
    made: NetworkConfig = with_settings(FAMILIES[family], f"the network {family}", settings, ("family",))
    return made


def network_of(text: str, **settings: Any) -> NetworkConfig:
    """Make the settings of a family that is named in a text, as NAME, NAME,KEY=VALUE,... or module:function.

    Args:
        text: of a user; values are numbers where they look like it.
        settings: more of them; those that are None take their defaults.

    Raises:
        UsageError: as `make_network`, or if the text is not of that form.
    """
    family, settings = read_settings(text, "network", **settings)
    return make_network(family, **settings)


def default_depth(side: int) -> int:
    """Blocks for images of this side: 3 up to 32 pixels, 4 at 64, 5 at 128, 6 from 224.

    Args:
        side: the shorter side in pixels; sizes in between take the nearest power of two.

    Returns:
        A depth from 3 to 6.
    """
    return min(6, max(3, round(math.log2(side)) - 2))


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Size after the first convolution: 28x28 images are padded to 32x32, as DatasetCondensation does."""
    return (32, 32) if (height, width) == (28, 28) else (height, width)
