"""Does the distillation inside `--trial distill` work? Synthetic against randomly chosen real images.

Distils a whole training set into one image of each class (or more), trains fresh networks on it, and prints
their test accuracy beside that of networks trained on as many randomly chosen real images. The tables of the
papers, one image of each class, ConvNet of width 128: DC 91.7 on MNIST, 70.5 on FashionMNIST, 28.3 on
CIFAR10; DM 89.7 on MNIST, 26.0 on CIFAR10 (both with far more steps than are usual here).
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

import goldore
from goldore.datasets.classes import class_members
from goldore.runs.job import complete_recipe
from goldore.training.devices import describe, keep_freed_memory, resolve_device
from goldore.training.distill import Distiller
from goldore.training.images import DeviceDataset
from goldore.training.subsets import EvaluationSet, SubsetTrainer
from goldore.trials.seeds import make_utility_trials


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--methods", nargs="+", default=["dm", "dc"])
    parser.add_argument("--distill-steps", type=int, default=100)
    parser.add_argument("--real-batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--images-per-class", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    keep_freed_memory()
    device = resolve_device(arguments.device)
    dataset = goldore.load_dataset(arguments.dataset, data_root=arguments.data_root)
    network = goldore.ConvNetConfig(width=arguments.width)
    recipe = complete_recipe(goldore.UtilityRecipe(network=network, steps=arguments.steps), dataset)
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), device)
    if data.test is None:
        raise SystemExit("the dataset needs a test split")
    evaluation = EvaluationSet(*data.test)
    classes = class_members(dataset.labels, dataset.num_classes)
    each = min(len(members) for members in classes)
    count, repeats = arguments.images_per_class, arguments.repeats
    print(
        f"{dataset.name}, {count} image(s) a class, width {arguments.width}, {arguments.steps} steps of "
        f"training, {arguments.distill_steps} of distilling with {arguments.real_batch} real images a class, "
        f"torch {torch.__version__}, {describe(device)}"
    )
    draw = np.random.default_rng(0)
    trials = make_utility_trials(0, range(repeats), 1)
    drawn = [
        np.concatenate([draw.choice(members, count, replace=False) for members in classes]) for _ in trials
    ]
    chosen = torch.from_numpy(np.stack(drawn, axis=1)).to(device)
    trainer = SubsetTrainer(data, architecture, recipe)
    show("real images", trainer.on_images(trials, *data.batch(chosen), evaluation))
    means = [part.mean(0) for part in _normalized(data, classes, count)]
    synthetic, labels = torch.stack(means), torch.arange(dataset.num_classes).repeat_interleave(count)
    copies = (
        synthetic[:, None].expand(-1, repeats, -1, -1, -1),
        labels.to(device)[:, None].expand(-1, repeats),
    )
    show("class means", trainer.on_images(trials, *copies, evaluation))
    whole = np.concatenate([draw.permutation(members)[:each] for members in classes])[None]
    sizes = np.full(dataset.num_classes, each)
    for method in arguments.methods:
        how = goldore.DistillRecipe(
            method=method,
            distill_steps=arguments.distill_steps,
            real_batch=arguments.real_batch,
            images_per_class=count,
        )
        start = time.perf_counter()
        synthetic, labels = Distiller(data, architecture, how)(trials[:1], whole, sizes)
        spent = time.perf_counter() - start
        copies = synthetic.expand(-1, repeats, -1, -1, -1), labels[:, None].expand(-1, repeats)
        outcomes = trainer.on_images(trials, *copies, evaluation)
        show(f"{method} ({spent:.0f} s)", outcomes)


def _normalized(data: DeviceDataset, classes: list[np.ndarray], count: int) -> Iterator[torch.Tensor]:
    """The shares of each class's images whose means distilling starts from."""
    for members in classes:
        for part in np.array_split(members, count):
            yield data.normalize(data.images.take(torch.from_numpy(part)))


def show(what: str, outcomes: object) -> None:
    """Print the mean test accuracy over the repeats."""
    accuracy = outcomes.by_class["accuracy"].mean(axis=1)  # type: ignore[attr-defined]
    print(f"  {what:16} {accuracy.mean():.1%} +- {accuracy.std(ddof=1):.1%}", flush=True)


if __name__ == "__main__":
    main()
