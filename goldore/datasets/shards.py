"""WebDataset shards: read by the library webdataset, an optional dependency, in the tar files' order."""

import re
from typing import Any

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.items import load_object
from goldore.datasets.origin import Origin
from goldore.datasets.pictures import image_suffixes
from goldore.errors import DatasetError, reason
from goldore.files.atomic import user_path
from goldore.files.optional import optional

_LABELS = ("cls", "label", "txt", "class")


def load_shards(source: str, name: str, image_size: int | None = None) -> ImageDataset:
    """Read WebDataset shards: each sample a picture and a label (.cls), as a number or a text.

    Args:
        source: a .tar file, or several as "train-{000..012}.tar".
        name: of the dataset.
        image_size: resize the shorter side to this many pixels, then crop the centre square.

    Returns:
        The dataset, in the order of the tar files; a position counts the samples, as for `goldore.shards`.

    Raises:
        UsageError: if the library is not installed.
        DatasetError: if a shard cannot be read, or a sample has no picture or label.
    """
    webdataset = optional("webdataset", f"reading {source}", "webdataset")
    files = shard_files(source)
    try:
        samples = list(webdataset.WebDataset(files, shardshuffle=False, empty_check=False))
    except Exception as error:
        raise DatasetError(
            f"{source} cannot be read as WebDataset shards ({reason(error)}); check them."
        ) from error
    items = [_item(sample, source) for sample in samples]
    return load_object(items, name, "auto", image_size, Origin("shards", path=source))


def shard_files(source: str) -> list[str]:
    """The tar files that "train-{000..012}.tar" means, or the one file; each is there.

    Raises:
        DatasetError: if one is not.
    """
    found = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", source)
    names = [source]
    if found is not None:
        head, first, last, tail = found.groups()
        names = [f"{head}{each:0{len(first)}}{tail}" for each in range(int(first), int(last) + 1)]
    files = [user_path(each) for each in names]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None or not files:
        raise DatasetError(f"there is no shard {missing or source}; check the numbers.")
    return [str(file) for file in files]


def _item(sample: dict[str, Any], source: str) -> tuple[bytes, Any]:
    keys = [key for key in sample if not key.startswith("__")]
    image = next((key for key in keys if f".{key.rpartition('.')[2].lower()}" in image_suffixes()), None)
    label = next((key for key in _LABELS if key in keys), None)
    if image is None or label is None:
        raise DatasetError(
            f"sample {sample.get('__key__')} of {source} has {', '.join(keys) or 'nothing'}; it must have a "
            f"picture and a label (.{_LABELS[0]}); read other shards with a function of your own: "
            "package.module:function."
        )
    text = bytes(sample[label]).decode(errors="replace").strip()
    return bytes(sample[image]), int(text) if re.fullmatch(r"-?\d+", text) else text
