"""`drop_samples`, called like the function of the paper's repository (github.com/silicx/GoldFromOres).

It takes and gives the three structures that DC, DSA, DM and their descendants hold: all images, all
labels, and the positions of each class.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldore.errors import ScoreFileError, UsageError
from goldore.exchange.lists import SUFFIXES as LIST_SUFFIXES
from goldore.exchange.lists import list_stem, read_list
from goldore.files.atomic import user_path
from goldore.selection.amount import Ratio, exact_ratio
from goldore.selection.criteria import drop_keys, parse_criterion, random_keys
from goldore.selection.index_file import SUFFIXES, load_index
from goldore.selection.keeping import verify_index
from goldore.store import default_path, load_scores

if TYPE_CHECKING:
    from torch import Tensor


def drop_samples(
    images_all: "Tensor | NDArray[np.generic] | Sequence[Tensor]",
    labels_all: "Tensor | NDArray[np.integer] | Sequence[int]",
    indices_class: Sequence[Sequence[int]],
    dataset: str,
    drop_criterion: str | Path,
    *,
    drop_ratio: Ratio | None = None,
    keep_ratio: Ratio | None = None,
    compat: bool = False,
    score_dir: str | Path | None = None,
    seed: int = 0,
) -> "tuple[Tensor, Tensor, list[list[int]]]":
    """Keep a part of every class, by a score.

    Nothing that is passed is changed. Kept samples stay in their order.

    Args:
        images_all: [N, C, H, W], or N tensors [C, H, W]; NumPy arrays are taken too.
        labels_all: int [N].
        indices_class: for each class its samples' positions.
        dataset: names the scores: <dataset>.h5, a score file, or <dataset>_<Score>.json (or .json.gz), a
            list in the published form, N numbers; the score file goes first.
        drop_criterion: "<Score>_<large|small>", the end that is dropped; "Random" (or "rand"); or the path
            of an index file, which then says by itself what is kept.
        drop_ratio: share to drop of every class, 0..1; exactly one ratio is given, and none with an index
            file (a drop_ratio of 0 is allowed there).
        keep_ratio: share to keep.
        compat: count as the paper's function does, int(ratio * n) dropped in binary floating point, where
            keep_ratio 0.8 keeps 4,001 of 5,000; otherwise counts are exact, as in `goldore.prune`.
        score_dir: folder of the scores; None is where `goldore score` writes.
        seed: of Random; every call with the same seed keeps the same samples.

    Returns:
        Images [n, C, H, W] on their device, labels int64 [n] on the same, and for each class the positions
        of its samples among those n.

    Raises:
        UsageError: if the ratios or the criterion are wrong, scores are missing, or nothing would be left.
        ScoreFileError: if scores cannot be read, or are not N.
        IndexFileError: if the index file cannot be read, or is about other labels.
    """
    import torch

    if len(images_all) == 0:
        raise UsageError("there are no images; pass the whole training set.")
    whole = isinstance(images_all, torch.Tensor | np.ndarray)
    images = (
        torch.as_tensor(images_all) if whole else torch.stack([torch.as_tensor(each) for each in images_all])
    )
    labels = torch.as_tensor(labels_all).to(images.device)
    if labels.ndim != 1 or labels.is_floating_point():
        raise UsageError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; they must be whole numbers [N]."
        )
    labels = labels.long()
    if len(labels) != len(images):
        raise UsageError(f"there are {len(images)} images and {len(labels)} labels; they must be as many.")
    host = labels.cpu().numpy()
    if Path(drop_criterion).suffix in SUFFIXES:
        kept = _from_index(Path(drop_criterion), host, drop_ratio, keep_ratio)
    else:
        ratio = _ratio(drop_ratio, keep_ratio, compat=compat)
        keys = _keys(dataset, str(drop_criterion), len(images), score_dir, seed)
        kept = _kept(keys, indices_class, ratio)
    if len(kept) == 0:
        raise UsageError("no sample would be left; drop less.")
    index = torch.from_numpy(kept).to(images.device)
    images, labels = images[index], labels[index]
    numbers = labels.cpu().numpy()
    classes = [np.flatnonzero(numbers == label).tolist() for label in range(len(indices_class))]
    return images, labels, classes


def _ratio(drop_ratio: Ratio | None, keep_ratio: Ratio | None, *, compat: bool) -> Fraction | float:
    """The share to drop: an exact fraction, or a float to be multiplied as the paper's function does."""
    if (drop_ratio is None) == (keep_ratio is None):
        raise UsageError("give exactly one of `drop_ratio` and `keep_ratio`.")
    if drop_ratio is not None:
        exact = exact_ratio(drop_ratio, "`drop_ratio`")
        return float(drop_ratio) if compat else exact
    assert keep_ratio is not None  # noqa: S101
    exact = exact_ratio(keep_ratio, "`keep_ratio`")
    return 1.0 - float(keep_ratio) if compat else 1 - exact


def _kept(
    keys: NDArray[np.float64], indices_class: Sequence[Sequence[int]], ratio: Fraction | float
) -> NDArray[np.int64]:
    """Positions that no class drops; lowest keys are dropped first, ties by their order in the class."""
    keep = np.ones(len(keys), dtype=bool)
    for members in indices_class:
        positions = np.array(members, dtype=np.int64)
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(keys):
            raise UsageError(f"indices_class has a position outside 0 to {len(keys) - 1}; build it anew.")
        dropped = math.floor(ratio * len(positions))
        keep[positions[np.argsort(keys[positions], kind="stable")[:dropped]]] = False
    return np.flatnonzero(keep)


def _keys(
    dataset: str, criterion: str, samples: int, score_dir: str | Path | None, seed: int
) -> NDArray[np.float64]:
    """Keys by which samples are dropped, lowest first, float64 [N]."""
    if criterion.lower() in ("random", "rand"):
        return random_keys(samples, seed)
    file = default_path(dataset) if score_dir is None else user_path(score_dir) / default_path(dataset).name
    if file.is_file():
        scores = load_scores(file)
        parsed = parse_criterion(criterion, scores.score_names)
        values = scores.scores[parsed.score].values
    else:
        lists = sorted(file.parent.glob(f"{file.stem}_*"))
        known = {
            list_stem(each)[len(file.stem) + 1 :]: each for each in lists if each.name.endswith(LIST_SUFFIXES)
        }
        if not known:
            raise UsageError(
                f"there are no scores of {dataset} in {file.parent} (neither {file.name} nor a list "
                f"{file.stem}_<Score>.json); name their folder as `score_dir`."
            )
        parsed = parse_criterion(criterion, tuple(known))
        file = known[parsed.score]
        values = read_list(file)
    if len(values) != samples:
        raise ScoreFileError(
            f"{file} has {len(values)} scores, and here are {samples} samples; it is of other data."
        )
    missing = int(len(values) - np.isfinite(values).sum())
    if missing:
        raise UsageError(
            f"{missing} samples have no {parsed.score} (never drawn); write an index file with goldore "
            "prune --missing "
            "drop (or keep), and give its path as the criterion."
        )
    return drop_keys(values, parsed)


def _from_index(
    path: Path, labels: NDArray[np.int64], drop_ratio: Ratio | None, keep_ratio: Ratio | None
) -> NDArray[np.int64]:
    if keep_ratio is not None or (drop_ratio is not None and exact_ratio(drop_ratio, "`drop_ratio`") != 0):
        raise UsageError(f"{path} is an index file, which says what is kept; leave the ratio out.")
    index = load_index(path)
    verify_index(index, path, len(labels), labels)
    return index.indices
