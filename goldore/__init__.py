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

from typing import TYPE_CHECKING

from goldore.deferred import deferred
from goldore.errors import (
    DatasetError,
    GoldoreError,
    IndexFileError,
    LockedError,
    MappingError,
    NewerFormatError,
    OutOfMemoryError,
    PlugError,
    ScoreFileError,
    TargetError,
    TreeError,
    UnreliableError,
    UsageError,
)
from goldore.version import __version__

if TYPE_CHECKING:
    from goldore.applying.within import applied
    from goldore.datasets import ImageDataset, load_dataset
    from goldore.exchange.dropping import drop_samples
    from goldore.exchange.exporting import export_lists
    from goldore.exchange.importing import import_scores
    from goldore.exchange.shards import shards
    from goldore.networks.config import ConvNetConfig
    from goldore.repositories.mapping import map_index
    from goldore.runs.extending import extend
    from goldore.runs.scoring import score
    from goldore.runs.watching import Watcher
    from goldore.selection.index_file import load_index, load_indices
    from goldore.selection.keeping import check_index, keep_mask, sampler, subset
    from goldore.selection.pruning import Selection, prune
    from goldore.store import ScoreFile, load_predictions, load_scores, merge, reestimate
    from goldore.studies.model import Study
    from goldore.studies.study_file import load_study
    from goldore.studies.studying import study
    from goldore.studies.watching import StudyWatcher
    from goldore.trials import (
        DistillRecipe,
        FoldRecipe,
        KernelRecipe,
        KernelUtilityRecipe,
        LossRecipe,
        MatchRecipe,
        StudyRecipe,
        UtilityRecipe,
    )

__all__ = [
    "ConvNetConfig",
    "DatasetError",
    "DistillRecipe",
    "FoldRecipe",
    "GoldoreError",
    "ImageDataset",
    "IndexFileError",
    "KernelRecipe",
    "KernelUtilityRecipe",
    "LockedError",
    "LossRecipe",
    "MappingError",
    "MatchRecipe",
    "NewerFormatError",
    "OutOfMemoryError",
    "PlugError",
    "ScoreFile",
    "ScoreFileError",
    "Selection",
    "Study",
    "StudyRecipe",
    "StudyWatcher",
    "TargetError",
    "TreeError",
    "UnreliableError",
    "UsageError",
    "UtilityRecipe",
    "Watcher",
    "__version__",
    "applied",
    "check_index",
    "drop_samples",
    "export_lists",
    "extend",
    "import_scores",
    "keep_mask",
    "load_dataset",
    "load_index",
    "load_indices",
    "load_predictions",
    "load_scores",
    "load_study",
    "map_index",
    "merge",
    "prune",
    "reestimate",
    "sampler",
    "score",
    "shards",
    "study",
    "subset",
]

_HOME = {
    "ConvNetConfig": "goldore.networks.config",
    "DistillRecipe": "goldore.trials",
    "FoldRecipe": "goldore.trials",
    "KernelRecipe": "goldore.trials",
    "KernelUtilityRecipe": "goldore.trials",
    "ImageDataset": "goldore.datasets",
    "LossRecipe": "goldore.trials",
    "UtilityRecipe": "goldore.trials",
    "ScoreFile": "goldore.store",
    "Watcher": "goldore.runs.watching",
    "Selection": "goldore.selection.pruning",
    "applied": "goldore.applying.within",
    "drop_samples": "goldore.exchange.dropping",
    "extend": "goldore.runs.extending",
    "export_lists": "goldore.exchange.exporting",
    "import_scores": "goldore.exchange.importing",
    "keep_mask": "goldore.selection.keeping",
    "map_index": "goldore.repositories.mapping",
    "subset": "goldore.selection.keeping",
    "sampler": "goldore.selection.keeping",
    "check_index": "goldore.selection.keeping",
    "shards": "goldore.exchange.shards",
    "load_dataset": "goldore.datasets",
    "load_index": "goldore.selection.index_file",
    "load_indices": "goldore.selection.index_file",
    "load_predictions": "goldore.store",
    "load_scores": "goldore.store",
    "merge": "goldore.store",
    "reestimate": "goldore.store",
    "prune": "goldore.selection.pruning",
    "score": "goldore.runs.scoring",
    "MatchRecipe": "goldore.trials",
    "Study": "goldore.studies.model",
    "StudyRecipe": "goldore.trials",
    "StudyWatcher": "goldore.studies.watching",
    "load_study": "goldore.studies.study_file",
    "study": "goldore.studies.studying",
}


def __dir__() -> list[str]:
    """The public names, for completion and `dir`."""
    return sorted(__all__)


__getattr__ = deferred(__name__, _HOME)
