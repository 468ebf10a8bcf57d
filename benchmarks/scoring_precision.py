"""How far does a scoring pass in bf16 or TF32 move the ranks of the loss scores?

Scoring passes run in float32. On a card bf16 or TF32 would be faster, and loses digits. This
trains networks, computes the losses of all samples of the same networks in every precision, and prints for
LossInit and LossConverge how the ranks within classes agree with those of float32, beside what another seed
changes: a precision serves where it changes far less than the seed does. It also counts the samples whose
highest logit is tied, which makes "classified correctly" ambiguous.

The precisions are emulated, so that any CPU will do. Convolutions get rounded operands and accumulate in
float32, as tensor cores do; in bf16 the output of every layer is rounded too. A check against torch's own
bf16 kernels is printed first.

* tf32: operands of convolutions rounded to 10 bits of mantissa; all else float32.
* bf16 + float32 head: features in bf16, then a float32 linear layer with its float32 parameters.
* bf16: the linear layer and its logits too.
* bf16, old norm + float32 head: group norm also rounds its statistics to bf16, as CUDA's does in the torch
  releases before pytorch/pytorch pull request 183946 (May 2026).

Nothing but the default ConvNet is emulated: instance norm, ReLU and average pooling.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import goldore
from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks
from goldore.scores.estimators import class_members, mean_over_trials, spearman
from goldore.scores.predictions import Predictions
from goldore.scores.recorders import Mean
from goldore.selection.amount import make_amount
from goldore.selection.pruning import chance_overlap, choose_samples, overlap_of
from goldore.training.devices import keep_freed_memory
from goldore.training.execution import Execution, logits_function
from goldore.training.images import DeviceDataset, Images
from goldore.training.stepping import Stepper, weight_draws
from goldore.trials.seeds import Stream, Trial, make_trials

Rounding = Callable[[Tensor], Tensor]
SCORES = ("LossInit", "LossConverge")
KEPT = ("0.1", "0.5")
EXACT = "float32"
BATCH = 64  # images of a scoring pass at once
CPU = torch.device("cpu")
EPSILON = 1e-5  # of the norm
HEAD = "precision                         "


def as_it_is(x: Tensor) -> Tensor:
    """No rounding."""
    return x


def to_bf16(x: Tensor) -> Tensor:
    """Round to 7 bits of mantissa, to nearest even."""
    return x.to(torch.bfloat16).float()


def to_tf32(x: Tensor) -> Tensor:
    """Round to 10 bits of mantissa, to nearest even."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


@dataclass(frozen=True)
class Body:
    """How convolutions and norms compute.

    Attributes:
        operands: rounding of what convolutions multiply.
        outputs: rounding of every layer's output, and of biases and the norms' parameters.
        statistics: rounding of the norms' mean and inverse deviation.
        bias_apart: whether biases are added to rounded outputs of convolutions, as torch does with cuDNN.
    """

    operands: Rounding = as_it_is
    outputs: Rounding = as_it_is
    statistics: Rounding = as_it_is
    bias_apart: bool = False


_BF16 = Body(to_bf16, to_bf16, bias_apart=True)
_OLD = replace(_BF16, statistics=to_bf16)
_CPU_BF16 = replace(_BF16, bias_apart=False)
PRECISIONS: dict[str, tuple[Body, Rounding]] = {  # the body, and the rounding in the head
    EXACT: (Body(), as_it_is),
    "tf32": (Body(operands=to_tf32), as_it_is),
    "bf16 + float32 head": (_BF16, as_it_is),
    "bf16": (_BF16, to_bf16),
    "bf16, old norm + float32 head": (_OLD, as_it_is),
}


def all_logits(network: StackedNetworks, images: Tensor) -> dict[str, Tensor]:
    """Logits float32 [1, B, K] of one network by precision.

    Args:
        network: E is 1.
        images: normalised, float32 [B, C, H, W].
    """
    features = {body: features_in(body, network, images) for body, _ in PRECISIONS.values()}
    return {name: headed(rounding, network, features[body]) for name, (body, rounding) in PRECISIONS.items()}


