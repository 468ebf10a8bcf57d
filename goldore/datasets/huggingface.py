"""Folders and files of Hugging Face's datasets: parquet, what save_to_disk wrote, images with metadata.

They are read by that library, an optional dependency, without a network.
"""

import os
from pathlib import Path
from typing import Any
from unittest import mock

from goldore.datasets.cache import Cache
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.items import load_object
from goldore.datasets.listing import list_images, splits_of
from goldore.datasets.origin import Origin
from goldore.datasets.reading import Findings
from goldore.datasets.whole import Rooms, kept_whole
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


def load_huggingface(
    path: Path, name: str, image_size: int | None = None, cache: Cache | None = None
) -> ImageDataset:
    """Read a dataset with Hugging Face's library.

    Args:
        path: a folder of `is_huggingface`, or a parquet file.
        name: of the dataset.
        image_size: resize the shorter side to this many pixels, then crop the centre square.
        cache: where decoded images are kept; None: nowhere.

    Returns:
        The dataset, in the library's order.

    Raises:
        UsageError: if the library is not installed.
        DatasetError: if the files cannot be read, or have no column of images or labels.
    """
    origin = Origin("huggingface", "", str(path), image_size)
    files = _files_of(path)

    def read(rooms: Rooms | None) -> ImageDataset:
        findings = Findings()
        found = _found(path, findings)
        kept = rooms if _holds_its_images(found) else None
        return load_object(found, name, "auto", image_size, origin, findings, kept)

    return kept_whole(cache if files else None, name, origin, files, read)


def _files_of(path: Path) -> list[Path]:
    """The files that a dataset is read from, where these are few."""
    if path.is_file():
        return [path]
    if any((path / name).is_file() for name in _SAVED):
        there = (*path.glob("*"), *path.glob("*/*"))
        return sorted(each for each in there if each.suffix in (".arrow", ".json") and each.is_file())
    return [] if _has_metadata(path) else _parquet(path)


def _holds_its_images(found: Any) -> bool:
    """Whether all images lie in the dataset's own files, and not in others whose paths it has."""
    for split in found.values() if hasattr(found, "values") else (found,):
        for name, feature in split.features.items():
            chunks = split.data.column(name).chunks if type(feature).__name__ == "Image" else ()
            if any(chunk.field("bytes").null_count for chunk in chunks):
                return False
    return True


def _found(path: Path, findings: Findings) -> Any:
    datasets = optional("datasets", f"reading {path}", "huggingface")
    try:
        datasets.disable_progress_bars()
        with mock.patch.dict(os.environ, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1"):
            return _open(datasets, path, findings)
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(
            f"{path} cannot be read as a dataset of Hugging Face ({reason(error)}); check its files, or read "
            "it with a function of your own: package.module:function."
        ) from error


def _open(datasets: Any, path: Path, findings: Findings) -> Any:
    if any((path / name).is_file() for name in _SAVED):
        return datasets.load_from_disk(str(path))
    if path.is_dir() and _has_metadata(path):
        found = datasets.load_dataset("imagefolder", data_dir=str(path))
        unnamed = len(list_images(path)) - sum(len(split) for split in found.values())
        if unnamed > 0:
            findings.passed_over["image that no metadata file names"] += unnamed
        return found
    splits = _files_by_split([path] if path.is_file() else _parquet(path), findings)
    return datasets.load_dataset("parquet", data_files=splits)


def _files_by_split(files: list[Path], findings: Findings) -> dict[str, list[str]]:
    """The splits that the names of files begin with, as train-00000-of-00002.parquet, or those of folders.

    If no name says one, all is the training set; if some do, the others are passed over.

    Raises:
        DatasetError: if several folders have a training set, each a configuration of its own.
    """
    words = {file: file.stem.replace(".", "-").split("-")[0] for file in files}
    named = {name: split for split, names in splits_of({*words.values()}).items() for name in names}
    folders = {
        name: split
        for split, names in splits_of({file.parent.name for file in files}).items()
        for name in names
    }
    found: dict[str, list[str]] = {}
    configurations = set()
    for file, word in words.items():
        split = named.get(word) or folders.get(file.parent.name)
        if split is None and (named or folders):
            findings.passed_over[f"parquet file of {word}, no split"] += 1
            continue
        if split == "train" and word in named:
            configurations.add(file.parent)
        found.setdefault(split or "train", []).append(str(file))
    if len(configurations) > 1:
        one, two = sorted(configurations)[:2]
        raise DatasetError(f"{one} and {two} each have a training split; name one of them as the dataset.")
    return found


def _has_metadata(folder: Path) -> bool:
    """Whether there is a file that names images and says what they show."""
    there = [place / name for place in (folder, *folder.glob("*/")) for name in _METADATA]
    return any(_names_files(file) for file in there if file.is_file())


def _names_files(file: Path) -> bool:
    with file.open("rb") as opened:
        return file.suffix == ".parquet" or b"file_name" in opened.readline(_MOST_HEADER)


def _parquet(folder: Path) -> list[Path]:
    return sorted((*folder.glob("*.parquet"), *folder.glob("*/*.parquet")))
