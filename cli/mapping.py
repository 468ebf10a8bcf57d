"""goldore map-index."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from goldore.errors import IndexFileError, UsageError
from goldore.wording import count, plural

from .screen import line, reports_errors, warn
from .screen import out as output

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from goldore.datasets.dataset import ImageDataset
    from goldore.repositories.mapping import Mapped
    from goldore.selection.pruning import Selection
    from goldore.store import Header


@reports_errors
def map_index_command(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="An index file.")],
    *,
    to: Annotated[
        str,
        typer.Option(
            metavar="DATASET",
            help="The dataset whose order is wanted, as for goldore score; tfds:NAME is read from --to-root "
            "as its data_dir.",
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="The dataset that the index belongs to, or its score file (default: the score file named in "
            "the index).",
        ),
    ] = None,
    data_root: Annotated[Path, typer.Option(help="Folder of --dataset, if it is a name.")] = Path("data"),
    to_root: Annotated[
        Path | None, typer.Option(help="Folder of --to, if it is a name (default: as --data-root).")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="For folder trees on either side, as for goldore score (default: as the scores of the "
            "index have it).",
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Allow each side to have samples that the other lacks.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The new index file (default: INDEX with the name of --to added).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that holds another selection.")
    ] = False,
) -> None:
    """Translate an index file to the order of another loader.

    Samples are matched by a hash of their pixels, identical images by class and order.
    """
    from goldore.repositories.mapping import map_index
    from goldore.selection.index_file import check_suffix, load_index, save_index

    if image_size is not None and not any(Path(each).is_dir() for each in (dataset or "", to) if each):
        raise UsageError("--image-size is about folder trees, and neither dataset is one; leave it out.")
    found = load_index(index)
    target = out or index.with_name(f"{index.stem}-{_plain(to)}{index.suffix}")
    check_suffix(target)
    source = _source(index, found.provenance, dataset, data_root, image_size)
    wanted = _load(to, to_root or data_root, image_size, found.provenance)
    mapped = map_index(found.indices, found.provenance, source, wanted, partial=partial)
    path = save_index(target, mapped.indices, mapped.provenance, overwrite=overwrite)
    show_mapped(mapped, source, len(found.indices))
    line(output(), f"written to {path}")


@dataclass(frozen=True)
class Translated:
    """A selection in the order that --order asks for, or as it is."""

    indices: "NDArray[np.int64]"
    provenance: dict[str, Any]
    mapped: "Mapped | None" = None
    source: "Header | None" = None
    kept: int = 0

    @classmethod
    def of(cls, selection: "Selection", file: Path, order: str | None, data_root: Path | None) -> Self:
        """Translate, if there is an order to translate to."""
        if order is None:
            if data_root is not None:
                raise UsageError("--data-root is the folder of --order; say it with that.")
            return cls(selection.indices, selection.provenance)
        from goldore.repositories.mapping import map_index
        from goldore.store import load_header

        source = load_header(file)
        there = _known_there(source.info.name, order)
        target = _load(there, data_root or Path("data"), None, selection.provenance)
        mapped = map_index(selection.indices, selection.provenance, source, target)
        return cls(mapped.indices, mapped.provenance, mapped, source, len(selection.indices))

    def show(self) -> None:
        """Say how the translation went."""
        if self.mapped is not None and self.source is not None:
            show_mapped(self.mapped, self.source, self.kept)


def _known_there(name: str, order: str) -> str:
    """What --order means: "tfds" stands for the same dataset there."""
    from goldore.datasets.tfds import NAMES, PREFIX

    if order != "tfds":
        return order
    if name not in NAMES:
        raise UsageError(f"the name of {name} in TensorFlow Datasets is not known; use --order tfds:NAME.")
    return PREFIX + NAMES[name]


def show_mapped(mapped: "Mapped", source: "Header", kept: int) -> None:
    """Say how the translation went."""
    about = mapped.provenance
    mapping = mapped.mapping
    line(
        output(),
        f"{source.info.name}: {count(kept - mapped.left_out)} of {count(kept)} kept samples found in "
        f"{about['order']} ({about['dataset']}, {plural(about['num_samples'], 'sample')})",
    )
    if mapping.duplicates:
        line(output(), f"{plural(mapping.duplicates, 'sample')} have an image that occurs more than once")
    if mapped.left_out:
        warn(f"{plural(mapped.left_out, 'kept sample')} of {source.info.name} are not there and left out.")
    if mapping.unknown:
        warn(f"{plural(mapping.unknown, 'sample')} there were never scored and are left out.")


def _source(
    index: Path, about: dict[str, object], dataset: str | None, data_root: Path, image_size: int | None
) -> "Header":
    from goldore.store import Header, is_score_file, load_header

    if dataset is None:
        scored = about.get("score_file")
        if not isinstance(scored, str) or not Path(scored).is_file():
            raise IndexFileError(
                f"{index} names no score file that is there; say with --dataset what it is about."
            )
        return load_header(scored)
    if is_score_file(Path(dataset)):
        return load_header(dataset)
    return Header.of(_load(dataset, data_root, image_size, about))


def scored_size(dataset: str, about: "Mapping[str, object]") -> int | None:
    """The side to which images are resized to be those that an index file is about; None if they are not.

    Args:
        dataset: where they are read.
        about: provenance of the index file, which may name its score file.
    """
    from goldore.datasets.arrays import holds_arrays
    from goldore.datasets.idx import find_idx
    from goldore.store import is_score_file, load_header

    path, scored = Path(dataset), Path(str(about.get("score_file", "")))
    resized = path.suffix in (".tar", ".parquet") or (
        path.is_dir() and not (find_idx(path) or holds_arrays(path))
    )
    if not resized or not is_score_file(scored):
        return None
    origin = load_header(scored).info.origin
    return origin.image_size if origin is not None else None


def _load(
    dataset: str, data_root: Path, image_size: int | None, about: "Mapping[str, object]"
) -> "ImageDataset":
    from goldore.datasets import load_dataset

    size = (image_size if Path(dataset).is_dir() else None) or scored_size(dataset, about)
    return load_dataset(dataset, data_root=data_root, image_size=size)


def _plain(text: str) -> str:
    from goldore.files.atomic import file_name

    return file_name(Path(text).name or text)
