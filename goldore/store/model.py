"""What a score file holds, as Python objects."""

from dataclasses import astuple, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.origin import Origin
from goldore.scores import (
    FOLD_SCORES,
    KERNEL_UTILITY,
    MONTE_CARLO,
    MONTE_CARLO_DEFINITIONS,
    SCORES,
    TRAINING_SCORES,
    UTILITY_UNITS,
    ScoreDefinition,
)
from goldore.scores.estimators.agreement import Agreement
from goldore.scores.estimators.estimate import Estimate
from goldore.scores.estimators.reliability import trials_needed
from goldore.scores.estimators.utility import Estimator
from goldore.trials import (
    OUTCOMES,
    FoldRecipe,
    KernelUtilityRecipe,
    LossRecipe,
    Outcome,
    UtilityRecipe,
)
from goldore.trials.seeds import Trial, check_seed
from goldore.values import Value
from goldore.wording import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWN_BY, _FRAMED_BY = (
    "goldore.report.figures",
    "goldore.exchange.exporting",
)  # by name: they know score files


@dataclass(frozen=True)
class DatasetInfo:
    """The dataset of a score file, without its images.

    Attributes:
        name: of the dataset.
        split: "train"; positions count in it.
        num_samples: N.
        num_classes: K.
        class_names: K names.
        image_shape: channels, height, width; zeros where only the labels are known.
        fingerprint: as `ImageDataset.fingerprint`; empty where only the labels are known.
        source: where it was read from, in words.
        origin: the same as a record; taken from the words where it is not given, None if they say too little.
    """

    name: str
    split: str
    num_samples: int
    num_classes: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    fingerprint: str
    source: str
    origin: Origin | None = field(default=None, metadata={"key": None})  # no key in JSON

    def __post_init__(self) -> None:
        if self.origin is None:
            object.__setattr__(self, "origin", Origin.of_words(self.source))

    @property
    def not_at_hand(self) -> str:
        """That its images are not where they were read, and what to do."""
        path = self.origin.path if self.origin is not None else ""
        gone = f" (they were read from {path})" if path else ""
        return f"the images of {self.name} are not at hand{gone}; name the dataset with `dataset`."


