"""What the trials of a score file predict of the samples."""

from pathlib import Path

import numpy as np

from goldore.errors import require
from goldore.scores import PREDICTED
from goldore.scores.estimators.predicted import Predicted, combine_predictions
from goldore.store.format import has
from goldore.store.loss_trials import FOLD, LOSS
from goldore.store.reading import opened, read_header


def load_predictions(path: str | Path, trials: str | None = None) -> Predicted | None:
    """Read what the trials predict that ended well.

    Args:
        path: of a score file.
        trials: "fold", cross-validations, or "loss", loss trials; None takes the first of them that there
            are.

    Returns:
        None if no trial says; those of goldore 0.1 do not.

    Raises:
        UsageError: if there is no such kind of trials.
        ScoreFileError: if the file cannot be read.
    """
    kinds = {kind.name: kind for kind in (FOLD, LOSS)}
    require(trials is None or trials in kinds, f"`trials` is {trials!r}; choose {' or '.join(kinds)}.")
    with opened(Path(path)) as file:
        header = read_header(file)
        for kind in kinds.values() if trials is None else [kinds[trials]]:
            known = kind.read(file, header.info) if has(file, kind.group) else None
            if known is None or not known.done or not known.predicts:
                continue
            rows = np.array(known.done)
            predicted, probability, of_label = (
                file[kind.group][name][: rows[-1] + 1][rows] for name in PREDICTED
            )
            say = (predicted >= 0).all(axis=1)
            if not say.any():
                continue
            if predicted[say].max() >= header.info.num_classes:
                raise ValueError("a trial predicts a class that there is not")
            return combine_predictions(
                predicted[say], probability[say], of_label[say], header.labels, held_out=kind is FOLD
            )
    return None
