"""Does pruning pay in other code? DM from its own repository on MNIST: all data, a part by score, at random.

    git clone https://github.com/VICO-UoE/DatasetCondensation
    python benchmarks/pruned_dm.py DatasetCondensation scores_cache/MNIST.h5 --data-root data

The clone is copied, plugged by `goldore plug dm`, and main_DM.py is run as it is, but for what newer
versions of
torch need (.clone() in utils.py, .reshape() in networks.py). Every run has its own seed; Random draws anew
each time.
"""

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import goldore
from goldore.repositories import find_repository
from goldore.repositories.plug import plug

SEEDED = "import sys, runpy, numpy, torch; numpy.random.seed({0}); torch.manual_seed({0}); "
START = (
    "sys.argv[0] = 'main_DM.py'; sys.path.insert(0, '.'); runpy.run_path('main_DM.py', run_name='__main__')"
)


def main() -> None:
    """Run all conditions and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--data-root", type=Path, required=True, help="folder with MNIST's four IDX files")
    parser.add_argument("--ratio", default="0.1")
    parser.add_argument("--criteria", nargs="*", default=["LossConverge_large", "Random"])
    parser.add_argument("--without-all", action="store_true", help="leave the run on all data out")
    parser.add_argument("--ipc", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--batch-real", type=int, default=64)
    parser.add_argument("--num-eval", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        code = prepare(args.clone, root / "clone")
        unpack(args.data_root, root / "data" / "MNIST" / "raw")
        found: dict[str, list[tuple[float, float, float]]] = {}
        for seed in range(args.seeds):
            indices: dict[str, Path | None] = {} if args.without_all else {"all": None}
            for criterion in args.criteria:
                kept = goldore.prune(args.scores, criterion, keep_ratio=args.ratio, seed=seed)
                file = root / f"{criterion}-{seed}.npy"
                indices[f"{criterion}, {args.ratio}"] = kept.save(file, overwrite=True)
            for name, index in indices.items():
                accuracy, started, seconds = run(code, root, index, seed, args)
                found.setdefault(name, []).append((accuracy, started, seconds))
                print(
                    f"seed {seed}, {name}: {accuracy:.2f} %, {started:.0f} s to start, {seconds:.0f} s",
                    flush=True,
                )
    print("\n| kept | accuracy, mean and spread over seeds | to start | in all |\n|---|---|---|---|")
    for name, rows in found.items():
        accuracy, started, seconds = (np.array(column) for column in zip(*rows, strict=True))
        spread = accuracy.std(ddof=1) if len(rows) > 1 else float("nan")
        print(
            f"| {name} | {accuracy.mean():.2f} ± {spread:.2f} | {started.mean():.0f} s | "
            f"{seconds.mean():.0f} s |"
        )


def prepare(clone: Path, copy: Path) -> Path:
    """Copy and plug the clone, and change what newer versions of torch refuse."""
    shutil.copytree(clone, copy, ignore=shutil.ignore_patterns(".git", "data", "result"))
    plug(find_repository("dm"), copy)
    utils, networks = copy / "utils.py", copy / "networks.py"
    text = utils.read_bytes().decode()
    utils.write_bytes(re.sub(r"(\w+)\[:\] = \1\[0\]", r"\1[:] = \1[0].clone()", text).encode())
    networks.write_bytes(networks.read_bytes().decode().replace(".view(", ".reshape(").encode())
    return copy


def unpack(source: Path, target: Path) -> None:
    """Put the IDX files where torchvision looks for them."""
    target.mkdir(parents=True)
    for file in source.glob("*-ubyte*"):
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rb") as packed:
            (target / file.name.removesuffix(".gz")).write_bytes(packed.read())


def run(
    code: Path, root: Path, index: Path | None, seed: int, args: argparse.Namespace
) -> tuple[float, float, float]:
    """One run of main_DM.py: accuracy in percent, seconds until training begins, seconds in all."""
    options = (
        f"--dataset MNIST --ipc {args.ipc} --Iteration {args.iterations} --batch_real {args.batch_real} "
        "--init real "
        f"--num_exp 1 --num_eval {args.num_eval} --epoch_eval_train {args.epochs} --eval_mode X "
        f"--dsa_strategy color_crop_cutout_scale_rotate --data_path {root / 'data'} --save_path "
        f"{root / 'result'}"
    )
    environment = {key: value for key, value in os.environ.items() if key != "GOLDORE_INDEX"}
    if index is not None:
        environment["GOLDORE_INDEX"] = str(index)
    begin = time.perf_counter()
    started = accuracy = float("nan")
    kept = False
    command = [sys.executable, "-u", "-W", "ignore", "-c", SEEDED.format(seed) + START, *options.split()]
    with subprocess.Popen(command, cwd=code, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            kept = kept or line.startswith("goldore: kept")
            if "training begins" in line:
                started = time.perf_counter() - begin
            if match := re.search(r"evaluate \d+ random .* mean\s+=\s+([\d.]+)%", line):
                accuracy = float(match[1])
    if process.returncode or kept != (index is not None):
        raise SystemExit(f"main_DM.py failed (exit code {process.returncode})")
    return accuracy, started, time.perf_counter() - begin


if __name__ == "__main__":
    main()
