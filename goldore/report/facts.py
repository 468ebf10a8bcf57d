"""The summary in sentences, the same on the terminal and on a page: titles, and facts by their label."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.reading import listed
from goldore.report.doubts import noise_warning
from goldore.report.families import ALIKE, shown_scores
from goldore.report.issues import EqualImages, Issues
from goldore.report.records import (
    AgreementRecord,
    ClassRecord,
    Kept,
    KernelTrialsRecord,
    Known,
    LossTrialsRecord,
    SampleRecord,
    SampleScore,
    ScoreRecord,
    Summary,
    UtilityTrialsRecord,
)
from goldore.scores import LOSS_CONVERGE, LOSS_INIT
from goldore.scores.estimators.agreement import Agreement
from goldore.scores.estimators.estimate import UNRELIABLE
from goldore.trials import CheckRecipe, EvaluatedRecipe, UtilityRecipe
from goldore.wording import count, number, percent, plural, reliability, took

Facts = dict[str, str]
_MEMORISED = 0.02  # of the labels' entropy: a training loss below that
_NOTHING_LEARNED, _DIVERGING = 0.9, 1.1  # of the loss of guessing
_NAMED, _NAME = 10, 20  # classes named on a line, and letters of a name there
SIDES = " (height x width)"
_FALLEN = 0.05  # by which the late losses' reliability of ranks is below that of the early ones
KEPT_COLUMNS = (
    "threshold: the value beyond which samples of the class are dropped; halves agree: the share of its kept "
    "samples that two halves of the trials both keep"
)


def dataset_title(summary: Summary) -> str:
    """The dataset in one line."""
    dataset = summary.dataset
    shape = "x".join(map(str, dataset.image_shape))
    what = f"images of {shape}" if any(dataset.image_shape) else "samples"
    classes = "1 class" if dataset.num_classes == 1 else f"{count(dataset.num_classes)} classes"
    return f"{dataset.name} ({dataset.split}): {count(dataset.num_samples)} {what}, {classes}"


def dataset_facts(summary: Summary) -> Facts:
    """Where the dataset and the file come from."""
    dataset = summary.dataset
    versions = f"goldore {summary.goldore_version}"
    if summary.torch_version != "unknown":  # imported
        versions += f", torch {summary.torch_version}, {summary.device}"
    return {
        "source": dataset.source,
        "fingerprint": dataset.fingerprint or "unknown: only labels were at hand",
        "file": f"{summary.file}, updated {summary.updated}",
        "made with": versions,
        **({"made by": summary.command} if summary.command else {}),
    }


def reading_facts(dataset: ImageDataset) -> Facts:
    """What was read as what, and what was passed over."""
    reading, sizes = dataset.reading, np.bincount(dataset.labels, minlength=dataset.num_classes)
    facts = {"read from": dataset.source}
    for split in reading.splits:
        facts[split.split] = split.words + (SIDES if any(map(_oblong, split.sizes)) else "")
    facts["classes"] = _classes_text(dataset.class_names, sizes.tolist())
    if dataset.test_images is None:
        facts["test"] = f"none: {NO_TEST}"
    if reading.changed:
        facts["changed"] = "; ".join(f"{plural(images, 'image')}: {how}" for how, images in reading.changed)
    if reading.passed_over:
        facts["passed over"] = listed(reading.passed_over)
    for number_of, note in enumerate(reading.notes):
        facts["note" + " " * number_of] = note
    return facts


def _oblong(size: tuple[str, int]) -> bool:
    """Whether a size, "height x width" and how often there is one, is that of no square."""
    height, _, width = size[0].partition("x")
    return height != width


def _classes_text(names: Sequence[str], sizes: Sequence[int]) -> str:
    """How many classes, how they are called, and how large they are."""
    first = [name if len(name) <= _NAME else f"{name[: _NAME - 3]}..." for name in names[:_NAMED]]
    named = ", ".join(first) + (", ..." if len(names) > _NAMED else "")
    low, high = min(sizes), max(sizes)
    each = f"{count(low)} images each" if low == high else f"{count(low)} to {count(high)} images each"
    return f"{count(len(names))}: {named}; {each}"


def warnings_of(summary: Summary, dataset_warnings: Sequence[str] = ()) -> list[str]:
    """What a reader must know before the scores are used, one sentence each.

    Args:
        summary: of the score file.
        dataset_warnings: of the dataset, if it is at hand.
    """
    found = [*dataset_warnings, *_learned(summary)]
    for name in shown_scores(summary):
        score = summary.scores[name]
        if score.min is not None and score.min == score.max:
            found.append(f"all samples have the same {name}, so that it ranks nothing.")
            continue
        noise = warning_of(name, score)
        low = [row for row in score.classes if _trust(row) is not None and (_trust(row) or 0) < UNRELIABLE]
        if noise is not None:
            found.append(noise)
        elif low:
            worst = min(low, key=lambda row: _trust(row) or 0)
            found.append(
                f"{name} ranks mostly noise in {len(low)} of {len(score.classes)} classes, the worst "
                f"being {class_text(worst.label, worst.name)} ({reliability(_trust(worst))}); add trials."
            )
    return found


def _trust(row: ClassRecord) -> float | None:
    return row.reliability if row.rank_reliability is None else row.rank_reliability


def learning(summary: Summary) -> Literal["something", "nothing", "diverging"]:
    """What the proxy networks learned, by the loss of the last epoch beside that of guessing."""
    final, guessing = _final_loss(summary), math.log(max(summary.dataset.num_classes, 2))
    if final is None or final < _NOTHING_LEARNED * guessing:
        return "something"
    return "diverging" if final > _DIVERGING * guessing else "nothing"


def _final_loss(summary: Summary) -> Known:
    trials = summary.trials.loss
    return trials.train_loss[-1] if trials is not None and trials.train_loss else None


def _learned(summary: Summary) -> list[str]:
    """That the proxy networks learned nothing, if so."""
    found, classes = learning(summary), summary.dataset.num_classes
    if found == "something":
        return []
    beside = (
        f"the proxies end with a training loss of {number(_final_loss(summary))}, and guessing has ln "
        f"{classes} = {math.log(max(classes, 2)):.2f}"
    )
    if found == "diverging":
        advice = "the training diverges, and the scores mean nothing; lower the learning rate"
    else:
        advice = "they have learned next to nothing; train longer, or raise the learning rate"
    return [f"{beside}: {advice} (goldore score --lr)."]


def loss_title(trials: LossTrialsRecord) -> str:
    """The loss trials in one line, or the cross-validations."""
    failed = f", {len(trials.failed)} diverged" if trials.failed else ""
    return f"{trials.recipe.title}: {trials.done} done{failed}, base seed {trials.base_seed}"


def loss_facts(trials: LossTrialsRecord) -> Facts:
    """Recipe, course and cost of the loss trials."""
    recipe = trials.recipe
    averaged = [
        f"{name} over {_looks(first, last, recipe.epochs)}" for name, (first, last) in trials.windows.items()
    ]
    schedule = "" if recipe.lr_schedule == "constant" else f" ({recipe.lr_schedule})"
    changed = "" if recipe.augment == "none" else f", augmented by {recipe.augment}"
    facts = {
        "networks": recipe.describe_networks(),
        "training": f"{plural(recipe.epochs, 'epoch')}, batch {recipe.batch_size}, "
        f"lr {recipe.lr:g}{schedule}, momentum {recipe.momentum:g}, weight decay "
        f"{recipe.weight_decay:g}{changed}",
        "averaged": ", ".join(averaged),
    }
    losses = trials.train_loss
    if losses:
        accuracy = trials.test_accuracy
        tested = f"; test accuracy {accuracy:.1%}" if accuracy is not None else ""
        later = f", {number(losses[-1])} in epoch {len(losses)}" if len(losses) > 1 else ""
        facts["course"] = f"training loss {number(losses[0])} in epoch 1{later}{tested}"
    return facts | _assumed(trials) | _cost(trials.seconds, trials.done + len(trials.failed))


def _looks(first: int, last: int, epochs: int) -> str:
    """The epochs that a score looks at."""
    if first == 1:
        return f"the first {plural(last, 'epoch')}"
    return f"the last {plural(last - first + 1, 'epoch')}" if last == epochs else f"epochs {first} to {last}"


def _assumed(trials: LossTrialsRecord | UtilityTrialsRecord | KernelTrialsRecord) -> Facts:
    """Settings that a file of an older goldore does not name."""
    taken = ", ".join(f"{name} {value}" for name, value in trials.assumed.items())
    return {"older file": f"does not name {taken}: taken as such"} if taken else {}


def saturation(summary: Summary) -> Facts:
    """Whether trainings memorised nearly all samples, and the late losses say less for it."""
    trials = summary.trials.loss
    early, late = (summary.scores.get(name) for name in (LOSS_INIT.name, LOSS_CONVERGE.name))
    if trials is None or not trials.train_loss or early is None or late is None:
        return {}
    final, entropy = trials.train_loss[-1], math.log(max(summary.dataset.num_classes, 2))
    ranks = (early.rank_reliability, late.rank_reliability)
    if final is None or None in ranks or not final < _MEMORISED * entropy:
        return {}
    if not (ranks[1] or 0) < (ranks[0] or 0) - _FALLEN:
        return {}
    return {
        "saturated": f"a final loss of {number(final)} means that nearly all samples are memorised, and "
        f"{LOSS_CONVERGE.name} ranks them less reliably ({reliability(ranks[1])}) than {LOSS_INIT.name} "
        f"({reliability(ranks[0])}); train fewer epochs, or use the early scores"
    }


NO_TEST = "no accuracy is measured, and goldore study cannot judge; folders train/ and val/ give a test split"
NO_PREDICTIONS = (
    "this file does not say what its networks predict; score the dataset into a new file, with HeldOutLoss "
    "for predictions of networks that did not train on the sample"
)
OPTIMISTIC = (
    "these networks have trained on the labels that they are to judge, and miss what they have learned by "
    "heart; score HeldOutLoss too for predictions by cross-validation"
)


def issues_facts(issues: Issues) -> Facts:
    """How many labels are doubted and images equal, and by what."""
    facts: Facts = {}
    if issues.held_out is None:
        facts["predictions"] = NO_PREDICTIONS
    else:
        by = plural(issues.trials, "cross-validation" if issues.held_out else "loss trial")
        right = percent(issues.accuracy, 1)
        facts["predictions"] = f"by {by}, which are right about {right} of the samples on average"
        if issues.guessing:
            facts["labels"] = (
                f"not judged, since always naming the largest class would be right about "
                f"{percent(issues.chance, 1)}: the networks have learned too little; train longer"
            )
        else:
            doubted = len(issues.label_issues)
            facts["labels"] = (
                f"{plural(doubted, 'label')} {'is' if doubted == 1 else 'are'} likely to be wrong: another "
                "class is predicted, as surely as samples with that label are on average (confident learning)"
            )
        if not issues.held_out and not issues.guessing:
            facts["beware"] = OPTIMISTIC
    if not issues.hashed:
        facts["equal images"] = "unknown: the file has no hashes of the images"
    elif not issues.equal:
        facts["equal images"] = "none"
    else:
        clash = (
            f", {count(issues.contradictions)} of them with different labels" if issues.contradictions else ""
        )
        facts["equal images"] = (
            f"{plural(len(issues.equal), 'group')}{clash}; {plural(issues.repeated, 'sample')} could go "
            "(goldore prune --rule unique)"
        )
    return facts


def class_text(label: int, name: str) -> str:
    """A class by its number, and its name where that says more."""
    return str(label) if name == str(label) else f"{label} {name}"


def equal_text(group: EqualImages) -> str:
    """Equal images by position, with label and file: "#3 (label 0), #17 (label 2)"."""
    paths = group.paths or [""] * len(group.positions)
    return ", ".join(
        f"#{at} (label {label}{f', {path}' if path else ''})"
        for at, label, path in zip(group.positions, group.labels, paths, strict=True)
    )


def utility_title(trials: UtilityTrialsRecord) -> str:
    """The utility trials in one line."""
    failed = f", {trials.failed} diverged" if trials.failed else ""
    return f"utility trials: {count(trials.done)} done{failed}, base seed {trials.base_seed}"


def utility_facts(trials: UtilityTrialsRecord) -> Facts:
    """Recipe, outcome and cost of the utility trials."""
    recipe = trials.recipe
    distilled = recipe.distill
    made = ""
    if distilled is not None:
        made = (
            f", distilled to {plural(distilled.images_per_class, 'image')} by {distilled.method} in "
            f"{plural(distilled.distill_steps, 'step')}"
        )
    drawn, pool = "every sample", ""
    if isinstance(recipe, CheckRecipe):
        drawn, pool = "each", f" out of {count(recipe.pool_per_class or 0)}"
    return {
        "subsets": f"{_sizes(trials.subset_sizes)} of each class{pool}{made}; {drawn} drawn once in "
        f"{plural(trials.per_sweep, 'trial')}",
        "networks": recipe.network.describe(),
        "training": _training(recipe),
        "evaluation": f"{_evaluation(recipe)}; mean accuracy {number(trials.accuracy)}",
    } | (_assumed(trials) | _cost(trials.seconds, trials.done + trials.failed))


def check_title(trials: UtilityTrialsRecord) -> str:
    """The trained trials that utilities without training are compared with, in one line."""
    failed = f", {trials.failed} diverged" if trials.failed else ""
    return f"trained trials to compare with: {count(trials.done)} done{failed}, base seed {trials.base_seed}"


def kernel_title(trials: KernelTrialsRecord) -> str:
    """The trials of KernelUtility in one line."""
    return (
        f"kernel trials: {plural(trials.done, 'group')} of untrained networks, base seed {trials.base_seed}"
    )


def kernel_facts(trials: KernelTrialsRecord) -> Facts:
    """Recipe and cost of the trials of KernelUtility."""
    recipe = trials.recipe
    return {
        "subsets": f"{recipe.subset_per_class} of each class, nearest neighbours, exactly",
        "networks": f"{plural(recipe.networks or 1, 'network')} a group: {recipe.network.describe()}",
        "evaluation": _evaluation(recipe),
    } | (_assumed(trials) | _cost(trials.seconds, trials.done + trials.failed))


def _evaluation(recipe: EvaluatedRecipe) -> str:
    """The images that a trial is evaluated on."""
    images = "all" if recipe.eval_per_class is None else f"up to {recipe.eval_per_class}"
    split = "test split" if recipe.eval_split == "test" else "half of the training set not drawn from"
    return f"{images} images of each class of the {split}"


def _training(recipe: UtilityRecipe) -> str:
    """How a utility trial learns."""
    on = ""
    if recipe.kernel is not None:
        on = f"on {plural(recipe.kernel.networks or 1, 'untrained network')}"
        if recipe.kernel.fit == "ridge":
            return f"a ridge regression {on}" + (
                f", ridge {recipe.kernel.ridge:g}" if recipe.kernel.ridge else ""
            )
        on = f"a linear head {on}: "
    init = f", weights shared by {recipe.common_init} trials" if recipe.common_init > 1 else ""
    return (
        f"{on}{plural(recipe.steps, 'step')}, lr {recipe.lr:g}, momentum {recipe.momentum:g}, weight decay "
        f"{recipe.weight_decay:g}{init}"
    )


def score_title(name: str, score: ScoreRecord) -> str:
    """What a score's ends mean, and its unit."""
    return f"{name}: {score.direction}, in {score.unit}"


