"""`goldore prune` and `inspect` from a cold start on 1.28 million samples in 1,000 classes: time and memory.

The score files are written by goldore's own writer, with random losses in place of trained ones: pruning
does not look at where a number comes from. The aim is under 1 s and 500 MB for `prune` (two trials of one
loss), and under 2 s and 1 GB for `inspect` (20 trials of both losses).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES, CLASSES, REPEATS = 1_281_167, 1_000, 5


def write_score_file(path: Path, trials: int, names: tuple[str, ...]) -> None:
    """Write a score file of ImageNet-1K's size with random trials."""
    import numpy as np

    from goldore.datasets import ImageDataset
    from goldore.scores import SCORES
    from goldore.store import Header, LossResult, LossRun, add_trials, estimate_scores
    from goldore.trials import LossRecipe
    from goldore.trials.seeds import make_trials

    draw = np.random.default_rng(0)
    dataset = ImageDataset(
        name="made-up-imagenet",
        images=draw.integers(0, 256, (SAMPLES, 3, 1, 1), dtype=np.uint8),
        labels=np.sort(draw.integers(0, CLASSES, SAMPLES)),
        class_names=tuple(f"n{label:08d}" for label in range(CLASSES)),
        source="random numbers",
    )
    recipe = LossRecipe(epochs=1, mean=(0.5,) * 3, std=(0.2,) * 3)
    run = LossRun(recipe, 0, tuple(SCORES[name] for name in names), "none", "none")
    truth = draw.exponential(size=SAMPLES)
    results = [
        LossResult(
            trial=trial,
            failed=False,
            recorded={name: (truth * draw.lognormal(size=SAMPLES)).astype(np.float32) for name in names},
            train_loss=np.ones(1, dtype=np.float32),
        )
        for trial in make_trials(0, range(trials))
    ]
    add_trials(path, Header.of(dataset), run, results)
    estimate_scores(path)


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command as a new process; give seconds and peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{command} failed")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        file, large = Path(folder) / "scores.h5", Path(folder) / "large.h5"
        # In processes of their own: a child's peak memory starts from what its parent holds.
        subprocess.run([sys.executable, __file__, str(file), "2", "LossConverge"], check=True)
        subprocess.run([sys.executable, __file__, str(large), "20", "LossInit", "LossConverge"], check=True)
        goldore = [sys.executable, "-m", "goldore"]
        prune = [*goldore, "prune", str(file), "--criterion", "LossConverge_large", "--keep-ratio", "0.1"]
        commands = {
            "goldore --help": [*goldore, "--help"],
            "goldore prune --help": [*goldore, "prune", "--help"],
            "goldore prune, per class": [*prune, "--out", f"{folder}/class.npy", "--overwrite"],
            "goldore prune, global": [
                *prune,
                "--scope",
                "global",
                "--out",
                f"{folder}/all.npy",
                "--overwrite",
            ],
            "goldore inspect": [*goldore, "inspect", str(file)],
            "goldore inspect, 20 trials": [*goldore, "inspect", str(large)],
            "  the same, --criterion": [
                *goldore,
                "inspect",
                str(large),
                "--criterion",
                "LossConverge_large",
                "--keep-ratio",
                "0.1",
            ],
            "  compared with itself": [*goldore, "inspect", str(large), str(large)],
            "import numpy, for scale": [sys.executable, "-c", "import numpy"],
        }
        print(f"{SAMPLES:,} samples, {CLASSES:,} classes; new processes, median of {REPEATS}")
        for name, command in commands.items():
            runs = [measure(command) for _ in range(REPEATS)]
            seconds, memory = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"{name:28} {seconds:6.2f} s  {memory:6.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write_score_file(Path(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:]))
    else:
        main()
