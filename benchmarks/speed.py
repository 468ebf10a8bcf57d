"""How fast trials run here: against a plain loop, and against what the machine could do.

The plain loop is written as the distillation repositories write theirs: float32, one network of torch.nn
modules, a DataLoader, the loss read every step. goldore runs as `goldore score` would: its own choice of
networks at once, layout, precision and compiling. Both train the same ConvNet on real images (the bundled
Fashion-MNIST sample, padded, repeated to three channels or enlarged) in the same run: compare the ratio.

The ceiling is the larger of two times: the operations of a training step at the rate of a large product, and
the fewest bytes that it must move at the rate of a large copy, both measured first. `make bench` runs it
small, on the CPU; `make bench-gpu` runs it on CUDA from a plain checkout.
"""

import argparse
import math
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from goldore import ConvNetConfig, DistillRecipe, ImageDataset, LossRecipe, UtilityRecipe, load_dataset
from goldore.devices import default_precision, describe, keep_freed_memory, resolve_device, running_on
from goldore.draws import Sweeps, make_strata
from goldore.ensemble import reference
from goldore.ensemble.convnet import Architecture
from goldore.ensemble.execution import Execution
from goldore.ensemble.images import DeviceDataset, Images
from goldore.ensemble.stepping import Stepper
from goldore.ensemble.subsets import EvaluationSet, SubsetTrainer
from goldore.ensemble.training import forward
from goldore.ensemble.tuning import Engine, Work, choose_engine, layouts, seconds_per_image
from goldore.errors import GoldoreError
from goldore.recipe import Precision, Recipe
from goldore.scoring import complete_recipe
from goldore.trials import make_trials, make_utility_trials

# Passes over the output of a convolution that a step cannot do without, with norm, activation and pooling
# fused: written, read for the norm, read again backwards, its gradient written and read twice; the pooled
# quarter written and its gradient read.
PASSES = 6.5
SHAPES = {"32x32x3": (3, 32), "28x28x1": (1, 28), "64x64x3": (3, 64)}


class Machine:
    """The device, what it could do at most, and how to time it."""

    def __init__(self, name: str, repeats: int) -> None:
        self.device = resolve_device(name)
        self.repeats = repeats
        self.cuda = self.device.type == "cuda"
        self.precision: Precision = default_precision(self.device)
        size = 2**28 if self.cuda else 2**25
        self.copy = 2 * 4 * size / self.seconds(self._copying(size))  # bytes a second
        self.product: dict[Precision, float] = {}
        kinds: dict[Precision, torch.dtype] = {"float32": torch.float32}
        if self.precision == "bf16":
            kinds["bf16"] = torch.bfloat16
        side = 8192 if self.cuda else 2048
        for kind, dtype in kinds.items():
            a, b = (torch.randn(side, side, device=self.device).to(dtype) for _ in range(2))
            self.product[kind] = 2 * side**3 / self.seconds(lambda a=a, b=b: a @ b)
        print(
            f"{describe(self.device)}, torch {torch.__version__}, {platform.machine()}; copy "
            f"{self.copy / 1e9:,.0f} GB/s, products "
            + ", ".join(f"{kind} {rate / 1e12:,.2f} TFLOP/s" for kind, rate in self.product.items())
            + f"; goldore trains in {self.precision}, medians of {repeats}"
        )

    def _copying(self, size: int) -> Callable[[], object]:
        source = torch.rand(size, device=self.device)
        target = torch.empty_like(source)
        return lambda: target.copy_(source)

    def seconds(self, work: Callable[[], object]) -> float:
        """Median of some repeats, after one for warming up."""
        work()
        self._wait()
        found = []
        for _ in range(self.repeats):
            start = time.perf_counter()
            work()
            self._wait()
            found.append(time.perf_counter() - start)
        return statistics.median(found)

    def ceiling(self, architecture: Architecture) -> tuple[float, str]:
        """Images a second that could be trained at most, and what limits them."""
        blocks = (math.prod(architecture.block_size(block)) for block in range(architecture.depth))
        width = 2 if self.precision == "bf16" else 4
        traffic = PASSES * width * architecture.config.width * sum(blocks) / self.copy
        arithmetic = 3 * architecture.forward_operations() / self.product[self.precision]
        return 1 / max(traffic, arithmetic), "memory" if traffic > arithmetic else "arithmetic"

    def peak(self) -> float:
        """Most memory in use, GiB: of the card in this row, or of the process so far."""
        if self.cuda:
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def forget_peak(self) -> None:
        """Begin to count anew, where that can be done."""
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--small", action="store_true", help="minutes on two cores")
    parser.add_argument("--compile", default="auto", choices=["auto", "on", "off"])
    parser.add_argument("--only", default="loss,layouts,growth,utility,distill")
    arguments = parser.parse_args()
    keep = torch.device(arguments.device if arguments.device != "auto" else "cpu").type == "cpu"
    only = arguments.only.split(",")
    if "loss" in only and keep:
        measure_untouched_plain(arguments)  # before the process keeps its freed memory
    keep_freed_memory()
    try:
        machine = Machine(arguments.device, arguments.repeats)
    except GoldoreError as error:
        raise SystemExit(f"not measured: {error}") from None
    with running_on(machine.device, deterministic=False):
        if "loss" in only:
            measure_loss(machine, arguments)
        if "layouts" in only:
            measure_layouts(machine, arguments)
        if "growth" in only:
            measure_growth(machine, arguments)
        if "utility" in only:
            measure_utility(machine, arguments, None)
        if "distill" in only:
            for method in ("dm", "dc"):
                measure_utility(machine, arguments, method)