@dataclass(frozen=True, eq=False, repr=False)
class Header(Value):
    """What a score file says of its dataset.

    Attributes:
        info: names, sizes, fingerprint.
        labels: int64 [N].
        sample_hash: uint64 [N], as `ImageDataset.sample_hash`; None where only the labels are known.
        paths: of the samples, for folder trees.
    """

    info: DatasetInfo
    labels: NDArray[np.int64] = field(repr=False)
    sample_hash: NDArray[np.uint64] | None = field(default=None, repr=False)
    paths: tuple[str, ...] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, dataset: ImageDataset) -> Self:
        """Take it from a dataset in memory."""
        info = DatasetInfo(
            name=dataset.name,
            split="train",
            num_samples=dataset.num_samples,
            num_classes=dataset.num_classes,
            class_names=dataset.class_names,
            image_shape=dataset.image_shape,
            fingerprint=dataset.fingerprint,
            source=dataset.source,
            origin=dataset.origin,
        )
        return cls(info, dataset.labels, dataset.sample_hash, dataset.paths)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Score(Estimate):
    """One score of a file: an estimate (values NaN for samples without a score) and what it means.

    Attributes:
        name: for example "LossConverge".
        definition: one sentence.
        direction: what high and low mean.
        unit: of the values.
        drops: the end that its authors drop, "large" or "small"; here and below, what the table of scores
            says where it is left empty.
        lowest: what the samples with the lowest values are.
        highest: what those with the highest values are.
        outcome: MonteCarlo only: the outcome of a trial that it is about.
        estimator: MonteCarlo only: how it was estimated.
        agreement: with the utility of trained networks, where the file has trials of both; else None.
    """

    name: str
    definition: str
    direction: str
    unit: str
    drops: str = ""
    lowest: str = ""
    highest: str = ""
    outcome: str = ""
    estimator: str = ""
    agreement: Agreement | None = None

    def __post_init__(self) -> None:
        row = SCORES.get(self.name)
        for key, otherwise in (("drops", "large"), ("lowest", "lowest"), ("highest", "highest")):
            known = getattr(self, key) or (getattr(row, key) if row else otherwise)
            object.__setattr__(self, key, known)

    @classmethod
    def of(
        cls,
        score: ScoreDefinition,
        estimate: Estimate,
        outcome: str = "",
        estimator: str = "",
        agreement: Agreement | None = None,
    ) -> Self:
        """Say of an estimate which score it is of."""
        return cls(
            **{each.name: getattr(estimate, each.name) for each in fields(Estimate)},
            name=score.name,
            definition=MONTE_CARLO_DEFINITIONS.get(estimator, score.definition),
            direction=score.direction,
            unit=UTILITY_UNITS.get(outcome, score.unit),
            drops=score.drops,
            lowest=score.lowest,
            highest=score.highest,
            outcome=outcome,
            estimator=estimator,
            agreement=agreement,
        )

    def __repr__(self) -> str:
        known = ", ".join(
            f"{what} {number(value, 2)}"
            for what, value in (("reliability", self.reliability), ("of ranks", self.rank_reliability))
            if value == value  # noqa: PLR0124 - not NaN
        )
        return f"Score({self.name}: {len(self.values)} samples, {self.trials} trials{known and ', ' + known})"

    @property
    def criterion(self) -> str:
        """The criterion that its authors recommend, for example "LossConverge_large"."""
        return f"{self.name}_{self.drops}"

    def trials_needed(self, target: float) -> float:
        """Trials at which the ranking would have this reliability; NaN where that cannot be told.

        Of KernelUtility it cannot: its errors over evaluation images do not shrink with the trials. Nor of
        shrunk scores, which rest on others.
        """
        if self.name == KERNEL_UTILITY.name or self.estimator == "shrunk":
            return float("nan")
        return trials_needed(self.trust, self.trials, target)

    @property
    def of_utility(self) -> bool:
        """Whether utility trials make it, of this file or of another that it was imported from."""
        return bool(self.estimator) or self.name == MONTE_CARLO.name

    @property
    def of_training(self) -> bool:
        """Whether networks that train on the training set, or on all but a fold of it, record it."""
        return self.name in TRAINING_SCORES or self.name in FOLD_SCORES or self.name not in SCORES


@dataclass(frozen=True, eq=False, repr=False)
class LossTrials(Value):
    """What a file says of its loss trials, or of its cross-validations, without the [T, N] arrays.

    Attributes:
        recipe: of all of them.
        base_seed: from which the trials' seeds are derived.
        scores: that each trial recorded.
        done: numbers of the trials that ended well.
        failed: numbers of the trials that diverged.
        seed: per row, uint64 [T].
        train_loss: float32 [T, epochs]; NaN where not run.
        test_accuracy: float32 [T]; NaN where unknown.
        seconds: time on its device that each trial took, float32 [T]; NaN where unknown.
        assumed: settings of the recipe that the file does not name, and what they were taken as.
        predicts: whether the file keeps which class each trial predicts.
    """

    recipe: LossRecipe
    base_seed: int
    scores: tuple[ScoreDefinition, ...]
    done: tuple[int, ...]
    failed: tuple[int, ...]
    seed: NDArray[np.uint64]
    train_loss: NDArray[np.float32]
    test_accuracy: NDArray[np.float32]
    seconds: NDArray[np.float32]
    assumed: dict[str, Any] = field(default_factory=dict)
    predicts: bool = False

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the scores that these trials give."""
        return self.recorded

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names of the scores."""
        return tuple(score.name for score in self.scores)


