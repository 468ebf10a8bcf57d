"""Where the images of a dataset come from, so that they can be found again."""

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Self

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
        image_size: side in pixels that images of a folder tree were resized to; None if they were not.
    """

    kind: str
    name: str = ""
    path: str = ""
    image_size: int | None = None

    @property
    def words(self) -> str:
        """The same for people."""
        text = _WORDS[self.kind] + (_RESIZED if self.image_size else "")
        return text.format(**vars(self))

    @classmethod
    def of_words(cls, words: str) -> Self | None:
        """Understand what `words` says; None if it is something else. Older score files have nothing more."""
        for kind, text in _WORDS.items():
            pattern = text + (f"(?:{_RESIZED})?" if kind == "folder" else "")
            found = re.fullmatch(pattern.replace(".", r"\.").format(**_GROUPS), words, re.DOTALL)
            if found is not None:
                given = {key: value for key, value in found.groupdict().items() if value is not None}
                size = int(given.pop("image_size")) if "image_size" in given else None
                return cls(kind, **given, image_size=size)
        return None

    def to_json(self) -> str:
        """Give it as one JSON object; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self))

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
        "".join(given.values()).encode()  # UnicodeEncodeError is a ValueError
        return cls(**given, image_size=size)
