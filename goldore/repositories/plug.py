"""Make a clone read an index file: insert marked blocks, report on them, take them out again.

A block stands before its anchor, indented like it and with its line ends, so that taking it out gives the
file back to the byte. Files are read and written as bytes in UTF-8 with surrogates, whatever else they hold.
"""

import difflib
import inspect
import io
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from goldore.errors import PlugError, reason
from goldore.files.atomic import replacing
from goldore.files.untrusted import read_bytes
from goldore.repositories.keep_block import goldore_keep
from goldore.repositories.model import MARK, Edit, Repository

_WRITABLE = 0o222
_SOURCE_BYTES = 2**24
_SOURCE = inspect.getsource(goldore_keep)

State = Literal["plugged", "outdated", "clean", "unknown"]


@dataclass(frozen=True)
class Place:
    """What was found where a block belongs.

    Attributes:
        edit: the place.
        file: in the clone.
        state: "plugged" with this version's block, "outdated" with another, "clean" without one, "unknown" if
            the anchor does not stand there exactly once.
        found: how often the anchor was found.
    """

    edit: Edit
    file: Path
    state: State
    found: int


@dataclass(frozen=True)
class Change:
    """A file before and after.

    Attributes:
        file: in the clone.
        name: relative to the clone.
        before: its text, with its line ends.
        after: likewise.
    """

    file: Path
    name: str
    before: str
    after: str

    def diff(self) -> str:
        """The change as a unified diff with plain line ends."""
        old, new = (
            text.replace("\r\n", "\n").splitlines(keepends=True) for text in (self.before, self.after)
        )
        return "".join(difflib.unified_diff(old, new, f"a/{self.name}", f"b/{self.name}"))


def plug(repository: Repository, clone: str | Path, *, dry_run: bool = False) -> list[Change]:
    """Insert the blocks that make a clone read the index file that GOLDORE_INDEX names.

    Nothing is written unless every block finds its place.

    Args:
        repository: which.
        clone: its folder.
        dry_run: only say what would be done.

    Returns:
        The changed files; none if all blocks are there already.

    Raises:
        PlugError: if the folder is no clone of it, or an anchor is not found exactly once.
    """
    root = find_root(repository, clone)
    changes = []
    for name, edits in _by_file(repository):
        before = _read(root / name)
        after = _without_blocks(before, root / name)
        for edit in edits:
            after = _insert(after, edit, repository, root / name)
        changes.append(Change(root / name, name, before, after))
    return _write(changes, dry_run=dry_run)


def unplug(repository: Repository, clone: str | Path, *, dry_run: bool = False) -> list[Change]:
    """Take the blocks out of a clone again, whichever version of goldore wrote them.

    Args:
        repository: which.
        clone: its folder.
        dry_run: only say what would be done.

    Returns:
        The changed files; none if there was no block.

    Raises:
        PlugError: if the folder is no clone of it, or a block has lost its first or last line.
    """
    root = find_root(repository, clone)
    changes = []
    for name, _ in _by_file(repository):
        before = _read(root / name)
        changes.append(Change(root / name, name, before, _without_blocks(before, root / name)))
    return _write(changes, dry_run=dry_run)


def inspect_clone(repository: Repository, clone: str | Path) -> list[Place]:
    """See which blocks stand in a clone.

    Args:
        repository: which.
        clone: its folder.

    Returns:
        One place a block.

    Raises:
        PlugError: if the folder is no clone of it, or a block has lost its first or last line.
    """
    root = find_root(repository, clone)
    places = []
    for name, edits in _by_file(repository):
        text = _read(root / name)
        clean = _without_blocks(text, root / name)
        for edit in edits:
            found = len(_find(clean, edit))
            state: State = "unknown"
            if found == 1:
                block = _insert(clean, edit, repository, root / name)
                inserted = _blocks(block)[0]
                standing = _blocks(text)
                state = "plugged" if inserted in standing else "outdated" if standing else "clean"
            places.append(Place(edit, root / name, state, found))
    return places


def find_root(repository: Repository, clone: str | Path) -> Path:
    """The folder of a clone in which the code lies.

    Raises:
        PlugError: if no folder has all the files that blocks go into.
    """
    folder = Path(clone)
    if not repository.edits:
        way = (
            "run it with goldore run" if repository.door else "give it the tree of goldore prune --as-folder"
        )
        raise PlugError(f"{repository.title} needs no plug; {way}.")
    if not folder.is_dir():
        raise PlugError(f"there is no folder {folder}; give the path of a clone of {repository.url}.")
    files = {edit.file for edit in repository.edits}
    files |= set(repository.files)
    for root in repository.roots:
        if all((folder / root / file).is_file() for file in files):
            return _own(repository, folder / root)
    missing = sorted(file for file in files if not (folder / file).is_file())
    raise PlugError(
        f"{folder} has no {missing[0]}, so it is no clone of {repository.url} or one of another version; "
        "check the path."
    )


def _own(repository: Repository, root: Path) -> Path:
    """The folder, unless it is a relative's clone."""
    for file in repository.not_files:
        if (root / file).exists():
            raise PlugError(
                f"{root} has {file}, so it is the clone of a relative of {repository.url}; see "
                "goldore plug --list."
            )
    return root