def headed(rounding: Rounding, network: StackedNetworks, features: Tensor) -> Tensor:
    """Logits float32 [1, B, K], with rounded parameters and output."""
    weight, bias = (network.parameters[f"head.{kind}"][0] for kind in ("weight", "bias"))
    return rounding(F.linear(features, rounding(weight), rounding(bias)))[None]


def features_in(body: Body, network: StackedNetworks, images: Tensor) -> Tensor:
    """What the head gets, float32 [B, features], computed as the body says."""
    architecture, x = network.architecture, images
    for block in range(architecture.depth):
        kernel, shift, weight, bias = (
            network.parameters[f"{name}{block}.{kind}"][0]
            for name in ("conv", "norm")
            for kind in ("weight", "bias")
        )
        padding = (architecture.block_size(block)[0] - x.shape[2]) // 2 + 1
        x = convolved(body, x, kernel, shift, padding)
        x = body.outputs(normed(body, x, body.outputs(weight), body.outputs(bias)))
        x = body.outputs(F.avg_pool2d(F.relu(x), 2))  # ReLU needs no rounding
    return x.flatten(1)


def convolved(body: Body, x: Tensor, kernel: Tensor, shift: Tensor, padding: int) -> Tensor:
    """A convolution, accumulated in float32."""
    x, kernel, shift = body.operands(x), body.operands(kernel), body.outputs(shift)
    if not body.bias_apart:
        return body.outputs(F.conv2d(x, kernel, shift, padding=padding))
    return body.outputs(body.outputs(F.conv2d(x, kernel, padding=padding)) + shift.view(-1, 1, 1))


