"""Readers fed with files that went wrong, or were made to: python -m tests.fuzzing READER EXAMPLES.

A reader may give what it promises, or one sentence. It runs within `MEMORY` bytes more than it needed to
start, so that a bomb is a failure, and in a process of its own, so that a crash is one too.
"""

import gzip
import io
import json
import math
import resource
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldore.datasets.arrays import load_arrays
from goldore.datasets.dataset import ImageDataset
from goldore.datasets.idx import read_idx
from goldore.errors import GoldoreError
from goldore.exchange.lists import read_labels, read_list
from goldore.selection.index_file import SUFFIXES, Index, load_index, save_index, side_car

MEMORY = 3 * 2**29  # the 256 MiB that are always read, what is made of them, and hypothesis

KEPT = np.array([0, 3, 4, 9], dtype=np.int64)
ABOUT = {"dataset": "made", "num_samples": 12, "fingerprint": "0" * 64, "paths": ["a", "b", "c", "d"]}
EXTREMES = [0, 1, 2, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
LENGTHS = st.sampled_from([0, 1, 2, 3, 4, 5, 12, -1, 2**20, 2**28, 2**31, 2**32, 2**40, 2**63, 2**64, 2**70])
DTYPES = st.sampled_from(
    (
        "<i8", ">i8", "<i4", "<u8", "|u1", "|b1", "<f8", "<f2", "<c16", "|O", "<U3", "|S3", "<U0", "|V8",
        "<M8[s]", "<U1000000000", "|V2147483647", "(1000,)<i8", "[('a', '<i8')]", "nonsense", "((" * 300,
    )
)  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "number", "copy", "cut", "insert"]),
        st.integers(0, 2**16),
        st.integers(0, 255) | st.sampled_from(EXTREMES),
        st.sampled_from([1, 2, 4, 8]),
    ),
    max_size=5,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=8,
)
POSITIONS = st.lists(
    st.integers(-2, 12) | st.sampled_from(EXTREMES) | st.floats() | st.booleans(), max_size=6
)
TEXTS = st.sampled_from(
    (
        "[" * 100_000, "1" * 1_000_000, "[" + "1" * 5000 + "]", "[1e999]", "[NaN]", "\ufeff[1]", "null",
        "{}", "[]", '"', '{"indices": [1], "indices": 2}', "[1,", "1_000", "1\n\n2", "1 2", "index",
        "-0",
    )
)  # fmt: skip


def edited(content, edits):
    """The bytes after some edits."""
    content = bytearray(content)
    for kind, place, value, length in edits:
        at = place % (len(content) + 1)
        if kind == "flip" and at < len(content):
            content[at] ^= 1 << value % 8
        elif kind == "set" and at < len(content):
            content[at] = value % 256
        elif kind == "number":
            content[at : at + length] = (value % 256**length).to_bytes(length, "little")
        elif kind == "copy":
            content[at : at + 8 * length] = content[value % (len(content) + 1) :][: 8 * length]
        elif kind == "cut":
            del content[at:]
        elif kind == "insert":
            content[at:at] = bytes([value % 256]) * length
    return bytes(content)


def npy(dtype, shape, content, *, fortran=False):
    """An array in NumPy's format whose header need not be true."""
    descr = dtype if dtype.startswith(("[", "(")) else repr(dtype)
    header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npy_of(array):
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


SHAPES = st.lists(LENGTHS, max_size=4).map(tuple)
ARRAYS = st.builds(npy, DTYPES, SHAPES, st.binary(max_size=100), fortran=st.booleans())


@st.composite
def archives(draw, keys):
    """A .npz archive of arrays that need not be true, perhaps packed, perhaps with one of them twice."""
    made = io.BytesIO()
    with zipfile.ZipFile(
        made, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    ) as archive:
        for key in draw(st.lists(st.sampled_from(keys), max_size=4, unique=draw(st.integers(0, 9)) > 0)):
            archive.writestr(f"{key}.npy", draw(st.just(npy_of(DATA.get(key, KEPT))) | ARRAYS))
    return made.getvalue()


