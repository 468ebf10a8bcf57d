"""What a study of built-in distillers needs of torch, before its first run."""

from dataclasses import replace

import torch

from goldore.datasets import ImageDataset
from goldore.networks.architecture import Architecture
from goldore.runs.evaluation import check_test_split, test_fingerprint
from goldore.runs.job import complete_recipe
from goldore.store import ScoreFile
from goldore.studies.builtin import BuiltIn, recipe_of
from goldore.studies.model import Settings
from goldore.studies.study_file import Content
from goldore.training.devices import describe, prepare_determinism, resolve_device
from goldore.training.tuning import check_compile_mode, is_compiled
from goldore.trials import StudyRecipe

_USUAL_RUNS = 100


def prepare(
    dataset: ImageDataset,
    file: ScoreFile,
    settings: Settings,
    recipe: StudyRecipe,
    device: str,
    *,
    deterministic: bool,
    compile_mode: str,
) -> tuple[BuiltIn, Content]:
    """Make what runs the cells, and the study as it begins.

    Args:
        dataset: with a test split.
        file: its scores.
        settings: of the study.
        recipe: of it, which may leave depth, mean and std open.
        device: by its name.
        deterministic: whether CUDA's kernels are to be.
        compile_mode: "auto", "on" or "off".

    Raises:
        UsageError: if the dataset has no test split, or there is no such device.
    """
    check_compile_mode(compile_mode)
    check_test_split(
        dataset,
        "a study judges by one: name a dataset that has it with `dataset` (folders train/ and val/ give one)",
    )
    where = resolve_device(device)
    if deterministic:
        prepare_determinism(where)
    complete = replace(
        settings,
        recipe=complete_recipe(recipe, dataset),
        evaluation=test_fingerprint(dataset, None),
    )
    compiled = is_compiled(*_usual_work(dataset, recipe_of(complete)), where, compile_mode)
    runner = BuiltIn(dataset, file, complete, where, deterministic=deterministic, compiled=compiled)
    return runner, Content(complete, device=describe(where), torch_version=str(torch.__version__))


def _usual_work(dataset: ImageDataset, recipe: StudyRecipe) -> tuple[Architecture, int]:
    """Networks, and images that pass through one forward, in a study of usual size whatever is asked for now.

    A cell's numbers would be slightly others if some seeds were compiled and others not.
    """
    embedded = dataset.num_classes * recipe.dm.match_batch * recipe.dm.match_steps
    judged = 3 * dataset.num_classes * recipe.judges * recipe.judge_steps  # forward, and backward twice that
    architecture = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    return architecture, _USUAL_RUNS * (embedded + judged)
