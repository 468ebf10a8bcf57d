"""Training on the CPU: the ensemble against a plain loop in the style of the distillation repositories.

The plain loop is float32, one network of torch.nn modules, a DataLoader, and a loss read every step. Both
train the same ConvNet on the bundled real images in the same run; compare the ratio, not the seconds.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from goldore import ImageDataset, load_dataset
from goldore.devices import keep_freed_memory
from goldore.ensemble import reference
from goldore.ensemble.convnet import Architecture, StackedConvNet
from goldore.ensemble.training import DeviceDataset, step
from goldore.recipe import ConvNetConfig, LossRecipe
from goldore.scoring import complete_recipe
from goldore.trials import make_trials

SIZES = (1, 2, 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=1024, help="an epoch's images, of the bundled dataset")
    arguments = parser.parse_args()
    dataset = _first(load_dataset(), arguments.images)
    print(
        f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads; "
        f"{dataset.name}, {dataset.num_samples:,} images; median of {arguments.repeats}"
    )
    for kept in (False, True):
        if kept:
            keep_freed_memory()
        print("freed memory kept by the process" if kept else "freed memory returned to the system")
        for width in arguments.widths:
            recipe = complete_recipe(LossRecipe(network=ConvNetConfig(width=width), epochs=1), dataset)
            architecture = Architecture(recipe.network, dataset.image_shape, dataset.num_classes)
            data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), torch.device("cpu"))
            plain = rate(plain_epoch(architecture, data, recipe), dataset.num_samples, arguments.repeats)
            print(f"  width {width:3}  plain loop   {plain:7,.0f} images/s")
            for size in SIZES:
                run = ensemble_epoch(architecture, data, recipe, size)
                stacked = rate(run, size * dataset.num_samples, arguments.repeats)
                ratio = stacked / plain
                print(f"  width {width:3}  ensemble {size:2}  {stacked:7,.0f} images/s  {ratio:5.2f} x")


def _first(dataset: ImageDataset, images: int) -> ImageDataset:
    return replace(dataset, images=dataset.images[:images], labels=dataset.labels[:images])


def rate(epoch: Callable[[], None], images: int, repeats: int) -> float:
    """Images a second, the median of some repeats after one for warming up."""
    epoch()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - start)
    return images / statistics.median(seconds)


def plain_epoch(architecture: Architecture, data: DeviceDataset, recipe: LossRecipe) -> Callable[[], None]:
    """One epoch as the distillation repositories write it."""
    network = reference.build(architecture)
    images = TensorDataset(data.normalize(data.images), data.labels)
    loader = DataLoader(images, batch_size=recipe.batch_size, shuffle=True)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        total = 0.0
        for batch, labels in loader:
            loss = criterion(network(batch), labels)
            total += loss.item() * len(labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def ensemble_epoch(
    architecture: Architecture, data: DeviceDataset, recipe: LossRecipe, size: int
) -> Callable[[], None]:
    """One epoch of `size` networks at once, each in its own order, as goldore's trainer does it."""
    networks = StackedConvNet(architecture, make_trials(0, range(size)), data.device)
    optimizer = torch.optim.SGD(
        networks.parameters.values(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )

    def epoch() -> None:
        order = torch.stack([torch.randperm(len(data.labels)) for _ in range(size)], dim=1)
        for batch in torch.split(order, recipe.batch_size):
            step(networks, optimizer, data, batch)

    return epoch


if __name__ == "__main__":
    main()
