"""Every rule of the table against a plain loop; a user's own; and a rule added to a copy, in one file."""

import json
import math
import sys
from dataclasses import dataclass, replace
from fractions import Fraction

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import goldore
from goldore import UsageError, prune
from goldore.selection import Samples, Strategy
from goldore.selection.criteria import random_keys
from goldore.selection.ordered import Ccs, Draw, Window
from goldore.selection.rule import End
from goldore.selection.strategies import STRATEGIES, strategy_of
from tests.conftest import make_score_file
from tests.copies import changed_copy

SAMPLES, CLASSES = 211, 4
BY_FACTS = ("beta", "moderate", "k-centre", "best-window", "cut", "unique", "quotas")  # test_facts.py


def ccs(order, budget, number, value, strata):
    """Coverage-centric selection, one sample at a time."""
    low, high = min(map(value, order)), max(map(value, order))
    groups = {}
    for at in order:
        place = 0 if high == low else int((value(at) - low) / (high - low) * strata)
        groups.setdefault(min(place, strata - 1), []).append(at)
    kept = []
    waiting = sorted(groups.items(), key=lambda each: (len(each[1]), each[0]))
    while waiting:
        _, members = waiting[0]
        quota = min(len(members), (budget - len(kept)) // len(waiting))
        kept += sorted(members, key=number)[:quota]
        waiting = waiting[1:]
    return kept


PLAIN = {
    "end": lambda order, budget, *_: order[len(order) - budget :],
    "window": lambda order, budget, *_: order[:budget],
    "window,start=0.29": lambda order, budget, *_: order[math.floor(Fraction("0.29") * len(order)) :][
        :budget
    ],
    "draw": lambda order, budget, number, _: sorted(order, key=number)[:budget],
    "draw,after=0.4": lambda order, budget, number, _: sorted(
        order[math.floor(Fraction("0.4") * len(order)) :], key=number
    )[:budget],
    "middle": lambda order, budget, number, _: sorted(order[len(order) // 5 :], key=number)[:budget],
    "ccs": lambda *given: ccs(*given, 50),
    "ccs,after=0.4,strata=3": lambda order, *given: ccs(
        order[math.floor(Fraction("0.4") * len(order)) :], *given, 3
    ),
}


def seen(keys, labels, random=None):
    """What a rule is shown."""
    return Samples(keys, labels, np.empty(0) if random is None else random, np.arange(len(keys)))


AMOUNTS = [
    ({"keep_ratio": "0.07"}, lambda n: math.ceil(Fraction("0.07") * n)),
    ({"drop_ratio": "0.58"}, lambda n: n - math.floor(Fraction("0.58") * n)),
    ({"keep_per_class": 5}, lambda _: 5),
]


@pytest.fixture
def file():
    """A score file with ties, and with halves that differ."""
    draw = np.random.default_rng(2)
    labels = draw.permutation(np.arange(SAMPLES) % CLASSES)
    made = make_score_file(draw.integers(0, 9, SAMPLES), labels, CLASSES)
    score = made.scores["LossConverge"]
    halves = (score.values + draw.normal(size=(2, SAMPLES))).astype(np.float32)
    return replace(made, scores={"LossConverge": replace(score, halves=halves)})


def plain(values, labels, rule, keep, scope, seed=0):
    """Kept positions by a loop over Python lists; the criterion drops small values."""
    random = random_keys(len(values), seed, 1)
    kept = []
    for group in range(CLASSES) if scope == "class" else [None]:
        members = [at for at in range(len(values)) if group is None or labels[at] == group]
        order = sorted(members, key=lambda at: (values[at], at))
        kept += PLAIN[rule](order, keep(len(order)), lambda at: random[at], lambda at: values[at])
    return sorted(kept)


def test_the_plain_loops_walk_the_table():
    assert {rule.split(",", maxsplit=1)[0] for rule in PLAIN} | set(BY_FACTS) == set(STRATEGIES)


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize(("amount", "keep"), AMOUNTS)
@pytest.mark.parametrize("rule", PLAIN)
def test_every_rule_keeps_what_a_plain_loop_keeps(file, rule, amount, keep, scope):
    if "keep_per_class" in amount and scope == "global":
        return
    made = strategy_of(rule)
    selection = prune(file, "LossConverge_small", strategy=rule, scope=scope, seed=7, **amount)
    values = file.scores["LossConverge"].values
    assert selection.indices.tolist() == plain(values, file.labels, rule, keep, scope, seed=7)
    assert selection.indices.dtype == np.int64
    assert (np.diff(selection.indices) > 0).all()
    totals = np.bincount(file.labels)
    wanted = sum(keep(each) for each in totals) if scope == "class" else keep(SAMPLES)
    assert len(selection.indices) == wanted
    assert (selection.halves is None) == made.draws  # the draw would be the same in both
    for mine, half in zip(
        selection.halves or (), file.scores["LossConverge"].halves, strict=selection.halves is not None
    ):
        assert mine.tolist() == plain(half, file.labels, rule, keep, scope, seed=7)
    about = selection.provenance
    assert about.get("strategy") == (None if rule == "end" else str(made))
    assert about["seed"] == (7 if made.draws else None)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_row_says_what_it_is_and_is_read_again_from_its_name(name):
    row = STRATEGIES[name]
    assert row.does
    assert row.source
    assert strategy_of(name) == row()
    assert str(row()).split(",")[0] == name
    assert str(strategy_of(str(row()))) == str(row())


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in BY_FACTS])
def test_the_seed_decides_what_draws_and_nothing_else(file, name):
    first, again, other = (
        prune(file, "LossConverge_large", strategy=name, keep_ratio="0.3", seed=seed).indices.tolist()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert (first != other) == STRATEGIES[name].draws


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize(("start", "stop"), [("0.2", "0.55"), (0.1, 1), (0, "0.033"), ("0.29", "0.34")])
def test_keep_range_is_a_window(file, start, stop, scope):
    by_range = prune(file, "LossConverge_small", keep_range=(start, stop), scope=scope)
    values, share = file.scores["LossConverge"].values, {each: Fraction(str(each)) for each in (start, stop)}
    kept = []
    for group in range(CLASSES) if scope == "class" else [None]:
        members = [at for at in range(SAMPLES) if group is None or file.labels[at] == group]
        keys = values[members]
        first, last = (math.floor(share[each] * len(members)) for each in (start, stop))
        if last > first:
            chosen = Window(start).choose(seen(keys, file.labels[members]), last - first)
            kept += [members[at] for at in chosen]
    assert by_range.indices.tolist() == sorted(kept)
    assert "strategy" not in by_range.provenance
    again = prune(file, "LossConverge_small", keep_range=(start, stop), scope=scope, strategy="window")
    assert again.provenance == by_range.provenance
    for other in ("draw", "window,start=0.5"):
        with pytest.raises(UsageError, match=f"`keep_range` is a window of its own, and the rule is {other}"):
            prune(file, "LossConverge_small", keep_range=(start, stop), strategy=other)


def test_draws_are_nested_and_every_sample_is_drawn_equally_often():
    file = make_score_file(np.arange(40.0), np.repeat([0, 1], 20), 2)
    times = np.zeros(40)
    for seed in range(400):
        drawn = prune(file, "LossConverge_small", strategy="draw,after=0.5", keep_ratio="0.2", seed=seed)
        more = prune(file, "LossConverge_small", strategy="draw,after=0.5", keep_ratio="0.3", seed=seed)
        assert set(drawn.indices) < set(more.indices)
        times[drawn.indices] += 1
    passed = np.arange(40) % 20 < 10
    assert not times[passed].any()
    assert np.abs(times[~passed] - 160).max() < 4.5 * (400 * 0.4 * 0.6) ** 0.5


def test_shares_are_exact():
    assert strategy_of("window,start=0.1000000000000000055") == Window("0.1000000000000000055")
    file = make_score_file(np.arange(600.0), [0] * 600, 1)
    for start in ("0.57", 0.57, Fraction("0.57")):  # int(0.57 * 600) is 341
        kept = prune(file, "LossConverge_small", strategy=Window(start), keep_per_class=1)
        assert kept.indices.tolist() == [342]


def test_rules_that_pass_over_too_much_say_so_with_numbers():
    file = make_score_file(np.arange(10.0), [0] * 10, 1)
    for rule in ("draw,after=0.75", "window,start=0.75"):
        assert len(prune(file, "LossConverge_small", strategy=rule, keep_ratio="0.3").indices) == 3
        with pytest.raises(
            UsageError, match=f"the rule {rule} passes over 7 of 10 samples, and 4 .* of the 3 that are left"
        ):
            prune(file, "LossConverge_small", strategy=rule, keep_ratio="0.4")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "centre",
            "there is no rule 'centre'; choose end, window, .*, quotas or package.module:NAME of your own",
        ),
        ("end,share=1", "the rule end has no share; it has no settings"),
        ("draw,before=1", "the rule draw has no before; it has after"),
        ("draw,after", "`strategy` has 'after'; write NAME,KEY=VALUE"),
        ("draw,after=0,after=0", "after of the strategy is given twice"),
        ("draw,after=half", "after of the rule draw is 'half'; it must be a decimal number from 0 to 1"),
        ("window,start=1.5", "start of the rule window is 1.5; it must be from 0 to 1"),
        (None, "the rule is None; give a name or an instance of Strategy"),
        (Draw, "the rule is .*Draw.*; give a name"),
    ],
)
def test_what_is_no_rule_is_refused(file, rule, said):
    with pytest.raises(UsageError, match=said):
        prune(file, "LossConverge_small", strategy=rule, keep_ratio="0.5")


