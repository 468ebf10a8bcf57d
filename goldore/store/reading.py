"""Reading a score file."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from goldore.definitions import SCORES, plain_name
from goldore.errors import ScoreFileError, reason
from goldore.store import loss, utility
from goldore.store.format import FORMAT, FORMAT_VERSION, INDEX_SUFFIXES, read_array
from goldore.store.model import DatasetInfo, Header, Score, ScoreFile


def load_scores(path: str | Path, only: Collection[str] | None = None) -> ScoreFile:
    """Read a score file.

    Args:
        path: of the file.
        only: names of the scores to read (case and hyphens ignored); None reads all. Others stay unread,
            which saves time on large files.

    Returns:
        Its content.

    Raises:
        ScoreFileError: if the file is missing, damaged, not a score file or of a newer format.
    """
    path = Path(path)
    wanted = None if only is None else {plain_name(name) for name in only}
    with opened(path) as file:
        header = read_header(file)
        dataset = header.info
        names = _known_first(file["scores"]) if "scores" in file else ()
        return ScoreFile(
            path=path,
            dataset=dataset,
            labels=header.labels,
            score_names=names,
            scores={
                name: _read_score(file, name, dataset)
                for name in names
                if wanted is None or plain_name(name) in wanted
            },
            loss_trials=loss.read(file, dataset) if loss.GROUP in file else None,
            utility_trials=utility.read(file, dataset) if utility.GROUP in file else None,
            **{
                key: str(file.attrs[key])
                for key in ("device", "created", "updated", "goldore_version", "torch_version")
            },
        )


def load_header(path: str | Path) -> Header:
    """Read what a score file says of its dataset, with the hashes and paths of the samples.

    Args:
        path: of the file.

    Raises:
        ScoreFileError: if the file is missing, damaged, not a score file or of a newer format.
    """
    with opened(Path(path)) as file:
        header = read_header(file)
        size = (header.info.num_samples,)
        hashes = read_array(file, "dataset/sample_hash", size, "u") if "dataset/sample_hash" in file else None
        paths = None
        if "dataset/paths" in file:
            paths = tuple(str(path) for path in file["dataset/paths"].asstr()[()])
            if len(paths) != header.info.num_samples:
                raise ValueError(f"{header.info.num_samples} samples but {len(paths)} paths")
        return Header(header.info, header.labels, hashes, paths)


def is_score_file(path: Path) -> bool:
    """Whether a file calls itself a goldore score file, whatever state the rest of it is in."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except (OSError, ValueError, TypeError):
        return False


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a score file for reading; whatever goes wrong inside the block becomes one sentence."""
    if path.is_dir():
        raise ScoreFileError(f"{path} is a folder; give the path of a score file.")
    if not path.is_file():
        raise ScoreFileError(
            f"there is no score file {path}; make one with: goldore score DATASET --out {path}"
        )
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ScoreFileError(f"{path} is HDF5 but not a goldore score file; check the path.")
            version = int(file.attrs["format_version"])
            if version > FORMAT_VERSION:
                raise ScoreFileError(
                    f"{path} has format version {version} and this goldore reads up to {FORMAT_VERSION}; "
                    "update goldore."
                )
            yield file
    except ScoreFileError:
        raise
    except OSError as error:
        if path.suffix in INDEX_SUFFIXES:
            raise ScoreFileError(
                f"{path} looks like an index file; give the score file it was made from."
            ) from error
        raise ScoreFileError(
            f"{path} is no score file, or a damaged one ({reason(error)}); check the path, or delete it and "
            "score again."
        ) from error
    except (LookupError, ArithmeticError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        what = reason(error).strip("'\"")
        raise ScoreFileError(f"{path} is damaged ({what}); score the dataset again.") from error


def read_header(file: h5py.File) -> Header:
    """Read what a file says of its dataset, without hashes and paths.

    Raises:
        ValueError: if it contradicts itself.
    """
    info = _read_info(file)
    labels = read_array(file, "dataset/labels", (info.num_samples,), "iu").astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < info.num_classes:
        raise ValueError("a label is out of range")
    return Header(info, labels)


def _read_info(file: h5py.File) -> DatasetInfo:
    attrs = file["dataset"].attrs
    channels, height, width = (int(size) for size in attrs["image_shape"])
    info = DatasetInfo(
        name=str(attrs["name"]),
        split=str(attrs["split"]),
        num_samples=int(attrs["num_samples"]),
        num_classes=int(attrs["num_classes"]),
        class_names=tuple(str(name) for name in attrs["class_names"]),
        image_shape=(channels, height, width),
        fingerprint=str(attrs["fingerprint"]),
        source=str(attrs["source"]),
    )
    if len(info.class_names) != info.num_classes:
        raise ValueError(f"{info.num_classes} classes but {len(info.class_names)} class names")
    return info


def _known_first(names: Collection[str]) -> tuple[str, ...]:
    """The names in the order of the table of definitions; HDF5 gives them in alphabetical order."""
    known = [name for name in SCORES if name in names]
    return (*known, *(name for name in names if name not in SCORES))


def _read_score(file: h5py.File, name: str, dataset: DatasetInfo) -> Score:
    shape = (dataset.num_samples,)
    values = read_array(file, f"scores/{name}", shape, "f")
    attrs = file[f"scores/{name}"].attrs
    unknown = np.full(dataset.num_classes, np.nan)
    return Score(
        name=name,
        definition=str(attrs["definition"]),
        direction=str(attrs["direction"]),
        unit=str(attrs["unit"]),
        values=values,
        stderr=read_array(file, f"stderr/{name}", shape, "f"),
        trials=int(attrs["trials"]),
        reliability=float(attrs.get("reliability", np.nan)),
        rank_reliability=float(attrs.get("rank_reliability", np.nan)),
        class_reliability=np.asarray(attrs.get("class_reliability", unknown)).reshape(unknown.shape),
        class_rank_reliability=np.asarray(attrs.get("class_rank_reliability", unknown)).reshape(
            unknown.shape
        ),
        reliability_stderr=float(attrs.get("reliability_stderr", np.nan)),
        rank_reliability_stderr=float(attrs.get("rank_reliability_stderr", np.nan)),
        halves=read_array(file, f"halves/{name}", (2, *shape), "f") if f"halves/{name}" in file else None,
        counts=read_array(file, f"counts/{name}", shape, "i") if f"counts/{name}" in file else None,
        signal_share=float(attrs.get("signal_share", np.nan)),
        class_signal_share=(
            np.asarray(attrs["class_signal_share"]).reshape(unknown.shape)
            if "class_signal_share" in attrs
            else None
        ),
        outcome=str(attrs.get("outcome", "")),
        estimator=str(attrs.get("estimator", "")),
    )
