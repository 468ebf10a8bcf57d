"""Files of arrays: .npz, .h5, .pt with images and labels by name, and folders of such .npy files."""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.labels import Classes
from goldore.datasets.origin import Origin
from goldore.datasets.pixels import Channels, Scaling, images_from_array
from goldore.datasets.reading import Findings
from goldore.errors import DatasetError, reason
from goldore.files.untrusted import array_names, read_hdf5, read_npy, read_npz, read_torch, tensor_array

SUFFIXES = (".npz", ".h5", ".hdf5", ".pt", ".pth", ".npy")
_TORCH = (".pt", ".pth")
_NUMBERS, _TEXTS = "biufc", "SU"
_SPLITS = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation")}
_WORDS = {
    "images": ("x", "images", "image", "imgs", "img", "data"),
    "labels": ("y", "labels", "label", "targets", "target"),
}
_CLASS_NAMES = ("class_names", "classes", "label_names", "names")
_MOST_NAMED = 10


def _spellings() -> dict[str, tuple[str, str]]:
    """Names of arrays in lower case, and the split and the sort that each means."""
    found: dict[str, tuple[str, str]] = {}
    for (split, spelled), (sort, words) in itertools.product(_SPLITS.items(), _WORDS.items()):
        for one, word in itertools.product(spelled, words):
            found |= dict.fromkeys(
                (f"{word}_{one}", f"{one}_{word}", f"{word}{one}", f"{one}{word}"), (split, sort)
            )
    for sort, words in _WORDS.items():
        found |= dict.fromkeys(words, ("train", sort))
    return found


_MEANING = _spellings()


def load_arrays(path: Path, name: str, channels: Channels = "auto") -> ImageDataset:
    """Read a dataset from a .npz, .h5 or .pt file, or from .npy files in a folder; no pickles, no links.

    Arrays may be called as in Keras (x_train, y_train, x_test, y_test), in MedMNIST (train_images,
    train_labels, ...), in DatasetCondensation's tinyimagenet.pt (images_train, ...), or just x and y, images
    and labels, data and targets. Of test and val, test is taken.

    Args:
        path: the file, a folder of .npy files, or one of these.
        name: of the dataset.
        channels: where the channels are; "auto" detects it and says so in the notes.

    Returns:
        The dataset. Without names, the classes are called after their labels.

    Raises:
        DatasetError: if the file is damaged, lacks an array, or the arrays do not fit.
    """
    folder = path.parent if path.suffix == ".npy" else path
    if folder != path and _MEANING.get(path.stem.lower()) != ("train", "images"):
        raise DatasetError(f"{path.name} is not called like training images; give its folder, {folder}.")
    container = folder if folder.is_dir() else path
    tensors = _tensors_in(container) if container.suffix in _TORCH else {}
    named = _named(container, [str(key) for key in tensors] or _names_in(container))
    wanted = _wanted(container, named)
    arrays = _read(container, wanted, tensors)
    given = channels
    findings, prefix = Findings(), f" in {container.name}"
    images: dict[str, NDArray[np.uint8]] = {}
    scale = None
    for split in ("train", "test"):
        if (split, "images") not in wanted:
            continue
        key = wanted[split, "images"]
        if channels == "auto" and container.suffix in _TORCH and _may_be_first(arrays[key]):
            channels = "first"  # as torch has it
        scaling = Scaling(key + prefix, scale)
        images[split], changed, detail = images_from_array(arrays[key], key + prefix, channels, scaling)
        scale = scaling.scale
        findings.saw(changed, len(images[split]), detail)
        findings.split_of_array(split, key + prefix, arrays[key].dtype, images[split].shape, scaling.peak)
    names = arrays.get(wanted.get(("", "class_names"), ""))
    train_key = wanted["train", "labels"]
    classes = Classes(arrays[train_key], train_key + prefix, _class_names(names, container))
    test_labels = None
    if "test" in images:
        test_key = wanted["test", "labels"]
        test_labels = classes.number(arrays[test_key], test_key + prefix)
        if ("test", "images") not in named:
            findings.notes.append(f"{container.name}: {wanted['test', 'images']} are the test split")
    findings.notes += classes.notes
    if folder != path:
        findings.notes.append(f"{path.name} was read with the other arrays in its folder")
    for key in named.values():
        if key not in wanted.values():
            findings.passed_over[f"array {key}"] += 1
    return ImageDataset(
        name=name,
        images=images["train"],
        labels=classes.labels,
        class_names=classes.names,
        origin=Origin(
            "tensors" if container.suffix in _TORCH else "arrays", path=str(container), channels=given
        ),
        test_images=images.get("test") if test_labels is not None else None,
        test_labels=test_labels,
        reading=findings.reading(),
    )


