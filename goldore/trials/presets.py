"""Settings that go together, by name: for a first look, and for scores to work with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """How long proxy networks are trained, how wide they are, and how many trials there are.

    Attributes:
        trials: loss trials.
        epochs: of each.
        width: channels of every block of the ConvNet.
        purpose: in a few words.
    """

    trials: int
    epochs: int
    width: int
    purpose: str


PRESETS = {
    "quick": Preset(3, 10, 32, "for a first look"),
    "standard": Preset(5, 30, 128, "for scores to work with"),
}
"""The recipe of the paper's score files is not published (docs/mnist.md), so there is none of that name."""


def presets_help() -> str:
    """All of them on one line."""
    return "; ".join(
        f"{name} ({each.trials} trials of {each.epochs} epochs, width {each.width}, {each.purpose})"
        for name, each in PRESETS.items()
    )