def score_facts(score: ScoreRecord) -> Facts:
    """Meaning, reliability, spread and quantiles of a score."""
    facts = {"meaning": score.definition, "trials": count(score.trials)}
    if score.outcome:
        facts["outcome"] = f"{score.outcome}, estimated by {score.estimator}"
    if score.trials == 0:
        facts["trials"] = "none stored"
    facts["reliability"] = _reliability(score)
    if score.estimator == "shrunk":
        facts["prior"] = prior_text(score.explained)
    if score.agreement is not None:
        facts["agreement"] = agreement_text(score.agreement)
    if score.signal_share is not None:
        facts["signal"] = (
            f"{number(score.signal_share, 2)}: the share of an outcome's variance that is due to "
            "which samples of the class were drawn"
        )
    if score.within_class_std is not None and score.between_class_share is not None:
        facts["spread"] = (
            f"{number(score.within_class_std)} within classes; {score.between_class_share:.1%} of the "
            "variance is between classes"
        )
    if score.missing:
        facts["missing"] = f"{plural(score.missing, 'sample')} without a score"
    facts["quantiles"] = "  ".join(f"{float(q):.0%} {number(value)}" for q, value in score.quantiles.items())
    return facts


def prior_text(explained: Known) -> str:
    """What shrunk scores were drawn towards, and whether they were."""
    if explained is None or not explained > 0:
        return "not shrunk: the file's other scores predict nothing of in-minus-out"
    return (
        f"the file's other scores predict {percent(explained)} of the variance of in-minus-out, its noise "
        "included, for samples that the prediction was not fitted to"
    )


