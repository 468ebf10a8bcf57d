"""Whether a score file can be trusted, and saving what can."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldore.errors import GoldoreError, NewerFormatError, ScoreFileError, UsageError
from goldore.files.locking import writing_to
from goldore.store.estimating import estimate_scores
from goldore.store.format import has
from goldore.store.journal import remove as remove_journal
from goldore.store.model import ScoreFile
from goldore.store.reading import load_scores, not_sealed, opened, read_header
from goldore.store.seal import damage, is_sealed
from goldore.store.together import estimates
from goldore.store.trial_kinds import KINDS

if TYPE_CHECKING:
    from goldore.store.model import Score

_PACKAGE = Path(__file__).resolve().parents[2]
_SECONDS, _BYTES_A_SECOND = 60, 2**20  # that looking at a file may take: some damages hold HDF5 up for ever
_RELATIVE = 1e-6  # what another processor may make of an estimate


@dataclass(frozen=True)
class TrialCheck:
    """What was found of the trials of one kind.

    Attributes:
        usable: trials that ended well and are whole.
        failed: trials that diverged, and are whole.
        damaged: numbers of the trials that are not whole.
        waiting: trials that are in the journal only.
    """

    usable: int
    failed: int
    damaged: list[int]
    waiting: int


@dataclass(frozen=True)
class Verification:
    """What was found in a score file.

    Attributes:
        path: of the file.
        problems: what is wrong with it, in sentences without a full stop; empty if it is intact.
        trials: by kind, "loss" and "utility"; those that the file has.
        scores: names of the scores that are what their trials give.
        unchecked: names of the scores that have no trials to be compared with.
    """

    path: Path
    problems: list[str]
    trials: dict[str, TrialCheck] = field(default_factory=dict)
    scores: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether the file is as goldore left it, and says what its trials say."""
        return not self.problems

    @property
    def recoverable(self) -> int:
        """Trials that a repair saves."""
        return sum(each.usable + each.failed + each.waiting for each in self.trials.values())


def verify(path: str | Path) -> Verification:
    """Check a score file: the seal, header, seeds and digests of all trials, and scores against trials.

    Args:
        path: of the file.

    Returns:
        What was found.

    Raises:
        ScoreFileError: if there is no such file, or it never was a score file.
    """
    return _verify(Path(path), None)


def repair(path: str | Path, out: str | Path, *, overwrite: bool = False) -> Verification:
    """Save the trials that are whole, those that wait in the journal included, to a new score file.

    Scores are estimated anew from them. Scores without trials, as imported ones, cannot be told from damaged
    ones and are not saved.

    Args:
        path: of the file, which stays as it is.
        out: of the new file.
        overwrite: replace `out` if it exists.

    Returns:
        What was found in `path`.

    Raises:
        UsageError: if `out` exists, or is `path`.
        ScoreFileError: if nothing can be saved.
        GoldoreError: if `out` cannot be written.
    """
    path, out = Path(path), Path(out)
    if out.exists() and (not overwrite or out.resolve() == path.resolve()):
        raise UsageError(f"{out} exists already; choose another name for the repaired file.")
    with writing_to(out):
        found = _verify(path, out)
        if found.recoverable:
            estimate_scores(out)
            remove_journal(out)  # of what was replaced
    if not found.recoverable:
        why = "; ".join(found.problems) or "it has no trials"
        raise ScoreFileError(f"nothing can be saved from {path}: {why}; score the dataset again.")
    return found


def _verify(path: Path, out: Path | None) -> Verification:
    _check_kind(path)
    why = damage(path)
    if why is None:
        _check_known(path)
    problems = [] if why is None else [why]
    said = _examined(path, out)
    if said["unwritten"] is not None:
        raise GoldoreError(
            f"{out} could not be written ({said['unwritten']}); make room or choose another name."
        )
    problems += said["problems"]
    trials: dict[str, TrialCheck] = {}
    for name in KINDS:
        if name in said:
            trials[name] = TrialCheck(**said[name])
    for name, each in trials.items():
        if each.damaged:
            problems.append(f"{len(each.damaged)} {name} trials are damaged ({_listed(each.damaged)})")
    if problems:
        return Verification(path, problems, trials)
    file = load_scores(path)
    wrong, given = _unlike_their_trials(path, file)
    if wrong:
        problems.append(f"{', '.join(wrong)} differs from what the trials give, or is missing")
    right = [name for name in file.score_names if name in given and name not in wrong]
    unchecked = [name for name in file.score_names if name not in given]
    return Verification(path, problems, trials, right, unchecked)


def _check_known(path: Path) -> None:
    """Refuse what a newer goldore wrote: it is intact."""
    try:
        load_scores(path, only=())
    except ScoreFileError as error:
        if isinstance(error.__cause__, NewerFormatError):
            raise


def _check_kind(path: Path) -> None:
    """Refuse what never was a score file, as far as can be told."""
    if path.is_dir():
        raise ScoreFileError(f"{path} is a folder; give the path of a score file.")
    if not path.is_file():
        raise ScoreFileError(f"there is no score file {path}; check the path.")
    if not is_sealed(path):
        raise ScoreFileError(not_sealed(path))


def _examined(path: Path, out: Path | None) -> dict[str, Any]:
    """Examine a file in a process of its own, which a damage may kill."""
    command = [sys.executable, "-P", "-c", "from goldore.store.salvage import main; main()", str(path)]
    search = os.pathsep.join(filter(None, [str(_PACKAGE), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and paths
            [*command, *([str(out)] if out is not None else [])],
            env=os.environ | {"PYTHONPATH": search},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_SECONDS + path.stat().st_size / _BYTES_A_SECOND,
        )
        return dict(json.loads(done.stdout))
    except (subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", None) or b""
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        if isinstance(error, subprocess.CalledProcessError) and error.returncode > 0:
            raise GoldoreError(f"{path} could not be examined ({last or 'no reason was given'}).") from error
        return {"problems": ["HDF5 does not survive opening it"], "unwritten": None}


def _unlike_their_trials(path: Path, file: ScoreFile) -> tuple[list[str], "dict[str, Score]"]:
    """Names of the scores that are not what their trials give, and what these give."""
    given: dict[str, Score] = {}
    with opened(path) as stored:
        header = read_header(stored)
        for kind in KINDS.values():
            if has(stored, kind.group):
                given |= {score.name: score for score in estimates(kind, stored, header)}
    return [name for name, score in given.items() if not _is_as(file.scores.get(name), score)], given


def _is_as(score: "Score | None", given: "Score") -> bool:
    """Whether a score in a file is this one, uncertainty and meaning included."""
    if score is None or score.direction != given.direction:
        return False
    names = (
        "values",
        "stderr",
        "explained",
        "reliability",
        "rank_reliability",
        "trials",
        "class_reliability",
    )
    pairs = [(getattr(score, name), getattr(given, name)) for name in names]
    pairs.append((_agreement(score), _agreement(given)))
    return all(np.allclose(here, there, _RELATIVE, _RELATIVE, equal_nan=True) for here, there in pairs)


def _agreement(score: "Score") -> list[float]:
    """Correlation and error; NaN without."""
    found = score.agreement
    return [np.nan, np.nan] if found is None else [found.correlation, found.stderr]


def _listed(numbers: list[int]) -> str:
    most = 5
    return ", ".join(map(str, numbers[:most])) + (", ..." if len(numbers) > most else "")
