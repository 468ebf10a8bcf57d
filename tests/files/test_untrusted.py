"""Hostile files, each kind by hand, and thousands by chance (`tests.fuzzing`)."""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from goldore.datasets.arrays import load_arrays
from goldore.datasets.idx import read_idx
from goldore.datasets.pictures import decode
from goldore.errors import DatasetError, GoldoreError, IndexFileError, ScoreFileError
from goldore.exchange.lists import read_labels, read_list
from goldore.files.untrusted import read_hdf5, read_npz
from goldore.selection.index_file import load_index, save_index, side_car
from goldore.trials import LossRecipe
from tests.fuzzing import npy

KEPT = np.array([0, 3, 4], dtype=np.int64)
ROOT = Path(__file__).parents[2]


def npz(*members, how=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", how) as archive:
        warnings.simplefilter("ignore")  # of a name that is there already
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def pickled():
    made = io.BytesIO()
    np.save(made, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return made.getvalue()


class _Code:
    def __reduce__(self):
        return print, ("code was run",)


class _Large:
    def __reduce__(self):
        return bytearray, (2**33,)


def pt(content, **options):
    made = io.BytesIO()
    torch.save(content, made, **options)
    return made.getvalue()


def packed_pt():
    with zipfile.ZipFile(io.BytesIO(pt({"indices": torch.tensor([1])}))) as plain:
        members = [(each, plain.read(each)) for each in plain.namelist()]
    return npz(*members, how=zipfile.ZIP_DEFLATED)


CASES = {
    "pickle.npy": (pickled(), "pickles"),
    "shape.npy": (npy("<i8", (2**62,), bytes(8)), "more than it holds"),
    "overflow.npy": (npy("<i8", (2**40, 2**40), b""), "more than it holds"),
    "negative.npy": (npy("<i8", (-1,), bytes(8)), "more than it holds"),
    "record.npy": (npy("[('a', '<i8')]", (1,), bytes(8)), "records"),
    "nested.npy": (npy("(" * 5000, (1,), bytes(8)), "cannot be read"),
    "float.npy": (npy("<f8", (1,), bytes(8)), "int64 positions, not float64"),
    "bool.npy": (npy("|b1", (1,), b"\1"), "int64 positions, not bool"),
    "pickle.npz": (npz(("indices.npy", pickled())), "pickles"),
    "twice.npz": (npz(*[("indices.npy", npy("<i8", (1,), bytes(8)))] * 2), "indices twice"),
    "lzma.npz": (npz(("indices.npy", npy("<i8", (1,), bytes(8))), how=zipfile.ZIP_LZMA), "deflate"),
    "shape.npz": (npz(("indices.npy", npy("<i8", (2**40,), bytes(8)))), "more than it holds"),
    "longer.npz": (npz(("indices.npy", npy("<i8", (1,), bytes(16)))), "more than its header states"),
    "code.pt": (pt({"indices": _Code()}), "only tensors are read"),
    "large.pt": (pt({"indices": _Large()}), "only tensors are read"),
    "old.pt": (pt({"indices": torch.tensor([1])}, _use_new_zipfile_serialization=False), "cannot be read"),
    "packed.pt": (packed_pt(), "never does"),
    "stretched.pt": (pt({"indices": torch.zeros(1, dtype=torch.int64).expand(2**40)}), "more than it holds"),
    "nested.json": (b"[" * 60_000, "nested too deeply"),
    "lists.json": (b"[" * 100_000, "lists and objects"),
    "digits.json": (b"[" + b"1" * 1_000_000 + b"]", "cannot be read"),
    "nan.json": (b"[0, NaN]", "whole numbers"),
    "float.json": (b"[0, 1.0]", "whole numbers"),
    "bool.json": (b"[false, true]", "whole numbers"),
    "large.json": (b"[9223372036854775808]", "cannot be read"),
    "negative.json": (b"[-1, 3]", "0 or more, ascending"),
    "twice.json": (b"[3, 3]", "ascending, each once"),
    "descending.json": (b"[3, 1]", "ascending, each once"),
    "range.json": (b'{"indices": [5], "num_samples": 5}', "position 5 of 5 samples"),
    "paths.json": (b'{"indices": [5], "paths": ["a", "b"]}', "paths in its provenance"),
    "line.txt": (b"1 2\n", "cannot be read"),
    "float.txt": (b"1.0\n", "cannot be read"),
    "digits.txt": (b"1" * 1_000_000, "cannot be read"),
    "head.csv": (b"indices\n1\n", "header"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_index_file_ends_in_a_sentence(name, tmp_path, capsys):
    content, says = CASES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IndexFileError, match=says) as caught:
        load_index(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ("[]", "no JSON object"),
        ('{"fingerprint": 3}', "fingerprint in its provenance must be a text"),
        ('{"num_samples": "12"}', "num_samples in its provenance must be a whole number"),
        ('{"num_samples": true}', "must be a whole number"),
        ('{"num_samples": 1e3}', "must be a whole number"),
        ('{"num_samples": 1000000000000}', "position 4 of 1000000000000 samples"),
        ('{"paths": [1, 2, 3]}', "paths in its provenance"),
        ('{"kept": 4}', "different selections"),
        ("[" * 100_000, "lists and objects"),
        (" " * (2**28 + 1), "larger than 256 MiB"),
    ],
)
def test_a_side_car_of_wrong_types_ends_in_a_sentence(about, says, tmp_path):
    path = save_index(tmp_path / "keep.npy", KEPT, {})
    side_car(path).write_text(about)
    with pytest.raises(IndexFileError, match=says):
        load_index(path)


def h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
    return path


def virtual(path):
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "indices", (3,))
    return layout


def test_an_hdf5_index_that_is_not_in_the_file_itself_is_refused(tmp_path):
    other = h5(tmp_path / "other.h5", indices=KEPT)
    path = tmp_path / "keep.h5"
    makers = {
        "external": lambda file: file.__setitem__("indices", h5py.ExternalLink(str(other), "indices")),
        "soft": lambda file: (
            file.__setitem__("real", KEPT),
            file.__setitem__("indices", h5py.SoftLink("/real")),
        ),
        "virtual": lambda file: file.create_virtual_dataset("indices", virtual(path)),
        "storage": lambda file: file.create_dataset(
            "indices", (3,), "i8", external=[(str(tmp_path / "raw"), 0, 24)]
        ),
        "group": lambda file: file.create_group("indices"),
        "null": lambda file: file.__setitem__("indices", h5py.Empty("i8")),
    }
    for make in makers.values():
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(IndexFileError, match="indices is no array in the file itself"):
            load_index(path)


@pytest.mark.parametrize(
    ("dtype", "says"),
    [
        (h5py.vlen_dtype(np.int64), "which is not read"),
        (np.dtype([("a", "i8")]), "which is not read"),
        (h5py.string_dtype(), "which is not read"),
        (np.dtype(("i8", (3,))), "which is not read"),
    ],
)
def test_hdf5_of_other_types_is_refused(dtype, says, tmp_path):
    with h5py.File(tmp_path / "keep.h5", "w") as file:
        file.create_dataset("indices", (3,), dtype)
    with pytest.raises(IndexFileError, match=says):
        load_index(tmp_path / "keep.h5")


def test_absurd_sizes_in_hdf5_are_refused(tmp_path):
    with h5py.File(tmp_path / "keep.h5", "w") as file:
        file.create_dataset("indices", (2**40,), "i8")
    with pytest.raises(IndexFileError, match="absurd"):
        load_index(tmp_path / "keep.h5")
    with h5py.File(tmp_path / "keep.h5", "w") as file:
        file.create_dataset("indices", (4,), "i8", chunks=(2**26,), maxshape=(None,), compression="gzip")
    with pytest.raises(IndexFileError, match="absurd"):
        load_index(tmp_path / "keep.h5")


def test_a_deflated_chunk_that_holds_more_than_a_chunk_is_refused(tmp_path):
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    with h5py.File(tmp_path / "made.h5", "w") as file:
        node = file.create_dataset("x", (2**18,), "u1", chunks=(2**18,), compression="gzip")
        node.id.write_direct_chunk((0,), packed)
    with pytest.raises(ValueError, match="a chunk that holds more than it claims"):
        read_hdf5(tmp_path / "made.h5", {"x": "u"})


def test_other_filters_in_hdf5_are_refused(tmp_path):
    with h5py.File(tmp_path / "keep.h5", "w") as file:
        file.create_dataset("indices", data=KEPT, scaleoffset=True)
    with pytest.raises(IndexFileError, match="packed otherwise"):
        load_index(tmp_path / "keep.h5")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "lzf"}, {"chunks": (2,)}])
