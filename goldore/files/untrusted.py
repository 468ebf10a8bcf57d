"""Files from strangers: what a file says of itself is compared with its size before it is believed.

Every reader but that of score files goes through here. No pickle is loaded, nothing outside the file is read,
and a claim is checked before memory is taken for it. What is read then takes in memory at most

- for arrays: all arrays of a file together 256 MiB, or a hundred times the file's size if that is more;
  labels become int64 afterwards, which is up to eight times their share of it;
- for texts: twenty times their length (that much are the objects which JSON makes of it), where a text that
  is unpacked from gzip has at most 64 MiB, or a hundred times the file's size, and never more than its
  reader's limit.

The functions raise ValueError, saying what "it" is or does, and whatever the libraries below raise at a
damaged file; callers catch Exception and make one sentence of it.
"""

import gzip
import io
import json
import math
import pickletools
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

INDEX_BYTES = 2**28
"""Most bytes of an index file that is a text: a position takes seven or so."""

_USUAL_RATIO = 100  # what is packed tighter than this is a bomb, or next to empty
_ALWAYS_ARRAYS = 2**28  # bytes of arrays that are read however tightly they are packed
_ALWAYS_TEXT = 2**26  # bytes of text, likewise
_DEFLATE_RATIO = 1032  # deflate cannot pack tighter
_BLOCK = 2**20
_ALWAYS_CHUNKS = 2**16
_SECONDS = 60  # that a list of texts of any length may take to be read
_READ_TEXTS = """
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
except (ImportError, ValueError):
    pass
import h5py
with h5py.File(sys.argv[1], "r", locking=False) as file:
    texts = file[sys.argv[2]].asstr()[()].tolist()
sys.exit(1) if sum(map(len, texts)) > 2**24 else print(json.dumps(texts))
"""
_CHECKSUM = 4  # bytes that the filter fletcher32 adds to a chunk
_MOST_CONTAINERS = 2**16  # lists and objects in a JSON text; empty ones take 25 times their text
_MOST_HEADER = 2**16  # bytes of the header of a .npy array
_MOST_PICKLE = 2**12  # instructions in the pickle of a torch file; that of an index has fifty
_TORCH_GLOBALS = {
    "torch._utils _rebuild_tensor_v2",
    "collections OrderedDict",
    "torch.storage UntypedStorage",
}
Kinds = Mapping[str, str]
"""Names of arrays, with the kinds of NumPy's dtypes that each may have."""


def check_size(path: Path, most_bytes: int) -> None:
    """Refuse a file that is larger than anything of its sort."""
    if path.stat().st_size > most_bytes:
        raise ValueError(f"it is larger than {most_bytes >> 20} MiB")