def normed(body: Body, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Instance norm, in float32 but for its statistics."""
    if body.statistics is as_it_is:
        return F.group_norm(x, x.shape[1], weight, bias)
    variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
    scale = body.statistics(torch.rsqrt(variance + EPSILON)) * weight.view(-1, 1, 1)
    return x * scale + (bias.view(-1, 1, 1) - scale * body.statistics(mean))


@dataclass(frozen=True)
class Outcome:
    """How many evaluated images one network, in one precision, classifies correctly.

    Attributes:
        first: by argmax, which takes the first of tied logits.
        alone: by the correct logit being above all others.
        tied: whose highest logit is tied.
        moved: that are correct by `alone` here or in float32, but not in both.
        images: how many there are.
    """

    first: int
    alone: int
    tied: int
    moved: int
    images: int


@dataclass(frozen=True)
class Observed:
    """What one trial gives.

    Attributes:
        losses: [N] by score and precision.
        tied: share of the training samples whose highest logit is tied, by score and precision.
        outcomes: of the test images after the last epoch, by precision.
        train_loss: of the last epoch.
    """

    losses: dict[tuple[str, str], np.ndarray]
    tied: dict[tuple[str, str], float]
    outcomes: dict[str, Outcome]
    train_loss: float


def observe(
    data: DeviceDataset, architecture: Architecture, recipe: goldore.LossRecipe, trial: Trial
) -> Observed:
    """Train one trial and compute the losses of its epochs in every precision."""
    samples = len(data.labels)
    windows = dict(zip(SCORES, (recipe.init_window, recipe.converge_window), strict=True))
    means = {
        (score, name): Mean(lambda seen: seen.cross_entropy, 1, samples, len(windows[score]), CPU)
        for score in SCORES
        for name in PRECISIONS
    }
    tied = dict.fromkeys(means, 0)
    stepper = Stepper(architecture, recipe, [trial], data, Execution())
    order = trial.stream(Stream.ORDER)
    for epoch in range(1, recipe.epochs + 1):
        stepper.loss_sum.zero_()
        for rows in torch.split(torch.from_numpy(order.permutation(samples))[:, None], recipe.batch_size):
            stepper(*data.batch(rows))
        wanting = [score for score in SCORES if epoch in windows[score]]
        for start, found in scored(stepper.networks, data, data.images) if wanting else ():
            labels = data.labels[start : start + BATCH]
            for score, (name, logits) in itertools.product(wanting, found.items()):
                means[score, name].see(start, Predictions(logits, labels, epoch))
                tied[score, name] += int(top_is_tied(logits).sum())
    return Observed(
        losses={key: mean.result()[0].float().numpy() for key, mean in means.items()},
        tied={(score, name): count / samples / len(windows[score]) for (score, name), count in tied.items()},
        outcomes=evaluated(stepper.networks, data),
        train_loss=float(stepper.loss_sum) / samples,
    )


def scored(
    network: StackedNetworks, data: DeviceDataset, images: Images
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """The start of each run of images, and its logits by precision."""
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            yield start, all_logits(network, data.normalize(images.run(start, start + BATCH)))


def top_is_tied(logits: Tensor) -> Tensor:
    """Whether the two highest logits are equal, bool [..., B]."""
    highest = logits.topk(2).values
    return highest[..., 0] == highest[..., 1]


def evaluated(network: StackedNetworks, data: DeviceDataset) -> dict[str, Outcome]:
    """Classify the test images in every precision."""
    if data.test is None:
        return {}
    images, labels = data.test
    parts = [found for _, found in scored(network, data, images)]
    logits = {name: torch.cat([part[name][0] for part in parts]) for name in PRECISIONS}
    alone = {name: above_all_others(each, labels) for name, each in logits.items()}
    return {
        name: Outcome(
            first=int((each.argmax(1) == labels).sum()),
            alone=int(alone[name].sum()),
            tied=int(top_is_tied(each).sum()),
            moved=int((alone[name] != alone[EXACT]).sum()),
            images=len(labels),
        )
        for name, each in logits.items()
    }


def above_all_others(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the correct logit is the highest and not tied, bool [B]."""
    index = labels[:, None]
    return logits.gather(1, index)[:, 0] > logits.scatter(1, index, -torch.inf).amax(1)


@dataclass(frozen=True)
class Ranks:
    """Comparisons of scores within classes.

    Attributes:
        labels: int64 [N].
        classes: K.
    """

    labels: np.ndarray
    classes: int

    @property
    def members(self) -> list[np.ndarray]:
        """Positions of each class's samples."""
        return class_members(self.labels, self.classes)

    def agreement(self, first: np.ndarray, second: np.ndarray) -> float:
        """Spearman's correlation, mean over classes."""
        return float(np.mean([spearman(first[each], second[each]) for each in self.members]))

    def kept_by_both(self, ratio: str, first: np.ndarray, second: np.ndarray) -> float:
        """Share of what the first keeps of each class, its highest dropped, that the second keeps too."""
        return overlap_of(self.kept(ratio, first), self.kept(ratio, second))

    def kept(self, ratio: str, values: np.ndarray) -> np.ndarray:
        """Positions that are kept where the highest of each class are dropped."""
        amount = make_amount(keep_ratio=ratio)
        return choose_samples(-values.astype(np.float64), self.labels, self.classes, amount)[0]

    def chance(self, ratio: str) -> float:
        """What two random selections share."""
        kept = np.bincount(self.labels[self.kept(ratio, np.zeros(len(self.labels)))])
        return chance_overlap(kept, np.bincount(self.labels), "class")

    def share_with_equals(self, values: np.ndarray) -> float:
        """Share of the samples that have exactly the value of another of their class."""
        alone = sum(int((np.unique(values[each], return_counts=True)[1] == 1).sum()) for each in self.members)
        return 1 - alone / len(values)

    def reliability(self, trials: np.ndarray) -> float:
        """Of the ranks of a file of these trials [T, N]."""
        return mean_over_trials(trials, self.members).rank_reliability


def print_score(score: str, found: Sequence[Observed], ranks: Ranks) -> None:
    """Print the table of one score."""
    trials = {name: np.stack([each.losses[score, name] for each in found]) for name in PRECISIONS}
    exact = trials[EXACT]
    print(f"\n{score}, ranks within classes against float32 scoring of the same networks")
    print(f"{HEAD} a trial   lowest   mean of  relia-  kept 10%  kept 50%    moved    equal  top logit")
    print(f"{'':{len(HEAD)}}                   trials  bility                              losses  tied")
    for name, values in trials.items():
        each = [ranks.agreement(first, second) for first, second in zip(values, exact, strict=True)]
        mean, truth = values.mean(axis=0), exact.mean(axis=0)
        moved = np.mean(np.median(np.abs(values - exact) / np.maximum(exact, 1e-30), axis=1))
        equal = np.mean([ranks.share_with_equals(trial) for trial in values])
        kept = [ranks.kept_by_both(ratio, truth, mean) for ratio in KEPT]
        tied = np.mean([trial.tied[score, name] for trial in found])
        print(
            f"{name:{len(HEAD)}} {np.mean(each):.5f}  {min(each):.5f}  {ranks.agreement(mean, truth):.5f}  "
            f"{ranks.reliability(values):.4f}  {kept[0]:8.2%}  {kept[1]:8.2%}  {moved:7.3%}  {equal:7.2%}  "
            f"{tied:8.3%}"
        )
    if len(exact) > 1:
        pairs = [ranks.agreement(*pair) for pair in itertools.combinations(exact, 2)]
        halves = [exact[half::2].mean(axis=0) for half in range(2)]
        kept = [ranks.kept_by_both(ratio, *halves) for ratio in KEPT]
        print(
            f"{'other seeds; halves of the trials':{len(HEAD)}} {np.mean(pairs):.5f}  {min(pairs):.5f}  "
            f"{ranks.agreement(*halves):.5f}          {kept[0]:8.2%}  {kept[1]:8.2%}"
        )
    print(f"{'chance':{len(HEAD)}}{'':37} {ranks.chance(KEPT[0]):8.2%}  {ranks.chance(KEPT[1]):8.2%}")


def print_outcomes(found: Sequence[Observed]) -> None:
    """Print how the test images are classified, all trials together."""
    print("\nTest images after the last epoch, all trials together")
    print(f"{HEAD}    images  by argmax  above all  tied  moved")
    for name in PRECISIONS:
        sums = {
            field: sum(getattr(trial.outcomes[name], field) for trial in found)
            for field in Outcome.__dataclass_fields__
        }
        print(
            f"{name:{len(HEAD)}} {sums['images']:9,}  {sums['first'] / sums['images']:9.3%}  "
            f"{sums['alone'] / sums['images']:9.3%}  {sums['tied']:4}  {sums['moved']:5}"
        )


def print_check(data: DeviceDataset, architecture: Architecture) -> None:
    """Print how the emulation agrees with what goldore and torch compute on a CPU."""
    network = StackedNetworks(architecture, weight_draws(make_trials(0, [0])), CPU)
    raw = data.images.run(0, BATCH)
    with torch.inference_mode():
        images = data.normalize(raw)
        exact, real = (
            logits_function(architecture, network.layout, name, compiled=False, device=CPU)(
                network.parameters, network.running, raw, data.shift, data.scale
            )
            for name in ("float32", "bf16")
        )
        ours = headed(as_it_is, network, features_in(Body(), network, images))
        emulated = headed(to_bf16, network, features_in(_CPU_BF16, network, images))
        steps = convolution_steps(network)
    print("The emulation beside torch's own kernels on this CPU:")
    print(f"  float32 logits: largest difference {float((ours - exact).abs().max()):.1e}")
    print(
        f"  outputs of a bf16 convolution: {float((steps == 0).double().mean()):.3%} have the same bits, "
        f"{float((steps <= 1).double().mean()):.3%} are at most one step apart"
    )
    print(
        f"  bf16 logits: emulated to torch's {distance(emulated, real):.1e}, torch's to float32 "
        f"{distance(real, exact):.1e} (root mean square)",
        flush=True,
    )


def convolution_steps(network: StackedNetworks) -> Tensor:
    """By how many bf16 numbers the emulated convolution and torch's are apart."""
    kernel, shift = (network.parameters[f"conv1.{kind}"][0] for kind in ("weight", "bias"))
    x = torch.randn(4, kernel.shape[1], 8, 8, generator=torch.Generator().manual_seed(0))
    emulated = convolved(_CPU_BF16, x, kernel, shift, 1).to(torch.bfloat16)
    real = F.conv2d(*(each.to(torch.bfloat16) for each in (x, kernel, shift)), padding=1)
    return (in_order(emulated) - in_order(real)).abs()


def in_order(x: Tensor) -> Tensor:
    """The place of each bf16 number among all of them, from zero."""
    bits = x.contiguous().view(torch.int16).int()
    return torch.where(bits < 0, -(bits & 0x7FFF), bits)


def distance(first: Tensor, second: Tensor) -> float:
    """Root mean square of the difference."""
    return float((first - second).square().mean().sqrt())


def first_of_each_class(
    dataset: goldore.ImageDataset, per_class: int | None, tested: int
) -> goldore.ImageDataset:
    """The first images of each class, and the first test images."""
    chosen = np.sort(
        np.concatenate([each[:per_class] for each in class_members(dataset.labels, dataset.num_classes)])
    )
    test: Mapping[str, np.ndarray | None] = {
        field: None if values is None else values[:tested]
        for field, values in (("test_images", dataset.test_images), ("test_labels", dataset.test_labels))
    }
    return replace(dataset, images=dataset.images[chosen], labels=dataset.labels[chosen], paths=None, **test)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="FashionMNIST-sample")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--per-class", type=int, help="training images of each class; all unless given")
    parser.add_argument("--tested", type=int, default=2000, help="test images at most")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--window", type=int, default=3, help="epochs that each score averages")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--training", choices=("float32", "bf16"), default="float32")
    return parser.parse_args()