def block_lines(edit: Edit, repository: Repository) -> list[str]:
    """The lines of a block, without indentation and line ends."""
    name = repository.plugged_as or repository.name
    if edit.refuses:
        body = [
            "import os as goldore_os",
            'if goldore_os.environ.get("GOLDORE_INDEX"):',
            f'    raise SystemExit("goldore: {edit.refuses}")',
        ]
    else:
        use = ["if goldore_index is not None:", *(f"    {line}" for line in edit.apply)]
        body = [*_SOURCE.splitlines(), f"goldore_index = goldore_keep({edit.data})", *use]
    if edit.when:
        body = [f"if {edit.when}:", *(f"    {line}" if line else "" for line in body)]
    return [
        f"# >>> {MARK} {name}: keeps the samples of the index file that GOLDORE_INDEX names",
        *body,
        f"# <<< {MARK} {name}: end; `goldore plug {name} CLONE --revert` takes it out",
    ]


def _by_file(repository: Repository) -> Iterator[tuple[str, list[Edit]]]:
    for name in dict.fromkeys(edit.file for edit in repository.edits):
        yield name, [edit for edit in repository.edits if edit.file == name]


def _find(text: str, edit: Edit) -> list[int]:
    """Numbers of the lines at which the anchor starts."""
    lines = [line.strip() for line in _lines(text)]
    size = len(edit.anchor)
    return [at for at in range(len(lines) - size + 1) if tuple(lines[at : at + size]) == edit.anchor]


def _insert(text: str, edit: Edit, repository: Repository, file: Path) -> str:
    found = _find(text, edit)
    if len(found) != 1:
        anchor = "\n".join(f"    {line}" for line in edit.anchor)
        block = textwrap.indent("\n".join(block_lines(edit, repository)), "    ")
        raise PlugError(
            f"{file} has the anchor of the block {len(found)} times instead of once, so it is another "
            "version than "
            f"{repository.commit}; nothing was changed, and by hand the block goes {edit.place}.",
            details=f"The anchor, which the block stands before:\n\n{anchor}\n\nThe block:\n\n{block}",
        )
    lines = _lines(text)
    line = lines[found[0]]
    indent = line[: len(line) - len(line.lstrip())]
    end = line[len(line.rstrip("\r\n")) :] or "\n"
    unit = "\t" if "\t" in indent else "    "
    new = [_indented(each, indent, unit) + end for each in block_lines(edit, repository)]
    return "".join([*lines[: found[0]], *new, *lines[found[0] :]])


def _indented(line: str, indent: str, unit: str) -> str:
    plain = line.lstrip(" ")
    steps, rest = divmod(len(line) - len(plain), 4)
    return indent + unit * steps + " " * rest + plain if plain else ""


def _without_blocks(text: str, file: Path) -> str:
    kept, inside = [], False
    for line in _lines(text):
        begins, ends = line.lstrip().startswith(f"# >>> {MARK} "), line.lstrip().startswith(f"# <<< {MARK} ")
        if begins == inside and (begins or ends):
            raise PlugError(f"a block in {file} has lost its first or last line; restore the file with git.")
        inside = begins or (inside and not ends)
        if not (inside or ends):
            kept.append(line)
    if inside:
        raise PlugError(f"a block in {file} has lost its last line; restore the file with git.")
    return "".join(kept)


def _blocks(text: str) -> list[str]:
    """The blocks that stand in a text that has whole ones only."""
    blocks: list[str] = []
    inside = False
    for line in _lines(text):
        if line.lstrip().startswith(f"# >>> {MARK} "):
            inside = True
            blocks.append("")
        if inside:
            blocks[-1] += line
        inside = inside and not line.lstrip().startswith(f"# <<< {MARK} ")
    return blocks


def _lines(text: str) -> list[str]:
    return io.StringIO(text, newline="").readlines()


def _read(file: Path) -> str:
    try:
        return read_bytes(file, _SOURCE_BYTES).decode("utf-8", "surrogateescape")
    except (OSError, ValueError) as error:
        raise PlugError(
            f"{file} cannot be read ({reason(error)}); check the file and its permissions."
        ) from error


def _write(changes: list[Change], *, dry_run: bool) -> list[Change]:
    """Write what changed, all or nothing."""
    changed = [change for change in changes if change.before != change.after]
    if dry_run:
        return changed
    for change in changed:
        if not change.file.stat().st_mode & _WRITABLE:
            raise PlugError(f"{change.file} is read-only; nothing was changed, make it writable.")
    done: list[Change] = []
    for change in changed:
        try:
            _replace(change.file, change.after)
        except OSError as error:
            for earlier in done:
                _replace(earlier.file, earlier.before)
            raise PlugError(
                f"{change.file} cannot be written ({reason(error)}); nothing was changed, check its folder."
            ) from error
        done.append(change)
    return changed


def _replace(file: Path, text: str) -> None:
    mode = file.stat().st_mode
    with replacing(file) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
    file.chmod(mode)