@dataclass(frozen=True, eq=False, repr=False)
class UtilityTrials(Value):
    """What a file says of its utility trials, without members and outcomes.

    Attributes:
        gives: names of the scores that these trials give.
        recipe: of all of them.
        base_seed: from which the draws and the trials' seeds are derived.
        outcome: that the file's MonteCarlo is about.
        estimator: that it was estimated with.
        evaluation: as in `UtilityRun`.
        done: numbers of the trials that ended well, ascending, int64.
        failed: numbers of the trials that diverged, likewise.
        accuracy: mean over the trials that ended well, by class, float64 [K]; NaN without.
        subset_sizes: samples of each class that a trial draws, int64 [K].
        seconds: time on its device that each trial took, float32 [T], of trials of any state; NaN where
            unknown.
        outcomes: names of those that the file holds.
        assumed: settings of the recipe that the file does not name, and what they were taken as.
    """

    gives: ClassVar[tuple[str, ...]] = (MONTE_CARLO.name,)
    recipe: UtilityRecipe
    base_seed: int
    outcome: Outcome
    estimator: Estimator
    evaluation: str
    done: NDArray[np.int64]
    failed: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    subset_sizes: NDArray[np.int64]
    seconds: NDArray[np.float32]
    outcomes: tuple[str, ...] = OUTCOMES
    assumed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class KernelTrials(Value):
    """What a file says of its trials of KernelUtility, without the [T, N] arrays.

    Attributes:
        gives: names of the scores that these trials give.
        recipe: of all of them.
        base_seed: from which the trials' seeds are derived.
        evaluation: as in `KernelRun`.
        done: numbers of the trials that ended well.
        failed: numbers of those with values that are not finite.
        seconds: that each trial took, float32 [T]; NaN where unknown.
        assumed: settings of the recipe that the file does not name, and what they were taken as.
    """

    gives: ClassVar[tuple[str, ...]] = (KERNEL_UTILITY.name,)
    recipe: KernelUtilityRecipe
    base_seed: int
    evaluation: str
    done: tuple[int, ...]
    failed: tuple[int, ...]
    seconds: NDArray[np.float32]
    assumed: dict[str, Any] = field(default_factory=dict)


StoredTrials = LossTrials | UtilityTrials | KernelTrials


@dataclass(frozen=True, eq=False, repr=False)
class ScoreFile(Value):
    """The content of a score file.

    Attributes:
        path: of the file.
        dataset: what was scored.
        labels: int64 [N].
        score_names: names of all scores in the file.
        scores: the scores that were read, by name.
        loss_trials: None if the file has none.
        device: what it was computed on.
        created: time, ISO 8601 in UTC.
        updated: likewise.
        goldore_version: that wrote it.
        torch_version: that trained.
        utility_trials: None if the file has none.
        kernel_trials: those of KernelUtility, likewise.
        check_trials: trained ones that utilities which train nothing are compared with, likewise.
        fold_trials: cross-validations, likewise.
    """

    path: Path
    dataset: DatasetInfo
    labels: NDArray[np.int64]
    score_names: tuple[str, ...]
    scores: dict[str, Score]
    loss_trials: LossTrials | None
    device: str
    created: str
    updated: str
    goldore_version: str
    torch_version: str
    utility_trials: UtilityTrials | None = None
    kernel_trials: KernelTrials | None = None
    check_trials: UtilityTrials | None = None
    fold_trials: LossTrials | None = None

    def __len__(self) -> int:
        """Samples."""
        return len(self.labels)

    def __repr__(self) -> str:
        known = ", ".join(f"{name} ({score.trials})" for name, score in self.scores.items())
        return (
            f"ScoreFile({str(self.path)!r}: {self.dataset.name}, {len(self)} samples, "
            f"{self.dataset.num_classes} classes; scores (trials): {known or 'none read'})"
        )

    def to_frame(self) -> Any:
        """The scores and what else is known of each sample, as a pandas DataFrame with a row a sample.

        Its columns are those of `goldore.exchange.exporting.table`, and its index is the position.

        Raises:
            UsageError: if pandas is not installed.
            ScoreFileError: if the file cannot be read any more.
        """
        return import_module(_FRAMED_BY).frame(self)

    def plot(self, *scores: str) -> "list[Figure]":
        """Draw how scores are distributed, and how they go together (needs the extra "report").

        Args:
            scores: names of those to draw; none names all that were read.

        Raises:
            UsageError: if there is no such score.
        """
        import_module("goldore.report.extra").check_report_extra()
        drawn: list[Figure] = import_module(_DRAWN_BY).draw_scores(self, scores)
        return drawn

    def subset_of(self, score: str) -> int | None:
        """Samples of each class that the trials of a utility draw, k; None of scores without such trials."""
        utilities = (self.utility_trials, self.kernel_trials)
        trials = next((each for each in utilities if each is not None and score in each.gives), None)
        return None if trials is None else trials.recipe.subset_per_class

    def trials_of(self, kind: str) -> StoredTrials | None:
        """Its trials of a kind, "loss", "fold", "utility", "kernel" or "check"."""
        found: StoredTrials | None = getattr(self, f"{kind}_trials")
        return found


