"""Scores of the field that follow how samples are learned: rows of the table.

All come from the trainings that LossInit and LossConverge come from. No torch here: a row makes its recorder
(`goldore.scores.tracks`) when networks train. Public code often differs in details; what is computed is what
the definitions say. A file is resumed only if it has the same words for them: a user's own score may have had
one of these names.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from goldore.scores.definition import WINDOW, TrainingScore, mean_of
from goldore.trials import LossRecipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from goldore.scores.definition import Record
    from goldore.scores.predictions import Predictions
    from goldore.scores.recorders import Recorder

_DUAL_SHARE = 0.15  # of the epochs that DUAL looks at: 30 of 200 in its paper
_ESPS_EPOCHS, _MRMC_EPOCHS = 10, 20


def _tracked(kind: str) -> "Record":
    """Record by a class of `goldore.scores.tracks`."""

    def record(networks: int, samples: int, epochs: Collection[int], device: "torch.device") -> "Recorder":
        from goldore.scores import tracks

        made: Recorder = getattr(tracks, kind)(networks, samples, epochs, device)
        return made

    return record


def _early(recipe: LossRecipe) -> range:
    """The last epoch of LossInit's window."""
    return recipe.init_window[-1:]


def _all(recipe: LossRecipe) -> range:
    return range(1, recipe.epochs + 1)


def _at_least(epochs: int) -> Callable[[LossRecipe], range]:
    """All epochs, which must be so many."""
    return lambda recipe: range(1, max(recipe.epochs, epochs) + 1)


def _dual(recipe: LossRecipe) -> range:
    return range(1, max(WINDOW, round(_DUAL_SHARE * recipe.epochs)) + 1)


def _row(
    name: str,
    definition: str,
    epochs: Callable[[LossRecipe], range],
    record: "Record",
    ends: tuple[str, str],
    unit: str = "1",
) -> TrainingScore:
    """A row; the ends are what low and high values mean."""
    low, high = ends
    return TrainingScore(
        name=name,
        definition=f"mean over trials of {definition}",
        unit=unit,
        drops="small",
        low=low,
        high=high,
        lowest=_MOST.get(low, low),
        highest=_MOST.get(high, high),
        epochs=epochs,
        record=record,
    )


def _gradient(predictions: "Predictions") -> "Tensor":
    features = predictions.features.double()
    norm: Tensor = predictions.errors.norm(dim=2) * (features.square().sum(dim=2) + 1).sqrt()
    return norm


def _margin(predictions: "Predictions") -> "Tensor":
    alone = predictions.logits.shape[2] == 1  # nothing to be above of
    return predictions.logits[..., 0] * 0 if alone else predictions.margin


_MOST = {"easy": "easiest", "hard": "hardest", "steady": "steadiest", "ambiguous": "most ambiguous"}
_HARD, _EASY, _AMBIGUOUS = ("easy", "hard"), ("hard", "easy"), ("steady", "ambiguous")

DYNAMICS = (
    _row(
        "EL2N",
        "the Euclidean norm of the softmax minus the one-hot label, after the last epoch of LossInit's "
        "window (Paul et al. 2021, arXiv 2107.07075)",
        _early,
        mean_of(lambda predictions: predictions.errors.norm(dim=2)),
        _HARD,
    ),
    _row(
        "GraNdLast",
        "the norm of the loss's gradient by the last layer's weights and biases, after the last epoch of "
        "LossInit's window (Paul et al. 2021, arXiv 2107.07075, for all layers)",
        _early,
        mean_of(_gradient),
        _HARD,
        unit="nat",
    ),
    _row(
        "AUM",
        "the mean over all epochs of the label's logit minus the largest other one (Pleiss et al. 2020, "
        "arXiv 2001.10528)",
        _all,
        mean_of(_margin),
        _EASY,
        unit="nat",
    ),
    _row(
        "Forgetting",
        "how often the sample is classified correctly after an epoch and wrongly after the next; one that is "
        "never correct counts as often as there are epochs; equal numbers are ordered by the mean loss, "
        "which adds less than 0.001 (Toneva et al. 2019, arXiv 1812.05159)",
        _all,
        _tracked("Forgetting"),
        _HARD,
        unit="events",
    ),
    _row(
        "Confidence",
        "the mean over all epochs of the label's probability (Swayamdipta et al. 2020, arXiv 2009.10795)",
        _all,
        mean_of(lambda predictions: predictions.confidence),
        _EASY,
        unit="probability",
    ),
    _row(
        "Variability",
        "the standard deviation over all epochs of the label's probability (Swayamdipta et al. 2020, arXiv "
        "2009.10795)",
        _all,
        _tracked("Variability"),
        _AMBIGUOUS,
        unit="probability",
    ),
    _row(
        "Correctness",
        "the share of all epochs after which the sample is classified correctly (Swayamdipta et al. 2020, "
        "arXiv 2009.10795)",
        _all,
        mean_of(lambda predictions: predictions.correct.double()),
        _EASY,
        unit="share",
    ),
    _row(
        "DynUnc",
        f"the mean over windows of {WINDOW} epochs of the standard deviation (n - 1) of the label's "
        "probability (He et al. 2024, arXiv 2306.05175)",
        _at_least(WINDOW),
        _tracked("DynUnc"),
        _AMBIGUOUS,
        unit="probability",
    ),
    _row(
        "DUAL",
        f"the mean over windows of {WINDOW} epochs, in the first {_DUAL_SHARE:.0%} of the epochs or in the "
        f"first {WINDOW}, of the standard deviation (n - 1) of the label's probability times one minus its "
        "mean (Cho et al. 2025, arXiv 2502.06905)",
        _dual,
        _tracked("Dual"),
        ("easy and steady", "hard and ambiguous"),
        unit="probability",
    ),
    _row(
        "TDDS",
        "the spread of sum p' |ln p' - ln p|, p and p' the softmax after an epoch and the next, in windows "
        f"of {WINDOW}, each window weighted ten times as much as the one before (Zhang et al. 2024, arXiv "
        "2311.13613)",
        _at_least(WINDOW + 1),
        _tracked("Tdds"),
        ("learned steadily", "learned unsteadily"),
        unit="nat",
    ),
    _row(
        "ESPS",
        f"the mean over the first {_ESPS_EPOCHS} epochs of one minus the cosine of the softmax after an "
        "epoch and the next (2026)",
        lambda _: range(1, _ESPS_EPOCHS + 1),
        _tracked("Esps"),
        ("stable", "unstable"),
    ),
    _row(
        "MRMC",
        f"q (1 - w^-{_MRMC_EPOCHS}), where q w^-r fits the sample's cross-entropy after epoch r = 1 to "
        f"{_MRMC_EPOCHS} by least squares of the logarithms (ICML 2025)",
        lambda _: range(1, _MRMC_EPOCHS + 1),
        _tracked("Mrmc"),
        ("not learned", "learned"),
        unit="nat",
    ),
)