def holds_arrays(folder: Path) -> bool:
    """Whether a folder has .npy files that are called like images and labels of a training set."""
    there = {_MEANING.get(file.stem.lower()) for file in folder.glob("*.npy")}
    return {("train", "images"), ("train", "labels")} <= there


def _tensors_in(path: Path) -> Mapping[str, Any]:
    """What torch.save wrote, a dictionary."""
    try:
        content = read_torch(path)
    except Exception as error:
        raise DatasetError(_unreadable(path, error)) from error
    if not isinstance(content, Mapping):
        raise DatasetError(
            f"{path} holds a {type(content).__name__} and no dictionary; write it with torch.save("
            '{"x_train": images, "y_train": labels}, FILE).'
        )
    return content


def _names_in(path: Path) -> list[str]:
    """The names of the arrays in a file, or of the .npy files in a folder."""
    try:
        if path.is_dir():
            return sorted(file.stem for file in path.glob("*.npy"))
        if path.suffix == ".npz":
            return array_names(path)
        if path.suffix in _TORCH:  # with nothing in it
            return []
        import h5py

        with h5py.File(path, "r", locking=False) as file:
            return list(file)
    except Exception as error:
        raise DatasetError(_unreadable(path, error)) from error


def _named(path: Path, names: Iterable[str]) -> dict[tuple[str, str], str]:
    """Names by split ("" for the names of classes) and sort."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        plain = name.lower()
        meaning = ("", "class_names") if plain in _CLASS_NAMES else _MEANING.get(plain)
        if meaning is None:
            continue
        if meaning in found:
            raise DatasetError(
                f"{path} has {found[meaning]} and {name}, which mean the same; leave one of them out."
            )
        found[meaning] = name
    if ("train", "images") not in found or ("train", "labels") not in found:
        there = ", ".join(list(names)[:_MOST_NAMED]) or "nothing"
        raise DatasetError(
            f"{path} holds {there}; it must hold images and labels of a training set, called x_train and "
            "y_train, or train_images and train_labels."
        )
    return found


def _wanted(path: Path, named: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """What is to be read: training and test split, and the names of classes."""
    found = {key: named[key] for key in named if key[0] in ("train", "")}
    test = next((split for split in ("test", "val") if any((split, sort) in named for sort in _WORDS)), None)
    if test is None:
        return found
    for sort in _WORDS:
        if (test, sort) not in named:
            raise DatasetError(f"{path} has test images or test labels but not both; give both or neither.")
        found["test", sort] = named[test, sort]
    return found


def _read(
    path: Path, wanted: Mapping[tuple[str, str], str], tensors: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """The wanted arrays, by name."""
    kinds = {name: _NUMBERS if sort == "images" else _NUMBERS + _TEXTS for (_, sort), name in wanted.items()}
    try:
        if path.is_dir():
            return {
                name: read_npy(path / f"{name}.npy", allowed, mapped=allowed == _NUMBERS)
                for name, allowed in kinds.items()
            }
        if path.suffix == ".npz":
            return read_npz(path, kinds)
        if path.suffix in _TORCH:
            return {name: _of_torch(tensors[name]) for name in kinds}
        return read_hdf5(path, kinds)
    except Exception as error:
        raise DatasetError(_unreadable(path, error)) from error


def _may_be_first(array: NDArray[Any]) -> bool:
    return array.ndim == 4 and array.shape[1] <= 4  # noqa: PLR2004


def _of_torch(values: Any) -> NDArray[Any]:
    return np.array(values) if isinstance(values, list | tuple) else tensor_array(values)


def _unreadable(path: Path, error: Exception) -> str:
    kind = ".npz without pickles" if path.suffix == ".npz" else "HDF5"
    kind = "torch.save's dictionary of tensors" if path.suffix in _TORCH else kind
    kind = ".npy files without pickles" if path.is_dir() else kind
    return f"{path} cannot be read as {kind} ({reason(error)}); write it again."


def _class_names(names: NDArray[Any] | None, path: Path) -> tuple[str, ...] | None:
    if names is None:
        return None
    if names.ndim != 1:
        raise DatasetError(f"class_names in {path} must be a list with one name a class.")
    return tuple(
        each.decode(errors="backslashreplace") if isinstance(each, bytes) else str(each)
        for each in names.tolist()
    )
