"""What a user can get wrong: one sentence, an exit code, and nothing left behind or changed.

Every case runs in a folder with the files that `_make_files` describes; afterwards every file must be as it
was, byte for byte, and there must be none more.
"""

import gzip
import shutil
import struct

import h5py
import numpy as np
import pytest

from tests.conftest import edited

FAILED, USAGE = 1, 2
LARGE = ("prune", "scores.h5", "--criterion", "LossConverge_large")
HALF = (*LARGE, "--keep-ratio", "0.5")


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def _make_files(folder, arrays):
    """Datasets and files that are each wrong in one way; scores.h5 and tiny.npz are good."""
    images, labels = arrays["x_train"], arrays["y_train"]
    good = (folder / "tiny.npz").read_bytes()

    def npz(name, **changed):
        np.savez(folder / name, **{**arrays, **changed})

    middle = bytearray(good)
    middle[good.index(b"x_train.npy") + 400] ^= 0xFF
    (folder / "flipped.npz").write_bytes(middle)
    npz("nan.npz", x_train=np.where(np.arange(60)[:, None, None] == 7, np.nan, images / 255))
    npz("short.npz", y_train=labels[:59])
    npz("few_names.npz", class_names=np.array(["left", "middle"]))
    npz("one_class.npz", y_train=np.zeros_like(labels), y_test=np.zeros_like(arrays["y_test"]))
    npz("one_image.npz", x_train=np.repeat(images[:1], 60, axis=0))
    npz("negative.npz", y_train=np.where(labels == 1, -1, labels))
    np.savez(folder / "unknown.npz", pictures=images, tags=labels)
    npz("other.npz", x_train=images[::-1].copy())
    (folder / "idx_cut").mkdir()
    (folder / "idx_cut" / "train-images-idx3-ubyte.gz").write_bytes(idx(images)[:-300])
    (folder / "idx_cut" / "train-labels-idx1-ubyte.gz").write_bytes(idx(labels))

    scores = (folder / "scores.h5").read_bytes()
    (folder / "words.h5").write_text("this is not HDF5")
    (folder / "empty.h5").write_bytes(b"")
    (folder / "truncated.h5").write_bytes(scores[: len(scores) // 2])
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["x"] = np.arange(3)
    shutil.copy(folder / "scores.h5", folder / "only_init.h5")
    with edited(folder / "only_init.h5") as file:
        del file["scores/LossConverge"], file["stderr/LossConverge"]
    shutil.copy(folder / "scores.h5", folder / "newer.h5")
    with (folder / "newer.h5").open("rb+") as file:
        file.write(b"goldore scores, format 9\n")
    shutil.copy(folder / "scores.h5", folder / "no_labels.h5")
    with edited(folder / "no_labels.h5") as file:
        del file["dataset/labels"]


@pytest.fixture(scope="session")
def bad_files(tiny_npz, tiny_scores, tiny_arrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    shutil.copy(tiny_npz, folder)
    shutil.copy(tiny_scores, folder / "scores.h5")
    _make_files(folder, tiny_arrays)
    return folder


@pytest.fixture
def refused(bad_files, tmp_path, goldore, snapshot):
    """Run a command that must fail properly; gives its last line on stderr."""
    shutil.copytree(bad_files, tmp_path, dirs_exist_ok=True)

    def run(command, exit_code, env=None):
        before = snapshot()
        done = goldore(*command, env=env)
        assert done.returncode == exit_code, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert done.stdout == ""
        assert snapshot() == before
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ")
        return last

    return run


def check(refused, command, exit_code, says):
    last = refused(command, exit_code)
    for part in says:
        assert part in last


SCORE_DATASETS = {
    "unknown-name": (["CIFAR11"], USAGE, ["'CIFAR11'", "did you mean", "CIFAR10", "CIFAR100"]),
    "missing-path": (["nowhere/tiny.npz"], FAILED, ["no file or folder nowhere/tiny.npz"]),
    "missing-data-root": (["MNIST", "--data-root", "away"], FAILED, ["away does not exist", "--data-root"]),
    "truncated-idx": (["idx_cut"], FAILED, ["train-images-idx3-ubyte.gz", "truncated"]),
    "one-class": (["one_class.npz"], FAILED, ["one class (left)", "nothing to rank"]),
    "one-image": (["one_image.npz"], FAILED, ["all 60 images", "are equal"]),
    "negative-labels": (["negative.npz"], FAILED, ["y_train in negative.npz has the label -1"]),
    "unknown-arrays": (["unknown.npz"], FAILED, ["holds pictures, tags", "x_train and y_train"]),
    "flipped-npz": (["flipped.npz"], FAILED, ["flipped.npz cannot be read"]),
    "labels-out-of-range": (["few_names.npz"], FAILED, ["labels from 0 to 2", "2 class names"]),
    "different-lengths": (["short.npz"], FAILED, ["60 training images", "59 training labels"]),
    "nan-images": (["nan.npz"], FAILED, ["x_train in nan.npz", "NaN", "image 7"]),
}  # fmt: skip


@pytest.mark.parametrize(("words", "exit_code", "says"), SCORE_DATASETS.values(), ids=SCORE_DATASETS.keys())
def test_score_with_a_bad_dataset(words, exit_code, says, refused):
    check(refused, ["score", *words, "--out", "out.h5"], exit_code, says)


SCORE_OPTIONS = {
    "epochs-0": (["--epochs", "0"], ["--epochs is 0"]),
    "width-0": (["--width", "0"], ["width is 0"]),
    "batch-size-0": (["--batch-size", "0"], ["--batch-size is 0"]),
    "mean-in-8-bits": (["--mean", "72.9"], ["--mean has 72.9", "0..1; divide it by 255"]),
    "std-in-8-bits": (["--std", "90"], ["--std has 90", "0..1; divide it by 255"]),
    "lr-0": (["--lr", "0"], ["--lr is 0"]),
    "lr-nan": (["--lr", "nan"], ["--lr is nan"]),
    "momentum-1": (["--momentum", "1"], ["--momentum is 1"]),
    "long-window": (["--init-epochs", "3"], ["--init-epochs is 3 of 2 epochs"]),
    "unknown-norm": (["--norm", "instant"], ["norm is 'instant'", "instance, batch, layer, group, none"]),
    "group-of-6": (["--norm", "group", "--width", "6"], ["width is 6", "multiple of 4"]),
    "std-0": (["--std", "0"], ["--std must be above 0"]),
    "mean-of-words": (["--mean", "half"], ["--mean is 'half'", "numbers separated by commas"]),
    "unknown-channels": (["--channels", "middle"], ["--channels is 'middle'", "auto, first or last"]),
    "quiet-and-verbose": (["--quiet", "--verbose"], ["--quiet and --verbose exclude each other"]),
    "trials-0": (["--trials", "0"], ["--trials is 0"]),
    "unknown-score": (["--scores", "LossInit,LossConverg"], ["'LossConverg'", "did you mean LossConverge?"]),
    "unknown-device": (["--device", "abacus"], ["--device is 'abacus'", "cuda", "cpu"]),
    "depth-4-of-8-pixels": (["--depth", "4"], ["8x8", "too small for 4 pooling blocks", "--depth"]),
    "two-means-one-channel": (["--mean", "0.1,0.2"], ["--mean has 2 numbers", "1 channel"]),
    "image-size-of-arrays": (["--image-size", "8"], ["--image-size applies to images of folders"]),
}  # fmt: skip


@pytest.mark.parametrize(("words", "says"), SCORE_OPTIONS.values(), ids=SCORE_OPTIONS.keys())
def test_score_with_a_bad_option(words, says, refused):
    command = ["score", "tiny.npz", "--epochs", "2", "--depth", "1", "--width", "4", "--trials", "1"]
    check(refused, [*command, "--out", "out.h5", *words], USAGE, says)


def test_score_on_cuda_without_cuda(refused):
    hidden = {"CUDA_VISIBLE_DEVICES": ""}  # as on a machine without
    last = refused(["score", "tiny.npz", "--device", "cuda", "--out", "out.h5"], USAGE, env=hidden)
    assert "--device is 'cuda'" in last
    assert "no CUDA device" in last


def test_score_that_diverges_everywhere(refused, tiny_options):
    command = ["score", "tiny.npz", *tiny_options, "--trials", "2", "--lr", "1e30", "--out", "out.h5"]
    last = refused(command, FAILED)
    assert "every trial diverged" in last
    assert "nothing was written" in last
    assert "--lr" in last


UNWRITABLE = {
    "below-a-file": ("tiny.npz/deep/out.h5", ["cannot write to the folder tiny.npz/deep"]),
    "in-proc": ("/proc/goldore/out.h5", ["cannot write to the folder /proc/goldore"]),
}


@pytest.mark.parametrize(("out", "says"), UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_score_to_a_place_that_cannot_be_written(out, says, refused, tiny_options):
    check(refused, ["score", "tiny.npz", *tiny_options, "--out", out], FAILED, says)


class TestScoreOverAnotherFile:
    """scores.h5 holds two trials of tiny.npz with seed 0 and 2 epochs; `refused` sees that it stays so."""

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--width", "8", "--lr", "0.5"], ["width: 4 there / 8 now", "lr: 0.01 there / 0.5 now"]),
            (["--seed", "1"], ["seed: 0 there / 1 now"]),
        ],
        ids=["other-recipe", "other-seed"],
    )
    def test_of_another_run_shows_both_values(self, words, says, refused, tiny_options):
        command = ["score", "tiny.npz", *tiny_options, "--trials", "3", "--out", "scores.h5", *words]
        check(refused, command, FAILED, [*says, "scores.h5 holds another run", "--out", "--overwrite"])

    def test_of_another_dataset_shows_both_fingerprints(self, refused, tiny_options, bad_files, read_h5):
        import goldore as library

        there = read_h5(bad_files / "scores.h5")["dataset@fingerprint"]
        now = library.load_dataset(str(bad_files / "other.npz")).fingerprint
        assert there != now
        last = refused(["score", "other.npz", *tiny_options, "--trials", "3", "--out", "scores.h5"], FAILED)
        assert f"dataset: tiny {there[:12]} there / other {now[:12]} now" in last

    def test_that_is_no_score_file(self, refused, tiny_options):
        last = refused(["score", "tiny.npz", *tiny_options, "--out", "foreign.h5"], FAILED)
        assert "foreign.h5 is HDF5 but not a goldore score file" in last


NO_SCORE_FILES = {
    "missing": ("nowhere.h5", ["no score file nowhere.h5", "goldore score"]),
    "text": ("words.h5", ["words.h5 is not a score file"]),
    "empty": ("empty.h5", ["empty.h5 is not a score file"]),
    "an-npz": ("tiny.npz", ["tiny.npz looks like an index file"]),
    "other-hdf5": ("foreign.h5", ["foreign.h5 is HDF5 but not a goldore score file"]),
    "truncated": ("truncated.h5", ["truncated.h5", "damaged"]),
    "without-labels": ("no_labels.h5", ["no_labels.h5 is damaged", "dataset/labels is missing"]),
    "of-a-newer-version": ("newer.h5", ["format version 9", "update goldore"]),
    "a-folder": ("idx_cut", ["idx_cut"]),
}


@pytest.mark.parametrize(("file", "says"), NO_SCORE_FILES.values(), ids=NO_SCORE_FILES.keys())
def test_prune_of_what_is_no_score_file(file, says, refused):
    check(refused, ["prune", file, "--criterion", "LossInit_large", "--keep-per-class", "1"], FAILED, says)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("file", ["missing", "truncated"])
def test_inspect_of_what_is_no_score_file(file, options, refused):
    name, says = NO_SCORE_FILES[file]
    check(refused, ["inspect", name, *options], FAILED, says)


PRUNE = {
    "unknown-score": (
        ["prune", "scores.h5", "--criterion", "LossConverg_large", "--keep-per-class", "1"],
        ["'LossConverg_large'", "did you mean LossConverge_large?"],
    ),
    "unknown-criterion": (
        ["prune", "scores.h5", "--criterion", "hardest", "--keep-per-class", "1"],
        ["no criterion 'hardest'", "LossConverge_large", "LossInit_small", "Random"],
    ),
    "criterion-without-end": (
        ["prune", "scores.h5", "--criterion", "LossConverge", "--keep-per-class", "1"],
        ["no criterion 'LossConverge'", "LossConverge_large", "LossConverge_small"],
    ),
    "score-not-in-file": (
        ["prune", "only_init.h5", "--criterion", "LossConverge_large", "--keep-per-class", "1"],
        ["'LossConverge_large'", "it has LossInit_large, LossInit_small, Random."],
    ),
    "drop-ratio-below-0": ([*LARGE, "--drop-ratio", "-0.1"], ["--drop-ratio is -0.1", "from 0 to 1"]),
    "keep-ratio-above-1": ([*LARGE, "--keep-ratio", "1.1"], ["--keep-ratio is 1.1", "from 0 to 1"]),
    "ratio-of-letters": ([*LARGE, "--keep-ratio", "abc"], ["--keep-ratio is 'abc'", "number from 0 to 1"]),
    "ratio-nan": ([*LARGE, "--drop-ratio", "nan"], ["--drop-ratio is 'nan'", "number from 0 to 1"]),
    "ratio-infinite": ([*LARGE, "--drop-ratio", "inf"], ["--drop-ratio is inf", "from 0 to 1"]),
    "ratio-in-percent": ([*LARGE, "--keep-ratio", "10%"], ["--keep-ratio is '10%'", "number from 0 to 1"]),
    "two-rules": ([*LARGE, "--keep-ratio", "0.5", "--drop-ratio", "0.5"], ["exactly one of", "--keep-ratio"]),
    "ratio-and-count": (
        [*LARGE, "--keep-ratio", "0.5", "--keep-per-class", "2"],
        ["exactly one of", "--keep-per-class"],
    ),
    "no-rule": ([*LARGE], ["exactly one of --drop-ratio, --keep-ratio, --keep-per-class and --keep-range"]),
    "count-above-class": (
        [*LARGE, "--keep-per-class", "21"],
        ["--keep-per-class 21", "20 samples of class left"],
    ),
    "count-0": ([*LARGE, "--keep-per-class", "0"], ["--keep-per-class is 0"]),
    "count-global": (
        [*LARGE, "--keep-per-class", "2", "--scope", "global"],
        ["--keep-per-class", "--scope global"],
    ),
    "keeps-nothing": ([*LARGE, "--drop-ratio", "1"], ["--drop-ratio 1 keeps no sample"]),
    "keep-ratio-0": ([*LARGE, "--keep-ratio", "0"], ["--keep-ratio 0 keeps no sample"]),
    "range-without-colon": ([*LARGE, "--keep-range", "0.5"], ["--keep-range is '0.5'", "A:B"]),
    "range-backwards": ([*LARGE, "--keep-range", "0.5:0.2"], ["--keep-range 0.5:0.2 is empty"]),
    "range-above-1": ([*LARGE, "--keep-range", "0.5:2"], ["--keep-range is 2", "from 0 to 1"]),
    "range-of-letters": ([*LARGE, "--keep-range", "a:1"], ["--keep-range is 'a'"]),
    "unknown-scope": ([*HALF, "--scope", "local"], ["scope is 'local'", "class or global"]),
    "unknown-missing": ([*HALF, "--missing", "guess"], ["missing is 'guess'", "error, drop or keep"]),
    "unknown-rule": ([*HALF, "--rule", "centre"], ["no rule 'centre'", "end, window, draw"]),
    "rule-without-value": ([*HALF, "--rule", "draw,after"], ["--rule has 'after'", "NAME,KEY=VALUE"]),
    "rule-of-letters": ([*HALF, "--rule", "window,start=a"], ["start of the rule window is 'a'"]),
    "rule-passes-too-much": ([*HALF, "--rule", "draw,after=0.6"], ["passes over 12 of 20 samples", "10 are"]),
    "rule-and-range": (
        [*LARGE, "--keep-range", "0:1", "--rule", "draw"],
        ["--keep-range is a window of its own", "draw,after=0"],
    ),
    "rule-nowhere": ([*HALF, "--rule", "nowhere:Rule"], ["nowhere:Rule cannot be imported"]),
    "rule-seed-below-0": ([*HALF, "--rule", "draw", "--seed", "-1"], ["--seed is -1"]),
    "seed-below-0": (
        ["prune", "scores.h5", "--criterion", "Random", "--keep-per-class", "1", "--seed", "-1"],
        ["--seed is -1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("command", "says"), PRUNE.values(), ids=PRUNE.keys())
def test_prune_with_a_bad_argument(command, says, refused):
    check(refused, command, USAGE, says)


PRUNE_OUT = {
    "below-a-file": ("tiny.npz/deep/keep.npy", ["cannot write to the folder tiny.npz/deep"]),
    "in-proc": ("/proc/goldore/keep.npy", ["cannot write to the folder /proc/goldore"]),
    "the-score-file": ("scores.h5", ["scores.h5 exists and is no index file"]),
    "some-other-file": ("tiny.npz", ["tiny.npz exists and is no index file"]),
}


@pytest.mark.parametrize(("out", "says"), PRUNE_OUT.values(), ids=PRUNE_OUT.keys())
def test_prune_to_a_bad_place(out, says, refused):
    check(refused, [*HALF, "--out", out], FAILED, says)


@pytest.mark.parametrize("out", ["keep.xyz", "keep", "keep.NPY"])
def test_prune_to_an_unknown_suffix(out, refused):
    check(refused, [*HALF, "--out", out], USAGE, [f"{out} has no known suffix", ".npy"])


def test_prune_never_replaces_its_own_score_file(refused):
    last = refused([*HALF, "--out", "scores.h5", "--overwrite"], FAILED)
    assert "scores.h5" in last
