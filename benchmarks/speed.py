"""How fast trials run here: against a plain loop, and against what the machine could do.

The plain loop is written as the distillation repositories write theirs: float32, one network of torch.nn
modules, a DataLoader, the loss read every step. goldore runs as `goldore score` would: its own choice of
networks at once, layout, precision and compiling. Both train the same ConvNet on real images (the bundled
Fashion-MNIST sample, padded, repeated to three channels or enlarged) in the same run: compare the ratio.

The ceiling is the larger of two times: the operations of a training step at the rate of a large product, and
the fewest bytes that it must move at the rate of a large copy, both measured first. `make bench` runs it
small, on the CPU. `make bench-gpu` runs it on CUDA from a plain checkout, part by part, each a process that
is to end within ten minutes; `make bench-gpu-quick` is to fill the table of RESULTS.md in less than eight. No
row is begun once the budget is spent; those left out are named.
"""

import argparse
import math
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from goldore import ConvNetConfig, DistillRecipe, ImageDataset, LossRecipe, UtilityRecipe, load_dataset
from goldore.errors import GoldoreError
from goldore.networks.architecture import Architecture
from goldore.runs.job import complete_recipe
from goldore.training.devices import (
    default_precision,
    describe,
    keep_freed_memory,
    prepare_determinism,
    resolve_device,
    running_on,
)
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset, Images
from goldore.training.loop import forward
from goldore.training.stepping import Stepper
from goldore.training.subsets import EvaluationSet, SubsetTrainer
from goldore.training.tuning import Engine, Work, choose_engine, layout_words, layouts, seconds_per_image
from goldore.trials import Precision, Recipe
from goldore.trials.draws import Sweeps, make_strata
from goldore.trials.seeds import make_trials, make_utility_trials

# Passes over the output of a convolution that a step cannot do without, with norm, activation and pooling
# fused: written, read for the norm, read again backwards, its gradient written and read twice; the pooled
# quarter written and its gradient read.
PASSES = 6.5
SHAPES = {"32x32x3": (3, 32), "28x28x1": (1, 28), "64x64x3": (3, 64)}
WARM_UP = 3.0  # seconds of products before the first measurement: an idle card's clock is slow


class Machine:
    """The device, what it could do at most, and how to time it."""

    def __init__(self, name: str, repeats: int, budget: float) -> None:
        self.ends = time.monotonic() + budget
        self.device = resolve_device(name)
        self.repeats = repeats
        self.cuda = self.device.type == "cuda"
        if self.cuda:
            prepare_determinism(self.device)
            self._warm_up()
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

    def late(self, what: str) -> bool:
        """Whether time is up; says what is left out then."""
        if time.monotonic() < self.ends:
            return False
        print(f"  {what}: not measured, time is up", flush=True)
        return True

    def _warm_up(self) -> None:
        a = torch.randn(4096, 4096, device=self.device)
        ends = time.monotonic() + WARM_UP
        while time.monotonic() < ends:
            a @ a
            self._wait()

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
        width = 2 if self.precision == "bf16" else 4
        traffic = PASSES * width * architecture.activations() / self.copy
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
    parser.add_argument("--quick", action="store_true", help="only the rows of the table in RESULTS.md")
    parser.add_argument("--budget", type=float, default=math.inf, help="seconds after which no row is begun")
    parser.add_argument("--compile", default="auto", choices=["auto", "on", "off"])
    parser.add_argument("--only", default="loss,layouts,growth,utility,distill")
    arguments = parser.parse_args()
    keep = torch.device(arguments.device if arguments.device != "auto" else "cpu").type == "cpu"
    only = arguments.only.split(",")
    if "loss" in only and keep:
        measure_untouched_plain(arguments)  # before the process keeps its freed memory
    keep_freed_memory()
    try:
        machine = Machine(arguments.device, arguments.repeats, arguments.budget)
    except GoldoreError as error:
        raise SystemExit(f"not measured: {error}") from None
    if arguments.quick:
        measure_table(machine, arguments)
        return
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


@dataclass(frozen=True)
class Row:
    """What one setting reached: the plain loop (None: not measured), goldore, and how."""

    plain: float | None
    ours: float
    engine: Engine
    peak: float
    share: float | None = None
    limit: str = ""
    scored: float | None = None

    def table(self) -> str:
        """Cells of RESULTS.md: plain loop, goldore, ratio, share of the ceiling, peak memory."""
        cells = [
            f"{self.plain:,.0f}" if self.plain else "",
            f"{self.ours:,.0f}",
            f"{self.ours / self.plain:.2f}" if self.plain else "",
            f"{self.share:.0%}" if self.share else "",
            f"{self.peak:.1f} GiB",
        ]
        return " | ".join(cells)


