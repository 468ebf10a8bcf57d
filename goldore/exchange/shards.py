"""WebDataset shards of the kept samples.

A shard is a tar file. Files whose names are equal up to the first dot of the last part are one sample, and
stand next to each other; a position counts the samples, shard after shard. Programs that read all shards and
pass over most samples read everything; where little is kept, new shards are faster.
"""

import io
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from goldore.errors import DatasetError, UsageError, reason, require
from goldore.selection.index_file import load_index
from goldore.selection.keeping import verify_index

_CLASS = "cls"  # the file of a sample that holds its label, in digits
_NAME = "kept-{:06d}.tar"

Sample = list[tuple[tarfile.TarInfo, bytes]]


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
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(folder.glob("kept-*.tar"))
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists already; choose another `out` or use `overwrite`.")
    keep = set(index.indices.tolist())
    labels: list[int | None] = []
    with tempfile.TemporaryDirectory(prefix=".kept-", dir=folder) as temporary:
        written: list[Path] = []
        waiting: list[Sample] = []
        for position, sample in enumerate(_samples(sources)):
            labels.append(_label(sample))
            if position in keep:
                waiting.append(sample)
            if len(waiting) == per_shard:
                written.append(_write(Path(temporary), len(written), waiting))
                waiting = []
        if waiting:
            written.append(_write(Path(temporary), len(written), waiting))
        known = np.array(labels) if labels and None not in labels else None
        verify_index(index, index_file, len(labels), known)
        for path in there:
            path.unlink()
        return [path.rename(folder / path.name) for path in written]


def _samples(sources: Sequence[str | Path]) -> Iterator[Sample]:
    for source in sources:
        try:
            with tarfile.open(source) as tar:
                sample: Sample = []
                last = None
                for member in tar:
                    content = tar.extractfile(member) if member.isfile() else None
                    if content is None:
                        continue
                    key = _key(member.name)
                    if key != last and sample:
                        yield sample
                        sample = []
                    last = key
                    sample.append((member, content.read()))
                if sample:
                    yield sample
        except (OSError, tarfile.TarError) as error:
            raise DatasetError(
                f"{source} cannot be read as a tar file ({reason(error)}); check the path."
            ) from error


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / path.name.split(".")[0])


def _label(sample: Sample) -> int | None:
    for member, content in sample:
        if member.name.endswith(f".{_CLASS}"):
            text = content.strip()
            return int(text) if text.isdigit() else None
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
