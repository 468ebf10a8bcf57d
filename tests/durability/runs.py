"""The run that these tests cut short: a tiny one with loss and utility trials, told of in a log."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

import goldore
import goldore.store.estimating
from goldore import ConvNetConfig, LossRecipe, UtilityRecipe, Watcher
from goldore.store import journal
from tests.conftest import make_dataset
from tests.forked import forked_goldore

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--width", 4, "--depth", 1, "--ensemble-size", 1)
TINY_LOSS, TINY_UTILITY = ("--epochs", 2), ("--subset-per-class", 2, "--steps", 2)
_NETWORK = ConvNetConfig(depth=1, width=4)
ARGUMENTS = {
    "scores": "LossInit,LossConverge,MonteCarlo",
    "recipe": LossRecipe(network=_NETWORK, epochs=2, batch_size=16),
    "utility": UtilityRecipe(network=_NETWORK, steps=2, subset_per_class=2, lr=0.05),
    "ensemble_size": 1,
    "device": "cpu",
}
LOSS_TRIALS, UTILITY_TRIALS = 6, 80


class Told(Watcher):
    """Writes the numbers of finished trials to a log, in one system call."""

    def __init__(self, log):
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def planned(self, plan):
        self._kind = plan.run.kind

    def finished(self, results):
        os.write(self._log, "".join(f"{self._kind} {each.trial.number}\n" for each in results).encode())


def score(out, loss=LOSS_TRIALS, utility=UTILITY_TRIALS, **fields):
    return goldore.score(
        make_dataset(), out=out, trials=loss, utility_trials=utility, **{**ARGUMENTS, **fields}
    )


def write_often(seconds=0.05):
    """Fold the journal into the file several times a second."""
    from goldore.runs import output

    output._SECONDS_BETWEEN, output._SHARE = seconds, 1


def cut_run(out, log, seconds=0.05, **fields):
    """What the process does that is killed."""
    os.umask(0o022)
    write_often(seconds)
    score(out, watcher=Told(log), **fields)


def killed_at(out, log, point, call, **fields):
    """Be killed at a certain point of the code, at the n-th time that it is reached."""
    import goldore.files.atomic
    import goldore.runs.output
    import goldore.store.journal
    import goldore.store.writing

    reached = 0

    def die():
        nonlocal reached
        reached += 1
        if reached == call:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(module, name):
        wrapped = getattr(module, name)

        def dying(*args, **kwargs):
            die()
            return wrapped(*args, **kwargs)

        setattr(module, name, dying)

    def half_of_a_record(self, path, results):
        nonlocal reached
        reached += 1
        append(self, path, results)
        if reached == call:
            place = journal.journal_of(path)
            os.truncate(place, place.stat().st_size - 70)
            os.kill(os.getpid(), signal.SIGKILL)

    append = journal.Journal.append
    if point == "half a record":
        journal.Journal.append = half_of_a_record
    else:
        module, name = {
            "before the copy": (goldore.store.writing.shutil, "copyfile"),
            "while scores are estimated": (goldore.store.estimating, "write_score"),
            "before the seal": (goldore.store.writing, "seal"),
            "before the rename": (goldore.files.atomic, "give_usual_mode"),
            "after the rename": (goldore.files.atomic, "sync_folder"),
            "before the journal is removed": (goldore.runs.output, "remove_journal"),
            "before a record": (journal.Journal, "append"),
        }[point]
        before(module, name)
    cut_run(out, log, seconds=1000, **fields)  # so that speed does not decide what is reached


def environment():
    """For the command line: this checkout, one thread, nothing that changes what is printed."""
    left_out = {"GOLDORE_CACHE", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "PYTHONWARNINGS"}
    kept_of = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept_of, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}


def command(*arguments):
    return [sys.executable, "-m", "goldore", *map(str, arguments)]


def cli(*arguments, before=()):
    """Run a goldore command, perhaps as the last words of another command."""
    if not before:
        return forked_goldore(arguments, Path.cwd(), environment(), 300)
    return subprocess.run(
        [*map(str, before), *command(*arguments)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def told(log):
    """The trials that a log tells of: {"loss": {...}, "utility": {...}}."""
    found = {"loss": set(), "utility": set()}
    for line in log.read_text().splitlines() if log.exists() else ():
        kind, number = line.split()
        found[kind].add(int(number))
    return found


def kept(out):
    """The trials that a file and its journal hold."""
    if not out.exists():
        return {"loss": set(), "utility": set()}
    file = goldore.load_scores(out)
    waiting = journal.read(out)
    found = {}
    for kind in ("loss", "utility"):
        trials = file.trials_of(kind)
        done = {int(each) for each in (trials.done if trials else ())}
        found[kind] = done | {result.trial.number for result in waiting.get(kind, ())}
    return found


def arrays(file):
    """All that a file holds of trials and scores, as bytes, by path; not how long it took."""
    found = {}

    def visit(name, node):
        if hasattr(node, "shape") and not name.endswith("/seconds"):
            found[name] = np.ascontiguousarray(node[()]).tobytes()

    file.visititems(visit)
    return found
