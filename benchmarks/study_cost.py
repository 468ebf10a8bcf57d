"""What a cell of `goldore study` costs among many and alone, and what it gains by common random numbers.

    python benchmarks/study_cost.py SCORES.h5 --cells 1 40
    python benchmarks/study_cost.py --study STUDY.h5

The first form distils and judges that many cells of one seed with matching of distributions, after a warm-up
that compiles, in one process. The second compares, over the cells of each table of a study, the spread of
differences to all data of the same seed with the spread of differences between seeds, which share nothing.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from goldore.runs.source import dataset_of
from goldore.store import load_scores
from goldore.studies.cells import Cell, grid
from goldore.studies.model import Settings
from goldore.studies.preparing import prepare
from goldore.studies.study_file import load_study
from goldore.studies.watching import Told
from goldore.trials.study_recipe import BUDGETS


def main() -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scores", type=Path, nargs="?")
    parser.add_argument("--dataset")
    parser.add_argument("--budget", choices=BUDGETS, default="quick")
    parser.add_argument("--ipc", type=int, default=1)
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 40])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--study", type=Path)
    given = parser.parse_args()
    if given.scores:
        cost(given)
    if given.study:
        spread(given.study)


def cost(given: argparse.Namespace) -> None:
    """Time the cells of one seed."""
    file = load_scores(given.scores)
    dataset = dataset_of(file, given.dataset)
    ratios = ("0.002", "0.005", "0.01", "0.02", "0.03", "0.05", "0.1", "0.2", "0.3", "0.5")
    cells = [cell for cell in grid(file, ["dm"], [given.ipc], None, ratios) if cell.distiller == "dm"]
    settings = Settings(file.dataset.name, file.dataset.fingerprint, file.dataset.class_names, "", "")
    runner, content = prepare(
        dataset,
        file,
        settings,
        BUDGETS[given.budget],
        given.device,
        deterministic=False,
        compile_mode="auto",
    )
    told = Told(lambda _: None, lambda _: None, lambda *_: None)
    runner.run(0, cells[:1], {}, told)
    print(f"{given.budget}, dm, {given.ipc} per class, {content.device}, torch {content.torch_version}")
    print("| cells | seconds | each |\n|---|---|---|")
    for count in given.cells:
        start = time.perf_counter()
        runner.run(1, cells[:count], {}, told)
        seconds = time.perf_counter() - start
        print(f"| {len(cells[:count])} | {seconds:.1f} | {seconds / len(cells[:count]):.2f} |", flush=True)


def spread(path: Path) -> None:
    """Compare standard deviations of differences."""
    study = load_study(path)
    tables: dict[tuple[str, int], dict[Cell, dict[int, float]]] = {}
    for run in study.runs:
        if not run.failed:
            tables.setdefault(run.cell.table, {}).setdefault(run.cell, {})[run.seed] = run.accuracy
    print(
        "| distiller, ipc | cells, seeds | same seed | other seeds | seeds for the same error |\n"
        + "|---" * 5
        + "|"
    )
    for (distiller, ipc), cells in tables.items():
        reference = next((runs for cell, runs in cells.items() if cell.is_all), {})
        seeds = sorted(reference)
        others = [
            np.array([runs[seed] for seed in seeds])
            for cell, runs in cells.items()
            if not cell.is_all and set(runs) >= set(seeds)
        ]
        if len(seeds) > 1 and others:
            common, independent = spreads(others, np.array([reference[seed] for seed in seeds]))
            print(
                f"| {distiller}, {ipc} | {len(others)}, {len(seeds)} | {common:.2f} | {independent:.2f} | "
                f"{(independent / common) ** 2:.1f} times as many |"
            )


def spreads(cells: Sequence[np.ndarray], reference: np.ndarray) -> tuple[float, float]:
    """Root mean square over the cells of the s.d. of differences of the same seed, and of other seeds."""
    common = np.mean([(each - reference).var(ddof=1) for each in cells])
    independent = np.mean([each.var(ddof=1) for each in cells]) + reference.var(ddof=1)
    return float(np.sqrt(common)), float(np.sqrt(independent))


if __name__ == "__main__":
    main()
