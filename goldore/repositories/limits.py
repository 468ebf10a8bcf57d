"""Whether a repository survives a selection, and from which ratio on it does."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldore.errors import UsageError
from goldore.repositories.model import Need, Repository, Settings
from goldore.store import DatasetInfo

_STEPS = 10_000  # ratios are looked for in ten-thousandths


@dataclass(frozen=True)
class Problem:
    """Something that goes wrong in a repository with a selection.

    Attributes:
        text: one sentence.
        refuse: whether the selection is of no use there; a warning otherwise.
        need: what is missing, or None if it is no question of how much is kept.
    """

    text: str
    refuse: bool
    need: Need | None = None


def make_settings(
    repository: Repository,
    *,
    ipc: int | None = None,
    batch_real: int | None = None,
    factor: int | None = None,
) -> Settings:
    """Fill in a repository's defaults.

    Args:
        repository: which.
        ipc: images per class of the distilled set; None is 1.
        batch_real: real images of each class in a batch; None is the repository's default.
        factor: multi-formation factor; None is the repository's default.

    Raises:
        UsageError: if a number is below 1, or an option does not exist there.
    """
    for option, value in (("--ipc", ipc), ("--batch-real", batch_real), ("--factor", factor)):
        if value is not None and value < 1:
            raise UsageError(f"{option} is {value}; it must be 1 or more.")
    if batch_real is not None and not repository.batch_real:
        raise UsageError(
            f"{repository.title} takes no batches of real images by class; leave --batch-real out."
        )
    if factor is not None and repository.factor == 1:
        raise UsageError(f"{repository.title} has no factor; leave --factor out.")
    return Settings(
        ipc=1 if ipc is None else ipc,
        batch_real=batch_real or repository.batch_real,
        factor=factor or repository.factor,
    )


def count_problems(
    repository: Repository,
    kept_per_class: NDArray[np.int64],
    class_names: tuple[str, ...],
    settings: Settings,
) -> list[Problem]:
    """What goes wrong because too little is kept: the worst of each severity.

    Args:
        repository: which.
        kept_per_class: int64 [K].
        class_names: K names.
        settings: how it is run.

    Returns:
        At most one problem of each kind of need and severity.
    """
    least = int(np.argmin(kept_per_class))
    total = int(kept_per_class.sum())
    found: dict[tuple[str, bool], Problem] = {}
    for need in sorted(repository.needs(settings), key=lambda each: each.count):
        have = int(kept_per_class[least]) if need.of == "class" else total
        if have >= need.count or (need.of, need.refuse) in found:
            continue
        where = (
            f"class {least} ({class_names[least]}) keeps {have}" if need.of == "class" else f"{have} are kept"
        )
        needed = f"{need.count} of each class" if need.of == "class" else f"{need.count} in all"
        text = f"{repository.title} needs {needed}, and {where}: below that {need.effect}"
        found[need.of, need.refuse] = Problem(f"{text}.", need.refuse, need)
    refused = {kind for kind, refuse in found if refuse}
    return [each for (kind, refuse), each in found.items() if refuse or kind not in refused]


def dataset_problems(repository: Repository, dataset: DatasetInfo, *, mapped: bool = False) -> list[Problem]:
    """What goes wrong because of the data set, or of the order it was scored in.

    Args:
        repository: which.
        dataset: that was scored.
        mapped: whether positions were translated to another loader's order.
    """
    problems = []
    shape = (dataset.num_classes, *dataset.image_shape)
    if repository.shape and any(dataset.image_shape) and shape != repository.shape:
        classes, channels, height, width = repository.shape
        problems.append(
            Problem(
                f"{repository.title} takes {classes} classes of {channels} x {height} x {width} images "
                "only, and "
                f"{dataset.name} has {dataset.num_classes} of {' x '.join(map(str, dataset.image_shape))}.",
                refuse=True,
            )
        )
    if repository.edits and dataset.name not in repository.datasets:
        known = ", ".join(repository.datasets)
        problems.append(
            Problem(
                f"{repository.title} has no data set of the name {dataset.name} (it has {known}).",
                refuse=False,
            )
        )
    tfds = dataset.source.startswith("TensorFlow Datasets")
    if repository.order == "tfds" and not (mapped or tfds):
        problems.append(
            Problem(
                f"{repository.title} reads the order of TensorFlow Datasets, and {dataset.name} was "
                "scored in another; "
                "say --order tfds.",
                refuse=True,
            )
        )
    if repository.order == "" and repository.edits and tfds and not mapped:
        problems.append(
            Problem(
                f"{repository.title} reads torchvision's order, and {dataset.name} was scored in that of "
                "TensorFlow "
                f"Datasets; say --order {dataset.name}.",
                refuse=True,
            )
        )
    is_file = dataset.source.startswith("tensors in")
    if (
        dataset.name == "TinyImageNet"
        and repository.tiny
        and not mapped
        and is_file != (repository.tiny == "file")
    ):
        wanted = "tinyimagenet.pt" if repository.tiny == "file" else "the folder tree"
        problems.append(
            Problem(
                f"{repository.title} reads {wanted}, which has another order than {dataset.source}; "
                "score that, or "
                "translate with --order.",
                refuse=True,
            )
        )
    return problems


def smallest_ratio(
    needs: Sequence[Need], totals: NDArray[np.int64], kept_at: Callable[[float], NDArray[np.int64]]
) -> float | None:
    """The smallest keep ratio, in ten-thousandths, at which no need refuses.

    Args:
        needs: all of the repository's.
        totals: samples of each class, int64 [K].
        kept_at: samples that a ratio keeps of each class, int64 [K]; never fewer with a greater ratio.

    Returns:
        The ratio, or None if even all samples are too few.
    """

    def enough(kept: NDArray[np.int64]) -> bool:
        return all(
            int(kept.min() if need.of == "class" else kept.sum()) >= need.count
            for need in needs
            if need.refuse
        )

    if not enough(totals):
        return None
    low, high = 0, _STEPS  # too little, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(kept_at(middle / _STEPS)) else (middle, high)
    return high / _STEPS


def kept_within_classes(ratio: float, totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples that a keep ratio (of at most four decimals) keeps of each class, int64 [K]."""
    steps = round(ratio * _STEPS)
    return np.array([math.ceil(steps * int(total) / _STEPS) if steps else 0 for total in totals])


def commands(repository: Repository, dataset: str, settings: Settings, tag: str) -> list[str]:
    """The commands to run there.

    Args:
        repository: which.
        dataset: goldore's name of the data set.
        settings: how it is run.
        tag: tells runs with different index files apart.
    """
    return [
        each.format(
            dataset=repository.datasets.get(dataset, dataset),
            ipc=settings.ipc,
            batch_real=settings.batch_real,
            factor=settings.factor,
            tag=tag,
        )
        for each in repository.commands
    ]
