"""What may be written where: seen before anything is made, so that nothing is lost and nothing half done."""

from collections.abc import Iterable
from pathlib import Path

from goldore.errors import UsageError
from goldore.files.atomic import check_writable
from goldore.store import is_score_file


def check_output(path: Path, name: str, *, overwrite: bool, inputs: Iterable[str | Path | None] = ()) -> None:
    """See that a file can be written, and that nothing else than its like is lost by it.

    Args:
        path: of the file; its folder is made.
        name: of the argument that names it, for the messages.
        overwrite: replace a file that exists; a score file is never replaced, nor what is read.
        inputs: what is read meanwhile; what is no path among it does not matter.

    Raises:
        UsageError: if the file exists, or is one that must not be replaced.
        GoldoreError: if it cannot be written.
    """
    if str(path) == "-":
        raise UsageError(f"`{name}` names a file, and - is none; give it a name.")
    if path.exists():
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give `{name}` the name of a file.")
        if not path.is_file():
            raise UsageError(f"{path} is no ordinary file; give `{name}` another name.")
        if any(each is not None and _is_same(path, Path(each)) for each in inputs):
            raise UsageError(f"{path} is what is read; give `{name}` another name.")
        if is_score_file(path):
            raise UsageError(f"{path} is a score file, which is not replaced; give `{name}` another name.")
        if not overwrite:
            raise UsageError(f"{path} exists already; choose another name or use `overwrite`.")
    check_writable(path, name)


def _is_same(path: Path, other: Path) -> bool:
    try:
        return other.exists() and path.samefile(other)
    except OSError:
        return False