@pytest.mark.parametrize("more", [{}, {"shuffle": True, "fletcher32": True}])
def test_the_usual_filters_in_hdf5_are_read(options, more, tmp_path):
    with h5py.File(tmp_path / "made.h5", "w") as file:
        file.create_dataset("x", data=KEPT, **options, **more)
    assert read_hdf5(tmp_path / "made.h5", {"x": "i", "y": "i"})["x"].tolist() == KEPT.tolist()


def test_a_zip_bomb_is_refused_by_what_it_claims(tmp_path):
    path = tmp_path / "made.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        file.write(npy("|u1", (300 * 2**20,), b""))
        for _ in range(300):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match="which is absurd"):
        read_npz(path, {"x": "u"})
    assert read_npz(path, {"y": "u"}) == {}


@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_are_read_as_numpy_reads_them(fortran, tmp_path):
    array = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32)
    np.savez_compressed(
        tmp_path / "made.npz", x=np.asfortranarray(array) if fortran else array, z=np.array(3)
    )
    found = read_npz(tmp_path / "made.npz", {"x": "f", "z": "i"})
    assert np.array_equal(found["x"], array)
    assert found["z"].shape == ()


def test_gz_bombs_are_refused(tmp_path):
    claim = struct.pack(">4B3I", 0, 0, 8, 3, 2**10, 2**10, 2**9) + bytes(100)
    (tmp_path / "a-idx3-ubyte.gz").write_bytes(gzip.compress(claim))
    with pytest.raises(DatasetError, match="absurd"):
        read_idx(tmp_path / "a-idx3-ubyte.gz")
    (tmp_path / "list.json.gz").write_bytes(gzip.compress(b" " * (2**26 + 1)))
    with pytest.raises(ScoreFileError, match="absurd"):
        read_list(tmp_path / "list.json.gz")


