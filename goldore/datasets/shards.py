"""WebDataset shards, in the tar files' order."""

import re
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from goldore.datasets.cache import Cache
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.items import load_object
from goldore.datasets.origin import Origin
from goldore.datasets.pictures import image_suffixes
from goldore.datasets.reading import Findings
from goldore.datasets.tar import FAILURES, Sample, samples_in, shard_files, split_name, unreadable
from goldore.datasets.whole import Rooms, kept_whole
from goldore.errors import DatasetError

_LABELS = ("cls", "label", "class")
_TEXT = "txt"  # mostly a caption, so that it is a label only where there is no other


def load_shards(
    source: str, name: str, image_size: int | None = None, cache: Cache | None = None
) -> ImageDataset:
    """Read WebDataset shards: each sample a picture and a label (.cls), as a number or a text.

    Args:
        source: a .tar file, or several as "train-{000..012}.tar".
        name: of the dataset.
        image_size: resize the shorter side to this many pixels, then crop the centre square.
        cache: where decoded images are kept; None: nowhere.

    Returns:
        The dataset, in the order of the tar files; a position counts the samples, as for `goldore.shards`.

    Raises:
        DatasetError: if a shard cannot be read, or a sample has no picture or label, or several pictures.
    """
    origin, files = Origin("shards", "", source, image_size), shard_files(source)

    def read(rooms: Rooms | None) -> ImageDataset:
        findings, places = Findings(), list[_Place]()
        for file in files:
            places += [_place(sample, file, findings) for sample in samples_in(file, but=_is_picture)]
        with ExitStack() as opened:
            samples = _Samples(places, opened)
            return load_object(samples, name, "auto", image_size, origin, findings, rooms)

    return kept_whole(cache, name, origin, files, read)


class _Place(NamedTuple):
    """Where the picture of a sample lies.

    Attributes:
        file: the shard.
        offset: of the picture in the unpacked shard.
        size: of the picture in bytes.
        label: of the sample.
    """

    file: Path
    offset: int
    size: int
    label: int | str


class _Samples(Sequence[tuple[bytes, Any]]):
    """The samples of shards as items, read when they are asked for; one shard is open at a time."""

    def __init__(self, places: Sequence[_Place], files: ExitStack) -> None:
        self._places, self._files = places, files
        self._open: tuple[Path, tarfile.TarFile] | None = None

    def __len__(self) -> int:
        return len(self._places)

    @property
    def labels(self) -> list[int | str]:
        """Of all samples."""
        return [place.label for place in self._places]

    def __getitem__(self, position: Any) -> Any:
        place = self._places[position]
        try:
            if self._open is None or self._open[0] != place.file:
                self._files.close()
                self._open = place.file, self._files.enter_context(tarfile.open(place.file))  # noqa: SIM115
            stream = self._open[1].fileobj
            assert stream is not None  # noqa: S101
            stream.seek(place.offset)
            return stream.read(place.size), place.label
        except FAILURES as error:
            raise unreadable(place.file, error) from error


def _is_picture(ending: str) -> bool:
    return f".{ending.lower().rpartition('.')[2]}" in image_suffixes()


def _place(sample: Sample, file: Path, findings: Findings) -> _Place:
    """Find the picture and the label of a sample, and count what else it has.

    Raises:
        DatasetError: if it has none, or several pictures.
    """
    key, _ = split_name(sample[0][0].name)
    there = {split_name(member.name)[1].lower(): (member, content) for member, content in sample}
    pictures = [each for each in there if _is_picture(each)]
    pictures = [each for each in pictures if "." not in each] or pictures  # 0.jpg before 0.depth.png
    label = next((each for each in (*_LABELS, _TEXT) if each in there), None)
    if len(pictures) > 1:
        raise DatasetError(
            f"sample {key} of {file} has the pictures {' and '.join(pictures)}; leave one of them in the "
            "shards, or read them with a function of your own: package.module:function."
        )
    if not pictures or label is None:
        raise DatasetError(
            f"sample {key} of {file} has {', '.join(there)}; it must have a picture and a label "
            f"(.{_LABELS[0]}); read other shards with a function of your own: package.module:function."
        )
    findings.passed_over.update(
        f".{each} file of a sample" for each in there if each not in (*pictures, label)
    )
    if label == _TEXT:
        findings.notes.append(f"the labels are those of .{_TEXT} files, since there is no .{_LABELS[0]}")
    member, _ = there[pictures[0]]
    text = there[label][1].decode(errors="backslashreplace").strip()
    return _Place(
        file, member.offset_data, member.size, int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
    )
