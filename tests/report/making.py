"""Score files as no run makes them: of noise, with planted values and hostile names."""

import numpy as np

from goldore.datasets.dataset import ImageDataset
from goldore.networks.config import ConvNetConfig
from goldore.report import describe_samples, summarize
from goldore.report.figures import draw
from goldore.report.kept import select, usual_selections
from goldore.report.material import Material
from goldore.report.page import render
from goldore.scores import SCORES
from goldore.store import (
    Header,
    LossResult,
    LossRun,
    Score,
    UtilityResult,
    UtilityRun,
    add_trials,
    estimate_scores,
    load_scores,
)
from goldore.store.writing import write_new
from goldore.trials import LossRecipe, UtilityRecipe
from goldore.trials.draws import Sweeps, make_strata
from goldore.trials.seeds import make_trials, make_utility_trials
from tests.conftest import edited

LOSSES = ("LossInit", "LossConverge")
HOSTILE = (
    '<b>&"$_^{x}</b>',
    "' onerror=alert(1) x='",
    "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET} \N{HEBREW LETTER GIMEL}",
    "\u202eevil",
    "\u6f22\u5b57",
    "\N{FISH}\N{SHARK} fish",
    "n" * 300,
    "   ",
    "\u200b",
    "a\nb\tc",
    "e\u0301",
    "\\frac{1",
    "{{7*7}}",
    "%s",
)


def noise(counts, side=8, channels=3, names=None, seed=0, **fields):
    """Images that hardly compress, of so many samples a class."""
    make = np.random.default_rng(seed)
    labels = make.permutation(np.repeat(np.arange(len(counts)), counts))
    images = make.integers(0, 256, (len(labels), channels, side, side), dtype=np.uint8)
    class_names = tuple(names or (f"kind {label}" for label in range(len(counts))))
    about = {"name": "noise", "source": "made by the tests", **fields}
    return ImageDataset(images=images, labels=labels, class_names=class_names, **about)


def scored(path, dataset, losses=3, utilities=0, seed=0, outcome="accuracy", per_class=2):
    """A score file of a dataset with trials of random results, written as goldore score writes it."""
    header, make = Header.of(dataset), np.random.default_rng(seed)
    network, channels = ConvNetConfig(depth=1, width=4), dataset.image_shape[0]
    same = {"network": network, "mean": (0.5,) * channels, "std": (0.25,) * channels}
    about = {"base_seed": 5, "device": "CPU", "torch_version": "2.6"}
    samples, classes = dataset.num_samples, dataset.num_classes
    hard = make.lognormal(size=samples)
    results = [
        LossResult(
            trial=trial,
            failed=False,
            recorded={
                name: (hard**power * make.lognormal(sigma=0.3, size=samples)).astype(np.float32)
                for name, power in zip(LOSSES, (0.5, 1), strict=True)
            },
            train_loss=(2 / np.arange(1, 5) + make.random(4)).astype(np.float32),
            test_accuracy=0.5,
            seconds=1.5,
        )
        for trial in make_trials(5, range(losses))
    ]
    if results:
        add_trials(
            path,
            header,
            LossRun(LossRecipe(epochs=4, **same), scores=tuple(SCORES[name] for name in LOSSES), **about),
            results,
        )
    if utilities:
        recipe = UtilityRecipe(steps=3, subset_per_class=per_class, **same)
        sweeps = Sweeps(make_strata(dataset.labels, classes, per_class, recipe.folds, 5), 5)
        scale = {"accuracy": 1, "logprob": -3, "margin": 2}
        drawn = [
            UtilityResult(
                trial=trial,
                failed=False,
                members=sweeps.subset(trial.number).astype(np.int32),
                outcomes={
                    name: (factor * make.random(classes)).astype(np.float32) for name, factor in scale.items()
                },
                train_loss=1.0,
                seconds=0.5,
            )
            for trial in make_utility_trials(5, range(utilities), recipe.common_init)
        ]
        run = UtilityRun(recipe, outcome=outcome, estimator="in-minus-out", evaluation="", **about)
        add_trials(path, header, run, drawn)
    estimate_scores(path)
    return path


def put(path, name, values, where=slice(None)):
    """Write values of a score into a file, past all estimates."""
    with edited(path) as file:
        column = file[f"scores/{name}"][()]
        column[where] = values
        file[f"scores/{name}"][...] = column
    return path


def _with_put(counts, values, name="LossInit", utilities=0, where=None):
    def make(path):
        dataset = noise(counts)
        chosen = slice(None) if where is None else where(dataset.labels)
        return put(scored(path, dataset, 3, utilities), name, values, chosen)

    return make


def _imported(path):
    header = Header.of(noise((20, 30)))
    unknown = np.full(2, np.nan)
    from goldore.scores.estimators import Estimate

    found = Estimate(
        values=np.random.default_rng(0).random(50),
        stderr=np.full(50, np.nan),
        trials=0,
        reliability=np.nan,
        rank_reliability=np.nan,
        class_reliability=unknown,
        class_rank_reliability=unknown,
    )
    write_new(path, header, [Score.of(SCORES[name], found) for name in ("LossConverge", "MonteCarlo")])
    return path


ODD = {  # how to write each odd file to a path
    "one loss trial": lambda path: scored(path, noise((20, 20)), 1),
    "one utility trial": lambda path: scored(path, noise((20, 20)), 0, 1),
    "utility trials only": lambda path: scored(path, noise((20, 20)), 0, 40),
    "one score all missing": _with_put((20, 20), np.nan, utilities=20),
    "the only score all missing": lambda path: put(
        scored(path, noise((20, 20)), 0, 20), "MonteCarlo", np.nan
    ),
    "a class all missing": _with_put((20, 20, 20), np.nan, where=lambda labels: labels == 1),
    "one class": lambda path: scored(path, noise((30,)), 3, 20),
    "one sample": lambda path: scored(path, noise((1,)), 1),
    "two samples of two classes": lambda path: scored(path, noise((1, 1)), 2, 6),
    "a constant": _with_put((20, 20), 2.0),
    "a large constant": _with_put((20, 20), 1e17),
    "hardly above zero": _with_put((20, 20), [5e-324] * 5 + [0.1] * 35),
    "negative": _with_put((20, 20), -np.arange(40.0)),
    "a range too narrow for bins": _with_put((20, 20), 1 + np.arange(40) * 2.0**-52),
    "fourteen decades": _with_put((20, 20), np.geomspace(1e-12, 1e2, 40)),
    "infinite": _with_put((20, 20), [np.inf, -np.inf, *range(38)]),
    "imported": _imported,
    "a thousand classes": lambda path: scored(path, noise((2,) * 1000, side=2), 2, 3, per_class=1),
    "names of all kinds": lambda path: scored(path, noise((6,) * len(HOSTILE), names=HOSTILE), 3, 30),
}


def material_of(path, dataset=None, samples=(), kept=None):
    file = load_scores(path)
    return Material(
        file=file,
        summary=summarize(file, curves=True),
        kept=tuple(usual_selections(file) if kept is None else [select(file, **each) for each in kept]),
        samples=tuple(describe_samples(file, samples)),
        images=None if dataset is None else lambda positions: dataset.images[positions],
    )


def page_of(material):
    return render(material, draw(material))
