"""Several machines at one score file: each runs the same command, and none waits for a coordinator.

They meet in a folder beside the score file, FILE.h5.shared, which all see. It holds what is to be done
(plan.json: blocks of trials) and, for each block, a claim, a score file of its own, and a mark once it is
done. Whoever holds a claim touches it every few seconds. One that was not touched for some minutes belongs
to an agent that is gone: another takes the block, and goes on from its trials and checkpoints. Whoever finds
all blocks done joins them into the score file.
"""

import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldore.errors import GoldoreError, LockedError, ScoreFileError, reason
from goldore.files.atomic import check_writable, replacing
from goldore.files.locking import lock_of, writing_to
from goldore.files.untrusted import parse_json
from goldore.runs.job import Job, Stage
from goldore.runs.output import all_diverged, errors_of_writing
from goldore.runs.preparation import look_ahead
from goldore.runs.watching import Watcher
from goldore.store import Run, estimate_scores, features_path, join, load_scores, remove_journal
from goldore.store.trial_kinds import continuing
from goldore.trials.arguments import ARGUMENTS

DEAD_AFTER = 180.0  # seconds without a touch: caches of network file systems show times late by a minute
_BETWEEN_TOUCHES = 15.0  # seconds
_BETWEEN_LOOKS = 2.0  # seconds


@dataclass(frozen=True)
class Block:
    """Trials that an agent takes at once.

    Attributes:
        kind: of trials.
        first: number of the first.
        stop: one more than that of the last.
    """

    kind: str
    first: int
    stop: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.kind}-{self.first}-{self.stop}"


def meeting_folder(path: Path) -> Path:
    """Where agents meet that share a score file."""
    real = path.resolve()
    return real.with_name(f"{real.name}.shared")


def settled_by_others(path: Path) -> dict[str, dict[str, Any]]:
    """What an agent that came before has settled of what recipes leave open, by kind of trials."""
    try:
        plan = parse_json((meeting_folder(path) / "plan.json").read_text(encoding="utf-8"))
        recipes = {kind: parse_json(plan["about"][kind]["recipe"]) for kind in plan["about"]["wanted"]}
        return {
            kind: {name: recipe[name] for name in ("precision", "shuffle") if name in recipe}
            for kind, recipe in recipes.items()
        }
    except (OSError, ValueError, LookupError, TypeError):  # there is none, or it is told what is wrong later
        return {}


def blocks_of(kind: str, missing: Sequence[int], size: int) -> list[Block]:
    """Cut ascending numbers of trials into blocks of neighbours.

    Args:
        kind: of the trials.
        missing: their numbers.
        size: of a block, at the most; short trials have larger ones (`TrialArguments.block`).
    """
    size = max(size, ARGUMENTS[kind].block)
    found: list[Block] = []
    for number in missing:
        last = found[-1] if found else None
        if last is not None and number == last.stop and last.stop - last.first < size:
            found[-1] = Block(kind, last.first, number + 1)
        else:
            found.append(Block(kind, number, number + 1))
    return found