@dataclass(frozen=True)
class LossRun:
    """What all loss trials of one file share.

    Attributes:
        recipe: complete, with depth, mean and std filled in.
        base_seed: 0 to 2**63 - 1.
        scores: that each trial records.
        device: what the trials run on, in words.
        torch_version: that trains.
    """

    kind: ClassVar[str] = "loss"
    recipe: LossRecipe
    base_seed: int
    scores: tuple[ScoreDefinition, ...]
    device: str
    torch_version: str

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names of the scores."""
        return tuple(score.name for score in self.scores)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values, the kind among them."""
        return _as_json(self) | {"scores": [score.described() for score in self.scores]}


@dataclass(frozen=True)
class FoldRun(LossRun):
    """What all cross-validations of one file share."""

    kind: ClassVar[str] = "fold"
    recipe: FoldRecipe


@dataclass(frozen=True)
class UtilityRun:
    """What all utility trials of one file share, and how MonteCarlo is estimated from them.

    Attributes:
        recipe: complete, with depth, mean, std and subset_per_class filled in.
        base_seed: 0 to 2**63 - 1.
        outcome: that MonteCarlo is about.
        estimator: that makes it.
        evaluation: fingerprint of the test images and labels that networks are evaluated on; empty where
            they are training samples.
        device: what the trials run on, in words.
        torch_version: that trains.
    """

    kind: ClassVar[str] = "utility"
    recipe: UtilityRecipe
    base_seed: int
    outcome: Outcome
    estimator: Estimator
    evaluation: str
    device: str
    torch_version: str

    @property
    def draw_seed(self) -> int:
        """From which draws and seeds of the trials are derived."""
        return self.base_seed

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values, the kind among them."""
        return _as_json(self)


@dataclass(frozen=True)
class CheckRun(UtilityRun):
    """What the trained trials of one file share that utilities which train nothing are compared with.

    They are utility trials, with a `CheckRecipe`, and draws of their own.
    """

    kind: ClassVar[str] = "check"

    @property
    def draw_seed(self) -> int:
        """Another one, so that they share neither draws nor networks with other trials."""
        return check_seed(self.base_seed)


@dataclass(frozen=True)
class KernelRun:
    """What all trials of KernelUtility of one file share.

    Attributes:
        recipe: complete, with depth, mean, std and networks filled in.
        base_seed: 0 to 2**63 - 1.
        evaluation: as in `UtilityRun`.
        device: what the trials run on, in words.
        torch_version: that computes.
    """

    kind: ClassVar[str] = "kernel"
    recipe: KernelUtilityRecipe
    base_seed: int
    evaluation: str
    device: str
    torch_version: str

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values, the kind among them."""
        return _as_json(self)


