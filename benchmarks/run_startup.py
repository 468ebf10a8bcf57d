"""What `goldore run` costs: the start of Python with its hook, the whole command, and a data set that is cut.

Each program runs plainly and with the index, in turns; medians and least times are in milliseconds. The data
set is of the size of MNIST, made up.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from goldore.applying.hook.goldore_hook import LOG_VARIABLE
from goldore.applying.launching import variables
from goldore.datasets.classes import labels_digest
from goldore.selection.index_file import save_index

SAMPLES, REPEATS = 60_000, 30
PROGRAMS = {
    "python -c pass": "pass",
    "a program of the standard library": "import argparse, json, unittest.mock, urllib.request",
    "import torch": "import torch",
}
BUILD = """
import time, torch, numpy as np
from torch.utils.data import TensorDataset
labels = np.random.default_rng(0).integers(0, 10, {samples})
images = torch.zeros({samples}, 1, 28, 28, dtype=torch.uint8)
began = time.perf_counter()
data = TensorDataset(images, torch.tensor(labels))
print(len(data), 1000 * (time.perf_counter() - began))
"""


def main() -> None:
    """Measure and print."""
    labels = np.random.default_rng(0).integers(0, 10, SAMPLES)
    keep = np.arange(0, SAMPLES, 10)
    about = {"dataset": "made", "num_samples": SAMPLES, "labels_sha256": labels_digest(labels)}
    with tempfile.TemporaryDirectory() as folder:
        index = save_index(Path(folder) / "keep.npy", keep, about)
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        hooked = {**plain, **variables(index), LOG_VARIABLE: str(Path(folder) / "log")}
        for name, program in PROGRAMS.items():
            repeats = REPEATS if "torch" not in name else 5
            times = [[_time(program, each) for each in (plain, hooked)] for _ in range(repeats)]
            _tell(name, times)
        command = [sys.executable, "-c", "pass"]
        whole = [sys.executable, "-m", "goldore", "run", str(index), "--", *command]
        _tell("goldore run -- python -c pass", [[_clock(command), _clock(whole)] for _ in range(10)])
        for name, environment in (("plainly", plain), ("with the index", hooked)):
            program = [sys.executable, "-c", BUILD.format(samples=SAMPLES)]
            said = subprocess.run(
                program, env=environment, capture_output=True, check=True, encoding="utf-8"
            ).stdout
            count, spent = said.split()
            print(f"a data set of {SAMPLES} built {name}: {count} samples, {float(spent):.1f} ms")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"most memory of a process: {memory / 1024:.0f} MB")


def _time(program: str, environment: dict[str, str]) -> float:
    return _clock([sys.executable, "-c", program], environment)


def _clock(command: list[str], environment: dict[str, str] | None = None) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, capture_output=True, check=False)
    return 1000 * (time.perf_counter() - began)


def _tell(name: str, times: list[list[float]]) -> None:
    columns = list(zip(*times, strict=True))
    least, middle = ([function(each) for each in columns] for function in (min, statistics.median))
    print(
        f"{name}: least {least[0]:.1f} and with the index {least[1]:.1f} ms, "
        f"medians {middle[0]:.1f} and {middle[1]:.1f} ms"
    )


if __name__ == "__main__":
    main()
