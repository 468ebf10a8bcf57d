"""Whether a repository survives a selection, and from which ratio on it does."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.origin import Origin
from goldore.errors import UsageError
from goldore.repositories.model import Need, Repository, Settings
from goldore.store import DatasetInfo

_PROGRAM = re.compile(r"(?:(?<=^)|(?<=[;&] )|(?<=\d ))(python|bash|sh|torchrun)(?= )")  # also after A=1
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
        UsageError: if a number is below 1, or one does not exist there.
    """
    for name, value in (("ipc", ipc), ("batch_real", batch_real), ("factor", factor)):
        if value is not None and value < 1:
            raise UsageError(f"`{name}` is {value}; it must be 1 or more.")
    if batch_real is not None and not repository.batch_real:
        raise UsageError(
            f"{repository.title} takes no batches of real images by class; leave `batch_real` out."
        )
    if factor is not None and repository.factor == 1:
        raise UsageError(f"{repository.title} has no factor; leave `factor` out.")
    settings = Settings(
        ipc=1 if ipc is None else ipc,
        batch_real=batch_real or repository.batch_real,
        factor=factor or repository.factor,
    )
    if repository.ipcs and settings.ipc not in repository.ipcs:
        known = ", ".join(map(str, repository.ipcs))
        raise UsageError(
            f"{repository.title} distils {known} images per class only, and `ipc` is {settings.ipc}."
        )
    start = settings.ipc * settings.factor**2
    if repository.batch_holds_start and settings.batch_real < start:
        raise UsageError(
            f"{repository.title} makes an image of {settings.factor**2} real ones, so `batch_real` "
            f"must be at least {start}."
        )
    return settings


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


def dataset_problems(repository: Repository, dataset: DatasetInfo, order: str | None = None) -> list[Problem]:
    """What goes wrong because of the dataset, or of the order in which its positions count.

    Args:
        repository: which.
        dataset: that was scored.
        order: in words, the dataset in whose order positions count; None if it is that which was scored.
    """
    return [
        *_shape_problems(repository, dataset),
        *_order_problems(repository, dataset.name, dataset.source if order is None else order),
    ]


def _shape_problems(repository: Repository, dataset: DatasetInfo) -> Iterator[Problem]:
    shape = (dataset.num_classes, *dataset.image_shape)
    if repository.shape and any(dataset.image_shape) and shape != repository.shape:
        classes, channels, height, width = repository.shape
        text = (
            f"{repository.title} takes {classes} classes of {channels} x {height} x {width} images only, and "
            f"{dataset.name} has {dataset.num_classes} of {' x '.join(map(str, dataset.image_shape))}."
        )
        yield Problem(text, refuse=True)
    if repository.datasets and dataset.name not in repository.datasets:
        known = ", ".join(repository.datasets)
        yield Problem(
            f"{repository.title} has no dataset of the name {dataset.name} that goldore knows of ({known}).",
            refuse=False,
        )


def _order_problems(repository: Repository, name: str, order: str) -> Iterator[Problem]:
    origin = Origin.of_words(order)
    kind = origin.kind if origin is not None else ""
    tfds, arrays = kind == "tfds", kind == "arrays"  # arrays may have been written in any order
    if repository.order == "tfds" and arrays:
        text = f"{repository.title} reads TensorFlow Datasets' order; see that {order} stand in it."
        yield Problem(text, refuse=False)
    elif repository.order == "tfds" and not tfds:
        text = (
            f"{repository.title} reads the order of TensorFlow Datasets, and positions count in that of "
            f"{order}; use `order` tfds."
        )
        yield Problem(text, refuse=True)
    if repository.order == "" and repository.datasets and tfds:
        text = (
            f"{repository.title} reads torchvision's order, and positions count in that of {order}; "
            "use `order` with the dataset as torchvision has it."
        )
        yield Problem(text, refuse=True)
    if name == "TinyImageNet" and repository.tiny and not tfds:
        wanted = "tinyimagenet.pt" if repository.tiny == "file" else "the folder tree"
        if (kind == "tensors") != (repository.tiny == "file"):
            text = (
                f"{repository.title} reads {wanted}, which has another order than {order}; score "
                "that, or translate "
                "with `order`."
            )
            yield Problem(text, refuse=True)


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


def commands(
    repository: Repository, dataset: str, settings: Settings, tag: str, index: str = ""
) -> list[str]:
    """The commands to run there.

    Args:
        repository: which.
        dataset: goldore's name of the dataset.
        settings: how it is run.
        tag: tells runs with different index files apart.
        index: an index file that they are to be run with by `goldore run`; "" for the plain commands.
    """

    def with_index(match: re.Match[str]) -> str:
        return f"goldore run {index} -- {match[0]}" if index else match[0]

    return [
        _PROGRAM.sub(with_index, each).format(
            dataset=repository.datasets.get(dataset, dataset),
            ipc=settings.ipc,
            batch_real=settings.batch_real,
            factor=settings.factor,
            tag=tag,
        )
        for each in repository.commands_for.get(dataset, repository.commands)
    ]