_FOLLOWS = {
    "close": "close: its ranking can stand for theirs",
    "related": "related: another ranking, good as a prior of theirs",
    "another thing": "another thing: do not take it for the utility of trained networks",
}


def agreement_text(found: AgreementRecord | Agreement) -> str:
    """How well a utility without training agrees with trained networks, and what follows."""
    trained = plural(found.trials, "trained trial")
    if found.samples == 0:
        return (
            f"unknown: the noise of this score, or of {trained}, is not known yet; add trials (goldore score "
            "--trials, --utility-trials or --check-trials)"
        )
    if found.verdict == "unknown":
        return f"cannot be told from {trained}; add some (goldore score --check-trials)"
    return (
        f"{found.correlation:.2f} +- {found.stderr:.2f} with {trained} (correlation within classes over "
        f"{plural(found.samples, 'sample')}, corrected for noise); {_FOLLOWS[found.verdict]}"
    )


def families_texts(found: Sequence[Sequence[str]]) -> list[str]:
    """Which scores rank alike, a line for each family of two or more."""
    return [
        f"rank alike ({ALIKE:g} or more within classes; a minus marks the opposite order): {', '.join(names)}"
        for names in found
        if len(names) > 1
    ]


def warning_of(name: str, score: ScoreRecord) -> str | None:
    """The `noise_warning` of a score of a summary."""
    ranks = score.rank_reliability
    trust = score.reliability if ranks is None else ranks
    return noise_warning(name, trust, utility=score.of_utility)