def measure_table(machine: Machine, arguments: argparse.Namespace) -> None:
    """The rows of the table in RESULTS.md, as Markdown; the most important ones first."""
    print(
        "\n| | plain loop | goldore | ratio | share of the ceiling | peak memory |\n|---|---|---|---|---|---|"
    )
    fast = loss_line(machine, arguments, "32x32x3")
    size = 64 if machine.cuda else 8
    for method in (None, "dm", "dc"):
        kind = f"distil trials, {method}, 10 steps" if method else "utility trials"
        if not machine.late(kind):
            setting = UtilitySetting(machine, arguments, method)
            row = setting.row(size, plain=setting.plain() if method is None else None)
            print(f"| {kind}, {setting.words()}, an hour | {row.table()} |  {how(row.engine)}", flush=True)
    if fast is not None and not machine.late("price of --deterministic"):
        slow = loss_row(machine, arguments, "32x32x3", deterministic=True, plain=fast.plain)
        print(f"| price of `--deterministic`, 32x32x3 | | {fast.ours / slow.ours:.2f} times as long | | | |")
    for shape in ("28x28x1", "64x64x3"):
        loss_line(machine, arguments, shape)


def loss_line(machine: Machine, arguments: argparse.Namespace, shape: str) -> Row | None:
    """Loss trials as rows of the table; None if time is up."""
    if machine.late(shape):
        return None
    row, kind = loss_row(machine, arguments, shape), f"{shape}, width {arguments.width}, images/s"
    print(f"| loss trials, {kind} | {row.table()} |  {how(row.engine)}", flush=True)
    print(f"| their scoring, {kind} | | {row.scored:,.0f} | | | |", flush=True)
    return row


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
    architecture = complete.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, complete.mean or (), complete.std or (), machine_device)
    return data, architecture, complete


def plain_epoch(data: DeviceDataset, architecture: Architecture, recipe: Recipe) -> Callable[[], None]:
    """One epoch as the distillation repositories write it."""
    network = architecture.plain().to(data.device)
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
        if machine.late(shape):
            continue
        row = loss_row(machine, arguments, shape)
        plain = row.plain or math.nan
        print(
            f"  {shape}: plain loop {plain:,.0f}; goldore {row.ours:,.0f} ({row.ours / plain:.2f} x, "
            f"{row.share:.0%} of the ceiling by {row.limit}), scoring {row.scored:,.0f}; "
            f"peak {row.peak:.1f} GiB"
        )
        print(f"    {how(row.engine)}", flush=True)


def loss_row(
    machine: Machine,
    arguments: argparse.Namespace,
    shape: str,
    *,
    deterministic: bool = False,
    plain: float | None = None,
) -> Row:
    """Measure loss trials on images of one shape; the plain loop with torch's own settings of TF32."""
    samples = 1_024 if arguments.small else 20_000 if arguments.quick else 50_000
    samples //= SHAPES[shape][1] // 32 or 1
    dataset = images_of(shape, samples)
    recipe = LossRecipe(network=ConvNetConfig(width=arguments.width), epochs=1)
    data, architecture, complete = prepared(machine.device, dataset, recipe, machine.precision)
    plain = plain or samples / machine.seconds(plain_epoch(data, architecture, complete))
    with running_on(machine.device, deterministic=deterministic):
        engine = choose_engine(
            data,
            architecture,
            complete,
            long_run(dataset, complete),
            ensemble_size=None,
            compile_mode=arguments.compile,
            deterministic=deterministic,
        )
        machine.forget_peak()
        ours = engine.size * samples / machine.seconds(our_epoch(data, architecture, complete, engine))
        stepper = Stepper(architecture, complete, make_trials(0, range(engine.size)), data, engine.execution)

        def score() -> None:
            forward(
                stepper.networks,
                data,
                data.images,
                data.labels,
                lambda *_: None,
                execution=engine.execution,
                precision=machine.precision,
            )

        scored = engine.size * samples / machine.seconds(score)
    ceiling, limit = machine.ceiling(architecture)
    return Row(plain, ours, engine, machine.peak(), ours / ceiling, limit, scored)