@pytest.mark.parametrize(
    "text", ['["1.5"]', "[true]", "[[1]]", "{}", "[]", "[1e999]", "[" * 60_000, "9" * 5000]
)
def test_lists_hold_numbers_alone(text, tmp_path):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(ScoreFileError):
        read_list(tmp_path / "list.json")


@pytest.mark.parametrize("content", [pickled(), npy("<i8", (2**50,), b""), npy("<c16", (1,), bytes(16)), b""])
def test_labels_are_read_without_pickles(content, tmp_path):
    (tmp_path / "labels.npy").write_bytes(content)
    with pytest.raises(GoldoreError, match="cannot be read as labels"):
        read_labels(tmp_path / "labels.npy")


def test_strips_bombs_and_programs_are_no_images(tmp_path):
    Image.new("L", (60_000, 2)).save(tmp_path / "strip.png")
    with pytest.raises(DatasetError, match="too long a strip"):
        decode([tmp_path / "strip.png"], 128)
    Image.new("1", (10_000, 9_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DatasetError, match="decompression bomb"):
        decode([tmp_path / "bomb.png"], 128)
    Image.new("L", (8, 8)).save(tmp_path / "program.eps")
    (tmp_path / "program.eps").rename(tmp_path / "program.png")
    with pytest.raises(DatasetError, match="cannot be decoded"):
        decode([tmp_path / "program.png"], 8)


def test_recipes_have_the_types_of_their_fields():
    text = LossRecipe().to_json()
    assert LossRecipe.from_json(text.replace('"precision": null', '"precision": "float32"')).batch_size == 256
    for field, value in (("batch_size", "2.5"), ("lr", '"1"'), ("mean", '["a"]'), ("batch_size", "true")):
        wrong = json.dumps(json.loads(text) | {field: json.loads(value)})
        with pytest.raises(ValueError, match=f"not a recipe: {field} is"):
            LossRecipe.from_json(wrong)
    for absurd in ("[" * 50_000, "[]", " " * 2**17):
        with pytest.raises(ValueError):
            LossRecipe.from_json(absurd)


def test_class_names_of_any_length_are_read_and_a_bomb_of_them_is_refused(tmp_path):
    path = h5(
        tmp_path / "made.h5",
        x_train=np.zeros((2, 3, 3), np.uint8),
        y_train=[0, 1],
        class_names=["ant", "bee"],
    )
    assert load_arrays(path, "made").class_names == ("ant", "bee")
    with h5py.File(path, "r+") as file:
        del file["class_names"]
        file["class_names"] = ["n" * 2**23] * 4
    with pytest.raises(DatasetError, match="class_names cannot be read as a list of texts"):
        load_arrays(path, "made")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded by what Linux says")
@pytest.mark.parametrize(
    "readers",
    [
        ("index.npy", "index.json", "index.txt", "index.csv", "index.npz", "index.pt"),
        ("index.h5", "data.h5", "idx", "idx.gz", "data.npz", "packed.npz"),
        ("tiny.pt", "list.json", "list.json.gz", "labels.txt", "labels.npy"),
    ],
    ids="+".join,
)
def test_readers_survive_files_by_chance(readers):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fuzzing", "150", *readers],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(readers)