@st.composite
def hdf5(draw, keys):
    """An HDF5 file of arrays of any dtype, shape and place."""
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        for key in draw(st.just(keys[:2]) | st.lists(st.sampled_from(keys), max_size=4, unique=True)):
            others = ("claim", "soft", "external", "group", "virtual", "text")
            how = draw(st.just("array") | st.sampled_from(("array", *others)))
            if how == "array":
                file[key] = draw(st.just(DATA.get(key, KEPT)) | st.sampled_from(OTHERS))
            elif how == "claim":
                shape = draw(st.lists(st.sampled_from([0, 1, 4, 2**20, 2**40]), max_size=2))
                packed = (
                    {"chunks": tuple(2**20 for _ in shape[:1]), "maxshape": (None,)}
                    if len(shape) == 1
                    else {}
                )
                file.create_dataset(key, shape, draw(st.sampled_from(["i8", "u1", "S5", "f4"])), **packed)
            elif how == "text":
                file.create_dataset(key, (draw(st.sampled_from([1, 2**20])),), h5py.string_dtype())
            elif how == "virtual":
                layout = h5py.VirtualLayout((4,), "i8")
                layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
                file.create_virtual_dataset(key, layout)
            elif how == "group":
                file.create_group(key)
            else:
                file[key] = (
                    h5py.ExternalLink("/etc/passwd", "/") if how == "external" else h5py.SoftLink("/y_train")
                )
    return made.getvalue()


OTHERS = (
    *(KEPT.astype(">i8"), KEPT * 1.5, KEPT > 2, KEPT[::-1], KEPT[:0], np.zeros((4, 5, 5, 1))),
    *(np.bytes_('{"num_samples": -1}'), np.bytes_(b"\xff")),
)


def valid(folder, suffix):
    return save_index(folder / f"valid{suffix}", KEPT, ABOUT).read_bytes()


def idx(shape, content):
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + content


IDX = idx((3, 2, 2), bytes(12))
IDX_CLAIMS = st.builds(
    idx,
    st.lists(st.sampled_from([0, 1, 2, 3, 2**8, 2**16, 2**31, 2**32 - 1]), min_size=3, max_size=3),
    st.binary(max_size=30),
)
KEYS = ("x_train", "y_train", "x_test", "y_test", "class_names")
DATA = {
    "x_train": np.arange(4 * 25, dtype=np.uint8).reshape(4, 5, 5, 1),
    "y_train": np.array([0, 1, 0, 1]),
    "class_names": np.array([b"ant", b"bee"]),
}


def npz_of(arrays, save=np.savez):
    made = io.BytesIO()
    save(made, **arrays)
    return made.getvalue()


def pt_of(content):
    made = io.BytesIO()
    torch.save(content, made)
    return made.getvalue()


def files_of(reader, folder):  # noqa: C901
    """The bytes of hostile files for a reader, and the name of the file."""
    suffix = Path(reader).suffix
    mutated = {
        "idx": IDX,
        "idx.gz": gzip.compress(IDX),
        "data.npz": npz_of(DATA),
        "packed.npz": npz_of(DATA, np.savez_compressed),
        "list.json": b"[1.5, null, NaN, 3, 1e-3]",
        "list.json.gz": gzip.compress(b"[1.5, null, NaN, 3, 1e-3]"),
        "labels.txt": b"0\n1\n0\n",
        "labels.npy": npy("<i8", (3,), np.array([0, 1, 0]).tobytes()),
        "tiny.pt": pt_of(
            {"classes": ["a", "b"]}
            | {f"images_{split}": torch.zeros(2, 3, 2, 2, dtype=torch.uint8) for split in ("train", "val")}
            | {f"labels_{split}": torch.tensor([0, 1]) for split in ("train", "val")}
        ),
    }
    if reader == "data.h5":
        return hdf5(KEYS), "made.h5"
    if reader == "index.h5":
        return hdf5(("indices", "provenance")), "keep.h5"
    content = valid(folder, suffix) if reader.startswith("index") else mutated[reader]
    files = EDITS.map(lambda edits: edited(content, edits))
    if suffix == ".gz":
        inside = gzip.decompress(content)
        files |= EDITS.map(lambda edits: gzip.compress(edited(inside, edits)))
        files |= st.sampled_from([2**20, 2**27, 2**29]).map(lambda length: gzip.compress(bytes(length), 1))
    if reader.startswith("idx"):
        files |= IDX_CLAIMS.map(gzip.compress if suffix == ".gz" else bytes)
    elif suffix == ".npy":
        files |= ARRAYS
    elif suffix == ".npz":
        files |= archives(("indices", "provenance") if reader.startswith("index") else KEYS)
    elif suffix == ".json":
        files |= JSON.map(json.dumps).map(str.encode) | POSITIONS.map(json.dumps).map(str.encode)
        files |= TEXTS.map(str.encode)
        if reader == "index.json":
            files |= st.builds(lambda about: json.dumps({"indices": KEPT.tolist()} | about).encode(), ABOUTS)
    elif suffix in (".txt", ".csv"):
        head = "index\n" if suffix == ".csv" else ""
        files |= POSITIONS.map(lambda each: (head + "\n".join(map(str, each))).encode())
        files |= TEXTS.map(lambda text: (head + text).encode())
    elif suffix == ".pt":
        files |= st.builds(lambda a: pt_of({"indices": a}), st.sampled_from(TENSORS)) | st.just(pt_of([1]))
    names = {"idx": "a-idx3-ubyte", "idx.gz": "a-idx3-ubyte.gz"}
    return files, names.get(reader, f"keep{suffix}" if reader.startswith("index") else f"made.{reader}")