def kept_title(kept: Kept) -> str:
    """What a criterion keeps, in one line."""
    scope = "of each class" if kept.scope == "class" else "of all samples at once"
    rule = kept.rule.replace("_", " ").replace("keep per class", "keep")
    return (
        f"{kept.criterion}, {rule} {scope}: keeps {count(kept.kept)} of {count(kept.total)} samples "
        f"({kept.kept / kept.total:.2%})"
    )


def kept_facts(kept: Kept) -> Facts:
    """How far the kept set can be trusted."""
    facts = {}
    if kept.score is not None:
        facts["drops"] = f"{kept.drops} {kept.score} ({kept.direction}), in {kept.unit}"
        known = kept.reliability is not None
        facts["reliability"] = reliability(kept.reliability) if known else "unknown"
    agreed, chance = kept.halves_overlap, kept.chance_overlap
    if agreed is not None:
        facts["agreement"] = (
            f"two halves of the trials agree on {percent(agreed)} of the kept samples ({percent(chance)} by "
            "chance)"
        )
    elif kept.score is not None:
        facts["agreement"] = "unknown: there are no two halves of trials to compare"
    if kept.missing:
        facts["missing"] = (
            f"{plural(kept.missing, 'sample')} without a score, dropped first; "
            "goldore prune asks for --missing"
        )
    if kept.kept_missing:
        facts["unranked"] = f"{count(kept.kept_missing)} of the kept samples have no score: too few have one"
    empty = sum(row.kept == 0 for row in kept.classes)
    if empty:
        facts["empty"] = (
            f"{empty} of {len(kept.classes)} classes keep no sample; most repositories fail on that"
        )
    return facts


