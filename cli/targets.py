"""What goldore prune knows of where a selection goes: a repository (--for), a folder tree (--as-folder)."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from goldore.errors import TargetError, UsageError

from .screen import line, warn
from .screen import out as output

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from goldore.repositories.limits import Problem
    from goldore.repositories.model import Repository, Settings
    from goldore.repositories.tree import Naming
    from goldore.selection.pruning import Selection
    from goldore.store import Header, ScoreFile

    from .mapping import Translated

_TAG = 8  # digits of the index's digest that tell runs apart


@dataclass(frozen=True)
class Target:
    """A repository, and how it will be run."""

    repository: "Repository"
    settings: "Settings"

    @classmethod
    def of(
        cls, name: str | None, *, ipc: int | None, batch_real: int | None, factor: int | None
    ) -> Self | None:
        """From the options; None without --for."""
        if name is None:
            if batch_real is not None or factor is not None:
                raise UsageError(
                    "--batch-real and --factor are about a repository; use --for REPO with them."
                )
            return None
        from goldore.repositories import find_repository
        from goldore.repositories.limits import make_settings

        repository = find_repository(name)
        return cls(repository, make_settings(repository, ipc=ipc, batch_real=batch_real, factor=factor))

    def check(
        self,
        selection: "Selection",
        scores: "ScoreFile",
        select: "Callable[..., Selection]",
        translated: "Translated",
    ) -> None:
        """Refuse what the repository does not survive, and warn of the rest.

        Args:
            selection: what would be kept.
            scores: the score file.
            select: makes a selection by another rule.
            translated: the selection in the order that was asked for.
        """
        import numpy as np

        from goldore.repositories.limits import count_problems, dataset_problems

        about = translated.provenance
        counts = np.array(about["kept_per_class"], dtype=np.int64)
        settings = replace(self.settings, dataset=scores.dataset.name)
        found = dataset_problems(self.repository, scores.dataset, about.get("order"))
        found += count_problems(self.repository, counts, tuple(about["class_names"]), settings)
        refused = [each for each in found if each.refuse]
        for each in found if not refused else refused[1:]:
            warn(each.text)
        if refused:
            whole = int(counts.sum()) == len(selection.indices) and "strategy" not in about
            advice = self._advice(settings, refused, selection, select) if whole else "; keep more."
            raise TargetError(refused[0].text.rstrip(".") + advice)

    def _advice(
        self,
        settings: "Settings",
        refused: "list[Problem]",
        selection: "Selection",
        select: "Callable[..., Selection]",
    ) -> str:
        from goldore.repositories.limits import kept_within_classes, smallest_ratio

        if refused[0].need is None:
            return "."
        totals = selection.total_per_class

        def kept_at(ratio: float) -> "NDArray[np.int64]":
            if selection.provenance["scope"] == "class":
                return kept_within_classes(ratio, totals)
            return select(keep_ratio=ratio).kept_per_class

        ratio = smallest_ratio(self.repository.needs(settings), totals, kept_at)
        if ratio is None:
            return "; even all samples are too few, so lower --ipc or --batch-real."
        return f"; the smallest ratio that runs is --keep-ratio {ratio:g}."

    def show(self, dataset: str, path: Path, tree: "Tree | None") -> None:
        """Print how to run the repository with the index file."""
        from goldore.repositories.limits import commands

        repository, console = self.repository, output()
        line(console, "")
        line(console, f"{repository.title} ({repository.url} at {repository.commit}):", "bold")
        index, way = shlex.quote(str(path.resolve())), repository.ways[0]
        if way == "plug":
            line(console, f"  goldore plug {repository.name} CLONE    # once; then in the clone:")
            line(console, f"  export GOLDORE_INDEX={index}")
        elif way == "folder tree" and (tree is None or tree.folder is None):
            line(console, "  it reads a folder tree: run goldore prune again with --as-folder DIR")
        if repository.datasets and dataset not in repository.datasets:
            before = f"goldore run {index} -- COMMAND: " if way == "run" else ""
            line(console, f"  {before}its own commands (goldore knows of none for this dataset)")
        else:
            through = index if way == "run" else ""
            for command in commands(repository, dataset, self.settings, _tag(path), through):
                console.print(f"  {command}", markup=False, soft_wrap=True)
        if way == "run" and repository.refits:
            line(console, f"- {repository.refits}")
        for trap in (*repository.traps, *([repository.caches] if repository.caches else [])):
            line(console, f"- {trap}")


@dataclass(frozen=True)
class Tree:
    """A folder tree and a list to write beside the index file."""

    folder: Path | None
    listing: Path | None
    copy: bool
    naming: "Naming"
    images: Path | None
    overwrite: bool

    @classmethod
    def of(
        cls,
        folder: Path | None,
        listing: Path | None,
        target: Target | None,
        *,
        copy: bool,
        naming: str | None,
        images: Path | None,
        overwrite: bool,
    ) -> Self | None:
        """From the options; None if neither is wanted."""
        if folder is None and (copy or naming is not None or images is not None):
            raise UsageError(
                "--copy, --class-folders and --images are about --as-folder DIR; say it with them."
            )
        if folder is None and listing is None:
            return None
        padded = target is not None and target.repository.zero_padded
        chosen = naming or ("zero-padded" if padded else "original")
        return cls(folder, listing, copy, cast("Naming", chosen), images, overwrite)

    def check(self, indices: "NDArray[np.int64]", header: "Header", taken: "tuple[Path, ...]") -> None:
        """Refuse what cannot be written, before anything is.

        Args:
            indices: positions to keep.
            header: of the score file.
            taken: files that the list may not be: the score file, the index file and its side-car.
        """
        from goldore.repositories.tree import check_list, check_tree

        if self.listing is not None:
            if self.listing.resolve() in {each.resolve() for each in taken}:
                raise UsageError(f"--as-list would replace {self.listing}; choose another name.")
            check_list(indices, header, self.listing, overwrite=self.overwrite)
        if self.folder is not None:
            inside = [each for each in taken if self.folder.resolve() in each.resolve().parents]
            if inside:
                raise UsageError(
                    f"{inside[0]} lies in {self.folder}, which is to be made; choose another folder."
                )
            check_tree(indices, header, self.folder, images=self.images, naming=self.naming)

    def write(self, indices: "NDArray[np.int64]", header: "Header") -> None:
        """Write both."""
        from goldore.repositories.tree import write_list, write_tree

        if self.folder is not None:
            write_tree(indices, header, self.folder, images=self.images, copy=self.copy, naming=self.naming)
        if self.listing is not None:
            write_list(indices, header, self.listing, overwrite=self.overwrite)

    def show(self) -> None:
        """Say where they are."""
        if self.folder is not None:
            line(output(), f"folder tree in {self.folder}, {'copied' if self.copy else 'linked'}")
        if self.listing is not None:
            line(output(), f"list of files in {self.listing}")


def _tag(path: Path) -> str:
    from goldore.selection.index_file import load_index

    return str(load_index(path).provenance["sha256"])[:_TAG]
