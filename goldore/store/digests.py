"""What makes single trials, and the header, trustworthy by themselves, in a file whose seal is broken.

A trial's digest is keyed by what all trials of the file share, so that it also says that dataset, recipe and
seed are those the trial was trained with.
"""

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.origin import Origin
from goldore.store.model import Header

_BYTES = 8


def key_of(fingerprint: str, *shared: Any) -> bytes:
    """The key of the digests of trials that share these things, anything that JSON can hold."""
    return hashlib.sha256(json.dumps([fingerprint, *shared]).encode()).digest()


def digests(key: bytes, columns: list[NDArray[Any]]) -> NDArray[np.uint64]:
    """The digest of each trial: BLAKE2b-64 over its row of every column.

    Args:
        key: of `key_of`.
        columns: arrays [T, ...], little-endian as stored.

    Returns:
        uint64 [T].
    """
    count = len(columns[0])
    flat = [
        np.ascontiguousarray(each).reshape(count, -1).view(np.uint8).reshape(count, -1) for each in columns
    ]
    rows = np.concatenate(flat, axis=1)
    found = [hashlib.blake2b(row, digest_size=_BYTES, key=key).digest() for row in rows]
    return np.frombuffer(b"".join(found), dtype="<u8").astype(np.uint64)


def header_digest(header: Header) -> str:
    """A checksum over all that a file says of its dataset: sha256, in hexadecimal."""
    info = header.info
    found = hashlib.sha256()
    texts = [info.name, info.split, info.fingerprint, info.source, *info.class_names, *(header.paths or ())]
    if info.origin is not None and info.origin != Origin.of_words(info.source):  # else the source covers it
        texts.append(info.origin.to_json())
    sizes = [info.num_samples, info.num_classes, *info.image_shape]
    found.update(json.dumps([texts, sizes, header.paths is not None]).encode())
    found.update(header.labels.astype("<i8").data)
    if header.sample_hash is not None:
        found.update(header.sample_hash.astype("<u8").data)
    return found.hexdigest()
