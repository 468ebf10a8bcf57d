"""Pruned folder trees and file lists, for repositories that read folders.

A tree holds every class folder, empty ones too: a missing one would renumber the classes silently.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.listing import find_splits, training_folder
from goldore.errors import TreeError, UsageError, reason
from goldore.files.atomic import check_writable, give_usual_mode, replacing
from goldore.store import Header

Naming = Literal["original", "zero-padded"]


def write_tree(
    indices: NDArray[np.int64],
    header: Header,
    as_folder: str | Path,
    *,
    images: str | Path | None = None,
    copy: bool = False,
    naming: Naming = "original",
) -> Path:
    """Write a folder tree that holds the kept images alone.

    If the original has a training folder (train/, Training/, ...), so has this one, and its other splits are
    linked beside it.

    Args:
        indices: positions to keep, int64.
        header: of the score file of a folder tree, with paths.
        as_folder: the folder to make; must not exist, or be empty.
        images: the folder that was scored; None takes it from the score file.
        copy: copy files instead of linking to them.
        naming: of class folders: "original", or "zero-padded" for 00000, 00001, ... with the files
            directly in them, as RDED wants.

    Returns:
        The folder.

    Raises:
        UsageError: if the dataset was not read from a folder tree, or the naming is unknown.
        TreeError: if an image is missing, two would have one name, or the folder is not empty or cannot be
            written.
    """
    check_tree(indices, header, as_folder, images=images, naming=naming)
    paths, target, root = kept_paths(indices, header), Path(as_folder), _root(header, images)
    train, folders = training_folder(root, header.info.class_names), _class_folders(header, naming)
    check_writable(target / "file" if target.is_dir() else target, "as_folder")
    try:
        made = Path(tempfile.mkdtemp(prefix=".goldore-", dir=target.resolve().parent))
        try:
            top = made / train.relative_to(root)
            for folder in folders.values():
                (top / folder).mkdir(parents=True)
            for path in paths:
                _place(train / path, top / _new_path(path, folders, naming), copy=copy)
            if train != root:
                _link_others(root, made, folders, copy=copy)
            give_usual_mode(made, 0o777)
            made.replace(target.resolve())
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise TreeError(f"{target} cannot be written ({reason(error)}); choose another folder.") from error
    return target


def check_tree(
    indices: NDArray[np.int64],
    header: Header,
    as_folder: str | Path,
    *,
    images: str | Path | None = None,
    naming: Naming = "original",
) -> None:
    """Refuse what `write_tree` would refuse, and write nothing.

    Args:
        indices: as of `write_tree`, like the rest.
        header: of the score file.
        as_folder: the folder to make.
        images: the folder that was scored.
        naming: of class folders.

    Raises:
        UsageError: as `write_tree`.
        TreeError: as `write_tree`, but for a folder that cannot be written.
    """
    if naming not in ("original", "zero-padded"):
        raise UsageError(f"the naming of class folders is {naming!r}; choose original or zero-padded.")
    paths, target = kept_paths(indices, header), Path(as_folder)
    train = training_folder(_root(header, images), header.info.class_names)
    folders = _class_folders(header, naming)
    new: dict[str, str] = {}
    for path in paths:
        if not (train / path).is_file():
            raise TreeError(f"{train} has no {path}; say with `images` where the images lie.")
        other = new.setdefault(_new_path(path, folders, naming), path)
        if other != path:
            raise TreeError(f"{other} and {path} would have one name in {target}; rename one of them.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise TreeError(f"{target} exists and is not empty; remove it or choose another folder.")
    root = _root(header, images)
    if root == target.resolve() or root in target.resolve().parents:
        raise TreeError(
            f"{target} lies in {root}, and would be one more of its classes; choose a folder outside."
        )


def write_list(
    indices: NDArray[np.int64], header: Header, as_list: str | Path, *, overwrite: bool = False
) -> Path:
    """Write the kept images' paths, relative to the training folder, one per line.

    Args:
        indices: positions to keep, int64.
        header: of the score file of a folder tree, with paths.
        as_list: the file.
        overwrite: replace a list of other files of the dataset; any other file is never replaced.

    Returns:
        The path.

    Raises:
        UsageError: if the dataset was not read from a folder tree, or a path holds a line end.
        GoldoreError: if the file cannot be written.
    """
    target = Path(as_list)
    text = check_list(indices, header, target, overwrite=overwrite)
    with replacing(target) as temporary:
        temporary.write_bytes(text)
    return target


def check_list(
    indices: NDArray[np.int64], header: Header, as_list: str | Path, *, overwrite: bool = False
) -> bytes:
    """Refuse what `write_list` would refuse, and write nothing.

    Args:
        indices: as of `write_list`, like the rest.
        header: of the score file.
        as_list: the file.
        overwrite: replace a list of other files of the dataset; any other file is never replaced.

    Returns:
        What the file will hold.

    Raises:
        UsageError, GoldoreError: as `write_list`.
    """
    paths, target = kept_paths(indices, header), Path(as_list)
    if any("\n" in path for path in paths):
        raise UsageError("a path holds a line end, so that no list can be made of them; rename the file.")
    text = "".join(f"{path}\n" for path in paths).encode("utf-8", "surrogateescape")
    if target.is_dir():
        raise TreeError(f"{target} is a folder; give `as_list` the name of a file.")
    known = {path.encode("utf-8", "surrogateescape") for path in header.paths or ()}
    if target.exists() and target.stat().st_size > sum(len(path) + 1 for path in known):
        raise TreeError(f"{target} exists and is no list of these files; choose another `as_list`.")
    if target.exists() and target.read_bytes() != text:
        if target.is_symlink() or not known.issuperset(target.read_bytes().splitlines()):
            raise TreeError(f"{target} exists and is no list of these files; choose another `as_list`.")
        if not overwrite:
            raise TreeError(f"{target} exists and lists other files; use `overwrite` or another `as_list`.")
    check_writable(target, "as_list")
    return text


def kept_paths(indices: NDArray[np.int64], header: Header) -> list[str]:
    """Relative paths of the kept images, in their order.

    Raises:
        UsageError: if the dataset was not read from a folder tree, or a path leads out of it.
    """
    if header.paths is None:
        raise UsageError(
            f"{header.info.name} was not read from a folder tree, so that its samples have no files; leave "
            "`as_folder` and `as_list` out."
        )
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(header.paths):
        raise UsageError(
            f"positions run from {indices.min()} to {indices.max()}, and {header.info.name} has "
            f"{len(header.paths)} samples; choose the score file that they were made from."
        )
    if len(np.unique(indices)) < len(indices):
        raise UsageError("a position occurs twice among those to keep; give each once.")
    paths = [header.paths[index] for index in indices]
    names = set(header.info.class_names)
    for path in paths:
        first, *others = path.split("/")
        if first not in names or not others or not all(map(_is_plain, (first, *others))):
            raise UsageError(
                f"the score file names a file {path} outside the folders of its classes; score the dataset "
                "again."
            )
    return paths


def _is_plain(name: str) -> bool:
    """Whether a part of a path names something in the folder before it."""
    return name not in ("", ".", "..") and "\0" not in name


def _root(header: Header, images: str | Path | None) -> Path:
    if images is not None:
        root = Path(images)
    else:
        root = Path(header.info.origin.path if header.info.origin else header.info.source)
    if not root.is_dir():
        raise TreeError(f"there is no folder {root}; say with `images` where the images lie.")
    return root.resolve()


def _class_folders(header: Header, naming: Naming) -> dict[str, str]:
    """The new name of each class folder."""
    for name in header.info.class_names:
        if not _is_plain(name) or "/" in name:
            raise UsageError(
                f"the score file names a class {name!r}, which is no folder; score the dataset again."
            )
    names = enumerate(header.info.class_names)
    return {name: f"{label:05}" if naming == "zero-padded" else name for label, name in names}


def _new_path(path: str, folders: dict[str, str], naming: Naming) -> str:
    name, _, rest = path.partition("/")
    return f"{folders[name]}/{rest.replace('/', '_') if naming == 'zero-padded' else rest}"


def _place(source: Path, target: Path, *, copy: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source)


def _link_others(root: Path, made: Path, folders: dict[str, str], *, copy: bool) -> None:
    """Give the tree the other splits of the original, with its class folders named alike."""
    splits = find_splits(root)
    for split in [each.name for each in (*splits.get("val", []), *splits.get("test", []))]:
        renamed = [(root / split / old, made / split / new) for old, new in folders.items()]
        whole = any(not old.is_dir() for old, _ in renamed) or all(
            old.name == new.name for old, new in renamed
        )
        for old, new in [(root / split, made / split)] if whole else renamed:
            new.parent.mkdir(exist_ok=True)
            if copy:
                shutil.copytree(old, new)
            else:
                new.symlink_to(old, target_is_directory=True)
