"""Files that are either whole or not there: write beside the target, then rename over it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goldore.errors import GoldoreError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give the path of a fresh temporary file that replaces `target` when the block ends well.

    On any error, an interrupt included, the temporary file is removed and `target` is as it was.

    Args:
        target: the file to write. Its folder must exist; see `check_writable`.

    Yields:
        The path to write to, in the same folder and with the same suffix as `target`.
    """
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _give_usual_mode(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(target: Path) -> None:
    """Make the folder of `target` and see that a file can be created there.

    Raises:
        GoldoreError: if the folder cannot be made or written to, or `target` is itself a folder.
    """
    if target.is_dir():
        raise GoldoreError(f"{target} is a folder; give the name of a file with --out.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise GoldoreError(
            f"cannot write to the folder {target.parent} ({reason}); choose another with --out."
        ) from error


def _give_usual_mode(path: Path) -> None:
    """Give the file the mode that open() would have given it (mkstemp makes it private)."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
