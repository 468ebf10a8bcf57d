"""Where the images of a dataset come from, so that they can be found again."""

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any, Self, get_args

from goldore.datasets.pixels import Channels
from goldore.files.untrusted import parse_json

_WORDS = {
    "bundled": "the sample bundled with goldore",
    "folder": "folder tree {path}",
    "torchvision": "torchvision.datasets.{name} in {path}",
    "tfds": "TensorFlow Datasets {name}",
    "idx": "IDX files in {path}",
    "arrays": "arrays in {path}",
    "tensors": "tensors in {path}",
    "function": "function {name}",
    "memory": "{name} in memory",
    "huggingface": "Hugging Face dataset in {path}",
    "shards": "WebDataset shards {path}",
}
_RESIZED = ", images resized to {image_size}"
_GROUPS = {"path": "(?P<path>.+?)", "name": r"(?P<name>\S+)", "image_size": r"(?P<image_size>\d+)"}
_MOST_TEXT = 2**16  # characters of an origin in JSON
_MOST_CLASSES = 2**15  # of the names of classes among them


@dataclass(frozen=True)
class Origin:
    """Where images come from.

    Attributes:
        kind: "bundled", "folder" (a tree with a folder a class), "torchvision", "tfds", "idx", "arrays",
            "tensors", "function", "memory" (an object of Python), "huggingface" or "shards"; a file of a
            newer goldore may say another.
        name: of the dataset in torchvision or TensorFlow Datasets, of the function, or of the object's class;
            else empty.
        path: of the file or folder, as it was given; else empty.
        image_size: side in pixels that images were resized to; None if they were not.
        classes: the class folders that were read, where only some were; None: all.
        channels: where the channels of arrays are, as it was given; "auto" if it was detected.
    """

    kind: str
    name: str = ""
    path: str = ""
    image_size: int | None = None
    classes: tuple[str, ...] | None = None
    channels: Channels = "auto"

    @property
    def options(self) -> dict[str, Any]:
        """What `load_dataset` was given beside the source."""
        return {"image_size": self.image_size, "classes": self.classes, "channels": self.channels}

    @property
    def words(self) -> str:
        """The same for people."""
        text = _WORDS[self.kind] + (_RESIZED if self.image_size else "")
        return text.format(**vars(self))

    @classmethod
    def of_words(cls, words: str) -> Self | None:
        """Understand what `words` says; None if it is something else. Older score files have nothing more."""
        for kind, text in _WORDS.items():
            pattern = text + f"(?:{_RESIZED})?"
            found = re.fullmatch(pattern.replace(".", r"\.").format(**_GROUPS), words, re.DOTALL)
            if found is not None:
                given = found.groupdict()
                size = int(given["image_size"]) if given["image_size"] is not None else None
                return cls(kind, given.get("name", ""), given.get("path", ""), size)
        return None

    def to_json(self) -> str:
        """Give it as one JSON object; `from_json` reads it back."""
        content = dataclasses.asdict(self)
        if self.classes is None or sum(map(len, self.classes)) > _MOST_CLASSES:
            del content["classes"]
        if self.channels == "auto":  # as older files, whose checksum is over this text
            del content["channels"]
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read an origin from a file, which may be a stranger's.

        Raises:
            ValueError: if it is not what `to_json` writes.
        """
        found = parse_json(text) if len(text) <= _MOST_TEXT else None
        if not isinstance(found, dict):
            raise ValueError("the origin is no JSON object, or absurdly long")  # noqa: TRY004
        given = {key: found[key] for key in ("kind", "name", "path") if key in found}
        size = found.get("image_size")
        if "kind" not in given or any(type(each) is not str or "\0" in each for each in given.values()):
            raise ValueError("the origin does not say in texts what it is")
        if size is not None and (type(size) is not int or size < 1):
            raise ValueError(f"the origin has images of the size {size!a}")
        classes, channels = found.get("classes"), found.get("channels", "auto")
        if classes is not None and (
            type(classes) is not list or any(type(each) is not str or "\0" in each for each in classes)
        ):
            raise ValueError("the origin has classes that are no texts")
        if channels not in get_args(Channels):
            raise ValueError(f"the origin has channels {channels!a}")
        "".join([*given.values(), *(classes or ())]).encode()  # UnicodeEncodeError is a ValueError
        return cls(
            **given, image_size=size, classes=None if classes is None else tuple(classes), channels=channels
        )
