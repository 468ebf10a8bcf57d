"""An index file at work in this process, for notebooks."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goldore.applying.hook.goldore_hook.hook import Hook
from goldore.applying.hook.goldore_hook.report import report
from goldore.applying.launching import hook_index
from goldore.errors import IndexFileError
from goldore.selection.index_file import load_index

_NOTHING = "no dataset was built while {} was to be applied; build it inside the block."


@contextmanager
def applied(index_file: str | Path) -> Iterator[None]:
    """Let the dataset that an index file is about hold just its samples when it is built inside the block.

        with goldore.applied("keep.npy"):
            train = torchvision.datasets.CIFAR10("data", train=True)  # 5,000 of 50,000 samples

    It stays as it is after the block. Other datasets are left alone, and so is what was built before.

    Args:
        index_file: of any format, with provenance.

    Yields:
        Nothing. When the block ends, a line on stderr says where the index was applied.

    Raises:
        IndexFileError: if the file cannot be used, if the dataset that it is about cannot be cut, or if the
            block ends without it.
    """
    about = hook_index(load_index(index_file), index_file)
    with tempfile.TemporaryDirectory(prefix="goldore-run-") as folder:
        log = Path(folder) / "log"
        hook = Hook(about, str(log), IndexFileError)
        hook.open()
        try:
            yield
        finally:
            hook.close()
        found = report(log, about)
    if not found.well:
        raise IndexFileError(
            "\n".join(found.lines).removeprefix("goldore: error: ") or _NOTHING.format(index_file)
        )
    sys.stderr.write("".join(f"{each}\n" for each in found.lines))
