"""Files that are either whole or not there: write beside the target, then rename over it."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from goldore.errors import GoldoreError, reason

_PREFIX = ".goldore-"
_RANDOM = "[a-z0-9_]{8}"  # what tempfile puts between prefix and suffix
_LONGEST = 200  # bytes of a file's name that fit into a temporary's, of which systems take 255
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # of file systems without it


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give the path of a fresh temporary file that replaces `target` when the block ends well.

    On any error, an interrupt included, the temporary file is removed and `target` is as it was.

    Args:
        target: the file to write; a symbolic link is followed. Its folder must exist (`check_writable`).

    Yields:
        The path to write to, in the same folder and with the same suffix as `target`.
    """
    suffix = target.suffix
    target = target.resolve()  # through a symbolic link, to the file it stands for
    handle, name = tempfile.mkstemp(prefix=temporary_prefix(target), suffix=suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        give_usual_mode(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_prefix(target: Path) -> str:
    """How the names of a file's temporaries begin, so that they can be told from those of other files."""
    name = os.fsencode(target.resolve().name)
    short = os.fsdecode(name) if len(name) <= _LONGEST else hashlib.sha256(name).hexdigest()
    return f"{_PREFIX}{short}-"


def remove_left_behind(target: Path) -> None:
    """Remove the temporaries of a file that killed processes left; no other may be writing to the file."""
    pattern = re.compile(rf"{re.escape(temporary_prefix(target))}{_RANDOM}(\.[^.]*)?")
    with suppress(OSError):  # it is tidying only
        for each in target.resolve().parent.iterdir():
            if not pattern.fullmatch(each.name):
                continue
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink()


def sync_folder(folder: Path) -> None:
    """Make the new name of a file as durable as its content, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # of Windows, and of folders that may be written to but not be read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise
    finally:
        os.close(handle)


def check_writable(target: Path, name: str = "out") -> None:
    """Make the folder of `target` and see that a file can be created there.

    Args:
        target: the file.
        name: of the argument that names it, for the messages.

    Raises:
        GoldoreError: if the folder cannot be made or written to, or `target` is itself a folder.
    """
    try:
        real = target.resolve()
        is_folder = real.is_dir()
        real.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            prefix=temporary_prefix(real), suffix=real.suffix, dir=real.parent, delete=False
        ) as probe:
            pass
        Path(probe.name).unlink(missing_ok=True)  # who writes to the target may have tidied it up
    except (OSError, RuntimeError) as error:  # RuntimeError: symbolic links that go round in a circle
        raise GoldoreError(
            f"cannot write to the folder {target.parent} ({reason(error)}); choose another with `{name}`."
        ) from error
    if is_folder:
        raise GoldoreError(f"{target} is a folder; give the name of a file with `{name}`.")


def check_space(path: Path, size: int) -> None:
    """See that a file can grow to a size, by letting it do so; it is empty afterwards.

    HDF5 does not survive a disk that fills up while it writes, so this is tried before.

    Args:
        path: an existing file that may be emptied.
        size: in bytes.

    Raises:
        OSError: if the disk, a quota or a limit on file sizes does not allow it.
    """
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise
        file.truncate(0)


def user_path(text: str | Path) -> Path:
    """A path with ~ expanded; that of an unknown user stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def file_name(text: str) -> str:
    """A text as part of a file name: letters, digits, hyphens, underscores and dots stay, the rest is "_"."""
    return "".join(each if each.isalnum() or each in "-_." else "_" for each in text)


def give_usual_mode(path: Path, most: int = 0o666) -> None:
    """Give a file, or a folder with most=0o777, the mode that it would have had without tempfile."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(most & ~mask)