def check_dense(claimed: int, stored: int, always: int = _ALWAYS_ARRAYS) -> None:
    """Refuse a claim that is absurd for a file of its size.

    Args:
        claimed: bytes that the file says it holds when unpacked.
        stored: its size in bytes.
        always: claims up to this are never absurd.
    """
    if claimed > max(always, _USUAL_RATIO * stored):
        raise ValueError(f"it claims {claimed:,} bytes in a file of {stored:,}, which is absurd")


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Read a file, unpacked if its name ends in .gz, that holds at most so many bytes."""
    stored = path.stat().st_size
    blocks, size = [], 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            if size > most_bytes:
                raise ValueError(f"it is larger than {most_bytes >> 20} MiB")
            check_dense(size, stored, _ALWAYS_TEXT)
            blocks.append(block)
    return b"".join(blocks)


def read_json(path: Path, most_bytes: int) -> Any:
    """Read a JSON file, unpacked if its name ends in .gz."""
    return parse_json(read_bytes(path, most_bytes))


def parse_json(text: str | bytes) -> Any:
    """Read a JSON text in UTF-8."""
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    containers = text.count("[") + text.count("{")
    if containers > _MOST_CONTAINERS:  # those in texts do not count
        containers = len(re.findall(r"[\[{]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)))
    if containers > _MOST_CONTAINERS:
        raise ValueError(f"it holds more than {_MOST_CONTAINERS:,} lists and objects")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its lists and objects are nested too deeply") from None


def read_npy(path: Path, kinds: str, *, mapped: bool = False) -> NDArray[Any]:
    """Read the array of a .npy file, of one of these kinds of dtype.

    Args:
        path: of the file.
        kinds: of dtypes, in NumPy's letters.
        mapped: do not read bytes (uint8) but map them into memory, to be read where they are looked at.
    """
    if mapped:
        there: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if there.dtype == np.uint8 and there.flags.c_contiguous and there.size > 0:
            return there
    with path.open("rb") as file:
        return _read_array(file, path.stat().st_size, kinds)


def array_names(path: Path) -> list[str]:
    """The names of the arrays in a .npz file."""
    with zipfile.ZipFile(path) as archive:
        return [member.removesuffix(".npy") for member in archive.namelist()]


def read_npz(path: Path, kinds: Kinds) -> dict[str, NDArray[Any]]:
    """Read those of the named arrays that a .npz file has."""
    with zipfile.ZipFile(path) as archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            key = member.filename.removesuffix(".npy")
            if key not in kinds:
                continue
            if key in members:
                raise ValueError(f"it holds {key} twice")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{key} is not compressed with deflate")
            members[key] = member
        check_dense(sum(member.file_size for member in members.values()), path.stat().st_size)
        found = {}
        for key, member in members.items():
            with archive.open(member) as file:
                found[key] = _read_array(file, member.file_size, kinds[key])
                if file.read(1):
                    raise ValueError(f"{key} holds more than its header states")
        return found


def _read_array(file: IO[bytes], size: int, kinds: str) -> NDArray[Any]:
    """Read an array in NumPy's format from a file, or a member of an archive, of so many bytes."""
    header = io.BytesIO(file.read(_MOST_HEADER))
    version = np.lib.format.read_magic(header)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it has version {version} of the format, which is for records")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(header)
    except (RecursionError, MemoryError):  # Python's parser
        raise ValueError("its header is nested too deeply") from None
    if dtype.hasobject:
        raise ValueError(
            "it holds Python objects, which are pickles and never read; save texts with dtype=str"
        )
    if dtype.kind not in kinds:
        raise ValueError(f"it holds {dtype}, and records and the like are never read")
    claimed = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or claimed > size - header.tell():
        raise ValueError(f"its header states the shape {_short(shape)} of {dtype}, more than it holds")
    file.seek(header.tell())
    content = np.empty(claimed, dtype=np.uint8)
    _fill(file, content)
    return content.view(dtype).reshape(shape, order="F" if fortran else "C")


def _fill(file: IO[bytes], content: NDArray[np.uint8]) -> None:
    for start in range(0, len(content), _BLOCK):
        part = content[start : start + _BLOCK]
        block = file.read(len(part))
        if len(block) < len(part):
            raise ValueError("it is truncated")
        part[:] = np.frombuffer(block, dtype=np.uint8)


def _short(shape: Sequence[int]) -> str:
    text = str(tuple(shape))
    return text if len(text) <= 80 else f"{text[:80]}..."  # noqa: PLR2004


def read_hdf5(path: Path, kinds: Kinds) -> dict[str, NDArray[Any]]:
    """Read those of the named arrays that an HDF5 file has in its root.

    They lie in the file itself, plain or packed with gzip or LZF. Texts of any length are read in a process
    of its own, for HDF5 searches damaged files for them without end.
    """
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        there = [key for key in kinds if file.get(key, getlink=True) is not None]
        nodes = {key: _array_node(file, key, kinds[key]) for key in there}
        check_dense(sum(_claimed(node) for node in nodes.values()), path.stat().st_size)
        for node in nodes.values():
            check_chunk_count(node, path.stat().st_size)
        for key, node in nodes.items():
            _check_chunks(node, key)
        loose = [key for key, node in nodes.items() if node.dtype.kind == "O"]
        found = {key: np.asarray(node[()]) for key, node in nodes.items() if key not in loose}
    return found | {key: _texts_of_any_length(path, key) for key in loose}


def _texts_of_any_length(path: Path, key: str) -> NDArray[Any]:
    """Read a list of texts in a process of its own, with a limit for its time and its answer."""
    command = [sys.executable, "-P", "-c", _READ_TEXTS, str(path.resolve()), key]
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and a path
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_SECONDS
        )
        return np.array(parse_json(done.stdout), dtype=np.str_)
    except subprocess.SubprocessError:
        raise ValueError(f"{key} cannot be read as a list of texts") from None


