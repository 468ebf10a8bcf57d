"""goldore: score the samples of an image dataset and keep the ones worth distilling.

Three steps, the same from the command line and from Python:

    import goldore

    scores = goldore.score("MNIST", data_root="data", trials=4)       # train proxy networks, write HDF5
    kept = goldore.prune(scores, "LossConverge_large", keep_ratio="0.1")
    kept.save("keep.npy")                                            # sorted positions to keep

`load_scores` and `load_indices` read the two kinds of file again. `subset`, `keep_mask` and `drop_samples`
put an index file or a score to work in other code. Importing goldore is cheap: torch is imported only when
something is trained.

The scores are those of Xu et al., "Distill Gold from Massive Ores", arXiv 2305.18381 (ECCV 2024).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from goldore.errors import GoldoreError, UsageError
from goldore.version import __version__

if TYPE_CHECKING:
    from goldore.datasets import ImageDataset, load_dataset
    from goldore.dropping import drop_samples
    from goldore.exporting import export_lists
    from goldore.importing import import_scores
    from goldore.indexfile import load_index, load_indices
    from goldore.keeping import keep_mask, subset
    from goldore.mapping import map_index
    from goldore.recipe import ConvNetConfig, DistillRecipe, LossRecipe, UtilityRecipe
    from goldore.scoring import score
    from goldore.selection import Selection, prune
    from goldore.store import ScoreFile, load_scores, merge, reestimate
    from goldore.watching import Watcher

__all__ = [
    "ConvNetConfig",
    "DistillRecipe",
    "GoldoreError",
    "ImageDataset",
    "LossRecipe",
    "ScoreFile",
    "Selection",
    "UsageError",
    "UtilityRecipe",
    "Watcher",
    "__version__",
    "drop_samples",
    "export_lists",
    "import_scores",
    "keep_mask",
    "load_dataset",
    "load_index",
    "load_indices",
    "load_scores",
    "map_index",
    "merge",
    "prune",
    "reestimate",
    "score",
    "subset",
]

_HOME = {
    "ConvNetConfig": "goldore.recipe",
    "DistillRecipe": "goldore.recipe",
    "ImageDataset": "goldore.datasets",
    "LossRecipe": "goldore.recipe",
    "UtilityRecipe": "goldore.recipe",
    "ScoreFile": "goldore.store",
    "Watcher": "goldore.watching",
    "Selection": "goldore.selection",
    "drop_samples": "goldore.dropping",
    "export_lists": "goldore.exporting",
    "import_scores": "goldore.importing",
    "keep_mask": "goldore.keeping",
    "map_index": "goldore.mapping",
    "subset": "goldore.keeping",
    "load_dataset": "goldore.datasets",
    "load_index": "goldore.indexfile",
    "load_indices": "goldore.indexfile",
    "load_scores": "goldore.store",
    "merge": "goldore.store",
    "reestimate": "goldore.store",
    "prune": "goldore.selection",
    "score": "goldore.scoring",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use (PEP 562), so that `import goldore` stays cheap."""
    if name not in _HOME:
        raise AttributeError(f"module 'goldore' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
