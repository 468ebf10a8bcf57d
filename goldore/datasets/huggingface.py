"""Folders and files of Hugging Face's datasets: parquet, what save_to_disk wrote, images with metadata.

They are read by that library, an optional dependency, without a network.
"""

import os
from pathlib import Path
from typing import Any
from unittest import mock

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.items import load_object
from goldore.datasets.listing import split_of
from goldore.datasets.origin import Origin
from goldore.errors import DatasetError, reason
from goldore.files.optional import optional

_SAVED = ("dataset_dict.json", "state.json")  # of save_to_disk
_MOST_HEADER = 2**16  # bytes of the first line
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of its image folders


def is_huggingface(folder: Path) -> bool:
    """Whether a folder is one of that library's: saved, parquet files, or images with a metadata file."""
    return (
        any((folder / name).is_file() for name in _SAVED) or _has_metadata(folder) or bool(_parquet(folder))
    )


def load_huggingface(path: Path, name: str, image_size: int | None = None) -> ImageDataset:
    """Read a dataset with Hugging Face's library.

    Args:
        path: a folder of `is_huggingface`, or a parquet file.
        name: of the dataset.
        image_size: resize the shorter side to this many pixels, then crop the centre square.

    Returns:
        The dataset, in the library's order.

    Raises:
        UsageError: if the library is not installed.
        DatasetError: if the files cannot be read, or have no column of images or labels.
    """
    datasets = optional("datasets", f"reading {path}", "huggingface")
    try:
        datasets.disable_progress_bars()
        with mock.patch.dict(os.environ, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1"):
            found = _open(datasets, path)
    except Exception as error:
        raise DatasetError(
            f"{path} cannot be read as a dataset of Hugging Face ({reason(error)}); check its files, or read "
            "it with a function of your own: package.module:function."
        ) from error
    return load_object(found, name, "auto", image_size, Origin("huggingface", path=str(path)))


def _open(datasets: Any, path: Path) -> Any:
    if any((path / name).is_file() for name in _SAVED):
        return datasets.load_from_disk(str(path))
    if path.is_dir() and _has_metadata(path):
        return datasets.load_dataset("imagefolder", data_dir=str(path))
    files = [path] if path.is_file() else _parquet(path)
    splits: dict[str, list[str]] = {}
    for file in files:
        splits.setdefault(_split_in_name(file), []).append(str(file))
    return datasets.load_dataset("parquet", data_files=splits)


def _split_in_name(file: Path) -> str:
    """The split that a file's name begins with, as train-00000-of-00002.parquet; train if it says none."""
    parts = file.stem.replace(".", "-").split("-")
    return next((split for split in map(split_of, (parts[0], file.parent.name)) if split), "train")


def _has_metadata(folder: Path) -> bool:
    """Whether there is a file that names images and says what they show."""
    there = [place / name for place in (folder, *folder.glob("*/")) for name in _METADATA]
    return any(_names_files(file) for file in there if file.is_file())


def _names_files(file: Path) -> bool:
    with file.open("rb") as opened:
        return file.suffix == ".parquet" or b"file_name" in opened.readline(_MOST_HEADER)


def _parquet(folder: Path) -> list[Path]:
    return sorted((*folder.glob("*.parquet"), *folder.glob("*/*.parquet")))