def _array_node(file: Any, key: str, kinds: str) -> Any:
    """An array that lies in the file itself; links to elsewhere are not followed."""
    import h5py

    node = file[key] if isinstance(file.get(key, getlink=True), h5py.HardLink) else None
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external or node.shape is None:
        raise ValueError(f"{key} is no array in the file itself")
    if node.dtype.kind == "O" and not (
        h5py.check_string_dtype(node.dtype) and "U" in kinds and node.ndim == 1
    ):
        raise ValueError(f"{key} holds {node.dtype}, which is not read")
    if node.dtype.kind not in kinds and node.dtype.kind != "O":
        raise ValueError(f"{key} holds {node.dtype}, which is not read")
    filters = node.id.get_create_plist()
    numbers = [filters.get_filter(which)[0] for which in range(filters.get_nfilters())]
    z = h5py.h5z
    in_order = (z.FILTER_SHUFFLE, z.FILTER_DEFLATE, z.FILTER_LZF, z.FILTER_FLETCHER32)
    if numbers != [each for each in in_order if each in numbers]:
        raise ValueError(f"{key} is packed otherwise than with shuffle, gzip or lzf, and fletcher32")
    return node


def check_chunk_count(node: Any, stored: int) -> None:
    """Refuse an array of HDF5 in absurdly many chunks, each of which takes memory, be it there or not.

    Args:
        node: the array.
        stored: size of its file in bytes.
    """
    count = math.prod(
        -(-size // chunk) for size, chunk in zip(node.shape, node.chunks or node.shape, strict=True) if chunk
    )
    if count > max(_ALWAYS_CHUNKS, stored // 16):
        raise ValueError(f"it claims {count:,} chunks in a file of {stored:,} bytes, which is absurd")


def _claimed(node: Any) -> int:
    """Bytes that reading takes: of the whole array, or of one chunk if that is larger."""
    return max(math.prod(node.shape), math.prod(node.chunks or ())) * int(node.dtype.itemsize)  # type: ignore[no-any-return]


def _check_chunks(node: Any, key: str) -> None:
    """Refuse chunks that are larger or smaller than they can be: HDF5 believes what is said of their size."""
    if node.chunks is None:
        return
    size = math.prod(node.chunks) * node.dtype.itemsize
    checksum = _CHECKSUM if node.fletcher32 else 0
    least, most = (checksum + 1, 2 * size + _BLOCK) if node.compression else (size + checksum,) * 2
    large: list[Any] = []

    def look(chunk: Any) -> None:
        if not least <= chunk.size <= most:
            raise ValueError(f"{key} has a chunk of {chunk.size:,} bytes instead of {size:,}")
        if node.compression == "gzip" and chunk.size * _DEFLATE_RATIO > _ALWAYS_ARRAYS:
            large.append(chunk)

    node.id.chunk_iter(look)
    for chunk in large:  # HDF5 would unpack them whole
        skipped, packed = node.id.read_direct_chunk(chunk.chunk_offset)
        if not skipped and len(zlib.decompressobj().decompress(packed, size + 1)) > size:
            raise ValueError(f"{key} has a chunk that holds more than it claims")


def read_torch(path: Path) -> Any:
    """Read what `torch.save` wrote of dictionaries, lists, texts, numbers and tensors, nothing else."""
    import torch

    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(each.compress_type != zipfile.ZIP_STORED for each in members):
            raise ValueError("it is compressed, which torch.save never does")
        if sum(max(each.file_size, each.compress_size) for each in members) > path.stat().st_size:
            raise ValueError("it claims more than it holds")
        pickles = [each for each in members if each.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or len({each.filename for each in members}) < len(members):
            raise ValueError("it is not what torch.save writes")
        _check_pickle(archive.read(pickles[0]))
    content = torch.load(path, map_location="cpu", weights_only=True)
    largest = max(each.file_size for each in members)
    for each in content.values() if isinstance(content, dict) else (content,):
        if isinstance(each, torch.Tensor) and each.untyped_storage().nbytes() > largest:
            raise ValueError("a tensor claims more than the file holds")
    return content


def _check_pickle(content: bytes) -> None:
    """Read a pickle's instructions, without following them, for names of anything but tensors."""
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if number > _MOST_PICKLE:
            raise ValueError("it holds more than tensors and a few texts")
        if operation.name in ("STACK_GLOBAL", "INST") or (
            operation.name == "GLOBAL"
            and argument not in _TORCH_GLOBALS
            and not (str(argument).startswith("torch ") and str(argument).endswith("Storage"))
        ):
            raise ValueError(f"it names {argument or 'code'}, and only tensors are read")


def tensor_array(tensor: Any) -> NDArray[Any]:
    """The array of a tensor from a file, which may claim to be larger than its storage."""
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
        raise ValueError("it holds something else where a tensor should be")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"a tensor claims the shape {_short(tensor.shape)}, more than it holds")
    if tensor.dtype is torch.bfloat16:  # which NumPy does not have
        tensor = tensor.float()
    return np.asarray(tensor.numpy())
