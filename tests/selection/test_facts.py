"""Rules that ask a score file for more than an order: each against a plain loop, and what they promise."""

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import h5py
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from goldore import UsageError, load_scores, prune
from goldore.networks.config import ConvNetConfig
from goldore.scores import SCORES
from goldore.selection.amount import make_amount
from goldore.selection.criteria import random_keys
from goldore.selection.filters import share_out
from goldore.selection.pruning import choose_samples
from goldore.selection.strategies import STRATEGIES, strategy_of
from goldore.store import Header, LossResult, LossRun, add_trials, estimate_scores, load_header
from goldore.trials import LossRecipe
from goldore.trials.seeds import make_trials
from tests.conftest import make_dataset
from tests.selection.test_strategies import BY_FACTS

NAMES = ("AUM", "Confidence", "DUAL")
COUNTS = (20, 17, 23)
HOW_MUCH = {"keep_ratio": "0.3"}


@pytest.fixture
def scores(tmp_path):
    """A score file with three scores and predictions, of images some of which are equal."""
    dataset = make_dataset(COUNTS)
    images = dataset.images.copy()
    images[[5, 30, 44]] = images[2]  # of whatever classes
    images[9] = images[8]
    dataset = replace(dataset, images=images)
    draw, samples = np.random.default_rng(3), dataset.num_samples
    recipe = LossRecipe(network=ConvNetConfig(depth=1, width=4), mean=(0.5,), std=(0.2,), precision="float32")
    run = LossRun(recipe, 0, tuple(SCORES[name] for name in NAMES), device="CPU", torch_version="2")
    results = [
        LossResult(
            trial=trial,
            failed=False,
            recorded={
                "AUM": draw.integers(-4, 5, samples).astype(np.float32),
                "Confidence": draw.choice(np.float32([0, 0.1, 0.25, 0.5, 0.9, 1]), samples),
                "DUAL": draw.choice(np.float32([0, 0.01, 0.02, 0.05, 0.07]), samples),
                "predicted": np.where(draw.random(samples) < 0.7, dataset.labels, 0),
                "predicted_probability": draw.random(samples, dtype=np.float32),
                "label_probability": draw.random(samples, dtype=np.float32),
            },
            train_loss=np.ones(recipe.epochs, dtype=np.float32),
        )
        for trial in make_trials(0, range(2))
    ]
    path = tmp_path / "scores.h5"
    add_trials(path, Header.of(dataset), run, results)
    estimate_scores(path)
    features = draw.integers(-3, 4, (samples, 5)).astype(np.float32)
    np.save(tmp_path / "scores-features.npy", features)
    np.save(tmp_path / "wide.npy", draw.normal(size=(samples, 200)))
    return path


