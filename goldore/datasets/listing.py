"""The one listing of folder trees: which files are images of which class and split.

The order is that of torchvision's ImageFolder: class folders sorted, in each the folders sorted, in each the
files.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from goldore.datasets.reading import Findings
from goldore.errors import DatasetError, reason

_ENDINGS = ("", "set", "data", "images", "split")
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
_PARTED = re.compile(r"[_\-. ]+")
_SYSTEM_FOLDERS = {"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information"}
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "ehthumbs.db"}
_MOST_NAMED = 5
_OF_IMAGE_FOLDER = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
"""torchvision's `IMG_EXTENSIONS`, without importing torch (a test compares them)."""


def split_of(name: str) -> str | None:
    """Which split a folder's name means, in any case and with any hyphens: "train", "val", "test" or None."""
    plain = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    for split, words in _SPLITS.items():
        if any(plain == word + ending for word in words for ending in _ENDINGS):
            return split
    return None


def splits_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Which of some names, of folders or keys of a dictionary, mean which split.

    If none is train, however it is spelled, names that begin or end with such a word are understood where
    they have a counterpart: seg_train and seg_test, but not train_station alone.

    Returns:
        The names by split, "train", "val" or "test", in their order.
    """
    names, found = list(names), dict[str, list[str]]()
    for name in names:
        split = split_of(name)
        if split is not None:
            found.setdefault(split, []).append(name)
    if "train" in found:
        return found
    parts = {name: _PARTED.split(name.lower()) for name in names}
    for place in (0, -1):
        sides: dict[tuple[str, ...], dict[str, list[str]]] = {}
        for name, words in parts.items():
            split = split_of(words[place]) if len(words) > 1 else None
            if split is not None:
                rest = tuple(words[:-1] if place else words[1:])
                sides.setdefault(rest, {}).setdefault(split, []).append(name)
        for side in sides.values():
            if "train" in side and len(side) > 1:
                for split, some in side.items():
                    found.setdefault(split, []).extend(some)
    return found


def find_splits(root: Path) -> dict[str, list[Path]]:
    """The folders in a folder whose names mean a split: by split, sorted."""
    named = splits_of(folder.name for folder in folders_in(root))
    return {split: [root / name for name in names] for split, names in named.items()}


def training_folder(root: Path, classes: Collection[str] | None = None) -> Path:
    """The folder whose class folders are the training set: train/, however it is spelled, or the root.

    A folder train/ of images that stands beside other folders of the sort is a class itself.

    Args:
        root: of the tree.
        classes: names of the class folders, if they are known.

    Raises:
        DatasetError: if two folders could be meant.
    """
    splits = find_splits(root)
    train = splits.get("train", [])
    if len(train) > 1:
        raise DatasetError(
            f"{root} has {train[0].name}/ and {train[1].name}/; name one of the two as the dataset."
        )
    if not train:
        return root
    if classes and train[0].name in classes and all((root / each).is_dir() for each in classes):
        return root
    others = {each.name for each in folders_in(root)} - {
        each.name for some in splits.values() for each in some
    }
    return root if others and not folders_in(train[0]) and _has_image(train[0]) else train[0]


def folders_in(folder: Path, findings: Findings | None = None) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones and those of systems, which are counted."""
    try:
        entries = sorted(entry.name for entry in os.scandir(folder) if _is_folder(entry))
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read ({reason(error)}); check the path.") from error
    found = []
    for name in entries:
        if _is_foreign(name):
            if findings is not None:
                _pass_folder(findings, folder / name)
        else:
            found.append(folder / name)
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _has_image(folder: Path) -> bool:
    """Whether an image lies in a folder itself."""
    with os.scandir(folder) as entries:
        return any(not _is_folder(entry) and _why_not(entry.path) is None for entry in entries)


def list_images(folder: Path, findings: Findings | None = None) -> list[Path]:
    """The images in a folder and in the folders in it.

    Links are followed, but not those that lead back. What is no image is counted.

    Args:
        folder: of a class.
        findings: gets what was passed over.

    Returns:
        The files, in the order of torchvision's ImageFolder.
    """
    findings = Findings() if findings is None else findings
    found: list[Path] = []
    for inner, names in sorted(_walk(folder, findings)):
        for name in sorted(names):
            why = _why_not(os.path.join(inner, name))  # noqa: PTH118
            if why is None:
                found.append(Path(inner, name))
            else:
                findings.passed_over[why] += 1
    return found


def pass_over_files(folder: Path, findings: Findings, where: str) -> None:
    """Count the files that lie beside folders which are read."""
    for entry in os.scandir(folder):
        if not _is_folder(entry):
            why = _why_not(entry.path)
            findings.passed_over[f"{where}: {why or 'image'}"] += 1


def unknown_to_image_folder(files: list[Path]) -> Counter[str]:
    """Suffixes of those files that torchvision's ImageFolder would pass over."""
    suffixes = Counter(suffix_of(str(file)) for file in files)
    return Counter({each: number for each, number in suffixes.items() if each not in _OF_IMAGE_FOLDER})


def _walk(folder: Path, findings: Findings) -> Iterator[tuple[str, list[str]]]:
    """Folders and the files in them; hidden ones, and links that lead back, are passed over."""
    above = {str(folder): [each.stat() for each in (folder.resolve(), *folder.resolve().parents)]}
    for inner, folders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        line = above.pop(inner)
        kept = []
        for name in folders:
            path = Path(inner, name)
            there = path.stat()
            if _is_foreign(name):
                _pass_folder(findings, path)
            elif any(os.path.samestat(there, each) for each in line):
                findings.passed_over["link that leads back"] += 1
            else:
                above[str(path)] = [*line, there]
                kept.append(name)
        folders[:] = kept
        yield inner, names


def _unreadable(error: OSError) -> None:
    raise DatasetError(
        f"{error.filename} cannot be read ({reason(error)}); check its permissions."
    ) from error


def _is_foreign(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def _pass_folder(findings: Findings, folder: Path) -> None:
    """Count a folder that is not the dataset's; ImageFolder reads it."""
    findings.passed_over[f"folder {folder.name}"] += 1
    inside = (name for _, _, names in os.walk(folder) for name in names)
    if any(suffix_of(name) in _OF_IMAGE_FOLDER for name in inside):
        warning = (
            f"{folder} holds images, which are passed over here and not by torchvision's ImageFolder; "
            "remove it, so that positions mean the same there."
        )
        if len(findings.warnings) < _MOST_NAMED:
            findings.warnings.append(warning)


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in lower case, with the dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _why_not(path: str) -> str | None:
    """Why a file is no image to be read; None if it is one.

    No `Path` is made of what may be a million files: that takes longer than to ask the system.
    """
    name = os.path.basename(path)  # noqa: PTH119
    if name.startswith(".") or name.lower() in _SYSTEM_FILES:
        return "hidden file" if name.startswith(".") else f"file {name}"
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return "broken link"
    if not stat.S_ISREG(mode):
        return "pipe or device"
    from goldore.datasets.pictures import image_suffixes  # Pillow takes a moment, and tree.py needs none

    suffix = suffix_of(name)
    if suffix not in image_suffixes():
        return f"{suffix} file" if suffix else "file without suffix"
    return None