ABOUTS = st.dictionaries(
    st.sampled_from(["dataset", "fingerprint", "num_samples", "sha256", "kept", "paths", "labels_sha256"]),
    JSON,
)
TENSORS = [
    torch.tensor([1, 2]),
    torch.tensor([1.5]),
    torch.zeros(1, dtype=torch.int64).expand(2**20),
    torch.zeros(2, 2, dtype=torch.int64),
    torch.tensor([True]),
    torch.zeros(2, dtype=torch.bfloat16),
    torch.tensor(3),
    torch.zeros(1, requires_grad=True),
    torch.eye(2).to_sparse(),
    "text",
    None,
]


def is_index(found):
    assert isinstance(found, Index)
    assert isinstance(found.provenance, dict)
    assert found.indices.dtype == np.int64
    assert found.indices.ndim == 1
    assert len(found.indices)
    assert found.indices[0] >= 0
    assert (found.indices[1:] > found.indices[:-1]).all()
    assert found.indices[-1] < (found.provenance.get("num_samples") or math.inf)


def is_dataset(found):
    assert isinstance(found, ImageDataset)


def is_array(dtype):
    def check(found):
        assert isinstance(found, np.ndarray)
        assert found.dtype == dtype

    return check


def is_labels(found):
    assert isinstance(found, np.ndarray)
    assert found.dtype.kind in "biufUS"


READERS = {f"index{suffix}": (load_index, is_index) for suffix in SUFFIXES} | {
    "idx": (read_idx, is_array(np.uint8)),
    "idx.gz": (read_idx, is_array(np.uint8)),
    "data.npz": (lambda path: load_arrays(path, "made"), is_dataset),
    "packed.npz": (lambda path: load_arrays(path, "made"), is_dataset),
    "data.h5": (lambda path: load_arrays(path, "made"), is_dataset),
    "tiny.pt": (lambda path: load_arrays(path, "made"), is_dataset),
    "list.json": (read_list, is_array(np.float64)),
    "list.json.gz": (read_list, is_array(np.float64)),
    "labels.txt": (read_labels, is_labels),
    "labels.npy": (read_labels, is_labels),
}


def run(reader, examples, folder):
    """Feed a reader; an AssertionError, any other exception or a signal is a failure."""
    read, check = READERS[reader]
    files, name = files_of(reader, folder)
    told = {"read": 0, "refused": 0}

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        content=files,
        about=st.none() | ABOUTS.map(json.dumps) | TEXTS if reader == "index.npy" else st.none(),
    )
    def feed(content, about):
        path = folder / name
        path.write_bytes(content)
        side_car(path).unlink(missing_ok=True)
        if about is not None:
            side_car(path).write_text(about)
        try:
            found = read(path)
        except GoldoreError as error:
            told["refused"] += 1
            assert not isinstance(error.__cause__, MemoryError), content  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            assert str(error).endswith((".", "?"))  # noqa: PT017
        else:
            told["read"] += 1
            check(found)

    feed()
    assert told["read"], "not even the true file was read"
    print(reader, told)  # noqa: T201


def main():
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    examples = int(sys.argv[1])
    for reader in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as folder:
            run(reader, examples, Path(folder))


if __name__ == "__main__":
    main()
