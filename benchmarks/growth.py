"""How time and memory of a loss trial grow with samples, image size and processes, on mapped images.

    python benchmarks/growth.py --folder /tmp/growth

Random images are written as uint8 .npy files of growing size, and each is scored by `goldore score` with one
epoch and one pass. Of all its processes together it is told what they take of memory: their own (RssAnon),
and with what they share counted once (Pss, which has the images that lie in the page cache). Then the time is
extended to ImageNet-1K by the slope of the largest two sizes: an extrapolation, marked as that.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

_ROOT = Path(__file__).resolve().parents[1]
_IMAGENET = 1_281_167
_BLOCK = 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the images; they are removed again")
    parser.add_argument("--samples", type=int, nargs="+", default=[5_000, 10_000, 20_000])
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--width", type=int, default=8)
    given = parser.parse_args()
    print(f"width {given.width}, one epoch and one pass, one thread a process")
    print("| side | samples | images | processes | seconds a trial | own memory | with images |")
    print("|---|---|---|---|---|---|---|")
    for side in given.sides:
        times: dict[int, float] = {}
        for samples in given.samples:
            source = _write(given.folder, samples, side)
            many = given.processes if samples == given.samples[-1] else given.processes[:1]
            for processes in many:
                seconds, own, pss = _measured(source, processes, given.width)
                times.setdefault(samples, seconds)
                print(
                    f"| {side} | {samples:,} | {samples * 3 * side**2 / 2**20:,.0f} MiB | {processes} | "
                    f"{seconds:.1f} | {own / 2**10:,.0f} MiB | {pss / 2**10:,.0f} MiB |",
                    flush=True,
                )
            for file in source.iterdir():
                file.unlink()
        *_, before, last = given.samples
        each = (times[last] - times[before]) / (last - before)
        print(
            f"side {side}: {each * 1e3:.2f} ms a sample; extrapolated, ImageNet-1K takes "
            f"{each * _IMAGENET / 3600:.1f} h an epoch and a pass, and {_IMAGENET * 3 * side**2 / 1e9:.1f} GB"
        )


def _write(folder: Path, samples: int, side: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    images = np.lib.format.open_memmap(
        folder / "x_train.npy", mode="w+", dtype=np.uint8, shape=(samples, 3, side, side)
    )
    for start in range(0, samples, _BLOCK):
        part = images[start : start + _BLOCK]
        part[:] = random.integers(0, 256, part.shape, dtype=np.uint8)
    images.flush()
    np.save(folder / "y_train.npy", np.arange(samples) % 10)
    return folder


def _measured(source: Path, processes: int, width: int) -> tuple[float, float, float]:
    """Seconds of a trial, own memory and Pss of all processes at their peak, in KiB."""
    out = source / "scores.h5"
    command = [
        "score",
        source,
        "--channels",
        "first",
        "--scores",
        "LossInit",
        "--width",
        width,
        "--epochs",
        1,
    ]
    command += ["--trials", processes, "--processes", processes, "--compile", "off", "--device", "cpu"]
    command += ["--out", out, "--overwrite", "--quiet", "--shuffle", "exact"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)}
    program = [sys.executable, "-m", "goldore", *map(str, command)]
    run = subprocess.Popen(program, env=environment, start_new_session=True)
    own = pss = 0.0
    while run.poll() is None:
        now = [_memory(pid) for pid in _session(run.pid)]
        own, pss = max(own, sum(each[0] for each in now)), max(pss, sum(each[1] for each in now))
        time.sleep(0.1)
    if run.returncode:
        sys.exit(run.returncode)
    with h5py.File(out) as file:
        seconds = float(np.median(file["trials/loss/seconds"][()]))
    out.unlink()
    return seconds, own, pss


def _session(leader: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(place.name)) == leader:
                found.append(int(place.name))
        except OSError:
            continue
    return found


def _memory(pid: int) -> tuple[float, float]:
    """RssAnon and Pss of a process, in KiB."""
    found = {"RssAnon": 0.0, "Pss": 0.0}
    for name in ("status", "smaps_rollup"):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(":")
            if key in found:
                found[key] = float(value.split()[0])
    return found["RssAnon"], found["Pss"]


if __name__ == "__main__":
    main()
