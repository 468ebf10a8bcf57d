"""Folder trees: one folder a class, the layout of torchvision's ImageFolder, in its order."""

import difflib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.cache import Cache, identify, not_kept, stats_of
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.glance import LOOKED_AT, MANY, glance
from goldore.datasets.listing import (
    find_splits,
    folders_in,
    list_images,
    pass_over_files,
    split_of,
    suffix_of,
    training_folder,
    unknown_to_image_folder,
)
from goldore.datasets.origin import Origin
from goldore.datasets.paths import relative_paths
from goldore.datasets.pictures import decode
from goldore.datasets.reading import Findings, Tally, counts, listed
from goldore.errors import DatasetError
from goldore.wording import count

_MOST_NAMED = 5


def load_folder(
    root: Path,
    name: str,
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
    cache: Cache | None = None,
) -> ImageDataset:
    """Read a folder tree as torchvision's ImageFolder would: sorted class folders, sorted files.

    Hidden folders and files, and those of systems and editors, are passed over; what else is no image is
    counted.

    Args:
        root: holds train/ and perhaps val/ or test/ (Training, validation and the like are understood), each
            with one folder a class; or the class folders themselves, which are then the training set.
        name: of the dataset.
        image_size: resize the shorter side to this many pixels (bilinear, antialiased), then crop the
            centre square; None needs images that all have one size.
        classes: read only these class folders, labelled in sorted order; None reads all.
        cache: where decoded images are kept; None keeps them in memory alone.

    Returns:
        The dataset as RGB, with the relative path of each training sample.

    Raises:
        DatasetError: if a class has no image, images cannot be decoded, or sizes differ.
    """
    findings = Findings()
    train = training_folder(root, classes)
    chosen = _class_folders(train, classes, findings)
    files, labels = _list_files(train, chosen, findings)
    _compare_with_image_folder(files, findings)
    how = {"image_size": image_size, "classes": None if classes is None else list(chosen)}
    images = decode_split(files, train, f"{train.name}/", "train", name, how, findings, cache)
    test = _test_split(root, train, chosen, findings)
    test_images = test_labels = None
    if test is not None:
        folder, test_files, test_labels = test
        test_images = decode_split(test_files, folder, f"{folder.name}/", "test", name, how, findings, cache)
    dataset = ImageDataset(
        name=name,
        images=images,
        labels=labels,
        class_names=tuple(chosen),
        origin=Origin("folder", "", str(root), image_size, None if classes is None else tuple(chosen)),
        test_images=test_images,
        test_labels=test_labels,
        paths=relative_paths(files, train),
        reading=findings.reading(),
    )
    identify(dataset, cache)
    return dataset


def decode_split(
    files: list[Path],
    folder: Path,
    where: str,
    split: str,
    name: str,
    how: dict[str, Any],
    findings: Findings,
    cache: Cache | None,
) -> NDArray[np.uint8]:
    """The images of a split, out of the cache if they are there, and into it if they are not.

    Args:
        files: in order.
        folder: in which they lie.
        where: names it for people.
        split: "train" or "test".
        name: of the dataset.
        how: what decoding depends on: image_size, and whatever else tells this split from others.
        findings: gets what was found.
        cache: where decoded images are kept; None: nowhere.

    Raises:
        DatasetError: as of `decode`, or if there is no room in a cache that was asked for.
    """
    tally, side = Tally(), how["image_size"]
    suffixes = Counter(suffix_of(str(file)) for file in files)
    if cache is not None and cache.looks_only:
        images = _looked_at(files, folder, split, name, how, findings, cache, tally)
        tally.tell(findings, split, where, suffixes, len(files))
        return images
    room = cache.room(name, split, folder, len(files), how) if cache is not None else None
    try:
        images = decode(files, side, tally, room, folder)
    except OSError as error:
        assert cache is not None  # noqa: S101 - memory raises none
        findings.notes.append(not_kept(cache, error))
        tally = Tally()
        images = decode(files, side, tally)
    tally.tell(findings, split, where, suffixes)
    return images


