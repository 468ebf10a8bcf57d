"""Score files from strangers: whatever is in them, a content or one sentence, in bounded memory and time.

A stranger can seal whatever he writes, so every file here has a seal that fits, and HDF5 sees it. The readers
run in a process of their own whose memory is limited: a crash, a hang or a bomb shows in how it ends.
"""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from goldore.errors import ScoreFileError
from goldore.networks.config import ConvNetConfig
from goldore.runs.scoring import score
from goldore.store import load_header, load_scores
from goldore.store.seal import SIZE, seal
from goldore.trials import LossRecipe, UtilityRecipe
from tests.conftest import make_dataset

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 512 * 2**20  # bytes that reading may take beside the process itself; the files have about 50 KB
CASES = 300  # of each kind
NETWORK = ConvNetConfig(depth=1, width=2)

_names = st.sampled_from(
    [
        *("format", "format_version", "created", "updated", "goldore_version", "torch_version", "device"),
        *(
            "name",
            "split",
            "num_samples",
            "num_classes",
            "class_names",
            "image_shape",
            "fingerprint",
            "source",
            "origin",
        ),
        *("recipe", "base_seed", "recorded", "outcome", "estimator", "evaluation", "checksum"),
        *("definition", "direction", "unit", "trials", "reliability", "class_reliability", "signal_share"),
    ]
)
_values = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
    st.sampled_from(["{}", "[" * 5000, "null", '{"lr": 1e999}', "NaN", "\u2028", '{"kind": "folder"}']),
    st.lists(st.integers(-9, 2**40), max_size=5).map(lambda values: np.array(values, dtype=np.int64)),
    st.lists(st.floats(), max_size=5).map(lambda values: np.array(values, dtype=np.float64)),
    st.lists(st.sampled_from(["a", "b", "class"]), min_size=1, max_size=5),
    st.just(h5py.Empty("f8")),
)
_shapes = st.lists(st.sampled_from([0, 1, 2, 3, 12, 60, 2**20, 2**31, 2**40]), max_size=3).map(tuple)
_dtypes = st.sampled_from(["f8", "f4", "i4", "i8", "u8", "u1", "S3", "f2", "c16", "bool"])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A score file with trials of both kinds."""
    path = tmp_path_factory.mktemp("original") / "scores.h5"
    score(
        make_dataset((4, 4, 4), side=4, tests=6),
        scores="LossInit,LossConverge,MonteCarlo",
        trials=2,
        recipe=LossRecipe(network=NETWORK, epochs=2),
        utility=UtilityRecipe(network=NETWORK, steps=1, subset_per_class=1),
        utility_trials=12,
        out=path,
        device="cpu",
    )
    return path


def read(path):
    """Read all that a file gives; what went wrong must be one sentence."""
    said = ""
    try:
        load_scores(path)
        load_header(path)
    except ScoreFileError as error:
        said = str(error)
    assert "\n" not in said
    assert not said or str(path) in said
    return not said


def fuzz_bytes(path, work):
    """Change bytes anywhere."""

    @seed(1)
    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def run(data):
        content = bytearray(path.read_bytes())
        most = st.sampled_from([2**11, 2**13, len(content)]).flatmap(lambda end: st.integers(SIZE, end - 1))
        for place, value in data.draw(
            st.lists(st.tuples(most, st.integers(0, 255)), min_size=1, max_size=12)
        ):
            content[place] = value
        work.write_bytes(content)
        seal(work)
        read(work)

    run()


def fuzz_content(path, work):
    """Put other attributes, arrays and links in the place of those that are there."""

    @seed(2)
    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def run(data):
        work.write_bytes(path.read_bytes())
        with h5py.File(work, "r+") as file:
            nodes = ["/"]
            file.visit(nodes.append)
            for _ in range(data.draw(st.integers(1, 3))):
                change(file, data.draw(st.sampled_from(nodes)), data)
        seal(work)
        read(work)

    run()


def is_there(file, node):
    """Whether a node is, and not behind a link that leads nowhere, or to itself."""
    try:
        return node in file and file[node] is not None
    except (KeyError, OSError, RuntimeError):
        return False


def change(file, node, data):
    """One change of a node."""
    what = data.draw(
        st.sampled_from(["attribute", "array", "compressed", "virtual", "vlen", "link", "delete"])
    )
    if not is_there(file, node):
        return
    if what == "attribute" or node == "/":
        file[node].attrs[data.draw(_names)] = data.draw(_values)
        return
    shape, dtype = data.draw(_shapes), data.draw(_dtypes)
    del file[node]
    if what == "array":
        chunks = tuple(min(size, 64) for size in shape) if all(shape) else ()
        file.create_dataset(node, shape=shape, dtype=dtype, chunks=chunks or None)
    elif what == "compressed":
        file.create_dataset(node, data=np.zeros(2**16, dtype=dtype), compression="gzip", chunks=(2**16,))
    elif what == "virtual":
        layout = h5py.VirtualLayout(shape=(12,), dtype="f8")
        layout[:] = h5py.VirtualSource("other.h5", "x", shape=(12,))
        file.create_virtual_dataset(node, layout)
    elif what == "vlen":
        file.create_dataset(node, shape=(12,), dtype=h5py.string_dtype())
    elif what == "link":
        link = data.draw(st.sampled_from([h5py.SoftLink("/dataset"), h5py.ExternalLink("other.h5", "/x")]))
        file[node] = link


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fuzz_bytes", "fuzz_content"])
def test_any_content_is_read_or_refused_in_bounded_memory(kind, original, tmp_path):
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.durability import test_fuzzed_score_files as fuzz\n"
        "now = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + fuzz.MEMORY,) * 2)\n"
        "getattr(fuzz, sys.argv[1])(Path(sys.argv[2]), Path(sys.argv[3]))\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux to limit the memory")
    done = subprocess.run(
        [sys.executable, "-c", code, kind, original, tmp_path / "work.h5"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_an_array_larger_than_the_file_is_refused_before_it_is_read(original, tmp_path):
    work = tmp_path / "bomb.h5"
    for name, shape in (
        ("dataset/labels", (2**33,)),
        ("scores/LossInit", (2**33,)),
        ("trials/loss/done", (2**33,)),
    ):
        work.write_bytes(original.read_bytes())
        with h5py.File(work, "r+") as file:
            dtype = file[name].dtype
            del file[name]
            file.create_dataset(name, shape=shape, dtype=dtype, chunks=(2**10,))
            file["dataset"].attrs["num_samples"] = 2**33
        seal(work)
        assert not read(work)


@pytest.mark.parametrize("name", ["scores/LossInit", "dataset", "trials/loss/seed"])
def test_links_out_of_the_file_are_not_followed(name, original, tmp_path):
    work = tmp_path / "linked.h5"
    work.write_bytes(original.read_bytes())
    with h5py.File(work, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(original, name)
    seal(work)
    assert not read(work)