@dataclass(frozen=True)
class Given(Strategy):
    """Gives what it was made with."""

    what: object = None

    def choose(self, samples, budget):
        return self.what(samples, budget) if callable(self.what) else self.what

    def __str__(self):
        return "given"


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        (np.array([0, 1]), r"an array of shape \(2,\)"),
        (np.array([0, 1, 1]), "a position twice"),
        (np.array([-1, 0, 1]), "positions from -1 to 1"),
        (np.array([0, 1, 10]), "positions from 0 to 10"),
        (np.array([0.0, 1.0, 2.0]), "numbers of type float64"),
        (np.array([True, True, True]), "numbers of type bool"),
        (np.array([[0, 1, 2]]), r"an array of shape \(1, 3\)"),
        (None, r"an array of shape \(\)"),
    ],
)
def test_what_a_rule_gives_is_checked(what, said, scope):
    file = make_score_file(np.arange(10.0), [0] * 10, 1)
    with pytest.raises(UsageError, match=f"the rule given gave {said}; it must give 3 different positions"):
        prune(file, "LossConverge_small", strategy=Given(what), scope=scope, keep_ratio="0.3")


@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda *_: 1 / 0,
        lambda samples, _: samples.random[0],  # which it did not ask for
        lambda samples, _: samples.labels.sort(),
        lambda samples, _: samples.keys.sort(),
        lambda samples, _: samples.positions.sort(),
        lambda *_: [[0], [1, 2]],
    ],
)
def test_a_rule_that_fails_is_named(spoil, scope):
    file = make_score_file(np.arange(10.0), [0] * 10, 1)
    with pytest.raises(UsageError, match=r"the rule given failed .*; mend it"):
        prune(file, "LossConverge_small", strategy=Given(spoil), scope=scope, keep_ratio="0.3")


