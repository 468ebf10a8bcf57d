"""Do the scores find wrong labels? A share of the labels of real images is changed at random.

Prints, for MonteCarlo_small and LossConverge_large within classes, the area under the ROC curve for finding
the changed samples, beside the reliability that goldore printed, at growing budgets and for two seeds, and
how the two seeds' MonteCarlo agree. Then the same of kernel trials and KernelUtility, and how they agree with
the trained ones.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import goldore
from goldore.scores.estimators import class_members
from goldore.scores.estimators.agreement import Noisy, agreement
from goldore.store.reading import opened, read_header
from goldore.store.trialwise import values_by_trial
from goldore.store.utility_trials import UTILITY, halved
from goldore.training.devices import keep_freed_memory


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--per-class", type=int, default=600)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--budgets", type=int, nargs="+", default=[1200, 2400])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--outcome", default="accuracy")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--kernel-trials", type=int, default=20_000)
    parser.add_argument("--subset-per-class", type=int, default=1)
    arguments = parser.parse_args()
    keep_freed_memory()
    dataset, changed = mislabelled(
        goldore.load_dataset(arguments.dataset, data_root=arguments.data_root),
        arguments.per_class,
        arguments.share,
    )
    print(f"{dataset.name}: {dataset.num_samples:,} images, {changed.sum():,} labels changed")
    network = goldore.ConvNetConfig(width=arguments.width)
    labels, classes = dataset.labels, dataset.num_classes
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "loss.h5"
        start = time.perf_counter()
        recipe = goldore.LossRecipe(network=network, epochs=arguments.epochs, converge_epochs=2)
        file = goldore.score(dataset, scores="LossConverge", trials=3, recipe=recipe, out=out)
        score = file.scores["LossConverge"]
        print(
            f"LossConverge_large: AUC {auc(score.values, changed, labels, classes):.3f}, reliability "
            f"of ranks {score.rank_reliability:.2f}, {time.perf_counter() - start:.0f} s",
            flush=True,
        )
        values: dict[int, list[np.ndarray]] = {budget: [] for budget in arguments.budgets}
        for seed in arguments.seeds:
            start = time.perf_counter()
            for budget in arguments.budgets:
                file = goldore.score(
                    dataset,
                    scores="MonteCarlo",
                    utility=goldore.UtilityRecipe(
                        network=network, subset_per_class=arguments.subset_per_class
                    ),
                    utility_trials=budget,
                    outcome=arguments.outcome,
                    seed=seed,
                    out=Path(folder) / f"utility-{seed}.h5",
                )
                score = file.scores["MonteCarlo"]
                values[budget].append(score.values)
                print(
                    f"MonteCarlo_small, seed {seed}, {budget:,} trials: "
                    f"AUC {auc(-score.values, changed, labels, classes):.3f}, reliability "
                    f"{score.reliability:.2f} +- {score.reliability_stderr:.2f}, of ranks "
                    f"{score.rank_reliability:.2f}, signal share {score.signal_share:.2f}, "
                    f"{time.perf_counter() - start:.0f} s",
                    flush=True,
                )
        for budget, found in values.items():
            if len(found) > 1:
                each = correlations(found[0], found[1], labels, classes)
                print(
                    f"two seeds, {budget:,} trials: correlation within classes {each.mean():.3f} "
                    f"+- {each.std(ddof=1) / len(each) ** 0.5:.3f}"
                )
        trained = Path(folder) / f"utility-{arguments.seeds[0]}.h5"
        for kind in ("descent", "ridge", "exact"):
            without_training(dataset, changed, network, trained, Path(folder) / f"{kind}.h5", kind, arguments)


def without_training(
    dataset: goldore.ImageDataset,
    changed: np.ndarray,
    network: goldore.ConvNetConfig,
    trained: Path,
    out: Path,
    kind: str,
    arguments: argparse.Namespace,
) -> None:
    """Score by kernel trials, or exactly, and compare each outcome with that of trained trials."""
    labels, classes = dataset.labels, dataset.num_classes
    start = time.perf_counter()
    if kind == "exact":
        exact = goldore.KernelUtilityRecipe(
            network=network,
            subset_per_class=arguments.subset_per_class,
            eval_per_class=goldore.UtilityRecipe().eval_per_class,  # the same images
        )
        file = goldore.score(dataset, scores="KernelUtility", kernel_utility=exact, out=out)
        print(f"KernelUtility: {time.perf_counter() - start:.0f} s")
    else:
        recipe = goldore.UtilityRecipe(
            network=network,
            subset_per_class=arguments.subset_per_class,
            kernel=goldore.KernelRecipe(fit="ridge" if kind == "ridge" else "descent"),
        )
        file = goldore.score(
            dataset, scores="MonteCarlo", utility=recipe, utility_trials=arguments.kernel_trials, out=out
        )
        seconds = time.perf_counter() - start
        spent = file.utility_trials.seconds.sum() if file.utility_trials is not None else np.nan
        print(
            f"kernel trials, {kind}: {arguments.kernel_trials:,} in {seconds:.0f} s, "
            f"{arguments.kernel_trials / spent:,.0f} a second after the features"
        )
    members = class_members(labels, classes)
    for outcome in ("accuracy", "logprob", "margin"):
        for path in (trained,) if kind == "exact" else (out, trained):
            goldore.reestimate(path, outcome, "in-minus-out")
        real = goldore.load_scores(trained).scores["MonteCarlo"]
        (score,) = goldore.load_scores(out).scores.values()
        noise = score.stderr**2
        if kind == "exact":  # without the error over evaluation images, which the trained trials share
            each_group = values_by_trial(out, np.arange(len(labels)))["KernelUtility"]
            noise = each_group.var(axis=0, ddof=1) / len(each_group)
        with opened(trained) as stored:
            halves = halved(stored, read_header(stored), UTILITY, outcome)
        assert halves is not None  # noqa: S101
        found = agreement(Noisy(score.values, noise), halves, members)
        aucs = [auc(-each.values, changed, labels, classes) for each in (score, real)]
        print(
            f"  {outcome}: AUC {aucs[0]:.3f} (trained {aucs[1]:.3f}), reliability {score.reliability:.2f} "
            f"(trained {real.reliability:.2f}), agreement {found.correlation:.2f} +- {found.stderr:.2f}",
            flush=True,
        )


def mislabelled(
    dataset: goldore.ImageDataset, per_class: int, share: float
) -> tuple[goldore.ImageDataset, np.ndarray]:
    """The first images of each class, some of them with another label; and which, bool [N]."""
    draw = np.random.default_rng(0)
    members = class_members(dataset.labels, dataset.num_classes)
    chosen = np.sort(np.concatenate([positions[:per_class] for positions in members]))
    labels = dataset.labels[chosen].copy()
    changed = np.zeros(len(chosen), dtype=bool)
    changed[draw.permutation(len(chosen))[: round(share * len(chosen))]] = True
    labels[changed] += draw.integers(1, dataset.num_classes, changed.sum())
    labels %= dataset.num_classes
    return replace(dataset, images=dataset.images[chosen], labels=labels, paths=None), changed


def auc(score: np.ndarray, positive: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Area under the ROC curve within classes, their mean: the chance that a changed sample scores higher."""
    found = []
    for members in class_members(labels, classes):
        bad, good = score[members][positive[members]], score[members][~positive[members]]
        found.append((bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean())
    return float(np.mean(found))


def correlations(first: np.ndarray, second: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Pearson correlation in each class."""
    return np.array([np.corrcoef(first[each], second[each])[0, 1] for each in class_members(labels, classes)])


if __name__ == "__main__":
    main()
