import numpy as np
import pytest

from goldore import UsageError
from goldore.selection.criteria import Criterion, drop_keys, parse_criterion, random_keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LossConverge_large", "LossConverge_large"),
        ("loss-converge-SMALL", "LossConverge_small"),
        ("lossinit_small", "LossInit_small"),
        ("Rand", "Random"),
    ],
)
def test_criterion_spellings(text, expected):
    assert str(parse_criterion(text, ("LossInit", "LossConverge"))) == expected


@pytest.mark.parametrize("text", ["LossConverge", "large", "_large", "Loss_large", "LossConverge_big", ""])
def test_unknown_criteria_are_refused(text):
    with pytest.raises(UsageError):
        parse_criterion(text, ("LossInit", "LossConverge"))


def test_a_near_miss_of_a_criterion_gets_a_hint():
    with pytest.raises(UsageError, match=r"did you mean LossConverge_large\?"):
        parse_criterion("LossConverge_larg", ("LossInit", "LossConverge"))
    with pytest.raises(UsageError, match="it has LossInit_large, LossInit_small, Random"):
        parse_criterion("EL2N_small", ("LossInit",))


def test_keys_put_the_dropped_end_first_and_samples_without_a_score_at_one_end():
    values = np.array([2.0, np.nan, -1.0, np.inf], dtype=np.float32)
    small, large = Criterion("EL2N", "small"), Criterion("EL2N", "large")
    assert drop_keys(values, small, "drop").tolist() == [2, -np.inf, -1, -np.inf]
    assert drop_keys(values, large, "keep").tolist() == [-2, np.inf, 1, np.inf]
    assert drop_keys(values, large).dtype == np.float64
    assert values[0] == 2  # untouched


def test_random_keys_are_those_of_the_seed_and_other_ones_in_another_stream():
    assert random_keys(5, 3).tolist() == np.random.default_rng(3).random(5).tolist()
    assert random_keys(5, 3, 1).tolist() == random_keys(9, 3, 1)[:5].tolist()
    assert not np.isin(random_keys(5, 3, 1), random_keys(5, 3)).any()
    with pytest.raises(UsageError, match="`seed` is -1"):
        random_keys(5, -1)
