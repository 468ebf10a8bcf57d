"""Utility trials an hour on this machine, by the number of networks trained at once.

Each trial trains on one image of every class of the bundled sample (ten images, 50 full-batch steps) and is
evaluated on 1,000 test images. The plain loop trains one network of torch.nn modules after the other, as a
repository would write it.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from goldore import ConvNetConfig, UtilityRecipe, load_dataset
from goldore.devices import keep_freed_memory
from goldore.draws import Sweeps, make_strata
from goldore.ensemble import reference
from goldore.ensemble.convnet import Architecture
from goldore.ensemble.subsets import EvaluationSet, train_on_subsets
from goldore.ensemble.training import DeviceDataset
from goldore.scoring import complete_recipe
from goldore.trials import make_utility_trials

SIZES = (1, 2, 4, 8, 16)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--trials", type=int, default=16, help="in each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    keep_freed_memory()
    dataset = load_dataset()
    print(
        f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads; "
        f"{dataset.name}, {arguments.trials} trials a measurement, median of {arguments.repeats}"
    )
    strata = make_strata(dataset.labels, dataset.num_classes, 1, 1, 0)
    sweeps = Sweeps(strata, 0)
    members = np.stack([sweeps.subset(number) for number in range(arguments.trials)])
    for width in arguments.widths:
        recipe = complete_recipe(UtilityRecipe(network=ConvNetConfig(width=width)), dataset)
        architecture = Architecture(recipe.network, dataset.image_shape, dataset.num_classes)
        data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), torch.device("cpu"))
        if data.test is None:
            raise SystemExit("the dataset needs a test split")
        evaluation = EvaluationSet(*data.test)
        plain = rate(plain_trials(architecture, data, recipe, members), len(members), arguments.repeats)
        print(f"  width {width:3}  plain loop   {plain:8,.0f} trials/hour")
        for size in SIZES:
            stacked = rate(
                stacked_trials(architecture, data, recipe, members, evaluation, size),
                len(members),
                arguments.repeats,
            )
            print(
                f"  width {width:3}  {size:2} at once   {stacked:8,.0f} trials/hour  {stacked / plain:5.2f} x"
            )


def rate(work: Callable[[], None], trials: int, repeats: int) -> float:
    """Trials an hour, the median of some repeats after one for warming up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return trials / statistics.median(seconds) * 3600


def plain_trials(
    architecture: Architecture, data: DeviceDataset, recipe: UtilityRecipe, members: np.ndarray
) -> Callable[[], None]:
    """One network after the other."""
    test_images, test_labels = data.test or (data.images, data.labels)

    def work() -> None:
        for subset in members:
            network = reference.build(architecture)
            optimizer = torch.optim.SGD(
                network.parameters(),
                lr=recipe.lr,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
            )
            chosen = torch.from_numpy(subset)
            images, labels = data.normalize(data.images[chosen]), data.labels[chosen]
            for _ in range(recipe.steps):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(images), labels)
                loss.backward()
                optimizer.step()
                loss.item()
            with torch.no_grad():
                for start in range(0, len(test_labels), 256):
                    logits = network(data.normalize(test_images[start : start + 256]))
                    (logits.argmax(1) == test_labels[start : start + 256]).sum().item()

    return work


def stacked_trials(
    architecture: Architecture,
    data: DeviceDataset,
    recipe: UtilityRecipe,
    members: np.ndarray,
    evaluation: EvaluationSet,
    size: int,
) -> Callable[[], None]:
    """`size` networks at once, as goldore does it."""
    sizes = np.ones(architecture.num_classes, dtype=np.int64)

    def work() -> None:
        for start in range(0, len(members), size):
            group = members[start : start + size]
            trials = make_utility_trials(0, range(start, start + len(group)), 1)
            train_on_subsets(data, architecture, recipe, trials, group, sizes, evaluation)

    return work


if __name__ == "__main__":
    main()