def kept_warning(kept: Kept) -> str | None:
    """The `noise_warning` of the ranking that a criterion uses."""
    return noise_warning(kept.score or "Random", kept.reliability, utility=kept.of_utility)


def sample_title(sample: SampleRecord) -> str:
    """Which sample it is."""
    name = f" {sample.class_name}" if sample.class_name != str(sample.label) else ""
    path = f", {sample.path}" if sample.path else ""
    return f"sample {sample.position}: class {sample.label}{name}{path}"


def rank_text(found: SampleScore) -> str:
    """Where a sample stands in its class: 3 of 6,000."""
    if found.rank is None:
        return "-"
    rank = f"{found.rank:,.1f}".removesuffix(".0")
    return f"{rank} of {count(found.ranked)}"


def per_trial_title(found: SampleScore) -> str:
    """What a sample's values of single trials are."""
    return "of its class in the trials that drew it" if found.of_utility else "in each trial"


def both(names: Sequence[str]) -> str:
    """Two names, once if they are the same."""
    return names[0] if names[0] == names[1] else f"{names[0]} / {names[1]}"


def per_trial_text(found: SampleScore, most: int) -> str:
    """What the single trials say: all values where they are few, their spread where they are many."""
    values = sorted(value for value in found.per_trial if value is not None)
    if not values:
        return "none"
    if len(found.per_trial) <= most:
        return "  ".join(number(value) for value in found.per_trial)
    middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    return f"{count(len(values))} from {number(values[0])} to {number(values[-1])}, median {number(middle)}"


def _cost(seconds: Known, trials: int) -> Facts:
    if seconds is None or not trials:
        return {"cost": "not recorded"} if trials else {}
    return {"cost": f"{took(seconds)} on the device, {took(seconds / trials)} a trial"}


def _sizes(sizes: Sequence[int]) -> str:
    """Samples of each class in a subset: small classes give less."""
    return str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _reliability(score: ScoreRecord) -> str:
    if score.trials == 0:
        return "unknown, since no trials are stored"
    if score.estimator and score.reliability is None and score.rank_reliability is None:
        return "unknown until samples have been drawn twice; add trials with goldore score --utility-trials"
    if score.trials == 1:
        return "unknown from 1 trial; run goldore score with --trials 2 or more"
    if score.reliability is None and score.rank_reliability is None:
        return "unknown: within a class no two samples differ, or one evaluation image is all there is"
    needed = ", ".join(
        f"{target} would take {plural(max(2, math.ceil(trials)), 'trial')}"
        for target, trials in score.trials_needed.items()
        if trials is not None
    )
    known = f"{reliability(score.reliability)}, of ranks {reliability(score.rank_reliability)}"
    if not score.trials_needed:
        return known
    return f"{known}; {needed or 'too low to tell how many trials it would take'}"
