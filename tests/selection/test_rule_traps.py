"""What a reviewer found rules to do, and what they do now."""

from dataclasses import dataclass

import numpy as np
import pytest

import goldore
from goldore.selection.amount import make_amount
from goldore.selection.featured import _farthest_first
from goldore.selection.ordered import Window
from goldore.selection.pruning import choose_samples
from goldore.selection.rule import End, Samples, Strategy
from goldore.selection.strategies import strategy_of
from tests.conftest import make_score_file


@pytest.mark.parametrize("rule", ["window", "window,start=0.1", "draw", "ccs", "end"])
def test_samples_without_a_score_are_kept_only_where_they_are_needed(rule):
    keys = np.arange(100.0)
    keys[:20] = -np.inf  # dropped first
    random = np.random.default_rng(0).random(100)
    amount = make_amount(keep_ratio="0.5")
    labels = np.zeros(100, np.int64)
    kept, _ = choose_samples(keys, labels, 1, amount, strategy_of(rule), random=random)
    assert len(kept) == 50
    assert kept.min() >= 20
    all_of_them, _ = choose_samples(keys, labels, 1, make_amount(keep_ratio="0.9"), strategy_of("end"))
    assert (all_of_them < 20).sum() == 10


def test_a_window_of_scored_samples_is_as_ever():
    keys = np.random.default_rng(1).random(40)
    kept, _ = choose_samples(keys, np.zeros(40, np.int64), 1, make_amount(keep_ratio="0.25"), Window("0.5"))
    assert kept.tolist() == sorted(np.argsort(keys)[20:30].tolist())


@pytest.mark.parametrize("offset", [0, 1e6, 1e8])
def test_distinct_points_come_before_copies_wherever_they_lie(offset):
    points = np.repeat(np.random.default_rng(0).random((50, 8), np.float32).astype(float), 4, axis=0)
    chosen = _farthest_first(points + offset, np.zeros(200), 50)
    assert len({int(place) // 4 for place in chosen}) == 50


def test_the_pruned_share_is_of_the_whole_class():
    samples = Samples(np.arange(10.0), np.zeros(10, np.int64), np.empty(0), np.arange(10))
    some = samples.only(np.arange(10) > 4).only([0, 1])
    assert (len(some), some.total) == (2, 10)


def test_features_that_are_not_finite_are_refused():
    class Facts:
        def features(self, _):
            found = np.zeros((4, 2), np.float16)
            found[2, 1] = np.inf
            return found

    samples = Samples(np.arange(4.0), np.zeros(4, np.int64), np.empty(0), np.arange(4), Facts())
    with pytest.raises(goldore.UsageError, match="features of sample 2 are not finite"):
        samples.features("")
    with pytest.raises(goldore.UsageError, match="ridge of the rule best-window"):
        strategy_of("best-window,ridge=1e999")


@dataclass(frozen=True)
class Half(Strategy):
    how: str = "half"

    def prepared(self, groups, budgets):
        changed = {
            "half": [budget // 2 for budget in budgets],
            "few": budgets[:-1],
            "negative": [-budgets[0], budgets[1] + 2 * budgets[0]],
        }
        return End(), changed[self.how]

    def choose(self, samples, budget):
        raise AssertionError


@pytest.mark.parametrize("how", ["half", "few", "negative"])
def test_a_rule_of_a_users_own_cannot_change_how_many_are_kept(how):
    keys, labels = np.arange(40.0), np.arange(40) % 2
    with pytest.raises(goldore.UsageError, match=r"the rule .*Half.* would keep"):
        choose_samples(keys, labels, 2, make_amount(keep_ratio="0.2"), Half(how))


def test_a_rule_that_leaves_does_not_end_the_program():
    class Leaves(Strategy):
        def choose(self, samples, budget):
            raise SystemExit(0)

    with pytest.raises(goldore.UsageError, match="SystemExit"):
        choose_samples(np.arange(4.0), np.zeros(4, np.int64), 1, make_amount(keep_ratio="0.5"), Leaves())


def test_a_filter_may_end_in_a_plus():
    assert strategy_of("unique+") == strategy_of("unique")
    for text in ("end+", "draw+"):
        with pytest.raises(goldore.UsageError, match="no filter"):
            strategy_of(text)


@pytest.fixture
def file():
    values = np.random.default_rng(0).random(60)
    return make_score_file(values, np.arange(60) % 3, 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"keep_per_class": 2.5}, "`keep_per_class` is 2.5; it must be a whole number"),
        ({"keep_per_class": "5"}, "`keep_per_class` is '5'"),
        ({"keep_range": 0.5}, "`keep_range` is 0.5; it must be two shares"),
        ({"keep_range": (0, 0.5, 1)}, "it must be two shares"),
        ({"keep_ratio": 0.5, "seed": None}, "`seed` is None"),
        ({"keep_ratio": 0.5, "seed": 1.5}, "`seed` is 1.5"),
        ({"keep_ratio": 0.5, "min_reliability": "0.5"}, "`min_reliability` is '0.5'"),
        ({"keep_per_class": 5, "strategy": "quotas"}, "quotas do not; give a ratio"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_in_a_sentence(file, options, says):
    with pytest.raises(goldore.UsageError) as caught:
        goldore.prune(file, "LossConverge_large", **options)
    assert says in str(caught.value)


def test_numbers_of_numpy_are_taken(file, tmp_path):
    kept = goldore.prune(file, "Random", keep_per_class=np.int64(4), seed=np.int64(3))
    assert kept.provenance["seed"] == 3
    kept.save(tmp_path / "k.npy")
    assert len(goldore.prune(file, "LossConverge_large", keep_range="0.2:0.5")) == 18
