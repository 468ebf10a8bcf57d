"""What comes before the first training: what is there, what is going to be done, and whether the two fit."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldore.errors import DatasetError, ScoreFileError
from goldore.runs.job import Job, Stage
from goldore.runs.output import existing_file
from goldore.runs.parts import Parts, discard, parts_of
from goldore.store import Header, Run, ScoreFile, check_same_run, check_storable, journal_of, load_scores
from goldore.store.trial_kinds import continuing, run_from_json

Runs = list[Run]


@dataclasses.dataclass(frozen=True)
class Plans:
    """What all processes of a run are going to do.

    Attributes:
        runs: what the trials of each kind share.
        notes: what was found out while planning, for each of them.
    """

    runs: Runs
    notes: list[list[str]]


def prepare(job: Job, stages: Sequence[Stage]) -> tuple[Plans, ScoreFile | None]:
    """Bring the score file up to date, plan the run on rank 0, and see that both fit together.

    Args:
        job: whose score file rank 0 has locked.
        stages: that plan their part, given the file that is there.

    Returns:
        The plan, which is rank 0's on all ranks, and the file to go on with; None starts anew.

    Raises:
        ScoreFileError: if there is another run and it is not to be replaced.
        DatasetError: if ranks have read different datasets.
        GoldoreError: if the file cannot be written.
    """
    parts, header, overwrite = job.parts, job.header, job.overwrite
    existing: ScoreFile | None = None
    sent: dict[str, Any] = {}
    left: list[Path] = []
    if parts.team.rank == 0:
        waiting = journal_of(parts.path)
        lost = not parts.path.exists() and waiting.is_file() and waiting.stat().st_size > 0
        if lost and not overwrite:
            raise ScoreFileError(
                f"{waiting} holds finished trials of a file that is no longer there; bring {parts.path.name} "
                "back, move the journal away, or use `overwrite`."
            )
        try:
            parts.take_in()
        except ScoreFileError:
            if not overwrite:
                raise
            left = parts_of(parts.path)
        stored = _stored_file(parts)
        runs = [stage.plan(stored) for stage in stages]
        for run in runs:
            check_storable(parts.path, header, run)
        existing = existing_file(parts.path, header, runs, overwrite=overwrite)
        parts.fresh = existing is None
        settled = [stage.settle(run) for stage, run in zip(stages, runs, strict=True)]
        runs, notes = [run for run, _ in settled], [found for _, found in settled]
        discard([part for part in left if not _fits(part, header, runs)])
        if parts.fresh and parts_of(parts.path):  # this run began to replace another one, and was stopped
            parts.take_in()
            existing = load_scores(parts.path, only=())
        if existing is not None:
            runs = [continuing(run, existing) for run in runs]
        sent = {
            "fingerprint": header.info.fingerprint,
            "runs": [run.to_json() for run in runs],
            "notes": notes,
        }
    received = parts.team.gather(sent)[0]
    if received["fingerprint"] != header.info.fingerprint:
        raise DatasetError(
            f"this process has read another dataset than rank 0 ({header.info.fingerprint[:12]} / "
            f"{received['fingerprint'][:12]}); give all machines the same one."
        )
    plans = Plans([run_from_json(run) for run in received["runs"]], received["notes"])
    if parts.team.rank > 0 and parts.own.exists():
        _check_own(parts, header, plans.runs, overwrite=overwrite)
    return plans, existing


def look_ahead(job: Job, stages: Sequence[Stage]) -> tuple[Plans, ScoreFile | None]:
    """Plan a run and see that it fits what is there, as `prepare`, and write nothing; of one process.

    Raises:
        ScoreFileError: if there is another run and it is not to be replaced.
    """
    known = bool(job.dataset.fingerprint)  # else the images were not looked at
    stored = _stored_file(job.parts) if known else None
    runs = [stage.plan(stored) for stage in stages]
    existing = existing_file(job.parts.path, job.header, runs, overwrite=job.overwrite) if known else None
    job.parts.fresh = existing is None
    settled = [stage.settle(run) for stage, run in zip(stages, runs, strict=True)]
    return Plans([run for run, _ in settled], [notes for _, notes in settled]), existing


def _stored_file(parts: Parts) -> ScoreFile | None:
    try:
        return load_scores(parts.path, only=()) if parts.path.is_file() else None
    except ScoreFileError:  # whoever opens it to write says what is wrong with it
        return None


def _check_own(parts: Parts, header: Header, runs: Runs, *, overwrite: bool) -> None:
    """See that a part that rank 0 does not see belongs to this run."""
    if overwrite and not _fits(parts.own, header, runs):
        discard([parts.own])
    elif not overwrite:
        _check(parts.own, header, runs)


def _fits(path: Path, header: Header, runs: Runs) -> bool:
    try:
        _check(path, header, runs)
    except ScoreFileError:
        return False
    return True


def _check(path: Path, header: Header, runs: Runs) -> None:
    """See that a file can be read and holds these runs."""
    file = load_scores(path, only=())
    for run in runs:
        check_same_run(file, header, run)