class Plain:
    """The file in plain numbers, and what each rule keeps of a class by its definition."""

    def __init__(self, path, criterion, seed, wide=False):
        self.file = load_scores(path)
        self.values = {name: each.values.tolist() for name, each in self.file.scores.items()}
        score, _, end = criterion.rpartition("_")
        self.keys = [value if end == "small" else -value for value in self.values[score]]
        self.random = random_keys(len(self.keys), seed, 1).tolist()
        self.labels = self.file.labels.tolist()
        name = "wide.npy" if wide else "scores-features.npy"
        self.features = np.load(path.with_name(name)).astype(float).tolist()

    def members(self, scope):
        everything = range(len(self.labels))
        if scope == "global":
            return [list(everything)]
        return [[at for at in everything if self.labels[at] == label] for label in sorted(set(self.labels))]

    def order(self, members):
        return sorted(members, key=lambda at: (self.keys[at], at))

    def distance(self, first, second):
        return math.dist(first, second)

    def kept(self, rule, scope, ratio=0.3):
        chosen = []
        for members in self.members(scope):
            chosen += rule(members, math.ceil(ratio * len(members) - 1e-9))
        return sorted(chosen)

    def beta(self, members, budget):
        top = self.order(range(len(self.labels)))[-10:]
        mean = sum(self.values["Confidence"][at] for at in top) / 10
        b = 15 * (1 - mean) * (1 - (1 - budget / len(members)) ** 4)
        a = 16 - b

        def waiting(at):
            p = min(max(self.values["Confidence"][at], 1e-12), 1 - 1e-12)
            weight = p ** (a - 1) * (1 - p) ** (b - 1) * self.values["DUAL"][at]
            return -math.log(1 - self.random[at]) / weight if weight else math.inf

        return sorted(members, key=lambda at: (waiting(at), at))[:budget]

    def moderate(self, members, budget):
        centres = {
            label: np.mean([self.features[at] for at in members if self.labels[at] == label], axis=0)
            for label in {self.labels[at] for at in members}
        }
        away = {at: math.dist(self.features[at], centres[self.labels[at]]) for at in members}
        middle = float(np.median(list(away.values())))
        ranked = self.order(members)[::-1]
        return sorted(ranked, key=lambda at: round(abs(away[at] - middle), 9))[:budget]

    def k_centre(self, members, budget):
        ranked = self.order(members)[::-1]
        kept = [ranked[0]]
        while len(kept) < budget:
            rest = [at for at in ranked if at not in kept]
            kept.append(
                max(
                    rest, key=lambda at: min(math.dist(self.features[at], self.features[one]) for one in kept)
                )
            )
        return kept

    def cut(self, members, budget):
        hard = sorted(members, key=lambda at: (self.values["AUM"][at], at))
        left = hard[int(0.3 * len(hard)) :]
        return self.order(left)[len(left) - budget :]

    def unique(self, path):

        hashes = load_header(path).sample_hash.tolist()
        best = {}
        for at in self.order(range(len(hashes))):
            best[hashes[at]] = at  # the last one stays
        left = set(best.values())
        return lambda members, budget: [at for at in self.order(members) if at in left][-budget:]


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize(
    ("rule", "criterion", "plain"),
    [
        ("beta", "DUAL_small", lambda plain, _: plain.beta),
        ("moderate", "AUM_large", lambda plain, _: plain.moderate),
        ("k-centre", "AUM_large", lambda plain, _: plain.k_centre),
        ("cut,by=AUM_small,share=0.3", "DUAL_large", lambda plain, _: plain.cut),
        ("unique", "Confidence_small", lambda plain, path: plain.unique(path)),
    ],
)
def test_rules_keep_what_a_plain_loop_keeps(scores, rule, criterion, plain, scope):
    kept = prune(scores, criterion, strategy=rule, scope=scope, seed=4, **HOW_MUCH)
    loop = Plain(scores, criterion, 4)
    assert kept.indices.tolist() == loop.kept(plain(loop, scores), scope)
    assert kept.provenance["strategy"].split(",")[0] == rule.split(",")[0]
    assert "strategy_found" not in kept.provenance
    again = prune(scores, criterion, strategy=kept.provenance["strategy"], scope=scope, seed=4, **HOW_MUCH)
    assert again.indices.tolist() == kept.indices.tolist()
    other = prune(scores, criterion, strategy=rule, scope=scope, seed=5, **HOW_MUCH)
    assert (other.indices.tolist() != kept.indices.tolist()) == STRATEGIES[rule.split(",")[0]].draws


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("scope", ["class", "global"])
def test_the_best_window_is_the_best_of_all(scores, scope, wide, monkeypatch):
    monkeypatch.chdir(scores.parent)
    rule = "best-window,step=0.1" + (",features=wide.npy" if wide else "")
    kept = prune(scores, "AUM_large", strategy=rule, scope=scope, **HOW_MUCH)
    plain = Plain(scores, "AUM_large", 0, wide)
    points = np.array(plain.features)
    points -= points.mean(axis=0)
    points = np.hstack([points / np.sqrt((points**2).mean()), np.ones((len(points), 1))])
    truth = np.eye(3)[plain.file.labels]
    found = []
    for tenth in range(8 if scope == "global" else 7):  # 0.7 of a class of 17 leaves too few
        rows = []
        for members in plain.members(scope):
            order = plain.order(members)
            first = tenth * len(order) // 10
            rows += order[first : first + math.ceil(0.3 * len(order) - 1e-9)]
        x = points[rows]
        ridge = 0.1 * (x**2).sum() / len(rows)
        weights = np.linalg.lstsq(
            np.vstack([x, np.sqrt(ridge) * np.eye(x.shape[1])]),
            np.vstack([truth[rows], np.zeros((x.shape[1], 3))]),
            rcond=None,
        )[0]
        found.append(((points @ weights).argmax(axis=1) == plain.file.labels).mean())
    best = int(np.argmax(found))
    assert kept.provenance["strategy_found"] == f"window,start={best / 10:g}"
    window = prune(scores, "AUM_large", strategy=f"window,start={best / 10:g}", scope=scope, **HOW_MUCH)
    assert kept.indices.tolist() == window.indices.tolist()


