"""What `goldore.report` says of scores: records that terminal, page and figures read, and --json prints.

Unknown numbers are None, never NaN or infinite. Shares lie in 0..1 and correlations in -1..1; reliabilities
reach up to 1, and below 0 where they are estimated. Labels are 0..K-1, positions 0..N-1 of the training set.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from goldore.selection.pruning import Scope
    from goldore.store import DatasetInfo
    from goldore.trials import KernelUtilityRecipe, LossRecipe, UtilityRecipe

Known = float | None
"""A finite number; None where it is not known."""


class Record:
    """A dataclass that JSON can hold."""

    def to_json(self) -> Any:
        """The record as JSON values: objects, lists, texts, numbers and None."""
        return _fields_as_json(self)


def _fields_as_json(record: Any) -> dict[str, Any]:
    """A dataclass as an object, without fields of "key" None and "optional" ones that are None."""
    named = {
        each.metadata.get("key", each.name): getattr(record, each.name)
        for each in dataclasses.fields(record)
        if not each.metadata.get("optional") or getattr(record, each.name) is not None
    }
    return {key: _as_json(value) for key, value in named.items() if key is not None}


def _as_json(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return _fields_as_json(value)
    if isinstance(value, dict):
        return {key: _as_json(each) for key, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, tuple | list) else value


def number_or_none(value: "float | np.floating[Any]") -> Known:
    """A plain float; None where it is not finite."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, kw_only=True)
class LossTrialsRecord(Record):
    """The loss trials of a file, or its cross-validations.

    Attributes:
        done: trials that ended well.
        failed: numbers of those that diverged.
        base_seed: from which their seeds are derived.
        recorded: names of the scores that each recorded.
        windows: first and last epoch, from 1, that a score averages, by its name; not of users' own scores.
        recipe: of all trials, its windows as numbers.
        assumed: settings that the file does not name, and what they were taken as.
        train_loss: mean over the trials of the training loss in nat, of each epoch that was run.
        test_accuracy: mean over the trials, 0..1; None without a test split.
        seconds: that all trials took on their devices; None if that of one is not known.
    """

    done: int
    failed: tuple[int, ...]
    base_seed: int
    recorded: tuple[str, ...]
    windows: dict[str, tuple[int, int]]
    recipe: "LossRecipe"
    assumed: dict[str, Any]
    train_loss: tuple[Known, ...]
    test_accuracy: Known
    seconds: Known


@dataclass(frozen=True, kw_only=True)
class UtilityTrialsRecord(Record):
    """The utility trials of a file.

    Attributes:
        done: trials that ended well.
        failed: trials that diverged.
        base_seed: from which draws and seeds are derived.
        outcome: that MonteCarlo is about: accuracy, logprob or margin.
        estimator: that made it.
        recipe: of all trials.
        assumed: settings that the file does not name, and what they were taken as.
        subset_sizes: samples of each class that a trial draws, K.
        per_sweep: trials that draw every sample once.
        accuracy: mean over trials and classes, 0..1; None without a trial that ended well.
        class_accuracy: mean over the trials, K, likewise.
        seconds: that all trials took on their devices; None if that of one is not known.
    """

    done: int
    failed: int
    base_seed: int
    outcome: str
    estimator: str
    recipe: "UtilityRecipe"
    assumed: dict[str, Any]
    subset_sizes: tuple[int, ...]
    per_sweep: int
    accuracy: Known
    class_accuracy: tuple[Known, ...]
    seconds: Known


@dataclass(frozen=True)
class KernelTrialsRecord(Record):
    """The trials of KernelUtility of a file.

    Attributes:
        done: trials that ended well.
        failed: trials with values that are not finite.
        base_seed: from which the networks' seeds are derived.
        recipe: of all trials.
        assumed: settings that the file does not name, and what they were taken as.
        seconds: that all trials took; None if that of one is not known.
    """

    done: int
    failed: int
    base_seed: int
    recipe: "KernelUtilityRecipe"
    assumed: dict[str, Any]
    seconds: Known


