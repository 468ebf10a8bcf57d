"""Images of single samples, where the dataset of a score file is at hand.

A folder tree is not read whole: only the files that are asked for are decoded. Whatever is read is compared
with the hashes of pixels in the score file, so that no image of another sample is shown.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import sample_hashes
from goldore.errors import DatasetError, GoldoreError
from goldore.store import Header, ScoreFile, load_header
from goldore.wording import plain_name

Images = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Gives the images of positions [n], uint8 [n, C, H, W]; DatasetError where one is not the sample's."""

_RESIZED_NAMES = ("imagenette",)  # whose images have many sizes


def find_images(file: ScoreFile, dataset: str | None, data_root: Path) -> tuple[Images | None, str]:
    """Find the images of a score file's samples.

    Args:
        file: the score file, on the disk.
        dataset: where the dataset is, as for `goldore.load_dataset`; None looks where it was scored.
        data_root: folder of the named datasets.

    Returns:
        The images, or None; and in that case why there are none, one sentence.

    Raises:
        GoldoreError: if the named dataset cannot be read, or is another one.
    """
    header = load_header(file.path)
    if dataset is not None:
        return _images_of(header, dataset, data_root), ""
    try:
        found = _where_it_was(header, data_root)
    except (GoldoreError, OSError) as error:  # a path may be too long for any system
        return None, f"{str(error).rstrip('.')}; name the dataset with `dataset`."
    if found is None:
        return None, file.dataset.not_at_hand
    return found, ""


def _where_it_was(header: Header, data_root: Path) -> Images | None:
    """The images as the origin in the file leads to them; functions are never called for that."""
    from goldore.datasets.load import BUNDLED, KNOWN

    origin = header.info.origin
    if origin is None:
        return None
    if origin.kind == "bundled":
        return _images_of(header, BUNDLED, data_root)
    path = Path(origin.path)
    if origin.kind == "folder":
        listed = header.paths is not None and header.sample_hash is not None
        return _from_tree(header, path) if listed and path.is_dir() else None
    if origin.kind == "torchvision" and origin.name in KNOWN:
        places = [place for place in (data_root, path) if place.is_dir()]
        return _images_of(header, origin.name, places[0]) if places else None
    return _images_of(header, str(path.resolve()), data_root) if _holds(origin.kind, path) else None


def _holds(kind: str, path: Path) -> bool:
    """Whether a path is what an origin says of it; the file may be from a stranger, who may say anything."""
    from goldore.datasets.arrays import SUFFIXES, holds_arrays
    from goldore.datasets.huggingface import is_huggingface
    from goldore.datasets.idx import find_idx
    from goldore.datasets.tar import has_shards

    if kind == "shards":
        return has_shards(str(path))
    if not path.is_dir():
        if kind == "huggingface":
            return path.suffix == ".parquet" and path.is_file()
        return kind in ("arrays", "tensors") and path.suffix in SUFFIXES and path.is_file()
    looks = {"idx": find_idx, "arrays": holds_arrays, "huggingface": is_huggingface}
    return kind in looks and bool(looks[kind](path))


def _images_of(header: Header, dataset: str, data_root: Path) -> Images:
    if header.paths is not None and header.sample_hash is not None and Path(dataset).is_dir():
        return _from_tree(header, Path(dataset))
    from goldore.datasets.load import load_dataset

    options = dict(header.info.origin.options) if header.info.origin is not None else {}
    if plain_name(dataset) in _RESIZED_NAMES:
        options["image_size"] = header.info.image_shape[1]
    loaded = load_dataset(dataset, data_root=data_root, **options)
    if loaded.num_samples != len(header.labels) or not np.array_equal(loaded.labels, header.labels):
        raise DatasetError(
            f"{loaded.name} in {loaded.source} is not the dataset of the score file (number, order or labels "
            "of its samples differ); name the right one with `dataset`."
        )

    def take(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return _checked(loaded.images[positions], positions, header)

    return take


def _from_tree(header: Header, root: Path) -> Images:
    from goldore.datasets.listing import training_folder
    from goldore.datasets.pictures import decode

    train = training_folder(root, header.info.class_names)
    size = header.info.origin.image_size if header.info.origin is not None else None
    paths = [PurePosixPath(path) for path in header.paths or ()]

    def take(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        chosen = [paths[position] for position in positions]
        if any(path.is_absolute() or ".." in path.parts for path in chosen):
            raise DatasetError("the score file names images outside of its folder, which are not read.")
        files = [train / path for path in chosen]
        for file in files:
            if not file.is_file():  # a pipe would never end
                raise DatasetError(f"there is no image {file} any more; name the dataset with `dataset`.")
        return _checked(decode(files, size), positions, header)

    return take


def _checked(images: NDArray[np.uint8], positions: NDArray[np.int64], header: Header) -> NDArray[np.uint8]:
    if header.sample_hash is None:
        return images
    wrong = sample_hashes(images) != header.sample_hash[positions]
    if wrong.any():
        raise DatasetError(
            f"the image of sample {positions[wrong][0]} is not the one that was scored; name the dataset "
            "with `dataset`."
        )
    return images
