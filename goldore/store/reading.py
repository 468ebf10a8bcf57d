"""Reading a score file."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np

from goldore.datasets.origin import Origin
from goldore.errors import NewerFormatError, ScoreFileError, reason
from goldore.scores import SCORES
from goldore.scores.definition import End
from goldore.scores.estimators.agreement import Agreement
from goldore.store.format import (
    FORMAT,
    INDEX_SUFFIXES,
    STUDY_FORMAT,
    has,
    node_at,
    read_array,
    read_attribute,
    read_text,
    read_text_list,
)
from goldore.store.model import DatasetInfo, Header, Score, ScoreFile
from goldore.store.seal import check_seal, is_sealed
from goldore.store.together import estimates
from goldore.store.trial_kinds import KINDS
from goldore.wording import plain_name

_MOST_SCORES = 64


def load_scores(path: str | Path, only: Collection[str] | None = None) -> ScoreFile:
    """Read a score file; scores that a killed run did not write any more are estimated from its trials.

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
        about: dict[str, Any] = {
            key: read_text(file, key)
            for key in ("device", "created", "updated", "goldore_version", "torch_version")
        }
        for kind in KINDS.values():
            about[f"{kind.name}_trials"] = kind.read(file, dataset) if has(file, kind.group) else None
        stale = {
            kind: kind.score_names(about[f"{kind.name}_trials"])
            for kind in KINDS.values()
            if kind.is_stale(file)
        }
        names = _score_names(file, [name for of_kind in stale.values() for name in of_kind])
        read = [name for name in names if wanted is None or plain_name(name) in wanted]
        fresh = {
            score.name: score
            for kind, of_kind in stale.items()
            for score in (estimates(kind, file, header) if set(of_kind) & set(read) else ())
        }
        return ScoreFile(
            path=path,
            dataset=dataset,
            labels=header.labels,
            score_names=names,
            scores={name: fresh.get(name) or _read_score(file, name, dataset) for name in read},
            **about,
        )


def load_header(path: str | Path) -> Header:
    """Read what a score file says of its dataset, with the hashes and paths of the samples.

    Args:
        path: of the file.

    Raises:
        ScoreFileError: if the file is missing, damaged, not a score file or of a newer format.
    """
    with opened(Path(path)) as file:
        return read_whole_header(file)


def is_score_file(path: Path) -> bool:
    """Whether a file is a score file by its first bytes, whatever state the rest of it is in."""
    try:
        return is_sealed(path)
    except OSError:
        return False