def test_quotas_go_by_the_errors_of_the_classes(scores):
    kept = prune(scores, "AUM_small", strategy="quotas", **HOW_MUCH)
    with_rule = prune(scores, "AUM_small", strategy="quotas+draw", **HOW_MUCH)
    file = load_scores(scores)
    right = np.zeros(3)
    for seed_row in range(2):
        with h5py.File(scores) as opened:
            predicted = opened["trials/loss/predicted"][seed_row]
        right += [(predicted[file.labels == label] == label).mean() / 2 for label in range(3)]
    budget = sum(math.ceil(0.3 * count - 1e-9) for count in COUNTS)
    density = (1 - right) / ((1 - right) @ np.array(COUNTS)) * budget  # share of each class
    ideal = np.minimum(density * COUNTS, COUNTS)
    assert right[0] == 1  # every sample is said to be of class 0 or of its own
    assert kept.kept_per_class[0] == 1  # which no class is refused
    others = ideal[1:] * (budget - 1) / ideal[1:].sum()
    assert np.abs(kept.kept_per_class[1:] - others).max() < 1
    assert kept.kept_per_class.sum() == budget
    assert with_rule.kept_per_class.tolist() == kept.kept_per_class.tolist()
    assert with_rule.indices.tolist() != kept.indices.tolist()
    order = np.argsort(file.scores["AUM"].values, kind="stable")
    ends = [order[file.labels[order] == label][-kept.kept_per_class[label] :] for label in range(3)]
    assert kept.indices.tolist() == sorted(np.concatenate(ends).tolist())
    with pytest.raises(UsageError, match="quotas is about classes; leave `scope` global out"):
        prune(scores, "AUM_small", strategy="quotas", scope="global", **HOW_MUCH)


@hypothesis.given(
    groups=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), min_size=1, max_size=9), data=st.data()
)
def test_sharing_out_is_exact_fair_and_leaves_nobody_out(groups, data):
    weights, most = np.array([each[0] for each in groups]), np.array([each[1] for each in groups])
    hypothesis.assume(weights.max() > 1e-6)
    total = data.draw(st.integers(0, int(most.sum())))
    shares = np.array(share_out(total, weights, most))
    assert shares.sum() == total
    assert ((shares >= 0) & (shares <= most)).all()
    if total >= np.count_nonzero(most):
        assert (shares >= np.minimum(most, 1)).all()
    inside = np.flatnonzero((shares > 1) & (shares < most) & (weights > 1e-6 * weights.max()))
    for first in inside:
        for second in inside:  # proportional, but for rounding
            assert shares[first] - 1 <= (shares[second] + 1) * weights[first] / weights[second] + 1e-6


def test_chains_narrow_down_from_left_to_right(scores):
    kept = prune(scores, "DUAL_large", strategy="unique+cut,by=AUM_small,share=0.2+draw", seed=2, **HOW_MUCH)
    plain = Plain(scores, "DUAL_large", 2)
    unique = plain.unique(scores)
    expected = []
    for members in plain.members("class"):
        left = unique(members, len(members))
        hard = sorted(left, key=lambda at: (plain.values["AUM"][at], at))[int(0.2 * len(left)) :]
        budget = math.ceil(0.3 * len(members) - 1e-9)
        expected += sorted(hard, key=lambda at: plain.random[at])[:budget]
    assert kept.indices.tolist() == sorted(expected)
    assert kept.provenance["strategy"] == "unique+cut,by=AUM_small,share=0.2+draw,after=0"
    assert kept.provenance["seed"] == 2
    with pytest.raises(UsageError, match=r"the rule unique leaves .* samples, and .* are to be kept"):
        prune(scores, "DUAL_large", strategy="unique", drop_ratio="0")


def test_of_equal_images_one_is_left_over_all_classes(scores):

    hashes = load_header(scores).sample_hash
    assert sorted(Counter(hashes.tolist()).values())[-2:] == [2, 4]
    kept = prune(scores, "AUM_large", strategy="unique", scope="global", keep_ratio="0.9")
    assert len(set(hashes[kept.indices].tolist())) == len(kept.indices) == 54


