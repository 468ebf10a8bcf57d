"""The built-in distillers at work: all cells of a seed are distilled together, then judged in groups."""

import time
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from goldore.datasets import ImageDataset
from goldore.datasets.classes import class_members
from goldore.errors import OutOfMemoryError
from goldore.networks.architecture import Layout
from goldore.runs.job import memory_errors
from goldore.store import ScoreFile
from goldore.studies.cells import UNDISTILLED, Cell
from goldore.studies.judges import Judges
from goldore.studies.kept import KeptSet, select_all
from goldore.studies.matching import Matcher
from goldore.studies.model import Run, Settings
from goldore.studies.pool import Pool, start_rows
from goldore.studies.study_file import Waiting
from goldore.studies.watching import Told
from goldore.training.devices import abilities, running_on
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.training.memory import is_memory_error, release_memory, total_memory
from goldore.training.tuning import networks_that_fit
from goldore.trials import StudyRecipe
from goldore.trials.seeds import study_judge, study_stream

_CPU_IMAGES = 40  # in a step of the cells judged at once; more are no faster, and slower beyond the caches
_CARD_CELLS = 64  # judged at once
_OUT_OF_MEMORY = "out of memory; choose a smaller `budget`."


class BuiltIn:
    """Runs cells with goldore's own distillers.

    Args:
        dataset: with a test split.
        file: its scores.
        settings: of the study, with the complete recipe.
        device: to compute on.
        deterministic: whether CUDA's kernels are to be.
        compiled: whether embedding and judging are compiled.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        file: ScoreFile,
        settings: Settings,
        device: torch.device,
        *,
        deterministic: bool,
        compiled: bool,
    ) -> None:
        self._file, self._settings, self._device = file, settings, device
        self._recipe = recipe_of(settings)
        self._deterministic = deterministic
        self._data = DeviceDataset(dataset, self._recipe.mean or (), self._recipe.std or (), device)
        self._architecture = self._recipe.network.architecture(dataset.image_shape, dataset.num_classes)
        layout = Layout(
            fused=compiled and Layout(fused=True) in self._architecture.layouts(one_operator=compiled)
        )
        self._execution = Execution(layout, layout, compiled, graph=abilities(device).graphs)
        self._members = class_members(dataset.labels, dataset.num_classes)
        self._labels, self._classes = dataset.labels, dataset.num_classes
        self._judges = Judges(dataset, self._data, self._architecture, self._recipe, self._execution)
        self._most = self._fitting_cells()

    def run(self, seed: int, cells: Sequence[Cell], waiting: Waiting, told: Told) -> None:
        """Run cells for one seed, all that are missing.

        Args:
            seed: number of the seed.
            cells: to run.
            waiting: images of some of them that were distilled before; they are not changed here.
            told: what becomes of it.
        """
        with running_on(self._device, deterministic=self._deterministic):
            kept = select_all(self._file, cells, self._settings.base_seed + seed)
            numbers = np.random.default_rng(study_stream(self._settings.base_seed, seed)).random(
                len(self._labels), dtype=np.float32
            )
            images = {cell: waiting[cell, seed] for cell in cells if (cell, seed) in waiting}
            seconds = dict.fromkeys(cells, 0.0)
            for method in ("dm", "dc"):
                these = [cell for cell in cells if cell.distiller == method and cell not in images]
                if these:
                    start = time.perf_counter()
                    found = self._distilled(method, these, seed, kept, numbers, told)
                    each = (time.perf_counter() - start) / len(these)
                    seconds |= dict.fromkeys(these, each)
                    images |= found
                    told.wait({(cell, seed): made for cell, made in found.items()})
            images |= {
                cell: self._as_stored(self._start(cell, kept, numbers))
                for cell in cells
                if cell.distiller == UNDISTILLED
            }
            self._judge_all(seed, cells, images, kept, seconds, told)

    def _distilled(
        self,
        method: str,
        cells: Sequence[Cell],
        seed: int,
        kept: dict[Cell, KeptSet],
        numbers: NDArray[np.float32],
        told: Told,
    ) -> dict[Cell, NDArray[np.float16]]:
        recipe = self._recipe.match(method)
        unique = list({kept[cell].digest: kept[cell] for cell in cells}.values())
        places = {each.digest: place for place, each in enumerate(unique)}
        sets = np.zeros((len(unique), len(self._labels)), dtype=np.bool_)
        for row, each in zip(sets, unique, strict=True):
            row[each.indices] = True
        pool = Pool(sets, self._labels, self._classes, recipe.match_batch)
        groups = _by_ipc(cells)
        starts = [
            (np.array([places[kept[cell].digest] for cell in group]), self._start_rows(group, kept, numbers))
            for group in groups
        ]
        matcher = Matcher(
            self._data,
            self._architecture,
            "dc" if method == "dc" else "dm",
            recipe,
            self._recipe.augment,
            self._recipe.precision or "float32",
            self._execution,
        )
        with memory_errors(_OUT_OF_MEMORY):
            found = matcher(
                study_stream(self._settings.base_seed, seed),
                pool,
                starts,
                lambda step: told.progressed(f"distilling by {method}", step / recipe.match_steps),
            )
        return {
            cell: self._as_stored(images)
            for group, made in zip(groups, found, strict=True)
            for cell, images in zip(group, made, strict=True)
        }

    def _start_rows(
        self, cells: Sequence[Cell], kept: dict[Cell, KeptSet], numbers: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """Positions [E, K, ipc] that images of cells with one number of images per class start from."""
        found = []
        for cell in cells:
            inside = np.zeros(len(self._labels), dtype=np.bool_)
            inside[kept[cell].indices] = True
            found.append(start_rows([each[inside[each]] for each in self._members], cell.ipc, numbers))
        return np.stack(found)

    def _start(self, cell: Cell, kept: dict[Cell, KeptSet], numbers: NDArray[np.float32]) -> torch.Tensor:
        rows = torch.from_numpy(self._start_rows([cell], kept, numbers)[0])
        return self._data.normalize(self._data.images.take(rows.to(self._data.index_device)))

    @staticmethod
    def _as_stored(images: torch.Tensor) -> NDArray[np.float16]:
        """Images as the file keeps them; these are judged, so that a stopped run goes on with the same."""
        stored: NDArray[np.float16] = images.half().cpu().numpy()
        return stored

    def _judge_all(
        self,
        seed: int,
        cells: Sequence[Cell],
        images: dict[Cell, NDArray[np.float16]],
        kept: dict[Cell, KeptSet],
        seconds: dict[Cell, float],
        told: Told,
    ) -> None:
        done = 0
        for group in _by_ipc(cells):  # of one size, "none" having 0 images per class
            rest = list(group)
            while rest:
                some = rest[: self._cells_at_once(group[0].ipc)]
                start = time.perf_counter()
                try:
                    found = self._judged(seed, some, images, kept)
                except Exception as error:
                    if not is_memory_error(error):
                        raise
                    if len(some) == 1:
                        raise OutOfMemoryError(_OUT_OF_MEMORY) from error
                    release_memory()
                    self._most = len(some) // 2
                    continue
                each = (time.perf_counter() - start) / len(some)
                done += len(some)
                rest = rest[len(some) :]
                told.keep(
                    [
                        Run(
                            cell=cell,
                            seed=seed,
                            accuracy=float(by_class.mean(0) @ self._judges.class_shares),
                            by_class=by_class.mean(0),
                            judges=by_class @ self._judges.class_shares,
                            kept=len(kept[cell].indices),
                            digest=kept[cell].digest,
                            seconds=seconds[cell] + each,
                            failed="" if np.isfinite(by_class).all() else "a network that judges diverged",
                        )
                        for cell, by_class in zip(some, found, strict=True)
                    ]
                )
                told.progressed("judging", done / len(cells))

    def _judged(
        self,
        seed: int,
        cells: Sequence[Cell],
        images: dict[Cell, NDArray[np.float16]],
        kept: dict[Cell, KeptSet],
    ) -> NDArray[np.float64]:
        """Accuracy in percent by cell, judge and class, float64 [E, J, K]."""
        wanted = len(cells)
        if self._execution.compiled:  # for one number of cells
            cells = [*cells, *[cells[-1]] * (self._cells_at_once(cells[0].ipc) - wanted)]
        found = []
        for judge in range(self._recipe.judges):
            trial = study_judge(self._settings.base_seed, seed, judge)
            if cells[0].ipc == 0:
                found.append(self._judges.on_subsets(trial, [kept[cell].indices for cell in cells]))
            else:
                shown = torch.from_numpy(np.stack([images[cell] for cell in cells]))
                found.append(self._judges.on_images(trial, shown.to(self._device).float()))
        return 100 * np.stack(found, axis=1)[:wanted]

    def _cells_at_once(self, ipc: int) -> int:
        """How many are judged at once; `ipc` is 0 where their whole kept sets are."""
        if abilities(self._device).own_memory:
            return self._most
        batch = self._recipe.batch_size
        return min(self._most, max(1, _CPU_IMAGES // min(batch, ipc * self._classes or batch)))

    def _fitting_cells(self) -> int:
        if not abilities(self._device).own_memory:
            return _CPU_IMAGES
        fitting = networks_that_fit(self._architecture, self._recipe.batch_size, total_memory(self._device))
        return max(1, min(_CARD_CELLS, fitting))


def recipe_of(settings: Settings) -> StudyRecipe:
    """The recipe of a study of built-in distillers."""
    if settings.recipe is None:
        raise RuntimeError("a program has no recipe")
    return settings.recipe


def _by_ipc(cells: Iterable[Cell]) -> list[list[Cell]]:
    groups: dict[int, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.ipc, []).append(cell)
    return list(groups.values())
