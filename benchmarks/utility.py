"""Utility of the samples of a whole dataset in three ways: trained trials, kernel trials, and exactly.

Prints, in one process, how many trials a second there are, the time to a reliability of ranks of 0.8 (of
trained trials by the planning formula, from the signal share that was measured), the most memory that was
used, and how the two ways that train nothing agree with some hundred trained trials. Then what shrinking
gains for few trained trials of a part of the data, beside in-minus-out, with several seeds.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import goldore
from goldore.scores.estimators import class_members
from goldore.scores.estimators.agreement import Agreement, Noisy, agreement
from goldore.store import UtilityTrials
from goldore.store.reading import opened, read_header
from goldore.store.utility_trials import UTILITY, halved
from goldore.training.devices import keep_freed_memory

TARGET = 0.8


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--check-trials", type=int, default=300)
    parser.add_argument("--shrunk-trials", type=int, default=200)
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3])
    arguments = parser.parse_args()
    keep_freed_memory()
    dataset = goldore.load_dataset(arguments.dataset, data_root=arguments.data_root)
    network = goldore.ConvNetConfig(width=arguments.width)
    with tempfile.TemporaryDirectory() as folder:
        whole(dataset, network, Path(folder), arguments.check_trials)
        members = class_members(dataset.labels, dataset.num_classes)
        chosen = np.sort(np.concatenate([each[: arguments.per_class] for each in members]))
        part = replace(dataset, images=dataset.images[chosen], labels=dataset.labels[chosen])
        shrunk(part, network, Path(folder), arguments.shrunk_trials, arguments.seeds)


def whole(dataset: goldore.ImageDataset, network: goldore.ConvNetConfig, folder: Path, trained: int) -> None:
    """Time and memory of the three ways, and their agreement."""
    print(f"{dataset.name}: {dataset.num_samples:,} images, width {network.width}")
    out = folder / "whole.h5"
    exact = goldore.KernelUtilityRecipe(network=network)
    start = time.perf_counter()
    file = goldore.score(dataset, scores="KernelUtility", kernel_utility=exact, out=out)
    score = file.scores["KernelUtility"]
    print(
        f"exact: {time.perf_counter() - start:.0f} s for {score.trials} groups, reliability of ranks "
        f"{score.rank_reliability:.2f}, {memory()}",
        flush=True,
    )
    recipe = goldore.UtilityRecipe(network=network, subset_per_class=1)
    kernel = replace(recipe, kernel=goldore.KernelRecipe())
    start = time.perf_counter()
    file = goldore.score(dataset, scores="MonteCarlo", utility=kernel, until_reliability=TARGET, out=out)
    score, seconds = file.scores["MonteCarlo"], time.perf_counter() - start
    spent = seconds_of(file.utility_trials)
    print(
        f"kernel: {seconds:.0f} s for {score.trials:,} trials, reliability of ranks "
        f"{score.rank_reliability:.2f}; {score.trials / spent:,.0f} trials a second after the features, "
        f"{memory()}",
        flush=True,
    )
    file = goldore.score(
        dataset,
        scores="KernelUtility,MonteCarlo",
        kernel_utility=exact,
        utility=kernel,
        utility_trials=score.trials,
        check_trials=trained,
        out=out,
    )
    rate = trained / seconds_of(file.check_trials)
    of_class = dataset.num_samples / dataset.num_classes
    needed = max(of_class * (1 / score.signal_share - 1) * TARGET / (1 - TARGET), 2 * of_class)
    print(
        f"trained: {rate:.1f} trials a second; {TARGET:g} takes about {needed:,.0f} trials (two sweeps at "
        f"the least, signal share {score.signal_share:.2f} as in kernel trials), so "
        f"{needed / rate / 60:,.0f} minutes"
    )
    for name, each in file.scores.items():
        if each.agreement is not None:
            print(f"agreement of {name} with {trained} trained trials: {said(each.agreement)}", flush=True)


def shrunk(
    part: goldore.ImageDataset, network: goldore.ConvNetConfig, folder: Path, trials: int, seeds: list[int]
) -> None:
    """Reliability of few trained trials, raw and shrunk, by themselves and beside many other trials."""
    if not seeds:
        return
    recipe = goldore.UtilityRecipe(network=network, subset_per_class=1)
    exact = goldore.KernelUtilityRecipe(network=network)
    path = folder / "many.h5"
    goldore.score(part, scores="MonteCarlo", utility=recipe, utility_trials=10 * trials, seed=1000, out=path)
    with opened(path) as stored:
        many = halved(stored, read_header(stored), UTILITY, "accuracy")
    assert many is not None  # noqa: S101
    print(f"{part.num_samples:,} images, {trials} trained trials, judged by {many.trials:,} others")
    members = class_members(part.labels, part.num_classes)
    for seed in seeds:
        out = folder / f"part-{seed}.h5"
        goldore.score(
            part,
            scores="KernelUtility,MonteCarlo",
            kernel_utility=exact,
            utility=recipe,
            utility_trials=trials,
            seed=seed,
            out=out,
        )
        line = f"  seed {seed}:"
        for estimator in ("in-minus-out", "shrunk"):
            goldore.reestimate(out, "accuracy", estimator)
            score = goldore.load_scores(out).scores["MonteCarlo"]
            silent = Noisy(score.values, np.zeros(len(score.values)))
            found = agreement(silent, many, members)
            line += (
                f" {estimator} says {score.reliability:.2f} (of ranks {score.rank_reliability:.2f}), and has "
                f"{found.correlation**2:.2f} by the others;"
            )
        print(line.rstrip(";"), flush=True)


def seconds_of(trials: UtilityTrials | None) -> float:
    """Time that all of them took."""
    return float(trials.seconds.sum()) if trials is not None else float("nan")


def said(found: Agreement) -> str:
    """The correlation with its error."""
    return f"{found.correlation:.2f} +- {found.stderr:.2f} over {found.samples:,} samples ({found.verdict})"


def memory() -> str:
    """The most that this process has held so far."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


if __name__ == "__main__":
    main()
