"""What a score file says beside the criterion's score, read when a rule asks for it."""

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError, reason
from goldore.selection.criteria import drop_keys, parse_criterion
from goldore.store import ScoreFile, features_path, load_header, load_predictions, load_scores
from goldore.wording import plain_name


class Facts:
    """What rules may ask of a score file; each thing is read once.

    Args:
        file: perhaps without all of its scores.
    """

    def __init__(self, file: ScoreFile) -> None:
        self._file = file
        self._scores: dict[str, NDArray[np.float64]] = {}
        self._keys: dict[str, NDArray[np.float64]] = {}
        self._hashes: NDArray[np.uint64] | None = None
        self._features: dict[str, NDArray[np.floating]] = {}

    def class_name(self, label: int) -> str:
        """The name of a class."""
        return self._file.dataset.class_names[label]

    def score(self, name: str) -> NDArray[np.float64]:
        """A score, float64 [N]; NaN where a sample has none.

        Raises:
            UsageError: if the file has no such score.
        """
        known = {plain_name(each): each for each in self._file.score_names}
        if plain_name(name) not in known:
            raise UsageError(
                f"the rule needs the score {name}, and {self._file.path} has {', '.join(known.values())}; "
                "score it too (`scores` all has every score of loss trials)."
            )
        name = known[plain_name(name)]
        if name not in self._scores:
            there = self._file.scores.get(name)
            self._scores[name] = (there or load_scores(self._file.path, only=(name,)).scores[name]).values
        return self._scores[name]

    def keys(self, criterion: str) -> NDArray[np.float64]:
        """The keys by which a criterion drops, float64 [N]; samples without a score are dropped first.

        Raises:
            UsageError: if there is no such criterion, or it is Random.
        """
        if criterion not in self._keys:
            parsed = parse_criterion(criterion, self._file.score_names)
            if parsed.drops is None:
                raise UsageError("a rule cannot leave out a share by Random; name a score and its end.")
            self._keys[criterion] = drop_keys(self.score(parsed.score), parsed, "drop")
        return self._keys[criterion]

    def hashes(self) -> NDArray[np.uint64]:
        """Hashes of the samples' pixels, uint64 [N].

        Raises:
            UsageError: if the file has none.
        """
        if self._hashes is None:
            self._hashes = load_header(self._file.path).sample_hash
        if self._hashes is None:
            raise UsageError(
                f"{self._file.path} has no hashes of the images, since it was imported from a list; score "
                "the dataset to find equal images."
            )
        return self._hashes

    @functools.cached_property
    def _recall(self) -> NDArray[np.float64]:
        predicted = load_predictions(self._file.path)
        if predicted is None:
            raise UsageError(
                f"{self._file.path} does not say what its networks predict; score the dataset into a new "
                "file, with HeldOutLoss for predictions by cross-validation."
            )
        sizes = np.bincount(self._file.labels, minlength=self._file.dataset.num_classes)
        right = np.bincount(self._file.labels, weights=predicted.right, minlength=len(sizes))
        return right / np.maximum(sizes, 1)

    def recall(self) -> NDArray[np.float64]:
        """The share of each class that is predicted right, 0..1, float64 [K].

        Raises:
            UsageError: if no trial of the file says.
        """
        return self._recall

    def features(self, given: str) -> NDArray[np.floating]:
        """Features of the samples, [N, F], not read into memory before they are used.

        Args:
            given: a .npy file; empty for <score file>-features.npy.

        Raises:
            UsageError: if there is no such file, or it does not fit the dataset.
        """
        path = Path(given) if given else features_path(self._file.path)
        if str(path) not in self._features:
            self._features[str(path)] = _read(path, len(self._file.labels))
        return self._features[str(path)]


def _read(path: Path, samples: int) -> NDArray[np.floating]:
    how = (
        "make it with goldore score ... --features, or save features of your own and write features=FILE.npy"
    )
    if not path.is_file():
        raise UsageError(f"the rule needs features, and there is no {path}; {how}.")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} cannot be read ({reason(error)}); {how}.") from error
    if not isinstance(found, np.ndarray) or found.ndim < 2 or len(found) != samples:  # noqa: PLR2004
        shape = getattr(found, "shape", "no array")
        raise UsageError(f"{path} has {shape}; features are an array [{samples}, F], a row a sample.")
    found = found.reshape(samples, -1)
    if not np.issubdtype(found.dtype, np.floating):
        raise UsageError(f"{path} has numbers of type {found.dtype}; features are floating-point numbers.")
    return found