class Meeting:
    """The folder beside a score file where agents meet.

    Args:
        path: of the score file.
        about: what the run is, in values of JSON: all agents must say the same.
        dead_after: seconds without a touch after which an agent is taken to be gone.

    Attributes:
        blocks: all that are to be done.
    """

    def __init__(self, path: Path, about: dict[str, Any], dead_after: float = DEAD_AFTER) -> None:
        self._path, self._about, self._dead_after = path, about, dead_after
        self.folder = meeting_folder(path)
        self._me = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.blocks: list[Block] = []

    def open(self, plan: Callable[[], list[Block]], wait: Callable[[], None]) -> bool:
        """Come to the meeting; the first agent plans for all.

        Args:
            plan: gives the blocks that are missing.
            wait: called while another agent plans.

        Returns:
            Whether something is to be done.

        Raises:
            ScoreFileError: if agents of another run meet here.
        """
        check_writable(self._path)
        while True:
            known = self._known()
            if known is not None:
                break
            try:
                with writing_to(self._path):
                    if self._known() is None:
                        shutil.rmtree(self.folder, ignore_errors=True)  # of agents killed while they joined
                        blocks = plan()
                        if not blocks:
                            return False
                        self._publish(blocks)
            except LockedError:
                wait()
                time.sleep(_BETWEEN_LOOKS)
        if known["about"] != self._about:
            names = sorted(set(known["about"]) | set(self._about))
            differ = [each for each in names if known["about"].get(each) != self._about.get(each)]
            raise ScoreFileError(
                f"{self.folder} holds a shared run that is another one ({', '.join(differ)} differ); run its "
                "command to the end, or remove the folder."
            )
        self.blocks = [Block(*each) for each in known["blocks"]]
        return True

    def _known(self) -> dict[str, Any] | None:
        try:
            found = parse_json((self.folder / "plan.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ScoreFileError(f"{self.folder} is damaged ({reason(error)}); remove it.") from error
        return found if isinstance(found, dict) else None

    def _publish(self, blocks: list[Block]) -> None:
        with errors_of_writing(self._path):
            self.folder.mkdir(exist_ok=True)
            listed = [[each.kind, each.first, each.stop] for each in blocks]
            content = {"about": self._about, "blocks": listed}
            with replacing(self.folder / "plan.json") as target:
                target.write_text(json.dumps(content), encoding="utf-8")

    def part(self, block: Block) -> Path:
        """The score file of a block."""
        return self.folder / f"{block.name}.h5"

    def left(self) -> list[Block]:
        """Blocks that are not done, those that nobody has claimed first; none once they were joined."""
        try:
            there = set(os.listdir(self.folder))  # noqa: PTH208 - names are all that is wanted
        except OSError:
            there = set()
        if "plan.json" not in there:
            return []
        open_ones = [each for each in self.blocks if f"{each.name}.done" not in there]
        return sorted(open_ones, key=lambda each: f"{each.name}.claim" in there)

    def is_open(self) -> bool:
        """Whether the blocks are not joined yet."""
        return (self.folder / "plan.json").exists()

    def done(self, block: Block) -> None:
        """Say that the file of a block holds all its trials."""
        (self.folder / f"{block.name}.done").touch()

    @contextmanager
    def claimed(self, block: Block) -> Iterator[bool]:
        """Have a block for oneself within; gives whether it can be had.

        The claim is given back at the end, however it ends.
        """
        claim = self.folder / f"{block.name}.claim"
        if not self._take(claim):
            yield False
            return
        ended = threading.Event()
        touching = threading.Thread(target=self._touch, args=(claim, ended), daemon=True)
        touching.start()
        try:
            yield True
        finally:
            ended.set()
            touching.join()
            if self._is_mine(claim):
                with suppress(OSError):
                    claim.unlink()

    def _take(self, claim: Path) -> bool:
        try:
            with claim.open("x", encoding="utf-8") as file:
                file.write(self._me)
        except FileExistsError:
            return self._is_dead(claim) and self._free(claim) and self._take(claim)
        except OSError:  # the folder has gone: all was joined
            return False
        return True

    def _is_dead(self, claim: Path) -> bool:
        try:
            return self._now() - claim.stat().st_mtime > self._dead_after
        except OSError:
            return False

    def _free(self, claim: Path) -> bool:
        """Take the claim of a dead agent away; false if another agent was faster."""
        gone = claim.with_name(f"{claim.name}.{self._me}")
        try:
            claim.rename(gone)  # one alone can
            if not self._is_dead(gone):  # another has claimed it since
                with suppress(OSError):
                    os.link(gone, claim)
                gone.unlink()
                return False
            gone.unlink()
        except OSError:
            return False
        lock = lock_of(claim.with_suffix(".h5"))
        with suppress(OSError, ValueError, LookupError):  # where the system has no locks, its lock file stays
            if json.loads(lock.read_text(encoding="utf-8"))["host"] != socket.gethostname():
                lock.unlink()
        return True

    def _is_mine(self, claim: Path) -> bool:
        try:
            return claim.read_text(encoding="utf-8") == self._me
        except OSError:
            return False

    def _touch(self, claim: Path, ended: threading.Event) -> None:
        while not ended.wait(min(_BETWEEN_TOUCHES, self._dead_after / 4)):
            if self._is_mine(claim):
                with suppress(OSError):
                    os.utime(claim)

    def _now(self) -> float:
        """The time by the clock that dates files here."""
        probe = self.folder / f"now.{self._me}"
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now

    def join(self, ending: Callable[[], None]) -> bool:
        """Join all blocks into the score file and close the meeting, unless another agent is about to.

        Args:
            ending: called when the file has all, while it is still locked.

        Returns:
            Whether it is done.

        Raises:
            GoldoreError: if the file cannot be written.
        """
        try:
            with writing_to(self._path):
                if not self.is_open():
                    return True
                known = [self._path] if self._path.exists() else []
                parts = [self.part(each) for each in self.blocks]
                with errors_of_writing(self._path):
                    join([*known, *(part for part in parts if part.exists())], self._path)
                    for part in parts:
                        if features_path(part).exists():
                            features_path(part).replace(features_path(self._path))
                    remove_journal(self._path)
                    ending()
                    (self.folder / "plan.json").unlink()
                shutil.rmtree(self.folder, ignore_errors=True)
        except LockedError:
            return False
        return True


def work(
    meeting: Meeting,
    train: Callable[[Block, Path], None],
    waited: Callable[[], None],
    ending: Callable[[], None],
) -> None:
    """Take blocks until all are done, and see that they are joined.

    Args:
        meeting: that is open.
        train: the trials of a block, into a file.
        waited: called now and then while other agents have all that is left.
        ending: called by the agent that joins all, when the file has them.
    """
    while meeting.is_open():
        left = meeting.left()
        if not left:
            if meeting.join(ending):
                return
        elif any(_did(meeting, block, train) for block in left):
            continue
        waited()
        time.sleep(_BETWEEN_LOOKS)


def _did(meeting: Meeting, block: Block, train: Callable[[Block, Path], None]) -> bool:
    """Do a block, if nobody else has it."""
    with meeting.claimed(block) as mine:
        if not mine or block not in meeting.left():
            return False
        try:
            train(block, meeting.part(block))
        except LockedError:  # its agent was slow to touch it, and is alive
            return False
        file = load_scores(meeting.part(block), only=())
        trials = file.trials_of(block.kind)
        there = {*map(int, trials.done), *map(int, trials.failed)} if trials is not None else set()
        if not there.issuperset(range(block.first, block.stop)):
            raise GoldoreError(f"{meeting.part(block)} does not keep what is written to it.")
        meeting.done(block)
    return True


def share(
    job: Job,
    stages: Sequence[Stage],
    wanted: Mapping[str, int],
    size: int,
    train: Callable[[Block, Run, Path, Watcher], object],
    dead_after: float | None = None,
) -> None:
    """Do what is missing in a score file together with whoever runs the same command.

    Args:
        job: what is scored.
        stages: that plan it.
        wanted: trials of each kind that the file shall hold.
        size: of a block of long trials.
        train: the trials of a block of a run, into a file, telling a watcher.
        dead_after: seconds without a sign after which an agent is taken to be gone; None: `DEAD_AFTER`.

    Raises:
        ScoreFileError: if the file, or those who share it, hold another run.
        GoldoreError: if a block cannot be trained, or the file cannot be written.
    """
    path, watcher = job.parts.path, job.watcher
    stored = load_scores(path, only=()) if path.exists() else None
    if stored is not None and not (meeting_folder(path) / "plan.json").exists():
        look_ahead(job, stages)  # says if it is another run's, before anything is written
        losses = stored.loss_trials
        if losses is not None and not losses.predicts:
            raise ScoreFileError(
                f"{path} was begun by an older goldore, whose trials keep less; add to it without `shared`."
            )
    runs = [stage.plan(stored) for stage in stages]
    runs = runs if stored is None else [continuing(run, stored) for run in runs]
    by_kind = {run.kind: run for run in runs}
    about = {run.kind: {**run.to_json(), "device": "", "torch_version": ""} for run in runs}
    meeting = Meeting(
        path,
        {"fingerprint": job.dataset.fingerprint, "wanted": dict(wanted), **about},
        DEAD_AFTER if dead_after is None else dead_after,
    )

    def plan() -> list[Block]:
        job.parts.take_in()  # what interrupted runs have left
        missing = {kind: _missing(path, kind, number) for kind, number in wanted.items()}
        return [block for kind, numbers in missing.items() for block in blocks_of(kind, numbers, size)]

    def once(block: Block, part: Path) -> None:
        train(block, by_kind[block.kind], part, _OfBlock(watcher))

    def ending() -> None:
        if job.parts.without_use(runs) is None:
            estimate_scores(path)

    if meeting.open(plan, watcher.waited):
        work(meeting, once, watcher.waited, ending)
    for run in runs:
        if not path.exists() or load_scores(path, only=()).trials_of(run.kind) is None:
            raise all_diverged(run)


class _OfBlock(Watcher):
    """Tells of the trials of a block; of the dataset they have been told."""

    def __init__(self, watcher: Watcher) -> None:
        for name in vars(Watcher):
            if not name.startswith("_") and name != "dataset_read":
                setattr(self, name, getattr(watcher, name))


def _missing(path: Path, kind: str, wanted: int) -> list[int]:
    """Numbers below `wanted` of trials of a kind that a score file does not hold, ascending."""
    trials = load_scores(path, only=()).trials_of(kind) if path.exists() else None
    there = {*map(int, trials.done), *map(int, trials.failed)} if trials is not None else set()
    return [number for number in range(wanted) if number not in there]
