"""KernelUtility of a made-up dataset of ImageNet's size: time by its parts, and memory.

All images are looked at by one group of untrained networks. Of the evaluation images only some are asked
about; the time for 50 of each class is extrapolated. Random images: their values mean nothing.
"""

import argparse
import resource
import time

import numpy as np
import torch

import goldore
from goldore.runs.evaluation import test_set
from goldore.training.devices import keep_freed_memory, resolve_device
from goldore.training.embedding import Untrained
from goldore.training.exact import chances, images_at_once, similarities
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.trials.seeds import group_of, make_kernel_trials

_EVALUATED = 50  # images of each class in ImageNet's validation set


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_281_167)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--subset-per-class", type=int, default=1)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    keep_freed_memory()
    device = resolve_device(arguments.device)
    dataset = made_up(arguments.samples, arguments.classes, arguments.side)
    network = goldore.ConvNetConfig(width=arguments.width).for_images(arguments.side, arguments.side)
    architecture = network.architecture(dataset.image_shape, dataset.num_classes)
    recipe = goldore.KernelUtilityRecipe(
        network=network, mean=(0.5,) * 3, std=(0.25,) * 3, networks=arguments.networks, precision="bf16"
    )
    data = DeviceDataset(dataset, recipe.mean or (), recipe.std or (), device)
    print(
        f"{dataset.num_samples:,} images of {arguments.side} pixels in {dataset.num_classes:,} classes, "
        f"{arguments.networks} networks of width {arguments.width}, {memory()} before"
    )
    start = time.perf_counter()
    group = group_of(make_kernel_trials(0, [0])[0], arguments.networks)
    untrained = Untrained(data, architecture, recipe, group, Execution())
    features = untrained.of(data.images, torch.float16, lambda _: None)
    embedding = time.perf_counter() - start
    print(f"features [{len(features):,}, {features.shape[1]:,}]: {embedding:.0f} s, {memory()}", flush=True)
    order = np.argsort(dataset.labels, kind="stable")
    sizes = np.bincount(dataset.labels, minlength=dataset.num_classes).tolist()
    shown = untrained.of(test_set(dataset, data, None).images, torch.float32)
    at_once = images_at_once(len(order))
    seconds = []
    for label in range(arguments.batches):
        start = time.perf_counter()
        some = shown[label * _EVALUATED : (label + 1) * _EVALUATED][:at_once]
        found = chances(
            similarities(some, features, torch.from_numpy(order).to(features.device)),
            sizes,
            label,
            arguments.subset_per_class,
        )
        found.mean().item()  # waits for the device
        seconds.append(time.perf_counter() - start)
    each = float(np.median(seconds)) / len(some)
    total = embedding + each * _EVALUATED * dataset.num_classes
    print(
        f"{len(some)} evaluation images at once, {each:.3f} s each, {memory()}; a group with all "
        f"{_EVALUATED * dataset.num_classes:,} of them would take {total / 3600:.1f} hours"
    )


def made_up(samples: int, classes: int, side: int) -> goldore.ImageDataset:
    """Random images; the test split has 50 of each class."""
    draw = np.random.default_rng(0)
    tests = classes * _EVALUATED
    return goldore.ImageDataset(
        name="made up",
        images=draw.integers(0, 256, (samples, 3, side, side), dtype=np.uint8),
        labels=np.arange(samples, dtype=np.int64) % classes,
        class_names=tuple(map(str, range(classes))),
        source="made up",
        test_images=draw.integers(0, 256, (tests, 3, side, side), dtype=np.uint8),
        test_labels=np.repeat(np.arange(classes), _EVALUATED),
    )


def memory() -> str:
    """The most that this process has held so far."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


if __name__ == "__main__":
    main()