def _looked_at(
    files: list[Path],
    folder: Path,
    split: str,
    name: str,
    how: dict[str, Any],
    findings: Findings,
    cache: Cache,
    tally: Tally,
) -> NDArray[np.uint8]:
    """The images of a split for a dry run: out of the cache, or decoded; of many, one for all."""
    room = cache.room(name, split, folder, len(files), how)
    known = room.known(stats_of(files, folder), tally) if room is not None else None
    if known is not None:
        return known
    if room is None or len(files) < MANY:
        return decode(files, how["image_size"], tally)
    some = files[:: max(1, len(files) // LOOKED_AT)][:LOOKED_AT]
    start = time.perf_counter()
    images = decode(some, how["image_size"], tally)
    rate = len(some) / (time.perf_counter() - start)
    return glance(images[0], len(files), rate, split, cache, findings)


def _class_folders(train: Path, classes: Sequence[str] | None, findings: Findings) -> list[str]:
    found = [folder.name for folder in folders_in(train, findings)]
    pass_over_files(train, findings, f"in {train.name}/ beside the class folders")
    if not found:
        raise DatasetError(
            f"{train} has no class folders; it must hold one folder of images a class, or IDX files."
        )
    if classes is None:
        if all(split_of(each) for each in found):
            raise DatasetError(
                f"{train} has {' and '.join(f'{each}/' for each in found)} and no training split; name the "
                f"folder that is to be scored, as {train / found[0]}."
            )
        if len(found) == 1:
            inside = [folder for folder in folders_in(train / found[0]) if list_images(folder)]
            if len(inside) > 1:
                raise DatasetError(
                    f"{train} has one class, {found[0]}, in which there are {count(len(inside))} folders of "
                    f"images; did you mean {train / found[0]}?"
                )
        _check_layout(train, found)
        return found
    if not classes:
        raise DatasetError(f"`classes` names no class of {train}; name some or leave it out.")
    unknown = sorted(set(classes) - set(found))
    if unknown:
        near = difflib.get_close_matches(unknown[0], found, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {_some(found)}."
        raise DatasetError(f"{train} has no class folder {_some(unknown)}; {hint}")
    return sorted(set(classes))


def _check_layout(train: Path, names: Sequence[str]) -> None:
    """Refuse splits, folds and kinds of images that would be read as classes.

    Raises:
        DatasetError: if all folders hold images in the same folders, two or more.
    """
    inside: set[str] = set()
    for name in names:
        there = {folder.name for folder in folders_in(train / name) if list_images(folder)}
        if len(names) == 1 or len(there) <= 1 or inside not in (set(), there):
            return
        inside = there
    raise DatasetError(
        f"the class folders of {train} ({_some(names)}) all have the same folders in them "
        f"({_some(sorted(inside))}), so that one or the other may be no classes; name the folder whose "
        f"folders are the classes, as {train / names[0]}, put splits above classes, or name the classes with "
        "`classes`."
    )


def _list_files(
    split: Path, chosen: Sequence[str], findings: Findings
) -> tuple[list[Path], NDArray[np.int64]]:
    found = [list_images(split / name, findings) for name in chosen]
    empty = [name for name, files in zip(chosen, found, strict=True) if not files]
    if empty:
        skipped = listed(counts(findings.passed_over))
        raise DatasetError(
            f"no image in the class folder {_some(empty)} of {split}; add images or leave the class out with "
            f"`classes`{f' (passed over: {skipped})' if skipped else ''}."
        )
    labels = np.repeat(np.arange(len(chosen)), [len(files) for files in found])
    return [file for files in found for file in files], labels.astype(np.int64)


def _compare_with_image_folder(files: list[Path], findings: Findings) -> None:
    others = unknown_to_image_folder(files)
    if others:
        findings.warnings.append(
            f"torchvision's ImageFolder passes over files of these kinds ({listed(counts(others))}), so that "
            "its positions are not those of this dataset; convert them for programs that read with "
            "ImageFolder."
        )


def _test_split(
    root: Path, train: Path, chosen: Sequence[str], findings: Findings
) -> tuple[Path, list[Path], NDArray[np.int64]] | None:
    """The first of val/ and test/ that has an image of every class; why the others are not used is said."""
    if train == root:
        return None
    splits = find_splits(root)
    known = [folder for folders in splits.values() for folder in folders]
    findings.passed_over.update(
        f"folder {folder.name} beside the splits"
        for folder in folders_in(root, findings)
        if folder not in known
    )
    pass_over_files(root, findings, "beside the splits")
    found = None
    for folder in [*splits.get("val", []), *splits.get("test", [])]:
        if found is not None:
            findings.notes.append(f"{folder.name}/ is not used: one split to evaluate on is enough")
            continue
        there = Findings()
        files = [list_images(folder / name, there) if (folder / name).is_dir() else [] for name in chosen]
        missing = [name for name, some in zip(chosen, files, strict=True) if not some]
        if missing:
            findings.notes.append(f"{folder.name}/ is not used: it has no image of class {_some(missing)}")
            continue
        others = {inner.name for inner in folders_in(folder, there)} - set(chosen)
        there.passed_over.update(f"folder {name} in {folder.name}/, of no class" for name in others)
        pass_over_files(folder, there, f"in {folder.name}/ beside the class folders")
        findings.passed_over.update(there.passed_over)
        findings.warnings += there.warnings
        labels = np.repeat(np.arange(len(chosen)), [len(some) for some in files])
        found = folder, [file for some in files for file in some], labels.astype(np.int64)
    return found


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {count(more)} others" if more > 0 else "")