def images_of(shape: str, samples: int) -> ImageDataset:
    """Real images of this shape: the bundled sample, padded or enlarged, repeated if need be."""
    channels, side = SHAPES[shape]
    sample = load_dataset()
    rows = np.arange(samples) % sample.num_samples

    def shaped(images: np.ndarray) -> np.ndarray:
        if side == 28:
            return images
        padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
        enlarged = padded.repeat(side // 32, axis=2).repeat(side // 32, axis=3)
        return np.ascontiguousarray(enlarged.repeat(channels, axis=1))

    if sample.test_images is None:
        raise SystemExit("the sample has no test split")
    return replace(
        sample,
        images=shaped(sample.images)[rows],
        labels=sample.labels[rows],
        test_images=shaped(sample.test_images),
    )


def prepared(
    machine_device: torch.device, dataset: ImageDataset, recipe: Recipe, precision: Precision
) -> tuple[DeviceDataset, Architecture, Recipe]:
    """The dataset on its device, the architecture, and the recipe with nothing left open."""
    complete = complete_recipe(recipe, dataset, precision)
    architecture = Architecture(complete.network, dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, complete.mean or (), complete.std or (), machine_device)
    return data, architecture, complete


def plain_epoch(data: DeviceDataset, architecture: Architecture, recipe: Recipe) -> Callable[[], None]:
    """One epoch as the distillation repositories write it."""
    network = reference.build(architecture).to(data.device)
    images = data.normalize(data.images.run(0, len(data.images))).cpu()
    loader = DataLoader(TensorDataset(images, data.labels.cpu()), batch_size=recipe.batch_size, shuffle=True)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    criterion = nn.CrossEntropyLoss().to(data.device)

    def epoch() -> None:
        total = 0.0
        for batch, labels in loader:
            here = labels.to(data.device)
            loss = criterion(network(batch.to(data.device)), here)
            total += loss.item() * len(labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def our_epoch(
    data: DeviceDataset, architecture: Architecture, recipe: Recipe, engine: Engine
) -> Callable[[], None]:
    """One epoch of all networks at once, each in an order of its own, as goldore trains."""
    stepper = Stepper(architecture, recipe, make_trials(0, range(engine.size)), data, engine.execution)
    draw = np.random.default_rng(0)
    samples = len(data.labels)

    def epoch() -> None:
        orders = np.stack([draw.permutation(samples) for _ in range(engine.size)], axis=1)
        order = torch.from_numpy(orders).to(data.index_device)
        for start in range(0, samples, recipe.batch_size):
            stepper(*data.batch(order[start : start + recipe.batch_size]))
        stepper.loss_sum.cpu()

    return epoch


def long_run(dataset: ImageDataset, recipe: Recipe, cuda_networks: int = 16) -> Work:
    """Ten trials of fifty epochs on 50,000 images, which is what compiling is judged by."""
    batch = min(recipe.batch_size, dataset.num_samples)
    return Work(batch, batch, 10, 50 * 50_000, 10 * 50_000, 1, cuda_networks)


def measure_untouched_plain(arguments: argparse.Namespace) -> None:
    """The plain loop in a process whose freed memory goes back to the system, as a user's own would."""
    dataset = images_of("32x32x3", 1024)
    recipe = LossRecipe(network=ConvNetConfig(width=arguments.width), epochs=1)
    data, architecture, complete = prepared(torch.device("cpu"), dataset, recipe, "float32")
    epoch = plain_epoch(data, architecture, complete)
    epoch()
    found = []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        epoch()
        found.append(time.perf_counter() - start)
    rate = dataset.num_samples / statistics.median(found)
    print(f"plain loop, 32x32x3, freed memory returned to the system: {rate:,.0f} images/s")


def measure_loss(machine: Machine, arguments: argparse.Namespace) -> None:
    """Images a second of loss trials, trained and scored."""
    print(f"\nloss trials, width {arguments.width}: images a second over all networks")
    for shape in SHAPES:
        samples = (512 if shape == "64x64x3" else 1024) if arguments.small else 50_000
        dataset = images_of(shape, samples)
        recipe = LossRecipe(network=ConvNetConfig(width=arguments.width), epochs=1)
        data, architecture, complete = prepared(machine.device, dataset, recipe, machine.precision)
        plain = samples / machine.seconds(plain_epoch(data, architecture, complete))
        engine = choose_engine(
            data,
            architecture,
            complete,
            long_run(dataset, complete),
            ensemble_size=None,
            compile_mode=arguments.compile,
            deterministic=False,
        )
        machine.forget_peak()
        ours = engine.size * samples / machine.seconds(our_epoch(data, architecture, complete, engine))
        ceiling, limit = machine.ceiling(architecture)
        stepper = Stepper(architecture, complete, make_trials(0, range(engine.size)), data, engine.execution)

        def score(data: DeviceDataset = data, stepper: Stepper = stepper, engine: Engine = engine) -> None:
            forward(
                stepper.networks, data, data.images, data.labels, lambda *_: None, execution=engine.execution
            )

        scored = engine.size * samples / machine.seconds(score)
        print(
            f"  {shape}: plain loop {plain:,.0f}; goldore {ours:,.0f} ({ours / plain:.2f} x, "
            f"{ours / ceiling:.0%} of the ceiling by {limit}), scoring {scored:,.0f}; "
            f"peak {machine.peak():.1f} GiB"
        )
        print(f"    {how(engine)}", flush=True)


def how(engine: Engine) -> str:
    """The choice in words."""
    execution = engine.execution
    layout = execution.layout
    return (
        f"{engine.size} at once, {layout.convolution} convolution"
        + (", channels last" if layout.channels_last else "")
        + (", compiled" if execution.compiled else "")
        + (", CUDA graph" if execution.graph else "")
    )


def measure_layouts(machine: Machine, arguments: argparse.Namespace) -> None:
    """Every way to compute the networks: images a second over all of them, uncompiled."""
    for width, batch in ((16, 10), (16, 256), (arguments.width, 256)):
        sizes = (1, 4, 16) if not arguments.small else (1, 4) if width == 16 else (1,)
        dataset = images_of("28x28x1" if arguments.small else "32x32x3", 1024)
        recipe = LossRecipe(network=ConvNetConfig(width=width), epochs=1)
        data, architecture, complete = prepared(machine.device, dataset, recipe, machine.precision)
        print(f"\nlayouts, width {width}, batches of {batch}, networks at once {sizes}: images a second")
        for layout in layouts(complete):
            execution = Execution(layout, graph=machine.cuda)
            rates = [
                1 / seconds_per_image(data, architecture, complete, size, batch, execution) for size in sizes
            ]
            order = ", channels last" if layout.channels_last else ""
            shown = "  ".join(f"{rate:10,.0f}" for rate in rates)
            print(f"  {layout.convolution + order:24} {shown}", flush=True)


def measure_growth(machine: Machine, arguments: argparse.Namespace) -> None:
    """How the seconds of an epoch grow with samples, width and the networks at once."""
    print("\nan epoch of 28x28x1, uncompiled: seconds, and images a second over all networks")
    base = 1024 if arguments.small else 20_000
    widths = (16, 32, 64) if arguments.small else (32, 64, 128, 256)
    sizes = (1, 2, 4) if arguments.small else (1, 2, 4, 8, 16)
    rows = [("samples", base * factor, base * factor, 32, 1) for factor in (1, 2, 4)]
    rows += [("trials", trials, base, 32, 1) for trials in (1, 2, 4)]
    rows += [("width", width, base, width, 1) for width in widths]
    rows += [("networks", size, base, 32, size) for size in sizes]
    for what, value, samples, width, size in rows:
        dataset = images_of("28x28x1", samples)
        recipe = LossRecipe(network=ConvNetConfig(width=width), epochs=1)
        data, architecture, complete = prepared(machine.device, dataset, recipe, machine.precision)
        engine = choose_engine(
            data,
            architecture,
            complete,
            long_run(dataset, complete),
            ensemble_size=size,
            compile_mode="off",
            deterministic=False,
        )
        epoch, times = our_epoch(data, architecture, complete, engine), value if what == "trials" else 1
        seconds = machine.seconds(lambda epoch=epoch, times=times: [epoch() for _ in range(times)])
        rate = times * size * samples / seconds
        print(f"  {what:8} {value:7,}  {seconds:8.3f} s  {rate:11,.0f} images/s", flush=True)


def measure_utility(machine: Machine, arguments: argparse.Namespace, method: str | None) -> None:
    """Trials an hour on subsets of 100 images, by the number of networks at once."""
    width = 16 if arguments.small else arguments.width
    steps, evaluated = (50, 1_000) if arguments.small else (300, 10_000)
    distill = DistillRecipe(method=method, distill_steps=10) if method else None  # type: ignore[arg-type]
    recipe = UtilityRecipe(network=ConvNetConfig(width=width), steps=steps, distill=distill)
    shape = "28x28x1" if arguments.small else "32x32x3"
    dataset = images_of(shape, 3_000)
    data, architecture, complete = prepared(machine.device, dataset, recipe, machine.precision)
    test_images, test_labels = dataset.test_images, dataset.test_labels
    if test_images is None or test_labels is None or not isinstance(complete, UtilityRecipe):
        raise SystemExit("the sample has no test split")
    rows = np.arange(evaluated) % len(test_labels)
    labels = torch.from_numpy(test_labels[rows]).to(machine.device)
    evaluation = EvaluationSet(Images(test_images[rows], machine.device), labels)
    strata = make_strata(dataset.labels, dataset.num_classes, 10, 1, 0)
    sweeps = Sweeps(strata, 0)
    kind = f"{method} distilling, 10 steps, then training on 10 images" if method else "100 images"
    print(
        f"\nutility trials, {kind}, width {width}, {shape}, {steps} steps, evaluated on {evaluated:,} "
        "images: trials an hour"
    )
    plain = None
    if method is None:
        count = 4
        members = np.stack([sweeps.subset(number) for number in range(count)])
        plain = (
            count / machine.seconds(plain_trials(data, architecture, complete, members, evaluation)) * 3600
        )
        print(f"  plain loop   {plain:10,.0f}")
    sizes = (1, 4, 8, 16) if not machine.cuda else (1, 8, 32, 64)
    for size in sizes:
        members = np.stack([sweeps.subset(number) for number in range(size)])
        batch = 100 if method is None else 10
        work = Work(batch, max(batch, 100), 100_000, batch * steps, evaluated, 8, 64, compiles=method is None)
        engine = choose_engine(
            data,
            architecture,
            complete,
            work,
            ensemble_size=size,
            compile_mode=arguments.compile,
            deterministic=False,
        )
        machine.forget_peak()
        trainer = SubsetTrainer(data, architecture, complete, engine.execution)
        trials = make_utility_trials(0, range(size), 1)

        def run(
            trainer: SubsetTrainer = trainer,
            trials: list = trials,  # type: ignore[type-arg]
            members: np.ndarray = members,
        ) -> None:
            trainer.on_subsets(trials, members, strata.sizes, evaluation)

        rate = size / machine.seconds(run) * 3600
        ratio = f"{rate / plain:6.2f} x" if plain else ""
        print(
            f"  {size:3} at once  {rate:10,.0f} {ratio}  peak {machine.peak():.1f} GiB; {how(engine)}",
            flush=True,
        )


def plain_trials(
    data: DeviceDataset,
    architecture: Architecture,
    recipe: UtilityRecipe,
    members: np.ndarray,
    evaluation: EvaluationSet,
) -> Callable[[], None]:
    """One network after the other, as a repository would write it."""

    def work() -> None:
        for subset in members:
            network = reference.build(architecture).to(data.device)
            optimizer = torch.optim.SGD(
                network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
            )
            chosen = torch.from_numpy(subset).to(data.index_device)
            images, labels = data.normalize(data.images.take(chosen)), data.labels[chosen.to(data.device)]
            for _ in range(recipe.steps):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(images), labels)
                loss.backward()
                optimizer.step()
                loss.item()
            with torch.no_grad():
                for start in range(0, len(evaluation.labels), 256):
                    logits = network(data.normalize(evaluation.images.run(start, start + 256)))
                    (logits.argmax(1) == evaluation.labels[start : start + 256]).sum().item()

    return work


if __name__ == "__main__":
    main()