def is_study(path: Path) -> bool:
    """Whether a file is a study, intact or not so far as can be told."""
    try:
        if not path.is_file() or not is_sealed(path):
            return False
        with h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs.get("format") == STUDY_FORMAT)
    except (OSError, RuntimeError, ValueError, TypeError):
        return False


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a score file for reading; whatever goes wrong inside the block becomes one sentence."""
    if path.is_dir():
        raise ScoreFileError(f"{path} is a folder; give the path of a score file.")
    if not path.is_file():
        raise ScoreFileError(
            f"there is no score file {path}; make one with: goldore score DATASET --out "
            f"{shlex.quote(str(path))}"
        )
    try:
        if not is_sealed(path):
            raise ScoreFileError(not_sealed(path))
        check_seal(path)
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") == STUDY_FORMAT:
                raise ScoreFileError(
                    f"{path} is a study, which goldore inspect shows; give the score file that it is about."
                )
            if file.attrs.get("format") != FORMAT:
                raise ScoreFileError(f"{path} is HDF5 but not a goldore score file; check the path.")
            yield file
    except ScoreFileError:
        raise
    except NewerFormatError as error:
        raise ScoreFileError(f"{path} cannot be read: {error}.") from error
    except OSError as error:
        raise ScoreFileError(
            f"{path} cannot be read ({reason(error)}); check the path and the disk."
        ) from error
    except (LookupError, ArithmeticError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        what = reason(error).strip("'\"")
        raise ScoreFileError(f"{path} is damaged ({what}); score the dataset again.") from error


def not_sealed(path: Path) -> str:
    """Why a file without a seal is not read."""
    if path.suffix in INDEX_SUFFIXES:
        return (
            f"{path} looks like an index file, or a list of scores; give a score file (the .json beside an "
            "index file says what it keeps)."
        )
    if h5py.is_hdf5(path):
        return (
            f"{path} is HDF5 but not a goldore score file (or of a goldore before the first release); "
            "check the path."
        )
    return f"{path} is not a score file, or a damaged one; check the path, or delete it and score again."


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


def read_whole_header(file: h5py.File) -> Header:
    """Read what a file says of its dataset, with hashes and paths.

    Raises:
        ValueError: if it contradicts itself.
    """
    header = read_header(file)
    size = (header.info.num_samples,)
    hashes = read_array(file, "dataset/sample_hash", size, "u") if has(file, "dataset/sample_hash") else None
    paths = None
    if has(file, "dataset/paths"):
        encoded = read_array(file, "dataset/paths", size, "S")
        paths = tuple(path.decode() for path in encoded.tolist())
    return Header(header.info, header.labels, hashes, paths)


def _read_info(file: h5py.File) -> DatasetInfo:
    group = node_at(file, "dataset")
    channels, height, width = (int(size) for size in read_attribute(group, "image_shape"))
    info = DatasetInfo(
        name=read_text(group, "name"),
        split=read_text(group, "split"),
        num_samples=int(read_attribute(group, "num_samples")),
        num_classes=int(read_attribute(group, "num_classes")),
        class_names=read_text_list(group, "class_names"),
        image_shape=(channels, height, width),
        fingerprint=read_text(group, "fingerprint"),
        source=read_text(group, "source"),
        origin=Origin.from_json(read_text(group, "origin")) if "origin" in group.attrs else None,
    )
    if len(info.class_names) != info.num_classes:
        raise ValueError(f"{info.num_classes} classes but {len(info.class_names)} class names")
    return info


def _score_names(file: h5py.File, others: Sequence[str]) -> tuple[str, ...]:
    """The names of the scores in a file, and others, in the order of the table; HDF5's is the alphabet."""
    there = node_at(file, "scores") if has(file, "scores") else ()
    if len(there) > _MOST_SCORES:
        raise ValueError(f"it claims {len(there):,} scores")
    names = dict.fromkeys([*there, *others])
    known = [name for name in SCORES if name in names]
    return (*known, *(name for name in names if name not in SCORES))


def _read_score(file: h5py.File, name: str, dataset: DatasetInfo) -> Score:
    shape = (dataset.num_samples,)
    values = read_array(file, f"scores/{name}", shape, "f")
    node = node_at(file, f"scores/{name}")

    def number(key: str) -> float:
        return float(read_attribute(node, key)) if key in node.attrs else float("nan")

    def by_class(key: str) -> np.ndarray:
        if key not in node.attrs:
            return np.full(dataset.num_classes, np.nan)
        return np.asarray(read_attribute(node, key), dtype=np.float64).reshape(dataset.num_classes)

    def text(key: str) -> str:
        return read_text(node, key) if key in node.attrs else ""

    def optional(group: str, shape: tuple[int, ...], kinds: str) -> np.ndarray | None:
        return read_array(file, f"{group}/{name}", shape, kinds) if has(file, f"{group}/{name}") else None

    if text("drops") not in ("", *get_args(End)):
        raise ValueError(f"{name} drops neither end")
    return Score(
        name=name,
        definition=read_text(node, "definition"),
        direction=read_text(node, "direction"),
        unit=read_text(node, "unit"),
        drops=text("drops"),
        lowest=text("lowest"),
        highest=text("highest"),
        values=values,
        stderr=read_array(file, f"stderr/{name}", shape, "f"),
        trials=int(read_attribute(node, "trials")),
        reliability=number("reliability"),
        rank_reliability=number("rank_reliability"),
        class_reliability=by_class("class_reliability"),
        class_rank_reliability=by_class("class_rank_reliability"),
        reliability_stderr=number("reliability_stderr"),
        rank_reliability_stderr=number("rank_reliability_stderr"),
        halves=optional("halves", (2, *shape), "f"),
        counts=optional("counts", shape, "i"),
        signal_share=number("signal_share"),
        explained=number("explained"),
        class_signal_share=by_class("class_signal_share") if "class_signal_share" in node.attrs else None,
        outcome=text("outcome"),
        estimator=text("estimator"),
        agreement=(
            Agreement(
                correlation=number("agreement"),
                stderr=number("agreement_stderr"),
                trials=int(read_attribute(node, "agreement_trials")),
                samples=int(read_attribute(node, "agreement_samples")),
                reliability=number("agreement_reliability"),
            )
            if "agreement" in node.attrs
            else None
        ),
    )
