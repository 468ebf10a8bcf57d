"""WebDataset shards of the kept samples.

`goldore.datasets.tar` says what a shard is. Programs that read all shards and pass over most samples read
everything; where little is kept, new shards are faster.
"""

import io
import re
import tarfile
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path

import numpy as np

from goldore.datasets.tar import Sample, samples_in, split_name
from goldore.errors import UsageError, require
from goldore.selection.index_file import Index, load_index
from goldore.selection.keeping import verify_index

_CLASS = "cls"  # the file of a sample that holds its label, in digits
_NAME, _OURS = "kept-{:06d}.tar", re.compile(r"kept-\d{6}\.tar")
_NUMBER = re.compile(rb"\d{1,18}")


def shards(
    index_file: str | Path,
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    per_shard: int = 10_000,
    overwrite: bool = False,
) -> list[Path]:
    """Write the kept samples of WebDataset shards to new shards, in their order.

    Args:
        index_file: of any format; its positions count the samples of all sources.
        sources: tar files, in the order in which they were scored.
        out: a folder, made if need be; it gets kept-000000.tar and so on.
        per_shard: samples of a new shard, 1 or more.
        overwrite: replace new shards that exist.

    Returns:
        The new shards.

    Raises:
        UsageError: if there is no source, or a new shard exists.
        DatasetError: if a source cannot be read.
        IndexFileError: if the file cannot be read, or is about another dataset: by the number of samples, and
            by their labels where each has a .cls file. No new shard is left then.
    """
    require(
        len(sources) > 0, "there are no shards; name the tar files in the order in which they were scored."
    )
    require(per_shard >= 1, f"`per_shard` is {per_shard}; it must be 1 or more.")
    index, folder = load_index(index_file), Path(out)
    there = sorted(path for path in folder.glob("kept-*.tar") if _OURS.fullmatch(path.name))
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists already; choose another `out` or use `overwrite`.")
    read = {Path(source).resolve() for source in sources}
    own = next((path for path in there if path.resolve() in read), None)
    require(own is None, f"{own} is one of the sources, and would be replaced; choose another `out`.")
    require(not folder.exists() or folder.is_dir(), f"{folder} is a file; choose another `out`.")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _written(index, index_file, sources, folder, there, per_shard)
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def _written(
    index: Index,
    index_file: str | Path,
    sources: Sequence[str | Path],
    folder: Path,
    there: Sequence[Path],
    per_shard: int,
) -> list[Path]:
    keep = set(index.indices.tolist())
    names: set[str] = set()
    labels: list[int | None] = []
    with tempfile.TemporaryDirectory(prefix=".kept-", dir=folder) as temporary:
        written: list[Path] = []
        waiting: list[Sample] = []
        for position, sample in enumerate(sample for source in sources for sample in samples_in(source)):
            labels.append(_label(sample))
            if position in keep:
                waiting.append(_with_own_name(sample, position, names))
            if len(waiting) == per_shard:
                written.append(_write(Path(temporary), len(written), waiting))
                waiting = []
        if waiting:
            written.append(_write(Path(temporary), len(written), waiting))
        known = np.array(labels) if labels and None not in labels else None
        if known is None:
            warnings.warn(
                f"{labels.count(None):,} samples have no .{_CLASS} file with a number, so that the labels "
                "were not compared with those of the index.",
                stacklevel=3,
            )
        verify_index(index, index_file, len(labels), known)
        for path in there:
            path.unlink()
        return [path.rename(folder / path.name) for path in written]


def _with_own_name(sample: Sample, position: int, names: set[str]) -> Sample:
    """A sample under a key that no other one has: keys may repeat from shard to shard."""
    key, _ = split_name(sample[0][0].name)
    if key not in names:
        names.add(key)
        return sample
    found = []
    for member, content in sample:
        renamed = copy(member)
        renamed.name = f"{key}-{position}{member.name.removeprefix(key)}"
        found.append((renamed, content))
    names.add(f"{key}-{position}")
    return found


def _label(sample: Sample) -> int | None:
    for member, content in sample:
        if split_name(member.name)[1].lower() == _CLASS:
            text = content.strip()
            return int(text) if _NUMBER.fullmatch(text) else None
    return None


def _write(folder: Path, number: int, samples: Sequence[Sample]) -> Path:
    path = folder / _NAME.format(number)
    with tarfile.open(path, "w") as tar:
        for sample in samples:
            for member, content in sample:
                info = tarfile.TarInfo(member.name)
                info.size, info.mtime, info.mode = len(content), member.mtime, member.mode
                tar.addfile(info, io.BytesIO(content))
    return path
