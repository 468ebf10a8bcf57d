"""The index file, as a program without goldore reads it."""

import os
import sys


class Refusal(SystemExit):
    """The program cannot go on as asked: it ends with exit code 1, and the report says this sentence."""

    def __init__(self, sentence):
        super().__init__(1)
        self.sentence = sentence

    def __str__(self):
        return self.sentence


class Index:
    """What an index file says.

    Args:
        path: of the file.
        keep: positions to keep, ascending, a list of int.
        about: its provenance.

    Attributes:
        file: name of the file.
        keep: as given.
        size: samples of the dataset it is about.
        name: of that dataset.
        digest: sha256 of its labels, as classes in the order in which they appear.
        classes: at most so many classes.
        sha: the first digits of the digest of the positions.
        paths: of the kept files, relative, or None.

    Raises:
        KeyError, TypeError or ValueError: if it is not said what the index is about.
    """

    def __init__(self, path, keep, about):
        self.file, self.keep = os.path.basename(path), keep
        self.size, self.name = int(about["num_samples"]), str(about["dataset"])
        self.digest, self.sha = about["labels_sha256"], about["sha256"][:12]
        self.classes = len(about.get("class_names") or ()) or self.size
        self.paths = about.get("paths")
        if not keep or keep[0] < 0 or keep[-1] >= self.size:
            raise ValueError("its positions are not those of %d samples" % self.size)

    def fits(self, labels):
        """Whether these are the labels that the index is about."""
        try:
            return len(labels) == self.size and labels_digest(labels, self.classes) == self.digest
        except TypeError:  # what cannot be counted is no label
            return False


def read_index(path):
    """Read a .npy index file and its side-car.

    Raises:
        Refusal: if it cannot be read, or its side-car does not say what it is about.
    """
    import array
    import hashlib
    import json

    if not path.endswith(".npy") or not os.path.isfile(path):
        raise Refusal("there is no .npy index file %s; give its path." % path)
    if not os.path.isfile(path + ".json"):
        raise Refusal("%s has no side-car .json beside it; copy both." % path)
    try:
        with open(path, "rb") as file:
            keep = array.array("q", _npy_content(file.read()))
        with open(path + ".json", encoding="utf-8") as file:
            about = json.load(file)
        if sys.byteorder == "big":
            keep.byteswap()
        if hashlib.sha256(_little_endian(keep)).hexdigest() != about["sha256"]:
            raise ValueError("it and its side-car belong to different selections")
        return Index(path, keep.tolist(), about)
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        why = "its side-car lacks %s" % error if isinstance(error, KeyError) else error
        raise Refusal("%s cannot be used (%s); write it again with goldore prune." % (path, why)) from None


def labels_digest(labels, most=None):
    """What tells the labels of one training set, in their order, from another's.

    Args:
        labels: anything hashable; classes are numbered as they first appear.
        most: classes; None for any number.

    Returns:
        sha256 in hexadecimal, or None if there are more classes.
    """
    import array
    import hashlib

    known = {}
    codes = array.array("q")
    for label in labels:
        code = known.setdefault(label, len(known))
        if most is not None and code >= most:
            return None
        codes.append(code)
    return hashlib.sha256(_little_endian(codes)).hexdigest()


def _npy_content(data):
    """The bytes of the numbers of an int64 vector in NumPy's format 1.0."""
    import ast

    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("it is no .npy file of format 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode("latin1").strip())
    if header["descr"] != "<i8" or len(header["shape"]) != 1 or len(data) != start + 8 * header["shape"][0]:
        raise ValueError("it holds no vector of int64")
    return data[start:]


def _little_endian(numbers):
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