@dataclass(frozen=True)
class TrialsRecord(Record):
    """The trials of a file, by kind; None, and no key in JSON, where there are none."""

    loss: LossTrialsRecord | None = field(metadata={"optional": True})
    utility: UtilityTrialsRecord | None = field(metadata={"optional": True})
    kernel: KernelTrialsRecord | None = field(metadata={"optional": True})
    check: UtilityTrialsRecord | None = field(metadata={"optional": True})
    fold: LossTrialsRecord | None = field(metadata={"optional": True})

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) is not None for each in dataclasses.fields(self))


@dataclass(frozen=True)
class Histogram(Record):
    """How the values of a score are distributed.

    Attributes:
        scale: of bins of equal width; "log" has equal ratios.
        edges: ascending, one more than counts; none without values.
        counts: values in each bin, the last one with its upper edge.
    """

    scale: Literal["linear", "log"]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ReliabilityCurve(Record):
    """Reliability of ranks against the number of trials; null in JSON where none is measured.

    Attributes:
        measured: (trials, reliability) from the first trials of the file, ascending; the last one is what the
            file says, from all trials and all samples. None with fewer than two trials.
        planned: (trials, reliability) by Spearman-Brown from the reliability of all trials; may be empty.
        targets: reliabilities that one plans for.
        samples: that the points before the last rest on.
    """

    measured: tuple[tuple[int, float], ...]
    planned: tuple[tuple[float, float], ...]
    targets: tuple[float, ...]
    samples: int

    def to_json(self) -> Any:
        """The record as JSON values; None without a point."""
        return super().to_json() if self.measured else None


@dataclass(frozen=True, kw_only=True)
class ClassRecord(Record):
    """A score in one class. Values are in the score's unit, and None in a class without any.

    Attributes:
        label: of the class.
        name: of the class.
        samples: of the class.
        missing: those without the score.
        mean, min, median, max: of its values.
        std: standard deviation, with n - 1; None of one value.
        highest_tenth: share of its values that are among the highest tenth of all.
        stderr: median standard error of its values.
        reliability, rank_reliability: of the values, and of their ranks, within the class.
        signal_share: share of an outcome's variance that is due to which samples were drawn; utility only.
    """

    label: int
    name: str
    samples: int
    missing: int
    mean: Known
    std: Known
    min: Known
    median: Known
    max: Known
    highest_tenth: Known
    stderr: Known
    reliability: Known
    rank_reliability: Known
    signal_share: Known


@dataclass(frozen=True, kw_only=True)
class AgreementRecord(Record):
    """How well a utility that trains nothing agrees with that of trained networks.

    Attributes:
        correlation: within classes, corrected for the noise of both; None if it cannot be told.
        stderr: its standard error.
        verdict: "close", "related", "another thing" or "unknown".
        trials: trained ones.
        samples: that both know.
        trained_reliability: of the trained utility on these samples.
    """

    correlation: Known
    stderr: Known
    verdict: str
    trials: int
    samples: int
    trained_reliability: Known