def main() -> None:
    """Run and print."""
    arguments = read_arguments()
    keep_freed_memory()
    dataset = first_of_each_class(
        goldore.load_dataset(arguments.dataset, data_root=arguments.data_root),
        arguments.per_class,
        arguments.tested,
    )
    mean, std = dataset.normalization()
    network = goldore.ConvNetConfig(width=arguments.width).for_images(*dataset.image_shape[1:])
    recipe = goldore.LossRecipe(
        network=network,
        epochs=arguments.epochs,
        init_epochs=arguments.window,
        converge_epochs=arguments.window,
        batch_size=arguments.batch_size,
        mean=mean,
        std=std,
        precision=arguments.training,
    )
    data = DeviceDataset(dataset, mean, std, CPU)
    architecture = network.architecture(dataset.image_shape, dataset.num_classes)
    print(
        f"{dataset.name}, {dataset.num_samples:,} images, width {arguments.width}, {arguments.trials} trials "
        f"of {arguments.epochs} epochs trained in {arguments.training}, batches of {arguments.batch_size}, "
        f"windows of {arguments.window}\n"
    )
    print_check(data, architecture)
    found = []
    for trial in make_trials(0, range(arguments.trials)):
        start = time.perf_counter()
        found.append(observe(data, architecture, recipe, trial))
        print(
            f"trial {trial.number}: training loss {found[-1].train_loss:.4f}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    ranks = Ranks(dataset.labels, dataset.num_classes)
    for score in SCORES:
        print_score(score, found, ranks)
    if data.test is not None:
        print_outcomes(found)


if __name__ == "__main__":
    main()
