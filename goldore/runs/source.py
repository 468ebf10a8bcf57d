"""The dataset that a score file is about, read again."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from goldore.datasets import ImageDataset, load_dataset
from goldore.datasets.load import BUNDLED
from goldore.datasets.origin import Origin
from goldore.datasets.tar import shard_files
from goldore.errors import DatasetError, UsageError
from goldore.store import ScoreFile, load_header
from goldore.wording import count

_UNKNOWN = "its images, labels or their order differ"


def dataset_of(
    file: ScoreFile,
    source: str | ImageDataset | None = None,
    *,
    data_root: str | Path = "data",
    image_size: int | None = None,
) -> ImageDataset:
    """Read the dataset of a score file.

    Args:
        file: the score file.
        source: the dataset, or what `load_dataset` takes; None reads it from where it was scored.
        data_root: folder of the named datasets.
        image_size: as it was given when the dataset was scored; None: as the file says.

    Raises:
        UsageError: if the file does not say where the dataset is.
        DatasetError: if it cannot be read, or is another one.
    """
    if isinstance(source, ImageDataset):
        dataset = source
    else:
        origin = file.dataset.origin
        text, root = (source, Path(data_root)) if source else _place(file, origin, Path(data_root))
        options = dict(origin.options) if origin is not None else {}
        if image_size is not None:
            options["image_size"] = image_size
        dataset = load_dataset(text, data_root=root, name=file.dataset.name, **options)
    known = file.dataset.fingerprint  # an imported list has none
    if dataset.fingerprint != known if known else not np.array_equal(dataset.labels, file.labels):
        raise DatasetError(
            f"{dataset.source} is not the dataset of {file.path} ({_difference(file, dataset)}); name the "
            "right one with `dataset`."
        )
    return dataset


def _difference(file: ScoreFile, dataset: ImageDataset) -> str:
    """In what a dataset is another one than that of a score file."""
    before, now = dict.fromkeys(load_header(file.path).paths or ()), dict.fromkeys(dataset.paths or ())
    if not before or not now:
        return _UNKNOWN
    found = []
    for paths, others, what in ((now, before, "added"), (before, now, "missing")):
        changed = [path for path in paths if path not in others]
        if changed:
            more = f" and {count(len(changed) - 1)} more" if len(changed) > 1 else ""
            found.append(f"{what}: {changed[0]}{more}")
    return "; ".join(found) or _UNKNOWN


def _place(file: ScoreFile, origin: Origin | None, data_root: Path) -> tuple[str, Path]:
    """What `load_dataset` takes for an origin, and the folder of the named datasets."""
    if origin is not None and origin.kind == "bundled":
        return BUNDLED, data_root
    if origin is not None and origin.kind == "torchvision":
        there = data_root if data_root.is_dir() else Path(origin.path)
        return origin.name, there
    if (
        origin is not None
        and origin.kind in {"idx", "folder", "arrays", "tensors", "huggingface", "shards"}
        and _is_there(origin)
    ):
        return str(Path(origin.path).resolve()), data_root
    raise UsageError(file.dataset.not_at_hand)


def _is_there(origin: Origin) -> bool:
    if origin.kind != "shards":
        return Path(origin.path).exists()
    with suppress(DatasetError):
        return bool(shard_files(origin.path))
    return False
