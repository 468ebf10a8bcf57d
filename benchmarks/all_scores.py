"""All scores of loss trials at once: what they cost beside the two losses, and how they find wrong labels.

First scores the dataset with the two losses alone and with all of them, by turns, each in a process of its
own; prints seconds of a trial, peak memory, and the ratio. Then changes a share of the labels at random and
prints, for every score, the area under the ROC curve for finding them and which end they are at, with the
reliability of its ranks; and how many of the label issues that goldore lists are among them, by loss trials
and by cross-validation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import goldore
from goldore.datasets import ImageDataset
from goldore.scores.estimators.predicted import label_issues
from goldore.training.devices import keep_freed_memory

_ONE = """
import json, resource, sys, time
import goldore
from goldore.training.devices import keep_freed_memory
keep_freed_memory()
about = json.loads(sys.argv[1])
recipe = goldore.LossRecipe(network=goldore.ConvNetConfig(width=about["width"]), epochs=about["epochs"])
dataset = goldore.load_dataset(about["dataset"], data_root=about["data_root"])
how = {"trials": 1, "recipe": recipe, "out": about["out"], "overwrite": True}
file = goldore.score(dataset, scores=about["scores"], **how)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps([float(file.loss_trials.seconds[0]), peak]))
"""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--wrong", type=float, default=0.1)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--per-class", type=int, help="of wrong labels: so many of each class (default: all)")
    arguments = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            _cost(arguments, Path(folder) / "s.h5")
        if arguments.wrong:
            _wrong_labels(arguments, Path(folder) / "wrong.h5")


def _cost(arguments: argparse.Namespace, out: Path) -> None:
    found = {}
    for scores in ("LossInit,LossConverge", "all"):
        names = ("dataset", "data_root", "width", "epochs")
        about = {name: getattr(arguments, name) for name in names} | {"scores": scores, "out": str(out)}
        out.unlink(missing_ok=True)
        done = subprocess.run(  # this Python
            [sys.executable, "-c", _ONE, json.dumps(about)], capture_output=True, text=True, check=True
        )
        found[scores] = json.loads(done.stdout.splitlines()[-1])
        print(f"{scores}: {found[scores][0]:.1f} s a trial, {found[scores][1]:.2f} GiB", flush=True)
    two, every = found.values()
    print(f"ratio of time {every[0] / two[0]:.2f}, of memory {every[1] / two[1]:.2f}", flush=True)


def _wrong_labels(arguments: argparse.Namespace, out: Path) -> None:
    dataset = goldore.load_dataset(arguments.dataset, data_root=arguments.data_root)
    if arguments.per_class:
        dataset = _first(dataset, arguments.per_class)
    draw = np.random.default_rng(0)
    changed = draw.random(dataset.num_samples) < arguments.wrong
    others = (
        dataset.labels + draw.integers(1, dataset.num_classes, dataset.num_samples)
    ) % dataset.num_classes
    dataset = replace(dataset, labels=np.where(changed, others, dataset.labels))
    network = goldore.ConvNetConfig(width=arguments.width)
    start = time.perf_counter()
    file = goldore.score(
        dataset,
        scores="all,HeldOutLoss,Memorization",
        trials=arguments.trials,
        recipe=goldore.LossRecipe(network=network, epochs=arguments.epochs),
        fold=goldore.FoldRecipe(network=network, epochs=arguments.epochs),
        out=out,
    )
    print(f"{changed.sum():,} of {len(changed):,} labels changed; {time.perf_counter() - start:.0f} s")
    for name, score in file.scores.items():
        area = _area(score.values, changed)
        end = "high" if area >= 0.5 else "low"
        print(
            f"{name:14} {max(area, 1 - area):.4f} {end:4} reliability of ranks {score.rank_reliability:.2f}"
        )
    for trials in ("loss", "fold"):
        said = goldore.load_predictions(out, trials)
        if said is not None:
            _issues(trials, said, dataset, changed)


def _issues(what: str, said: object, dataset: ImageDataset, changed: np.ndarray) -> None:
    found = label_issues(said, dataset.labels, dataset.num_classes)  # type: ignore[arg-type]
    right = changed[found]
    print(
        f"label issues by {what}: {len(found):,}, precision {right.mean():.3f}, recall "
        f"{right.sum() / changed.sum():.3f}"
    )
    for share in (0.5, 0.8):
        first = int(np.searchsorted(np.cumsum(right), share * changed.sum())) + 1
        if first <= len(found):
            print(f"  at a recall of {share:.0%}: precision {right[:first].mean():.3f}")


def _first(dataset: ImageDataset, count: int) -> ImageDataset:
    """The first so many of each class."""
    members = [np.flatnonzero(dataset.labels == label)[:count] for label in range(dataset.num_classes)]
    kept = np.sort(np.concatenate(members))
    return replace(dataset, images=dataset.images[kept], labels=dataset.labels[kept], paths=None)


def _area(values: np.ndarray, changed: np.ndarray) -> float:
    """Area under the ROC curve of high values for what was changed; ties count half."""
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[code]
    found = changed.sum()
    return float((ranks[changed].sum() - found * (found + 1) / 2) / (found * (len(values) - found)))


if __name__ == "__main__":
    main()