def how(engine: Engine) -> str:
    """The choice in words."""
    execution = engine.execution
    return (
        f"{engine.size} at once, {layout_words(execution.layout)}"
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
        for layout in layouts(architecture, machine.device):
            if machine.late(str(layout)):
                continue
            execution = Execution(layout, graph=machine.cuda)
            with running_on(machine.device, deterministic=False):
                rates = [
                    1 / seconds_per_image(data, architecture, complete, size, batch, execution)
                    for size in sizes
                ]
            shown = "  ".join(f"{rate:10,.0f}" for rate in rates)
            print(f"  {layout_words(layout):32} {shown}", flush=True)


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
        if machine.late(f"{what} {value:,}"):
            continue
        with running_on(machine.device, deterministic=False):
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


class UtilitySetting:
    """Utility trials on subsets of 100 images, perhaps distilled first.

    Args:
        machine: to run on.
        arguments: of the command line.
        method: of distilling; None trains on the subsets themselves.
    """

    def __init__(self, machine: Machine, arguments: argparse.Namespace, method: str | None) -> None:
        self.machine, self.method, self.compile = machine, method, arguments.compile
        self.width = 16 if arguments.small else arguments.width
        self.steps, self.evaluated = (50, 1_000) if arguments.small else (300, 10_000)
        self.shape = "28x28x1" if arguments.small else "32x32x3"
        distill = DistillRecipe(method=method, distill_steps=10) if method else None  # type: ignore[arg-type]
        recipe = UtilityRecipe(network=ConvNetConfig(width=self.width), steps=self.steps, distill=distill)
        dataset = images_of(self.shape, 3_000)
        self.data, self.architecture, complete = prepared(machine.device, dataset, recipe, machine.precision)
        test_images, test_labels = dataset.test_images, dataset.test_labels
        if test_images is None or test_labels is None or not isinstance(complete, UtilityRecipe):
            raise SystemExit("the sample has no test split")
        self.recipe = complete
        rows = np.arange(self.evaluated) % len(test_labels)
        labels = torch.from_numpy(test_labels[rows]).to(machine.device)
        self.evaluation = EvaluationSet(Images(test_images[rows], machine.device), labels)
        self.strata = make_strata(dataset.labels, dataset.num_classes, 10, 1, 0)
        self.sweeps = Sweeps(self.strata, 0)

    def words(self) -> str:
        """What a trial is."""
        kind = "10 distilled images" if self.method else "100 images"
        return f"{kind}, {self.shape}, width {self.width}, {self.steps} steps, {self.evaluated:,} evaluated"

    def members(self, count: int) -> np.ndarray:
        """Subsets of some trials."""
        return np.stack([self.sweeps.subset(number) for number in range(count)])

    def plain(self) -> float:
        """Trials an hour of the plain loop."""
        count = 4
        work = plain_trials(self.data, self.architecture, self.recipe, self.members(count), self.evaluation)
        return count / self.machine.seconds(work) * 3600

    def row(self, size: int, plain: float | None) -> Row:
        """Measure so many networks at once."""
        batch = 100 if self.method is None else 10
        trained = batch * self.steps
        work = Work(
            batch, max(batch, 100), 100_000, trained, self.evaluated, 8, 64, compiles=self.method is None
        )
        with running_on(self.machine.device, deterministic=False):
            engine = choose_engine(
                self.data,
                self.architecture,
                self.recipe,
                work,
                ensemble_size=size,
                compile_mode=self.compile,
                deterministic=False,
            )
            self.machine.forget_peak()
            trainer = SubsetTrainer(self.data, self.architecture, self.recipe, engine.execution)
            trials, members = make_utility_trials(0, range(size), 1), self.members(size)
            seconds = self.machine.seconds(
                lambda: trainer.on_subsets(trials, members, self.strata.sizes, self.evaluation)
            )
        return Row(plain, size / seconds * 3600, engine, self.machine.peak())


def measure_utility(machine: Machine, arguments: argparse.Namespace, method: str | None) -> None:
    """Trials an hour, by the number of networks at once."""
    setting = UtilitySetting(machine, arguments, method)
    kind = f"{method} distilling, 10 steps, then " if method else ""
    print(f"\nutility trials, {kind}{setting.words()}: trials an hour")
    plain = setting.plain() if method is None else None
    if plain is not None:
        print(f"  plain loop   {plain:10,.0f}")
    for size in (1, 4, 8, 16) if not machine.cuda else (1, 8, 32, 64):
        if machine.late(f"{size} at once"):
            continue
        row = setting.row(size, plain)
        ratio = f"{row.ours / plain:6.2f} x" if plain else ""
        print(
            f"  {size:3} at once  {row.ours:10,.0f} {ratio}  peak {row.peak:.1f} GiB; {how(row.engine)}",
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
            network = architecture.plain().to(data.device)
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