@pytest.mark.parametrize(
    ("rule", "criterion", "says"),
    [
        ("beta", "AUM_large", "beta weighs by the score, which must not be negative.* use DUAL_small"),
        ("beta,by=AUM", "DUAL_small", "beta needs probabilities, and AUM has others; use Confidence"),
        (
            "beta,by=EL2N",
            "DUAL_small",
            "needs the score EL2N, and .* has AUM, Confidence, DUAL; score it too",
        ),
        ("beta,c=0", "DUAL_small", "c of the rule beta is 0.*; it must be above 0"),
        ("cut", "AUM_large", "cut needs a criterion; write cut,by=AUM_small"),
        ("cut,by=Random", "AUM_large", "cannot leave out a share by Random"),
        ("cut,by=EL2N_large", "AUM_large", "this file has no criterion 'EL2N_large'"),
        (
            "cut,by=AUM_small,share=0.9",
            "DUAL_large",
            "the rule cut,.* leaves 2 samples, and 6 are to be kept",
        ),
        (
            "cut,by=AUM_small,share=0.8+quotas",
            "DUAL_large",
            "kept of the .* that are left for the rule quotas",
        ),
        ("cut,by=AUM_small,share=0.9+best-window", "DUAL_large", "kept of the 2 .* left for the rule best-w"),
        (
            "draw+unique",
            "AUM_large",
            "the rule draw,after=0 chooses for good, so that nothing comes after it",
        ),
        ("k-centre,features=no.npy", "AUM_large", "needs features, and there is no no.npy; make it with"),
        (
            "moderate,features=short.npy",
            "AUM_large",
            r"short.npy has \(3, 2\); features are an array \[60, F\]",
        ),
        ("moderate,features=whole.npy", "AUM_large", "numbers of type int64; features are floating-point"),
        ("moderate,features=text.npy", "AUM_large", "text.npy cannot be read"),
        ("best-window,step=0", "AUM_large", "step of the rule best-window is 0.*; it must be above 0"),
        ("best-window,ridge=0", "AUM_large", "ridge of the rule best-window is 0"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(scores, monkeypatch, rule, criterion, says):
    monkeypatch.chdir(scores.parent)
    np.save("short.npy", np.zeros((3, 2)))
    np.save("whole.npy", np.zeros((60, 2), dtype=np.int64))
    (scores.parent / "text.npy").write_text("1,2,3")
    with pytest.raises(UsageError, match=says):
        prune(scores, criterion, strategy=rule, **HOW_MUCH)


def test_k_center_is_spelled_both_ways(scores):
    first, second = (
        prune(scores, "AUM_large", strategy=rule, **HOW_MUCH) for rule in ("k-centre", "k-center")
    )
    assert first.provenance == second.provenance


def test_the_table_is_covered():
    assert set(BY_FACTS) <= set(STRATEGIES)


class Told:
    """Facts that are made up."""

    def __init__(self, samples, seed):
        draw = np.random.default_rng(seed)
        self.of_features = draw.integers(-2, 3, (samples, 3)).astype(np.float32)
        self.of_scores = draw.choice([0.0, 0.2, 0.5, 1.0], samples)
        self.of_hashes = draw.integers(0, max(samples // 2, 1), samples).astype(np.uint64)

    def features(self, given):
        return self.of_features

    def score(self, name):
        return self.of_scores

    def hashes(self):
        return self.of_hashes

    def keys(self, criterion):
        return self.of_scores

    def recall(self):
        return np.array([0.2, 0.9, 0.99])


@hypothesis.given(
    sizes=st.lists(st.integers(0, 12), min_size=3, max_size=3).filter(any),
    rule=st.sampled_from(
        [
            "beta",
            "moderate",
            "k-centre",
            "best-window,step=0.3",
            "quotas",
            "quotas+draw",
            "cut,by=A_small,share=0.2",
        ]
    ),
    scope=st.sampled_from(["class", "global"]),
    missing=st.booleans(),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_counts_are_exact_and_no_sample_is_kept_twice(sizes, rule, scope, missing, seed, data):
    labels = np.repeat([0, 1, 2], sizes)
    keys = np.random.default_rng(seed).choice([0.0, 0.1, 0.3], len(labels))
    if missing:
        keys[::5] = -np.inf
    share = data.draw(st.sampled_from(["0.1", "0.5", "0.7"]))
    hypothesis.assume(scope == "class" or "quotas" not in rule)
    hypothesis.assume(rule != "beta" or np.isfinite(keys).any())
    kept, _ = choose_samples(
        keys,
        labels,
        3,
        make_amount(keep_ratio=share),
        strategy_of(rule),
        scope=scope,
        random=random_keys(len(labels), seed),
        facts=Told(len(labels), seed),
    )
    groups = sizes if scope == "class" else [sum(sizes)]
    wanted = [math.ceil(Fraction(share) * each) for each in groups]
    assert len(kept) == len(set(kept.tolist())) == sum(wanted)
    assert (np.diff(kept) > 0).all()
    scored = np.isfinite(keys)
    if scope == "global" and rule != "best-window,step=0.3" and "cut" not in rule:
        assert scored[kept].sum() == min(len(kept), scored.sum())  # those without a score are dropped first
    if scope == "class":
        per_class = np.bincount(labels[kept], minlength=3).tolist()
        assert (
            "quotas" in rule and all(map(bool, np.array(per_class)[np.array(sizes) > 0]))
        ) or per_class == wanted
