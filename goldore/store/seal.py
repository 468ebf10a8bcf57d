"""The seal: a checksum over a whole score file, in the 512 bytes before it that HDF5 leaves to the user.

    goldore scores, format 2
    sha256 <64 hexadecimal digits> of the <n> bytes after these 512

It is compared before HDF5 sees the file. So a file that was cut short, or in which a bit has flipped, is
damaged, and never half right; and HDF5, which does not survive every damage, is spared it. `head -2 FILE`
shows it.
"""

import hashlib
import os
import re
import shlex
from pathlib import Path

from goldore.errors import ScoreFileError
from goldore.store.format import FORMAT_VERSION

SIZE = 512
_MAGIC = b"goldore scores, format "
_HDF5 = b"\x89HDF\r\n\x1a\n"
_LINES = re.compile(
    rb"goldore scores, format (\d{1,9})\nsha256 ([0-9a-f]{64}) of the (\d{1,18}) bytes after these 512\n"
)
_intact: dict[Path, tuple[int, int, int]] = {}  # stamps of the files that were found intact, by real path

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """What tells a file from another that took its place: inode, size, time; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def seal(path: Path) -> None:
    """Write the seal of a closed score file, whatever there was before.

    Args:
        path: of an HDF5 file with a user block of 512 bytes.
    """
    with path.open("rb+") as file:
        file.seek(SIZE)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        length = file.tell() - SIZE
        lines = (
            f"goldore scores, format {FORMAT_VERSION}",
            f"sha256 {digest} of the {length} bytes after these {SIZE}",
            "",
        )
        file.seek(0)
        file.write("\n".join(lines).encode().ljust(SIZE, b"\0"))


def is_sealed(path: Path) -> bool:
    """Whether a file has a seal, unbroken or not: the lines, or what HDF5 begins with after them."""
    with path.open("rb") as file:
        head = file.read(SIZE + len(_HDF5))
    return head.startswith(_MAGIC) or head[SIZE:] == _HDF5


def sealed_size(path: Path) -> int | None:
    """The size that a file had when it was sealed, in bytes; None if its first lines do not say so."""
    with path.open("rb") as file:
        lines = _LINES.match(file.read(SIZE))
    return int(lines[3]) + SIZE if lines is not None else None


def check_seal(path: Path) -> None:
    """See that a file is as goldore left it. A file that is looked at again is not read again.

    Raises:
        ScoreFileError: if it is not, or of a newer format.
        OSError: if it cannot be read.
    """
    why = damage(path)
    if why is not None:
        raise ScoreFileError(
            f"{path} is damaged, or another program changed it ({why}); "
            f"goldore verify {shlex.quote(str(path))} says what is left, and --repair NEW.h5 saves it."
        )


def damage(path: Path) -> str | None:
    """What is wrong with a file's seal; None if it is intact.

    Raises:
        ScoreFileError: if the file is of a newer format.
        OSError: if it cannot be read.
    """
    key = path.resolve()
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        found = status.st_ino, status.st_size, status.st_mtime_ns
        if _intact.get(key) == found:
            return None
        lines = _LINES.match(file.read(SIZE))
        if lines is None:
            return "its first lines are not as goldore writes them"
        if int(lines[1]) > FORMAT_VERSION:
            raise ScoreFileError(
                f"{path} has format version {int(lines[1])} and this goldore reads up to {FORMAT_VERSION}; "
                "update goldore."
            )
        claimed = int(lines[3]) + SIZE
        if status.st_size != claimed:
            return f"it has {status.st_size:,} bytes instead of {claimed:,}"
        if hashlib.file_digest(file, "sha256").hexdigest() != lines[2].decode():
            return "its checksum does not fit"
    _intact[key] = found
    return None