def test_a_rule_sees_its_samples_and_may_choose_in_any_order():
    labels = np.array([1, 0, 1, 1, 0])
    file = make_score_file([5.0, np.nan, 1.0, 3.0, 2.0], labels, 3)
    seen, where = [], []

    def choose(samples, budget):
        seen.append((samples.keys.tolist(), samples.labels.tolist(), budget, len(samples.random)))
        where.append(samples.positions.tolist())
        return list(range(budget))[::-1]

    options = {"strategy": Given(choose), "missing": "drop", "keep_ratio": "0.5"}
    assert prune(file, "LossConverge_small", **options).indices.tolist() == [0, 1, 2]
    assert seen == [([-np.inf, 2.0], [0, 0], 1, 0), ([5.0, 1.0, 3.0], [1, 1, 1], 2, 0)]
    assert where == [[1, 4], [0, 2, 3]]
    seen.clear()
    assert len(prune(file, "LossConverge_small", scope="global", **options).indices) == 3
    assert seen == [([5.0, -np.inf, 1.0, 3.0, 2.0], labels.tolist(), 3, 0)]


OWN = """
from dataclasses import dataclass
from goldore import UsageError
from goldore.selection import Strategy, ascending

@dataclass(frozen=True)
class Spread(Strategy):
    skip: int = 0
    name: str = "x"

    def choose(self, samples, budget):
        if self.skip > 5:
            raise UsageError("this skips too much.")
        order = ascending(samples.keys)[self.skip:]
        return order[[place * len(order) // budget for place in range(budget)]]

class Bare(Strategy):
    draws = True

    def choose(self, samples, budget):
        return ascending(samples.random)[:budget]

class Abstract(Strategy):
    pass

class Few(Strategy):
    def choose(self, samples, budget):
        return ascending(samples.keys)[1:budget]

SKIPPED = Spread(skip=2)
number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of a user's, in the working directory."""
    (tmp_path / "own_rules.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield "own_rules:"
    sys.modules.pop("own_rules", None)


def spread(keys, skip, budget):
    order = sorted(range(len(keys)), key=lambda at: (keys[at], at))[skip:]
    return [order[place * len(order) // budget] for place in range(budget)]


@pytest.mark.parametrize(
    ("name", "skip", "text"),
    [
        ("Spread", 0, "own_rules:Spread,skip=0,name=x"),
        ("Spread,skip=3,name=12", 3, "own_rules:Spread,skip=3,name=12"),
        ("SKIPPED", 2, "own_rules:Spread,skip=2,name=x"),
    ],
)
def test_a_rule_of_ones_own_is_found_in_the_working_directory(own, file, name, skip, text):
    kept = prune(file, "LossConverge_small", strategy=own + name, scope="global", keep_ratio="0.1")
    assert kept.indices.tolist() == sorted(spread(file.scores["LossConverge"].values, skip, 22))
    assert kept.provenance["strategy"] == text
    assert kept.provenance["seed"] is None
    assert strategy_of(text) == strategy_of(own + name)
    bare = prune(file, "LossConverge_small", strategy=own + "Bare", keep_ratio="0.1", seed=4)
    assert (bare.provenance["strategy"], bare.provenance["seed"]) == ("own_rules:Bare", 4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_rules:Other", "the rule own_rules:Other cannot be imported .AttributeError"),
        ("nowhere:Spread", "the rule nowhere:Spread cannot be imported .ModuleNotFoundError"),
        ("own_rules:number", "own_rules:number is int; a rule is a goldore.selection.Strategy"),
        ("own_rules:ascending", "own_rules:ascending is function; a rule is"),
        ("own_rules:UsageError", "own_rules:UsageError is type; a rule is"),
        ("own_rules:Abstract", "the rule own_rules:Abstract: Can't instantiate abstract class"),
        ("own_rules:SKIPPED,skip=3", "the rule own_rules:SKIPPED has its settings; name its class"),
        ("own_rules:Spread,leap=3", "the rule own_rules:Spread has no leap; it has name, skip"),
        ("own_rules:Spread,skip=far", "skip of the rule own_rules:Spread cannot be 'far'"),
        ("own_rules:Bare,skip=3", "the rule own_rules:Bare has no skip; it has no settings"),
        ("own_rules:Spread,skip=6", "^this skips too much.$"),
    ],
)
def test_what_is_no_rule_of_ones_own_is_refused(own, file, name, said):
    with pytest.raises(UsageError, match=said):
        prune(file, "LossConverge_small", strategy=name, keep_ratio="0.1")


CLASS = '''@dataclass(frozen=True)
class Spread(Strategy):
    """Every so many of the order."""

    called: ClassVar[str] = "spread"
    does: ClassVar[str] = "keep samples at equal steps"
    source: ClassVar[str] = "a test"
    skip: int = 0

    def choose(self, samples, budget):
        order = ascending(samples.keys)[self.skip :]
        return order[[place * len(order) // budget for place in range(budget)]]


def in_turn('''


def test_a_rule_is_a_class_and_a_row(tmp_path):
    table = "goldore/selection/strategies.py"
    edits = [
        ("goldore/selection/ordered.py", "def in_turn(", CLASS),
        (table, "import Ccs, ", "import Ccs, Spread, "),
        (table, "_ROWS = (", "_ROWS = (Spread, "),
    ]
    changed = changed_copy(tmp_path / "copy", edits=edits)
    scores = tmp_path / "scores.h5"

    def run(*arguments):
        return changed("-m", "goldore", *arguments).stdout

    told = " ".join(run("prune", "--help").replace("│", " ").split())
    assert "spread: keep samples at equal steps" in told
    run("score", "--trials", 1, "--epochs", 1, "--width", 4, "--depth", 1, "--quiet", "--out", scores)
    keep = tmp_path / "keep.npy"
    options = ("--criterion", "LossInit_large", "--keep-ratio", 0.1, "--scope", "global", "--out", keep)
    assert "by the rule spread,skip=5" in run("prune", scores, *options, "--rule", "spread,skip=5")
    values = goldore.load_scores(scores).scores["LossInit"].values
    budget = math.ceil(Fraction("0.1") * len(values))
    assert np.load(keep).tolist() == sorted(spread(-values, 5, budget))
    assert json.loads((tmp_path / "keep.npy.json").read_text())["strategy"] == "spread,skip=5"


def test_the_default_is_the_end():
    assert strategy_of("end") == End() != Window()


@hypothesis.given(
    values=st.lists(
        st.sampled_from([-math.inf, 0.0, 0.1, 0.5, 2.0, 7.25, math.inf]), min_size=1, max_size=60
    ),
    share=st.integers(0, 9),
    strata=st.integers(1, 12),
    data=st.data(),
)
def test_ccs_keeps_as_many_as_asked_for_none_twice_and_all_strata(values, share, strata, data):
    keys = np.array(values)
    passed = share * len(keys) // 10
    budget = data.draw(st.integers(1, len(keys) - passed))
    random = np.random.default_rng(0).random(len(keys))
    rule = Ccs(after=f"0.{share}", strata=strata)
    samples = seen(keys, np.zeros(len(keys), dtype=np.int64), random)
    kept = rule.choose(samples, budget)
    assert len(kept) == budget == len(set(kept.tolist()))
    first = sorted(range(len(keys)), key=lambda at: (keys[at], at))[:passed]
    assert not set(first) & set(kept.tolist())
    rest = np.setdiff1d(np.arange(len(keys)), first)
    want = np.sort(-np.sign(np.where(np.isfinite(keys[rest]), 0, keys[rest])))[:budget]  # inf, scores, -inf
    assert sorted(-np.sign(np.where(np.isfinite(keys[kept]), 0, keys[kept]))) == want.tolist()
    drawn = Draw(after=f"0.{share}").choose(samples, budget)
    assert sorted(-np.sign(np.where(np.isfinite(keys[drawn]), 0, keys[drawn]))) == want.tolist()
    finite = rest[np.isfinite(keys[rest])]
    chosen = [at for at in kept if math.isfinite(keys[at])]
    if not len(finite) or not chosen:
        return
    low, wide = keys[finite].min(), np.ptp(keys[finite])

    def stratum(at):
        return min(int((keys[at] - low) / wide * strata), strata - 1) if wide else 0

    there = {stratum(at) for at in finite}
    if len(chosen) >= len(there):
        assert {stratum(at) for at in chosen} == there