@dataclass(frozen=True, kw_only=True)
class ScoreRecord(Record):
    """A score of a file. Values are in its unit, and None without any.

    Attributes:
        definition: one sentence.
        direction: what high and low mean.
        ends: what the samples with the lowest and with the highest values are.
        unit: of the values.
        trials: stored for it; 0 of an imported score.
        missing: samples without the score.
        mean, min, median, max: of all values.
        std: standard deviation, with n - 1; None of one value.
        within_class_std: standard deviation within classes.
        between_class_share: share of the variance that is between classes.
        quantiles: by their level, "0.01" to "0.99".
        stderr: median standard error of the values.
        reliability, rank_reliability: of the values, and of their ranks, within classes; each with its
            standard error.
        signal_share: share of an outcome's variance that is due to which samples were drawn; utility only.
        outcome, estimator: what it is about and how it was estimated from utility trials; else None.
        explained: estimator "shrunk" only: share of the variance of in-minus-out that the prior predicts of
            samples it was not fitted to; nothing is shrunk where it is not above 0. No key in JSON otherwise.
        agreement: with trained networks; None, and no key in JSON, where no trained trials tell.
        trials_needed: number of trials, not rounded, by the reliability that they would reach.
        histogram: of all values.
        classes: of each class, K.
        reliability_curve: how the reliability grows with the trials; None, and no key in JSON, unless
            it is asked for.
        of_utility: whether utility trials make it, here or where it was imported from; not in JSON.
    """

    definition: str
    direction: str
    ends: tuple[str, str]
    unit: str
    trials: int
    missing: int
    mean: Known
    std: Known
    min: Known
    median: Known
    max: Known
    within_class_std: Known
    between_class_share: Known
    quantiles: dict[str, Known]
    stderr: Known
    reliability: Known
    reliability_stderr: Known
    rank_reliability: Known
    rank_reliability_stderr: Known
    signal_share: Known
    outcome: str | None
    estimator: str | None
    agreement: AgreementRecord | None = field(metadata={"optional": True})
    explained: Known = field(metadata={"optional": True})
    trials_needed: dict[str, Known]
    histogram: Histogram
    classes: tuple[ClassRecord, ...]
    reliability_curve: ReliabilityCurve | None = field(metadata={"optional": True})
    of_utility: bool = field(metadata={"key": None})


@dataclass(frozen=True, kw_only=True)
class Correlation(Record):
    """Spearman's rank correlation of two scores of a file.

    Attributes:
        first, second: the scores.
        within_class: within each class, the mean over classes by their samples.
        overall: over all samples at once; "global" in JSON.
        classes: within each class, K.
        samples: that have both scores.
    """

    first: str
    second: str
    within_class: Known
    overall: Known = field(metadata={"key": "global"})
    classes: tuple[Known, ...]
    samples: int


@dataclass(frozen=True, kw_only=True)
class Summary(Record):
    """What a score file says.

    Attributes:
        file: its path.
        goldore_version, torch_version: that wrote it, and that trained.
        device: that the trials ran on.
        command: that makes a file like it; None if there is none.
        created, updated: times, ISO 8601 in UTC.
        dataset: that was scored.
        trials: that are stored.
        scores: by name.
        correlations: of every two scores.
    """

    file: str
    goldore_version: str
    torch_version: str
    device: str
    command: str | None
    created: str
    updated: str
    dataset: "DatasetInfo"
    trials: TrialsRecord
    scores: dict[str, ScoreRecord]
    correlations: tuple[Correlation, ...]


@dataclass(frozen=True, kw_only=True)
class KeptClass(Record):
    """What is kept of one class.

    Attributes:
        label: of the class.
        name: of the class.
        kept: samples that are kept.
        total: samples of the class.
        lowest_kept, highest_kept: values of the score; None if none is kept, or for Random.
        threshold: the value beyond which samples of the class are dropped; likewise.
        halves_overlap: twice the samples that two halves of the trials both keep, by all that either keeps
            (under the scope "global" the halves may keep unlike numbers of a class); None without halves.
    """

    label: int
    name: str
    kept: int
    total: int
    lowest_kept: Known
    highest_kept: Known
    threshold: Known
    halves_overlap: Known


