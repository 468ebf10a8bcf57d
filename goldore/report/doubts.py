"""What a reader must know before a ranking is used."""

import math

from goldore.scores import KERNEL_UTILITY
from goldore.scores.estimators.estimate import UNRELIABLE
from goldore.wording import a_reliability, plural


def noise_warning(name: str, trust: float | None, *, utility: bool) -> str | None:
    """What a reader must know before a ranking is used.

    Args:
        name: of the score.
        trust: its reliability of ranks, or where that is unknown its reliability; None or NaN if neither is.
        utility: whether utility trials make it.

    Returns:
        A sentence; None if the ranking is reliable, or nothing is known of a loss.
    """
    if trust is not None and trust < UNRELIABLE:
        advice = "Train longer (goldore score --epochs) or add trials."
        if utility:
            advice = "Add trials (goldore score --utility-trials)."
        elif name == KERNEL_UTILITY.name:
            advice = (
                "Evaluate on more images (goldore score --eval-per-class, in another file) or add trials."
            )
        return f"the ranking by {name} has {a_reliability(trust)}; most of it is noise. {advice}"
    if utility and (trust is None or math.isnan(trust)):
        return f"the reliability of {name} is not known; most of the ranking may be noise."
    return None


def subset_warning(name: str, subset: int | None, ipc: int) -> str | None:
    """What a reader must know who prunes by a utility for another number of images than it is about.

    Args:
        name: of the score.
        subset: samples of each class that its trials draw; None if it is no utility.
        ipc: images per class of the distilled set.

    Returns:
        A sentence; None if they are as many.
    """
    if subset is None or subset == ipc:
        return None
    return (
        f"{name} is about {plural(subset, 'sample')} of each class and not {ipc}; what is useful in one "
        "number can hurt in another: see what goldore study says."
    )
