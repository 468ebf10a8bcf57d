"""The score file: plain HDF5 without pickles, readable with h5py and h5ls.

    /                    attrs: format, format_version, goldore_version, torch_version, device, created,
                         updated
    /dataset             attrs: name, split, num_samples, num_classes, class_names, image_shape,
                         fingerprint, source, origin (optional)
    /dataset/labels      int32 [N]
    /dataset/sample_hash uint64 [N]
    /dataset/paths       strings [N] (folder trees only)
    /scores/<Name>       float64 [N]; attrs: definition, direction, unit, trials, recipe, reliability, ...
    /stderr/<Name>       float64 [N]
    /halves/<Name>       float32 [2, N], the score from either half of the trials
    /counts/<Name>       int32 [N], the trials that contain the sample (MonteCarlo)
    /trials/loss         see `goldore.store.loss_trials`
    /trials/fold         as /trials/loss, a row a cross-validation
    /trials/utility      see `goldore.store.utility_trials`
    /trials/kernel       see `goldore.store.kernel_trials`
    /trials/check        as /trials/utility, of trained trials to compare with

Row i of every [N] array is position i of the original training set; nothing is sorted or regrouped. A file is
never changed in place: each batch of finished trials is added to a copy that then replaces the file, so that
a crash at any moment leaves the previous, complete state.

May import: datasets, files, scores, trials.
"""

from goldore.store.checks import check_same_run, check_storable, run_differences
from goldore.store.estimating import estimate_anew, estimate_scores, reestimate
from goldore.store.journal import journal_of
from goldore.store.journal import remove as remove_journal
from goldore.store.location import default_path, default_study, features_path
from goldore.store.merging import join, merge
from goldore.store.model import (
    CheckRun,
    DatasetInfo,
    FoldRun,
    Header,
    KernelResult,
    KernelRun,
    KernelTrials,
    LossResult,
    LossRun,
    LossTrials,
    Result,
    Run,
    Score,
    ScoreFile,
    UtilityResult,
    UtilityRun,
    UtilityTrials,
)
from goldore.store.predicting import load_predictions
from goldore.store.reading import is_score_file, is_study, load_header, load_scores
from goldore.store.writing import add_trials, drop_trials, write_new

__all__ = [
    "CheckRun",
    "DatasetInfo",
    "FoldRun",
    "Header",
    "KernelResult",
    "KernelRun",
    "KernelTrials",
    "LossResult",
    "LossRun",
    "LossTrials",
    "Result",
    "Run",
    "Score",
    "ScoreFile",
    "UtilityResult",
    "UtilityRun",
    "UtilityTrials",
    "add_trials",
    "check_same_run",
    "check_storable",
    "default_path",
    "default_study",
    "drop_trials",
    "estimate_anew",
    "estimate_scores",
    "features_path",
    "is_score_file",
    "is_study",
    "join",
    "journal_of",
    "load_header",
    "load_predictions",
    "load_scores",
    "merge",
    "reestimate",
    "remove_journal",
    "run_differences",
    "write_new",
]