@dataclass(frozen=True, kw_only=True)
class Kept(Record):
    """What a criterion keeps.

    Attributes:
        criterion: its name.
        rule: how much it keeps, in words.
        scope: what a share is of.
        score: that it goes by; this, drops, direction and unit are None for Random.
        drops: the end that is dropped.
        direction: what high and low values mean.
        unit: of the values.
        reliability: of the ranks, where that is known.
        utility: whether the score was estimated from utility trials.
        kept: samples that are kept.
        total: samples of the training set.
        missing: samples without a score.
        kept_missing: those among the kept ones.
        halves_overlap: share of the kept samples that two halves of the trials agree on; None without halves.
        chance_overlap: what two random selections of these sizes share.
        classes: what is kept of each, K.
        of_utility: whether utility trials make the score, here or where it was imported from; not in JSON.
    """

    criterion: str
    rule: str
    scope: "Scope"
    score: str | None
    drops: str | None
    direction: str | None
    unit: str | None
    reliability: Known
    utility: bool
    kept: int
    total: int
    missing: int
    kept_missing: int
    halves_overlap: Known
    chance_overlap: Known
    classes: tuple[KeptClass, ...]
    of_utility: bool = field(metadata={"key": None})


@dataclass(frozen=True)
class ComparedFile(Record):
    """A file of a comparison.

    Attributes:
        id: a letter.
        file: its path.
        dataset: its name.
        fingerprint: of the dataset; None where only labels are known.
        scores: their names.
    """

    id: str
    file: str
    dataset: str
    fingerprint: str | None
    scores: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FileCorrelation(Record):
    """Spearman's rank correlation of two scores of two files.

    Attributes:
        files: ids of the two.
        scores: one of each.
        within_class: within each class, the mean over classes by their samples.
        overall: over all samples at once; "global" in JSON.
        noise_limit: what two scores of these reliabilities reach if they measure the same thing.
        classes: within each class, K.
        samples: that have both scores.
    """

    files: tuple[str, str]
    scores: tuple[str, str]
    within_class: Known
    overall: Known = field(metadata={"key": "global"})
    noise_limit: Known
    classes: tuple[Known, ...]
    samples: int


@dataclass(frozen=True)
class Overlap(Record):
    """What criteria of two files both keep.

    Attributes:
        files: ids of the two.
        criteria: one of each.
        kept_by_both: share of the samples kept by one that the other keeps too, by keep ratio; None where
            samples without a score would have to be kept.
        chance: what two random selections of these sizes share, by keep ratio.
    """

    files: tuple[str, str]
    criteria: tuple[str, str]
    kept_by_both: dict[str, Known]
    chance: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Comparison(Record):
    """Several score files of one dataset.

    Attributes:
        files: all of them.
        scope: what a keep ratio is of.
        class_names: K names.
        ratios: keep ratios, 0..1, as texts.
        correlations: of scores of every two files.
        overlaps: of what criteria of every two files keep.
    """

    files: tuple[ComparedFile, ...]
    scope: "Scope"
    class_names: tuple[str, ...]
    ratios: tuple[str, ...]
    correlations: tuple[FileCorrelation, ...]
    overlaps: tuple[Overlap, ...]


@dataclass(frozen=True, kw_only=True)
class SampleScore(Record):
    """A score of one sample.

    Attributes:
        value: in the score's unit; None without.
        stderr: standard error of the value.
        rank: in its class, from 1, the lowest value; ties at their mean.
        ranked: samples of its class with this score.
        trials: that count for it.
        per_trial: its value in each of these trials; of a score of utility trials the outcome of its class in
            each trial that drew it.
        of_utility: whether utility trials make the score, here or where it was imported from; not in JSON.
    """

    value: Known
    stderr: Known
    rank: Known
    ranked: int
    trials: int
    per_trial: tuple[Known, ...]
    of_utility: bool = field(metadata={"key": None})


@dataclass(frozen=True, kw_only=True)
class SampleRecord(Record):
    """What a file says of one sample.

    Attributes:
        position: of the sample.
        label: its class.
        class_name: its class by name; "class" in JSON.
        path: in its folder tree; None of other datasets.
        hash: of its pixels, 16 hexadecimal digits; None where only labels are known.
        scores: by name.
    """

    position: int
    label: int
    class_name: str = field(metadata={"key": "class"})
    path: str | None
    hash: str | None
    scores: dict[str, SampleScore]
