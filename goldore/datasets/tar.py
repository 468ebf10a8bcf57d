"""Tar files as WebDataset has them: shards of samples, each of one or more files.

Files whose names are equal up to the first dot of the last part are one sample, and stand next to each other;
a position counts the samples, shard after shard.
"""

import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from goldore.errors import DatasetError, reason
from goldore.files.atomic import user_path

_MEMBER = re.compile(r"(?P<key>(?:.*/)?[^./]+)\.(?P<ending>[^/]*)", re.DOTALL)  # as webdataset splits names
_BLOCK = 2**20
FAILURES = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error, lzma.LZMAError)
"""What a damaged tar file makes of reading it."""

Sample = list[tuple[tarfile.TarInfo, bytes]]


def shard_files(source: str) -> list[Path]:
    """The tar files that "train-{000..012}.tar" means, or the one file; each is there.

    Raises:
        DatasetError: if one is not.
    """
    found = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", source)
    names: Iterable[str] = [source]
    if found is not None:
        head, first, last, tail = found.groups()
        names = (f"{head}{each:0{len(first)}}{tail}" for each in range(int(first), int(last) + 1))
    files = []
    for each in names:
        files.append(user_path(each))
        if not files[-1].is_file():
            raise DatasetError(f"there is no shard {files[-1]}; check the numbers.")
    if not files:
        raise DatasetError(f"there is no shard {source}; check the numbers.")
    return files


def has_shards(source: str) -> bool:
    """Whether all tar files that a text like "train-{000..012}.tar" means are there."""
    try:
        return all(file.name.endswith(".tar") for file in shard_files(source))
    except (DatasetError, OSError, ValueError):
        return False


def split_name(member: str) -> tuple[str, str]:
    """The key of a file's sample, and what follows its first dot; two empty texts if it is of no sample."""
    name = _MEMBER.fullmatch(member)
    return (name["key"], name["ending"]) if name is not None else ("", "")


def samples_in(source: str | Path, but: Callable[[str], bool] = lambda _: False) -> Iterator[Sample]:
    """Read the samples of a tar file, packed or not, one after the other.

    Args:
        source: the file.
        but: whether the content of files with such an ending is passed over, and empty here.

    Raises:
        DatasetError: if it cannot be read to its end.
    """
    try:
        with tarfile.open(source) as tar:
            sample: Sample = []
            last = None
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                key, ending = split_name(member.name)
                if content is None or not key:  # webdataset passes them over too
                    continue
                if key != last and sample:
                    yield sample
                    sample = []
                last = key
                sample.append((member, b"" if but(ending) else content.read()))
            if sample:
                yield sample
            _check_end(tar)
    except FAILURES as error:
        raise unreadable(source, error) from error


def unreadable(source: str | Path, error: Exception) -> DatasetError:
    """What to raise where a tar file is damaged."""
    return DatasetError(
        f"{source} cannot be read as a tar file ({reason(error)}); check the path, or fetch it again."
    )


def _check_end(tar: tarfile.TarFile) -> None:
    """See that a tar file ends in zeros: a damaged header looks like its end, and so does a cut."""
    if tar.fileobj is not None:
        tar.fileobj.seek(tar.offset)
        end = tar.fileobj.read(tarfile.BLOCKSIZE)
        if any(end):
            raise tarfile.ReadError("it has a damaged header")
        if len(end) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end is missing")
        while tar.fileobj.read(_BLOCK):  # packed files have a checksum at their end
            pass
