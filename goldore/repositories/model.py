"""What goldore knows of a distillation repository: where it reads its data, and what it survives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

MARK = "goldore plug"
"""Stands in the first and the last line of every block, and nowhere else in a clone."""


@dataclass(frozen=True)
class Edit:
    """One place where a block goes.

    Attributes:
        file: path in the clone.
        anchor: consecutive lines, without indentation, that stand exactly once in the file.
        data: the expression there that holds the training set or its labels.
        apply: lines that make use of `goldore_index`, the positions to keep.
        place: where it is, in words.
        when: a condition under which alone the block runs, or "".
        refuses: why no index can be used there, or ""; the block then only says so.
    """

    file: str
    anchor: tuple[str, ...]
    place: str
    data: str = ""
    apply: tuple[str, ...] = ()
    when: str = ""
    refuses: str = ""


@dataclass(frozen=True)
class Settings:
    """How a repository is to be run.

    Attributes:
        ipc: images per class of the distilled set.
        batch_real: real images of each class in a batch.
        factor: multi-formation factor of IDC and its successors.
        dataset: goldore's name of the dataset; "" for any.
    """

    ipc: int
    batch_real: int
    factor: int = 1
    dataset: str = ""


@dataclass(frozen=True)
class Need:
    """A number of kept samples below which something happens.

    Attributes:
        count: samples.
        of: "class" for every class, "total" for all together.
        refuse: whether the index must not be written; a warning otherwise.
        effect: what happens below it, as the end of a sentence.
    """

    count: int
    of: Literal["class", "total"]
    refuse: bool
    effect: str


@dataclass(frozen=True)
class Repository:
    """A distillation method's code.

    Attributes:
        name: on the command line.
        title: the method's name.
        url: of the repository.
        commit: at which it was read.
        plugged_as: name of the repository that shares its code and its blocks, or "".
        edits: where the blocks of `goldore plug` go; empty if it has no plug.
        door: through what `goldore run` reaches its training set; "" if it does not serve it.
        refits: what it fits to the kept samples under `goldore run` and to all samples with the plug, one
            sentence; "" if nothing.
        roots: folders of a clone in which the code may lie; the first that has all files is meant.
        datasets: goldore's names of datasets to the repository's.
        commands: how to run it, with {dataset}, {ipc}, {batch_real}, {factor} and {tag}.
        needs: what it survives.
        batch_real: its default.
        factor: its default.
        traps: what goes wrong silently, one sentence each.
        caches: what to name anew for another index, one sentence; or "".
        reads_folder: whether it reads a folder tree, so that a pruned one serves it.
        zero_padded: whether it wants class folders named 00000, 00001, ...
        order: in which order it reads the samples: "" for torchvision's, or "tfds".
        tiny: whether it reads Tiny ImageNet from the "file" tinyimagenet.pt or the "folder", which differ
            in order.
        shape: classes, channels, height and width that it alone takes; None if any.
        ipcs: images per class that it alone can distil; empty if any.
        commands_for: commands where a dataset, by goldore's name, has others than `commands`.
        batch_holds_start: whether its batch of real images must hold ipc times factor squared of a class.
        files: that its clones have and those of its relatives, with the same anchors, do not.
        not_files: that tell a relative's clone from its own.
        metric: regular expression of which the last match in the output of `commands` counts: its group 1 is
            the test accuracy of the distilled images. ^ and $ are the ends of lines. "" if none is printed.
        metric_percent: whether the accuracy is printed in percent; as a share from 0 to 1 otherwise.
    """

    name: str
    title: str
    url: str
    commit: str
    needs: Callable[[Settings], tuple[Need, ...]]
    commands: tuple[str, ...]
    plugged_as: str = ""
    edits: tuple[Edit, ...] = ()
    door: str = ""
    refits: str = ""
    roots: tuple[str, ...] = ("",)
    datasets: dict[str, str] = field(default_factory=dict)
    batch_real: int = 0
    factor: int = 1
    traps: tuple[str, ...] = ()
    caches: str = ""
    reads_folder: bool = False
    zero_padded: bool = False
    order: Literal["", "tfds"] = ""
    tiny: Literal["", "file", "folder"] = ""
    shape: tuple[int, int, int, int] | None = None
    ipcs: tuple[int, ...] = ()
    commands_for: dict[str, tuple[str, ...]] = field(default_factory=dict)
    batch_holds_start: bool = False
    files: tuple[str, ...] = ()
    not_files: tuple[str, ...] = ()
    metric: str = ""
    metric_percent: bool = True

    @property
    def ways(self) -> tuple[str, ...]:
        """In which an index file gets into it, the best first: "run", "plug", "folder tree"."""
        found = {"run": self.door, "plug": self.edits, "folder tree": self.reads_folder}
        return tuple(way for way, served in found.items() if served)
