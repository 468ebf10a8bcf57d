"""The same scores under a memory limit of a quarter of the images: exact and in blocks, beside another seed.

    python benchmarks/limited.py --source DIR --folder /tmp/limited        (as root, for the control group)

Images of a dataset (Fashion-MNIST, say) are enlarged, coloured and moved at random until there are enough,
and written class by class as a uint8 .npy file. Each run is a process of its own. Those under the limit are
put into a control group, which counts the images in the page cache as well; before, the file is taken
out of the page cache. The runs without a limit have all images in memory as a plain array.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import goldore

_ROOT = Path(__file__).resolve().parents[1]
_BLOCK = 5000
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
_RUN = """
import json, sys, time
import numpy as np, torch, goldore
from goldore.training.devices import keep_freed_memory
about = json.loads(sys.argv[1])
torch.set_num_threads(about["threads"])
source = about["folder"]
if about["resident"]:
    source = np.load(source + "/x_train.npy"), np.load(source + "/y_train.npy")
keep_freed_memory()
network = goldore.ConvNetConfig(width=about["width"], depth=2)
recipe = goldore.LossRecipe(
    network=network, epochs=about["epochs"], batch_size=64, shuffle=about["shuffle"], precision="float32"
)
start = time.monotonic()
file = goldore.score(
    source, trials=1, recipe=recipe, seed=about["seed"], device="cpu", compile_mode="off",
    checkpoint_seconds=None, deterministic=True, out=about["out"], overwrite=True,
)
about["seconds"] = time.monotonic() - start
about["shuffled"] = file.loss_trials.recipe.shuffle
print(json.dumps(about))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--source", required=True, help="a dataset of goldore's, for example Fashion-MNIST's folder"
    )
    parser.add_argument("--folder", type=Path, required=True, help="for the images, which stay there")
    parser.add_argument("--samples", type=int, default=250_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    size = _write(given.source, given.folder, given.samples, given.side)
    print(
        f"{given.samples:,} images, {size / 2**20:,.0f} MiB; the limit is a quarter, {size / 2**22:,.0f} MiB"
    )
    runs = {
        "in memory, exact": {"resident": True, "shuffle": "exact", "seed": 0, "limit": None},
        "limited, exact": {"resident": False, "shuffle": "exact", "seed": 0, "limit": size // 4},
        "limited, by default": {"resident": False, "shuffle": None, "seed": 0, "limit": size // 4},
        "in memory, exact, another seed": {"resident": True, "shuffle": "exact", "seed": 1, "limit": None},
    }
    first: dict[str, np.ndarray] = {}
    print("| | shuffle | seconds | most memory of the group | LossInit | LossConverge |")
    print("|---|---|---|---|---|---|")
    for name, run in runs.items():
        about = run | {key: getattr(given, key) for key in ("width", "epochs", "threads")}
        out = given.folder / f"{name.replace(', ', '-').replace(' ', '-')}.h5"
        out.unlink(missing_ok=True)
        told, most = _measured(about | {"folder": str(given.folder), "out": str(out)}, run["limit"])
        file = goldore.load_scores(out)
        values = {each: score.values for each, score in file.scores.items()}
        first = first or values
        cells = [_beside(values[each], first[each], file.labels) for each in ("LossInit", "LossConverge")]
        print(
            f"| {name} | {told['shuffled']} | {told['seconds']:.0f} | {most} | {' | '.join(cells)} |",
            flush=True,
        )


def _write(source: str, folder: Path, samples: int, side: int) -> int:
    """Write the images, unless they are there; gives their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "x_train.npy"
    shape = (samples, side, side, 3)
    if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
        dataset = goldore.load_dataset(source)
        members = [np.flatnonzero(dataset.labels == label) for label in range(dataset.num_classes)]
        draw = np.random.default_rng(0)
        labels = np.sort(np.arange(samples) % dataset.num_classes)
        images = np.lib.format.open_memmap(path, "w+", dtype=np.uint8, shape=shape)
        for start in range(0, samples, _BLOCK):
            some = labels[start : start + _BLOCK]
            chosen = np.array([draw.choice(members[label]) for label in some])
            images[start : start + len(some)] = _changed(dataset.images[chosen, 0], side, draw)
        images.flush()
        np.save(folder / "y_train.npy", labels)
    return int(np.prod(shape))


def _changed(images: np.ndarray, side: int, draw: np.random.Generator) -> np.ndarray:
    """Enlarge, move, colour and add noise: uint8 [n, h, w] to [n, side, side, 3]."""
    nearest = np.arange(side) * images.shape[1] // side
    large = images[:, nearest][:, :, nearest]
    moved = np.stack([np.roll(each, draw.integers(-4, 5, 2), (0, 1)) for each in large])
    coloured = moved[..., None] * draw.uniform(0.5, 1, (len(images), 1, 1, 3))
    coloured += draw.normal(0, 12, coloured.shape)
    return coloured.clip(0, 255).astype(np.uint8)


def _measured(about: dict[str, object], limit: int | None) -> tuple[dict[str, object], str]:
    """Run it, under a limit if there is one; gives what it told, and the group's highest memory."""
    group = _make_group(limit) if limit is not None else None
    command = [sys.executable, "-c", _RUN, json.dumps(about)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    if group is not None:
        with (Path(str(about["folder"])) / "x_train.npy").open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        inside = f'echo $$ > {group / "cgroup.procs"} && exec "$@"'
        command = ["sh", "-c", inside, "sh", *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    most = "no limit"
    if group is not None:
        peaks = (group / each for each in ("memory.max_usage_in_bytes", "memory.peak"))
        peak = next(each for each in peaks if each.exists())
        most = f"{int(peak.read_text()) / 2**20:,.0f} MiB"
        for _ in range(50):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)
    return json.loads(done.stdout.splitlines()[-1]), most


def _make_group(limit: int) -> Path:
    """A control group with a limit of memory, without swap where that can be said."""
    first = _V1.is_dir()
    group = (_V1 if first else _V2) / f"goldore-limited-{os.getpid()}"
    group.mkdir(exist_ok=True)
    (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))
    return group


def _beside(values: np.ndarray, first: np.ndarray, labels: np.ndarray) -> str:
    """How scores go together with the first run's: to the bit, or by their ranks within classes."""
    if np.array_equal(values, first):
        return "the same bits"
    found = [
        np.corrcoef(*(each[labels == label].argsort().argsort() for each in (values, first)))[0, 1]
        for label in np.unique(labels)
    ]
    return f"{np.mean(found):.3f}"


if __name__ == "__main__":
    main()