@dataclass(frozen=True)
class LossResult:
    """What one loss trial gave, or one cross-validation, over its networks.

    Attributes:
        trial: number and seed.
        failed: whether the training diverged; its values are then not averaged in.
        recorded: float32 [N] by name, of the scores and of what it predicts (`PREDICTED`).
        train_loss: float32 [epochs]; of a cross-validation its networks' mean.
        test_accuracy: likewise; NaN if there is no test split.
        seconds: time on its device: of all trials trained with it, divided by their number; NaN unknown.
    """

    trial: Trial
    failed: bool
    recorded: dict[str, NDArray[np.float32]] = field(repr=False)
    train_loss: NDArray[np.float32] = field(repr=False)
    test_accuracy: float = float("nan")
    seconds: float = float("nan")

    def told(self) -> dict[str, Any]:
        """As JSON values, without what was recorded of samples."""
        return {
            "trial": astuple(self.trial),
            "failed": self.failed,
            "train_loss": self.train_loss.tolist(),
            "test_accuracy": self.test_accuracy,
        }

    @classmethod
    def from_told(cls, told: dict[str, Any]) -> Self:
        """What `told` gave."""
        loss = np.array(told["train_loss"], dtype=np.float32)
        return cls(**told | {"trial": Trial(*told["trial"]), "recorded": {}, "train_loss": loss})


@dataclass(frozen=True)
class UtilityResult:
    """What one utility trial gave.

    Attributes:
        trial: number and seeds.
        failed: whether the training diverged; the trial then counts for nothing.
        members: positions that it drew, int32 [S].
        outcomes: by name ("accuracy", "logprob", "margin"), float32 [K].
        train_loss: of the last step.
        seconds: time on its device: of all trials trained with it, divided by their number; NaN unknown.
    """

    trial: Trial
    failed: bool
    members: NDArray[np.int32] = field(repr=False)
    outcomes: dict[str, NDArray[np.float32]] = field(repr=False)
    train_loss: float = float("nan")
    seconds: float = float("nan")

    def told(self) -> dict[str, Any]:
        """As JSON values, without what it drew and what came of it."""
        return {"trial": astuple(self.trial), "failed": self.failed, "train_loss": self.train_loss}

    @classmethod
    def from_told(cls, told: dict[str, Any]) -> Self:
        """What `told` gave."""
        return cls(
            **told | {"trial": Trial(*told["trial"]), "members": np.empty(0, np.int32), "outcomes": {}}
        )


@dataclass(frozen=True)
class KernelResult:
    """What one trial of KernelUtility gave: the utilities in the kernel of one group of untrained networks.

    Attributes:
        trial: number and seed.
        failed: whether something is not finite that should be; the trial then counts for nothing.
        values: float32 [N]; NaN for samples that have none.
        halves: by the even and the odd evaluation images of each class, float32 [2, N].
        variances: of the values, by the spread over the evaluation images, float32 [N].
        seconds: that it took; NaN unknown.
    """

    trial: Trial
    failed: bool
    values: NDArray[np.float32] = field(repr=False)
    halves: NDArray[np.float32] = field(repr=False)
    variances: NDArray[np.float32] = field(repr=False)
    seconds: float = float("nan")

    def told(self) -> dict[str, Any]:
        """As JSON values, without what it says of samples."""
        return {"trial": astuple(self.trial), "failed": self.failed, "seconds": self.seconds}

    @classmethod
    def from_told(cls, told: dict[str, Any]) -> Self:
        """What `told` gave."""
        nothing = np.empty(0, np.float32)
        arrays = {"values": nothing, "halves": nothing, "variances": nothing}
        return cls(**told | {"trial": Trial(*told["trial"])} | arrays)


Run = LossRun | UtilityRun | KernelRun


def _as_json(run: Run) -> dict[str, Any]:
    return {"kind": run.kind, **vars(run), "recipe": run.recipe.to_json()}


Result = LossResult | UtilityResult | KernelResult
