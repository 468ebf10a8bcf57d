"""What two trainings on the same cores cost each other, by how OpenMP's threads wait.

A thread that waits for the others of its process spins at first, and where another process has the core it
burns the time that the others need. For each setting two processes are started; one trains alone, then both
at once. The settings take turns, in short rounds: compare ratios within one table. The columns are images a
second, of both processes together in the second one, and the best round stands beside the median, since other
work on the machine slows some. With a thread for each core, two at once should make what one makes alone.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SETTINGS = {
    "OpenMP's own": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
}
WORKS = {"wide": (128, 256), "narrow": (16, 100)}  # width, batch size
HOWS = ("eager", "compiled")


class Trainer:
    """A process that trains what it is told to, when it is told to."""

    def __init__(self, threads: int, setting: dict[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in NAMES}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env=kept | {"OMP_NUM_THREADS": str(threads)} | setting,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, work: str, how: str, seconds: float) -> None:
        """Let it take steps for so long, one at least."""
        print(work, how, seconds, file=self._process.stdin, flush=True)

    def rate(self) -> float:
        """Images a second that it trained."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SystemExit("a process ended")
        return float(line)

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--hows", default=",".join(HOWS))
    parser.add_argument("--threads", default=f"1,{os.cpu_count()}", help="of a process")
    parser.add_argument("--settings", default=json.dumps(SETTINGS), help="environments by name, as JSON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores; {arguments.rounds} rounds")
    for threads in map(int, arguments.threads.split(",")):
        pairs = {
            name: [Trainer(threads, setting) for _ in range(2)]
            for name, setting in json.loads(arguments.settings).items()
        }
        for work in arguments.works.split(","):
            for how in arguments.hows.split(","):
                compare(pairs, work, how, threads, arguments)
        for pair in pairs.values():
            for trainer in pair:
                trainer.end()


def compare(
    pairs: dict[str, list[Trainer]], work: str, how: str, threads: int, arguments: argparse.Namespace
) -> None:
    """Measure one kind of training with all settings, and print a table."""
    for pair in pairs.values():
        for trainer in pair:  # one by one, lest warming up takes minutes
            rate([trainer], work, how, 0)
    alone: dict[str, list[float]] = {name: [] for name in pairs}
    both: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(arguments.rounds):
        for name, pair in pairs.items():
            alone[name].append(rate(pair[:1], work, how, arguments.seconds))
            both[name].append(rate(pair, work, how, arguments.seconds))
    width, batch = WORKS[work]
    print(f"\nwidth {width}, batches of {batch}, {how}, threads of a process: {threads}")
    print(f"  {'images a second: median (best)':32}{'alone':>18}{'two at once':>18}{'ratio':>14}")
    for name in pairs:
        columns = [f"{f(alone[name]):,.0f}" for f in (statistics.median, max)]
        others = [f"{f(both[name]):,.0f}" for f in (statistics.median, max)]
        ratios = [f"{f(both[name]) / f(alone[name]):.2f}" for f in (statistics.median, max)]
        shown = "".join(f"{f'{median} ({best})':>18}" for median, best in (columns, others))
        print(f"  {name:32}{shown}{f'{ratios[0]} ({ratios[1]})':>14}", flush=True)


def rate(trainers: list[Trainer], work: str, how: str, seconds: float) -> float:
    """Images a second of all of them together, at once."""
    for trainer in trainers:
        trainer.begin(work, how, seconds)
    return sum(trainer.rate() for trainer in trainers)


def serve() -> None:
    """Train as each line says, and say how many images a second."""
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    for line in sys.stdin:
        work, how, seconds = line.split()
        if (work, how) not in steps:
            steps[work, how] = prepared(*WORKS[work], compiled=how == "compiled")
        step, batch = steps[work, how], WORKS[work][1]
        taken, passed, start = 0, 0.0, time.perf_counter()
        while taken == 0 or passed < float(seconds):
            step()
            taken += 1
            passed = time.perf_counter() - start
        print(taken * batch / passed, flush=True)


def prepared(width: int, batch: int, *, compiled: bool) -> Callable[[], None]:
    """A training step on the bundled sample."""
    import torch

    from goldore import ConvNetConfig, LossRecipe, load_dataset
    from goldore.runs.job import complete_recipe
    from goldore.training.devices import keep_freed_memory
    from goldore.training.execution import Execution
    from goldore.training.images import DeviceDataset
    from goldore.training.stepping import Stepper
    from goldore.trials.seeds import make_trials

    keep_freed_memory()
    dataset = load_dataset()
    recipe = LossRecipe(network=ConvNetConfig(width=width), epochs=1, batch_size=batch)
    complete = complete_recipe(recipe, dataset, "float32")
    architecture = complete.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, complete.mean or (), complete.std or (), torch.device("cpu"))
    stepper = Stepper(architecture, complete, make_trials(0, range(1)), data, Execution(compiled=compiled))
    images, targets = data.batch(torch.arange(batch).view(batch, 1))
    return lambda: stepper(images, targets)


if __name__ == "__main__":
    main()
